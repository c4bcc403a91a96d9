"""Seconds of one engine step, laid out once for a deployment and read between grid points.

A deployment is built once (:func:`deploy`); its step times are laid out as small grids (:func:`profile`), from which
every question is a vectorised look-up.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hopperbook import kernels
from hopperbook.kernels import collectives
from hopperbook.models import linear_layers
from hopperbook.serving.deployment import Deployment

Floats = NDArray[Any]
_TILES = np.r_[np.arange(64, 513, 64), np.arange(640, 4353, 128)]
_TOKENS = np.unique(
    np.r_[np.arange(1, 17), np.round(2 ** np.arange(4, 17.01, 1 / 6)), _TILES, _TILES + 1, _TILES + 32]
).astype(float)
#: Rows at which a captured graph runs: whole tiles, to which smaller batches are padded.
_GRAPH = np.unique(
    np.r_[1:17, 32:129:16, 160:257:32, 384, 512, 768, np.arange(1024, 4353, 256), 2 ** np.arange(13, 18)]
).astype(float)
_BATCH = 2.0 ** np.arange(0, 13)
_CONTEXT = 2.0 ** np.arange(0, 19)
_PROMPTS = 2.0 ** np.arange(0, 9)
_NEW = np.unique(np.round(2 ** np.arange(0, 17.01, 0.5)))


@dataclass(frozen=True, eq=False)
class Profile:
    """A deployment's step times in seconds, on grids of tokens, batch and context.

    Parameters
    ----------
    deployment : Deployment
        What was profiled.
    decode_s, mixed_s : array, shape (tokens,)
        All that depends on tokens alone, in a captured graph and in an eager step with prompts.
    head_s : array, shape (batch,)
        LM head, sampling and host time of a sequence.
    generation_s : array, shape (batch, context)
        Decode attention of all layers.
    context_s : array, shape (prompts, new tokens)
        Attention over whole new prompts, all layers.
    cached_s : array, shape (new tokens, cached)
        Attention of one chunk over what is cached.
    parts : dict of array, shape (tokens,)
        Seconds of linear layers, experts, communication, element-wise and casts in a captured graph.
    beyond : float
        Share of the linear and expert times that lie beyond the tables.
    """

    deployment: Deployment
    decode_s: Floats
    mixed_s: Floats
    head_s: Floats
    generation_s: Floats
    context_s: Floats
    cached_s: Floats
    parts: dict[str, Floats]
    beyond: float


def _linear_s(d: Deployment, tokens: Floats) -> tuple[Floats, float]:
    total, flagged = np.zeros_like(tokens), []
    for w in linear_layers(d.model, d.attention_tp):
        if w.name == "lm_head":
            continue
        precision = "bf16" if w.name == "router" else d.precision
        times = kernels.gemm_s(d.gpu, precision, tokens, w.n, w.k, d.engine.tables)
        seconds = times.seconds
        if precision == "fp8_block":  # one table has a floor of 60-90 us that a captured graph does not pay
            other = kernels.gemm_s(
                d.gpu, precision, tokens, w.n, w.k, "trtllm" if d.engine.tables == "vllm" else "vllm"
            )
            seconds = np.minimum(seconds, other.seconds)
        if d.engine.gemm_excess_s and precision in ("fp8", "fp8_block"):
            seconds = np.maximum(seconds - d.engine.gemm_excess_s, 0.4 * seconds)
        total += w.layers * seconds
        flagged.append(times.beyond.mean())
        if precision in ("fp8", "fp8_block") and d.engine.dynamic_scales and w.name == "o":
            # the other casts are fused with the norm or activation before them
            total += w.layers * kernels.quantise_s(d.gpu, tokens, w.k, dynamic=d.precision != "fp8_block").seconds
    return total, float(np.mean(flagged))


def _experts_s(d: Deployment, tokens: Floats) -> Floats:
    m = d.model
    if not m.moe_layers:
        return np.zeros_like(tokens)
    times = kernels.moe_s(
        d.gpu, d.moe_precision, tokens, m.hidden, m.expert_ffn, m.experts, m.experts_per_token, d.moe_tp, d.moe_ep,
        d.engine.tables,
    )  # fmt: skip
    weight = np.clip(np.log2(tokens / 64) / 6, 0, 1)  # from decode's factor to prefill's between 64 and 4,096 tokens
    few, many = d.engine.moe_decode, d.engine.moe_prefill
    if d.moe_precision in ("mxfp4", "fp4"):
        few, many = d.engine.mxfp4_decode, d.engine.mxfp4_prefill
    return m.moe_layers * times.seconds * few ** (1 - weight) * many**weight


def _elementwise_s(d: Deployment, tokens: Floats) -> Floats:
    m, tp = d.model, d.attention_tp
    width = m.heads * m.head_dim + 2 * m.kv_heads * m.head_dim
    mlp = m.ffn * (m.layers - m.moe_layers) / m.layers + m.shared_ffn * m.moe_layers / m.layers
    a_token = 2.0 * (2 * 4 * m.hidden + 3 * width / tp + 3 * mlp / tp)
    launches = 2 + 2 + (1 if mlp else 0) + (4 if m.moe_layers else 0)
    return m.layers * kernels.elementwise_s(d.gpu, a_token * tokens, launches)


def _communication_s(d: Deployment, tokens: Floats) -> Floats:
    m = d.model
    size = 2.0 * m.hidden * tokens
    nodes: dict[str, Any] = {"engine": d.engine.tables, "fabric": d.fabric}
    total = np.zeros_like(tokens)
    if d.attention_tp > 1:
        total += m.layers * collectives.collective_s("all_reduce", size, d.attention_tp, d.gpu, **nodes).seconds
    if d.attention_dp > 1:
        for op in ("all_gather", "reduce_scatter"):
            whole = size * d.attention_dp
            total += m.layers * collectives.collective_s(op, whole, d.tp, d.gpu, **nodes).seconds
    elif d.tp > 1:
        total += m.layers * collectives.collective_s("all_reduce", size, d.tp, d.gpu, **nodes).seconds
    if d.pp > 1:
        total += (d.pp - 1) * collectives.collective_s("p2p", size, 2, d.gpu, **nodes).seconds
    return total


def _head_s(d: Deployment, batch: Floats) -> Floats:
    m = d.model
    head = kernels.gemm_s(d.gpu, "bf16", batch, max(1, m.vocab // d.tp), m.hidden, d.engine.tables).seconds
    return head + d.engine.host_s + d.engine.sequence_s * batch


def _attention(d: Deployment, kind: str) -> Floats:
    m, tp = d.model, d.attention_tp
    heads, kv = m.heads // tp, max(1, m.kv_heads // tp)
    if m.mla:
        return _mla_attention(d, kind)
    small = d.engine.tables == "trtllm" and d.kv_precision == "fp8" and d.gpu.transformer_engine
    multiply = "fp8" if small else "bf16"  # this engine multiplies prompts in the cache's format
    total: Any = 0.0
    for window, layers in ((0, m.layers - m.window_layers), (m.window, m.window_layers)):
        if not layers:
            continue
        common = (heads, kv, m.head_dim)
        if kind == "generation":
            batch, tokens = _BATCH[:, None], _CONTEXT[None, :]
            times = kernels.generation_attention_s(
                d.gpu, batch, tokens, *common, d.kv_precision, window, d.engine.tables
            )
            value = 1.0 if d.kv_precision in ("fp8", "int8") else 2.0
            seen = np.minimum(tokens, window) if window else tokens
            least = 2.0 * batch * seen * kv * m.head_dim * value
            rate = d.engine.attention_bandwidth_share * d.gpu.memory_bandwidth_bytes_per_s
            total = total + layers * np.maximum(times.seconds, least / rate)
        elif kind == "context":
            times = kernels.context_attention_s(
                d.gpu, _PROMPTS[:, None], _NEW[None, :], 0, *common, multiply, d.kv_precision, window, d.engine.tables
            )
            total = total + layers * times.seconds
        else:
            times = kernels.context_attention_s(
                d.gpu, 1, _NEW[:, None], _CONTEXT[None, :], *common, multiply, d.kv_precision, window, d.engine.tables
            )
            total = total + layers * times.seconds
    return total


def _mla_attention(d: Deployment, kind: str) -> Floats:
    """Attention of MLA without its projections (those are counted with the linear layers)."""
    m = d.model
    heads = m.heads // d.attention_tp
    if kind == "generation":
        batch, tokens = _BATCH[:, None], _CONTEXT[None, :]
        module: Any = kernels.mla_generation_s(d.gpu, batch, tokens, heads, d.kv_precision, d.precision).seconds
        start: Any = kernels.mla_generation_s(d.gpu, batch, 2.0, heads, d.kv_precision, d.precision).seconds
    else:
        cached = kind != "context"
        batch = np.ones((1, 1)) if cached else _PROMPTS[:, None]
        tokens = _NEW[:, None] if cached else _NEW[None, :]
        module = kernels.mla_context_s(d.gpu, batch, tokens, heads, d.kv_precision, d.precision).seconds
        start = 2.0 * batch * tokens * 7168 * (2112 + heads * 60) / (0.6 * d.gpu.dense_flop_per_s["bf16"])
        if cached:
            pairs = tokens * _CONTEXT[None, :]
            module = module + 2.0 * heads * 320 * pairs / (0.5 * d.gpu.dense_flop_per_s["bf16"])
    return m.layers * np.maximum(module - 0.9 * start, 0.05 * module)


@lru_cache(maxsize=512)
def _profile(d: Deployment) -> Profile:
    slow = d.engine.age
    linear, beyond = _linear_s(d, _TOKENS)
    parts = {
        "linear": slow * np.interp(_TOKENS, _GRAPH, _linear_s(d, _GRAPH)[0]),
        "experts": slow * _experts_s(d, _TOKENS * d.attention_dp),
        "communication": _communication_s(d, _TOKENS),
        "elementwise": slow * _elementwise_s(d, _TOKENS),
    }
    decode = sum(parts.values(), np.zeros_like(_TOKENS))
    mixed = np.maximum(decode - parts["linear"] + slow * linear, d.engine.eager_layer_s * d.model.layers)
    return Profile(
        d, decode, mixed, _head_s(d, _BATCH), slow * _attention(d, "generation"), slow * _attention(d, "context"),
        slow * _attention(d, "cached"), parts, beyond,
    )  # fmt: skip


def profile(d: Deployment) -> Profile:
    """Lay out a deployment's step times on grids, once.

    Parameters
    ----------
    d : Deployment
        The deployment.

    Returns
    -------
    Profile
        Its grids.
    """
    return _profile(d)


def _bilinear(table: Floats, rows: Floats, columns: Floats, row: Any, column: Any) -> Any:
    """Interpolate a table of positive times in log-log; points outside are held at the edge, then scaled linearly."""
    y, x = np.broadcast_arrays(np.asarray(row, float), np.asarray(column, float))
    fy = np.interp(np.log(np.maximum(y, 1e-9)), np.log(rows), np.arange(len(rows)))
    fx = np.interp(np.log(np.maximum(x, 1e-9)), np.log(columns), np.arange(len(columns)))
    i, j = np.minimum(fy.astype(int), len(rows) - 2), np.minimum(fx.astype(int), len(columns) - 2)
    u, v = fy - i, fx - j
    z = np.log(table)
    value = (z[i, j] * (1 - u) + z[i + 1, j] * u) * (1 - v) + (z[i, j + 1] * (1 - u) + z[i + 1, j + 1] * u) * v
    over = np.maximum(y / rows[-1], 1.0) * np.maximum(x / columns[-1], 1.0)
    return np.exp(value) * over


def _curve(values: Floats, tokens: Any) -> Any:
    n = np.asarray(tokens, float)
    return np.interp(n, _TOKENS, values) * np.maximum(n / _TOKENS[-1], 1.0)


def decode_step_s(d: Deployment, batch: Any, context_tokens: Any) -> Any:
    r"""Time one step in which every sequence of a batch gains a token.

    .. math:: t = t_\mathrm{linear}(b) + t_\mathrm{attention}(b, s) + t_\mathrm{comm}(b) + t_\mathrm{host}
              + b\,t_\mathrm{seq}

    Parameters
    ----------
    d : Deployment
        The deployment.
    batch, context_tokens : int or array
        Sequences of the replica, and tokens each holds on average.

    Returns
    -------
    float or array
        Seconds.

    Examples
    --------
    >>> from hopperbook.serving import deploy
    >>> from hopperbook.models import load
    >>> d = deploy(load("llama-3.1-8b"), "H100 SXM", precision="bf16")
    >>> 0.004 < float(decode_step_s(d, 1, 1024)) < 0.009
    True
    """
    p = profile(d)
    share = np.asarray(batch, float) / (d.attention_dp * d.pp)
    share = np.maximum(share, 1.0)
    attention = _bilinear(p.generation_s, _BATCH, _CONTEXT, share, context_tokens)
    return _curve(p.decode_s, share) + attention + np.interp(share, _BATCH, p.head_s)


def mixed_step_s(
    d: Deployment, batch: Any, context_tokens: Any, prompt_tokens: Any, prompts: Any = 1, cached_tokens: Any = 0
) -> Any:
    r"""Time one step that holds decodes and prompts (or a chunk of one) together.

    .. math:: t = t_\mathrm{linear}(b + n) + t_\mathrm{gen}(b, s) + t_\mathrm{ctx}(n) + t_\mathrm{comm}(b + n)
              + t_\mathrm{host}

    Parameters
    ----------
    d : Deployment
        The deployment.
    batch, context_tokens : int or array
        Decoding sequences (0 for none) and tokens each holds.
    prompt_tokens, prompts : int or array
        New prompt tokens in all, and of how many prompts.
    cached_tokens : int or array
        Tokens of the prompt already in the cache (one prompt's chunk).

    Returns
    -------
    float or array
        Seconds.

    Examples
    --------
    >>> from hopperbook.serving import deploy
    >>> from hopperbook.models import load
    >>> d = deploy(load("llama-3.1-8b"), "H100 SXM", precision="bf16")
    >>> bool(mixed_step_s(d, 16, 1024, 2048) > decode_step_s(d, 16, 1024))
    True
    """
    p = profile(d)
    share = np.asarray(batch, float) / (d.attention_dp * d.pp)
    new = np.asarray(prompt_tokens, float) / d.attention_dp
    count = np.maximum(np.asarray(prompts, float) / d.attention_dp, 1.0)
    gen = np.where(share > 0, _bilinear(p.generation_s, _BATCH, _CONTEXT, np.maximum(share, 1.0), context_tokens), 0.0)
    cached = np.asarray(cached_tokens, float)
    fresh = _bilinear(p.context_s, _PROMPTS, _NEW, count, np.maximum(new / count, 1.0))
    chunk = _bilinear(p.cached_s, _NEW, _CONTEXT, np.maximum(new, 1.0), np.maximum(cached, 1.0))
    attention = np.where(cached > 0, chunk, fresh)
    head = np.interp(np.maximum(share + count, 1.0), _BATCH, p.head_s)
    return _curve(p.mixed_s, share + new) + gen + attention + head


def prefill_s(d: Deployment, prompt_tokens: Any, prompts: Any = 1, cached_tokens: Any = 0) -> Any:
    """Time a step that holds nothing but prompts.

    Parameters
    ----------
    d : Deployment
        The deployment.
    prompt_tokens, prompts : int or array
        New tokens in all, and of how many prompts.
    cached_tokens : int or array
        Tokens already in the cache before them.

    Returns
    -------
    float or array
        Seconds.

    Examples
    --------
    >>> from hopperbook.serving import deploy
    >>> from hopperbook.models import load
    >>> d = deploy(load("llama-3.1-8b"), "H100 SXM", precision="bf16")
    >>> 0.03 < float(prefill_s(d, 2048)) < 0.09
    True
    """
    return mixed_step_s(d, 0, 1, prompt_tokens, prompts, cached_tokens)
