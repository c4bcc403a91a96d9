"""Measurements beside predictions: one format, one answer, for our rows and for a stranger's.

Each *kind* of row is answered by one function, named in :data:`KINDS` and imported when first needed::

    predict_<kind>(rows: DataFrame, quantities: list[str]) -> DataFrame

``rows`` are the asking rows as text (empty string where a cell is empty), indexed by position; ``quantities`` the
quantity columns asked of this kind.  The result has the same index, a float column for each quantity (NaN where there
is no answer), ``note`` (text: what was assumed, or why there is no answer), and optionally ``family`` (whose interval
to use) and ``beyond`` (True where the answer leaves what was measured).  :func:`number` and :func:`cell` read cells.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hopperbook import facts
from hopperbook.errors import InputError

MAX_ROWS = 2_000_000


@dataclass(frozen=True)
class Kind:
    """A kind of row: the columns it answers, those it cannot do without, and the function that answers."""

    name: str
    quantities: tuple[str, ...]
    function: str


#: In the order in which a shared column is claimed.
KINDS = (
    Kind("serving", ("output_tokens_per_s", "ttft_ms", "tpot_ms"), "hopperbook.evidence_serving:predict_serving"),
    Kind("kernel", ("latency_ms",), "hopperbook.evidence_kernels:predict_kernel"),
    Kind("collective", ("time_us", "algbw_GBs", "busbw_GBs"), "hopperbook.evidence_kernels:predict_collective"),
    Kind(
        "training",
        ("tokens_per_s_per_gpu", "model_tflops_per_gpu", "step_s", "memory_gib"),
        "hopperbook.evidence_training:predict_training",
    ),
    Kind("activation memory", ("activation_gib_per_gpu",), "hopperbook.evidence_training:predict_activation"),
    Kind("benchmark", ("value",), "hopperbook.evidence_hpc:predict_hpc"),
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


def cell(row: Any, column: str, default: str = "") -> str:
    """Return a row's cell as text, or a default where it is empty or missing."""
    value = row.get(column, "") if hasattr(row, "get") else getattr(row, column, "")
    return str(value) if value not in ("", None) else default


