"""Drawings: how a machine is wired, and what a number format loses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from hopperbook.charts.base import INK, WIDE, Mark, Rows, Spec, bare, data, frame, gpu_style, label, responsive, stack
from hopperbook.errors import InputError

KINDS = ("switch", "bridge", "pcie")


def topology(
    gpu: str,
    gpus: int = 8,
    kind: str = "switch",
    switches: int = 4,
    nics: int = 8,
    inside: str = "",
    outside: str = "",
    width: int = WIDE,
) -> Spec:
    """Draw how the GPUs of a node are wired to each other and to the network.

    Parameters
    ----------
    gpu : str
        Its name, for the colour.
    gpus : int
        GPUs in the node, 1 to 16.
    kind : str
        ``switch``: every GPU to every NVSwitch; ``bridge``: pairs joined by a bridge, all on PCIe; ``pcie``: PCIe only.
    switches : int
        NVSwitches, or PCIe switches.
    nics : int
        Network cards.
    inside, outside : str
        The speed of the links inside, below the drawing, and to the fabric, above it.
    width : int
        Outer width on a wide screen.

    Returns
    -------
    Spec
        The chart, with its narrow twin.

    Raises
    ------
    InputError
        If the kind or the number of GPUs is not one that can be drawn.

    Examples
    --------
    >>> topology("H100 SXM", inside="450 GB/s each way")["usermeta"]["hopperbook"]["key"]
    []
    """
    if kind not in KINDS:
        raise InputError("kind", kind, "switch, bridge or pcie", KINDS)
    if not 1 <= gpus <= 16:
        raise InputError("gpus", gpus, "a number from 1 to 16")
    word = "NVSwitch" if kind == "switch" else "PCIe switch"
    nodes = (
        _row(nics, 2.0, "NIC", "box", 0.72) + _row(gpus, 1.0, "", "gpu", 0.72) + _row(switches, 0.0, word, "box", 0.86)
    )
    for place, node in enumerate(node for node in nodes if node["kind"] == "gpu"):
        node["label"] = str(place)
    links = [_link(a, b, "thin") for a in _of(nodes, 1.0) for b in _near(a, _of(nodes, 0.0), kind)]
    links += [_link(a, _nearest(a, _of(nodes, 1.0)), "dashed") for a in _of(nodes, 2.0)]
    pairs = _of(nodes, 1.0)
    bridges = [_link(a, b, "bridge") for a, b in zip(pairs[::2], pairs[1::2], strict=False)] if kind == "bridge" else []
    color = gpu_style(gpu).color

    def draw(outer: int) -> Any:
        small = outer < 500
        x, y = bare("x", 0, 1, alt.X), bare("y", -0.6, 2.6, alt.Y)
        layers = []
        lines: dict[str, Mark] = {
            "thin": {"strokeWidth": 1, "opacity": 0.45},
            "dashed": {"strokeWidth": 1.5, "strokeDash": [3, 2]},
            "bridge": {"strokeWidth": 4, "opacity": 0.75},
        }
        for style, mark in lines.items():
            part = [link for link in [*links, *bridges] if link["style"] == style]
            if part:
                layers.append(
                    alt.Chart(data(part)).mark_rule(**mark).encode(x=x, x2=alt.X2("x2:Q"), y=y, y2=alt.Y2("y2:Q"))
                )
        boxes: dict[str, Mark] = {
            "box": {"fill": INK, "fillOpacity": 0.05, "stroke": INK, "strokeOpacity": 0.6},
            "gpu": {"fill": color if color != INK else "#555555"},
        }
        for sort, mark in boxes.items():
            part = [node for node in nodes if node["kind"] == sort]
            if part:
                box = alt.Chart(data(part)).mark_rect(**mark)
                low = bare("low", -0.6, 2.6, alt.Y)
                layers.append(box.encode(x=bare("left", 0, 1, alt.X), x2=alt.X2("right:Q"), y=low, y2=alt.Y2("high:Q")))
        names = [node for node in nodes if node["label"] and node["kind"] == "box"]
        if small:
            names = [
                node
                | {
                    "label": {"NVSwitch": "NVS", "PCIe switch": "PCIe", "NIC": "NIC" if nics <= 8 else ""}[
                        node["label"]
                    ]
                }
                for node in names
            ]
        layers.append(label(names, x, y, fontSize=11 if small else 12))
        numbers = [node for node in nodes if node["kind"] == "gpu"]
        layers.append(label(numbers, x, y, color="#ffffff", fontWeight="bold"))
        layers.append(label([{"x": 0, "y": 2.5, "label": outside}], x, y, align="left"))
        layers.append(label([{"x": 0, "y": -0.5, "label": inside}], x, y, align="left"))
        return stack(layers, 300 if not small else 250)

    wires = [(link["from"], link["to"], link["style"]) for link in [*links, *bridges]]
    return responsive(draw, width, csv=pd.DataFrame(wires, columns=["from", "to", "link"]))


def _row(count: int, y: float, word: str, kind: str, fill: float) -> list[dict[str, Any]]:
    """Return a row of boxes, evenly spread."""
    step = 1.0 / max(count, 1)
    return [
        {"x": (i + 0.5) * step, "y": y, "left": (i + 0.5 - fill / 2) * step, "right": (i + 0.5 + fill / 2) * step}
        | {"low": y - 0.2, "high": y + 0.2, "label": word, "kind": kind, "name": f"{word or 'GPU'} {i}"}
        for i in range(count)
    ]


def _of(nodes: Sequence[dict[str, Any]], y: float) -> list[dict[str, Any]]:
    """Return the boxes of a row."""
    return [node for node in nodes if node["y"] == y]


def _near(gpu: dict[str, Any], switches: Sequence[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """Return the switches that a GPU is wired to: all of them, or the nearest."""
    if kind == "switch" or not switches:
        return list(switches)
    return [_nearest(gpu, switches)]


def _nearest(box: dict[str, Any], others: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the box of another row that stands nearest."""
    return min(others, key=lambda other: abs(other["x"] - box["x"]))


