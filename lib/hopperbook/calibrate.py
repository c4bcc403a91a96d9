"""Fitting the few named constants, on rows marked ``fit``, and the intervals, from residuals.

``hopperbook calibrate serving`` refits an engine's record, ``interconnect`` the fabrics, ``intervals`` the 80 % factors;
each prints what it found beside what is stored.  Nothing is fitted on a row marked ``judge``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from hopperbook import evidence, evidence_serving, facts, serving
from hopperbook.errors import InputError

#: Constants that each engine's record fits, with the steps tried (factors; absolute for entries that may be zero).
FITTED = ("host_s", "sequence_s", "gemm_excess_s", "eager_layer_s", "frontend_s", "moe_decode", "moe_prefill", "age")


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
    rows = evidence.read(facts.DATA / "measurements" / f"{name}.csv.gz")
    return rows if split is None else rows[rows["split"] == split].reset_index(drop=True)


def _suspect(rows: pd.DataFrame) -> pd.Series:
    return rows["note"].str.contains("SUSPECT") if "note" in rows else pd.Series(False, index=rows.index)


def serving_loss(
    loads: list[Any], rows: list[dict[str, str]], constants: dict[str, Any]
) -> tuple[float, dict[str, float]]:
    """Mean absolute log error of the quantities that rows hold, under an engine's changed constants.

    Parameters
    ----------
    loads : list of Load
        What the rows ask.
    rows : list of dict
        The rows.
    constants : dict
        Constants of the engine to change.

    Returns
    -------
    loss, parts : float and dict of float
        The clipped mean over rows, and the median absolute error of each quantity.
    """
    variants: dict[int, serving.Deployment] = {}
    errors: dict[str, list[float]] = {}
    for load, row in zip(loads, rows, strict=True):
        d = variants.setdefault(id(load.deployment), serving.with_engine(load.deployment, **constants))
        if load.concurrency is None:
            rate = load.replicas * serving.offline(d, load.input_tokens, load.output_tokens)[0]
            errors.setdefault("output_tokens_per_s", []).append(_log(rate, row["output_tokens_per_s"]))
            continue
        loop = load.loop(d)
        tokens = load.output_tokens * (1 + load.length_ratio) / 2 - 1
        whole = float(row["ttft_ms"]) + tokens * float(row["tpot_ms"])
        errors.setdefault("ttft_ms", []).append(_log(1e3 * loop.ttft_s, row["ttft_ms"]))
        errors.setdefault("tpot_ms", []).append(_log(1e3 * loop.tpot_s, row["tpot_ms"]))
        errors.setdefault("request", []).append(_log(1e3 * loop.request_s, whole))
    weights = {"ttft_ms": 0.5, "tpot_ms": 1.0, "request": 1.0, "output_tokens_per_s": 1.0}
    size = {q: np.abs(np.array(e)) for q, e in errors.items()}
    loss = sum(weights[q] * float(np.mean(np.minimum(e, 0.25))) for q, e in size.items())
    return loss, {q: float(np.median(e)) for q, e in size.items()} | {
        q + " bias": float(np.median(e)) for q, e in errors.items()
    }


def _log(predicted: float, measured: Any) -> float:
    return float(np.log(max(predicted, 1e-9) / float(measured)))


def descend(
    loss: Callable[[dict[str, float]], float], start: dict[str, float], steps: dict[str, float], rounds: int = 3
) -> dict[str, float]:
    """Lower a loss one constant at a time, halving each step when it no longer helps.

    Parameters
    ----------
    loss : callable
        From constants to a number.
    start : dict of float
        First constants.
    steps : dict of float
        First step of each, in its own unit.
    rounds : int
        How often the steps are halved.

    Returns
    -------
    dict of float
        Constants at the lowest loss found, never below zero.

    Examples
    --------
    >>> descend(lambda c: abs(c["a"] - 3.0), {"a": 0.0}, {"a": 1.0})["a"]
    3.0
    """
    best, value = dict(start), loss(start)
    steps = dict(steps)
    for _ in range(rounds):
        improved = True
        while improved:
            improved = False
            for name, step in steps.items():
                for sign in (1, -1):
                    trial = best | {name: max(0.0, best[name] + sign * step)}
                    found = loss(trial) if trial != best else value
                    if found < value - 1e-5:
                        best, value, improved = trial, found, True
                        break
        steps = {name: step / 2 for name, step in steps.items()}
    return best


def fit_engine(name: str, steps: dict[str, float], rows: pd.DataFrame) -> tuple[dict[str, float], dict[str, float]]:
    """Fit an engine's constants on rows of measurements.

    Parameters
    ----------
    name : str
        A record of ``data/constants/serving.yaml``.
    steps : dict of float
        Which constants, and the first step of each.
    rows : DataFrame
        Rows marked ``fit``; those of other engines are left out.

    Returns
    -------
    constants, errors : dict of float
        What was found, and the median absolute errors on these rows.
    """
    kept, loads = [], []
    for row in rows[~_suspect(rows)].to_dict("records"):
        try:
            load = evidence_serving.resolve(row)
        except InputError:
            continue
        if load.deployment.engine.name == name:
            kept.append(row)
            loads.append(load)
    record = serving.engines()[name]
    start = {c: float(getattr(record, c)) for c in steps}
    found = descend(lambda c: serving_loss(loads, kept, c)[0], start, steps)
    return found, serving_loss(loads, kept, found)[1]
