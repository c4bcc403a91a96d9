"""Configurations held against a simulation: the closed loop decides whether a replica keeps its targets."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from hopperbook import serving
from hopperbook.customer import Customer
from hopperbook.planner.configuration import Configuration, of_row
from hopperbook.planner.odds import SURE, bands, probability
from hopperbook.serving import Deployment, Loop, closed_loop
from hopperbook.units import MONTH_S


@functools.lru_cache(maxsize=65536)
def _loop(d: Deployment, users: int, prompt_tokens: int, output_tokens: int) -> Loop:
    return closed_loop(d, users, prompt_tokens, output_tokens)


def odds(d: Deployment, users: int, customer: Customer) -> tuple[float, float]:
    """Return the probabilities that a replica keeps the two targets under so many users, simulated.

    Parameters
    ----------
    d : Deployment
        The replica.
    users : int
        Its users.
    customer : Customer
        Lengths and targets.

    Returns
    -------
    tuple of float
        Of the time per token and of the first token.
    """
    loop, b = _loop(d, users, customer.prompt_tokens, customer.output_tokens), bands(d)
    return (
        float(probability(loop.tpot_s, customer.tpot_target_ms / 1e3, b["tpot"])),
        float(probability(loop.ttft_s, customer.ttft_target_ms / 1e3, b["ttft"])),
    )


def keeps(d: Deployment, users: int, customer: Customer, least: float) -> bool:
    """Return whether a simulated replica keeps both targets, and with a probability of at least so much.

    Parameters
    ----------
    d : Deployment
        The replica.
    users : int
        Its users.
    customer : Customer
        Lengths and targets.
    least : float
        Probability that each target must reach.

    Returns
    -------
    bool
        True where the means lie within both targets and are as likely as asked.
    """
    loop = _loop(d, users, customer.prompt_tokens, customer.output_tokens)
    within = loop.tpot_s * 1e3 <= customer.tpot_target_ms and loop.ttft_s * 1e3 <= customer.ttft_target_ms
    return within and min(odds(d, users, customer)) >= least


def simulate(row: pd.Series, deployments: Sequence[Deployment], customer: Customer) -> Configuration:
    """Replace a row's steady-state latencies by those of the simulated closed loop.

    Parameters
    ----------
    row : Series
        A judged row of the serving table.
    deployments : sequence of Deployment
        Where ``row.row`` points.
    customer : Customer
        The load.

    Returns
    -------
    Configuration
        With simulated ``ttft_s``, ``tpot_s``, ``ttft_p95_s``, throughput and the probabilities.
    """
    made = of_row(row, deployments)
    loop = _loop(made.deployment, made.users, customer.prompt_tokens, customer.output_tokens)
    rate = loop.output_tokens_per_s * customer.concurrency / made.users
    p_tpot, p_ttft = odds(made.deployment, made.users, customer)
    return replace(
        made,
        ttft_s=round(loop.ttft_s, 12),
        tpot_s=round(loop.tpot_s, 12),
        ttft_p95_s=loop.ttft_p95_s,
        output_tokens_per_s=rate,
        usd_per_million=made.usd * 1e6 / (MONTH_S * customer.busy_fraction * rate),
        p_tpot=p_tpot,
        p_ttft=p_ttft,
    )


def verified(
    candidates: pd.DataFrame, made: Sequence[Deployment], customer: Customer, least: float = SURE
) -> Configuration | None:
    """Return the first candidate that also keeps the targets when simulated.

    Of a replica that misses them, the most users that it can carry are found by bisection, and its candidates with
    more are passed over.

    Parameters
    ----------
    candidates : DataFrame
        Serving configurations, the most wanted first.
    made : sequence of Deployment
        Where their ``row`` points.
    customer : Customer
        Lengths and targets.
    least : float
        Probability that each target must reach.

    Returns
    -------
    Configuration or None
        The first, with its simulated latencies.
    """
    if candidates.empty:
        return None
    users = candidates.users.to_numpy()
    replicas = [made[i] for i in candidates.row]
    counts: dict[int, set[int]] = {}
    for d, n in zip(replicas, users, strict=True):
        counts.setdefault(id(d), set()).add(int(n))
    most: dict[int, int] = {}
    for at, (d, n) in enumerate(zip(replicas, users, strict=True)):
        if id(d) not in most:
            fewer = sorted(c for c in counts[id(d)] if c < n)
            kept = keeps(d, int(n), customer, least)
            most[id(d)] = int(n) if kept else _most_users(d, fewer, customer, least)
        if n <= most[id(d)]:
            return simulate(candidates.iloc[at], made, customer)
    return None


def most_users(d: Deployment, customer: Customer, least: float = SURE) -> int:
    """Return the most users under which a replica's simulated latencies keep the targets and its cache has room.

    Parameters
    ----------
    d : Deployment
        The replica.
    customer : Customer
        Lengths and targets.
    least : float
        Probability that each target must reach.

    Returns
    -------
    int
        Users; 0 where not one is served.
    """
    room = min(serving.budget(d, customer.held_tokens).users, d.engine.max_batch * d.attention_dp)
    return _most_users(d, list(range(1, room + 1)), customer, least)


def _most_users(d: Deployment, counts: list[int], customer: Customer, least: float) -> int:
    """Return the largest of ascending counts of users under which a replica keeps the targets; 0 where none does."""
    low, high = 0, len(counts)
    while low < high:
        middle = (low + high) // 2
        if keeps(d, counts[middle], customer, least):
            low = middle + 1
        else:
            high = middle
    return counts[low - 1] if low else 0
