"""How likely a predicted quantity keeps a limit, from the checked ranges of the predictions."""

from __future__ import annotations

import functools
from statistics import NormalDist
from typing import Any

import numpy as np

from hopperbook import evidence
from hopperbook.customer import Customer
from hopperbook.models import load

SURE = 0.9  # probability that a recommendation must reach for each target
Z80 = NormalDist().inv_cdf(0.9)


def probability(predicted: Any, limit: float, factors: tuple[float, float]) -> Any:
    r"""Probability that a quantity stays below a limit, its error lognormal with a given 80 % interval.

    .. math:: \Phi\!\left(\frac{\ln L - \ln(\hat y \sqrt{l h})}{\ln(h / l) / (2 \cdot 1.2816)}\right)

    Parameters
    ----------
    predicted : float or array
        Prediction.
    limit : float
        Limit in the same unit.
    factors : tuple of float
        Ends of the 80 % interval over the prediction.

    Returns
    -------
    float or array
        Between 0 and 1.

    Examples
    --------
    >>> round(float(probability(50.0, 50.0 * 1.1, (1 / 1.1, 1.1))), 2)
    0.9
    """
    from scipy.special import ndtr

    low, high = np.log(factors[0]), np.log(factors[1])
    sigma = max((high - low) / (2 * Z80), 1e-9)
    with np.errstate(divide="ignore"):  # an answer of one token has no time between tokens: it keeps any limit
        return ndtr((np.log(limit) - np.log(np.asarray(predicted, float)) - (low + high) / 2) / sigma)


def bands(customer: Customer) -> dict[str, tuple[float, float]]:
    """Return the 80 % factors of the quantities that a plan predicts, of the families its models belong to.

    Parameters
    ----------
    customer : Customer
        Its models: dense ones and Mixtures of Experts have ranges of their own.

    Returns
    -------
    dict
        Of ``tpot``, ``ttft``, ``throughput`` and ``days``: (low, high) over the prediction.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> low, high = bands(default())["tpot"]
    >>> low < high
    True
    """
    return _bands(bool(load(customer.model).experts), bool(load(customer.trained_model).experts))


@functools.cache
def _bands(moe: bool, moe_trained: bool) -> dict[str, tuple[float, float]]:
    engine = "online/vllm/moe" if moe else "online/vllm-0.12/dense"
    kind = "-moe/megatron" if moe_trained else "/dense/megatron"
    rate = evidence.interval("training/tokens_per_s_per_gpu" + kind, "tokens_per_s_per_gpu")
    tpot = evidence.interval(f"serving/tpot_ms/{engine}", "tpot_ms")
    return {
        "tpot": tpot,
        "ttft": evidence.interval(f"serving/ttft_ms/{engine}", "ttft_ms"),
        "throughput": (1 / tpot[1], 1 / tpot[0]),
        "days": (1 / rate[1], 1 / rate[0]),
    }
