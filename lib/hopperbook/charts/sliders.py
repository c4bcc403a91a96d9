"""The figure with sliders: GPUs and their cost by model, context, users and price; all but the price is looked up."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from hopperbook.charts.base import NARROW, WIDE, Rows, Spec, data, frame, gpu_styles, responsive, stack

TOP = " "  # the row above the bars, for the verdict
NEAR = 1.08  # costs nearer than this are called alike
NONE = 1e15  # stands for the cost of a part that does not serve the load


def what_if(
    rows: Rows,
    models: Mapping[str, str],
    contexts: Sequence[int],
    users: Sequence[int],
    usd_per_hour: Mapping[str, float],
    own: tuple[int, int, int],
    hours_a_month: float,
    width: int = WIDE,
) -> Spec:
    """Draw what each GPU costs a month for a load that the reader sets by sliders.

    The rows hold the GPUs for every setting; the figure picks those of one and multiplies them by the price.

    Parameters
    ----------
    rows : rows with ``model``, ``context``, ``gpu``, ``from``, ``to``, ``gpus``, ``why``
        GPUs to pay for between two numbers of users; none, and why, where a part does not serve the load.
    models : mapping of str
        Words for each model, in the order of the slider.
    contexts, users : sequence of int
        Settings of the other sliders, rising.
    usd_per_hour : mapping of float
        Price of a GPU-hour by GPU, where its slider starts.
    own : tuple of int
        Places of the first model, context and users shown.
    hours_a_month : float
        Hours that are paid for.
    width : int
        Outer width on a wide screen.

    Returns
    -------
    Spec
        The chart, with its narrow twin.

    Examples
    --------
    >>> row = {"model": "a", "context": 8, "gpu": "H100", "from": 1, "to": 9, "gpus": 2, "why": ""}
    >>> chart = what_if([row], {"a": "8B"}, [8], [4], {"H100": 2.0}, (0, 0, 0), 730.0)
    >>> [p["name"] for p in chart["params"] if "bind" in p]
    ['model', 'context', 'users', 'usd_h100']
    """
    table = frame(rows, "model", "context", "gpu", "from", "to", "gpus", "why")
    parts = [part for part in gpu_styles() if part in usd_per_hour]
    settings = _settings(models, contexts, users, own) + [each for p in parts for each in _price(p, usd_per_hour[p])]

    def draw(outer: int) -> Any:
        narrow = outer == NARROW
        shown = _priced(alt.Chart(data(table)), models, contexts, users, parts, hours_a_month)
        y = alt.Y("gpu:N", title=None, sort=[TOP, *parts], scale=alt.Scale(domain=[TOP, *parts]), axis=_names())
        drawn = stack(_layers(shown, y, parts, narrow), 250 if narrow else 230)
        return drawn | {"params": settings}

    return responsive(draw, width)


def _settings(
    models: Mapping[str, str], contexts: Sequence[int], users: Sequence[int], own: tuple[int, int, int]
) -> list[dict[str, Any]]:
    """Return the sliders of the load; each moves through a list, and its words say where it stands."""
    tokens = [f"{count:,} tokens" for count in contexts]
    loads = [f"{count:,} user{'s' if count > 1 else ''}" for count in users]
    found = []
    for name, label, words, start in (
        ("model", "Model size", list(models.values()), own[0]),
        ("context", "Context of a user", tokens, own[1]),
        ("users", "Users at once", loads, own[2]),
    ):
        bind = {"input": "range", "min": 0, "max": len(words) - 1, "step": 1, "name": label}
        found.append({"name": name, "value": start, "bind": bind})
        found.append({"name": f"{name}_words", "expr": f"{json.dumps(words, ensure_ascii=False)}[{name}]"})
    return found


def _price(part: str, usd: float) -> list[dict[str, Any]]:
    """Return the slider of a GPU's price, from a quarter to three times what it costs now."""
    name = f"usd_{part.lower()}"
    ends = {"min": round(usd / 4, 2), "max": round(3 * usd, 2)}
    bind = {"input": "range", **ends, "step": 0.01, "name": f"Price of an {part}"}
    words = {"name": f"{name}_words", "expr": f"'$' + format({name}, '.2f') + ' an hour'"}
    return [{"name": name, "value": round(usd, 4), "bind": bind}, words]


