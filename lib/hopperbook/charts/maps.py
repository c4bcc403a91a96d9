"""The decision map: which GPU wins for which load."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from hopperbook import units
from hopperbook.charts.base import INK, WIDE, Mark, Spec, data, gpu_style, label, log_axis, responsive, stack
from hopperbook.charts.places import broken, text_width
from hopperbook.errors import InputError


def edges(centres: Sequence[float]) -> np.ndarray:
    """Return the borders of cells around centres on a logarithmic axis.

    Parameters
    ----------
    centres : sequence of float
        Rising, above zero, at least two.

    Returns
    -------
    ndarray
        One more than the centres; the first and last centre are the ends.

    Examples
    --------
    >>> edges([1, 100]).round(6).tolist()
    [1.0, 10.0, 100.0]
    """
    logs = np.log(np.asarray(centres, dtype=float))
    inner = (logs[:-1] + logs[1:]) / 2
    return np.exp(np.concatenate([logs[:1], inner, logs[-1:]]))


def borders(winner: np.ndarray, x_edges: np.ndarray, y_edges: np.ndarray) -> list[dict[str, float]]:
    """Return the segments between cells of different winners, each run merged into one.

    Parameters
    ----------
    winner : ndarray, shape (rows, columns)
        Name of the winner in each cell.
    x_edges, y_edges : ndarray
        Borders of the columns and of the rows.

    Returns
    -------
    list of dict
        Segments ``x``, ``y``, ``x2``, ``y2``.

    Examples
    --------
    >>> borders(np.array([["a", "b"], ["a", "b"]]), np.array([1, 2, 3]), np.array([1, 2, 3]))
    [{'x': 2.0, 'y': 1.0, 'x2': 2.0, 'y2': 3.0}]
    """
    upright = [
        {
            "x": float(x_edges[place + 1]),
            "y": float(y_edges[a]),
            "x2": float(x_edges[place + 1]),
            "y2": float(y_edges[b]),
        }
        for place in range(winner.shape[1] - 1)
        for a, b in _runs(winner[:, place] != winner[:, place + 1])
    ]
    level = [
        {
            "x": float(x_edges[a]),
            "y": float(y_edges[place + 1]),
            "x2": float(x_edges[b]),
            "y2": float(y_edges[place + 1]),
        }
        for place in range(winner.shape[0] - 1)
        for a, b in _runs(winner[place] != winner[place + 1])
    ]
    return upright + level


def _runs(flags: np.ndarray) -> list[tuple[int, int]]:
    """Return start and end of each run of true values."""
    steps = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(int), [0]])))
    return [(int(a), int(b)) for a, b in zip(steps[::2], steps[1::2], strict=True)]


def decision_map(
    x: Sequence[float],
    y: Sequence[float],
    winner: Sequence[Sequence[str]],
    x_title: str,
    y_title: str,
    here: tuple[float, float] | None = None,
    reasons: Mapping[str, str] | None = None,
    rival: Sequence[Sequence[str]] | None = None,
    usd_per_month: ArrayLike | None = None,
    width: int = WIDE,
) -> Spec:
    """Draw which GPU wins where, both axes logarithmic, with the reader's own load marked.

    Parameters
    ----------
    x, y : sequence of float
        Centres of the columns and rows, rising, above zero.
    winner : array of str, shape (len(y), len(x))
        The winner of each cell: a GPU's name, or words such as ``2 nodes or more``; an empty text leaves a cell blank.
    x_title, y_title : str
        What is drawn, and its unit.
    here : tuple of float, optional
        The reader's load.
    reasons : mapping, optional
        A few words for each winner, written below its name.
    rival : array of str, same shape, optional
        Who costs about as much in each cell; an empty text where it is not close. Close cells carry a small diamond.
    usd_per_month : array, same shape, optional
        What the winner costs, said where a reader points at a cell.
    width : int
        Outer width on a wide screen.

    Returns
    -------
    Spec
        The chart, with its narrow twin.

    Raises
    ------
    InputError
        If the shape of winners or rivals does not fit the axes.

    Examples
    --------
    >>> chart = decision_map([1, 10, 100], [1, 10], [["A100", "H100", "H100"]] * 2, "billion parameters", "users")
    >>> chart["usermeta"]["hopperbook"]["key"]
    []
    """
    names = np.asarray(winner, dtype=object).astype(str)
    if names.shape != (len(y), len(x)):
        raise InputError("winner", names.shape, f"an array of shape ({len(y)}, {len(x)})")
    near = np.full(names.shape, "") if rival is None else np.asarray(rival, dtype=object).astype(str)
    if near.shape != names.shape:
        raise InputError("rival", near.shape, f"an array of shape ({len(y)}, {len(x)})")
    cells = _cells(x, y, names, None if rival is None else near, usd_per_month)
    x_edges, y_edges = edges(x), edges(y)
    areas = [
        corner | {"winner": name, "_chain": f"{place} {chain}"}
        for place, name in enumerate(dict.fromkeys(names.ravel()))
        if name
        for chain, corners in enumerate(_chains(names == name, x_edges, y_edges))
        for corner in corners
    ]
    lines = borders(names, x_edges, y_edges)
    titles = [
        _place(names, name, x_edges, y_edges, (reasons or {}).get(name, ""), here)
        for name in dict.fromkeys(names.ravel())
        if name
    ]
    x_axis = log_axis(float(x_edges[0]), float(x_edges[-1]), x_title, alt.X, "x")
    y_axis = log_axis(float(y_edges[0]), float(y_edges[-1]), y_title, alt.Y, "y", grid=True)

    def draw(outer: int) -> Any:
        layers = []
        for name in dict.fromkeys(area["winner"] for area in areas):
            color = gpu_style(str(name)).color
            mark: Mark = {"fill": color, "fillOpacity": 0.06 if color == INK else 0.2, "interpolate": "step-after"}
            part = [area for area in areas if area["winner"] == name]
            layers.append(
                alt.Chart(data(part))
                .mark_area(**mark)
                .encode(x=x_axis, y=y_axis, y2=alt.Y2("y2:Q"), detail=alt.Detail("_chain:N"))
            )
        if lines:
            layers.append(
                alt.Chart(data(lines))
                .mark_rule(strokeWidth=1.5, strokeCap="square")
                .encode(x=x_axis, x2=alt.X2("x2:Q"), y=y_axis, y2=alt.Y2("y2:Q"))
            )
        if close := _close_cells(near, x_edges, y_edges):
            sign: Mark = {"shape": "diamond", "size": 26, "filled": True, "opacity": 0.45, "color": INK}
            layers.append(alt.Chart(data(close)).mark_point(**sign).encode(x=x_axis, y=y_axis))
        layers += _region_names(titles, x_axis, y_axis, outer - 60.0, np.log(x_edges[-1] / x_edges[0]))
        if usd_per_month is not None:
            layers.append(_pointed(cells, x_axis, y_axis, x_title, y_title))
        if here is not None:
            layers += _here(here, x_axis, y_axis, here[0] > float(np.sqrt(x_edges[0] * x_edges[-1])))
        return stack(layers, 320 if outer > 500 else 290)

    return responsive(draw, width, csv=cells)


def _cells(
    x: Sequence[float], y: Sequence[float], names: np.ndarray, near: np.ndarray | None, usd: ArrayLike | None
) -> pd.DataFrame:
    """Return the cells as rows: where they lie, who wins, who costs about as much, and at what cost."""
    ys, xs = np.meshgrid(np.asarray(y, float), np.asarray(x, float), indexing="ij")
    found = {"x": xs.ravel(), "y": ys.ravel(), "winner": names.ravel()}
    if near is not None:
        found["rival"] = near.ravel()
    if usd is not None:
        shown = units.in_currency(np.ravel(np.asarray(usd, float)))
        rounded = (float(f"{value:.3g}") if math.isfinite(value) else None for value in shown)
        found[units.priced("USD a month")] = list(rounded)
    return pd.DataFrame(found)


def _pointed(cells: pd.DataFrame, x: Any, y: Any, x_title: str, y_title: str) -> Any:
    """Return unseen marks in the cells that say in words who wins there, and at what cost."""
    said = [alt.Tooltip("x:Q", title=x_title, format=",.3~r"), alt.Tooltip("y:Q", title=y_title, format=",~r")]
    said.append(alt.Tooltip("winner:N", title="cheapest"))
    if "rival" in cells:
        said.append(alt.Tooltip("rival:N", title="about as cheap"))
    if units.currency() == "USD":
        said.append(alt.Tooltip("USD a month:Q", format="$,~r"))
    else:
        said.append(alt.Tooltip(f"{units.priced('USD a month')}:Q", format=",~r"))
    mark: Mark = {"shape": "square", "size": 1100, "filled": True, "opacity": 0}
    return alt.Chart(data(cells[cells.winner != ""])).mark_point(**mark).encode(x=x, y=y, tooltip=said)


def _close_cells(rival: np.ndarray, x_edges: np.ndarray, y_edges: np.ndarray) -> list[dict[str, float]]:
    """Return the middles of the cells in which another costs about as much."""
    return [
        {
            "x": float(np.sqrt(x_edges[column] * x_edges[column + 1])),
            "y": float(np.sqrt(y_edges[row] * y_edges[row + 1])),
        }
        for row, column in np.argwhere(rival != "")
    ]


def _chains(mask: np.ndarray, x_edges: np.ndarray, y_edges: np.ndarray) -> list[list[dict[str, float]]]:
    """Return a region as few step-shaped areas: a column's run of cells joins the one beside it that it touches."""
    chains: list[tuple[int, tuple[int, int], list[dict[str, float]]]] = []
    for column in range(mask.shape[1]):
        ends = float(x_edges[column]), float(x_edges[column + 1])
        for low, high in _runs(mask[:, column]):
            at = {"y": float(y_edges[low]), "y2": float(y_edges[high])}
            beside = (
                place
                for place, (last, run, _) in enumerate(chains)
                if last == column - 1 and run[0] < high and low < run[1]
            )
            place = next(beside, None)
            corners = [] if place is None else chains[place][2][:-1]
            corners = [*corners, {"x": ends[0]} | at, {"x": ends[1]} | at]
            if place is None:
                chains.append((column, (low, high), corners))
            else:
                chains[place] = (column, (low, high), corners)
    return [corners for _, _, corners in chains]


