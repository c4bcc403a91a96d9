"""A plan as a bill of materials, servers to racks; and what breaks first at twice the load."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from hopperbook import facts, serving
from hopperbook.customer import Customer
from hopperbook.models import load
from hopperbook.planner import fleet
from hopperbook.planner.choose import Plan, bands
from hopperbook.planner.tenure import SERVER_OF
from hopperbook.transformer import parameters, weight_bytes
from hopperbook.units import GB, TB

#: A rack that an ordinary hall can cool with air, and the ports of a leaf switch (network_switch_usd is for 64 of NDR).
RACK_KW = 40.0
SWITCH_PORTS = 64


class Item(NamedTuple):
    """One line of a bill of materials."""

    what: str
    amount: float
    unit: str
    why: str


def servers(gpus: int, part: str) -> int:
    """Return the servers that hold a number of GPUs.

    Parameters
    ----------
    gpus : int
        GPUs.
    part : str
        Their name.

    Returns
    -------
    int
        Whole servers.

    Examples
    --------
    >>> servers(12, "H100 SXM")
    2
    """
    return math.ceil(gpus / facts.system(SERVER_OF[part]).gpus)


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
    fleets = [("serving", plan.recommendation)]
    if plan.training is not None and plan.training.tenure not in ("kept", "shared"):
        fleets.append(("training", plan.training))
    items: list[Item] = []
    for role, row in fleets:
        if row is not None:
            items += _fleet(role, row, plan.customer)
    return items


def _fleet(role: str, row: Any, customer: Customer) -> list[Item]:
    system = facts.system(SERVER_OF[row.gpu])
    count = servers(int(row.gpus), row.gpu)
    power_kw = (
        count * (system.rated_power_w or facts.node_power(system.name).high) / 1e3
    )  # feeds are sized for all of it
    model = load(customer.model if role == "serving" else customer.trained_model)
    items = [
        Item(
            f"GPU server, {role}",
            count,
            system.name,
            f"{int(row.gpus)} of its {count * system.gpus} {row.gpu} are needed",
        ),
        Item(
            f"Host memory a server, {role}", _host_memory_gb(row, system.gpus, model, role), "GB", _memory_reason(role)
        ),
        Item(f"NVMe a server, {role}", _nvme_tb(model, customer, role, count), "TB", _storage_reason(role)),
    ]
    if role == "training" and count > 1:
        ports = count * system.nics
        leaves = math.ceil(ports / (SWITCH_PORTS / 2)) if ports > SWITCH_PORTS else 1
        spines = math.ceil(leaves / 2) if leaves > 1 else 0
        items.append(
            Item(
                "Network ports",
                ports,
                f"{8 * system.nic_bytes_per_s_per_direction / 1e9:.0f} Gb/s",
                f"{system.nics} a server, one a GPU, rail-optimised",
            )
        )
        items.append(
            Item(
                "Switches",
                leaves + spines,
                f"{SWITCH_PORTS} ports",
                f"{leaves} at the servers and {spines} above them, not oversubscribed",
            )
        )
    else:
        items.append(
            Item(f"Network, {role}", 2, "25 Gb/s ports", "answers are text; replicas need no fabric between servers")
        )
    items.append(
        Item(
            f"Power, {role}",
            round(power_kw * facts.cost("pue").typical, 1),
            "kW",
            f"{power_kw:.1f} kW of servers times the PUE",
        )
    )
    units = (system.rack_units or 8) * count
    racks = max(math.ceil(power_kw / RACK_KW), math.ceil(units / 42))
    items.append(Item(f"Racks, {role}", racks, "of 42 units", f"{units} units and at most {RACK_KW:.0f} kW a rack"))
    return items


def _host_memory_gb(row: Any, gpus: int, model: Any, role: str) -> int:
    """Return host memory: twice the GPUs' own, and room for a checkpoint of the states in training."""
    device = gpus * facts.gpu(row.gpu).memory_bytes / GB
    states = 14 * parameters(model) / GB if role == "training" else weight_bytes(model) / GB
    need = max(device, min(2 * device, states))
    return int(2 ** math.ceil(math.log2(max(256, need))))


def _memory_reason(role: str) -> str:
    return (
        "a checkpoint is staged in host memory"
        if role == "training"
        else "weights are loaded through host memory; idle caches are swapped there"
    )


def _nvme_tb(model: Any, customer: Customer, role: str, count: int) -> float:
    """Return local storage: four checkpoints and the tokens of the run, or ten copies of the weights."""
    if role == "serving":
        return max(2.0, math.ceil(10 * weight_bytes(model) / TB))
    states = 4 * 14 * parameters(model) / TB / count
    return max(4.0, math.ceil(states + 4 * customer.training_tokens / TB))


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
    >>> all(s.doubled >= s.now for s in found)
    True
    """
    row, customer = plan.recommendation, plan.customer
    if row is None:
        return []
    d = fleet.replica(load(customer.model), row.gpu, int(row.tp), row.precision, row.kv_precision)
    users = np.array([1.0, 2.0]) * float(row.users)
    steady = serving.sweep(d, customer.prompt_tokens, customer.output_tokens, users)
    first = fleet.first_token_s(d, steady, customer.prompt_tokens, users)
    cache = users * customer.held_tokens / serving.kv_capacity_tokens(d, customer.held_tokens)
    b = bands(customer)
    found = [
        Strain("KV cache", float(cache[0]), float(cache[1]), "another replica, or an FP8 cache where it is in 16 bits"),
        Strain(
            "time per token",
            *_share(steady.tpot_s * b["tpot"][1], customer.tpot_target_ms),
            "another replica, or more GPUs a replica",
        ),
        Strain(
            "first token",
            *_share(first * b["ttft"][1], customer.ttft_target_ms),
            "a smaller prefill budget, or another replica",
        ),
    ]
    if customer.budget_usd_per_month and plan.grow_into is not None:
        rest = plan.usd_per_month() - float(row.usd)
        shares = [(rest + x) / customer.budget_usd_per_month for x in (float(row.usd), float(plan.grow_into.usd))]
        found.append(Strain("budget", shares[0], max(shares), "a longer commitment"))
    return sorted(found, key=lambda s: -s.doubled)


def _share(seconds: np.ndarray, target_ms: float) -> tuple[float, float]:
    share = 1e3 * seconds / target_ms
    return float(share[0]), float(share[1])
