"""What chapters hand over besides their pages: figures for ``results.json`` and data as CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hopperbook.charts.base import HALF
from hopperbook.display.core import BOOK_MIME, DATA_MIME, FILE_MIME, RESULT_MIME
from hopperbook.display.figure import CHART_MIME
from hopperbook.errors import InputError
from hopperbook.report import svg


def outputs(notebook: dict[str, Any]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield the rich outputs of a notebook.

    Parameters
    ----------
    notebook : dict
        A notebook as read from its file.

    Yields
    ------
    tuple of dict
        Content by mime type, and metadata.
    """
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            if "data" in output:
                yield output["data"], output.get("metadata", {})


def charts(notebook: dict[str, Any]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield the charts of a notebook as the page draws them, with what is said of them.

    Parameters
    ----------
    notebook : dict
        A notebook as read from its file.

    Yields
    ------
    tuple of dict
        Specification, and name, title, subtitle, source, alternative text and key.
    """
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            if CHART_MIME in output.get("data", {}):
                yield chart(output, cell["metadata"].get("tags", []))


def chart(output: dict[str, Any], tags: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return an output's chart; in a cell tagged ``left`` or ``right`` it gets the width of half a page.

    Parameters
    ----------
    output : dict
        An output that holds a chart.
    tags : sequence of str
        The tags of its cell.

    Returns
    -------
    tuple of dict
        Specification, and what is said of it.
    """
    spec = output["data"][CHART_MIME]
    if {"left", "right"} & set(tags) and isinstance(spec.get("width"), int | float):
        spec = spec | {"width": min(spec["width"], HALF)}
    return spec, output.get("metadata", {}).get("hopperbook", {})


def results(notebooks: Sequence[Path]) -> dict[str, Any]:
    """Return the figures that chapters put out by ``display.result``.

    Parameters
    ----------
    notebooks : sequence of Path
        Executed notebooks.

    Returns
    -------
    dict
        Under each key the value with its range, and the chapter it comes from.

    Raises
    ------
    InputError
        If two figures share a key.
    """
    found: dict[str, Any] = {}
    for path in notebooks:
        for content, _ in outputs(json.loads(path.read_text(encoding="utf-8"))):
            if RESULT_MIME in content:
                record = dict(content[RESULT_MIME])
                key = record.pop("key")
                if key in found:
                    raise InputError("key", key, f"a key not used before (also in {found[key]['chapter']})")
                found[key] = record | {"chapter": path.stem}
    return dict(sorted(found.items()))


def files(notebooks: Sequence[Path]) -> dict[str, str]:
    """Return the files that chapters put out by ``display.file``.

    Parameters
    ----------
    notebooks : sequence of Path
        Executed notebooks.

    Returns
    -------
    dict
        Text by name.
    """
    found = {}
    for path in notebooks:
        for content, _ in outputs(json.loads(path.read_text(encoding="utf-8"))):
            if FILE_MIME in content:
                found[content[FILE_MIME]["name"]] = content[FILE_MIME]["text"]
    return found


def workbooks(notebook: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the workbooks that a chapter put out by ``display.workbook``.

    Parameters
    ----------
    notebook : dict
        An executed notebook.

    Returns
    -------
    dict of dict
        As plain values, by file name.
    """
    found = (content[BOOK_MIME] for content, _ in outputs(notebook) if BOOK_MIME in content)
    return {book["name"]: {"name": book["name"], "sheets": json.loads(book["sheets"])} for book in found}


def specifications(notebook: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the specifications that a chapter's page draws, by their digests.

    Parameters
    ----------
    notebook : dict
        An executed notebook.

    Returns
    -------
    dict of dict
        Wide and narrow specifications.
    """
    return {svg.digest(each): each for spec, _ in charts(notebook) for each in svg.variants(spec).values()}


def tables(notebook: dict[str, Any]) -> dict[str, str]:
    """Return the data of a chapter's figures and named tables as CSV.

    Parameters
    ----------
    notebook : dict
        An executed notebook.

    Returns
    -------
    dict of str
        CSV text by name, in the chapter's order.

    Raises
    ------
    InputError
        If two share a name.
    """
    found: dict[str, str] = {}
    for content, metadata in outputs(notebook):
        name, text = "", ""
        if CHART_MIME in content:
            name = metadata.get("hopperbook", {}).get("name", "")
            text = to_csv(*chart_data(content[CHART_MIME])) if name else ""
        elif DATA_MIME in content:
            name = content[DATA_MIME]["name"]
            text = to_csv(content[DATA_MIME]["columns"], content[DATA_MIME]["rows"])
        if name in found:
            raise InputError("name", name, "a name that no other figure or table of the chapter bears")
        if name:
            found[name] = text
    return found


def chart_data(spec: dict[str, Any]) -> tuple[list[str], list[list[Any]]]:
    """Return the data that a chart draws: its largest set of rows, without the columns that only place words.

    A column that an axis or a tooltip shows bears its title there, which says the unit.

    Parameters
    ----------
    spec : dict
        A Vega-Lite specification.

    Returns
    -------
    tuple
        Column names, rows.

    Examples
    --------
    >>> chart_data({"datasets": {"a": [{"x": 1, "_dx": 3}], "b": []}})
    (['x'], [[1]])
    >>> titled = {"encoding": {"x": {"field": "x", "title": "USD a month"}}}
    >>> chart_data(titled | {"datasets": {"a": [{"x": 1, "gpu": "H100"}]}})[0]
    ['USD a month', 'gpu']
    """
    columns, rows = _rows(spec)
    titles = _titles(spec)
    heads = [titles.get(column, column) for column in columns]
    return [head if heads.count(head) == 1 else column for head, column in zip(heads, columns, strict=True)], rows


def _titles(part: Any) -> dict[str, str]:
    """Return the titles that a chart gives to fields, the first of each; a title for several fields names none."""
    found: dict[str, str] = {}
    inside = part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
    for value in inside:
        found = _titles(value) | found
    if isinstance(part, dict) and isinstance(part.get("field"), str) and isinstance(part.get("title"), str):
        found = {part["field"]: part["title"].strip()} | found
    return {field: title for field, title in found.items() if title}


def _rows(spec: dict[str, Any]) -> tuple[list[str], list[list[Any]]]:
    """Return the columns and rows that a chart says are its data, else its largest set of rows."""
    given = spec.get("usermeta", {}).get("hopperbook", {}).get("csv")
    if given:
        return given["columns"], given["rows"]
    sets = [*spec.get("datasets", {}).values(), spec.get("data", {}).get("values", [])]
    rows = max(sets, key=lambda each: sum(len(row) for row in each))
    columns = list(dict.fromkeys(key for row in rows for key in row if not key.startswith("_")))
    return columns, [[row.get(column) for column in columns] for row in rows]


def to_csv(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return a table as CSV; a cell that a spreadsheet would run as a formula is quoted with an apostrophe.

    Parameters
    ----------
    columns : sequence of str
        Heads.
    rows : sequence of sequence
        Cells; None is empty.

    Returns
    -------
    str
        Lines ended by a line feed.

    Examples
    --------
    >>> to_csv(["gpu", "ms"], [["H100", 66.2], ["=cmd()", -1]])
    "gpu,ms\\nH100,66.2\\n'=cmd(),-1\\n"
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([_tame(column) for column in columns])
    writer.writerows([[_tame(cell) for cell in row] for row in rows])
    return buffer.getvalue()


def _tame(cell: Any) -> Any:
    """Return a cell that no spreadsheet runs."""
    if isinstance(cell, list):
        cell = " ".join(map(str, cell))
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in "=+@-\t\r" and cell[:1] else cell
