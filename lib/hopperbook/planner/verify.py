"""Configurations held against a simulation: requests over time decide whether a replica keeps its targets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hopperbook import serving
from hopperbook.customer import Customer
from hopperbook.evidence.beyond import bands
from hopperbook.planner.configuration import Configuration, of_row
from hopperbook.planner.load import demand, limits
from hopperbook.planner.odds import SURE, probability
from hopperbook.serving import Deployment
from hopperbook.serving.demand import Answer, Demand, Largest, Targets
from hopperbook.units import GIB, MONTH_S


def answered(d: Deployment, replicas: float, customer: Customer) -> Answer:
    """Return how a replica answers its share of the customer's load, simulated.

    Parameters
    ----------
    d : Deployment
        The replica.
    replicas : float
        How many share the load.
    customer : Customer
        The load.

    Returns
    -------
    Answer
        Latencies of its requests.
    """
    return serving.answer(d, demand(customer).share(replicas))


def odds(d: Deployment, seen: Answer, customer: Customer) -> tuple[float, float, float]:
    """Return the probabilities that an answer keeps the customer's targets.

    Parameters
    ----------
    d : Deployment
        The replica, whose ranges decide.
    seen : Answer
        Its latencies.
    customer : Customer
        Targets and percentiles.

    Returns
    -------
    tuple of float
        Of the time per token, the first token and the whole answer.
    """
    b = bands(d)
    tpot = probability(seen.tpot.at(customer.tpot_percentile), customer.tpot_target_ms / 1e3, b["tpot"])
    ttft = probability(seen.ttft.at(customer.ttft_percentile), customer.ttft_target_ms / 1e3, b["ttft"])
    whole = customer.request_target_ms / 1e3 or math.inf
    request = probability(seen.request.at(customer.request_percentile), whole, b["tpot"])
    return float(tpot), float(ttft), float(request)


def keeps(d: Deployment, replicas: float, customer: Customer, least: float) -> bool:
    """Return whether so many simulated replicas keep all targets, each with a probability of at least so much.

    Parameters
    ----------
    d : Deployment
        The replica.
    replicas : float
        How many share the load.
    customer : Customer
        The load and its targets.
    least : float
        Probability that each target must reach.

    Returns
    -------
    bool
        True where the percentiles lie within the targets and are as likely as asked.
    """
    return limits(customer, d, least).keeps(answered(d, replicas, customer))


def simulate(row: pd.Series, deployments: Sequence[Deployment], customer: Customer) -> Configuration:
    """Replace what the first cut says of a row by what the simulation shows.

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
        With simulated latencies, rates and probabilities.
    """
    made = of_row(row, deployments)
    budget = serving.budget(made.deployment, customer.held_tokens)
    seen = answered(made.deployment, made.replicas, customer)
    p_tpot, p_ttft, p_request = odds(made.deployment, seen, customer)
    output = seen.output_tokens_per_s * made.replicas
    users = max(1, round(seen.in_flight))
    return replace(
        made,
        users=users,
        memory_gib=float(budget.used_bytes(users)) / GIB,
        headroom=budget.headroom(users),
        rate_per_s=seen.rate_per_s * made.replicas,
        ttft_s=round(seen.ttft.mean, 12),
        tpot_s=round(seen.tpot.mean, 12),
        ttft_at_s=round(seen.ttft.at(customer.ttft_percentile), 12),
        tpot_at_s=round(seen.tpot.at(customer.tpot_percentile), 12),
        request_at_s=round(seen.request.at(customer.request_percentile), 12),
        output_tokens_per_s=output,
        usd_per_million=made.usd * 1e6 / (MONTH_S * customer.busy_fraction * output),
        p_tpot=p_tpot,
        p_ttft=p_ttft,
        p_request=p_request,
        prefill_share=seen.prefill_share,
    )


def verified(
    candidates: pd.DataFrame, made: Sequence[Deployment], customer: Customer, least: float = SURE
) -> Configuration | None:
    """Return the first candidate that also keeps the targets when simulated.

    How far a replica's first cut lies from its simulation is remembered: its further candidates are simulated only
    where the first cut, so corrected, comes near the limits.  Bursts, which the first cut does not know, are smaller
    the more replicas share them: what was learned of few says nothing of many.

    Parameters
    ----------
    candidates : DataFrame
        Serving configurations, the most wanted first.
    made : sequence of Deployment
        Where their ``row`` points.
    customer : Customer
        The load and its targets.
    least : float
        Probability that each target must reach.

    Returns
    -------
    Configuration or None
        The first, with what the simulation shows.
    """
    if candidates.empty:
        return None
    cuts = candidates[["ttft_at_s", "tpot_at_s", "request_at_s"]].to_numpy()
    off: dict[tuple[int, int], NDArray[np.float64]] = {}
    asks = demand(customer)
    for place, (row, replicas) in enumerate(zip(candidates.row, candidates.replicas, strict=True)):
        d = made[row]
        asked = limits(customer, d, least)
        ends = np.array([asked.ttft_s, asked.tpot_s, asked.request_s])
        alike = id(d), _burst_size(asks.dealt(replicas)) if asks.variation > 1 else 0
        if alike in off and (off[alike] * cuts[place] > WORTH_A_LOOK * ends).any():
            continue
        seen = answered(d, replicas, customer)
        if asked.keeps(seen) and holds(d, replicas, customer):
            return simulate(candidates.iloc[place], made, customer)
        shown = (seen.ttft.at(asked.ttft_at), seen.tpot.at(asked.tpot_at), seen.request.at(asked.request_at))
        off[alike] = np.array(shown) / np.maximum(cuts[place], 1e-12)
    return None


def _burst_size(dealt: Demand) -> int:
    """Return a number that is the same where bursts are about as large for each replica."""
    return round(2 * math.log2(dealt.pool / max(dealt.variation, 1.0) ** 2))


#: How far a corrected first cut may lie above a limit for a simulation to be worth it.
WORTH_A_LOOK = 1.05


def holds(d: Deployment, replicas: float, customer: Customer) -> bool:
    """Return whether so many replicas have cache for all that is in flight, each request at its full length."""
    users = max(1, round(answered(d, replicas, customer).in_flight))
    return serving.budget(d, customer.held_tokens).headroom(users) >= 0


def shares(asked: Targets, seen: Answer) -> dict[str, float]:
    """Return how much of each limit an answer uses.

    Parameters
    ----------
    asked : Targets
        Latencies to keep.
    seen : Answer
        A simulated answer.

    Returns
    -------
    dict of float
        Latencies over their limits; above one a target is missed.
    """
    return {
        "first token": seen.ttft.at(asked.ttft_at) / asked.ttft_s,
        "time per token": seen.tpot.at(asked.tpot_at) / asked.tpot_s,
        "whole answer": seen.request.at(asked.request_at) / asked.request_s,
    }


def carried(d: Deployment, customer: Customer, least: float = SURE, replicas: float = math.inf) -> Largest:
    """Return the largest share of the load that one replica of several carries within the targets.

    Parameters
    ----------
    d : Deployment
        The replica.
    customer : Customer
        The load and its targets.
    least : float
        Probability that each target must reach.
    replicas : float
        Among how many the requests are dealt out, which makes bursts smaller; many by default.

    Returns
    -------
    Largest
        Requests a second, requests in flight, users; zeros where not one request is in time.
    """
    return serving.largest(d, demand(customer).dealt(replicas), limits(customer, d, least))


def fewest_replicas(d: Deployment, customer: Customer, least: float = SURE) -> float:
    """Return how many replicas carry the load within the targets; infinity where a request alone misses them.

    Parameters
    ----------
    d : Deployment
        The replica.
    customer : Customer
        The load and its targets.
    least : float
        Probability that each target must reach.

    Returns
    -------
    float
        A whole number of replicas.
    """
    most, asked = carried(d, customer, least), demand(customer)
    each = most.rate_per_s if asked.rate_per_s else most.users
    if not each:
        return math.inf
    count = math.ceil((asked.rate_per_s or asked.users) / each)
    return float(next((n for n in range(count, 4 * count + 3) if keeps(d, n, customer, least)), math.inf))
