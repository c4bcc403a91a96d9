"""Decoders whose layers are alike, but for a window and for experts: read by their row in the table of families."""

from __future__ import annotations

import re
from typing import NamedTuple

from hopperbook.errors import InputError
from hopperbook.models.families import ExpertFields, Family, Flag
from hopperbook.models.fields import Fields, at_most, divides
from hopperbook.models.shape import Model

FULL, NEAR = "full_attention", "sliding_attention"
_NAMES = {
    "layers": ["num_hidden_layers"],
    "hidden": ["hidden_size"],
    "heads": ["num_attention_heads"],
    "kv_heads": ["num_key_value_heads"],
    "head_dim": ["head_dim"],
    "ffn": ["intermediate_size"],
    "vocab": ["vocab_size"],
    "context": ["max_position_embeddings"],
}


class Sizes(NamedTuple):
    """The sizes that every decoder with attention has."""

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    context: int


class Experts(NamedTuple):
    """The sizes of a family's experts, and how many layers hold them."""

    layers: int = 0
    number: int = 0
    per_token: int = 0
    width: int = 0
    shared: int = 0


def _size_of(f: Fields, family: Family, what: str, default: int | None = None, least: int = 1) -> int:
    """Read one of the usual sizes under the names that a family gives it."""
    names = family.names.get(what, _NAMES[what])
    if "_nested" in f.config:
        default = family.sizes.get(names[0], default)
    return f.size(*names, default=default, least=least)


def _flag_of(f: Fields, flag: Flag) -> bool:
    """Read a yes or no that a family fixes or takes from a field."""
    if isinstance(flag, bool):
        return flag
    name, _, default = flag.partition("=")
    return f.flag(name, default == "true")


def read_sizes(f: Fields, family: Family) -> Sizes:
    """Read the sizes of a decoder with attention and check them against each other.

    Parameters
    ----------
    f : Fields
        The config.
    family : Family
        How it is read.

    Returns
    -------
    Sizes
        Layers, width, heads, vocabulary, context.

    Examples
    --------
    >>> from hopperbook.models.families import family
    >>> tiny = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 1000}
    >>> read_sizes(Fields(tiny), family("llama")).head_dim
    16
    """
    layers, hidden, heads = (_size_of(f, family, what) for what in ("layers", "hidden", "heads"))
    kv_heads = _kv_heads(f, family, heads)
    head_names = family.names.get("heads", _NAMES["heads"])
    divides((family.names.get("kv_heads") or _NAMES["kv_heads"])[0], kv_heads, head_names[0], heads)
    if family.head_dim == "split":
        head_dim = _size_of(f, family, "head_dim", default=0)
        if not head_dim:
            divides(head_names[0], heads, "hidden_size, since no head_dim is given,", hidden)
            head_dim = hidden // heads
    else:
        head_dim = _size_of(f, family, "head_dim", family.head_dim if isinstance(family.head_dim, int) else None)
    vocab = _size_of(f, family, "vocab")
    return Sizes(layers, hidden, heads, kv_heads, head_dim, vocab, _size_of(f, family, "context", 0, 0))


def _kv_heads(f: Fields, family: Family, heads: int) -> int:
    rule = family.kv_heads
    if rule == "multi_query":
        return 1 if f.flag("multi_query", True) else heads
    if rule == "falcon":
        new = f.flag("new_decoder_architecture", False)
        asked = _size_of(f, family, "kv_heads", None if new else heads)
        f.ignore(("multi_query",))
        if new:
            return asked
        return 1 if f.flag("multi_query", True) else heads
    return _size_of(f, family, "kv_heads", heads if rule == "heads" else rule if isinstance(rule, int) else None)


def _version(f: Fields) -> float:
    """Return the version of transformers that wrote a config, such as 4.31; 0 where it does not say."""
    numbers = re.match(r"\d+\.\d\d", str(f.config.get("transformers_version") or ""))
    return float(numbers[0]) if numbers else 0.0


