"""Rows of measurements: their kinds, the files they come in, their cells as text and numbers."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hopperbook import facts
from hopperbook.errors import InputError
from hopperbook.later import pandas as pd

MAX_ROWS = 2_000_000


@dataclass(frozen=True)
class Kind:
    """A kind of row: the columns it answers, and the one it cannot do without."""

    name: str
    quantities: tuple[str, ...]
    needs: str = ""  # a column without which the file holds no rows of this kind


_PERCENTILES = ("mean", "p50", "p90", "p95", "p99")
_UNDER_LOAD = (
    *(f"ttft_{of}_ms" for of in _PERCENTILES),
    *(f"tpot_{of}_ms" for of in _PERCENTILES),
    *(f"e2e_{of}_ms" for of in ("mean", "p90", "p99")),
    "itl_mean_ms",
    "output_tokens_per_s",
    "largest_rate_per_s",
)
#: In the order in which a shared column is claimed.
KINDS = (
    Kind("load", _UNDER_LOAD, needs="arrival"),
    Kind("serving", ("output_tokens_per_s", "ttft_ms", "tpot_ms")),
    Kind("kernel", ("latency_ms",)),
    Kind("collective", ("time_us", "algbw_GBs", "busbw_GBs")),
    Kind("training", ("tokens_per_s_per_gpu", "model_tflops_per_gpu", "step_s", "memory_gib")),
    Kind("activation memory", ("activation_gib_per_gpu",)),
    Kind("benchmark", ("value",)),
)


def read(path: str | Path) -> pd.DataFrame:
    """Read a CSV of measurements, gzip or plain, every cell as text.

    Parameters
    ----------
    path : str or Path
        The file.

    Returns
    -------
    DataFrame
        Stripped cells; an empty string where a cell is empty.

    Raises
    ------
    InputError
        If the file is missing, is not a table, repeats a column, or asks for nothing.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError("file", str(path), "an existing CSV file, plain or .gz")
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    try:
        rows = pd.read_csv(
            path, dtype=str, keep_default_na=False, encoding="utf-8-sig", skipinitialspace=True,
            compression="gzip" if packed else None, on_bad_lines="error", index_col=False,
        )  # fmt: skip
    except pd.errors.EmptyDataError:
        raise InputError("file", path.name, "a CSV with a header and rows; this one is empty") from None
    except (
        pd.errors.ParserError,
        pd.errors.ParserWarning,
        UnicodeDecodeError,
        ValueError,
        OSError,
        EOFError,
    ) as problem:
        reason = " ".join(str(problem).split())[:160]
        raise InputError(
            "file", path.name, f"a CSV in UTF-8 with as many cells in each row as its header ({reason})"
        ) from None
    rows.columns = [str(c).strip() for c in rows.columns]
    repeated = [
        c for c in rows.columns if c.rsplit(".", 1)[0] in rows.columns and c.rsplit(".", 1)[-1].isdigit() and "." in c
    ]
    if repeated:
        raise InputError("column", repeated[0].rsplit(".", 1)[0], "each column once in the header")
    if rows.empty:
        raise InputError("file", path.name, "at least one row below the header")
    if len(rows) > MAX_ROWS:
        raise InputError("file", path.name, f"at most {MAX_ROWS:,} rows")
    known = [q for kind in KINDS for q in kind.quantities]
    if not any(q in rows.columns for q in known):
        raise InputError("header", ", ".join(rows.columns), "at least one quantity column: " + ", ".join(known), known)
    return rows.apply(lambda column: column.str.strip())


def cell(row: Mapping[str, str] | pd.Series, column: str, default: str = "") -> str:
    """Return a row's cell as text, or a default where it is empty or missing."""
    value = row.get(column, "") if hasattr(row, "get") else getattr(row, column, "")
    return str(value) if value not in ("", None) else default


def number(
    row: Mapping[str, str] | pd.Series,
    column: str,
    default: float | None = None,
    *,
    whole: bool = False,
    least: float = 0.0,
) -> float | None:
    """Return a row's cell as a number, or a default where it is empty.

    Raises
    ------
    InputError
        If the cell is not a finite number, not whole where it must be, or too small.
    """
    text = cell(row, column)
    if text == "":
        return default
    try:
        value = float(text)
    except ValueError:
        raise InputError(column, text, "a number") from None
    if not math.isfinite(value) or value < least or (whole and value != int(value)):
        raise InputError(column, text, ("a whole number" if whole else "a number") + f" of at least {least:g}")
    return int(value) if whole else value


