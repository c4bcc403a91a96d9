"""What stands in the way, as sentences: what cannot be had, and what comes nearest to it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from hopperbook import images, units
from hopperbook.customer import Customer
from hopperbook.planner import site
from hopperbook.planner.configuration import Configuration, TrainingRun
from hopperbook.planner.extras import Extra, how
from hopperbook.planner.fleet import STAGES
from hopperbook.planner.night import Night
from hopperbook.planner.pictures import Pictures
from hopperbook.planner.small import Small, cut_parts, small_service_bytes
from hopperbook.planner.tenure import server_of, servers
from hopperbook.units import GIB, money, number, percent


def obstacle(
    rows: pd.DataFrame,
    chosen: Configuration | None,
    trained: TrainingRun | None,
    run_table: pd.DataFrame,
    small: Small | None,
    extras: tuple[Extra, ...],
    customer: Customer,
    beside: tuple[Night | Pictures | None, ...] = (),
) -> str:
    """Say in a sentence what cannot be had, and what comes nearest.

    Parameters
    ----------
    rows : DataFrame
        All serving configurations.
    chosen, trained : Configuration or None, TrainingRun or None
        What was chosen to serve and to train.
    run_table : DataFrame
        All training runs.
    small : Small or None
        Where the small services run.
    extras : tuple of Extra
        What is billed beside the GPUs.
    customer : Customer
        What was asked for.
    beside : tuple of Night, Pictures or None
        Further work, whose cost counts.

    Returns
    -------
    str
        Empty where all can be had.
    """
    said = []
    if chosen is None:
        said.append(_nearest_serving(rows, customer))
    if customer.trains and trained is None:
        said.append(_nearest_training(run_table, customer))
    if customer.small_services and small is None:
        needed = small_service_bytes(customer, cut_parts()[0]) / GIB
        said.append(
            f"No slice of a card holds a small service of {customer.small_model}: it needs {units.fixed(needed)} GiB."
        )
    if chosen is not None and customer.budget_usd_per_month:
        usd = sum(part.usd for part in (chosen, trained, small, *extras, *beside) if part is not None)
        if usd > customer.budget_usd_per_month:
            said.append(_over_budget(usd, customer.budget_usd_per_month))
    said.append(_over_site((chosen, trained, small), customer))
    return " ".join(filter(None, said))


def _over_site(fleets: tuple[Configuration | TrainingRun | Small | None, ...], customer: Customer) -> str:
    """Say that what is bought asks together for more power than the site gives, where it does."""
    kw = 0.0
    for fleet in fleets:
        if fleet is not None and how(fleet) == "own":
            server, gpus = server_of(fleet.gpu), fleet.cards if isinstance(fleet, Small) else fleet.gpus
            kw += site.need(customer, server, servers(gpus, fleet.gpu)).kw
    if not customer.site_kw or kw <= customer.site_kw:
        return ""
    asked = f"Together they need {units.fixed(kw, 1)} kW with cooling"
    return f"{asked}, but your site has {customer.site_kw:g} kW: rent some of them, or ask for more power."


def unscheduled(nightly: Night | None, drawn: Pictures | None, customer: Customer) -> str:
    """Say what of the night's work and of the images no GPU does.

    Parameters
    ----------
    nightly : Night or None
        The night's work.
    drawn : Pictures or None
        GPUs that generate images.
    customer : Customer
        What was asked for.

    Returns
    -------
    str
        Empty where all of it is done.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> unscheduled(None, None, default().model_copy(update={"images_per_hour": 1e7}))[:41]
    'No GPUs up to 1,024 generate 10,000,000 i'
    """
    said = []
    if nightly is not None and nightly.unscheduled_tokens:
        said.append(
            f"Of the night's {units.tokens(nightly.tokens)} tokens {units.tokens(nightly.unscheduled_tokens)} cannot be"
            f" scheduled on up to {_gpus(customer.max_gpus)} more."
        )
    if customer.images_per_hour and drawn is None:
        said.append(
            f"No GPUs up to {customer.max_gpus:,} generate {customer.images_per_hour:,.0f} images an hour with"
            f" {images.label(customer.image_model)}."
        )
    return " ".join(said)


def _gpus(count: int) -> str:
    return f"{count:,} GPU{'s' if count > 1 else ''}"


#: The cheapest configuration counts as nearest whose expected latencies lie at most this factor above the lowest.
NEAREST = 1.1


def _nearest_serving(rows: pd.DataFrame, customer: Customer) -> str:
    asked = f"{customer.ttft_target_ms / 1e3:g} s to the first token and {customer.tpot_target_ms:g} ms for each other"
    target = f"{customer.load_words} within {asked}, nine times in ten"
    none = f"No configuration up to {_gpus(customer.max_gpus)} serves {target}"
    possible = rows[rows.fits & rows.available] if len(rows) else rows
    if possible.empty:
        return none + f": the model fits no replica of up to {_gpus(min(8 * STAGES[-1], customer.max_gpus))}."
    over = np.maximum(
        possible.tpot_at_s * 1e3 / customer.tpot_target_ms, possible.ttft_at_s * 1e3 / customer.ttft_target_ms
    )
    row = possible[over <= NEAREST * over.min()].sort_values("usd", kind="stable").iloc[0]
    reached = f"{units.fixed(row.ttft_at_s, 1)} s and {units.fixed(row.tpot_at_s * 1e3)} ms expected"
    return f"{none}; nearest: {reached} on {row.gpus:,} × {row.gpu} for {money(row.usd)} a month."


def _nearest_training(rows: pd.DataFrame, customer: Customer) -> str:
    none = f"No cluster up to {_gpus(customer.max_gpus)} trains it within {customer.training_deadline_days:g} days"
    possible = rows[rows.available] if len(rows) else rows
    if possible.empty:
        return none + ": its states fit none of them."
    row = possible.loc[possible.days.idxmin()]
    nearest = f"{number(row.days)} days on {row.gpus:,} × {row.gpu} for {money(row.usd_run)}"
    return f"{none} nine times in ten; nearest: {nearest}."


def _over_budget(usd: float, budget: float) -> str:
    ratio = usd / budget
    above = f"{percent(ratio - 1)} above the budget" if ratio < 2 else f"{number(ratio)} times the budget"
    return f"The least that keeps every target costs {money(usd)} a month, {above} of {money(budget)}."
