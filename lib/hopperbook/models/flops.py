"""What a sequence costs in arithmetic: FLOPs of matrices, of attention of every kind, and of recurrences.

A multiply and an add are two FLOPs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hopperbook.models.counts import linear_layers
from hopperbook.models.layers import Attention
from hopperbook.models.shape import Model

Floats = NDArray[np.float64]


def matmul_parameters(model: Model) -> int:
    """Count the weights that multiply every token: active experts and LM head, not the embedding's look-up.

    Parameters
    ----------
    model : Model
        The model.

    Returns
    -------
    int
        Weights; twice this is the FLOPs of a token outside attention.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> matmul_parameters(load("meta-llama/Llama-3.1-8B"))
    7504658432
    """
    m, experts = model, 0
    for mlp in m.mlps:
        width = mlp.latent or m.hidden
        experts += mlp.layers * mlp.experts_per_token * (3 if mlp.gated else 2) * width * mlp.expert_ffn
    return sum(w.k * w.n * w.layers for w in linear_layers(m)) + experts


def attended_tokens(new_tokens: ArrayLike, cached_tokens: ArrayLike = 0, window: int = 0) -> Floats:
    """Count the (query, key) pairs of causal attention.

    Parameters
    ----------
    new_tokens, cached_tokens : int or array
        Queries, and tokens already in the cache before the first of them.
    window : int
        Keys a query sees at most, itself included; 0 for all.

    Returns
    -------
    float or array of float
        Pairs: new * cached + new (new + 1) / 2, cut by the window.

    Examples
    --------
    >>> float(attended_tokens(4)), float(attended_tokens(1, 100, window=16))
    (10.0, 16.0)
    """
    new, cached = np.asarray(new_tokens, dtype=float), np.asarray(cached_tokens, dtype=float)
    pairs = new * cached + new * (new + 1) / 2
    if not window:
        return pairs
    growing = np.clip(window - cached, 0, new)  # queries whose view is not yet cut
    return growing * cached + growing * (growing + 1) / 2 + (new - growing) * window


def attended_pairs(a: Attention, new: ArrayLike, cached: ArrayLike = 0) -> tuple[Floats, Floats]:
    """Count the (query, key) pairs that one layer of an attention multiplies, and those that its indexer ranks.

    Parameters
    ----------
    a : Attention
        The attention.
    new, cached : int or array
        Queries, and tokens already in the cache.

    Returns
    -------
    tuple of float or array
        (multiplied, ranked); nothing is ranked where all is read.

    Examples
    --------
    >>> dsa = Attention(1, 128, 128, 192, 128, kv_rank=512, rope_dim=64, index_heads=64, index_dim=128, selected=2048)
    >>> [float(pairs) for pairs in attended_pairs(dsa, 1, 131071)]
    [2048.0, 131072.0]
    """
    if a.both:
        n, seen = np.asarray(new, float), np.asarray(new, float) + np.asarray(cached, float)
        return n * (np.minimum(seen, a.window) if a.window else seen), 0.0 * n
    whole = attended_tokens(new, cached)
    if a.every:
        near, far = attended_tokens(new, cached, a.window), whole / a.every
        read = near + (np.minimum(far, np.asarray(new, float) * a.selected) if a.selected else far)
        return read, far if a.selected else np.zeros_like(far)
    seen = min(a.window, a.selected) if a.window and a.selected else a.window or a.selected
    return attended_tokens(new, cached, seen), whole if a.selected else np.zeros_like(whole)


def attention_flop(model: Model, new_tokens: ArrayLike, cached_tokens: ArrayLike = 0) -> float | Floats:
    r"""FLOPs of scores and weighted values, of indexers and of recurrences, over all layers of one causal sequence.

    .. math:: \sum_\ell 2\,\mathrm{heads}\,(d_{qk} + d_v)\, \mathrm{pairs}_\ell
              + 2\,\mathrm{heads}_I\, d_I\, \mathrm{ranked}_\ell + f_\ell n

    Parameters
    ----------
    model : Model
        The model.
    new_tokens, cached_tokens : int or array
        Queries, and tokens already in the cache.

    Returns
    -------
    float or array of float
        FLOPs, counting only pairs that the causal mask keeps.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> attention_flop(load("meta-llama/Llama-3.1-8B"), 1, 8191) / 1e9
    4.294967296
    """
    result: Floats = sum((r.layers * r.flop_per_token for r in model.recurrents), 0.0) * np.asarray(new_tokens, float)
    for a in model.attentions:
        read, ranked = attended_pairs(a, new_tokens, cached_tokens)
        result = result + a.layers * (2.0 * a.heads * (a.head_dim + a.value_dim) * read)
        result = result + a.layers * (2.0 * a.index_heads * a.index_dim * ranked)
    return float(result) if np.ndim(result) == 0 else result


def forward_flop(model: Model, new_tokens: ArrayLike, cached_tokens: ArrayLike = 0) -> Floats:
    r"""FLOPs of one forward pass over a sequence's new tokens.

    .. math:: 2 N_\mathrm{matmul} n + F_\mathrm{attention}(n, c)

    Parameters
    ----------
    model : Model
        The model.
    new_tokens, cached_tokens : int or array
        Tokens computed, and tokens already in the cache.

    Returns
    -------
    float or array of float
        FLOPs.

    Notes
    -----
    Source: ``kaplan-2020-scaling`` for the first term.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> round(float(forward_flop(load("meta-llama/Llama-3.1-8B"), 1)) / 1e9, 2)
    15.01
    """
    return 2.0 * matmul_parameters(model) * np.asarray(new_tokens, dtype=float) + attention_flop(
        model, new_tokens, cached_tokens
    )


def training_flop_per_token(model: Model, seq_len: int, *, causal: bool = False, frozen: bool = False) -> float:
    r"""Model FLOPs of one training token: forward and twice that backward, no recomputation.

    .. math:: 6 N_\mathrm{matmul} + 3 F_\mathrm{attention} / s, \qquad 4 N_\mathrm{matmul} \text{ where frozen}

    Parameters
    ----------
    model : Model
        The model.
    seq_len : int
        Sequence length.
    causal : bool
        Count only pairs that the mask keeps; most published MFU figures count all (12 layers hidden s).
    frozen : bool
        The weights are frozen beside small adapters (LoRA): their own gradients are not computed, those of what
        enters them are; attention, which has no weights, is spared nothing.

    Returns
    -------
    float
        FLOPs a token; the adapters' own are not counted.

    Notes
    -----
    Source: ``chowdhery-2022-palm``, appendix B (not causal); ``hu-2021-lora`` for frozen weights.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> gpt3 = load("openai/gpt-3-175b")
    >>> round(training_flop_per_token(gpt3, 2048) / 1e12, 3)
    1.076
    """
    m, inner = model, 0.0
    for a in m.attentions:
        read, ranked = (float(pairs) / seq_len for pairs in attended_pairs(a, seq_len, 0))
        if not causal and not (a.window or a.selected or a.every):
            read = float(seq_len)
        inner += a.layers * 2.0 * (a.heads * (a.head_dim + a.value_dim) * read + a.index_heads * a.index_dim * ranked)
    inner += sum(r.layers * r.flop_per_token for r in m.recurrents)
    return 2.0 * (2 if frozen else 3) * matmul_parameters(m) + 3.0 * inner
