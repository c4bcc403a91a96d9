"""The one error that bad input raises: a sentence with the field, the value, what is allowed and the nearest choice."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class InputError(ValueError):
    """A value that a user gave and that cannot be used.

    Parameters
    ----------
    field : str
        The name the user knows the value by, such as ``gpu`` or ``concurrency``.
    value : object
        What was given; shown shortened to one line.
    allowed : str
        What would be accepted, in words.
    nearest : str or iterable of str, optional
        The nearest valid choice, or the valid choices from which the nearest are picked.
    also : sequence of str
        Names of other values that cannot be used either.

    Examples
    --------
    >>> print(InputError("gpu", "H300", "a GPU from data/gpus.yaml", ["H100 SXM", "H200 SXM"]))
    gpu: 'H300' is not usable; allowed is a GPU from data/gpus.yaml; nearest: H100 SXM, H200 SXM
    """

    def __init__(
        self,
        field: str,
        value: object,
        allowed: str,
        nearest: str | Iterable[str] | None = None,
        also: Sequence[str] = (),
    ):
        self.field, self.value, self.allowed = field, value, allowed
        shown = _shown(value)
        sentence = f"{field}: {shown} is not usable; allowed is {allowed}"
        hint = nearest if isinstance(nearest, str) else ", ".join(nearest_names(shown.strip("'\""), nearest or ()))
        told = [f"nearest: {hint}"] * bool(hint) + [f"to be mended too: {', '.join(also)}"] * bool(also)
        super().__init__("; ".join([sentence, *told]))


class Failed(InputError):
    """Work that failed through no fault of what was given, in one sentence; the command then ends with 1, not 2.

    Parameters
    ----------
    sentence : str
        What failed, and why.

    Examples
    --------
    >>> print(Failed("the disk is full"))
    the disk is full
    """

    def __init__(self, sentence: str):
        ValueError.__init__(self, sentence)


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of more digits than Python writes, a value that is too deep
        return f"a {type(value).__name__} too long to show"
    return text if len(text) <= 80 else text[:77] + "..."


def nearest_names(name: str, choices: Iterable[str], count: int = 3) -> list[str]:
    """Return the choices most like a name, best first.

    Parameters
    ----------
    name : str
        What was asked for.
    choices : iterable of str
        Valid names.
    count : int
        How many to return at most.

    Returns
    -------
    list of str
        Up to ``count`` choices by similarity, ignoring case.

    Examples
    --------
    >>> nearest_names("h200", ["H100 SXM", "H200 SXM", "A100 SXM 80GB"], count=1)
    ['H200 SXM']
    >>> nearest_names("llama-3.3-70bb", ["meta-llama/Llama-3.1-70B", "meta-llama/Llama-3.3-70B-Instruct"], count=1)
    ['meta-llama/Llama-3.3-70B-Instruct']
    """
    wanted = name.lower()[:200]

    def likeness(choice: str) -> float:
        lower = choice.lower()
        short = lower.split("/")[-1].split(" ")[0]
        parts = ((lower, 1.0), (short, 0.99), (short[: len(wanted)], 0.97))  # whole names before beginnings of others
        return max(weight * difflib.SequenceMatcher(None, wanted, part).ratio() for part, weight in parts)

    ranked = sorted(((likeness(choice), choice) for choice in choices), key=lambda pair: -pair[0])
    return [choice for score, choice in ranked[:count] if score >= 0.3]
