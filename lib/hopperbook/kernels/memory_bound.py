"""Seconds of kernels that memory bounds: casts to eight bits, norms, activations, residuals."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from hopperbook import facts
from hopperbook.kernels.engines import as_gpu
from hopperbook.kernels.roofline import chip, constants
from hopperbook.kernels.tables import Floats, Times, holder, scaled


def quantise_s(gpu: str | facts.GPU, m: ArrayLike, k: ArrayLike, dynamic: bool = True) -> Times:
    """Time the cast of an activation [m, k] to FP8, its scales computed on the way if dynamic.

    Parameters
    ----------
    gpu : str or GPU
        The part.
    m, k : int or array
        Rows and columns.
    dynamic : bool
        Scales a token from the values (else a stored scale).

    Returns
    -------
    Times
        Seconds, and where they lie beyond the table.

    Examples
    --------
    >>> round(1e6 * float(quantise_s("H100 SXM", 4096, 4096).seconds))  # microseconds; 50 MB over 3.35 TB/s: 15
    21
    """
    part = as_gpu(gpu)
    holds = holder("vllm", "quantise", part.kernels_of)
    stand_in = part if holds == part.kernels_of else facts.gpu(holds)
    ops = ["static_scaled_fp8_quant"]
    if dynamic:
        ops.append("dynamic_per_token_scaled_fp8_quant_minus_static_scaled_fp8_quant")
    parts = [scaled("vllm", "quantise", stand_in, (op,), [m, k], chip(part)) for op in ops]
    return Times(
        np.sum([p.seconds for p in parts], axis=0), np.any([p.beyond for p in parts], axis=0) | (stand_in is not part)
    )


def elementwise_s(gpu: str | facts.GPU, bytes_: ArrayLike, launches: ArrayLike = 1) -> Floats:
    r"""Time element-wise kernels that read and write memory once: :math:`S / (\eta B) + l\,t_0`.

    Parameters
    ----------
    gpu : str or GPU
        The part.
    bytes_ : float or array
        Bytes read and written.
    launches : int or array
        Kernels launched.

    Returns
    -------
    float or array
        Seconds; ``eta`` and ``t_0`` are in ``data/constants/kernels.yaml``.

    Examples
    --------
    >>> round(1e6 * float(elementwise_s("H100 SXM", 1e9)))  # microseconds; 1 GB over 0.8 of 3.35 TB/s: 373
    375
    """
    c = constants()
    bandwidth = as_gpu(gpu).memory_bandwidth_bytes_per_s * c["elementwise_bandwidth_share"]
    return np.asarray(bytes_, float) / bandwidth + np.asarray(launches, float) * c["elementwise_launch_s"]
