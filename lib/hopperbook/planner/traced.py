"""A plan for traffic that was measured: a trace is read into the customer's fields, planned for, and replayed."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hopperbook import models
from hopperbook.customer import Customer, check
from hopperbook.errors import InputError
from hopperbook.planner.choose import Plan
from hopperbook.planner.rehearsal import (
    HOUR_S,
    MINUTE_S,
    Rehearsal,
    Source,
    Tell,
    only,
    planned,
    refuse,
    replayed,
    silent,
)
from hopperbook.serving import trace
from hopperbook.serving.events import Requests
from hopperbook.serving.observe import Span

#: Times the plan's replicas, beyond which nobody looks for a fleet that keeps the targets.
MOST_TIMES = 8
#: Seconds of the trace before and after its busiest hour that are replayed too.
LEAD_S = 600.0


class Read(NamedTuple):
    """The customer with a trace's traffic in place of her own, the fields that it sets, its busy hour, its survey."""

    customer: Customer
    fields: dict[str, Any]
    hour: Source
    found: trace.Survey

    @property
    def routing(self) -> str:
        """How its requests are best spread: a conversation stays where its history is, the others wait least."""
        if self.fields["context_tokens"] <= self.fields["prompt_tokens"] + self.fields["output_tokens"]:
            return "least_loaded"
        return "by_session" if self.found.sessions else "round_robin"


@dataclass(frozen=True)
class Traced:
    """A plan for a trace, and its fleet as it serves the busiest hour of that trace.

    Parameters
    ----------
    fields : dict
        What the trace says in the words of a customer's file.
    plan : Plan
        Made for those.
    rehearsal : Rehearsal
        The plan's fleet in the trace's busiest hour.
    replicas : int or None
        The fewest replicas of the plan's layout that keep every target in it; None where eight times as many do not.
    """

    fields: dict[str, Any]
    plan: Plan
    rehearsal: Rehearsal
    replicas: int | None


def of_trace(customer: Customer, path: Path, tell: Tell = silent) -> Read:
    """Read a trace into a customer's fields.

    The busiest hour sets the rate, the lengths and how evenly requests come; whole days set the day's curve.  Tokens
    of a prompt that the cache held count as the history of a conversation, all of it found.

    Parameters
    ----------
    customer : Customer
        Her targets, money and everything else.
    path : Path
        The trace, as :func:`hopperbook.serving.trace.read` takes it.
    tell : callable
        Told how far the survey is.

    Returns
    -------
    Read
        Its busiest hour is to be replayed with some minutes before and after it.

    Raises
    ------
    InputError
        For a bad trace, or one whose requests the model cannot hold.
    """
    longest = models.load(customer.model).context_limit or math.inf
    found = trace.survey(path, longest, HOUR_S, lambda share: tell("checking the trace", share))
    start_s, end_s = found.busiest_s, min(found.busiest_s + HOUR_S, found.last_s + 1e-6)
    around = trace.stretch(path, start_s - LEAD_S, end_s + LEAD_S)
    inside = slice(*np.searchsorted(around.arrival_s, [start_s, end_s]))
    hour = trace.measured(only(around, inside), longest)
    fields: dict[str, Any] = {
        "requests_per_s": _short(hour.requests / hour.seconds),
        "arrival_variation": max(_short(hour.variation), 0.01),
        "lengths": "own",
        "length_sample": " ".join("/".join(map(str, request)).removesuffix("/0") for request in hour.sample),
        "prompt_tokens": max(round(hour.new_tokens), 1),
        "prompt_std_tokens": _short(hour.new_std),
        "output_tokens": max(round(hour.answer_tokens), 1),
        "output_std_tokens": _short(hour.answer_std),
        "context_tokens": round(hour.cached_tokens + hour.new_tokens + hour.answer_tokens),
        "history_found": 1.0,
        "shared_prompt_tokens": 0,
    }
    if found.by_hour:
        fields["day_curve"] = ",".join(str(count) for count in found.by_hour)
    span = Span(start_s, end_s, start_s, math.ceil((end_s - start_s) / MINUTE_S))
    mean = Requests([round(hour.cached_tokens + hour.new_tokens)], [fields["output_tokens"]])
    source = Source(iter([around]), mean, span, len(around.arrival_s), start_s > 0)
    return Read(check(customer.model_dump() | fields), fields, source, found)


