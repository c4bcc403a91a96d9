r"""Whether prices decide: options held against each other under common price scenarios.

A price is log-normal over its 80 % range.  Two prices of one kind (both rented, both bought) rise and fall together,
as one seller's prices of two parts do; a rent and a purchase hardly.  A scenario draws one factor for each option:

.. math:: \ln A = \ln a + \sigma_A x,\qquad \ln B = \ln b + \sigma_B (\rho x + \sqrt{1 - \rho^2}\, y)
"""

from __future__ import annotations

import functools
from dataclasses import replace
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hopperbook import units
from hopperbook.customer import Customer
from hopperbook.planner.choose import Plan
from hopperbook.planner.configuration import Configuration
from hopperbook.planner.fleet import billed
from hopperbook.planner.odds import Z80
from hopperbook.planner.tenure import assumptions, tenures
from hopperbook.units import MONTH_H

RENTED = ("on_demand", "reserved")
#: Values of each of the two random factors.
SCENARIOS = 100


class Tie(NamedTuple):
    """Another option beside the recommendation, USD a month.

    ``cheaper`` is the probability that the recommendation costs less; ``regret_usd`` is what choosing it costs too much
    on average over all scenarios, ``other_regret_usd`` what choosing the other does.
    """

    row: Configuration
    cheaper: float
    regret_usd: float
    other_regret_usd: float

    @property
    def close(self) -> bool:
        """Whether prices do not decide: the recommendation is cheaper in fewer scenarios than asked."""
        return self.cheaper < assumptions("planner")["decided"]


def spread(row: Configuration) -> float:
    """Return the standard deviation of the logarithm of a configuration's price.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> from hopperbook.planner.choose import plan
    >>> round(spread(plan(default()).recommendation), 2)
    0.26
    """
    return price_spread(row.usd_low, row.usd_high)


def price_spread(low: float, high: float) -> float:
    r"""Return the standard deviation of the logarithm of a price from its 80 % range: :math:`\ln(h/l) / 2.563`.

    Examples
    --------
    >>> round(price_spread(2.42, 4.30), 2)
    0.22
    """
    return float(np.log(high / low) / (2 * Z80)) if low > 0 else 0.0


def correlation(first: Configuration, second: Configuration) -> float:
    """Return how far the prices of two configurations move together (``data/constants/planner.yaml``).

    Parameters
    ----------
    first, second : Configuration
        Two options.

    Returns
    -------
    float
        1 of one part had in one way; less of two parts, and least of a rent and a purchase.
    """
    if (first.gpu, first.tenure) == (second.gpu, second.tenure):
        return 1.0
    alike = (first.tenure in RENTED) == (second.tenure in RENTED)
    return assumptions("planner")["price_correlation_alike" if alike else "price_correlation_other"]


def p_cheaper(ratio: ArrayLike, spread: ArrayLike, other_spread: ArrayLike, rho: ArrayLike) -> NDArray[np.float64]:
    r"""Return the probability that one option costs less than another, both log-normal.

    .. math:: \Phi\!\left(\frac{\ln(b / a)}{\sqrt{\sigma_A^2 + \sigma_B^2 - 2 \rho \sigma_A \sigma_B}}\right)

    Parameters
    ----------
    ratio : float or array
        Cost of the other over that of the one, b / a.
    spread, other_spread : float or array
        Standard deviations of the logarithms of their prices.
    rho : float or array
        How far the two move together.

    Returns
    -------
    float or array
        Between 0 and 1; what :func:`tie` finds where training costs the same beside both.

    Examples
    --------
    >>> float(p_cheaper(1.1, 0.2, 0.2, 0.84).round(2)), float(p_cheaper(1.0, 0.2, 0.3, 0.2))
    (0.8, 0.5)
    """
    from scipy.special import ndtr

    a, b = np.asarray(spread, float), np.asarray(other_spread, float)
    apart = np.sqrt(np.maximum(a**2 + b**2 - 2 * np.asarray(rho) * a * b, 1e-18))
    return ndtr(np.log(np.asarray(ratio, float)) / apart)


@functools.cache
def _quantiles() -> NDArray[np.float64]:
    """Return values of a normal variable that are all as likely."""
    return np.array([NormalDist().inv_cdf((k + 0.5) / SCENARIOS) for k in range(SCENARIOS)])


