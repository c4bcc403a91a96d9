"""Seconds of what mixes tokens in a step: attention of every kind, and recurrent layers; all layers together.

A kind that no kernel was measured for is timed by the nearest that was: sparse attention by the keys that a query reads
and the scan of its indexer, a recurrence by its arithmetic and its bytes; the model says so
(:attr:`hopperbook.models.Model.unmeasured`), and ranges widen.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hopperbook import facts, kernels
from hopperbook.kernels.roofline import shares
from hopperbook.models import Attention, Recurrent, attended_pairs
from hopperbook.serving.clock import BATCH, CONTEXT, NEW_TOKENS, PROMPTS, Floats
from hopperbook.serving.deployment import Deployment

#: Axes of the grids of prompts, by kind: prompts, new tokens of each, tokens cached before them.
_PROMPT_AXES: dict[str, tuple[ArrayLike, ArrayLike, ArrayLike]] = {
    "context": (PROMPTS[:, None], NEW_TOKENS[None, :], 0),
    "cached": (1, NEW_TOKENS[:, None], CONTEXT[None, :]),
}


def mixing_s(d: Deployment, kind: str) -> Floats:
    """Time what mixes tokens on one grid of the clock.

    Parameters
    ----------
    d : Deployment
        The deployment.
    kind : str
        ``generation`` (batch by context), ``context`` (prompts by new tokens) or ``cached`` (new tokens by context).

    Returns
    -------
    ndarray
        Seconds of all layers.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> from hopperbook.serving import deploy
    >>> times = mixing_s(deploy(load("llama-3.1-8b"), "H100 SXM"), "generation")
    >>> round(1e3 * float(times[6, 13]), 1)  # milliseconds: 64 sequences of 8,192 tokens
    22.8
    """
    total: Any = 0.0
    for a in d.model.attentions:
        if a.selected or a.every:
            total = total + _sparse_s(d, a, kind)
        elif a.latent:
            total = total + _latent_s(d, a, kind, CONTEXT)
        else:
            total = total + _plain_s(d, a, kind, CONTEXT)
    for r in d.model.recurrents:
        total = total + r.layers * _recurrent_s(d, r, kind)
    return total


def _plain_s(d: Deployment, a: Attention, kind: str, seen: Floats) -> Floats:
    """Time full, grouped or windowed attention; ``seen`` are the tokens that each point of the context axis reads."""
    tp = d.attention_tp
    heads, kv = a.heads // tp, max(1, a.kv_heads // tp)
    width = a.head_dim if a.value_dim == a.head_dim else (a.head_dim + a.value_dim) // 2
    small = d.engine.tables == "trtllm" and d.kv_precision == "fp8" and d.gpu.transformer_engine
    multiply = "fp8" if small else "bf16"  # this engine multiplies prompts in the cache's format
    tables = "trtllm" if a.heads == a.kv_heads else d.engine.tables  # only this one holds a head of keys for each query
    if kind != "generation":
        prompts, new, before = _PROMPT_AXES[kind]
        passes = 1.0
        if d.model.text_tokens:  # texts that do not meet one another; whole ones, though the engine cuts the request
            tokens = np.asarray(prompts, float) * np.asarray(new, float) + 0.0 * np.asarray(before, float)
            new, before = np.minimum(tokens, float(d.model.text_tokens)), 0
            prompts, passes = tokens / new, 2.0 if a.both and not a.window else 1.0
        shape = (heads, kv, width, multiply, d.kv_precision, a.window, tables)
        return a.layers * passes * kernels.context_attention_s(d.gpu, prompts, new, before, *shape).seconds
    batch, tokens = BATCH[:, None], seen[None, :]
    times = kernels.generation_attention_s(d.gpu, batch, tokens, heads, kv, width, d.kv_precision, a.window, tables)
    value = 1.0 if d.kv_precision in ("fp8", "int8") else 2.0
    read = np.minimum(tokens, a.window) if a.window else tokens
    least = 2.0 * batch * read * kv * width * value
    rate = d.engine.attention_bandwidth_share * d.gpu.memory_bandwidth_bytes_per_s
    return a.layers * np.maximum(times.seconds, least / rate)


def _latent_s(d: Deployment, a: Attention, kind: str, seen: Floats) -> Floats:
    """Time latent attention without its projections (those are counted with the linear layers)."""
    peak = d.gpu.dense_flop_per_s["bf16"]
    c, s = facts.read_yaml("constants/serving.yaml")["mla_split"], shares("mla_module")
    heads = a.heads // d.attention_tp
    if kind == "generation":
        batch, tokens = BATCH[:, None], seen[None, :]
        module = kernels.mla_generation_s(d.gpu, batch, tokens, heads, d.kv_precision, d.precision).seconds
        start = kernels.mla_generation_s(d.gpu, batch, 2.0, heads, d.kv_precision, d.precision).seconds
    else:
        cached = kind != "context"
        batch = np.ones((1, 1)) if cached else PROMPTS[:, None]
        tokens = NEW_TOKENS[:, None] if cached else NEW_TOKENS[None, :]
        module = kernels.mla_context_s(d.gpu, batch, tokens, heads, d.kv_precision, d.precision).seconds
        width = s["q_rank"] + s["kv_rank"] + s["rope"] + heads * c["head_width"]
        start = 2.0 * batch * tokens * s["hidden"] * width / (c["projection_flop"] * peak)
        if cached:
            pairs, widths = tokens * CONTEXT[None, :], s["nope"] + s["rope"] + s["value"]
            module = module + 2.0 * heads * widths * pairs / (c["cached_flop"] * peak)
    return a.layers * np.maximum(module - c["removed"] * start, c["least"] * module)


def _sparse_s(d: Deployment, a: Attention, kind: str) -> Floats:
    """Time attention that reads selected or compressed keys: dense attention over those it reads, and its indexer."""
    c = facts.read_yaml("constants/serving.yaml")["sparse_attention"]
    whole = _latent_s if a.latent else _plain_s
    axes = (BATCH[:, None], 1.0, CONTEXT[None, :]) if kind == "generation" else _PROMPT_AXES[kind]
    count, new, before = (np.asarray(x, float) for x in axes)
    read, ranked = attended_pairs(a, new, before)
    peaks = d.gpu.dense_flop_per_s
    rate = c["index_flop"] * peaks.get("fp8", peaks["bf16"])  # every rank scores all keys, in eight bits where it can
    index = 2.0 * a.index_heads * a.index_dim * count * ranked / rate
    if kind == "generation":
        value = 1.0 if d.kv_precision in ("fp8", "int8") else 2.0
        scanned = count * ranked * a.index_dim * value / (c["bandwidth"] * d.gpu.memory_bandwidth_bytes_per_s)
        index = np.maximum(index, scanned)
        seen = np.asarray(read, float).reshape(-1)
        return whole(d, _near(a), kind, np.maximum(seen, 1.0)) + a.layers * index
    pairs = new * before + new * (new + 1) / 2
    shared = whole(d, _near(a), kind, CONTEXT) * np.minimum(1.0, read / pairs)
    return np.maximum.accumulate(shared, axis=1) + a.layers * index  # a longer text never takes less


def _near(a: Attention) -> Attention:
    """Return a sparse attention as the dense one that its kernel is likened to."""
    return replace(a, window=0, selected=0, every=0)


def _recurrent_s(d: Deployment, r: Recurrent, kind: str) -> Floats:
    """Time one layer's recurrence without its projections: its state read and written, or a scan over new tokens."""
    c = facts.read_yaml("constants/serving.yaml")["recurrent"]
    state = (4.0 * r.state_values + 2.0 * r.conv_values) / d.attention_tp
    if kind == "generation":
        moved = 2.0 * state * BATCH[:, None] / c["bandwidth"]
        return kernels.elementwise_s(d.gpu, moved, c["launches"]) + 0.0 * CONTEXT[None, :]
    prompts, new, before = (np.asarray(x, float) for x in _PROMPT_AXES[kind])
    tokens = prompts * new + 0.0 * before
    width = sum(w.n for w in r.matrices) / d.attention_tp
    moved = (2.0 * c["passes"] * width * tokens + 2.0 * state * prompts) / c["bandwidth"]
    flop = r.flop_per_token * tokens / d.attention_tp
    return kernels.elementwise_s(d.gpu, moved, c["launches"]) + flop / (c["flop"] * d.gpu.dense_flop_per_s["bf16"])
