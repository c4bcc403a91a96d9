"""Decoders whose sizes stand under names of their own: MPT and DBRX."""

from __future__ import annotations

from hopperbook.errors import InputError
from hopperbook.models.families import Family
from hopperbook.models.fields import Fields, at_most, divides
from hopperbook.models.shape import Model


def _mpt(f: Fields, family: Family) -> Model:
    """Read MPT: a GPT with tied embeddings, and biases unless the config says not."""
    hidden, heads = f.size("d_model"), f.size("n_heads")
    divides("n_heads", heads, "d_model", hidden)
    bias, context = not f.flag("no_bias", False), f.size("max_seq_len")
    times = f.get("expansion_ratio")
    if times is not None and not (isinstance(times, int) and not isinstance(times, bool) and 1 <= times <= 64):
        raise InputError("config.json: expansion_ratio", times, "a whole number from 1 to 64")
    f.ignore(("embedding_fraction", "fc_type", "tie_word_embeddings", "norm_type", "verbose", "ffn_hidden_size"))
    inner = f.inner("attn_config")
    kv_heads, turned = heads, False
    if inner is not None:
        kind = str(inner.get("attn_type") or "multihead_attention")
        if kind not in ("multihead_attention", "multiquery_attention", "grouped_query_attention"):
            raise InputError(
                "config.json: attn_type", kind, "multihead_attention, multiquery_attention or grouped_query_attention"
            )
        asked = inner.size("kv_n_heads", default=heads)
        kv_heads = {"multihead_attention": heads, "multiquery_attention": 1}.get(kind, asked)
        divides("kv_n_heads", kv_heads, "n_heads", heads)
        inner.only("qk_ln", False)
        turned = inner.flag("alibi", False) or inner.flag("rope", False)  # then there is no table of positions
    ffn = f.inner("ffn_config")
    if ffn is not None:
        ffn.only("ffn_type", "mptmlp")
    return Model(
        name="",
        layers=f.size("n_layers"),
        hidden=hidden,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=hidden // heads,
        ffn=(4 if times is None else times) * hidden,
        vocab=f.size("vocab_size"),
        gated=False,
        tied_embeddings=True,
        qkv_bias=bias,
        o_bias=bias,
        mlp_bias=bias,
        norm_bias=bias,
        positions=context if f.flag("learned_pos_emb", True) and not turned else 0,
        context_limit=context,
    )


def _dbrx(f: Fields, family: Family) -> Model:
    """Read DBRX: grouped attention and fine-grained experts, sizes in two inner objects."""
    hidden, heads = f.size("d_model", "hidden_size"), f.size("n_heads", "num_attention_heads")
    attention, ffn = f.inner("attn_config"), f.inner("ffn_config")
    if attention is None or ffn is None:
        raise InputError("config.json: ffn_config", None, "an object (as is attn_config)")
    divides("n_heads", heads, "d_model", hidden)
    kv_heads = attention.size("kv_n_heads")
    divides("kv_n_heads", kv_heads, "n_heads", heads)
    experts, per_token = ffn.size("moe_num_experts"), ffn.size("moe_top_k")
    at_most("moe_top_k", per_token, "moe_num_experts", experts)
    ffn.ignore(
        ("ffn_act_fn", "moe_normalize_expert_weights", "uniform_expert_assignment", "ffn_hidden_size", "hidden_size")
    )
    attention.finish()
    width = ffn.size("ffn_hidden_size")
    ffn.finish()
    context = f.size("max_seq_len", "max_position_embeddings", default=0)
    return Model(
        name="", layers=f.size("n_layers", "num_hidden_layers"), hidden=hidden, heads=heads,
        kv_heads=kv_heads, head_dim=hidden // heads, ffn=width, vocab=f.size("vocab_size"),
        tied_embeddings=f.flag("tie_word_embeddings", False), experts=experts,
        experts_per_token=per_token, expert_ffn=width, context_limit=context,
    )  # fmt: skip


#: Readers of this module, by their names in the table of families.
READERS = {
    "mpt": _mpt,
    "dbrx": _dbrx,
}
