"""What a service is asked at its busy hour, and the one answer to it: latencies of a replica under requests over time.

A demand is a rate of requests, or a number of users who send, read, think and send again.  Little's law gives the one
from the other: :math:`U = \\lambda (T + Z)`, where T is the time of a whole answer and Z the time to think.  ``size``,
``compare``, ``plan``, ``simulate`` and the chapters all ask :func:`answer`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np

from hopperbook import facts
from hopperbook.errors import InputError
from hopperbook.later import special
from hopperbook.serving.capacity import kv_capacity_tokens
from hopperbook.serving.clock import Floats
from hopperbook.serving.deployment import Deployment
from hopperbook.serving.events import Limits, Requests, Run, replay
from hopperbook.serving.queue import Cut, Lengths, first_cut
from hopperbook.serving.search import largest_kept
from hopperbook.serving.traffic import Traffic, draw, thinned_variation

PERCENTILES = ("mean", "p50", "p90", "p95", "p99")
#: Requests whose latencies make an answer; those that fill and empty the replica come on top.
MEASURED = 900
#: A run that would need more requests than this to reach its steady state is cut there.
MOST = 40_000
#: Replicas that are simulated together, where a router chooses between them; choosing between more helps little.
POOL = 8


@dataclass(frozen=True)
class Demand:
    """What a fleet, or a replica of it, is asked.

    Parameters
    ----------
    lengths : Lengths
        Tokens of the requests.
    rate_per_s : float
        Requests a second; 0 where users are given.
    users, think_s : float
        Users at once, and seconds between an answer and the next request; without thinking, users are requests in
        flight.
    variation : float
        Standard deviation of the gaps between requests over their mean: 1 of random arrivals, 0 of even ones.
    routing : str
        ``by_session`` where a request goes to the replica that holds its conversation, whichever that is;
        ``least_loaded`` where it goes to the replica with the fewest requests.
    pool : int
        Replicas among which the least loaded is chosen.

    Raises
    ------
    InputError
        If neither a rate nor users are given, or both.
    """

    lengths: Lengths
    rate_per_s: float = 0.0
    users: float = 0.0
    think_s: float = 0.0
    variation: float = 1.0
    routing: str = "by_session"
    pool: int = 1

    def __post_init__(self) -> None:
        if (self.rate_per_s > 0) == (self.users > 0):
            raise InputError("rate_per_s", self.rate_per_s, "a rate or a number of users, one of the two")

    def share(self, replicas: float) -> Demand:
        """Return what each of so many replicas is asked."""
        dealt = self.dealt(replicas)
        return replace(dealt, rate_per_s=self.rate_per_s / replicas, users=self.users / replicas)

    def dealt(self, replicas: float) -> Demand:
        """Return the demand as uneven as each of so many replicas sees it, between which it is dealt out.

        Where the least loaded takes a request, replicas are looked at together, as many as :data:`POOL` at the most.
        """
        pool = max(int(min(replicas, POOL)), 1) if self.routing == "least_loaded" else 1
        return replace(self, variation=thinned_variation(self.variation, max(replicas / pool, 1.0)), pool=pool)


class Latency(NamedTuple):
    """Mean and percentiles of a latency, seconds."""

    mean: float
    p50: float
    p90: float
    p95: float
    p99: float

    def at(self, percentile: str) -> float:
        """Return the mean or a percentile by its name."""
        return float(getattr(self, percentile))


@dataclass(frozen=True)
class Answer:
    """How a replica answers a demand in its steady state.

    Parameters
    ----------
    rate_per_s, in_flight : float
        Requests a second, and requests in the replica on average.
    ttft, tpot, request : Latency
        First token, time per further token, whole answer.
    output_tokens_per_s : float
        Of the replica.
    running, waiting : float
        Requests that decode, and that wait for a step, on average.
    prefill_share, decode_share, cache_share : float
        Shares of time with prompts in a step, and of pure decode; share of the cache in use.
    preempted : float
        Share of requests that had to give their cache back.
    starved : bool
        Whether some request had to wait for the cache.
    history_kept : float
        Share of the histories of those who think that the cache has room for.
    """

    rate_per_s: float
    in_flight: float
    ttft: Latency
    tpot: Latency
    request: Latency
    output_tokens_per_s: float
    running: float
    waiting: float
    prefill_share: float
    decode_share: float
    cache_share: float
    preempted: float
    starved: bool
    history_kept: float = 1.0


class Targets(NamedTuple):
    """Latencies to keep, seconds, each at its percentile; infinity for none."""

    ttft_s: float
    tpot_s: float
    request_s: float = np.inf
    ttft_at: str = "p95"
    tpot_at: str = "p95"
    request_at: str = "p95"

    def keeps(self, seen: Answer) -> bool:
        """Return whether an answer keeps them all."""
        return (
            seen.ttft.at(self.ttft_at) <= self.ttft_s
            and seen.tpot.at(self.tpot_at) <= self.tpot_s
            and seen.request.at(self.request_at) <= self.request_s
        )


@lru_cache(maxsize=4096)
def cut_of(d: Deployment, lengths: Lengths) -> Cut:
    """Return the first cut of a replica over all its loads, worked out once."""
    return cutter(d, lengths)


#: What :func:`cut_of` asks; who keeps cuts between processes puts a look-up before it.
cutter: Callable[[Deployment, Lengths], Cut] = first_cut


def rate_of(cut: Cut, demand: Demand) -> float:
    """Return a demand's rate by the first cut, requests a second: its own, or by Little's law that of its users."""
    if demand.rate_per_s:
        return demand.rate_per_s
    users = np.maximum.accumulate(cut.in_flight + cut.rate_per_s * demand.think_s)
    return float(np.interp(demand.users, np.r_[0.0, users], np.r_[0.0, np.maximum.accumulate(cut.rate_per_s)]))


@lru_cache(maxsize=16384)
def at_rate(
    d: Deployment, lengths: Lengths, rate_per_s: float, variation: float = 1.0, seed: int = 0, pool: int = 1
) -> Answer:
    """Simulate a replica at a rate, from empty, and read its steady state.

    Parameters
    ----------
    d : Deployment
        The replica.
    lengths : Lengths
        Tokens of the requests.
    rate_per_s : float
        Requests a second of a replica.
    variation, pool : float, int
        As of :class:`Demand`.
    seed : int
        Of the draw.

    Returns
    -------
    Answer
        Of a replica and the requests in the middle: those that fill it and those that see it empty are left out.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> from hopperbook.serving import deploy
    >>> d = deploy(load("llama-3.3-70b"), "H100 SXM", tp=4, precision="fp8", kv_precision="fp8")
    >>> seen = at_rate(d, Lengths(2048, 512), 4.0)
    >>> round(seen.ttft.mean, 2), round(1e3 * seen.tpot.mean), round(seen.in_flight)  # seconds, milliseconds, requests
    (0.32, 31, 65)
    """
    return simulator(d, lengths, rate_per_s, variation, seed, pool)


def simulated(
    d: Deployment, lengths: Lengths, rate_per_s: float, variation: float, seed: int, pool: int, measured: int = MEASURED
) -> Answer:
    """Run the simulation of :func:`at_rate`, of so many requests whose latencies count."""
    requests, edge = draws(d, lengths, pool * rate_per_s, pool, variation, seed, measured)
    run = replay(d, requests, limits_of(d), 0, pool, "least_loaded")
    return steady_answer(run, edge, rate_per_s, lengths)


#: What :func:`at_rate` asks; who keeps simulations between processes puts a look-up before it.
simulator: Callable[[Deployment, Lengths, float, float, int, int], Answer] = simulated


def draws(
    d: Deployment,
    lengths: Lengths,
    rate_per_s: float,
    replicas: int = 1,
    variation: float = 1.0,
    seed: int = 0,
    measured: int = MEASURED,
) -> tuple[Requests, int]:
    """Draw the requests of an answer, and say how many at either end do not see the steady state.

    Seed 0 is the most typical draw, further seeds those after it.
    """
    cut = cut_of(d, lengths)
    inside = float(np.interp(rate_per_s / replicas, np.maximum.accumulate(cut.rate_per_s), cut.in_flight)) * replicas
    edge = int(min(1.2 * inside, MOST / 3)) + 30
    return draw(traffic_of(lengths, rate_per_s, measured + 2 * edge, variation), typical_draw() + seed), edge


@cache
def typical_draw() -> int:
    """Return the number of the draw that lies nearest to endless traffic, as ``hopperbook calibrate draw`` finds it."""
    return int(facts.read_yaml("constants/serving.yaml")["traffic"]["draw"]["number"])


def traffic_of(lengths: Lengths, rate_per_s: float, requests: int, variation: float = 1.0) -> Traffic:
    """Return requests of some lengths at a rate."""
    return Traffic(
        rate_per_s, requests, lengths.new, lengths.answer, lengths.new_std, lengths.answer_std, "poisson",
        history_tokens=lengths.cached - lengths.shared, shared_tokens=lengths.shared, variation=variation,
        sample=lengths.sample,
    )  # fmt: skip


def limits_of(d: Deployment) -> Limits:
    """Return the engine's own limits of a step."""
    return Limits(d.engine.step_tokens, d.engine.max_batch * d.attention_dp)


