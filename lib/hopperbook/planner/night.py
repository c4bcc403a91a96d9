"""Work of the night: tokens written, or read, by morning, without a target of latency, on GPUs that the day frees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hopperbook import facts, serving, units
from hopperbook.customer import Customer
from hopperbook.errors import InputError
from hopperbook.evidence.beyond import bands
from hopperbook.planner import fleet
from hopperbook.planner.configuration import Configuration, TrainingRun
from hopperbook.planner.day import HOURS, needed
from hopperbook.planner.load import allowance, served_model
from hopperbook.planner.odds import SURE
from hopperbook.planner.tenure import Tenure
from hopperbook.serving import Deployment
from hopperbook.units import HOUR_S, MONTH_H


@dataclass(frozen=True, eq=False)
class Night:
    """The night's work: on which replicas, how much of it free GPUs do, what is added, and what is left over.

    Parameters
    ----------
    deployment : Deployment
        A replica of the night's model; None where no part serves it.
    tokens : float
        Asked for each night.
    rate : float
        Tokens a second of a replica that are nine times in ten kept.
    freed_gpu_hours, freed_tokens : float
        GPU-hours that the day's load frees in the window and a replica can use, and the tokens written on them.
    gpus, tenure : int and str
        GPUs added, and how they are had; 0 and empty where free ones are enough.
    usd_low, usd, usd_high : float
        USD a month of the GPUs added.
    unscheduled_tokens : float
        What no GPU does.
    """

    deployment: Deployment | None
    tokens: float
    rate: float
    freed_gpu_hours: float
    freed_tokens: float
    gpus: int
    tenure: str
    usd_low: float
    usd: float
    usd_high: float
    unscheduled_tokens: float


def window(customer: Customer) -> np.ndarray:
    """List the hours of a night.

    Parameters
    ----------
    customer : Customer
        When a night begins and ends.

    Returns
    -------
    ndarray of int
        Hours from midnight.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> window(default()).tolist()
    [22, 23, 0, 1, 2, 3, 4, 5]
    """
    return (customer.night_from + np.arange(customer.night_hours)) % HOURS


def night(
    customer: Customer, serving_row: Configuration | None, trained: TrainingRun | None, ways: dict[str, list[Tenure]]
) -> Night | None:
    """Schedule the night's work: first on GPUs that the day's curve frees, then on GPUs added.

    Parameters
    ----------
    customer : Customer
        Tokens, window, model, and the lengths of prompts and answers.
    serving_row : Configuration or None
        The fleet that serves.
    trained : TrainingRun or None
        The training run, which has the first call on idle GPUs where it shares the fleet.
    ways : dict
        Ways to have each part.

    Returns
    -------
    Night or None
        None where nothing is asked.

    Examples
    --------
    >>> from hopperbook.customer import check
    >>> from hopperbook.planner.choose import plan
    >>> asked = {"name": "A", "model": "llama-3.1-8b", "requests_per_s": 30, "night_tokens": 50e6}
    >>> found = plan(check(asked)).night
    >>> found.gpus, round(found.freed_gpu_hours), round(found.freed_tokens / 1e6)  # all of it on free GPUs
    (0, 48, 50)
    """
    if not customer.night_tokens:
        return None
    own = _replica(customer, serving_row.gpu, serving_row) if serving_row is not None else None
    free_gpu_hours, freed = 0.0, 0.0
    rate = _sure_rate(own, customer) if own is not None else 0.0
    if own is not None and serving_row is not None and rate:
        free_gpu_hours = _free_gpu_hours(customer, serving_row, trained, own.gpus)
        freed = min(rate * HOUR_S * free_gpu_hours / own.gpus, customer.night_tokens)
    left = customer.night_tokens - freed
    free = Night(own, customer.night_tokens, rate, free_gpu_hours, freed, 0, "", 0.0, 0.0, 0.0, max(left, 0.0))
    if left <= 0:
        return free
    used = serving_row.gpus if serving_row is not None else 0
    found = [each for part, kinds in ways.items() for each in _added(free, customer, part, kinds, serving_row, used)]
    return min(found, key=lambda each: (round(each.usd, 6), each.gpus)) if found else free


def _replica(customer: Customer, part: str, row: Configuration | None) -> Deployment | None:
    """Return the replica that writes most a GPU: the fleet's own where its model works at night, so that it stays."""
    name = customer.night_model or customer.model
    if row is not None and row.gpu == part and name == customer.model:
        return row.deployment
    plain = customer.model_copy(update={"adapters": 0, "model": name})
    made = fleet.deployments(plain, served_model(plain), (part,))
    held = customer.request_tokens + customer.output_tokens
    fitting = [d for d in made if serving.budget(d, held).users >= 1]
    return max(fitting, key=lambda d: (round(_sure_rate(d, customer) / d.gpus, 6), -d.gpus), default=None)


