"""What a report was made from, to the byte: ``manifest.json``, without clock, host or folder."""

from __future__ import annotations

import csv
import hashlib
import inspect
import json
import platform
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hopperbook import facts, reads
from hopperbook.errors import InputError
from hopperbook.report import given
from hopperbook.report.kept import inputs
from hopperbook.report.kept.store import digest, digest_file

NAME = "manifest.json"
FORMAT = 1
#: What every manifest holds, each by name, and what it may hold beside.
GROUPS = ("parameters", "versions", "settings", "chapters", "facts", "files")
MORE = ("own_files", "look", "usd_per_gpu_hour")
PACKAGES = ("altair", "jupyter-book", "myst-nb", "numba", "numpy", "pandas", "scipy", "sphinx", "vl-convert-python")


def made_from(parameters: Mapping[str, Any], chapters: Sequence[Path], title: str | None = None) -> dict[str, Any]:
    """Return everything that decides what a report holds.

    Parameters
    ----------
    parameters : mapping
        The customer's fields.
    chapters : sequence of Path
        The chapters' notebooks.
    title : str, optional
        The title in the side bar.

    Returns
    -------
    dict
        Parameters, versions, and digests of facts, code, settings and chapters.
    """
    known = inputs.at_start()
    code = {name: value for name, value in known.items() if name.startswith("lib/")}
    return {
        "format": FORMAT,
        "title": title or "",
        "parameters": given.shown(parameters),
        "own_files": {name: digest_file(path) for name, path in given.own_files(parameters).items()},
        "look": {name: digest_file(path) for name, path in given.look_files(parameters).items()},
        "versions": {"hopperbook": version("hopperbook"), "python": platform.python_version()}
        | {name: version(name) for name in PACKAGES},
        "library": digest(code),
        "settings": {name: known[name] for name in inputs.SETTINGS},
        "chapters": {path.stem: digest_file(path) for path in chapters},
        "facts": {name: value for name, value in known.items() if name.startswith("data/")},
    }


def about(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return what helps to read a report years later: dates, rows, seeds, and the prices that it was made with.

    Parameters
    ----------
    parameters : mapping
        The customer's fields.

    Returns
    -------
    dict
        Plain values.
    """
    dates = [str(date)[:10] for date in facts.table("prices").date if str(date)[:1].isdigit()]
    return {
        "prices_as_of": max(dates, default=""),
        "rows": {path.stem: _rows(path) for path in sorted(facts.DATA.glob("*.csv"))},
        "seeds": _seeds(),
        "usd_per_gpu_hour": _prices(parameters),
    }


def _rows(path: Path) -> int:
    """Return the rows of a table, without its head."""
    with reads.unnoted(), path.open(encoding="utf-8", newline="") as file:
        return sum(1 for _ in csv.reader(file)) - 1


def _seeds() -> dict[str, int]:
    """Return the seeds of what is drawn at random: they stand as defaults where it is drawn."""
    from hopperbook import planner, serving

    drawn: dict[str, Callable[..., Any]] = {"traffic": serving.traffic.draw, "rehearsal": planner.rehearse}
    return {name: int(inspect.signature(call).parameters["seed"].default) for name, call in drawn.items()}


def _prices(parameters: Mapping[str, Any]) -> dict[str, list[float]]:
    """Return the price of an hour of each planned part on the customer's market: low, typical, high."""
    market = str(parameters.get("market", "other"))
    found = {}
    for part in facts.planned():
        for tenure in ("on_demand", "reserved"):
            try:
                price = facts.price(part, market, tenure)
            except InputError:
                continue
            found[f"{part}, {tenure}"] = [price.low, price.typical, price.high]
    return found


def write(site: Path, source: Mapping[str, Any]) -> None:
    """Write a report's manifest: what it was made from, and the digest of every file in it.

    Parameters
    ----------
    site : Path
        The report, complete but for this file.
    source : mapping
        As :func:`made_from` returns it, with more as wanted.
    """
    content = {**source, "files": listing(site)}
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    (site / NAME).write_text(text, encoding="utf-8")


def listing(site: Path) -> dict[str, str]:
    """Return the digest of every file of a report but its manifest.

    Parameters
    ----------
    site : Path
        The report.

    Returns
    -------
    dict of str
        By path below the report.
    """
    files = sorted(path for path in site.rglob("*") if path.is_file())
    found = {path.relative_to(site).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    return {name: value for name, value in found.items() if name != NAME}


def read(site: Path) -> dict[str, Any]:
    """Return a report's manifest.

    Parameters
    ----------
    site : Path
        The report.

    Returns
    -------
    dict
        Its content.

    Raises
    ------
    InputError
        If there is none, or it is none.
    """
    try:
        content = json.loads((site / NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        content = None
    if not _is_whole(content):
        raise InputError("report", str(site), f"a built report with its {NAME}")
    return content


def _is_whole(content: Any) -> bool:
    """Return whether a manifest holds a title and its groups, each of them by name."""
    if not isinstance(content, dict) or not isinstance(content.get("title"), str):
        return False
    groups = [content.get(name) for name in GROUPS] + [content.get(name, {}) for name in MORE]
    return all(isinstance(group, dict) for group in groups)


def is_current(site: Path, source: Mapping[str, Any]) -> bool:
    """Return whether a report was made from just this, and is still as it was made.

    Parameters
    ----------
    site : Path
        The report, or nothing.
    source : mapping
        As :func:`made_from` returns it.

    Returns
    -------
    bool
        False in any doubt.
    """
    try:
        known = read(site)
        same = all(known.get(name) == json.loads(json.dumps(value)) for name, value in source.items())
        return same and known["files"] == listing(site)
    except (InputError, OSError):
        return False
