"""Decoders whose layers differ in heads, widths or windows: each kind of layer is read with how many have it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hopperbook.errors import InputError
from hopperbook.models.families import ExpertFields, Family
from hopperbook.models.fields import Fields, at_most, divides
from hopperbook.models.layers import Attention, Feedforward, Linear
from hopperbook.models.plain import FULL, NEAR, Experts, Sizes, read_experts, read_sizes
from hopperbook.models.shape import Model


def routed(layers: int, e: Experts, *, correction: bool = False, vectors: int = 0) -> Feedforward:
    """Return layers of gated experts of given sizes.

    Parameters
    ----------
    layers : int
        How many layers have them.
    e : Experts
        Their sizes.
    correction : bool
        A correction of each expert's score, which is no parameter.
    vectors : int
        Further values of a layer.

    Returns
    -------
    Feedforward
        The layers.

    Examples
    --------
    >>> routed(26, Experts(26, 64, 6, 1408, 2816), correction=True).corrections
    64
    """
    return Feedforward(
        layers, experts=e.number, experts_per_token=e.per_token, expert_ffn=e.width, shared_ffn=e.shared,
        vectors=vectors, corrections=e.number * correction,
    )  # fmt: skip


def _assemble(
    f: Fields,
    s: Sizes,
    mixers: tuple[Attention, ...],
    mlps: tuple[Feedforward, ...],
    *,
    tied: bool = False,
    other: int = 0,
) -> Model:
    """Return a model of layers that differ; its plain sizes are those of most layers."""
    attention = max((a for a in mixers), key=lambda a: a.layers)
    experts = max((m for m in mlps if m.experts), key=lambda m: m.layers, default=Feedforward(0))
    near = [a for a in mixers if a.window]
    return Model(
        name="", layers=s.layers, hidden=s.hidden, heads=s.heads, kv_heads=attention.kv_heads,
        head_dim=attention.head_dim, value_dim=attention.value_dim, ffn=max((m.ffn for m in mlps), default=0),
        vocab=s.vocab, tied_embeddings=f.flag("tie_word_embeddings", tied), window=near[0].window if near else 0,
        window_layers=sum(a.layers for a in near), experts=experts.experts,
        experts_per_token=experts.experts_per_token, expert_ffn=experts.expert_ffn, shared_ffn=experts.shared_ffn,
        dense_layers=sum(m.layers for m in mlps if not m.experts) if experts.layers else 0,
        mtp_layers=f.size("num_nextn_predict_layers", default=0, least=0), context_limit=s.context,
        own_mixers=tuple(a for a in mixers if a.layers), own_mlps=tuple(m for m in mlps if m.layers), other=other,
    )  # fmt: skip


def _llama4(f: Fields, family: Family) -> Model:
    """Read Llama 4: chunked attention but in each fourth layer, and layers of experts between dense ones."""
    s = read_sizes(f, family)
    layers, chunk = s.layers, f.size("attention_chunk_size")
    for name in ("attention_bias", "mlp_bias"):
        f.only(name, False)
    f.ignore(
        ("use_qk_norm", "for_llm_compressor", "attn_temperature_tuning", "attention_chunk_size")
    )  # norm: no weights
    types = f.words("layer_types", layers, (FULL, "chunked_attention"))
    rotary = f.numbers("no_rope_layers")
    whole = types.count(FULL) if types else layers - sum(map(bool, rotary)) if rotary else layers // 4
    every, listed = f.size("interleave_moe_layer_step", default=1), f.numbers("moe_layers")
    count = len(listed) if listed is not None else layers // every
    e = read_experts(f, ExpertFields("num_local_experts", "num_experts_per_tok", "intermediate_size"), layers)
    at_most("moe_layers", count, "num_hidden_layers", layers)
    return Model(
        name="", layers=layers, hidden=s.hidden, heads=s.heads, kv_heads=s.kv_heads, head_dim=s.head_dim,
        ffn=f.size("intermediate_size_mlp"), vocab=s.vocab, tied_embeddings=f.flag("tie_word_embeddings", False),
        window=chunk, window_layers=layers - whole, experts=e.number, experts_per_token=e.per_token, expert_ffn=e.width,
        shared_ffn=e.width, dense_layers=layers - count, context_limit=s.context,
    )  # fmt: skip


def _override(f: Fields) -> Fields | None:
    """Read what ``per_layer_config`` says of the layers that it lists, which must be alike; None without it."""
    listed = f.get("per_layer_config")
    if not listed:
        return None
    values = list(listed.values()) if isinstance(listed, dict) else []
    if not values or any(v != values[0] for v in values) or not isinstance(values[0], dict):
        raise InputError("config.json: per_layer_config", listed, "the same object for each layer that it lists")
    inner = Fields(values[0])
    for name in ("head_dim", "num_key_value_heads", "num_attention_heads"):
        inner.size(name, default=1)
    inner.finish()
    return inner


def _gemma_attention(
    s: Sizes, layers: int, kv_heads: int, head_dim: int, window: int, *, cached: bool = True, values: bool = True
) -> Attention:
    """Return Gemma's attention: norms on queries and keys, and layers that read an earlier layer's cache."""
    width = (s.heads + (kv_heads * (2 if values else 1) if cached else 0)) * head_dim
    matrices = (Linear("qkv", s.hidden, width, 1, "column"), Linear("o", s.heads * head_dim, s.hidden, 1, "row"))
    norms = head_dim * (2 if cached else 1)
    return Attention(
        layers,
        s.heads,
        kv_heads,
        head_dim,
        head_dim,
        window,
        cached=cached,
        matrices=matrices,
        whole=True,
        vectors=norms,
    )


def _shared_types(f: Fields, layers: int, every: int) -> tuple[list[str], int]:
    """Read the kinds of Gemma's layers, and from which on they read an earlier layer's cache."""
    types = f.words("layer_types", layers, (FULL, NEAR))
    if types is None:
        types = [NEAR if (i + 1) % every else FULL for i in range(layers)]
    return types, layers - f.size("num_kv_shared_layers", default=15 if every == 5 else 0, least=0)


def _gemma4(f: Fields, family: Family) -> Model:
    """Read Gemma 4: wider heads where the whole context is seen, caches shared by late layers, perhaps experts."""
    f.only("attention_bias", False)
    s = read_sizes(f, replace(family, head_dim="required"))
    types, first = _shared_types(f, s.layers, 6)
    types = [*types[:-1], FULL]  # the last layer sees everything
    at_most("num_kv_shared_layers", s.layers - first, "num_hidden_layers", s.layers)
    counts = Counter((kind, i < first) for i, kind in enumerate(types))
    kinds = {NEAR: (s.kv_heads, s.head_dim, f.size("sliding_window"), True), FULL: _gemma4_global(f, s)}
    mixers = []
    for (kind, writes), layers in sorted(counts.items()):
        kv, dim, window, values = kinds[kind]
        mixers.append(_gemma_attention(s, layers, kv, dim, window, cached=writes, values=values))
    narrow = f.size("hidden_size_per_layer_input", default=0, least=0)
    table = f.size("vocab_size_per_layer_input", default=262_144, least=0) * s.layers * narrow
    other = table + (s.hidden * s.layers * narrow + narrow if narrow else 0)
    return _assemble(f, s, tuple(mixers), _gemma4_mlps(f, s, first, narrow), tied=True, other=other)


def _gemma4_global(f: Fields, s: Sizes) -> tuple[int, int, int, bool]:
    """Return (KV heads, head width, window, whether values have a matrix) of Gemma 4's layers that see everything."""
    same, own = f.flag("attention_k_eq_v", False), _override(f)
    kv = f.size("num_global_key_value_heads", default=0)
    if own is None:
        if same and "num_global_key_value_heads" not in f.config:
            raise InputError("config.json: num_global_key_value_heads", None, "a number or null (the field is missing)")
        dim = f.size("global_head_dim")
    else:
        dim, kv = own.size("head_dim", default=s.head_dim), own.size("num_key_value_heads", default=0)
    return (kv or s.kv_heads) if same else s.kv_heads, dim, 0, not same


