"""How outputs of a chapter become parts of a page: a chart becomes a figure, a result stays unseen."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from myst_nb.core.render import MimeData, MimeRenderPlugin, NbElementRenderer

from hopperbook import units
from hopperbook.charts.base import INK, OTHER_STYLE, PARTS, gpu_style
from hopperbook.display.core import BOOK_MIME, DATA_MIME, RESULT_MIME, escape
from hopperbook.display.figure import CHART_MIME
from hopperbook.report import collect, svg

PLACE = re.compile(r"<!--hb:chart ([0-9a-f]+)-->")


class ChartRenderer(MimeRenderPlugin):
    """MyST-NB's plugin for the book's own mime types."""

    mime_priority_overrides: ClassVar[Any] = [("html", CHART_MIME, 1), ("html", RESULT_MIME, 2)]

    @staticmethod
    def handle_mime(renderer: NbElementRenderer, data: MimeData, inline: bool) -> list[nodes.Element] | None:
        """Return the nodes of a chart or of a result, None for other types.

        Parameters
        ----------
        renderer : NbElementRenderer
            MyST-NB's renderer.
        data : MimeData
            The output.
        inline : bool
            True inside a line of text.

        Returns
        -------
        list of nodes or None
            A figure for a chart, nothing for a result.
        """
        if data.mime_type in (RESULT_MIME, DATA_MIME, BOOK_MIME):
            return [nodes.raw(text="", format="html")]
        if data.mime_type != CHART_MIME or inline:
            return None
        output = {"data": {CHART_MIME: data.content}, "metadata": data.output_metadata}
        html = figure(*collect.chart(output, data.cell_metadata.get("tags", [])))
        return [nodes.raw(text=html, format="html", classes=["output", "hb-chart"])]


def figure(spec: dict[str, Any], about: dict[str, Any]) -> str:
    """Return a chart as a figure: finding, what is drawn, key, a place for its pictures, source, specification.

    Parameters
    ----------
    spec : dict
        The specification in the notebook.
    about : dict
        ``name``, ``title``, ``subtitle``, ``source``, ``alt``, ``key``.

    Returns
    -------
    str
        Safe HTML; the pictures are put in when the page is written.
    """
    shown = svg.variants(spec)
    name, alt = about.get("name", ""), about.get("alt", "")
    places = "".join(
        f'<div class="hb-svg hb-{kind}" role="img" aria-label="{escape(alt)}"><!--hb:chart {svg.digest(each)}--></div>'
        for kind, each in shown.items()
    )
    head = f'<p class="hb-title2">{escape(about.get("title"))}</p>' if about.get("title") else ""
    if about.get("subtitle"):
        head += f'<p class="hb-subtitle">{escape(about["subtitle"])}</p>'
    link = f'<a href="data/{escape(name)}.csv">CSV</a>' if name else ""
    words = " ".join(filter(None, (escape(about.get("source")), link)))
    live = f'<script type="application/json" class="hb-spec">{_json(shared(shown))}</script>' if is_live(shown) else ""
    return (
        f'<figure class="hb hb-figure mathjax_ignore" id="figure-{escape(name)}">{head}{_key(about.get("key", []))}'
        f'<div class="hb-plot">{places}</div><figcaption class="hb-source">{words}</figcaption>'
        f"{numbers(spec, about)}{live}</figure>"
    )


#: Rows and cells of the table behind a chart, so that pages stay light; its CSV holds all.
MOST_ROWS, MOST_CELLS = 200, 1200


def numbers(spec: dict[str, Any], about: dict[str, Any]) -> str:
    """Return the table behind a chart, folded: what its marks show, for those who read or hear numbers.

    Parameters
    ----------
    spec : dict
        The specification in the notebook.
    about : dict
        ``title`` and ``name``.

    Returns
    -------
    str
        Safe HTML; empty where the chart draws no rows.

    Examples
    --------
    >>> shown = numbers({"datasets": {"a": [{"gpu": "H100", "GiB": 79.647}]}}, {"title": "It fits"})
    >>> ">79.6<" in shown, "Show the numbers" in shown
    (True, True)
    """
    columns, rows = collect.chart_data(spec)
    kept = [place for place, _ in enumerate(columns) if any(row[place] not in (None, "") for row in rows)]
    if not kept:
        return ""
    most = min(MOST_ROWS, MOST_CELLS // len(kept))
    head = "".join(f'<th scope="col"{_side(rows[0][place])}>{escape(columns[place])}</th>' for place in kept)
    body = "".join(
        "<tr>" + "".join(f"<td{_side(row[place])}>{escape(_said(row[place]))}</td>" for place in kept) + "</tr>"
        for row in rows[:most]
    )
    cut = f"<p>The first {most} of {len(rows):,} rows; the CSV holds all.</p>" if len(rows) > most else ""
    of = about.get("title") or about.get("name", "")
    return (
        f'<details class="hb-numbers hb-table"><summary>Show the numbers<span class="visually-hidden">: {escape(of)}'
        f'</span></summary><div class="hb-scroll" role="region" tabindex="0" aria-label="Numbers: {escape(of)}">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>{cut}</details>"
    )


def _side(value: Any) -> str:
    """Return the class of a number's cell."""
    return ' class="hb-num"' if isinstance(value, int | float) and not isinstance(value, bool) else ""


