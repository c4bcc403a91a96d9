"""The index of many reports: one page with search and sort, which asks no network for anything.

It lists what every batch into a folder made and still stands there, and what became of the last batch's files.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hopperbook import units
from hopperbook.errors import InputError
from hopperbook.report import policy, publish

if TYPE_CHECKING:
    from hopperbook.report.batch import Made

STATIC = Path(__file__).parent / "static"
#: Where the rows of the index lie, below the folder of reports.
ROWS = Path(publish.HOUSE) / "index.json"
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
    """Write the index, at one stroke: what was just made, and the reports of earlier batches that still stand.

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
    folders = {one.folder for one in made}
    rows = [*made, *(replace(one, state="earlier") for one in known(out) if one.folder not in folders)]
    _replace(out / ROWS, json.dumps([asdict(one) for one in rows if one.folder], ensure_ascii=False))
    _replace(out / "index.html", page(rows))
    _written["at"] = time.monotonic()


def _replace(path: Path, text: str) -> None:
    """Write a file at one stroke."""
    path.parent.mkdir(exist_ok=True)
    aside = path.with_name(f".{path.name}-{os.getpid()}.part")
    aside.write_text(text, encoding="utf-8")
    os.replace(aside, path)


def known(out: Path) -> list[Made]:
    """Return the rows of reports that batches made in a folder and that still stand there.

    Parameters
    ----------
    out : Path
        Folder of the reports.

    Returns
    -------
    list of Made
        None where no index was written.
    """
    from hopperbook.report.batch import Made

    with contextlib.suppress(OSError, ValueError, TypeError):
        rows = [Made(**row) for row in json.loads((out / ROWS).read_text(encoding="utf-8"))]
        return [one for one in rows if (out / one.folder / "index.html").is_file()]
    return []


def refresh(report: Path, state: str) -> None:
    """Say in the index, where it lists a report, what now stands in its place.

    Parameters
    ----------
    report : Path
        The report.
    state : str
        What happened to it.
    """
    from hopperbook.customer import check
    from hopperbook.report import headline, manifest

    out, folder = report.resolve().parent, report.resolve().name
    rows = known(out)
    if any(one.folder == folder for one in rows):
        about = headline.of(check(manifest.read(report)["parameters"]), report)
        write(out, [replace(one, state=state, headline=about) if one.folder == folder else one for one in rows])


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
