"""A plan for a trace as JSON for scripts and as text for a terminal: its plan, and how the trace itself is served."""

from __future__ import annotations

from typing import Any

from hopperbook import units
from hopperbook.planner.rehearsal import Judged
from hopperbook.planner.show import as_json, as_text
from hopperbook.planner.show_rehearsal import WORDS, refused_words, rehearsal_json
from hopperbook.planner.traced import MOST_TIMES, Traced

#: Fields that are too long for a line.
LONG = ("length_sample", "day_curve")


def traced_json(done: Traced) -> dict[str, Any]:
    """Return a plan for a trace as plain values.

    Parameters
    ----------
    done : Traced
        From :func:`hopperbook.planner.traced.plan_for_trace`.

    Returns
    -------
    dict
        ``fields`` for a customer's file, ``plan``, the ``rehearsal`` of the busiest hour, and ``replicas_that_keep``.
    """
    return {
        "fields": done.fields,
        "plan": as_json(done.plan),
        "rehearsal": rehearsal_json(done.rehearsal),
        "replicas_that_keep": done.replicas,
    }


def traced_text(done: Traced) -> str:
    """Write a plan for a trace for a terminal.

    Parameters
    ----------
    done : Traced
        From :func:`hopperbook.planner.traced.plan_for_trace`.

    Returns
    -------
    str
        What the trace says, the plan, and whether its fleet keeps the targets on the trace itself.
    """
    fields = ", ".join(f"{name} {value}" for name, value in done.fields.items() if name not in LONG)
    return "\n".join([f"From the trace {done.rehearsal.trace}: {fields}", as_text(done.plan), *_replay(done)])


def _replay(done: Traced) -> list[str]:
    seen, row = done.rehearsal, done.rehearsal.row
    routed = {"by_session": "by conversation", "round_robin": "in turn", "least_loaded": "to the least loaded"}
    what = f"{seen.seen.requests:,} requests of its busiest hour, {routed[seen.routing]}"
    lines = [f"Replayed on {seen.replicas * row.deployment.gpus:,} × {row.gpu}: {what}"]
    lines += [f"  {WORDS[target.latency]:22s} {_said(target)}" for target in seen.judged()]
    if seen.seen.beyond_context or seen.seen.beyond_cache:
        lines.append(f"  {'refused':22s} {refused_words(seen.seen)}")
    gpus = row.deployment.gpus
    if done.replicas is None:
        lines.append(f"  even {MOST_TIMES} times as many such replicas miss the targets on the trace")
    elif done.replicas != seen.replicas:
        more = "more" if done.replicas > seen.replicas else "fewer"
        lines.append(
            f"  {done.replicas:,} such replicas, {done.replicas * gpus:,} GPUs, keep them: {more} than planned, since"
            " real arrivals are neither random nor alike"
        )
    return lines


def _said(target: Judged) -> str:
    seen, asked = (units.number(1e3 * seconds, 3) for seconds in (target.seen_s, target.asked_s))
    return f"{seen} ms ({target.percentile}) of {asked}: {'kept' if target.kept else 'missed'}"
