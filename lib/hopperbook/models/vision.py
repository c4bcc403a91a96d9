"""Encoders of images beside a language model: their parameters, where the family's definition gives them exactly."""

from __future__ import annotations

from collections.abc import Callable

from hopperbook.errors import InputError
from hopperbook.models.fields import Config, Fields
from hopperbook.models.shape import Model

_KEYS = ("vision_config", "visual", "vision_tower_config", "vit_config")


def towers(config: Config, model: Model) -> int | None:
    """Count the parameters of the encoder of images beside a language model, its projection included.

    Parameters
    ----------
    config : dict
        The whole ``config.json``.
    model : Model
        The language model.

    Returns
    -------
    int or None
        0 where the file describes none; None where it describes one whose family is not counted here.

    Examples
    --------
    >>> from hopperbook.models import from_shape
    >>> towers({"model_type": "llama"}, from_shape(1, 64, 4))
    0
    """
    inner = next((config[key] for key in _KEYS if isinstance(config.get(key), dict)), None)
    if inner is None:
        return None if config.get("img_processor") else 0
    kinds = (str(inner.get("model_type") or ""), str(config.get("model_type") or ""))
    count = next((_TOWERS[kind] for kind in kinds if kind in _TOWERS), None)
    if count is None:
        return None
    try:
        return count(Fields(inner), model.hidden, Fields(config))
    except InputError:
        return None


def _dense(k: int, n: int, bias: bool = True) -> int:
    return k * n + n * bias


def _encoder(layers: int, width: int, inner: int, *, bias: bool, norm: int, gated: bool = False) -> int:
    """Count the layers of an encoder: attention of full heads, an MLP, two norms of ``norm`` values a channel."""
    mlp = (2 if gated else 1) * _dense(width, inner, bias) + _dense(inner, width, bias)
    return layers * (4 * _dense(width, width, bias) + mlp + 2 * norm * width)


def _qwen3(v: Fields, hidden: int, _: Fields) -> int:
    width, merge = v.size("hidden_size"), v.size("spatial_merge_size", default=2) ** 2
    out, pixels = v.size("out_hidden_size"), v.size("in_channels", default=3) * v.size("patch_size") ** 2
    count = _dense(pixels * v.size("temporal_patch_size", default=2), width) + v.size("num_position_embeddings") * width
    count += _encoder(v.size("depth"), width, v.size("intermediate_size"), bias=True, norm=2)
    merger = _dense(merge * width, merge * width) + _dense(merge * width, out)
    deeper = len(v.numbers("deepstack_visual_indexes") or [])
    return count + 2 * width + merger + deeper * (2 * merge * width + merger)


def _qwen25(v: Fields, hidden: int, _: Fields) -> int:
    width, merge = v.size("hidden_size"), v.size("spatial_merge_size", default=2) ** 2
    pixels = v.size("in_channels", "in_chans", default=3) * v.size("patch_size") ** 2
    count = pixels * v.size("temporal_patch_size", default=2) * width
    count += _encoder(v.size("depth"), width, v.size("intermediate_size"), bias=True, norm=1, gated=True)
    return count + width + _dense(merge * width, merge * width) + _dense(merge * width, v.size("out_hidden_size"))


def _gemma4(v: Fields, hidden: int, _: Fields) -> int:
    width, inner, layers = v.size("hidden_size"), v.size("intermediate_size"), v.size("num_hidden_layers")
    v.only("attention_bias", False)
    v.only("use_clipped_linears", False)
    if v.size("num_key_value_heads") * v.size("head_dim") != width:
        raise InputError("config.json: num_key_value_heads", v.get("num_key_value_heads"), "as many as heads")
    a_layer = 4 * width * width + 3 * width * inner + 4 * width + 2 * v.size("head_dim")
    positions = 2 * v.size("position_embedding_size") * width
    return positions + 3 * v.size("patch_size") ** 2 * width + layers * a_layer + width * hidden


def _kimi(v: Fields, hidden: int, _: Fields) -> int:
    width, merged = v.size("vt_hidden_size"), v.size("mm_hidden_size")
    kernel = v.numbers("merge_kernel_size", 2) or [2, 2]
    count = _dense(3 * v.size("patch_size") ** 2, width)
    count += v.size("init_pos_emb_height") * v.size("init_pos_emb_width") * width
    count += _encoder(v.size("vt_num_hidden_layers"), width, v.size("vt_intermediate_size"), bias=True, norm=2)
    inside = merged * kernel[0] * kernel[1]
    return count + 2 * width + 2 * merged + _dense(inside, inside) + _dense(inside, v.size("text_hidden_size"))


def _llama4(v: Fields, hidden: int, c: Fields) -> int:
    width, patch = v.size("hidden_size"), v.size("patch_size")
    patches = (v.size("image_size") // patch) ** 2 + 1
    count = width + patches * width + 3 * patch * patch * width + 4 * width
    count += _encoder(v.size("num_hidden_layers"), width, v.size("intermediate_size"), bias=True, norm=2)
    into, out = v.size("projector_input_dim"), v.size("projector_output_dim")
    return count + v.size("intermediate_size") * into + into * out + v.size("vision_output_dim") * hidden


def _pixtral(v: Fields, hidden: int, c: Fields) -> int:
    width, merge = v.size("hidden_size"), c.size("spatial_merge_size", default=2) ** 2
    bias = c.flag("multimodal_projector_bias", False)
    count = 3 * v.size("patch_size") ** 2 * width + width
    count += _encoder(v.size("num_hidden_layers"), width, v.size("intermediate_size"), bias=False, norm=1, gated=True)
    return count + width + merge * width * width + _dense(width, hidden, bias) + _dense(hidden, hidden, bias)


def _siglip(v: Fields, hidden: int, c: Fields) -> int:
    width, patch = v.size("hidden_size"), v.size("patch_size")
    count = _dense(3 * patch * patch, width) + (v.size("image_size") // patch) ** 2 * width
    count += _encoder(v.size("num_hidden_layers"), width, v.size("intermediate_size"), bias=True, norm=2)
    return count + 2 * width + width * hidden + width


def _mllama(v: Fields, hidden: int, _: Fields) -> int:
    width, inner, patch = v.size("hidden_size"), v.size("intermediate_size"), v.size("patch_size")
    tiles, layers, late = v.size("max_num_tiles"), v.size("num_hidden_layers"), v.size("num_global_layers")
    ratios = v.get("supported_aspect_ratios")
    count = len(ratios) + 1 if isinstance(ratios, list) else 9
    patches = (v.size("image_size") // patch) ** 2 + 1
    a_layer = 4 * width * width + _dense(width, inner) + _dense(inner, width) + 4 * width
    tables = patches * width + count * tiles * patches * width + 2 * count * tiles * width + 3
    total = width + 3 * patch * patch * width + tables + 4 * width + layers * a_layer + late * (a_layer + 2)
    return total + _dense(v.size("vision_output_dim"), hidden)


_TOWERS: dict[str, Callable[[Fields, int, Fields], int]] = {
    "qwen3_vl": _qwen3, "qwen3_vl_moe": _qwen3, "qwen3_5": _qwen3, "qwen3_5_moe": _qwen3, "qwen3_5_vision": _qwen3,
    "qwen3_5_moe_vision": _qwen3, "qwen2_5_vl": _qwen25, "gemma4_vision": _gemma4, "kimi_k25": _kimi,
    "llama4_vision_model": _llama4, "pixtral": _pixtral, "siglip_vision_model": _siglip,
    "mllama_vision_model": _mllama,
}  # fmt: skip
