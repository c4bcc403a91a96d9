"""What every chart of the book shares: widths, ink, the style of each GPU, axes, and the narrow twin for a phone."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import altair as alt
import pandas as pd

from hopperbook import facts, units
from hopperbook.errors import InputError

WIDE, HALF, NARROW = 812, 560, 352
INK = "currentColor"
FONT = "Arial, Liberation Sans, Helvetica, sans-serif"
ACCENT = "#0f6b63"

PARTS = {"weights": "#5c94cc", "KV cache": "#998b45", "activations": "#994561", "runtime": "#7339e6"}
PARTS |= {"gradients": "#998b45", "optimizer": "#7339e6", "kept free": "#8e8e8e"}

CONFIG: dict[str, Any] = {
    "background": "transparent",
    "font": FONT,
    "padding": {"left": 2, "right": 8, "top": 4, "bottom": 2},
    "view": {"stroke": None},
    "axis": {
        "labelColor": INK,
        "labelOpacity": 0.78,
        "labelFontSize": 12,
        "labelPadding": 6,
        "titleColor": INK,
        "titleOpacity": 0.78,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "gridColor": INK,
        "gridOpacity": 0.13,
        "domainColor": INK,
        "domainOpacity": 0.55,
        "tickColor": INK,
        "tickOpacity": 0.55,
        "tickSize": 4,
    },
    "axisX": {"grid": False, "titleAnchor": "end", "titlePadding": 6, "labelFlush": False},
    "axisY": {
        "domain": False,
        "ticks": False,
        "titleAngle": 0,
        "titleAlign": "left",
        "titleBaseline": "bottom",
        "titleX": 0,
        "titleY": -10,
    },
    "text": {"color": INK, "fontSize": 12, "lineHeight": 15},
    "line": {"strokeWidth": 2},
    "point": {"size": 64, "strokeWidth": 1.5},
    "rule": {"color": INK, "strokeWidth": 1.5},
}

Rows: TypeAlias = pd.DataFrame | Sequence[Mapping[str, Any]]
Mark: TypeAlias = dict[str, Any]


#: How a GPU is drawn that no block of ``data/gpus.yaml`` names.
OTHER_STYLE = facts.Style(INK, (10, 3, 2, 3), "diamond")


def gpu_style(name: str) -> facts.Style:
    """Return how a GPU is drawn; every part of a generation shares its colour.

    Parameters
    ----------
    name : str
        A name that begins with or holds the generation: ``H100 SXM``, ``8 × H100``, ``4 × A100 80 GB``.

    Returns
    -------
    Style
        Colour, dash and shape, from its block; ink for a GPU of no block.

    Examples
    --------
    >>> gpu_style("8 × H100 SXM").color, gpu_style("B200 SXM").shape
    ('#0067b5', 'diamond')
    """
    styles = gpu_styles()
    longest = sorted(styles, key=len, reverse=True)
    return next((styles[word] for word in longest if re.search(rf"(?<!\w){re.escape(word)}(?!\w)", name)), OTHER_STYLE)


@functools.cache
def gpu_styles() -> dict[str, facts.Style]:
    """Return the style of every generation that is in ``data/gpus.yaml``, by its short name."""
    return {part.short: part.style for part in facts.gpus().values()}


def data(rows: Rows) -> alt.InlineData:
    """Return rows as the data of a layer.

    Parameters
    ----------
    rows : DataFrame or sequence of mapping
        Tidy rows.

    Returns
    -------
    altair.InlineData
        The rows, rounded to six digits.
    """
    records = rows.to_dict("records") if isinstance(rows, pd.DataFrame) else rows
    rounded = tuple({str(key): units.stored(value) for key, value in row.items()} for row in records)
    return alt.InlineData(values=rounded)  # type: ignore[arg-type]  # a tuple, which Altair does not copy over and over


def in_money(table: pd.DataFrame, title: str, *columns: str) -> str:
    """Convert columns to the currency in which money is shown, where their title says that they are US dollars.

    Parameters
    ----------
    table : DataFrame
        Rows that the caller may change.
    title : str
        Title of their axis.
    *columns : str
        Those of the columns that are there are converted.

    Returns
    -------
    str
        The title, with that currency.

    Examples
    --------
    >>> in_money(frame([{"y": 2.0}], "y"), "USD a month", "y")
    'USD a month'
    """
    if "USD" in title and units.currency() != "USD":
        for column in set(columns) & set(table):
            table[column] = units.in_currency(table[column].astype(float))
    return units.priced(title)


def frame(rows: Rows, *needed: str) -> pd.DataFrame:
    """Return rows as a table that has the columns a chart needs.

    Parameters
    ----------
    rows : DataFrame or sequence of mapping
        Tidy rows.
    *needed : str
        Columns that must be there.

    Returns
    -------
    DataFrame
        A copy with a fresh index.

    Raises
    ------
    InputError
        If there are no rows or a column is missing.

    Examples
    --------
    >>> frame([{"x": 1}], "x", "y")
    Traceback (most recent call last):
    hopperbook.errors.InputError: rows: ['x'] is not usable; allowed is rows with the columns x, y
    """
    table = pd.DataFrame(rows).reset_index(drop=True)
    missing = [column for column in needed if column not in table]
    if missing or table.empty:
        raise InputError("rows", list(table.columns), "rows with the columns " + ", ".join(needed))
    return table


def decades(low: float, high: float, steps: Sequence[float] = (1,)) -> list[float]:
    """Return the ticks of a logarithmic axis: whole decades, and their parts where asked.

    Parameters
    ----------
    low, high : float
        Ends of the axis, above zero.
    steps : sequence of float
        ``(1, 3)`` to add 3, 30, 300; ``(1, 2, 5)`` for more.

    Returns
    -------
    list of float
        Ticks inside the ends.

    Examples
    --------
    >>> decades(2, 1500), decades(1, 40, (1, 3))
    ([10.0, 100.0, 1000.0], [1.0, 3.0, 10.0, 30.0])
    """
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [factor * 10.0**power for power in powers for factor in steps]
    return [round(tick, 12) for tick in ticks if low * 0.999 <= tick <= high * 1.001]


def spread(values: Iterable[float], room: float = 1.25) -> tuple[float, float]:
    """Return the ends of a logarithmic axis that holds values with some room.

    Parameters
    ----------
    values : iterable of float
        Values above zero.
    room : float
        Factor left at each end.

    Returns
    -------
    tuple of float
        Low and high end.

    Examples
    --------
    >>> spread([10, 100], room=2)
    (5.0, 200.0)
    """
    known = [float(value) for value in values if value is not None and math.isfinite(value) and value > 0]
    if not known:
        raise InputError("values", [], "at least one number above zero")
    return units.stored(min(known) / room), units.stored(max(known) * room)


def log_axis(low: float, high: float, title: str, channel: Any, field: str, grid: bool = False, **more: Any) -> Any:
    """Return a logarithmic position channel with decades as ticks, and their parts where there are fewer than three.

    Parameters
    ----------
    low, high : float
        Ends of the axis.
    title : str
        What it shows, and its unit.
    channel : type
        ``alt.X`` or ``alt.Y``.
    field : str
        Column.
    grid : bool
        True where values are read off.
    **more
        Passed on to the channel.

    Returns
    -------
    alt.X or alt.Y
        The channel.
    """
    choices = [decades(low, high, steps) for steps in ((1,), (1, 3), (1, 2, 5), tuple(range(1, 10)))]
    ticks = next((ticks for ticks in choices if len(ticks) >= 3), choices[-1])
    numbers = "datum.value >= 10000 ? format(datum.value, '~s') : format(datum.value, ',~r')"
    return channel(
        f"{field}:Q",
        title=title,
        scale=alt.Scale(type="log", domain=[low, high], nice=False, clamp=True),
        axis=alt.Axis(values=ticks, grid=grid, labelExpr=numbers, labelOverlap=True),
        **more,
    )


class Spec(dict[str, Any]):
    """A Vega-Lite specification that a notebook shows live; ``alt.Chart.from_dict(spec)`` makes it an Altair chart."""

    def to_dict(self, **_: Any) -> dict[str, Any]:
        """Return the specification as a plain dictionary."""
        return dict(self)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return {"application/vnd.vegalite.v5+json": dict(self), "text/plain": "[chart]"}


def stack(layers: Sequence[Any], height: float) -> dict[str, Any]:
    """Return layers one over the other as a specification.

    Parameters
    ----------
    layers : sequence of altair.Chart
        The first is drawn first.
    height : float
        Outer height in pixels.

    Returns
    -------
    dict
        The specification, its data by name. Altair's own layering copies every layer many times: this is five times as
        fast.
    """
    datasets: dict[str, Any] = {}
    context = {"datasets": datasets, "top_level": False}
    drawn = [layer.to_dict(validate=False, context=dict(context)) for layer in layers]
    return {"layer": drawn, "height": height, "datasets": {name: list(rows) for name, rows in datasets.items()}}


def responsive(
    draw: Callable[[int], dict[str, Any]], width: int = WIDE, key: Sequence[str] = (), csv: pd.DataFrame | None = None
) -> Spec:
    """Return a chart that carries its own narrow twin for a phone.

    Parameters
    ----------
    draw : callable
        Function from an outer width to a specification made by `stack`.
    width : int
        Outer width on a wide screen.
    key : sequence of str
        Names for the key above the figure.
    csv : DataFrame, optional
        What the page offers as CSV where that is not the largest set of rows drawn.

    Returns
    -------
    Spec
        The wide chart with the book's configuration.
    """
    fit = {"autosize": {"type": "fit", "contains": "padding"}}
    with alt.utils.schemapi.debug_mode(False):
        wide, narrow = draw(width), draw(NARROW)
    datasets = narrow.pop("datasets") | wide.pop("datasets")
    about: dict[str, Any] = {"key": list(key), "narrow": narrow | {"width": NARROW} | fit}
    if csv is not None:
        rows = [[units.stored(value) for value in row] for row in csv.itertuples(index=False)]
        about["csv"] = {"columns": list(csv.columns), "rows": rows}
    head = {"$schema": alt.SCHEMA_URL, "config": CONFIG, "datasets": datasets}
    return Spec(head | wide | {"width": width} | fit | {"usermeta": {"hopperbook": about}})


def label(rows: Rows, x: Any, y: Any, text: str = "label", **mark: Any) -> alt.Chart:
    """Return a layer of text beside points.

    Parameters
    ----------
    rows : DataFrame or sequence of mapping
        One row a label.
    x, y : alt.X, alt.Y
        Position channels.
    text : str
        Column of the words; a list in a cell makes lines.
    **mark
        Properties of the text mark: ``align``, ``dx``, ``dy``, ``fontWeight``.

    Returns
    -------
    altair.Chart
        The layer.
    """
    return alt.Chart(data(rows)).mark_text(**mark).encode(x=x, y=y, text=alt.Text(f"{text}:N"))


def bare(field: str, low: float, high: float, channel: Any, reverse: bool = False) -> Any:
    """Return a linear position channel without an axis, for drawings.

    Parameters
    ----------
    field : str
        Column.
    low, high : float
        Ends.
    channel : type
        ``alt.X`` or ``alt.Y``.
    reverse : bool
        True to let it run the other way.

    Returns
    -------
    alt.X or alt.Y
        The channel.
    """
    scale = alt.Scale(domain=[low, high], nice=False, zero=False, reverse=reverse)
    return channel(f"{field}:Q", scale=scale, axis=None)
