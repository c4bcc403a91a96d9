"""The shape of a decoder transformer, as its ``config.json`` gives it, and the number formats it may be stored in."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from hopperbook.errors import InputError

#: Bits a stored value takes, scales included (block scales: one float32 a 128 x 128 block of weights; groups of 128
#: with a 16-bit scale for int4; one byte a group of 32 or 16 for mxfp4 and fp4).
PRECISION_BITS: dict[str, float] = {
    "fp32": 32.0,
    "tf32": 32.0,
    "bf16": 16.0,
    "fp16": 16.0,
    "fp8": 8.0,
    "fp8_block": 8.0 + 32.0 / (128 * 128),
    "int8": 8.0,
    "int4": 4.0 + 16.0 / 128,
    "fp4": 4.0 + 8.0 / 16,
    "mxfp4": 4.0 + 8.0 / 32,
}
PRECISION_ALIASES = {"amp_bf16": "bf16", "amp_fp8": "fp8", "nvfp4": "fp4", "float16": "fp16", "bfloat16": "bf16"}
PRECISION_ALIASES |= {"float32": "fp32", "fp8_static": "fp8", "w4a16": "int4", "e4m3": "fp8"}


@dataclass(frozen=True)
class Model:
    """The shape of a decoder-only transformer.

    Parameters
    ----------
    name : str
        Hugging Face id, or a label for a shape.
    layers, hidden, heads, kv_heads, head_dim, ffn, vocab : int
        The usual sizes; ``ffn`` is the width of a dense MLP, ``head_dim`` that of keys and queries.
    gated : bool
        Three MLP matrices (SwiGLU-like) instead of two.
    tied_embeddings : bool
        The LM head shares the embedding's matrix.
    qkv_bias, o_bias, mlp_bias : bool
        Biases of the projections.
    norm_bias : bool
        LayerNorm with a bias rather than a scale alone.
    norms_per_layer : int
        Norms of width ``hidden`` in a layer.
    qk_norm : bool
        Norms of width ``head_dim`` on queries and keys.
    positions : int
        Rows of a learned position embedding; 0 for rotary or ALiBi.
    window : int
        Tokens a sliding-window layer sees; 0 for none.
    window_layers : int
        How many layers slide.
    experts, experts_per_token, expert_ffn, shared_ffn, dense_layers : int
        Mixture of Experts: routed experts, how many a token visits, their width, the width of shared experts, and the
        number of leading layers that keep a dense MLP.
    router_bias, sinks : bool
        A bias on the router; one learned attention sink a head.
    q_rank, kv_rank, rope_dim, value_dim : int
        Multi-head latent attention: ranks of the compressions, the rotary part of ``head_dim``, width of a value.
    mtp_layers : int
        Multi-token-prediction layers shipped beside the main model (not counted in it).
    precision, moe_precision : str
        What the checkpoint stores, for linear layers and for experts.
    context_limit : int
        Longest context the configuration states; 0 if it states none.
    source : str
        Key of ``data/references.bib``, or the path that was given.
    """

    name: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int
    vocab: int
    gated: bool = True
    tied_embeddings: bool = False
    qkv_bias: bool = False
    o_bias: bool = False
    mlp_bias: bool = False
    norm_bias: bool = False
    norms_per_layer: int = 2
    qk_norm: bool = False
    positions: int = 0
    window: int = 0
    window_layers: int = 0
    experts: int = 0
    experts_per_token: int = 0
    expert_ffn: int = 0
    shared_ffn: int = 0
    dense_layers: int = 0
    router_bias: bool = False
    sinks: bool = False
    q_rank: int = 0
    kv_rank: int = 0
    rope_dim: int = 0
    value_dim: int = 0
    mtp_layers: int = 0
    precision: str = "bf16"
    moe_precision: str = "bf16"
    context_limit: int = 0
    source: str = ""

    @property
    def mla(self) -> bool:
        """Whether attention is multi-head latent attention."""
        return self.kv_rank > 0

    @property
    def moe_layers(self) -> int:
        """How many layers hold routed experts."""
        return self.layers - self.dense_layers if self.experts else 0

    @property
    def v_dim(self) -> int:
        """Width of one head's value."""
        return self.value_dim or self.head_dim


@dataclass(frozen=True)
class Linear:
    """One weight matrix as a rank of a tensor-parallel group runs it: y[m, n] = x[m, k] w[k, n].

    Parameters
    ----------
    name : str
        ``qkv``, ``o``, ``gate_up``, ``down``, ``shared_gate_up``, ``shared_down``, ``router``, ``q_a``, ``q_b``,
        ``kv_a``, ``kv_b`` or ``lm_head``.
    k, n : int
        Inner and outer size on one rank.
    layers : int
        How many layers have it.
    split : str
        ``column``, ``row`` (an all-reduce or reduce-scatter follows) or ``replicated``.
    """

    name: str
    k: int
    n: int
    layers: int
    split: str


