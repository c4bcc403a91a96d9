"""What the chapter on cost computes: every way to have a fleet side by side, when buying pays, and spot hours."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from hopperbook import cost, facts, story, units
from hopperbook.customer import Customer
from hopperbook.display import Input
from hopperbook.errors import InputError
from hopperbook.planner import Plan, runs, site, spot
from hopperbook.planner.tenure import (
    Tenure,
    at_site,
    cluster_premium,
    market_price,
    ownership,
    reserved_discount,
    server_of,
    servers,
    tenures,
)
from hopperbook.units import HOUR_S, MONTH_H

ENDS = ("low", "typical", "high")
#: Buying at the low end of its prices is held against renting at the high end, and the other way round.
OPPOSITE = {"low": "high", "typical": "typical", "high": "low"}
#: Ways to have a fleet, as they begin a sentence.
WAYS = {"on_demand": "Renting on demand", "reserved": "Reserving", "own": "Owning"}
NEVER_MONTHS = 120  # from here on "never" is shown
CHECK_MONTHS = 48  # over which the check spreads a purchase
DEAREST_SHOWN = 1.5  # times the price on demand, up to which curves of other ways are drawn
YEAR_DAYS = 365.0


def reserved_input(gpu: str) -> Input:
    """Return the power by which a site charges for the space of a server, as a row of the inputs.

    Parameters
    ----------
    gpu : str
        Name of the part.

    Returns
    -------
    Input
        The maker's rating, or an estimate where none is published.

    Examples
    --------
    >>> reserved_input("H100 SXM")[:3]
    ('Server as rated, kW', '10.2', 'vendor')
    """
    server = server_of(gpu)
    value, name = units.number(site.server_kw(server), 3), "Server as rated, kW"
    if server.rated_power_w:
        return Input(name, value, "vendor", story.cite(server.source))
    return Input(name, value, "assumed", story.cite(facts.node_power(server.name).source))


class PaidFleet(NamedTuple):
    """GPUs that a plan pays for, and every way to have them.

    Parameters
    ----------
    gpu : str
        Name of the part.
    gpus, servers : int
        GPUs billed, and whole servers that hold them if bought.
    load : float
        Mean load over the busy hour's.
    own : mapping of str to Ownership
        One server bought, at the low, typical and high end of its prices.
    tenures : mapping of str to Tenure
        Ways to have one GPU, by kind.
    """

    gpu: str
    gpus: int
    servers: int
    load: float
    own: Mapping[str, cost.Ownership]
    tenures: Mapping[str, Tenure]

    @property
    def on_demand(self) -> Tenure:
        """Renting by the hour."""
        return self.tenures["on_demand"]


def paid_fleet(customer: Customer, gpu: str, gpus: int) -> PaidFleet:
    """List every way that a customer has to pay for GPUs, whatever it prefers and however short its horizon.

    Parameters
    ----------
    customer : Customer
        Market, horizon, load, own prices.
    gpu : str
        Name of the part.
    gpus : int
        GPUs billed.

    Returns
    -------
    PaidFleet
        USD per GPU-hour of each way, and one server as bought.

    Raises
    ------
    InputError
        If no server of this GPU is on file.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> fleet = paid_fleet(default(), "H100 SXM", 12)
    >>> fleet.servers, list(fleet.tenures)
    (2, ['on_demand', 'reserved', 'own'])
    """
    months = customer.horizon_months
    asked = customer.model_copy(update={"tenure": "auto", "horizon_months": max(12, months)})
    own = {end: at_site(ownership(gpu, months, end), customer) for end in ENDS}
    ways = {way.kind: way for way in tenures(asked, gpu)}
    return PaidFleet(gpu, gpus, servers(gpus, gpu), customer.busy_fraction, own, ways)


def monthly_usd(fleet: PaidFleet) -> dict[str, float]:
    r"""Cost of a fleet a month, by the way it is paid for: bought GPUs come by whole servers.

    .. math:: 730 \, n \, p

    Parameters
    ----------
    fleet : PaidFleet
        The GPUs and their prices.

    Returns
    -------
    dict of float
        USD a month of ``on_demand``, ``reserved`` and ``own``, where there is a price.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> usd = monthly_usd(paid_fleet(default(), "H100 SXM", 8))
    >>> round(usd["reserved"] / usd["on_demand"], 2)
    0.68
    """
    whole = fleet.servers * fleet.own["typical"].gpus
    ways = {kind: way for kind, way in fleet.tenures.items() if kind != "kept"}
    return {kind: MONTH_H * (whole if kind == "own" else fleet.gpus) * way.typical for kind, way in ways.items()}


def flip_usd_per_hour(fleet: PaidFleet) -> float:
    """Find the price on demand at which renting by the hour costs as much as the cheapest other way.

    Parameters
    ----------
    fleet : PaidFleet
        The GPUs and their prices.

    Returns
    -------
    float
        USD per GPU-hour.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> fleet = paid_fleet(default(), "H100 SXM", 8)
    >>> round(flip_usd_per_hour(fleet) / fleet.on_demand.typical, 2)
    0.5
    """
    monthly = monthly_usd(fleet)
    others = [usd for kind, usd in monthly.items() if kind != "on_demand"]
    if min(others) < monthly["on_demand"]:
        return fleet.on_demand.typical * min(others) / monthly["on_demand"]
    return min(others) / fleet.gpus / MONTH_H


class Payback(NamedTuple):
    """Months from which buying has cost less than renting: at prices that favour it, typical ones, those against."""

    low: float
    typical: float
    high: float


def payback_months(fleet: PaidFleet) -> Payback:
    """Find when buying has cost less than renting on demand, at each end of the prices.

    Parameters
    ----------
    fleet : PaidFleet
        The GPUs and their prices.

    Returns
    -------
    Payback
        Months; infinity where buying never pays.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> found = payback_months(paid_fleet(default(), "H100 SXM", 8))
    >>> [round(months) for months in found]
    [2, 5, 18]
    """
    low, typical, high = (
        cost.break_even_month(
            fleet.own[end], fleet.servers, getattr(fleet.on_demand, OPPOSITE[end]), fleet.load, fleet.gpus
        )
        for end in ENDS
    )
    return Payback(low, typical, high)


def months_words(months: float) -> str:
    """Say when something pays.

    Parameters
    ----------
    months : float
        Months; more than ten years count as never.

    Returns
    -------
    str
        Words.

    Examples
    --------
    >>> months_words(17.3).replace(units.NBSP, " "), months_words(float("inf"))
    ('17 months', 'never')
    """
    return f"{units.number(months)}{units.NBSP}months" if months <= NEVER_MONTHS else "never"


def pays_words(months: float) -> str:
    """Say from when buying has cost less, or that it does not.

    Parameters
    ----------
    months : float
        Months; more than ten years count as never.

    Returns
    -------
    str
        A sentence without its capital and full stop.

    Examples
    --------
    >>> pays_words(float("inf")).replace(units.NBSP, " ")
    'buying does not cost less within 120 months'
    """
    if months <= NEVER_MONTHS:
        return f"buying has cost less after {months_words(months)}"
    return f"buying does not cost less within {units.integer(NEVER_MONTHS)}{units.NBSP}months"


class OwnedMonth(NamedTuple):
    """What one owned server costs a month, in USD, and one of its GPU-hours."""

    depreciation_usd: float
    interest_usd: float
    care_usd: float
    power_usd: float
    usd: float
    usd_per_gpu_hour: float


def owned_month(o: cost.Ownership, load: float) -> OwnedMonth:
    r"""Split the monthly cost of an owned server into its parts.

    .. math:: \frac{P (1 - r)}{m}, \quad \frac{i}{12}\frac{P (1 + r)}{2}, \quad \frac{c P}{12}

    and power with space; see :func:`hopperbook.cost.own_usd_per_month`, whose terms these are.

    Parameters
    ----------
    o : Ownership
        Prices and powers of the server.
    load : float
        Mean load.

    Returns
    -------
    OwnedMonth
        USD a month, and USD per GPU-hour.

    Examples
    --------
    >>> month = owned_month(ownership("H100 SXM", 36), 0.5)
    >>> round(sum(month[:4]) - month.usd, 6)
    0.0
    """
    usd = float(cost.own_usd_per_month(o, 1, load))
    return OwnedMonth(
        depreciation_usd=o.server_usd * (1 - o.residual_fraction) / o.months,
        interest_usd=o.interest_per_year / 12 * o.server_usd * (1 + o.residual_fraction) / 2,
        care_usd=o.care_fraction_per_year / 12 * o.server_usd,
        power_usd=float(cost.power_usd_per_month(o, load)),
        usd=usd,
        usd_per_gpu_hour=usd / o.gpus / MONTH_H,
    )


def even_rent_usd_per_hour(fleet: PaidFleet) -> float:
    r"""Find the rent at which buying has cost as much at the end of the horizon.

    .. math:: \frac{n \, C_\mathrm{own}}{730 \, g}

    Parameters
    ----------
    fleet : PaidFleet
        GPUs g, and the n whole servers that hold them, each at C a month.

    Returns
    -------
    float
        USD per GPU-hour.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> fleet = paid_fleet(default(), "H100 SXM", 8)
    >>> round(even_rent_usd_per_hour(fleet) / fleet.tenures["own"].typical, 6)
    1.0
    """
    return fleet.servers * owned_month(fleet.own["typical"], fleet.load).usd / fleet.gpus / MONTH_H


def spending(fleet: PaidFleet, months: int) -> pd.DataFrame:
    """Money that buying and renting on demand have cost by each month, net of what the servers still fetch.

    Parameters
    ----------
    fleet : PaidFleet
        The GPUs and their prices.
    months : int
        Last month.

    Returns
    -------
    DataFrame
        ``month cost low high plan``: USD so far, by plan (``buy``, ``rent on demand``) and month from 0 on.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> spent = spending(paid_fleet(default(), "H100 SXM", 8), 12)
    >>> round(spent[spent.plan == "rent on demand"].cost.iloc[-1] / spent[spent.plan == "rent on demand"].cost.iloc[1])
    12
    """
    at = np.arange(months + 1)
    spent = {
        end: cost.cumulative_usd(
            fleet.own[end], fleet.servers, getattr(fleet.on_demand, end), at, fleet.load, fleet.gpus
        )
        for end in ENDS
    }
    plans = [
        pd.DataFrame(
            {
                "month": at,
                "cost": spent["typical"][side],
                "low": spent["low"][side],
                "high": spent["high"][side],
                "plan": name,
            }
        )
        for side, name in enumerate(("buy", "rent on demand"))
    ]
    return pd.concat(plans)


def usd_per_million(
    fleet: PaidFleet,
    tokens_per_s: float,
    *,
    price: float | None = None,
    load: float | None = None,
    engine: float = 1.0,
) -> float:
    """Cost of a million output tokens of a fleet rented on demand, one input changed or none.

    Parameters
    ----------
    fleet : PaidFleet
        The GPUs, their price and load.
    tokens_per_s : float
        Output tokens a second at the busy hour.
    price : float, optional
        USD per GPU-hour instead of the fleet's.
    load : float, optional
        Mean load over the busy hour's instead of the fleet's.
    engine : float
        Throughput of the engine over the predicted one.

    Returns
    -------
    float
        USD.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> fleet = paid_fleet(default(), "H100 SXM", 8)
    >>> round(usd_per_million(fleet, 2000.0), 2)  # 8 x 3.30 USD over 3,600 s x 2,000 tokens x a load of 0.5
    7.33
    >>> round(usd_per_million(fleet, 2000.0, load=2 * fleet.load), 2)
    3.67
    """
    paid = cost.rent_usd_per_month(fleet.gpus, fleet.on_demand.typical if price is None else price)
    return float(cost.usd_per_million_tokens(paid, tokens_per_s * engine, fleet.load if load is None else load))


class Swing(NamedTuple):
    """One input at its low and high end, and the cost of a million tokens there, in USD."""

    item: str
    low: float
    high: float
    usd_low: float
    usd_high: float


def swings(fleet: PaidFleet, tokens_per_s: float, engine_factors: tuple[float, float]) -> list[Swing]:
    """Vary price, load and engine one at a time and say what a million tokens rented on demand cost then.

    Parameters
    ----------
    fleet : PaidFleet
        The GPUs, their price and load.
    tokens_per_s : float
        Output tokens a second at the busy hour.
    engine_factors : tuple of float
        Low and high end of the throughput over the predicted one.

    Returns
    -------
    list of Swing
        ``price`` in USD per GPU-hour, ``load`` from half to one and a half times its own, ``engine``; widest first.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> [swing.item for swing in swings(paid_fleet(default(), "H100 SXM", 8), 2000.0, (0.95, 1.05))]
    ['load', 'price', 'engine']
    """
    rent, load = fleet.on_demand, fleet.load
    base = {"price": rent.typical, "load": load, "engine": 1.0}
    ends = {"price": (rent.low, rent.high), "load": (0.5 * load, min(1.0, 1.5 * load)), "engine": engine_factors}
    return [Swing(*row) for row in cost.tornado(lambda x: usd_per_million(fleet, tokens_per_s, **x), base, ends)]


class Request(NamedTuple):
    """What one request costs on the own fleet and by an API, in USD, and the load at which both cost the same."""

    own_usd: float
    api_usd: float
    even_load: float


def request(customer: Customer, usd_per_million_output_tokens: float) -> Request | None:
    r"""Hold the customer's own fleet against the API that it named, for one of its requests.

    .. math:: b^* = b \, c_\mathrm{own} / c_\mathrm{API}

    Parameters
    ----------
    customer : Customer
        Lengths, load b, prices of the API.
    usd_per_million_output_tokens : float
        Cost of its own fleet, at its load.

    Returns
    -------
    Request or None
        None where no API was named.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> shop = default().model_copy(update={"api_usd_per_million_input_tokens": 0.0})
    >>> found = request(shop, 1.2)  # the API asks 0.9 for a million; the load is 0.5
    >>> round(1e6 * found.own_usd), round(1e6 * found.api_usd), round(found.even_load, 2)  # micro-USD; 0.5 x 1.2 / 0.9
    (614, 461, 0.67)
    """
    asked_out = customer.api_usd_per_million_output_tokens
    if not asked_out:
        return None
    asked_in = customer.api_usd_per_million_input_tokens or 0.0
    api = (asked_out * customer.output_tokens + asked_in * customer.prompt_tokens) / 1e6
    own = usd_per_million_output_tokens * customer.output_tokens / 1e6
    return Request(own, api, customer.busy_fraction * own / api)


def markets(customer: Customer) -> pd.DataFrame:
    """Lay out what an hour of each part that the book draws costs, by market and way to pay.

    Parameters
    ----------
    customer : Customer
        Horizon and load, for what owning costs.

    Returns
    -------
    DataFrame
        ``gpu market``; USD per GPU-hour ``on_demand``, ``spot`` with their ``_low`` and ``_high``, ``reserved`` and
        ``own``; ``providers`` counted and ``date``. Missing where nobody asks a price.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> prices = markets(default())
    >>> prices[prices.gpu == "H100 SXM"][["market", "on_demand", "spot"]].round(2).values.tolist()
    [['other', 3.3, 1.83], ['hyperscaler', 10.53, 3.69]]
    """
    rows = []
    for gpu in facts.drawn():
        own: dict[str, float | int | str] = {"own": _owned_usd_per_hour(gpu, customer)}
        for market in facts.MARKETS:
            asked = _asked(gpu, market, customer.as_of)
            reserved = {"reserved": (1 - _year_discount(customer, market)) * float(asked["on_demand"])}
            rows.append({"gpu": gpu, "market": market} | asked | reserved | own)
    return pd.DataFrame(rows)


def _year_discount(customer: Customer, market: str) -> float:
    """Return the typical discount for a year in a market, missing where no price is on file to hold it against."""
    try:
        return reserved_discount(customer.model_copy(update={"market": market}))[1]
    except InputError:
        return math.nan


def _asked(gpu: str, market: str, as_of: str) -> dict[str, float | int | str]:
    """Return the prices of a part in a market, on demand and on spot, missing where nobody asks one."""
    found: dict[str, float | int | str] = {}
    for tenure in ("on_demand", "spot"):
        try:
            p = facts.price(gpu, market, tenure, as_of)
        except InputError:
            found |= {tenure: math.nan, f"{tenure}_low": math.nan, f"{tenure}_high": math.nan}
            continue
        found |= {tenure: p.typical, f"{tenure}_low": p.low, f"{tenure}_high": p.high}
        found |= {"providers": p.count, "date": p.date} if tenure == "on_demand" else {}
    return found


def _owned_usd_per_hour(gpu: str, customer: Customer) -> float:
    """Return what a GPU-hour owned costs, missing where no server or price of it is on file."""
    try:
        o = at_site(ownership(gpu, customer.horizon_months), customer)
        return owned_month(o, customer.busy_fraction).usd_per_gpu_hour
    except InputError:
        return math.nan


#: Months of prices that are drawn.
HISTORY_MONTHS = 36
DAYS_A_MONTH = 365.25 / 12


def price_history(customer: Customer) -> pd.DataFrame:
    """Follow what the parts that the book draws rented for on demand, month by month, in the customer's market.

    Parameters
    ----------
    customer : Customer
        Market and day.

    Returns
    -------
    DataFrame
        ``x`` (months, 0 on the customer's day), ``y`` (USD per GPU-hour), ``series`` (the part) and ``providers``;
        months in which fewer than three providers had quoted within four months are left out.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> rows = price_history(default())
    >>> h100 = rows[rows.series == "H100"]
    >>> round(float(h100.y.min()), 2), round(float(h100.y.iloc[-1]), 2)  # the lowest, and now
    (2.26, 3.3)
    """
    today = pd.Timestamp(customer.as_of or facts.newest_price_date())
    rows = []
    for day in [*pd.date_range(end=today, periods=HISTORY_MONTHS, freq="ME"), today]:
        for part in facts.drawn():
            try:
                p = facts.price(part, customer.market, as_of=str(day.date()))
            except InputError:
                continue
            if p.count >= facts.FEW and facts.age_days(p.date, str(day.date())) <= facts.young_days():
                months = (day - today).days / DAYS_A_MONTH
                rows.append((months, p.typical, facts.gpu(part).short, p.count))
    return pd.DataFrame(rows, columns=["x", "y", "series", "providers"])


class MarketGap(NamedTuple):
    """How many times the price of the other clouds hyperscalers ask for the same part."""

    gpu: str
    ratio: float


def market_gap(prices: pd.DataFrame) -> MarketGap:
    """Compare the two markets by the part that most providers let.

    Parameters
    ----------
    prices : DataFrame
        From :func:`markets`.

    Returns
    -------
    MarketGap
        The part and the ratio of the medians.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> market_gap(markets(default())).gpu
    'H100 SXM'
    """
    gpu = str(prices.groupby("gpu", sort=False).providers.sum().idxmax())
    asked = prices[prices.gpu == gpu].set_index("market").on_demand
    return MarketGap(gpu, float(asked["hyperscaler"] / asked["other"]))


class SpotRun(NamedTuple):
    """A training run that could be rented on spot.

    Parameters
    ----------
    gpu, gpus : str, int
        The part and how many of it.
    checkpoint_bytes : float
        Bytes of a checkpoint.
    used : float
        Share of the year that such runs take.
    offers : mapping of str to Offer
        Ways to have the GPUs, by kind; without ``spot`` where none is to be had.
    """

    gpu: str
    gpus: int
    checkpoint_bytes: float
    used: float
    offers: Mapping[str, runs.Offer]


def spot_run(plan: Plan) -> SpotRun | None:
    """Return the run of a plan that could be rented on spot, with every offer for it.

    Parameters
    ----------
    plan : Plan
        The plan.

    Returns
    -------
    SpotRun or None
        None where nothing is trained or no rented cluster is in time.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> from hopperbook.planner import plan
    >>> list(spot_run(plan(default())).offers)
    ['on_demand', 'reserved', 'own', 'spot']
    """
    run = spot.run_alone(plan)
    if run is None:
        return None
    customer = plan.customer
    kept, lasts = runs.checkpoint_bytes(customer), runs.progress_days(customer, run)
    offers = {offer.kind: offer for offer in runs.offers(customer, run.gpu, int(run.gpus), lasts)}
    used = min(1.0, lasts * customer.trainings_per_year / YEAR_DAYS)
    return SpotRun(run.gpu, int(run.gpus), kept, used, offers)


def no_spot_words(customer: Customer, gpu: str, gpus: int) -> str:
    """Say why a run has no row on spot.

    Parameters
    ----------
    customer : Customer
        Market and day.
    gpu : str
        Name of the part.
    gpus : int
        GPUs of the run.

    Returns
    -------
    str
        A sentence without its full stop.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> no_spot_words(default(), "H100 NVL", 64)
    'On spot 1 provider lets H100 NVL, 1 at a time: too few for a run on 64'
    """
    try:
        price = market_price(customer, gpu, "spot")
    except InputError:
        return f"No price of {gpu} on spot is on file in your market"
    let = "1 provider lets" if price.count == 1 else f"{price.count} providers let"
    most = facts.largest_offer(gpu, price.market, price.tenure, customer.as_of)
    return f"On spot {let} {gpu}, {most} at a time: too few for a run on {units.integer(gpus)}"


def spot_borders(run: SpotRun) -> dict[str, float]:
    """Find the rates of interruptions from which on spot costs more than renting otherwise, where that is near.

    Parameters
    ----------
    run : SpotRun
        A run with a price on spot.

    Returns
    -------
    dict of float
        Losses a node and hour, by ``on_demand`` and, where it costs less than one and a half times as much, by
        ``reserved``; 0 where spot never pays, infinity where always.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> from hopperbook.planner import plan
    >>> found = spot_borders(spot_run(plan(default())))
    >>> {kind: round(rate, 1) for kind, rate in found.items()}  # losses a node and hour
    {'on_demand': 1.2}
    """
    usd, most = float(spot_usd(run, 0.0)), DEAREST_SHOWN * run.offers["on_demand"].typical
    others = {kind: run.offers[kind].typical for kind in ("on_demand", "reserved") if kind in run.offers}
    near = {kind: other for kind, other in others.items() if other < most}
    return {kind: spot.border(run.gpus, run.checkpoint_bytes, usd, other) for kind, other in near.items()}


def spot_usd(run: SpotRun, per_node_hour: ArrayLike) -> NDArray[np.float64]:
    r"""Price of an hour of progress on spot.

    .. math:: p \, u \, s(\lambda) / s(0)

    Parameters
    ----------
    run : SpotRun
        A run with a price on spot, p; the set-up of its servers is paid for as on demand, u hours for one of progress.
    per_node_hour : array
        Losses a node and hour, lambda; the stretch s is :func:`hopperbook.planner.spot.stretch`.

    Returns
    -------
    array
        USD an hour of progress and GPU.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> from hopperbook.planner import plan
    >>> run = spot_run(plan(default()))
    >>> spot_usd(run, np.array([0.0, 0.1, 0.5])).round(2).tolist()  # undisturbed: the price itself
    [1.83, 1.93, 2.37]
    """
    undisturbed = spot.stretch(run.gpus, run.checkpoint_bytes, 0.0)
    usd = run.offers["spot"].usd * run.offers["on_demand"].stretch
    return usd * spot.stretch(run.gpus, run.checkpoint_bytes, per_node_hour) / undisturbed


def spot_curve(run: SpotRun, per_month: NDArray[np.float64]) -> pd.DataFrame:
    """Lay out what an hour of progress costs by how often a node is lost, on spot and rented otherwise.

    Parameters
    ----------
    run : SpotRun
        A run with a price on spot.
    per_month : array
        Losses of a node a month, ascending.

    Returns
    -------
    DataFrame
        ``x y series``: losses a month, USD an hour of progress and GPU, and ``spot``, ``on_demand`` or ``reserved``;
        each as long as it costs less than one and a half times as much as on demand.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> from hopperbook.planner import plan
    >>> spot_curve(spot_run(plan(default())), np.array([0.1, 1.0])).series.tolist()  # a year costs far more
    ['spot', 'spot', 'on_demand', 'on_demand']
    """
    rates = per_month / MONTH_H
    paid, most = spot_usd(run, rates), DEAREST_SHOWN * run.offers["on_demand"].typical
    shown = paid < most
    rows = [("spot", rate, usd) for rate, usd in zip(rates[shown], paid[shown], strict=True)]
    rows += [(kind, rate, run.offers[kind].typical) for kind in spot_borders(run) for rate in (rates[0], rates[-1])]
    return pd.DataFrame([{"x": float(MONTH_H * rate), "y": float(usd), "series": kind} for kind, rate, usd in rows])


def spot_table(run: SpotRun) -> pd.DataFrame:
    """Lay out every offer for a run: the price of an hour, of an hour of progress, and of the run.

    Parameters
    ----------
    run : SpotRun
        The run.

    Returns
    -------
    DataFrame
        ``way hour stretch progress low high run date``: kind, USD per GPU-hour, hours paid for one of progress, USD an
        hour of progress with its range, USD a run. Reserved and owned GPUs are paid for all year.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> from hopperbook.planner import plan
    >>> offers = spot_table(spot_run(plan(default())))
    >>> offers.set_index("way").progress.round(2).to_dict()
    {'on_demand': 3.3, 'reserved': 401.42, 'own': 293.87, 'spot': 1.84}
    """
    rows = [
        {
            "way": offer.kind,
            "hour": offer.usd,
            "stretch": offer.stretch,
            "progress": offer.typical,
            "low": offer.low,
            "high": offer.high,
            "run": offer.usd_run,
            "date": offer.date,
        }
        for offer in run.offers.values()
    ]
    return pd.DataFrame(rows)


def offers_words(plan: Plan, run: SpotRun) -> str:
    """Say what the ranges of the offers are of, how much of the year the runs fill, and what the plan does.

    Parameters
    ----------
    plan : Plan
        The plan.
    run : SpotRun
        Its run, rented.

    Returns
    -------
    str
        Sentences below the table.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> from hopperbook.planner import plan
    >>> made = plan(default())
    >>> offers_words(made, spot_run(made)).split(". ")[-1]
    'The plan pays for none of these: it trains on the serving fleet, in its idle hours.'
    """
    words = "The range is that of prices"
    if "spot" in run.offers:
        words += "; on spot also that of interruptions, from the quoted band to the traces of V100"
    if run.gpus > facts.SERVER_GPUS:
        words += f". Rents include {units.percent(cluster_premium()[1])} more for InfiniBand between servers"
    used = units.percent(run.used)
    said = [f"{words}. Reserved and owned GPUs are paid for all year, and the runs take {used} of it."]
    if plan.training is not None and plan.training.tenure == "shared":
        said.append("The plan pays for none of these: it trains on the serving fleet, in its idle hours.")
    rows = plan.training_table
    rows = rows[(rows.tenure == "spot") & (rows.gpu == run.gpu) & (rows.gpus == run.gpus)]
    if "spot" in run.offers and len(rows):
        odds = float(rows.p_deadline.max())
        said.insert(1, f"On spot the chance to be in time is {units.odds(odds)}.")
    return " ".join(said)


class SpotFleet(NamedTuple):
    """Replicas to hold on spot so that enough of them run, how often a node is then lost, and the cost a month."""

    replicas: int
    lost_every_s: float
    usd_per_month: float


def spot_fleet(customer: Customer, gpu: str, gpus: int, needed: int, per_node_hour: float) -> SpotFleet | None:
    """Size a fleet on spot that answers nearly always, and price it.

    Parameters
    ----------
    customer : Customer
        Its market.
    gpu : str
        Name of the part.
    gpus : int
        GPUs of a replica.
    needed : int
        Replicas that the load needs.
    per_node_hour : float
        Losses a node and hour.

    Returns
    -------
    SpotFleet or None
        None where no price on spot is on file.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> spot_fleet(default(), "H100 SXM", 4, 4, 0.3).replicas
    9
    """
    try:
        price = market_price(customer, gpu, "spot")
    except InputError:
        return None
    replicas = spot.fleet_replicas(needed, per_node_hour)
    return SpotFleet(replicas, HOUR_S / per_node_hour, float(cost.rent_usd_per_month(replicas * gpus, price.typical)))


def spot_words(monthly: Mapping[str, float], middle: SpotFleet, traced: SpotFleet) -> str:
    """Say whether serving on spot costs less than every other way to have the fleet.

    Parameters
    ----------
    monthly : mapping of str to float
        USD a month by kind, from :func:`monthly_usd`.
    middle, traced : SpotFleet
        At the rate of losses assumed, and at that of the traces.

    Returns
    -------
    str
        A sentence.

    Examples
    --------
    >>> spot = SpotFleet(3, 3600.0, 16_000.0)
    >>> spot_words({"reserved": 13_100.0, "own": 9_140.0}, spot, spot)
    'Owning costs less and meets the target.'
    """
    least = min(monthly, key=lambda kind: monthly[kind])
    dearer = [fleet.usd_per_month >= monthly[least] for fleet in (middle, traced)]
    if all(dearer):
        return f"{WAYS[least]} costs less and meets the target."
    if any(dearer):
        return "Spot pays while nodes are lost as rarely as assumed, and not at the rate of the traces."
    return "Spot pays at either rate, if whole zones do not go at once."


def bounds() -> pd.DataFrame:
    """Hold what GPU clouds ask for each part that the book draws against what owning it costs, and power alone.

    Returns
    -------
    DataFrame
        ``gpu power own rent``: USD per GPU-hour under full load, a purchase spread over 48 months.

    Examples
    --------
    >>> lines = bounds()
    >>> lines.round(2).values.tolist()[1:]
    [['H100 SXM', 0.45, 1.5, 3.3], ['H200 SXM', 0.45, 1.59, 4.38]]
    """
    rows = []
    for gpu in facts.drawn():
        try:
            o = ownership(gpu, CHECK_MONTHS)
            rent = facts.price(gpu).typical
        except InputError:
            continue
        month = owned_month(o, 1.0)
        power = month.power_usd / o.gpus / MONTH_H
        rows.append({"gpu": gpu, "power": power, "own": month.usd_per_gpu_hour, "rent": rent})
    return pd.DataFrame(rows)
