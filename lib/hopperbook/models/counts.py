"""A language model counted: parameters, matrices and bytes of weights, exactly.

Everything downstream (memory, training, serving) asks this module what a model is made of.  Counts are integers and
equal the published safetensors totals.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from hopperbook.errors import InputError
from hopperbook.models.layers import Attention, Feedforward, Linear, Recurrent
from hopperbook.models.shape import PRECISION_BITS, WIDE, Model, matrix_bits, stored_formats


def mixer_linears(mixer: Attention | Recurrent, hidden: int, tp: int = 1) -> tuple[Linear, ...]:
    """List the matrices of an attention or a recurrent mixer as one tensor-parallel rank runs them.

    Parameters
    ----------
    mixer : Attention or Recurrent
        The mixer.
    hidden : int
        Width of the model.
    tp : int
        Tensor-parallel ranks; key-value heads are replicated where there are fewer than ranks.

    Returns
    -------
    tuple of Linear
        Each with the mixer's layers.

    Examples
    --------
    >>> llama = Attention(layers=32, heads=32, kv_heads=8, head_dim=128, value_dim=128)
    >>> [(w.name, w.k, w.n) for w in mixer_linears(llama, 4096, tp=2)]
    [('qkv', 4096, 3072), ('o', 2048, 4096)]
    """
    further = tuple(_cut(w, tp, mixer.layers) for w in mixer.matrices)
    if isinstance(mixer, Recurrent) or mixer.whole:
        return further
    a, rows = mixer, []
    heads = a.heads // tp
    if a.latent:
        if a.q_rank:
            rows.append(Linear("q_a", hidden, a.q_rank, a.layers, "replicated"))
        rows.append(Linear("q_b", a.q_rank or hidden, heads * a.head_dim, a.layers, "column"))
        rows.append(Linear("kv_a", hidden, a.kv_rank + a.rope_dim, a.layers, "replicated"))
        rows.append(Linear("kv_b", a.kv_rank, heads * (a.head_dim - a.rope_dim + a.value_dim), a.layers, "column"))
    else:
        width = heads * a.head_dim + -(-a.kv_heads // tp) * (a.head_dim + a.value_dim)
        rows.append(Linear("qkv", hidden, width, a.layers, "column"))
    rows.append(Linear("o", heads * a.value_dim, hidden, a.layers, "row"))
    return (*rows, *further)


def _cut(w: Linear, tp: int, layers: int) -> Linear:
    """Return a whole matrix as one rank holds it."""
    k = -(-w.k // tp) if w.split == "row" else w.k
    n = -(-w.n // tp) if w.split == "column" else w.n
    return Linear(w.name, k, n, layers, w.split)


def mlp_linears(mlp: Feedforward, hidden: int, tp: int = 1) -> tuple[Linear, ...]:
    """List the matrices of an MLP, of a router and of shared experts as one rank runs them; routed experts apart.

    Parameters
    ----------
    mlp : Feedforward
        The MLP or experts.
    hidden : int
        Width of the model.
    tp : int
        Tensor-parallel ranks.

    Returns
    -------
    tuple of Linear
        Each with the MLP's layers.

    Examples
    --------
    >>> [(w.name, w.k, w.n) for w in mlp_linears(Feedforward(layers=32, ffn=14336), 4096)]
    [('gate_up', 4096, 28672), ('down', 14336, 4096)]
    """
    up, rows = 2 if mlp.gated else 1, []
    if mlp.ffn:
        rows.append(Linear("gate_up", hidden, up * -(-mlp.ffn // tp), mlp.layers, "column"))
        rows.append(Linear("down", -(-mlp.ffn // tp), hidden, mlp.layers, "row"))
    if mlp.experts:
        rows.append(Linear("router", hidden, mlp.experts, mlp.layers, "replicated"))
    if mlp.shared_ffn:
        rows.append(Linear("shared_gate_up", hidden, up * -(-mlp.shared_ffn // tp), mlp.layers, "column"))
        rows.append(Linear("shared_down", -(-mlp.shared_ffn // tp), hidden, mlp.layers, "row"))
    return (*rows, *(_cut(w, tp, mlp.layers) for w in mlp.matrices))


def expert_parameters(mlp: Feedforward, hidden: int) -> int:
    """Count the weights and biases of one routed expert.

    Parameters
    ----------
    mlp : Feedforward
        The experts.
    hidden : int
        Width of the model.

    Returns
    -------
    int
        Parameters; 0 where there are no experts.

    Examples
    --------
    >>> expert_parameters(Feedforward(layers=32, experts=8, expert_ffn=14336), 4096)
    176160768
    """
    if not mlp.experts:
        return 0
    up, width = 2 if mlp.gated else 1, mlp.latent or hidden
    return (up + 1) * width * mlp.expert_ffn + (up * mlp.expert_ffn + width) * mlp.bias


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


def attention_parameters(model: Model) -> int:
    """Count the weights of the attention and other mixers of all layers: biases, sinks and norms included.

    Parameters
    ----------
    model : Model
        The model.

    Returns
    -------
    int
        Parameters.

    Examples
    --------
    >>> from hopperbook.models import from_shape
    >>> attention_parameters(from_shape(1, 4096, 32, vocab=1))  # 4 x 4096 x 4096, and two norms
    67117056
    """
    return sum(_weights(mixer_linears(m, model.hidden)) + m.layers * m.vectors for m in model.mixers)


def _weights(rows: Iterable[Linear]) -> int:
    return sum(w.k * w.n * w.layers for w in rows)


def _mlp_layers(model: Model, active: bool) -> int:
    """Count the parameters of all MLPs, with the experts that a token visits or with all."""
    total = 0
    for mlp in model.mlps:
        up = 2 if mlp.gated else 1
        widths = [w for w in (mlp.ffn, mlp.shared_ffn) if w]
        biases = sum(up * w + model.hidden for w in widths) * mlp.bias
        routed = (mlp.experts_per_token if active else mlp.experts) * expert_parameters(mlp, model.hidden)
        total += _weights(mlp_linears(mlp, model.hidden)) + mlp.layers * (biases + routed + mlp.vectors)
    return total


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
    tables = m.hidden * (m.vocab * (2 - m.tied_embeddings) + m.positions + m.final_norm * (1 + m.norm_bias))
    return attention_parameters(m) + _mlp_layers(m, active) + tables + m.other


def buffers(model: Model) -> int:
    """Count the values that a checkpoint stores beside its parameters: corrections that balance the router.

    Parameters
    ----------
    model : Model
        The model.

    Returns
    -------
    int
        Values.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> deepseek = load("deepseek-ai/DeepSeek-V3")
    >>> parameters(deepseek) + buffers(deepseek)  # what its safetensors hold, without the layer for more tokens
    671026419200
    """
    return sum(mlp.layers * mlp.corrections for mlp in model.mlps)


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
    if not m.mtp_layers or not m.attentions or not m.mlps:
        return 0
    attention, mlp = m.attentions[0], m.mlps[-1]
    layer = _weights(mixer_linears(attention, m.hidden)) // attention.layers + attention.vectors
    routed = mlp.experts * expert_parameters(mlp, m.hidden) + mlp.vectors + mlp.corrections
    layer += _weights(mlp_linears(mlp, m.hidden)) // mlp.layers + routed
    return m.mtp_layers * (layer + 2 * m.hidden * m.hidden + 3 * m.hidden + 2 * m.vocab * m.hidden)


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
    matrices = _weights(w for w in linear_layers(m) if w.name not in WIDE)
    experts = 0
    for mlp in m.mlps:
        width = mlp.latent or m.hidden
        experts += mlp.layers * mlp.experts * (3 if mlp.gated else 2) * width * mlp.expert_ffn
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
    head = 0 if model.tied_embeddings else model.vocab * model.hidden
    rest = parameters(model) + buffers(model) + model.vision - linear - experts - head
    rows = [w for w in linear_layers(model) if w.name not in WIDE]
    bits = sum(w.k * w.n * w.layers * matrix_bits(model, w.name, precision) for w in rows)
    bits += experts * matrix_bits(model, "experts", moe_precision) + head * matrix_bits(model, "lm_head", precision)
    return (bits + rest * max(16.0, PRECISION_BITS[precision])) / 8


@lru_cache(maxsize=1024)
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
    layers: dict[tuple[str, int, int, str], int] = {}
    groups = [mixer_linears(g, m.hidden, tp) for g in m.mixers]
    for rows in (*groups, *(mlp_linears(g, m.hidden, tp) for g in m.mlps)):
        for w in rows:
            key = (w.name, w.k, w.n, w.split)
            layers[key] = layers.get(key, 0) + w.layers
    found = [Linear(name, k, n, count, split) for (name, k, n, split), count in layers.items()]
    if m.vocab:
        found.append(Linear("lm_head", m.hidden, -(-m.vocab // tp), 1, "column"))
    return tuple(found)
