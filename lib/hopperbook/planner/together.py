"""Several services on one fleet: each with its model, traffic and targets, all on one part, paid for together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from hopperbook import units
from hopperbook.customer import Customer
from hopperbook.errors import InputError
from hopperbook.planner.choose import Plan, plan
from hopperbook.planner.configuration import Configuration
from hopperbook.planner.fleet import billed
from hopperbook.planner.show import layout
from hopperbook.planner.tenure import tenures
from hopperbook.units import MONTH_H


class Together(NamedTuple):
    """Services on one part: the fleet of each, GPUs needed and paid for, and USD a month."""

    gpu: str
    tenure: str
    services: dict[str, Configuration]
    gpus: int
    billed_gpus: int
    usd_low: float
    usd: float
    usd_high: float


def together(customers: Sequence[Customer]) -> list[Together]:
    """Plan several services on the same part, for every part that carries all of them, the cheapest first.

    Each service keeps its targets on replicas of its own; GPUs are rented and bought for all at once, so that a node
    that one service does not fill is filled by the next.

    Parameters
    ----------
    customers : sequence of Customer
        One a service, each with a name of its own; the first one's market, prices and owned GPUs count.

    Returns
    -------
    list of Together
        Empty where no part carries them all.

    Raises
    ------
    InputError
        If two services have one name.

    Examples
    --------
    >>> from hopperbook.customer import check
    >>> load = {"model": "llama-3.1-8b", "tenure": "on_demand"}
    >>> chat, code = (check(load | {"name": name, "concurrency": 30}) for name in ("chat", "code"))
    >>> best = together([chat, code])[0]
    >>> best.gpu, {name: row.gpus for name, row in best.services.items()}, best.billed_gpus
    ('A100 PCIe 80GB', {'chat': 1, 'code': 1}, 2)
    """
    names = [customer.name for customer in customers]
    for name in names:
        if names.count(name) > 1:
            raise InputError("name", name, "a name of its own for each service")
    plans = {customer.name: plan(customer) for customer in customers}
    common = set.intersection(*(set(made.by_part) for made in plans.values()))
    found = [row for part in sorted(common) for row in _on(part, plans, customers[0])]
    return sorted(found, key=lambda each: (round(each.usd, 6), each.gpu))


def _on(part: str, plans: dict[str, Plan], payer: Customer) -> list[Together]:
    """Put every service on a part, the GPUs of all had in the cheapest way of which there are as many; none if none."""
    rows = {name: made.by_part[part] for name, made in plans.items()}
    gpus = sum(row.gpus for row in rows.values())
    found = []
    for way in tenures(payer, part):
        if not way.limit or gpus <= way.limit:
            paid = int(billed(np.array([gpus]), np.array([way.kind]))[0])
            usd = (MONTH_H * paid * end for end in (way.low, way.typical, way.high))
            found.append(Together(part, way.kind, rows, gpus, paid, *usd))
    return sorted(found, key=lambda each: round(each.usd, 6))[:1]


def as_rows(found: Sequence[Together]) -> list[dict[str, Any]]:
    """Return fleets as rows of a table, one a part.

    Parameters
    ----------
    found : sequence of Together
        From :func:`together`.

    Returns
    -------
    list of dict
        GPU, GPUs of each service, GPUs paid for, USD a month with its range.
    """
    return [
        {"GPU": each.gpu, "tenure": each.tenure.replace("_", " ")}
        | {name: f"{row.gpus} ({layout(row)})" for name, row in each.services.items()}
        | {
            "paid for": each.billed_gpus,
            units.priced("USD a month"): f"{units.money(each.usd)}"
            f" ({units.money(each.usd_low)} to {units.money(each.usd_high)})",
        }
        for each in found
    ]
