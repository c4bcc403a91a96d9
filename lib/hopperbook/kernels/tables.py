"""Measured kernel times as dense log grids: one file for each engine, family and GPU, loaded when first asked for.

A grid holds ``log(measured seconds / roofline seconds)``.  A time is the roofline at the asked shape times the grid's
value there, interpolated linearly in the logarithm of every axis; outside the grid the edge's value scales the roofline
and the answer is flagged ``beyond``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import ArrayLike, NDArray

from hopperbook import facts
from hopperbook.compiled import Ready
from hopperbook.kernels import between
from hopperbook.kernels.roofline import ROOFLINES, Chip, Floats, chip

#: For each family: the columns that name a grid, and those that span it.
FAMILIES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "gemm": (("precision",), ("m", "n", "k")),
    "context": (("precision", "kv_precision", "head_dim", "window", "mha"), ("batch", "tokens", "heads", "kv_heads")),
    "generation": (("kv_precision", "head_dim", "window", "mha"), ("batch", "tokens", "heads", "kv_heads")),
    "moe": (("precision", "hidden", "ffn", "top_k", "experts", "tp", "ep", "load"), ("tokens",)),
    "mla_context": (("kv_precision", "precision"), ("batch", "tokens", "heads")),
    "mla_generation": (("kv_precision", "precision"), ("batch", "tokens", "heads")),
    "mla_bmm": (("op",), ("tokens", "heads")),
    "quantise": (("op",), ("m", "k")),
    "collective": (("op", "source"), ("gpus", "bytes")),
}


class Times(NamedTuple):
    """Seconds, and where they lie outside what was measured."""

    seconds: Floats
    beyond: NDArray[np.bool_]


@dataclass(frozen=True)
class Grid:
    """One table: axes (natural logarithms, rising) and log residuals against the roofline."""

    axes: tuple[Floats, ...]
    residual: Floats
    measured: NDArray[np.bool_]

    @cached_property
    def flat(self) -> Ready:
        """The residuals as compiled code reads them."""
        starts = np.cumsum([0, *map(len, self.axes)], dtype=np.int64)
        return Ready(between.Table(np.ascontiguousarray(self.residual).ravel(), np.concatenate(self.axes), starts))


@cache
def measured() -> tuple[str, ...]:
    """Return the parts whose own kernels were measured, in the order of ``data/gpus.yaml``.

    Examples
    --------
    >>> measured()
    ('A100 SXM 80GB', 'H100 SXM', 'H200 SXM')
    """
    return tuple(row["name"] for row in facts.records("gpus") if row["kernels_of"] == row["name"])


@cache
def holder(engine: str, family: str, part: str) -> str:
    """Name the measured part that has a table of a family: a part's own stand-in, else the next newer, else the newest.

    Parameters
    ----------
    engine, family : str
        Which table.
    part : str
        Name of a measured part.

    Returns
    -------
    str
        A measured part; ``part`` itself where nobody has the table.

    Examples
    --------
    >>> holder("vllm", "mla_context", "A100 SXM 80GB"), holder("vllm", "gemm", "A100 SXM 80GB")
    ('H100 SXM', 'A100 SXM 80GB')
    """
    known = measured()
    at = known.index(part)
    order = (*known[at:], *reversed(known[:at]))
    return next((name for name in order if grids(engine, family, name)), part)


def file_of(engine: str, family: str, gpu_name: str) -> Path:
    """Return where a table lies in ``data/kernels``."""
    return facts.DATA / "kernels" / engine / f"{family}_{facts.gpu(gpu_name).short.lower()}.parquet"


@cache
def _columns(engine: str, family: str, gpu_name: str) -> dict[str, Any]:
    """Return a table's columns, its rows grid by grid; none where that engine was not measured on that GPU."""
    path = file_of(engine, family, gpu_name)
    if not path.exists():
        return {}
    table = pq.ParquetFile(path, pre_buffer=False).read(use_threads=False)
    return {name: table[name].combine_chunks() for name in table.column_names}


def _array(column: Any) -> NDArray[Any]:
    """Return a column of numbers or truths as an array, without pandas, which pyarrow itself would load for it."""
    if column.type.bit_width > 1:
        return np.from_dlpack(column)
    bits = np.frombuffer(column.buffers()[1], np.uint8)
    return np.unpackbits(bits, count=len(column), bitorder="little").view(np.bool_)


