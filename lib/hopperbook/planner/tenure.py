"""What an hour of a GPU costs this customer: rented on demand, reserved, owned, or already owned."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hopperbook import facts
from hopperbook.cost import Ownership, own_usd_per_month, positive, power_usd_per_month
from hopperbook.customer import Customer
from hopperbook.errors import InputError
from hopperbook.planner import site
from hopperbook.planner.configuration import Configuration
from hopperbook.units import MONTH_H

Floats = NDArray[np.float64]
MIN_MONTHS = {"on_demand": 0, "kept": 0, "reserved": 12, "own": 12}


@dataclass(frozen=True)
class Tenure:
    """One way to have one GPU, as USD per GPU-hour.

    Parameters
    ----------
    gpu, kind : str
        GPU, and ``on_demand``, ``reserved``, ``own`` or ``kept`` (owned already).
    low, typical, high : float
        USD per GPU-hour of servers that work each for itself.
    date, source : str
        Of the price.
    limit : int
        GPUs to be had so; 0 = as many as wanted.
    joined : tuple of tuple of float
        The same three prices of servers that work together, by the tiers of switches that join them.
    """

    gpu: str
    kind: str
    low: float
    typical: float
    high: float
    date: str
    source: str
    limit: int = 0
    joined: tuple[tuple[float, float, float], ...] = ()

    def usd_per_hour(self, end: str, servers: ArrayLike = 1) -> Floats:
        """Return a GPU-hour at one end of the prices, of jobs that span so many servers."""
        at = ENDS.index(end)
        tiers = np.array([getattr(self, end), *(prices[at] for prices in self.joined)])
        count = np.searchsorted(tier_limits(), np.asarray(servers), side="left")
        return tiers[np.minimum(count, len(tiers) - 1)]


ENDS = ("low", "typical", "high")


@functools.cache
def tier_limits() -> tuple[float, float, float]:
    """Return how many servers need no network, one tier of switches, and two tiers."""
    return 1.0, assumptions()["one_tier_nodes"], assumptions()["two_tier_nodes"]


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


def residual_fraction(months: int, end: str = "typical") -> float:
    r"""Share of its price that a server still fetches after some months: :math:`r_{36}^{m/36}`.

    Parameters
    ----------
    months : int
        Age.
    end : str
        ``low``, ``typical`` or ``high``; what is known ranges from a third to three quarters.

    Returns
    -------
    float
        Between 0 and 1.

    Examples
    --------
    >>> round(residual_fraction(12), 2), round(residual_fraction(36), 2)  # the cube root of a half, and a half
    (0.79, 0.5)
    """
    return float(getattr(facts.cost("residual_value_fraction_36m"), end) ** (months / 36))


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
    return math.ceil(gpus / server_of(part).gpus)


def network_usd(servers: int, end: str = "typical") -> float:
    """Return what a server's share of the switches, cables and modules costs that join it to others.

    Parameters
    ----------
    servers : int
        Servers that work together; one needs no network.
    end : str
        ``low``, ``typical`` or ``high``.

    Returns
    -------
    float
        USD a server of eight ports.

    Examples
    --------
    >>> network_usd(1), network_usd(8), network_usd(128)
    (0.0, 15060.0, 33980.0)
    """
    tier = int(np.searchsorted(tier_limits(), servers, side="left"))
    name = f"{tier} tier{'s' if tier > 1 else ''}"
    return float(getattr(facts.cost("network_usd_per_node", name), end)) if tier else 0.0


def ownership(gpu: str, months: int, end: str = "typical", servers: int = 1) -> Ownership:
    """Return what owning a server of a GPU costs, at one end of its prices.

    What it fetches at the end is uncertain the other way round: at the low end of costs it is high.

    Parameters
    ----------
    gpu : str
        Name of the GPU.
    months : int
        How long it is kept.
    end : str
        ``low``, ``typical`` or ``high``.
    servers : int
        Servers that work together, and are joined by a network; one for replicas that fit into a server.

    Returns
    -------
    Ownership
        Prices and powers of one server, with its share of the network.

    Raises
    ------
    InputError
        If no server or price of this GPU is on file.

    Examples
    --------
    >>> round(ownership("H100 SXM", 36, servers=16).server_usd - ownership("H100 SXM", 36).server_usd)
    15060
    """
    network = network_usd(servers, end)
    return _running(gpu, months, end, getattr(facts.purchase(server_of(gpu).name), end) + network)


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
        residual_fraction=residual_fraction(months, ENDS[-1 - ENDS.index(end)]),
        interest_per_year=a["interest_per_year"],
        care_fraction_per_year=a["care_fraction_per_year"],
        resale_at_once=a["resale_at_once"],
        idle_power_fraction=a["idle_power_fraction"],
        reserved_w=1e3 * site.server_kw(server),
    )


def at_site(o: Ownership, customer: Customer) -> Ownership:
    """Return an owned server at the customer's own site, where its PUE and price of electricity are stated.

    Parameters
    ----------
    o : Ownership
        As anywhere.
    customer : Customer
        ``site_pue`` and ``site_usd_per_kwh``.

    Returns
    -------
    Ownership
        The same but for these two.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> at_site(ownership("H100 SXM", 36), default().model_copy(update={"site_pue": 1.1})).pue
    1.1
    """
    return replace(o, pue=customer.site_pue or o.pue, usd_per_kwh=customer.site_usd_per_kwh or o.usd_per_kwh)


def market_price(customer: Customer, gpu: str, tenure: str = "on_demand") -> facts.Price:
    """Return what a GPU rents for in the customer's market on the customer's day.

    Parameters
    ----------
    customer : Customer
        Market and day.
    gpu : str
        Name of the GPU.
    tenure : str
        As of :func:`hopperbook.facts.price`.

    Returns
    -------
    Price
        USD per GPU-hour.

    Raises
    ------
    InputError
        Where nobody's price is on file.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> market_price(default(), "H100 SXM").typical, market_price(default(), "H100 SXM").count  # of so many clouds
    (3.2999, 16)
    """
    return facts.price(gpu, customer.market, tenure, customer.as_of)


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


def cluster_premium() -> tuple[float, float, float]:
    """Return what servers rented to work together cost more than servers that work each for itself.

    Returns
    -------
    tuple of float
        Low, typical and high share of the price; owned servers pay for their switches instead.

    Examples
    --------
    >>> cluster_premium()
    (0.0, 0.15, 0.5)
    """
    return _of_cost("cluster_premium")


def _rented(gpu: str, kind: str, prices: tuple[float, float, float], date: str, source: str, limit: int = 0) -> Tenure:
    """Return GPUs that are rented so, several nodes with InfiniBand at the premium of a cluster."""
    joined = tuple(price * (1 + more) for price, more in zip(prices, cluster_premium(), strict=True))
    return Tenure(gpu, kind, *prices, date, source, limit, joined=(joined,))  # type: ignore[arg-type]


def _of_cost(name: str) -> tuple[float, float, float]:
    """Return an assumption of owning and renting with its range."""
    row = facts.read_yaml("constants/cost.yaml")[name]
    return float(row["low"]), float(row["value"]), float(row["high"])


def _on_demand(customer: Customer, gpu: str) -> Tenure | None:
    field = facts.gpu(gpu).price_field
    given = getattr(customer, field) if field else None
    if field and given is not None:
        usd, a = positive(field, given), assumptions()
        prices = (usd * a["quote_low"], usd, usd * a["quote_high"])
        return _rented(gpu, "on_demand", prices, "the customer's", "customer file")
    try:
        p = market_price(customer, gpu)
    except InputError:
        return None
    return _rented(gpu, "on_demand", (p.low, p.typical, p.high), p.date, p.source)


def reserved_discount(customer: Customer) -> tuple[float, float, float, str]:
    """Return the discount for a year or more, low, typical and high, in the customer's market, with its source.

    Hyperscalers list theirs; of GPU clouds contracts for H100 are known, which are held against the price on demand.

    Parameters
    ----------
    customer : Customer
        Market and day.

    Returns
    -------
    tuple
        Three fractions, and keys of the bibliography.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> [round(off, 2) for off in reserved_discount(default())[:3]]
    [0.29, 0.32, 0.39]
    """
    if customer.market == "hyperscaler":
        cut = facts.cost("reserved_discount_1y")
        return cut.low, cut.typical, cut.high, cut.source
    paid = facts.cost("reserved_usd_per_gpu_hour", "H100 SXM")
    asked = market_price(customer, "H100 SXM").typical
    low, typical, high = (max(1 - usd / asked, 0.0) for usd in (paid.high, paid.typical, paid.low))
    return low, typical, high, paid.source


def _reserved(customer: Customer, gpu: str) -> Tenure | None:
    base = _on_demand(customer, gpu)
    if base is None:
        return None
    low, typical, high, source = reserved_discount(customer)
    prices = (base.low * (1 - high), base.typical * (1 - typical), base.high * (1 - low))
    return _rented(gpu, "reserved", prices, base.date, base.source + ", " + source)


def _own(customer: Customer, gpu: str) -> Tenure | None:
    try:
        price = facts.purchase(server_of(gpu).name)
        newest = price.date.split(" to ")[-1][:4]
        if not newest.isdigit() or int(newest) < assumptions()["oldest_offer_year"]:
            return None  # a price of years ago is no offer
        server = server_of(gpu)
        held = site.most_servers(customer, server)
        if held == 0:
            return None  # the site holds none
        sizes = [1, *(int(limit) + 1 for limit in tier_limits())]
        tiers = [_own_usd_per_hour(customer, gpu, servers) for servers in sizes]
    except InputError:
        return None
    most = (held or 0) * server.gpus
    return Tenure(gpu, "own", *tiers[0], price.date, price.source, most, joined=tuple(tiers[1:]))


def _own_usd_per_hour(customer: Customer, gpu: str, servers: int) -> tuple[float, float, float]:
    """Return what a GPU-hour owned costs, low, typical and high, of servers of which so many work together."""
    months = customer.horizon_months
    low, typical, high = (at_site(ownership(gpu, months, end, servers), customer) for end in ENDS)
    load = customer.busy_fraction
    return tuple(float(own_usd_per_month(o, 1, load)) / o.gpus / MONTH_H for o in (low, typical, high))  # type: ignore[return-value]


def on_spot(customer: Customer, gpu: str) -> Tenure | None:
    """Return GPUs that the provider may take away at any minute: for work that goes on from a checkpoint.

    One seller's advertisement of a card is no offer of a cluster: below ``spot_sellers`` sellers, and without a quote
    of a whole server, only as many GPUs as one offer has count as to be had.

    Parameters
    ----------
    customer : Customer
        Market and day; one who insists on another tenure has none.
    gpu : str
        Name of the GPU.

    Returns
    -------
    Tenure or None
        None where nobody's price is on file.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> round(on_spot(default(), "H100 SXM").typical, 2)
    1.83
    >>> [on_spot(default(), gpu).limit for gpu in ("H100 SXM", "H100 NVL")]  # of four sellers; one card of one seller
    [0, 1]
    """
    if customer.tenure != "auto":
        return None
    try:
        p = market_price(customer, gpu, "spot")
    except InputError:
        return None
    return _rented(gpu, "spot", (p.low, p.typical, p.high), p.date, p.source, _spot_limit(customer, p))


def _spot_limit(customer: Customer, p: facts.Price) -> int:
    """Return the most GPUs to be had on spot, 0 = as many as wanted: by how many sell them, and by what they sell."""
    offered = facts.largest_offer(p.gpu, p.market, p.tenure, customer.as_of)
    return 0 if offered >= facts.SERVER_GPUS or p.count >= assumptions()["spot_sellers"] else offered


def kept_server(customer: Customer, gpu: str, end: str = "typical") -> Ownership:
    """Return a server that is owned already; where nobody's price is on file it costs power and space alone.

    Parameters
    ----------
    customer : Customer
        Horizon and site.
    gpu : str
        Name of the GPU.
    end : str
        ``low``, ``typical`` or ``high``.

    Returns
    -------
    Ownership
        ``server_usd`` is 0 without a price: care, which goes by it, is then left out.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> kept_server(default(), "A100 SXM").server_usd
    160000.0
    """
    try:
        o = ownership(gpu, customer.horizon_months, end)
    except InputError:
        o = _running(gpu, customer.horizon_months, end, 0.0)
    return at_site(o, customer)


def _kept(customer: Customer, gpu: str) -> Tenure | None:
    if not customer.owned_gpu or not customer.owned_gpus or facts.gpu(customer.owned_gpu).name != gpu:
        return None
    hourly, source = [], "customer file"
    for end in ENDS:
        o = kept_server(customer, gpu, end)
        if not o.server_usd:
            source = "customer file; without care, because no price is on file"
        running = float(power_usd_per_month(o, customer.busy_fraction))
        hourly.append((running + o.care_fraction_per_year / 12 * o.server_usd) / o.gpus / MONTH_H)
    return Tenure(gpu, "kept", hourly[0], hourly[1], hourly[2], "", source, customer.owned_gpus)


class ServerPrice(NamedTuple):
    """What one server of a fleet costs to buy, in USD: as counted, and where the fleet comes to another sum a month."""

    now: float
    at: float


def server_price(row: Configuration, customer: Customer, usd: float) -> ServerPrice:
    r"""Find the price of a server at which a fleet that is bought costs a given sum a month.

    .. math:: P^* = P + \frac{C^* - C}{n \, \partial C_1 / \partial P}

    Parameters
    ----------
    row : Configuration
        The fleet, at C a month; its n servers cost P each, with their share of the network.
    customer : Customer
        Horizon and site.
    usd : float
        The sum C*.

    Returns
    -------
    ServerPrice
        USD; ``at`` is below 0 where power and space alone come to more.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> from hopperbook.planner.choose import plan
    >>> row = plan(default()).recommendation
    >>> now, at = server_price(row, default(), 1.1 * row.usd)  # loss of value, interest and care follow the price
    >>> round(at / now - 1, 2)
    0.13
    """
    o = ownership(row.gpu, customer.horizon_months, servers=servers(row.deployment.gpus, row.gpu))
    with_it, without = (float(own_usd_per_month(replace(o, server_usd=price))) for price in (o.server_usd, 0.0))
    count = row.billed_gpus / o.gpus
    return ServerPrice(o.server_usd, o.server_usd * (1 + (usd - row.usd) / count / (with_it - without)))
