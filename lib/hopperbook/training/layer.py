"""Seconds of one transformer layer and of the LM head on a training rank: kernels, forward and backward.

Everything is an array over distinct ways to cut a layer (``seq_len micro_batch tp cp ep``); frameworks differ by the
named constants of :class:`Framework`.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hopperbook import facts, kernels
from hopperbook.errors import InputError
from hopperbook.facts import own
from hopperbook.models import Linear, Model, linear_layers

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Framework:
    """Named constants of a training framework; what each means is said in ``data/constants/training.yaml``."""

    name: str
    default_sharding: str
    default_recompute: str
    default_vocab: float
    ranking: float
    interleaves: float
    gemm_ceiling_share: float
    gemm_ceiling_share_a100: float
    fp8_ceiling_share: float
    fp8_gemm_factor: float
    attention_factor: float
    attention_factor_a100: float
    attention_backward_ratio: float
    document_share: float
    tuning_document_share: float
    cp_overhead: float
    score_bytes: float
    elementwise_passes: float
    head_bytes: float
    cast_passes: float
    wgrad_bytes: float
    moe_factor: float
    selective_gemm_share: float
    selective_attention: float
    tp_exposed: float
    lora_passes: float
    p2p_exposed: float
    fsdp_exposed: float
    dp_exposed: float
    dispatch_rows_per_s: float
    bucket_latency_s: float
    hop_latency_s: float
    jitter_share: float
    host_layer_s: float
    host_step_s: float
    gradient_comm_bytes: float
    gradient_bytes: float
    state_factor: float
    activation_factor: float
    logit_bytes: float
    runtime_bytes: float
    selective_memory: float


@functools.cache
def constants() -> dict[str, Any]:
    """Return the content of ``data/constants/training.yaml``."""
    return facts.read_yaml("constants/training.yaml")


@functools.cache
def framework(name: str = "megatron", architecture: str = "") -> Framework:
    """Return the constants of a framework by any text that names it.

    Parameters
    ----------
    name : str
        Such as ``NeMo v25.02`` or ``PyTorch FSDP``; unknown or empty names take Megatron's.
    architecture : str
        Of the part; Megatron-LM's published runs on Ampere predate FlashAttention (``ampere_names``).

    Returns
    -------
    Framework
        The constants.

    Examples
    --------
    >>> framework("NeMo v25.02").name, framework("llm-foundry").name
    ('megatron', 'fsdp')
    """
    records = constants()["frameworks"]
    lower = (name or "").lower()
    words = {key: row["names"] + row.get(architecture.lower() + "_names", []) for key, row in records.items()}
    found = next((key for key, some in words.items() if any(word in lower for word in some)), "megatron")
    row = {**constants()["defaults"], **records[found]}
    words_of = ("default_sharding", "default_recompute")
    row = {k: v if k in words_of else float(v) for k, v in row.items() if not k.endswith("names")}
    mine = own.constants(found)
    if not mine.keys() <= row.keys():
        raise InputError("calibration", ", ".join(mine), f"constants of {found}", row)
    return Framework(name=found, **(row | mine))


def sustained_flop_per_s(gpu: facts.GPU, precision: str) -> float:
    """Return the rate that long matrix products sustain under the power limit, as measured or by ratio of peaks.

    Parameters
    ----------
    gpu : GPU
        The part; a power limit below its own lowers the rate.
    precision : str
        ``bf16``, ``fp16`` or ``fp8``.

    Returns
    -------
    float
        FLOP/s.

    Raises
    ------
    InputError
        If the part does not compute in that format.

    Notes
    -----
    Source: ``stas-ml-engineering``, best shape found.

    Examples
    --------
    >>> sustained_flop_per_s(facts.gpu("H100 SXM"), "bf16") / 1e12
    794.5
    """
    table = constants()["sustained_tflop_per_s"]
    key = "fp8" if precision.startswith("fp8") else "bf16"
    if gpu.name in table and key in table[gpu.name]:
        own_w = facts.gpu(gpu.name).tdp_w
        share = min(1.0, gpu.tdp_w / own_w) ** constants()["power_exponent"]
        return table[gpu.name][key] * 1e12 * share
    like = gpu.long_runs_of
    if key not in table[like] or key not in gpu.dense_flop_per_s:
        raise InputError("precision", precision, f"a format that {gpu.name} computes in", ["bf16"])
    reference = facts.gpu(like)
    ratio = gpu.dense_flop_per_s[key] / reference.dense_flop_per_s[key]
    if gpu.compute_capability == reference.compute_capability:  # a card of one generation is slowed by its power limit
        ratio = min(ratio, min(1.0, gpu.tdp_w / reference.tdp_w) ** constants()["power_exponent"])
    return table[like][key] * 1e12 * ratio


class Cut(NamedTuple):
    """Distinct ways to cut a layer, arrays of one length."""

    seq_len: Ints
    micro_batch: Ints
    tp: Ints
    cp: Ints
    ep: Ints
    expert_tp: Ints

    @property
    def tokens(self) -> Floats:
        """Tokens of a micro-batch on one rank."""
        return np.asarray(self.micro_batch, float) * self.seq_len / self.cp


class Layer(NamedTuple):
    """Seconds of one average layer and one micro-batch on one rank, and of the LM head."""

    gemm_forward_s: Floats
    gemm_backward_s: Floats
    attention_forward_s: Floats
    attention_backward_s: Floats
    elementwise_s: Floats
    last_gemm_forward_s: Floats
    head_s: Floats


def _ceiling_share(gpu: facts.GPU, f: Framework) -> float:
    return f.gemm_ceiling_share_a100 if gpu.architecture == "Ampere" else f.gemm_ceiling_share


def _gemm(gpu: facts.GPU, f: Framework, precision: str, m: ArrayLike, n: Floats, k: Floats) -> Floats:
    """Seconds of matrix products in a long run: the table's, never above the sustained ceiling."""
    seconds = kernels.gemm_s(gpu, precision, m, n, k).seconds
    share = _ceiling_share(gpu, f)
    if precision.startswith("fp8"):
        seconds, share = seconds * f.fp8_gemm_factor, f.fp8_ceiling_share
    flop = 2.0 * np.asarray(m, float) * n * k
    return np.maximum(seconds, flop / (share * sustained_flop_per_s(gpu, precision)))


