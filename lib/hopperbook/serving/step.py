"""Seconds of one engine step, laid out once for a deployment and read between grid points.

A deployment is built once (:func:`deploy`); its step times are laid out as small grids (:func:`clock_of`), from which
every question is a vectorised look-up.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hopperbook import facts, kernels
from hopperbook.kernels import collectives
from hopperbook.models import Feedforward, linear_layers, matrix_format
from hopperbook.serving.clock import BATCH, TOKENS, Clock, Floats, read
from hopperbook.serving.deployment import Deployment
from hopperbook.serving.drafts import tokens_per_step
from hopperbook.serving.mixing import mixing_s
from hopperbook.serving.ticker import decode_steps_s, mixed_steps_s

#: Rows at which a captured graph runs: whole tiles, to which smaller batches are padded.
GRAPH_ROWS = np.unique(
    np.r_[1:17, 32:129:16, 160:257:32, 384, 512, 768, np.arange(1024, 4353, 256), 2 ** np.arange(13, 18)]
).astype(float)


def _linear_s(d: Deployment, tokens: Floats, captured: bool) -> tuple[Floats, float]:
    total, flagged = np.zeros_like(tokens), []
    for w in linear_layers(d.model, d.attention_tp):
        if w.name == "lm_head":
            continue
        precision = matrix_format(d.model, w.name, d.precision)
        times = kernels.gemm_s(d.gpu, precision, tokens, w.n, w.k, d.engine.tables)
        seconds = times.seconds
        if precision == "fp8_block" and captured:  # one table has a floor of 60-90 us of launches that a graph spares
            other = kernels.gemm_s(
                d.gpu, precision, tokens, w.n, w.k, "trtllm" if d.engine.tables == "vllm" else "vllm"
            )
            seconds = np.minimum(seconds, other.seconds)
        scaled = precision in ("fp8", "fp8_block") or kernels.multiplies_fp4(d.gpu, precision)
        if d.engine.gemm_excess_s and scaled:
            seconds = np.maximum(seconds - d.engine.gemm_excess_s, 0.4 * seconds)
        total += w.layers * seconds
        flagged.append(times.beyond.mean())
        if scaled and d.engine.dynamic_scales and w.name == "o":
            # the other casts are fused with the norm or activation before them
            total += w.layers * kernels.quantise_s(d.gpu, tokens, w.k, dynamic=d.precision != "fp8_block").seconds
    return total, float(np.mean(flagged))


def _experts_s(d: Deployment, tokens: Floats) -> Floats:
    return sum((mlp.layers * _layer_of_experts_s(d, mlp, tokens) for mlp in d.model.mlps if mlp.experts), 0 * tokens)


def _layer_of_experts_s(d: Deployment, mlp: Feedforward, tokens: Floats) -> Floats:
    few_experts = mlp.experts <= facts.read_yaml("constants/serving.yaml")["few_experts"]["value"]
    even = "balanced" if d.engine.tables == "vllm" and few_experts else "power_law_1.2"
    sizes = (mlp.latent or d.model.hidden, mlp.expert_ffn, mlp.experts, mlp.experts_per_token)
    layer = (tokens, *sizes, d.moe_tp, d.moe_ep, d.engine.tables, even)
    seconds = kernels.moe_s(d.gpu, d.moe_precision, *layer).seconds
    if d.moe_precision == "fp8" and d.engine.tables == "vllm":  # its kernel for one scale a tensor was timed untuned
        seconds = np.minimum(seconds, kernels.moe_s(d.gpu, "fp8_block", *layer).seconds)
    if d.moe_precision == "mxfp4" and d.engine.tables == "trtllm" and d.moe_ep > 1:
        seconds = seconds - _late_start_s(d, sizes, even)
    weight = np.clip(np.log2(tokens / 64) / 6, 0, 1)  # from decode's factor to prefill's between 64 and 4,096 tokens
    few, many = d.engine.moe_decode, d.engine.moe_prefill
    if d.moe_precision in ("mxfp4", "fp4") and not kernels.multiplies_fp4(d.gpu, d.moe_precision):
        few, many = d.engine.mxfp4_decode, d.engine.mxfp4_prefill
    return seconds * few ** (1 - weight) * many**weight


def _late_start_s(d: Deployment, sizes: tuple[int, int, int, int], even: str) -> float:
    """Return by how much a kernel of experts spread over ranks starts later than one of experts cut over as many.

    The only kernels of MXFP4 experts that were timed are those of vLLM; TensorRT-LLM has its own, and its published
    runs take as long spread as cut.  Both read as much of one token's experts, so that the difference is the start.
    """
    said = (d.engine.tables, even)
    spread = kernels.moe_s(d.gpu, d.moe_precision, 1, *sizes, d.moe_tp, d.moe_ep, *said).seconds
    cut = kernels.moe_s(d.gpu, d.moe_precision, 1, *sizes, d.moe_tp * d.moe_ep, 1, *said).seconds
    return max(0.0, float(spread) - float(cut))


def _elementwise_s(d: Deployment, tokens: Floats) -> Floats:
    m, tp = d.model, d.attention_tp
    width = sum(a.layers * (a.heads + 2 * a.kv_heads) * a.head_dim for a in m.attentions) / m.layers
    width += sum(r.layers * w.n for r in m.recurrents for w in r.matrices) / m.layers
    mlp = sum(g.layers * (g.ffn + g.shared_ffn) for g in m.mlps) / m.layers
    a_token = 2.0 * (2 * 4 * m.hidden + 3 * width / tp + 3 * mlp / tp)
    launches = 2 + 2 + (1 if mlp else 0) + (4 if m.moe_layers else 0)
    return m.layers * kernels.elementwise_s(d.gpu, a_token * tokens, launches)


def _communication_s(d: Deployment, tokens: Floats) -> Floats:
    m = d.model
    size = 2.0 * m.hidden * tokens
    nodes: dict[str, Any] = {"engine": d.engine.tables, "fabric": d.fabric}
    total = np.zeros_like(tokens)
    if d.attention_tp > 1:
        total += m.mixing_layers * collectives.collective_s("all_reduce", size, d.attention_tp, d.gpu, **nodes).seconds
    if d.attention_dp > 1:
        for op in ("all_gather", "reduce_scatter"):
            whole = size * d.attention_dp
            total += m.widening_layers * collectives.collective_s(op, whole, d.tp, d.gpu, **nodes).seconds
    elif d.tp > 1:
        total += m.widening_layers * collectives.collective_s("all_reduce", size, d.tp, d.gpu, **nodes).seconds
    if d.pp > 1:
        near = 8 if d.gpus <= 8 else 1  # stages of a larger group stand in servers of their own
        total += (d.pp - 1) * collectives.collective_s("p2p", size, 2, d.gpu, gpus_per_node=near, **nodes).seconds
    return total


def _head_s(d: Deployment, batch: Floats) -> Floats:
    m = d.model
    head = kernels.gemm_s(d.gpu, "bf16", batch, max(1, m.vocab // d.tp), m.hidden, d.engine.tables).seconds
    return head + d.engine.host_s + d.engine.sequence_s * batch


@lru_cache(maxsize=512)
def clock_of(d: Deployment) -> Clock:
    """Lay out a deployment's step times on grids, once.

    Parameters
    ----------
    d : Deployment
        The deployment.

    Returns
    -------
    Clock
        Its grids.
    """
    slow = d.engine.age
    linear, beyond = _linear_s(d, TOKENS, captured=False)
    parts = {
        "linear": slow * np.interp(TOKENS, GRAPH_ROWS, _linear_s(d, GRAPH_ROWS, captured=True)[0]),
        "experts": slow * _experts_s(d, TOKENS * d.attention_dp),
        "communication": _communication_s(d, TOKENS),
        "elementwise": slow * _elementwise_s(d, TOKENS),
    }
    decode = sum(parts.values(), np.zeros_like(TOKENS))
    head, generation = _head_s(d, BATCH), slow * mixing_s(d, "generation")
    mixed = np.maximum(decode - parts["linear"] + slow * linear, d.engine.eager_layer_s * d.model.layers)
    if d.engine.drafts:
        decode, head, generation = _with_drafts(d, decode, head, generation)
    return Clock(
        d, decode, mixed, head, generation, slow * mixing_s(d, "context"), slow * mixing_s(d, "cached"), parts,
        beyond,
    )  # fmt: skip


def _with_drafts(d: Deployment, decode: Floats, head: Floats, generation: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the seconds of a token, not of a step, where each step makes drafts with one layer and checks them all.

    A step multiplies drafts + 1 rows a sequence and reads its cache once; it yields
    :func:`hopperbook.serving.speculation.tokens_per_step` tokens.
    """
    e, rows = d.engine, d.engine.drafts + 1
    gained = tokens_per_step(e.acceptance, e.drafts)
    host = e.host_s + e.sequence_s * BATCH
    drafting = e.drafts * decode / d.model.layers, e.drafts * (head - host)
    checking = read(TOKENS, decode, rows * TOKENS), read(BATCH, head - host, rows * BATCH) + host
    return (checking[0] + drafting[0]) / gained, (checking[1] + drafting[1]) / gained, generation / gained


