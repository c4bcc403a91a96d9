"""What a claim comes to: a verdict, a sentence, the figure that decides it and the border at which it would flip."""

from __future__ import annotations

from dataclasses import dataclass

HOLDS, CONDITIONS, MISLEADS, WRONG = "holds", "holds under conditions", "misleads", "wrong"
VERDICTS = (HOLDS, CONDITIONS, MISLEADS, WRONG)


@dataclass(frozen=True)
class Finding:
    """The outcome of one claim.

    Parameters
    ----------
    verdict : str
        One of ``VERDICTS``.
    sentence : str
        Why, with its figures.
    axis : str
        What the figure is, with its unit.
    value : float
        The figure that decides.
    border : float
        The value at which the verdict would change.
    claimed : float
        What the claim says or implies on the same axis; NaN where it names no figure.
    sources : tuple of str
        Keys of ``data/references.bib``.
    """

    verdict: str
    sentence: str
    axis: str
    value: float
    border: float
    claimed: float = float("nan")
    sources: tuple[str, ...] = ()


def between(value: float, low: float, high: float, *, below: str, inside: str, above: str) -> str:
    """Pick a verdict by where a figure lies.

    Parameters
    ----------
    value, low, high : float
        The figure, and the ends of the middle range.
    below, inside, above : str
        Verdicts.

    Returns
    -------
    str
        One of the three.

    Examples
    --------
    >>> between(3.2, 3.0, 6.0, below=HOLDS, inside=CONDITIONS, above=WRONG)
    'holds under conditions'
    """
    return below if value < low else above if value > high else inside