def _sure_rate(d: Deployment, customer: Customer) -> float:
    """Return the tokens a second that a replica writes, or reads, with work queued up, as sure as the targets."""
    try:
        rate, _ = serving.offline(d, customer.request_tokens, customer.output_tokens)
    except InputError:  # no kernel of this format on this part
        return 0.0
    each = customer.request_tokens if customer.only_reads else 1  # tokens for each that the engine would write
    return rate * each * allowance(bands(d)["tpot"], SURE)


def _free_gpu_hours(customer: Customer, row: Configuration, trained: TrainingRun | None, each: int) -> float:
    """Return the GPU-hours of the window that replicas of so many GPUs can use, after serving, training and science."""
    taken = trained.gpus if trained is not None and trained.tenure == "shared" else 0
    busy = needed(customer, row.replicas).ravel()[window(customer)] * row.deployment.gpus
    whole = np.maximum(row.replicas * row.deployment.gpus - busy - taken, 0) // each * each
    left = (HOURS - row.day_hours) * row.gpus - HOURS * taken  # scientific work runs on any GPU that is free
    return float(max(min(whole.sum(), left), 0.0))


def _added(
    free: Night, customer: Customer, part: str, kinds: list[Tenure], row: Configuration | None, used: int
) -> list[Night]:
    """Return every way to do the rest on GPUs of one part: rented for the window alone, or had around the clock."""
    d = _replica(customer, part, row) if kinds else None
    rate = _sure_rate(d, customer) if d is not None else 0.0
    if d is None or not rate:
        return []
    hours, left = customer.night_hours, customer.night_tokens - free.freed_tokens
    gpus = d.gpus * int(np.ceil(left / (rate * HOUR_S * hours)))
    found = []
    for way in kinds:
        if gpus > customer.max_gpus or (way.limit and gpus + used > way.limit) or not facts.gpu(part).cuda:
            continue
        paid = _billed(gpus, way.kind)
        share = hours / HOURS if way.kind == "on_demand" else 1.0
        low, usd, high = (MONTH_H * paid * share * end for end in (way.low, way.typical, way.high))
        found.append(
            Night(d, free.tokens, rate, free.freed_gpu_hours, free.freed_tokens, gpus, way.kind, low, usd, high, 0.0)
        )
    return found


def _billed(gpus: int, kind: str) -> int:
    """Return the GPUs that are paid for: those owned already as they are, others by whole servers."""
    return gpus if kind == "kept" else int(fleet.billed(np.array([gpus]), np.array([kind]))[0])


def words(found: Night, customer: Customer) -> str:
    """Say in a sentence how the night's work is done, and what of it is not.

    Parameters
    ----------
    found : Night
        From :func:`night`.
    customer : Customer
        Its window.

    Returns
    -------
    str
        A sentence.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> words(Night(None, 2e9, 0.0, 0.0, 0.0, 0, "", 0.0, 0.0, 0.0, 2e9), default())[-31:].replace("\xa0", " ")
    '; 2 billion cannot be scheduled'
    """
    share = units.percent(found.freed_tokens / found.tokens) if found.freed_tokens else "none of them"
    said = f"{units.tokens(found.tokens)} tokens from {customer.night_from} to {customer.night_until} o'clock: "
    said += f"{share} on GPUs that serving leaves free"
    if found.gpus and found.deployment is not None:
        kind, month = found.tenure.replace("_", " "), f"{units.money(found.usd)} a month"
        paid = _billed(found.gpus, found.tenure)
        whole = f" ({paid:,} billed)" if paid != found.gpus else ""
        said += f", the rest on {found.gpus:,} × {found.deployment.gpu.name} added{whole}, {kind}: {month}"
    if found.unscheduled_tokens:
        said += f"; {units.tokens(found.unscheduled_tokens)} cannot be scheduled"
    return said
