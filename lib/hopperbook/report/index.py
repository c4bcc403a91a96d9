"""The index of many reports: one page with search and sort, which asks no network for anything."""

from __future__ import annotations

import base64
import hashlib
import os
import time
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hopperbook import units
from hopperbook.errors import InputError
from hopperbook.report import policy

if TYPE_CHECKING:
    from hopperbook.report.batch import Made

STATIC = Path(__file__).parent / "static"
MARK = '<meta name="generator" content="hopperbook index">'
#: Seconds between two versions of a page that is still growing.
PAUSE_S = 1.0
COLUMNS = ("Customer", "GPUs", "USD a month", "State", "Prices from", "If an H200 cost 10 % less", "Build time")
_written = {"at": 0.0}


def check_place(out: Path) -> None:
    """Refuse a folder whose index is not ours.

    Parameters
    ----------
    out : Path
        Folder of the reports.

    Raises
    ------
    InputError
        If another page stands there.
    """
    page = out / "index.html"
    if page.exists() and MARK not in page.read_text(encoding="utf-8", errors="replace")[:2000]:
        raise InputError("out", str(out), "a folder for many reports; this one holds another page")


def write(out: Path, made: Sequence[Made], soon: bool = False) -> None:
    """Write the index, at one stroke.

    Parameters
    ----------
    out : Path
        Folder of the reports.
    made : sequence of Made
        What became of each.
    soon : bool
        True where more will come: then not more often than once a second.
    """
    if soon and time.monotonic() - _written["at"] < PAUSE_S:
        return
    aside = out / f".index-{os.getpid()}.part"
    aside.write_text(page(made), encoding="utf-8")
    os.replace(aside, out / "index.html")
    _written["at"] = time.monotonic()


def page(made: Sequence[Made]) -> str:
    """Return the page; whatever customers wrote is text in it.

    Parameters
    ----------
    made : sequence of Made
        What became of each.

    Returns
    -------
    str
        HTML with its style and its script.
    """
    style, script = ((STATIC / f"index.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    seal = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    rules = f"{policy.REST}; script-src 'sha256-{seal}'"
    heads = "".join(f'<th><button type="button">{escape(name)}</button></th>' for name in COLUMNS)
    rows = "\n".join(f"<tr>{''.join(_cells(one))}</tr>" for one in made)
    failed = sum(one.state == "failed" for one in made)
    count = f"{len(made):,} customer" + "s" * (len(made) != 1) + (f", {failed:,} failed" if failed else "")
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n{MARK}\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(rules, quote=True)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Reports</title><style>{style}</style></head><body><main><h1>Reports</h1><p>{count}</p>\n"
        '<label>Search <input type="search" id="search"></label>\n'
        f"<div><table><thead><tr>{heads}</tr></thead><tbody>\n{rows}\n</tbody></table></div></main>"
        f"<script>{script}</script></body></html>\n"
    )


def _cells(one: Made) -> list[str]:
    """Return the cells of a row, each with what it is sorted by."""
    about = one.headline
    name = str(about.get("name") or Path(one.file).name)
    link = f'<a href="{escape(one.folder)}/index.html">{escape(name)}</a>' if about else escape(name)
    gpus, low_value_high = about.get("gpus"), about.get("usd_per_month") or [None, None, None]
    fleet = f"{units.integer(gpus)} × {about.get('gpu')}" if gpus else "none" if about else ""
    why = f"{one.state}: {one.sentence}" if one.sentence else one.state
    cheaper = about.get("cheaper")
    return [
        f'<td data-key="{escape(name.lower())}">{link}</td>',
        _cell(fleet, fleet),
        _cell(_money(low_value_high), low_value_high[1] if low_value_high[1] is not None else -1),
        _cell(why, why),
        _cell(about.get("prices_as_of", ""), about.get("prices_as_of", "")),
        _cell(f"we would choose {cheaper}" if cheaper else "no change" if about else "", cheaper or ""),
        _cell(f"{one.seconds:.1f} s", one.seconds),
    ]


def _cell(shown: str, key: Any) -> str:
    return f'<td data-key="{escape(str(key), quote=True)}">{escape(str(shown))}</td>'


def _money(low_value_high: Sequence[float | None]) -> str:
    low, value, high = low_value_high
    if value is None:
        return ""
    return units.money(value) + (f" ({units.money(low)} to {units.money(high)})" if low and high else "")