def _gemma4_mlps(f: Fields, s: Sizes, first: int, narrow: int) -> tuple[Feedforward, ...]:
    """Read Gemma 4's MLPs (wider where another layer's cache is read), experts beside them, embeddings of layers."""
    ffn, times = f.size("intermediate_size"), 2 if f.flag("use_double_wide_mlp", False) else 1
    mlps = [Feedforward(first, ffn), Feedforward(s.layers - first, ffn * times)]
    if f.flag("enable_moe_block", False):
        e = read_experts(f, ExpertFields("num_experts", "top_k_experts", "moe_intermediate_size"), s.layers)
        mlps = [replace(routed(m.layers, e, vectors=4 * s.hidden + e.number), ffn=m.ffn) for m in mlps]
    else:
        f.only("num_experts", 0)
    f.ignore(("num_experts", "top_k_experts", "moe_intermediate_size"))
    pairs = ((s.hidden, narrow), (narrow, s.hidden)) if narrow else ()
    matrices = tuple(Linear("wide", k, n, 1, "replicated") for k, n in pairs)
    norms = (4 + bool(narrow)) * s.hidden
    return tuple(replace(m, vectors=m.vectors + norms, matrices=matrices) for m in mlps)


def _gemma3n(f: Fields, family: Family) -> Model:
    """Read Gemma 3n: embeddings for each layer, alternating residual streams, caches shared by late layers."""
    f.only("attention_bias", False)
    f.ignore(
        (
            "activation_sparsity_pattern",
            "altup_active_idx",
            "altup_coef_clip",
            "altup_correct_scale",
            "altup_lr_multiplier",
        )
    )
    sizes = {"num_attention_heads": 8, "num_hidden_layers": 35, "hidden_size": 2048, "vocab_size": 262_400}
    widths = f.get("intermediate_size")
    s = read_sizes(f, replace(family, sizes=sizes, kv_heads=2, head_dim=256))
    if isinstance(widths, list):
        widths = f.numbers("intermediate_size", s.layers)
    ffns = widths or [f.size("intermediate_size")] * s.layers if not isinstance(widths, int) else [widths] * s.layers
    window, narrow = f.size("sliding_window", default=512), f.size("hidden_size_per_layer_input", default=256)
    streams, rank = f.size("altup_num_inputs", default=4), f.size("laurel_rank", default=64)
    types, first = _shared_types(f, s.layers, 5)
    at_most("num_kv_shared_layers", s.layers - first, "num_hidden_layers", s.layers)
    counts = Counter((kind, i < first) for i, kind in enumerate(types))
    mixers = tuple(
        _gemma_attention(s, n, s.kv_heads, s.head_dim, window if kind == NEAR else 0, cached=own)
        for (kind, own), n in sorted(counts.items())
    )
    matrices = tuple(
        Linear("wide", k, n, 1, "replicated")
        for k, n in ((s.hidden, narrow), (narrow, s.hidden), (s.hidden, rank), (rank, s.hidden), (s.hidden, streams))
    )
    vectors = 4 * s.hidden + 4 * s.hidden + streams**2 + streams**3
    mlps = tuple(
        Feedforward(n, width, matrices=matrices, vectors=vectors) for width, n in sorted(Counter(ffns).items())
    )
    table = f.size("vocab_size_per_layer_input", default=262_144, least=0) * s.layers * narrow
    other = table + s.hidden * s.layers * narrow + narrow + 2 * (streams - 1) * s.hidden * s.hidden
    return _assemble(f, s, mixers, mlps, tied=True, other=other)


