"""The index of many reports: one page with search and sort, which asks no network for anything.

It lists what every batch into a folder made and still stands there, and what became of the last batch's files.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import re
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hopperbook import units
from hopperbook.errors import InputError
from hopperbook.report import compare, policy, publish

if TYPE_CHECKING:
    from hopperbook.report.batch import Made

STATIC = Path(__file__).parent / "static"
#: Where the rows of the index lie, below the folder of reports.
ROWS = Path(publish.HOUSE) / "index.json"
MARK = '<meta name="generator" content="hopperbook index">'
#: What a batch calls the folder of a report.
FOLDER = re.compile(r"[a-z0-9-]+")
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
    standing = {one.folder: one for one in known(out)}
    rows = [_beside(one, standing.pop(one.folder, None)) for one in made]
    rows += [replace(one, state="earlier", sentence="", kind="") for one in standing.values()]
    _replace(out / ROWS, json.dumps([asdict(one) for one in rows if one.folder], ensure_ascii=False))
    _replace(out / "index.html", page(rows))
    _written["at"] = time.monotonic()


def _beside(one: Made, before: Made | None) -> Made:
    """Return the row of a report; of one that failed while an earlier one stands, with what that one says."""
    return replace(one, headline=before.headline) if before and one.state == "failed" else one


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
        None where no index was written; without rows that no batch can have written.
    """
    from hopperbook.report.batch import Made

    try:
        rows = json.loads((out / ROWS).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return []
    found = []
    for row in rows if isinstance(rows, list) else []:
        with contextlib.suppress(TypeError):  # other fields than those of a row
            one = Made(**row)
            if _is_sound(one) and (out / one.folder / "index.html").is_file():
                found.append(one)
    return found


def _is_sound(one: Made) -> bool:
    """Return whether a row's values are of their types, and its folder is one name."""
    texts = (one.file, one.folder, one.state, one.sentence, one.kind, one.digest)
    if not all(isinstance(text, str) for text in texts) or not isinstance(one.headline, dict):
        return False
    about, money = one.headline, one.headline.get("usd_per_month", [None, None, None])
    words = (about.get(name) for name in ("name", "gpu", "prices_as_of", "cheaper"))
    if not isinstance(money, list) or len(money) != 3 or not all(isinstance(word, str | None) for word in words):
        return False
    numbers = (one.seconds, *(number for number in (*money, about.get("gpus")) if number is not None))
    return bool(FOLDER.fullmatch(one.folder)) and all(compare.is_number(number) for number in numbers)


def refresh(report: Path, state: str) -> None:
    """Say in the index, where it lists a report, what now stands in its place.

    Parameters
    ----------
    report : Path
        The report.
    state : str
        What happened to it.
    """
    from hopperbook.report import headline

    out, folder = report.resolve().parent, report.resolve().name
    rows = known(out)
    if before := next((one for one in rows if one.folder == folder), None):
        now = replace(before, state=state, sentence="", kind="", digest="", headline=headline.again(report))
        now = now if _is_sound(now) else replace(now, headline={})
        write(out, [now if one is before else one for one in rows])


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
    why += "; the report before it stands" if about and one.state == "failed" else ""
    cheaper = about.get("cheaper")
    return [
        f'<td data-key="{escape(name.lower())}">{link}</td>',
        _cell(fleet, fleet),
        _cell(_money(low_value_high), low_value_high[1] if low_value_high[1] is not None else -1),
        _cell(why, why),
        _cell(about.get("prices_as_of", ""), about.get("prices_as_of", "")),
        _cell(f"we would choose {cheaper}" if cheaper else "" if cheaper is None else "no change", cheaper or ""),
        _cell(f"{one.seconds:.1f} s", one.seconds),
    ]


def _cell(shown: str, key: Any) -> str:
    return f'<td data-key="{escape(str(key), quote=True)}">{escape(str(shown))}</td>'


def _money(low_value_high: Sequence[float | None]) -> str:
    low, value, high = low_value_high
    if value is None:
        return ""
    return units.money(value) + (f" ({units.money(low)} to {units.money(high)})" if low and high else "")
