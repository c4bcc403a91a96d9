"""The clock of :mod:`hopperbook.serving.clock`, compiled: one question at a time, as an event simulation asks it.

The same grids, read by the same rule; a test holds the two together.  Numba compiles it once and keeps the result
beside the source, or in the user's cache where that folder is read-only.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from hopperbook.serving.clock import BATCH, CONTEXT, NEW_TOKENS, PROMPTS, TOKENS, Clock, Floats


def compiled(function: Any) -> Any:
    """Compile a function of numbers and arrays; where nothing may be written, it is compiled anew in each process."""
    try:
        return njit(cache=True, error_model="numpy")(function)
    except RuntimeError:  # no folder for the cache
        return njit(error_model="numpy")(function)


class Ticker(NamedTuple):
    """A clock's grids and tables, and over how many groups its sequences and prompts are spread."""

    tokens: Floats
    batch: Floats
    context: Floats
    prompts: Floats
    new_tokens: Floats
    decode_s: Floats
    mixed_s: Floats
    head_s: Floats
    generation_s: Floats
    context_s: Floats
    cached_s: Floats
    ranks: float
    dp: float


@lru_cache(maxsize=512)
def ticker(clock: Clock) -> Ticker:
    """Return a clock as compiled code reads it.

    Parameters
    ----------
    clock : Clock
        Step times of a deployment.

    Returns
    -------
    Ticker
        The same numbers.
    """
    tables = [clock.decode_s, clock.mixed_s, clock.head_s, clock.generation_s, clock.context_s, clock.cached_s]
    decode, mixed, head, generation, context, cached = (np.ascontiguousarray(x, dtype=np.float64) for x in tables)
    spread = float(clock.ranks), float(clock.deployment.attention_dp)
    return Ticker(
        TOKENS, BATCH, CONTEXT, PROMPTS, NEW_TOKENS, decode, mixed, head, generation, context, cached, *spread
    )  # fmt: skip


@compiled
def _place(axis: Floats, x: float) -> Any:
    """Return the grid cell of a point, how far into it the point lies, and by how much it lies beyond the last."""
    last = len(axis) - 1
    if x <= axis[0]:
        return 0, 0.0, 1.0
    if x >= axis[last]:
        return last - 1, 1.0, x / axis[last]
    low, high = 0, last
    while high - low > 1:
        middle = (low + high) // 2
        if axis[middle] <= x:
            low = middle
        else:
            high = middle
    return low, (x - axis[low]) / (axis[low + 1] - axis[low]), 1.0


@compiled
def _at(axis: Floats, values: Floats, x: float) -> float:
    """Read one point of a curve by the rule of :func:`hopperbook.serving.clock.read`."""
    i, u, beyond = _place(axis, x)
    return (values[i] + u * (values[i + 1] - values[i])) * beyond


@compiled
def _at_table(rows: Floats, columns: Floats, table: Floats, y: float, x: float) -> float:
    """Read one point of a table by the rule of :func:`hopperbook.serving.clock.read_table`."""
    i, v, above = _place(rows, y)
    j, u, right = _place(columns, x)
    low = table[i, j] + u * (table[i, j + 1] - table[i, j])
    high = table[i + 1, j] + u * (table[i + 1, j + 1] - table[i + 1, j])
    return (low + v * (high - low)) * above * right


@compiled
def decode_s(t: Ticker, batch: float, context: float) -> float:
    """Time one step in which every sequence of a batch gains a token."""
    share = max(batch / t.ranks, 1.0)
    attention = _at_table(t.batch, t.context, t.generation_s, share, context)
    return _at(t.tokens, t.decode_s, share) + attention + _at(t.batch, t.head_s, share)


@compiled
def mixed_s(t: Ticker, batch: float, context: float, new: float, prompts: float, cached: float) -> float:
    """Time one step of decodes and prompts together."""
    share = batch / t.ranks
    new, count = max(new / t.dp, 1.0), max(prompts / t.dp, 1.0)
    total = _at(t.tokens, t.mixed_s, share + new) + _at(t.batch, t.head_s, max(share + count, 1.0))
    if batch > 0:
        total += _at_table(t.batch, t.context, t.generation_s, max(share, 1.0), context)
    if cached > 0:
        return total + _at_table(t.new_tokens, t.context, t.cached_s, new, max(cached, 1.0))
    return total + _at_table(t.prompts, t.new_tokens, t.context_s, count, max(new / count, 1.0))
