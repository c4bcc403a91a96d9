"""A workbook as the bytes of an XLSX file: the same bytes for the same book, whenever they are made."""

from __future__ import annotations

import io
import zipfile
from datetime import datetime
from pathlib import Path

from hopperbook.workbook.cells import Book

#: How each style is shown; the rest of a format is xlsxwriter's.
STYLES: dict[str, dict[str, object]] = {
    "title": {"bold": True, "font_size": 15},
    "head": {"bold": True, "bottom": 1, "text_wrap": True, "valign": "bottom"},
    "text": {"text_wrap": True, "valign": "top"},
    "strong": {"bold": True, "text_wrap": True, "valign": "top"},
    "note": {"italic": True, "font_color": "#595959"},
    "number": {"num_format": "#,##0.####", "valign": "top"},
    "count": {"num_format": "#,##0", "valign": "top"},
    "input": {"num_format": "#,##0.####", "bg_color": "#FFF2CC", "valign": "top"},
    "percent": {"num_format": "0.0 %", "valign": "top"},
    "percent input": {"num_format": "0.0 %", "bg_color": "#FFF2CC", "valign": "top"},
    "price": {"num_format": "#,##0.0000", "bg_color": "#FFF2CC", "valign": "top"},
    "usd": {"num_format": "#,##0.00", "valign": "top"},
    "usd strong": {"num_format": "#,##0.00", "bold": True, "top": 1, "valign": "top"},
}
#: A workbook says when it was made; ours does not, so that it is the same tomorrow.
MADE = datetime(1980, 1, 1)


def to_bytes(book: Book) -> bytes:
    """Make the file of a workbook.

    Parameters
    ----------
    book : Book
        As :func:`hopperbook.workbook.bill` returns it.

    Returns
    -------
    bytes
        XLSX; a formula carries its value, so that viewers that do not calculate show it. Text is never a formula.

    Examples
    --------
    >>> cell = {"row": 0, "column": 0, "value": "=1+1", "formula": "", "style": "text"}
    >>> made = to_bytes({"name": "a.xlsx", "sheets": [{"name": "One", "widths": [9], "cells": [cell]}]})
    >>> made[:2], b"<f>" in made
    (b'PK', False)
    """
    import xlsxwriter

    buffer = io.BytesIO()
    options = {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    with xlsxwriter.Workbook(buffer, options) as file:
        file.set_properties({"title": "Bill", "created": MADE})
        formats = {name: file.add_format(style) for name, style in STYLES.items()}
        for sheet in book["sheets"]:
            page = file.add_worksheet(sheet["name"])
            page.hide_gridlines(2)
            page.fit_to_pages(1, 0)
            page.set_landscape()
            if foot := sheet.get("foot"):
                page.set_footer("&C" + foot.replace("&", "&&"))
            for column, width in enumerate(sheet["widths"]):
                page.set_column(column, column, width)
            for cell in sheet["cells"]:
                at, style = (cell["row"], cell["column"]), formats[cell["style"]]
                if cell["formula"]:
                    page.write_formula(*at, "=" + cell["formula"], style, cell["value"])
                elif isinstance(cell["value"], str):
                    page.write_string(*at, cell["value"], style)
                else:
                    page.write_number(*at, cell["value"], style)
    return _stored(buffer.getvalue())


def _stored(packed: bytes) -> bytes:
    """Pack an archive again without compression: compressors differ between machines, and so would the bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(packed)) as old, zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as new:
        for entry in old.infolist():
            new.writestr(zipfile.ZipInfo(entry.filename, MADE.timetuple()[:6]), old.read(entry))
    return buffer.getvalue()


def write(book: Book, path: Path) -> None:
    """Write the file of a workbook.

    Parameters
    ----------
    book : Book
        The workbook.
    path : Path
        Where to.
    """
    path.write_bytes(to_bytes(book))
