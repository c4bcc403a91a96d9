"""Panels behind what a fleet costs, how fast it answers and what it holds."""

from __future__ import annotations

from hopperbook import facts, units
from hopperbook.customer import Customer
from hopperbook.display import Door, Input
from hopperbook.kernels import engine_words
from hopperbook.models import cache_bytes, load, weight_bytes
from hopperbook.planner import Configuration, Plan
from hopperbook.planner.load import demand
from hopperbook.planner.tenure import Tenure, server_of, tenures
from hopperbook.studies import cost as money
from hopperbook.studies.doors.made import ASSUMED, MEASURED, VENDOR, kernels_of, make, sourced, yours
from hopperbook.studies.load import answered, decoding, wait
from hopperbook.studies.serving import floor


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
    rest = plan.usd_per_month("typical") - row.usd
    more = f" Training, small services and standing GPUs add {units.money(rest)}." if round(rest) else ""
    if row.tenure in ("own", "kept"):
        return owned(plan.customer, money.paid_fleet(plan.customer, row.gpu, row.billed_gpus), more)
    way = next(each for each in tenures(plan.customer, row.gpu) if each.kind == row.tenure)
    return rented(plan.customer, way, row.billed_gpus, row.usd, more)


def rented(customer: Customer, way: Tenure, gpus: int, usd: float, more: str = "") -> Door:
    """Return what stands behind a month of GPUs that are rented."""
    values = {
        "gpus": units.integer(gpus),
        "price": units.money(usd / gpus / money.MONTH_H),
        "hours": units.integer(money.MONTH_H),
        "month": units.money(usd),
        "rest": more,
    }
    return make("cost-rented", customer, values, [_price(way)])


def _price(way: Tenure) -> Input:
    """Return the price of an hour of one GPU."""
    return sourced(units.priced(f"{way.gpu}, USD an hour"), units.money(way.typical), MEASURED, way.source, way.date)


def owned(customer: Customer, fleet: money.PaidFleet, more: str = "") -> Door:
    """Return what stands behind a month of servers that are bought or already there."""
    month = money.owned_month(fleet.own["typical"], customer.busy_fraction)
    parts = {
        "loss of value": month.depreciation_usd,
        "interest": month.interest_usd,
        "care": month.care_usd,
        "power and space": month.power_usd,
    }
    values = {
        "servers": units.integer(fleet.servers),
        "server": server_of(fleet.gpu).name,
        "parts": " + ".join(f"{units.money(fleet.servers * usd)} {name}" for name, usd in parts.items()),
        "month": units.money(fleet.servers * month.usd),
        "rest": more,
    }
    return make("cost-owned", customer, values, _bought(fleet))


def _bought(fleet: money.PaidFleet) -> list[Input]:
    """Return what the cost of owning rests on."""
    one, server = fleet.own["typical"], server_of(fleet.gpu)
    bought, sold = facts.purchase(server.name), facts.cost("residual_value_fraction_36m")
    power, space = facts.node_power(server.name), facts.cost("colocation_usd_per_kw_month")
    rated = server.source if server.rated_power_w else power.source
    rows = [
        (units.priced("One server, USD"), units.money(one.server_usd), bought.source),
        (f"Its value after {one.months} months", units.percent(one.residual_fraction), sold.source),
        ("Its power under load", units.quantity(one.power_w / 1e3, "kW"), power.source),
        ("Its power as rated, by which space is paid", units.quantity(one.reserved_w / 1e3, "kW", 3), rated),
        (units.priced("Space, USD a kW and month"), units.money(one.space_usd_per_kw_month), space.source),
    ]
    return [sourced(name, value, MEASURED, source) for name, value, source in rows]


def payback(customer: Customer, fleet: money.PaidFleet) -> Door:
    """Return what stands behind the month from which buying has cost less than renting on demand."""
    one = fleet.own["typical"]
    month = money.owned_month(one, customer.busy_fraction)
    values = {
        "servers": units.integer(fleet.servers),
        "server": server_of(fleet.gpu).name,
        "price": units.money(fleet.servers * one.server_usd),
        "running": units.money(fleet.servers * (month.care_usd + month.power_usd)),
        "gpus": units.integer(fleet.gpus),
        "rent": units.money(money.monthly_usd(fleet)["on_demand"]),
        "pays": money.pays_words(money.payback_months(fleet).typical),
    }
    return make("payback", customer, values, [*_bought(fleet), _price(fleet.on_demand)])


