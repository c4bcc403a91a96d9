"""FP8 to the bit: formats, scales, recipes and the accumulator; a small language model trained in each."""

from hopperbook.fp8 import measured
from hopperbook.fp8.accumulator import accumulate, published_accumulator
from hopperbook.fp8.formats import (
    BLOCK,
    CHUNK,
    FLOAT32_MAX,
    FORMATS,
    RECIPES,
    DelayedScaling,
    cast,
    delayed,
    dequantize,
    largest,
    observe,
    quantize,
    quantize_delayed,
    scale_of,
    update,
    values,
)

__all__ = [
    "BLOCK",
    "CHUNK",
    "DelayedScaling",
    "FLOAT32_MAX",
    "FORMATS",
    "RECIPES",
    "accumulate",
    "cast",
    "delayed",
    "dequantize",
    "largest",
    "measured",
    "observe",
    "published_accumulator",
    "quantize",
    "quantize_delayed",
    "scale_of",
    "update",
    "values",
]
