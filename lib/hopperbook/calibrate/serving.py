"""Fitting the named constants of engines and fabrics, on rows marked ``fit`` alone."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pandas as pd

from hopperbook import facts, serving
from hopperbook.errors import InputError
from hopperbook.evidence import kernels as kernel_rows
from hopperbook.evidence import suspect
from hopperbook.evidence.serving import Load, resolve
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


def serving_loss(
    loads: list[Load], rows: list[dict[str, str]], constants: dict[str, float]
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
        said = {"ttft_ms": row.get("ttft_ms"), "tpot_ms": row.get("tpot_ms")}
        if all(said.values()):
            said["request"] = str(float(row["ttft_ms"]) + tokens * float(row["tpot_ms"]))
        predicted = {"ttft_ms": loop.ttft_s, "tpot_ms": loop.tpot_s, "request": loop.request_s}
        for quantity, measured in said.items():
            if measured:
                errors.setdefault(quantity, []).append(_log(1e3 * predicted[quantity], measured))
    weights = {"ttft_ms": 0.5, "tpot_ms": 1.0, "request": 1.0, "output_tokens_per_s": 1.0}
    size = {q: np.abs(np.array(e)) for q, e in errors.items()}
    loss = sum(weights[q] * float(np.mean(np.minimum(e, 0.25))) for q, e in size.items())
    return loss, {q: float(np.median(e)) for q, e in size.items()} | {
        q + " bias": float(np.median(e)) for q, e in errors.items()
    }


def _log(predicted: float, measured: str | float) -> float:
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
            load = resolve(row)
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
        found = kernel_rows.predict_collective(rows, ["time_us"])["time_us"]
        return float(np.mean(np.abs(np.log(found / measured))))

    start = {c: kept[c] for c in ("start_s", "fill_s", "half_bytes")}
    best = descend(loss, start, {c: v / 4 for c, v in start.items()}, 4)
    error = loss(best)
    stored.update(kept)
    return best, error


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
                lines[i] = line = re.sub(rf"\b{constant}: [^,}}]+", f"{constant}: {yaml_number(value)}", line)
    file.write_text("\n".join(lines) + "\n")


def yaml_number(value: float) -> str:
    """Write a number so that YAML reads it as one (a float in scientific form needs its point and sign)."""
    text = f"{value:.3g}"
    if "e" in text:
        mantissa, power = text.split("e")
        text = f"{mantissa if '.' in mantissa else mantissa + '.0'}e{int(power):+d}"
    return text
