r"""The closed first cut: what requests wait and how fast they are written, from moments alone, for whole sweeps.

An engine works in cycles: a step that writes a token for each running sequence and reads all prompts that came during
the step before.  A step without prompts takes a, a prompt adds d to the step that reads it, requests come at random at
a rate λ.  Then a cycle :math:`X' = a + \sum_{i \le N(X)} d_i` has

.. math:: \bar X = \frac{a}{1 - \rho},\qquad \rho = \lambda \bar d,\qquad
          \operatorname{Var} X = \frac{\lambda \bar X\, \overline{d^2}}{1 - \rho^2}

and a request waits for what is left of the cycle in which it comes, R, then for its own:

.. math:: \mathrm{TTFT} = R + a + d + 2 \rho R,\qquad \bar R = \overline{X^2} / 2 \bar X,\qquad
          \mathrm{TPOT} = \bar X

which is the M/G/1 queue with gated service.  Little's law closes it: :math:`b = \lambda\, o\, \bar X` sequences run.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from hopperbook.later import special
from hopperbook.serving.capacity import kv_capacity_tokens
from hopperbook.serving.clock import Floats
from hopperbook.serving.deployment import Deployment
from hopperbook.serving.step import decode_step_s, mixed_step_s

#: Requests, each its new tokens, those of its answer, and those of its history in the cache.
Sample = tuple[tuple[int, int, int], ...]


class Lengths(NamedTuple):
    """Tokens of requests: new ones of a prompt and an answer, mean and spread; cached before, and of them shared.

    ``sample`` says how lengths are spread around those means, where they are not log-normal.
    """

    new: float
    answer: float
    new_std: float = 0.0
    answer_std: float = 0.0
    cached: float = 0.0
    shared: float = 0.0
    sample: Sample = ()

    @property
    def met(self) -> float:
        """Tokens that a request met at random holds while it is answered: long answers are met more often."""
        return self.cached + self.new + (1 + (self.answer_std / self.answer) ** 2) * self.answer / 2

    @property
    def held(self) -> float:
        """Tokens that a request holds at its end."""
        return self.cached + self.new + self.answer


@dataclass(frozen=True, eq=False)
class Spread:
    """A latency as a mean and a standard deviation, seconds, one entry a load."""

    mean: Floats
    std: Floats
    least: Floats

    def at(self, percentile: str) -> Floats:
        """Return the mean, or a percentile by its name, as of a gamma distribution above the least value."""
        return self.mean if percentile == "mean" else _percentile(self, float(percentile[1:]) / 100)


@lru_cache(maxsize=8192)
def _percentile(spread: Spread, share: float) -> Floats:
    """Return the value below which a share of a latency lies, as of a gamma distribution above its least."""
    mean = np.maximum(spread.mean - spread.least, 1e-12)
    std = np.maximum(spread.std, 1e-9 * mean)
    shape = np.minimum((mean / std) ** 2, 1e6)
    return spread.least + special.gammaincinv(shape, share) * mean / shape


@dataclass(frozen=True)
class Cut:
    """The first cut over a range of loads of one replica: one entry for each number of sequences running.

    ``prefill_share`` is the share of time that prompts take; ``room_share`` that of the cache that a full moment takes,
    two standard deviations above the mean.
    """

    running: Floats
    rate_per_s: Floats
    in_flight: Floats
    ttft: Spread
    tpot: Spread
    request: Spread
    prefill_share: Floats
    room_share: Floats


def running_grid(d: Deployment) -> Floats:
    """Return the numbers of running sequences at which a replica is timed, a tenth apart up to the engine's limit."""
    top = d.engine.max_batch * d.attention_dp
    return np.unique(np.r_[np.geomspace(0.05, 4, 24), np.geomspace(4, top, 60)])


