"""The panels of each chapter's answer box: the numbers that a reader would quote, each with what stands behind it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from hopperbook import facts, mig, serving, units
from hopperbook.customer import Customer
from hopperbook.display import Door, Input
from hopperbook.kernels import engine_words
from hopperbook.memory import Budget
from hopperbook.models import load, weight_bytes
from hopperbook.planner import Plan
from hopperbook.planner.bill import Strain
from hopperbook.planner.borders import Map
from hopperbook.planner.configuration import TrainingRun
from hopperbook.planner.load import demand
from hopperbook.studies import accuracy, by_hand, provenance, slices
from hopperbook.studies import cost as money
from hopperbook.studies import training as runs
from hopperbook.studies.doors import fleet
from hopperbook.studies.doors.made import ASSUMED, MEASURED, VENDOR, kernels_of, make, sourced, yours
from hopperbook.studies.ledger import CLOSE, distance

Doors = dict[str, Door]
#: The source of a rule of thumb.
RULE = "median of what measured kernels give, rounded"
#: Less is no time to speak of.
MOMENT_DAYS = 1e-3


def memory(plan: Plan, budget: Budget) -> Doors:
    """Return the panels of the chapter on memory."""
    customer, row = plan.customer, plan.explained
    gpu = facts.gpu(row.gpu)
    values = {
        "room": units.gib(budget.kv_room_bytes),
        "user": units.gib(budget.kv_user_bytes),
        "tokens": units.integer(customer.held_tokens),
        "most": units.integer(budget.users),
    }
    shown = sourced("Memory that the driver shows", units.gib_shown(gpu.memory_bytes), MEASURED, gpu.memory_source)
    most = make("most-users", customer, values, [shown, yours("Tokens a user holds", values["tokens"])])
    return {f"{units.percent(row.headroom)} free": fleet.cache_room(plan, row), f"{values['most']} users fit": most}


def training(customer: Customer, run: TrainingRun, step: runs.Timed) -> Doors:
    """Return the panels of the chapter on training."""
    days = units.duration(float(run.days) * units.DAY_S)
    names = {days: "days", f"{units.percent(step.mfu)} of peak": "mfu"}
    return {name: _trained(kind, customer, run, step) for name, kind in names.items()}


def run_days(customer: Customer, run: TrainingRun) -> Door:
    """Return what stands behind the length of a run."""
    return _trained("days", customer, run, runs.timed(customer, run))


def _trained(kind: str, customer: Customer, run: TrainingRun, step: runs.Timed) -> Door:
    """Return what stands behind a run's length (``days``) or its share of the peak (``mfu``)."""
    gpu, gpus = facts.gpu(run.gpu), int(run.gpus)
    days = units.duration(float(run.days) * units.DAY_S)
    more = ""
    if step.free_share < 1:
        more = f" The serving fleet leaves it {units.percent(step.free_share)} of a day, so that it lasts {days}."
    elif step.more_days > MOMENT_DAYS:
        why = (
            "Nodes that are taken away, and their set-up, add"
            if run.tenure == "spot"
            else "Setting up the servers adds"
        )
        more = f" {why} {units.duration(step.more_days * units.DAY_S)}."
    values = {
        "tokens": units.tokens(customer.training_tokens),
        "gpus": units.integer(gpus),
        "rate": units.integer(step.tokens_per_s_per_gpu),
        "alone": units.duration(step.alone_days * units.DAY_S),
        "more": more,
        "flop": units.quantity(step.flop_per_token / 1e9, "GFLOP"),
        "peak": units.tflop_per_s(step.peak_flop_per_s),
        "mfu": units.percent(step.mfu),
    }
    inputs = [
        yours("Tokens of the run", values["tokens"]),
        sourced(f"{gpu.name}, dense peak", values["peak"], VENDOR, gpu.source),
        kernels_of("training"),
    ]
    return make(kind, customer, values, inputs)


def latency(plan: Plan, seen: serving.Answer) -> Doors:
    """Return the panels of the chapter on serving."""
    customer, row = plan.customer, plan.explained
    first, each = seen.ttft.at(customer.ttft_percentile), seen.tpot.at(customer.tpot_percentile)
    return {
        f"{units.duration(first)} to the first token": fleet.first_token(plan, row),
        f"{units.duration(each)} a token": fleet.token(plan, row),
    }


def shared_card(customer: Customer, cut: slices.Cut, inside: serving.Deployment, users: int, token_s: float) -> Doors:
    """Return the panels of the chapter on slices."""
    card, part = mig.instance(cut.gpu, cut.profile.name), facts.gpu(cut.gpu)
    values = {
        "profile": cut.profile.name,
        "sms": units.integer(card.sms),
        "all_sms": units.integer(part.sms),
        "memory": units.gib(card.memory_bytes),
        "users": units.integer(users),
        "each": units.duration(token_s),
        "alone": units.duration(slices.token_s(customer, inside, 1)),
        "weights": units.gib(float(weight_bytes(load(customer.small_model)))),
        "service": units.gib(cut.service_bytes),
        "services": units.integer(cut.services),
        "cards": units.integer(cut.cards),
        "part": cut.gpu,
    }
    record = next(each for each in facts.records("mig") if cut.gpu in each["gpus"])
    inputs = [sourced(f"Memory of {cut.profile.name}", values["memory"], VENDOR, record["source"])]
    return {
        f"{values['each']} a token": make(
            "slice", customer, values, [*inputs, kernels_of(engine_words(inside.engine.tables))]
        ),
        f"{values['services']} services": make("slice-memory", customer, values, inputs),
    }


