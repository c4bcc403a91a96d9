"""Small words that a computed sentence needs."""

from __future__ import annotations

_COUNTS = ("no", "one", "two", "three", "four", "five", "six")
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
        Such as ``three``; figures beyond six.

    Examples
    --------
    >>> in_words(3), in_words(12)
    ('three', '12')
    """
    return _COUNTS[count] if 0 <= count < len(_COUNTS) else str(count)