def layer_s(model: Model, gpu: facts.GPU, f: Framework, precision: str, cut: Cut, task: str, shared: bool) -> Layer:
    """Time one average layer and the LM head of a model on one rank.

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
    cut : Cut
        How the layer is cut; arrays of one length.
    task : str
        ``pretrain``, ``sft`` or ``lora``.
    shared : bool
        Sequence parallelism: norms and residuals are cut as well.

    Returns
    -------
    Layer
        Seconds, arrays of the length of ``cut``.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> one = Cut(*(np.array([x]) for x in (8192, 1, 1, 1, 1, 1)))
    >>> t = layer_s(load("llama-3.1-8b"), facts.gpu("H100 SXM"), framework(), "bf16", one, "pretrain", True)
    >>> round(1e3 * float(t.gemm_forward_s[0]), 1)  # milliseconds; 3.57 TFLOP at the sustained 794.5 TFLOP/s: 4.5
    5.4
    >>> round(float(t.gemm_backward_s[0] / t.gemm_forward_s[0]), 2)  # two products for each of the forward pass
    2.0
    """
    m = cut.tokens
    forward, backward, last = _linear_s(model, gpu, f, precision, cut, task)
    attention = _attention_s(model, gpu, f, cut, task)
    elementwise = _elementwise_s(model, gpu, f, m, cut, precision, task, shared)
    head = _head_s(model, gpu, f, cut, task)
    return Layer(forward, backward, attention, attention * f.attention_backward_ratio, elementwise, last, head)


def _weights(model: Model, cut: Cut) -> list[tuple[Linear, Floats, Floats]]:
    """List the layer's dense weights with their sizes under each way to cut (head and routed experts apart)."""
    distinct, where = np.unique(cut.tp, return_inverse=True)
    by_tp = [[w for w in linear_layers(model, int(t)) if w.name != "lm_head"] for t in distinct]
    found = []
    for i, w in enumerate(by_tp[0]):
        n = np.array([rows[i].n for rows in by_tp], float)[where.reshape(-1)]
        k = np.array([rows[i].k for rows in by_tp], float)[where.reshape(-1)]
        found.append((w, n, k))
    return found


def _linear_s(
    model: Model, gpu: facts.GPU, f: Framework, precision: str, cut: Cut, task: str
) -> tuple[Floats, Floats, Floats]:
    """Seconds of a layer's matrix products: forward, backward, and the forward product that ends a layer."""
    m = cut.tokens
    forward, backward, last = np.zeros_like(m), np.zeros_like(m), np.zeros_like(m)
    rows = _weights(model, cut)
    for run in {_format(w, precision) for w, _, _ in rows}:
        some = [(w, n, k) for w, n, k in rows if _format(w, precision) == run]
        n, k = (np.array([r[i] for r in some]) for i in (1, 2))
        mm = np.broadcast_to(m, n.shape)
        share = np.array([w.layers / model.layers for w, _, _ in some])[:, None]
        ahead = _gemm(gpu, f, run, mm, n, k)
        back = _gemm(gpu, f, run, mm, k, n)
        if task != "lora":
            back = back + _gemm(gpu, f, run, k, n, mm)
        forward, backward = forward + (share * ahead).sum(axis=0), backward + (share * back).sum(axis=0)
        for i, (w, _, _) in enumerate(some):
            last = last + ahead[i] * share[i] if w.name in ("down", "shared_down") else last
    if model.experts:
        ahead, back, down = _experts_s(model, gpu, f, precision, cut, task)
        share_moe = model.moe_layers / model.layers
        forward, backward, last = forward + share_moe * ahead, backward + share_moe * back, last + share_moe * down
    return forward, backward, last


def _format(w: Linear, precision: str) -> str:
    return "bf16" if w.name == "router" and precision.startswith("fp8") else precision


