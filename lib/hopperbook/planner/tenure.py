"""What an hour of a GPU costs this customer: rented on demand, reserved, owned, or already owned."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from hopperbook import facts
from hopperbook.cost import Ownership, own_usd_per_month, positive, power_usd_per_month
from hopperbook.customer import Customer
from hopperbook.errors import InputError
from hopperbook.units import MONTH_H

MIN_MONTHS = {"on_demand": 0, "kept": 0, "reserved": 12, "own": 12}


@dataclass(frozen=True)
class Tenure:
    """One way to have one GPU, as USD per GPU-hour.

    Parameters
    ----------
    gpu, kind : str
        GPU, and ``on_demand``, ``reserved``, ``own`` or ``kept`` (owned already).
    low, typical, high : float
        USD per GPU-hour.
    date, source : str
        Of the price.
    limit : int
        GPUs to be had so; 0 = as many as wanted.
    """

    gpu: str
    kind: str
    low: float
    typical: float
    high: float
    date: str
    source: str
    limit: int = 0


@functools.cache
def assumptions(of: str = "cost") -> dict[str, float]:
    """Return the assumptions of ``data/constants/cost.yaml`` or ``planner.yaml`` as values by name.

    Parameters
    ----------
    of : str
        ``cost`` or ``planner``.

    Returns
    -------
    dict of float
        USD a kWh, fractions a year, months; tokens, kW, ports.

    Examples
    --------
    >>> assumptions()["interest_per_year"], assumptions("planner")["switch_ports"]
    (0.08, 64.0)
    """
    content = facts.read_yaml(f"constants/{of}.yaml")
    return {name: float(row["value"]) for name, row in content.items()}


def residual_fraction(months: int) -> float:
    r"""Share of its price that a server still fetches after some months: :math:`r_{36}^{m/36}`.

    Parameters
    ----------
    months : int
        Age.

    Returns
    -------
    float
        Between 0 and 1.

    Examples
    --------
    >>> round(residual_fraction(12), 2), round(residual_fraction(36), 2)  # the cube root of 0.3, and 0.3
    (0.67, 0.3)
    """
    return facts.cost("residual_value_fraction_36m").typical ** (months / 36)


def server_of(gpu: str) -> facts.System:
    """Return the server that a GPU is bought in.

    Parameters
    ----------
    gpu : str
        Name of the GPU.

    Returns
    -------
    System
        Its block's ``server``.

    Raises
    ------
    InputError
        If no server of this GPU is on file.

    Examples
    --------
    >>> server_of("H100 SXM").gpus
    8
    """
    name = facts.gpu(gpu).server
    if name is None:
        known = [part.name for part in facts.gpus().values() if part.server]
        raise InputError("gpu", gpu, "a GPU whose server is on file", known)
    return facts.system(name)


def ownership(gpu: str, months: int, end: str = "typical") -> Ownership:
    """Return what owning a server of a GPU costs, at one end of its prices.

    Parameters
    ----------
    gpu : str
        Name of the GPU.
    months : int
        How long it is kept.
    end : str
        ``low``, ``typical`` or ``high``.

    Returns
    -------
    Ownership
        Prices and powers of one server, its share of a two-tier network included.

    Raises
    ------
    InputError
        If no server or price of this GPU is on file.

    Examples
    --------
    >>> ownership("H100 SXM", 36).gpus
    8
    """
    server = server_of(gpu)
    network = getattr(facts.cost("network_usd_per_node", "2 tiers"), end) if facts.gpu(gpu).form == "SXM" else 0.0
    return _running(gpu, months, end, getattr(facts.purchase(server.name), end) + network)


def _running(gpu: str, months: int, end: str, server_usd: float) -> Ownership:
    """Return what owning a server costs that was bought at a price."""
    server, a = server_of(gpu), assumptions()
    return Ownership(
        server_usd=server_usd,
        gpus=server.gpus,
        power_w=getattr(facts.node_power(server.name), end),
        pue=getattr(facts.cost("pue"), end),
        space_usd_per_kw_month=getattr(facts.cost("colocation_usd_per_kw_month"), end),
        usd_per_kwh=a["electricity_usd_per_kwh"],
        months=months,
        residual_fraction=residual_fraction(months),
        interest_per_year=a["interest_per_year"],
        care_fraction_per_year=a["care_fraction_per_year"],
        resale_at_once=a["resale_at_once"],
        idle_power_fraction=a["idle_power_fraction"],
    )


def tenures(customer: Customer, gpu: str) -> list[Tenure]:
    """List the ways this customer can have a GPU, with their prices.

    Parameters
    ----------
    customer : Customer
        Market, tenure, horizon, own prices, owned GPUs.
    gpu : str
        Name of the GPU.

    Returns
    -------
    list of Tenure
        Empty where no price is known: a price nobody knows is asked for, never invented.

    Examples
    --------
    >>> from hopperbook.customer import check
    >>> shop = check({"name": "A", "model": "llama-3.1-8b", "h100_usd_per_hour": 2.0, "horizon_months": 6})
    >>> [(t.kind, t.typical) for t in tenures(shop, "H100 SXM")]
    [('on_demand', 2.0)]
    """
    wanted = ("on_demand", "reserved", "own") if customer.tenure == "auto" else (customer.tenure,)
    makers = {"on_demand": _on_demand, "reserved": _reserved, "own": _own}
    found = [makers[kind](customer, gpu) for kind in wanted if customer.horizon_months >= MIN_MONTHS[kind]]
    return [t for t in (*found, _kept(customer, gpu)) if t]


def _on_demand(customer: Customer, gpu: str) -> Tenure | None:
    field = facts.gpu(gpu).price_field
    given = getattr(customer, field) if field else None
    if field and given is not None:
        usd = positive(field, given)
        return Tenure(gpu, "on_demand", usd, usd, usd, "the customer's", "customer file")
    try:
        p = facts.price(gpu, customer.market)
    except InputError:
        return None
    return Tenure(gpu, "on_demand", p.low, p.typical, p.high, p.date, p.source)


def _reserved(customer: Customer, gpu: str) -> Tenure | None:
    base, cut = _on_demand(customer, gpu), facts.cost("reserved_discount_1y")
    if base is None:
        return None
    source = base.source + ", " + cut.source
    low, typical = base.low * (1 - cut.high), base.typical * (1 - cut.typical)
    return Tenure(gpu, "reserved", low, typical, base.high * (1 - cut.low), base.date, source)


def _own(customer: Customer, gpu: str) -> Tenure | None:
    hourly = []
    try:
        for end in ("low", "typical", "high"):
            o = ownership(gpu, customer.horizon_months, end)
            hourly.append(float(own_usd_per_month(o, 1, customer.busy_fraction)) / o.gpus / MONTH_H)
        price = facts.purchase(server_of(gpu).name)
        newest = price.date.split(" to ")[-1][:4]
        if not newest.isdigit() or int(newest) < assumptions()["oldest_offer_year"]:
            return None  # a price of years ago is no offer
    except InputError:
        return None
    return Tenure(gpu, "own", hourly[0], hourly[1], hourly[2], price.date, price.source)


def _kept(customer: Customer, gpu: str) -> Tenure | None:
    if not customer.owned_gpu or not customer.owned_gpus or facts.gpu(customer.owned_gpu).name != gpu:
        return None
    hourly, source = [], "customer file"
    for end in ("low", "typical", "high"):
        try:
            o = ownership(gpu, customer.horizon_months, end)
        except InputError:  # nobody's price is on file: power and space alone, without the care that goes by it
            o = _running(gpu, customer.horizon_months, end, 0.0)
            source = "customer file; without care, for want of a price"
        running = float(power_usd_per_month(o, customer.busy_fraction))
        hourly.append((running + o.care_fraction_per_year / 12 * o.server_usd) / o.gpus / MONTH_H)
    return Tenure(gpu, "kept", hourly[0], hourly[1], hourly[2], "", source, customer.owned_gpus)
