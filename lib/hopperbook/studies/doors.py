"""What stands behind the headline numbers of the first pages: formula, inputs with sources, calculator, known error."""

from __future__ import annotations

from functools import cache

from hopperbook import facts, story, units
from hopperbook.customer import Customer
from hopperbook.display import Door, Input
from hopperbook.evidence.aims import aims, rows_of
from hopperbook.models import cache_bytes, load, weight_bytes
from hopperbook.planner import Configuration, Plan
from hopperbook.planner.load import demand
from hopperbook.planner.tenure import server_of, tenures
from hopperbook.studies import cost as money
from hopperbook.studies.load import answered, decoding
from hopperbook.studies.serving import floor

#: What is tried by the command of a panel, by the number that it stands behind.
TRY = {"cost": {"horizon_months": 36}, "token": {"concurrency": 256}, "cache": {"context_tokens": 32768}}


@cache
def error_words(name: str) -> str:
    """Say how far predictions of one kind lay from published measurements that nothing was fitted to.

    Parameters
    ----------
    name : str
        Name of an aim of ``data/aims.yaml``.

    Returns
    -------
    str
        A sentence.

    Examples
    --------
    >>> error_words("Serving, time per token").replace(units.THIN, " ")
    'Half of 355 published runs lie within 4.5 % of the prediction; nothing was fitted to them.'
    """
    error = rows_of(next(aim for aim in aims() if aim["name"] == name)).error.abs()
    within = f"{units.percent(float(error.median()))} of the prediction"
    return f"Half of {units.integer(len(error))} published runs lie within {within}; nothing was fitted to them."


def cost(plan: Plan, row: Configuration) -> Door:
    """Return what stands behind the monthly cost of serving.

    Parameters
    ----------
    plan : Plan
        The plan.
    row : Configuration
        Its recommendation.

    Returns
    -------
    Door
        Rent, or the parts of owning.

    Examples
    --------
    >>> from hopperbook import planner
    >>> from hopperbook.customer import default
    >>> plan = planner.plan(default())
    >>> cost(plan, plan.recommendation).formula.split(":")[0]
    '1 HGX H100 a month'
    """
    customer = plan.customer
    formula, inputs = _owned(customer, row) if row.tenure in ("own", "kept") else _rented(customer, row)
    rest = plan.usd_per_month("typical") - row.usd
    formula += f" Training, small services and standing GPUs add {units.money(rest)}." if round(rest) else ""
    error = "A price is not predicted: its range is that of the offers on file, and they age."
    return Door(formula, inputs, "planner.plan", error, customer.file_name, TRY["cost"])


def _rented(customer: Customer, row: Configuration) -> tuple[str, list[Input]]:
    """Return the formula and inputs of GPUs that are rented."""
    way = next(each for each in tenures(customer, row.gpu) if each.kind == row.tenure)
    hours = units.integer(money.MONTH_H)
    formula = f"{row.billed_gpus} GPUs × {units.money(row.usd / row.billed_gpus / money.MONTH_H)} an hour × {hours} h"
    price = Input(
        units.priced(f"{row.gpu}, USD an hour"), units.money(way.typical), "measured", story.cite(way.source), way.date
    )
    return f"{formula} = {units.money(row.usd)} a month for serving.", [price]


def _owned(customer: Customer, row: Configuration) -> tuple[str, list[Input]]:
    """Return the formula and inputs of servers that are bought or already there."""
    fleet = money.paid_fleet(customer, row.gpu, row.billed_gpus)
    owned, server = fleet.own["typical"], server_of(row.gpu)
    month = money.owned_month(owned, customer.busy_fraction)
    parts = {
        "loss of value": month.depreciation_usd,
        "interest": month.interest_usd,
        "care": month.care_usd,
        "power and space": month.power_usd,
    }
    summed = " + ".join(f"{units.money(fleet.servers * usd)} {name}" for name, usd in parts.items())
    formula = f"{fleet.servers} {server.name} a month: {summed} = {units.money(fleet.servers * month.usd)}."
    bought, sold = facts.purchase(server.name), facts.cost("residual_value_fraction_36m")
    power, space = facts.node_power(server.name), facts.cost("colocation_usd_per_kw_month")
    rows = [
        (units.priced("One server, USD"), units.money(owned.server_usd), bought.source),
        (f"Its value after {owned.months} months", units.percent(owned.residual_fraction), sold.source),
        ("Its power under load", units.quantity(owned.power_w / 1e3, "kW"), power.source),
        (units.priced("Space, USD a kW and month"), units.money(owned.space_usd_per_kw_month), space.source),
    ]
    return formula, [Input(name, value, "measured", story.cite(source)) for name, value, source in rows]


