"""A day of the service: what is asked hour by hour, how many replicas that takes, and what is free for other work."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hopperbook import reads
from hopperbook.customer import Customer
from hopperbook.planner.tenure import assumptions

HOURS = 24


@reads.lru_cache(maxsize=1024)
def curve(customer: Customer) -> NDArray[np.float64]:
    r"""Return the load of each hour over that of the busiest: the customer's own, or a smooth day of the same mean.

    .. math:: \left(\frac{1 + \cos 2 \pi (h - 14) / 24}{2}\right)^k,\qquad \frac{1}{24}\sum_h = \text{mean}

    with k = 1 on a floor that lifts the mean where it is above a half.

    Parameters
    ----------
    customer : Customer
        ``day_curve``, or ``busy_fraction``, the mean.

    Returns
    -------
    ndarray, shape (24,)
        From midnight on; at most 1.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> day = curve(default())
    >>> [round(float(x), 3) for x in (day.mean(), day.max(), day[2])]  # two in the morning is the quietest hour
    [0.5, 1.0, 0.0]
    """
    if customer.day_curve:
        own = np.array(customer.hourly_load)
        return own / own.max()
    busiest = assumptions("planner")["busiest_hour"]
    phase = (1 + np.cos(2 * np.pi * (np.arange(HOURS) - busiest) / HOURS)) / 2
    mean = customer.busy_fraction
    if mean >= 0.5:
        floor = 2 * mean - 1
        return np.round(floor + (1 - floor) * phase, 9)
    if mean < 0.05:  # narrower than any smooth day: the busiest hour, and the same little in all others
        rest = max(mean * HOURS - 1, 0.0) / (HOURS - 1)
        return np.where(phase == phase.max(), 1.0, rest)
    return np.round(phase ** _power(phase, mean), 9)


def _power(phase: NDArray[np.float64], mean: float) -> float:
    """Return the power of the hours that has a mean below their own: it falls, ever slower, so Newton's steps rise."""
    risen, power, step = phase[phase > 0], 1.0, 1.0
    while step > 1e-12 * power:
        value = risen**power
        step = float((value.sum() - mean * len(phase)) / -(value * np.log(risen)).sum())
        power += step
    return power


def needed(customer: Customer, replicas: ArrayLike) -> NDArray[np.int_]:
    """Return the replicas that serving needs in each hour, at least one.

    Parameters
    ----------
    customer : Customer
        Its day.
    replicas : int or array of int, shape (n,)
        Replicas that the busiest hour needs.

    Returns
    -------
    ndarray of int, shape (24, n)
        The share of the load in that hour, rounded up.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> needed(default(), 4).ravel().tolist()[8:20]
    [2, 3, 3, 4, 4, 4, 4, 4, 4, 4, 3, 3]
    """
    share = curve(customer)[:, None] * np.atleast_1d(np.asarray(replicas))[None, :]
    return np.maximum(1, np.ceil(np.round(share, 6))).astype(int)


def free_hours(customer: Customer, replicas: ArrayLike, tp: ArrayLike, gpus: ArrayLike) -> NDArray[np.float64]:
    """Return the hours of a day in which as many GPUs as a job needs are not needed by serving.

    Parameters
    ----------
    customer : Customer
        Its day.
    replicas, tp : int or array of int, shape (n,)
        Replicas of the busiest hour, and GPUs of each.
    gpus : int or array of int, shape (k, 1)
        GPUs of the job, or of several jobs.

    Returns
    -------
    ndarray, shape (n,) or (k, n)
        Hours.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> free_hours(default(), [2, 1], [4, 8], 4).tolist()  # of two replicas one is free at night, of one none ever
    [13.0, 0.0]
    """
    free = (np.atleast_1d(np.asarray(replicas)) - needed(customer, replicas)) * np.atleast_1d(np.asarray(tp))
    jobs = np.asarray(gpus)
    return sum((hour >= jobs for hour in free), start=np.zeros(np.broadcast_shapes(jobs.shape, free.shape[1:])))


def served_gpu_hours(customer: Customer, replicas: ArrayLike, tp: ArrayLike) -> NDArray[np.float64]:
    """Return the GPU-hours of a day that serving needs.

    Parameters
    ----------
    customer : Customer
        Its day.
    replicas, tp : int or array of int, shape (n,)
        Replicas of the busiest hour, and GPUs of each.

    Returns
    -------
    ndarray, shape (n,)
        GPU-hours.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> served_gpu_hours(default(), [2], [4]).tolist()  # of 192
    [140.0]
    """
    return (needed(customer, replicas) * np.atleast_1d(np.asarray(tp))).sum(axis=0).astype(float)
