"""How a checkpoint stores its weights, as ``quantization_config`` or a file beside the config says, matrix by matrix.

Publishers name formats and exceptions in many ways (AWQ, GPTQ, FP8 of several kinds, compressed-tensors, modelopt);
each is read into the format of every kind of matrix and the share of layers that keep 16 bits.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from fnmatch import translate

from hopperbook.errors import InputError
from hopperbook.models.counts import linear_layers
from hopperbook.models.fields import Config
from hopperbook.models.layers import Stored
from hopperbook.models.shape import PRECISION_BITS, WIDE, Model

#: Names under which publishers keep each kind of matrix, within a layer.
_MODULES: dict[str, tuple[str, ...]] = {
    "qkv": ("self_attn.q_proj", "self_attn.qkv_proj", "attn.q_proj", "mixer.q_proj", "self_attn.k_proj",
            "mixer.qkv_proj"),
    "o": ("self_attn.o_proj", "attn.o_proj", "mixer.o_proj", "attn.wo_b"),
    "o_a": ("self_attn.o_a_proj", "attn.wo_a"),
    "q_a": ("self_attn.q_a_proj", "self_attn.fused_qkv_a_proj", "attn.wq_a"),
    "q_b": ("self_attn.q_b_proj", "self_attn.q_proj", "attn.wq_b"),
    "kv_a": ("self_attn.kv_a_proj_with_mqa", "attn.wkv", "self_attn.kv_proj"),
    "kv_b": ("self_attn.kv_b_proj",),
    "index": ("self_attn.indexer.wq_b", "attn.indexer.wq_b"),
    "mixer_in": ("mixer.in_proj", "linear_attn.in_proj_qkv", "linear_attn.in_proj_qkvz", "mamba.in_proj",
                 "self_attn.qkv_proj"),
    "mixer_out": ("mixer.out_proj", "linear_attn.out_proj", "mamba.out_proj", "self_attn.out_proj"),
    "gate_up": ("mlp.gate_proj", "mlp.up_proj", "mlp.gate_up_proj", "feed_forward.gate_proj", "mixer.up_proj",
                "ffn.w1", "mlp.fc1"),
    "down": ("mlp.down_proj", "feed_forward.down_proj", "mixer.down_proj", "ffn.w2", "mlp.fc2"),
    "shared_gate_up": (
        "mlp.shared_experts.gate_proj", "mlp.shared_experts.up_proj", "mlp.shared_expert.gate_proj",
        "mlp.shared_expert.up_proj", "mixer.shared_experts.up_proj", "ffn.shared_experts.w1",
        "feed_forward.shared_expert.gate_proj", "share_expert.gate_proj", "mlp.shared_mlp.gate_proj",
    ),
    "shared_down": (
        "mlp.shared_experts.down_proj", "mlp.shared_expert.down_proj", "mixer.shared_experts.down_proj",
        "ffn.shared_experts.w2", "feed_forward.shared_expert.down_proj", "share_expert.down_proj",
        "mlp.shared_mlp.down_proj",
    ),
    "experts": (
        "mlp.experts.0.gate_proj", "mlp.experts.0.down_proj", "mlp.experts", "block_sparse_moe.experts.0.w1",
        "block_sparse_moe.experts", "mixer.experts.0.up_proj", "mixer.experts", "ffn.experts.0.w1", "ffn.experts",
        "feed_forward.experts.0.gate_proj", "feed_forward.experts", "experts.gate_up_proj", "moe.experts",
    ),
}  # fmt: skip
#: Names of experts that stand beside a dense MLP in one layer.
_BESIDE = ("experts.0.gate_proj", "experts.0.down_proj", "experts", "moe.experts.0.gate_proj", "moe.experts")
#: Modules that no matrix of the language model's layers is.
_SMALL = re.compile(r"norm|embed|visual|vision|audio|mlp\.gate$|\.router|weight$|bias$|^mtp")
_LAYERS = (
    "model.layers.{}.",
    "model.language_model.layers.{}.",
    "language_model.model.layers.{}.",
    "backbone.layers.{}.",
    "layers.{}.",
)
#: What algorithms of NVIDIA's tools are called here.
_ALGORITHMS = {
    "FP8": "fp8", "FP8_PER_CHANNEL_PER_TOKEN": "fp8", "FP8_PB_WO": "fp8_block", "FP8_PB_REAL": "fp8_block",
    "NVFP4": "fp4", "W4A16_NVFP4": "fp4", "NVFP4_AWQ": "fp4", "W4A8_NVFP4_FP8": "fp4", "NVFP4_SVDQUANT": "fp4",
    "W4A16": "int4", "W4A16_AWQ": "int4", "INT4_AWQ": "int4", "W4A8_AWQ": "int4", "W8A16": "int8",
    "W8A8_SQ_PER_CHANNEL": "int8",
    "INT8_SQ": "int8", "MXFP4": "mxfp4", "W4A8_MXFP4_FP8": "mxfp4", "MXFP8": "fp8_block",
}  # fmt: skip


def stored_as(model: Model, config: Config, text: Config) -> Model:
    """Return a model as its checkpoint stores it.

    Parameters
    ----------
    model : Model
        The shape.
    config, text : dict
        The whole ``config.json``, and the fields of the language model within it.

    Returns
    -------
    Model
        With the formats of linear layers and experts, and exceptions in ``stored``.

    Raises
    ------
    InputError
        If the file names a way to store weights that is not known here.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> half = stored_as(load("llama-3.1-8b"), {"quantization_config": {"quant_method": "awq", "bits": 4}}, {})
    >>> half.precision, half.moe_precision
    ('int4', 'int4')
    """
    base = _base(text.get("torch_dtype") or text.get("dtype") or config.get("torch_dtype") or config.get("dtype"))
    notes = model.notes
    if base == "fp32":
        base, notes = "bf16", (*notes, "its file holds 32-bit values; engines load 16 bits, and so it is counted")
    model = replace(model, precision=base, moe_precision=base, notes=notes)
    for found in (
        config.get("quantization_config"),
        text.get("quantization_config"),
        config.get("_sidecar"),
        config.get("compression_config"),
    ):
        if isinstance(found, dict) and found:
            rules = _rules(found, text)
            return _apply(model, rules) if rules else model
    return model


def _base(dtype: object) -> str:
    name = str(dtype or "bf16").removeprefix("torch.")
    return {"float16": "fp16", "half": "fp16", "float32": "fp32", "float": "fp32"}.get(name, "bf16")


class _Rules:
    """How a quantisation names formats: one for all matrices, others for some modules, and those kept wide."""

    def __init__(
        self, form: str, bits: float, kept: Iterable[str] = (), others: Iterable[tuple[str, str, float]] = (),
        experts: str = "",
    ):  # fmt: skip
        self.form, self.bits = form, bits
        self.experts = (experts, PRECISION_BITS[experts]) if experts else None
        self._kept = _Patterns((name, ("", 16.0)) for name in kept if not _SMALL.search(name))
        self._others = _Patterns((name, (form, bits)) for name, form, bits in others)

    def of(self, names: list[str], layer: int) -> tuple[str, float] | None:
        """Return (format, bits) where the rules name a matrix in a layer by one of its spellings; ("", 16) if kept."""
        return self._kept.find(names, layer) or self._others.find(names, layer)


class _Patterns:
    """Patterns of modules with what each means, sorted by the layer that they name."""

    def __init__(self, rows: Iterable[tuple[str, tuple[str, float]]]):
        self._full: dict[str, tuple[str, float]] = {}
        self._layers: dict[int, list[tuple[re.Pattern[str], tuple[str, float]]]] = {}
        for pattern, meaning in rows:
            at = re.search(r"layers\.(\d+)(?=\.)", pattern)
            if (at or pattern == "lm_head") and not re.search(r"[*?\\]|^re:", pattern):
                self._full[pattern] = meaning
                continue
            self._layers.setdefault(int(at[1]) if at else -1, []).append((_compiled(pattern), meaning))

    def find(self, names: list[str], layer: int) -> tuple[str, float] | None:
        """Return what the first pattern that fits one of some names means."""
        for name in names if self._full else ():
            parts = name.split(".")
            for end in range(len(parts), 0, -1):  # a module, or one that holds it
                if (whole := ".".join(parts[:end])) in self._full:
                    return self._full[whole]
        for pattern, meaning in (*self._layers.get(layer, ()), *self._layers.get(-1, ())):
            if any(pattern.search(name) for name in names):
                return meaning
        return None


def _compiled(pattern: str) -> re.Pattern[str]:
    """Return a pattern of modules as one expression: ``re:`` and an expression, a glob, or whole parts of a name."""
    if pattern.startswith("re:"):
        try:
            return re.compile("^(?:" + pattern[3:] + ")")
        except re.error:
            raise InputError("quantization_config: ignore", pattern, "a regular expression after re:") from None
    if "*" in pattern or "?" in pattern:
        return re.compile("(?:^|\\.)" + translate(pattern).replace("(?s:", "(?s:", 1))
    return re.compile("(?:^|\\.)" + re.escape(pattern) + "(?:$|\\.)")


def _rules(q: Config, text: Config) -> _Rules | None:
    """Read a quantisation; None where it stores everything in 16 bits."""
    if isinstance(q.get("quantization"), dict):  # NVIDIA's file beside the config
        return _modelopt(q["quantization"])
    method = str(q.get("quant_method") or q.get("quant_algo") or "").lower()
    if method in ("modelopt", "modelopt_fp4", "modelopt_mixed") or (
        "producer" in q and "quant_algo" in q and method != "fp8"
    ):
        return _modelopt(q)
    kept = (
        q.get("modules_to_not_convert") or q.get("ignored_layers") or q.get("exclude_modules") or q.get("ignore") or []
    )
    kept = kept if isinstance(kept, list) else []
    if method == "mxfp4":
        return _Rules("", 16.0, experts="mxfp4")
    if method in ("fp8", "fbgemm_fp8"):
        form = "fp8_block" if q.get("weight_block_size") else "fp8"
        if q.get("moe_quant_algo"):
            form = "fp8_block"
        experts = {"fp4": "mxfp4", "mxfp4": "mxfp4"}.get(str(q.get("expert_dtype") or text.get("expert_dtype") or ""))
        experts = _ALGORITHMS.get(str(q.get("moe_quant_algo") or "")) or experts
        wide = [] if q.get("moe_quant_algo") else kept
        return _Rules(form, PRECISION_BITS[form], wide, experts=experts or "")
    if method in ("awq", "gptq", "awq_marlin", "gptq_marlin", "auto-round", "auto_round", "intel/auto-round", "hqq"):
        return _grouped_integers(q, kept)
    if method == "compressed-tensors":
        return _compressed_tensors(q, kept)
    if method == "bitsandbytes":
        form = "int8" if q.get("load_in_8bit") else "int4"
        return _Rules(form, 8.0 if form == "int8" else 4.0 + 32 / 64, q.get("llm_int8_skip_modules") or [])
    known = "awq, gptq, fp8, fbgemm_fp8, mxfp4, compressed-tensors, modelopt, auto-round or bitsandbytes"
    raise InputError("config.json: quantization_config", method or q, f"one whose quant_method is {known}")


def _grouped_integers(q: Config, kept: list[str]) -> _Rules:
    """Read AWQ, GPTQ and the like: integers of some bits, and a scale (and a zero) for each group."""
    width = q.get("bits", q.get("w_bit", 4))
    if width not in (2, 3, 4, 8):
        raise InputError("config.json: quantization_config.bits", width, "2, 3, 4 or 8")
    group = q.get("group_size", q.get("q_group_size", 128))
    group = group if isinstance(group, int) and group > 0 else 4096
    zero = bool(q.get("zero_point", not q.get("sym", True)))
    bits = float(width) + (16 + width * zero) / group
    return _Rules("int8" if width == 8 else "int4", bits, [*kept, *(q.get("dynamic_kept") or [])])


def _compressed_tensors(q: Config, kept: list[str]) -> _Rules:
    """Read the groups of compressed-tensors; modules of no group stay wide."""
    groups = q.get("config_groups")
    if not isinstance(groups, dict) or not groups:
        raise InputError("config.json: quantization_config.config_groups", groups, "an object of groups")
    found = []
    for name, group in groups.items():
        if isinstance(group, str):  # the name of a preset
            form, bits, targets = *_preset(group), ["Linear"]
        else:
            weights = group.get("weights") if isinstance(group, dict) else None
            if not isinstance(weights, dict):
                raise InputError(
                    f"config.json: quantization_config.config_groups.{name}", group, "a group with weights"
                )
            form, bits = _tensor_format(weights)
            targets = [str(target) for target in group.get("targets") or ["Linear"]]
        found += [(target, form, bits) for target in targets]
    whole = next(((form, bits) for target, form, bits in found if target == "Linear"), ("", 16.0))
    others = [(target, form, bits) for target, form, bits in found if target != "Linear"]
    return _Rules(*whole, kept, others)


def _preset(name: str) -> tuple[str, float]:
    form = {
        "FP8": "fp8",
        "FP8_DYNAMIC": "fp8",
        "FP8_BLOCK": "fp8_block",
        "W4A16": "int4",
        "W4A16_ASYM": "int4",
        "W8A8": "int8",
        "W8A16": "int8",
        "NVFP4": "fp4",
        "NVFP4A16": "fp4",
        "MXFP4": "mxfp4",
    }
    if name not in form:
        raise InputError("config.json: quantization_config.config_groups", name, "one of " + ", ".join(form))
    return form[name], PRECISION_BITS[form[name]]


def _tensor_format(weights: Config) -> tuple[str, float]:
    """Return (format, bits a value) of a group's weights."""
    bits, kind, group = weights.get("num_bits"), str(weights.get("type") or "int"), weights.get("group_size")
    if bits not in (3, 4, 8):
        raise InputError("config.json: quantization_config: num_bits", bits, "3, 4 or 8")
    many = group if isinstance(group, int) and group > 0 else 0
    if kind == "float":
        if bits == 8:
            form = "fp8_block" if weights.get("strategy") == "block" else "fp8"
            return form, PRECISION_BITS[form]
        form = "mxfp4" if many == 32 else "fp4"
        return form, PRECISION_BITS[form]
    scale = 16.0 / many if many else 0.0
    return ("int8" if bits == 8 else "int4"), float(bits) + scale


