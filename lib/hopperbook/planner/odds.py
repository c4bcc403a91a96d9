"""How likely a predicted quantity keeps a limit, from the checked ranges of the predictions."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from hopperbook import facts
from hopperbook.customer import Customer
from hopperbook.evidence.beyond import training_band
from hopperbook.models import load
from hopperbook.planner.configuration import TrainingRun
from hopperbook.planner.rollouts import method_constants
from hopperbook.training import METHODS

SURE = 0.9  # probability that a recommendation must reach for each target
Z80 = NormalDist().inv_cdf(0.9)


def probability(predicted: ArrayLike, limit: float, factors: tuple[ArrayLike, ArrayLike]) -> NDArray[np.float64]:
    r"""Probability that a quantity stays below a limit, its error lognormal with a given 80 % interval.

    .. math:: \Phi\!\left(\frac{\ln L - \ln(\hat y \sqrt{l h})}{\ln(h / l) / (2 \cdot 1.2816)}\right)

    Parameters
    ----------
    predicted : float or array
        Predictions.
    limit : float
        Limit in the same unit.
    factors : tuple of float or array
        Ends of the 80 % interval over each prediction.

    Returns
    -------
    ndarray
        Between 0 and 1.

    Examples
    --------
    >>> round(float(probability(50.0, 50.0 * 1.1, (1 / 1.1, 1.1))), 2)
    0.9
    """
    from scipy.special import ndtr

    if np.isinf(limit):  # nothing is asked
        return np.ones(np.shape(predicted))
    low, high = np.log(factors[0]), np.log(factors[1])
    sigma = np.maximum((high - low) / (2 * Z80), 1e-9)
    with np.errstate(divide="ignore"):  # an answer of one token has no time between tokens: it keeps any limit
        return ndtr((np.log(limit) - np.log(np.asarray(predicted, float)) - (low + high) / 2) / sigma)


def days_band(customer: Customer, part: str) -> tuple[float, float]:
    """Return the 80 % factors of the days that a run takes on a part.

    Parameters
    ----------
    customer : Customer
        The model trained.
    part : str
        GPU.

    Returns
    -------
    tuple of float
        (low, high) over the prediction.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> low, high = days_band(default(), "H100 SXM")
    >>> round(low, 3), round(high, 3)
    (0.939, 1.079)
    """
    rate = training_band(facts.gpu(part), bool(load(customer.trained_model).experts))
    low, high = 1 / rate.high, 1 / rate.low
    if customer.training_task in METHODS:
        own = method_constants()["step_overhead" if customer.training_task == "grpo" else "passes_range"]
        low, high = min(low, own["low"]), max(high, own["high"])
    return low, high


def days_range(customer: Customer, run: TrainingRun) -> tuple[float, float]:
    """Return the ends of the 80 % range of the days that a planned run takes, interruptions on spot counted.

    Parameters
    ----------
    customer : Customer
        The model trained.
    run : TrainingRun
        The run.

    Returns
    -------
    tuple of float
        Days.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> from hopperbook.planner.choose import plan
    >>> [round(24 * days, 1) for days in days_range(default(), plan(default()).training)]  # hours
    [15.3, 17.6]
    """
    low, high = days_band(customer, run.gpu)
    return low * run.days_seldom, high * run.days_often


def p_deadline(rows: pd.DataFrame, customer: Customer) -> NDArray[np.float64]:
    r"""Return the probability that each run of a table keeps the deadline, by its part's range.

    .. math:: 0.3\,p(d_\mathrm{seldom}) + 0.4\,p(d) + 0.3\,p(d_\mathrm{often})

    Parameters
    ----------
    rows : DataFrame
        With ``gpu`` and ``days``; with ``days_seldom`` and ``days_often`` at the ends of the 80 % range of
        interruptions, weighed as Swanson does.
    customer : Customer
        The deadline.

    Returns
    -------
    ndarray
        Between 0 and 1.
    """
    factors = {part: days_band(customer, part) for part in rows.gpu.unique()}
    low, high = (rows.gpu.map({part: ends[i] for part, ends in factors.items()}).to_numpy(float) for i in (0, 1))
    ends = [(0.3, "days_seldom"), (0.4, "days"), (0.3, "days_often")] if "days_often" in rows else [(1.0, "days")]
    deadline = customer.training_deadline_days
    odds = [share * probability(rows[name].to_numpy(float), deadline, (low, high)) for share, name in ends]
    return np.sum(odds, axis=0)
