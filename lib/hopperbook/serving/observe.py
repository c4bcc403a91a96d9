"""What a replay shows: percentiles, the share of requests within targets, Little's law, and a timeline by the minute.

Latencies are counted in bins, so that memory does not grow with the number of requests; a percentile is right to half
a bin, which is a twentieth of a per cent.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hopperbook.serving.clock import Floats
from hopperbook.serving.demand import Latency, Targets
from hopperbook.serving.stream import Answered, Sums

LEAST_S, MOST_S = 1e-4, 1e10
BIN, MINUTE_BIN = 1e-3, 1e-2
MINUTE_S = 60.0


class Histogram:
    """Counts of latencies in bins of equal ratio, one row or several.

    Parameters
    ----------
    rows : int
        How many are kept apart.
    width : float
        Of a bin, as a share of the latency.

    Examples
    --------
    >>> seen = Histogram()
    >>> seen.add(np.linspace(0.1, 1.1, 1001))
    >>> round(seen.percentile(95.0), 2), round(seen.latency().mean, 2)
    (1.05, 0.6)
    """

    def __init__(self, rows: int = 1, width: float = BIN) -> None:
        self.width = np.log1p(width)
        self.bins = int(np.ceil(np.log(MOST_S / LEAST_S) / self.width)) + 1
        self.counts = np.zeros((rows, self.bins), np.int64)
        self.sums = np.zeros(rows)

    def add(self, values_s: Floats, row: np.ndarray | int = 0) -> None:
        """Count latencies above zero, each in its row."""
        at = np.clip(np.log(np.maximum(values_s, LEAST_S) / LEAST_S) / self.width, 0, self.bins - 1).astype(np.int64)
        rows = np.broadcast_to(row, at.shape)
        np.add.at(self.counts, (rows, at), 1)
        np.add.at(self.sums, rows, values_s)

    def percentile(self, percent: float, row: int = 0) -> float:
        """Return a percentile, interpolated between two latencies as NumPy does; NaN of none."""
        below = np.cumsum(self.counts[row])
        if not below[-1]:
            return float("nan")
        place = percent / 100 * (below[-1] - 1)
        low, high = (LEAST_S * np.exp((np.searchsorted(below, k, side="right") + 0.5) * self.width)
                     for k in (np.floor(place), np.ceil(place)))  # fmt: skip
        return float(low + (place - np.floor(place)) * (high - low))

    def latency(self) -> Latency:
        """Return mean and percentiles of the first row."""
        count = int(self.counts[0].sum())
        mean = float(self.sums[0]) / count if count else float("nan")
        return Latency(mean, *(self.percentile(p) for p in (50.0, 90.0, 95.0, 99.0)))


class Span(NamedTuple):
    """Times of a replay, seconds: requests that come from start to end are counted; the timeline's start and minutes.

    ``end_s`` is the last arrival that counts; ``minutes`` is how many the timeline has.
    """

    start_s: float
    end_s: float
    timeline_s: float
    minutes: int


class Minute(NamedTuple):
    """A minute of a replay: when it began, requests that came, in flight, and still without a first token, on average.

    ``ttft_p95_s`` is of the requests that came in it; NaN of none.
    """

    start_s: float
    arrivals: int
    in_flight: float
    waiting: float
    ttft_p95_s: float


@dataclass(frozen=True)
class Observed:
    r"""What was seen of a fleet.

    .. math:: L = \frac{1}{t} \int_0^t n(s)\, ds \;\approx\; \lambda \bar T

    Parameters
    ----------
    requests, beyond_context, beyond_cache : int
        Requests that came; of them refused because the model reads no so long ones, or because no replica's cache
        could ever hold them.
    arrivals_s, run_s : float
        Seconds over which they came, and until the last was answered.
    rate_per_s : float
        Requests a second that came.
    in_flight, in_flight_by_little : float
        Requests in flight on average while requests came, counted, and by Little's law from rate and whole answer; the
        two agree where the fleet keeps up.
    ttft, tpot, request : Latency
        First token, time per further token (of answers that have one), whole answer.
    within : float
        Share of the requests that came that kept every target.
    good_per_s, good_tokens_per_s, tokens_per_s : float
        Requests and their tokens a second within all targets; tokens of all answers.
    prefill_share, decode_share, cache_share : float
        Shares of time with prompts in a step and of pure decode; share of the caches in use on average.
    running, waiting : float
        Requests that decode, and that wait for a step, on average, in all replicas.
    preempted : int
        Requests that had to give their cache back.
    starved : bool
        Whether some request had to wait for the cache.
    timeline : tuple of Minute
        The busiest hour.
    """

    requests: int
    beyond_context: int
    beyond_cache: int
    arrivals_s: float
    run_s: float
    rate_per_s: float
    in_flight: float
    in_flight_by_little: float
    ttft: Latency
    tpot: Latency
    request: Latency
    within: float
    good_per_s: float
    good_tokens_per_s: float
    tokens_per_s: float
    prefill_share: float
    decode_share: float
    cache_share: float
    running: float
    waiting: float
    preempted: int
    starved: bool
    timeline: tuple[Minute, ...]


class Watch:
    """Sums up requests as they are answered.

    Parameters
    ----------
    targets : Targets
        Latencies to keep.
    span : Span
        What is counted.

    Examples
    --------
    >>> watch = Watch(Targets(1.0, 0.05), Span(0.0, 10.0, 0.0, 1))
    >>> one, two = np.array([0.0, 10.0]), np.array([0.5, 2.0])
    >>> watch.see(Answered(one, two, np.array([0.04, 0.04]), np.array([4.0, 6.0]), np.array([100, 100])))
    >>> idle = Sums(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0, False)
    >>> seen = watch.observed(1, idle, idle._replace(now_s=16.0))
    >>> seen.within, seen.in_flight, seen.in_flight_by_little  # one in flight for 4 s of 10; two of 5 s in 10 s
    (0.5, 0.4, 1.0)
    """

    def __init__(self, targets: Targets, span: Span) -> None:
        self.targets, self.span = targets, span
        self.ttft, self.tpot, self.request = Histogram(), Histogram(), Histogram()
        self.requests = self.beyond_context = self.beyond_cache = self.good = 0
        self.good_tokens = self.tokens = self.held_s = 0.0
        self.arrivals = np.zeros(span.minutes, np.int64)
        self.minute_held_s, self.minute_waited_s = np.zeros(span.minutes), np.zeros(span.minutes)
        self.minute_ttft = Histogram(max(span.minutes, 1), MINUTE_BIN)

    def refuse(self, arrival_s: Floats) -> None:
        """Count requests that are longer than the model reads: they came, and were refused at once."""
        counted = self._counted(arrival_s)
        self.beyond_context += int(counted.sum())
        self.requests += int(counted.sum())
        self._arrive(arrival_s)

    def see(self, answered: Answered) -> None:
        """Count requests that were answered, or that no replica could hold."""
        self._arrive(answered.arrival_s)
        whole = Answered._make(column[~np.isnan(answered.ttft_s)] for column in answered)
        last_s = whole.arrival_s + whole.request_s
        self.held_s += float(_overlap(whole.arrival_s, last_s, self.span.start_s, self.span.end_s).sum())
        self._time(whole, last_s)
        came, counted = self._counted(answered.arrival_s), self._counted(whole.arrival_s)
        self.requests += int(came.sum())
        self.beyond_cache += int(came.sum() - counted.sum())
        self._count(Answered._make(column[counted] for column in whole))

    def observed(self, replicas: int, begin: Sums, end: Sums) -> Observed:
        """Return what was seen, with what so many replicas did between two moments."""
        arrivals_s = self.span.end_s - self.span.start_s
        run_s = max(end.now_s - begin.now_s, 1e-9)
        replica_s = replicas * run_s
        ttft, tpot, request = self.ttft.latency(), self.tpot.latency(), self.request.latency()
        answered = self.requests - self.beyond_context - self.beyond_cache
        over_s = arrivals_s or run_s
        held_s = self.held_s if arrivals_s else float(self.request.sums[0])
        little = answered / over_s * request.mean if answered else 0.0
        return Observed(
            self.requests, self.beyond_context, self.beyond_cache, arrivals_s, run_s,
            self.requests / arrivals_s if arrivals_s else float("nan"), held_s / over_s, little, ttft, tpot, request,
            self.good / max(self.requests, 1), self.good / run_s, self.good_tokens / run_s, self.tokens / run_s,
            (end.prefill_s - begin.prefill_s) / replica_s, (end.decode_s - begin.decode_s) / replica_s,
            (end.cache_s - begin.cache_s) / replica_s, (end.running_s - begin.running_s) / run_s,
            (end.waiting_s - begin.waiting_s) / run_s, end.preempted - begin.preempted, end.starved,
            tuple(self._minutes()),
        )  # fmt: skip

    def _counted(self, arrival_s: Floats) -> np.ndarray:
        return (arrival_s >= self.span.start_s) & (arrival_s <= self.span.end_s)

    def _minute(self, arrival_s: Floats) -> np.ndarray:
        return np.floor((arrival_s - self.span.timeline_s) / MINUTE_S).astype(np.int64)

    def _arrive(self, arrival_s: Floats) -> None:
        minute = self._minute(arrival_s)
        inside = minute[(minute >= 0) & (minute < self.span.minutes)]
        self.arrivals += np.bincount(inside, minlength=self.span.minutes)

    def _count(self, counted: Answered) -> None:
        """Add requests to the percentiles, and those that keep all targets to the good ones."""
        self.ttft.add(counted.ttft_s)
        self.tpot.add(counted.tpot_s[counted.answer_tokens > 1])
        self.request.add(counted.request_s)
        good = within(counted, self.targets)
        self.good += int(good.sum())
        self.good_tokens += float(counted.answer_tokens[good].sum())
        self.tokens += float(counted.answer_tokens.sum())

    def _time(self, whole: Answered, last_s: Floats) -> None:
        """Add requests to the minutes of the timeline in which they were in flight."""
        times = (whole.arrival_s, whole.arrival_s + whole.ttft_s, last_s)
        arrived, first, last = (_after(x - self.span.timeline_s, self.span.minutes) for x in times)
        self.minute_held_s += arrived - last
        self.minute_waited_s += arrived - first
        minute = self._minute(whole.arrival_s)
        came = (minute >= 0) & (minute < self.span.minutes)
        self.minute_ttft.add(whole.ttft_s[came], minute[came])

    def _minutes(self) -> Iterator[Minute]:
        for k in range(self.span.minutes):
            start_s, p95_s = MINUTE_S * k + self.span.timeline_s - self.span.start_s, self.minute_ttft.percentile(95, k)
            held, waited = self.minute_held_s[k] / MINUTE_S, self.minute_waited_s[k] / MINUTE_S
            yield Minute(start_s, int(self.arrivals[k]), float(held), float(waited), p95_s)


def within(answered: Answered, targets: Targets) -> np.ndarray:
    """Return which requests keep every target, each by itself and whatever percentile is asked; refused ones do not.

    Parameters
    ----------
    answered : Answered
        Requests.
    targets : Targets
        Latencies to keep.

    Returns
    -------
    ndarray of bool
        One entry a request.

    Examples
    --------
    >>> two = Answered(np.zeros(2), np.array([0.5, np.nan]), np.array([0.04] * 2), np.ones(2), np.array([10, 10]))
    >>> int(within(two, Targets(1.0, 0.05)).sum())
    1
    """
    kept = (answered.ttft_s <= targets.ttft_s) & (answered.tpot_s <= targets.tpot_s)
    return kept & (answered.request_s <= targets.request_s)


def _overlap(begin: Floats, end: Floats, low: Floats | float, high: Floats | float) -> Floats:
    """Return for how long intervals lie inside others."""
    inside: Floats = np.clip(end, low, high) - np.clip(begin, low, high)
    return inside


def _after(times_s: Floats, minutes: int) -> Floats:
    """Return how many seconds of each minute lie after some times, added up over the times."""
    at = np.clip(times_s, 0.0, MINUTE_S * minutes)
    minute = np.floor(at / MINUTE_S).astype(np.int64)
    rest_s = np.bincount(minute, weights=MINUTE_S * (minute + 1) - at, minlength=minutes + 1)
    before = np.cumsum(np.bincount(minute, minlength=minutes + 1))
    later: Floats = rest_s + MINUTE_S * np.r_[0, before[:-1]]
    return later[:minutes]