def _link(a: dict[str, Any], b: dict[str, Any], style: str) -> dict[str, Any]:
    """Return a line between the edges of two boxes."""
    ends = {"from": a["name"], "to": b["name"], "style": style}
    if a["y"] == b["y"]:
        return ends | {"x": a["right"], "y": a["y"], "x2": b["left"], "y2": b["y"]}
    upper, lower = (a, b) if a["y"] > b["y"] else (b, a)
    return ends | {"x": upper["x"], "y": upper["low"], "x2": lower["x"], "y2": lower["high"]}


def number_line(
    rows: Rows,
    formats: Mapping[str, Sequence[float]],
    x_title: str = "log2 of |value|",
    y_title: str = "per cent of values",
    lost_below: float | None = None,
    lost_label: str = "",
    width: int = WIDE,
) -> Spec:
    """Draw a histogram of values above the number lines of formats: which values each can hold.

    Parameters
    ----------
    rows : rows with ``x``, ``x2``, ``percent``
        Bins of log2 of the absolute value.
    formats : mapping of str to sequence of float
        For each format the log2 of every positive number that it holds.
    x_title, y_title : str
        Titles.
    lost_below : float, optional
        Bins left of this are dark: values that become zero.
    lost_label : str
        The words beside them.
    width : int
        Outer width on a wide screen.

    Returns
    -------
    Spec
        The chart, with its narrow twin.

    Examples
    --------
    >>> chart = number_line([{"x": -1, "x2": 0, "percent": 100.0}], {"E4M3": [-6.0, 0.0, 8.8]})
    >>> chart["usermeta"]["hopperbook"]["key"]
    []
    """
    table = frame(rows, "x", "x2", "percent")
    if not formats:
        raise InputError("formats", {}, "at least one format")
    lost = (table["x2"] <= lost_below) if lost_below is not None else table["x"] != table["x"]
    table["_shade"] = np.where(lost, 0.85, 0.25)
    top = float(table["percent"].max()) * 1.1
    ticks: list[dict[str, Any]] = [
        {"x": float(v), "format": name, "_lane": lane}
        for lane, (name, held) in enumerate(formats.items())
        for v in held
    ]
    spans: list[dict[str, Any]] = [
        {"x": min(held), "x2": max(held), "label": name, "_lane": lane}
        for lane, (name, held) in enumerate(formats.items())
    ]
    low = min(float(table["x"].min()), *(span["x"] for span in spans)) - 1
    high = max(float(table["x2"].max()), *(span["x2"] for span in spans)) + 1
    lanes, step = len(formats), 4 if high - low < 44 else 8
    whole = [step * place for place in range(int(np.ceil(low / step)), int(high // step) + 1)]
    for row in [*ticks, *spans]:
        row["_y"] = -top * (0.16 + 0.24 * row["_lane"])
        row["_y2"] = row["_y"] - 0.05 * top

    def draw(outer: int) -> Any:
        bottom = -top * (0.16 + 0.24 * lanes)
        x = alt.X(
            "x:Q",
            title=x_title,
            scale=alt.Scale(domain=[low, high], nice=False, zero=False),
            axis=alt.Axis(values=whole),
        )
        shares = _round_ticks(top)
        y = alt.Y(
            "percent:Q",
            title=y_title,
            scale=alt.Scale(domain=[bottom, top], nice=False),
            axis=alt.Axis(grid=True, values=shares),
        )
        lane = alt.Y("_y:Q", scale=alt.Scale(domain=[bottom, top], nice=False))
        bars = alt.Chart(data(table)).mark_rect(fill=INK, stroke=INK, strokeOpacity=0.35, strokeWidth=1)
        layers = [
            bars.encode(
                x=x, x2=alt.X2("x2:Q"), y=y, y2=alt.Y2Datum(0), fillOpacity=alt.FillOpacity("_shade:Q", scale=None)
            ),
            alt.Chart(data(ticks)).mark_rule(strokeWidth=1, opacity=0.5).encode(x=x, y=lane, y2=alt.Y2("_y2:Q")),
            alt.Chart(data(spans)).mark_rule(strokeWidth=1.5).encode(x=x, x2=alt.X2("x2:Q"), y=alt.Y("_y2:Q")),
            label(spans, x, alt.Y("_y2:Q"), align="left", dy=12, fontWeight="bold"),
        ]
        if lost.any() and lost_label:
            tall = table.loc[
                lost & (table["percent"] > 0.25 * top), "x"
            ]  # the words stand left of what would hide them
            edge = float(tall.min()) if len(tall) else float(table.loc[lost, "x2"].max())
            at = [{"x": edge, "percent": 0.3 * top, "label": lost_label}]
            layers.append(label(at, x, y, align="right", dx=-4))
        return stack(layers, 260 + 44 * lanes if outer > 500 else 220 + 44 * lanes)

    return responsive(draw, width)


def _round_ticks(top: float) -> list[float]:
    """Return three or four round ticks from zero to a top.

    Examples
    --------
    >>> _round_ticks(16)
    [0.0, 5.0, 10.0, 15.0]
    """
    step = next(s * 10.0**p for p in range(-6, 7) for s in (1, 2, 5) if s * 10.0**p * 4 >= top)
    return [step * i for i in range(5) if step * i <= top]
