"""The 80 % ranges of predictions, by family of evidence."""

from __future__ import annotations

import math
from functools import cache

from hopperbook import facts


@cache
def intervals() -> dict[str, dict[str, float]]:
    """Return the 80 % factors of each family from ``data/intervals.yaml``."""
    return facts.read_yaml("intervals.yaml")["families"]


@cache
def beyond_exponent() -> float:
    """Return the exponent on a range where a shape leaves its table (assumed: ``data/constants/evidence.yaml``)."""
    return float(facts.read_yaml("constants/evidence.yaml")["beyond_exponent"]["value"])


def interval(family: str, wider: float = 1.0) -> tuple[float, float]:
    r"""Return the factors that bound 80 % of measurements around a prediction.

    .. math:: \Pr\left[\hat y\, e^{q_{10}} \le y \le \hat y\, e^{q_{90}}\right] \approx 0.8

    Parameters
    ----------
    family : str
        ``kind/quantity`` or finer, such as ``serving/ttft_ms/vllm``; the longest known beginning is used.
    wider : float
        Exponent on both factors where the prediction leaves what was measured: 1.5 is half as wide again, in
        logarithms.

    Returns
    -------
    low, high : float
        Factors on the prediction; NaN where nothing of the kind was measured, since a range must be earned.

    Notes
    -----
    Source: ``vovk-2005-conformal`` (split conformal prediction on log residuals).

    Examples
    --------
    >>> low, high = interval("serving/tpot_ms")
    >>> round(low, 2), round(high, 2)  # of 10 ms predicted, 80 % of measurements lie between 9.3 and 11.3 ms
    (0.93, 1.13)
    """
    known = intervals()
    while family and family not in known:
        family = family.rpartition("/")[0]
    if not family:
        return math.nan, math.nan
    found = known[family]
    return float(found["low"]) ** wider, float(found["high"]) ** wider
