"""Plain charts: lines and bars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd

from hopperbook import facts, units
from hopperbook.charts.base import (
    INK,
    OTHER_STYLE,
    WIDE,
    Mark,
    Rows,
    Spec,
    data,
    frame,
    gpu_style,
    in_money,
    label,
    log_axis,
    responsive,
    spread,
    stack,
)
from hopperbook.charts.places import along, apart, clear, pixels, text_width


def bars(
    rows: Rows,
    x_title: str = "",
    limit: float | None = None,
    limit_label: str = "limit",
    fmt: Any = None,
    width: int = WIDE,
) -> Spec:
    """Draw horizontal bars, one an item, the number at each bar's end.

    Parameters
    ----------
    rows : rows with ``item``, ``value``; optional ``low``, ``high`` and ``gpu``
        One bar each, in this order; a bar with ``gpu`` has its colour, or the colour of a GPU named in ``item``.
    x_title : str
        What is drawn, and its unit.
    limit : float, optional
        A target, drawn as a dashed rule.
    limit_label : str
        Its words.
    fmt : callable, optional
        Formatter for the numbers at the bars; two significant digits by default.
    width : int
        Outer width on a wide screen.

    Returns
    -------
    Spec
        The chart, with its narrow twin.

    Examples
    --------
    >>> bars([{"item": "H100 SXM", "value": 3.35}], x_title="TB/s")["layer"][0]["mark"]["type"]
    'bar'
    """
    table = frame(rows, "item", "value")
    fmt = fmt or units.number
    names = table["gpu"] if "gpu" in table else table["item"]
    table["_color"] = [gpu_style(str(name)).color for name in names]
    table["_label"] = [f"{fmt(value)}" for value in table["value"]]
    table["_end"] = table[["value", "high"]].max(axis=1) if "high" in table else table["value"]
    most, words = max(float(table["_end"].max()), limit or 0.0), max(map(text_width, table["_label"])) + 8
    beside = max(map(text_width, table["item"].astype(str)))

    def draw(outer: int) -> Any:
        small = outer < 500
        room = words / (outer - min(beside, outer // 3) - 24)  # of the plot, which the longest bar's number takes
        top = units.stored(most * max(1.12, 1 / (1 - room))) or 1.0
        x = alt.X(
            "value:Q",
            title=x_title,
            scale=alt.Scale(domain=[0, top], nice=False),
            axis=alt.Axis(grid=True, tickCount=5),
        )
        y = alt.Y("item:N", sort=None, title=None, axis=alt.Axis(labelLimit=outer // 3, domain=True))
        base = alt.Chart(data(table))
        layers = [base.mark_bar(size=20, fillOpacity=0.85).encode(x=x, y=y, color=alt.Color("_color:N", scale=None))]
        if "low" in table:
            layers.append(base.mark_rule(strokeWidth=2, color=INK).encode(x=alt.X("low:Q"), x2=alt.X2("high:Q"), y=y))
        layers.append(base.mark_text(align="left", dx=6).encode(x=alt.X("_end:Q"), y=y, text=alt.Text("_label:N")))
        if limit is not None:
            rule = [{"value": limit, "label": f"{limit_label} {fmt(limit)}"}]
            layers.append(alt.Chart(data(rule)).mark_rule(strokeDash=[4, 3]).encode(x=alt.X("value:Q")))
            layers.append(
                label(rule, alt.X("value:Q"), alt.value(-6), align="right" if small else "center", baseline="bottom")
            )
        return stack(layers, 34 * len(table) + 44)

    return responsive(draw, width)


def lines(
    rows: Rows,
    x_title: str = "",
    y_title: str = "",
    x_log: bool = False,
    y_log: bool = False,
    limit: float | None = None,
    limit_label: str = "target",
    points: bool = False,
    x_ticks: Sequence[float] = (),
    height: int = 300,
    width: int = WIDE,
) -> Spec:
    """Draw lines, one a series, each with its name at its end.

    Parameters
    ----------
    rows : rows with ``x``, ``y``, ``series``; optional ``low`` and ``high``
        A series named after a GPU has its colour, dash and shape; others are ink. ``low`` and ``high`` add a band.
    x_title, y_title : str
        What is drawn, and its unit.
    x_log, y_log : bool
        True for a logarithmic axis.
    limit : float, optional
        A level on the y axis, drawn as a dashed rule.
    limit_label : str
        Its words.
    points : bool
        True to mark every row.
    x_ticks : sequence of float
        Where the x axis has its ticks; by default it chooses.
    height : int
        Height on a wide screen.
    width : int
        Outer width on a wide screen.

    Returns
    -------
    Spec
        The chart, with its narrow twin.

    Examples
    --------
    >>> rows = [{"x": 1, "y": 10, "series": "H100"}, {"x": 2, "y": 18, "series": "H100"}]
    >>> len(lines(rows, "users", "tokens/s")["layer"])
    2
    """
    table = frame(rows, "x", "y", "series")
    y_title = in_money(table, y_title, "y", "low", "high")
    names = list(dict.fromkeys(table["series"]))
    styles = _series_styles(names)
    ends = table.sort_values("x", kind="stable").groupby("series", sort=False).tail(1).reset_index(drop=True)
    marks = alt.Scale(domain=names, range=[styles[name].color for name in names])
    dashes = alt.Scale(domain=names, range=[list(styles[name].dash) for name in names])
    shapes = alt.Scale(domain=names, range=[styles[name].shape for name in names])

    def draw(outer: int) -> Any:
        room = max(text_width(str(name)) for name in names) + 12
        tall = height if outer > 500 else min(height, 260)
        x_channel, y_channel, x_ends, y_ends = _axes(
            table, (x_title, y_title), (x_log, y_log), limit, room / (outer - 60 - room), x_ticks
        )
        base = alt.Chart(data(table))
        color = alt.Color("series:N", scale=marks, legend=None)
        layers = []
        if "low" in table:
            band = base.mark_area(fillOpacity=0.2).encode(
                x=x_channel, y=alt.Y("low:Q"), y2=alt.Y2("high:Q"), color=color
            )
            layers.append(band)
        dash = alt.StrokeDash("series:N", scale=dashes, legend=None)
        layers.append(base.mark_line().encode(x=x_channel, y=y_channel, color=color, strokeDash=dash))
        if points:
            shape = alt.Shape("series:N", scale=shapes, legend=None)
            layers.append(
                base.mark_point(filled=True, opacity=1).encode(x=x_channel, y=y_channel, color=color, shape=shape)
            )
        deep = tall - 60.0
        at = deep - pixels(ends["y"], *y_ends, deep, log=y_log)
        for place, moved in enumerate(apart(at, 14.0, deep - 8.0)):
            beside: Mark = {"align": "left", "dx": 8, "dy": round(moved - float(at[place]), 1), "fontWeight": "bold"}
            layers.append(label(ends.iloc[[place]], x_channel, y_channel, "series", **beside))
        if limit is not None:
            rule, long = [{"y": limit, "label": limit_label}], outer - 60.0
            drawn = [
                along(pixels(one["x"], *x_ends, long, log=x_log), deep - pixels(one["y"], *y_ends, deep, log=y_log))
                for _, one in table.dropna(subset=["x", "y"]).groupby("series", sort=False)
            ]
            level = deep - float(pixels([limit], *y_ends, deep, log=y_log)[0])
            left, dy = clear(limit_label, level, long - room, [point for points in drawn for point in points])
            layers.append(alt.Chart(data(rule)).mark_rule(strokeDash=[4, 3]).encode(y=y_channel))
            layers.append(label(rule, alt.value(left), y_channel, align="left", dy=dy))
        return stack(layers, tall)

    return responsive(draw, width)


def _series_styles(names: Sequence[str]) -> dict[str, Any]:
    """Return a style for each series: the GPU's own, else ink with a dash that tells it apart."""
    dashes, shapes = [(1, 0), (6, 4), (2, 3), (10, 3, 2, 3)], ["circle", "square", "triangle-up", "diamond"]
    styles, used, others = {}, set(), 0
    for name in names:
        style = gpu_style(str(name))
        if style is OTHER_STYLE or style in used:
            style = facts.Style(style.color, dashes[others % 4], shapes[others % 4])
            others += 1
        styles[name] = style
        used.add(style)
    return styles


