"""Speculative decoding: a draft model proposes tokens, the served model checks them all in one step."""

from __future__ import annotations

from typing import NamedTuple

from hopperbook.errors import InputError
from hopperbook.serving.deployment import Deployment
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


def tokens_per_step(acceptance: float, drafts: int) -> float:
    r"""Return the tokens that a sequence gains in a step, on average.

    .. math:: \frac{1 - \alpha^{\gamma + 1}}{1 - \alpha}

    Parameters
    ----------
    acceptance : float
        Share of drafts that the served model accepts, alpha, each draft alike.
    drafts : int
        Drafts a step, gamma.

    Returns
    -------
    float
        From 1 (none accepted) to gamma + 1 (all accepted).

    Raises
    ------
    InputError
        If the share is outside 0 to 1 or drafts are negative.

    Notes
    -----
    Source: ``leviathan-2022-speculative``, equation 1.

    Examples
    --------
    >>> round(tokens_per_step(0.7, 3), 2)
    2.53
    """
    if not 0 <= acceptance <= 1:
        raise InputError("acceptance", acceptance, "a share from 0 to 1")
    if drafts < 0:
        raise InputError("drafts", drafts, "0 drafts or more")
    if acceptance == 1:
        return drafts + 1.0
    return (1 - acceptance ** (drafts + 1)) / (1 - acceptance)


def speculate(d: Deployment, users: int, context_tokens: float, acceptance: float, drafts: int) -> Speculation:
    r"""Work out what speculation buys a load: a step checks every draft as if it were a sequence of its own.

    .. math:: \frac{t(u (\gamma + 1), s)}{t(u, s)}

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
    [2.5, 0.8]
    """
    checked = float(decode_step_s(d, users * (drafts + 1), context_tokens))
    return Speculation(tokens_per_step(acceptance, drafts), checked / float(decode_step_s(d, users, context_tokens)))