def steady_answer(run: Run, edge: int, rate_per_s: float, lengths: Lengths) -> Answer:
    """Read the middle of a run."""
    middle = slice(edge, len(run.ttft) - edge)
    several = np.where(run.tokens > 1, run.tpot, np.nan)  # an answer of one token has no further ones
    ttft, tpot, whole = (x[middle][~np.isnan(x[middle])] for x in (run.ttft, several, run.request))
    tpot = tpot if len(tpot) or not len(ttft) else np.zeros(1)
    first, each, request = _latency(ttft), _latency(tpot), _latency(whole)
    running = rate_per_s * (request.mean - first.mean)
    full = running / max(run.batch, 1e-9) if np.isfinite(running) else 1.0  # the run's own means hold its two ends, too
    return Answer(
        rate_per_s, rate_per_s * request.mean, first, each, request, rate_per_s * lengths.answer, running,
        run.waiting, run.prefill_share, run.decode_share, min(full * run.cache_share, 1.0),
        run.preempted / len(run.ttft), run.starved,
    )  # fmt: skip


#: The percentiles of a latency, as shares.
SHARES: Floats = np.array([0.50, 0.90, 0.95, 0.99])


def _latency(values: Floats) -> Latency:
    """Summarise a latency; infinite where every request was refused.

    The percentiles are those of :func:`numpy.percentile`, to the bit, at a fraction of its time.
    """
    if not len(values):
        return Latency(*[np.inf] * 5)
    rising, place = np.sort(values), SHARES * (len(values) - 1)
    below = place.astype(np.int64)
    share, low, high = place - below, rising[below], rising[np.minimum(below + 1, len(values) - 1)]
    at = np.where(share < 0.5, low + (high - low) * share, high - (high - low) * (1 - share))
    return Latency(float(values.mean()), *at.tolist())


