"""Seconds of one training step, bottom-up: kernels of a layer, communication that stays exposed, bubble, optimizer.

A layout is a set of columns (``gpus tp pp vpp cp ep dp micro_batch micro_batches``); a whole grid of layouts is one
call.  Frameworks differ by named constants in ``data/constants/training.yaml``, never by a branch on their name.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import yaml

from hopperbook import facts, interconnect, kernels
from hopperbook.errors import InputError
from hopperbook.training_memory import peak, rank_parameters, sharding_stage
from hopperbook.transformer import Linear, Model, linear_layers, precision_name, training_flop_per_token

LAYOUT_COLUMNS = ("gpus", "tp", "pp", "vpp", "cp", "ep", "dp", "micro_batch", "micro_batches")
TASKS = ("pretrain", "sft", "lora")
GPUS_PER_NODE = 8
OPTIMIZER_TRAFFIC_BYTES = 30.0  # read gradient, master copy and moments; write the last three and the 16-bit weight


@dataclass(frozen=True)
class Framework:
    """Named constants of a training framework; what each means is said in ``data/constants/training.yaml``."""

    name: str
    gemm_ceiling_share: float
    fp8_gemm_factor: float
    attention_factor: float
    attention_backward_ratio: float
    document_share: float
    elementwise_passes: float
    tp_exposed: float
    fsdp_exposed: float
    dp_exposed: float
    bucket_latency_s: float
    host_layer_s: float
    gradient_comm_bytes: float
    gradient_bytes: float


@functools.cache
def _constants() -> dict[str, Any]:
    return yaml.safe_load((facts.DATA / "constants" / "training.yaml").read_text())


@functools.cache
def framework(name: str = "megatron") -> Framework:
    """Return the constants of a framework by any text that names it.

    Parameters
    ----------
    name : str
        Such as ``NeMo v25.02`` or ``PyTorch FSDP``; unknown or empty names take Megatron's.

    Returns
    -------
    Framework
        The constants.

    Examples
    --------
    >>> framework("NeMo v25.02").name, framework("llm-foundry").name
    ('megatron', 'fsdp')
    """
    records = _constants()["frameworks"]
    lower = (name or "").lower()
    found = next((key for key, row in records.items() if any(word in lower for word in row["names"])), "megatron")
    return Framework(name=found, **{k: float(v) for k, v in records[found].items() if k != "names"})


def sustained_flop_per_s(gpu: facts.GPU, precision: str) -> float:
    """Return the rate that long matrix products sustain under the power limit, as measured or by ratio of peaks.

    Parameters
    ----------
    gpu : GPU
        The part.
    precision : str
        ``bf16``, ``fp16`` or ``fp8``.

    Returns
    -------
    float
        FLOP/s.

    Notes
    -----
    Source: ``stas-ml-engineering``, best shape found.

    Examples
    --------
    >>> sustained_flop_per_s(facts.gpu("H100 SXM"), "bf16") / 1e12
    794.5
    """
    table = _constants()["sustained_tflop_per_s"]
    key = "fp8" if precision.startswith("fp8") else "bf16"
    if gpu.name in table and key in table[gpu.name]:
        return table[gpu.name][key] * 1e12
    like = "A100 SXM 80GB" if gpu.architecture == "Ampere" else "H100 SXM"
    if key not in table[like] or key not in gpu.dense_flop_per_s:
        raise InputError("precision", precision, f"a format that {gpu.name} computes in", ["bf16"])
    reference = facts.gpu(like)
    return table[like][key] * 1e12 * gpu.dense_flop_per_s[key] / reference.dense_flop_per_s[key]


class Layer(NamedTuple):
    """Seconds of one layer and one micro-batch on one rank, forward and backward."""

    gemm_forward_s: Any
    gemm_backward_s: Any
    attention_forward_s: Any
    attention_backward_s: Any
    elementwise_s: Any
    last_gemm_forward_s: Any


def _gemm(gpu: facts.GPU, f: Framework, precision: str, m: Any, n: Any, k: Any) -> Any:
    """Seconds of a matrix product in a long run: the table's, never above the sustained ceiling."""
    seconds = kernels.gemm_s(gpu, precision, m, n, k).seconds
    if precision.startswith("fp8"):
        seconds = seconds * f.fp8_gemm_factor
    flop = 2.0 * np.asarray(m, float) * n * k
    return np.maximum(seconds, flop / (f.gemm_ceiling_share * sustained_flop_per_s(gpu, precision)))


