"""Where words stand beside points, so that they meet neither each other nor the points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

SIDES: dict[str, dict[str, Any]] = {
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


def pixels(values: Any, low: float, high: float, size: float, log: bool = False) -> np.ndarray:
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


def sides(
    x: Any,
    y: Any,
    texts: Any,
    width: float,
    height: float,
    avoid: Sequence[tuple[float, float]] = (),
) -> list[str]:
    """Return the side of each point on which its words stand.

    Parameters
    ----------
    x, y : sequence of float
        Points in pixels.
    texts : sequence of str
        Their words.
    width, height : float
        Size of the plot in pixels.
    avoid : sequence of tuple
        Further points that words should not cover, such as samples of a line.

    Returns
    -------
    list of str
        Keys of ``SIDES``: for each point the first side that is free, else the one with the least overlap.

    Examples
    --------
    >>> sides([10, 190], [50, 50], ["left one", "right one"], 200, 100)
    ['right', 'left']
    """
    points = [(a - 6, b - 6, a + 6, b + 6) for a, b in zip(x, y, strict=True)]
    taken = np.array([*points, *((a - 3, b - 3, a + 3, b + 3) for a, b in avoid)], dtype=float).reshape(-1, 4)
    chosen, names = [], list(SIDES)
    for a, b, text in zip(x, y, texts, strict=True):
        boxes = np.array([_box(float(a), float(b), text_width(text), side) for side in names])
        best = int(np.argmin(np.round(_costs(boxes, taken, width, height), 3)))
        taken = np.vstack([taken, boxes[best]])
        chosen.append(names[best])
    return chosen


def clear(text: str, level: float, width: float, avoid: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return where words along a level rule cover fewest points: how far from the left, and how far above or below.

    Parameters
    ----------
    text : str
        The words, left-aligned.
    level : float
        The rule, in pixels from the top.
    width : float
        Length of the rule in pixels.
    avoid : sequence of tuple
        Points that the words should not cover, such as samples of lines.

    Returns
    -------
    tuple of float
        Pixels from the left end, and from the rule (above is below zero); the first free place from the left, above
        before below.

    Examples
    --------
    >>> clear("target", 50, 400, [(10, 42)]), clear("target", 50, 400, [])
    ((4.0, 8.0), (4.0, -8.0))
    """
    long = text_width(text)
    spots = [(float(x), dy) for x in np.arange(4.0, max(width - long, 5.0), 24.0) for dy in (-8.0, 8.0)]

    def covered(spot: tuple[float, float]) -> int:
        left, middle = spot[0], level + spot[1]
        return sum(left - 4 <= a <= left + long + 4 and abs(b - middle) <= 9 for a, b in avoid)

    return min(spots, key=covered)


def broken(words: str, room: float, size: float = 12.0) -> str:
    """Break words in two where they are wider than their room, as evenly as they allow.

    Parameters
    ----------
    words : str
        One line.
    room, size : float
        Width of their place, and size of the type, in pixels.

    Returns
    -------
    str
        The words, one line or two.

    Examples
    --------
    >>> broken("chat with history", 60)
    'chat with\\nhistory'
    """
    spaces = [place for place, letter in enumerate(words) if letter == " "]
    if not spaces or text_width(words, size) <= room:
        return words
    cut = min(spaces, key=lambda place: abs(place - len(words) / 2))
    return f"{words[:cut]}\n{words[cut + 1 :]}"


def along(xs: Any, ys: Any, step: float = 6.0) -> list[tuple[float, float]]:
    """Return points along a broken line, close enough that no word fits between two.

    Parameters
    ----------
    xs, ys : sequence of float
        Corners in pixels.
    step : float
        Distance of two points.

    Returns
    -------
    list of tuple
        Points.

    Examples
    --------
    >>> len(along([0, 60], [0, 0]))
    11
    """
    points: list[tuple[float, float]] = []
    for a, b, c, d in zip(xs, ys, xs[1:], ys[1:], strict=False):
        count = max(2, int(np.hypot(c - a, d - b) / step) + 1)
        points += zip(np.linspace(a, c, count).tolist(), np.linspace(b, d, count).tolist(), strict=True)
    return points


def apart(values: Any, gap: float, end: float = float("inf")) -> list[float]:
    """Return values moved as little as needed so that no two are closer than a gap, their order kept.

    Parameters
    ----------
    values : sequence of float
        Places in pixels.
    gap : float
        Least distance.
    end : float
        Where the last of them may stand.

    Returns
    -------
    list of float
        New places, in the order given.

    Examples
    --------
    >>> apart([10, 12, 40], 14), apart([10, 38, 40], 14, end=40)
    ([4.0, 18.0, 40.0], [10.0, 26.0, 40.0])
    """
    order = np.argsort(values, kind="stable")
    groups: list[list[float]] = []
    for value in np.asarray(values, dtype=float)[order]:
        groups.append([float(value)])
        while len(groups) > 1 and _low(groups[-1], gap) < _low(groups[-2], gap) + gap * len(groups[-2]):
            last = groups.pop()
            groups[-1] += last
    placed = [_low(group, gap) + gap * place for group in groups for place in range(len(group))]
    for place in reversed(range(len(placed))):
        placed[place], end = min(placed[place], end), min(placed[place], end) - gap
    result = [0.0] * len(placed)
    for place, at in zip(order, placed, strict=True):
        result[place] = float(at)
    return result


def _low(group: Sequence[float], gap: float) -> float:
    """Return where a group of words begins when it is spread around its middle."""
    return sum(group) / len(group) - gap * (len(group) - 1) / 2


def _box(x: float, y: float, width: float, side: str) -> tuple[float, float, float, float]:
    """Return the box of a text on a side of a point; y grows downwards."""
    place = SIDES[side]
    left = {"left": 0.0, "right": -width, "center": -width / 2}[place["align"]] + x + place["dx"]
    top = y + place["dy"] - 7
    return left, top, left + width, top + 14


def _costs(boxes: np.ndarray, taken: np.ndarray, width: float, height: float) -> np.ndarray:
    """Return how much each box overlaps others, in square pixels, and leaves the plot."""
    across = np.minimum(boxes[:, None, 2], taken[:, 2]) - np.maximum(boxes[:, None, 0], taken[:, 0])
    down = np.minimum(boxes[:, None, 3], taken[:, 3]) - np.maximum(boxes[:, None, 1], taken[:, 1])
    overlap = (np.maximum(across, 0.0) * np.maximum(down, 0.0)).sum(axis=1)
    left, top, right, bottom = boxes.T
    outside = (
        np.maximum(-left, 0) + np.maximum(right - width, 0) + np.maximum(-top - 8, 0) + np.maximum(bottom - height, 0)
    )
    return overlap + 40.0 * outside
