"""Which measured tables stand behind an engine, a part and a number format."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from hopperbook import facts
from hopperbook.errors import InputError
from hopperbook.kernels.roofline import Chip, chip
from hopperbook.kernels.tables import grids

ENGINES = ("trtllm", "vllm")
#: What a precision is called in the tables; the first that exists is taken.
_TABLE = {
    "bf16": ("16",), "fp16": ("16",), "fp32": ("16",), "tf32": ("16",), "fp8": ("fp8", "int8_wo"),
    "fp8_block": ("fp8_block", "fp8", "int8_wo"), "int8": ("sq", "fp8", "16"), "int8_wo": ("int8_wo", "16"),
    "int4": ("int4_wo", "w4afp8", "mxfp4", "int8_wo", "fp8", "16"), "fp4": ("mxfp4", "int4_wo", "w4afp8", "16"),
    "mxfp4": ("mxfp4", "int4_wo", "w4afp8", "16"), "w4afp8": ("w4afp8", "int4_wo", "16"),
}  # fmt: skip


def engine_name(engine: str) -> str:
    """Return the tables' name of an engine; SGLang runs vLLM's kernels closely enough to share its tables.

    Examples
    --------
    >>> engine_name("TensorRT-LLM"), engine_name("SGLang")
    ('trtllm', 'vllm')
    """
    known = {"tensorrtllm": "trtllm", "trtllm": "trtllm", "trt": "trtllm", "vllm": "vllm", "sglang": "vllm"}
    key = "".join(c for c in str(engine).lower() if c.isalnum())
    if key not in known:
        raise InputError("engine", engine, "TensorRT-LLM, vLLM or SGLang", ["TensorRT-LLM", "vLLM", "SGLang"])
    return known[key]


def engine_words(engine: str) -> str:
    """Return an engine's name as its makers write it.

    Parameters
    ----------
    engine : str
        Name of an engine's constants, perhaps with a version; unknown ones stay as they are.

    Returns
    -------
    str
        For readers.

    Examples
    --------
    >>> engine_words("trtllm-0.14"), engine_words("vllm")
    ('TensorRT-LLM 0.14', 'vLLM')
    """
    known = {"trtllm": "TensorRT-LLM", "vllm": "vLLM", "sglang": "SGLang"}
    name, _, version = engine.partition("-")
    return f"{known[name]} {version}".strip() if name in known else engine


def engine_tables(gpu: str | facts.GPU, engine: str) -> dict[str, list[tuple[Any, ...]]]:
    """List which grids stand behind a GPU and engine, by family.

    Parameters
    ----------
    gpu : str or GPU
        A part.
    engine : str
        An engine.

    Returns
    -------
    dict
        Keys of the grids of each family; an empty list where the other engine's table or a roofline must serve.

    Examples
    --------
    >>> engine_tables("A100 SXM", "vllm")["gemm"]
    [('16',)]
    """
    name = as_gpu(gpu).kernels_of
    families = ("gemm", "context", "generation", "moe", "mla_context", "mla_generation", "quantise", "collective")
    return {family: list(grids(engine_name(engine), family, name)) for family in families}


def as_gpu(gpu: str | facts.GPU) -> facts.GPU:
    """Return a part by its name, or as it is."""
    return gpu if isinstance(gpu, facts.GPU) else facts.gpu(gpu)


def table_names(precision: str) -> tuple[str, ...]:
    """Return what a number format is called in the tables, the best first; refuse an unknown one."""
    if precision not in _TABLE:
        raise InputError("precision", precision, "one of " + ", ".join(_TABLE), _TABLE)
    return _TABLE[precision]


#: Rooflines of formats in four bits where a part has units for them. NVFP4 multiplies four bits by four; engines feed
#: MXFP4 weights with activations in eight bits, which runs at the eight-bit peak.
FOUR_BITS = {"fp4": "fp4", "mxfp4": "mxfp4_8"}


def multiplies_fp4(gpu: facts.GPU, precision: str) -> bool:
    """Say whether a part feeds this format's four bits to its matrix units: NVFP4 or MXFP4, where it has an FP4 peak.

    Such products are timed by the stand-in's FP8 kernels on the format's own roofline (``FOUR_BITS``).

    Examples
    --------
    >>> [multiplies_fp4(facts.gpu(name), form) for name in ("H200", "B200") for form in ("fp4", "mxfp4")]
    [False, False, True, True]
    """
    return precision in FOUR_BITS and "fp4" in gpu.dense_flop_per_s


def wide_peaks(gpu: facts.GPU, precision: str) -> Chip | None:
    """Return the peaks that 32-bit formats scale to; None for narrower ones, which have tables."""
    if precision not in ("fp32", "tf32"):
        return None
    return replace(chip(gpu), flop_16=gpu.dense_flop_per_s[precision])


def nearest(value: float, choices: list[int]) -> int:
    """Return the choice nearest in ratio; of two as near, the first on every processor."""
    return min(choices, key=lambda c: round(abs(math.log(max(c, 1)) - math.log(max(value, 1))), 12))
