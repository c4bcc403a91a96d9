"""Charts of memory: what fills it, what fits where, and how a card is cut."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np

from hopperbook import units
from hopperbook.charts.base import (
    INK,
    PARTS,
    WIDE,
    Mark,
    Rows,
    Spec,
    data,
    frame,
    gpu_style,
    label,
    responsive,
    stack,
)
from hopperbook.charts.places import broken, text_width
from hopperbook.errors import InputError

ON_BAR = "#111111"


def memory_stack(rows: Rows, x_title: str = "GiB", width: int = WIDE) -> Spec:
    """Draw what fills the memory of each option, with a tick at its capacity and the verdict in words.

    Parameters
    ----------
    rows : rows with ``item``, ``part``, ``gib``, ``capacity_gib``
        One row a part of an option, in the order to be stacked. Parts named ``weights``, ``KV cache``, ``activations``,
        ``runtime``, ``gradients`` and ``optimizer`` have their colours; others are ink.
    x_title : str
        The unit.
    width : int
        Outer width on a wide screen.

    Returns
    -------
    Spec
        The chart, with its narrow twin.

    Examples
    --------
    >>> rows = [{"item": "2 × H100", "part": "weights", "gib": 68.0, "capacity_gib": 159.0}]
    >>> memory_stack(rows)["usermeta"]["hopperbook"]["key"]
    ['weights', 'capacity']
    """
    table = frame(rows, "item", "part", "gib", "capacity_gib")
    table["_end"] = table.groupby("item", sort=False)["gib"].cumsum()
    table["_start"] = table["_end"] - table["gib"]
    table["_color"] = [PARTS.get(str(part), INK) for part in table["part"]]
    parts = list(dict.fromkeys(table["part"]))
    totals = (
        table.groupby("item", sort=False).agg(_end=("_end", "max"), capacity=("capacity_gib", "first")).reset_index()
    )
    totals["_free"] = totals["capacity"] - totals["_end"]
    totals["_word"] = np.where(totals["_free"] < 0, "does not fit", "fits")
    totals["_much"] = [
        f"{units.number(abs(free), 3 if abs(free) >= 100 else 2)} GiB {'too much' if free < 0 else 'free'}"
        for free in totals["_free"]
    ]
    totals["_at"] = np.maximum(totals["_end"], totals["capacity"])
    top = float(totals["_at"].max())

    def draw(outer: int) -> Any:
        small = outer < 500
        end = top * (1.06 if small else 1.26)
        x = alt.X(
            "_start:Q",
            title=x_title,
            scale=alt.Scale(domain=[0, end], nice=False),
            axis=alt.Axis(grid=True, tickCount=5),
        )
        axis = None if small else alt.Axis(labelLimit=200, domain=True, labelOpacity=1)
        y = alt.Y("item:N", sort=None, title=None, axis=axis)
        base, total = alt.Chart(data(table)), alt.Chart(data(totals))
        inside = table[table["gib"] > end * (0.07 if small else 0.035)].assign(
            _label=lambda part: [units.number(value, 3 if value >= 100 else 2) for value in part["gib"]]
        )
        layers = [
            base.mark_bar(size=20, stroke="transparent").encode(
                x=x, x2=alt.X2("_end:Q"), y=y, color=alt.Color("_color:N", scale=None)
            ),
            alt.Chart(data(inside))
            .mark_text(align="left", dx=5, color=ON_BAR)
            .encode(x=x, y=y, text=alt.Text("_label:N")),
            total.mark_tick(thickness=3, size=24 if small else 38, opacity=0.75, color=INK).encode(
                x=alt.X("capacity:Q"), y=y
            ),
        ]
        if small:
            both = totals.assign(_both=totals["_word"] + ", " + totals["_much"])
            left: Mark = {"align": "left", "dy": -20, "fontWeight": "bold"}
            layers.append(
                alt.Chart(data(totals)).mark_text(**left).encode(x=alt.value(0), y=y, text=alt.Text("item:N"))
            )
            layers.append(
                alt.Chart(data(both))
                .mark_text(align="right", dy=-20)
                .encode(x=alt.value("width"), y=y, text=alt.Text("_both:N"))
            )
        else:
            bold: Mark = {"align": "left", "dx": 8, "dy": -7, "fontWeight": "bold"}
            layers.append(total.mark_text(**bold).encode(x=alt.X("_at:Q"), y=y, text=alt.Text("_word:N")))
            layers.append(
                total.mark_text(align="left", dx=8, dy=8, opacity=0.78).encode(
                    x=alt.X("_at:Q"), y=y, text=alt.Text("_much:N")
                )
            )
        return stack(layers, (56 if small else 52) * len(totals) + 40)

    return responsive(draw, width, [*parts, "capacity"])


def fit_map(
    rows: Rows,
    x_title: str,
    y_title: str,
    gpu: str = "H100",
    here: tuple[float, float] | None = None,
    tight: float = 0.90,
    full: float = 0.95,
    width: int = WIDE,
) -> Spec:
    """Draw what fits where: a cell for each pair, with the word and the per cent of memory in use.

    Parameters
    ----------
    rows : rows with ``x``, ``y``, ``share``
        Share of memory in use at each pair, 0.37 for 37 %.
    x_title, y_title : str
        What is drawn, and its unit.
    gpu : str
        Whose colour the cells that fit have.
    here : tuple of float, optional
        ``(x, y)`` of the reader's load: a heavy frame.
    tight, full : float
        Share from which a cell is tight, and from which it does not fit.
    width : int
        Outer width on a wide screen.

    Returns
    -------
    Spec
        The chart, with its narrow twin of at most five columns.

    Examples
    --------
    >>> chart = fit_map([{"x": 50, "y": 2048, "share": 0.31}], "users at once", "tokens in context")
    >>> chart["layer"][0]["mark"]["type"]
    'rect'
    """
    table = frame(rows, "x", "y", "share")
    table["word"] = np.select([table["share"] > full, table["share"] > tight], ["no", "tight"], "fits")
    table["_percent"] = [
        units.percent(value, 2) if value < 10 else f"{units.number(value)} times" for value in table["share"]
    ]
    table["_x"], table["_y"] = table["x"].map(units.tokens), table["y"].map(units.tokens)
    color = gpu_style(gpu).color
    table["_color"] = np.where(table["word"] == "no", INK, color)
    table["_tint"] = table["word"].map({"fits": 0.2, "tight": 0.08, "no": 0.04})
    columns, lanes = sorted(table["x"].unique()), sorted(table["y"].unique(), reverse=True)

    def draw(outer: int) -> Any:
        kept = _nearest(columns, here[0] if here else None, 5) if outer < 500 else columns
        part = table[table["x"].isin(kept)]
        x_sort, y_sort = [units.tokens(value) for value in kept], [units.tokens(value) for value in lanes]
        pad: Mark = {"paddingInner": 0.03, "paddingOuter": 0.0}
        x = alt.X(
            "_x:N",
            sort=x_sort,
            title=x_title,
            scale=alt.Scale(**pad),
            axis=alt.Axis(domain=False, ticks=False, labelAngle=0),
        )
        y = alt.Y("_y:N", sort=y_sort, title=y_title, scale=alt.Scale(**pad))
        base = alt.Chart(data(part))
        layers = [
            base.mark_rect().encode(
                x=x, y=y, fill=alt.Fill("_color:N", scale=None), fillOpacity=alt.FillOpacity("_tint:Q", scale=None)
            ),
            base.mark_text(dy=-8, fontWeight="bold").encode(x=x, y=y, text=alt.Text("word:N")),
            base.mark_text(dy=8, opacity=0.85).encode(x=x, y=y, text=alt.Text("_percent:N")),
        ]
        dashed = part[part["word"] == "tight"]
        if len(dashed):
            edge: Mark = {"fillOpacity": 0, "stroke": color, "strokeWidth": 1.5, "strokeDash": [4, 3]}
            layers.append(alt.Chart(data(dashed)).mark_rect(**edge).encode(x=x, y=y))
        mine = part[(part["x"] == here[0]) & (part["y"] == here[1])] if here else part.iloc[:0]
        if len(mine):
            layers.append(alt.Chart(data(mine)).mark_rect(fillOpacity=0, stroke=INK, strokeWidth=2.5).encode(x=x, y=y))
        return stack(layers, 50 * len(lanes) + 56)

    return responsive(draw, width)


def _nearest(values: Sequence[float], here: float | None, count: int) -> list[float]:
    """Return the run of values, at most so many, around the reader's own."""
    if len(values) <= count:
        return list(values)
    at = min(range(len(values)), key=lambda place: abs(values[place] - (values[0] if here is None else here)))
    start = min(max(0, at - count // 2), len(values) - count)
    return list(values[start : start + count])


def mig_placement(rows: Rows, x_title: str = "memory slices", slices: int = 8, width: int = WIDE) -> Spec:
    """Draw how cards are cut into MIG instances and what runs on each.

    Parameters
    ----------
    rows : rows with ``card``, ``start``, ``slices``, ``label``; optional ``detail``, ``gpu``
        One instance each: first memory slice, number of slices, its profile, its service. An empty label is free space.
    x_title : str
        What a slice is: ``memory slices of 10 GB``.
    slices : int
        Memory slices of a card.
    width : int
        Outer width on a wide screen.

    Returns
    -------
    Spec
        The chart, with its narrow twin.

    Raises
    ------
    InputError
        If an instance leaves its card.

    Examples
    --------
    >>> rows = [{"card": "H100 a", "start": 0, "slices": 4, "label": "3g.40gb", "detail": "chat 8B"}]
    >>> mig_placement(rows)["usermeta"]["hopperbook"]["key"]
    []
    """
    table = frame(rows, "card", "start", "slices", "label")
    table["_end"] = table["start"] + table["slices"]
    if (table["_end"] > slices).any() or (table["start"] < 0).any():
        raise InputError("slices", int(table["_end"].max()), f"instances within the {slices} slices of a card")
    if "detail" not in table:
        table["detail"] = ""
    table["_middle"] = (table["start"] + table["_end"]) / 2
    table["_color"] = [gpu_style(str(name)).color for name in (table["gpu"] if "gpu" in table else table["card"])]
    used = table["label"].astype(str) != ""

    def draw(outer: int) -> Any:
        x = alt.X(
            "start:Q",
            title=x_title,
            scale=alt.Scale(domain=[0, slices], nice=False),
            axis=alt.Axis(tickCount=slices, domain=False),
        )
        y = alt.Y("card:N", sort=None, title=None, axis=alt.Axis(labelOpacity=1, labelLimit=110))
        layers = []
        if used.any():
            cut = alt.Chart(data(table[used])).mark_bar(height={"band": 0.72}, fillOpacity=0.2, strokeWidth=1.5)
            colors = {"fill": alt.Fill("_color:N", scale=None), "stroke": alt.Stroke("_color:N", scale=None)}
            layers.append(cut.encode(x=x, x2=alt.X2("_end:Q"), y=y, **colors))
        if not used.all():
            free = alt.Chart(data(table[~used])).mark_bar(
                height={"band": 0.72}, fillOpacity=0, stroke=INK, strokeDash=[4, 3]
            )
            layers.append(free.encode(x=x, x2=alt.X2("_end:Q"), y=y))
        named = _within(table, (outer - 150.0) / slices)
        both = used & (named["detail"] != "")
        two: Mark = {"lineBreak": "\n", "lineHeight": 13}
        for part, field, mark in (
            (named[both], "label", {"dy": -8, "fontWeight": "bold"}),
            (named[both], "detail", {"dy": 8} | two),
            (named[used & ~both], "label", {"fontWeight": "bold"}),
            (named[~used], "detail", two),
        ):
            if len(part):
                layers.append(label(part, alt.X("_middle:Q"), y, field, **mark))
        deep = 80 if named["detail"].str.contains("\n").any() else 62
        return stack(layers, deep * table["card"].nunique() + 40)

    return responsive(draw, width)


def _within(table: Any, slice_px: float) -> Any:
    """Break what runs on each instance to the width of its box, and leave it to the table where it is wider still."""
    room = table["slices"] * slice_px - 6
    words = [broken(str(detail), wide) for detail, wide in zip(table["detail"], room, strict=True)]
    kept = [max(map(text_width, each.split("\n"))) <= wide for each, wide in zip(words, room, strict=True)]
    return table.assign(detail=[each if keep else "" for each, keep in zip(words, kept, strict=True)])
