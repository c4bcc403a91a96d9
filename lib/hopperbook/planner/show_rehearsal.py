"""A rehearsal as JSON for scripts and as text for a terminal."""

from __future__ import annotations

import math
from dataclasses import replace

from hopperbook import units
from hopperbook.planner.rehearsal import Rehearsal
from hopperbook.planner.show import layout
from hopperbook.serving.demand import Latency
from hopperbook.serving.observe import Minute, Observed

BAR = 12
EIGHTHS = " ▏▎▍▌▋▊▉█"
WORDS = {"ttft": "first token", "tpot": "time per token", "request": "whole answer"}
PERCENTILES = ("mean", "p50", "p90", "p95", "p99")


def rehearsal_json(done: Rehearsal) -> dict[str, object]:
    """Return a rehearsal as plain values, units in the names; what cannot be known is None.

    Parameters
    ----------
    done : Rehearsal
        What was seen.

    Returns
    -------
    dict
        As ``hopperbook simulate --json`` prints it.

    Examples
    --------
    >>> from hopperbook.customer import check
    >>> from hopperbook.planner.rehearsal import rehearse
    >>> made = rehearsal_json(rehearse(check({"name": "A", "model": "llama-3.1-8b", "concurrency": 16})))
    >>> made["fleet"]["gpus"], made["share_within_targets"] > 0.99, len(made["timeline"])
    (1, True, 60)
    """
    seen = done.seen
    found: dict[str, object] = {
        "customer": done.plan.customer.name,
        "fleet": _fleet(done),
        "trace": done.trace or None,
        "routing": done.routing,
        "seed": done.seed,
        "requests": seen.requests,
        "arrivals_s": seen.arrivals_s,
        "run_s": seen.run_s,
        "requests_per_s": seen.rate_per_s,
        "in_flight": seen.in_flight,
        "in_flight_by_littles_law": seen.in_flight_by_little,
        "ttft_ms": _milliseconds(seen.ttft),
        "tpot_ms": _milliseconds(seen.tpot),
        "request_ms": _milliseconds(seen.request),
        "targets": _targets(done),
        "targets_kept": done.kept,
        "share_within_targets": seen.within,
        "requests_within_targets_per_s": seen.good_per_s,
        "output_tokens_within_targets_per_s": seen.good_tokens_per_s,
        "output_tokens_per_s": seen.tokens_per_s,
        "prefill_share": seen.prefill_share,
        "decode_share": seen.decode_share,
        "cache_share": seen.cache_share,
        "running": seen.running,
        "queue": seen.waiting,
        "waited_for_cache": seen.starved,
        "preempted": seen.preempted,
        "refused_beyond_context": seen.beyond_context,
        "refused_beyond_cache": seen.beyond_cache,
        "timeline": [_minute(minute) for minute in seen.timeline],
    }
    return {name: units.stored(value) for name, value in found.items()}


def _fleet(done: Rehearsal) -> dict[str, object]:
    row = done.row
    return {
        "recommended": done.plan.recommendation is not None,
        "planned_for": "trace" if done.trace else "busy hour",
        "planned_replicas": done.row.replicas,
        "gpu": row.gpu,
        "gpus": row.deployment.gpus * done.replicas,
        "replicas": done.replicas,
        "tp": row.tp,
        "pp": row.deployment.pp,
        "precision": row.precision,
        "kv_precision": row.kv_precision,
    }


def _milliseconds(latency: Latency) -> dict[str, object]:
    return {name: units.stored(1e3 * latency.at(name)) for name in PERCENTILES}


def _targets(done: Rehearsal) -> list[dict[str, object]]:
    return [
        {
            "latency": target.latency,
            "percentile": target.percentile,
            "target_ms": units.stored(1e3 * target.asked_s),
            "seen_ms": units.stored(1e3 * target.seen_s),
            "kept": target.kept,
        }
        for target in done.judged()
    ]


def _minute(minute: Minute) -> dict[str, object]:
    return {
        "start_s": units.stored(minute.start_s),
        "arrivals": minute.arrivals,
        "in_flight": units.stored(minute.in_flight),
        "waiting_for_first_token": units.stored(minute.waiting),
        "ttft_p95_ms": units.stored(1e3 * minute.ttft_p95_s),
    }


def rehearsal_text(done: Rehearsal) -> str:
    """Write a rehearsal for a terminal.

    Parameters
    ----------
    done : Rehearsal
        What was seen.

    Returns
    -------
    str
        The fleet, what it served and how, and a timeline of the busiest hour.
    """
    return "\n".join([*_heading(done), *_latencies(done), *_state(done), "", *_timeline(done)])


