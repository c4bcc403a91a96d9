"""The one clock of a deployment: seconds of an engine step on public grids, and the one way to read between them.

Between grid points a time is linear along each axis: a step is close to affine in tokens, batch and context, and a line
through two of its points is then exact.  Below a grid the first value holds; above it the last grows in proportion.
:mod:`hopperbook.serving.ticker` reads a step's time by that rule, :func:`read` and :func:`read_table` a part of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hopperbook.serving.deployment import Deployment

Floats = NDArray[np.float64]

_TILES = np.r_[np.arange(64, 513, 64), np.arange(640, 4353, 128)]
#: Tokens of a step: every one to 16, then six an octave, and the rows of whole tiles with those just behind them.
TOKENS: Floats = np.unique(
    np.r_[np.arange(1, 17), np.round(2 ** np.arange(4, 17.01, 1 / 6)), _TILES, _TILES + 1, _TILES + 32]
).astype(float)
#: Sequences that gain a token in a step, and tokens each holds.
BATCH: Floats = np.array([2.0**i for i in range(13)])
CONTEXT: Floats = np.array([2.0**i for i in range(19)])
#: Prompts that start in a step, and new tokens of a prompt or chunk.
PROMPTS: Floats = np.array([2.0**i for i in range(9)])
NEW_TOKENS: Floats = np.unique(np.round(2 ** np.arange(0, 17.01, 0.5)))


def read(axis: Floats, values: Floats, at: ArrayLike) -> Floats:
    """Read a curve between its grid points.

    Parameters
    ----------
    axis, values : ndarray, shape (n,)
        Rising grid points, and the values there.
    at : array_like
        Where.

    Returns
    -------
    ndarray
        Linear between points; the first value below them; above the last, that value in proportion.

    Examples
    --------
    >>> read(np.array([1.0, 2.0]), np.array([10.0, 14.0]), [0.5, 1.5, 4.0]).tolist()
    [10.0, 12.0, 28.0]
    """
    x = np.asarray(at, float)
    return np.interp(x, axis, values) * np.maximum(x / axis[-1], 1.0)


def read_table(rows: Floats, columns: Floats, table: Floats, row: ArrayLike, column: ArrayLike) -> Floats:
    """Read a table between its grid points, along rows and columns by the rule of :func:`read`.

    Parameters
    ----------
    rows, columns : ndarray
        Rising grid points.
    table : ndarray, shape (rows, columns)
        Values there.
    row, column : array_like
        Where; broadcast together.

    Returns
    -------
    ndarray
        Values in the broadcast shape.

    Examples
    --------
    >>> float(read_table(np.array([1.0, 2.0]), np.array([1.0, 3.0]), np.array([[1.0, 3.0], [2.0, 6.0]]), 1.5, 2.0))
    3.0
    """
    y, x = np.broadcast_arrays(np.asarray(row, float), np.asarray(column, float))
    i, v = _place(rows, y)
    j, u = _place(columns, x)
    low = table[i, j] + u * (table[i, j + 1] - table[i, j])
    high = table[i + 1, j] + u * (table[i + 1, j + 1] - table[i + 1, j])
    return (low + v * (high - low)) * np.maximum(y / rows[-1], 1.0) * np.maximum(x / columns[-1], 1.0)


def _place(axis: Floats, at: Floats) -> tuple[NDArray[np.intp], Floats]:
    """Return the grid cell that holds each point, and how far into it the point lies, from 0 to 1."""
    i = np.clip(np.searchsorted(axis, at, side="right") - 1, 0, len(axis) - 2)
    return i, np.clip((at - axis[i]) / (axis[i + 1] - axis[i]), 0.0, 1.0)


@dataclass(frozen=True, eq=False)
class Clock:
    """A deployment's step times in seconds, on the grids of this module.

    Parameters
    ----------
    deployment : Deployment
        What was timed.
    decode_s, mixed_s : ndarray, shape (TOKENS,)
        All that depends on tokens alone, in a captured graph and in an eager step with prompts.
    head_s : ndarray, shape (BATCH,)
        LM head, sampling and host time of a sequence.
    generation_s : ndarray, shape (BATCH, CONTEXT)
        Decode attention of all layers.
    context_s : ndarray, shape (PROMPTS, NEW_TOKENS)
        Attention over whole new prompts, all layers.
    cached_s : ndarray, shape (NEW_TOKENS, CONTEXT)
        Attention of one chunk over what is cached.
    parts : dict of ndarray, shape (TOKENS,)
        Seconds of linear layers, experts, communication and element-wise kernels in a captured graph.
    beyond : float
        Share of the linear times that lie beyond the tables.
    """

    deployment: Deployment
    decode_s: Floats
    mixed_s: Floats
    head_s: Floats
    generation_s: Floats
    context_s: Floats
    cached_s: Floats
    parts: dict[str, Floats]
    beyond: float

    @property
    def ranks(self) -> int:
        """Groups over which the sequences of a step are spread: replicas of attention and pipeline stages."""
        return self.deployment.attention_dp * self.deployment.pp

    def step_parts(self, batch: float, context_tokens: float) -> dict[str, float]:
        """Say where the seconds of a decode step go; see :func:`hopperbook.serving.step_parts`."""
        share = max(batch / self.ranks, 1.0)
        of = {name: float(read(TOKENS, seconds, share)) for name, seconds in self.parts.items()}
        return {
            "matrix products": of["linear"] + of["experts"],
            "attention": float(read_table(BATCH, CONTEXT, self.generation_s, share, context_tokens)),
            "element-wise": of["elementwise"],
            "all-reduce": of["communication"],
            "head and host": float(read(BATCH, self.head_s, share)),
        }
