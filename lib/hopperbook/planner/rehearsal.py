"""A plan rehearsed: the fleet that it recommends serves an hour of the customer's traffic."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from hopperbook import serving
from hopperbook.customer import Customer
from hopperbook.errors import InputError
from hopperbook.planner.choose import Plan
from hopperbook.planner.choose import plan as make
from hopperbook.planner.configuration import Configuration
from hopperbook.planner.load import demand
from hopperbook.serving import Deployment, Traffic
from hopperbook.serving.demand import Targets, traffic_of
from hopperbook.serving.events import ROUTINGS, Requests
from hopperbook.serving.observe import MINUTE_S, Observed, Span, Watch
from hopperbook.serving.stream import WINDOW, Fleet, Sums
from hopperbook.serving.traffic import draw

HOUR_S = 3600.0
#: Requests of an hour at the most: beyond, fewer minutes are replayed.
MOST_REQUESTS = 1_000_000
MOST_REPLICAS = 4096
Tell = Callable[[str, float], None]


class Source(NamedTuple):
    """Requests to replay: windows of them, one like their mean, what of them counts, and how many there will be.

    ``goes_on`` says that requests come before and after what counts, so that sums end with it.
    """

    windows: Iterator[Requests]
    mean: Requests
    span: Span
    expected: float
    goes_on: bool


class Judged(NamedTuple):
    """A target: of ``ttft``, ``tpot`` or ``request``, its percentile, seconds asked and seen, and whether kept."""

    latency: str
    percentile: str
    asked_s: float
    seen_s: float
    kept: bool


@dataclass(frozen=True)
class Rehearsal:
    """What was replayed, on what, and what was seen.

    Parameters
    ----------
    plan : Plan
        The customer's.
    row : Configuration
        The one that served: the recommendation, or what the plan explains where it has none.
    replicas : int
        How many served.
    routing, seed, trace : str, int, str
        How requests were spread; the draw; the name of the trace, empty for the customer's own traffic.
    targets : Targets
        The customer's.
    seen : Observed
        Latencies, shares and the timeline.
    """

    plan: Plan
    row: Configuration
    replicas: int
    routing: str
    seed: int
    trace: str
    targets: Targets
    seen: Observed

    def judged(self) -> list[Judged]:
        """Return what the customer asks beside what was seen."""
        t, seen = self.targets, self.seen
        asked = (
            ("ttft", t.ttft_at, t.ttft_s, seen.ttft),
            ("tpot", t.tpot_at, t.tpot_s, seen.tpot),
            ("request", t.request_at, t.request_s, seen.request),
        )
        some = bool(np.isfinite(seen.ttft.mean))  # answers of one token alone have no time per token to miss
        return [
            Judged(name, at, limit_s, each.at(at), some and not each.at(at) > limit_s)
            for name, at, limit_s, each in asked
            if np.isfinite(limit_s)
        ]

    @property
    def kept(self) -> bool:
        """Whether all targets are kept at the customer's percentiles, and the cache could hold every request."""
        return all(target.kept for target in self.judged()) and not self.seen.beyond_cache


def silent(doing: str, share: float) -> None:
    """Tell nobody."""


def rehearse(
    customer: Customer, replicas: int | None = None, routing: str | None = None, seed: int = 0, tell: Tell = silent
) -> Rehearsal:
    """Replay the customer's busy hour on the fleet of her plan.

    Parameters
    ----------
    customer : Customer
        Whose plan is made.
    replicas : int, optional
        Instead of the plan's.
    routing : str, optional
        As of :func:`hopperbook.serving.events.replay`; by default the plan's own.
    seed : int
        Of the traffic that is drawn.
    tell : callable
        Told what is being done, and which share of it is.

    Returns
    -------
    Rehearsal
        What was seen.

    Raises
    ------
    InputError
        For a routing that is unknown, or a model that fits on nothing.

    Examples
    --------
    >>> from hopperbook.customer import check
    >>> done = rehearse(check({"name": "A", "model": "llama-3.1-8b", "concurrency": 16}))
    >>> round(done.seen.in_flight), done.kept
    (16, True)
    """
    routed = routing or demand(customer).routing
    refuse(replicas, routed)
    if not 0 <= seed < 1 << 63:
        raise InputError("seed", seed, "a whole number from 0", "0")
    made = planned(customer, tell)
    row = made.recommendation or made.explained
    count = replicas or row.replicas
    return replayed(made, count, busy_hour(row.deployment, customer, count, seed), routed, seed, tell=tell)


def refuse(replicas: int | None, routing: str) -> None:
    """Refuse replicas or a routing that nothing can be replayed with."""
    if routing not in ROUTINGS:
        raise InputError("routing", routing, ", ".join(ROUTINGS), ROUTINGS)
    if replicas is not None and not 1 <= replicas <= MOST_REPLICAS:
        raise InputError("replicas", replicas, f"a whole number from 1 to {MOST_REPLICAS:,}")


def planned(customer: Customer, tell: Tell = silent) -> Plan:
    """Make a plan, and tell when it begins and ends."""
    tell("making the plan", 0.0)
    made = make(customer)
    tell("making the plan", 1.0)
    return made


def replayed(
    made: Plan, replicas: int, source: Source, routing: str = "least_loaded", seed: int = 0, name: str = "",
    tell: Tell = silent,
) -> Rehearsal:  # fmt: skip
    """Let so many replicas of a plan's layout serve requests.

    Parameters
    ----------
    made : Plan
        The plan.
    replicas : int
        How many serve.
    source : Source
        Requests.
    routing, seed, name : str, int, str
        How requests are spread; the draw, and the name of the trace, that they come from.
    tell : callable
        Told how far the replay is.

    Returns
    -------
    Rehearsal
        What was seen.
    """
    row, targets = made.recommendation or made.explained, targets_of(made.customer)
    seen = watched(Fleet(row.deployment, source.mean, replicas, routing), source, targets, tell)
    return Rehearsal(made, row, replicas, routing, seed, name, targets, seen)


