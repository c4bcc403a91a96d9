"""Tables: inputs, options, results; and the smallest formula that explains a number."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd

from hopperbook import units
from hopperbook.display.core import DATA_MIME, block, escape, show
from hopperbook.errors import InputError

PHONE_COLUMNS = 4  # beyond which a phone shows each row as a block
PHONE_WORDS = 40  # letters of a text that needs a line of its own there
TALL_ROWS = 40  # beyond which a table scrolls under its heads
KINDS = {"yours": "square", "vendor": "diamond", "measured": "disc", "assumed": "ring"}


class Input(NamedTuple):
    """One input of a chapter.

    Parameters
    ----------
    name : str
        What it is, with its unit: ``Memory that one H100 shows, GiB``.
    value : str
        Formatted value.
    kind : str
        ``yours``, ``vendor``, ``measured`` or ``assumed``.
    source : str
        Where it comes from.
    date : str
        When it was true, as ``2025-10-02``.
    url : str
        The source's address, where a reader may leave the book for it.
    """

    name: str
    value: str
    kind: str
    source: str
    date: str = ""
    url: str = ""


def inputs(rows: Sequence[Input | tuple], note: str = "") -> None:
    """Show the inputs used: value, kind, source and date.

    Parameters
    ----------
    rows : sequence of Input or tuple
        ``(name, value, kind, source, date)`` each.
    note : str
        A sentence below the table.

    Raises
    ------
    InputError
        If a kind is not one of the four.

    Examples
    --------
    >>> inputs([("Users on one replica", "150", "yours", "customer file", "2025-11-20")])
    Users on one replica: 150 (yours; customer file; 2025-11-20)
    """
    body, lines = "", []
    listed = [Input(*each) for each in rows]
    dated = any(row.date for row in listed)
    for row in listed:
        if row.kind not in KINDS:
            raise InputError("kind", row.kind, "yours, vendor, measured or assumed", list(KINDS))
        body += (
            f'<tr><th scope="row">{escape(units.priced(row.name))}</th><td class="hb-num">{escape(row.value)}</td>'
            f'<td><span class="hb-mark hb-{KINDS[row.kind]}"></span>{row.kind}</td>'
            f'<td class="hb-muted">{escape(row.source)}</td>'
            + (f'<td class="hb-muted hb-date">{escape(row.date)}</td></tr>' if dated else "</tr>")
        )
        lines.append(f"{units.priced(row.name)}: {row.value} ({'; '.join(filter(None, row[2:]))})")
    sides = [("Input", "txt"), ("Value", "num"), ("Kind", "txt"), ("Source", "txt")]
    head = _head(sides + [("Date", "txt hb-date")] * dated)
    label = f"Inputs, the first: {listed[0].name}" if listed else "Inputs"  # a page may have several such regions
    html = _scroll(f"<table>{head}<tbody>{body}</tbody></table>", label) + _source(note)
    show(block("table hb-inputs", html), "\n".join([*lines, note] if note else lines))


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Parameters
    ----------
    key : str
        Name of the column in the data.
    head : str, optional
        Heading with its unit; a line break is kept. The key by default.
    fmt : callable, optional
        Formatter from ``hopperbook.units``; numbers without one get ``units.number(x, 3)``, whole numbers separators.
    low, high : str, optional
        Columns that hold the ends of a range, shown below the value.
    below : str, optional
        Column whose text is shown below the value, muted.
    align : str, optional
        ``left`` or ``right``; by default numbers right, words left.

    Examples
    --------
    >>> Column("cost", "USD\\na month", units.money).label
    'USD\\na month'
    """

    key: str
    head: str | None = None
    fmt: Callable[[Any], str] | None = None
    low: str | None = None
    high: str | None = None
    below: str | None = None
    align: str | None = None

    @property
    def label(self) -> str:
        """The heading, or the key; money is headed by the currency in which it is shown."""
        return units.priced(self.key if self.head is None else self.head)