def paid(customer: Customer, owned: money.PaidFleet, kind: str) -> Doors:
    """Return the panels of the chapter on cost: the cheapest way, and when buying pays."""
    usd = money.monthly_usd(owned)[kind]
    months = money.months_words(money.payback_months(owned).typical)
    way = owned.tenures[kind]
    month = fleet.owned(customer, owned) if kind == "own" else fleet.rented(customer, way, owned.gpus, usd)
    return {f"{units.money(usd)} a month": month, f"Buying pays: {months}": fleet.payback(customer, owned)}


def doubled(plan: Plan, strain: Strain) -> Doors:
    """Return the panels of the chapter on scenarios."""
    now, twice = units.percent(strain.now), units.percent(strain.doubled)
    values = {"limit": strain.limit, "now": now, "doubled": twice}
    inputs = [yours("Users at once", units.integer(plan.customer.concurrency))]
    return {f"{twice} of the limit": make("strain", plan.customer, values, inputs)} | _month(plan)


def claims(customer: Customer, ledger: pd.DataFrame, counts: pd.Series) -> Doors:
    """Return the panel of the chapter on claims."""
    good = int(counts["holds"] + counts["holds under conditions"])
    values = {
        "holds": units.integer(int(counts["holds"])),
        "conditions": units.integer(int(counts["holds under conditions"])),
        "good": units.integer(good),
        "all": units.integer(len(ledger)),
        "close": units.integer(int(np.sum(distance(ledger) < CLOSE))),
    }
    return {f"{good} of {len(ledger)} claims": make("claims", customer, values, [])}


def accurate(customer: Customer, frames: accuracy.Frames) -> Doors:
    """Return the panels of the chapter on errors: coverage, and the median errors that its answer names."""
    found = {}
    rows = frames[accuracy.TPOT]
    count, inside = len(rows), int(rows.inside.sum())
    values = {"inside": units.integer(inside), "runs": units.integer(count), "share": units.percent(inside / count)}
    campaigns = [sourced("Published runs", units.integer(count), MEASURED, str(rows.source.iloc[0]))]
    for kind in (accuracy.TPOT, accuracy.THROUGHPUT):
        error = frames[kind].error.abs()
        middle = units.percent(float(error.median()))
        about = {
            "runs": units.integer(len(error)),
            "median": middle,
            "mean": units.percent(float(error.mean())),
            "worst": units.percent(float(error.max())),
        }
        found[f"{middle}: {kind[0].lower()}{kind[1:]}"] = make("median", customer, about, [])
    return {f"{values['share']} inside the range": make("inside", customer, values, campaigns)} | found


def wins(plan: Plan, loads: Map, part: str, share: float, from_billions: int) -> Doors:
    """Return the panels of the chapter of questions."""
    sizes = loads.parameters >= 1e9 * from_billions
    won = loads.winner[:, sizes] == part
    values = {
        "part": part,
        "won": units.integer(int(won.sum())),
        "drawn": units.integer(won.size),
        "from_": units.integer(from_billions),
        "share": units.percent(share),
    }
    lengths = f"{units.integer(plan.customer.prompt_tokens)} and {units.integer(plan.customer.output_tokens)}"
    inputs = [yours("Tokens of a prompt and an answer", lengths)]
    return {f"{values['share']} of large models": make("map", plan.customer, values, inputs)} | _month(plan)


def _month(plan: Plan) -> Doors:
    """Return the panel of a month's cost, where the plan recommends a fleet."""
    row = plan.recommendation
    return {} if row is None else {f"{units.money(plan.usd_per_month())} a month": fleet.cost(plan, row)}


def counted(customer: Customer, held: provenance.Held) -> Doors:
    """Return the panel of the chapter on how the book was made."""
    values = {"facts": units.integer(held.facts), "measurements": units.integer(held.measurements)}
    return {f"{values['facts']} facts": make("held", customer, values, [])}


def by_pencil(plan: Plan, card: by_hand.Cards, found: by_hand.Size) -> Doors:
    """Return the panel of the chapter on sizing by hand."""
    customer, row = plan.customer, plan.explained
    if not np.isfinite(found.gpus):
        return {}
    rate = demand(customer).rate_per_s
    each, word = (found.load.rate_per_s, "requests a second") if rate else (found.load.users, "users")
    values = {
        "carried": f"{units.number(each)} {word}",
        "limit": found.limit,
        "asked": units.number(rate) if rate else units.integer(customer.concurrency),
        "replicas": by_hand.replicas_words(int(found.replicas), card.gpus),
        "gpus": by_hand.gpus_words(found.gpus),
        "billed": units.integer(int(found.billed_gpus)),
        "plan": units.integer(row.billed_gpus),
    }
    share = Input("Share of memory bandwidth that steps reach", units.percent(by_hand.rules().bandwidth), ASSUMED, RULE)
    gpu = facts.gpu(row.gpu)
    width = sourced("Memory bandwidth of one GPU", units.bytes_per_s(card.bandwidth), VENDOR, gpu.source)
    return {f"{values['billed']} GPUs": make("hand", customer, values, [width, share])}
