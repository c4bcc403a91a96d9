"""Memory of training: states under sharding, activations under recomputation, logits and runtime on one GPU."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hopperbook.errors import InputError
from hopperbook.models import PRECISION_BITS, Model, expert_parameters, parameters, precision_name

Floats = NDArray[np.float64]

RECOMPUTE = ("none", "selective", "full")
SHARDINGS = {"none": 0, "ddp": 0, "distributed optimizer": 1, "zero1": 1, "zero2": 2, "shard_grad_op": 2}
SHARDINGS |= {"zero3": 3, "fsdp": 3, "full_shard": 3, "hsdp": 3, "hybrid_shard": 3}
#: Parameters of LoRA adapters of a usual rank on a model of 70 billion, where none are stated.
ADAPTER_PARAMETERS = 4e7
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
    seq_len: ArrayLike,
    micro_batch: ArrayLike = 1,
    *,
    tp: ArrayLike = 1,
    sequence_parallel: bool = True,
    recompute: str = "none",
    flash: bool = True,
    dropout: bool = False,
    cp: ArrayLike = 1,
) -> Floats:
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
    >>> from hopperbook.models import from_shape
    >>> gpt = from_shape(96, 12288, 96)  # 175B, tp 8: table 2 of the paper, 34 + 5 a s / h = 114
    >>> whole = layer_activation_bytes(gpt, 2048, 1, tp=8, flash=False, dropout=True)
    >>> round(8 * float(whole) / (2048 * 12288), 1)  # bytes a token and channel
    114.0
    """
    if recompute not in RECOMPUTE:
        raise InputError("recompute", recompute, "one of " + ", ".join(RECOMPUTE), RECOMPUTE)
    m = model
    tp = np.asarray(tp, dtype=float)
    tokens = np.asarray(seq_len, dtype=float) * np.asarray(micro_batch, dtype=float) / np.asarray(cp, dtype=float)
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
    total = 0.0
    for mlp in model.mlps:
        widths = (2 * 2 + 2) if mlp.gated else (2 + 2)
        routed = mlp.experts_per_token * (widths * mlp.expert_ffn + 2 * 2 * model.hidden)
        total += mlp.layers * (widths * (mlp.ffn + mlp.shared_ffn) + routed)
    return total / model.layers


#: What Korthikanti et al. call their ways to keep activations: (sequence parallelism, recomputation).
MODES = {
    "none": (False, "none"),
    "seq": (True, "none"),
    "selective": (False, "selective"),
    "seq+selective": (True, "selective"),
    "full": (False, "full"),
}


def activation_bytes(
    model: Model,
    seq_len: Any,
    micro_batch: Any,
    *,
    mode: str = "none",
    tp: ArrayLike = 1,
    pp: ArrayLike = 1,
    vpp: ArrayLike = 1,
    cp: ArrayLike = 1,
    micro_batches: ArrayLike | None = None,
) -> Floats:
    r"""Bytes of all activations on the first pipeline stage, as Korthikanti et al. count them (stored scores, dropout).

    .. math:: L\, B_\mathrm{layer} \left(1 + \frac{p - 1}{p v}\right)\ \text{interleaved}

    Parameters
    ----------
    model : Model
        The shape.
    seq_len, micro_batch : int or array
        Tokens of a sequence, sequences of a micro-batch.
    mode : str
        ``none``, ``seq``, ``selective``, ``seq+selective`` or ``full``.
    tp, pp, vpp, cp : int or array
        The layout.
    micro_batches : int or array, optional
        Of a step; as many as the schedule can hold if not given.

    Returns
    -------
    float or array of float
        Bytes on one GPU.

    Raises
    ------
    InputError
        If the mode is unknown.

    Notes
    -----
    Source: ``korthikanti-2022-activations``, section 4.

    Examples
    --------
    >>> from hopperbook.models import from_shape
    >>> round(float(activation_bytes(from_shape(48, 6144, 64), 2048, 4, tp=8)) / 2**30, 2)  # figure 1: 59.25
    59.25
    """
    key = mode.strip().lower().replace(" ", "").replace("selective+seq", "seq+selective").replace("seqsel", "seq+sel")
    key = {"sel": "selective", "seq+sel": "seq+selective", "": "none", "sequence": "seq"}.get(key, key)
    if key not in MODES:
        raise InputError("mode", mode, "one of " + ", ".join(MODES), MODES)
    shared, recompute = MODES[key]
    layer = layer_activation_bytes(
        model, seq_len, micro_batch, tp=tp, cp=cp, sequence_parallel=shared, recompute=recompute, flash=False,
        dropout=True,
    )  # fmt: skip
    pp_ = np.asarray(pp, dtype=float)
    many = np.inf if micro_batches is None else micro_batches
    return layer * model.layers / pp_ * in_flight(pp_, many, vpp)


