"""Cost of renting and of owning GPUs: per month, per million tokens, per training run, and when buying pays.

Pure functions of scalars or arrays; prices and their ranges come from ``facts`` or from the customer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hopperbook.errors import InputError
from hopperbook.units import MONTH_H, MONTH_S

Floats = NDArray[np.float64]


def positive(name: str, value: float) -> float:
    """Return a price that can be used, or refuse it.

    Parameters
    ----------
    name : str
        What the price is of.
    value : float
        USD.

    Returns
    -------
    float
        The price.

    Raises
    ------
    InputError
        If it is zero, negative or not finite.

    Examples
    --------
    >>> positive("h100_usd_per_hour", 2.5)
    2.5
    """
    if not np.isfinite(value) or value <= 0:
        raise InputError(name, value, "a price above zero; leave it out to use the published ones")
    return float(value)


def billed(gpus: NDArray[np.int_], tenure: NDArray[np.str_]) -> NDArray[np.int_]:
    """Return the GPUs that are paid for: servers are bought whole; rented GPUs come by 1, 2, 4, 8 and then nodes.

    Parameters
    ----------
    gpus : ndarray of int
        GPUs needed.
    tenure : ndarray of str
        How they are had.

    Returns
    -------
    ndarray of int
        GPUs billed.

    Examples
    --------
    >>> billed(np.array([3, 12, 2]), np.array(["on_demand", "on_demand", "own"])).tolist()
    [4, 16, 8]
    """
    node = -(-gpus // 8) * 8
    small = 2 ** np.ceil(np.log2(np.maximum(gpus, 1))).astype(int)
    return np.where((tenure == "own") | (gpus > 8), node, np.minimum(small, node))


def rent_usd_per_month(gpus: ArrayLike, usd_per_gpu_hour: float | Floats) -> Floats:
    r"""Cost of GPUs rented around the clock.

    .. math:: 730 \, n \, p

    Parameters
    ----------
    gpus : int or array
        GPUs, n.
    usd_per_gpu_hour : float or array
        Price, p.

    Returns
    -------
    float or array
        USD a month of 730 hours.

    Examples
    --------
    >>> float(rent_usd_per_month(8, 2.5))
    14600.0
    """
    return MONTH_H * np.asarray(gpus, dtype=float)[()] * usd_per_gpu_hour


@dataclass(frozen=True)
class Ownership:
    """What owning a server of GPUs costs beside its price.

    Parameters
    ----------
    server_usd : float
        Purchase of one server, with its share of network.
    gpus : int
        GPUs in it.
    power_w : float
        Power of the server under full load: what its electricity goes by.
    pue : float
        Power of the site over power of the machines.
    space_usd_per_kw_month : float
        Colocation without electricity, a kW reserved.
    usd_per_kwh : float
        Electricity.
    months : int
        Months until it is sold or written off.
    residual_fraction : float
        Share of the purchase that it still fetches then.
    interest_per_year : float
        Cost of the money tied up.
    care_fraction_per_year : float
        Maintenance and staff a year, as a share of the purchase.
    resale_at_once : float
        Share of the purchase that the server fetches right after it was bought.
    idle_power_fraction : float
        Power of a server that waits over its full power.
    reserved_w : float
        Power that the site holds ready for it, as rated: what its space goes by; 0 = as much as under full load.
    """

    server_usd: float
    gpus: int
    power_w: float
    pue: float
    space_usd_per_kw_month: float
    usd_per_kwh: float
    months: int
    residual_fraction: float
    interest_per_year: float
    care_fraction_per_year: float
    resale_at_once: float
    idle_power_fraction: float
    reserved_w: float = 0.0


def own_usd_per_month(o: Ownership, servers: ArrayLike = 1, load: ArrayLike = 1.0) -> Floats:
    r"""Cost of owning servers, spread over their months.

    .. math:: n\left[\frac{P (1 - r)}{m} + \frac{i}{12}\frac{P (1 + r)}{2} + \frac{c P}{12}
              + k W_r + 730\, e\, \mathrm{PUE}\, W (w + (1 - w)\,\ell)\right]

    Parameters
    ----------
    o : Ownership
        Prices and powers: space for the power reserved, W_r, electricity for the power under load, W.
    servers : int or array
        Servers, n.
    load : float or array
        Mean load, l; an idle server draws the share w of its full power.

    Returns
    -------
    float or array
        USD a month.

    Examples
    --------
    >>> o = Ownership(280000, 8, 8000, 1.3, 195, 0.085, 48, 0.2, 0.08, 0.05, 0.8, 0.35)
    >>> round(float(own_usd_per_month(o)))
    9159
    """
    depreciation = o.server_usd * (1 - o.residual_fraction) / o.months
    interest = o.interest_per_year / 12 * o.server_usd * (1 + o.residual_fraction) / 2
    care = o.care_fraction_per_year / 12 * o.server_usd
    return np.asarray(servers, dtype=float)[()] * (depreciation + interest + care + power_usd_per_month(o, load))


def lease_usd_per_month(price_usd: float, months: int, rate_per_year: float, residual_fraction: float) -> float:
    r"""Cost of leasing a server that goes back at the end.

    .. math:: \left(P - \frac{r P}{(1 + j)^m}\right) \frac{j}{1 - (1 + j)^{-m}}, \qquad j = i / 12

    Parameters
    ----------
    price_usd : float
        What the lessor pays for it, P.
    months : int
        Term, m.
    rate_per_year : float
        What the lessor asks for its money, i.
    residual_fraction : float
        Share of the price that the lessor counts on at the end, r.

    Returns
    -------
    float
        USD a month, without power, space and care.

    Examples
    --------
    >>> round(lease_usd_per_month(280000, 36, 0.12, 0.0)), round(lease_usd_per_month(280000, 36, 0.12, 0.3))
    (9300, 7350)
    """
    monthly = rate_per_year / 12
    spread = monthly / (1 - (1 + monthly) ** -months) if monthly else 1 / months
    return price_usd * (1 - residual_fraction / (1 + monthly) ** months) * spread


def power_usd_per_month(o: Ownership, load: ArrayLike = 1.0) -> Floats:
    """Cost of power and space of one server a month: space by the power reserved, electricity by the power drawn.

    Parameters
    ----------
    o : Ownership
        Powers and prices.
    load : float or array
        Mean load.

    Returns
    -------
    float or array
        USD a month.

    Examples
    --------
    >>> float(power_usd_per_month(Ownership(280000, 8, 8000, 1.3, 195, 0.085, 48, 0.2, 0.08, 0.05, 0.8, 0.35)))
    2205.32
    >>> rated = Ownership(280000, 8, 8000, 1.3, 195, 0.085, 48, 0.2, 0.08, 0.05, 0.8, 0.35, reserved_w=10000)
    >>> float(power_usd_per_month(rated)) - 2205.32  # 2 kW more reserved at USD 195
    390.0
    """
    full_kw = o.power_w / 1e3
    idle = o.idle_power_fraction
    mean_kw = full_kw * (idle + (1 - idle) * np.asarray(load, dtype=float)[()])
    space_kw = o.reserved_w / 1e3 or full_kw
    return o.space_usd_per_kw_month * space_kw + MONTH_H * o.usd_per_kwh * o.pue * mean_kw


def usd_per_million_tokens(
    usd_per_month: ArrayLike, tokens_per_s: float | Floats, busy_fraction: ArrayLike = 1.0
) -> Floats:
    r"""Cost of a million tokens of a system that is paid for around the clock.

    .. math:: \frac{10^6 \, C}{2{,}628{,}000 \, b \, r}

    Parameters
    ----------
    usd_per_month : float or array
        Cost, C.
    tokens_per_s : float or array
        Tokens a second at the busy hour, r.
    busy_fraction : float or array
        Mean load over the busy hour's load, b.

    Returns
    -------
    float or array
        USD.

    Examples
    --------
    >>> float(round(usd_per_million_tokens(14600, 2500, 0.5), 2))
    4.44
    """
    return 1e6 * np.asarray(usd_per_month, dtype=float)[()] / (MONTH_S * np.asarray(busy_fraction) * tokens_per_s)


def usd_per_run(gpus: ArrayLike, usd_per_gpu_hour: float | Floats, run_s: ArrayLike) -> Floats:
    """Cost of a training run on rented GPUs.

    Parameters
    ----------
    gpus : int or array
        GPUs.
    usd_per_gpu_hour : float or array
        Price.
    run_s : float or array
        Duration, failures and checkpoints included.

    Returns
    -------
    float or array
        USD.

    Examples
    --------
    >>> float(usd_per_run(64, 2.5, 10 * 86400))
    38400.0
    """
    return np.asarray(gpus, dtype=float)[()] * usd_per_gpu_hour * np.asarray(run_s, dtype=float)[()] / 3600.0


def cumulative_usd(
    o: Ownership, servers: int, usd_per_gpu_hour: float, months: ArrayLike, load: float = 1.0, gpus: int = 0
) -> tuple[Floats, Floats]:
    r"""Money that owning and renting have cost by each month, owning net of what the servers would still fetch.

    .. math:: C_{own}(m) = n\left[P\left(1 - r_0 (r/r_0)^{m/M}\right) + R m\right], \qquad C_{rent}(m) = 730\, g\, p\, m

    Parameters
    ----------
    o : Ownership
        Prices and powers; resale falls from ``resale_at_once`` to ``residual_fraction``, r, in ``months``, M.
    servers : int
        Servers owned, n.
    usd_per_gpu_hour : float
        Price of renting, p.
    months : array
        Months since the start.
    load : float
        Mean load.
    gpus : int
        GPUs rented instead, g; all of the servers' if 0.

    Returns
    -------
    tuple of arrays
        (owning, renting) in USD.

    Examples
    --------
    >>> o = Ownership(280000, 8, 8000, 1.3, 195, 0.085, 48, 0.2, 0.08, 0.05, 0.8, 0.35)
    >>> own, rent = cumulative_usd(o, 1, 2.5, np.array([0, 12]))
    >>> (own / 1e3).round(1).tolist(), (rent / 1e3).round(1).tolist()  # thousand USD; at once 280 x (1 - 0.8) = 56
    ([56.0, 175.5], [0.0, 175.2])
    """
    months = np.asarray(months, dtype=float)
    running = own_usd_per_month(o, 1, load) - o.server_usd * (1 - o.residual_fraction) / o.months
    fetched = o.resale_at_once * (o.residual_fraction / o.resale_at_once) ** (months / o.months)
    lost = o.server_usd * (1 - fetched)
    rent = rent_usd_per_month(gpus or o.gpus * servers, usd_per_gpu_hour)
    return servers * (lost + running * months), rent * months


def break_even_month(
    o: Ownership, servers: int, usd_per_gpu_hour: float, load: float = 1.0, gpus: int = 0, most: int = 120
) -> float:
    """Month from which owning has cost less than renting, what the servers still fetch counted.

    Parameters
    ----------
    o : Ownership
        Prices and powers.
    servers : int
        Servers owned.
    usd_per_gpu_hour : float
        Price of renting.
    load : float
        Mean load.
    gpus : int
        GPUs rented instead; all of the servers' if 0.
    most : int
        Months after which it counts as never.

    Returns
    -------
    float
        Months, to a tenth; infinity where it never pays.

    Examples
    --------
    >>> o = Ownership(280000, 8, 8000, 1.3, 195, 0.085, 48, 0.2, 0.08, 0.05, 0.8, 0.35)
    >>> break_even_month(o, 1, 2.5), break_even_month(o, 1, 0.4)  # at USD 0.40 renting stays cheaper
    (12.1, inf)
    """
    months = np.arange(1, 10 * most + 1) / 10
    own, rent = cumulative_usd(o, servers, usd_per_gpu_hour, months, load, gpus)
    pays = np.flatnonzero(own <= rent)
    return float(months[pays[0]]) if len(pays) else float("inf")


def tornado(
    cost_of: Callable[[Mapping[str, float]], float], base: Mapping[str, float], ends: Mapping[str, tuple[float, float]]
) -> list[tuple[str, float, float, float, float]]:
    """Vary one input at a time and list what moves the cost most.

    Parameters
    ----------
    cost_of : callable
        Cost of a mapping of inputs.
    base : mapping
        Inputs as planned.
    ends : mapping
        Low and high end of each input varied.

    Returns
    -------
    list of tuple
        (input, low end, high end, cost at low end, cost at high end), the widest first.

    Examples
    --------
    >>> tornado(lambda x: x["a"] + 10 * x["b"], {"a": 1, "b": 1}, {"a": (0, 2), "b": (0, 2)})[0][0]
    'b'
    """
    rows = []
    for name, (low, high) in ends.items():
        rows.append((name, low, high, cost_of({**base, name: low}), cost_of({**base, name: high})))
    return sorted(rows, key=lambda row: -abs(row[4] - row[3]))