def read_window(f: Fields, family: Family, layers: int) -> tuple[int, int]:
    """Read (tokens, layers) of sliding windows as a family defines its layers.

    Parameters
    ----------
    f : Fields
        The config.
    family : Family
        How it is read.
    layers : int
        Layers of the model.

    Returns
    -------
    tuple of int
        (0, 0) where none slides.

    Examples
    --------
    >>> from hopperbook.models.families import family
    >>> read_window(Fields({"sliding_window": 4096}), family("gemma2"), 42)
    (4096, 21)
    """
    rule, _, rest = family.window.partition("=")
    if rule == "gpt_neo":
        return _local_layers(f, layers)
    types = f.words("layer_types", layers, (FULL, NEAR))
    if rule == "none":
        if types and NEAR in types:
            raise InputError("config.json: layer_types", NEAR, f"{FULL} alone in {family.kind or 'this family'}")
        return 0, 0
    window = f.size("sliding_window", default=family.sizes.get("sliding_window", 0), least=0)
    used = f.flag("use_sliding_window", rule not in ("if_used", "max_window_layers"))
    first = f.size("max_window_layers", default=0, least=0) if rule == "max_window_layers" else 0
    every = _pattern(f, rest) if rule == "every" else 0
    if not window or not used:
        return 0, 0
    if types is not None:
        count = types.count(NEAR)
    elif rule == "types":
        count = 0
    elif rule == "alternate":
        count = (layers + 1) // 2
    elif rule == "every":
        count = layers - layers // every if every else 0
    else:
        count = max(0, layers - first)
    return (window, count) if count else (0, 0)


def _pattern(f: Fields, rest: str) -> int:
    """Return n where all but each n-th layer slide; 0 where none does."""
    name, _, default = rest.partition("=")
    value = None if name == "none" else f.get(name)
    if isinstance(value, str):
        if not value or set(value[:-1]) - {"L"} or value[-1] != "G":
            raise InputError(f"config.json: {name}", value, "letters L, and a G at the end")
        return len(value)
    return int(default) if name == "none" else f.size(name, default=int(default), least=0)


def _local_layers(f: Fields, layers: int) -> tuple[int, int]:
    """Read GPT-Neo's list of global and local layers."""
    kinds = f.get("attention_types")
    f.ignore(["attention_layers"])
    try:
        found = [kind for block, times in kinds for _ in range(times) for kind in block]
    except (TypeError, ValueError):
        raise InputError("config.json: attention_types", kinds, "a list of [kinds of layers, times]") from None
    if len(found) != layers or set(found) - {"global", "local"}:
        raise InputError("config.json: attention_types", kinds, f"global and local for each of {layers} layers")
    return f.size("window_size"), found.count("local")


def read_experts(f: Fields, e: ExpertFields | None, layers: int) -> Experts:
    """Read the sizes of experts and the layers that hold them.

    Parameters
    ----------
    f : Fields
        The config.
    e : ExpertFields or None
        Where the family keeps them.
    layers : int
        Layers of the model.

    Returns
    -------
    Experts
        All 0 where there are none.

    Examples
    --------
    >>> from hopperbook.models.families import family
    >>> mixtral = {"num_local_experts": 8, "num_experts_per_tok": 2, "intermediate_size": 14336}
    >>> read_experts(Fields(mixtral), family("mixtral").experts, 32)
    Experts(layers=32, number=8, per_token=2, width=14336, shared=0)
    """
    if e is None:
        return Experts()
    count, asked = _number(f, e.num), [e.per_token] if isinstance(e.per_token, str) else e.per_token
    names = [name.partition("=")[0] for name in asked]
    if not count:
        f.only(names[0], 0)  # experts a token, but none in all
        return Experts()
    per_token = _number(f, names)
    width = _number(f, e.width)
    at_most(names[0], per_token, "the number of experts", count)
    shared = _number(f, e.shared, least=0) if e.shared else 0
    if e.shared_count:
        shared = width * _number(f, e.shared_count, least=0)
    return Experts(_expert_layers(f, e.layers, layers), count, per_token, width, shared)


def _number(f: Fields, names: str | list[str], least: int = 1) -> int:
    """Read a number under one of some names, ``name=default`` if it may be missing; a list of one value is it."""
    first = [names] if isinstance(names, str) else names
    plain = [name.partition("=")[0] for name in first]
    for name in plain:
        value = f.config.get(name)
        if isinstance(value, list) and value and all(v == value[0] for v in value):
            f.config = f.config | {name: value[0]}
    default = first[0].partition("=")[2]
    return f.size(*plain, default=int(default) if default else None, least=0 if default == "0" else least)


def _expert_layers(f: Fields, rule: str, layers: int) -> int:
    """Count the layers that hold experts."""
    if rule == "first_dense":
        f.only("moe_layer_freq", 1)
        first = f.size("first_k_dense_replace", least=0)
        at_most("first_k_dense_replace", first, "num_hidden_layers", layers)
        return layers - first
    if rule == "types_or_first":
        types = f.words("mlp_layer_types", layers, ("dense", "sparse"))
        first = f.size("first_k_dense_replace", default=1 if types is None else 0, least=0)
        at_most("first_k_dense_replace", first, "num_hidden_layers", layers)
        return layers - first if types is None else types.count("sparse")
    if rule == "sparse_step":
        dense, step = f.numbers("mlp_only_layers") or [], f.size("decoder_sparse_step", default=1)
        return sum((i + 1) % step == 0 and i not in dense for i in range(layers))
    if rule == "ernie":
        start, step = f.size("moe_layer_start_index", default=1, least=0), f.size("moe_layer_interval", default=1)
        end = f.get("moe_layer_end_index")
        last = layers - 1 if end in (None, -1) else f.size("moe_layer_end_index", least=0)
        at_most("moe_layer_end_index", last, "the last layer", layers - 1)
        return sum((i + 1) % step == 0 and start <= i <= last for i in range(layers))
    return layers


