"""What a recommended fleet does when things go wrong: a replica lost, everyone at once; and what else to try."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from hopperbook import serving
from hopperbook.customer import Customer
from hopperbook.planner.configuration import Configuration
from hopperbook.planner.fleet import billed
from hopperbook.planner.load import demand, limits
from hopperbook.planner.odds import SURE
from hopperbook.planner.tenure import assumptions, server_of
from hopperbook.planner.verify import answered, carried
from hopperbook.serving.demand import Answer
from hopperbook.serving.disaggregated import best_division
from hopperbook.serving.speculation import speculating


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
    1.7
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
    gpus = row.gpus + row.deployment.gpus
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
    6.2
    """
    asked = demand(customer).lengths
    return serving.closed_loop(row.deployment, row.users, asked.new, asked.answer, cached_tokens=round(asked.cached))


class Variant(NamedTuple):
    """Another way to run the recommended replicas: the load that each GPU then carries, over the plain way's."""

    name: str
    gain: float
    note: str


def drafting(row: Configuration, customer: Customer, acceptance: float) -> Variant:
    """Weigh speculative decoding.

    Parameters
    ----------
    row : Configuration
        A fleet that keeps the targets.
    customer : Customer
        Its load and targets.
    acceptance : float
        Share of drafts accepted.

    Returns
    -------
    Variant
        The largest rate within the targets, nine times in ten, over that without drafts.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> from hopperbook.planner.choose import plan
    >>> round(drafting(plan(default()).recommendation, default(), 0.7).gain, 1)
    1.3
    """
    drafts = int(assumptions("planner")["drafts_a_step"])
    rate = changed(row, customer, speculating(row.deployment, acceptance, drafts), demand(customer))
    return Variant("speculative decoding", rate, f"{drafts} drafts, {acceptance:.0%} accepted")


def dividing(row: Configuration, customer: Customer) -> Variant:
    """Weigh replicas that read prompts beside others that write answers.

    Parameters
    ----------
    row : Configuration
        A fleet of two replicas or more that keeps the targets.
    customer : Customer
        Its load and targets.

    Returns
    -------
    Variant
        The largest rate within the targets, nine times in ten, over that of undivided replicas.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> from hopperbook.planner.choose import plan
    >>> dividing(plan(default()).recommendation, default()).note  # of two replicas
    '1 of 2 replicas read'
    """
    server, most = server_of(row.gpu), int(assumptions("planner")["divided_replicas"])
    port = server.nics * server.nic_bytes_per_s_per_direction / server.gpus
    targets = limits(customer, row.deployment, SURE)
    best = best_division(row.deployment, demand(customer), targets, min(row.replicas, most), port)
    note = f"{best.readers} of {best.readers + best.writers} replicas read"
    return Variant("prefill apart from decode", best.gain, note)


def changed(row: Configuration, customer: Customer, d: serving.Deployment, asked: serving.Demand) -> float:
    """Return the largest rate of another replica or demand within the targets, over that of the fleet as it is.

    Parameters
    ----------
    row : Configuration
        A fleet that keeps the targets.
    customer : Customer
        Its load and targets.
    d : Deployment
        The replica changed, or as it is.
    asked : Demand
        The demand changed, or as it is.

    Returns
    -------
    float
        Ratio of requests a second.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> from hopperbook.planner.choose import plan
    >>> row = plan(default()).recommendation
    >>> changed(row, default(), row.deployment, demand(default()))
    1.0
    """
    rate = serving.largest(d, asked.dealt(row.replicas), limits(customer, row.deployment, SURE)).rate_per_s
    return rate / max(carried(row.deployment, customer, replicas=row.replicas).rate_per_s, 1e-12)


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
    [('speculative decoding', 1.3), ('no prefix cache', 0.2)]
    """
    found = []
    if customer.draft_acceptance:
        found.append(drafting(row, customer, customer.draft_acceptance))
    if customer.disaggregation == "try" and row.replicas > 1:
        found.append(dividing(row, customer))
    if customer.history_tokens and customer.history_found:
        without = demand(customer.model_copy(update={"history_found": 0.0}))
        gain = changed(row, customer, row.deployment, without)
        found.append(Variant("no prefix cache", gain, "the whole history is read again"))
    return found
