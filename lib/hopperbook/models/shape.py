"""The shape of a language model, as its ``config.json`` gives it, and the number formats it may be stored in."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np

from hopperbook.errors import InputError
from hopperbook.models.layers import Attention, Feedforward, Recurrent, Stored
from hopperbook.units import format_name

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
#: Rank of the latent attention that tables hold (DeepSeek's).
MEASURED_KV_RANK = 512
#: Matrices that a low-precision recipe leaves in 16 bits.
WIDE = ("router", "lm_head", "wide")
PRECISION_ALIASES = {"amp_bf16": "bf16", "amp_fp8": "fp8", "nvfp4": "fp4", "float16": "fp16", "bfloat16": "bf16"}
PRECISION_ALIASES |= {"float32": "fp32", "fp8_static": "fp8", "w4a16": "int4", "e4m3": "fp8"}


@dataclass(frozen=True)
class Model:
    """The shape of a language model: a decoder, or an encoder that reads texts and writes none.

    Where all layers are alike, or differ only in a window and in experts, the plain sizes say everything.  Where they
    are not, ``own_mixers`` and ``own_mlps`` say what each has, and the plain sizes are those of most layers.

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
    final_norm : bool
        One more before the LM head.
    qk_norm : int
        Values of the norms on queries and keys of a layer; 0 for none.
    positions : int
        Rows of a learned position embedding; 0 for rotary or ALiBi.
    window : int
        Tokens a sliding-window layer sees; 0 for none.
    window_layers : int
        How many layers slide.
    experts, experts_per_token, expert_ffn, shared_ffn, dense_layers : int
        Mixture of Experts: routed experts, how many a token visits, their width, the width of shared experts, and the
        number of leading layers that keep a dense MLP.
    shared_gate, router_bias, router_correction, sinks : bool
        A vector that weighs what shared experts add; a bias on the router; a correction of the router that is no
        parameter; one learned attention sink a head.
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
    own_mixers : tuple of Attention or Recurrent
        What mixes tokens, where layers differ.
    own_mlps : tuple of Feedforward
        MLPs and experts, where layers differ.
    other : int
        Parameters outside the layers that are neither embedding, LM head nor final norm.
    vision : int
        Parameters of encoders of images or sound shipped beside it (not counted in it).
    notes : tuple of str
        What a reader of its counts must know: what is left out, or held otherwise than in the file.
    stored : tuple of Stored
        How the checkpoint stores each kind of matrix, where that is not one format for all.
    encoder : bool
        Every token meets every other, and nothing is cached.
    text_tokens : int
        Prompts are texts of so many tokens that do not meet one another (:func:`hopperbook.models.reader`); 0 where a
        prompt is one text.
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
    final_norm: bool = True
    qk_norm: int = 0
    positions: int = 0
    window: int = 0
    window_layers: int = 0
    experts: int = 0
    experts_per_token: int = 0
    expert_ffn: int = 0
    shared_ffn: int = 0
    dense_layers: int = 0
    shared_gate: bool = False
    router_bias: bool = False
    router_correction: bool = False
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
    own_mixers: tuple[Attention | Recurrent, ...] = ()
    own_mlps: tuple[Feedforward, ...] = ()
    other: int = 0
    vision: int = 0
    notes: tuple[str, ...] = ()
    stored: tuple[Stored, ...] = ()
    encoder: bool = False
    text_tokens: int = 0

    def __hash__(self) -> int:  # a few fields tell models apart; the groups of layers are long
        return hash((self.name, self.layers, self.hidden, self.ffn, self.window, self.precision, self.moe_precision))

    @property
    def mla(self) -> bool:
        """Whether attention is multi-head latent attention."""
        return self.kv_rank > 0

    @property
    def moe_layers(self) -> int:
        """How many layers hold routed experts."""
        if self.own_mlps:
            return sum(m.layers for m in self.own_mlps if m.experts)
        return self.layers - self.dense_layers if self.experts else 0

    @property
    def v_dim(self) -> int:
        """Width of one head's value."""
        return self.value_dim or self.head_dim

    @cached_property
    def attentions(self) -> tuple[Attention, ...]:
        """The kinds of attention, each with its layers; those that see everything first."""
        if self.own_mixers:
            return tuple(m for m in self.own_mixers if isinstance(m, Attention))
        vectors = self.norms_per_layer * self.hidden * (1 + self.norm_bias) + self.heads * self.sinks + self.qk_norm
        vectors += self.hidden * self.o_bias
        if self.mla:
            vectors += self.q_rank + self.kv_rank
        else:
            vectors += (self.heads + 2 * self.kv_heads) * self.head_dim * self.qkv_bias
        shape = Attention(
            self.layers - self.window_layers, self.heads, self.kv_heads, self.head_dim, self.v_dim,
            q_rank=self.q_rank, kv_rank=self.kv_rank, rope_dim=self.rope_dim, vectors=vectors,
            both=self.encoder, cached=not self.encoder,
        )  # fmt: skip
        near = replace(shape, layers=self.window_layers, window=self.window)
        return tuple(kind for kind in (shape, near) if kind.layers)

    @cached_property
    def recurrents(self) -> tuple[Recurrent, ...]:
        """The mixers of constant state, each with its layers."""
        return tuple(m for m in self.own_mixers if isinstance(m, Recurrent))

    @property
    def mixers(self) -> tuple[Attention | Recurrent, ...]:
        """Everything that mixes tokens: the kinds of attention, then those of constant state."""
        return (*self.attentions, *self.recurrents)

    @cached_property
    def mlps(self) -> tuple[Feedforward, ...]:
        """The kinds of MLP, each with its layers; dense ones first."""
        if self.own_mixers or self.own_mlps:
            return self.own_mlps
        vectors = self.experts * self.router_bias + self.hidden * self.shared_gate
        routed = Feedforward(
            self.moe_layers, 0, self.gated, self.mlp_bias, self.experts, self.experts_per_token, self.expert_ffn,
            self.shared_ffn, vectors=vectors, corrections=self.experts * self.router_correction,
        )  # fmt: skip
        dense = Feedforward(self.layers - self.moe_layers, self.ffn, self.gated, self.mlp_bias)
        return tuple(kind for kind in (dense, routed) if kind.layers)

    @property
    def mixing_layers(self) -> int:
        """How many layers mix tokens; two mixers side by side are one layer."""
        return min(self.layers, sum(m.layers for m in self.mixers))

    @property
    def widening_layers(self) -> int:
        """How many layers hold an MLP or experts."""
        return sum(m.layers for m in self.mlps)

    @cached_property
    def unmeasured(self) -> tuple[str, ...]:
        """What its layers hold that no measured kernel stands for, in words."""
        found = [f"no kernel of {r.kind} was measured" for r in self.recurrents]
        if any(a.selected or a.every for a in self.attentions):
            found.append("no kernel of sparse attention was measured")
        if any(a.latent and a.kv_rank != MEASURED_KV_RANK for a in self.attentions):
            found.append(f"latent attention was measured at rank {MEASURED_KV_RANK} alone")
        if self.encoder or self.text_tokens:
            found.append("no served model that only reads was measured")
        return tuple(dict.fromkeys(found))


