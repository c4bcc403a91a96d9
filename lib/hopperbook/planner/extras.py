"""What the provider of rented GPUs bills apart, and licences: storage, traffic, support, software."""

from __future__ import annotations

from typing import NamedTuple

from hopperbook import facts
from hopperbook.customer import Customer
from hopperbook.errors import InputError
from hopperbook.planner.configuration import Configuration, TrainingRun
from hopperbook.planner.small import Small
from hopperbook.units import MONTH_H

RENTED = ("on_demand", "spot", "reserved")


class Extra(NamedTuple):
    """One line of a bill beside GPUs: how much of what a month, and USD a unit with its range."""

    what: str
    amount: float
    unit: str
    low: float
    typical: float
    high: float
    date: str
    source: str

    @property
    def usd(self) -> float:
        """USD a month at the typical price."""
        return self.amount * self.typical

    @property
    def usd_low(self) -> float:
        """USD a month at the low price."""
        return self.amount * self.low

    @property
    def usd_high(self) -> float:
        """USD a month at the high price."""
        return self.amount * self.high


Fleets = tuple[Configuration | TrainingRun | Small | None, ...]


def how(fleet: Configuration | TrainingRun | Small) -> str:
    """Return how a fleet is had: ``on_demand``, ``spot``, ``reserved``, ``own``, ``kept`` or ``shared``."""
    return fleet.tenure.kind if isinstance(fleet, Small) else fleet.tenure


def extras(customer: Customer, fleets: Fleets) -> tuple[Extra, ...]:
    r"""List what is billed beside the GPUs, as far as the customer states it.

    .. math:: s\,p_s + e\,p_e + \max(f R,\; m) + g\,p_l

    Parameters
    ----------
    customer : Customer
        Terabytes stored, s, and sent out a month, e; support plan; licence; market.
    fleets : tuple
        What serves, trains and runs the small services; the rent is R.

    Returns
    -------
    tuple of Extra
        Storage, traffic and support only where GPUs are rented: on an own site they are its own. A support plan costs
        the share f of the rent, at least m; a licence is for every GPU, g.

    Examples
    --------
    >>> from hopperbook.customer import check
    >>> from hopperbook.planner.choose import plan
    >>> asked = {"tenure": "on_demand", "stored_tb": 20.0, "support": "business"}
    >>> made = plan(check({"name": "A", "model": "llama-3.1-8b"} | asked))
    >>> [(each.what, round(each.usd)) for each in made.extras]  # 20 TB at USD 27.9; at least USD 100
    [('Storage at the provider', 558), ('Support plan, business', 100)]
    """
    there = [fleet for fleet in fleets if fleet is not None]
    rent = sum(fleet.usd for fleet in there if how(fleet) in RENTED)
    found = _of_provider(customer, rent) if rent else []
    if customer.licence == "nvaie":
        found += [_licence(fleet, customer) for fleet in there if how(fleet) != "shared"]
    return tuple(found)


def _of_provider(customer: Customer, rent_usd: float) -> list[Extra]:
    """Return storage, traffic and support of a provider that is paid so much rent a month."""
    found = []
    asked = (
        ("Storage at the provider", customer.stored_tb, "TB", "storage_usd_per_tb_month"),
        ("Traffic out of the provider", customer.egress_tb_per_month, "TB", "egress_usd_per_tb"),
    )
    for what, amount, unit, item in asked:
        if amount:
            p = facts.cost(item, customer.market)
            found.append(Extra(what, amount, unit, p.low, p.typical, p.high, p.date, p.source))
    if customer.support != "none":
        share = facts.cost("support_share_of_spend", customer.support)
        least = facts.cost("support_least_usd_per_month", customer.support).typical
        low, typical, high = (max(least, rent_usd * end) for end in (share.low, share.typical, share.high))
        what = f"Support plan, {customer.support}"
        found.append(Extra(what, 1.0, "plan", low, typical, high, share.date, share.source))
    return found


def _licence(fleet: Configuration | TrainingRun | Small, customer: Customer) -> Extra:
    """Return the licences of a fleet: by the hours rented, else by the year, for as long as none came with it."""
    gpus = fleet.cards if isinstance(fleet, Small) else fleet.gpus
    if how(fleet) in ("on_demand", "spot"):
        price, a_month = facts.cost("nvaie_usd_per_gpu_hour"), MONTH_H
        if isinstance(fleet, TrainingRun):
            a_month = fleet.days * 24 * customer.trainings_per_year / 12
    else:
        came = years_with_card(fleet.gpu) * 12 / customer.horizon_months
        price, a_month = facts.cost("nvaie_usd_per_gpu_year"), max(1 - came, 0.0) / 12
    low, typical, high = (end * a_month for end in (price.low, price.typical, price.high))
    return Extra(f"NVIDIA AI Enterprise, {fleet.gpu}", float(gpus), "GPU", low, typical, high, price.date, price.source)


def years_with_card(gpu: str) -> float:
    """Return the years of NVIDIA AI Enterprise that come with a card.

    Parameters
    ----------
    gpu : str
        Name of the GPU.

    Returns
    -------
    float
        Years; 0 where none come.

    Examples
    --------
    >>> years_with_card("H200 NVL"), years_with_card("H200 SXM")
    (5.0, 0.0)
    """
    try:
        return facts.cost("nvaie_years_with_card", gpu).typical
    except InputError:
        return 0.0