def tie(first: Configuration, second: Configuration) -> Tie:
    """Hold two options against each other under common price scenarios.

    Parameters
    ----------
    first, second : Configuration
        The recommendation and another option; what training beside each costs more or less is not in doubt.

    Returns
    -------
    Tie
        Odds and regrets.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> from hopperbook.planner.choose import plan
    >>> made = plan(default())
    >>> found = tie(made.recommendation, made.runner_up)
    >>> round(found.cheaper, 2), found.close
    (0.65, True)
    """
    x, y, rho = _quantiles()[:, None], _quantiles()[None, :], correlation(first, second)
    more = second.training_usd - first.training_usd
    a = first.usd * np.exp(spread(first) * x)
    b = second.usd * np.exp(spread(second) * (rho * x + np.sqrt(1 - rho**2) * y)) + more
    saved = b - a
    cheaper = float((saved > 0).mean() + (saved == 0).mean() / 2)
    return Tie(second, cheaper, float(np.maximum(-saved, 0).mean()), float(np.maximum(saved, 0).mean()))


def ties(plan: Plan) -> list[Tie]:
    """Hold the recommendation against every other part that would do, and against other ways to have its own GPUs.

    Parameters
    ----------
    plan : Plan
        The plan.

    Returns
    -------
    list of Tie
        The closest first; empty where nothing is recommended.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> from hopperbook.planner.choose import plan
    >>> [(each.row.gpu, each.row.tenure, round(each.cheaper, 2)) for each in ties(plan(default()))[:2]]
    [('H200 SXM', 'own', 0.65), ('H100 SXM', 'reserved', 0.82)]
    """
    row = plan.recommendation
    if row is None:
        return []
    others = [other for part, other in plan.by_part.items() if part != row.gpu]
    found = [tie(row, other) for other in (*others, *other_ways(row, plan.customer))]
    return sorted(found, key=lambda each: (round(each.cheaper, 9), each.row.gpu, each.row.tenure))


def other_ways(row: Configuration, customer: Customer) -> list[Configuration]:
    """Return the same fleet had in each other way that the customer may choose.

    Parameters
    ----------
    row : Configuration
        A fleet.
    customer : Customer
        Market, horizon, owned GPUs.

    Returns
    -------
    list of Configuration
        Priced anew.
    """
    found = []
    for way in tenures(customer, row.gpu):
        if way.kind != row.tenure and (not way.limit or row.gpus <= way.limit):
            paid = int(billed(np.array([row.gpus]), np.array([way.kind]))[0])
            servers = -(-row.deployment.gpus // 8)
            low, usd, high = (
                MONTH_H * paid * float(way.usd_per_hour(end, servers)) for end in ("low", "typical", "high")
            )
            million = row.usd_per_million * usd / row.usd
            found.append(
                replace(
                    row, tenure=way.kind, billed_gpus=paid, usd_low=low, usd=usd, usd_high=high, usd_per_million=million
                )
            )
    return found


def choose_by(row: Configuration, other: Tie) -> str:
    """Say what would decide between the recommendation and an option that costs about as much.

    Parameters
    ----------
    row : Configuration
        The recommendation.
    other : Tie
        An option beside it.

    Returns
    -------
    str
        A phrase: what the other is better at, and what the recommendation is.
    """
    mine, theirs = _merits(row, other.row), _merits(other.row, row)
    said = [f"choose it for {', '.join(theirs)}"] if theirs else []
    said += [f"keep the recommendation for {', '.join(mine)}"] if mine else []
    return "; ".join(said) or "either will do"


def _merits(row: Configuration, other: Configuration) -> list[str]:
    """Return what a configuration is better at than another, by a tenth or more."""
    found = []
    if row.tpot_at_s < 0.9 * other.tpot_at_s:
        found.append(
            f"speed ({units.fixed(1e3 * row.tpot_at_s)} against {units.fixed(1e3 * other.tpot_at_s)} ms a token)"
        )
    if row.usd_high < 0.9 * other.usd_high:
        found.append(f"price risk ({units.money(row.usd_high)} at the worst against {units.money(other.usd_high)})")
    if row.headroom > other.headroom + 0.1:
        found.append(f"room to grow ({units.percent(row.headroom)} of the cache free)")
    if row.tenure in RENTED and other.tenure not in RENTED:
        found.append("freedom after the term")
    return found