def _axes(
    table: pd.DataFrame, titles: tuple[str, str], logs: tuple[bool, bool], limit: float | None, room: float,
    x_ticks: Sequence[float],
) -> tuple[Any, Any, tuple[float, float], tuple[float, float]]:  # fmt: skip
    """Return the two position channels of a line chart, with room on the right for names, and the ends of x and y."""
    columns = [column for column in ("y", "low", "high") if column in table]
    heights = [float(v) for v in table[columns].to_numpy().ravel() if pd.notna(v)] + ([] if limit is None else [limit])
    low, high = float(table["x"].min()), float(table["x"].max())
    far = units.stored(high * (high / low) ** room if logs[0] else high + room * (high - low))
    if logs[0]:
        x = log_axis(low, far, titles[0], alt.X, "x")
    else:
        scale = alt.Scale(domain=[low, far], nice=False, zero=False)
        ticks = {"values": list(x_ticks)} if len(x_ticks) else {"tickCount": 6}
        x = alt.X("x:Q", title=titles[0], scale=scale, axis=alt.Axis(format=",~r", **ticks))
    if logs[1]:
        ends = spread(heights)
        return x, log_axis(*ends, titles[1], alt.Y, "y", grid=True), (low, far), ends
    ends = min(0.0, *heights), units.stored(1.05 * max(heights))
    scale = alt.Scale(domain=list(ends), nice=False)
    return (
        x,
        alt.Y("y:Q", title=titles[1], scale=scale, axis=alt.Axis(grid=True, tickCount=5, format=",~r")),
        (low, far),
        ends,
    )


