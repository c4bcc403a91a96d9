"""Small services beside the large model: slices of cards that MIG cuts, packed into the cards that cost least."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hopperbook import facts, mig, serving
from hopperbook.cost import billed
from hopperbook.customer import Customer
from hopperbook.models import load
from hopperbook.planner.tenure import Tenure
from hopperbook.units import MONTH_H


@dataclass(frozen=True, eq=False)
class Small:
    """Where the small services run: slices of cards."""

    gpu: str
    profile: str
    cards: int
    placements: list[mig.Placement]
    tenure: Tenure
    usd_low: float
    usd: float
    usd_high: float


def small_services(customer: Customer, ways: dict[str, list[Tenure]]) -> Small | None:
    """Pack the small services into slices of the cards that cost least.

    Parameters
    ----------
    customer : Customer
        How many services, and their model.
    ways : dict
        Ways to have each part.

    Returns
    -------
    Small or None
        None where there are no small services, or no slice holds one.
    """
    if not customer.small_services:
        return None
    found = []
    for part, kinds in ways.items():
        placed = pack_small(customer, part) if kinds else None
        if placed is None:
            continue
        profile, placements = placed
        for way in kinds:
            cards = 1 + max(p.card for p in placements)
            if way.limit and cards > way.limit:
                continue
            paid = cards_paid(cards, part, way.kind)
            low, typical, high = (MONTH_H * paid * x for x in (way.low, way.typical, way.high))
            found.append(Small(part, profile, cards, placements, way, low, typical, high))
    return min(found, key=lambda s: s.usd) if found else None


def cards_paid(cards: int, part: str, kind: str) -> int:
    """Return the cards that are paid for: bought one by one (PCIe) or by eight (SXM), rented by 1, 2, 4, 8.

    Parameters
    ----------
    cards : int
        Cards needed.
    part : str
        GPU.
    kind : str
        How they are had.

    Returns
    -------
    int
        Cards.

    Examples
    --------
    >>> cards_paid(3, "A100 SXM 80GB", "on_demand"), cards_paid(1, "H200 SXM", "own"), cards_paid(1, "H100 NVL", "own")
    (4, 8, 1)
    """
    if kind == "kept" or (kind == "own" and facts.gpu(part).form != "SXM"):
        return cards
    return int(billed(np.array([cards]), np.array([kind]))[0])


#: Users of one small service, and the longest text that each holds (assumed: a service for one team).
SERVICE_USERS, SERVICE_TOKENS = 8, 4096


def service_tokens(customer: Customer) -> int:
    """Return the tokens that a user of a small service holds: the customer's prompt and answer, up to a limit."""
    return min(customer.prompt_tokens + customer.output_tokens, SERVICE_TOKENS)


def cut_parts() -> tuple[str, ...]:
    """Return the planned parts whose MIG profiles are on file, in the order of ``data/gpus.yaml``.

    Returns
    -------
    tuple of str
        Names.

    Examples
    --------
    >>> cut_parts()[0]
    'A100 SXM 80GB'
    """
    known = {part for row in facts.records("mig") for part in row["gpus"]}
    return tuple(part for part in facts.planned() if facts.gpu(part).mig_instances and part in known)


def small_service_bytes(customer: Customer, part: str) -> float:
    """Bytes of a card that one small service needs: weights in 16 bits, its users' caches, activations, runtime.

    Parameters
    ----------
    customer : Customer
        Its small model.
    part : str
        GPU.

    Returns
    -------
    float
        Bytes that the driver must show, what the engine keeps free included.

    Examples
    --------
    >>> from hopperbook.customer import check
    >>> round(small_service_bytes(check({"name": "A", "model": "llama-3.1-8b"}), "H100 SXM") / 1e9, 1)
    11.8
    """
    slice_ = mig.instance(part, next(iter(mig.profiles(part))))
    d = serving.deploy(load(customer.small_model), slice_, precision="bf16")
    budget = serving.budget(d, service_tokens(customer))
    held = budget.weights_bytes + budget.activations_bytes + budget.runtime_bytes + SERVICE_USERS * budget.kv_user_bytes
    return held / d.engine.kv_fraction


def pack_small(customer: Customer, part: str) -> tuple[str, list[mig.Placement]] | None:
    """Place the small services on one part.

    Parameters
    ----------
    customer : Customer
        How many services, and their model.
    part : str
        GPU.

    Returns
    -------
    tuple or None
        (profile, placements); None where a service needs more than the part's largest slice, or it cannot be cut.
    """
    if not facts.gpu(part).mig_instances or not any(part in row["gpus"] for row in facts.records("mig")):
        return None
    profile = mig.smallest(part, small_service_bytes(customer, part))
    if profile is None:
        return None
    names = {f"service {i + 1}": profile.name for i in range(customer.small_services)}
    return profile.name, mig.pack(names, part)
