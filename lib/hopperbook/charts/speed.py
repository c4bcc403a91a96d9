"""Charts of speed: bound by compute or bandwidth, where a step goes, predicted beside measured."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from hopperbook import units
from hopperbook.charts.base import (
    INK,
    WIDE,
    Mark,
    Rows,
    Spec,
    data,
    frame,
    gpu_style,
    gpu_styles,
    label,
    log_axis,
    responsive,
    spread,
    stack,
)
from hopperbook.charts.places import SIDES, along, pixels, sides, text_width

#: What may tell one published run from another, in words, the most telling first.
TOLD = {
    "lot": "group",
    "label": "run",
    "model": "model",
    "gpu": "GPU",
    "collective": "exchange",
    "concurrency": "users at once",
    "engine": "engine",
    "framework": "framework",
    "gpus": "GPUs",
    "precision": "format",
    "task": "task",
    "mode": "recomputed",
    "size_bytes": "message, bytes",
    "nodes": "servers",
    "input_tokens": "prompt, tokens",
    "seq_len": "sequence, tokens",
    "micro_batch": "micro-batch",
}
#: Further columns of a run that its chart and its CSV keep.
KEPT = ("gpu", "measured", "predicted", "low", "high", "error", "source", "lot", "beyond_aim", "label")


def words_at(
    table: pd.DataFrame,
    x: Any,
    y: Any,
    width: float,
    height: float,
    px: Any,
    py: Any,
    avoid: Sequence[tuple[float, float]] = (),
) -> list[Any]:
    """Return layers of words beside points, each on a side where it is free.

    Parameters
    ----------
    table : DataFrame
        Points with the column ``label``; rows whose ``strong`` is true are bold.
    x, y : alt.X, alt.Y
        Position channels.
    width, height : float
        Size of the plot in pixels.
    px, py : array
        The points in pixels from the top left.
    avoid : sequence of tuple
        Further points that words should not cover.

    Returns
    -------
    list of altair.Chart
        One layer for each side and weight.
    """
    texts = table["label"].astype(str)
    bold = table["strong"].eq(True) if "strong" in table else [False] * len(table)
    groups: dict[tuple[str, bool], list[dict[str, Any]]] = {}
    chosen = sides(px, py, texts, width, height, avoid)
    for row, side, strong, text in zip(table.to_dict("records"), chosen, bold, texts, strict=True):
        if text:
            groups.setdefault((side, bool(strong)), []).append({str(key): value for key, value in row.items()})
    return [
        label(rows, x, y, fontWeight="bold" if strong else "normal", **SIDES[side])
        for (side, strong), rows in sorted(groups.items())
    ]


def gpu_scales(names: Sequence[str]) -> tuple[alt.Scale, alt.Scale, alt.Scale]:
    """Return the scales of colour, dash and shape for GPUs.

    Parameters
    ----------
    names : sequence of str
        GPUs in their order.

    Returns
    -------
    tuple of altair.Scale
        Colour, dash, shape.
    """
    styles = [gpu_style(name) for name in names]
    return (
        alt.Scale(domain=list(names), range=[style.color for style in styles]),
        alt.Scale(domain=list(names), range=[list(style.dash) for style in styles]),
        alt.Scale(domain=list(names), range=[style.shape for style in styles]),
    )


def in_order(names: Iterable[str]) -> list[str]:
    """Return GPUs once each, A100 before H100 before H200 before others.

    Parameters
    ----------
    names : iterable of str
        Names, repeated or not.

    Returns
    -------
    list of str
        The names in the book's order.

    Examples
    --------
    >>> in_order(["H200 SXM", "A100 SXM", "H200 SXM"])
    ['A100 SXM', 'H200 SXM']
    """
    known = list(gpu_styles().values())
    place = {name: known.index(gpu_style(name)) if gpu_style(name) in known else len(known) for name in names}
    return sorted(dict.fromkeys(map(str, names)), key=lambda name: (place[name], name))


def roofline(
    gpus: Rows,
    points: Rows = (),
    y_title: str = "TFLOP/s, dense",
    x_title: str = "FLOP per byte moved",
    width: int = WIDE,
) -> Any:
    """Draw the roofline of GPUs and where a workload's parts lie on it.

    Parameters
    ----------
    gpus : rows with ``gpu``, ``peak_tflop_per_s``, ``bandwidth_tb_per_s``
        One roof each.
    points : rows with ``label``, ``intensity``, ``tflop_per_s``; optional ``gpu``
        FLOP per byte and reached rate of each part; ink where no GPU is named.
    y_title, x_title : str
        Titles; say the format and dense or sparse.
    width : int
        Outer width on a wide screen.

    Returns
    -------
    Spec
        The chart, with its narrow twin.

    Examples
    --------
    >>> chart = roofline([{"gpu": "H100 SXM", "peak_tflop_per_s": 989, "bandwidth_tb_per_s": 3.35}])
    >>> chart["usermeta"]["hopperbook"]["key"]
    []
    """
    table = frame(gpus, "gpu", "peak_tflop_per_s", "bandwidth_tb_per_s")
    dots = pd.DataFrame(points)
    table["_ridge"] = table["peak_tflop_per_s"] / table["bandwidth_tb_per_s"]
    given = list(dots["intensity"]) if len(dots) else []
    low = 10.0 ** np.floor(np.log10(min([1.0, *given])))
    high = 10.0 ** np.ceil(np.log10(max([*(8 * table["_ridge"]), *(1.3 * value for value in given)])))
    roofs = [
        {"gpu": row.gpu, "intensity": x, "tflop_per_s": min(row.peak_tflop_per_s, x * row.bandwidth_tb_per_s)}
        for row in table.itertuples()
        for x in (low, row._4, high)
    ]
    heights = [row["tflop_per_s"] for row in roofs] + (list(dots["tflop_per_s"]) if len(dots) else [])
    bottom, top = units.stored(min(heights) / 1.2), units.stored(max(heights) * 2.0)
    order = in_order(table["gpu"])
    x = log_axis(low, high, x_title, alt.X, "intensity")
    y = log_axis(bottom, top, y_title, alt.Y, "tflop_per_s", grid=True)
    colors, dashes, shapes = gpu_scales(order)

    def draw(outer: int) -> Any:
        wide, tall = outer - 60.0, (340.0 if outer > 500 else 280.0)
        names = _roof_names(table, brief=outer <= 500)
        lines = (
            alt.Chart(data(roofs))
            .mark_line(strokeWidth=2)
            .encode(
                x=x,
                y=y,
                color=alt.Color("gpu:N", scale=colors, legend=None),
                strokeDash=alt.StrokeDash("gpu:N", scale=dashes, legend=None),
            )
        )
        knees = (
            alt.Chart(data(_ridges(table)))
            .mark_point(filled=True, opacity=1)
            .encode(
                x=x,
                y=y,
                color=alt.Color("gpu:N", scale=colors, legend=None),
                shape=alt.Shape("gpu:N", scale=shapes, legend=None),
            )
        )
        layers = [lines, knees, *(label([row], x, y, fontWeight="bold", **mark) for row, mark in names)]
        if len(dots):
            layers.append(
                alt.Chart(data(dots))
                .mark_point(shape="diamond", filled=True, color=INK, opacity=1, size=70)
                .encode(
                    x=x,
                    y=y,
                    tooltip=[
                        alt.Tooltip("label:N"),
                        alt.Tooltip("intensity:Q", format=",.3~r"),
                        alt.Tooltip("tflop_per_s:Q", format=",.3~r"),
                    ],
                )
            )
            deep = tall - 64.0
            across = pixels([row["intensity"] for row in roofs], low, high, wide, log=True)
            down = deep - pixels([row["tflop_per_s"] for row in roofs], bottom, top, deep, log=True)
            lines_at = [p for i in range(0, len(roofs), 3) for p in along(across[i : i + 3], down[i : i + 3])]
            for row, mark in names:
                right = float(pixels(row["intensity"], low, high, wide, log=True))
                up = float(pixels(row["tflop_per_s"], bottom, top, deep, log=True))
                lines_at += _covered(row["label"], (right, deep - up), mark)
            px = pixels(dots["intensity"], low, high, wide, log=True)
            py = deep - pixels(dots["tflop_per_s"], bottom, top, deep, log=True)
            layers += words_at(dots, x, y, wide, deep, px, py, lines_at)
        return stack(layers, tall)

    return responsive(draw, width)


def _ridges(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the ridge of each roof."""
    return [{"gpu": row.gpu, "intensity": row._4, "tflop_per_s": row.peak_tflop_per_s} for row in table.itertuples()]


