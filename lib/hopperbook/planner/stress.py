"""What a recommended fleet does when things go wrong: a replica lost, everyone at once; and what else to try."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from hopperbook import serving
from hopperbook.customer import Customer
from hopperbook.planner.choose import Plan
from hopperbook.planner.configuration import Configuration
from hopperbook.planner.fleet import billed
from hopperbook.planner.load import demand, limits
from hopperbook.planner.odds import SURE
from hopperbook.planner.tenure import server_of
from hopperbook.planner.verify import answered, carried
from hopperbook.serving.demand import Answer
from hopperbook.serving.disaggregated import best_division
from hopperbook.serving.speculation import speculating

#: Drafts a step where the customer lets the engine speculate.
DRAFTS = 3
#: A runner-up whose cost lies within this share of the recommendation's is as good an answer.
CLOSE = 0.1


def lost_replica(row: Configuration, customer: Customer) -> Answer | None:
    """Return how the replicas that are left answer when one is lost at the busy hour.

    Parameters
    ----------
    row : Configuration
        A fleet.
    customer : Customer
        Its load.

    Returns
    -------
    Answer or None
        Of one of the others; None where there is no other.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> from hopperbook.planner.choose import plan
    >>> row = plan(default()).recommendation
    >>> round(1e3 * lost_replica(row, default()).tpot.p95 / (1e3 * row.tpot_at_s), 1)  # one of two takes it all
    1.9
    """
    left = row.replicas + customer.spare_replicas - 1
    return answered(row.deployment, left, customer) if left > 0 else None


def with_spare(row: Configuration) -> Configuration:
    """Return a fleet with one more replica that may fail without a target missed, and what it costs.

    Parameters
    ----------
    row : Configuration
        A fleet that is enough while all of it works.

    Returns
    -------
    Configuration
        Its latencies are those without the spare.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> from hopperbook.planner.choose import plan
    >>> row = plan(default()).recommendation
    >>> row.gpus, with_spare(row).gpus, round(with_spare(row).usd / row.usd, 2)  # GPUs come in whole nodes
    (8, 12, 2.0)
    """
    gpus = row.gpus + row.tp
    paid = int(billed(np.array([gpus]), np.array([row.tenure]))[0])
    more = paid / row.billed_gpus
    return replace(
        row, gpus=gpus, billed_gpus=paid, usd=more * row.usd, usd_low=more * row.usd_low, usd_high=more * row.usd_high,
        usd_per_million=more * row.usd_per_million,
    )  # fmt: skip


def burst(row: Configuration, customer: Customer) -> serving.Loop:
    """Return what a replica shows when all its requests in flight start at once, ten rounds of them.

    Parameters
    ----------
    row : Configuration
        A fleet.
    customer : Customer
        Its lengths.

    Returns
    -------
    Loop
        Latencies of the closed loop.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> from hopperbook.planner.choose import plan
    >>> row = plan(default()).recommendation
    >>> round(burst(row, default()).ttft_s / row.ttft_s, 1)  # times the mean first token of random arrivals
    6.8
    """
    asked = demand(customer).lengths
    return serving.closed_loop(row.deployment, row.users, asked.new, asked.answer, cached_tokens=round(asked.cached))


def close(plan: Plan) -> bool:
    """Say whether the runner-up costs so little more that prices decide nothing.

    Parameters
    ----------
    plan : Plan
        The plan.

    Returns
    -------
    bool
        True where it costs at most a tenth more.
    """
    first, second = plan.recommendation, plan.runner_up
    return first is not None and second is not None and second.cost[0] <= (1 + CLOSE) * first.cost[0]


class Variant(NamedTuple):
    """Another way to run the recommended replicas: the load that each GPU then carries, over the plain way's."""

    name: str
    gain: float
    note: str


def variants(row: Configuration, customer: Customer) -> list[Variant]:
    """Try what the customer allows on the recommended replicas: drafts, readers apart from writers, no prefix cache.

    Parameters
    ----------
    row : Configuration
        A fleet.
    customer : Customer
        ``draft_acceptance`` and ``disaggregation`` say what may be tried.

    Returns
    -------
    list of Variant
        Gains are ratios of the largest rate within the targets, nine times in ten; below 1 it does not pay.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> from hopperbook.planner.choose import plan
    >>> who = default().model_copy(update={"draft_acceptance": 0.7})
    >>> [(v.name, round(v.gain, 1)) for v in variants(plan(who).recommendation, who)]
    [('speculative decoding', 1.3), ('no prefix cache', 0.4)]
    """
    d, targets, found = row.deployment, limits(customer, row.deployment, SURE), []
    asked, now = demand(customer), carried(d, customer).rate_per_s
    if customer.draft_acceptance:
        drafting = speculating(d, customer.draft_acceptance, DRAFTS)
        rate = serving.largest(drafting, asked, targets).rate_per_s
        found.append(
            Variant("speculative decoding", rate / now, f"{DRAFTS} drafts, {customer.draft_acceptance:.0%} accepted")
        )
    if customer.disaggregation == "try" and row.replicas > 1:
        port = server_of(row.gpu)
        each = port.nics * port.nic_bytes_per_s_per_direction / port.gpus
        best = best_division(d, asked, targets, min(row.replicas, MOST_DIVIDED), each)
        note = f"{best.readers} of {best.readers + best.writers} replicas read"
        found.append(Variant("prefill apart from decode", best.gain, note))
    if customer.history_tokens and customer.history_found:
        without = demand(customer.model_copy(update={"history_found": 0.0}))
        rate = serving.largest(d, without, targets).rate_per_s
        found.append(Variant("no prefix cache", rate / now, "the whole history is read again"))
    return found


#: Replicas of which a division is looked for; a larger fleet is divided alike.
MOST_DIVIDED = 8
