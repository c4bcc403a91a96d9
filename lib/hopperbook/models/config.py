"""A ``config.json`` read into a shape, family by family; what is not understood is refused, never guessed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from hopperbook.errors import InputError
from hopperbook.models import encoders, hybrid, latent, layered, older
from hopperbook.models.checkpoint import stored_as
from hopperbook.models.families import UNKNOWN, Family, family, known_kinds, why_unread
from hopperbook.models.fields import Config, Fields
from hopperbook.models.plain import plain
from hopperbook.models.shape import Model
from hopperbook.models.vision import towers

MAX_CONFIG_BYTES = 20_000_000
#: Where files of several kinds of input keep the language model.
_TEXT = ("text_config", "language_config", "llm_config", "thinker_config")
_READERS: dict[str, Callable[[Fields, Family], Model]] = {
    "plain": plain,
    **latent.READERS,
    **layered.READERS,
    **hybrid.READERS,
    **older.READERS,
    **encoders.READERS,
}


def read_config(path: Path) -> Config:
    """Read a ``config.json`` with care: size, syntax and top-level type are checked.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    dict
        The configuration; what a file ``hf_quant_config.json`` beside it says is under ``_sidecar``.

    Raises
    ------
    InputError
        If the file is too large, not JSON, or not an object.

    Examples
    --------
    >>> from hopperbook import facts
    >>> read_config(facts.DATA / "models" / "Qwen--Qwen3-8B.json")["num_hidden_layers"]
    36
    """
    config = _json(path)
    beside = path.with_name("hf_quant_config.json")
    if path.name == "config.json" and beside.is_file():
        config = config | {"_sidecar": _json(beside)}
    return config


def _json(path: Path) -> Config:
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


def from_config(config: Config, name: str, source: str = "") -> Model:
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
        If the architecture is not a decoder-only model, a size is missing or absurd, sizes contradict each other, or a
        field stays unread that may change a size.

    Examples
    --------
    >>> tiny = {"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    ...         "intermediate_size": 256, "vocab_size": 1000}
    >>> from_config(tiny, "tiny").head_dim
    16
    """
    if config.get("is_encoder_decoder"):
        raise InputError("model", name, "a decoder-only model (this one has an encoder)")
    text = _text_of(config)
    for part in (config, text):
        if not isinstance(part.get("model_type"), str) or not part["model_type"]:
            raise InputError(
                "config.json: model_type", part.get("model_type"), "the name of a family (the field is missing)"
            )
    _no_other_quantisation(config, text)
    kind = str(text["model_type"])
    known = family(kind) or family(kind + "_text") if kind else None
    fields = Fields(text)
    if known is None:
        model = _unknown(fields, kind or name)
    else:
        _needed(fields, known)
        fields.ignore(known.ignore)
        model = _READERS[known.reader](fields, known)
        fields.finish(f"model_type {kind}")
    vision = towers(config, model)
    notes = (*model.notes, *_notes(config, vision))
    model = replace(model, name=name, source=source, vision=vision or 0, notes=notes)
    return stored_as(model, config, text)


def _text_of(config: Config) -> Config:
    """Return the fields of the language model, those that stand beside it in a file of several inputs included."""
    for name in _TEXT:
        inner = config.get(name)
        if isinstance(inner, dict):
            text: Any = inner.get("text_config", inner)  # one more level in models that speak
            if not isinstance(text, dict):
                break
            shared = {
                k: config[k] for k in ("tie_word_embeddings", "torch_dtype", "dtype") if config.get(k) is not None
            }
            outer = family(str(config.get("model_type") or ""))
            if "model_type" not in text and outer:
                shared["model_type"] = config["model_type"]
            return {**text, **shared, "_nested": True}
    return config


def _needed(fields: Fields, known: Family) -> None:
    """Refuse a file without a field that every published one of its family has."""
    for name in known.needs:
        if name not in fields.config:
            raise InputError(
                f"config.json: {name}", None, "a value (the field is missing; every published file has it)"
            )


def _no_other_quantisation(*parts: Config) -> None:
    """Refuse a field that seems to say how weights are stored and is not read."""
    for name, value in (pair for part in parts for pair in part.items()):
        if isinstance(value, dict) and "quant" in name and name not in ("quantization_config", "_sidecar"):
            raise InputError(
                f"config.json: {name}", "an object", "quantization_config, where the storage of weights is read"
            )


def _unknown(fields: Fields, kind: str) -> Model:
    """Count a family that is not known by Llama's rules where every field is understood; refuse it otherwise."""
    reason = why_unread(kind)
    if reason:
        raise InputError("model_type", kind, f"one whose layers are counted; {reason}")
    named = fields.config.get("architectures")
    causal = any(str(a).endswith("ForCausalLM") for a in named) if isinstance(named, list) else False
    if not causal:
        allowed = "a language model (a decoder) of a known family, or one whose architectures end in ForCausalLM"
        raise InputError("model_type", kind, allowed, known_kinds())
    read = Fields(fields.config)
    read.ignore(_USUAL)
    read.finish(f"model_type {kind}, a family that is not known here,")
    if fields.get("hidden_act", "hidden_activation") not in ("silu", "swish", "swiglu"):
        act = fields.config.get("hidden_act")
        raise InputError(
            "config.json: hidden_act", act, f"silu, as in Llama; whether others of {kind} have a gate is not known"
        )
    _needed(fields, UNKNOWN)
    model = plain(fields, UNKNOWN)
    fields.finish(f"model_type {kind}")
    return replace(model, notes=(f"model_type {kind} is not a family known here: counted by Llama's rules",))


def _notes(config: Config, vision: int | None) -> tuple[str, ...]:
    """Say what the counts leave out."""
    found = []
    if vision is None:
        found.append("its encoder of images is neither counted nor timed")
    elif vision:
        found.append(f"its encoder of images ({vision / 1e9:.2f} billion parameters) is counted apart and not timed")
    if any(isinstance(config.get(name), dict) for name in ("audio_config", "audio_encoder_config")):
        found.append("its encoder of sound is neither counted nor timed")
    return tuple(found)


#: Fields of a decoder that Llama's rules read.
_USUAL = (
    "num_hidden_layers", "hidden_size", "num_attention_heads", "num_key_value_heads", "head_dim", "intermediate_size",
    "vocab_size", "max_position_embeddings", "tie_word_embeddings", "layer_types", "sliding_window",
    "max_window_layers", "use_sliding_window",
)  # fmt: skip
