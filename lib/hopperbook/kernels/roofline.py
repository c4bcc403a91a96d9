"""Smooth rooflines of each kernel family: arithmetic, bytes and a launch, added; measured tables correct them.

They carry what is known of a shape (FLOPs, bytes, tiles), so that a table need only hold how far a real kernel is
from it, which varies slowly and interpolates well.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hopperbook import facts

Floats = NDArray[np.float64]

#: Bytes of a stored weight, and of an activation entering the multiply, by the tables' precisions.
WEIGHT_BYTES = {
    "16": 2.0,
    "fp8": 1.0,
    "fp8_block": 1.0,
    "int8_wo": 1.0,
    "int4_wo": 0.5,
    "sq": 1.0,
    "mxfp4": 0.53,
    "mxfp4_8": 0.53,
    "w4afp8": 0.5,
    "fp4": 0.5625,
}
INPUT_BYTES = {
    "16": 2.0,
    "fp8": 1.0,
    "fp8_block": 1.0,
    "int8_wo": 2.0,
    "int4_wo": 2.0,
    "sq": 1.0,
    "mxfp4": 2.0,
    "mxfp4_8": 1.0,
    "w4afp8": 1.0,
    "fp4": 0.5625,
}


@dataclass(frozen=True)
class Chip:
    """The peaks a roofline needs: FLOP/s in 16, 8 and 4 bits (0 where a part has none), memory and link bytes/s."""

    flop_16: float
    flop_8: float
    memory_bytes_per_s: float
    link_bytes_per_s: float
    flop_4: float = 0.0

    def flop_per_s(self, precision: str) -> float:
        """Return the peak for a table's precision."""
        if precision == "fp4" and self.flop_4:
            return self.flop_4
        return self.flop_8 if INPUT_BYTES.get(precision, 2.0) == 1.0 else self.flop_16


@cache
def _chip(name: str) -> Chip:
    return _peaks(facts.gpu(name))


def _peaks(gpu: facts.GPU) -> Chip:
    flop = gpu.dense_flop_per_s
    flop_16, flop_8 = flop["bf16"], flop.get("fp8", flop.get("int8", flop["bf16"]))
    full = facts.gpu(gpu.long_runs_of)
    # a card with less power holds lower clocks under load than its sheet's boost
    if gpu.architecture == full.architecture and gpu.tdp_w < full.tdp_w:
        power = (gpu.tdp_w / full.tdp_w) ** constants()["power_exponent"]
        flop_16 = min(flop_16, power * full.dense_flop_per_s["bf16"])
        flop_8 = min(flop_8, power * full.dense_flop_per_s.get("fp8", full.dense_flop_per_s["int8"]))
    link = gpu.nvlink_bytes_per_s_per_direction or gpu.pcie_bytes_per_s_per_direction
    return Chip(flop_16, flop_8, gpu.memory_bandwidth_bytes_per_s, link, flop.get("fp4", 0.0))


@cache
def constants() -> dict[str, float]:
    """Return the named constants of ``data/constants/kernels.yaml``."""
    rows = facts.read_yaml("constants/kernels.yaml")
    return {name: float(row["value"]) for name, row in rows.items()}


@cache
def shares(kernel: str) -> dict[str, float]:
    """Return what a kernel's roofline reaches of the peaks, from ``data/constants/rooflines.yaml`` (assumed)."""
    return facts.read_yaml("constants/rooflines.yaml")[kernel]


def chip(gpu: facts.GPU) -> Chip:
    """Return the peaks of a part: its data sheet's, arithmetic lowered under a power limit below an SXM part's."""
    return _chip(gpu.name) if gpu.name in facts.gpus() else _peaks(gpu)  # an instance of MIG is on no data sheet


def gemm(c: Chip, *, precision: str, m: Floats, n: Floats, k: Floats) -> Floats:
    r"""Seconds of y[m, n] = x[m, k] w[k, n]: :math:`2 \lceil m \rceil n k / P + bytes / B` and a launch."""
    r = shares("gemm")
    rows = np.where(m > 64, np.ceil(m / r["tile_rows"]) * r["tile_rows"], m)
    flop = 2.0 * rows * n * k / (r["flop"] * c.flop_per_s(precision))
    size = m * k * INPUT_BYTES[precision] + n * k * WEIGHT_BYTES[precision] + 2.0 * m * n
    return flop + size / (r["bandwidth"] * c.memory_bytes_per_s) + r["start_s"]


def context(
    c: Chip, *, precision: str, kv_precision: str, head_dim: int, window: int, mha: bool, batch: Floats, tokens: Floats,
    heads: Floats, kv_heads: Floats
) -> Floats:  # fmt: skip
    """Seconds of causal attention over whole prompts: FLOPs of the kept pairs, reads of Q, K, V, and a launch."""
    r = shares("context")
    w = np.where(window > 0, np.minimum(window, tokens), tokens)
    pairs = w * (w + 1) / 2 + (tokens - w) * w + 32 * tokens
    kv = np.where(mha, heads, kv_heads)
    flop = 4.0 * batch * heads * head_dim * pairs / (r["flop"] * c.flop_per_s(precision))
    size = 2.0 * batch * tokens * head_dim * (2 * heads + 2 * kv)
    return flop + size / (r["bandwidth"] * c.memory_bytes_per_s) + r["start_s"]


