"""Recurrent layers, alone or with attention: Mamba, gated delta rule, lightning attention, short convolutions."""

from __future__ import annotations

from dataclasses import replace

from hopperbook.errors import InputError
from hopperbook.models.families import ExpertFields, Family
from hopperbook.models.fields import Fields, at_most, divides
from hopperbook.models.latent import latent_attention
from hopperbook.models.layered import routed
from hopperbook.models.layers import Attention, Feedforward, Linear, Recurrent
from hopperbook.models.plain import FULL, Sizes, read_experts, read_sizes
from hopperbook.models.shape import Model

LINEAR = "linear_attention"
_WORDS = {"mamba": LINEAR, "attention": FULL, "conv": "short_convolution"}


def _put_together(
    f: Fields, s: Sizes, mixers: list[Attention | Recurrent], mlps: list[Feedforward], *, tied: bool = False,
    other: int = 0,
) -> Model:  # fmt: skip
    """Return a model of recurrent layers, attention and MLPs; its plain sizes are those of its attention."""
    attention = next((m for m in mixers if isinstance(m, Attention) and m.layers), None)
    experts = next((m for m in mlps if m.experts), Feedforward(0))
    return Model(
        name="", layers=s.layers, hidden=s.hidden, heads=s.heads, kv_heads=s.kv_heads, head_dim=s.head_dim,
        ffn=max((m.ffn for m in mlps), default=0), vocab=s.vocab, tied_embeddings=f.flag("tie_word_embeddings", tied),
        experts=experts.experts, experts_per_token=experts.experts_per_token, expert_ffn=experts.expert_ffn,
        shared_ffn=experts.shared_ffn, dense_layers=sum(m.layers for m in mlps if not m.experts) * bool(experts.layers),
        q_rank=attention.q_rank if attention else 0, kv_rank=attention.kv_rank if attention else 0,
        rope_dim=attention.rope_dim if attention else 0, value_dim=attention.value_dim if attention else 0,
        mtp_layers=f.size("num_nextn_predict_layers", default=0, least=0), context_limit=s.context,
        gated=all(m.gated for m in mlps), own_mixers=tuple(m for m in mixers if m.layers),
        own_mlps=tuple(m for m in mlps if m.layers), other=other,
    )  # fmt: skip


def mamba2_mixer(
    layers: int, hidden: int, heads: int, head_dim: int, groups: int, state: int, kernel: int, *, norm: bool = True,
    bias: bool = False, conv_bias: bool = True,
) -> Recurrent:  # fmt: skip
    r"""Return a Mamba-2 mixer.

    .. math:: \mathrm{FLOP} \approx 6\, h\, d\, n \text{ a token: decay, input and output of a state of } d \times n

    Parameters
    ----------
    layers, hidden : int
        Layers that have it, and the model's width.
    heads, head_dim, groups, state, kernel : int
        Heads and their width, groups that share B and C, values of a channel's state, taps of the convolution.
    norm, bias, conv_bias : bool
        A gated norm before the output; biases of the projections and of the convolution.

    Returns
    -------
    Recurrent
        Without the norm of the layer.

    Examples
    --------
    >>> mixer = mamba2_mixer(64, 4096, 128, 64, 8, 128, 4)
    >>> mixer.state_values, mixer.conv_values
    (1048576, 40960)
    """
    width = heads * head_dim
    conv = width + 2 * groups * state
    projected = width + conv + heads
    matrices = (
        Linear("mixer_in", hidden, projected, 1, "column"),
        Linear("mixer_out", width, hidden, 1, "row"),
    )
    vectors = 3 * heads + conv * (kernel + conv_bias) + width * norm + (projected + hidden) * bias
    flop = 6.0 * width * state
    return Recurrent(layers, "Mamba-2", matrices, vectors, width * state, conv * kernel, flop)


