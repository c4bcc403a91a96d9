"""Seconds of one kernel on one GPU, by engine: a measured table where there is one, a roofline scaled at its edge else.

Tables are those of TensorRT-LLM 1.0 and vLLM 0.24 (0.14 on A100) on A100 SXM, H100 SXM and H200 SXM
(``aiconfigurator``).  They time short kernels on a card at full clocks; long runs under a power limit are slower, which
``sustained`` constants of the calculators above account for.  Other parts scale by the ratio of their rooflines (peak
arithmetic, bandwidth) and every answer says where it leaves what was measured.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from hopperbook import facts
from hopperbook.errors import InputError
from hopperbook.kernels_roofline import Chip, chip, constants
from hopperbook.kernels_tables import Times, at, load, reference, scaled

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
    name = reference(_gpu(gpu))
    families = ("gemm", "context", "generation", "moe", "mla_context", "mla_generation", "quantise", "collective")
    return {family: list(load(engine_name(engine), family, name)) for family in families}


def _gpu(gpu: str | facts.GPU) -> facts.GPU:
    return gpu if isinstance(gpu, facts.GPU) else facts.gpu(gpu)


def _names(precision: str) -> tuple[str, ...]:
    if precision not in _TABLE:
        raise InputError("precision", precision, "one of " + ", ".join(_TABLE), _TABLE)
    return _TABLE[precision]


def _peaks(gpu: facts.GPU, precision: str) -> Chip | None:
    if precision not in ("fp32", "tf32"):
        return None
    return replace(chip(gpu), flop_16=gpu.dense_flop_per_s[precision])


def gemm_s(gpu: str | facts.GPU, precision: str, m: Any, n: Any, k: Any, engine: str = "vllm") -> Times:
    r"""Time a matrix product y[m, n] = x[m, k] w[k, n].

    .. math:: t = (2 \lceil m \rceil n k / P + \mathrm{bytes} / B + t_0)\; e^{r(\log m, \log n, \log k)}

    Parameters
    ----------
    gpu : str or GPU
        The part.
    precision : str
        ``bf16 fp16 tf32 fp32 fp8 fp8_block int8`` (both operands) or ``int8_wo int4 fp4 mxfp4`` (weights alone).
    m, n, k : int or array
        Sizes; broadcast together.
    engine : str
        ``"vllm"`` or ``"trtllm"``.

    Returns
    -------
    Times
        Seconds, and where they lie beyond the table.

    Raises
    ------
    InputError
        If the precision, GPU or engine is unknown.

    Notes
    -----
    Source: ``aiconfigurator-2025``.

    Examples
    --------
    >>> t = gemm_s("H100 SXM", "bf16", 8192, 8192, 8192, "trtllm")
    >>> 500 < 2 * 8192**3 / float(t.seconds) / 1e12 < 989
    True
    """
    part = _gpu(gpu)
    engine = engine_name(engine)
    stand_in = reference(part)
    first = _names(precision)[0]
    for name in _names(precision):
        for table in (engine, *(e for e in ENGINES if e != engine)):
            if (name,) in load(table, "gemm", stand_in):
                times = scaled(table, "gemm", part, (name,), [m, n, k], _peaks(part, precision))
                if table == "trtllm":
                    times = Times(times.seconds * _off_tile(stand_in, name, m, n, k), times.beyond)
                exact = name == first and table == engine and precision not in ("fp32", "tf32")
                return Times(times.seconds, times.beyond | (not exact))
    raise InputError("precision", precision, f"a precision measured on {stand_in}")


#: Up to here the fine table has a point on each side of every tile's edge.
_FINE_ROWS = 4353


def _off_tile(stand_in: str, name: str, m: Any, n: Any, k: Any) -> Any:
    """Return how much longer a row count between the points of the coarse table takes, as the fine table shows it.

    TensorRT-LLM was timed at round row counts alone; vLLM also just past them, where a tile more is begun.
    """
    coarse, fine = load("trtllm", "gemm", stand_in)[(name,)], load("vllm", "gemm", stand_in).get((name,))
    if fine is None:
        return 1.0
    arrays = np.broadcast_arrays(*(np.asarray(v, float) for v in (m, n, k)))
    rows, columns, inner = (a.ravel() for a in arrays)
    points = coarse.axes[0]
    log = np.clip(np.log(rows), points[0], points[-1])
    right = np.clip(np.searchsorted(points, log), 1, len(points) - 1)
    share = (log - points[right - 1]) / (points[right] - points[right - 1])
    ends = [at(fine, [np.exp(points[right - i]), columns, inner])[0] for i in (1, 0)]
    here = at(fine, [rows, columns, inner])[0]
    ratio = np.exp(here - ends[0] * (1 - share) - ends[1] * share)
    dense = (rows > 64) & (rows <= _FINE_ROWS)
    return np.where(dense, ratio, 1.0).reshape(arrays[0].shape)


def _nearest(value: float, choices: list[int]) -> int:
    return min(choices, key=lambda c: abs(math.log(max(c, 1)) - math.log(max(value, 1))))


@cache
def _attention_key(
    family: str, engine: str, stand_in: str, precision: str, kv: str, head_dim: int, window: int, mha: bool
) -> tuple[str, tuple[Any, ...], bool]:
    """Pick the grid nearest to an attention: (engine, key, exact)."""
    found = []
    for rank, table in enumerate((engine, *(e for e in ENGINES if e != engine))):
        for key in load(table, family, stand_in):
            named = key if family == "context" else ("16", *key)
            distance = 8.0 * (named[1] != kv) + 4.0 * (named[0] != precision) + 2.0 * (bool(named[4]) != mha)
            distance += abs(math.log(named[2] / head_dim)) + 20.0 * (bool(named[3]) != bool(window))
            if window and named[3]:
                distance += abs(math.log(named[3] / window))
            found.append((distance + 3.0 * rank, table, key))
    distance, table, key = min(found, key=lambda f: f[0])
    return table, key, distance == 0.0


def context_attention_s(
    gpu: str | facts.GPU,
    batch: Any,
    new_tokens: Any,
    cached_tokens: Any,
    heads: Any,
    kv_heads: Any,
    head_dim: int,
    precision: str = "bf16",
    kv_precision: str = "bf16",
    window: int = 0,
    engine: str = "vllm",
) -> Times:
    r"""Time causal attention over prompts of a batch, part of each already cached.

    .. math:: t(n, c) = t(n + c)\, \frac{\mathrm{pairs}(n, c)}{\mathrm{pairs}(n + c, 0)}, \text{ at least } t(n)

    Parameters
    ----------
    gpu : str or GPU
        The part.
    batch, new_tokens, cached_tokens, heads, kv_heads : int or array
        Prompts, tokens computed and already cached for each, heads on this rank.
    head_dim : int
        Width of a head.
    precision, kv_precision : str
        Of the arithmetic and of the cache.
    window : int
        Sliding window; 0 for none.
    engine : str
        ``"vllm"`` or ``"trtllm"``.

    Returns
    -------
    Times
        Seconds, and where they lie beyond the table.

    Notes
    -----
    Source: ``aiconfigurator-2025``.

    Examples
    --------
    >>> t = context_attention_s("H100 SXM", 1, [8192, 16384], 0, 32, 8, 128)
    >>> 3 < float(t.seconds[1] / t.seconds[0]) < 4.2
    True
    """
    part, engine = _gpu(gpu), engine_name(engine)
    b, n, c, h, kv = np.broadcast_arrays(
        *(np.asarray(v, float) for v in (batch, new_tokens, cached_tokens, heads, kv_heads))
    )
    mha = bool(np.all((h == kv) & (h > 8)))
    dtype, cache_dtype = _attention_dtype(precision), _attention_dtype(kv_precision)
    table, key, exact = _attention_key("context", engine, reference(part), dtype, cache_dtype, head_dim, window, mha)
    instead: dict[str, Any] = {} if exact else {"head_dim": head_dim, "window": window, "mha": mha}
    if mha and not key[-1]:
        instead |= {"mha": True}
    heads_axis = [h, np.where(key[-1], 1.0, kv)]
    alone = scaled(table, "context", part, key, [b, n, *heads_axis], **instead)
    if not np.any(c > 0):
        return alone
    whole = scaled(table, "context", part, key, [b, n + c, *heads_axis], **instead)
    share = _pairs(n, c, window) / _pairs(n + c, 0.0, window)
    return Times(
        np.where(c > 0, np.maximum(alone.seconds, whole.seconds * share), alone.seconds), whole.beyond | (c > 0)
    )


def _pairs(new: Any, cached: Any, window: int) -> Any:
    pairs = new * cached + new * (new + 1) / 2
    return np.minimum(pairs, new * float(window)) if window else pairs


def _attention_dtype(precision: str) -> str:
    return "fp8" if precision in ("fp8", "int8", "fp8_block") else "16"


def generation_attention_s(
    gpu: str | facts.GPU,
    batch: Any,
    context_tokens: Any,
    heads: Any,
    kv_heads: Any,
    head_dim: int,
    kv_precision: str = "bf16",
    window: int = 0,
    engine: str = "vllm",
) -> Times:
    r"""Time the attention of one decode token of each sequence: its cache is read once.

    .. math:: t = \left(\frac{2\, b\, s\, h_{kv}\, d\, w}{0.85\, B} + \ldots\right) e^{r}

    Parameters
    ----------
    gpu : str or GPU
        The part.
    batch, context_tokens, heads, kv_heads : int or array
        Sequences, tokens each holds, heads on this rank.
    head_dim : int
        Width of a head.
    kv_precision : str
        Format of the cache.
    window : int
        Sliding window; 0 for none.
    engine : str
        ``"vllm"`` or ``"trtllm"``.

    Returns
    -------
    Times
        Seconds, and where they lie beyond the table.

    Notes
    -----
    Source: ``aiconfigurator-2025``.

    Examples
    --------
    >>> t = generation_attention_s("H200 SXM", 64, 8192, 32, 8, 128)
    >>> 0.5 < 64 * 8192 * 2 * 8 * 128 * 2 / float(t.seconds) / 4.8e12 < 1.0
    True
    """
    part, engine = _gpu(gpu), engine_name(engine)
    b, s, h, kv = np.broadcast_arrays(*(np.asarray(v, float) for v in (batch, context_tokens, heads, kv_heads)))
    mha = bool(np.all((h == kv) & (h > 8)))
    kv_name = _attention_dtype(kv_precision)
    table, key, exact = _attention_key("generation", engine, reference(part), "16", kv_name, head_dim, window, mha)
    if window and not key[2]:
        s = np.minimum(s, window)
    instead: dict[str, Any] = (
        {} if exact else {"head_dim": head_dim, "mha": mha, "window": window, "kv_precision": kv_name}
    )
    return scaled(table, "generation", part, key, [b, s, h, np.where(key[-1], 1.0, kv)], **instead)


#: No table holds experts in INT8: they are taken as stored in eight bits and multiplied in sixteen.
_EXPERTS_AS = {"int8": "int8_wo"}


@cache
def _moe_key(
    engine: str,
    stand_in: str,
    precision: str,
    hidden: int,
    ffn: int,
    top_k: int,
    experts: int,
    tp: int,
    ep: int,
    load_: str,
) -> tuple[str, tuple[Any, ...], bool]:
    """Pick the grid nearest to a layer of experts: (engine, key, exact)."""
    found = []
    asked = (hidden, ffn, top_k, experts, tp, ep)
    for rank, table in enumerate((engine, *(e for e in ENGINES if e != engine))):
        for key in load(table, "moe", stand_in):
            if key[0] not in _names(precision):
                continue
            distance = sum(
                w * abs(math.log(a / b)) for w, a, b in zip((1, 1, 2, 1, 1, 1), asked, key[1:7], strict=True)
            )
            distance += 3.0 * _names(precision).index(key[0]) + (0 if key[7] == load_ else 0.1) + 5.0 * rank
            found.append((distance, table, key))
    if not found:
        raise InputError("moe_precision", precision, f"a precision of experts measured on {stand_in}")
    distance, table, key = min(found, key=lambda f: f[0])
    return table, key, distance < 1e-9


def moe_s(
    gpu: str | facts.GPU,
    precision: str,
    tokens: Any,
    hidden: int,
    ffn: int,
    experts: int,
    experts_per_token: int,
    tp: int = 1,
    ep: int = 1,
    engine: str = "vllm",
    load_shape: str = "power_law_1.2",
) -> Times:
    r"""Time the routed experts of one layer on one rank.

    .. math:: t = \left(\frac{3 V h f w / tp}{0.75 B} + \frac{6\, r\, h f / tp}{0.6 P} + t_0\right) e^{r(\log n)},
              \quad V = \frac{E}{ep}\left(1 - (1 - k/E)^n\right)

    Parameters
    ----------
    gpu : str or GPU
        The part.
    precision : str
        Format of the experts.
    tokens : int or array
        Tokens of the whole group before routing.
    hidden, ffn, experts, experts_per_token : int
        The layer.
    tp, ep : int
        How each expert is cut, and how experts are spread.
    engine : str
        ``"vllm"`` or ``"trtllm"``.
    load_shape : str
        How evenly experts are visited: ``power_law_1.2``, ``power_law_1.01`` or ``balanced``.

    Returns
    -------
    Times
        Seconds, and where they lie beyond the table (another shape's residual serves).

    Notes
    -----
    Source: ``aiconfigurator-2025``.

    Examples
    --------
    >>> bool(moe_s("H200 SXM", "bf16", 64, 4096, 1536, 128, 8).beyond)
    False
    """
    part, engine = _gpu(gpu), engine_name(engine)
    precision = _EXPERTS_AS.get(precision, precision)
    table, key, exact = _moe_key(
        engine, reference(part), precision, hidden, ffn, experts_per_token, experts, tp, ep, load_shape
    )
    names = ("hidden", "ffn", "top_k", "experts", "tp", "ep")
    instead: dict[str, Any] = (
        {} if exact else dict(zip(names, (hidden, ffn, experts_per_token, experts, tp, ep), strict=True))
    )
    if key[0] != _names(precision)[0]:
        instead["precision"] = _names(precision)[0]  # another format's residual on this format's bytes
    return scaled(table, "moe", part, key, [tokens], **instead)


def mla_context_s(
    gpu: str | facts.GPU, batch: Any, tokens: Any, heads: Any, kv_precision: str = "bf16", precision: str = "bf16"
) -> Times:
    """Time a whole DeepSeek-V3 attention module (projections included) over prompts.

    Parameters
    ----------
    gpu : str or GPU
        The part.
    batch, tokens, heads : int or array
        Prompts, their length, heads on this rank.
    kv_precision, precision : str
        Of the latent cache and of the projections.

    Returns
    -------
    Times
        Seconds of one layer, and where they lie beyond the table.

    Examples
    --------
    >>> float(mla_context_s("H200 SXM", 1, 4096, 16).seconds) < 5e-3
    True
    """
    return _mla("mla_context", gpu, batch, tokens, heads, kv_precision, precision)


def mla_generation_s(
    gpu: str | facts.GPU, batch: Any, tokens: Any, heads: Any, kv_precision: str = "bf16", precision: str = "bf16"
) -> Times:
    """Time a whole DeepSeek-V3 attention module (projections included) for one decode token of each sequence.

    Parameters
    ----------
    gpu : str or GPU
        The part.
    batch, tokens, heads : int or array
        Sequences, tokens each holds, heads on this rank.
    kv_precision, precision : str
        Of the latent cache and of the projections.

    Returns
    -------
    Times
        Seconds of one layer, and where they lie beyond the table.

    Examples
    --------
    >>> float(mla_generation_s("H200 SXM", 64, 4096, 16).seconds) < 5e-3
    True
    """
    return _mla("mla_generation", gpu, batch, tokens, heads, kv_precision, precision)


def _mla(family: str, gpu: str | facts.GPU, batch: Any, tokens: Any, heads: Any, kv: str, precision: str) -> Times:
    part = _gpu(gpu)
    key = (_attention_dtype(kv), "fp8_block" if "8" in precision else "16")
    if load("vllm", family, reference(part)):
        return scaled("vllm", family, part, key, [batch, tokens, heads])
    hopper = facts.gpu("H100 SXM")  # Ampere was not measured: Hopper's residual on Ampere's roofline
    times = scaled("vllm", family, hopper, key, [batch, tokens, heads], chip(part))
    return Times(times.seconds, np.ones_like(times.beyond))


def quantise_s(gpu: str | facts.GPU, m: Any, k: Any, dynamic: bool = True) -> Times:
    """Time the cast of an activation [m, k] to FP8, its scales computed on the way if dynamic.

    Parameters
    ----------
    gpu : str or GPU
        The part.
    m, k : int or array
        Rows and columns.
    dynamic : bool
        Scales a token from the values (else a stored scale).

    Returns
    -------
    Times
        Seconds, and where they lie beyond the table.

    Examples
    --------
    >>> float(quantise_s("H100 SXM", 4096, 4096).seconds) < 1e-4
    True
    """
    part = _gpu(gpu)
    stand_in = part if load("vllm", "quantise", reference(part)) else facts.gpu("H100 SXM")
    ops = ["static_scaled_fp8_quant"]
    if dynamic:
        ops.append("dynamic_per_token_scaled_fp8_quant_minus_static_scaled_fp8_quant")
    parts = [scaled("vllm", "quantise", stand_in, (op,), [m, k], chip(part)) for op in ops]
    return Times(
        np.sum([p.seconds for p in parts], axis=0), np.any([p.beyond for p in parts], axis=0) | (stand_in is not part)
    )


def elementwise_s(gpu: str | facts.GPU, bytes_: Any, launches: Any = 1) -> Any:
    r"""Time element-wise kernels that read and write memory once: :math:`S / (\eta B) + l\,t_0`.

    Parameters
    ----------
    gpu : str or GPU
        The part.
    bytes_ : float or array
        Bytes read and written.
    launches : int or array
        Kernels launched.

    Returns
    -------
    float or array
        Seconds; ``eta`` and ``t_0`` are in ``data/constants/kernels.yaml``.

    Examples
    --------
    >>> 0.6 < 1e9 / float(elementwise_s("H100 SXM", 1e9)) / 3.35e12 < 0.95
    True
    """
    c = constants()
    bandwidth = _gpu(gpu).memory_bandwidth_bytes_per_s * c["elementwise_bandwidth_share"]
    return np.asarray(bytes_, float) / bandwidth + np.asarray(launches, float) * c["elementwise_launch_s"]
