"""Charts of choice: which GPU for which load, which options are not dominated, what matters most, when buying pays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from hopperbook.charts.base import INK, Mark, WIDE, Rows, data, frame, gpu_style, label, log_axis, responsive, spread
from hopperbook.charts.places import along, pixels, text_width
from hopperbook.charts.speed import gpu_scales, in_order, words_at
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
    width: int = WIDE,
) -> Any:
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
    width : int
        Outer width on a wide screen.

    Returns
    -------
    altair chart
        The chart, with its narrow twin.

    Raises
    ------
    InputError
        If the winners' shape does not fit the axes.

    Examples
    --------
    >>> chart = decision_map([1, 10, 100], [1, 10], [["A100", "H100", "H100"]] * 2, "billion parameters", "users")
    >>> chart.usermeta["hopperbook"]["key"]
    []
    """
    names = np.asarray(winner, dtype=object).astype(str)
    if names.shape != (len(y), len(x)):
        raise InputError("winner", names.shape, f"an array of shape ({len(y)}, {len(x)})")
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
        _place(names, name, x_edges, y_edges, (reasons or {}).get(name, ""))
        for name in dict.fromkeys(names.ravel())
        if name
    ]
    x_axis = log_axis(float(x_edges[0]), float(x_edges[-1]), x_title, alt.X, "x")
    y_axis = log_axis(float(y_edges[0]), float(y_edges[-1]), y_title, alt.Y, "y", grid=True)

    def draw(outer: int) -> Any:
        layers = []
        for name in dict.fromkeys(area["winner"] for area in areas):
            color = gpu_style(name).color
            mark = {"fill": color, "fillOpacity": 0.06 if color == INK else 0.2, "interpolate": "step-after"}
            part = [area for area in areas if area["winner"] == name]
            layers.append(
                alt.Chart(data(part)).mark_area(**mark).encode(x=x_axis, y=y_axis, y2="y2:Q", detail="_chain:N")
            )
        if lines:
            layers.append(
                alt.Chart(data(lines))
                .mark_rule(strokeWidth=1.5, strokeCap="square")
                .encode(x=x_axis, x2="x2:Q", y=y_axis, y2="y2:Q")
            )
        layers += _region_names(titles, x_axis, y_axis, outer - 60.0, np.log(x_edges[-1] / x_edges[0]))
        if here is not None:
            layers += _here(here, x_axis, y_axis, here[0] > float(np.sqrt(x_edges[0] * x_edges[-1])))
        return alt.layer(*layers).properties(height=320 if outer > 500 else 290)

    grid = [(float(a), float(b), names[row, column]) for row, b in enumerate(y) for column, a in enumerate(x)]
    return responsive(draw, width, csv=pd.DataFrame(grid, columns=["x", "y", "winner"]))


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