@cache
def grids(engine: str, family: str, gpu_name: str) -> dict[tuple[Any, ...], slice]:
    """Say which grids of a family there are, and in which rows of the table; none where nobody measured any.

    Parameters
    ----------
    engine : str
        ``"trtllm"``, ``"vllm"`` or ``"nccl"``.
    family : str
        A key of ``FAMILIES``.
    gpu_name : str
        One of :func:`measured`.

    Returns
    -------
    dict
        Rows by the values of the family's key columns.

    Examples
    --------
    >>> grids("vllm", "gemm", "A100 SXM 80GB"), grids("trtllm", "quantise", "H100 SXM")
    ({('16',): slice(0, 9261, None)}, {})
    """
    column = _columns(engine, family, gpu_name)
    if not column:
        return {}
    group = _array(column["group"])
    starts = np.flatnonzero(np.r_[True, group[1:] != group[:-1]])
    named = zip(*([column[name][at].as_py() for at in starts.tolist()] for name in FAMILIES[family][0]), strict=True)
    return dict(zip(named, map(slice, starts.tolist(), [*starts[1:].tolist(), len(group)]), strict=True))


@cache
def load(engine: str, family: str, gpu_name: str, key: tuple[Any, ...]) -> Grid:
    """Load one grid.

    Parameters
    ----------
    engine, family, gpu_name : str
        Which table.
    key : tuple
        One of its :func:`grids`.

    Returns
    -------
    Grid
        Axes and residuals.
    """
    keys, axes = FAMILIES[family]
    rows = grids(engine, family, gpu_name)[key]
    columns = _columns(engine, family, gpu_name)
    column = {name: _array(columns[name])[rows] for name in (*axes, "seconds", "measured")}
    points = [np.unique(column[name]) for name in axes]
    shape = tuple(map(len, points))
    along = {name: column[name].astype(float) for name in axes}
    roof = ROOFLINES[family](chip(facts.gpu(gpu_name)), **dict(zip(keys, key, strict=True)), **along)
    residual = np.log(column["seconds"].astype(float) / roof).reshape(shape)
    return Grid(tuple(np.log(p.astype(float)) for p in points), residual, column["measured"].reshape(shape))


def at(grid: Grid, coordinates: Sequence[Floats] | Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Interpolate a grid's residual linearly in log coordinates, held at its edge outside.

    Parameters
    ----------
    grid : Grid
        The table.
    coordinates : sequence of array of float, shape (n,)
        One array an axis, in the axis's own unit.

    Returns
    -------
    residual, beyond : array of float and of bool, shape (n,)
        ``log(seconds / roofline)``, and whether a coordinate lies outside the grid.
    """
    at = np.ascontiguousarray(coordinates, float)
    cell, share = np.empty(len(at), np.int64), np.empty(len(at))
    residual, beyond = np.empty(at.shape[1]), np.empty(at.shape[1], np.bool_)
    between.read(grid.flat, at, cell, share, residual, beyond)
    return residual, beyond


def scaled(
    engine: str,
    family: str,
    gpu: facts.GPU,
    key: tuple[Any, ...],
    coordinates: Sequence[ArrayLike],
    part: Chip | None = None,
    **instead: float | str,
) -> Times:
    """Time shapes of one grid on a part: the roofline of the part times the reference's measured residual.

    Parameters
    ----------
    engine, family : str
        Which table.
    gpu : GPU
        The part asked about.
    key : tuple
        Values of the family's key columns; must exist in the table.
    coordinates : list of array
        One array an axis; broadcast together.
    part : Chip, optional
        Peaks to scale to, where they differ from the part's own.
    **instead
        Fields of the asked shape that differ from the grid's key; they enter the roofline alone.

    Returns
    -------
    Times
        Seconds and flags, in the broadcast shape.
    """
    stand_in = gpu.kernels_of
    grid = load(engine, family, stand_in, key)
    flat, shape = between.spread(coordinates)
    residual, beyond = at(grid, flat)
    keys, axes = FAMILIES[family]
    fields = dict(zip(keys, key, strict=True)) | dict(zip(axes, flat, strict=True))
    seconds = ROOFLINES[family](part or chip(gpu), **(fields | instead)) * np.exp(residual)
    beyond = beyond | (gpu.name != stand_in) | bool(instead)
    return Times(seconds.reshape(shape), beyond.reshape(shape))