def targets_of(customer: Customer) -> Targets:
    """Return what the customer asks, with no allowance for errors of predictions."""
    return Targets(
        customer.ttft_target_ms / 1e3, customer.tpot_target_ms / 1e3, customer.request_target_ms / 1e3 or np.inf,
        customer.ttft_percentile, customer.tpot_percentile, customer.request_percentile,
    )  # fmt: skip


def busy_hour(d: Deployment, customer: Customer, replicas: int, seed: int) -> Source:
    """Draw an hour of the customer's traffic; it comes before and after too, so that the fleet is at work as ever.

    Parameters
    ----------
    d : Deployment
        A replica.
    customer : Customer
        Lengths, and a rate or users, from whom the rate follows by Little's law.
    replicas : int
        How many serve.
    seed : int
        Of the draw.

    Returns
    -------
    Source
        The hour, or as much of it as a million requests.

    Raises
    ------
    InputError
        If not one request fits into a replica.
    """
    asked = demand(customer)
    steady = serving.answer(d, asked.share(replicas))
    if not np.isfinite(steady.request.mean):
        raise InputError("customer", customer.name, f"a load of which {d.gpus} × {d.gpu.name} hold one request")
    rate_per_s = steady.rate_per_s * replicas
    hour_s = min(HOUR_S, MINUTE_S * np.ceil(MOST_REQUESTS / rate_per_s / MINUTE_S))
    edge_s = MINUTE_S + 3 * (steady.request.mean - steady.ttft.mean)
    lengths = asked.lengths
    prompt = round(lengths.cached + lengths.new)
    mean = Requests([prompt], [round(lengths.answer)], shared_tokens=round(lengths.shared))
    users = max(1, round(rate_per_s * (steady.request.mean + asked.think_s)))
    span = Span(edge_s, edge_s + hour_s, edge_s, round(hour_s / MINUTE_S))
    traffic, ends_s = traffic_of(lengths, rate_per_s, WINDOW, asked.variation), 2 * edge_s + hour_s
    return Source(drawn(traffic, ends_s, users, seed), mean, span, rate_per_s * ends_s, True)


def drawn(traffic: Traffic, ends_s: float, users: int, seed: int) -> Iterator[Requests]:
    """Draw windows of traffic until a time, each from a seed of its own, each request by any of some users."""
    now_s, window = 0.0, 0
    while now_s < ends_s:
        random = np.random.default_rng([seed, window])
        piece = draw(traffic, int(random.integers(1 << 62)))
        times = now_s + np.asarray(piece.arrival_s)
        now_s, window = float(times[-1]), window + 1
        piece = piece._replace(arrival_s=times, session=random.integers(users, size=len(times)))
        yield only(piece, times <= ends_s)


def watched(fleet: Fleet, source: Source, targets: Targets, tell: Tell = silent) -> Observed:
    """Let a fleet serve requests, and look on.

    Parameters
    ----------
    fleet : Fleet
        Its replicas, at rest.
    source : Source
        Requests.
    targets : Targets
        Latencies to keep.
    tell : callable
        Told how far the replay is.

    Returns
    -------
    Observed
        What was seen.
    """
    watch, span = Watch(targets, source.span), source.span
    limit, came = fleet.d.model.context_limit or np.inf, 0
    sums: list[Sums] = [] if source.goes_on else [fleet.sums()]
    marks = [span.start_s, span.end_s] if source.goes_on else []
    for window in cut(source.windows, span):
        times = np.asarray(window.arrival_s)
        while marks and times[0] > marks[0]:
            sums.append(_at(fleet, marks.pop(0)))
        fits = np.asarray(window.prompt_tokens) + np.asarray(window.answer_tokens) <= limit
        watch.refuse(times[~fits])
        watch.see(fleet.feed(only(window, fits)))
        came += len(times)
        tell("replaying", min((came - fleet.unanswered) / source.expected, 1.0))
    sums += [_at(fleet, mark) for mark in marks]
    for answered in fleet.drain():
        watch.see(answered)
        tell("replaying", min((came - fleet.unanswered) / source.expected, 1.0))
    begin, end = [*sums, fleet.sums()][:2]
    return watch.observed(fleet.replicas, begin, end)


def _at(fleet: Fleet, mark_s: float) -> Sums:
    """Let a fleet work until a time, and return its sums."""
    fleet.reach(mark_s)
    return fleet.sums()


def cut(windows: Iterator[Requests], span: Span) -> Iterator[Requests]:
    """Cut windows where what counts begins and ends, and into parts of a bounded size; none is empty."""
    for window in windows:
        times = np.asarray(window.arrival_s)
        begin, end = np.searchsorted(times, span.start_s), np.searchsorted(times, span.end_s, side="right")
        edges = {0, int(begin), int(end), *range(WINDOW, len(times), WINDOW), len(times)}
        for low, high in pairwise(sorted(edges)):
            yield only(window, slice(low, high))


def only(requests: Requests, kept: slice | np.ndarray) -> Requests:
    """Return some of the requests: a slice of them, or those of a mask."""
    prompt, answer, cached, arrival, session = (np.asarray(x)[kept] if len(x) else () for x in requests[:5])
    return Requests(prompt, answer, cached, arrival, session, requests.shared_tokens)