def generation(
    c: Chip, *, kv_precision: str, head_dim: int, window: int, mha: bool, batch: Floats, tokens: Floats, heads: Floats,
    kv_heads: Floats
) -> Floats:  # fmt: skip
    """Seconds of one decode token's attention: the KV cache read once, a little arithmetic, and a launch."""
    r = shares("generation")
    kv = np.where(mha, heads, kv_heads)
    seen = np.where(window > 0, np.minimum(window, tokens), tokens)
    size = batch * head_dim * (2 * kv * seen * WEIGHT_BYTES[kv_precision] + 4 * heads)
    flop = 4.0 * batch * np.maximum(heads, 8 * kv) * head_dim * seen / (r["flop"] * c.flop_16)
    return size / (r["bandwidth"] * c.memory_bytes_per_s) + flop + r["start_s"]


def moe(
    c: Chip,
    *,
    precision: str,
    hidden: int,
    ffn: int,
    top_k: int,
    experts: int,
    tp: int,
    ep: int,
    load: str,
    tokens: Floats,
) -> Floats:
    """Seconds of the routed experts on one rank: weights of the experts visited, FLOPs of the tokens sent, launches."""
    r = shares("moe")
    here = np.maximum(experts / ep, 1)
    visited = here * -np.expm1(tokens * np.log1p(-np.minimum(top_k / experts, 0.999)))
    width = ffn / tp
    sent = tokens * top_k / ep
    size = 3 * visited * hidden * width * WEIGHT_BYTES[precision] + 4.0 * sent * hidden + 6.0 * sent * width
    rows = sent + r["rows_an_expert"] * visited
    flop = 6.0 * rows * hidden * width / (r["flop"] * c.flop_per_s(precision))
    return size / (r["bandwidth"] * c.memory_bytes_per_s) + flop + r["start_s"]


def mla_weights(heads: ArrayLike) -> Floats:
    """Count the weights of a rank's share of DeepSeek-V3's attention module, by its heads."""
    s = shares("mla_module")
    shared = s["hidden"] * (s["q_rank"] + s["kv_rank"] + s["rope"])
    a_head = s["q_rank"] * (s["nope"] + s["rope"]) + s["kv_rank"] * (s["nope"] + s["value"]) + s["value"] * s["hidden"]
    return shared + np.asarray(heads) * a_head


def mla_context(c: Chip, *, kv_precision: str, precision: str, batch: Floats, tokens: Floats, heads: Floats) -> Floats:
    """Seconds of a DeepSeek-V3 attention module over whole prompts: projections and causal attention."""
    r, s, n = shares("mla_context"), shares("mla_module"), batch * tokens
    wide, widths = mla_weights(heads), s["nope"] + s["rope"] + s["value"]
    flop = 2.0 * n * wide / (r["flop"] * c.flop_per_s(precision))
    pairs = 2.0 * batch * heads * widths * tokens * (tokens + s["tile_tokens"]) / 2
    flop = flop + pairs / (r["attention_flop"] * c.flop_16)
    size = wide * WEIGHT_BYTES[precision] + 2.0 * n * (2 * s["hidden"] + heads * s["prompt_head_bytes"])
    return flop + size / (r["bandwidth"] * c.memory_bytes_per_s) + r["start_s"]


def mla_generation(
    c: Chip, *, kv_precision: str, precision: str, batch: Floats, tokens: Floats, heads: Floats
) -> Floats:
    """Seconds of a DeepSeek-V3 attention module for one decode token: projections and the latent cache read once."""
    r, s = shares("mla_generation"), shares("mla_module")
    wide, latent = mla_weights(heads), s["kv_rank"] + s["rope"]
    size = wide * WEIGHT_BYTES[precision] + batch * tokens * latent * WEIGHT_BYTES[kv_precision]
    size = size + batch * heads * s["decode_head_bytes"]
    flop = 2.0 * batch * wide / (r["flop"] * c.flop_per_s(precision))
    rows = batch * np.maximum(heads, s["least_heads"])
    flop = flop + 2.0 * rows * (latent + s["kv_rank"]) * tokens / (r["flop"] * c.flop_16)
    return flop + size / (r["bandwidth"] * c.memory_bytes_per_s) + r["start_s"]


def mla_bmm(c: Chip, *, op: str, tokens: Floats, heads: Floats) -> Floats:
    """Seconds of the batched products that absorb MLA's up-projections."""
    r, s = shares("mla_bmm"), shares("mla_module")
    weights, through = s["nope"] * s["kv_rank"], s["nope"] + s["kv_rank"]
    flop = 2.0 * tokens * heads * weights / (r["flop"] * c.flop_16)
    size = 2.0 * heads * (weights + tokens * through)
    return flop + size / (r["bandwidth"] * c.memory_bytes_per_s) + r["start_s"]


def quantise(c: Chip, *, op: str, m: Floats, k: Floats) -> Floats:
    """Seconds of a cast from 16 to 8 bits: three bytes a value."""
    r = shares("quantise")
    return 3.0 * m * k / (r["bandwidth"] * c.memory_bytes_per_s) + r["start_s"]


def collective(c: Chip, *, op: str, source: str, gpus: Floats, bytes: Floats) -> Floats:  # noqa: A002
    r"""Seconds of a collective within a node by a ring: :math:`f S / B + \alpha`, f = 2(g-1)/g for an all-reduce."""
    r = shares("collective")
    factor = (2.0 if op == "all_reduce" else 1.0) * (gpus - 1) / gpus
    return factor * bytes / (r["bandwidth"] * c.link_bytes_per_s) + r["start_s"] + r["start_a_gpu_s"] * gpus


ROOFLINES: dict[str, Callable[..., Floats]] = {
    "gemm": gemm,
    "context": context,
    "generation": generation,
    "moe": moe,
    "mla_context": mla_context,
    "mla_generation": mla_generation,
    "mla_bmm": mla_bmm,
    "quantise": quantise,
    "collective": collective,
}
