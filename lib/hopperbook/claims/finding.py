"""What a claim comes to: a verdict, a sentence, the figure that decides it and the border at which it would flip."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

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


def nearest(value: float, *ends: float) -> float:
    """Return the border at which a figure would flip its verdict first, by the ratio between the two.

    Parameters
    ----------
    value : float
        The figure, above zero.
    *ends : float
        Borders, above zero.

    Returns
    -------
    float
        One of them.

    Examples
    --------
    >>> nearest(1.25, 1.1, 1.3), nearest(4.0, 4, 8)
    (1.3, 4)
    """
    return min(ends, key=lambda end: abs(math.log(max(value, 1e-9) / end)))


class Test(NamedTuple):
    """One of several conditions of a claim: what is measured, its figure, the border, and whether it is met."""

    axis: str
    value: float
    border: float
    met: bool


def decisive(tests: list[Test]) -> Test:
    """Return the condition that would flip first: of those that are met and not met, the one nearest to its border.

    Parameters
    ----------
    tests : list of Test
        All conditions of a claim.

    Returns
    -------
    Test
        One of them.

    Examples
    --------
    >>> decisive([Test("cost", 0.5, 1.0, True), Test("loads, %", 59.0, 50.0, True)]).axis
    'loads, %'
    """
    return min(tests, key=lambda t: abs(math.log(max(t.value, 1e-9) / t.border)))


def of_parts(tests: list[Test]) -> str:
    """Return the verdict of a claim of several parts: all hold, some do, or none.

    Examples
    --------
    >>> of_parts([Test("a", 1.0, 2.0, True), Test("b", 1.0, 2.0, False)])
    'holds under conditions'
    """
    count = sum(t.met for t in tests)
    return HOLDS if count == len(tests) else CONDITIONS if count else MISLEADS