def _place(
    names: np.ndarray,
    name: str,
    x_edges: np.ndarray,
    y_edges: np.ndarray,
    reason: str,
    here: tuple[float, float] | None,
) -> dict[str, Any]:
    """Return where a region's name stands: amid a wide run of cells, in the middle row that is not the reader's."""
    runs = [(b - a, row, a, b) for row in range(names.shape[0]) for a, b in _runs(names[row] == name)]
    widest = max(run[0] for run in runs)
    wide_rows = [run for run in runs if run[0] >= 0.55 * widest]
    places = [(_middle(x_edges, a, b), _middle(y_edges, row, row + 1), a, b) for _, row, a, b in wide_rows]
    spans = np.log(x_edges[-1] / x_edges[0]), np.log(y_edges[-1] / y_edges[0])
    order = sorted(range(len(places)), key=lambda at: abs(at - len(places) // 2))
    free = (at for at in order if here is None or not _beside(places[at][:2], here, spans))
    *middle, a, b = places[next(free, len(places) // 2)]
    return {
        "x": middle[0],
        "y": middle[1],
        "winner": name,
        "reason": reason,
        "_room": float(np.log(x_edges[b] / x_edges[a])),
    }


def _middle(borders: np.ndarray, first: int, last: int) -> float:
    """Return the middle between two borders of a logarithmic axis."""
    return float(np.sqrt(borders[first] * borders[last]))


def _beside(name: tuple[float, float], here: tuple[float, float], spans: tuple[float, float]) -> bool:
    """Say whether a name would stand on the words beside the reader's load; distances are shares of the axes."""
    return abs(np.log(name[0] / here[0])) < 0.3 * spans[0] and abs(np.log(name[1] / here[1])) < 0.1 * spans[1]


def _region_names(titles: list[dict[str, Any]], x: Any, y: Any, plot: float, span: float) -> list[Any]:
    """Return the names of regions, bold over their reasons; words wider than their region are broken or left out."""
    layers = []
    for title in titles:
        room = title["_room"] / span * plot - 8
        name, reason = broken(title["winner"], room, 15.0), broken(title["reason"], room, 12.0)
        if text_width(title["winner"].split(" ")[0], 15.0) > room:
            continue
        lines = name.count("\n")
        at = [{"x": title["x"], "y": title["y"], "name": name, "reason": reason}]
        bold: Mark = {"fontSize": 15, "lineHeight": 18, "fontWeight": "bold", "lineBreak": "\n"}
        layers.append(label(at, x, y, "name", dy=(-8 if reason else 0) - 9 * lines, **bold))
        if reason and max(text_width(line) for line in reason.split("\n")) <= room:
            layers.append(label(at, x, y, "reason", dy=10 + 9 * lines, lineBreak="\n"))
    return layers


def _here(here: tuple[float, float], x: Any, y: Any, left: bool) -> list[Any]:
    """Return the reader's case: a ring, a dot, and the words ``your load`` on the roomier side."""
    at = alt.Chart(data([{"x": here[0], "y": here[1], "label": "your load"}]))
    side: Mark = {"align": "right", "dx": -14} if left else {"align": "left", "dx": 14}
    return [
        at.mark_point(size=150, strokeWidth=1.5, color=INK, filled=False, opacity=1).encode(x=x, y=y),
        at.mark_point(size=50, color=INK, filled=True, opacity=1).encode(x=x, y=y),
        at.mark_text(fontWeight="bold", **side).encode(x=x, y=y, text=alt.Text("label:N")),
    ]