def _heading(done: Rehearsal) -> list[str]:
    seen, row = done.seen, done.row
    fleet = f"{row.deployment.gpus * done.replicas} × {row.gpu}, {layout(replace(row, replicas=done.replicas))}"
    formats = f"weights {units.format_name(row.precision)}, cache {units.format_name(row.kv_precision)}"
    what = f"the trace {done.trace}" if done.trace else f"the busy hour, seed {done.seed}"
    lines = [f"{done.plan.customer.name}: {what}, on {fleet}, {formats}, {done.routing.replace('_', ' ')}"]
    lines.append(f"  {'fleet':22s} {_planned(done)}")
    if done.plan.recommendation is None:
        lines.append(f"This fleet is not recommended: {done.plan.answer}")
    rate = f", {units.number(seen.rate_per_s, 3)} a second" if seen.arrivals_s else " at once"
    span = f" over {units.duration(seen.arrivals_s)}" if seen.arrivals_s else ""
    served = units.number(seen.tokens_per_s, 4)
    lines.append(f"  {'requests':22s} {seen.requests:,}{span}{rate}; {served} tokens written a second")
    counted, little = units.number(seen.in_flight, 3), units.number(seen.in_flight_by_little, 3)
    agree = abs(seen.in_flight_by_little - seen.in_flight) <= 0.05 * seen.in_flight + 0.5
    lines.append(
        f"  {'requests in flight':22s} {counted} on average; by Little's law {little}"
        + ("" if agree else " (they differ where the number in flight grows or falls)")
    )
    return lines


def _planned(done: Rehearsal) -> str:
    """Say what the fleet was planned for, and what the plan has where it is another number of replicas."""
    said = "planned for this trace" if done.trace else "planned for the customer's busy hour"
    if done.replicas == done.row.replicas:
        return said
    many = "replica" if done.row.replicas == 1 else "replicas"
    return f"as asked; {said}: {done.row.replicas:,} {many}, {done.row.gpus:,} × {done.row.gpu}"


def _latencies(done: Rehearsal) -> list[str]:
    seen = done.seen
    rows = (
        ("first token, ms", seen.ttft),
        ("time per token, ms", seen.tpot),
        ("whole answer, s", seen.request),
    )
    lines = [f"  {'':22s} " + "".join(f"{name:>12s}" for name in PERCENTILES)]
    for name, latency in rows:
        scale = 1.0 if name.endswith(" s") else 1e3
        lines.append(f"  {name:22s} " + "".join(f"{units.number(scale * x, 3):>12s}" for x in latency))
    return lines


def refused_words(seen: Observed) -> str:
    """Say how many requests no replica can take.

    Parameters
    ----------
    seen : Observed
        What was seen of a trace.

    Returns
    -------
    str
        Those longer than the context, and those larger than the cache.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> refused_words(SimpleNamespace(beyond_context=2, beyond_cache=0))
    '2 beyond the context, 0 beyond the cache'
    """
    return f"{seen.beyond_context:,} beyond the context, {seen.beyond_cache:,} beyond the cache"


def _state(done: Rehearsal) -> list[str]:
    seen = done.seen
    kept = [
        f"{WORDS[t.latency]} {t.percentile} {units.number(1e3 * t.seen_s, 3)} of {units.number(1e3 * t.asked_s, 3)} ms"
        f" {'kept' if t.kept else 'missed'}"
        for t in done.judged()
    ]
    good = f"{units.number(seen.good_per_s, 3)} requests and {units.number(seen.good_tokens_per_s, 4)} tokens a second"
    time = f"{units.percent(seen.prefill_share)} in steps with prompts, {units.percent(seen.decode_share)} in others"
    queue = units.number(seen.waiting, 3) if seen.waiting >= 10 else units.fixed(seen.waiting, 1)
    waited = "; some waited for the cache" if seen.starved else ""
    return [
        f"  {'targets ' + ('kept' if done.kept else 'missed'):22s} {'; '.join(kept)}",
        f"  {'within all targets':22s} {units.percent(math.floor(1e4 * seen.within) / 1e4, 4)} of requests: {good}",
        f"  {'replicas':22s} cache {units.percent(seen.cache_share)} in use; time: {time}",
        f"  {'queue':22s} {queue} requests on average{waited}; {seen.preempted:,} pre-empted",
        f"  {'refused':22s} {refused_words(seen)}",
    ]


def _timeline(done: Rehearsal) -> list[str]:
    minutes = done.seen.timeline
    columns: list[tuple[str, list[float]]] = [
        ("arrivals", [float(m.arrivals) for m in minutes]),
        ("in flight", [m.in_flight for m in minutes]),
        ("no first token yet", [m.waiting for m in minutes]),
        ("first token p95, ms", [1e3 * m.ttft_p95_s for m in minutes]),
    ]
    lines = ["minute  " + "".join(f"{name:^{BAR + 12}s}" for name, _ in columns).rstrip()]
    tops = [max((x for x in values if x == x), default=0.0) for _, values in columns]
    for k, minute in enumerate(minutes):
        cells = [
            f"{_shown(values[k]):>11s} {bar(values[k], top)}" for (_, values), top in zip(columns, tops, strict=True)
        ]
        lines.append(f"{minute.start_s / 60:6.0f}  " + "".join(cells).rstrip())
    return lines


def _shown(value: float) -> str:
    return "" if math.isnan(value) else units.number(value, 3)


def bar(value: float, top: float, width: int = BAR) -> str:
    """Draw a number as a bar of block characters, as wide as asked where it is the largest.

    Parameters
    ----------
    value, top : float
        The number, and the largest of its column; NaN is no bar.
    width : int
        Characters.

    Returns
    -------
    str
        Always ``width`` characters.

    Examples
    --------
    >>> bar(2.5, 4.0, 4), len(bar(float("nan"), 4.0, 4))
    ('██▌ ', 4)
    """
    eighths = round(8 * width * value / top) if top > 0 and value == value else 0
    return (EIGHTHS[8] * (eighths // 8) + EIGHTHS[eighths % 8].strip()).ljust(width)