def _roof_names(table: pd.DataFrame, brief: bool = False) -> list[tuple[dict[str, Any], Mark]]:
    """Return names at the ridges, of one word if that tells them apart; of roofs equally high the first stands left."""
    names = []
    short = table["gpu"].astype(str).str.split().str[0]
    table = table.assign(gpu=short) if brief and short.is_unique else table
    ordered = table.sort_values(["peak_tflop_per_s", "_ridge"])
    level = (ordered["peak_tflop_per_s"].pct_change() > 0.12).cumsum()
    for _, group in ordered.groupby(level, sort=False):
        for place, row in enumerate(group.itertuples()):
            mark: Mark = {"align": "left", "dx": 10, "dy": 14}
            if len(group) > 1 and place == 0:
                mark = {"align": "right", "dx": -2, "dy": -12}
            elif place == len(group) - 1:
                mark = {"align": "left", "dx": 2, "dy": -12}
            names.append(({"intensity": row._4, "tflop_per_s": row.peak_tflop_per_s, "label": row.gpu}, mark))
    return names


def _covered(text: str, at: tuple[float, float], mark: Mark) -> list[tuple[float, float]]:
    """Return points all over a bold word beside a point, in pixels."""
    wide = 1.1 * text_width(text)
    left = at[0] + mark["dx"] - (wide if mark["align"] == "right" else 0.0)
    return [point for up in (-5, 0, 5) for point in along([left, left + wide], [at[1] + mark["dy"] + up] * 2, step=5.0)]


