"""Rental quotes from a CSV taken into ``data/prices.csv``: checked row by row, all of them or none."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from hopperbook.errors import InputError
from hopperbook.facts import prices, tables
from hopperbook.facts.parts import gpu, gpus

NEEDED = ("provider", "gpu", "usd_per_gpu_hour", "date")
OPTIONAL = ("market", "tenure", "gpus", "region", "instance", "currency", "note")
MOST_ROWS = 100_000
EARLIEST = date(2020, 1, 1)
#: A price this many times above the highest or below the lowest on file is a mistake of units.
ABSURD = 5.0
SOURCE = "own-quotes"


class Change(NamedTuple):
    """A price before and after quotes were taken in, USD per GPU-hour; NaN where there was none."""

    gpu: str
    market: str
    tenure: str
    before: float
    after: float
    providers: int


def read(path: Path, today: date) -> pd.DataFrame:
    """Read quotes and check each.

    Parameters
    ----------
    path : Path
        CSV with ``provider, gpu, usd_per_gpu_hour, date`` and, where known, ``market, tenure, gpus, region, instance,
        currency, note``.
    today : date
        No quote is of a later day.

    Returns
    -------
    DataFrame
        Rows with the columns of ``data/prices.csv``.

    Raises
    ------
    InputError
        For the first cell that cannot be used, naming its row and column.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "quotes.csv"
    ...     _ = path.write_text("provider,gpu,usd_per_gpu_hour,date\\nacme,H100,2.75,2026-08-20\\n")
    ...     found = read(path, date(2026, 9, 1))
    >>> found.gpu[0], float(found.usd_per_gpu_hour[0]), found.tenure[0]
    ('H100 SXM', 2.75, 'on_demand')
    """
    rows, known = _cells(path), tables.table("prices")
    found = [_quote(Row(number, cells), path.name, known, today) for number, cells in enumerate(rows, start=2)]
    columns = known.columns.tolist()
    _refuse_twice(found, known)
    return pd.DataFrame(found, columns=columns)


def _cells(path: Path) -> list[dict[str, str]]:
    """Return a file's cells as text, its header checked."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError, ValueError):
        raise InputError("file", path.name, "a CSV in UTF-8 that may be read") from None
    reader = csv.DictReader(io.StringIO(text), strict=True)
    header = [name.strip() for name in reader.fieldnames or []]
    for name in NEEDED:
        if name not in header:
            allowed = f"a CSV with the columns {', '.join(NEEDED)}; {name} is missing"
            raise InputError("file", ",".join(header)[:80], allowed)
    for name in header:
        if name not in (*NEEDED, *OPTIONAL) or header.count(name) > 1:
            raise InputError("column", name, "each once: " + ", ".join((*NEEDED, *OPTIONAL)), (*NEEDED, *OPTIONAL))
    reader.fieldnames = header
    try:
        rows = [dict(row) for row in reader]
    except csv.Error as error:
        raise InputError("file", path.name, f"a CSV ({error})") from None
    if not 1 <= len(rows) <= MOST_ROWS:
        raise InputError("file", f"{len(rows)} rows", f"1 to {MOST_ROWS:,} rows")
    for number, row in enumerate(rows, start=2):
        if None in row or None in row.values():
            count = sum(len(value) if isinstance(value, list) else value is not None for value in row.values())
            raise InputError(f"row {number}", count, f"{len(header)} cells; a decimal comma makes two of one")
    return [{name: (value or "").strip() for name, value in row.items()} for row in rows]


class Row(NamedTuple):
    """A row of the file: its number there, and its cells."""

    number: int
    cells: dict[str, str]

    def cell(self, column: str, default: str = "") -> str:
        """Return a cell, or what stands for an empty one."""
        return self.cells.get(column, "") or default

    def refuse(self, column: str, allowed: str, nearest: str | Iterable[str] | None = None) -> InputError:
        """Return the complaint about a cell."""
        return InputError(f"row {self.number}, {column}", self.cell(column), allowed, nearest)

    def one_of(self, column: str, choices: Sequence[str], default: str) -> str:
        """Return a cell that must be one of some words."""
        value = self.cell(column, default)
        if value not in choices:
            raise self.refuse(column, "one of " + ", ".join(choices), choices)
        return value