def histogram(
    rows: Rows,
    x_title: str,
    y_title: str = "per cent of values",
    mark: float | None = None,
    mark_label: str = "",
    width: int = WIDE,
) -> Spec:
    """Draw a histogram, with a marked value.

    Parameters
    ----------
    rows : rows with ``x``, ``x2``, ``percent``
        Bins.
    x_title, y_title : str
        What is drawn, and its unit.
    mark : float, optional
        A value worth a rule.
    mark_label : str
        Its words.
    width : int
        Outer width on a wide screen.

    Returns
    -------
    Spec
        The chart, with its narrow twin.

    Examples
    --------
    >>> chart = histogram([{"x": 0, "x2": 1, "percent": 100.0}], "s", mark=0.5, mark_label="median")
    >>> chart["usermeta"]["hopperbook"]["key"]
    []
    """
    table = frame(rows, "x", "x2", "percent")
    ends = [float(table["x"].min()), float(table["x2"].max())]

    def draw(outer: int) -> Any:
        x = alt.X(
            "x:Q",
            title=x_title,
            scale=alt.Scale(domain=ends, nice=False, zero=False),
            axis=alt.Axis(tickCount=6, format=",~r"),
        )
        y = alt.Y("percent:Q", title=y_title, scale=alt.Scale(zero=True), axis=alt.Axis(grid=True, tickCount=4))
        shape = alt.Chart(data(table)).mark_rect(
            fill=INK, fillOpacity=0.25, stroke=INK, strokeOpacity=0.4, strokeWidth=1
        )
        layers = [shape.encode(x=x, x2=alt.X2("x2:Q"), y=y, y2=alt.Y2Datum(0))]
        if mark is not None:
            at = [{"x": mark, "label": mark_label}]
            layers.append(alt.Chart(data(at)).mark_rule(strokeWidth=2).encode(x=x))
            layers.append(label(at, x, alt.value(6), align="left", dx=6))
        return stack(layers, 260 if outer > 500 else 230)

    return responsive(draw, width)
