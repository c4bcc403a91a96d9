"""Seconds of one matrix multiplication: a measured table where there is one, a roofline scaled at its edge else."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from hopperbook import facts
from hopperbook.errors import InputError
from hopperbook.kernels.engines import ENGINES, FOUR_BITS, as_gpu, engine_name, multiplies_fp4, table_names, wide_peaks
from hopperbook.kernels.tables import Floats, Times, at, grids, load, scaled


def gemm_s(
    gpu: str | facts.GPU, precision: str, m: ArrayLike, n: ArrayLike, k: ArrayLike, engine: str = "vllm"
) -> Times:
    r"""Time a matrix product y[m, n] = x[m, k] w[k, n].

    .. math:: t = (2 \lceil m \rceil n k / P + \mathrm{bytes} / B + t_0)\; e^{r(\log m, \log n, \log k)}

    Parameters
    ----------
    gpu : str or GPU
        The part.
    precision : str
        ``bf16 fp16 tf32 fp32 fp8 fp8_block int8`` (both operands) or ``int8_wo int4 fp4 mxfp4`` (weights alone; where
        the part has units for four bits, ``fp4`` both operands and ``mxfp4`` with activations in eight bits).
    m, n, k : int or array
        Sizes; broadcast together.
    engine : str
        ``"vllm"`` or ``"trtllm"``.

    Returns
    -------
    Times
        Seconds, and where they lie beyond the table.

    Raises
    ------
    InputError
        If the precision, GPU or engine is unknown.

    Notes
    -----
    Source: ``aiconfigurator-2025``.

    Examples
    --------
    >>> t = gemm_s("H100 SXM", "bf16", 8192, 8192, 8192, "trtllm")
    >>> round(2 * 8192**3 / float(t.seconds) / 1e12)  # TFLOP/s; the data sheet says 989, MAMF found 794.5
    774
    """
    part = as_gpu(gpu)
    engine = engine_name(engine)
    stand_in = part.kernels_of
    instead = {"precision": FOUR_BITS[precision]} if multiplies_fp4(part, precision) else {}
    precision = "fp8" if instead else precision
    first = table_names(precision)[0]
    for name in table_names(precision):
        for table in (engine, *(e for e in ENGINES if e != engine)):
            if (name,) in grids(table, "gemm", stand_in):
                times = scaled(table, "gemm", part, (name,), [m, n, k], wide_peaks(part, precision), **instead)
                if table == "trtllm":
                    times = Times(times.seconds * _off_tile(stand_in, name, m, n, k), times.beyond)
                exact = name == first and table == engine and precision not in ("fp32", "tf32")
                return Times(times.seconds, times.beyond | (not exact))
    raise InputError("precision", precision, f"a precision measured on {stand_in}")


#: Up to here the fine table has a point on each side of every tile's edge.
_FINE_ROWS = 4353


def _off_tile(stand_in: str, name: str, m: ArrayLike, n: ArrayLike, k: ArrayLike) -> float | Floats:
    """Return how much longer a row count between the points of the coarse table takes, as the fine table shows it.

    TensorRT-LLM was timed at round row counts alone; vLLM also just past them, where a tile more is begun.
    """
    if (name,) not in grids("vllm", "gemm", stand_in):
        return 1.0
    coarse, fine = (load(table, "gemm", stand_in, (name,)) for table in ("trtllm", "vllm"))
    arrays = np.broadcast_arrays(*(np.asarray(v, float) for v in (m, n, k)))
    rows, columns, inner = (a.ravel() for a in arrays)
    points = coarse.axes[0]
    log = np.clip(np.log(rows), points[0], points[-1])
    right = np.clip(np.searchsorted(points, log), 1, len(points) - 1)
    share = (log - points[right - 1]) / (points[right] - points[right - 1])
    ends = [at(fine, [np.exp(points[right - i]), columns, inner])[0] for i in (1, 0)]
    here = at(fine, [rows, columns, inner])[0]
    ratio = np.exp(here - ends[0] * (1 - share) - ends[1] * share)
    dense = (rows > 64) & (rows <= _FINE_ROWS)
    return np.where(dense, ratio, 1.0).reshape(arrays[0].shape)
