"""Fitting the few named constants, on rows marked ``fit``, and the intervals, from residuals.

``hopperbook calibrate serving`` refits the engines' records, ``interconnect`` the fabrics, ``intervals`` the 80 %
factors; each prints what it found beside what is stored.  Nothing is fitted on a row marked ``judge``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from hopperbook import evidence, evidence_kernels, evidence_serving, facts, kernels_holdout, serving
from hopperbook.errors import InputError
from hopperbook.kernels import collectives

_TIMES = {"host_s": 1e-4, "sequence_s": 5e-6, "eager_layer_s": 1e-4, "frontend_s": 2e-3, "tokenise_s": 2e-6}
#: Engine record, file of rows, and the constants that are fitted with the first step of each.
STAGES: tuple[tuple[str, str, dict[str, float]], ...] = (
    ("trtllm-1.0", "online", _TIMES | {"gemm_excess_s": 2e-6}),
    ("trtllm-mxfp4", "online", _TIMES | {"mxfp4_decode": 0.1, "mxfp4_prefill": 0.2}),
    ("vllm-0.12", "online", _TIMES),
    ("vllm", "online", _TIMES | {"mxfp4_decode": 0.1, "mxfp4_prefill": 0.2}),
    ("sglang", "online", _TIMES),
    (
        "trtllm-0.14",
        "offline_trtllm014",
        {"host_s": 3e-4, "gemm_excess_s": 2e-6, "moe_decode": 0.1, "moe_prefill": 0.1, "age": 0.04},
    ),
)
#: Fabric model and the text in ``fabric`` of the rows that fit it.
FABRICS = {"efa3200": "3200 Gb/s", "efa400": "EFA 400", "infiniband": "CoreWeave InfiniBand"}
SHARE = 0.8
LEAST_ROWS = 20


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


def suspect(rows: pd.DataFrame) -> pd.Series:
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
            each = serving.offline(d, load.input_tokens, load.output_tokens, load.requests_each)[0]
            rate = load.replicas * each
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
    for row in rows[~suspect(rows)].to_dict("records"):
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


def fit_fabric(name: str, rows: pd.DataFrame) -> tuple[dict[str, float], float]:
    """Fit a fabric's start, fill and half size on all-reduce times across nodes.

    Parameters
    ----------
    name : str
        A model of ``data/constants/interconnect.yaml``.
    rows : DataFrame
        Rows of nccl-tests over that fabric.

    Returns
    -------
    constants, error : dict of float and float
        What was found, and the mean absolute log error.
    """
    stored = collectives.constants()[name]
    kept = dict(stored)
    measured = rows["time_us"].astype(float)

    def loss(values: dict[str, float]) -> float:
        stored.update(values)
        found = evidence_kernels.predict_collective(rows, ["time_us"])["time_us"]
        return float(np.mean(np.abs(np.log(found / measured))))

    start = {c: kept[c] for c in ("start_s", "fill_s", "half_bytes")}
    best = descend(loss, start, {c: v / 4 for c, v in start.items()}, 4)
    error = loss(best)
    stored.update(kept)
    return best, error


def factors(ratio: Any) -> dict[str, float]:
    r"""Return the factors between which 80 % of measured / predicted lie, by split conformal order statistics.

    Parameters
    ----------
    ratio : array
        Measured over predicted.

    Returns
    -------
    dict of float
        ``low``, ``high``, ``n``, and the ``median_abs_error`` of predicted over measured.

    Examples
    --------
    >>> factors(np.linspace(0.9, 1.1, 101))["high"]
    1.082
    """
    values = np.sort(np.asarray(ratio, float))
    n, tail = len(values), (1 - SHARE) / 2
    low = values[max(0, int(np.floor((n + 1) * tail)) - 1)]
    high = values[min(n - 1, int(np.ceil((n + 1) * (1 - tail))) - 1)]
    error = round(float(np.median(np.abs(1 / values - 1))), 4)
    return {"low": round(float(low), 4), "high": round(float(high), 4), "n": n, "median_abs_error": error}


def interval_table(answers: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Work out the factors of every family, and of every group of families, from answers with measurements.

    Parameters
    ----------
    answers : DataFrame
        As :func:`hopperbook.evidence.predict` returns them.

    Returns
    -------
    dict
        Factors by family; families with few rows are left to their group.
    """
    judged = answers[answers.error.notna() & (answers.predicted > 0)]
    ratio = judged.measured / judged.predicted
    found: dict[str, dict[str, float]] = {}
    for depth in range(1, 6):
        group = judged.family.str.split("/").str[: depth + 1].str.join("/")
        for family, part in ratio.groupby(group):
            if len(part) >= LEAST_ROWS or depth == 1:
                found[str(family)] = factors(part)
    return dict(sorted(found.items()))


