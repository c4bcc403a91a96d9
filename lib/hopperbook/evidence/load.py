"""Answers to rows that measure serving under load: requests that arrive over time; means and percentiles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from hopperbook.errors import InputError
from hopperbook.evidence.beyond import own_family, serving_beyond, together
from hopperbook.evidence.rows import answered, cell, number
from hopperbook.evidence.serving import Load, resolve
from hopperbook.serving import Deployment, with_engine
from hopperbook.serving.clock import Floats
from hopperbook.serving.events import Limits, Requests, Run, replay
from hopperbook.serving.traffic import ARRIVALS, Traffic, draw, largest_rate_per_s

#: Requests of a run that does not say how many it had, and the most that one replica is asked.
REQUESTS, MOST_REQUESTS = 1000, 50_000
_LATENCIES: dict[str, Callable[[Run], Floats]] = {
    "ttft": lambda run: run.ttft,
    "tpot": lambda run: run.tpot[run.tokens > 1],
    "e2e": lambda run: run.request,
}


def predict_load(rows: pd.DataFrame, quantities: list[str]) -> pd.DataFrame:
    """Answer rows under load by replaying their traffic on one of their replicas.

    Parameters
    ----------
    rows : DataFrame
        Text cells; ``arrival`` says how requests come, ``rate_per_s`` is that of the whole system.
    quantities : list of str
        Such as ``ttft_mean_ms``, ``tpot_p99_ms``, ``e2e_mean_ms`` or ``largest_rate_per_s``.

    Returns
    -------
    DataFrame
        The quantities, ``note``, ``family`` and ``wider``.
    """
    return answered(rows, quantities, "load", lambda row: _answer(row, quantities))


def _answer(row: dict[str, str], quantities: list[str]) -> dict[str, Any]:
    """Answer one row: all latencies from one run, the largest rate from a search."""
    whole = {name: str(round(number(row, name, least=1) or 1)) for name in ("input_tokens", "output_tokens")}
    load = resolve(row | whole | {"concurrency": "", "requests": ""})
    d, traffic, limits = _as_run(row, load.deployment), _traffic(row, load.replicas), _limits(row, load)
    line: dict[str, Any] = {
        "family": f"load/{'at_once' if traffic.arrival == 'at_once' else 'over_time'}/{own_family(d)}",
        "wider": together(serving_beyond(d)),
        "near": d.gpu.stand_in["serving"],
        "note": "; ".join(
            filter(None, [load.note, f"{traffic.requests:,} requests to each of {load.replicas} replicas"])
        ),
    }
    asked = [name for name in quantities if name != "largest_rate_per_s" and cell(row, name)]
    if asked or not cell(row, "largest_rate_per_s"):
        run = replay(d, _requests(row, traffic, load.replicas), limits)
        line |= {name: _read(run, name, load.replicas) for name in quantities if name != "largest_rate_per_s"}
    if "largest_rate_per_s" in quantities and cell(row, "ttft_limit_p99_ms"):
        ends = [(number(row, f"{name}_limit_p99_ms") or 0.0) / 1e3 for name in ("ttft", "tpot")]
        line["largest_rate_per_s"] = load.replicas * largest_rate_per_s(d, traffic, ends[0], ends[1], limits=limits)
    return line


def _as_run(row: dict[str, str], d: Deployment) -> Deployment:
    """Return the deployment with its engine set as the row says, where it says so."""
    split = cell(row, "chunked_prefill").lower()
    if split not in ("", "yes", "no"):
        raise InputError("chunked_prefill", split, "yes or no", ("yes", "no"))
    return with_engine(d, whole_prompts=split == "no") if split else d


def _traffic(row: dict[str, str], replicas: int) -> Traffic:
    """Return the traffic of one replica of a row."""
    arrival = cell(row, "arrival").lower()
    if arrival not in ARRIVALS:
        raise InputError("arrival", arrival, ", ".join(ARRIVALS), ARRIVALS)
    rate = number(row, "rate_per_s", 0.0) or number(row, "largest_rate_per_s", 0.0) or 0.0
    requests = int(number(row, "requests", REQUESTS * replicas, whole=True, least=1) or 1)
    return Traffic(
        rate / replicas,
        min(-(-requests // replicas), MOST_REQUESTS),
        input_tokens=number(row, "input_tokens", 1.0, least=1) or 1.0,
        output_tokens=number(row, "output_tokens", 1.0, least=1) or 1.0,
        input_std=number(row, "input_std", 0.0) or 0.0,
        output_std=number(row, "output_std", 0.0) or 0.0,
        arrival=arrival,
        prefix_hit=number(row, "prefix_hit", 0.0) or 0.0,
    )


def _requests(row: dict[str, str], traffic: Traffic, replicas: int) -> Requests:
    """Draw a row's requests; the first ``cold_requests`` find only ``cold_hit`` of their prompt in the prefix cache."""
    drawn = draw(traffic)
    cold = -(-int(number(row, "cold_requests", 0, whole=True) or 0) // replicas)
    if not cold:
        return drawn
    prompts, cached = np.array(drawn.prompt_tokens), np.array(drawn.cached_tokens)
    cached[:cold] = ((number(row, "cold_hit", 0.0) or 0.0) * prompts[:cold]).astype(int)
    return drawn._replace(cached_tokens=cached)


def _limits(row: dict[str, str], load: Load) -> Limits:
    """Return the limits of a step: the row's, else the engine's."""
    engine = load.deployment.engine
    sequences = number(row, "max_num_seqs", float(engine.max_batch), whole=True, least=1)
    tokens = number(row, "step_tokens", float(engine.step_tokens), whole=True, least=1)
    slots = int(sequences or 1) * load.deployment.attention_dp
    return Limits(int(tokens or 1), slots)


def _read(run: Run, name: str, replicas: int) -> float:
    """Return one quantity of a run, in the unit that its name says; requests that were refused are left out."""
    served = np.isfinite(run.request)
    if not served.any():
        return float("nan")
    if name == "output_tokens_per_s":
        return replicas * float(run.tokens[served].sum()) / run.seconds
    kind, of, _ = name.split("_")
    if kind == "itl":
        gaps = run.tokens[served] - 1
        return 1e3 * float((run.tpot[served] * gaps).sum()) / max(float(gaps.sum()), 1.0)
    values = _LATENCIES[kind](run)
    values = values[np.isfinite(values)]
    if not len(values):
        return float("nan")
    return 1e3 * float(values.mean() if of == "mean" else np.percentile(values, float(of[1:])))
