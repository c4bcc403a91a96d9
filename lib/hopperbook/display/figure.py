"""A figure with its finding, source and words for those who cannot see it; and a figure of the report's results."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Any

from hopperbook import units
from hopperbook.display.core import RESULT_MIME, publish
from hopperbook.errors import InputError

CHART_MIME = "application/vnd.vegalite.v5+json"


def figure(
    chart: Any,
    name: str,
    title: str,
    subtitle: str = "",
    source: str = "",
    alt: str = "",
    key: Sequence[str] | None = None,
) -> None:
    """Show a chart under its finding, with what is drawn, its key and its source.

    The notebook keeps the specification only; the page's picture is made when the report is built. On the page the
    title, subtitle, key and source are HTML, and the chart's data is offered as CSV.

    Parameters
    ----------
    chart : altair chart
        From ``hopperbook.charts``, or any Altair chart.
    name : str
        Short and unique in the chapter: letters, digits, hyphens. The CSV bears it.
    title : str
        The finding, a sentence without a full stop, computed from the values drawn.
    subtitle : str
        What is drawn, and its unit.
    source : str
        What it was computed by, from what, when.
    alt : str
        For those who cannot see it: kind of chart, axes, finding, extremes. Required.
    key : sequence of str, optional
        Names for the key, such as ``["weights", "KV cache", "capacity"]``; by default what the chart function says.

    Raises
    ------
    InputError
        If the name is not a plain name or the alternative text is missing.

    Examples
    --------
    >>> from hopperbook import charts
    >>> chart = charts.bars([{"item": "A100", "value": 2.0}, {"item": "H100", "value": 3.35}], x_title="TB/s")
    >>> figure(chart, "bandwidth", "H100 reads 1.7 times as fast", alt="Bars of bandwidth: A100 2.0, H100 3.35 TB/s.")
    [Figure bandwidth: H100 reads 1.7 times as fast. Bars of bandwidth: A100 2.0, H100 3.35 TB/s.]
    """
    if not re.fullmatch(r"[A-Za-z0-9-]+", name):
        raise InputError("name", name, "letters, digits and hyphens")
    if not alt:
        raise InputError("alt", alt, "the figure in words: kind of chart, axes, finding, extremes")
    title, subtitle, alt = (units.priced(words) for words in (title, subtitle, alt))
    spec = chart if isinstance(chart, dict) else chart.to_dict(validate=False)
    spec = _renumber(spec)
    extra = spec.get("usermeta", {}).get("hopperbook", {})
    shown = {"text": title, "subtitle": [line for line in (subtitle, source) if line]}
    spec |= {"title": shown | {"anchor": "start", "fontSize": 16, "offset": 12, "subtitleFontSize": 12}}
    about: dict[str, Any] = {"name": name, "title": title, "subtitle": subtitle, "source": source, "alt": alt}
    about |= {"key": list(extra.get("key", []) if key is None else key)}
    publish({CHART_MIME: spec, "text/plain": f"[Figure {name}: {title}. {alt}]"}, {"hopperbook": about})


def _renumber(spec: dict[str, Any]) -> dict[str, Any]:
    """Number Altair's own names of views and parameters from one: a chart must not depend on those before it."""
    text = json.dumps(spec)
    for stem in ("view", "param"):
        seen: dict[str, str] = {}
        for hit in re.findall(rf'"{stem}_\d+', text):
            seen.setdefault(hit, f'"{stem}_{len(seen) + 1}')
        text = re.sub(rf'"{stem}_\d+(?=")', lambda hit, seen=seen: seen[hit[0]], text)  # type: ignore[misc]
    return json.loads(text)


def result(
    key: str, value: Any, low: float | None = None, high: float | None = None, unit: str = "", note: str = ""
) -> None:
    """Put one figure into the report's ``results.json``; nothing is shown on the page.

    Parameters
    ----------
    key : str
        Name with its unit suffix, unique in the report: ``monthly_cost_usd``.
    value : float, int, str, bool or None
        The figure, in base units; a time that never comes is infinite, and kept as the word ``never``.
    low, high : float, optional
        Ends of its 80 % range.
    unit : str
        The unit in words, where the key does not say it.
    note : str
        Where it comes from.

    Raises
    ------
    InputError
        If the key is not a lower-case name or the value is not a scalar.

    Examples
    --------
    >>> result("monthly_cost_usd", 14600.0, 11900.0, 18400.0)
    monthly_cost_usd = 14600.0 (11900.0 to 18400.0)
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", key):
        raise InputError("key", key, "a lower-case name such as monthly_cost_usd")
    fields = {"value": value, "low": low, "high": high, "unit": unit, "note": note}
    record = {name: _plain(name, field) for name, field in fields.items() if field is not None and field != ""}
    span = f" ({record['low']} to {record['high']})" if "low" in record and "high" in record else ""
    publish({RESULT_MIME: {"key": key} | record, "text/plain": f"{key} = {record.get('value')}{span}"})


def _plain(name: str, value: Any) -> Any:
    """Return a scalar as it is stored, a missing number as None; refuse anything that is not a scalar."""
    value = "never" if value == math.inf else units.stored(value)
    if value is not None and not isinstance(value, str | int | float | bool):
        raise InputError(name, value, "a number, a text, true or false")
    return value