def mamba_mixer(
    layers: int, hidden: int, width: int, state: int, kernel: int, rank: int, *, norms: bool = False,
    bias: bool = False, conv_bias: bool = True,
) -> Recurrent:  # fmt: skip
    """Return a Mamba mixer of the first kind.

    Parameters
    ----------
    layers, hidden : int
        Layers that have it, and the model's width.
    width, state, kernel, rank : int
        Channels, values of a channel's state, taps of the convolution, rank of the time step.
    norms, bias, conv_bias : bool
        Norms on time step, B and C; biases of the projections and of the convolution.

    Returns
    -------
    Recurrent
        Without the norm of the layer.

    Examples
    --------
    >>> mamba_mixer(28, 4096, 8192, 16, 4, 256).state_values
    131072
    """
    matrices = (
        Linear("mixer_in", hidden, 2 * width, 1, "column"),
        Linear("mixer_x", width, rank + 2 * state, 1, "row"),
        Linear("mixer_dt", rank, width, 1, "column"),
        Linear("mixer_out", width, hidden, 1, "row"),
    )
    vectors = width * (state + 1) + width * (kernel + conv_bias) + width + (rank + 2 * state) * norms
    vectors += (2 * width + hidden) * bias
    return Recurrent(layers, "Mamba", matrices, vectors, width * state, width * kernel, 9.0 * width * state)


def _kinds(f: Fields, names: tuple[str, ...], layers: int, allowed: tuple[str, ...]) -> list[str] | None:
    """Read the kinds of layers under one of some names, old words turned into new ones."""
    for name in names:
        value = f.get(name)
        if value is None:
            continue
        if not isinstance(value, list) or len(value) != layers:
            raise InputError(f"config.json: {name}", value, f"a list of {layers} words, one a layer")
        words = [_WORDS.get(str(word), str(word)) for word in value]
        for word, given in zip(words, value, strict=True):
            if word not in allowed:
                raise InputError(f"config.json: {name}", given, "a list of " + ", ".join(allowed))
        f.ignore(names)
        return words
    return None


def _grouped(s: Sizes, layers: int, vectors: int, *, qkv_bias: bool = False, o_bias: bool = False) -> Attention:
    """Return grouped attention of a model's sizes."""
    biases = (s.heads + 2 * s.kv_heads) * s.head_dim * qkv_bias + s.hidden * o_bias
    return Attention(layers, s.heads, s.kv_heads, s.head_dim, s.head_dim, vectors=vectors + biases)


def _mamba2_fields(f: Fields, layers: int, hidden: int, width: int) -> Recurrent:
    """Read a Mamba-2 mixer under the names that Bamba, Granite and Falcon-H1 share."""
    heads, head_dim = f.size("mamba_n_heads"), f.get("mamba_d_head")
    divides("mamba_n_heads", heads, "the mixer's width", width)
    head_dim = width // heads if head_dim in (None, "auto") else f.size("mamba_d_head")
    if heads * head_dim != width:
        raise InputError("config.json: mamba_d_head", head_dim, f"{width // heads}, the mixer's width over its heads")
    return mamba2_mixer(
        layers, hidden, heads, head_dim, f.size("mamba_n_groups"), f.size("mamba_d_state"),
        f.size("mamba_d_conv", default=4), bias=f.flag("mamba_proj_bias", False),
        conv_bias=f.flag("mamba_conv_bias", True),
    )  # fmt: skip


def _bamba(f: Fields, family: Family) -> Model:
    """Read Bamba: Mamba-2 with attention in a few layers, an MLP in each."""
    s = read_sizes(f, replace(family, kv_heads=8))
    f.only("attention_bias", False)
    f.only("mlp_bias", False)
    attention = f.numbers("attn_layer_indices") or []
    at_most("attn_layer_indices", max(attention, default=0), "the last layer", s.layers - 1)
    expand = f.size("mamba_expand", default=2)
    mixer = _mamba2_fields(f, s.layers - len(attention), s.hidden, expand * s.hidden)
    mixer = replace(mixer, vectors=mixer.vectors + 2 * s.hidden)
    mlp = Feedforward(s.layers, f.size("intermediate_size"))
    return _put_together(f, s, [_grouped(s, len(attention), 2 * s.hidden), mixer], [mlp])


