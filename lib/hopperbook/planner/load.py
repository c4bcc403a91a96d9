"""What a customer asks of a fleet, in the words of :mod:`hopperbook.serving.demand`: its demand and its limits."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

from hopperbook import reads
from hopperbook.customer import Customer
from hopperbook.evidence.beyond import bands
from hopperbook.models import Model, load, reader
from hopperbook.planner.odds import Z80
from hopperbook.serving import Deployment
from hopperbook.serving.demand import Demand, Targets
from hopperbook.serving.queue import Lengths
from hopperbook.serving.traffic import gap_variation


def served_model(customer: Customer) -> Model:
    """Return the model as it serves: as it writes, or as it reads texts of the customer's length.

    Parameters
    ----------
    customer : Customer
        Its model and service.

    Returns
    -------
    Model
        Its shapes.

    Examples
    --------
    >>> from hopperbook.customer import check
    >>> search = {"name": "A", "model": "bge-m3", "service": "embed", "prompt_tokens": 300}
    >>> served_model(check(search)).text_tokens
    300
    """
    model = load(customer.model)
    return reader(model, customer.prompt_tokens) if customer.only_reads else model


@reads.lru_cache(maxsize=1024)
def demand(customer: Customer) -> Demand:
    """Return what the whole fleet is asked at the busy hour.

    Parameters
    ----------
    customer : Customer
        Its traffic.

    Returns
    -------
    Demand
        Lengths with the history that is found in the cache, and a rate or users.  A conversation with such history
        stays with its replica; other requests go to the least loaded.

    Examples
    --------
    >>> from hopperbook.customer import check
    >>> chat = {"name": "A", "model": "llama-3.1-8b", "prompt_tokens": 500, "output_tokens": 200}
    >>> asked = demand(check(chat | {"context_tokens": 4700, "history_found": 0.75}))
    >>> asked.lengths.cached, asked.lengths.new  # 3,000 of 4,000 tokens of history are found, the rest is read again
    (3000.0, 1500.0)
    """
    found = customer.history_found * customer.history_tokens
    shared = float(customer.shared_prompt_tokens)
    lengths = Lengths(
        new=customer.request_tokens + customer.history_tokens - found,
        answer=float(customer.output_tokens),
        new_std=customer.prompt_std_tokens * customer.texts_per_request**0.5,
        answer_std=customer.output_std_tokens,
        cached=found + shared,
        shared=shared,
        sample=customer.sample,
    )
    rate = customer.requests_per_s
    users = 0.0 if rate else float(customer.concurrency)
    variation = customer.arrival_variation or gap_variation(customer.arrivals)
    routing = "by_session" if found else "least_loaded"
    return Demand(lengths, rate, users, customer.think_time_s, variation, routing)


def allowance(factors: tuple[float, float], least: float) -> float:
    r"""Return the share of a limit that a prediction may reach if the limit is to be kept with some probability.

    .. math:: \min\left(1, \exp(-\mu - z \sigma)\right),\qquad \mu = \tfrac12 \ln l h,\quad
              \sigma = \frac{\ln h / l}{2 \cdot 1.2816}

    Parameters
    ----------
    factors : tuple of float
        Ends l and h of the 80 % range over the prediction.
    least : float
        Probability.

    Returns
    -------
    float
        At most one: the prediction itself keeps the limit.

    Examples
    --------
    >>> round(allowance((0.9, 1.25), 0.9), 2)
    0.8
    """
    low, high = np.log(factors)
    return float(min(1.0, np.exp(-(low + high) / 2 - NormalDist().inv_cdf(least) * (high - low) / (2 * Z80))))


@reads.lru_cache(maxsize=65536)
def limits(customer: Customer, d: Deployment, least: float) -> Targets:
    """Return the latencies that a replica may be predicted to have if it is to keep each target as surely as asked.

    Parameters
    ----------
    customer : Customer
        Targets and their percentiles.
    d : Deployment
        The replica, whose ranges decide.
    least : float
        Probability that each target must reach.

    Returns
    -------
    Targets
        Seconds.
    """
    b = bands(d)
    first, rest = allowance(b["ttft"], least), allowance(b["tpot"], least)
    whole = customer.request_target_ms / 1e3 or np.inf
    return Targets(
        first * customer.ttft_target_ms / 1e3, rest * customer.tpot_target_ms / 1e3, rest * whole,
        customer.ttft_percentile, customer.tpot_percentile, customer.request_percentile,
    )  # fmt: skip