def _mimo_v2(f: Fields, family: Family) -> Model:
    """Read MiMo-V2: near layers with heads of their own and sinks, keys wider than values, experts."""
    s = read_sizes(f, replace(family, head_dim=192))
    layers, value_dim = s.layers, f.size("v_head_dim", default=128)
    f.only("attention_bias", False)
    f.only("n_shared_experts", 0)
    f.ignore(("attention_chunk_size", "attention_projection_layout", "hybrid_block_size"))
    pattern = f.numbers("hybrid_layer_pattern", layers)
    types = f.words("layer_types", layers, (FULL, NEAR))
    if types is None and pattern is None:
        raise InputError("config.json: hybrid_layer_pattern", None, "0 or 1 for each layer, or layer_types")
    near = types.count(NEAR) if types else sum(map(bool, pattern or []))
    window = f.size("sliding_window")
    if f.get("sliding_window_size") is not None:
        window = f.size("sliding_window_size") + 1  # so many before, and itself
    heads, kv = (
        f.size("swa_num_attention_heads", default=s.heads),
        f.size("swa_num_key_value_heads", default=2 * s.kv_heads),
    )
    dim, value = f.size("swa_head_dim", default=s.head_dim), f.size("swa_v_head_dim", default=value_dim)
    divides("swa_num_key_value_heads", kv, "swa_num_attention_heads", heads)
    sinks = f.flag("add_swa_attention_sink_bias", True), f.flag("add_full_attention_sink_bias", False)
    norms = 2 * s.hidden
    mixers = (
        Attention(layers - near, s.heads, s.kv_heads, s.head_dim, value_dim, vectors=norms + s.heads * sinks[1]),
        Attention(near, heads, kv, dim, value, window, vectors=norms + heads * sinks[0]),
    )
    freq, kinds = f.numbers("moe_layer_freq", layers), f.words("mlp_layer_types", layers, ("dense", "sparse"))
    count = kinds.count("sparse") if kinds else sum(map(bool, freq)) if freq else layers - 1
    e = read_experts(f, ExpertFields("n_routed_experts", "num_experts_per_tok", "moe_intermediate_size"), layers)
    dense = Feedforward(layers - count, f.size("intermediate_size"))
    return _assemble(f, s, mixers, (dense, routed(count, e, correction=True)))


