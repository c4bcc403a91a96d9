"""What a sequence leaves in memory: the KV cache of attention, and the states of recurrent layers, exactly."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hopperbook.models.layers import Attention
from hopperbook.models.shape import PRECISION_BITS, Model, precision_name

Floats = NDArray[np.float64]


def kv_bytes_per_token(model: Model, precision: str | None = None) -> float:
    r"""Bytes one token adds to the KV cache while every layer still sees it.

    .. math:: 2 \cdot \mathrm{layers} \cdot \mathrm{kv\_heads} \cdot \mathrm{head\_dim} \cdot b
              \qquad\text{or, with MLA,}\qquad \mathrm{layers} \cdot (r_{kv} + d_{rope}) \cdot b

    Parameters
    ----------
    model : Model
        The model.
    precision : str, optional
        Format of the cache; the default is 16 bits, as engines do for a BF16 checkpoint.

    Returns
    -------
    float
        Bytes a token on all tensor-parallel ranks together, without replication.

    Notes
    -----
    Source: ``ainslie-2023-gqa`` for grouped heads, ``deepseek-v2-2024`` for MLA.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> kv_bytes_per_token(load("meta-llama/Llama-3.1-70B")) / 1024
    320.0
    """
    value_bytes = PRECISION_BITS[precision_name(precision or "bf16", "kv_precision")] / 8
    values = sum(a.layers * a.token_values for a in model.attentions if a.cached)
    compressed = sum(a.layers * a.compressed_values / a.every for a in model.attentions if a.cached and a.every)
    return (values + compressed) * value_bytes


def kv_values_per_token_layer(model: Model) -> int:
    """Count the values one token keeps in one layer's cache, the first of those that keep one.

    Parameters
    ----------
    model : Model
        The model.

    Returns
    -------
    int
        Values: a key and a value for each KV head, or MLA's latent and its rotary part; an indexer's key.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> kv_values_per_token_layer(load("deepseek-ai/DeepSeek-V3"))
    576
    """
    return next((a.token_values for a in model.attentions if a.cached), 0)


def kv_bytes(model: Model, tokens: ArrayLike, precision: str | None = None) -> float | Floats:
    r"""Bytes of the KV cache of one sequence, sliding windows and compressed entries respected.

    .. math:: \sum_\ell v_\ell \min(n, w_\ell) + c_\ell \lfloor n / m_\ell \rfloor

    Parameters
    ----------
    model : Model
        The model.
    tokens : int or array of int
        Tokens the sequence holds.
    precision : str, optional
        Format of the cache; the default is 16 bits.

    Returns
    -------
    float or array of float
        Bytes on all tensor-parallel ranks together, without replication.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> kv_bytes(load("google/gemma-2-9b"), 8192) / kv_bytes_per_token(load("google/gemma-2-9b")) / 8192
    0.75
    """
    value_bytes = PRECISION_BITS[precision_name(precision or "bf16", "kv_precision")] / 8
    n = np.asarray(tokens, dtype=float)
    held = sum((a.layers * attention_values(a, n) for a in model.attentions if a.cached), np.zeros_like(n))
    result = value_bytes * held
    return float(result) if result.ndim == 0 else result


def attention_values(a: Attention, tokens: ArrayLike) -> Floats:
    """Count the values that one layer of an attention keeps of a sequence.

    Parameters
    ----------
    a : Attention
        The attention.
    tokens : int or array of int
        Tokens the sequence holds.

    Returns
    -------
    float or array of float
        Values.

    Examples
    --------
    >>> near = Attention(layers=1, heads=8, kv_heads=4, head_dim=256, value_dim=256, window=4096)
    >>> float(attention_values(near, 8192)) / 4096  # a key and a value for each of four heads
    2048.0
    """
    n = np.asarray(tokens, dtype=float)
    held = a.token_values * (np.minimum(n, a.window) if a.window else n)
    return held + a.compressed_values * np.floor(n / a.every) if a.every else held


def recurrent_state_bytes(model: Model) -> float:
    """Bytes of the state that recurrent layers keep of one sequence, however long it is.

    Parameters
    ----------
    model : Model
        The model.

    Returns
    -------
    float
        Bytes: states in 32 bits, inputs of the convolutions in 16 (as many columns as its kernel; engines may keep one
        fewer).

    Examples
    --------
    >>> from dataclasses import replace
    >>> from hopperbook.models import Recurrent, from_shape
    >>> mamba = Recurrent(layers=48, kind="Mamba-2", matrices=(), state_values=8192 * 128, conv_values=10240 * 4)
    >>> recurrent_state_bytes(replace(from_shape(48, 4096, 64), own_mixers=(mamba,))) / 2**20
    195.75
    """
    return float(sum(r.layers * (4 * r.state_values + 2 * r.conv_values) for r in model.recurrents))


def cache_bytes(model: Model, tokens: ArrayLike, precision: str | None = None) -> float | Floats:
    """Bytes that one sequence holds: its KV cache and the states of recurrent layers.

    Parameters
    ----------
    model : Model
        The model.
    tokens : int or array of int
        Tokens the sequence holds.
    precision : str, optional
        Format of the KV cache; the default is 16 bits.

    Returns
    -------
    float or array of float
        Bytes on all tensor-parallel ranks together, without replication.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> cache_bytes(load("meta-llama/Llama-3.1-8B"), 8192) / 2**30
    1.0
    """
    return kv_bytes(model, tokens, precision) + recurrent_state_bytes(model)
