"""A plan as a bill of materials, servers to racks; and what breaks first at twice the load."""

from __future__ import annotations

import math
from typing import NamedTuple

from hopperbook import facts, units
from hopperbook.customer import Customer
from hopperbook.memory.serving import constants
from hopperbook.models import Model, load, parameters, weight_bytes
from hopperbook.planner import site
from hopperbook.planner.choose import Plan
from hopperbook.planner.configuration import Configuration, TrainingRun
from hopperbook.planner.load import limits
from hopperbook.planner.odds import SURE
from hopperbook.planner.tenure import assumptions, server_of, servers
from hopperbook.planner.verify import answered, shares
from hopperbook.units import GB, TB


class Item(NamedTuple):
    """One line of a bill of materials."""

    what: str
    amount: float
    unit: str
    why: str


def bill(plan: Plan) -> list[Item]:
    """Write the bill of materials of a plan's serving and training fleets.

    Parameters
    ----------
    plan : Plan
        The plan.

    Returns
    -------
    list of Item
        Servers, host memory, storage, network cards, switches, power and racks.

    Examples
    --------
    >>> from hopperbook.customer import check
    >>> from hopperbook.planner.choose import plan as make
    >>> [item.what for item in bill(make(check({"name": "A", "model": "llama-3.1-8b"})))][0][:6]
    'GPU se'
    """
    fleets: list[tuple[str, Configuration | TrainingRun | None]] = [("serving", plan.recommendation)]
    if plan.training is not None and plan.training.tenure not in ("kept", "shared"):
        fleets.append(("training", plan.training))
    items: list[Item] = []
    for role, row in fleets:
        if row is not None:
            items += _fleet(role, row, plan.customer)
    small = plan.small
    if small is not None and small.tenure.kind != "kept":
        why = f"cut into {small.profile} for {plan.customer.small_services} small services; a slot each in a server"
        items.append(Item("Cards for small services", small.cards, small.gpu, why))
    return items


def _fleet(role: str, row: Configuration | TrainingRun, customer: Customer) -> list[Item]:
    """Return the lines of one fleet: machines, network, site."""
    system = server_of(row.gpu)
    count = servers(row.gpus, row.gpu)
    model = load(customer.model if role == "serving" else customer.trained_model)
    machines = [
        Item(
            f"GPU server, {role}",
            count,
            system.name,
            f"you need {row.gpus} of its {count * system.gpus} {row.gpu}",
        ),
        Item(
            f"Host memory a server, {role}", _host_memory_gb(row, system.gpus, model, role), "GB", _memory_reason(role)
        ),
        Item(f"NVMe a server, {role}", _nvme_tb(model, customer, role, count), "TB", _storage_reason(role)),
    ]
    return machines + _network(role, system, count) + _site(role, customer, system, count)


def _network(role: str, system: facts.System, count: int) -> list[Item]:
    """Return ports and switches: two tiers without oversubscription for a training cluster, plain ports for answers."""
    if role != "training":
        why = "answers are text; replicas need no fabric between servers"
        return [Item(f"Network, {role}", 2, "25 Gb/s ports", why)]
    if count == 1:
        return [Item(f"Network, {role}", 2, "25 Gb/s ports", "one server trains alone; the corpus comes by Ethernet")]
    each = int(assumptions("planner")["switch_ports"])
    ports = count * system.nics
    leaves = math.ceil(ports / (each / 2)) if ports > each else 1
    spines = math.ceil(leaves / 2) if leaves > 1 else 0
    speed = f"{units.fixed(8 * system.nic_bytes_per_s_per_direction / 1e9)} Gb/s"
    tiers = f"{leaves} at the servers and {spines} above them, not oversubscribed" if spines else "one tier holds all"
    return [
        Item("Network ports", ports, speed, f"{system.nics} a server, rail-optimised"),
        Item("Switches", leaves + spines, f"{each} ports", tiers),
    ]


def _site(role: str, customer: Customer, system: facts.System, count: int) -> list[Item]:
    """Return power and racks; feeds and cooling are sized for what the servers are rated at."""
    asked = site.need(customer, system, count)
    held = f"{asked.a_rack} servers of {units.fixed(asked.server_kw, 1)} kW a rack" if asked.a_rack else "one alone"
    why = f"{units.fixed(count * asked.server_kw, 1)} kW of servers times a PUE of {site.pue(customer):g}"
    height = units.fixed(assumptions("planner")["rack_units"])
    return [
        Item(f"Power, {role}", units.rounded(asked.kw, 3), "kW", why),
        Item(f"Racks, {role}", asked.racks, f"of {height} units", held),
    ]