def _products(gpu: facts.GPU, f: Framework, precision: str, w: Linear, m: Any, task: str) -> tuple[Any, Any]:
    """Forward and backward seconds of one weight matrix; LoRA skips the weight's gradient."""
    forward = _gemm(gpu, f, precision, m, w.n, w.k)
    backward = _gemm(gpu, f, precision, m, w.k, w.n)
    if task != "lora":
        backward = backward + _gemm(gpu, f, precision, w.k, w.n, m)
    return forward, backward


def layer_s(
    model: Model, gpu: facts.GPU, f: Framework, precision: str, seq_len: int, micro_batch: Any,
    tp: int, cp: int, ep: int, task: str,
) -> Layer:  # fmt: skip
    """Time one average layer of a model on one rank.

    Parameters
    ----------
    model : Model
        The model.
    gpu : GPU
        The part.
    f : Framework
        Constants.
    precision : str
        ``bf16 fp16 fp8 fp8_block``.
    seq_len : int
        Tokens of a sequence.
    micro_batch : array of int
        Sequences of a micro-batch.
    tp, cp, ep : int
        Ranks.
    task : str
        ``pretrain``, ``sft`` or ``lora``.

    Returns
    -------
    Layer
        Seconds, shaped as ``micro_batch``.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> h100, f = facts.gpu("H100 SXM"), framework()
    >>> t = layer_s(load("meta-llama/Llama-3.1-8B"), h100, f, "bf16", 8192, np.array([1]), 1, 1, 1, "pretrain")
    >>> 1.9 < float(t.gemm_backward_s[0] / t.gemm_forward_s[0]) < 2.2
    True
    """
    m = np.asarray(micro_batch, float) * seq_len / cp
    forward, backward, last = np.zeros_like(m), np.zeros_like(m), np.zeros_like(m)
    for w in linear_layers(model, tp):
        if w.name == "lm_head":
            continue
        run = "bf16" if w.name == "router" and precision.startswith("fp8") else precision
        one, back = _products(gpu, f, run, w, m, task)
        forward, backward = forward + one * w.layers / model.layers, backward + back * w.layers / model.layers
        last = one if w.name in ("down", "shared_down") else last
    if model.experts:
        shape = (model.hidden, model.expert_ffn, model.experts, model.experts_per_token, tp, ep)
        routed = kernels.moe_s(gpu, precision, m, *shape).seconds * model.moe_layers / model.layers
        forward, backward = forward + routed, backward + (1.0 if task == "lora" else 2.0) * routed
    kv_heads = max(1, model.kv_heads // tp)
    attention = kernels.context_attention_s(
        gpu, np.asarray(micro_batch, float), float(seq_len), 0.0, model.heads // tp, kv_heads, model.head_dim
    ).seconds
    attention = attention * f.attention_factor * f.document_share / cp
    elementwise = f.elementwise_passes * _elementwise_s(model, gpu, m, tp, precision)
    return Layer(forward, backward, attention, attention * f.attention_backward_ratio, elementwise, last)


def _elementwise_s(model: Model, gpu: facts.GPU, m: Any, tp: int, precision: str) -> Any:
    """Seconds of norms, residuals, rotary embedding, activation (and FP8 casts), forward and twice that backward."""
    width = model.ffn if not model.experts else model.experts_per_token * model.expert_ffn + model.shared_ffn
    q_and_kv = (model.heads + 2 * model.kv_heads) * model.head_dim
    values = 10.0 * model.hidden + 2.0 * q_and_kv + (3.0 if model.gated else 2.0) * width
    casts = 1.5 * (2 * model.hidden + q_and_kv + width) if precision.startswith("fp8") else 0.0
    return kernels.elementwise_s(gpu, 3 * 2 * m * (values + casts) / tp, 0)


class Step(NamedTuple):
    """Seconds of a step by part, and what follows from them; arrays of the layouts' length."""

    gemm_s: Any
    attention_s: Any
    elementwise_s: Any
    recompute_s: Any
    head_s: Any
    tensor_parallel_s: Any
    bubble_s: Any
    point_to_point_s: Any
    data_parallel_s: Any
    optimizer_s: Any
    host_s: Any
    total_s: Any
    tokens_per_s_per_gpu: Any
    memory_bytes: Any
    mfu: Any


PARTS = Step._fields[:11]


def step(
    model: Model,
    gpu: str | facts.GPU,
    *,
    gpus: Any,
    seq_len: int,
    tp: Any = 1,
    pp: Any = 1,
    vpp: Any = 1,
    cp: Any = 1,
    ep: Any = 1,
    micro_batch: Any = 1,
    micro_batches: Any = 1,
    precision: str = "bf16",
    sharding: str = "distributed optimizer",
    recompute: str = "none",
    task: str = "pretrain",
    framework_name: str = "megatron",
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
        The part.
    gpus, tp, pp, vpp, cp, ep : int or array
        The layout; ``dp = gpus / (tp pp cp)``.
    seq_len : int
        Tokens of a sequence.
    micro_batch, micro_batches : int or array
        Sequences of a micro-batch, and micro-batches of a step on one data-parallel rank.
    precision : str
        Of the linear layers: ``bf16 fp16 fp8 fp8_block``.
    sharding, recompute, task : str
        As in :mod:`hopperbook.training_memory`.
    framework_name : str
        Whose constants.
    fabric : str, optional
        Network between nodes; InfiniBand NDR if none is named.
    sequence_parallel : bool
        Norms and residuals split over tensor-parallel ranks.

    Returns
    -------
    Step
        Seconds by part, tokens a second and GPU, peak memory, model FLOPs utilisation (against the dense BF16 peak).

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
    >>> s = step(load("meta-llama/Llama-3.1-8B"), "H100 SXM", gpus=8, seq_len=8192, cp=2, micro_batches=32)
    >>> 8000 < float(s.tokens_per_s_per_gpu[0]) < 16000
    True
    """
    part = gpu if isinstance(gpu, facts.GPU) else facts.gpu(gpu)
    f, precision = framework(framework_name), precision_name(precision)
    if task not in TASKS:
        raise InputError("task", task, "one of " + ", ".join(TASKS), TASKS)
    arrays = np.broadcast_arrays(
        *(np.atleast_1d(np.asarray(x, dtype=np.int64)) for x in (gpus, tp, pp, vpp, cp, ep, micro_batch, micro_batches))
    )
    gpus_, tp_, pp_, vpp_, cp_, ep_, mb, m = arrays
    ranks = tp_ * pp_ * cp_
    if np.any(gpus_ % ranks) or np.any(ranks < 1):
        bad = int(np.flatnonzero(gpus_ % np.maximum(ranks, 1))[0])
        raise InputError("gpus", int(gpus_[bad]), f"a multiple of tp x pp x cp = {int(ranks[bad])}")
    dp = gpus_ // ranks
    layer = _layers_of(model, part, f, precision, seq_len, mb, tp_, cp_, ep_, task)
    head = _heads_of(model, part, f, seq_len, mb, tp_, cp_)
    tokens = mb * seq_len / cp_
    tensor = f.tp_exposed * _tensor_parallel_s(model, part, tokens, tp_, task, recompute)
    tensor = tensor + _expert_parallel_s(model, part, tokens, ep_)
    per_layer = _recomputed(layer, recompute, tensor)
    stage = np.ceil(model.layers / pp_) * per_layer.total
    micro = np.maximum(stage + np.where(pp_ > 1, head, 0.0), f.host_layer_s * np.ceil(model.layers / pp_))
    busy = m * np.where(pp_ > 1, micro, stage + head)
    host = np.maximum(0.0, m * f.host_layer_s * np.ceil(model.layers / pp_) - busy)
    bubble = (pp_ - 1) / np.maximum(vpp_, 1) * stage
    p2p = _pipeline_s(model, part, tokens, tp_, pp_, vpp_, m, sequence_parallel, fabric)
    dense, experts = rank_parameters(model, tp=tp_, pp=pp_, ep=ep_)
    data = _data_parallel_s(part, f, dense, experts, gpus_, dp, cp_, ep_, tp_, m, stage, sharding, task, fabric)
    optimizer = _optimizer_s(part, dense + experts, dp * cp_, sharding, task)
    total = busy + host + bubble + p2p + data + optimizer
    layers = np.ceil(model.layers / pp_) * m
    peaks = peak(
        model, seq_len=seq_len, micro_batch=mb, micro_batches=m, tp=tp_, pp=pp_, vpp=vpp_, cp=cp_, ep=ep_, dp=dp,
        sharding=sharding, recompute=recompute, precision=precision, gradient_bytes=f.gradient_bytes, task=task,
        sequence_parallel=sequence_parallel, adapter_parameters=adapter_parameters(model),
    )  # fmt: skip
    rate = dp * mb * m * seq_len / total / gpus_
    flop = training_flop_per_token(model, seq_len) * rate / part.dense_flop_per_s["bf16"]
    parts = (per_layer.gemm, per_layer.attention, per_layer.elementwise, per_layer.recompute)
    gemm, attention, elementwise, again = (layers * x for x in parts)
    return Step(
        gemm, attention, elementwise, again, m * head, layers * tensor, bubble, p2p, data, optimizer, host,
        total, rate, peaks.total_bytes, flop,
    )  # fmt: skip


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
    >>> adapter_parameters(load("meta-llama/Llama-3.1-8B")) / 1e6 > 20
    True
    """
    rows = (w for w in linear_layers(model) if w.name not in ("router", "lm_head"))
    return float(sum(rank * (w.k + w.n) * w.layers for w in rows))


class _PerLayer(NamedTuple):
    gemm: Any
    attention: Any
    elementwise: Any
    recompute: Any
    total: Any


def _recomputed(layer: Layer, recompute: str, tensor: Any) -> _PerLayer:
    """Add what recomputation repeats: everything but a layer's last GEMM (full), or attention's core (selective)."""
    if recompute not in ("none", "selective", "full"):
        raise InputError("recompute", recompute, "none, selective or full", ["none", "selective", "full"])
    again = np.zeros_like(layer.gemm_forward_s)
    if recompute == "full":
        again = layer.gemm_forward_s - layer.last_gemm_forward_s + layer.attention_forward_s + layer.elementwise_s / 3
    gemm = layer.gemm_forward_s + layer.gemm_backward_s
    attention = layer.attention_forward_s + layer.attention_backward_s
    return _PerLayer(
        gemm, attention, layer.elementwise_s, again, gemm + attention + layer.elementwise_s + again + tensor
    )


def _by_groups(keys: tuple[Any, ...], call: Any) -> list[Any]:
    """Call once for each distinct combination of keys (the last one as a vector) and spread the answers."""
    table = np.stack(np.broadcast_arrays(*keys), axis=1)
    distinct, where = np.unique(table, axis=0, return_inverse=True)
    where = where.reshape(-1)
    answers: list[np.ndarray] = []
    outer, group = np.unique(distinct[:, :-1], axis=0, return_inverse=True)
    group = group.reshape(-1)
    for i, combination in enumerate(outer):
        rows = np.flatnonzero(group == i)
        for j, column in enumerate(call(*(int(x) for x in combination), distinct[rows, -1])):
            if len(answers) <= j:
                answers.append(np.zeros(len(distinct)))
            answers[j][rows] = column
    return [column[where] for column in answers]


def _layers_of(
    model: Model, gpu: facts.GPU, f: Framework, precision: str, seq_len: int, mb: Any,
    tp: Any, cp: Any, ep: Any, task: str,
) -> Layer:  # fmt: skip
    def call(t: int, c: int, e: int, batch: Any) -> Layer:
        return layer_s(model, gpu, f, precision, seq_len, batch, t, c, e, task)

    return Layer(*_by_groups((tp, cp, ep, mb), call))


def _heads_of(model: Model, gpu: facts.GPU, f: Framework, seq_len: int, mb: Any, tp: Any, cp: Any) -> Any:
    """Seconds of LM head, loss and embedding of one micro-batch, forward and backward, in 16 bits."""
    if not model.vocab:
        return np.zeros(np.broadcast(mb, tp, cp).shape)

    def call(t: int, c: int, batch: Any) -> tuple[Any]:
        tokens = np.asarray(batch, float) * seq_len / c
        vocab = -(-model.vocab // t)
        products = _gemm(gpu, f, "bf16", tokens, vocab, model.hidden) + _gemm(
            gpu, f, "bf16", tokens, model.hidden, vocab
        )
        products = products + _gemm(gpu, f, "bf16", model.hidden, vocab, tokens)
        traffic = tokens * (20.0 * vocab + 12.0 * model.hidden)
        return (products + kernels.elementwise_s(gpu, traffic, 0),)

    return _by_groups((tp, cp, mb), call)[0]


def _tensor_parallel_s(model: Model, gpu: facts.GPU, tokens: Any, tp: Any, task: str, recompute: str) -> Any:
    """Seconds of a layer's all-gathers and reduce-scatters (or all-reduces, which move the same bytes)."""
    passes = 4.0 + (2.0 if recompute == "full" else 0.0)
    one = interconnect.collective_s("all_reduce", 2.0 * tokens * model.hidden, tp, gpu).seconds
    return np.where(tp > 1, passes * one, 0.0)


def _expert_parallel_s(model: Model, gpu: facts.GPU, tokens: Any, ep: Any) -> Any:
    """Seconds of dispatching tokens to experts and back, forward and backward, a layer."""
    if not model.experts:
        return 0.0
    bytes_ = 2.0 * tokens * model.hidden * model.experts_per_token
    one = interconnect.collective_s("all_to_all", bytes_, ep, gpu).seconds
    return np.where(ep > 1, 4 * one * model.moe_layers / model.layers, 0.0)


def _pipeline_s(
    model: Model, gpu: facts.GPU, tokens: Any, tp: Any, pp: Any, vpp: Any, m: Any,
    sequence_parallel: bool, fabric: str | None,
) -> Any:  # fmt: skip
    """Seconds of sending activations between stages that the schedule does not hide: those of filling and draining."""
    bytes_ = 2.0 * tokens * model.hidden / np.where(sequence_parallel, tp, 1)
    per_node = np.maximum(1, GPUS_PER_NODE // np.maximum(tp, 1))
    inside = interconnect.collective_s("p2p", bytes_, 2, gpu).seconds
    across = interconnect.collective_s("p2p", bytes_, 16, gpu, fabric=fabric).seconds
    one = np.where(pp > per_node, across, inside)
    return np.where(pp > 1, 2 * one * ((pp - 1) + m * (np.maximum(vpp, 1) - 1)), 0.0)


def _collective(op: str, bytes_: Any, ranks: Any, gpu: facts.GPU, inner: Any, fabric: str | None) -> Any:
    """Seconds of a data-parallel collective whose ranks share a node with ``inner`` model-parallel ones."""
    per_node = np.maximum(1, GPUS_PER_NODE // np.maximum(inner, 1))
    return interconnect.collective_s(op, bytes_, ranks, gpu, fabric=fabric, gpus_per_node=per_node).seconds  # type: ignore[arg-type]


def _data_parallel_s(
    gpu: facts.GPU, f: Framework, dense: Any, experts: Any, gpus: Any, dp: Any, cp: Any, ep: Any, tp: Any,
    m: Any, stage: Any, sharding: str, task: str, fabric: str | None,
) -> Any:  # fmt: skip
    """Seconds of data-parallel traffic that computation does not hide."""
    if task == "lora":
        return np.zeros_like(stage)
    ranks, zero = dp * cp, sharding_stage(sharding)
    held = dense + experts
    if zero >= 3:
        shard = np.minimum(ranks, GPUS_PER_NODE) if "h" in sharding.lower()[:1] else ranks
        gather = _collective("all_gather", 2.0 * held, shard, gpu, tp, fabric)
        scatter = _collective("reduce_scatter", f.gradient_comm_bytes * held, shard, gpu, tp, fabric)
        traffic = m * (2 * gather + scatter)
        hidden = m * stage
        exposed = f.fsdp_exposed * np.minimum(traffic, hidden) + np.maximum(0.0, traffic - hidden)
    else:
        op = "reduce_scatter" if zero else "all_reduce"
        traffic = _collective(op, f.gradient_comm_bytes * held, ranks, gpu, tp, fabric)
        if zero:
            traffic = traffic + _collective("all_gather", 2.0 * held, ranks, gpu, tp, fabric)
        exposed = np.maximum(f.dp_exposed * traffic, traffic - stage)
    return np.where(ranks > 1, exposed + f.bucket_latency_s * ranks, 0.0)


def _optimizer_s(gpu: facts.GPU, held: Any, ranks: Any, sharding: str, task: str) -> Any:
    if task == "lora":
        return np.zeros_like(np.asarray(held, float))
    own = held / np.where(sharding_stage(sharding) >= 1, ranks, 1)
    return kernels.elementwise_s(gpu, OPTIMIZER_TRAFFIC_BYTES * own, 0)