def token(plan: Plan, row: Configuration) -> Door:
    """Return what stands behind the time per token.

    Parameters
    ----------
    plan : Plan
        The plan.
    row : Configuration
        Its recommendation.

    Returns
    -------
    Door
        The floor that memory sets, and what the simulation of the busy hour adds.
    """
    customer, gpu, d = plan.customer, facts.gpu(row.gpu), row.deployment
    running = decoding(answered(row, customer))
    least = floor(d, load(customer.model), running, demand(customer).lengths)
    read = f"({units.gib(least.weights_bytes)} of weights + {units.gib(least.cache_bytes)} of cache) ÷ {d.gpus} GPUs"
    formula = (
        f"{read} ÷ {units.bytes_per_s(gpu.memory_bandwidth_bytes_per_s)} = {units.duration(least.step_s)} a step at "
        "least. "
        f"Matrix products, exchanges, the host and other users' prompts make it {units.duration(row.tpot_s)} on average"
        f" and {units.duration(row.tpot_at_s)} at the {customer.tpot_percentile}."
    )
    inputs = [
        Input("Memory bandwidth of one GPU", units.bytes_per_s(gpu.memory_bandwidth_bytes_per_s), "vendor",
              story.cite(gpu.source)),
        Input("Times of kernels", f"{d.engine.tables} tables", "measured",
              story.cite("aiconfigurator-2025")),
        Input("Requests a second", units.number(row.rate_per_s), "yours", "customer file"),
    ]  # fmt: skip
    error = error_words("Serving, time per token")
    return Door(formula, inputs, "serving.answer", error, customer.file_name, TRY["token"])


def cache_room(plan: Plan, row: Configuration) -> Door:
    """Return what stands behind the room that is left in the cache.

    Parameters
    ----------
    plan : Plan
        The plan.
    row : Configuration
        Its recommendation.

    Returns
    -------
    Door
        Weights, cache and engine against the memory that the driver shows.
    """
    customer, model = plan.customer, load(plan.customer.model)
    gpu, engine, count = facts.gpu(row.gpu), row.deployment.engine, row.deployment.gpus
    usable = engine.kv_fraction * gpu.memory_bytes
    weights = float(weight_bytes(model, row.precision)) / count
    held = row.users * float(cache_bytes(model, customer.held_tokens, row.kv_precision)) / count
    formula = (
        f"{units.percent(engine.kv_fraction)} of {_three(gpu.memory_bytes)} = {_three(usable)} on each GPU; "
        f"{units.gib(weights)} hold weights, {units.gib(held)} the cache of {row.users} requests, and some GiB the "
        f"engine. {units.percent(row.headroom)} of the room for the cache stays free."
    )
    inputs = [
        Input("Memory that the driver shows", _three(gpu.memory_bytes), "measured", story.cite(gpu.memory_source)),
        Input("Share that an engine may fill", units.percent(engine.kv_fraction), "vendor",
              story.cite("vllm-docs-memory")),
        Input("Tokens a request holds", units.integer(customer.held_tokens), "yours", "customer file"),
    ]  # fmt: skip
    error = "Weights and cache are counted to the byte; the engine's own share is an assumption of some GiB."
    return Door(formula, inputs, "serving.budget", error, customer.file_name, TRY["cache"])


def _three(size_bytes: float) -> str:
    """Write bytes as GiB with three digits."""
    return units.quantity(size_bytes / units.GIB, "GiB", 3)