def first_cut(d: Deployment, lengths: Lengths, running: ArrayLike | None = None) -> Cut:
    r"""Work out a replica's latencies under random arrivals for a range of loads, in closed form.

    Parameters
    ----------
    d : Deployment
        The replica.
    lengths : Lengths
        Of the requests.
    running : array_like, optional
        Sequences that run on average; a grid up to the engine's limit by default.

    Returns
    -------
    Cut
        Rates, requests in flight, and latencies, seconds, in the shape of ``running``.

    Notes
    -----
    Source: ``kleinrock-1975-queueing`` for the M/G/1 queue with vacations and gated service.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> from hopperbook.serving import deploy
    >>> d = deploy(load("llama-3.3-70b"), "H100 SXM", tp=4, precision="fp8", kv_precision="fp8")
    >>> cut = first_cut(d, Lengths(2048, 512), [64.0])
    >>> round(float(cut.ttft.mean[0]), 2), round(1e3 * float(cut.tpot.mean[0]))  # seconds, milliseconds; simulated: ...
    (0.33, 30)
    """
    b = running_grid(d) if running is None else np.asarray(running, float)
    o = lengths.answer
    held = lengths.met
    step = decode_step_s(d, b, held)
    prompt, second = _prompt(d, b, held, lengths)
    cycle = step + b * prompt / o
    rate = b / (o * cycle)
    busy = np.minimum(rate * prompt, 0.999)
    variance = rate * cycle * second / (1 - busy**2)
    share = variance / cycle**2
    rest = cycle * (1 + share) / 2
    rest_variance = cycle**2 * (1 + share) * (1 + 2 * share) / 3 - rest**2
    front = d.engine.frontend_s + d.engine.tokenise_s * (lengths.new + lengths.cached)
    own = step + prompt + 2 * busy * rest  # the cycle that reads the prompt, and others that came before it began
    own_variance = (1 + 2 * busy) ** 2 * rest_variance + 2 * rate * rest * second + np.maximum(second - prompt**2, 0)
    lag = d.engine.output_lag_steps
    least = front + (1 + lag) * step
    first = Spread(
        front + rest + own + lag * (step + busy * own),
        np.sqrt((1 + lag * busy) ** 2 * own_variance + lag * rate * own * second),
        least,
    )
    slope = np.gradient(cycle, b) if len(b) > 1 else prompt / o
    gain = np.clip(
        1 - b * slope / cycle, 0.2, 1.0
    )  # a slow moment keeps more requests in flight, which slow it further
    drift = np.sqrt(2 * b / 3) * slope / gain
    per_token = Spread(cycle, np.sqrt(drift**2 + cycle * rate * second / o), 0.0 * cycle)
    whole = first.mean + (o - 1) * cycle
    scatter = np.sqrt(first.std**2 + (cycle * lengths.answer_std) ** 2 + (o * per_token.std) ** 2)
    room = max(kv_capacity_tokens(d, lengths.held) - lengths.shared, 1.0)
    crowd = (b + 2 * np.sqrt(b)) * (held - lengths.shared) / room
    return Cut(b, rate, rate * whole, first, per_token, Spread(whole, scatter, 0.0 * whole), busy, crowd)


def _prompt(d: Deployment, b: Floats, held: float, lengths: Lengths) -> tuple[Floats, Floats]:
    """Return the seconds that a prompt adds to the step that reads it, and the mean of their square."""
    alone = decode_step_s(d, b, held)
    budget = max(float(d.engine.step_tokens), lengths.new if d.engine.whole_prompts else 1.0)
    parts = max(1.0, lengths.new / budget)

    def added(new: float) -> Floats:
        here = max(new / parts, 1.0)
        return parts * (mixed_step_s(d, b, held, here / d.pp, 1.0, lengths.cached) - alone)

    sizes, weights = _sizes(lengths)
    each = np.array([added(float(size)) for size in sizes])
    return weights @ each, weights @ each**2


def _sizes(lengths: Lengths) -> tuple[Floats, Floats]:
    """Return sizes of prompts with weights: of the sample, of log-normal ones by Gauss and Hermite, or one."""
    if lengths.sample:
        new = np.sort([request[0] for request in lengths.sample])
        means = np.array([part.mean() for part in np.array_split(new, min(8, len(new)))])
        shares = np.array([len(part) for part in np.array_split(new, min(8, len(new)))]) / len(new)
        return means * lengths.new / new.mean(), shares
    if not lengths.new_std:
        return np.array([lengths.new]), np.ones(1)
    sigma = np.sqrt(np.log1p((lengths.new_std / lengths.new) ** 2))
    nodes, weights = np.polynomial.hermite_e.hermegauss(5)
    return lengths.new * np.exp(sigma * nodes - sigma**2 / 2), weights / weights.sum()
