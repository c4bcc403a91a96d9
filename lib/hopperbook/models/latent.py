"""Latent and sparse attention: DeepSeek V2 to V4 and those that follow them."""

from __future__ import annotations

from dataclasses import replace

from hopperbook.errors import InputError
from hopperbook.models.families import ExpertFields, Family
from hopperbook.models.fields import Fields, at_most, divides
from hopperbook.models.layers import Attention, Feedforward, Linear
from hopperbook.models.plain import Experts, read_experts
from hopperbook.models.shape import Model

_EXPERTS = ExpertFields(
    "n_routed_experts", "num_experts_per_tok", "moe_intermediate_size", shared_count="n_shared_experts"
)
#: Tokens that one compressed entry of V4 stands for, by kind of layer.
_RATIOS = {"sliding_attention": 0, "compressed_sparse_attention": 4, "heavily_compressed_attention": 128}
#: Rank of queries that each family's code takes where the field is missing.
_Q_RANK = {"glm_moe_dsa": 2048, "glm4_moe_lite": 768, "mistral4": 1024, "minicpm3": 768}
_Q_RANK |= {"deepseek_v2": 1536, "deepseek_v3": 1536, "kimi_k2": 1536, "deepseek_v32": 1536}
_IGNORED = ("num_key_value_heads", "head_dim", "qk_head_dim", "indexer_rope_interleave", "index_topk_pattern")


def latent_attention(f: Fields, layers: int, heads: int, q_rank: int = 0) -> Attention:
    """Read multi-head latent attention.

    Parameters
    ----------
    f : Fields
        The config.
    layers, heads : int
        Layers that have it, and heads of queries.
    q_rank : int
        Rank of the queries that the family's code takes where the field is missing; null means none.

    Returns
    -------
    Attention
        Without the norms of the layer.

    Examples
    --------
    >>> widths = {"kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128}
    >>> latent_attention(Fields(widths | {"q_lora_rank": 1536}), 61, 128).token_values
    576
    """
    rope, nope = f.size("qk_rope_head_dim", least=0), f.size("qk_nope_head_dim")
    q_rank = 0 if "q_lora_rank" in f.config and f.get("q_lora_rank") is None else f.size("q_lora_rank", default=q_rank)
    kv_rank = f.size("kv_lora_rank")
    f.ignore(_IGNORED)
    return Attention(
        layers, heads, heads, nope + rope, f.size("v_head_dim"), q_rank=q_rank, kv_rank=kv_rank, rope_dim=rope,
        vectors=q_rank + kv_rank,
    )  # fmt: skip


def _latent(f: Fields, family: Family) -> Model:
    """Read a decoder with latent attention, experts, and perhaps an indexer that selects keys."""
    layers, hidden, heads = (f.size(n) for n in ("num_hidden_layers", "hidden_size", "num_attention_heads"))
    f.only("attention_bias", False)
    f.only("mlp_bias", False)
    a = latent_attention(f, layers, heads, _Q_RANK[family.kind])
    sparse = family.kind in ("deepseek_v32", "glm_moe_dsa")
    indexed = _indexed_layers(f, layers) if sparse else 0
    e = _read_experts(f, family, layers)
    model = Model(
        name="",
        layers=layers,
        hidden=hidden,
        heads=heads,
        kv_heads=heads,
        head_dim=a.head_dim,
        ffn=f.size("intermediate_size", default=0 if e.layers == layers else None),
        vocab=f.size("vocab_size"),
        tied_embeddings=f.flag("tie_word_embeddings", family.kind == "minicpm3"),
        experts=e.number,
        experts_per_token=e.per_token,
        expert_ffn=e.width,
        shared_ffn=e.shared,
        dense_layers=layers - e.layers if e.number else 0,
        router_correction=family.kind not in ("deepseek_v2", "minicpm3"),
        q_rank=a.q_rank,
        kv_rank=a.kv_rank,
        rope_dim=a.rope_dim,
        value_dim=a.value_dim,
        mtp_layers=f.size("num_nextn_predict_layers", default=0, least=0),
        context_limit=f.size("max_position_embeddings", default=0, least=0),
    )
    return _with_indexer(f, model, indexed) if sparse else model


