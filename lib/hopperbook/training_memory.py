"""Memory of training: states under sharding, activations under recomputation, logits and runtime on one GPU."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from hopperbook.errors import InputError
from hopperbook.memory import constants
from hopperbook.transformer import PRECISION_BITS, Model, mlp_parameters, parameters, precision_name

RECOMPUTE = ("none", "selective", "full")
SHARDINGS = {"none": 0, "ddp": 0, "distributed optimizer": 1, "zero1": 1, "zero2": 2, "shard_grad_op": 2}
SHARDINGS |= {"zero3": 3, "fsdp": 3, "full_shard": 3, "hsdp": 3, "hybrid_shard": 3}
#: Bytes a parameter: master copy and both AdamW moments in float32.
OPTIMIZER_BYTES = 12.0


def sharding_stage(name: str) -> int:
    """Return the ZeRO stage that a framework's word for sharding means.

    Parameters
    ----------
    name : str
        ``none``, ``distributed optimizer``, ``zero1`` to ``zero3``, ``fsdp``, ``hsdp`` and the like.

    Returns
    -------
    int
        0 to 3.

    Raises
    ------
    InputError
        If the word is unknown.

    Examples
    --------
    >>> sharding_stage("FULL_SHARD"), sharding_stage("distributed optimizer")
    (3, 1)
    """
    key = (name or "none").strip().lower()
    if key not in SHARDINGS:
        raise InputError("sharding", name, "one of " + ", ".join(SHARDINGS), SHARDINGS)
    return SHARDINGS[key]


def layer_activation_bytes(
    model: Model,
    seq_len: Any,
    micro_batch: Any = 1,
    *,
    tp: Any = 1,
    sequence_parallel: bool = True,
    recompute: str = "none",
    flash: bool = True,
    dropout: bool = False,
    cp: Any = 1,
) -> Any:
    r"""Bytes one transformer layer keeps for its backward pass, in 16 bits, on one rank.

    .. math:: s b h\left(10 + \frac{24}{t} + \frac{5 a s}{h t}\right), \quad
              \frac{s b h}{t}\left(34 + \frac{5 a s}{h}\right), \quad \frac{34 s b h}{t}, \quad 2 s b h

    for a GPT layer without and with sequence parallelism, with selective, and with full recomputation; other shapes
    are counted from their own widths.

    Parameters
    ----------
    model : Model
        The layer's shape.
    seq_len, micro_batch : int or array
        Tokens of a sequence, and sequences of a micro-batch.
    tp, cp : int or array
        Tensor and context parallel ranks.
    sequence_parallel : bool
        Norms and dropouts are split over the tensor-parallel ranks too.
    recompute : str
        ``none``, ``selective`` (scores and softmax computed again) or ``full``.
    flash : bool
        Scores are never stored (FlashAttention); only the output and a statistic a head and token are.
    dropout : bool
        Keep the masks of the residual dropouts, and of the attention dropout where scores are stored.

    Returns
    -------
    float or array of float
        Bytes of one layer and one micro-batch.

    Raises
    ------
    InputError
        If ``recompute`` is unknown.

    Notes
    -----
    Source: ``korthikanti-2022-activations``, equations 1 to 6.

    Examples
    --------
    >>> from hopperbook.transformer import from_shape
    >>> gpt = from_shape(96, 12288, 96)  # 175B, tp 8: table 2 of the paper, 34 + 5 a s / h = 114
    >>> whole = layer_activation_bytes(gpt, 2048, 1, tp=8, flash=False, dropout=True)
    >>> float(whole) == 2048 * 12288 / 8 * (34 + 5 * 96 * 2048 / 12288)
    True
    """
    if recompute not in RECOMPUTE:
        raise InputError("recompute", recompute, "one of " + ", ".join(RECOMPUTE), RECOMPUTE)
    m = model
    tp = np.asarray(tp, dtype=float)
    tokens = np.asarray(seq_len, dtype=float) * micro_batch / cp
    shared = tp if sequence_parallel else 1.0
    if recompute == "full":
        return tokens * 2 * m.hidden / shared
    q_width, kv_width = m.heads * m.head_dim, m.kv_heads * m.head_dim
    whole = 2 * m.hidden * (2 + 2) + 2 * m.hidden * dropout  # norm inputs, inputs of qkv and MLP, dropout masks
    split = 2 * (q_width + 2 * kv_width) + 2 * m.heads * m.v_dim + _mlp_activation_bytes(m)
    if m.mla:
        whole += 2 * (m.q_rank + m.kv_rank + m.rope_dim)
        split += 2 * m.heads * (m.head_dim + m.v_dim) - 4 * kv_width
    scores: Any = 0.0
    if not flash and recompute == "none":
        scores = 2.0 * m.heads * np.asarray(seq_len, dtype=float) * (2.5 if dropout else 1.0)
    statistic = 4.0 * m.heads if flash else 0.0
    return tokens * (whole / shared + (split + scores + statistic) / tp)


def _mlp_activation_bytes(model: Model) -> float:
    """Return bytes a token keeps inside the MLP of an average layer: pre-activations and the input of the last GEMM."""
    widths = (2 * 2 + 2) if model.gated else (2 + 2)
    dense = widths * model.ffn
    if not model.experts:
        return dense
    routed = model.experts_per_token * (widths * model.expert_ffn + 2 * 2 * model.hidden) + widths * model.shared_ffn
    return (dense * model.dense_layers + routed * model.moe_layers) / model.layers


class States(NamedTuple):
    """Bytes of training states on one rank."""

    weights_bytes: Any
    gradients_bytes: Any
    optimizer_bytes: Any

    @property
    def total_bytes(self) -> Any:
        """Weights, gradients and optimizer together."""
        return self.weights_bytes + self.gradients_bytes + self.optimizer_bytes


def state_bytes(
    rank_parameters: Any,
    *,
    dp: Any = 1,
    sharding: str = "none",
    precision: str = "bf16",
    gradient_bytes: float = 4.0,
    gathered_parameters: Any = 0.0,
) -> States:
    r"""Bytes of weights, gradients and AdamW states on one rank.

    .. math:: (2 + g + 12)\,\Psi \;\to\; 2\Psi + g\Psi + \tfrac{12\Psi}{d} \;\to\;
              2\Psi + \tfrac{(g + 12)\Psi}{d} \;\to\; \tfrac{(2 + g + 12)\Psi}{d}

    Parameters
    ----------
    rank_parameters : int or array
        Parameters that the model-parallel rank is responsible for, Psi.
    dp : int or array
        Ranks that share the states, d.
    sharding : str
        Word of :func:`sharding_stage`.
    precision : str
        ``bf16``, ``fp16``, ``fp8`` (adds an FP8 copy and its transpose), ``fp32`` or ``tf32`` (no second copy).
    gradient_bytes : float
        Bytes of a gradient, g: 4 where it accumulates in float32 (Megatron), 2 in plain mixed precision.
    gathered_parameters : int or array
        Parameters that ZeRO-3 holds gathered at once.

    Returns
    -------
    States
        Bytes by part.

    Notes
    -----
    Source: ``rajbhandari-2020-zero``.

    Examples
    --------
    >>> float(state_bytes(7.5e9, dp=64, gradient_bytes=2.0).total_bytes) / 1e9
    120.0
    >>> round(float(state_bytes(7.5e9, dp=64, sharding="zero3", gradient_bytes=2.0).total_bytes) / 1e9, 1)
    1.9
    """
    stage = sharding_stage(sharding)
    psi, dp = np.asarray(rank_parameters, dtype=float), np.asarray(dp, dtype=float)
    full = PRECISION_BITS[precision_name(precision)] >= 32
    weight = 4.0 if full else 2.0
    master = 8.0 if full else OPTIMIZER_BYTES
    gradient = 4.0 if full else gradient_bytes
    fp8_copies = 2.0 * psi if precision_name(precision).startswith("fp8") and stage < 3 else 0.0
    weights = psi * weight / np.where(stage >= 3, dp, 1) + fp8_copies
    gathered = 2.0 * np.asarray(gathered_parameters, dtype=float) if stage >= 3 else 0.0
    return States(
        weights + gathered,
        psi * gradient / np.where(stage >= 2, dp, 1),
        psi * master / np.where(stage >= 1, dp, 1),
    )


def rank_parameters(model: Model, *, tp: Any = 1, pp: Any = 1, ep: Any = 1) -> tuple[Any, Any]:
    """Count the parameters of the fullest rank: those shared by all data-parallel ranks, and its experts.

    Parameters
    ----------
    model : Model
        The model.
    tp, pp, ep : int or array
        Tensor, pipeline and expert parallel ranks.

    Returns
    -------
    tuple of float or array
        (dense parameters, expert parameters) on one rank.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> dense, experts = rank_parameters(load("meta-llama/Llama-3.1-70B"), tp=8)
    >>> round(float(8 * dense) / 70553706496, 2), float(experts)
    (1.0, 0.0)
    """
    m = model
    tp, pp, ep = (np.asarray(x, dtype=float) for x in (tp, pp, ep))
    share = np.ceil(m.layers / pp) / m.layers
    experts = float(m.moe_layers * m.experts * mlp_parameters(m, m.expert_ffn)) if m.experts else 0.0
    tables = m.vocab * m.hidden * (2 - m.tied_embeddings)
    body = parameters(m) - experts - tables
    held = np.where(pp == 1, tables, m.vocab * m.hidden)
    return (body * share + held) / tp, experts * share / (tp * ep)


def in_flight(pp: Any, micro_batches: Any, vpp: Any = 1) -> Any:
    r"""Micro-batches whose activations the first pipeline stage holds at once, in units of a whole stage.

    .. math:: \min(m, p)\ \text{with 1F1B},\qquad p\left(1 + \frac{p - 1}{p v}\right)\ \text{interleaved}

    Parameters
    ----------
    pp, micro_batches, vpp : int or array
        Stages, micro-batches of a step, and chunks a stage.

    Returns
    -------
    float or array of float
        Held micro-batches.

    Notes
    -----
    Source: ``korthikanti-2022-activations``, section 4.2.3.

    Examples
    --------
    >>> float(in_flight(8, 64)), float(in_flight(8, 64, 3))
    (8.0, 10.333333333333334)
    """
    pp, m, vpp = (np.asarray(x, dtype=float) for x in (pp, micro_batches, vpp))
    held = np.where(vpp > 1, pp * (1 + (pp - 1) / (pp * vpp)), pp)
    return np.where(pp > 1, np.minimum(held, m * np.where(vpp > 1, 1 + (pp - 1) / (pp * vpp), 1)), 1.0)


class Peak(NamedTuple):
    """Peak bytes of a training rank by part."""

    states_bytes: Any
    activations_bytes: Any
    logits_bytes: Any
    runtime_bytes: Any

    @property
    def total_bytes(self) -> Any:
        """Everything together."""
        return self.states_bytes + self.activations_bytes + self.logits_bytes + self.runtime_bytes


def peak(
    model: Model,
    *,
    seq_len: int,
    micro_batch: Any = 1,
    micro_batches: Any = 1,
    tp: Any = 1,
    pp: Any = 1,
    vpp: Any = 1,
    cp: Any = 1,
    ep: Any = 1,
    dp: Any = 1,
    sharding: str = "distributed optimizer",
    recompute: str = "none",
    precision: str = "bf16",
    gradient_bytes: float = 4.0,
    sequence_parallel: bool = True,
    task: str = "pretrain",
    adapter_parameters: float = 0.0,
) -> Peak:
    """Work out the peak memory of the fullest training rank; layouts may be arrays.

    Parameters
    ----------
    model : Model
        The model.
    seq_len : int
        Tokens of a sequence.
    micro_batch, micro_batches : int or array
        Sequences of a micro-batch, and micro-batches of a step on one data-parallel rank.
    tp, pp, vpp, cp, ep, dp : int or array
        The layout; context-parallel ranks share states as data-parallel ones do.
    sharding, recompute, precision : str
        As in :func:`state_bytes` and :func:`layer_activation_bytes`.
    gradient_bytes : float
        Bytes of a gradient.
    sequence_parallel : bool
        As in :func:`layer_activation_bytes`.
    task : str
        ``pretrain``, ``sft`` or ``lora``; LoRA keeps states for its adapters only.
    adapter_parameters : float
        Trainable parameters of LoRA on all ranks together.

    Returns
    -------
    Peak
        Bytes by part.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> whole = peak(load("meta-llama/Llama-3.1-8B"), seq_len=8192, dp=8, sharding="fsdp", recompute="full")
    >>> bool(20 < whole.total_bytes / 2**30 < 45)
    True
    """
    fixed = constants("training")
    dp, cp, pp = (np.asarray(x, dtype=float) for x in (dp, cp, pp))
    stage_layers = np.ceil(model.layers / pp)
    dense, experts = rank_parameters(model, tp=tp, pp=pp, ep=ep)
    largest_layer = dense / stage_layers
    share: dict[str, Any] = {"sharding": sharding, "precision": precision, "gradient_bytes": gradient_bytes}
    if task == "lora":
        frozen = (dense + experts) * PRECISION_BITS[precision_name(precision)] / 8
        frozen = frozen / dp + 4 * largest_layer if sharding_stage(sharding) >= 3 else frozen
        states = frozen + state_bytes(adapter_parameters / (np.asarray(tp) * pp), sharding="none").total_bytes
    else:
        states = state_bytes(dense, dp=dp * cp, gathered_parameters=2 * largest_layer, **share).total_bytes
        states = states + state_bytes(experts, dp=np.maximum(1, dp * cp / ep), **share).total_bytes
    shape: dict[str, Any] = {"tp": tp, "cp": cp, "sequence_parallel": sequence_parallel}
    layer = layer_activation_bytes(model, seq_len, micro_batch, recompute=recompute, **shape)
    held = layer * stage_layers * in_flight(pp, micro_batches, vpp)
    if recompute == "full":
        held = held + layer_activation_bytes(model, seq_len, micro_batch, **shape)
    tokens = seq_len * np.asarray(micro_batch, dtype=float) / cp
    logits = tokens * model.vocab * (2 + 4) / tp  # 16-bit logits and the float32 copy of the loss
    return Peak(states, held * (1 + fixed["fragmentation"]), logits, fixed["runtime_bytes"])