def _modelopt(q: Config) -> _Rules | None:
    """Read what NVIDIA's tools write: one algorithm, or one for each layer."""
    algorithm = str(q.get("quant_algo") or "").upper()
    kept = q.get("exclude_modules") or q.get("ignore") or []
    layers = q.get("quantized_layers")
    if algorithm == "MIXED_PRECISION" or (not algorithm and isinstance(layers, dict)):
        others = []
        for name, how in (layers or {}).items():
            form = _algorithm(str((how or {}).get("quant_algo") or ""))
            others.append((str(name), form, PRECISION_BITS[form]))
        return _Rules("", 16.0, (), others)
    if not algorithm and isinstance(q.get("config_groups"), dict):
        return _compressed_tensors(q, kept)
    if algorithm in ("", "NONE", "NO_QUANT"):
        return None
    form = _algorithm(algorithm)
    return _Rules(form, PRECISION_BITS[form], kept)


def _algorithm(name: str) -> str:
    if name.upper() not in _ALGORITHMS:
        raise InputError("quantization_config: quant_algo", name, "one of " + ", ".join(_ALGORITHMS), _ALGORITHMS)
    return _ALGORITHMS[name.upper()]


def _apply(model: Model, rules: _Rules) -> Model:
    """Work out the format of each kind of matrix, and which of two names the checkpoint as a whole goes by."""
    layers = {w.name: 0 for w in linear_layers(model)}
    sizes = dict(layers)
    for w in linear_layers(model):
        layers[w.name] = max(layers[w.name], w.layers)
        sizes[w.name] += w.k * w.n * w.layers
    routed = sum(m.layers for m in model.mlps if m.experts)
    if routed:
        layers["experts"] = routed
    parts = [_part(model, rules, name, count) for name, count in layers.items() if name not in WIDE]
    parts += [Stored(name, "bf16", 16.0, 1.0) for name in ("router", "wide") if name in layers]
    head = rules.of(["lm_head"], -1)
    if head and head[0]:  # it is small only where a list says so by name
        parts.append(Stored("lm_head", *head))
    experts = next((p for p in parts if p.name == "experts"), None)
    linear = [p for p in parts if p.name != "experts" and p.kept <= 0.5]
    weight = {form: sum(sizes[p.name] for p in linear if p.format == form) for form in {p.format for p in linear}}
    small = sum(weight.values())
    base = max(weight, key=lambda form: weight[form]) if small else model.precision
    moe = experts.format if experts and experts.kept <= 0.5 else base if not experts else model.precision
    if moe == "fp4" and not small:
        base = model.precision
    return replace(model, precision=base, moe_precision=moe, stored=tuple(parts))


