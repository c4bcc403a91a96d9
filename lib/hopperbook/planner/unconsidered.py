"""The parts that a plan did not choose from, and what one of them would cost by a wide estimate."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from hopperbook import facts, reads, units
from hopperbook.customer import Customer
from hopperbook.errors import InputError
from hopperbook.planner import choose, fleet, train
from hopperbook.planner.odds import SURE
from hopperbook.planner.standing import standing_parts
from hopperbook.planner.tenure import Tenure, server_of, tenures


class Estimate(NamedTuple):
    """What a part that did not stand would cost a month: GPUs and USD, or why there is no figure."""

    gpu: str
    gpus: int
    usd_low: float
    usd_high: float
    reason: str


def not_considered(customer: Customer) -> tuple[str, ...]:
    """Return the parts on file that a plan does not choose from, in the order of ``data/gpus.yaml``.

    Parameters
    ----------
    customer : Customer
        Who chose, or left it to the book.

    Returns
    -------
    tuple of str
        Names.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> missing = not_considered(default())
    >>> "B200 SXM" in missing, "H200 SXM" in missing
    (True, False)
    """
    standing = standing_parts(customer)
    return tuple(str(row["name"]) for row in facts.records("gpus") if row["name"] not in standing)


def next_best(customer: Customer) -> str | None:
    """Return the part most worth a look among those that do not stand.

    Of the parts with at least the arithmetic of all that stand, the one that most providers of the customer's market
    rent out; where there is none, the same among the rest. Parts that do not run CUDA are context only.

    Parameters
    ----------
    customer : Customer
        Market and parts.

    Returns
    -------
    str or None
        None where no other part has a price.

    Examples
    --------
    >>> from hopperbook.customer import check, default
    >>> next_best(default()), next_best(check({"name": "A", "model": "llama-3.1-8b", "parts": "L40S, B200"}))
    ('B200 SXM', 'B300 SXM')
    """

    def flop_per_s(name: str) -> float:
        return facts.gpu(name).dense_flop_per_s["bf16"]

    sellers = {}
    for name in (name for name in not_considered(customer) if facts.gpu(name).cuda):
        try:
            sellers[name] = facts.price(name, customer.market).count
        except InputError:
            continue
    most = max(map(flop_per_s, standing_parts(customer)))
    pool = {name: count for name, count in sellers.items() if flop_per_s(name) >= most} or sellers
    return max(pool, key=lambda name: (pool[name], -flop_per_s(name))) if pool else None


@reads.lru_cache(maxsize=64)
def estimate(customer: Customer, part: str) -> Estimate:
    """Estimate what serving and training on one more part would cost, from the first cut, without a simulation.

    Parameters
    ----------
    customer : Customer
        Her load.
    part : str
        Name of the part.

    Returns
    -------
    Estimate
        From the low price of the cheapest fleet that a simulation might find to keep the targets, to the high price of
        the cheapest that is sure to by the first cut.

    Examples
    --------
    >>> from hopperbook.customer import check
    >>> found = estimate(check({"name": "A", "model": "llama-3.1-8b"}), "B200 SXM")
    >>> found.gpus, 0 < found.usd_low < found.usd_high
    (1, True)
    """
    none = Estimate(part, 0, np.nan, np.nan, "")
    ways = {part: [unsure(way) for way in tenures(customer, part)]}
    if not ways[part]:
        return none._replace(reason="has no price on file")
    served = fleet.table(customer, ways)
    rows = choose.judge(served.rows, served.deployments, customer)
    if rows.empty:
        return none._replace(reason=served.missing.get(part, "cannot serve it").partition(";")[0])
    run_table, _ = train.timed(customer, ways)
    idle = np.asarray(train.usd_beside(rows, run_table, customer)) == 0.0  # nothing to train, or in time in idle hours
    likely, sure = rows.works | rows.near, rows.sure if rows.sure.any() else rows.works
    low = np.where(likely, rows.usd_low + np.where(idle, 0.0, _training_usd(run_table, "usd_low", LIKELY)), np.inf)
    high = np.where(sure, rows.usd_high + np.where(idle, 0.0, _training_usd(run_table, "usd_high", SURE)), np.inf)
    if not np.isfinite(min(low.min(), high.min())):
        return none._replace(reason="would not keep the targets")
    most = high.min() if np.isfinite(high.min()) else rows.usd_high[np.argmin(low)]
    return Estimate(part, int(rows.gpus.iloc[int(np.argmin(high))]), float(low.min()), float(max(low.min(), most)), "")


def unsure(way: Tenure) -> Tenure:
    """Widen a way to have a part: one seller's price of a server is as unsure as prices of the best known one.

    Parameters
    ----------
    way : Tenure
        Any.

    Returns
    -------
    Tenure
        The same where it is rented, or several sellers are on file.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> (own,) = [way for way in tenures(default(), "B200 SXM") if way.kind == "own"]
    >>> unsure(own).low <= own.low, unsure(own).high >= own.high
    (True, True)
    """
    if way.kind != "own" or facts.purchase(server_of(way.gpu).name).count > 1:
        return way
    known = max((facts.purchase(server_of(part).name) for part in facts.drawn()), key=lambda price: price.count)
    low, high = known.low / known.typical, known.high / known.typical
    return replace(way, low=min(way.low, way.typical * low), high=max(way.high, way.typical * high))


#: Odds of the low end of an estimate.
LIKELY = 0.5


def _training_usd(run_table: pd.DataFrame, column: str, least: float) -> float:
    """Return the cheapest training run that is at least so likely to be in time, USD a month; infinity without one."""
    if run_table.empty:
        return 0.0
    in_time = run_table[run_table.available & (run_table.p_deadline >= least)]
    return float(in_time[column].min()) if len(in_time) else np.inf


def closing(customer: Customer) -> str:
    """Say which parts were not considered, and what the one most worth a look would cost.

    Parameters
    ----------
    customer : Customer
        Her load, parts and market.

    Returns
    -------
    str
        The last line of a plan.

    Examples
    --------
    >>> from hopperbook.customer import check
    >>> words = closing(check({"name": "A", "model": "llama-3.1-8b"}))
    >>> words[:15], "B200 SXM would cost about" in words
    ('Not considered:', True)
    """
    missing = not_considered(customer)
    if not missing:
        return "Every part on file was considered."
    best, names = next_best(customer), ", ".join(missing)
    if best is None:
        return f"Not considered: {names}; no price of them is on file."
    found = estimate(customer, best)
    if found.reason:
        return f"Not considered: {names}; by a wide estimate {best} {found.reason}."
    many = f"{found.gpus:,} GPUs to serve" if found.gpus > 1 else "one GPU to serve"
    ends = f"{units.money(found.usd_low)} to {units.money(found.usd_high)}"
    return f"Not considered: {names}; by a wide estimate {best} would cost about {ends} a month ({many})."


def as_json(customer: Customer) -> dict[str, object]:
    """Return the closing line as plain values.

    Parameters
    ----------
    customer : Customer
        Her load, parts and market.

    Returns
    -------
    dict
        ``parts``, ``gpu``, ``gpus``, ``usd_per_month`` as its ends (None where there is no estimate), ``sentence``.

    Examples
    --------
    >>> from hopperbook.customer import check
    >>> as_json(check({"name": "A", "model": "llama-3.1-8b"}))["gpu"]
    'B200 SXM'
    """
    best = next_best(customer)
    found = estimate(customer, best) if best else None
    priced = found is not None and not found.reason
    return {
        "parts": list(not_considered(customer)),
        "gpu": best,
        "gpus": found.gpus if found and priced else None,
        "usd_per_month": {"low": found.usd_low, "high": found.usd_high} if found and priced else None,
        "sentence": closing(customer),
    }
