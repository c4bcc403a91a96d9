"""Memory of inference: weights, KV cache, activations and runtime on one GPU, and what fits beside them.

All functions take scalars or arrays.  Bytes are per GPU unless a name says otherwise.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hopperbook import facts, units
from hopperbook.models import (
    PRECISION_BITS,
    WIDE,
    Attention,
    Model,
    attention_values,
    buffers,
    linear_layers,
    matrix_bits,
    parameters,
    precision_name,
    quantised_parameters,
    recurrent_state_bytes,
    stored_formats,
)


@functools.cache
def constants(group: str) -> dict[str, float]:
    """Return the runtime constants of ``data/constants/memory.yaml``.

    Parameters
    ----------
    group : str
        ``training``.

    Returns
    -------
    dict of float
        Value by name; bytes, or a fraction, as the name says.

    Examples
    --------
    >>> constants("training")["usable_fraction"]
    0.97
    """
    content = facts.read_yaml("constants/memory.yaml")
    return {name: float(fact["value"]) for name, fact in content[group].items()}


def rank_weight_bytes(
    model: Model,
    precision: str | None = None,
    *,
    tp: int = 1,
    pp: int = 1,
    ep: int = 1,
    moe_precision: str | None = None,
) -> float:
    r"""Bytes of weights on the fullest rank of a tensor, pipeline and expert parallel group.

    .. math:: B = \lceil L / pp \rceil \left(\frac{B_\mathrm{split}}{tp} + B_\mathrm{replicated}\right)
              + \max(B_\mathrm{embedding}, B_\mathrm{head}) / tp

    Parameters
    ----------
    model : Model
        The model.
    precision, moe_precision : str, optional
        Formats; the default is what the checkpoint stores.
    tp, pp : int
        Tensor and pipeline parallel ranks.
    ep : int
        Ranks over which whole experts are spread, of the ``tp`` ranks' experts (1 = experts split like other weights).

    Returns
    -------
    float
        Bytes on one GPU.

    Raises
    ------
    InputError
        If ``tp`` does not divide the heads or a format is unknown.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> round(rank_weight_bytes(load("meta-llama/Llama-3.1-70B"), "bf16") / 1e9, 1)  # GB: 70.55 billion, two bytes each
    141.1
    """
    linear, experts = stored_formats(model, precision, moe_precision)
    kept_bits = max(16.0, PRECISION_BITS[linear])
    share = _stage_share(model, pp)
    rows = linear_layers(model, tp)
    matrices = sum(w.k * w.n * w.layers * matrix_bits(model, w.name, linear) for w in rows if w.name != "lm_head")
    small_weights, routed = quantised_parameters(model)
    wide = sum(w.k * w.n * w.layers for w in linear_layers(model) if w.name in WIDE and w.name != "lm_head")
    table, tied = model.vocab * model.hidden, model.tied_embeddings
    tables = (2 - tied) * table
    table_bits = table * (kept_bits + (0.0 if tied else matrix_bits(model, "lm_head", linear)))
    small = parameters(model) + buffers(model) - small_weights - routed - wide - tables  # norms, biases, positions
    body = matrices + routed * matrix_bits(model, "experts", experts) / max(tp, ep) + small * kept_bits
    table_share = 1.0 if pp == 1 else 1.0 / (2 - tied)
    return (body * share + table_bits * table_share / tp + model.vision * kept_bits) / 8


def _stage_share(model: Model, pp: int) -> float:
    """Return the share of all layers that the fullest pipeline stage holds."""
    return -(-model.layers // pp) / model.layers


def kv_copies(model: Model, tp: int) -> float:
    """Return how many copies of the KV cache a tensor-parallel group holds.

    Parameters
    ----------
    model : Model
        The model.
    tp : int
        Tensor-parallel ranks.

    Returns
    -------
    float
        1 while KV heads divide over ranks; ``tp / kv_heads`` beyond; ``tp`` for multi-head latent attention.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> kv_copies(load("meta-llama/Llama-3.1-70B"), 8), kv_copies(load("deepseek-ai/DeepSeek-V3"), 8)
    (1.0, 8.0)
    """
    whole = sum(a.layers * a.token_values for a in model.attentions if a.cached)
    held = sum(a.layers * a.token_values * _copies(a, tp) for a in model.attentions if a.cached)
    return held / whole if whole else 1.0


def _copies(a: Attention, tp: int) -> float:
    """Return how many copies of one attention's cache the ranks hold: one entry that all heads read is on each."""
    return float(tp) if a.latent or a.entry else max(1.0, tp / a.kv_heads)