def _step(f: Fields, family: Family) -> Model:
    """Read Step 3.5 and 3.7: near layers with more heads, a gate of each head, experts."""
    names = {
        "kv_heads": ["num_key_value_heads", "num_attention_groups"],
        "context": ["max_position_embeddings", "max_seq_len"],
    }
    s = read_sizes(f, replace(family, names=names, head_dim=128))
    for name in ("attention_bias", "mlp_bias"):
        f.only(name, False)
    for name in ("gating", "use_head_wise_attn_gate", "use_qk_norm"):
        f.only(name, True)
    layers, further = s.layers, f.size("num_nextn_predict_layers", default=0, least=0)
    given = f.get("layer_types")
    length = layers + further if isinstance(given, list) and len(given) == layers + further else layers
    types = (f.words("layer_types", length, (FULL, NEAR)) or [FULL] * layers)[:layers]
    count = _step_experts(f, layers)
    names_of = ExpertFields(
        ["num_experts", "n_routed_experts", "moe_num_experts", "num_local_experts"],
        ["num_experts_per_tok", "moe_top_k"], "moe_intermediate_size", shared="share_expert_dim",
    )  # fmt: skip
    e = read_experts(f, names_of, layers)
    mlps = (Feedforward(layers - count, f.size("intermediate_size")), routed(count, e, correction=True))
    return _assemble(f, s, _step_attention(f, s, types.count(NEAR)), mlps)


def _step_attention(f: Fields, s: Sizes, near: int) -> tuple[Attention, ...]:
    """Read Step's attention: as everywhere, and with heads of its own in the layers that have a window."""
    window = f.size("sliding_window", default=0, least=0)
    if bool(near) != bool(window):
        raise InputError("config.json: sliding_window", window or None, "a number if layer_types has near layers")
    own, other = _override(f), f.inner("attention_other_setting")
    heads = f.size("num_sliding_attention_heads", default=s.heads)
    heads = own.size("num_attention_heads", default=heads) if own else heads
    if other is not None:
        heads = other.size("num_attention_heads", default=heads)
        for name in ("num_attention_groups", "num_key_value_heads"):
            other.only(name, s.kv_heads)
        other.only("head_dim", s.head_dim)
        other.only("attention_type", NEAR)
        other.finish()
    divides("num_attention_heads of near layers", s.kv_heads, "them", heads)
    found, norms = [], 2 * s.hidden + 2 * s.head_dim
    for layers, many, seen in ((s.layers - near, s.heads, 0), (near, heads, window)):
        gate = (Linear("wide", s.hidden, many, 1, "column"),)
        found.append(Attention(layers, many, s.kv_heads, s.head_dim, s.head_dim, seen, matrices=gate, vectors=norms))
    return tuple(found)


def _step3(f: Fields, family: Family) -> Model:
    """Read Step-3: queries through a narrow width that all heads share, one head of keys and values, experts."""
    names = {"kv_heads": ["num_attention_groups"], "context": ["max_seq_len"]}
    s = read_sizes(f, replace(family, names=names, head_dim="required"))
    shared, inside = f.size("share_q_dim"), s.heads * s.head_dim
    matrices = (
        Linear("qkv", s.hidden, shared + 2 * s.kv_heads * s.head_dim, 1, "replicated"),
        Linear("q_b", shared, inside, 1, "column"),
        Linear("o", inside, s.hidden, 1, "row"),
    )
    attention = Attention(
        s.layers, s.heads, s.kv_heads, s.head_dim, s.head_dim, matrices=matrices, whole=True,
        vectors=shared + 2 * s.hidden,
    )  # fmt: skip
    if f.get("moe_layers_enum") is None:
        raise InputError("config.json: moe_layers_enum", None, "numbers of layers (the field is missing)")
    count = _step_experts(f, s.layers)
    e = read_experts(
        f, ExpertFields("moe_num_experts", "moe_top_k", "moe_intermediate_size", "share_expert_dim"), s.layers
    )
    mlps = (Feedforward(s.layers - count, f.size("intermediate_size")), routed(count, e))
    return _assemble(f, s, (attention,), mlps)