def number(
    row: Any, column: str, default: float | None = None, *, whole: bool = False, least: float = 0.0
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


def _function(name: str) -> Callable[[pd.DataFrame, list[str]], pd.DataFrame] | None:
    module, _, function = name.partition(":")
    try:
        return getattr(importlib.import_module(module), function)
    except (ModuleNotFoundError, AttributeError) as problem:
        if isinstance(problem, ModuleNotFoundError) and problem.name != module:
            raise
        return None


@cache
def intervals() -> dict[str, dict[str, float]]:
    """Return the 80 % factors of each family from ``data/intervals.yaml``."""
    return facts.read_yaml("intervals.yaml")["families"]


def interval(family: str, quantity: str, beyond: bool = False) -> tuple[float, float]:
    r"""Return the factors that bound 80 % of measurements around a prediction.

    .. math:: \Pr\left[\hat y\, e^{q_{10}} \le y \le \hat y\, e^{q_{90}}\right] \approx 0.8

    Parameters
    ----------
    family : str
        ``kind/quantity`` or finer, such as ``serving/ttft_ms/vllm``; the longest known beginning is used.
    quantity : str
        The quantity, for the fallback.
    beyond : bool
        The prediction leaves what was measured: half as wide again, in logarithms.

    Returns
    -------
    low, high : float
        Factors on the prediction.

    Notes
    -----
    Source: ``vovk-2005-conformal`` (split conformal prediction on log residuals).

    Examples
    --------
    >>> low, high = interval("serving/tpot_ms", "tpot_ms")
    >>> low < 1 < high
    True
    """
    known = intervals()
    while family and family not in known:
        family = family.rpartition("/")[0]
    found = known.get(family) or {"low": 0.8, "high": 1.25}
    wider = 1.5 if beyond else 1.0
    return float(found["low"]) ** wider, float(found["high"]) ** wider


def predict(rows: pd.DataFrame) -> pd.DataFrame:
    """Answer every asked quantity of every row.

    Parameters
    ----------
    rows : DataFrame
        As :func:`read` returns them.

    Returns
    -------
    DataFrame
        One line an answer, in the order of rows and then columns: ``row kind quantity gpu measured predicted low high
        error note family``.
    """
    rows = rows.reset_index(drop=True)
    answers = []
    for kind in KINDS:
        asked = [c for c in rows.columns if c in kind.quantities]
        if not asked:
            continue
        function = _function(kind.function)
        if function is None:
            found = pd.DataFrame(dict.fromkeys(asked, np.nan), index=rows.index).assign(
                note="no calculator for this kind"
            )
        else:
            found = function(rows, asked)
        for quantity in asked:
            answers.append(_answers(rows, found, kind.name, quantity))
    order = {c: i for i, c in enumerate(rows.columns)}
    table = pd.concat(answers, ignore_index=True)
    table["column"] = table.quantity.map(order)
    return table.sort_values(["row", "column"], kind="stable").drop(columns="column").reset_index(drop=True)


def _answers(rows: pd.DataFrame, found: pd.DataFrame, kind: str, quantity: str) -> pd.DataFrame:
    text = rows[quantity]
    measured = pd.to_numeric(text, errors="coerce").to_numpy(float)
    measured = np.where(np.isfinite(measured), measured, np.nan)
    predicted = found[quantity].to_numpy(float)
    predicted = np.where(np.isfinite(predicted) & (predicted >= 0), predicted, np.nan)
    note = found["note"].fillna("").astype(str)
    bad = (text != "") & np.isnan(measured)
    unfit = ~np.isnan(measured) & (measured <= 0)
    note = note.where(~bad, note + "; " + quantity + " is not a number").where(
        ~unfit, note + "; " + quantity + " is not above zero"
    )
    base = found["family"].fillna(kind) if "family" in found else pd.Series(kind, index=rows.index)
    family = base.str.replace(f"^{kind}", f"{kind}/{quantity}", regex=True)
    beyond = found["beyond"].fillna(False).to_numpy(bool) if "beyond" in found else np.zeros(len(rows), bool)
    pairs = pd.DataFrame({"family": family, "beyond": beyond})
    bounds = {key: interval(key[0], quantity, key[1]) for key in set(map(tuple, pairs.to_numpy()))}
    factors = np.array([bounds[key] for key in map(tuple, pairs.to_numpy())]).reshape(-1, 2)
    with np.errstate(invalid="ignore", divide="ignore"):
        error = np.where(measured > 0, predicted / measured - 1, np.nan)
    return pd.DataFrame(
        {
            "row": np.arange(1, len(rows) + 1), "kind": kind, "quantity": quantity,
            "gpu": rows.get("gpu", ""), "measured": measured, "predicted": predicted,
            "low": predicted * factors[:, 0], "high": predicted * factors[:, 1], "error": error,
            "note": note.str.strip("; "), "family": family,
        }
    )  # fmt: skip


def plain_gpu(name: str) -> str:
    """Bring the habits of nccl-tests logs ("H100-SXM-80GB (p5.48xlarge)") to a part's name.

    Examples
    --------
    >>> plain_gpu("H200-SXM-141GB")
    'H200 SXM'
    """
    text = name.split("(")[0].strip().replace("-", " ")
    for part in ("A100 SXM 80GB", "A100 SXM 40GB", "H100 SXM", "H200 SXM"):
        if text.startswith(part):
            return part
    return name.strip()


def gpu_label(name: str) -> str:
    """Return a GPU's standard name, or the text as it was given."""
    try:
        return facts.gpu(plain_gpu(name)).name
    except InputError:
        return name


def summary(answers: pd.DataFrame) -> pd.DataFrame:
    """Sum answers up by kind, quantity and GPU.

    Parameters
    ----------
    answers : DataFrame
        As :func:`predict` returns them.

    Returns
    -------
    DataFrame
        ``kind quantity gpu n unanswered median_abs_error mean_abs_error bias coverage``; ``n`` counts answers that have
        a measurement, ``bias`` is the median error, ``coverage`` the share of measurements within the interval.
    """
    labels = {g: gpu_label(g) for g in answers.gpu.unique()}
    lines = []
    for (kind, quantity, gpu), part in answers.assign(gpu=answers.gpu.map(labels)).groupby(
        ["kind", "quantity", "gpu"], sort=True
    ):
        judged = part[part.error.notna()]
        size = judged.error.abs()
        inside = (judged.measured >= judged.low) & (judged.measured <= judged.high)
        none = len(judged) == 0
        lines.append(
            {
                "kind": kind, "quantity": quantity, "gpu": gpu, "n": len(judged),
                "unanswered": int(part.predicted.isna().sum()),
                "median_abs_error": None if none else float(size.median()),
                "mean_abs_error": None if none else float(size.mean()),
                "bias": None if none else float(judged.error.median()),
                "coverage": None if none else float(inside.mean()),
            }
        )  # fmt: skip
    return pd.DataFrame(lines)


def answer(path: str | Path) -> dict[str, list[dict[str, Any]]]:
    """Read a file of measurements and answer it as ``hopperbook evidence --json`` prints it.

    Parameters
    ----------
    path : str or Path
        A CSV in the format of the chapter "How wrong are we".

    Returns
    -------
    dict
        ``rows`` (one entry for each row and asked quantity) and ``summary`` (by kind, quantity and GPU).

    Raises
    ------
    InputError
        If the file cannot be read or asks for nothing.
    """
    answers = predict(read(path))
    shown = answers.drop(columns="family")
    return {"rows": _records(shown), "summary": _records(summary(answers))}


def scatter(answered: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return the answers that have a measurement, as a chart of predicted against measured wants them.

    Parameters
    ----------
    answered : dict
        As :func:`answer` returns it.

    Returns
    -------
    list of dict
        ``measured predicted gpu label``, above zero.
    """
    rows = [r for r in answered["rows"] if r["measured"] and r["predicted"]]
    return [
        {
            "measured": r["measured"],
            "predicted": r["predicted"],
            "gpu": gpu_label(r["gpu"] or ""),
            "label": r["quantity"],
        }
        for r in rows
    ]


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    plain = table.astype(object).where(table.notna(), None)
    return plain.to_dict("records")
