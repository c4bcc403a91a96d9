"""Drafts of speculative decoding: how many tokens a step yields."""

from __future__ import annotations

from hopperbook.errors import InputError


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