def residuals() -> pd.DataFrame:
    """Answer every row of ``data/measurements``, and hold kernel shapes out of their own tables.

    Returns
    -------
    DataFrame
        Answers with measurements, ``split``, and ``half`` (0: the row gives intervals, 1: it checks them).  Rows that
        constants were fitted on are left out where a family has rows enough without them.
    """
    tables = []
    for path in sorted((facts.DATA / "measurements").glob("*.csv.gz")):
        rows = evidence.read(path)
        rows = rows[~suspect(rows) & (rows.get("suspect", "") != "yes")].reset_index(drop=True)
        answers = evidence.predict(rows).assign(file=path.name.split(".")[0])
        split = rows["split"] if "split" in rows else pd.Series("judge", index=rows.index)
        tables.append(answers.assign(split=answers.row.map(dict(zip(rows.index + 1, split, strict=True)))))
    tables.append(kernels_holdout.answers())
    table = pd.concat(tables, ignore_index=True)
    table = table[table.error.notna()].reset_index(drop=True)
    judged = table.split.eq("judge").groupby(table.family).transform("sum")
    table = table[table.split.eq("judge") | (judged < 2 * LEAST_ROWS)].reset_index(drop=True)
    return table.assign(half=table.groupby("family").cumcount() % 2)


def fit_intervals() -> dict[str, dict[str, float]]:
    """Write ``data/intervals.yaml`` from every second residual, and print the coverage on the others.

    Returns
    -------
    dict
        Factors by family.
    """
    table = residuals()
    found = interval_table(table[table.half == 0])
    text = "# 80 % factors on a prediction, by family. Made by: hopperbook calibrate intervals\n"
    text += "# (every second judged row of data/measurements and of kernel shapes held out of their tables;\n"
    text += "# coverage is shown on the others)\n"
    lines = ["  " + family + ": {" + ", ".join(f"{k}: {v}" for k, v in f.items()) + "}" for family, f in found.items()]
    (facts.DATA / "intervals.yaml").write_text(text + "families:\n" + "\n".join(lines) + "\n")
    evidence.intervals.cache_clear()
    print(coverage(table[table.half == 1]).to_string(index=False))
    return found


def coverage(table: pd.DataFrame) -> pd.DataFrame:
    """Return the share of measurements inside their interval, with errors, by family.

    Parameters
    ----------
    table : DataFrame
        Answers with measurements.

    Returns
    -------
    DataFrame
        ``family n median_abs_error mean_abs_error bias coverage``.
    """
    bounds = np.array([evidence.interval(f, q) for f, q in zip(table.family, table.quantity, strict=True)])
    ratio = table.measured / table.predicted
    inside = (ratio >= bounds[:, 0]) & (ratio <= bounds[:, 1])
    lines = []
    for family, part in table.assign(inside=inside).groupby("family"):
        size = part.error.abs()
        lines.append({"family": family, "n": len(part), "median_abs_error": round(float(size.median()), 4),
                      "mean_abs_error": round(float(size.mean()), 4), "bias": round(float(part.error.median()), 4),
                      "coverage": round(float(part.inside.mean()), 3)})  # fmt: skip
    return pd.DataFrame(lines)


def write_record(path: str, name: str, values: dict[str, float]) -> None:
    """Replace constants of one record in a file of ``data/constants`` whose records are one line each.

    Parameters
    ----------
    path, name : str
        File name and record.
    values : dict of float
        New values.
    """
    file = facts.DATA / "constants" / path
    lines = file.read_text().splitlines()
    for i, line in enumerate(lines):
        if line.startswith(f"  {name}:"):
            for constant, value in values.items():
                lines[i] = line = re.sub(rf"\b{constant}: [^,}}]+", f"{constant}: {_yaml(value)}", line)
    file.write_text("\n".join(lines) + "\n")


def _yaml(value: float) -> str:
    """Write a number so that YAML reads it as one (a float in scientific form needs its point and sign)."""
    text = f"{value:.3g}"
    if "e" in text:
        mantissa, power = text.split("e")
        text = f"{mantissa if '.' in mantissa else mantissa + '.0'}e{int(power):+d}"
    return text


def run(what: str = "all") -> None:
    """Fit what is asked, store it in ``data/`` and print it.

    Parameters
    ----------
    what : str
        ``serving``, ``interconnect``, ``training``, ``intervals`` or ``all``.

    Raises
    ------
    InputError
        If it is none of these.
    """
    choices = ("serving", "interconnect", "training", "intervals", "all")
    if what not in choices:
        raise InputError("what", what, "one of " + ", ".join(choices), choices)
    if what in ("serving", "all"):
        for name, file, steps in STAGES:
            found, errors = fit_engine(name, steps, measurements(file, "fit"))
            write_record("serving.yaml", name, found)
            print(name, {k: _yaml(v) for k, v in found.items()}, {k: round(v, 4) for k, v in errors.items()})
    if what in ("interconnect", "all"):
        rows = measurements("nccl_multinode", "fit")
        for name, text in FABRICS.items():
            chosen = rows[
                rows["fabric"].str.contains(text, regex=False) & (rows["nodes"] != "1") & (rows["time_us"] != "")
            ]
            chosen = chosen[~chosen["fabric"].str.contains("TCP")]
            values, error = fit_fabric(name, chosen)
            write_record("collectives.yaml", name, values)
            print(name, {k: _yaml(v) for k, v in values.items()}, round(error, 4))
    if what in ("training", "all"):
        from hopperbook import calibrate_training

        calibrate_training.run()
    if what in ("intervals", "all"):
        fit_intervals()