def _granite_hybrid(f: Fields, family: Family) -> Model:
    """Read Granite 4: Mamba-2 and attention, a shared MLP and perhaps experts in each layer."""
    s = read_sizes(f, replace(family, kv_heads="heads"))
    f.ignore(("position_embedding_type", "normalization_function", "intermediate_size", "init_method"))
    bias = f.flag("attention_bias", False)
    kinds = _kinds(f, ("layer_types", "layers_block_type"), s.layers, (LINEAR, FULL))
    if kinds is None:
        raise InputError("config.json: layer_types", None, f"{LINEAR} or {FULL} for each layer")
    whole = kinds.count(FULL)
    mixers: list[Attention | Recurrent] = [_grouped(s, whole, 2 * s.hidden, qkv_bias=bias, o_bias=bias)]
    names = ("mamba_n_heads", "mamba_d_head", "mamba_n_groups", "mamba_d_state", "mamba_d_conv", "mamba_expand")
    if whole < s.layers:
        mixer = _mamba2_fields(f, s.layers - whole, s.hidden, f.size("mamba_expand", default=2) * s.hidden)
        mixers.append(replace(mixer, vectors=mixer.vectors + 2 * s.hidden))
    f.ignore((*names, "mamba_conv_bias", "mamba_proj_bias"))
    shared = f.size("shared_intermediate_size", default=1024, least=0)
    if f.size("num_local_experts", default=8, least=0):
        e = read_experts(f, ExpertFields("num_local_experts", "num_experts_per_tok", "intermediate_size"), s.layers)
        mlp = routed(s.layers, e._replace(shared=shared))
    else:
        f.ignore(("num_experts_per_tok",))
        mlp = Feedforward(s.layers, shared)
    return _put_together(f, s, mixers, [mlp])


def _falcon_h1(f: Fields, family: Family) -> Model:
    """Read Falcon-H1: attention and Mamba-2 side by side in each layer, then an MLP."""
    s = read_sizes(f, replace(family, kv_heads=8))
    for name in ("attention_bias", "mlp_bias", "projectors_bias"):
        f.only(name, False)
    f.ignore(("mamba_use_mlp", "mamba_norm_before_gate", "mlp_expansion_factor", "attn_layer_indices"))
    f.only("attn_layer_indices", [])
    expand = f.size("mamba_expand", default=2) * s.hidden
    mixer = _mamba2_fields(f, s.layers, s.hidden, f.size("mamba_d_ssm", default=expand))
    norm = f.flag("mamba_rms_norm", False)
    width = mixer.matrices[1].k
    mixer = replace(mixer, vectors=mixer.vectors - width * (not norm))
    mlp = Feedforward(s.layers, f.size("intermediate_size"))
    return _put_together(f, s, [_grouped(s, s.layers, 2 * s.hidden), mixer], [mlp])


def _nemotron_h(f: Fields, family: Family) -> Model:
    """Read Nemotron-H and Nemotron 3: each layer is Mamba-2, attention, an MLP or experts, without gates."""
    letters = {"M": LINEAR, "*": FULL, "-": "mlp", "E": "moe"}
    pattern = f.get("hybrid_override_pattern")
    listed = next((v for n in ("layers_block_type", "layer_types") if isinstance(v := f.config.get(n), list)), pattern)
    layers = f.size("num_hidden_layers", default=len(listed) if isinstance(listed, list | str) else None)
    f.config = f.config | {"num_hidden_layers": layers}
    kinds = _kinds(f, ("layers_block_type", "layer_types"), layers, (LINEAR, FULL, "mlp", "moe"))
    if kinds is None:
        if not isinstance(pattern, str) or len(pattern) != layers or set(pattern) - set(letters):
            raise InputError("config.json: hybrid_override_pattern", pattern, f"{layers} letters of M, *, - and E")
        kinds = [letters[letter] for letter in pattern]
    for name in ("attention_bias", "mlp_bias", "mamba_proj_bias", "use_bias"):
        f.only(name, False)
    names = {"head_dim": ["head_dim", "attention_head_dim"]}
    s = read_sizes(f, replace(family, names=names, kv_heads="required", head_dim="required"))
    f.ignore(("expand", "time_step_rank", "mtp_layers_block_type", "mtp_hybrid_override_pattern", "sliding_window"))
    taps = f.size("conv_kernel", default=4)
    mixer = mamba2_mixer(
        kinds.count(LINEAR), s.hidden, f.size("mamba_num_heads"), f.size("mamba_head_dim"), f.size("n_groups"),
        f.size("ssm_state_size"), taps, conv_bias=f.flag("use_conv_bias", True),
    )  # fmt: skip
    mixer = replace(mixer, vectors=mixer.vectors + s.hidden)
    f.ignore(("intermediate_size",))
    mlps = []
    if "mlp" in kinds:
        mlps.append(Feedforward(kinds.count("mlp"), f.size("intermediate_size"), gated=False, vectors=s.hidden))
    fields = ("n_routed_experts", "num_experts_per_tok", "moe_intermediate_size", "moe_shared_expert_intermediate_size")
    if "moe" in kinds:
        mlps.append(_nemotron_experts(f, s, kinds.count("moe"), fields))
    f.ignore((*fields, "n_shared_experts", "moe_latent_size"))
    return _put_together(f, s, [_grouped(s, kinds.count(FULL), s.hidden), mixer], mlps)


