"""The largest rate that keeps something, found by trying: the one search of this package."""

from __future__ import annotations

from collections.abc import Callable


def largest_kept(
    keeps: Callable[[float], bool], start_per_s: float, least_per_s: float, most_per_s: float, to: float = 1.01
) -> float:
    """Find the largest rate that keeps limits which a higher rate can only miss.

    Parameters
    ----------
    keeps : callable
        Whether a rate, requests a second, keeps them.
    start_per_s : float
        Where the search begins, requests a second.
    least_per_s, most_per_s : float
        Ends of the search: below the first nothing is worth finding, above the second nothing is steady.
    to : float
        Ratio of the two rates between which the answer lies at the end.

    Returns
    -------
    float
        Requests a second; 0 where no rate above the least keeps them, the most where that does.

    Examples
    --------
    >>> round(largest_kept(lambda rate: rate <= 7.0, 1.0, 0.01, 100.0), 1)
    7.0
    """
    low, high = 0.0, min(max(start_per_s, least_per_s), most_per_s)
    while keeps(high):
        if high >= most_per_s:
            return high
        low, high = high, min(1.2 * high, most_per_s)
    while low == 0.0:
        lower = high / (1.25 if high > 32 * least_per_s else 4)
        if lower < least_per_s:
            return 0.0
        low, high = (lower, high) if keeps(lower) else (0.0, lower)
    while high / low > to:
        middle = (low * high) ** 0.5
        low, high = (middle, high) if keeps(middle) else (low, middle)
    return low