def timeline(rows: Rows, x_title: str = "µs", width: int = WIDE) -> Spec:
    """Draw where a step goes: lanes of work over time, exposed waiting in dark.

    Parameters
    ----------
    rows : rows with ``lane``, ``label``, ``start``, ``end``; optional ``exposed``
        One piece of work each; ``exposed`` is true for time that nothing hides.
    x_title : str
        The unit, and what one pass is.
    width : int
        Outer width on a wide screen.

    Returns
    -------
    Spec
        The chart, with its narrow twin.

    Examples
    --------
    >>> chart = timeline([{"lane": "GEMM", "label": "qkv", "start": 0.0, "end": 58.0}])
    >>> chart["usermeta"]["hopperbook"]["key"]
    []
    """
    table = frame(rows, "lane", "label", "start", "end")
    exposed = table["exposed"].eq(True) if "exposed" in table else pd.Series(False, index=table.index)
    table["_shade"] = np.where(exposed, 0.8, 0.14)
    top = float(table["end"].max())
    table["_middle"] = (table["start"] + table["end"]) / 2
    wide = pd.Series([text_width(str(t)) + 8 for t in table["label"]])
    alone = table.groupby("lane")["lane"].transform("size") == 1

    def draw(outer: int) -> Any:
        plot = outer - 110.0
        room = (table["end"] - table["start"]) / top * plot
        inside = wide <= room
        x = alt.X(
            "start:Q",
            title=x_title,
            scale=alt.Scale(domain=[0, top], nice=False),
            axis=alt.Axis(grid=True, tickCount=6),
        )
        y = alt.Y("lane:N", sort=None, title=None, axis=alt.Axis(labelOpacity=1, labelLimit=130))
        base = alt.Chart(data(table))
        bars = base.mark_bar(height={"band": 0.62}, fill=INK, stroke=INK, strokeOpacity=0.5, strokeWidth=1).encode(
            x=x,
            x2=alt.X2("end:Q"),
            y=y,
            fillOpacity=alt.FillOpacity("_shade:Q", scale=None),
            tooltip=[
                alt.Tooltip("label:N"),
                alt.Tooltip("start:Q", format=",.3~r"),
                alt.Tooltip("end:Q", format=",.3~r"),
            ],
        )
        layers = [bars]
        within = table[inside & ~exposed]
        if len(within):
            layers.append(label(within, alt.X("_middle:Q"), y, align="center"))
        beside = (exposed | ~inside & alone) & (table["label"].astype(str) != "")
        left = wide < table["start"] / top * plot
        for some, end, align, dx in ((beside & left, "start:Q", "right", -5), (beside & ~left, "end:Q", "left", 5)):
            if some.any():
                layers.append(label(table[some], alt.X(end), y, align=align, dx=dx))
        lanes = table["lane"].nunique()
        return stack(layers, (62 if outer > 500 else 52) * lanes + 40)

    return responsive(draw, width)