def _part(model: Model, rules: _Rules, name: str, count: int) -> Stored:
    """Return how one kind of matrix is stored: by the rules of its modules in each layer that may have it."""
    if name == "experts" and rules.experts:
        return Stored(name, *rules.experts)
    beside = name == "experts" and any(m.ffn and m.experts for m in model.mlps)
    modules = _BESIDE if beside else _MODULES.get(name, ())
    first = (
        model.layers - count if not model.recurrents and name in ("experts", "shared_gate_up", "shared_down") else 0
    )  # dense layers lead
    last = count if name in ("gate_up", "down") and count < model.layers and not model.recurrents else model.layers
    forms: dict[tuple[str, float], int] = {}
    for layer in range(first, last):
        found = rules.of([start.format(layer) + module for start in _LAYERS for module in modules], layer)
        if found is not None:
            forms[found] = forms.get(found, 0) + 1
    small = {key: n for key, n in forms.items() if key[0]}
    form, bits = max(small, key=lambda key: small[key]) if small else (rules.form, rules.bits)
    if not form:
        return Stored(name, model.precision, 16.0, 1.0)
    listed = sum(small.values())
    wide = forms.get(("", 16.0), 0) / count if rules.form else 1 - listed / count
    return Stored(name, form, bits, min(1.0, max(0.0, wide)))
