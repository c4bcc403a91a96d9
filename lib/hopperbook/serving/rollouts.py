"""Roll-outs of a batch of prompts: all answers begin at once, and a step of training waits for the longest.

Lengths are memoryless up to the longest that is allowed: :math:`P(X > x) = e^{-x / \\theta}` for x below L, with
:math:`\\theta` such that the mean is the one given.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from hopperbook.errors import InputError
from hopperbook.serving.capacity import budget, kv_capacity_tokens
from hopperbook.serving.clock import Floats
from hopperbook.serving.deployment import Deployment
from hopperbook.serving.steady import unstreamed
from hopperbook.serving.step import decode_step_s, prefill_s

#: Points at which the tail of a batch is read.
POINTS = 200


@lru_cache(maxsize=1024)
def scale_tokens(mean: float, longest: float) -> float:
    r"""Return the scale of memoryless lengths that end at the longest allowed.

    .. math:: \theta\,(1 - e^{-L / \theta}) = \text{mean}

    Parameters
    ----------
    mean, longest : float
        Tokens.

    Returns
    -------
    float
        Tokens; a thousand times the longest where nearly all answers reach it.

    Raises
    ------
    InputError
        If the mean is not between 0 and the longest.

    Examples
    --------
    >>> round(scale_tokens(1000, 3840)), round(scale_tokens(1000, 1e6))
    (1024, 1000)
    """
    if not 0 < mean <= longest:
        raise InputError("rollout_tokens", mean, f"above 0 and at most {longest:g}")
    most = 1e3 * longest
    if -most * np.expm1(-longest / most) <= mean:
        return most
    from scipy.optimize import brentq

    return float(brentq(lambda t: -t * np.expm1(-longest / t) - mean, mean / 50, most, xtol=1e-6))


def rollouts_s(d: Deployment, sequences: float, prompt_tokens: float, mean: float, longest: float) -> float:
    r"""Return the seconds in which a replica answers so many prompts that are there at once.

    .. math:: \frac{\max(N - B, 0)\, o}{B}\, t(B) + \int_0^L t(\max(B e^{-x/\theta}, 1))\,dx + N t_\mathrm{prompt}

    B answers at a time fit; as they end, the rest run on in a smaller batch to the longest.

    Parameters
    ----------
    d : Deployment
        The replica.
    sequences : float
        Prompts N.
    prompt_tokens, mean, longest : float
        Tokens of a prompt, and of an answer: the mean o, and the most L.

    Returns
    -------
    float
        Seconds; infinity where not one sequence fits.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> from hopperbook.serving import deploy
    >>> d = deploy(load("llama-3.1-8b"), "H100 SXM")
    >>> round(rollouts_s(d, 128, 200, 860, 3896))  # 16 GPUs answer 2,048 prompts: less than half of a step of 98 s
    32
    """
    d = unstreamed(d)
    if budget(d, prompt_tokens + longest).users < 1:
        return np.inf
    room = int(kv_capacity_tokens(d, prompt_tokens + mean) // (prompt_tokens + mean))
    slots = max(1.0, min(sequences, room, d.engine.max_batch * d.attention_dp))
    steady = float(decode_step_s(d, slots, prompt_tokens + mean / 2))
    full_s = max(sequences - slots, 0.0) * mean / slots * steady
    at = (np.arange(POINTS) + 0.5) * longest / POINTS
    left: Floats = np.maximum(slots * np.exp(-at / scale_tokens(mean, longest)), 1.0)
    tail_s = float(decode_step_s(d, left, prompt_tokens + at).sum()) * longest / POINTS
    batch = max(1.0, d.engine.step_tokens // prompt_tokens)
    read_s = sequences / batch * float(prefill_s(d, batch * prompt_tokens, batch))
    return full_s + tail_s + read_s