def _read_experts(f: Fields, family: Family, layers: int) -> Experts:
    """Read the experts of a family: none, all but the first layers', or those that a list names."""
    if family.kind == "minicpm3":
        return Experts()
    default = {"mistral4": 0, "glm4_moe_lite": 1}.get(family.kind)
    e = read_experts(f, _EXPERTS, layers)
    types = f.words("mlp_layer_types", layers, ("dense", "sparse"))
    first = f.size("first_k_dense_replace", default=0 if types else default, least=0)
    every = f.size("moe_layer_freq", default=1)
    at_most("first_k_dense_replace", first, "num_hidden_layers", layers)
    if types is not None:
        return e._replace(layers=types.count("sparse"))
    return e._replace(layers=sum(i >= first and i % every == 0 for i in range(layers)))


def _indexed_layers(f: Fields, layers: int) -> int:
    """Count the layers that hold an indexer of their own: all, or those that do not reuse the one before."""
    f.words("layer_types", layers, ("indexed_attention",))
    types = f.words("indexer_types", layers, ("full", "shared"))
    every, offset = f.size("index_topk_freq", default=1), f.size("index_skip_topk_offset", default=2, least=0)
    pattern = f.get("index_topk_pattern")
    if types is not None:
        return types.count("full")
    if pattern is not None:
        if not isinstance(pattern, str) or len(pattern) != layers or set(pattern) - set("FS"):
            raise InputError("config.json: index_topk_pattern", pattern, f"{layers} letters F or S")
        return pattern.count("F")
    return sum(max(i - offset + 1, 0) % every == 0 for i in range(layers))


def _with_indexer(f: Fields, model: Model, indexed: int) -> Model:
    """Add the indexer of DeepSeek sparse attention: its matrices, and one key a token in the cache."""
    heads, width, selected = f.size("index_n_heads"), f.size("index_head_dim"), f.size("index_topk")
    whole = model.attentions[0]
    matrices = (
        Linear("index", model.q_rank or model.hidden, heads * width, 1, "replicated"),
        Linear("index", model.hidden, width, 1, "replicated"),
        Linear("wide", model.hidden, heads, 1, "replicated"),
    )
    own = replace(
        whole, layers=indexed, index_heads=heads, index_dim=width, selected=selected, matrices=matrices,
        vectors=whole.vectors + 2 * width,
    )  # fmt: skip
    reusing = replace(whole, layers=model.layers - indexed, selected=selected)
    mixers = tuple(a for a in (own, reusing) if a.layers)
    return replace(model, own_mixers=mixers, own_mlps=model.mlps)


def _compressed(f: Fields, family: Family) -> Model:
    """Read DeepSeek V4: one key for all heads, a near window, and compressed entries, some of them selected."""
    layers, hidden, heads = (f.size(n) for n in ("num_hidden_layers", "hidden_size", "num_attention_heads"))
    f.only("num_key_value_heads", 1)
    for name in ("attention_bias", "mlp_bias"):
        f.only(name, False)
    f.ignore(("qk_rope_head_dim", "intermediate_size"))  # a part of head_dim, and no width of its own
    streams, width, vocab = f.size("hc_mult", default=4), f.size("head_dim"), f.size("vocab_size")
    near = _near_attention(f, hidden, heads, width, streams)
    mixers = tuple(_compressing(f, near, every, count, hidden) for every, count in _ratios(f, layers).items())
    e = read_experts(f, _EXPERTS, layers)
    hashed = f.size("num_hash_layers", default=3, least=0)
    kinds = f.words("mlp_layer_types", layers, ("hash_moe", "moe"))
    hashed = kinds.count("hash_moe") if kinds else hashed
    at_most("num_hash_layers", hashed, "num_hidden_layers", layers)
    routed = Feedforward(
        layers - hashed, experts=e.number, experts_per_token=e.per_token, expert_ffn=e.width, shared_ffn=e.shared,
        vectors=hidden + _stream_values(streams, 0), matrices=(_streams(streams, hidden),), corrections=e.number,
    )  # fmt: skip
    by_token = replace(routed, layers=hashed, corrections=vocab * e.per_token)  # experts looked up by token
    return Model(
        name="", layers=layers, hidden=hidden, heads=heads, kv_heads=1, head_dim=width, ffn=0, vocab=vocab,
        tied_embeddings=f.flag("tie_word_embeddings", False), window=near.window, window_layers=layers,
        experts=e.number, experts_per_token=e.per_token, expert_ffn=e.width, shared_ffn=e.shared,
        mtp_layers=f.size("num_nextn_predict_layers", default=0, least=0),
        context_limit=f.size("max_position_embeddings", default=0, least=0), own_mixers=mixers,
        own_mlps=tuple(m for m in (by_token, routed) if m.layers), other=streams * streams * hidden + streams + 1,
    )  # fmt: skip


