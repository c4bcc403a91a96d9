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


@cache
def one_campaign() -> tuple[str, ...]:
    """Return the frameworks whose every run on file is of one campaign."""
    return tuple(facts.read_yaml("constants/evidence.yaml")["one_campaign"])


@cache
def one_campaign_exponent() -> float:
    """Return the exponent on the range of such a framework (assumed: ``data/constants/evidence.yaml``)."""
    return float(facts.read_yaml("constants/evidence.yaml")["one_campaign_exponent"]["value"])


@cache
def uneven_answers() -> float:
    """Return the shortest answer over the longest that takes users out of lockstep (assumed)."""
    return float(facts.read_yaml("constants/evidence.yaml")["uneven_answers"]["value"])


@cache
def distance(family: str, what: str) -> float:
    """Return the exponent on a range where a whole version, model, format or part is new, as leaving those out showed.

    Parameters
    ----------
    family : str
        Such as ``serving/tpot_ms/online``.
    what : str
        ``version``, ``model``, ``format`` or ``part``.

    Returns
    -------
    float
        At least 1; the assumed exponent of :func:`beyond_exponent` where nothing was learnt.

    Examples
    --------
    >>> distance("serving/tpot_ms/online", "version") >= 1.0
    True
    """
    known = facts.read_yaml("intervals.yaml").get("distances", {})
    return float(known.get(family, {}).get(what, beyond_exponent()))


@cache
def stand_in_factors() -> dict[str, dict[str, float]]:
    """Return by how much ranges grow where another part's kernels time a part, from ``data/stand_ins.yaml``.

    Examples
    --------
    >>> found = stand_in_factors()  # of the same compute capability, and of another
    >>> found["another"]["tpot_ms"] > found["same"]["tpot_ms"] > 1
    True
    """
    return facts.read_yaml("stand_ins.yaml")["factors"]


#: What a quantity's stand-in error was measured on, where it was not measured itself, by the start of its name.
_LIKE = {
    "ttft": "ttft_ms", "tpot": "tpot_ms", "itl": "tpot_ms", "e2e": "tpot_ms", "largest": "output_tokens_per_s",
    "step": "tokens_per_s_per_gpu", "model": "tokens_per_s_per_gpu", "memory": "",
}  # fmt: skip


def stand_in_factor(near: str, quantity: str) -> float:
    """Return the factor by which both ends of a range grow where another part's kernels made the prediction.

    Parameters
    ----------
    near : str
        ``same`` or ``another`` compute capability; empty where the part itself was measured.
    quantity : str
        Such as ``tpot_ms``.

    Returns
    -------
    float
        1 where nothing stands in.

    Examples
    --------
    >>> stand_in_factor("", "tpot_ms"), stand_in_factor("same", "tpot_p95_ms") == stand_in_factor("same", "tpot_ms")
    (1.0, True)
    """
    if not near:
        return 1.0
    known = stand_in_factors()[near]
    if quantity not in known:
        quantity = _LIKE.get(quantity.split("_")[0], "output_tokens_per_s")
    return float(known.get(quantity, 1.0))


#: Quantities that say the same as another: whose range is theirs, and whether upside down.
_SAYS = {
    "training/step_s": ("training/tokens_per_s_per_gpu", True),
    "training/model_tflops_per_gpu": ("training/tokens_per_s_per_gpu", False),
    "collective/algbw_GBs": ("collective/time_us", True), "collective/busbw_GBs": ("collective/time_us", True),
    "serving/output_tokens_per_s/online": ("serving/tpot_ms/online", True),
    "load/tpot_mean_ms/over_time": ("serving/tpot_ms/online", False),
}  # fmt: skip


def same_as(family: str) -> tuple[str, bool]:
    """Return the family under which a family's range is kept, and whether measurement and prediction change places.

    Examples
    --------
    >>> same_as("training/step_s/dense/megatron"), same_as("training/step_s-moe/megatron")
    (('training/tokens_per_s_per_gpu/dense/megatron', True), ('training/tokens_per_s_per_gpu-moe/megatron', True))
    """
    for start, (other, upside_down) in _SAYS.items():
        if family.startswith(start):
            return other + family[len(start) :], upside_down
    return family, False


def known_family(family: str) -> str:
    """Return the longest beginning of a family that has a range of its own, or nothing.

    Examples
    --------
    >>> known_family("serving/tpot_ms/online/dense/an engine to come")
    'serving/tpot_ms/online/dense'
    """
    family, known = same_as(family)[0], intervals()
    while family and family not in known:
        family = family.rpartition("/")[0]
    return family


def interval(family: str, wider: float = 1.0, near: str = "") -> tuple[float, float]:
    r"""Return the factors that bound 80 % of measurements around a prediction.

    .. math:: \Pr\left[\hat y\, e^{q_{10}} \le y \le \hat y\, e^{q_{90}}\right] \approx 0.8

    Parameters
    ----------
    family : str
        ``kind/quantity`` or finer, such as ``serving/ttft_ms/vllm``; the longest known beginning is used.
    wider : float
        Exponent on both factors where the prediction leaves what was measured: 1.5 is half as wide again, in
        logarithms.
    near : str
        How near the part is that stands in for the one predicted (``same`` or ``another`` compute capability): both
        ends then grow by the factor that known parts timed by one another showed.

    Returns
    -------
    low, high : float
        Factors on the prediction; NaN where nothing of the kind was measured, since a range must be earned.

    Notes
    -----
    Source: ``vovk-2005-conformal`` (conformal prediction on log residuals, whole groups left out).

    Examples
    --------
    >>> low, high = interval("serving/tpot_ms")
    >>> round(low, 2), round(high, 2)  # of 10 ms predicted, 80 % of measurements lie between 8.8 and 11.5 ms
    (0.88, 1.15)
    """
    quantity = family.split("/")[1] if "/" in family else ""
    key = known_family(family)
    if not key:
        return math.nan, math.nan
    grown = stand_in_factor(near, quantity)
    low, high = (float(intervals()[key][end]) ** wider for end in ("low", "high"))
    if same_as(family)[1]:
        low, high = 1 / high, 1 / low
    return low / grown, high * grown
