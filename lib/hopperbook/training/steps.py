"""Seconds of one training step, bottom-up: kernels of a layer, communication that stays exposed, bubble, optimizer.

A layout is a set of columns (``gpus tp pp vpp cp ep dp micro_batch micro_batches``); a whole grid of layouts is one
call.  Frameworks differ by named constants in ``data/constants/training.yaml``, never by a branch on their name.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from hopperbook import facts, kernels
from hopperbook.errors import InputError
from hopperbook.memory.training import Bytes, peak, rank_parameters, sharding_stage
from hopperbook.models import Model, linear_layers, precision_name, training_flop_per_token
from hopperbook.training.layer import Cut, Floats, Framework, Ints, Layer, framework, layer_s, sustained_flop_per_s
from hopperbook.training.network import (
    GPUS_PER_NODE,
    context_parallel_s,
    data_parallel_s,
    expert_parallel_s,
    pipeline_s,
    tensor_parallel_s,
)

__all__ = ["LAYOUT_COLUMNS", "PARTS", "TASKS", "Framework", "Step", "adapter_parameters", "framework", "step"]
__all__ += ["sustained_flop_per_s"]

LAYOUT_COLUMNS = ("gpus", "tp", "pp", "vpp", "cp", "ep", "dp", "micro_batch", "micro_batches")
TASKS = ("pretrain", "sft", "lora")
OPTIMIZER_TRAFFIC_BYTES = 30.0  # read gradient, master copy and moments; write the last three and the 16-bit weight


class Step(NamedTuple):
    """Seconds of a step by part, and what follows from them; arrays of the layouts' length."""

    gemm_s: Floats
    attention_s: Floats
    elementwise_s: Floats
    recompute_s: Floats
    head_s: Floats
    tensor_parallel_s: Floats
    bubble_s: Floats
    point_to_point_s: Floats
    data_parallel_s: Floats
    optimizer_s: Floats
    host_s: Floats
    total_s: Floats
    tokens_per_s_per_gpu: Floats
    memory_bytes: Floats
    mfu: Floats


PARTS = Step._fields[:11]