def rank_cache_bytes(model: Model, tokens: float, precision: str | None = None, *, tp: int = 1, pp: int = 1) -> float:
    r"""Bytes that one sequence holds on each GPU of a replica: its KV cache and the states of recurrent layers.

    .. math:: \frac{1}{t p} \left(\sum_\ell c_\ell B_\ell + B_\mathrm{state}\right)

    Parameters
    ----------
    model : Model
        The model.
    tokens : float
        Tokens of the sequence.
    precision : str, optional
        Format of the KV cache; the default is 16 bits.
    tp, pp : int
        Tensor and pipeline parallel ranks; c is how many of the former hold the same cache.

    Returns
    -------
    float
        Bytes.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> rank_cache_bytes(load("meta-llama/Llama-3.1-70B"), 8192, tp=8) / 2**20
    320.0
    """
    value_bytes = PRECISION_BITS[precision_name(precision or "bf16", "kv_precision")] / 8
    held = sum(a.layers * float(attention_values(a, tokens)) * _copies(a, tp) for a in model.attentions if a.cached)
    if model.encoder:  # it keeps nothing but the text's hidden states while it reads
        return 2.0 * model.hidden * tokens
    return (value_bytes * held + recurrent_state_bytes(model)) / (tp * pp)


@overload
def step_activation_bytes(
    model: Model, step_tokens: float, *, tp: int = 1, group: int = 1, sequences: float = 256
) -> float: ...
@overload
def step_activation_bytes(
    model: Model, step_tokens: ArrayLike, *, tp: int = 1, group: int = 1, sequences: ArrayLike = 256
) -> float | NDArray[np.float64]: ...
def step_activation_bytes(
    model: Model, step_tokens: ArrayLike, *, tp: int = 1, group: int = 1, sequences: ArrayLike = 256
) -> float | NDArray[np.float64]:
    r"""Bytes of the largest layer's activations in one engine step, and of the logits.

    .. math:: 2 n (3 h + \max(q + 2 kv, 3 f, g k (3 f_e + 2 h)) / tp) + 6 s V / tp

    Parameters
    ----------
    model : Model
        The model.
    step_tokens : int or array
        Tokens of one step, n.
    tp : int
        Tensor-parallel ranks.
    group : int
        Attention replicas g whose tokens meet in the same experts (k a token, of width f_e).
    sequences : int or array
        Sequences sampled at once, s (logits in 16 bits, then a float32 copy).

    Returns
    -------
    float or array of float
        Bytes on one GPU.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> round(step_activation_bytes(load("meta-llama/Llama-3.1-8B"), 8192) / 2**30, 2)
    1.03
    """
    m = model
    mixing = [a.heads * a.head_dim + a.kv_heads * (a.head_dim + a.value_dim) for a in m.attentions]
    mixing += [max(w.n for w in r.matrices) for r in m.recurrents]
    width = max([*mixing, *(3 * max(mlp.ffn, mlp.shared_ffn) for mlp in m.mlps)])
    routed = max((group * mlp.experts_per_token * (3 * mlp.expert_ffn + 2 * m.hidden) for mlp in m.mlps), default=0)
    tokens = np.asarray(step_tokens, dtype=float)
    hidden = 2.0 * tokens * (3 * m.hidden + max(width, routed) / tp)
    result = hidden + 6.0 * np.asarray(sequences, dtype=float) * m.vocab / tp
    return float(result) if result.ndim == 0 else result