def _nemotron_experts(f: Fields, s: Sizes, layers: int, fields: tuple[str, ...]) -> Feedforward:
    """Read Nemotron's experts, which may read and write a narrower width than the model's."""
    f.only("n_shared_experts", 0, 1)
    e = read_experts(f, ExpertFields(fields[0], fields[1], fields[2]), s.layers)
    latent = f.size("moe_latent_size", default=0)
    shared = f.size("moe_shared_expert_intermediate_size") if f.get("n_shared_experts") != 0 else 0
    through = (
        Linear("latent_in", s.hidden, latent, 1, "replicated"),
        Linear("latent_out", latent, s.hidden, 1, "replicated"),
    )
    return replace(
        routed(layers, e._replace(shared=shared), correction=True, vectors=s.hidden), gated=False, latent=latent,
        matrices=through if latent else (),
    )  # fmt: skip


def _jamba(f: Fields, family: Family) -> Model:
    """Read Jamba: Mamba with attention in each eighth layer, experts in each second."""
    s = read_sizes(f, replace(family, kv_heads="required"))
    f.ignore(
        ("mamba_inner_layernorms", "n_ctx", "calc_logits_for_entire_prompt", "num_experts_per_tok", "sliding_window")
    )
    every, first = f.size("attn_layer_period", default=8), f.size("attn_layer_offset", default=4, least=0)
    at_most("attn_layer_offset", first, "attn_layer_period - 1", every - 1)
    whole = sum(i % every == first for i in range(s.layers))
    rank = f.get("mamba_dt_rank")
    mixer = mamba_mixer(
        s.layers - whole, s.hidden, f.size("mamba_expand", default=2) * s.hidden, f.size("mamba_d_state", default=16),
        f.size("mamba_d_conv", default=4), -(-s.hidden // 16) if rank in (None, "auto") else f.size("mamba_dt_rank"),
        norms=True, bias=f.flag("mamba_proj_bias", False), conv_bias=f.flag("mamba_conv_bias", True),
    )  # fmt: skip
    mixer = replace(mixer, vectors=mixer.vectors + 2 * s.hidden)
    step, offset = f.size("expert_layer_period", default=2), f.size("expert_layer_offset", default=1, least=0)
    at_most("expert_layer_offset", offset, "expert_layer_period - 1", step - 1)
    count = sum(i % step == offset for i in range(s.layers)) if f.size("num_experts") > 1 else 0
    e = read_experts(f, ExpertFields("num_experts", "num_experts_per_tok", "intermediate_size"), s.layers)
    dense = Feedforward(s.layers - count, f.size("intermediate_size"))
    mlps = [dense, routed(count, e)] if count else [dense]
    return _put_together(f, s, [_grouped(s, whole, 2 * s.hidden), mixer], mlps)


def _mamba(f: Fields, family: Family) -> Model:
    """Read Mamba of the first kind, without attention."""
    layers, hidden = f.size("num_hidden_layers", "n_layer"), f.size("hidden_size", "d_model")
    width = f.size("intermediate_size", "d_inner", default=f.size("expand", default=2) * hidden)
    rank = f.get("time_step_rank")
    mixer = mamba_mixer(
        layers, hidden, width, f.size("state_size", default=16), f.size("conv_kernel", default=4),
        -(-hidden // 16) if rank in (None, "auto") else f.size("time_step_rank"), bias=f.flag("use_bias", False),
        conv_bias=f.flag("use_conv_bias", True),
    )  # fmt: skip
    s = Sizes(
        layers, hidden, width // 64 or 1, 1, 64, f.size("vocab_size"), f.size("max_position_embeddings", default=0)
    )
    f.ignore(("mixer_rms_eps", "use_falcon_mambapy"))
    return _put_together(f, s, [replace(mixer, vectors=mixer.vectors + hidden)], [], tied=True)


def _mamba2(f: Fields, family: Family) -> Model:
    """Read Mamba-2, without attention."""
    layers, hidden = f.size("num_hidden_layers"), f.size("hidden_size")
    heads, head_dim = f.size("num_heads"), f.size("head_dim")
    if heads * head_dim != f.size("expand", default=2) * hidden:
        raise InputError("config.json: num_heads", heads, f"expand x hidden_size / head_dim ({hidden} / {head_dim})")
    mixer = mamba2_mixer(
        layers, hidden, heads, head_dim, f.size("n_groups", default=8), f.size("state_size", default=128),
        f.size("conv_kernel", default=4), bias=f.flag("use_bias", False), conv_bias=f.flag("use_conv_bias", True),
    )  # fmt: skip
    f.only("intermediate_size", heads * head_dim)
    f.only("rms_norm", True)
    f.ignore(("time_step_rank", "norm_before_gate"))
    s = Sizes(layers, hidden, heads, 1, head_dim, f.size("vocab_size"), f.size("max_position_embeddings", default=0))
    return _put_together(f, s, [replace(mixer, vectors=mixer.vectors + hidden)], [])


def _delta(f: Fields, family: Family) -> Model:
    """Read Qwen3-Next and Qwen3.5: the gated delta rule, with gated attention in each fourth layer."""
    s = read_sizes(f, replace(family, kv_heads="required", head_dim="required"))
    f.only("attention_bias", False)
    f.only("attn_output_gate", True)
    f.ignore(("mtp_num_hidden_layers", "mtp_use_dedicated_embeddings"))
    every = f.size("full_attention_interval", default=4)
    kinds = _kinds(f, ("layer_types",), s.layers, (LINEAR, FULL))
    whole = kinds.count(FULL) if kinds else s.layers // every
    keys, values = f.size("linear_num_key_heads"), f.size("linear_num_value_heads")
    key, value, taps = f.size("linear_key_head_dim"), f.size("linear_value_head_dim"), f.size("linear_conv_kernel_dim")
    divides("linear_num_key_heads", keys, "linear_num_value_heads", values)
    conv, out = 2 * keys * key + values * value, values * value
    matrices = (
        Linear("mixer_in", s.hidden, conv + out, 1, "column"),
        Linear("wide", s.hidden, 2 * values, 1, "column"),
        Linear("mixer_out", out, s.hidden, 1, "row"),
    )
    norms = 2 * s.hidden
    mixer = Recurrent(
        s.layers - whole, "the gated delta rule", matrices, 2 * values + conv * taps + value + norms,
        values * key * value, conv * taps, 8.0 * values * key * value,
    )  # fmt: skip
    gate = (Linear("qkv", s.hidden, s.heads * s.head_dim, 1, "column"),)
    attention = replace(_grouped(s, whole, norms + 2 * s.head_dim), matrices=gate)
    mtp = f.size("mtp_num_hidden_layers", default=0, least=0)
    model = _put_together(f, s, [attention, mixer], _delta_mlps(f, s))
    return replace(model, mtp_layers=mtp)


def _delta_mlps(f: Fields, s: Sizes) -> list[Feedforward]:
    """Read Qwen's MLPs: dense, or experts with one that every token visits and a gate before it."""
    dense, step = f.numbers("mlp_only_layers") or [], f.size("decoder_sparse_step", default=1)
    if f.get("num_experts") is None:
        return [Feedforward(s.layers, f.size("intermediate_size"))]
    names = ExpertFields(
        "num_experts", "num_experts_per_tok", "moe_intermediate_size", "shared_expert_intermediate_size"
    )
    e = read_experts(f, names, s.layers)
    count = sum((i + 1) % step == 0 and i not in dense for i in range(s.layers))
    ffn = f.size("intermediate_size", default=0 if count == s.layers else None)
    mlps = [Feedforward(s.layers - count, ffn), routed(count, e, vectors=s.hidden)]
    return [m for m in mlps if m.layers]


def _kimi_linear(f: Fields, family: Family) -> Model:
    """Read Kimi Linear: the delta rule with a gate of each channel, with latent attention in each fourth layer."""
    layers, hidden, heads = (f.size(n) for n in ("num_hidden_layers", "hidden_size", "num_attention_heads"))
    inner = f.inner("linear_attn_config")
    whole, mixing, width, taps = _kimi_layers(f, inner, layers)
    f.ignore(("mla_use_nope", "num_key_value_heads", "head_dim", "use_grouped_topk"))
    inside = mixing * width
    pairs = (
        ("mixer_in", hidden, 3 * inside), ("wide", hidden, width), ("wide", width, inside), ("wide", hidden, mixing),
        ("wide", hidden, width), ("wide", width, inside), ("mixer_out", inside, hidden),
    )  # fmt: skip
    matrices = tuple(Linear(n, k, m, 1, "row" if n == "mixer_out" else "column") for n, k, m in pairs)
    norms = 2 * hidden
    mixer = Recurrent(
        layers - whole, "Kimi delta attention", matrices, 3 * inside * taps + inside + mixing + width + norms,
        mixing * width * width, 3 * inside * taps, 8.0 * mixing * width * width,
    )  # fmt: skip
    attention = latent_attention(f, whole, heads)
    attention = replace(attention, vectors=attention.vectors + norms)
    names = ExpertFields(
        ["num_experts", "num_local_experts"], ["num_experts_per_token", "num_experts_per_tok"], "moe_intermediate_size"
    )
    e = read_experts(f, names, layers)
    e = e._replace(shared=e.width * f.size("num_shared_experts", "n_shared_experts", least=0))
    f.only("moe_layer_freq", 1)
    types = f.words("mlp_layer_types", layers, ("dense", "sparse"))
    first = types.count("dense") if types else f.size("first_k_dense_replace", default=1, least=0)
    at_most("first_k_dense_replace", first, "num_hidden_layers", layers)
    f.ignore(("first_k_dense_replace",))
    dense = Feedforward(first, f.size("intermediate_size"))
    context = f.size("model_max_length", "max_position_embeddings", default=0, least=0)
    s = Sizes(layers, hidden, heads, heads, attention.head_dim, f.size("vocab_size"), context)
    mlps = [m for m in (dense, routed(layers - first, e, correction=True)) if m.layers]
    return _put_together(f, s, [attention, mixer], mlps)


def _kimi_layers(f: Fields, inner: Fields | None, layers: int) -> tuple[int, int, int, int]:
    """Return layers of latent attention, and heads, width and taps of the others."""
    if inner is None:
        kinds = _kinds(f, ("layer_types",), layers, (LINEAR, FULL))
        if kinds is None:
            raise InputError("config.json: linear_attn_config", None, "which layers are linear")
        return (
            kinds.count(FULL),
            f.size("linear_num_heads"),
            f.size("linear_head_dim"),
            f.size("linear_conv_kernel_dim"),
        )
    whole, linear = inner.numbers("full_attn_layers") or [], inner.numbers("kda_layers") or []
    if sorted([*whole, *linear]) not in (list(range(1, layers + 1)), list(range(layers))):
        raise InputError("config.json: linear_attn_config", whole, f"each of {layers} layers once, full or linear")
    found = len(whole), inner.size("num_heads"), inner.size("head_dim"), inner.size("short_conv_kernel_size")
    inner.finish()
    return found


def _lightning(f: Fields, family: Family) -> Model:
    """Read MiniMax-01 and M1: lightning attention, with full attention in each eighth layer, and experts."""
    s = read_sizes(f, replace(family, kv_heads="required"))
    f.only("sliding_window")
    kinds = _kinds(f, ("layer_types",), s.layers, (LINEAR, FULL))
    listed = f.numbers("attn_type_list", s.layers)
    if kinds is None and listed is None and family.kind != "minimax":
        raise InputError("config.json: attn_type_list", None, "0 or 1 for each layer")
    whole = kinds.count(FULL) if kinds else sum(listed) if listed else (s.layers + 1) // 2
    width, norms = s.heads * s.head_dim, 2 * s.hidden
    matrices = (
        Linear("mixer_in", s.hidden, 4 * width, 1, "column"),
        Linear("mixer_out", width, s.hidden, 1, "row"),
    )
    state = s.heads * s.head_dim * s.head_dim
    mixer = Recurrent(s.layers - whole, "lightning attention", matrices, width + norms, state, 0, 6.0 * state)
    names = ExpertFields("num_local_experts", "num_experts_per_tok", "intermediate_size", "shared_intermediate_size=0")
    e = read_experts(f, names, s.layers)
    return _put_together(f, s, [_grouped(s, whole, norms), mixer], [routed(s.layers, e)])


def _lfm2(f: Fields, family: Family) -> Model:
    """Read LFM2: short convolutions with attention in some layers, an MLP or experts in each."""
    names = {"hidden": ["hidden_size", "block_dim"], "heads": ["num_attention_heads", "num_heads"]}
    s = read_sizes(f, replace(family, names=names, kv_heads="required"))
    f.only("block_use_swiglu", True)
    for name in ("conv_dim", "conv_dim_out", "block_dim"):
        f.only(name, s.hidden)
    kinds = _kinds(f, ("layer_types",), s.layers, ("short_convolution", FULL))
    indices = f.numbers("full_attn_idxs")
    if kinds is None and indices is None:
        raise InputError("config.json: layer_types", None, f"conv or {FULL} for each layer")
    whole = kinds.count(FULL) if kinds else len(set(indices or []))
    at_most("full_attn_idxs", whole, "num_hidden_layers", s.layers)
    taps, bias, norms = f.size("conv_L_cache", default=3), f.flag("conv_bias", False), 2 * s.hidden
    matrices = (
        Linear("mixer_in", s.hidden, 3 * s.hidden, 1, "column"),
        Linear("mixer_out", s.hidden, s.hidden, 1, "row"),
    )
    vectors = s.hidden * taps + norms + bias * 5 * s.hidden
    mixer = Recurrent(
        s.layers - whole, "short convolution", matrices, vectors, 0, s.hidden * taps, 2.0 * s.hidden * taps
    )
    tied = f.flag("tie_embedding", f.flag("tie_word_embeddings", True))
    mixers: list[Attention | Recurrent] = [_grouped(s, whole, norms + 2 * s.head_dim), mixer]
    model = _put_together(f, s, mixers, _lfm2_mlps(f, s, family), tied=True)
    return replace(model, tied_embeddings=tied)


def _lfm2_mlps(f: Fields, s: Sizes, family: Family) -> list[Feedforward]:
    """Read LFM2's MLPs, whose width follows from another by the rule of Llama's first code."""
    width = f.size("intermediate_size", "block_ff_dim")
    if family.kind == "lfm2_moe":
        dense = f.size("num_dense_layers", least=0)
        at_most("num_dense_layers", dense, "num_hidden_layers", s.layers)
        e = read_experts(f, ExpertFields("num_experts", "num_experts_per_tok", "moe_intermediate_size"), s.layers)
        routing = routed(s.layers - dense, e, correction=f.flag("use_expert_bias", True))
        return [m for m in (Feedforward(dense, width), routing) if m.layers]
    if f.flag("block_auto_adjust_ff_dim", True):
        width = int(2 * width / 3)
        times, of = f.config.get("block_ffn_dim_multiplier", 1.0), f.size("block_multiple_of", default=256)
        if times is not None:  # null leaves out the rounding too
            if not isinstance(times, int | float) or not 0 < times < 100:
                raise InputError("config.json: block_ffn_dim_multiplier", times, "a number between 0 and 100")
            width = of * -(-int(times * width) // of)
    f.ignore(("block_multiple_of", "block_ffn_dim_multiplier"))
    return [Feedforward(s.layers, width)]


#: Readers of this module, by their names in the table of families.
READERS = {
    "delta": _delta,
    "kimi_linear": _kimi_linear,
    "lightning": _lightning,
    "nemotron_h": _nemotron_h,
    "jamba": _jamba,
    "mamba": _mamba,
    "mamba2": _mamba2,
    "bamba": _bamba,
    "granite_hybrid": _granite_hybrid,
    "falcon_h1": _falcon_h1,
    "lfm2": _lfm2,
}
