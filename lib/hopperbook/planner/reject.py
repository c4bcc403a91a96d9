"""Why a part is not recommended: the one constraint that decided, by how much, and what would bring it back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from hopperbook import units
from hopperbook.customer import Customer
from hopperbook.errors import InputError
from hopperbook.evidence.beyond import bands
from hopperbook.planner import site
from hopperbook.planner.configuration import Configuration, of_row
from hopperbook.planner.tenure import Tenure, server_of, server_price, servers
from hopperbook.planner.train import UNTRAINED_USD
from hopperbook.serving import Deployment
from hopperbook.units import MONTH_H, money


@dataclass(frozen=True, eq=False)
class Rejected:
    """A part that is not recommended, the one constraint that decided, and what would bring it back."""

    gpu: str
    reason: str
    remedy: str
    usd_per_month: float = math.nan
    tpot_at_s: float = math.nan
    gpus: int = 0


def rejected(
    rows: pd.DataFrame,
    missing: dict[str, str],
    ways: dict[str, list[Tenure]],
    made: Sequence[Deployment],
    by_part: dict[str, Configuration],
    failed: dict[str, Configuration],
    chosen: Configuration | None,
    customer: Customer,
) -> tuple[Rejected, ...]:
    """Reject every part but the chosen one, each with its reason.

    Parameters
    ----------
    rows : DataFrame
        All serving configurations, judged.
    missing : dict
        Parts on which nothing fits, and what they lack.
    ways : dict
        Ways to have each part.
    made : sequence of Deployment
        Where ``row`` of the configurations points.
    by_part, failed : dict
        Each part's cheapest configuration that keeps the targets when simulated; and those that then do not.
    chosen : Configuration or None
        The recommendation.
    customer : Customer
        The targets.

    Returns
    -------
    tuple of Rejected
        In the order of the parts planned with.
    """
    found = []
    for part in ways:
        if chosen is not None and part == chosen.gpu:
            continue
        if not ways[part]:
            none = _beyond_site(part, 1, customer) or ("no price on file", "a price of your own")
            found.append(Rejected(part, *none))
        elif part in missing:
            reason, _, remedy = missing[part].partition("; ")
            found.append(Rejected(part, reason, remedy))
        elif part in by_part and chosen is not None:
            found.append(_costs_more(by_part[part], part, chosen, customer))
        else:
            own = rows[rows.gpu == part]
            slow = _slow(failed[part], part, customer) if part in failed else _too_slow(own, made, part, customer)
            found.append(_kept_away(own, part, customer) or slow)
    return tuple(found)


def _kept_away(rows: pd.DataFrame, part: str, customer: Customer) -> Rejected | None:
    """Reject a part of which larger fleets would do, were they not too much for the site; None where it is not so."""
    would = rows[rows.fits & (rows[["p_tpot", "p_ttft", "p_request"]].min(axis=1) >= 0.5) & (rows.tenure == "own")]
    more = would[~would.available]
    beyond = _beyond_site(part, int(more.gpus.min()), customer) if len(more) else None
    return Rejected(part, *beyond) if beyond is not None else None


def _beyond_site(part: str, gpus: int, customer: Customer) -> tuple[str, str] | None:
    """Return why so many GPUs cannot be bought for the site, and what would hold them; None where they can."""
    if customer.tenure not in ("auto", "own"):
        return None
    try:
        server = server_of(part)
    except InputError:
        return None
    reason, remedy = site.shortfall(customer, server, servers(gpus, part))
    return (reason, remedy) if reason else None


def _costs_more(row: Configuration, part: str, chosen: Configuration, customer: Customer) -> Rejected:
    """Reject a part that keeps every target at a higher price."""
    costs = [float(each.usd + each.training_usd) for each in (row, chosen)]
    even = costs[1] - row.training_usd
    if costs[0] >= UNTRAINED_USD > costs[1]:
        words, remedy = "no time left to train on it", "a later deadline"
    else:
        apart = row.training_usd == chosen.training_usd  # the run is the same beside either
        words = f"costs {units.more(row.usd / chosen.usd if apart else costs[0] / costs[1])}"
        words += "" if apart else ", training included"
        if row.gpus >= 4 * chosen.gpus:
            words += f": it takes {row.gpus:,} GPUs to meet the targets"
        remedy = _price_below(row, even, customer) if even > 0 else "GPUs that serve by day and train by night"
    return Rejected(part, words, remedy, float(row.usd), float(row.tpot_at_s), int(row.gpus))


def _price_below(row: Configuration, usd: float, customer: Customer) -> str:
    """Return the price, of a server or of an hour, at which a fleet costs a given sum a month."""
    if row.tenure != "own":
        return f"a price below {money(usd / row.billed_gpus / MONTH_H)} a GPU-hour"
    at = server_price(row, customer, usd).at
    return f"a price below {money(at)} a server" if at > 0 else "cheaper power and space"


def _too_slow(rows: pd.DataFrame, made: Sequence[Deployment], part: str, customer: Customer) -> Rejected:
    """Reject a part of which no configuration is sure of the targets: no room, no time, too few owned, or too slow."""
    possible = rows[rows.fits & rows.available]
    if possible.empty:
        if rows.fits.any() and (rows.day_hours > 24).all():
            words = f"serving and scientific work need {units.fixed(rows.day_hours.min())} hours a day"
            return Rejected(part, words, "fewer hours of scientific work")
        short = "you own too few" if rows.fits.any() else "the cache of one user already fills it"
        return Rejected(part, short, "more GPUs or a shorter context")
    return _slow(of_row(possible.loc[(possible.p_tpot * possible.p_ttft).idxmax()], made), part, customer)


def _slow(row: Configuration, part: str, customer: Customer) -> Rejected:
    """Reject a part whose best configuration is unlikely to keep a target."""
    b = bands(row.deployment)
    about = (float(row.usd), float(row.tpot_at_s), int(row.gpus))
    if row.p_tpot <= row.p_ttft:
        best = f"{units.fixed(row.tpot_at_s * 1e3)} ms a token at best"
        reason = f"{best}, with a chance of {units.odds(row.p_tpot)} to meet {customer.tpot_target_ms:g} ms"
        remedy = f"a target of {units.fixed(row.tpot_at_s * b['tpot'][1] * 1e3)} ms a token"
        return Rejected(part, reason, remedy, *about)
    target = f"with a chance of {units.odds(row.p_ttft)} to meet {customer.ttft_target_ms / 1e3:g} s"
    reason = f"first token after {units.fixed(row.ttft_at_s, 1)} s at best, {target}"
    return Rejected(part, reason, f"a target of {units.fixed(row.ttft_at_s * b['ttft'][1], 1)} s", *about)
