"""Speculative decoding: a draft model proposes tokens, the served model checks them all in one step."""

from __future__ import annotations

from typing import NamedTuple

from hopperbook.serving.deployment import Deployment, with_engine
from hopperbook.serving.drafts import tokens_per_step
from hopperbook.serving.step import decode_step_s


class Speculation(NamedTuple):
    """What speculation does to a decode step.

    Parameters
    ----------
    tokens_per_step : float
        Tokens that a sequence gains in a step, on average.
    step_ratio : float
        Length of a step that checks drafts over that of a plain one.
    """

    tokens_per_step: float
    step_ratio: float

    @property
    def speedup(self) -> float:
        """How many times as fast a user reads, the time of the draft model neglected."""
        return self.tokens_per_step / self.step_ratio


def speculating(d: Deployment, acceptance: float, drafts: int) -> Deployment:
    """Return a replica that drafts tokens with a layer of its own and checks them in one step.

    Parameters
    ----------
    d : Deployment
        The replica.
    acceptance : float
        Share of drafts accepted.
    drafts : int
        Drafts a step.

    Returns
    -------
    Deployment
        The same with those constants; its step times are seconds of a token.

    Raises
    ------
    InputError
        If the share is outside 0 to 1 or drafts are negative.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> from hopperbook.serving import deploy
    >>> d = deploy(load("llama-3.3-70b"), "H100 SXM", tp=4, precision="fp8")
    >>> [round(1e3 * float(decode_step_s(x, 4, 2048)), 1) for x in (d, speculating(d, 0.7, 3))]  # milliseconds a token
    [11.5, 5.0]
    """
    tokens_per_step(acceptance, drafts)  # raises
    return with_engine(d, acceptance=acceptance, drafts=drafts)


def speculate(d: Deployment, users: int, context_tokens: float, acceptance: float, drafts: int) -> Speculation:
    r"""Work out what speculation buys a load: one step drafts, checks every draft and yields several tokens.

    .. math:: \frac{t_\gamma(u, s)}{t(u, s)}

    Parameters
    ----------
    d : Deployment
        The replica.
    users : int
        Sequences of the replica, u.
    context_tokens : float
        Tokens each holds on average, s.
    acceptance : float
        Share of drafts accepted.
    drafts : int
        Drafts a step, gamma.

    Returns
    -------
    Speculation
        Tokens a step, and the length of a step over that of a plain one.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> from hopperbook.serving import deploy
    >>> d = deploy(load("llama-3.1-70b"), "H100 SXM", tp=4)
    >>> [round(speculate(d, users, 2048, 0.7, 3).speedup, 1) for users in (1, 256)]
    [2.3, 1.2]
    """
    gained = tokens_per_step(acceptance, drafts)
    a_token = float(decode_step_s(speculating(d, acceptance, drafts), users, context_tokens))
    return Speculation(gained, gained * a_token / float(decode_step_s(d, users, context_tokens)))
