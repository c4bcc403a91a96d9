"""Seconds of attention over prompts and of a decode step: full, grouped, sliding windows."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hopperbook import facts
from hopperbook.kernels.engines import ENGINES, as_gpu, engine_name
from hopperbook.kernels.tables import Floats, Times, grids, scaled


@cache
def _attention_key(
    family: str, engine: str, stand_in: str, precision: str, kv: str, head_dim: int, window: int, mha: bool
) -> tuple[str, tuple[Any, ...], bool]:
    """Pick the grid nearest to an attention: (engine, key, exact)."""
    found = []
    for rank, table in enumerate((engine, *(e for e in ENGINES if e != engine))):
        for key in grids(table, family, stand_in):
            named = key if family == "context" else ("16", *key)
            distance = 8.0 * (named[1] != kv) + 4.0 * (named[0] != precision) + 2.0 * (bool(named[4]) != mha)
            distance += abs(math.log(named[2] / head_dim)) + 20.0 * (bool(named[3]) != bool(window))
            if window and named[3]:
                distance += abs(math.log(named[3] / window))
            found.append((distance + 3.0 * rank, table, key))
    distance, table, key = min(found, key=lambda f: f[0])
    return table, key, distance == 0.0


def context_attention_s(
    gpu: str | facts.GPU,
    batch: ArrayLike,
    new_tokens: ArrayLike,
    cached_tokens: ArrayLike,
    heads: ArrayLike,
    kv_heads: ArrayLike,
    head_dim: int,
    precision: str = "bf16",
    kv_precision: str = "bf16",
    window: int = 0,
    engine: str = "vllm",
) -> Times:
    r"""Time causal attention over prompts of a batch, part of each already cached.

    .. math:: t(n, c) = t(n + c)\, \frac{\mathrm{pairs}(n, c)}{\mathrm{pairs}(n + c, 0)}, \text{ at least } t(n)

    Parameters
    ----------
    gpu : str or GPU
        The part.
    batch, new_tokens, cached_tokens, heads, kv_heads : int or array
        Prompts, tokens computed and already cached for each, heads on this rank.
    head_dim : int
        Width of a head.
    precision, kv_precision : str
        Of the arithmetic and of the cache.
    window : int
        Sliding window; 0 for none.
    engine : str
        ``"vllm"`` or ``"trtllm"``.

    Returns
    -------
    Times
        Seconds, and where they lie beyond the table.

    Notes
    -----
    Source: ``aiconfigurator-2025``.

    Examples
    --------
    >>> t = context_attention_s("H100 SXM", 1, [8192, 16384], 0, 32, 8, 128)
    >>> [round(1e3 * float(s), 2) for s in t.seconds]  # milliseconds
    [0.91, 3.31]
    >>> round(2 * 32 * 128 * 16384**2 / float(t.seconds[1]) / 1e12)  # TFLOP/s; FlashAttention-3 reports up to 740
    664
    """
    part, engine = as_gpu(gpu), engine_name(engine)
    b, n, c, h, kv = np.broadcast_arrays(
        *(np.asarray(v, float) for v in (batch, new_tokens, cached_tokens, heads, kv_heads))
    )
    mha = bool(np.all((h == kv) & (h > 8)))
    dtype, cache_dtype = _attention_dtype(precision), _attention_dtype(kv_precision)
    table, key, exact = _attention_key("context", engine, part.kernels_of, dtype, cache_dtype, head_dim, window, mha)
    instead: dict[str, Any] = {} if exact else {"head_dim": head_dim, "window": window, "mha": mha}
    if mha and not key[-1]:
        instead |= {"mha": True}
    heads_axis = [h, np.where(key[-1], 1.0, kv)]
    alone = scaled(table, "context", part, key, [b, n, *heads_axis], **instead)
    if not np.any(c > 0):
        return alone
    whole = scaled(table, "context", part, key, [b, n + c, *heads_axis], **instead)
    share = _pairs(n, c, window) / _pairs(n + c, 0.0, window)
    return Times(
        np.where(c > 0, np.maximum(alone.seconds, whole.seconds * share), alone.seconds), whole.beyond | (c > 0)
    )


def _pairs(new: Floats, cached: Floats | float, window: int) -> Floats:
    pairs = new * cached + new * (new + 1) / 2
    return np.minimum(pairs, new * float(window)) if window else pairs


def _attention_dtype(precision: str) -> str:
    return "fp8" if precision in ("fp8", "int8", "fp8_block") else "16"


def generation_attention_s(
    gpu: str | facts.GPU,
    batch: ArrayLike,
    context_tokens: ArrayLike,
    heads: ArrayLike,
    kv_heads: ArrayLike,
    head_dim: int,
    kv_precision: str = "bf16",
    window: int = 0,
    engine: str = "vllm",
) -> Times:
    r"""Time the attention of one decode token of each sequence: its cache is read once.

    .. math:: t = \left(\frac{2\, b\, s\, h_{kv}\, d\, w}{0.85\, B} + \ldots\right) e^{r}

    Parameters
    ----------
    gpu : str or GPU
        The part.
    batch, context_tokens, heads, kv_heads : int or array
        Sequences, tokens each holds, heads on this rank.
    head_dim : int
        Width of a head.
    kv_precision : str
        Format of the cache.
    window : int
        Sliding window; 0 for none.
    engine : str
        ``"vllm"`` or ``"trtllm"``.

    Returns
    -------
    Times
        Seconds, and where they lie beyond the table.

    Notes
    -----
    Source: ``aiconfigurator-2025``.

    Examples
    --------
    >>> t = generation_attention_s("H200 SXM", 64, 8192, 32, 8, 128)
    >>> round(1e6 * float(t.seconds))  # microseconds
    491
    >>> round(64 * 8192 * 2 * 8 * 128 * 2 / float(t.seconds) / 1e12, 1)  # TB/s of the data sheet's 4.8
    4.4
    """
    part, engine = as_gpu(gpu), engine_name(engine)
    b, s, h, kv = np.broadcast_arrays(*(np.asarray(v, float) for v in (batch, context_tokens, heads, kv_heads)))
    mha = bool(np.all((h == kv) & (h > 8)))
    kv_name = _attention_dtype(kv_precision)
    table, key, exact = _attention_key("generation", engine, part.kernels_of, "16", kv_name, head_dim, window, mha)
    if window and not key[2]:
        s = np.minimum(s, window)
    instead: dict[str, Any] = (
        {} if exact else {"head_dim": head_dim, "mha": mha, "window": window, "kv_precision": kv_name}
    )
    return scaled(table, "generation", part, key, [b, s, h, np.where(key[-1], 1.0, kv)], **instead)
