"""Between the points of a table of any number of axes, compiled: linear in the logarithm of every axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hopperbook.compiled import compiled

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
#: How far outside an axis, in its logarithm, a point still counts as on its edge; and what stands for zero.
EDGE, LEAST = 1e-9, 1e-9


class Table(NamedTuple):
    """A table of any number of axes.

    Parameters
    ----------
    values : ndarray
        Flat, the last axis running fastest.
    axes : ndarray
        Logarithms of the points of all axes one after the other, rising.
    starts : ndarray of int
        Where each axis begins, and where the last ends.
    """

    values: Floats
    axes: Floats
    starts: Ints


def spread(given: Sequence[ArrayLike]) -> tuple[Floats, tuple[int, ...]]:
    """Broadcast arrays together, a row each, as compiled code reads them.

    Parameters
    ----------
    given : sequence of array_like
        Numbers.

    Returns
    -------
    ndarray, shape (arrays, n)
        Their values.
    tuple of int
        The shape that they have together.

    Examples
    --------
    >>> rows, shape = spread([[[1], [2]], [10, 20, 30]])
    >>> rows[0].tolist(), shape
    ([1.0, 1.0, 1.0, 2.0, 2.0, 2.0], (2, 3))
    """
    arrays = [np.asarray(each, dtype=float) for each in given]
    shape = np.broadcast_shapes(*(each.shape for each in arrays))
    rows = np.empty((len(arrays), *shape))
    for at, each in enumerate(arrays):
        rows[at] = each
    return rows.reshape(len(arrays), -1), shape


@compiled
def cell_of(axis: Floats, low: int, high: int, x: float) -> int:
    """Return the last of rising points, between two of them, that is not above a value; the first below all."""
    while high - low > 1:
        middle = (low + high) // 2
        if axis[middle] <= x:
            low = middle
        else:
            high = middle
    return low


@compiled
def read(table: Table, at: Floats, cell: Ints, share: Floats, out: Floats, beyond: NDArray[np.bool_]) -> None:
    """Read a table at many points, held at its edge outside; all arrays are the caller's.

    Parameters
    ----------
    table : Table
        What is read.
    at : ndarray, shape (axes, n)
        Coordinates of each point, in the axes' own units.
    cell, share : ndarray, shape (axes,)
        Scratch.
    out, beyond : ndarray, shape (n,)
        The value of each point, and whether a coordinate lies outside its axis.
    """
    values, axes, starts = table
    for point in range(at.shape[1]):
        beyond[point] = False
        for axis in range(at.shape[0]):
            low, high = starts[axis], starts[axis + 1] - 1
            x = math.log(max(at[axis, point], LEAST))
            beyond[point] |= x < axes[low] - EDGE or x > axes[high] + EDGE
            left = cell_of(axes, low, high, x)
            wide = axes[min(left + 1, high)] - axes[left]
            cell[axis] = left - low
            share[axis] = min(max((x - axes[left]) / wide, 0.0), 1.0) if wide > 0 else 0.0
        total = 0.0
        for corner in range(1 << at.shape[0]):
            weight, place = 1.0, 0
            for axis in range(at.shape[0]):
                right = (corner >> axis) & 1
                weight *= share[axis] if right else 1.0 - share[axis]
                place = place * (starts[axis + 1] - starts[axis]) + cell[axis] + right
            if weight > 0.0:
                total += weight * values[place]
        out[point] = total


def warm() -> None:
    """Load what compiled code needs, so that the processes that are forked from this one find it loaded."""
    axis, point, found = np.array([0.0, 1.0]), np.ones((1, 1)), np.empty(1, np.bool_)
    read(Table(axis, axis, np.array([0, 2])), point, np.empty(1, np.int64), np.empty(1), np.empty(1), found)
