"""Charts of choice: which options are not dominated, what matters most, when buying pays."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import altair as alt
import numpy as np

from hopperbook import units
from hopperbook.charts.base import (
    INK,
    WIDE,
    Rows,
    Spec,
    data,
    frame,
    in_money,
    label,
    log_axis,
    responsive,
    spread,
    stack,
)
from hopperbook.charts.places import along, pixels, text_width
from hopperbook.charts.speed import gpu_scales, in_order, words_at


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
) -> Spec:
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
    Spec
        The chart, with its narrow twin.

    Examples
    --------
    >>> plans = [("8 × H100", 14.6, 66.0, "H100"), ("16 × A100", 17.5, 150.0, "A100")]
    >>> rows = [dict(zip(("name", "x", "y", "gpu"), plan)) for plan in plans]
    >>> pareto(rows, "thousand USD a month", "ms a token")["layer"][0]["mark"]["interpolate"]
    'step-after'
    """
    table = frame(rows, "name", "x", "y", "gpu")
    x_limit = units.in_currency(x_limit) if x_limit and "USD" in x_title else x_limit
    x_title = in_money(table, x_title, "x")
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
        return stack(layers, tall)

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
    return np.logical_not(np.any(better, axis=0))


def tornado(rows: Rows, base: float, x_title: str, width: int = WIDE) -> Spec:
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
    Spec
        The chart, with its narrow twin.

    Examples
    --------
    >>> rows = [{"item": "users", "low": 7.2, "high": 21.9, "low_label": "150", "high_label": "450"}]
    >>> len(tornado(rows, 14.6, "thousand USD a month")["layer"]) >= 3
    True
    """
    table = frame(rows, "item", "low", "high", "low_label", "high_label")
    base = units.in_currency(base) if "USD" in x_title else base
    x_title = in_money(table, x_title, "low", "high")
    table["_width"] = (table["high"] - table["low"]).abs()
    table = table.sort_values("_width", ascending=False, kind="stable")
    ends = [
        {"item": row.item, "result": getattr(row, end), "input": getattr(row, f"{end}_label"), "base": base, "end": end}
        for row in table.itertuples()
        for end in ("low", "high")
    ]
    values = [each["result"] for each in ends] + [base]
    reach = max(values) - min(values) or abs(base) or 1.0
    moved = [each for each in ends if abs(each["result"] - base) > 0.004 * reach]
    beside = max(text_width(str(each["input"])) for each in ends) + 12

    def draw(outer: int) -> Any:
        room = int(outer * 0.36)  # for the names of the inputs, at the most
        plot = outer - 24 - min(room, max(map(text_width, table["item"])))
        margin = max(0.16, beside / max(plot - 2 * beside, plot / 4)) * reach
        low, high = min(values) - margin, max(values) + margin
        x = alt.X(
            "result:Q",
            title=x_title,
            scale=alt.Scale(domain=[low, high], nice=False, zero=False),
            axis=alt.Axis(grid=True, tickCount=5, format=",~r"),
        )
        axis = alt.Axis(labelOpacity=1, labelLimit=room, **_in_two_lines(table["item"], room))
        y = alt.Y("item:N", sort=list(table["item"]), title=None, axis=axis)
        layers = []
        for end, shade in (("low", 0.22), ("high", 0.6)):
            part = [each for each in moved if each["end"] == end]
            if part:
                bars = alt.Chart(data(part)).mark_bar(
                    size=18, fill=INK, fillOpacity=shade, stroke=INK, strokeOpacity=0.5
                )
                layers.append(bars.encode(x=x, x2=alt.X2("base:Q"), y=y))
        for right in (True, False):
            part = [each for each in moved if (each["result"] > base) == right]
            if part:
                side = {"align": "left", "dx": 5} if right else {"align": "right", "dx": -5}
                layers.append(label(part, x, y, "input", **side))
        layers.append(alt.Chart(data([{"result": base}])).mark_rule(strokeWidth=1.5).encode(x=x))
        return stack(layers, 32 * len(table) + 44)

    return responsive(draw, width)


def _in_two_lines(names: Iterable[str], room: float) -> dict[str, Any]:
    """Return what an axis needs to break names that are too wide about the middle, in whatever language they are."""
    fits = int(room / text_width("x"))
    longest = max(map(len, names))
    if longest <= fits:
        return {}
    cut = f"/^(.{{{max(longest // 2 - 3, 1)},}}?) (?!%)/"
    broken = f"split(replace(datum.label, {cut}, '$1\\n'), '\\n')"
    two = f"length(datum.label) > {fits}"
    above = {"condition": {"test": two, "value": "bottom"}, "value": "middle"}
    return {"labelExpr": f"{two} ? {broken} : datum.label", "labelBaseline": above}


def break_even(
    rows: Rows,
    x_title: str = "months",
    y_title: str = "thousand USD so far",
    meets: tuple[float, float, float] | None = None,
    width: int = WIDE,
) -> Spec:
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
    Spec
        The chart, with its narrow twin.

    Examples
    --------
    >>> points = [("rent", 0, 0), ("rent", 36, 530), ("buy", 0, 290), ("buy", 36, 450)]
    >>> rows = [{"month": month, "cost": cost, "plan": plan} for plan, month, cost in points]
    >>> break_even(rows, meets=(28, 21, 35))["usermeta"]["hopperbook"]["key"]
    []
    """
    table = frame(rows, "month", "cost", "plan")
    y_title = in_money(table, y_title, "cost", "low", "high")
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
    named = table.groupby("plan", sort=False).last().reset_index()  # at the end, where the lines are furthest apart

    def draw(outer: int) -> Any:
        base, layers = alt.Chart(data(table)), []
        if meets is not None and np.isfinite(meets[0]) and meets[0] <= last:
            window = [{"month": max(0.0, meets[1]), "_to": min(last, meets[2])}]
            layers.append(alt.Chart(data(window)).mark_rect(fill=INK, fillOpacity=0.07).encode(x=x, x2=alt.X2("_to:Q")))
        if "low" in table:
            detail = alt.Detail("plan:N")
            layers.append(
                base.mark_area(fill=INK, fillOpacity=0.13).encode(
                    x=x, y=alt.Y("low:Q"), y2=alt.Y2("high:Q"), detail=detail
                )
            )
        layers.append(
            base.mark_line(color=INK).encode(x=x, y=y, strokeDash=alt.StrokeDash("plan:N", scale=dashes, legend=None))
        )
        layers.append(label(named, x, y, "plan", fontWeight="bold", dx=-4, dy=-12, align="right"))
        if meets is not None and np.isfinite(meets[0]) and meets[0] <= last:
            cost = float(
                np.interp(
                    meets[0], *table[table["plan"] == plans[0]][["month", "cost"]].sort_values("month").to_numpy().T
                )
            )
            words = f"even in month {units.fixed(meets[0])} (range {units.fixed(meets[1])} to {units.fixed(meets[2])})"
            at = [{"month": meets[0], "cost": cost, "label": words}]
            layers.append(alt.Chart(data(at)).mark_point(filled=True, color=INK, opacity=1, size=80).encode(x=x, y=y))
            layers.append(label(at, x, alt.value(6), align="right" if meets[0] > last / 2 else "left", dx=4))
        return stack(layers, 320 if outer > 500 else 280)

    return responsive(draw, width)
