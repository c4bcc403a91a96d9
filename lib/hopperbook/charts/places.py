"""Where words stand beside points, so that they meet neither each other nor the points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

SIDES = {
    "right": {"align": "left", "dx": 9, "dy": 0},
    "left": {"align": "right", "dx": -9, "dy": 0},
    "above": {"align": "center", "dx": 0, "dy": -13},
    "below": {"align": "center", "dx": 0, "dy": 14},
    "high right": {"align": "left", "dx": 7, "dy": -11},
    "low right": {"align": "left", "dx": 7, "dy": 12},
    "high left": {"align": "right", "dx": -7, "dy": -11},
    "low left": {"align": "right", "dx": -7, "dy": 12},
}


def text_width(text: str, size: float = 12.0) -> float:
    """Return about how wide a text is.

    Parameters
    ----------
    text : str
        The words.
    size : float
        Font size in pixels.

    Returns
    -------
    float
        Pixels; a wide (Chinese) letter counts a full size.

    Examples
    --------
    >>> round(text_width("8 × H100"))
    52
    """
    return sum(size if ord(letter) > 0x2E80 else 0.54 * size for letter in text)


def pixels(values: Sequence[float], low: float, high: float, size: float, log: bool = False) -> np.ndarray:
    """Return where values stand on an axis.

    Parameters
    ----------
    values : sequence of float
        Values.
    low, high : float
        Ends of the axis.
    size : float
        Its length in pixels.
    log : bool
        True for a logarithmic axis.

    Returns
    -------
    ndarray
        Pixels from the low end.

    Examples
    --------
    >>> pixels([1, 10, 100], 1, 100, 200, log=True).tolist()
    [0.0, 100.0, 200.0]
    """
    known = np.asarray(values, dtype=float)
    if log:
        known, low, high = np.log(known), np.log(low), np.log(high)
    return size * (known - low) / (high - low)


def sides(x: Sequence[float], y: Sequence[float], texts: Sequence[str], width: float, height: float) -> list[str]:
    """Return the side of each point on which its words stand.

    Parameters
    ----------
    x, y : sequence of float
        Points in pixels.
    texts : sequence of str
        Their words.
    width, height : float
        Size of the plot in pixels.

    Returns
    -------
    list of str
        Keys of ``SIDES``: for each point the first side that is free, else the one with the least overlap.

    Examples
    --------
    >>> sides([10, 190], [50, 50], ["left one", "right one"], 200, 100)
    ['right', 'left']
    """
    taken: list[tuple[float, float, float, float]] = [(a - 6, b - 6, a + 6, b + 6) for a, b in zip(x, y, strict=True)]
    chosen = []
    for a, b, text in zip(x, y, texts, strict=True):
        boxes = {side: _box(a, b, text_width(text), side) for side in SIDES}
        costs = {side: _cost(box, taken, width, height) for side, box in boxes.items()}
        best = min(costs, key=lambda side: (round(costs[side], 3), list(SIDES).index(side)))
        taken.append(boxes[best])
        chosen.append(best)
    return chosen


def _box(x: float, y: float, width: float, side: str) -> tuple[float, float, float, float]:
    """Return the box of a text on a side of a point; y grows downwards."""
    place: dict[str, Any] = SIDES[side]
    left = {"left": 0.0, "right": -width, "center": -width / 2}[place["align"]] + x + place["dx"]
    top = y + place["dy"] - 7
    return left, top, left + width, top + 14


def _cost(box: tuple[float, float, float, float], taken: Sequence[Any], width: float, height: float) -> float:
    """Return how much a box overlaps others or leaves the plot, in square pixels."""
    overlap = sum(
        max(0.0, min(box[2], other[2]) - max(box[0], other[0])) * max(0.0, min(box[3], other[3]) - max(box[1], other[1]))
        for other in taken
    )
    outside = max(0.0, -box[0]) + max(0.0, box[2] - width) + max(0.0, -box[1] - 8) + max(0.0, box[3] - height)
    return overlap + 40.0 * outside