def _host_memory_gb(row: Configuration | TrainingRun, gpus: int, model: Model, role: str) -> int:
    """Return host memory: twice the GPUs' own, and room for a checkpoint of the states in training."""
    device = gpus * facts.gpu(row.gpu).memory_bytes / GB
    states = _checkpoint_bytes(model) / GB if role == "training" else weight_bytes(model) / GB
    need = max(device, min(2 * device, states))
    return int(2 ** math.ceil(math.log2(max(256, need))))


def _checkpoint_bytes(model: Model) -> float:
    """Return the bytes of a checkpoint of all a model's states."""
    return constants("training")["checkpoint_bytes_per_parameter"] * parameters(model)


def _memory_reason(role: str) -> str:
    return (
        "a checkpoint is staged in host memory"
        if role == "training"
        else "weights are loaded through host memory; idle caches are swapped there"
    )


def _nvme_tb(model: Model, customer: Customer, role: str, count: int) -> float:
    """Return local storage: four checkpoints and the tokens of the run, or ten copies of the weights."""
    if role == "serving":
        return max(2.0, float(units.ceiling(10 * weight_bytes(model) / TB)))
    states = 4 * _checkpoint_bytes(model) / TB / count
    return max(4.0, float(units.ceiling(states + 4 * customer.training_tokens / TB)))


def _storage_reason(role: str) -> str:
    return (
        "four checkpoints, and the corpus at four bytes a token"
        if role == "training"
        else "ten versions of the weights"
    )


class Strain(NamedTuple):
    """How far one limit is used at the planned load and at twice that load."""

    limit: str
    now: float
    doubled: float
    remedy: str


def strains(plan: Plan) -> list[Strain]:
    """Say how close each limit of the serving fleet is, now and when the load doubles; the first above one breaks.

    Parameters
    ----------
    plan : Plan
        The plan.

    Returns
    -------
    list of Strain
        Cache, time per token, first token and budget, as shares of their limits, the most strained first.

    Examples
    --------
    >>> from hopperbook.customer import check
    >>> from hopperbook.planner.choose import plan as make
    >>> found = strains(make(check({"name": "A", "model": "llama-3.1-8b"})))
    >>> [(s.limit, round(s.now, 2), round(s.doubled, 2)) for s in found]  # shares of the limits
    [('first token', 0.55, 0.69), ('time per token', 0.29, 0.49), ('KV cache', 0.07, 0.14)]
    """
    row, customer = plan.recommendation, plan.customer
    if row is None:
        return []
    d = row.deployment
    seen = [answered(d, row.replicas / load, customer) for load in (1, 2)]
    asked = limits(customer, d, SURE)
    cache = [x.cache_share for x in seen]
    tpot, first = ([shares(asked, x)[name] for x in seen] for name in ("time per token", "first token"))
    more_room = "another replica" if row.kv_precision == "fp8" else "another replica, or an FP8 cache"
    found = [
        Strain("KV cache", cache[0], cache[1], more_room),
        Strain("time per token", tpot[0], tpot[1], "another replica, or more GPUs a replica"),
        Strain("first token", first[0], first[1], "a smaller prefill budget, or another replica"),
    ]
    if customer.budget_usd_per_month and plan.grow_into is not None:
        rest = plan.usd_per_month() - row.usd
        paid = [(rest + x) / customer.budget_usd_per_month for x in (row.usd, plan.grow_into.usd)]
        found.append(Strain("budget", paid[0], max(paid), "a longer commitment"))
    return sorted(found, key=lambda s: -s.doubled)


def breaking_load(strain: Strain) -> float:
    r"""Load at which a limit is reached, if its use goes on growing evenly: :math:`1 + (1 - s_1) / (s_2 - s_1)`.

    Parameters
    ----------
    strain : Strain
        Use at the planned load and at twice that load.

    Returns
    -------
    float
        Over the planned load; infinity where the use does not grow.

    Examples
    --------
    >>> breaking_load(Strain("KV cache", 0.25, 0.5, ""))
    4.0
    """
    growth = strain.doubled - strain.now
    return 1 + (1 - strain.now) / growth if growth > 0 else math.inf
