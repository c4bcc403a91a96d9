"""A plan as JSON for scripts and as text for a terminal."""

from __future__ import annotations

import math
from typing import Any

from hopperbook import serving, units
from hopperbook.customer import Customer
from hopperbook.evidence import interval
from hopperbook.evidence.beyond import bands, serving_beyond
from hopperbook.models import conversion, label, load
from hopperbook.planner import night, pictures, quality, site, unconsidered
from hopperbook.planner.choose import Plan
from hopperbook.planner.configuration import Configuration, TrainingRun
from hopperbook.planner.energy import energy
from hopperbook.planner.load import demand, limits
from hopperbook.planner.night import Night
from hopperbook.planner.odds import SURE, days_band, days_range
from hopperbook.planner.pictures import Pictures
from hopperbook.planner.runs import describe
from hopperbook.planner.stress import burst as stress_burst
from hopperbook.planner.stress import lost_replica, variants, with_spare
from hopperbook.planner.tenure import server_of, servers
from hopperbook.planner.ties import Tie, choose_by, ties
from hopperbook.planner.verify import answered


def _range(value: float, low: float, high: float) -> dict[str, float]:
    return {"value": float(value), "low": float(low), "high": float(high)}


def configuration(row: Configuration | None, plan: Plan, *, training: bool = True) -> dict[str, Any] | None:
    """Return a serving configuration as plain values, each quantity with its 80 % range.

    Parameters
    ----------
    row : Configuration or None
        One of the plan's.
    plan : Plan
        The plan it belongs to.
    training : bool
        Add the plan's training run.

    Returns
    -------
    dict or None
        As ``hopperbook plan --json`` prints it.
    """
    if row is None:
        return None
    b = bands(row.deployment)
    million = row.usd_per_million
    found: dict[str, Any] = {
        "gpu": str(row.gpu),
        "gpus": int(row.gpus),
        "nodes": -(-int(row.gpus) // 8),
        "layout": layout(row),
        "replicas": int(row.replicas),
        "tp": int(row.tp),
        "pp": int(row.deployment.pp),
        "precision": str(row.precision),
        "kv_precision": str(row.kv_precision),
        "tenure": str(row.tenure),
        "usd_per_month": _range(row.usd, row.usd_low, row.usd_high),
        "usd_per_million_output_tokens": _range(
            million,
            million * row.usd_low / row.usd / b["throughput"][1],
            million * row.usd_high / row.usd / b["throughput"][0],
        ),
        "requests_per_s": row.rate_per_s,
        "in_flight": row.users * int(row.replicas),
        "ttft_ms": _range(*(1e3 * row.ttft_s * f for f in (1, *b["ttft"]))),
        "tpot_ms": _range(*(1e3 * row.tpot_s * f for f in (1, *b["tpot"]))),
        "ttft_at_ms": _range(*(1e3 * row.ttft_at_s * f for f in (1, *b["ttft"])))
        | {"percentile": plan.customer.ttft_percentile},
        "tpot_at_ms": _range(*(1e3 * row.tpot_at_s * f for f in (1, *b["tpot"])))
        | {"percentile": plan.customer.tpot_percentile},
        "output_tokens_per_s": _range(*(row.output_tokens_per_s * f for f in (1, *b["throughput"]))),
        "memory_gib_per_gpu": {"value": row.memory_gib},  # counted; no measurements of it are on file
        "p_tpot": row.p_tpot,
        "p_ttft": row.p_ttft,
        "p_request": row.p_request,
        "beyond_measurement": list(serving_beyond(row.deployment)),
    }
    if training and plan.training is not None:
        found["training"] = run(plan.training, plan)
        found["days_to_train"] = found["training"]["days_to_train"]
    return found


def run(row: TrainingRun, plan: Plan) -> dict[str, Any]:
    """Return a training configuration as plain values.

    Parameters
    ----------
    row : TrainingRun
        The plan's, or another of its training table.
    plan : Plan
        The plan it belongs to.

    Returns
    -------
    dict
        GPU, layout, days and costs, each with its range.
    """
    memory = interval("training/memory_gib")
    low, high = days_band(plan.customer, row.gpu)
    soon, late = days_range(plan.customer, row)
    return {
        "gpu": str(row.gpu),
        "gpus": int(row.gpus),
        "nodes": -(-int(row.gpus) // 8),
        "layout": describe(row),
        "precision": str(row.precision),
        "tenure": str(row.tenure),
        "days_to_train": _range(row.days, soon, late),
        "usd_per_run": _range(row.usd_run, row.usd_low_run * low, row.usd_high_run * high),
        "usd_per_month": _range(row.usd, row.usd_low, row.usd_high),
        "mfu": float(row.mfu),
        "memory_gib_per_gpu": _range(row.memory_gib, *(row.memory_gib * end for end in memory)),
        "p_deadline": float(row.p_deadline),
    }


def layout(row: Configuration) -> str:
    """Name a serving layout in words.

    Parameters
    ----------
    row : Configuration
        A serving configuration.

    Returns
    -------
    str
        Such as ``2 replicas of TP 4``.

    Examples
    --------
    >>> from hopperbook.customer import check
    >>> from hopperbook.planner.choose import plan as make
    >>> layout(make(check({"name": "A", "model": "llama-3.1-8b"})).recommendation)
    '1 replica of one GPU'
    """
    d = row.deployment
    each = (f"TP {d.tp}" if d.gpus > 1 else "one GPU") + (f" × PP {d.pp}" if d.pp > 1 else "")
    return f"{int(row.replicas)} replica{'s' if row.replicas > 1 else ''} of {each}"


def as_json(plan: Plan) -> dict[str, Any]:
    """Return a plan as plain values.

    Parameters
    ----------
    plan : Plan
        The plan.

    Returns
    -------
    dict
        ``recommendation, runner_up, cheapest, fastest, grow_into, front, rejected, considered, answer`` and more.
    """
    named = ("recommendation", "runner_up", "cheapest", "fastest", "grow_into")
    found: dict[str, Any] = {name: configuration(getattr(plan, name), plan) for name in named}
    found["front"] = [configuration(row, plan, training=False) for row in plan.front]
    found["rejected"] = [
        {
            "gpu": r.gpu,
            "reason": r.reason,
            "remedy": r.remedy,
            "gpus": r.gpus or None,
            "usd_per_month": None if math.isnan(r.usd_per_month) else r.usd_per_month,
        }
        for r in plan.rejected
    ]
    found["stress"] = _stress(plan)
    found["considered"] = plan.considered
    found["not_considered"] = unconsidered.as_json(plan.customer)
    found["answer"] = plan.answer
    found["training"] = None if plan.training is None else run(plan.training, plan)
    if plan.small is not None:
        found["small_services"] = {
            "gpu": plan.small.gpu,
            "profile": plan.small.profile,
            "cards": plan.small.cards,
            "tenure": plan.small.tenure.kind,
            "usd_per_month": _range(plan.small.usd, plan.small.usd_low, plan.small.usd_high),
        }
    for name in ("night", "pictures"):
        work = getattr(plan, name)
        if work is not None:
            found[name] = _other_work(work)
    found["extras"] = [
        {"what": each.what, "amount": each.amount, "unit": each.unit, "source": each.source}
        | {"usd_per_month": _range(each.usd, each.usd_low, each.usd_high)}
        for each in plan.extras
    ]
    used = energy(plan)
    found["energy"] = None if used is None else used._asdict()
    found["site"] = site_needs(plan)
    ends = [plan.usd_per_month(end) for end in ("typical", "low", "high")]
    found["usd_per_month"] = _range(ends[0], ends[1], ends[2])
    return found


def _other_work(work: Night | Pictures) -> dict[str, Any]:
    """Return the night's work or the images as plain values."""
    found: dict[str, Any] = {
        "gpus": work.gpus,
        "tenure": work.tenure,
        "usd_per_month": _range(work.usd, work.usd_low, work.usd_high),
    }
    if isinstance(work, Pictures):
        return found | {"gpu": work.gpu, "seconds_an_image": _range(work.seconds, work.low_s, work.high_s)}
    return found | {
        "gpu": work.deployment.gpu.name if work.deployment is not None else None,
        "tokens": work.tokens,
        "freed_gpu_hours": work.freed_gpu_hours,
        "freed_tokens": work.freed_tokens,
        "unscheduled_tokens": work.unscheduled_tokens,
    }


def site_needs(plan: Plan) -> dict[str, Any] | None:
    """Return what the servers of the serving fleet ask of a site, and how many of them the customer's holds.

    Parameters
    ----------
    plan : Plan
        The plan.

    Returns
    -------
    dict or None
        Power with cooling, kW, racks, and servers; ``most_servers`` is None where no limit was stated.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> from hopperbook.planner.choose import plan as make
    >>> site_needs(make(default()))["kw"]  # one server of 10.2 kW times a PUE of 1.3
    13.26
    """
    row, customer = plan.recommendation, plan.customer
    if row is None:
        return None
    server = server_of(row.gpu)
    count = servers(row.gpus, row.gpu)
    asked = site.need(customer, server, count)
    held = site.most_servers(customer, server)
    return {"servers": count, "kw": asked.kw, "racks": asked.racks, "most_servers": held}


def _largest(row: Configuration, customer: Customer) -> list[float]:
    """Return the most requests a second that a fleet carries within the targets, with its confidence interval."""
    asked = demand(customer).dealt(row.replicas)
    ends = serving.largest_range(row.deployment, asked, limits(customer, row.deployment, SURE))
    return [row.replicas * end for end in ends]


def _stress(plan: Plan) -> dict[str, Any] | None:
    """Return what a lost replica, a spare one and a burst do to the recommendation, and other ways to run it."""
    row, customer = plan.recommendation, plan.customer
    if row is None:
        return None
    lost, spare, burst = lost_replica(row, customer), with_spare(row), stress_burst(row, customer)
    targets = limits(customer, row.deployment, 0.5)
    return {
        "lost_replica": None
        if lost is None
        else {
            "ttft_at_ms": 1e3 * lost.ttft.at(targets.ttft_at),
            "tpot_at_ms": 1e3 * lost.tpot.at(targets.tpot_at),
            "keeps_targets": targets.keeps(lost),
        },
        "largest_requests_per_s": _range(*_largest(row, customer)),
        "spare_replica": {"gpus": spare.gpus, "usd_per_month": spare.usd},
        "all_at_once": {"ttft_mean_ms": 1e3 * burst.ttft_s, "ttft_p95_ms": 1e3 * burst.ttft_p95_s},
        "history_kept": answered(row.deployment, row.replicas, customer).history_kept,
        "notes": notes(plan),
        "close": [_tie(row, each) for each in ties(plan) if each.close],
        "variants": [{"name": v.name, "gain": v.gain, "note": v.note} for v in variants(row, customer)],
    }


#: Below this share of histories in the cache the reader is told.
ALL_KEPT = 0.99


def notes(plan: Plan) -> list[str]:
    """Say what the count of the model leaves out, and which checkpoint the recommended format needs.

    Parameters
    ----------
    plan : Plan
        The plan.

    Returns
    -------
    list of str
        Phrases.

    Examples
    --------
    >>> from hopperbook.customer import check
    >>> from hopperbook.planner.choose import plan as make
    >>> notes(make(check({"name": "A", "model": "llama-3.1-8b", "precision": "int4"})))[:1]
    ['INT4 needs a checkpoint in AWQ, GPTQ or compressed-tensors in place of the one named']
    """
    row, found = plan.recommendation, list(load(plan.customer.model).notes)
    if row is None:
        return found
    needed = conversion(row.deployment.model, row.deployment.weights)
    return [*found, *([needed] if needed else []), *quality.notes(row), *_unhoused(row, plan.customer)]


def _unhoused(row: Configuration, customer: Customer) -> list[str]:
    """Say why the recommended GPUs are rented that the site could not hold, and how many servers it would."""
    server = server_of(row.gpu)
    reason, remedy = site.shortfall(customer, server, servers(row.gpus, row.gpu))
    if not reason or row.tenure not in ("on_demand", "reserved"):
        return []
    held = site.most_servers(customer, server)
    holds = f"it holds {held} {server.name}" if held else f"it holds no {server.name}"
    return [
        f"{row.gpus} × {row.gpu} bought {reason}: {holds}; to buy you need {remedy.removesuffix(', or rented GPUs')}"
    ]


def _stress_lines(plan: Plan) -> list[str]:
    """Say the same in a few lines."""
    row, found = plan.recommendation, _stress(plan)
    if row is None or found is None:
        return []
    lines, lost, burst = [], found["lost_replica"], found["all_at_once"]
    if lost is not None:
        verdict = "targets kept" if lost["keeps_targets"] else "targets missed"
        lines.append(
            f"  {'one lost':15s} {units.fixed(lost['tpot_at_ms'])} ms a token, first after"
            f" {units.fixed(lost['ttft_at_ms'] / 1e3, 2)} s: {verdict}"
        )
    most, spare = found["largest_requests_per_s"], found["spare_replica"]
    lines.append(
        f"  {'carries':15s} {units.number(most['value'], 3)} requests a second within the targets"
        f" ({units.number(most['low'], 3)} to {units.number(most['high'], 3)} depending on the random draw);"
        f" the busy hour needs {units.number(row.rate_per_s, 3)}"
    )
    lines.append(f"  {'with a spare':15s} {spare['gpus']} GPUs, {units.money(spare['usd_per_month'])}")
    lines.append(
        f"  {'all at once':15s} first token after {units.fixed(burst['ttft_mean_ms'] / 1e3, 2)} s on average,"
        f" {units.fixed(burst['ttft_p95_ms'] / 1e3, 2)} s for one in twenty"
    )
    if found["history_kept"] < ALL_KEPT:
        kept = units.percent(found["history_kept"])
        lines.append(
            f"  {'history':15s} {kept} of the histories fit into the cache while users think; the rest is read again"
        )
    lines += [f"  {v['name']:15s} {units.fixed(v['gain'], 2)} times the load: {v['note']}" for v in found["variants"]]
    return lines + [_tie_line(row, each) for each in ties(plan) if each.close]


def _tie(recommended: Configuration, found: Tie) -> dict[str, Any]:
    """Return an option that costs about as much as plain values."""
    row = found.row
    return {
        "gpu": row.gpu,
        "gpus": row.gpus,
        "tenure": row.tenure,
        "usd_per_month": _range(row.usd, row.usd_low, row.usd_high),
        "recommendation_cheaper": found.cheaper,
        "regret_usd_per_month": found.regret_usd,
        "other_regret_usd_per_month": found.other_regret_usd,
        "choose_by": choose_by(recommended, found),
    }


def _tie_line(row: Configuration, found: Tie) -> str:
    """Say what costs about as much, how surely the recommendation is cheaper, and what would decide."""
    other = found.row
    what = f"{other.gpus} × {other.gpu}, {TENURE_WORDS[other.tenure].lower()}"
    odds = f"costs more in {units.percent(found.cheaper, 2)} of price scenarios"
    return f"  {'close':15s} {what}: {units.money(other.usd)}, {odds}; {choose_by(row, found)}"


TENURE_WORDS = {
    "on_demand": "Rent",
    "spot": "Rent on spot",
    "reserved": "Reserve",
    "own": "Buy",
    "kept": "Keep",
    "shared": "Share",
}


def headline(plan: Plan) -> str:
    """Say the decision in one line.

    Parameters
    ----------
    plan : Plan
        The plan.

    Returns
    -------
    str
        What to have, how many, at what cost, for which load; or what stands in the way.
    """
    row = plan.recommendation
    if row is None:
        return plan.answer
    customer, cost = plan.customer, units.money(plan.usd_per_month())
    model = label(customer.model)
    fleet = f"{TENURE_WORDS[row.tenure]} {int(row.gpus)} × {row.gpu}"
    if plan.training is None or plan.training.usd <= row.usd:
        return f"{fleet}, {cost} a month, for {customer.load_words} of {model}"
    t = plan.training
    first = f"{TENURE_WORDS[t.tenure]} {int(t.gpus)} × {t.gpu} to train {label(customer.trained_model)}"
    return f"{first}, {int(row.gpus)} × {row.gpu} to serve {customer.load_words}, {cost} a month on average"


def _seconds(at_ms: dict[str, Any]) -> str:
    """Write milliseconds with their range as seconds."""
    value, low, high = (units.fixed(at_ms[end] / 1e3, 2) for end in ("value", "low", "high"))
    return f"{value} s ({low} to {high})"


def as_text(plan: Plan) -> str:
    """Write a plan for a terminal.

    Parameters
    ----------
    plan : Plan
        The plan.

    Returns
    -------
    str
        A few lines: the decision, the alternatives, the rejected, what was considered.
    """
    lines = [headline(plan)]
    if plan.answer and plan.recommendation is not None:
        lines.append(plan.answer)
    for name in ("recommendation", "runner_up", "cheapest", "fastest", "grow_into"):
        c = configuration(getattr(plan, name), plan, training=False)
        if c is None:
            continue
        usd, tpot, ttft = c["usd_per_month"], c["tpot_at_ms"], c["ttft_at_ms"]
        ends = f"{units.money(usd['low'])} to {units.money(usd['high'])}"
        weights, cache = units.format_name(c["precision"]), units.format_name(c["kv_precision"])
        what = f"{c['gpus']} × {c['gpu']}, {c['layout']}, weights {weights}, cache {cache}"
        lines.append(
            f"  {name.replace('_', ' '):15s} {what}, {c['tenure'].replace('_', ' ')}:"
            f" {units.money(usd['value'])} ({ends}),"
            + (
                f" answered after {_seconds(ttft)} ({ttft['percentile']})"
                if plan.customer.only_reads
                else f" {units.fixed(tpot['value'])} ms a token"
                f" ({units.fixed(tpot['low'])} to {units.fixed(tpot['high'])},"
                f" {tpot['percentile']}), first after {units.fixed(ttft['value'] / 1e3, 2)} s ({ttft['percentile']})"
            )
        )
    if plan.training is not None:
        t = run(plan.training, plan)
        days = t["days_to_train"]
        tenure, precision = t["tenure"].replace("_", " "), units.format_name(t["precision"])
        what = f"{t['gpus']} × {t['gpu']}, {tenure}, {t['layout']}, {precision}"
        ends = f"{units.fixed(days['low'], 1)} to {units.fixed(days['high'], 1)}"
        usd = t["usd_per_run"]["value"]
        cost = f"{units.money(usd)} a run" if usd else "in hours when the fleet is idle, at no extra cost"
        lines.append(f"  {'training':15s} {what}: {units.fixed(days['value'], 1)} days ({ends}), {cost}")
    used = energy(plan)
    if used is not None:
        grid = f"{used.grid}, {used.g_co2_per_kwh:g} g a kWh" + (" (region not on file)" if used.assumed else "")
        lines.append(
            f"  {'energy':15s} {units.number(used.kwh, 3)} kWh a month,"
            f" {units.number(used.kg_co2, 3)} kg of CO2 ({grid}),"
            f" {units.number(used.tokens_per_kwh, 3)} output tokens a kWh"
        )
    lines += [
        f"  {'beside':15s} {each.what}: {each.amount:g} {each.unit}, {units.money(each.usd)}" for each in plan.extras
    ]
    if plan.small is not None:
        s = plan.small
        lines.append(f"  {'small services':15s} {s.cards} × {s.gpu} cut into {s.profile}: {units.money(s.usd)}")
    if plan.night is not None:
        lines.append(f"  {'night':15s} {night.words(plan.night, plan.customer)}")
    if plan.pictures is not None:
        lines.append(f"  {'images':15s} {pictures.words(plan.pictures, plan.customer)}")
    lines += _stress_lines(plan)
    lines += [f"  {'note':15s} {note}" for note in notes(plan)]
    lines += [f"  {'rejected':15s} {r.gpu}: {r.reason} (reconsider with {r.remedy})" for r in plan.rejected]
    lines.append(f"{plan.considered:,} configurations considered")
    lines.append(unconsidered.closing(plan.customer))
    return "\n".join(lines)
