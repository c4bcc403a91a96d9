"""What GPUs cost to rent, buy, house and power: dated ranges computed from the sourced rows of ``data/``.

Rental: two markets are kept apart, since hyperscalers ask three to four times what others do.  A provider has one vote,
the median of its newest quotes, and the youngest quotes count: those of the last four months, or of as long before as
it takes to hear three providers.  Costs: a row votes with its weight (3 data sheets, surveys and measured logs; 2 dated
lists; 1 web pages; 0 kept for the record only).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hopperbook.errors import InputError
from hopperbook.facts.parts import System, gpu, system, systems
from hopperbook.facts.tables import read_yaml, table
from hopperbook.later import pandas as pd

MARKETS = ("other", "hyperscaler")
TENURES = ("on_demand", "spot", "marketplace", "reserved_1y", "reserved_3y")
QUANTILES = (0.1, 0.5, 0.9)
FEW = 3  # below this many providers the range is that of their rows
SERVER_GPUS = 8


@dataclass(frozen=True)
class Price:
    """What one GPU rents for, in USD per GPU-hour, with the dates of the snapshots and the number of providers."""

    gpu: str
    market: str
    tenure: str
    low: float
    typical: float
    high: float
    date: str
    count: int
    rows: int
    source: str


@dataclass(frozen=True)
class Range:
    """A cost fact as low, typical and high, with its unit, dates and sources."""

    item: str
    of: str
    low: float
    typical: float
    high: float
    unit: str
    date: str
    count: int
    source: str
    note: str = ""


def _dates(values: Sequence[str]) -> str:
    dated = sorted({value for value in values if value[:1].isdigit()})
    if not dated:
        return "undated"
    return dated[0] if len(dated) == 1 else f"{dated[0]} to {dated[-1]}"


def _sources(values: Sequence[str]) -> str:
    return ", ".join(sorted(set(values)))


def young_days() -> float:
    """Return for how many days a rental quote votes, from ``data/constants/cost.yaml``.

    Examples
    --------
    >>> young_days()
    120.0
    """
    return float(read_yaml("constants/cost.yaml")["young_days"]["value"])


@cache
def _quotes() -> pd.DataFrame:
    """Return every rental quote with the day it was last seen, and numbers of that day and of its provider."""
    rows = table("prices")
    day = pd.to_datetime(rows.date_until.where(rows.date_until != "", rows.date), format="ISO8601")
    number = day.to_numpy("datetime64[D]").astype(np.int64)
    return rows.assign(day=day, day_number=number, provider_number=pd.factorize(rows.provider)[0])


@cache
def newest_price_date() -> str:
    """Return the day of the newest rental quote on file, ``YYYY-MM-DD``.

    Examples
    --------
    >>> newest_price_date()
    '2026-08-23'
    """
    return str(_quotes().day.max().date())


def age_days(dates: str, as_of: str) -> int:
    """Return how old the newest of some dates is on a day.

    Parameters
    ----------
    dates : str
        A date, or ``first to last``, as a price carries it.
    as_of : str
        The day.

    Returns
    -------
    int
        Days.

    Examples
    --------
    >>> age_days("2026-01-29 to 2026-03-03", "2026-08-23")
    173
    """
    return int((pd.Timestamp(as_of) - pd.Timestamp(dates.split(" to ")[-1])).days)


def young(rows: Quotes, as_of: str) -> NDArray[np.bool_]:
    """Say which quotes vote on a day: each provider's newest, of the last months, or longer where few are.

    Parameters
    ----------
    rows : mapping of str to ndarray
        Quotes, with ``provider_number`` and ``day_number``.
    as_of : str
        The day; later quotes are not known yet.

    Returns
    -------
    ndarray of bool
        One a quote.
    """
    provider, day = rows["provider_number"], rows["day_number"]
    newest = np.full(int(provider.max(initial=0)) + 1, _NEVER)
    today = int(np.datetime64(as_of, "D").astype(np.int64))
    np.maximum.at(newest, provider[day <= today], day[day <= today])
    reach, heard = young_days(), int((newest > _NEVER).sum())
    while (newest >= today - reach).sum() < min(FEW, heard):
        reach *= 2
    return (day == newest[provider]) & (day >= today - reach)


#: A day before all others, for a provider who had not quoted.
_NEVER = np.iinfo(np.int64).min // 2


def _summary(quotes: NDArray[np.float64], provider: NDArray[np.int64]) -> tuple[float, float, float]:
    votes = [np.median(quotes[provider == each]) for each in np.unique(provider)]
    low, typical, high = np.quantile(votes, QUANTILES)
    if len(votes) < FEW:
        low, high = quotes.min(), quotes.max()
    return round(float(low), 4), round(float(typical), 4), round(float(high), 4)


Key = tuple[str, str, str]
Quotes = Mapping[str, NDArray[Any]]


@cache
def _by_key() -> dict[Key, Quotes]:
    """Return the quotes of each part, market and tenure, column by column."""
    rows = _quotes()
    column = {name: rows[name].to_numpy() for name in ("provider_number", "day_number", "source")}
    column |= {"usd": rows.usd_per_gpu_hour.to_numpy(float), "gpus": rows.gpus.to_numpy(int)}
    groups = rows.groupby(["gpu", "market", "tenure"], sort=True).indices.items()
    return {tuple(map(str, key)): {name: all_[at] for name, all_ in column.items()} for key, at in groups}  # type: ignore[misc]


@cache
def _asked(key: Key, as_of: str) -> Price | None:
    """Return a price as its own quotes have it; none where nobody had quoted."""
    rows = _by_key().get(key, {})
    votes = young(rows, as_of) if rows else np.zeros(0, bool)
    if not votes.any():
        return None
    day, provider = rows["day_number"][votes].astype("datetime64[D]"), rows["provider_number"][votes]
    prices = _summary(rows["usd"][votes], provider)
    sources = _sources(list(rows["source"][votes]))
    return Price(*key, *prices, _dates(day.astype(str).tolist()), len(np.unique(provider)), len(provider), sources)


@cache
def _known(key: Key, as_of: str) -> Price | None:
    """Return a price, one of one or two sellers as wide as that of the part with most in the same market."""
    found = _asked(key, as_of)
    if found is None or found.count >= FEW:
        return found
    alike = [_asked(other, as_of) for other in _by_key() if other[1:] == key[1:]]
    most = max((each for each in alike if each is not None), key=lambda each: each.count)
    if most.count < FEW:
        return found
    low, high = (round(found.typical * end / most.typical, 4) for end in (most.low, most.high))
    return replace(found, low=min(found.low, low), high=max(found.high, high))


def forget() -> None:
    """Forget every quote and what was made of it: the file of prices has changed."""
    for kept in (_quotes, newest_price_date, _by_key, _asked, _known):
        kept.cache_clear()


def price(name: str, market: str = "other", tenure: str = "on_demand", as_of: str = "") -> Price:
    """Return what a GPU rents for, per GPU-hour, over the providers of one market.

    The typical price is the median over providers of each provider's median; low and high are the 10th and 90th
    percentiles (with fewer than three providers: as wide as those of the part with most, or as all their rows).

    Parameters
    ----------
    name : str
        A GPU's name or alias.
    market : str
        ``other`` or ``hyperscaler`` (AWS, Azure, Google, Oracle).
    tenure : str
        ``on_demand``, ``spot``, ``marketplace``, ``reserved_1y`` or ``reserved_3y``.
    as_of : str
        The day on which prices are asked; that of the newest quote by default.

    Returns
    -------
    Price
        USD per GPU-hour.

    Raises
    ------
    InputError
        For an unknown GPU, market or tenure; and where nobody's price is on file, asking for the customer's own.

    Examples
    --------
    >>> round(price("H100 SXM", "hyperscaler").typical, 2), round(price("H100 SXM").typical, 2)
    (10.53, 3.3)
    """
    part = gpu(name).name
    if market not in MARKETS:
        raise InputError("market", market, " or ".join(MARKETS), MARKETS)
    if tenure not in TENURES:
        raise InputError("tenure", tenure, ", ".join(TENURES), TENURES)
    day = as_of or newest_price_date()
    found = _known((part, market, tenure), day)
    if found is None:
        known = [f"{t} in the market {m}" for g, m, t in _by_key() if g == part and _known((g, m, t), day)]
        allowed = f"a price that you give yourself, since none of {part} ({tenure}, market {market}) is on file"
        raise InputError("price", None, allowed + (f"; on file: {', '.join(known)}" if known else ""))
    return found


def largest_offer(name: str, market: str = "other", tenure: str = "on_demand", as_of: str = "") -> int:
    """Return the most GPUs that one of the quotes behind a price is for.

    Parameters
    ----------
    name, market, tenure, as_of : str
        As of :func:`price`.

    Returns
    -------
    int
        GPUs of one offer; 0 where nobody's price is on file.

    Examples
    --------
    >>> largest_offer("H100 SXM"), largest_offer("H100 NVL", tenure="spot")  # a whole server; one card at a time
    (8, 1)
    """
    rows = _by_key().get((gpu(name).name, market, tenure), {})
    votes = young(rows, as_of or newest_price_date()) if rows else np.zeros(0, bool)
    return int(rows["gpus"][votes].max()) if votes.any() else 0


def price_summary(as_of: str = "") -> pd.DataFrame:
    """Return every rental price range on file.

    Parameters
    ----------
    as_of : str
        The day on which prices are asked; that of the newest quote by default.

    Returns
    -------
    pandas.DataFrame
        Columns gpu, market, tenure, low, typical, high (USD per GPU-hour), date, count (providers), rows, source.

    Examples
    --------
    >>> sorted(set(price_summary().market))
    ['hyperscaler', 'other']
    """
    day = as_of or newest_price_date()
    return pd.DataFrame([vars(found) for key in _by_key() if (found := _known(key, day)) is not None])


def _weighted(values: NDArray[np.float64], weights: NDArray[np.float64]) -> tuple[float, float, float]:
    order = np.argsort(values, kind="stable")
    share = np.cumsum(weights[order]) / weights.sum()
    picks = [values[order][np.searchsorted(share, q - 1e-12)] for q in QUANTILES]
    return float(picks[0]), float(picks[1]), float(picks[2])


def _votes(rows: pd.DataFrame) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    points = rows[["low", "typical", "high"]]
    filled = points.apply(lambda column: column.fillna(rows.typical))
    return filled.to_numpy(float).ravel(), np.repeat(rows.weight.to_numpy(float) / 3, 3)


@cache
def cost(item: str, of: str = "") -> Range:
    """Return a cost fact as a range: weighted 10th percentile, median and 90th percentile of its rows.

    Each row votes with its weight, a third each on its low, typical and high (missing ones count as typical).

    Parameters
    ----------
    item : str
        Such as ``server_purchase_usd``, ``colocation_usd_per_kw_month``, ``pue``, ``reserved_discount_1y``.
    of : str
        Which one, where an item has several: a system, a GPU, a number of switch tiers.

    Returns
    -------
    Range
        In the unit that it names; fractions between 0 and 1.

    Raises
    ------
    InputError
        For an unknown item, or one that needs another ``of``.

    Examples
    --------
    >>> pue = cost("pue")
    >>> round(pue.low, 2), round(pue.typical, 2), round(pue.high, 2), pue.unit  # 1.58: the world's mean in 2023
    (1.15, 1.3, 1.58, 'ratio')
    >>> cost("network_usd_per_node", "2 tiers").typical
    33980.0
    """
    costs = table("costs")
    if item not in set(costs["item"]):
        raise InputError("cost item", item, "an item of data/costs.csv", sorted(set(costs["item"])))
    rows = costs[costs["item"] == item]
    kinds = sorted(set(rows["of"]))
    rows = rows[(rows["of"] == of) & (rows.weight > 0)]
    if rows.empty:
        allowed = f"one of {', '.join(kind or 'nothing' for kind in kinds)} for the item {item}"
        raise InputError("of", of, allowed, kinds)
    return _range(item, of, rows)


def _range(item: str, of: str, rows: pd.DataFrame) -> Range:
    """Return what rows of a cost fact say together."""
    low, typical, high = _weighted(*_votes(rows))
    note = "; ".join(dict.fromkeys(text for text in rows.note if text))
    dates, sources = _dates(list(rows.date)), _sources(list(rows.source))
    return Range(item, of, low, typical, high, str(rows.unit.iloc[0]), dates, len(rows), sources, note)


def scaled(base: Range, by: Range, factor: float, unit: str, note: str) -> Range:
    """Return the product of two ranges and a factor, low with low and high with high.

    Parameters
    ----------
    base, by : Range
        What is multiplied; item and ``of`` are those of ``base``.
    factor : float
        A number besides.
    unit : str
        Unit of the product.
    note : str
        How it was derived.

    Returns
    -------
    Range
        Widest range of the product.

    Examples
    --------
    >>> r = Range("x", "", 1, 2, 3, "W", "2024", 1, "a")
    >>> scaled(r, r, 10, "W", "").high
    90
    """
    low, typical, high = (factor * a * b for a, b in zip(_points(base), _points(by), strict=True))
    dates = _dates([*base.date.split(" to "), *by.date.split(" to ")])
    sources = _sources([*base.source.split(", "), *by.source.split(", ")])
    return Range(base.item, base.of, low, typical, high, unit, dates, min(base.count, by.count), sources, note)


def _points(value: Range) -> tuple[float, float, float]:
    return value.low, value.typical, value.high


def _offers(item: str, of: str) -> Range:
    """Return a purchase price over the offers of the last years, as wide as a market with several sellers.

    One or two sellers tell nothing of a market's spread: their range is widened to that of the part with most offers.
    """
    costs = table("costs")
    rows = costs[(costs["item"] == item) & (costs["of"] == of) & (costs.weight > 0)]
    months = int(read_yaml("constants/cost.yaml")["offer_months"]["value"])
    oldest = pd.Timestamp(newest_price_date()) - pd.DateOffset(months=months)
    late = rows[pd.to_datetime(rows.date, format="ISO8601", errors="coerce") >= oldest]
    found = _range(item, of, late if len(late) else rows)
    if found.count >= FEW:
        return found
    most = costs[(costs["item"] == item) & (costs.weight > 0)].groupby("of").size().idxmax()
    if most == of:
        return found
    known = _offers(item, str(most))
    low, high = (found.typical * end / known.typical for end in (known.low, known.high))
    note = f"{found.note}; {found.count} seller{'s' if found.count > 1 else ''}: as wide as the prices of {most}"
    return replace(found, low=min(found.low, low), high=max(found.high, high), note=note)


def _has(item: str, of: str) -> bool:
    costs = table("costs")
    return bool(((costs["item"] == item) & (costs["of"] == of) & (costs.weight > 0)).any())


def _rated_w(server: System) -> Range:
    if server.rated_power_w is not None:
        watts = float(server.rated_power_w)
        return Range("rated_power_w", server.name, watts, watts, watts, "W", "undated", 1, server.source)
    part = gpu(server.gpu)
    tdp = Range("rated_power_w", server.name, part.tdp_w, part.tdp_w, part.tdp_w, "W", "undated", 1, part.source)
    return scaled(tdp, cost("rated_power_over_gpu_tdp"), server.gpus, "W", "TDP of the GPUs x server over GPUs")


@cache
def node_power(name: str) -> Range:
    """Return the power that a server draws in training: measured where it was, else a share of its rated power.

    Parameters
    ----------
    name : str
        A server of ``data/systems.yaml``.

    Returns
    -------
    Range
        Watts at the server's plug, without the building's overhead (PUE).

    Raises
    ------
    InputError
        For an unknown server.

    Examples
    --------
    >>> h100, h200 = node_power("DGX H100"), node_power("DGX H200")
    >>> round(h100.typical / 1e3, 2), round(h200.typical / 1e3, 2)  # kW of 10.2 rated: measured, and as a share
    (7.75, 7.65)
    """
    server = system(name)
    if server.gpus == SERVER_GPUS and server.nvswitches and _has("node_power_w", server.gpu):
        return cost("node_power_w", server.gpu)
    share = cost("training_power_share_of_rated")
    return scaled(_rated_w(server), share, 1.0, "W", "share of the rated power of the server that training draws")


@cache
def purchase(name: str) -> Range:
    """Return what a server costs to buy, without network and support.

    Its own listed prices where there are some; else those of a server with the same GPUs; else the GPUs' prices times
    the ratio of a server to its GPUs.

    Parameters
    ----------
    name : str
        A server of ``data/systems.yaml``.

    Returns
    -------
    Range
        USD per server; ``note`` says which way was taken.

    Raises
    ------
    InputError
        For an unknown server, or where no price is on file, asking for the customer's own.

    Examples
    --------
    >>> round(purchase("DGX H100").typical, -3)  # 41,217 x 8 as listed
    330000.0
    >>> round(purchase("DGX H200").typical, -3), purchase("DGX H200").note[:18]
    (313000.0, 'prices of HGX H200')
    """
    server = system(name)
    if _has("server_purchase_usd", server.name):
        return _offers("server_purchase_usd", server.name)
    for other in systems().values():
        same = (other.gpu, other.gpus) == (server.gpu, server.gpus)
        if same and _has("server_purchase_usd", other.name):
            found = _offers("server_purchase_usd", other.name)
            return replace(found, of=server.name, note=f"prices of {other.name}: {found.note}")
    if _has("gpu_purchase_usd", server.gpu):
        note = f"{server.gpus} GPUs x the ratio of a server's price to that of its GPUs"
        found_gpu = _offers("gpu_purchase_usd", server.gpu)
        return scaled(found_gpu, cost("server_over_gpu_price"), server.gpus, "USD", note)
    allowed = f"a price that you give yourself, since none of {server.name} or its GPUs is on file"
    raise InputError("purchase price", None, allowed)


def finite(value: object) -> object:
    """Return a value, or None in place of a number that is not finite.

    Parameters
    ----------
    value : object
        Anything.

    Returns
    -------
    object
        The value as JSON can hold it.

    Examples
    --------
    >>> finite(float("nan")) is None, finite(2.0), finite("a")
    (True, 2.0, 'a')
    """
    return None if isinstance(value, float) and not math.isfinite(value) else value
