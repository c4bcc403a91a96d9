"""A ``config.json`` read into a shape, family by family; what does not look like a decoder transformer is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hopperbook.errors import InputError
from hopperbook.models.shape import Model, precision_name

MAX_CONFIG_BYTES = 1_000_000
LLAMA_LIKE = (
    "llama",
    "mistral",
    "mixtral",
    "qwen2",
    "qwen3",
    "qwen3_moe",
    "gemma2",
    "gpt_oss",
    "llama4_text",
    "deepseek_v2",
    "deepseek_v3",
)
MOE_FIELDS = ("num_local_experts", "num_experts", "n_routed_experts")


def read_config(path: Path) -> dict[str, Any]:
    """Read a ``config.json`` with care: size, syntax and top-level type are checked.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    dict
        The configuration.

    Raises
    ------
    InputError
        If the file is too large, not JSON, or not an object.
    """
    try:
        if path.stat().st_size > MAX_CONFIG_BYTES:
            raise InputError("model", path.name, f"a config.json of at most {MAX_CONFIG_BYTES:,} bytes")
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise InputError("model", path.name, "a file that may be read") from None
    except (ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError("model", path.name, f"a JSON file ({str(error).splitlines()[0][:80]})") from None
    if not isinstance(config, dict):
        raise InputError("model", path.name, "a JSON object with the fields of a config.json")
    return config


def _size(config: dict[str, Any], *names: str, default: int | None = None, least: int = 1) -> int:
    for name in names:
        value = config.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= 20_000_000:
            raise InputError(f"config.json: {name}", value, f"a whole number from {least} to 20,000,000")
        return value
    if default is None:
        raise InputError("config.json: " + names[0], None, "a whole number (the field is missing)")
    return default


def from_config(config: dict[str, Any], name: str, source: str = "") -> Model:
    """Turn a ``config.json`` into a model.

    Parameters
    ----------
    config : dict
        The fields as published.
    name : str
        Label.
    source : str
        Key of ``data/references.bib`` or the file's name.

    Returns
    -------
    Model
        The shapes.

    Raises
    ------
    InputError
        If the architecture is not a decoder-only transformer, or a size is missing or absurd.

    Examples
    --------
    >>> tiny = {"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    ...         "intermediate_size": 256, "vocab_size": 1000}
    >>> from_config(tiny, "tiny").head_dim
    16
    """
    kind = str(config.get("model_type", ""))
    if config.get("is_encoder_decoder") or "vision_config" in config and "text_config" not in config:
        raise InputError("model", name, "a decoder-only transformer (this one has an encoder)")
    if "text_config" in config and isinstance(config["text_config"], dict):
        return from_config(config["text_config"], name, source)
    if kind == "gpt2":
        return _gpt2(config, name, source)
    if kind == "mpt":
        return _mpt(config, name, source)
    named = config.get("architectures")
    causal = any(str(a).endswith("ForCausalLM") for a in named) if isinstance(named, list) else False
    if kind not in LLAMA_LIKE and not causal:
        known = ", ".join((*LLAMA_LIKE, "gpt2", "mpt"))
        raise InputError("model", kind or name, f"a decoder-only transformer; model_type one of {known}")
    return _llama_like(config, kind, name, source)


def _llama_like(c: dict[str, Any], kind: str, name: str, source: str) -> Model:
    layers, hidden = _size(c, "num_hidden_layers"), _size(c, "hidden_size")
    heads = _size(c, "num_attention_heads")
    kv_heads = _size(c, "num_key_value_heads", default=heads)
    if heads % kv_heads:
        raise InputError("config.json: num_key_value_heads", kv_heads, f"a divisor of num_attention_heads ({heads})")
    mla = c.get("kv_lora_rank") is not None
    rope_dim = _size(c, "qk_rope_head_dim") if mla else 0
    head_dim = _size(c, "qk_nope_head_dim") + rope_dim if mla else _size(c, "head_dim", default=max(1, hidden // heads))
    experts = _size(c, *MOE_FIELDS, default=0, least=0)
    expert_ffn = _size(c, "moe_intermediate_size", "intermediate_size") if experts else 0
    shared = _size(c, "n_shared_experts", default=int(kind == "llama4_text"), least=0) * expert_ffn
    if experts and c.get("shared_expert_intermediate_size"):
        shared = _size(c, "shared_expert_intermediate_size")
    window, window_layers = _window(c, kind, layers)
    precision, moe_precision = _precisions(c)
    gpt_oss, bias = kind == "gpt_oss", bool(c.get("attention_bias", kind in ("qwen2", "gpt_oss")))
    return Model(
        name=name,
        layers=layers,
        hidden=hidden,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        ffn=_size(c, "intermediate_size_mlp", "intermediate_size"),
        vocab=_size(c, "vocab_size"),
        tied_embeddings=bool(c.get("tie_word_embeddings", kind == "gemma2")),
        qkv_bias=bias,
        o_bias=bias and kind != "qwen2",
        mlp_bias=bool(c.get("mlp_bias", gpt_oss)),
        norms_per_layer=4 if kind == "gemma2" else 2,
        qk_norm=kind in ("qwen3", "qwen3_moe"),
        window=window,
        window_layers=window_layers,
        experts=experts,
        experts_per_token=_size(c, "num_experts_per_tok", "experts_per_token") if experts else 0,
        expert_ffn=expert_ffn,
        shared_ffn=shared,
        dense_layers=_dense_layers(c, layers) if experts else 0,
        router_bias=gpt_oss or c.get("topk_method") == "noaux_tc",
        sinks=gpt_oss,
        q_rank=_size(c, "q_lora_rank", default=0) if mla else 0,
        kv_rank=_size(c, "kv_lora_rank") if mla else 0,
        rope_dim=rope_dim,
        value_dim=_size(c, "v_head_dim") if mla else 0,
        mtp_layers=_size(c, "num_nextn_predict_layers", default=0, least=0),
        precision=precision,
        moe_precision=moe_precision,
        context_limit=_size(c, "max_position_embeddings", default=0, least=0),
        source=source,
    )


def _dense_layers(c: dict[str, Any], layers: int) -> int:
    """Return how many layers hold no experts: the first few, or all but every n-th."""
    every = _size(c, "interleave_moe_layer_step", default=1)
    return _size(c, "first_k_dense_replace", default=0, least=0) + layers - layers // every


def _window(c: dict[str, Any], kind: str, layers: int) -> tuple[int, int]:
    """Return (tokens, layers) of sliding-window or chunked attention, as each family defines its layers."""
    if kind == "llama4_text":  # every fourth layer sees the whole context
        return _size(c, "attention_chunk_size"), layers - layers // 4
    window = _size(c, "sliding_window", default=0, least=0)
    if not window or c.get("use_sliding_window") is False:
        return 0, 0
    types = c.get("layer_types")
    if isinstance(types, list):
        count = sum(t == "sliding_attention" for t in types)
    elif kind in ("gemma2", "gpt_oss"):
        count = (layers + 1) // 2
    else:
        count = layers
    return (window, count) if count else (0, 0)


def _precisions(c: dict[str, Any]) -> tuple[str, str]:
    """Return (linear layers, experts) formats of the checkpoint."""
    base = str(c.get("torch_dtype") or c.get("dtype") or "bf16")
    base = precision_name("fp16" if base == "float16" else "fp32" if base == "float32" else "bf16")
    quantisation = c.get("quantization_config")
    if not isinstance(quantisation, dict):
        return base, base
    method = str(quantisation.get("quant_method", ""))
    if method == "mxfp4":
        return base, "mxfp4"
    if method == "fp8":
        both = "fp8_block" if quantisation.get("weight_block_size") else "fp8"
        return both, both
    if method in ("awq", "gptq"):
        return "int4", "int4"
    return base, base


def _gpt2(c: dict[str, Any], name: str, source: str) -> Model:
    hidden, heads = _size(c, "n_embd"), _size(c, "n_head")
    return Model(
        name=name,
        layers=_size(c, "n_layer"),
        hidden=hidden,
        heads=heads,
        kv_heads=heads,
        head_dim=hidden // heads,
        ffn=_size(c, "n_inner", default=4 * hidden),
        vocab=_size(c, "vocab_size"),
        gated=False,
        tied_embeddings=True,
        qkv_bias=True,
        o_bias=True,
        mlp_bias=True,
        norm_bias=True,
        positions=_size(c, "n_positions"),
        context_limit=_size(c, "n_positions"),
        precision="fp16",
        moe_precision="fp16",
        source=source,
    )


def _mpt(c: dict[str, Any], name: str, source: str) -> Model:
    hidden, heads = _size(c, "d_model"), _size(c, "n_heads")
    bias = not c.get("no_bias", False)
    context = _size(c, "max_seq_len")
    return Model(
        name=name,
        layers=_size(c, "n_layers"),
        hidden=hidden,
        heads=heads,
        kv_heads=heads,
        head_dim=hidden // heads,
        ffn=_size(c, "expansion_ratio", default=4) * hidden,
        vocab=_size(c, "vocab_size"),
        gated=False,
        tied_embeddings=True,
        qkv_bias=bias,
        o_bias=bias,
        mlp_bias=bias,
        norm_bias=bias,
        positions=context if c.get("learned_pos_emb", True) else 0,
        context_limit=context,
        source=source,
    )