@lru_cache(maxsize=16384)
def answer(d: Deployment, demand: Demand, seed: int = 0) -> Answer:
    r"""Say how a replica answers a demand: simulated at the rate that Little's law gives.

    .. math:: \lambda = U / (T(\lambda) + Z)

    Parameters
    ----------
    d : Deployment
        The replica.
    demand : Demand
        What it is asked.
    seed : int
        Of the draw.

    Returns
    -------
    Answer
        At the demand's rate; of users, at the rate at which as many are in flight or thinking, to one per cent.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> from hopperbook.serving import deploy
    >>> d = deploy(load("llama-3.3-70b"), "H100 SXM", tp=4, precision="fp8", kv_precision="fp8")
    >>> seen = answer(d, Demand(Lengths(2048, 512), users=64))
    >>> round(seen.rate_per_s, 1), round(seen.ttft.p95, 2), round(1e3 * seen.tpot.mean)  # per second, s, ms
    (4.0, 0.64, 31)
    """
    rate = _settled(rate_of(cut_of(d, demand.lengths), demand))
    seen = with_history_kept(d, demand, rate, seed)
    if demand.rate_per_s:
        return seen
    ends: dict[bool, tuple[float, float]] = {}  # by whether more is asked than served: log of the rate, and by how much
    for _ in range(12):
        asked = demand.users / (seen.request.mean + demand.think_s)
        if abs(asked / rate - 1) < 0.01:
            break
        more = max(asked / rate, 1e-9)
        ends[more > 1] = (float(np.log(rate)), float(np.log(more)))
        rate = _settled(_between(*ends.values()) if len(ends) > 1 else rate * more**0.5)
        seen = with_history_kept(d, demand, rate, seed)
    return seen