def table(
    data: pd.DataFrame | Sequence[dict],
    columns: Sequence[Column | str] | None = None,
    *,
    strong: int | Collection[int] = (),
    source: str = "",
    name: str = "",
    title: str = "",
    subtitle: str = "",
) -> None:
    """Show a table; numbers right-aligned, units in the head, ranges below in small type.

    Parameters
    ----------
    data : DataFrame or sequence of dict
        One row each.
    columns : sequence of Column or str, optional
        What to show in which order; all columns by default. At most six suit a phone; more scroll sideways.
    strong : int or collection of int
        Positions of rows in bold: the recommended one.
    source : str
        The line below: what it was computed by, sources, date.
    name : str
        A short name; with it the page offers all of ``data`` as CSV.
    title, subtitle : str
        The finding above the table, and what is shown with its unit.

    Examples
    --------
    >>> rows = [{"gpu": "H100", "ms": 66.2, "from": 58, "to": 75}, {"gpu": "H200", "ms": 58.1, "from": 51, "to": 66}]
    >>> table(rows, [Column("gpu", "GPU"), Column("ms", "ms a token", low="from", high="to")], strong=0)
    GPU | ms a token
    H100 | 66.2 (58–75)
    H200 | 58.1 (51–66)
    """
    frame = pd.DataFrame(data)
    picked = [Column(each) if isinstance(each, str) else each for each in (columns or list(map(str, frame.columns)))]
    bold = {strong} if isinstance(strong, int) else set(strong)
    sides = [_side(frame, column) for column in picked]
    body, lines = "", [" | ".join(column.label.replace("\n", " ") for column in picked)]
    for place, row in enumerate(frame.to_dict("records")):
        cells = [_cell(row, column) for column in picked]
        tds = "".join(map(_table_cell, cells, sides, picked, range(len(picked))))
        body += f'<tr class="hb-strong">{tds}</tr>' if place in bold else f"<tr>{tds}</tr>"
        lines.append(" | ".join(first + (f" ({below})" if below else "") for first, below in cells))
    head = _head([(column.label, side) for column, side in zip(picked, sides, strict=True)])
    kind = "table" + " hb-many" * (len(picked) > PHONE_COLUMNS) + " hb-tall" * (len(frame) > TALL_ROWS)
    html = _title(title, subtitle) + _scroll(f"<table>{head}<tbody>{body}</tbody></table>", title or name or "Table")
    extra = {DATA_MIME: _data(name, frame)} if name else None
    made = block(kind, html + _source(source, name), place=f"table-{name}" if name else "")
    show(made, "\n".join([title, *lines] if title else lines), extra)


def _side(frame: pd.DataFrame, column: Column) -> str:
    """Return the class of the side a column leans to: numbers right, words left."""
    if column.align:
        return "num" if column.align == "right" else "txt"
    return "num" if pd.api.types.is_numeric_dtype(frame[column.key]) else "txt"


def _cell(row: dict, column: Column) -> tuple[str, str]:
    """Return a cell's text and the small text below it."""
    below = ""
    if column.low and column.high and not pd.isna(row[column.low]):
        unitless = [_format(row[key], column).split(units.NBSP)[0] for key in (column.low, column.high)]
        below = "–".join(unitless)
    elif column.below:
        below = _format(row[column.below], Column(column.below))
    return _format(row[column.key], column), below


def _format(value: Any, column: Column) -> str:
    """Return a value as text by the column's formatter, or by its type."""
    if value is None or (isinstance(value, float) and pd.isna(value)):
        return "–"
    if column.fmt is not None:
        return column.fmt(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str) or not hasattr(value, "__float__"):
        return str(value)
    return units.integer(value) if float(value).is_integer() and abs(value) < 1e15 else units.number(float(value), 3)


def _table_cell(cell: tuple[str, str], side: str, column: Column, place: int) -> str:
    """Return a cell: the first names its row; the others know their heads, for a phone."""
    if place == 0:
        return f'<th scope="row" class="hb-{side}">{_two_lines(*cell)}</th>'
    head = escape(column.label.replace("\n", " "))
    long = " hb-long" if side == "txt" and len(cell[0]) > PHONE_WORDS else ""
    return f'<td class="hb-{side}{long}" data-label="{head}">{_two_lines(*cell)}</td>'


