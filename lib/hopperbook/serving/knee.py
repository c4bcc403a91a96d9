"""The knee of a throughput curve: where more users stop buying throughput and only wait longer."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from hopperbook.serving.clock import Floats


def elasticity(users: ArrayLike, tokens_per_s: ArrayLike) -> Floats:
    r"""Return by how many per cent throughput grows with one per cent more users.

    .. math:: \frac{d \ln r}{d \ln u}

    Parameters
    ----------
    users : array_like
        Users at once, u, ascending; three or more.
    tokens_per_s : array_like
        Throughput, r, in any unit.

    Returns
    -------
    ndarray
        One value for each number of users: 1 where throughput is in proportion, 0 where it is flat.

    Examples
    --------
    >>> elasticity([1, 2, 4, 8], [10, 20, 40, 40]).round(2).tolist()
    [1.0, 1.0, 0.5, 0.0]
    """
    return np.gradient(np.log(np.asarray(tokens_per_s, float)), np.log(np.asarray(users, float)))


def knee(users: ArrayLike, tokens_per_s: ArrayLike, least: float = 0.5) -> int:
    """Find the knee: the first number of users from which more of them buy less than a share in throughput.

    Parameters
    ----------
    users : array_like
        Users at once, ascending.
    tokens_per_s : array_like
        Throughput, in any unit.
    least : float
        Per cent of throughput that one per cent more users must buy.

    Returns
    -------
    int
        Users; the last number where the curve has no knee, or fewer than three points.

    Examples
    --------
    >>> users = [1, 2, 4, 8, 16, 32]
    >>> knee(users, [u / (1 + u / 8) for u in users]), knee(users, users)
    (16, 32)
    """
    numbers = np.asarray(users, float)
    if len(numbers) < 3:
        return int(numbers[-1])
    poor = elasticity(numbers, tokens_per_s) < least
    return int(numbers[int(np.argmax(poor))] if poor.any() else numbers[-1])