def _priced(
    chart: Any,
    models: Mapping[str, str],
    contexts: Sequence[int],
    users: Sequence[int],
    parts: Sequence[str],
    hours_a_month: float,
) -> Any:
    """Pick the rows of the setting, price them and put the cheapest first."""
    load = f"{json.dumps(list(users))}[users]"
    chart = chart.transform_filter(f"datum.model == {json.dumps(list(models))}[model]")
    chart = chart.transform_filter(f"datum.context == {json.dumps(list(contexts))}[context]")
    chart = chart.transform_filter(f"datum.from <= {load} && datum.to >= {load}")
    price = "".join(f"datum.gpu == '{part}' ? usd_{part.lower()} : " for part in parts) + "0"
    chart = chart.transform_calculate(usd=f"datum.gpus * ({price}) * {hours_a_month:g}")
    chart = chart.transform_calculate(order=f"datum.gpus > 0 ? datum.usd : {NONE:g}")
    return chart.transform_window(
        place="row_number()",
        next="lead(order)",
        next_gpu="lead(gpu)",
        sort=[alt.SortField("order")],
        frame=[None, None],
    )


def _layers(shown: Any, y: Any, parts: Sequence[str], narrow: bool) -> list[Any]:
    """Return bars, room for their words, the words, and the verdict above them."""
    axis = alt.Axis(tickCount=4, format="~s" if narrow else ",~r", labelOverlap=True)
    x = alt.X("usd:Q", title="USD a month", scale=alt.Scale(zero=True, nice=False), axis=axis)
    colors = alt.Scale(domain=list(parts), range=[gpu_styles()[part].color for part in parts])
    room = shown.transform_calculate(usd=f"max(datum.usd, 1000) * {2.1 if narrow else 1.5}")
    count = "format(datum.gpus, ',') + ' GPU' + (datum.gpus > 1 ? 's' : '')"
    words = f"datum.gpus > 0 ? {count} + ', $' + format(datum.usd, ',.3r') : datum.why"
    said = shown.transform_calculate(words=words)
    best = shown.transform_filter("datum.place == 1").transform_calculate(verdict=_verdict(narrow))
    bold: dict[str, Any] = {"fontWeight": "bold", "fontSize": 14, "lineHeight": 18, "lineBreak": "\n"}
    return [
        shown.mark_bar(height=24).encode(x=x, y=y, color=alt.Color("gpu:N", scale=colors, legend=None)),
        room.mark_point(opacity=0).encode(x=x, y=y),
        said.mark_text(align="left", dx=6).encode(x=x, y=y, text=alt.Text("words:N")),
        best.mark_text(align="left", **bold).encode(x=alt.value(0), y=alt.YDatum(TOP), text=alt.Text("verdict:N")),
    ]


def _verdict(narrow: bool) -> str:
    """Return the expression of the sentence above the bars, from the cheapest part and the next."""
    cut = "\\n" if narrow else " "
    cost = "format(datum.gpus, ',') + ' × ' + datum.gpu + ' at $' + format(datum.usd, ',.3r') + ' a month'"
    ratio = "datum.next / datum.order"
    more = f"{ratio} < 2 ? format({ratio} - 1, '.0%') + ' more' : format({ratio}, '.1f') + ' times as much'"
    more = f"{ratio} < {NEAR} ? 'about as much' : {more}"
    known = f"isValid(datum.next) && datum.next < {NONE:g}"
    other = f"{known} ? ';{cut}' + datum.next_gpu + ' costs ' + ({more}) : ';{cut}no other will do'"
    none = f"'None of them serves this load{cut}within your targets'"
    return f"datum.gpus > 0 ? 'Least: ' + {cost} + ({other}) : {none}"


def _names() -> alt.Axis:
    return alt.Axis(domain=False, ticks=False, labelFontSize=13, labelOpacity=1)