def alike(rows: pd.DataFrame, columns: Iterable[str]) -> list[str]:
    """Name what each row says in some columns, so that rows that agree in all of them have one name.

    Parameters
    ----------
    rows : DataFrame
        Rows of a file, or answers.
    columns : iterable of str
        Columns of it; an empty cell is empty text.

    Returns
    -------
    list of str
        One name a row.

    Examples
    --------
    >>> alike(pd.DataFrame({"model": ["a", "a"], "gpu": ["H100", None]}), ["model", "gpu"])
    ['a|H100', 'a|']
    """
    text = (rows[column].fillna("").astype(str).tolist() for column in columns)
    return list(map("|".join, zip(*text, strict=True)))


#: What an answer says of its range, and what holds where it says nothing: the family it comes from, the exponent on
#: it, how near the part is that stands in, and by which factor a first token may fall short where the load leaves it
#: open.
ABOUT: dict[str, Any] = {"family": "", "wider": 1.0, "near": "", "reach": 1.0}


def answered(
    rows: pd.DataFrame, quantities: list[str], family: str, answer: Callable[[dict[str, str]], dict[str, Any]]
) -> pd.DataFrame:
    """Answer rows one by one; a row that cannot be answered keeps NaN and says why in its note.

    Parameters
    ----------
    rows : DataFrame
        Text cells.
    quantities : list of str
        Columns asked for.
    family : str
        Of a row whose answer does not name its own.
    answer : callable
        Takes a row, returns what it knows of the columns; raises :class:`InputError` where it cannot.

    Returns
    -------
    DataFrame
        The quantities, ``note`` and what `ABOUT` says of a range.

    Examples
    --------
    >>> answered(pd.DataFrame({"m": ["2", "x"]}), ["m"], "sizes", lambda row: {"m": number(row, "m")}).m.tolist()
    [2.0, nan]
    """
    lines = []
    for row in rows.to_dict("records"):
        line: dict[str, Any] = dict.fromkeys(quantities, math.nan) | ABOUT | {"note": "", "family": family}
        try:
            line |= answer(row)
        except InputError as problem:
            line["note"] = str(problem)
        lines.append({name: line[name] for name in (*quantities, "note", *ABOUT)})
    return pd.DataFrame(lines, index=rows.index)


def plain_gpu(name: str) -> str:
    """Bring the habits of nccl-tests logs ("H100-SXM-80GB (p5.48xlarge)") to a part's name.

    Examples
    --------
    >>> plain_gpu("H200-SXM-141GB")
    'H200 SXM'
    """
    words = name.split("(")[0].replace("-", " ").split()
    for end in range(len(words), 0, -1):
        with contextlib.suppress(InputError):
            return facts.gpu(" ".join(words[:end])).name
    return name.strip()


def gpu_label(name: str) -> str:
    """Return a GPU's standard name, or the text as it was given."""
    try:
        return facts.gpu(plain_gpu(name)).name
    except InputError:
        return name


def measurements(name: str, split: str | None = None) -> pd.DataFrame:
    """Read a file of ``data/measurements`` as text, all rows or those of one split.

    Parameters
    ----------
    name : str
        File name without endings.
    split : str, optional
        ``fit`` or ``judge``.

    Returns
    -------
    DataFrame
        Rows as :func:`hopperbook.evidence.read` gives them.
    """
    rows = read(facts.DATA / "measurements" / f"{name}.csv.gz")
    return rows if split is None else rows[rows["split"] == split].reset_index(drop=True)


def suspect(rows: pd.DataFrame) -> pd.Series:
    """Tell which rows carry a note that their measurement is suspect: nothing is fitted to them.

    Parameters
    ----------
    rows : DataFrame
        Text cells, with ``note`` or without.

    Returns
    -------
    Series of bool
        One entry a row.

    Examples
    --------
    >>> suspect(pd.DataFrame({"note": ["SUSPECT: slower than its neighbours", ""]})).tolist()
    [True, False]
    """
    return rows["note"].str.contains("SUSPECT") if "note" in rows else pd.Series(False, index=rows.index)
