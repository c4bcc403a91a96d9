"""Small words that a computed sentence needs."""

from __future__ import annotations

from hopperbook import units
from hopperbook.customer import Customer
from hopperbook.planner import Plan, night, pictures

_COUNTS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_SPOKEN_WITH_A_VOWEL = "AEFHILMNORSX"  # letters whose names begin with one: an H100, a B200


def article(name: str) -> str:
    """Return the article before a name that is spelt out, such as a GPU's.

    Parameters
    ----------
    name : str
        Name.

    Returns
    -------
    str
        ``a`` or ``an``.

    Examples
    --------
    >>> article("H100 SXM"), article("B200 SXM"), article("GH200")
    ('an', 'a', 'a')
    """
    return "an" if name[:1].upper() in _SPOKEN_WITH_A_VOWEL else "a"


def in_words(count: int) -> str:
    """Write a small count as a word.

    Parameters
    ----------
    count : int
        Count.

    Returns
    -------
    str
        Such as ``three``; figures beyond twelve.

    Examples
    --------
    >>> in_words(3), in_words(13)
    ('three', '13')
    """
    return _COUNTS[count] if 0 <= count < len(_COUNTS) else str(count)


def times(ratio: float, digits: int = 3) -> str:
    """Write a ratio as so many times.

    Parameters
    ----------
    ratio : float
        The ratio.
    digits : int
        Significant digits.

    Returns
    -------
    str
        Such as ``1.38×``, the sign behind a space that does not break.

    Examples
    --------
    >>> times(1.3849).replace(units.NBSP, " "), times(2.4321, 2).replace(units.NBSP, " ")
    ('1.38 ×', '2.4 ×')
    """
    return f"{units.number(ratio, digits)}{units.NBSP}×"


def bare_gib(value_bytes: float) -> str:
    """Write bytes in GiB, three digits, for a column whose head has the unit.

    Parameters
    ----------
    value_bytes : float
        Bytes.

    Returns
    -------
    str
        The number.

    Examples
    --------
    >>> bare_gib(80e9)
    '74.5'
    """
    return units.number(value_bytes / units.GIB, 3)


def request_words(customer: Customer) -> str:
    """Say how long requests are: tokens in and out, or texts.

    Parameters
    ----------
    customer : Customer
        Her service.

    Returns
    -------
    str
        A phrase.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> ranked = default().model_copy(update={"service": "rerank", "texts_per_request": 50})
    >>> request_words(default()), request_words(ranked)
    ('2,048 tokens in, 512 out', '50 texts of 2,048 tokens a request')
    """
    prompt = units.integer(customer.prompt_tokens)
    if customer.only_reads:
        many = units.integer(customer.texts_per_request)
        return f"{many} text{'s' if customer.texts_per_request > 1 else ''} of {prompt} tokens a request"
    return f"{prompt} tokens in, {units.integer(customer.output_tokens)} out"


def other_work(plan: Plan) -> list[str]:
    """Say how a plan does the night's work and generates images.

    Parameters
    ----------
    plan : Plan
        The plan.

    Returns
    -------
    list of str
        Sentences; none where nothing of it is asked.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> from hopperbook.planner import plan
    >>> len(other_work(plan(default())))
    0
    """
    found = [f"At night: {night.words(plan.night, plan.customer)}."] if plan.night is not None else []
    if plan.pictures is not None:
        found.append(f"Images: {pictures.words(plan.pictures, plan.customer)}.")
    return found
