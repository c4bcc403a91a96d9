"""Seconds of multi-head latent attention, its projections included, as measured whole."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from hopperbook import facts
from hopperbook.kernels.attention import _attention_dtype
from hopperbook.kernels.engines import as_gpu
from hopperbook.kernels.roofline import chip
from hopperbook.kernels.tables import Times, holder, scaled


def mla_context_s(
    gpu: str | facts.GPU,
    batch: ArrayLike,
    tokens: ArrayLike,
    heads: ArrayLike,
    kv_precision: str = "bf16",
    precision: str = "bf16",
) -> Times:
    """Time a whole DeepSeek-V3 attention module (projections included) over prompts.

    Parameters
    ----------
    gpu : str or GPU
        The part.
    batch, tokens, heads : int or array
        Prompts, their length, heads on this rank.
    kv_precision, precision : str
        Of the latent cache and of the projections.

    Returns
    -------
    Times
        Seconds of one layer, and where they lie beyond the table.

    Examples
    --------
    >>> t = mla_context_s("H200 SXM", 1, 4096, 16)
    >>> round(1e3 * float(t.seconds), 2)  # milliseconds; 0.39 TFLOP at the data sheet's 989 TFLOP/s: 0.39
    0.72
    """
    return _mla("mla_context", gpu, batch, tokens, heads, kv_precision, precision)


def mla_generation_s(
    gpu: str | facts.GPU,
    batch: ArrayLike,
    tokens: ArrayLike,
    heads: ArrayLike,
    kv_precision: str = "bf16",
    precision: str = "bf16",
) -> Times:
    """Time a whole DeepSeek-V3 attention module (projections included) for one decode token of each sequence.

    Parameters
    ----------
    gpu : str or GPU
        The part.
    batch, tokens, heads : int or array
        Sequences, tokens each holds, heads on this rank.
    kv_precision, precision : str
        Of the latent cache and of the projections.

    Returns
    -------
    Times
        Seconds of one layer, and where they lie beyond the table.

    Examples
    --------
    >>> t = mla_generation_s("H200 SXM", 64, 4096, 16)
    >>> round(1e6 * float(t.seconds))  # microseconds; 375 MB of weights and cache over 4.8 TB/s: 78
    185
    """
    return _mla("mla_generation", gpu, batch, tokens, heads, kv_precision, precision)


def _mla(
    family: str, gpu: str | facts.GPU, batch: ArrayLike, tokens: ArrayLike, heads: ArrayLike, kv: str, precision: str
) -> Times:
    part = as_gpu(gpu)
    key = (_attention_dtype(kv), "fp8_block" if "8" in precision else "16")
    holds = holder("vllm", family, part.kernels_of)
    if holds == part.kernels_of:
        return scaled("vllm", family, part, key, [batch, tokens, heads])
    # its generation was not measured: a newer one's residual on its own roofline
    times = scaled("vllm", family, facts.gpu(holds), key, [batch, tokens, heads], chip(part))
    return Times(times.seconds, np.ones_like(times.beyond))