@lru_cache(maxsize=64)
def without_windows(model: Model) -> Model:
    """Return a model all of whose layers see the whole context.

    Parameters
    ----------
    model : Model
        The model.

    Returns
    -------
    Model
        A copy; caches that are compressed beside a window stay as they are.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> without_windows(load("google/gemma-2-9b")).window_layers
    0
    """
    mixers = tuple(replace(m, window=0) if isinstance(m, Attention) and not m.every else m for m in model.own_mixers)
    return replace(model, window=0, window_layers=0, own_mixers=mixers)


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
    if precision and not moe_precision and precision_name(precision) == own_format(model):
        return model.precision, model.moe_precision
    linear = precision_name(precision or model.precision)
    experts = precision_name(moe_precision or precision or model.moe_precision, "moe_precision")
    if model.experts and {model.moe_precision, experts} <= {"fp4", "mxfp4"}:
        experts = model.moe_precision
        linear = linear if linear in ("fp8", "fp8_block", "int8") else model.precision
    return linear, experts


#: Formats that need a checkpoint of their own, and what it is; the others are made from 16 bits on loading.
CONVERTED = {
    "int8": "a checkpoint with INT8 weights and activations (W8A8, as llm-compressor writes it)",
    "int4": "a checkpoint in AWQ, GPTQ or compressed-tensors",
    "fp4": "a checkpoint in NVFP4",
    "mxfp4": "a checkpoint in MXFP4",
    "fp8_block": "a checkpoint in FP8 with a scale a block",
}