def plain(f: Fields, family: Family) -> Model:
    """Read a decoder whose layers are alike by its row in the table.

    Parameters
    ----------
    f : Fields
        The config.
    family : Family
        How it is read.

    Returns
    -------
    Model
        The shape, without a name.

    Raises
    ------
    InputError
        If a size is missing, absurd, or contradicts another.

    Examples
    --------
    >>> from hopperbook.models.families import family
    >>> tiny = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 1000}
    >>> plain(Fields(tiny | {"intermediate_size": 256}), family("llama")).kv_heads
    4
    """
    _checks(f, family)
    s = read_sizes(f, family)
    experts = read_experts(f, family.experts, s.layers)
    window, window_layers = read_window(f, family, s.layers)
    every = experts.layers == s.layers
    ffn = _size_of(f, family, "ffn", family.ffn_times * s.hidden if family.ffn_times else 0 if every else None)
    norms, qk_norm = _norms(f, family), _qk_norm(f, family, s)
    other = s.vocab * _flag_of(f, family.head_bias) + 2 * s.hidden * family.embedding_norm
    e = family.experts or ExpertFields("", "", "")
    return Model(
        name="",
        layers=s.layers,
        hidden=s.hidden,
        heads=s.heads,
        kv_heads=s.kv_heads,
        head_dim=s.head_dim,
        ffn=ffn // 2 if family.halved else ffn,
        vocab=s.vocab,
        gated=family.gated,
        tied_embeddings=f.flag("tie_word_embeddings", family.tied),
        qkv_bias=_flag_of(f, family.qkv_bias),
        o_bias=_flag_of(f, family.o_bias),
        mlp_bias=e.bias or _flag_of(f, family.mlp_bias),
        norm_bias=family.norm_bias,
        norms_per_layer=norms,
        final_norm=family.final_norm,
        qk_norm=qk_norm,
        positions=0 if family.positions is None else _size_of(f, family, "context") + family.positions,
        window=window,
        window_layers=window_layers,
        experts=experts.number,
        experts_per_token=experts.per_token,
        expert_ffn=experts.width,
        shared_ffn=experts.shared,
        dense_layers=s.layers - experts.layers if experts.number else 0,
        shared_gate=e.shared_gate,
        router_bias=e.router_bias,
        router_correction=e.correction,
        sinks=family.sinks,
        mtp_layers=f.size("num_nextn_predict_layers", default=0, least=0),
        context_limit=s.context,
        other=other,
    )


def _checks(f: Fields, family: Family) -> None:
    """Refuse what a family's row says is not understood; mark what changes no size."""
    for name, since in family.written.items():
        if name not in f.config and ("_nested" in f.config or since <= _version(f) < 5):
            raise InputError(
                f"config.json: {name}", None, "a value (the field is missing; files of its version have it)"
            )
    for name, values in family.refuses.items():
        f.only(name, *values)
    for name, other in family.same_as.items():
        value, wanted = f.get(name), f.config.get(other) if isinstance(other, str) else other
        values = value if isinstance(value, list) else [value]
        if any(v is not None and v != wanted for v in values):
            raise InputError(f"config.json: {name}", value, f"{wanted}, since another is not counted")
    if family.all_ones and any(v != 1 for v in f.numbers(family.all_ones) or []):
        raise InputError(f"config.json: {family.all_ones}", f.get(family.all_ones), "1 for every layer")
    f.ignore(family.ignore)


def _norms(f: Fields, family: Family) -> int:
    if family.norms != "falcon":
        return int(family.norms)
    parallel, new = f.flag("parallel_attn", True), f.flag("new_decoder_architecture", False)
    if not parallel:
        return 2
    return f.size("num_ln_in_parallel_attn", default=2 if new else 1)


def _qk_norm(f: Fields, family: Family, s: Sizes) -> int:
    """Count the values of the norms on queries and keys of a layer."""
    flag, _, kind = family.qk_norm.rpartition("=")
    if flag and not _flag_of(f, flag):
        return 0
    wide = (s.heads + s.kv_heads) * s.head_dim
    return {"none": 0, "head": 2 * s.head_dim, "wide": wide, "heads": wide}[kind]