def _two_lines(first: str, below: str) -> str:
    """Return a cell's HTML with the small line below."""
    return escape(first) + (f'<span class="hb-below">{escape(below)}</span>' if below else "")


def _head(columns: Sequence[tuple[str, str]]) -> str:
    """Return a table head."""
    cells = "".join(f'<th scope="col" class="hb-{side}">{escape(label)}</th>' for label, side in columns)
    return f"<thead><tr>{cells}</tr></thead>"


def _scroll(html: str, label: str) -> str:
    """Return a table that scrolls sideways inside itself on a narrow screen, reachable by keyboard."""
    return f'<div class="hb-scroll" role="region" tabindex="0" aria-label="{escape(label)}">{html}</div>'


def _title(title: str, subtitle: str = "") -> str:
    """Return the finding above a table or figure, and what it shows."""
    html = f'<p class="hb-title2">{escape(title)}</p>' if title else ""
    return html + (f'<p class="hb-subtitle">{escape(subtitle)}</p>' if subtitle else "")


def _source(text: str, name: str = "") -> str:
    """Return the source line, with a link to the data."""
    link = f'<a href="data/{escape(name)}.csv">CSV</a>' if name else ""
    words = " ".join(filter(None, (escape(text), link)))
    return f'<p class="hb-source">{words}</p>' if words else ""


def _data(name: str, frame: pd.DataFrame) -> dict[str, Any]:
    """Return a table's data for the CSV that the page offers."""
    if not name.replace("-", "").replace("_", "").isalnum():
        raise InputError("name", name, "letters, digits and hyphens")
    rows = [[units.stored(cell) for cell in row] for row in frame.itertuples(index=False, name=None)]
    return {"name": name, "columns": [str(column) for column in frame.columns], "rows": rows}


@dataclass(frozen=True)
class Option:
    """One row of the table of options.

    Parameters
    ----------
    verdict : str
        ``Recommended``, ``Cheapest that works``, ``Fastest``, ``Rejected`` or another short word.
    name : str
        What it is, such as ``8 × H100 SXM``.
    values : sequence
        One per column of numbers: text, or a pair of text and range.
    reason : str
        One sentence.
    detail : str
        Small words below the name, such as ``two replicas of four``.
    """

    verdict: str
    name: str
    values: Sequence[str | tuple[str, str]]
    reason: str
    detail: str = ""

    @property
    def mark(self) -> str:
        """Disc for the recommended, cross for the rejected, ring for the rest."""
        word = self.verdict.lower()
        return "disc" if word.startswith("recommended") else "cross" if word.startswith("rejected") else "ring"


def options(rows: Sequence[Option], columns: Sequence[str], source: str = "", title: str = "") -> None:
    """Show the options with verdict marks and reasons; on a phone each becomes a block.

    Parameters
    ----------
    rows : sequence of Option
        Recommended first, rejected last.
    columns : sequence of str
        Heads of the numbers, with units; a line break is kept.
    source : str
        The line below.
    title : str
        What they are options for, where a page has several such tables.

    Examples
    --------
    >>> options([Option("Recommended", "8 × H100 SXM", ["14,600", ("66", "58–75")], "Least cost.", "two replicas")],
    ...         ["USD\\na month", "ms\\na token"])
    Recommended: 8 × H100 SXM (two replicas); USD a month 14,600; ms a token 66 (58–75). Least cost.
    """
    columns = [units.priced(column) for column in columns]
    heads = [("Verdict", "txt"), ("GPUs", "txt"), *((column, "num") for column in columns), ("Reason", "txt")]
    head = "".join(f'<th role="columnheader" scope="col" class="hb-{s}">{escape(label)}</th>' for label, s in heads)
    flat = [re.sub(r"\s*\d+\s*% range$", "", column.replace("\n", " ")) for column in columns]
    body = "".join(_option_row(row, flat) for row in rows)
    html = (
        f'<table role="table"><thead role="rowgroup"><tr role="row">{head}</tr></thead>'
        f'<tbody role="rowgroup">{body}</tbody></table>{_source(source)}'
    )
    words = [title] * bool(title) + [_option_words(row, flat) for row in rows]
    show(block("table hb-options", _title(title) + html), "\n".join(words))