def _told(table: pd.DataFrame) -> dict[str, str]:
    """Return what a pointed-at run says of itself: four at most of what tells its rows apart, in words."""
    known = [column for column in TOLD if column in table and not (column == "label" and "lot" in table)]
    varying = [column for column in known if table[column].nunique(dropna=True) > 1]
    return {column: TOLD[column] for column in (varying or known)[:4]}


def predicted_measured(rows: Rows, band: float = 0.1, unit: str = "", quantity: str = "", width: int = WIDE) -> Spec:
    """Draw predictions against measurements, with the diagonal and a band around it.

    Parameters
    ----------
    rows : rows with ``measured``, ``predicted``, ``gpu``; optional ``label`` and ``beyond_aim``
        One run each, above zero; a label marks a point worth a word; runs beyond the aim are filled.
    band : float
        Half-width of the band as a fraction: 0.13 for 13 %.
    unit, quantity : str
        For the titles: ``measured ms a token`` from ``ms a token``.
    width : int
        Outer width on a wide screen.

    Returns
    -------
    Spec
        The chart, with its narrow twin.

    Examples
    --------
    >>> chart = predicted_measured([{"measured": 10, "predicted": 11, "gpu": "H100"}], band=0.2, quantity="ms a token")
    >>> chart["usermeta"]["hopperbook"]["key"]
    ['H100']
    """
    table = frame(rows, "measured", "predicted", "gpu")
    told = _told(table)
    table = table[[c for c in dict.fromkeys((*told, *KEPT)) if c in table]]
    low, high = spread([*table["measured"], *table["predicted"]], 1.3)
    names = in_order(table["gpu"])
    colors, _, shapes = gpu_scales(names)
    words = " ".join(filter(None, (quantity, unit and f"({unit})")))
    x = log_axis(low, high, f"measured {words}".strip(), alt.X, "measured")
    y = log_axis(low, high, f"predicted {words}".strip(), alt.Y, "predicted", grid=True)
    line = [
        {"measured": v, "predicted": v, "_low": max(low, v * (1 - band)), "_high": min(high, v * (1 + band))}
        for v in np.geomspace(low, high, 40)
    ]

    filled: dict[str, Any] = {}
    if "beyond_aim" in table:
        full = alt.condition(alt.datum.beyond_aim, alt.value(0.9), alt.value(0))
        filled = {"fill": alt.Fill("gpu:N", scale=colors, legend=None), "fillOpacity": full}

    def draw(outer: int) -> Any:
        base = alt.Chart(data(line))
        tall = 420 if outer > 500 else 320
        marks = (
            alt.Chart(data(table))
            .mark_point(filled=False, opacity=0.9, size=50)
            .encode(
                x=x,
                y=y,
                color=alt.Color("gpu:N", scale=colors, legend=None),
                shape=alt.Shape("gpu:N", scale=shapes, legend=None),
                **filled,
                tooltip=[alt.Tooltip(f"{column}:N", title=words) for column, words in told.items()]
                + [
                    alt.Tooltip(f"{column}:Q", format=",.3~r", title=f"{column}, {unit or quantity}".rstrip(", "))
                    for column in ("measured", "predicted")
                ],
            )
        )
        shade = base.mark_area(fill=INK, fillOpacity=0.09, clip=True).encode(
            x=x, y=alt.Y("_low:Q"), y2=alt.Y2("_high:Q")
        )
        diagonal = base.mark_line(color=INK, strokeWidth=1, opacity=0.7).encode(x=x, y=y)
        note = [{"measured": low * 1.15, "predicted": high / 1.2, "label": f"band: ±{units.percent(band)}"}]
        layers = [shade, diagonal, marks, label(note, x, y, align="left", opacity=0.78)]
        if "label" in table:
            named = table[table["label"].astype(str) != ""].dropna(subset=["label"])
            if len(named):
                plot = (("measured", outer - 60.0), ("predicted", tall - 60.0))
                px = pixels(named["measured"], low, high, outer - 60.0, log=True)
                py = tall - 60.0 - pixels(named["predicted"], low, high, tall - 60.0, log=True)
                every = zip(*(pixels(table[c], low, high, size, log=True) for c, size in plot), strict=True)
                avoid = [(float(a), tall - 60.0 - float(b)) for a, b in every]
                layers += words_at(named.assign(strong=True), x, y, outer - 60.0, tall, px, py, avoid)
        return stack(layers, tall)

    return responsive(draw, width, names)


