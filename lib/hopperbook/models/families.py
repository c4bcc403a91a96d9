"""The table of families: what each model_type means by its fields (``data/model_families.yaml``)."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import cache

from hopperbook import facts

#: A yes or no, or the field that says so and what its absence means: ``attention_bias=false``.
Flag = bool | str


@dataclass(frozen=True)
class ExpertFields:
    """Where a family keeps the sizes of its experts; see the head of ``data/model_families.yaml``."""

    num: str | list[str]
    per_token: str | list[str]
    width: str
    shared: str = ""
    shared_count: str = ""
    shared_gate: bool = False
    layers: str = "all"
    router_bias: bool = False
    correction: bool = False
    bias: bool = False


@dataclass(frozen=True)
class Family:
    """How a family's fields are read; each key is explained at the head of ``data/model_families.yaml``."""

    kind: str
    reader: str = "plain"
    names: dict[str, list[str]] = field(default_factory=dict)
    kv_heads: str | int = "required"
    head_dim: str | int = "split"
    sizes: dict[str, int] = field(default_factory=dict)
    tied: bool = False
    needs: list[str] = field(default_factory=list)
    written: dict[str, float] = field(default_factory=dict)
    gated: bool = True
    qkv_bias: Flag = False
    o_bias: Flag = False
    mlp_bias: Flag = False
    head_bias: Flag = False
    norm_bias: bool = False
    norms: int | str = 2
    final_norm: bool = True
    embedding_norm: bool = False
    qk_norm: str = "none"
    window: str = "none"
    ffn_times: int | None = None
    positions: int | None = None
    experts: ExpertFields | None = None
    sinks: bool = False
    halved: bool = False
    refuses: dict[str, list[bool | int | str]] = field(default_factory=dict)
    same_as: dict[str, str | int] = field(default_factory=dict)
    all_ones: str = ""
    ignore: list[str] = field(default_factory=list)
    remote: bool = False


@cache
def family(kind: str) -> Family | None:
    """Return how a model_type is read, or None where it is not known.

    Parameters
    ----------
    kind : str
        The ``model_type`` of a ``config.json``.

    Returns
    -------
    Family or None
        Its row of ``data/model_families.yaml``, with those that it is like.

    Examples
    --------
    >>> family("gemma3_text").norms, family("rwkv5")
    (4, None)
    """
    table = facts.read_yaml("model_families.yaml")
    if kind not in table["families"]:
        return None
    row = dict(table["families"][kind])
    like = row.pop("like", None)
    while like:
        parent = dict(table["families"][like])
        like = parent.pop("like", None)
        row = parent | row
    experts = row.pop("experts", None)
    return Family(kind, experts=ExpertFields(**experts) if experts else None, **row)


@cache
def known_kinds() -> tuple[str, ...]:
    """Return every model_type that is read.

    Returns
    -------
    tuple of str
        In the order of the table.

    Examples
    --------
    >>> "llama" in known_kinds(), len(known_kinds()) > 80
    (True, True)
    """
    return tuple(facts.read_yaml("model_families.yaml")["families"])


def why_unread(kind: str) -> str | None:
    """Return why a model_type that is known is not read, or None.

    Parameters
    ----------
    kind : str
        The ``model_type``.

    Returns
    -------
    str or None
        A clause.

    Examples
    --------
    >>> why_unread("rwkv5")
    "its layers are RWKV's, of which none is counted here"
    """
    return facts.read_yaml("model_families.yaml")["unread"].get(kind)


#: A model_type that the table lacks is read by these rules, where every field is understood.
UNKNOWN = Family("", kv_heads="required", needs=["tie_word_embeddings"], window="types", ignore=["max_window_layers"])
KEYS = tuple(f.name for f in fields(Family))
