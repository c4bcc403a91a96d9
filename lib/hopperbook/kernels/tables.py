"""Measured kernel times as dense log grids: one file for each engine, family and GPU, loaded when first asked for.

A grid holds ``log(measured seconds / roofline seconds)``.  A time is the roofline at the asked shape times the grid's
value there, interpolated linearly in the logarithm of every axis; outside the grid the edge's value scales the roofline
and the answer is flagged ``beyond``.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hopperbook import facts, prepared
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
def _columns(engine: str, family: str, gpu_name: str) -> dict[str, NDArray[Any]]:
    """Return a table as arrays, grid by grid; none where that engine was not measured on that GPU.

    ``seconds`` and ``measured`` have an entry a row, the columns that name a grid one a grid, and an axis its points in
    each grid, one grid's after the other's; ``shapes`` (grids, axes) says how many.
    """
    path = file_of(engine, family, gpu_name)
    if not path.exists():
        return {}
    packed = path.read_bytes()
    name = prepared.digest(Path(__file__).read_bytes(), packed)
    unpacked = prepared.get("tables", name)
    if unpacked is None:
        unpacked = _unpacked(packed, family)
        prepared.put("tables", name, unpacked)
    with np.load(io.BytesIO(unpacked), allow_pickle=False) as columns:
        return dict(columns)


def _unpacked(packed: bytes, family: str) -> bytes:
    """Return a file of rows as arrays: reading those takes a fraction of the time."""
    import pyarrow.parquet as pq

    table = pq.ParquetFile(io.BytesIO(packed)).read(use_threads=False)
    keys, axes = FAMILIES[family]
    column = {name: np.asarray(table[name].to_pylist()) for name in (*keys, *axes, "seconds", "measured", "group")}
    starts = np.flatnonzero(np.diff(column["group"], prepend=np.nan) != 0)
    points = {name: list(map(np.unique, np.split(column[name], starts[1:]))) for name in axes}
    content = {name: column[name] for name in ("seconds", "measured")} | {name: column[name][starts] for name in keys}
    content |= {name: np.concatenate(points[name]) for name in axes}
    content["shapes"] = np.array([list(map(len, points[name])) for name in axes]).T
    arrays = io.BytesIO()
    np.savez(arrays, allow_pickle=False, **content)
    return arrays.getvalue()


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
    named = zip(*(column[name].tolist() for name in FAMILIES[family][0]), strict=True)
    ends = column["shapes"].prod(axis=1).cumsum().tolist()
    return dict(zip(named, map(slice, [0, *ends], ends), strict=True))


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
    known, columns = grids(engine, family, gpu_name), _columns(engine, family, gpu_name)
    rows, place = known[key], list(known).index(key)
    shape, before = columns["shapes"][place], columns["shapes"][:place].sum(axis=0)
    points = [
        columns[name][start : start + n].astype(float) for name, start, n in zip(axes, before, shape, strict=True)
    ]
    along = dict(zip(axes, map(np.ravel, np.meshgrid(*points, indexing="ij")), strict=True))
    roof = ROOFLINES[family](chip(facts.gpu(gpu_name)), **dict(zip(keys, key, strict=True)), **along)
    residual = np.log(columns["seconds"][rows].astype(float) / roof).reshape(shape)
    return Grid(tuple(map(np.log, points)), residual, columns["measured"][rows].reshape(shape))


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