def conversion(model: Model, precision: str) -> str:
    """Say which checkpoint a format needs, where it is not the one at hand.

    Parameters
    ----------
    model : Model
        The checkpoint at hand.
    precision : str
        Format in which it is to be served.

    Returns
    -------
    str
        A sentence; empty where the checkpoint at hand will do.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> conversion(load("llama-3.1-8b"), "int8")[:50], conversion(load("deepseek-v3"), "fp8_block")
    ('INT8 needs a checkpoint with INT8 weights and acti', '')
    """
    if precision == own_format(model) or precision not in CONVERTED:
        return ""
    return f"{format_name(precision)} needs {CONVERTED[precision]} in place of the one named"


def own_format(model: Model) -> str:
    """Return the one name by which a checkpoint's own formats are asked for: its experts' where those differ.

    Parameters
    ----------
    model : Model
        The model.

    Returns
    -------
    str
        A key of ``PRECISION_BITS``; :func:`stored_formats` turns it into both formats.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> own_format(load("gpt-oss-120b")), own_format(load("deepseek-v3")), own_format(load("llama-3.1-8b"))
    ('mxfp4', 'fp8_block', 'bf16')
    """
    small = model.experts and PRECISION_BITS[model.moe_precision] < 16
    return model.moe_precision if small else model.precision


def matrix_bits(model: Model, name: str, precision: str) -> float:
    """Return the bits of a value of one kind of matrix, scales included, where a format of weights is asked for.

    The checkpoint's own format means the checkpoint as it is: what it keeps wide stays wide.

    Parameters
    ----------
    model : Model
        The model.
    name : str
        Name of a matrix, or ``experts``.
    precision : str
        Format of linear layers, or of experts.

    Returns
    -------
    float
        Bits; routers, LM heads and what a family keeps wide have at least 16.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> matrix_bits(load("llama-3.1-8b"), "qkv", "fp8"), matrix_bits(load("llama-3.1-8b"), "lm_head", "fp8")
    (8.0, 16.0)
    """
    bits = PRECISION_BITS[precision]
    own = model.moe_precision if name == "experts" else model.precision
    if model.stored and precision == own:
        for part in model.stored:
            if part.name == name:
                return 16.0 * part.kept + part.bits * (1 - part.kept)
    return max(16.0, bits) if name in WIDE else bits


def matrix_format(model: Model, name: str, precision: str) -> str:
    """Return the format in which one kind of matrix is multiplied, where a format of weights is asked for.

    Parameters
    ----------
    model : Model
        The model.
    name : str
        Name of a matrix, or ``experts``.
    precision : str
        Format of linear layers, or of experts; the checkpoint's own means the checkpoint as it is.

    Returns
    -------
    str
        A key of ``PRECISION_BITS``.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> matrix_format(load("llama-3.1-8b"), "qkv", "fp8"), matrix_format(load("gpt-oss-120b"), "router", "mxfp4")
    ('fp8', 'bf16')
    """
    own = model.moe_precision if name == "experts" else model.precision
    if model.stored and precision == own:
        for part in model.stored:
            if part.name == name:
                return "bf16" if part.kept > 0.5 else part.format
    return "bf16" if name in WIDE else precision


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
    small, experts = precision_name(precision), precision_name(moe_precision or precision)
    return replace(model, precision=small, moe_precision=experts, stored=())
