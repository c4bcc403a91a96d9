"""The closed loop of users against an engine, as events: TTFT, TPOT and throughput at a concurrency.

A fixed number of users each send a request, read the answer to its end, and send the next.  The engine admits requests
in order while cache, slots and the step's token budget allow; stretches of pure decode are jumped over.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from hopperbook.serving.clock import Floats
from hopperbook.serving.deployment import Deployment
from hopperbook.serving.events import Limits, Requests, Run, replay


@dataclass(frozen=True)
class Loop:
    """What a closed loop showed; times in seconds, means over all requests unless a name says otherwise."""

    ttft_s: float
    tpot_s: float
    request_s: float
    output_tokens_per_s: float
    ttft_p50_s: float
    ttft_p95_s: float
    batch: float
    waiting_for_memory: bool


def lengths(nominal: float, ratio: float, requests: int, phase: float) -> list[int]:
    """Spread request lengths evenly from ``ratio`` of the nominal up to it, in a fixed scattered order.

    Parameters
    ----------
    nominal, ratio : float
        Longest length, and the shortest as a share of it.
    requests : int
        How many.
    phase : float
        Start of the golden-ratio sequence.

    Returns
    -------
    list of int
        Lengths.

    Examples
    --------
    >>> lengths(100, 1.0, 2, 0.0)
    [100, 100]
    """
    if ratio >= 1:
        return [max(1, int(nominal))] * requests
    share = np.mod(phase + 0.6180339887498949 * np.arange(requests), 1.0)
    return np.maximum(1, np.rint(nominal * (ratio + (1 - ratio) * share))).astype(int).tolist()


def closed_loop(
    d: Deployment,
    concurrency: int,
    input_tokens: float,
    output_tokens: float,
    *,
    requests: int | None = None,
    length_ratio: float = 1.0,
    step_tokens: int | None = None,
    slots: int | None = None,
    cached_tokens: int = 0,
) -> Loop:
    r"""Simulate users in a closed loop until all requests are answered.

    Parameters
    ----------
    d : Deployment
        The replica.
    concurrency : int
        Users at once.
    input_tokens, output_tokens : float
        Nominal lengths.
    requests : int, optional
        Requests in all; ten times the concurrency by default.  The first ``concurrency`` arrive at once.
    length_ratio : float
        Shortest length as a share of the nominal.
    step_tokens, slots : int, optional
        The engine's token budget of a step and largest batch, where the run set them; a budget that is set is kept
        (a prompt waits for it), the engine's own is stretched for a prompt that needs more.
    cached_tokens : int
        Tokens before each prompt that the prefix cache holds.

    Returns
    -------
    Loop
        Latencies and throughput of the replica.

    Notes
    -----
    Source: ``aiconfigurator-2025`` for the loop's shape (ten requests a user, first tokens seen when published).

    Examples
    --------
    >>> from hopperbook.models import load
    >>> from hopperbook.serving import deploy
    >>> d = deploy(load("qwen3-32b"), "H100 SXM", tp=2, engine_name="SGLang")
    >>> loop = closed_loop(d, 16, 1024, 128)
    >>> round(1e3 * loop.ttft_s), round(1e3 * loop.tpot_s, 1)  # milliseconds; SGLang 0.5.1 measured: 841, 16.5
    (893, 16.8)
    """
    users, total = int(concurrency), int(requests or 10 * concurrency)
    budget, most = int(step_tokens or d.engine.step_tokens), int(slots or d.engine.max_batch * d.attention_dp)
    limits = Limits(budget, most, step_tokens is not None)
    load = float(input_tokens), float(output_tokens)
    rounds = total // users
    if users < LONG_RUN_USERS or rounds <= 5:
        run = _run(d, users, *load, total, float(length_ratio), limits, cached_tokens)
        return _loop(run, np.ones(total), run.seconds)
    run = _run(d, users, *load, 5 * users, float(length_ratio), limits, cached_tokens)
    weight = np.ones(5 * users)
    weight[3 * users : 4 * users] = rounds - 4
    return _loop(run, weight, run.seconds + (rounds - 5) * (run.arrival[4 * users] - run.arrival[3 * users]))


#: From this many users on, a run longer than five rounds repeats its fourth instead of simulating each.
LONG_RUN_USERS = 24


def _loop(run: Run, weight: Floats, seconds: float) -> Loop:
    share = weight / weight.sum()
    more = run.tokens > 1
    tpot = float((run.tpot * share)[more].sum() / max(share[more].sum(), 1e-12)) if more.any() else 0.0
    order = np.argsort(run.ttft)
    reached = np.cumsum(share[order])
    half, most = (float(run.ttft[order][min(int(np.searchsorted(reached, q)), len(order) - 1)]) for q in (0.5, 0.95))
    return Loop(
        float((run.ttft * share).sum()), tpot, float((run.request * share).sum()),
        float((run.tokens * weight).sum() / max(seconds, 1e-9)), half, most, run.batch, run.starved,
    )  # fmt: skip


@lru_cache(maxsize=4096)
def _run(
    d: Deployment, users: int, isl: float, osl: float, total: int, ratio: float, limits: Limits, cached: int
) -> Run:
    """Serve a closed loop of users, once for each question."""
    prompts = np.array(lengths(isl, ratio, total, 0.25)) + cached
    requests = Requests(prompts, lengths(osl, ratio, total, 0.75), np.full(total, cached))
    return replay(d, requests, limits, users)


def at_concurrency(
    d: Deployment,
    concurrency: ArrayLike,
    input_tokens: ArrayLike,
    output_tokens: ArrayLike,
    *,
    requests: int | None = None,
    length_ratio: float = 1.0,
    step_tokens: int | None = None,
    slots: int | None = None,
) -> dict[str, Floats]:
    """Answer TTFT, TPOT and throughput for arrays of concurrencies and lengths.

    Parameters
    ----------
    d : Deployment
        The replica.
    concurrency, input_tokens, output_tokens : int or array
        Loads; broadcast together.
    requests, length_ratio, step_tokens, slots : int or float, optional
        As in :func:`closed_loop`.

    Returns
    -------
    dict of array
        ``ttft_s``, ``tpot_s``, ``request_s``, ``output_tokens_per_s``, in the broadcast shape.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> from hopperbook.serving import deploy
    >>> d = deploy(load("llama-3.1-8b"), "H100 SXM", precision="bf16", engine_name="TensorRT-LLM")
    >>> (1e3 * at_concurrency(d, [8, 64], 1024, 256)["tpot_s"]).round(1).tolist()  # milliseconds; measured: 7.5, 15.2
    [7.4, 14.3]
    """
    load = np.broadcast_arrays(np.asarray(concurrency), np.asarray(input_tokens), np.asarray(output_tokens))
    loops = [
        closed_loop(
            d, int(c), float(i), float(o),
            requests=requests, length_ratio=length_ratio, step_tokens=step_tokens, slots=slots,
        )
        for c, i, o in zip(*map(np.ravel, load), strict=True)
    ]  # fmt: skip
    names = ("ttft_s", "tpot_s", "request_s", "output_tokens_per_s")
    return {name: np.array([getattr(x, name) for x in loops]).reshape(load[0].shape) for name in names}