def _step_experts(f: Fields, layers: int) -> int:
    """Count Step's layers of experts: listed by kind or by number, or all but the first three."""
    listed = f.get("moe_layers_enum")
    given = f.get("mlp_layer_types")
    first = f.size("first_k_dense_replace", default=3, least=0)
    at_most("first_k_dense_replace", first, "num_hidden_layers", layers)
    if isinstance(given, list):
        return f.words("mlp_layer_types", len(given), ("dense", "sparse"))[:layers].count("sparse")  # type: ignore[index]
    if listed is None:
        return layers - first
    parts = listed.split(",") if isinstance(listed, str) else listed
    try:
        return len({int(part) for part in parts if str(part).strip() and int(part) < layers})
    except (TypeError, ValueError):
        raise InputError("config.json: moe_layers_enum", listed, "numbers of layers") from None


def _minimax_m3(f: Fields, family: Family) -> Model:
    """Read MiniMax M3: blocks of keys that an indexer selects in some layers, dense layers before experts."""
    s = read_sizes(f, replace(family, head_dim="required"))
    f.only("use_qk_norm", True)
    f.only("qk_norm_type", "per_head")
    freq = f.numbers("moe_layer_freq", s.layers)
    kinds = f.words("mlp_layer_types", s.layers, ("dense", "sparse"))
    count = kinds.count("sparse") if kinds else sum(map(bool, freq)) if freq else s.layers
    names = ExpertFields("num_local_experts", "num_experts_per_tok", "intermediate_size", "shared_intermediate_size")
    e = read_experts(f, names, s.layers)
    dense = Feedforward(s.layers - count, f.size("dense_intermediate_size", default=0 if count == s.layers else None))
    return _assemble(f, s, _block_attention(f, s), (dense, routed(count, e, correction=True)))


def _block_attention(f: Fields, s: Sizes) -> tuple[Attention, ...]:
    """Read attention to blocks of keys that an indexer selects, and the layers that have it."""
    sparse = f.inner("sparse_attention_config")
    old = ("sparse_num_index_heads", "sparse_index_dim", "sparse_block_size", "sparse_topk_blocks")
    new = ("index_n_heads", "index_head_dim", "index_block_size", "index_topk_blocks")
    read, names = (sparse, old) if sparse else (f, new)
    heads, dim, block, top = (read.size(n, default=d) for n, d in zip(names, (4, 128, 128, 16), strict=True))
    f.ignore((*new, "index_local_blocks"))
    types = f.words("layer_types", s.layers, (FULL, "minimax_m3_sparse"))
    freq = sparse.numbers("sparse_attention_freq", s.layers) if sparse else None
    count = types.count("minimax_m3_sparse") if types else sum(map(bool, freq)) if freq else 0
    if sparse:
        sparse.ignore(("use_sparse_attention", "sparse_disable_index_value", "sparse_score_type", "sparse_init_block"))
        sparse.ignore(("sparse_local_block",))
        sparse.finish()
    norms = 2 * s.hidden + 2 * s.head_dim
    matrices = (Linear("index", s.hidden, (heads + 1) * dim, 1, "replicated"),)
    plain = Attention(s.layers - count, s.heads, s.kv_heads, s.head_dim, s.head_dim, vectors=norms)
    chosen = replace(
        plain, layers=count, index_heads=heads, index_dim=dim, selected=block * top, matrices=matrices,
        vectors=norms + 2 * dim,
    )  # fmt: skip
    return plain, chosen


