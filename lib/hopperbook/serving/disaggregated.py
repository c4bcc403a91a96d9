"""Prefill and decode on replicas of their own: some read prompts, others write answers from the cache they are sent.

A prompt never holds up the tokens of others, and each kind of replica may be as many as its work needs; in return the
cache of every prompt crosses the network, and a fleet of few replicas is hard to divide.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from hopperbook.errors import InputError
from hopperbook.models import cache_bytes
from hopperbook.serving.clock import Floats
from hopperbook.serving.demand import (
    Answer,
    Demand,
    Lengths,
    Targets,
    at_rate,
    draws,
    largest,
    limits_of,
    steady_answer,
)
from hopperbook.serving.deployment import Deployment
from hopperbook.serving.events import Requests, Run, replay
from hopperbook.serving.search import largest_kept


def transfer_s(d: Deployment, prompt_tokens: ArrayLike, bytes_per_s: float) -> float | Floats:
    r"""Return the seconds in which a prompt's cache crosses the network, each GPU over a port of its own.

    .. math:: B_\mathrm{kv}(n) / (g\, b)

    Parameters
    ----------
    d : Deployment
        The replica that sends, of g GPUs.
    prompt_tokens : float or array
        Tokens, n.
    bytes_per_s : float
        Of one GPU's port, b.

    Returns
    -------
    float or array
        Seconds.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> from hopperbook.serving import deploy
    >>> d = deploy(load("llama-3.3-70b"), "H100 SXM", tp=4, precision="fp8", kv_precision="fp8")
    >>> round(1e3 * transfer_s(d, 2048, 50e9), 1)  # milliseconds: 336 MB over four ports of 400 Gb/s
    1.7
    """
    return cache_bytes(d.model, prompt_tokens, d.kv_precision) / (d.gpus * bytes_per_s)


def divided(d: Deployment, requests: Requests, readers: int, writers: int, bytes_per_s: float) -> Run:
    """Serve requests by replicas that read and replicas that write.

    Parameters
    ----------
    d : Deployment
        A replica of either kind.
    requests : Requests
        What is asked, at its own times.
    readers, writers : int
        Replicas that read prompts, and that write answers; the least loaded of each is taken.
    bytes_per_s : float
        Of one GPU's port.

    Returns
    -------
    Run
        First tokens are the readers', the rest the writers'; what the replicas did is the writers'.

    Raises
    ------
    InputError
        If there are none of one kind.
    """
    if min(readers, writers) < 1:
        raise InputError("replicas", readers + writers, "two or more, to read and to write")
    prompt, answer = np.asarray(requests.prompt_tokens), np.asarray(requests.answer_tokens)
    read = replay(d, requests._replace(answer_tokens=np.ones_like(answer)), limits_of(d), 0, readers, "least_loaded")
    sent = read.arrival + read.ttft
    handed = sent + transfer_s(d, prompt, bytes_per_s)
    order = np.argsort(handed, kind="stable")
    rest = Requests(prompt[order] + 1, np.maximum(answer[order] - 1, 1), prompt[order], handed[order])
    written = replay(d, rest, limits_of(d), 0, writers, "least_loaded")
    last = np.empty_like(sent)
    last[order] = written.arrival + written.request
    last = np.where(answer > 1, last, sent)
    tpot = (last - sent) / np.maximum(answer - 1, 1)
    return replace(
        written, arrival=read.arrival, ttft=read.ttft, tpot=tpot, request=last - read.arrival,
        tokens=answer.astype(float), prefill_share=read.prefill_share,
    )  # fmt: skip


def answered(
    d: Deployment, lengths: Lengths, rate_per_s: float, readers: int, writers: int, bytes_per_s: float,
    variation: float = 1.0,
) -> Answer:  # fmt: skip
    """Say how divided replicas answer a rate in their steady state.

    Parameters
    ----------
    d : Deployment
        A replica of either kind.
    lengths : Lengths
        Of the requests.
    rate_per_s : float
        Requests a second, of all.
    readers, writers : int
        Replicas of each kind.
    bytes_per_s : float
        Of one GPU's port.
    variation : float
        Of the gaps between requests, as of :class:`hopperbook.serving.demand.Demand`.

    Returns
    -------
    Answer
        Latencies of the requests.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> from hopperbook.serving import deploy
    >>> d = deploy(load("llama-3.3-70b"), "H100 SXM", tp=4, precision="fp8", kv_precision="fp8")
    >>> seen = answered(d, Lengths(2048, 512), 6.0, 1, 1, 50e9)
    >>> round(seen.ttft.p95, 2), round(1e3 * seen.tpot.p95, 1)  # seconds; milliseconds: no prompt holds up a token
    (0.78, 16.3)
    """
    requests, edge = draws(d, lengths, rate_per_s, writers, variation)
    return steady_answer(divided(d, requests, readers, writers, bytes_per_s), edge, rate_per_s, lengths)


class Division(NamedTuple):
    """The best division of some replicas, the rate it carries within the targets, and that of undivided ones."""

    readers: int
    writers: int
    rate_per_s: float
    together_per_s: float

    @property
    def gain(self) -> float:
        """Requests a second of divided replicas over those of undivided ones."""
        return self.rate_per_s / max(self.together_per_s, 1e-12)


def best_division(d: Deployment, demand: Demand, targets: Targets, replicas: int, bytes_per_s: float) -> Division:
    """Find how to divide replicas into readers and writers so that they carry the most within the targets.

    As many readers are tried as prompts keep replicas busy when undivided, one more and one fewer.

    Parameters
    ----------
    d : Deployment
        A replica.
    demand : Demand
        Lengths; how much is asked does not matter.
    targets : Targets
        Latencies to keep.
    replicas : int
        In all, two or more.
    bytes_per_s : float
        Of one GPU's port.

    Returns
    -------
    Division
        Rates to two per cent.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> from hopperbook.serving import deploy
    >>> d = deploy(load("llama-3.3-70b"), "H100 SXM", tp=4, precision="fp8", kv_precision="fp8")
    >>> found = best_division(d, Demand(Lengths(2048, 512), users=1), Targets(2.0, 0.040), 4, 50e9)
    >>> found.readers, found.writers, round(found.gain, 2)
    (2, 2, 1.26)
    """
    each = demand.dealt(replicas)
    together = replicas * largest(d, each, targets).rate_per_s
    if not together:
        return Division(1, replicas - 1, 0.0, 0.0)

    def carried(readers: int) -> float:
        def keeps(rate: float) -> bool:
            seen = answered(d, demand.lengths, rate, readers, replicas - readers, bytes_per_s, demand.variation)
            return targets.keeps(seen)

        return largest_kept(keeps, together, together / 64, 8 * together, to=1.02)

    busy = at_rate(d, demand.lengths, together / replicas, each.variation).prefill_share
    likely = round(busy * replicas)  # as many readers as prompts keep busy, one more and one fewer
    tried = {min(max(readers, 1), replicas - 1) for readers in (likely - 1, likely, likely + 1)}
    rates = {readers: carried(readers) for readers in sorted(tried)}
    best = max(rates, key=lambda readers: (round(rates[readers], 6), -readers))
    return Division(best, replicas - best, rates[best], together)