@dataclass(frozen=True)
class Budget:
    """What one GPU of a replica holds, in bytes.

    Parameters
    ----------
    capacity_bytes : float
        Memory that the driver shows.
    reserve_bytes : float
        Kept free against peaks and fragmentation.
    weights_bytes, activations_bytes, runtime_bytes : float
        What is there before the first user.
    kv_bytes_per_token : float
        Cache of one token while every layer sees it.
    kv_user_bytes : float
        Cache of one user at the asked length.
    groups : int
        Replicas of attention over which the users of the replica are spread.
    """

    capacity_bytes: float
    reserve_bytes: float
    weights_bytes: float
    activations_bytes: float
    runtime_bytes: float
    kv_bytes_per_token: float
    kv_user_bytes: float
    groups: int = 1

    @property
    def kv_room_bytes(self) -> float:
        """Bytes left for the cache; negative where the weights alone do not fit."""
        used = self.reserve_bytes + self.weights_bytes + self.activations_bytes + self.runtime_bytes
        return self.capacity_bytes - used

    @property
    def users(self) -> int:
        """Whole users of the asked length that the replica holds at once; 0 where nothing fits."""
        return max(0, self.groups * int(self.kv_room_bytes // self.kv_user_bytes))

    @overload
    def used_bytes(self, users: float) -> float: ...

    @overload
    def used_bytes(self, users: NDArray[np.int_]) -> NDArray[np.float64]: ...

    def used_bytes(self, users: float | NDArray[np.int_]) -> float | NDArray[np.float64]:
        """Bytes in use on one GPU under so many users of the replica; a full cache stays full."""
        cache = np.minimum(users / self.groups * self.kv_user_bytes, max(self.kv_room_bytes, 0.0))
        return self.weights_bytes + self.activations_bytes + self.runtime_bytes + cache

    @overload
    def headroom(self, users: float) -> float: ...

    @overload
    def headroom(self, users: NDArray[np.int_]) -> NDArray[np.float64]: ...

    def headroom(self, users: float | NDArray[np.int_]) -> float | NDArray[np.float64]:
        """Share of the room for caches that so many users leave; negative where they do not fit."""
        return 1 - users / self.groups * self.kv_user_bytes / max(self.kv_room_bytes, 1.0)


def remedies(budget: Budget, users: int, *, precision: str, kv_precision: str, tp: int) -> list[str]:
    """Say what would make a load fit that does not, in order of least trouble.

    Parameters
    ----------
    budget : Budget
        The budget that falls short.
    users : int
        Users wanted at once.
    precision, kv_precision : str
        Formats in use.
    tp : int
        Tensor-parallel ranks in use.

    Returns
    -------
    list of str
        Sentences' worth of remedies; empty where the load fits.

    Examples
    --------
    >>> tight = Budget(80e9, 6e9, 35e9, 2e9, 2e9, 4e4, 3e8)
    >>> remedies(tight, 150, precision="bf16", kv_precision="bf16", tp=4)
    ['FP8 KV cache', 'FP8 weights', 'TP 8', '1.3 times the replicas']
    """
    needed = users * budget.kv_user_bytes
    room = budget.kv_room_bytes
    if needed <= room:
        return []
    found = []
    if PRECISION_BITS[kv_precision] > 8 and needed / 2 <= room:
        found.append("FP8 KV cache")
    if PRECISION_BITS[precision] > 8 and needed <= room + budget.weights_bytes / 2:
        found.append("FP8 weights")
    if not found and PRECISION_BITS[precision] > 8 and needed / 2 <= room + budget.weights_bytes / 2:
        found.append("FP8 weights and FP8 KV cache")
    if needed / 2 <= room + budget.weights_bytes / 2:
        found.append(f"TP {2 * tp}")
    if room > 0:
        found.append(f"{units.fixed(needed / room, 1)} times the replicas")
    return found or [f"TP {4 * tp} or a GPU with more memory"]