def precision_name(name: str, field: str = "precision") -> str:
    """Return the standard name of a number format.

    Parameters
    ----------
    name : str
        A format or one of its usual aliases.
    field : str
        What the user calls it, for the error.

    Returns
    -------
    str
        A key of ``PRECISION_BITS``.

    Raises
    ------
    InputError
        If the format is unknown.

    Examples
    --------
    >>> precision_name("amp_bf16")
    'bf16'
    """
    key = str(name).strip().lower()
    key = PRECISION_ALIASES.get(key, key)
    if key not in PRECISION_BITS:
        raise InputError(field, name, "one of " + ", ".join(PRECISION_BITS), PRECISION_BITS)
    return key


def stored_formats(model: Model, precision: str | None = None, moe_precision: str | None = None) -> tuple[str, str]:
    """Return the formats in which linear layers and experts are held.

    Parameters
    ----------
    model : Model
        The model.
    precision, moe_precision : str, optional
        What is asked for; experts follow the linear layers, and both the checkpoint.  A checkpoint whose experts alone
        are in four bits (``mxfp4``) keeps its other layers as they are when four bits are asked for.

    Returns
    -------
    tuple of str
        (linear layers, experts), keys of ``PRECISION_BITS``.

    Raises
    ------
    InputError
        If a format is unknown.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> stored_formats(load("gpt-oss-120b"), "mxfp4"), stored_formats(load("llama-3.1-8b"), "fp8")
    (('bf16', 'mxfp4'), ('fp8', 'fp8'))
    """
    linear = precision_name(precision or model.precision)
    experts = precision_name(moe_precision or precision or model.moe_precision, "moe_precision")
    if model.experts and {model.moe_precision, experts} <= {"fp4", "mxfp4"}:
        experts = model.moe_precision
        linear = linear if linear in ("fp8", "fp8_block", "int8") else model.precision
    return linear, experts


def from_shape(
    layers: int,
    hidden: int,
    heads: int,
    *,
    kv_heads: int | None = None,
    head_dim: int | None = None,
    ffn: int | None = None,
    vocab: int = 0,
    gated: bool = False,
    name: str = "shape",
) -> Model:
    r"""Make a model from plain sizes: missing ``kv_heads`` = heads, ``ffn`` = 4 hidden, ``head_dim`` = hidden / heads.

    Parameters
    ----------
    layers, hidden, heads : int
        Required sizes.
    kv_heads, head_dim, ffn : int, optional
        Sizes with the defaults above.
    vocab : int
        Vocabulary; 0 leaves out embedding and LM head.
    gated : bool
        Three MLP matrices.
    name : str
        Label.

    Returns
    -------
    Model
        The shape, without biases.

    Raises
    ------
    InputError
        If a size is not a positive whole number, or heads do not divide.

    Examples
    --------
    >>> from_shape(96, 12288, 96, vocab=51200).head_dim
    128
    """
    sizes = {"layers": layers, "hidden": hidden, "heads": heads}
    sizes |= {"kv_heads": kv_heads or heads, "ffn": ffn or 4 * hidden}
    for field, value in sizes.items():
        if not isinstance(value, int | np.integer) or value < 1:
            raise InputError(field, value, "a whole number of at least 1")
    if not head_dim and hidden % heads:
        raise InputError("heads", heads, f"a divisor of hidden ({hidden}) where head_dim is not given")
    if heads % sizes["kv_heads"]:
        raise InputError("kv_heads", kv_heads, f"a divisor of heads ({heads})")
    return Model(
        name=name,
        layers=int(layers),
        hidden=int(hidden),
        heads=int(heads),
        kv_heads=int(sizes["kv_heads"]),
        head_dim=int(head_dim or hidden // heads),
        ffn=int(sizes["ffn"]),
        vocab=int(vocab),
        gated=gated,
    )


def with_precision(model: Model, precision: str, moe_precision: str | None = None) -> Model:
    """Return the model as a checkpoint in another precision.

    Parameters
    ----------
    model : Model
        The model.
    precision : str
        Format of linear layers.
    moe_precision : str, optional
        Format of experts; the default is ``precision``.

    Returns
    -------
    Model
        A copy that stores its weights so.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> with_precision(load("meta-llama/Llama-3.1-8B"), "fp8").precision
    'fp8'
    """
    return replace(model, precision=precision_name(precision), moe_precision=precision_name(moe_precision or precision))
