"""The clock of :mod:`hopperbook.serving.clock`, read between its grid points by its rule, compiled.

An event simulation asks one question at a time; :func:`decode_steps_s` and :func:`mixed_steps_s` ask many at once.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hopperbook.compiled import Ready, compiled
from hopperbook.kernels.between import cell_of, spread
from hopperbook.serving.clock import BATCH, CONTEXT, NEW_TOKENS, PROMPTS, TOKENS, Clock, Floats


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
    token_cells: NDArray[np.int64]


#: Tokens below which the grid cell of a step is looked up instead of searched for.
LOOKED_UP = 8192
_TOKEN_CELLS = np.maximum(np.searchsorted(TOKENS, np.arange(LOOKED_UP), side="right") - 1, 0)


@lru_cache(maxsize=512)
def ticker(clock: Clock) -> Ready:
    """Return a clock as compiled code reads it.

    Parameters
    ----------
    clock : Clock
        Step times of a deployment.

    Returns
    -------
    Ready
        The same numbers, in a :class:`Ticker`.
    """
    tables = [clock.decode_s, clock.mixed_s, clock.head_s, clock.generation_s, clock.context_s, clock.cached_s]
    decode, mixed, head, generation, context, cached = (np.ascontiguousarray(x, dtype=np.float64) for x in tables)
    groups = float(clock.ranks), float(clock.deployment.attention_dp)
    axes = TOKENS, BATCH, CONTEXT, PROMPTS, NEW_TOKENS
    return Ready(Ticker(*axes, decode, mixed, head, generation, context, cached, *groups, _TOKEN_CELLS))


@compiled
def _place(axis: Floats, x: float) -> Any:
    """Return the grid cell of a point, how far into it the point lies, and by how much it lies beyond the last."""
    last = len(axis) - 1
    if x <= axis[0]:
        return 0, 0.0, 1.0
    if x >= axis[last]:
        return last - 1, 1.0, x / axis[last]
    low = cell_of(axis, 0, last, x)
    return low, (x - axis[low]) / (axis[low + 1] - axis[low]), 1.0


@compiled
def _place_on_powers(axis: Floats, x: float) -> Any:
    """Return the same for an axis of the powers of two from one on: the exponent of a number is its cell."""
    last = len(axis) - 1
    if x <= 1.0:
        return 0, 0.0, 1.0
    if x >= axis[last]:
        return last - 1, 1.0, x / axis[last]
    i = math.frexp(x)[1] - 1
    return i, x / axis[i] - 1.0, 1.0


@compiled
def _of_tokens(t: Ticker, values: Floats, x: float) -> float:
    """Read what depends on the tokens of a step, by the rule of :func:`hopperbook.serving.clock.read`."""
    if x < LOOKED_UP:
        i = t.token_cells[int(x)]
        u = min(max((x - t.tokens[i]) / (t.tokens[i + 1] - t.tokens[i]), 0.0), 1.0)
        return values[i] + u * (values[i + 1] - values[i])
    i, u, beyond = _place(t.tokens, x)
    return (values[i] + u * (values[i + 1] - values[i])) * beyond


@compiled
def _head(t: Ticker, x: float) -> float:
    """Read the seconds of head and host, by the rule of :func:`hopperbook.serving.clock.read`."""
    i, u, beyond = _place_on_powers(t.batch, x)
    return (t.head_s[i] + u * (t.head_s[i + 1] - t.head_s[i])) * beyond


@compiled
def _between(table: Floats, row: Any, column: Any) -> float:
    """Read a table between two places, by the rule of :func:`hopperbook.serving.clock.read_table`."""
    i, v, above = row
    j, u, right = column
    low = table[i, j] + u * (table[i, j + 1] - table[i, j])
    high = table[i + 1, j] + u * (table[i + 1, j + 1] - table[i + 1, j])
    return (low + v * (high - low)) * above * right


@compiled
def _generation(t: Ticker, share: float, context: float) -> float:
    """Read the seconds of decode attention."""
    return _between(t.generation_s, _place_on_powers(t.batch, share), _place_on_powers(t.context, context))


@compiled
def decode_s(t: Ticker, batch: float, context: float) -> float:
    """Time one step in which every sequence of a batch gains a token."""
    share = max(batch / t.ranks, 1.0)
    return _of_tokens(t, t.decode_s, share) + _generation(t, share, context) + _head(t, share)


@compiled
def mixed_s(t: Ticker, batch: float, context: float, new: float, prompts: float, cached: float) -> float:
    """Time one step of decodes and prompts together."""
    share = batch / t.ranks
    new, count = max(new / t.dp, 1.0), max(prompts / t.dp, 1.0)
    whole = new * t.dp / min(max(prompts, 1.0), t.dp)
    total = _of_tokens(t, t.mixed_s, share + new) + _head(t, max(share + count, 1.0))
    if batch > 0:
        total += _generation(t, max(share, 1.0), context)
    if cached > 0:
        return total + _between(t.cached_s, _place(t.new_tokens, whole), _place_on_powers(t.context, max(cached, 1.0)))
    each = _place(t.new_tokens, max(whole / count, 1.0))
    return total + _between(t.context_s, _place_on_powers(t.prompts, count), each)


@compiled
def _all_decode_s(t: Ticker, batch: Floats, context: Floats, out: Floats) -> None:
    for i in range(len(out)):
        out[i] = decode_s(t, batch[i], context[i])


@compiled
def _all_mixed_s(
    t: Ticker, batch: Floats, context: Floats, new: Floats, prompts: Floats, cached: Floats, out: Floats
) -> None:
    for i in range(len(out)):
        out[i] = mixed_s(t, batch[i], context[i], new[i], prompts[i], cached[i])


def decode_steps_s(clock: Clock, *load: ArrayLike) -> Floats:
    """Time steps of pure decode: :func:`decode_s` of arrays that are broadcast together."""
    rows, shape = spread(load)
    out = np.empty(rows.shape[1])
    _all_decode_s(ticker(clock), *rows, out)
    return out.reshape(shape)[()]


def mixed_steps_s(clock: Clock, *load: ArrayLike) -> Floats:
    """Time steps of decodes and prompts: :func:`mixed_s` of arrays that are broadcast together."""
    rows, shape = spread(load)
    out = np.empty(rows.shape[1])
    _all_mixed_s(ticker(clock), *rows, out)
    return out.reshape(shape)[()]