def _quote(row: Row, file: str, known: pd.DataFrame, today: date) -> dict[str, object]:
    """Check one row, and return it with the columns of ``data/prices.csv``."""
    row.one_of("currency", ("USD",), "USD")
    provider, count = row.cell("provider").lower(), row.cell("gpus", "1")
    if not provider or not provider.isprintable() or len(provider) > 60:
        raise row.refuse("provider", "a name of 1 to 60 characters")
    if not count.isdecimal() or not 1 <= int(count[:9]) <= 100_000:
        raise row.refuse("gpus", "a whole number from 1 to 100,000")
    try:
        part = gpu(row.cell("gpu")).name
    except InputError:
        raise row.refuse("gpu", "a GPU on file", gpus()) from None
    likely = "hyperscaler" if provider in set(known.provider[known.market == "hyperscaler"]) else "other"
    return {
        "provider": provider, "broker": "", "market": row.one_of("market", prices.MARKETS, likely), "gpu": part,
        "gpus": int(count), "tenure": row.one_of("tenure", prices.TENURES, "on_demand"),
        "usd_per_gpu_hour": _usd(row, part, known), "region": row.cell("region"), "instance": row.cell("instance"),
        "date": _day(row, today), "date_until": "", "source": SOURCE, "locator": f"{file} row {row.number}",
        "note": row.cell("note"),
    }  # fmt: skip


def _usd(row: Row, part: str, known: pd.DataFrame) -> float:
    """Return a price that can be one, by what others ask for the part."""
    try:
        usd = float(row.cell("usd_per_gpu_hour"))
    except ValueError:
        raise row.refuse("usd_per_gpu_hour", "a number with a decimal point, such as 2.75") from None
    others = known[known.gpu == part].usd_per_gpu_hour
    low, high = (others.min() / ABSURD, others.max() * ABSURD) if len(others) else (0.01, 200.0)
    if not low <= usd <= high:
        allowed = f"USD per GPU-hour from {low:.2g} to {high:.3g}, by what others ask for {part}"
        raise row.refuse("usd_per_gpu_hour", allowed)
    return usd


def _day(row: Row, today: date) -> str:
    """Return a day on which a quote can have been made."""
    try:
        day = date.fromisoformat(row.cell("date"))
    except ValueError:
        raise row.refuse("date", "a day such as 2026-08-23") from None
    if not EARLIEST <= day <= today:
        raise row.refuse("date", f"a day from {EARLIEST} to {today}")
    return day.isoformat()


def _refuse_twice(found: list[dict[str, object]], known: pd.DataFrame) -> None:
    """Refuse a quote that is on file, or stands twice."""
    keys = ("provider", "gpu", "gpus", "tenure", "usd_per_gpu_hour", "region", "date")
    seen = {tuple(row) for row in known[list(keys)].itertuples(index=False)}
    for row in found:
        key = tuple(row[name] for name in keys)
        if key in seen:
            raise InputError(str(row["locator"]), f"{key[0]} {key[1]} {key[4]}", "each quote once; this one is on file")
        seen.add(key)


def take_in(path: Path, today: date) -> list[Change]:
    """Take quotes into ``data/prices.csv``, and say which prices moved.

    Parameters
    ----------
    path : Path
        CSV, as :func:`read` takes it.
    today : date
        No quote is of a later day.

    Returns
    -------
    list of Change
        Of the parts, markets and tenures that were quoted.

    Raises
    ------
    InputError
        As :func:`read`; nothing is changed then.
    """
    quotes = read(path, today)
    rows = zip(quotes.gpu, quotes.market, quotes.tenure, strict=True)
    keys = sorted({(str(part), str(market), str(tenure)) for part, market, tenure in rows})
    before = {key: _typical(*key) for key in keys}
    target = tables.DATA / "prices.csv"
    beside = target.with_suffix(".new")
    lines = quotes.to_csv(index=False, header=False, lineterminator="\n")
    text = target.read_text(encoding="utf-8")
    beside.write_text(text + ("" if text.endswith("\n") else "\n") + lines, encoding="utf-8")
    os.replace(beside, target)
    tables.records.cache_clear()
    tables._frame.cache_clear()
    prices.forget()
    after = {key: _typical(*key) for key in keys}
    return [Change(g, m, t, before[g, m, t][0], after[g, m, t][0], after[g, m, t][1]) for g, m, t in keys]


def _typical(gpu: str, market: str, tenure: str) -> tuple[float, int]:
    try:
        found = prices.price(gpu, market, tenure)
    except InputError:
        return float("nan"), 0
    return found.typical, found.count
