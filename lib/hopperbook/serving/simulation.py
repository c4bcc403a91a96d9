"""The closed loop of users against an engine, as events: TTFT, TPOT and throughput at a concurrency.

A fixed number of users each send a request, read the answer to its end, and send the next.  The engine admits requests
in order while cache, slots and the step's token budget allow; stretches of pure decode are jumped over.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from hopperbook.serving.capacity import kv_capacity_tokens
from hopperbook.serving.clock import Floats
from hopperbook.serving.deployment import Deployment
from hopperbook.serving.step import clock_of


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
    limits = budget, most, step_tokens is not None
    load = float(input_tokens), float(output_tokens)
    rounds = total // users
    if users < LONG_RUN_USERS or rounds <= 5:
        run = _run(d, users, *load, total, float(length_ratio), *limits)
        return _loop(run, np.ones(total), run.seconds)
    run = _run(d, users, *load, 5 * users, float(length_ratio), *limits)
    weight = np.ones(5 * users)
    weight[3 * users : 4 * users] = rounds - 4
    return _loop(run, weight, run.seconds + (rounds - 5) * (run.arrival[4 * users] - run.arrival[3 * users]))


#: From this many users on, a run longer than five rounds repeats its fourth instead of simulating each.
LONG_RUN_USERS = 24


@dataclass(frozen=True)
class _Run:
    arrival: Floats
    ttft: Floats
    tpot: Floats
    request: Floats
    tokens: Floats
    seconds: float
    batch: float
    starved: bool


def _loop(run: _Run, weight: Floats, seconds: float) -> Loop:
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
    d: Deployment, users: int, isl: float, osl: float, total: int, ratio: float, budget: int, slots: int, strict: bool
) -> _Run:  # fmt: skip
    ticker, e = clock_of(d).plain, d.engine
    asked, answered = lengths(isl, ratio, total, 0.25), lengths(osl, ratio, total, 0.75)
    room = kv_capacity_tokens(d, isl + osl)
    budget = budget * d.attention_dp
    waiting: deque[tuple[int, int]] = deque()  # (request, first step that may hold it)
    inbound: deque[tuple[float, int]] = deque()  # (time the front end hands it on, request)
    arrival, first, last = np.zeros(total), np.zeros(total), np.zeros(total)
    ends: list[tuple[int, int]] = []  # (decode step after which a request is done, request)
    unseen: list[tuple[int, int, bool]] = []  # (step at whose end a token is seen, request, it is the last)
    ticks = 0  # steps in which the running requests gained a token
    now, step, active, held, used, sent = 0.0, 0, 0, 0.0, 0.0, min(users, total)
    for request in range(sent):
        inbound.append((e.frontend_s + e.tokenise_s * asked[request], request))
    partial, done_of_partial = -1, 0
    finished, batch_time, starved = 0, 0.0, False
    while finished < total:
        while inbound and inbound[0][0] <= now + 1e-12:
            waiting.append((inbound.popleft()[1], step + (e.schedule_lag_steps if step else 0)))
        # --- what prompts does this step hold?
        left = budget - (0 if e.prefill_first else active)
        new, prompts, cached, started = 0, 0, 0, []
        if partial >= 0:
            chunk = min(asked[partial] - done_of_partial, left)
            new, prompts, cached = chunk, 1, done_of_partial
            done_of_partial += chunk
            left -= chunk
            if done_of_partial >= asked[partial]:
                started.append(partial)
                partial = -1
        while partial < 0 and waiting and waiting[0][1] <= step and left > 0:
            request = waiting[0][0]
            size = asked[request]
            need = size + answered[request]
            if active + len(started) >= slots or (used + need > room and active + len(started) > 0):
                starved = starved or used + need > room
                break
            if size > left and e.whole_prompts and (prompts or (strict and active)):
                break
            waiting.popleft()
            used += need
            prompts += 1
            if size > left and not e.whole_prompts:
                partial, done_of_partial = request, left
                new += left
                left = 0
            else:
                new += size
                left -= size
                started.append(request)
        # --- how long does it take?
        if new:
            decoding = 0 if e.prefill_first else active
            span = ticker.mixed_step_s(decoding, held / active if active else 1.0, new, prompts, cached)
            steps = 1
            alone = e.prefill_first
        elif active:
            until = ends[0][0] - ticks if ends else 1
            steps = max(1, until)
            soonest = waiting[0][1] - step if waiting and waiting[0][1] > step else 0
            if soonest:
                steps = min(steps, soonest)
            if unseen:
                steps = min(steps, max(1, unseen[0][0] - step))
            if inbound:
                one = ticker.decode_step_s(active, held / active)
                steps = min(steps, max(1, math.ceil((inbound[0][0] - now) / one)))
            span = steps * ticker.decode_step_s(active, held / active + (steps - 1) / 2)
            alone = False
        else:
            steps, alone = 1, True
            span = max(0.0, inbound[0][0] - now) if inbound and not waiting and not unseen else 0.0
            if not waiting and not unseen and not inbound and partial < 0:
                break
        now += span
        batch_time += span * active
        if not alone:
            held += active * steps
            ticks += steps
        step += steps
        for request in started:
            heapq.heappush(unseen, (step + e.output_lag_steps, request, False))
            heapq.heappush(ends, (ticks + answered[request] - 1, request))
            active += 1
            held += asked[request] + 1
        while ends and ends[0][0] <= ticks:
            request = heapq.heappop(ends)[1]
            active -= 1
            held -= asked[request] + answered[request]
            used -= asked[request] + answered[request]
            heapq.heappush(unseen, (step + e.output_lag_steps, request, True))
        while unseen and unseen[0][0] <= step:
            _, request, is_last = heapq.heappop(unseen)
            if not is_last:
                first[request] = now
                continue
            last[request] = now
            finished += 1
            if sent < total:
                arrival[sent] = now
                inbound.append((now + e.frontend_s + e.tokenise_s * asked[sent], sent))
                sent += 1
    count = np.array(answered, float)
    tpot = (last - first) / np.maximum(count - 1, 1)
    return _Run(arrival, first - arrival, tpot, last - arrival, count, now, batch_time / max(now, 1e-9), starved)


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