def _short(value: float) -> float:
    """Round to four digits: a customer's file is read by people."""
    return float(f"{value:.4g}")


def plan_for_trace(customer: Customer, path: Path, tell: Tell = silent) -> Traced:
    """Plan for a trace, replay its busiest hour on that fleet, and find the fewest replicas that keep the targets.

    Parameters
    ----------
    customer : Customer
        Targets, money and everything that the trace does not say.
    path : Path
        The trace.
    tell : callable
        Told what is being done, and which share of it is.

    Returns
    -------
    Traced
        Plan and replay.

    Raises
    ------
    InputError
        As :func:`of_trace`.
    """
    read = of_trace(customer, path, tell)
    made = planned(read.customer, tell)
    (requests,) = read.hour.windows

    @functools.cache
    def on(replicas: int) -> Rehearsal:
        source = read.hour._replace(windows=iter([requests]))
        return replayed(made, replicas, source, read.routing, name=path.name, tell=tell)

    count = (made.recommendation or made.explained).replicas
    return Traced(read.fields, made, on(count), fewest(lambda replicas: on(replicas).kept, count, MOST_TIMES * count))


def rehearse_trace(
    customer: Customer, path: Path, replicas: int | None = None, routing: str | None = None, tell: Tell = silent
) -> Rehearsal:
    """Replay the whole of a trace on the fleet that is planned for it.

    Parameters
    ----------
    customer : Customer
        Targets, money and everything that the trace does not say.
    path : Path
        The trace.
    replicas : int, optional
        Instead of the plan's.
    routing : str, optional
        As of :func:`hopperbook.serving.events.replay`; by default as :func:`plan_for_trace` spreads them.
    tell : callable
        Told what is being done, and which share of it is.

    Returns
    -------
    Rehearsal
        What was seen; its timeline is the busiest hour.

    Raises
    ------
    InputError
        As :func:`of_trace`, and for a routing that is unknown or lacks sessions.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "trace.csv"
    ...     _ = path.write_text("time,prompt,output\\n0,500,20\\n1,900,30\\n")
    ...     done = rehearse_trace(check({"name": "A", "model": "llama-3.1-8b"}), path)
    >>> done.seen.requests, done.kept
    (2, True)
    """
    refuse(replicas, routing or "least_loaded")
    read = of_trace(customer, path, tell)
    routed = routing or read.routing
    if routed == "by_session" and not read.found.sessions:
        raise InputError("routing", routed, "a trace with a column session for it", "least_loaded")
    made = planned(read.customer, tell)
    count = replicas or (made.recommendation or made.explained).replicas
    return replayed(made, count, whole(path, read.found), routed, name=path.name, tell=tell)


def whole(path: Path, found: trace.Survey) -> Source:
    """Return all requests of a trace that was surveyed, in windows; the timeline is its busiest hour."""
    minutes = min(int((found.last_s - found.busiest_s) // MINUTE_S) + 1, round(HOUR_S / MINUTE_S))
    mean = Requests([max(round(found.prompt_tokens), 1)], [max(round(found.answer_tokens), 1)])
    span = Span(0.0, found.last_s, found.busiest_s, minutes)
    return Source(trace.read(path), mean, span, found.requests, False)


def fewest(kept: Callable[[int], bool], begin: int, most: int) -> int | None:
    """Find the least whole number that keeps what more of it keep better, none above the most.

    Parameters
    ----------
    kept : callable
        Whether a number does.
    begin : int
        Where the search begins.
    most : int
        Where it ends.

    Returns
    -------
    int or None
        From one.

    Examples
    --------
    >>> fewest(lambda n: n >= 23, 5, 40), fewest(lambda n: n >= 3, 5, 40), fewest(lambda n: False, 5, 40)
    (23, 3, None)
    """
    low, high = 0, begin
    while not kept(high):
        if high >= most:
            return None
        low, high = high, min(2 * high, most)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if kept(middle) else (middle, high)
    return high