def _between(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Return the rate between two, by a straight line in logarithms, at which as much is asked as is served."""
    (a, over), (b, under) = one, other
    share = float(np.clip(over / (over - under), 0.1, 0.9))
    return float(np.exp(a + share * (b - a)))


#: Rounds in which the share of histories in the cache is settled, and how near is near enough.
ROUNDS, SETTLED = 8, 0.01


def with_history_kept(d: Deployment, demand: Demand, rate_per_s: float, seed: int = 0) -> Answer:
    r"""Simulate a replica at a rate, with as much of the users' histories in the cache as it has room for.

    .. math:: f = \min\left(1, \frac{K - N h}{\lambda Z h}\right)

    Users who think leave their conversation of h tokens in the cache of K; those in flight, N, need theirs.  What does
    not fit is read again as a prompt, which keeps requests longer in flight.

    Parameters
    ----------
    d : Deployment
        The replica.
    demand : Demand
        Lengths, of which the history counts as found as far as it fits, and seconds to think.
    rate_per_s : float
        Requests a second of the replica.
    seed : int
        Of the draw.

    Returns
    -------
    Answer
        With the share of histories kept.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> from hopperbook.serving import deploy
    >>> d = deploy(load("llama-3.1-8b"), "A100 SXM 40GB")
    >>> chat = Demand(Lengths(200, 200, cached=7600), users=60, think_s=60.0)
    >>> round(with_history_kept(d, chat, 1.0).history_kept, 2)  # 60 users think, each with 8,000 tokens
    0.15
    """
    n = demand.lengths
    history, share = n.cached - n.shared, 1.0
    seen = at_rate(d, n, rate_per_s, demand.variation, seed, demand.pool)
    if not demand.think_s or not history:
        return seen
    room, thinking = kv_capacity_tokens(d, n.held) - n.shared, rate_per_s * demand.think_s
    for _ in range(ROUNDS):
        free = room - min(seen.in_flight, room / n.held) * n.held
        kept = float(np.clip(free / (thinking * n.held), 0.0, 1.0))
        if abs(kept - share) < SETTLED:
            break
        share = round((kept + share) / 2 if kept > share else kept, 3)
        lengths = n._replace(new=n.new + (1 - share) * history, cached=n.shared + share * history)
        seen = at_rate(d, lengths, rate_per_s, demand.variation, seed, demand.pool)
    return replace(seen, history_kept=share)


def _settled(rate: float) -> float:
    """Return a rate to five digits, so that no simulation hangs on bits that processors disagree on."""
    return float(f"{max(rate, 1e-9):.5g}")


class Largest(NamedTuple):
    """The largest demand that a replica answers within some targets: requests a second, requests in flight, users."""

    rate_per_s: float
    in_flight: float
    users: float


#: No replica carries more than this times the rate at which the first cut has it saturated: its queue grows for good.
OVER_SATURATED = 1.5


@lru_cache(maxsize=4096)
def largest(d: Deployment, demand: Demand, targets: Targets, seed: int = 0) -> Largest:
    """Find the largest rate at which a replica keeps targets, by bisection with the same draws at every rate.

    Parameters
    ----------
    d : Deployment
        The replica.
    demand : Demand
        Lengths, thinking and arrivals; how much is asked does not matter.
    targets : Targets
        Latencies to keep.
    seed : int
        Of the draw.

    Returns
    -------
    Largest
        To one per cent; zeros where a request alone misses a target.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> from hopperbook.serving import deploy
    >>> d = deploy(load("llama-3.3-70b"), "H100 SXM", tp=4, precision="fp8", kv_precision="fp8")
    >>> found = largest(d, Demand(Lengths(2048, 512), users=1), Targets(2.0, 0.060))
    >>> round(found.rate_per_s, 1), round(found.in_flight)
    (4.7, 111)
    """
    cut = cut_of(d, demand.lengths)

    def seen(rate: float) -> Answer:
        return with_history_kept(d, demand, _settled(rate), seed)

    saturated = float(cut.rate_per_s.max())
    low = largest_kept(
        lambda rate: targets.keeps(seen(rate)),
        start_per_s=max(first_rate(cut, targets), 1e-3 * saturated),
        least_per_s=float(cut.rate_per_s[0]) / 8,
        most_per_s=OVER_SATURATED * saturated,
    )
    if not low:
        return Largest(0.0, 0.0, 0.0)
    best = seen(low)
    return Largest(best.rate_per_s, best.in_flight, best.in_flight + best.rate_per_s * demand.think_s)


#: Draws from which the spread of a largest rate is told.
SEEDS = 5


def largest_range(d: Deployment, demand: Demand, targets: Targets) -> tuple[float, float, float]:
    r"""Return the largest rate as a mean over several draws, with the 90 % confidence interval of that mean.

    .. math:: \bar\lambda \pm t_{0.95}\, s / \sqrt{n}

    Parameters
    ----------
    d : Deployment
        The replica.
    demand : Demand
        As of :func:`largest`.
    targets : Targets
        Latencies to keep.

    Returns
    -------
    tuple of float
        Mean, low and high, requests a second.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> from hopperbook.serving import deploy
    >>> d = deploy(load("llama-3.3-70b"), "H100 SXM", tp=4, precision="fp8", kv_precision="fp8")
    >>> [round(rate, 2) for rate in largest_range(d, Demand(Lengths(2048, 512), users=1), Targets(2.0, 0.060))]
    [4.85, 4.73, 4.97]
    """
    rates = np.array([largest(d, demand, targets, seed).rate_per_s for seed in range(SEEDS)])
    half = float(special.stdtrit(SEEDS - 1, 0.95) * rates.std(ddof=1) / np.sqrt(SEEDS))
    mean = float(rates.mean())
    return mean, max(mean - half, 0.0), mean + half


def first_rate(cut: Cut, targets: Targets) -> float:
    """Return the largest rate at which the first cut keeps targets and the cache has room; 0 where none does."""
    kept = np.flatnonzero(kept_by(cut, targets))
    return float(cut.rate_per_s[kept].max()) if len(kept) else 0.0


def kept_by(cut: Cut, targets: Targets) -> np.ndarray:
    """Return at which loads of a first cut all targets are kept and the cache has room."""
    kept = cut.ttft.at(targets.ttft_at) <= targets.ttft_s
    kept &= cut.tpot.at(targets.tpot_at) <= targets.tpot_s
    kept &= cut.request.at(targets.request_at) <= targets.request_s
    return kept & (cut.room_share <= 1)