def _pairs(row: Option, columns: Sequence[str]) -> list[tuple[str, str, str]]:
    """Return head, text and range of each number of an option."""
    cells = [(value, "") if isinstance(value, str) else tuple(value) for value in row.values]
    return [(head, first, below) for head, (first, below) in zip(columns, cells, strict=True)]


def _option_row(row: Option, columns: Sequence[str]) -> str:
    """Return an option as a table row whose cells know their heads, for a phone."""
    numbers = "".join(
        f'<td role="cell" class="hb-num" data-label="{escape(head)}">{_two_lines(first, below)}</td>'
        for head, first, below in _pairs(row, columns)
    )
    strong = ' class="hb-strong"' if row.mark == "disc" else ""
    mark = f'<span class="hb-mark hb-{row.mark}"></span>'
    return (
        f'<tr role="row"{strong}><th role="rowheader" scope="row" class="hb-verd">{mark}{escape(row.verdict)}</th>'
        f'<td role="cell" class="hb-what">{_two_lines(row.name, row.detail)}</td>{numbers}'
        f'<td role="cell" class="hb-reason">{escape(row.reason)}</td></tr>'
    )


def _option_words(row: Option, columns: Sequence[str]) -> str:
    """Return an option as a sentence."""
    pairs = _pairs(row, columns)
    figures = "; ".join(f"{head} {first}" + (f" ({below})" if below else "") for head, first, below in pairs)
    return f"{row.verdict}: {row.name}" + (f" ({row.detail})" if row.detail else "") + f"; {figures}. {row.reason}"


def formula(
    factors: Sequence[tuple[str, str] | tuple[str, str, str]],
    result: tuple[str, str],
    steps: Sequence[tuple[str, str]] = (),
) -> None:
    """Show the smallest formula that explains a number, each factor over its name.

    Parameters
    ----------
    factors : sequence of tuple
        ``(value, name)``, or ``(operator, value, name)`` where the operator before it is not a times sign.
    result : tuple of str
        ``(value, name)`` after the equals sign.
    steps : sequence of tuple
        ``(value, words)`` of the way there, such as ``("160 KiB", "a token")``.

    Examples
    --------
    >>> formula([("2", "key, value"), ("80", "layers"), ("÷", "4", "GPUs")], ("40", "tensors"), [("2", "a layer")])
    2 (key, value) × 80 (layers) ÷ 4 (GPUs) = 40 (tensors); 2 a layer
    """
    html, plain = "", ""
    for place, factor in enumerate(factors):
        sign, value, name = factor if len(factor) == 3 else (units.TIMES, *factor)
        shown = sign if place or len(factor) == 3 else ""
        html += _factor(shown, value, name)
        plain += f" {shown} {value} ({name})" if shown else f"{value} ({name})"
    html = f'<div class="hb-factors">{html}{_factor("=", *result, strong=True)}</div>'
    if steps:
        shown_steps = "".join(f"<span><b>{escape(value)}</b> {escape(words)}</span>" for value, words in steps)
        html += f'<p class="hb-steps">{shown_steps}</p>'
    words = "".join(f"; {value} {name}" for value, name in steps)
    show(block("formula", html), f"{plain.strip()} = {result[0]} ({result[1]}){words}")


def _factor(sign: str, value: str, name: str, strong: bool = False) -> str:
    """Return one factor over its name, with the operator before it."""
    before = f'<span class="hb-sign">{escape(sign)}</span>' if sign else ""
    shown = f"<b>{escape(value)}</b>" if strong else f"<span>{escape(value)}</span>"
    return f'<span class="hb-factor">{before}<span class="hb-over">{shown}<small>{escape(name)}</small></span></span>'