def _streams(streams: int, hidden: int) -> Linear:
    """Return the matrix that mixes the parallel residual streams before a layer's half."""
    return Linear("wide", streams * hidden, streams * (streams + 2), 1, "replicated")


def _stream_values(streams: int, further: int) -> int:
    """Return the small values beside it: a base of each entry and three scales."""
    return streams * (streams + 2) + 3 + further


def _near_attention(f: Fields, hidden: int, heads: int, width: int, streams: int) -> Attention:
    """Read the part of V4's attention that every layer has: a window over keys that are values too."""
    rank, out, groups = f.size("q_lora_rank"), f.size("o_lora_rank"), f.size("o_groups")
    divides("o_groups", groups, "num_attention_heads x head_dim", heads * width)
    matrices = (
        Linear("q_a", hidden, rank, 1, "replicated"),
        Linear("q_b", rank, heads * width, 1, "column"),
        Linear("kv_a", hidden, width, 1, "replicated"),
        Linear("o_a", heads * width // groups, groups * out, 1, "column"),
        Linear("o", groups * out, hidden, 1, "row"),
        _streams(streams, hidden),
    )
    vectors = rank + width + heads + hidden + _stream_values(streams, 0)
    window = f.size("sliding_window", default=128)
    return Attention(1, heads, 1, width, width, window, entry=width, matrices=matrices, whole=True, vectors=vectors)


def _ratios(f: Fields, layers: int) -> dict[int, int]:
    """Count the layers by the tokens that one compressed entry stands for; 0 for those with a window alone."""
    types = f.words("layer_types", layers, _RATIOS)
    ratios = f.numbers("compress_ratios")
    f.only("compress_rates", {"compressed_sparse_attention": 4, "heavily_compressed_attention": 128})
    if types is not None:
        ratios = [_RATIOS[kind] for kind in types]
    if ratios is None or len(ratios) < layers or set(ratios) - set(_RATIOS.values()):
        raise InputError("config.json: compress_ratios", ratios, f"0, 4 or 128 for each of {layers} layers")
    return {every: ratios[:layers].count(every) for every in sorted(set(ratios[:layers]))}


def _compressing(f: Fields, near: Attention, every: int, layers: int, hidden: int) -> Attention:
    """Add what writes, and selects, one entry for every few tokens."""
    heads, index, selected = f.size("index_n_heads"), f.size("index_head_dim"), f.size("index_topk")
    width, rank = near.head_dim, f.size("q_lora_rank")
    if not every:
        return replace(near, layers=layers)
    parts = 2 if every == 4 else 1  # overlapping blocks have two halves
    matrices = [Linear("wide", hidden, parts * width, 1, "replicated")] * 2
    vectors = every * parts * width + width
    if every != 4:
        return replace(
            near, layers=layers, every=every, matrices=(*near.matrices, *matrices), vectors=near.vectors + vectors
        )
    matrices += [Linear("wide", hidden, parts * index, 1, "replicated")] * 2
    matrices += [Linear("index", rank, heads * index, 1, "replicated"), Linear("wide", hidden, heads, 1, "replicated")]
    vectors += every * parts * index + index
    return replace(
        near, layers=layers, every=every, selected=selected, index_heads=heads, index_dim=index,
        matrices=(*near.matrices, *matrices), vectors=near.vectors + vectors,
    )  # fmt: skip


#: Readers of this module, by their names in the table of families.
READERS = {
    "latent": _latent,
    "compressed": _compressed,
}
