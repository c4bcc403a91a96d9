"""Measurements beside predictions: one format, one answer, for our rows and for a stranger's.

Each *kind* of row of :data:`hopperbook.evidence.rows.KINDS` is answered by one function::

    predict_<kind>(rows: DataFrame, quantities: list[str]) -> DataFrame

``rows`` are the asking rows as text (empty string where a cell is empty), indexed by position; ``quantities`` the
quantity columns asked of this kind.  The result has the same index, a float column for each quantity (NaN where there
is no answer), ``note`` (text: what was assumed, or why there is no answer), and optionally ``family`` (whose interval
to use), ``wider`` (exponent on that interval where the answer leaves what was measured, 1 elsewhere) and ``near`` (how
near the part is that stands in for the one asked about; empty where it was measured).
:func:`hopperbook.evidence.rows.number` and ``cell`` read cells.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from hopperbook.evidence.intervals import interval
from hopperbook.evidence.rows import KINDS, gpu_label, read
from hopperbook.later import pandas as pd


@functools.cache
def _answered_by() -> dict[str, Callable[[pd.DataFrame, list[str]], pd.DataFrame]]:
    """Return the function of each kind of row; they are loaded when the first is asked, for they load this package."""
    from hopperbook.evidence import hpc, kernels, load, serving, training

    return {
        "load": load.predict_load,
        "serving": serving.predict_serving,
        "kernel": kernels.predict_kernel,
        "collective": kernels.predict_collective,
        "training": training.predict_training,
        "activation memory": training.predict_activation,
        "benchmark": hpc.predict_hpc,
    }


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
        error note family reach``.
    """
    rows = rows.reset_index(drop=True)
    answers, claimed = [], set[str]()
    for kind in KINDS:
        asked = [c for c in rows.columns if c in kind.quantities and c not in claimed]
        if not asked or (kind.needs and kind.needs not in rows.columns):
            continue
        claimed |= set(asked)
        found = _answered_by()[kind.name](rows, asked)
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
    wider = found["wider"].fillna(1.0).to_numpy(float) if "wider" in found else np.ones(len(rows))
    near = found["near"].fillna("") if "near" in found else pd.Series("", index=rows.index)
    pairs = pd.DataFrame({"family": family, "wider": wider, "near": near})
    bounds = {key: interval(*key) for key in set(map(tuple, pairs.to_numpy()))}
    factors = np.array([bounds[key] for key in map(tuple, pairs.to_numpy())]).reshape(-1, 2)
    reach = found["reach"].fillna(1.0).to_numpy(float) if "reach" in found and quantity == "ttft_ms" else 1.0
    with np.errstate(invalid="ignore", divide="ignore"):
        error = np.where(measured > 0, predicted / measured - 1, np.nan)
    return pd.DataFrame(
        {
            "row": np.arange(1, len(rows) + 1), "kind": kind, "quantity": quantity,
            "gpu": rows.get("gpu", ""), "measured": measured, "predicted": predicted,
            "low": predicted * factors[:, 0] * reach, "high": predicted * factors[:, 1], "error": error,
            "note": note.str.strip("; "), "family": family, "reach": reach,
        }
    )  # fmt: skip


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
        ranged = judged[judged.low.notna()]
        inside = (ranged.measured >= ranged.low) & (ranged.measured <= ranged.high)
        none = len(judged) == 0
        lines.append(
            {
                "kind": kind, "quantity": quantity, "gpu": gpu, "n": len(judged),
                "unanswered": int(part.predicted.isna().sum()),
                "median_abs_error": None if none else float(size.median()),
                "mean_abs_error": None if none else float(size.mean()),
                "bias": None if none else float(judged.error.median()),
                "coverage": float(inside.mean()) if len(ranged) else None,
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
    shown = answers.drop(columns=["family", "reach"])
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
