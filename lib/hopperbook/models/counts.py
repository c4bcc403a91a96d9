"""A decoder transformer counted: parameters, FLOPs and bytes, exactly.

Everything downstream (memory, training, serving) asks this module what a model is made of.  Counts are integers and
equal the published safetensors totals; FLOPs count a multiply and an add as two.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hopperbook.errors import InputError
from hopperbook.models.shape import PRECISION_BITS, Linear, Model, precision_name, stored_formats

Floats = NDArray[np.float64]


def attention_parameters(model: Model) -> int:
    """Count the weights of one layer's attention, biases, sinks and inner norms included.

    Parameters
    ----------
    model : Model
        The model.

    Returns
    -------
    int
        Parameters of one attention block.

    Examples
    --------
    >>> from hopperbook.models import from_shape
    >>> attention_parameters(from_shape(1, 4096, 32, vocab=1))  # 4 x 4096 x 4096
    67108864
    """
    m = model
    if m.mla:
        nope = m.head_dim - m.rope_dim
        q_width = m.heads * m.head_dim
        q = m.hidden * m.q_rank + m.q_rank + m.q_rank * q_width if m.q_rank else m.hidden * q_width
        kv = m.hidden * (m.kv_rank + m.rope_dim) + m.kv_rank + m.kv_rank * m.heads * (nope + m.v_dim)
        return q + kv + m.heads * m.v_dim * m.hidden
    q_width, kv_width = m.heads * m.head_dim, m.kv_heads * m.head_dim
    count = m.hidden * (q_width + 2 * kv_width) + q_width * m.hidden
    count += (q_width + 2 * kv_width) * m.qkv_bias + m.hidden * m.o_bias
    return count + 2 * m.head_dim * m.qk_norm + m.heads * m.sinks


def mlp_parameters(model: Model, width: int) -> int:
    """Count the weights of one MLP of a given width.

    Parameters
    ----------
    model : Model
        The model (gating and biases).
    width : int
        Inner width.

    Returns
    -------
    int
        Parameters of the two or three matrices and their biases.

    Examples
    --------
    >>> from hopperbook.models import from_shape
    >>> mlp_parameters(from_shape(1, 4096, 32, gated=True), 11008)
    135266304
    """
    up = 2 if model.gated else 1
    return (up + 1) * model.hidden * width + (up * width + model.hidden) * model.mlp_bias


def layer_parameters(model: Model, *, experts: int | None = None) -> tuple[int, int]:
    """Count the parameters of one dense layer and of one Mixture-of-Experts layer.

    Parameters
    ----------
    model : Model
        The model.
    experts : int, optional
        Routed experts to count; the default is all, ``experts_per_token`` gives the active ones.

    Returns
    -------
    tuple of int
        (dense layer, expert layer); an expert layer is 0 where there are none.

    Examples
    --------
    >>> from hopperbook.models import from_shape
    >>> layer_parameters(from_shape(1, 4096, 32, ffn=11008, gated=True))
    (202383360, 0)
    """
    m = model
    common = attention_parameters(m) + m.norms_per_layer * m.hidden * (1 + m.norm_bias)
    dense = common + mlp_parameters(m, m.ffn)
    if not m.experts:
        return dense, 0
    routed = (m.experts if experts is None else experts) * mlp_parameters(m, m.expert_ffn)
    router = m.hidden * m.experts + m.experts * m.router_bias
    shared = mlp_parameters(m, m.shared_ffn) if m.shared_ffn else 0
    return dense, common + routed + router + shared


def parameters(model: Model, *, active: bool = False) -> int:
    r"""Count a model's parameters exactly.

    .. math:: N = V h (2 - \mathrm{tied}) + P h + \sum_\ell N_\ell + N_{\mathrm{norm}}

    Parameters
    ----------
    model : Model
        The model.
    active : bool
        Count only the experts that one token visits.

    Returns
    -------
    int
        Parameters of the main model (multi-token-prediction layers are not part of it).

    Notes
    -----
    Source: the safetensors totals published with each checkpoint (``huggingface-models``).

    Examples
    --------
    >>> from hopperbook.models import load
    >>> parameters(load("meta-llama/Llama-3.1-70B"))
    70553706496
    """
    m = model
    dense, moe = layer_parameters(m, experts=m.experts_per_token if active else None)
    body = (m.layers - m.moe_layers) * dense + m.moe_layers * moe
    return body + m.hidden * (1 + m.norm_bias) + m.hidden * (m.vocab * (2 - m.tied_embeddings) + m.positions)


def mtp_parameters(model: Model) -> int:
    """Count the multi-token-prediction layers that ship beside the main model, with their own embedding and head.

    Parameters
    ----------
    model : Model
        The model.

    Returns
    -------
    int
        Parameters; 0 for most models.

    Notes
    -----
    Source: ``deepseek-v3-2024`` (a projection of two states, a layer, three norms, embedding and head stored again).

    Examples
    --------
    >>> from hopperbook.models import load
    >>> mtp_parameters(load("deepseek-ai/DeepSeek-V3"))
    13463426304
    """
    m = model
    if not m.mtp_layers:
        return 0
    return m.mtp_layers * (layer_parameters(m)[1] + 2 * m.hidden * m.hidden + 3 * m.hidden + 2 * m.vocab * m.hidden)


def quantised_parameters(model: Model) -> tuple[int, int]:
    """Split a model's weights into those that a low-precision recipe stores small.

    Parameters
    ----------
    model : Model
        The model.

    Returns
    -------
    tuple of int
        (weights of dense linear layers, weights of routed experts); embeddings, LM head, router, norms and biases are
        in neither and stay in 16 bits.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> linear, experts = quantised_parameters(load("meta-llama/Llama-3.1-8B"))
    >>> linear, experts
    (6979321856, 0)
    """
    m = model
    matrices = sum(w.k * w.n * w.layers for w in linear_layers(m) if w.name not in ("router", "lm_head"))
    experts = m.moe_layers * m.experts * (3 if m.gated else 2) * m.hidden * m.expert_ffn
    return matrices, experts


def weight_bytes(model: Model, precision: str | None = None, moe_precision: str | None = None) -> float:
    r"""Bytes of the weights in a precision: linear layers stored small, everything else in 16 bits.

    .. math:: B = N_\mathrm{linear} b / 8 + N_\mathrm{experts} b_e / 8 + 2 (N - N_\mathrm{linear} - N_\mathrm{experts})

    Parameters
    ----------
    model : Model
        The model.
    precision : str, optional
        Format of linear layers; the default is what the checkpoint stores.
    moe_precision : str, optional
        Format of experts; the default is ``precision`` or the checkpoint's own.

    Returns
    -------
    float
        Bytes on all GPUs together.

    Raises
    ------
    InputError
        If a format is unknown.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> weight_bytes(load("meta-llama/Llama-3.1-70B")) / 1e9
    141.107412992
    """
    precision, moe_precision = stored_formats(model, precision, moe_precision)
    linear, experts = quantised_parameters(model)
    rest = parameters(model) - linear - experts
    rest_bits = max(16.0, PRECISION_BITS[precision])
    return (linear * PRECISION_BITS[precision] + experts * PRECISION_BITS[moe_precision] + rest * rest_bits) / 8


def linear_layers(model: Model, tp: int = 1) -> tuple[Linear, ...]:
    """List the weight matrices of a model as one tensor-parallel rank runs them; routed experts apart.

    Parameters
    ----------
    model : Model
        The model.
    tp : int
        Tensor-parallel ranks; key-value heads are replicated where there are fewer than ranks.

    Returns
    -------
    tuple of Linear
        Fused as engines fuse them (``qkv``, ``gate_up``); the LM head has ``layers=1``.

    Raises
    ------
    InputError
        If ``tp`` does not divide the heads.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> [(w.name, w.k, w.n) for w in linear_layers(load("meta-llama/Llama-3.1-8B"), tp=2)][:3]
    [('qkv', 4096, 3072), ('o', 2048, 4096), ('gate_up', 4096, 14336)]
    """
    m = model
    if tp < 1 or m.heads % tp:
        allowed = [str(d) for d in range(1, min(m.heads, 1024) + 1) if m.heads % d == 0]
        near = min((int(d) for d in allowed), key=lambda d: abs(d - tp))
        raise InputError("tp", tp, f"a divisor of the {m.heads} heads of {m.name}", str(near))
    heads = m.heads // tp
    up = 2 if m.gated else 1
    rows: list[Linear] = []
    if m.mla:
        if m.q_rank:
            rows.append(Linear("q_a", m.hidden, m.q_rank, m.layers, "replicated"))
            rows.append(Linear("q_b", m.q_rank, heads * m.head_dim, m.layers, "column"))
        else:
            rows.append(Linear("q_b", m.hidden, heads * m.head_dim, m.layers, "column"))
        rows.append(Linear("kv_a", m.hidden, m.kv_rank + m.rope_dim, m.layers, "replicated"))
        rows.append(Linear("kv_b", m.kv_rank, heads * (m.head_dim - m.rope_dim + m.v_dim), m.layers, "column"))
    else:
        kv_heads = -(-m.kv_heads // tp)
        rows.append(Linear("qkv", m.hidden, (heads + 2 * kv_heads) * m.head_dim, m.layers, "column"))
    rows.append(Linear("o", heads * m.v_dim, m.hidden, m.layers, "row"))
    dense = m.layers - m.moe_layers
    if dense:
        rows.append(Linear("gate_up", m.hidden, up * -(-m.ffn // tp), dense, "column"))
        rows.append(Linear("down", -(-m.ffn // tp), m.hidden, dense, "row"))
    if m.moe_layers:
        rows.append(Linear("router", m.hidden, m.experts, m.moe_layers, "replicated"))
        if m.shared_ffn:
            rows.append(Linear("shared_gate_up", m.hidden, up * -(-m.shared_ffn // tp), m.moe_layers, "column"))
            rows.append(Linear("shared_down", -(-m.shared_ffn // tp), m.hidden, m.moe_layers, "row"))
    if m.vocab:
        rows.append(Linear("lm_head", m.hidden, -(-m.vocab // tp), 1, "column"))
    return tuple(rows)


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
    return kv_values_per_token_layer(model) * model.layers * value_bytes


def kv_values_per_token_layer(model: Model) -> int:
    """Count the values one token keeps in one layer's cache.

    Parameters
    ----------
    model : Model
        The model.

    Returns
    -------
    int
        Values: a key and a value for each KV head, or MLA's latent and its rotary part.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> kv_values_per_token_layer(load("deepseek-ai/DeepSeek-V3"))
    576
    """
    if model.mla:
        return model.kv_rank + model.rope_dim
    return 2 * model.kv_heads * model.head_dim


def kv_bytes(model: Model, tokens: ArrayLike, precision: str | None = None) -> float | Floats:
    """Bytes of the KV cache of one sequence, sliding windows respected.

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
    per_layer = kv_bytes_per_token(model, precision) / model.layers
    tokens = np.asarray(tokens, dtype=float)
    full = (model.layers - model.window_layers) * tokens
    sliding = model.window_layers * (np.minimum(tokens, model.window) if model.window else tokens)
    result = per_layer * (full + sliding)
    return float(result) if result.ndim == 0 else result


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
    m = model
    dense = sum(w.k * w.n * w.layers for w in linear_layers(m))
    return dense + m.moe_layers * m.experts_per_token * (3 if m.gated else 2) * m.hidden * m.expert_ffn


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


def attention_flop(model: Model, new_tokens: ArrayLike, cached_tokens: ArrayLike = 0) -> float | Floats:
    r"""FLOPs of scores and weighted values over all layers of one causal sequence.

    .. math:: 2\,\mathrm{heads}\,(d_{qk} + d_v) \sum_\ell \mathrm{pairs}_\ell

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
    m = model
    pairs = (m.layers - m.window_layers) * attended_tokens(new_tokens, cached_tokens)
    pairs = pairs + m.window_layers * attended_tokens(new_tokens, cached_tokens, m.window)
    result = 2.0 * m.heads * (m.head_dim + m.v_dim) * pairs
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
    m = model
    pairs_per_token = float(attended_tokens(seq_len)) / seq_len if causal else float(seq_len)
    seen = float(attended_tokens(seq_len, 0, m.window)) / seq_len
    windowed = min(pairs_per_token, seen)
    pairs = (m.layers - m.window_layers) * pairs_per_token + m.window_layers * windowed
    passes = 2 if frozen else 3
    return 2.0 * passes * matmul_parameters(m) + 3.0 * 2.0 * m.heads * (m.head_dim + m.v_dim) * pairs