def _place(names: np.ndarray, name: str, x_edges: np.ndarray, y_edges: np.ndarray, reason: str) -> dict[str, Any]:
    """Return where a region's name stands: the middle of its widest run of cells, of its rows the middle one."""
    runs = [(b - a, row, a, b) for row in range(names.shape[0]) for a, b in _runs(names[row] == name)]
    widest = max(run[0] for run in runs)
    wide_rows = [run for run in runs if run[0] >= 0.8 * widest]
    _, row, a, b = wide_rows[len(wide_rows) // 2]
    middle = float(np.sqrt(x_edges[a] * x_edges[b])), float(np.sqrt(y_edges[row] * y_edges[row + 1]))
    return {
        "x": middle[0],
        "y": middle[1],
        "winner": name,
        "reason": reason,
        "_room": float(np.log(x_edges[b] / x_edges[a])),
    }


def _region_names(titles: list[dict[str, Any]], x: Any, y: Any, plot: float, span: float) -> list[Any]:
    """Return the names of regions, bold over their reasons; words wider than their region are broken or left out."""
    layers = []
    for title in titles:
        room = title["_room"] / span * plot - 8
        name, reason = _broken(title["winner"], room, 15.0), _broken(title["reason"], room, 12.0)
        if text_width(title["winner"].split(" ")[0], 15.0) > room:
            continue
        lines = name.count("\n")
        at = [{"x": title["x"], "y": title["y"], "name": name, "reason": reason}]
        bold: Mark = {"fontSize": 15, "lineHeight": 18, "fontWeight": "bold", "lineBreak": "\n"}
        layers.append(label(at, x, y, "name", dy=(-8 if reason else 0) - 9 * lines, **bold))
        if reason and max(text_width(line) for line in reason.split("\n")) <= room:
            layers.append(label(at, x, y, "reason", dy=10 + 9 * lines, lineBreak="\n"))
    return layers


def _broken(words: str, room: float, size: float) -> str:
    """Return words broken in two where they are wider than their room, as evenly as they allow."""
    spaces = [place for place, letter in enumerate(words) if letter == " "]
    if not spaces or text_width(words, size) <= room:
        return words
    cut = min(spaces, key=lambda place: abs(place - len(words) / 2))
    return f"{words[:cut]}\n{words[cut + 1 :]}"


def _here(here: tuple[float, float], x: Any, y: Any, left: bool) -> list[Any]:
    """Return the reader's case: a ring, a dot, and the words ``your load`` on the roomier side."""
    at = alt.Chart(data([{"x": here[0], "y": here[1], "label": "your load"}]))
    side = {"align": "right", "dx": -14} if left else {"align": "left", "dx": 14}
    return [
        at.mark_point(size=150, strokeWidth=1.5, color=INK, filled=False, opacity=1).encode(x=x, y=y),
        at.mark_point(size=50, color=INK, filled=True, opacity=1).encode(x=x, y=y),
        at.mark_text(fontWeight="bold", **side).encode(x=x, y=y, text="label:N"),
    ]


def pareto(
    rows: Rows,
    x_title: str,
    y_title: str,
    y_limit: float | None = None,
    y_limit_label: str = "target",
    x_limit: float | None = None,
    x_limit_label: str = "budget",
    y_log: bool = True,
    width: int = WIDE,
) -> Any:
    """Draw options by two costs, low being good on both, with the front of those that no other beats.

    Parameters
    ----------
    rows : rows with ``name``, ``x``, ``y``, ``gpu``; optional ``chosen``
        One option each; the chosen one's name is bold.
    x_title, y_title : str
        What is drawn, and its unit.
    y_limit, x_limit : float, optional
        Target and budget, drawn as dashed rules.
    y_limit_label, x_limit_label : str
        Their words.
    y_log : bool
        True for a logarithmic y axis.
    width : int
        Outer width on a wide screen.

    Returns
    -------
    altair chart
        The chart, with its narrow twin.

    Examples
    --------
    >>> plans = [("8 × H100", 14.6, 66.0, "H100"), ("16 × A100", 17.5, 150.0, "A100")]
    >>> rows = [dict(zip(("name", "x", "y", "gpu"), plan)) for plan in plans]
    >>> pareto(rows, "thousand USD a month", "ms a token").to_dict()["layer"][0]["mark"]["interpolate"]
    'step-after'
    """
    table = frame(rows, "name", "x", "y", "gpu")
    table["front"] = on_front(table["x"].to_numpy(float), table["y"].to_numpy(float))
    table["label"] = table["name"]
    table["strong"] = table["chosen"].eq(True) if "chosen" in table else False
    names = in_order(table["gpu"])
    colors, _, shapes = gpu_scales(names)
    x_values, y_values = [*table["x"], *([x_limit] if x_limit else [])], [*table["y"], *([y_limit] if y_limit else [])]
    x_low, x_high = 0.92 * min(x_values) - 0.02 * max(x_values), 1.08 * max(x_values)
    y_low, y_high = spread(y_values, 1.35) if y_log else (0.0, 1.15 * max(y_values))
    x = alt.X(
        "x:Q",
        title=x_title,
        scale=alt.Scale(domain=[x_low, x_high], nice=False, zero=False),
        axis=alt.Axis(tickCount=6, format=",~r"),
    )
    y: Any = alt.Y(
        "y:Q",
        title=y_title,
        scale=alt.Scale(domain=[y_low, y_high], nice=False),
        axis=alt.Axis(grid=True, tickCount=5, format=",~r"),
    )
    if y_log:
        y = log_axis(y_low, y_high, f"{y_title} (logarithmic)", alt.Y, "y", grid=True)

    def draw(outer: int) -> Any:
        tall = 340.0 if outer > 500 else 300.0
        plot, deep = outer - 60.0, tall - 64.0
        px = pixels(table["x"], x_low, x_high, plot)
        py = deep - pixels(table["y"], y_low, y_high, deep, log=y_log)
        steps = alt.Chart(data(table[table["front"]].sort_values("x"))).mark_line(
            interpolate="step-after", color=INK, strokeWidth=1.2, opacity=0.7
        )
        layers = [steps.encode(x=x, y=y)]
        for filled in (True, False):
            part = table[table["front"] == filled]
            if len(part):
                layers.append(
                    alt.Chart(data(part))
                    .mark_point(filled=filled, opacity=1)
                    .encode(
                        x=x,
                        y=y,
                        color=alt.Color("gpu:N", scale=colors, legend=None),
                        shape=alt.Shape("gpu:N", scale=shapes, legend=None),
                        tooltip=[
                            alt.Tooltip("name:N"),
                            alt.Tooltip("x:Q", title=x_title, format=",.3~r"),
                            alt.Tooltip("y:Q", title=y_title, format=",.3~r"),
                        ],
                    )
                )
        order = table[table["front"]].sort_values("x").index
        corners = [(float(px[i]), float(py[i])) for i in order]
        turns = [p for a, b in zip(corners, corners[1:], strict=False) for p in (a, (b[0], a[1]))] + corners[-1:]
        steps_at = along([p[0] for p in turns], [p[1] for p in turns])
        if y_limit is not None:
            level_at = float(deep - pixels([y_limit], y_low, y_high, deep, log=y_log)[0])
            steps_at += along([0.0, plot], [level_at, level_at])
        if x_limit is not None:
            steps_at += along([float(pixels([x_limit], x_low, x_high, plot)[0])] * 2, [0.0, deep])
        layers += words_at(table, x, y, plot, deep, px, py, steps_at)
        if y_limit is not None:
            level = [{"y": y_limit, "label": y_limit_label}]
            layers.append(alt.Chart(data(level)).mark_rule(strokeDash=[4, 3], strokeWidth=1).encode(y=y))
            layers.append(label(level, alt.value("width"), y, align="right", dy=-8))
        if x_limit is not None:
            upright = [{"x": x_limit, "label": x_limit_label}]
            layers.append(alt.Chart(data(upright)).mark_rule(strokeDash=[4, 3], strokeWidth=1).encode(x=x))
            layers.append(label(upright, x, alt.value(2), align="right", dx=-4, baseline="top"))
        return alt.layer(*layers).properties(height=tall)

    return responsive(draw, width, csv=table[["name", "gpu", "x", "y", "front"]])


def on_front(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return which options no other option beats on both costs.

    Parameters
    ----------
    x, y : ndarray, shape (n,)
        Two costs, low being good.

    Returns
    -------
    ndarray of bool, shape (n,)
        True on the front.

    Examples
    --------
    >>> on_front(np.array([1.0, 2.0, 3.0]), np.array([3.0, 1.0, 2.0])).tolist()
    [True, True, False]
    """
    better = (x[:, None] <= x) & (y[:, None] <= y) & ((x[:, None] < x) | (y[:, None] < y))
    return ~better.any(axis=0)


def tornado(rows: Rows, base: float, x_title: str, width: int = WIDE) -> Any:
    """Draw what moves a result most: one bar an input, from the result at its low value to that at its high one.

    Parameters
    ----------
    rows : rows with ``item``, ``low``, ``high``, ``low_label``, ``high_label``
        The result at the input's low and high value, and those values in words; sorted here, widest first.
    base : float
        The result as it stands.
    x_title : str
        The result, and its unit.
    width : int
        Outer width on a wide screen.

    Returns
    -------
    altair chart
        The chart, with its narrow twin.

    Examples
    --------
    >>> rows = [{"item": "users", "low": 7.2, "high": 21.9, "low_label": "150", "high_label": "450"}]
    >>> len(tornado(rows, 14.6, "thousand USD a month").to_dict()["layer"]) >= 3
    True
    """
    table = frame(rows, "item", "low", "high", "low_label", "high_label")
    table["_width"] = (table["high"] - table["low"]).abs()
    table = table.sort_values("_width", ascending=False, kind="stable")
    ends = [
        {"item": row.item, "result": getattr(row, end), "input": getattr(row, f"{end}_label"), "base": base, "end": end}
        for row in table.itertuples()
        for end in ("low", "high")
    ]
    values = [each["result"] for each in ends] + [base]
    reach = max(values) - min(values) or abs(base) or 1.0
    low, high = min(values) - 0.16 * reach, max(values) + 0.16 * reach
    moved = [each for each in ends if abs(each["result"] - base) > 0.004 * reach]

    def draw(outer: int) -> Any:
        x = alt.X(
            "result:Q",
            title=x_title,
            scale=alt.Scale(domain=[low, high], nice=False, zero=False),
            axis=alt.Axis(grid=True, tickCount=5, format=",~r"),
        )
        y = alt.Y(
            "item:N", sort=list(table["item"]), title=None, axis=alt.Axis(labelOpacity=1, labelLimit=int(outer * 0.36))
        )
        layers = []
        for end, shade in (("low", 0.22), ("high", 0.6)):
            part = [each for each in moved if each["end"] == end]
            if part:
                bars = alt.Chart(data(part)).mark_bar(
                    size=18, fill=INK, fillOpacity=shade, stroke=INK, strokeOpacity=0.5
                )
                layers.append(bars.encode(x=x, x2="base:Q", y=y))
        for right in (True, False):
            part = [each for each in moved if (each["result"] > base) == right]
            if part:
                side = {"align": "left", "dx": 5} if right else {"align": "right", "dx": -5}
                layers.append(label(part, x, y, "input", **side))
        layers.append(alt.Chart(data([{"result": base}])).mark_rule(strokeWidth=1.5).encode(x=x))
        return alt.layer(*layers).properties(height=32 * len(table) + 44)

    return responsive(draw, width)


def break_even(
    rows: Rows,
    x_title: str = "months",
    y_title: str = "thousand USD so far",
    meets: tuple[float, float, float] | None = None,
    width: int = WIDE,
) -> Any:
    """Draw what two plans have cost by each month, with their ranges and where they meet.

    Parameters
    ----------
    rows : rows with ``month``, ``cost``, ``plan``; optional ``low``, ``high``
        One row a month and plan.
    x_title, y_title : str
        What is drawn, and its unit.
    meets : tuple of float, optional
        Month at which the costs are equal, and the ends of its range.
    width : int
        Outer width on a wide screen.

    Returns
    -------
    altair chart
        The chart, with its narrow twin.

    Examples
    --------
    >>> points = [("rent", 0, 0), ("rent", 36, 530), ("buy", 0, 290), ("buy", 36, 450)]
    >>> rows = [{"month": month, "cost": cost, "plan": plan} for plan, month, cost in points]
    >>> break_even(rows, meets=(28, 21, 35)).usermeta["hopperbook"]["key"]
    []
    """
    table = frame(rows, "month", "cost", "plan")
    plans = list(dict.fromkeys(table["plan"]))
    dashes = alt.Scale(domain=plans, range=[[1, 0], [6, 4], [2, 3], [10, 3, 2, 3]][: len(plans)])
    last = float(table["month"].max())
    top = 1.06 * float(table[[c for c in ("cost", "high") if c in table]].to_numpy().max())
    step = next(step for step in (1, 2, 3, 6, 12, 24, 60, 120, 1200) if last / step <= 8)
    months = list(range(0, int(last) + 1, step))
    x = alt.X("month:Q", title=x_title, scale=alt.Scale(domain=[0, last], nice=False), axis=alt.Axis(values=months))
    y = alt.Y(
        "cost:Q",
        title=y_title,
        scale=alt.Scale(domain=[0, top], nice=False),
        axis=alt.Axis(grid=True, tickCount=5, format=",~r"),
    )
    named = (
        table.groupby("plan", sort=False)
        .apply(lambda part: part.iloc[len(part) // 4], include_groups=False)
        .reset_index()
    )

    def draw(outer: int) -> Any:
        base, layers = alt.Chart(data(table)), []
        if meets is not None and np.isfinite(meets[0]) and meets[0] <= last:
            window = [{"month": max(0.0, meets[1]), "_to": min(last, meets[2])}]
            layers.append(alt.Chart(data(window)).mark_rect(fill=INK, fillOpacity=0.07).encode(x=x, x2="_to:Q"))
        if "low" in table:
            detail = alt.Detail("plan:N")
            layers.append(
                base.mark_area(fill=INK, fillOpacity=0.13).encode(x=x, y=alt.Y("low:Q"), y2="high:Q", detail=detail)
            )
        layers.append(
            base.mark_line(color=INK).encode(x=x, y=y, strokeDash=alt.StrokeDash("plan:N", scale=dashes, legend=None))
        )
        layers.append(label(named, x, y, "plan", fontWeight="bold", dy=-14, align="center"))
        if meets is not None and np.isfinite(meets[0]) and meets[0] <= last:
            cost = float(
                np.interp(
                    meets[0], *table[table["plan"] == plans[0]][["month", "cost"]].sort_values("month").to_numpy().T
                )
            )
            words = f"even in month {meets[0]:.0f} (range {meets[1]:.0f} to {meets[2]:.0f})"
            at = [{"month": meets[0], "cost": cost, "label": words}]
            layers.append(alt.Chart(data(at)).mark_point(filled=True, color=INK, opacity=1, size=80).encode(x=x, y=y))
            layers.append(label(at, x, alt.value(6), align="right" if meets[0] > last / 2 else "left", dx=4))
        return alt.layer(*layers).properties(height=320 if outer > 500 else 280)

    return responsive(draw, width)