def token(plan: Plan, row: Configuration) -> Door:
    """Return what stands behind the time per token: the floor that memory sets, and what the busy hour adds.

    Parameters
    ----------
    plan : Plan
        The plan.
    row : Configuration
        One of its configurations.

    Returns
    -------
    Door
        The panel.
    """
    customer, gpu, d = plan.customer, facts.gpu(row.gpu), row.deployment
    seen = answered(row, customer)
    least = floor(d, load(customer.model), decoding(seen), demand(customer).lengths)
    bandwidth = units.bytes_per_s(gpu.memory_bandwidth_bytes_per_s)
    values = {
        "weights": units.gib(least.weights_bytes),
        "cache": units.gib(least.cache_bytes),
        "gpus": units.integer(d.gpus),
        "bandwidth": bandwidth,
        "least": units.duration(least.step_s),
        "mean": units.duration(seen.tpot.mean),
        "slow": units.duration(seen.tpot.at(customer.tpot_percentile)),
        "percentile": customer.tpot_percentile,
    }
    inputs = [
        sourced("Memory bandwidth of one GPU", bandwidth, VENDOR, gpu.source),
        kernels_of(engine_words(d.engine.tables)),
        yours("Requests a second", units.number(row.rate_per_s)),
    ]
    return make("token", customer, values, inputs)


def first_token(plan: Plan, row: Configuration) -> Door:
    """Return what stands behind the first token: the first cut in closed form, and the simulation.

    Parameters
    ----------
    plan : Plan
        The plan.
    row : Configuration
        One of its configurations.

    Returns
    -------
    Door
        The panel.
    """
    customer, d = plan.customer, row.deployment
    seen = answered(row, customer)
    cut = wait(d, demand(customer).lengths, seen.rate_per_s)
    values = {
        "rest": units.duration(cut.rest_s),
        "before": units.duration(cut.before_s),
        "own": units.duration(cut.step_s + cut.prompt_s),
        "shown": units.duration(cut.shown_s + cut.front_s),
        "first": units.duration(cut.first_s),
        "mean": units.duration(seen.ttft.mean),
        "slow": units.duration(seen.ttft.at(customer.ttft_percentile)),
        "percentile": customer.ttft_percentile,
    }
    inputs = [
        yours("New tokens of a prompt", units.integer(customer.prompt_tokens)),
        yours("Requests a second", units.number(row.rate_per_s)),
        kernels_of(engine_words(d.engine.tables)),
    ]
    return make("first-token", customer, values, inputs)


def cache_room(plan: Plan, row: Configuration) -> Door:
    """Return what stands behind the room that is left in the cache: what stands in the memory of one GPU.

    Parameters
    ----------
    plan : Plan
        The plan.
    row : Configuration
        One of its configurations.

    Returns
    -------
    Door
        The panel.
    """
    customer, model = plan.customer, load(plan.customer.model)
    gpu, engine, count = facts.gpu(row.gpu), row.deployment.engine, row.deployment.gpus
    values = {
        "share": units.percent(engine.kv_fraction),
        "shown": units.gib_shown(gpu.memory_bytes),
        "usable": units.gib_shown(engine.kv_fraction * gpu.memory_bytes),
        "weights": units.gib(float(weight_bytes(model, row.precision)) / count),
        "held": units.gib(row.users * float(cache_bytes(model, customer.held_tokens, row.kv_precision)) / count),
        "users": units.integer(row.users),
        "free": units.percent(row.headroom),
    }
    inputs = [
        sourced("Memory that the driver shows", units.gib_shown(gpu.memory_bytes), MEASURED, gpu.memory_source),
        sourced("Share that an engine may fill", values["share"], ASSUMED, "vllm-docs-memory"),
        yours("Tokens a request holds", units.integer(customer.held_tokens)),
    ]
    return make("cache", customer, values, inputs)