class States(NamedTuple):
    """Bytes of training states on one rank."""

    weights_bytes: Floats
    gradients_bytes: Floats
    optimizer_bytes: Floats

    @property
    def total_bytes(self) -> Floats:
        """Weights, gradients and optimizer together."""
        return self.weights_bytes + self.gradients_bytes + self.optimizer_bytes


def state_bytes(
    rank_parameters: ArrayLike,
    *,
    dp: ArrayLike = 1,
    sharding: str = "none",
    precision: str = "bf16",
    gradient_bytes: float = 4.0,
    gathered_parameters: ArrayLike = 0.0,
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


def rank_parameters(
    model: Model, *, tp: ArrayLike = 1, pp: ArrayLike = 1, ep: ArrayLike = 1, expert_tp: ArrayLike | None = None
) -> tuple[Floats, Floats]:
    """Count the parameters of the fullest rank: those shared by all data-parallel ranks, and its experts.

    Parameters
    ----------
    model : Model
        The model.
    tp, pp, ep : int or array
        Tensor, pipeline and expert parallel ranks.
    expert_tp : int or array, optional
        Tensor-parallel ranks of an expert; as many as ``tp`` if not given.

    Returns
    -------
    tuple of float or array
        (dense parameters, expert parameters) on one rank.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> dense, experts = rank_parameters(load("meta-llama/Llama-3.1-70B"), tp=8)
    >>> round(float(8 * dense) / 1e9, 2), float(experts)  # billions; the checkpoint holds 70.55
    (70.55, 0.0)
    """
    m = model
    expert_tp = tp if expert_tp is None else expert_tp
    tp, pp, ep, expert_tp = (np.asarray(x, dtype=float) for x in (tp, pp, ep, expert_tp))
    share = np.ceil(m.layers / pp) / m.layers
    experts = float(sum(mlp.layers * mlp.experts * expert_parameters(mlp, m.hidden) for mlp in m.mlps))
    tables = m.vocab * m.hidden * (2 - m.tied_embeddings)
    body = parameters(m) - experts - tables
    held = np.where(pp == 1, tables, m.vocab * m.hidden)
    return (body * share + held) / tp, experts * share / (expert_tp * ep)


def in_flight(pp: ArrayLike, micro_batches: ArrayLike, vpp: ArrayLike = 1) -> Floats:
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
    >>> float(in_flight(8, 64)), round(float(in_flight(8, 64, 3)), 2)  # 8 (1 + 7/24) = 10.33
    (8.0, 10.33)
    """
    pp, m, vpp = (np.asarray(x, dtype=float) for x in (pp, micro_batches, vpp))
    held = np.where(vpp > 1, pp * (1 + (pp - 1) / (pp * vpp)), pp)
    return np.where(pp > 1, np.minimum(held, m * np.where(vpp > 1, 1 + (pp - 1) / (pp * vpp), 1)), 1.0)


class Bytes(NamedTuple):
    """What a framework keeps: bytes of a gradient, factors on states and activations, bytes of a logit and at rest."""

    gradient: float = 4.0
    state_factor: float = 1.0
    activation_factor: float = 1.03
    logit: float = 6.0
    runtime: float = 2.5e9
    selective: float = 1.0


class Peak(NamedTuple):
    """Peak bytes of a training rank by part."""

    states_bytes: Floats
    activations_bytes: Floats
    logits_bytes: Floats
    runtime_bytes: float

    @property
    def total_bytes(self) -> Floats:
        """Everything together."""
        return self.states_bytes + self.activations_bytes + self.logits_bytes + self.runtime_bytes


def peak(
    model: Model,
    *,
    seq_len: ArrayLike,
    micro_batch: ArrayLike = 1,
    micro_batches: ArrayLike = 1,
    tp: ArrayLike = 1,
    pp: ArrayLike = 1,
    vpp: ArrayLike = 1,
    cp: ArrayLike = 1,
    ep: ArrayLike = 1,
    dp: ArrayLike = 1,
    sharding: str = "distributed optimizer",
    recompute: str = "none",
    precision: str = "bf16",
    gradient_bytes: float | None = None,
    sequence_parallel: bool = True,
    task: str = "pretrain",
    adapter_parameters: float = 0.0,
    shard_ranks: ArrayLike | None = None,
    expert_tp: ArrayLike | None = None,
    sizes: Bytes | None = None,
    flash: bool = True,
) -> Peak:
    """Work out the peak memory of the fullest training rank; layouts may be arrays.

    Parameters
    ----------
    model : Model
        The model.
    seq_len : int or array
        Tokens of a sequence.
    micro_batch, micro_batches : int or array
        Sequences of a micro-batch, and micro-batches of a step on one data-parallel rank.
    tp, pp, vpp, cp, ep, dp : int or array
        The layout; context-parallel ranks share states as data-parallel ones do.
    sharding, recompute, precision : str
        As in :func:`state_bytes` and :func:`layer_activation_bytes`.
    gradient_bytes : float, optional
        Bytes of a gradient, in place of ``sizes.gradient``.
    sequence_parallel : bool
        As in :func:`layer_activation_bytes`.
    task : str
        ``pretrain``, ``sft`` or ``lora``; LoRA keeps states for its adapters only.
    adapter_parameters : float
        Trainable parameters of LoRA on all ranks together.
    shard_ranks, expert_tp : int or array, optional
        Ranks that share states (all data-parallel ones), tensor-parallel ranks of an expert (``tp``).
    sizes : Bytes, optional
        What the framework keeps beyond the count.
    flash : bool
        Attention scores are not stored.

    Returns
    -------
    Peak
        Bytes by part.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> whole = peak(load("meta-llama/Llama-3.1-8B"), seq_len=8192, dp=8, sharding="fsdp", recompute="full")
    >>> round(float(whole.states_bytes) / 1e9, 1)  # GB; 18 bytes of 8.03 billion over 8, two layers whole: 18.1 + 1.0
    19.1
    >>> round(float(whole.total_bytes) / 2**30, 1)  # GiB
    29.1
    """
    sizes = sizes or Bytes()
    dp, cp, pp = (np.asarray(x, dtype=float) for x in (dp, cp, pp))
    shard = dp * cp if shard_ranks is None else np.asarray(shard_ranks, dtype=float)
    etp = np.asarray(tp if expert_tp is None else expert_tp)
    stage_layers = np.ceil(model.layers / pp)
    dense, experts = rank_parameters(model, tp=tp, pp=pp, ep=ep, expert_tp=etp)
    largest_layer = dense / stage_layers
    gradient = sizes.gradient if gradient_bytes is None else gradient_bytes
    share: dict[str, Any] = {"sharding": sharding, "precision": precision, "gradient_bytes": gradient}
    if task == "lora":
        frozen = (dense + experts) * PRECISION_BITS[precision_name(precision)] / 8
        frozen = frozen / shard + 4 * largest_layer if sharding_stage(sharding) >= 3 else frozen
        states = frozen + state_bytes(adapter_parameters / (np.asarray(tp) * pp), sharding="none").total_bytes
    else:
        states = state_bytes(dense, dp=shard, gathered_parameters=2 * largest_layer, **share).total_bytes
        expert_ranks = np.maximum(1, dp * cp * tp / (ep * etp))
        states = states + state_bytes(experts, dp=expert_ranks, **share).total_bytes
    shape: dict[str, Any] = {"tp": tp, "cp": cp, "sequence_parallel": sequence_parallel, "flash": flash}
    layer = layer_activation_bytes(model, seq_len, micro_batch, recompute=recompute, **shape)
    held = layer * stage_layers * in_flight(pp, micro_batches, vpp)
    if recompute == "full":
        held = held + layer_activation_bytes(model, seq_len, micro_batch, **shape)
    tokens = seq_len * np.asarray(micro_batch, dtype=float) / cp
    logits = tokens * model.vocab * sizes.logit / tp
    held = held * sizes.activation_factor * (sizes.selective if recompute == "selective" else 1.0)
    last = held / np.maximum(
        1.0, in_flight(pp, micro_batches, vpp)
    )  # the last stage holds one micro-batch and the logits
    at_end = (pp == 1) | (last + logits > held)
    held, logits = np.where(at_end, last, held), np.where(at_end, logits, 0.0)
    return Peak(states * sizes.state_factor, held, logits, sizes.runtime)