def _mllama(f: Fields, family: Family) -> Model:
    """Read Llama 3.2 Vision's text model: some layers attend to the image alone and keep no cache of the text."""
    s = read_sizes(f, family)
    crossing = f.numbers("cross_attention_layers") or []
    at_most("cross_attention_layers", len(crossing), "num_hidden_layers", s.layers)
    norms = 2 * s.hidden
    own = Attention(s.layers - len(crossing), s.heads, s.kv_heads, s.head_dim, s.head_dim, vectors=norms)
    cross = replace(own, layers=len(crossing), cached=False, vectors=norms + 2 * s.head_dim + 2)
    mlp = Feedforward(s.layers, f.size("intermediate_size"))
    return _assemble(f, s, (own, cross), (mlp,), other=8 * s.hidden)  # eight further rows of the embedding


def _searched(f: Fields, family: Family) -> Model:
    """Read Nemotron's models of searched layers: each has an attention and an MLP of its own, or none."""
    layers, hidden, heads = (f.size(n) for n in ("num_hidden_layers", "hidden_size", "num_attention_heads"))
    divides("num_attention_heads", heads, "hidden_size", hidden)
    for name in ("attention_bias", "mlp_bias"):
        f.only(name, False)
    f.ignore(("num_key_value_heads", "intermediate_size", "num_key_value_heads_per_layer", "sliding_window"))
    blocks = f.get("block_configs")
    if not isinstance(blocks, list) or len(blocks) != layers:
        raise InputError("config.json: block_configs", blocks, f"a list of {layers} blocks")
    dim = hidden // heads
    groups: Counter[int] = Counter()
    mixing: Counter[int] = Counter()
    widths: Counter[int] = Counter()
    for block in blocks:
        kv, linear = _searched_attention(block, heads)
        groups[kv] += 1
        mixing[linear] += 1
        widths[_searched_width(block, hidden)] += 1
    kept = {kv: n for kv, n in sorted(groups.items()) if kv}
    mixers = tuple(Attention(n, heads, kv, dim, dim, vectors=hidden) for kv, n in kept.items())
    straight = (Linear("mixer_in", hidden, hidden, 1, "column"),)
    replaced = tuple(Feedforward(n, matrices=straight, vectors=hidden) for linear, n in mixing.items() if linear)
    mlps = tuple(
        Feedforward(n, width, vectors=hidden) if width > 0 else Feedforward(n, matrices=straight, vectors=hidden)
        for width, n in sorted(widths.items())
        if width
    )
    context = f.size("max_position_embeddings", default=0, least=0)
    s = Sizes(layers, hidden, heads, 1, dim, f.size("vocab_size"), context)
    return _assemble(f, s, mixers, (*replaced, *mlps))


def _searched_attention(block: object, heads: int) -> tuple[int, int]:
    """Return (key-value heads, 1 where one matrix replaces attention) of a searched block."""
    a = Fields(block).inner("attention") if isinstance(block, dict) else None
    if a is None:
        raise InputError("config.json: block_configs", block, "blocks with attention and ffn")
    none, linear = a.flag("no_op", False), a.flag("replace_with_linear", False)
    a.ignore(
        ("num_sink_tokens", "unshifted_sink", "use_prefill_window_in_sink_attention", "sparsify", "llama4", "mamba")
    )
    a.only("window_length", 0)
    group = a.size("n_heads_in_group", default=0 if none or linear else None)
    if group:
        divides("n_heads_in_group", group, "num_attention_heads", heads)
    return (0 if none or linear else heads // group), int(linear)


def _searched_width(block: dict[str, object], hidden: int) -> int:
    """Return the width of a searched block's MLP: 0 for none, -1 where one matrix replaces it."""
    ffn = Fields(block).inner("ffn")
    if ffn is None:
        raise InputError("config.json: block_configs", block, "blocks with attention and ffn")
    if ffn.flag("no_op", False):
        return 0
    if ffn.flag("replace_with_linear", False):
        return -1
    if ffn.get("intermediate_size") is not None:
        return ffn.size("intermediate_size")
    times = ffn.get("ffn_mult")
    if not isinstance(times, int | float) or not 0 < times < 100:
        raise InputError("config.json: ffn_mult", times, "a number between 0 and 100")
    width = int(2 * times * hidden / 3)
    return -(-width // 256) * 256


#: Readers of this module, by their names in the table of families.
READERS = {
    "llama4": _llama4,
    "gemma3n": _gemma3n,
    "gemma4": _gemma4,
    "mimo_v2": _mimo_v2,
    "step": _step,
    "step3": _step3,
    "minimax_m3": _minimax_m3,
    "mllama": _mllama,
    "searched": _searched,
}