def error_strip(
    rows: Rows, band: tuple[float, float] | None = None, x_title: str = "error of the prediction, %", width: int = WIDE
) -> Spec:
    """Draw the error of each prediction, a lane a GPU, with the median of each and the band that should hold most.

    Parameters
    ----------
    rows : rows with ``gpu``, ``error``
        Error as a fraction: predicted / measured - 1. ``gpu`` may be any lane's name.
    band : tuple of float, optional
        Ends of the band as fractions.
    x_title : str
        The axis.
    width : int
        Outer width on a wide screen.

    Returns
    -------
    Spec
        The chart, with its narrow twin.

    Examples
    --------
    >>> error_strip([{"gpu": "H100", "error": 0.02}], band=(-0.05, 0.05))["usermeta"]["hopperbook"]["key"]
    []
    """
    table = frame(rows, "gpu", "error")
    told = _told(table)
    table = table[[c for c in dict.fromkeys((*told, *KEPT)) if c in table]]
    table["_percent"] = 100 * table["error"].astype(float)
    names = in_order(table["gpu"])
    colors, _, shapes = gpu_scales(names)
    medians = table.groupby("gpu", sort=False)["_percent"].median().reset_index()
    ends = [100 * end for end in band] if band else []
    reach = float(np.ceil(max(1.0, *np.abs([*table["_percent"], *ends])) * 1.1))

    signed = "datum.value == 0 ? '0' : format(datum.value, '+,~r')"

    def draw(outer: int) -> Any:
        x = alt.X(
            "_percent:Q",
            title=x_title,
            scale=alt.Scale(domain=[-reach, reach], nice=False),
            axis=alt.Axis(tickCount=5, labelExpr=signed),
        )
        y = alt.Y(
            "gpu:N", sort=names, title=None, axis=alt.Axis(labelFontWeight="bold", labelOpacity=1, labelLimit=180)
        )
        layers = []
        if band:
            shade = [{"_percent": ends[0], "_to": ends[1], "label": "80 % band"}]
            layers.append(alt.Chart(data(shade)).mark_rect(fill=INK, fillOpacity=0.08).encode(x=x, x2=alt.X2("_to:Q")))
            layers.append(label(shade, x, alt.value(8), align="left", dx=4, baseline="middle"))
        zero = [{"_percent": 0.0}]
        layers.append(alt.Chart(data(zero)).mark_rule(strokeWidth=1, opacity=0.6).encode(x=x))
        layers.append(
            alt.Chart(data(table))
            .mark_point(filled=False, opacity=0.95)
            .encode(
                x=x,
                y=y,
                color=alt.Color("gpu:N", scale=colors, legend=None),
                shape=alt.Shape("gpu:N", scale=shapes, legend=None),
                tooltip=[alt.Tooltip(f"{column}:N", title=words) for column, words in told.items()]
                + [alt.Tooltip("error:Q", format="+.1%", title="predicted over measured")],
            )
        )
        layers.append(
            alt.Chart(data(medians)).mark_tick(color=INK, thickness=2.5, size=22, opacity=0.8).encode(x=x, y=y)
        )
        return stack(layers, 42 * len(names) + 44)

    return responsive(draw, width)