def _said(value: Any) -> str:
    """Return a cell in words: numbers to three digits, a list of lines as one."""
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return " ".join(map(str, value))
    return units.integer(value) if float(value).is_integer() else units.number(value, 3)


def _json(value: Any) -> str:
    """Return JSON that is safe inside a script element."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def is_live(specs: dict[str, dict[str, Any]]) -> bool:
    """Return whether a chart answers the reader: by a tooltip or a slider.

    Parameters
    ----------
    specs : dict of dict
        ``wide`` and perhaps ``narrow``.

    Returns
    -------
    bool
        True if the page should load the chart library for it.

    Examples
    --------
    >>> is_live({"wide": {"mark": "bar"}}), is_live({"wide": {"params": [{"name": "n", "bind": {"input": "range"}}]}})
    (False, True)
    """
    text = json.dumps(specs)
    return '"tooltip": [' in text or '"tooltip": {' in text or '"bind": ' in text


def shared(specs: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return specifications with what they have in common written once, under ``common``.

    Parameters
    ----------
    specs : dict of dict
        ``wide`` and perhaps ``narrow``.

    Returns
    -------
    dict of dict
        The same, with ``common`` for the configuration and the data.

    Examples
    --------
    >>> shared({"wide": {"config": 1, "datasets": {"a": []}, "mark": "bar"}})
    {'common': {'datasets': {'a': []}, 'config': 1}, 'wide': {'mark': 'bar'}}
    """
    common: dict[str, Any] = {"datasets": {}}
    for spec in specs.values():
        common |= {key: spec[key] for key in ("$schema", "config") if key in spec}
        common["datasets"] |= spec.get("datasets", {})
    parts = {kind: {key: value for key, value in spec.items() if key not in common} for kind, spec in specs.items()}
    return {"common": common} | parts


def _key(names: list[str]) -> str:
    """Return the key above a figure: a swatch for a part of memory, a dashed line and a shape for a GPU."""
    items = "".join(f'<span class="hb-key-item">{_swatch(name)}{escape(name)}</span>' for name in names)
    return f'<p class="hb-key">{items}</p>' if items else ""


def _swatch(name: str) -> str:
    """Return the mark of a name in the key."""
    if name in PARTS:
        return f'<span class="hb-swatch" style="background:{PARTS[name]}"></span>'
    if name == "capacity":
        return '<span class="hb-swatch-tick"></span>'
    style = gpu_style(name)
    if style != OTHER_STYLE:
        dash = " ".join(map(str, style.dash))
        point = {
            "square": '<rect x="9" y="2" width="8" height="8"/>',
            "circle": '<circle cx="13" cy="6" r="4.2"/>',
            "triangle-up": '<path d="M13 1.5l4.6 8.2h-9.2z"/>',
            "diamond": '<path d="M13 1l5 5-5 5-5-5z"/>',
        }[style.shape]
        return (
            f'<svg class="hb-swatch-line" width="26" height="12" aria-hidden="true" fill="{style.color}">'
            f'<path d="M0 6H26" stroke="{style.color}" stroke-width="2" stroke-dasharray="{dash}"/>{point}</svg>'
        )
    return f'<span class="hb-swatch" style="background:{INK};opacity:.55"></span>'


def fill(body: str, specs: dict[str, dict[str, Any]], folder: Path | None) -> str:
    """Put the pictures into a page.

    Parameters
    ----------
    body : str
        HTML of a page with places for pictures.
    specs : dict of dict
        The page's specifications by their digests.
    folder : Path or None
        Folder of the drawer; None to draw in this process.

    Returns
    -------
    str
        The page with its pictures.
    """
    return PLACE.sub(lambda hit: svg.find(specs[hit[1]], folder), body)