def step_parts(d: Deployment, batch: float, context_tokens: float) -> dict[str, float]:
    """Say where the seconds of a decode step go.

    Parameters
    ----------
    d : Deployment
        The deployment.
    batch, context_tokens : float
        Sequences of the replica, and tokens each holds on average.

    Returns
    -------
    dict of float
        Seconds of matrix products, attention, element-wise kernels, all-reduce, and head and host; they add up to
        :func:`decode_step_s`.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> from hopperbook.serving import deploy
    >>> d = deploy(load("llama-3.1-8b"), "H100 SXM", precision="bf16")
    >>> parts = step_parts(d, 64, 2048)
    >>> {name: round(1e3 * seconds, 1) for name, seconds in parts.items()}  # milliseconds
    {'matrix products': 5.9, 'attention': 6.0, 'element-wise': 0.4, 'all-reduce': 0.0, 'head and host': 1.4}
    """
    return clock_of(d).step_parts(batch, context_tokens)


def decode_step_s(d: Deployment, batch: ArrayLike, context_tokens: ArrayLike) -> Floats:
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
    >>> round(1e3 * float(decode_step_s(d, 1, 1024)), 1)  # milliseconds; 15 GB of weights over 3.35 TB/s: 4.5
    6.3
    """
    return decode_steps_s(clock_of(d), batch, context_tokens)


def mixed_step_s(
    d: Deployment,
    batch: ArrayLike,
    context_tokens: ArrayLike,
    prompt_tokens: ArrayLike,
    prompts: ArrayLike = 1,
    cached_tokens: ArrayLike = 0,
) -> Floats:
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
    >>> steps = decode_step_s(d, 16, 1024), mixed_step_s(d, 16, 1024, 2048)  # without and with a prompt
    >>> [round(1e3 * float(seconds), 1) for seconds in steps]  # milliseconds
    [7.9, 46.0]
    """
    return mixed_steps_s(clock_of(d), batch, context_tokens, prompt_tokens, prompts, cached_tokens)


def prefill_s(d: Deployment, prompt_tokens: ArrayLike, prompts: ArrayLike = 1, cached_tokens: ArrayLike = 0) -> Floats:
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
    >>> round(1e3 * float(prefill_s(d, 2048)), 1)  # milliseconds; 29 TFLOP of products at 989 TFLOP/s: 29
    43.9
    """
    return mixed_step_s(d, 0, 1, prompt_tokens, prompts, cached_tokens)