def step(
    model: Model,
    gpu: str | facts.GPU,
    *,
    gpus: ArrayLike,
    seq_len: ArrayLike,
    tp: ArrayLike = 1,
    pp: ArrayLike = 1,
    vpp: ArrayLike = 1,
    cp: ArrayLike = 1,
    ep: ArrayLike = 1,
    micro_batch: ArrayLike = 1,
    micro_batches: ArrayLike = 1,
    shard_ranks: ArrayLike = 0,
    precision: str = "bf16",
    sharding: str = "distributed optimizer",
    recompute: str = "none",
    task: str = "pretrain",
    framework_name: str | Framework = "megatron",
    fabric: str | None = None,
    sequence_parallel: bool = True,
) -> Step:
    r"""Time a training step of every layout.

    .. math:: t = m\,\max_\mathrm{stage} t_\mathrm{micro} + \frac{p - 1}{v} t_\mathrm{micro}
              + t_\mathrm{DP} + t_\mathrm{optimizer}

    Parameters
    ----------
    model : Model
        The model.
    gpu : str or GPU
        The part; one with a lowered ``tdp_w`` sustains less.
    gpus, tp, pp, vpp, cp, ep : int or array
        The layout; ``dp = gpus / (tp pp cp)``.
    seq_len : int or array
        Tokens of a sequence.
    micro_batch, micro_batches : int or array
        Sequences of a micro-batch, and micro-batches of a step on one data-parallel rank.
    shard_ranks : int or array
        Ranks that share states, where fewer than all data-parallel ranks do; 0 for all.
    precision : str
        Of the linear layers: ``bf16 fp16 fp8 fp8_block``.
    sharding, recompute, task : str
        As in :mod:`hopperbook.memory.training`.
    framework_name : str or Framework
        Whose constants.
    fabric : str, optional
        Network between nodes; InfiniBand NDR if none is named.
    sequence_parallel : bool
        Norms and residuals split over tensor-parallel ranks.

    Returns
    -------
    Step
        Seconds by part, tokens a second and GPU, peak memory, share of the format's dense peak (MFU).

    Raises
    ------
    InputError
        If a layout is impossible or a word unknown.

    Notes
    -----
    Source: ``narayanan-2021-megatron`` for the pipeline, ``rajbhandari-2020-zero`` for sharding.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> s = step(load("meta-llama/Llama-3.1-8B"), "H100 SXM", gpus=8, seq_len=8192, cp=2, micro_batches=64)
    >>> round(float(s.tokens_per_s_per_gpu[0]) / 1e3, 1)  # thousands; published: 10.153 (nvidia-dgxc-benchmarking)
    10.1
    """
    part = gpu if isinstance(gpu, facts.GPU) else facts.gpu(gpu)
    f = framework_name if isinstance(framework_name, Framework) else framework(framework_name, part.architecture)
    precision = precision_name(precision)
    if task not in TASKS:
        raise InputError("task", task, "one of " + ", ".join(TASKS), TASKS)
    columns = (gpus, tp, pp, vpp, cp, ep, micro_batch, micro_batches, seq_len, shard_ranks)
    arrays = np.broadcast_arrays(*(np.atleast_1d(np.asarray(x, dtype=np.int64)) for x in columns))
    gpus_, tp_, pp_, vpp_, cp_, ep_, mb, m, length, shard = arrays
    dp = _data_ranks(gpus_, tp_ * pp_ * cp_)
    ranks = dp * cp_
    shard = np.where(shard > 0, np.minimum(shard, ranks), ranks)
    expert_tp = np.where(ep_ > ranks, 1, tp_)
    layer = _layers_of(model, part, f, precision, (length, mb, tp_, cp_, ep_, expert_tp), task, sequence_parallel)
    tokens = mb * length / cp_
    network: dict[str, Any] = {"fabric": fabric, "sequence_parallel": sequence_parallel}
    tensor = tensor_parallel_s(
        model, part, f, tokens, tp_, precision=precision, task=task, recompute=recompute, **network
    )  # fmt: skip
    attention = layer.attention_forward_s + layer.attention_backward_s
    tensor = tensor + context_parallel_s(model, part, tokens, cp_, tp_, attention)
    tensor = tensor + expert_parallel_s(model, part, f, tokens, ep_, tp_, expert_tp, fabric)
    again = _recompute_s(layer, f, recompute)
    gemm = layer.gemm_forward_s + layer.gemm_backward_s
    each = gemm + attention + layer.elementwise_s + again + tensor
    layers = _stage_layers(model.layers, pp_)
    compute = layers * each
    stage = np.maximum(compute, f.host_layer_s * layers)
    ends = _end_layers(model.layers, pp_)
    busy = np.maximum(stage, np.maximum(ends * each, f.host_layer_s * ends) + layer.head_s)
    bubble = (pp_ - 1) / np.maximum(vpp_, 1) * stage
    p2p = pipeline_s(
        model, part, f, tokens, tp=tp_, pp=pp_, vpp=vpp_, micro_batches=m, inner=tp_ * cp_ * dp, **network
    )  # fmt: skip
    dense, experts = rank_parameters(model, tp=tp_, pp=pp_, ep=ep_, expert_tp=expert_tp)
    data = data_parallel_s(
        part, f, dense, layers=layers, ranks=ranks, shard_ranks=shard, tp=tp_, micro_batches=m, stage_s=busy,
        sharding=sharding, task=task, fabric=fabric,
    )  # fmt: skip
    expert_ranks = np.maximum(1, ranks * tp_ // (ep_ * expert_tp))
    if model.experts:
        data = data + data_parallel_s(
            part, f, experts, layers=layers, ranks=expert_ranks, shard_ranks=expert_ranks,
            tp=np.minimum(8, ep_ * expert_tp), micro_batches=m, stage_s=busy, sharding=sharding,
            task=task, fabric=fabric,
        )  # fmt: skip
    optimizer = _optimizer_s(part, dense, shard, sharding, task) + _optimizer_s(
        part, experts, expert_ranks, sharding, task
    )
    wait = f.jitter_share * np.log2(np.maximum(gpus_ / GPUS_PER_NODE, 1.0))  # the slowest of many
    total = (m * busy + bubble + p2p + data + optimizer + f.host_step_s) * (1 + wait)
    host = total - m * np.maximum(compute, ends * each + layer.head_s) - bubble - p2p - data - optimizer
    sizes = Bytes(
        f.gradient_bytes, f.state_factor, f.activation_factor, f.logit_bytes, f.runtime_bytes, f.selective_memory
    )
    peaks = peak(
        model, seq_len=length, micro_batch=mb, micro_batches=m, tp=tp_, pp=pp_, vpp=vpp_, cp=cp_, ep=ep_, dp=dp,
        sharding=sharding, recompute=recompute, precision=precision, task=task, shard_ranks=shard, expert_tp=expert_tp,
        sequence_parallel=sequence_parallel, adapter_parameters=adapter_parameters(model), sizes=sizes,
        flash=not f.score_bytes,
    )  # fmt: skip
    rate = dp * mb * m * length / total / gpus_
    useful = _flop_per_token(model, length, frozen=task == "lora")
    peak_flop_per_s = part.dense_flop_per_s["fp8" if precision.startswith("fp8") else "bf16"]
    flop = rate * useful / peak_flop_per_s
    each_s = layers * m
    return Step(
        each_s * gemm, each_s * attention, each_s * layer.elementwise_s, each_s * again, m * layer.head_s,
        each_s * tensor, bubble, p2p, data, optimizer, host, total, rate, peaks.total_bytes, flop,
    )  # fmt: skip


def _data_ranks(gpus: Ints, ranks: Ints) -> Ints:
    """Return data-parallel ranks; refuse layouts whose ranks do not divide the GPUs."""
    if np.any(ranks < 1) or np.any(gpus % np.maximum(ranks, 1)):
        bad = int(np.flatnonzero((ranks < 1) | (gpus % np.maximum(ranks, 1) != 0))[0])
        raise InputError("gpus", int(gpus[bad]), f"a multiple of tp x pp x cp = {int(ranks[bad])}")
    return gpus // ranks


def _stage_layers(layers: int, pp: Ints) -> Floats:
    """Layers of a middle stage; embedding and head count as layers where that evens the stages out."""
    return np.where((layers % pp != 0) & ((layers + 2) % pp == 0), (layers + 2) // pp, np.ceil(layers / pp))


def _end_layers(layers: int, pp: Ints) -> Floats:
    """Layers of the last stage, which also has the head."""
    even = (layers % pp != 0) & ((layers + 2) % pp == 0)
    last = layers - (pp - 1) * np.ceil(layers / pp)
    return np.where(even, (layers + 2) // pp - 1, np.where(last > 0, last, np.floor(layers / pp)))


def _flop_per_token(model: Model, seq_len: Ints, *, frozen: bool) -> Floats:
    distinct, where = np.unique(seq_len, return_inverse=True)
    return np.array([training_flop_per_token(model, int(s), frozen=frozen) for s in distinct])[where.reshape(-1)]


def adapter_parameters(model: Model, rank: int = 16) -> float:
    """Count LoRA's trainable parameters on every linear layer but router and head.

    Parameters
    ----------
    model : Model
        The model.
    rank : int
        Rank of the adapters.

    Returns
    -------
    float
        Parameters.

    Notes
    -----
    Source: ``hu-2021-lora``.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> round(adapter_parameters(load("meta-llama/Llama-3.1-8B")) / 1e6, 1)  # millions: rank 16 x 32 layers x 69,632
    35.7
    """
    rows = (w for w in linear_layers(model) if w.name not in ("router", "lm_head"))
    return float(sum(rank * (w.k + w.n) * w.layers for w in rows))


def _recompute_s(layer: Layer, f: Framework, recompute: str) -> Floats:
    """Seconds of what recomputation repeats in a layer: all but its last product (full), or what the framework says."""
    if recompute not in ("none", "selective", "full"):
        raise InputError("recompute", recompute, "none, selective or full", ["none", "selective", "full"])
    if recompute == "full":
        products = layer.gemm_forward_s - layer.last_gemm_forward_s
        return products + layer.attention_forward_s + layer.elementwise_s / 3
    if recompute == "selective":
        again = f.selective_gemm_share * layer.gemm_forward_s + f.selective_attention * layer.attention_forward_s
        return again + (layer.elementwise_s / 3 if f.selective_gemm_share else 0.0)
    return np.zeros_like(layer.gemm_forward_s)


def _layers_of(
    model: Model, gpu: facts.GPU, f: Framework, precision: str, columns: tuple[Ints, ...], task: str, shared: bool
) -> Layer:
    """Time each distinct way to cut a layer once and spread the answers over the layouts."""
    if len(columns[0]) <= 8:
        return layer_s(model, gpu, f, precision, Cut(*columns), task, shared)
    code = np.zeros(len(columns[0]), dtype=np.int64)
    for column in columns:
        _, number = np.unique(column, return_inverse=True)
        code = code * (int(number.max()) + 1) + number.reshape(-1)
    _, first, where = np.unique(code, return_index=True, return_inverse=True)
    layer = layer_s(model, gpu, f, precision, Cut(*(c[first] for c in columns)), task, shared)
    return Layer(*(x[where.reshape(-1)] for x in layer))


def _optimizer_s(gpu: facts.GPU, held: Floats, ranks: Ints, sharding: str, task: str) -> Floats:
    if task == "lora":
        return np.zeros_like(np.asarray(held, float))
    own = held / np.where(sharding_stage(sharding) >= 1, ranks, 1)
    return kernels.elementwise_s(gpu, OPTIMIZER_TRAFFIC_BYTES * own, 0)
