"""The draw of requests that answers are read from: of many, the one nearest to endless traffic."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from hopperbook.calibrate.serving import write_record
from hopperbook.models import load
from hopperbook.serving import Deployment, Lengths, deploy
from hopperbook.serving import demand as demands

#: Replicas, lengths and shares of the rate that saturates them, between which no customer's traffic stands.
REPLICAS = (
    ("llama-3.1-8b", "H100 SXM", 1, "fp8", "fp8"),
    ("llama-3.3-70b", "H200 SXM", 4, "fp8", "fp8"),
    ("mixtral-8x7b", "A100 SXM 80GB", 4, "bf16", "bf16"),
    ("qwen3-32b", "H100 SXM", 2, "fp8", "fp8"),
)
LENGTHS = (
    Lengths(512, 256),
    Lengths(4096, 128),
    Lengths(300, 1000, cached=3000, new_std=200, answer_std=600),
    Lengths(2048, 512, new_std=2048, answer_std=300),
)
SHARES = (0.5, 0.7, 0.85)
#: Requests that stand for endless traffic, from a seed that no draw has; draws compared; the most that one load counts.
ENDLESS, ENDLESS_SEED, DRAWS, MOST = 30_000, 7777, 100, 0.7
QUANTITIES = ("mean first token", "p95 of it", "p95 of the time per token", "p95 of the whole answer")
WEIGHTS = np.array([1.0, 1.0, 1.0, 0.5])

Load = tuple[Deployment, Lengths, float]


def loads() -> list[Load]:
    """Return the loads at which draws are compared."""
    found = []
    for (model, part, tp, weights, cache), lengths in product(REPLICAS, LENGTHS):
        d = deploy(load(model), part, tp=tp, precision=weights, kv_precision=cache)
        saturated = float(demands.cut_of(d, lengths).rate_per_s.max())
        found += [(d, lengths, share * saturated) for share in SHARES]
    return found


def errors(at: Sequence[Load], draws: Sequence[int]) -> NDArray[np.float64]:
    """Return how far each draw lies off endless traffic.

    Parameters
    ----------
    at : sequence of tuple
        Replica, lengths and requests a second.
    draws : sequence of int
        Numbers of draws.

    Returns
    -------
    ndarray, shape (draws, loads, 4)
        Natural logarithm of the draw's latency over that of endless traffic, for each of the quantities.

    Examples
    --------
    >>> typical, next_one = errors(loads()[:3], [demands.typical_draw(), demands.typical_draw() + 1])
    >>> bool(abs(typical[:, 1]).max() < 0.1)
    True
    """
    endless = np.array([_latencies(load_, ENDLESS_SEED, ENDLESS) for load_ in at])
    return np.array([[_latencies(load_, draw) for load_ in at] for draw in draws]) - endless


def _latencies(load_: Load, draw: int, measured: int = demands.MEASURED) -> NDArray[np.float64]:
    d, lengths, rate_per_s = load_
    seen = demands.simulated(d, lengths, rate_per_s, 1.0, draw - demands.typical_draw(), 1, measured)
    return np.log([seen.ttft.mean, seen.ttft.p95, seen.tpot.p95, seen.request.p95])


def spreads(found: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the root mean square of :func:`errors` over the loads, shape (draws, 4)."""
    return np.sqrt((np.clip(found, -MOST, MOST) ** 2).mean(axis=1))


def fit_draw() -> int:
    """Find the most typical draw, store and print it.

    Returns
    -------
    int
        Its number.
    """
    spread = spreads(errors(loads(), range(DRAWS)))
    best = int(np.argmin(spread @ WEIGHTS))
    write_record(
        "serving.yaml",
        "draw",
        {"number": best, "of": DRAWS},
    )
    demands.typical_draw.cache_clear()
    for name, own, middle in zip(QUANTITIES, spread[best], np.median(spread, axis=0), strict=True):
        print(f"draw {best}: {name} {own:.1%} off, the median draw {middle:.1%}")
    return best