def _experts_s(
    model: Model, gpu: facts.GPU, f: Framework, precision: str, cut: Cut, task: str
) -> tuple[Floats, Floats, Floats]:
    """Seconds of a rank's routed experts as grouped products over evenly spread tokens, permutation included."""
    held = model.experts / np.asarray(cut.ep, float)
    rows = np.maximum(1.0, cut.tokens * model.experts_per_token / held * cut.expert_tp / cut.tp)
    width = model.expert_ffn / np.asarray(cut.expert_tp, float)
    up = (2.0 if model.gated else 1.0) * width
    hidden = np.full_like(rows, float(model.hidden))
    first, second = _gemm(gpu, f, precision, rows, up, hidden), _gemm(gpu, f, precision, rows, hidden, width)
    back = _gemm(gpu, f, precision, rows, hidden, up) + _gemm(gpu, f, precision, rows, width, hidden)
    if task != "lora":
        back = back + _gemm(gpu, f, precision, hidden, up, rows) + _gemm(gpu, f, precision, width, hidden, rows)
    moved = kernels.elementwise_s(gpu, 2.0 * rows * held * (4.0 * model.hidden), 0)  # permute and unpermute
    factor = f.moe_factor * held
    return factor * (first + second) + moved, factor * back + 2 * moved, factor * second


def _attention_s(model: Model, gpu: facts.GPU, f: Framework, cut: Cut, task: str) -> Floats:
    """Seconds of a layer's attention forward: the kernel's table, or products and passes over stored scores."""
    batch, length = np.asarray(cut.micro_batch, float), np.asarray(cut.seq_len, float)
    if f.score_bytes:
        scores = batch * model.heads / cut.tp * length**2 / cut.cp
        flop = 2.0 * scores * (model.head_dim + model.v_dim)
        rate = _ceiling_share(gpu, f) * sustained_flop_per_s(gpu, "bf16")
        return flop / rate + kernels.elementwise_s(gpu, f.score_bytes * scores, 0)
    factor = f.attention_factor_a100 if gpu.architecture == "Ampere" else f.attention_factor
    factor *= f.document_share if task == "pretrain" else f.tuning_document_share
    seconds = np.zeros_like(batch)
    for tp in np.unique(cut.tp):
        at = cut.tp == tp
        for a in model.attentions:
            heads, kv = a.heads // int(tp), max(1, a.kv_heads // int(tp))
            seen = min(a.window, a.selected) if a.window and a.selected else a.window or a.selected
            shape = (gpu, batch[at], length[at], 0.0, heads, kv, a.head_dim)
            times = kernels.context_attention_s(*shape, window=seen).seconds
            seconds[at] = seconds[at] + a.layers * times / model.layers
    return seconds * factor / cut.cp * np.where(cut.cp > 1, 1.0 + f.cp_overhead, 1.0)


def _elementwise_s(
    model: Model, gpu: facts.GPU, f: Framework, m: Floats, cut: Cut, precision: str, task: str, shared: bool
) -> Floats:
    """Seconds of norms, residuals, rotary embedding, activation, FP8 casts and gradients added, both ways."""
    tp = np.asarray(cut.tp, float)
    width = float(model.ffn) if not model.experts else float(model.shared_ffn)
    routed = model.experts_per_token * model.expert_ffn if model.experts else 0.0
    q_and_kv = (model.heads + 2 * model.kv_heads) * model.head_dim
    inner = 2.0 * q_and_kv + (3.0 if model.gated else 2.0) * (width + routed)
    values = 10.0 * model.hidden / (tp if shared else 1.0) + inner / tp
    casts = f.cast_passes * (2 * model.hidden + q_and_kv + width + routed) / tp if precision.startswith("fp8") else 0.0
    bytes_ = 6.0 * m * (values + casts) * f.elementwise_passes
    weights = sum(n * k * w.layers / model.layers for w, n, k in _weights(model, cut))
    if task == "lora":
        around = sum((n + k) * w.layers / model.layers for w, n, k in _weights(model, cut))
        bytes_ = bytes_ + f.lora_passes * 6.0 * m * around
    else:
        bytes_ = bytes_ + f.wgrad_bytes * weights
    return kernels.elementwise_s(gpu, bytes_, 0)


def _head_s(model: Model, gpu: facts.GPU, f: Framework, cut: Cut, task: str) -> Floats:
    """Seconds of LM head, loss and embedding of one micro-batch, forward and backward, in 16 bits."""
    m = cut.tokens
    if not model.vocab:
        return np.zeros_like(m)
    vocab = np.ceil(model.vocab / np.asarray(cut.tp, float))
    hidden = np.full_like(vocab, float(model.hidden))
    sizes = [(m, vocab, hidden), (m, hidden, vocab)] + ([] if task == "lora" else [(hidden, vocab, m)])
    stacked = (np.array([s[i] for s in sizes]) for i in range(3))
    products = _gemm(gpu, f, "bf16", *stacked).sum(axis=0)
    return products + kernels.elementwise_s(gpu, m * (f.head_bytes * vocab + 12.0 * model.hidden), 0)
