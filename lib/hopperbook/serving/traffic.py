"""Traffic as customers have it: requests that arrive over time, of lengths that differ, and how a replica serves them.

A rate is that of one replica.  The same seed draws the same gaps and lengths at every rate, so that two rates, parts or
layouts differ by what they are and not by the draw (common random numbers).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from hopperbook import facts
from hopperbook.errors import InputError
from hopperbook.serving.clock import Floats
from hopperbook.serving.deployment import Deployment
from hopperbook.serving.events import Limits, Requests, Run, replay
from hopperbook.serving.queue import Sample
from hopperbook.serving.search import largest_kept

ARRIVALS = ("poisson", "bursty", "constant", "at_once")
#: A rate is found to this share of itself.
RATE_STEP = 0.01
#: Requests a second of one replica beyond which nobody searches.
LEAST_RATE, MOST_RATE = 1e-3, 1e5


@dataclass(frozen=True)
class Traffic:
    """Requests to one replica.

    Parameters
    ----------
    rate_per_s : float
        Mean requests a second; of no meaning where all arrive at once.
    requests : int
        How many.
    input_tokens, output_tokens : float
        Mean lengths.
    input_std, output_std : float
        Standard deviations; lengths are log-normal around the mean, 0 for one length.
    arrival : str
        ``poisson``, ``bursty`` (gaps of a gamma distribution that vary more), ``constant`` (evenly spaced) or
        ``at_once``.
    prefix_hit : float
        Share of a prompt's tokens found in the prefix cache.
    history_tokens, shared_tokens : float
        Tokens before each prompt that the prefix cache holds: its conversation's own, and those that all share.
    variation : float, optional
        Standard deviation of gaps over their mean; that of :func:`gap_variation` by default.
    sample : tuple of tuple, optional
        Requests of whose kind lengths are drawn, each its new tokens, those of the answer, and those cached before;
        they are scaled to the means above, and take the place of log-normal lengths.
    """

    rate_per_s: float
    requests: int
    input_tokens: float
    output_tokens: float
    input_std: float = 0.0
    output_std: float = 0.0
    arrival: str = "poisson"
    prefix_hit: float = 0.0
    history_tokens: float = 0.0
    shared_tokens: float = 0.0
    variation: float | None = None
    sample: Sample = ()

    def __post_init__(self) -> None:
        if self.arrival not in ARRIVALS:
            raise InputError("arrival", self.arrival, ", ".join(ARRIVALS), ARRIVALS)
        if not 0 <= self.prefix_hit < 1:
            raise InputError("prefix_hit", self.prefix_hit, "a share from 0 to below 1")
        if self.arrival != "at_once" and not self.rate_per_s > 0:
            raise InputError("rate_per_s", self.rate_per_s, "requests a second above zero")
        if self.requests < 1:
            raise InputError("requests", self.requests, "at least one request", "1")


def draw(traffic: Traffic, seed: int = 0) -> Requests:
    r"""Draw the requests of some traffic.

    .. math:: \ln x \sim \mathcal N\left(\ln m - \tfrac{\sigma^2}{2},\; \sigma^2\right),\qquad
              \sigma^2 = \ln\left(1 + (s / m)^2\right)

    Parameters
    ----------
    traffic : Traffic
        Rates and lengths.
    seed : int
        Of the draw.

    Returns
    -------
    Requests
        Arrival times in seconds, and lengths in tokens.

    Examples
    --------
    >>> drawn = draw(Traffic(10.0, 4000, 500, 200, input_std=250))
    >>> lengths = np.array(drawn.prompt_tokens)
    >>> round(drawn.arrival_s[-1]), round(lengths.mean()), round(lengths.std())  # 400 s, 500 and 250 tokens expected
    (400, 504, 249)
    """
    rng = np.random.default_rng(seed)
    variation = gap_variation(traffic.arrival) if traffic.variation is None else traffic.variation
    gaps = _gaps(rng, variation, traffic.requests)
    times = np.zeros(traffic.requests) if traffic.arrival == "at_once" else np.cumsum(gaps) / traffic.rate_per_s
    if traffic.sample:
        return _like_sample(rng, traffic, times)
    prompts = _lengths(rng, traffic.input_tokens, traffic.input_std, traffic.requests)
    answers = _lengths(rng, traffic.output_tokens, traffic.output_std, traffic.requests)
    hits = np.minimum((traffic.prefix_hit * prompts).astype(int), prompts - 1)
    before = round(traffic.history_tokens + traffic.shared_tokens)
    return Requests(prompts + before, answers, hits + before, times, shared_tokens=round(traffic.shared_tokens))


def _like_sample(rng: np.random.Generator, traffic: Traffic, times: Floats) -> Requests:
    """Draw requests of a sample, all of it before any comes again, scaled to the traffic's means."""
    sample = np.array(traffic.sample, float)
    drawn = rng.permuted(np.tile(np.arange(len(sample)), (-(-len(times) // len(sample)), 1)), axis=1)
    means = (traffic.input_tokens, traffic.output_tokens, traffic.history_tokens)
    scales = np.array(means) / np.maximum(sample.mean(axis=0), 1e-9)
    new, answer, history = np.rint(sample * scales)[drawn.ravel()[: len(times)]].T.astype(int)
    new, answer = np.maximum(new, 1), np.maximum(answer, 1)
    shared = round(traffic.shared_tokens)
    hits = np.minimum((traffic.prefix_hit * new).astype(int), new - 1)
    held = history + shared
    return Requests(new + held, answer, hits + held, times, shared_tokens=shared)


@cache
def gap_variation(arrival: str) -> float:
    """Return the standard deviation of gaps over their mean; that of bursts is in ``data/constants/serving.yaml``.

    Parameters
    ----------
    arrival : str
        As of :class:`Traffic`.

    Returns
    -------
    float
        1 of random arrivals, 0 of even ones.

    Examples
    --------
    >>> gap_variation("poisson"), gap_variation("bursty")
    (1.0, 3.0)
    """
    if arrival == "bursty":
        return float(facts.read_yaml("constants/serving.yaml")["traffic"]["bursty_variation"]["value"])
    return 1.0 if arrival == "poisson" else 0.0


def thinned_variation(variation: float, replicas: float) -> float:
    r"""Return how gaps vary for one of several replicas, between which requests are dealt out at random.

    .. math:: c_n^2 = 1 + (c^2 - 1) / n

    Exact for gaps independent of each other; the more replicas, the nearer to random arrivals.  Even arrivals stay so:
    a router deals them out in turn.

    Parameters
    ----------
    variation : float
        Standard deviation of the gaps between all requests, over their mean.
    replicas : float
        How many share them.

    Returns
    -------
    float
        That of one replica's.

    Examples
    --------
    >>> round(thinned_variation(3.0, 8), 2), thinned_variation(1.0, 8), thinned_variation(0.0, 8)
    (1.41, 1.0, 0.0)
    """
    return float(np.sqrt(1 + (variation**2 - 1) / replicas)) if variation > 1 else variation


def _gaps(rng: np.random.Generator, variation: float, count: int) -> Floats:
    """Draw gaps between arrivals, scaled so that their mean is one to the last digit: a run has the rate asked for."""
    if variation == 0:
        return np.ones(count)
    gaps = rng.standard_exponential(count) if variation == 1 else rng.standard_gamma(variation**-2, count)
    return gaps / gaps.mean()


def _lengths(rng: np.random.Generator, mean: float, std: float, count: int) -> np.ndarray:
    """Draw log-normal lengths, at least one token each."""
    normal = rng.standard_normal(count)
    if std <= 0:
        return np.full(count, max(1, round(mean)))
    variance = np.log1p((std / mean) ** 2)
    return np.maximum(1, np.rint(np.exp(np.log(mean) - variance / 2 + np.sqrt(variance) * normal))).astype(int)


@dataclass(frozen=True)
class Served:
    """What requests under traffic saw, seconds each; the mean gap between all tokens; the replica's rate."""

    ttft_s: Floats
    tpot_s: Floats
    request_s: Floats
    itl_s: float
    output_tokens_per_s: float
    waiting_for_memory: bool

    @staticmethod
    def at(values: Floats, percentile: float) -> float:
        """Return a percentile of some latencies, seconds."""
        return float(np.percentile(values, percentile))


def serve(d: Deployment, traffic: Traffic, seed: int = 0, limits: Limits | None = None) -> Served:
    """Let a replica serve some traffic.

    Parameters
    ----------
    d : Deployment
        The replica.
    traffic : Traffic
        Its requests.
    seed : int
        Of the draw.
    limits : Limits, optional
        Of a step; the engine's own by default.

    Returns
    -------
    Served
        Latencies of every request.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> from hopperbook.serving import deploy
    >>> d = deploy(load("llama-3.3-70b"), "H100 SXM", tp=4, precision="fp8", kv_precision="fp8")
    >>> seen = serve(d, Traffic(4.27, 1000, 2048, 512))  # some 70 in flight, by Little's law
    >>> round(float(seen.ttft_s.mean()), 2), round(1e3 * float(seen.tpot_s.mean()))  # seconds, milliseconds
    (0.31, 33)
    """
    asked = limits or Limits(d.engine.step_tokens, d.engine.max_batch * d.attention_dp)
    run: Run = replay(d, draw(traffic, seed), asked)
    several = run.tokens > 1
    rate = float(run.tokens.sum() / max(run.seconds, 1e-9))
    gaps = float((run.tpot * (run.tokens - 1)).sum() / max((run.tokens - 1).sum(), 1.0))
    return Served(run.ttft, run.tpot[several], run.request, gaps, rate, run.starved)


def largest_rate_per_s(
    d: Deployment,
    traffic: Traffic,
    ttft_limit_s: float,
    tpot_limit_s: float,
    percentile: float = 99.0,
    seed: int = 0,
    limits: Limits | None = None,
) -> float:
    """Find the highest rate at which a percentile of the first token and of the time per token keeps both limits.

    Parameters
    ----------
    d : Deployment
        The replica.
    traffic : Traffic
        Lengths and number of requests; its rate is where the search begins.
    ttft_limit_s, tpot_limit_s : float
        Limits.
    percentile : float
        Of each latency.
    seed : int
        Of the draw, the same at every rate.
    limits : Limits, optional
        Of a step.

    Returns
    -------
    float
        Requests a second of the replica, to one per cent; 0 where a request alone misses a limit.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> from hopperbook.serving import deploy
    >>> d = deploy(load("llama-3.1-8b"), "H100 SXM", precision="fp8")
    >>> round(largest_rate_per_s(d, Traffic(10.0, 1000, 512, 256), 0.5, 0.02))
    32
    """

    def keeps(rate_per_s: float) -> bool:
        seen = serve(d, replace(traffic, rate_per_s=rate_per_s, arrival="poisson"), seed, limits)
        first, rest = Served.at(seen.ttft_s, percentile), seen.tpot_s
        return first <= ttft_limit_s and (not len(rest) or Served.at(rest, percentile) <= tpot_limit_s)

    return largest_kept(keeps, traffic.rate_per_s, LEAST_RATE, MOST_RATE, to=1 + RATE_STEP)
