"""FP8 down to the bit: casts, and Transformer Engine's scaling recipes.

Casts go through ``ml_dtypes`` (round to nearest, ties to even).  Scales are float32, computed as Transformer Engine's
kernels compute them, so that codes and scales agree bit for bit with its reference quantisers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import ArrayLike, NDArray

from hopperbook.errors import InputError

FORMATS = {"e4m3": ml_dtypes.float8_e4m3fn, "e5m2": ml_dtypes.float8_e5m2}
RECIPES = ("current", "row", "block_1x128", "block_128x128")
BLOCK = 128
#: Values handled at once: small enough to stay in a core's cache between the passes.
CHUNK = 1 << 17
NAN = np.uint8(0x7F)
FLOAT32_MAX = float(np.finfo(np.float32).max)


def _dtype(format: str) -> type[np.generic]:
    if format not in FORMATS:
        raise InputError("format", format, "one of " + ", ".join(FORMATS), FORMATS)
    return FORMATS[format]


def largest(format: str) -> float:
    """Return the largest finite value of a format.

    Parameters
    ----------
    format : str
        ``e4m3`` or ``e5m2``.

    Returns
    -------
    float
        448 or 57,344.

    Raises
    ------
    InputError
        If the format is unknown.

    Notes
    -----
    Source: ``micikevicius-2022-fp8``, table 1.

    Examples
    --------
    >>> largest("e4m3"), largest("e5m2")
    (448.0, 57344.0)
    """
    return float(ml_dtypes.finfo(_dtype(format)).max)


def smallest_normal(dtype: np.dtype) -> float:
    """Return the smallest number of an FP8 type whose leading bit is not written.

    Parameters
    ----------
    dtype : dtype
        One of the types in ``FORMATS``.

    Returns
    -------
    float
        2^-6 or 2^-14.

    Notes
    -----
    Source: ``micikevicius-2022-fp8``, table 1.

    Examples
    --------
    >>> smallest_normal(np.dtype(FORMATS["e4m3"]))
    0.015625
    """
    return float(ml_dtypes.finfo(dtype).smallest_normal)


def values(format: str) -> NDArray[np.float32]:
    """List every finite value of a format in order, both zeros included once.

    Parameters
    ----------
    format : str
        ``e4m3`` or ``e5m2``.

    Returns
    -------
    ndarray, shape (253,) or (247,)
        Values as float32.

    Examples
    --------
    >>> table = values("e4m3")
    >>> len(table), float(table[table > 0][0])  # the smallest above zero: 2^-9
    (253, 0.001953125)
    """
    codes = np.arange(256, dtype=np.uint8).view(_dtype(format)).astype(np.float32)
    return np.unique(codes[np.isfinite(codes)] + np.float32(0))


def cast(x: ArrayLike, format: str = "e4m3", *, saturate: bool = True) -> np.ndarray:
    """Cast to FP8, rounding to nearest even.

    Parameters
    ----------
    x : array_like
        Values of any real type; bfloat16 and float16 are exact in float32.
    format : str
        ``e4m3`` or ``e5m2``.
    saturate : bool
        Values past the largest finite one become it, infinities too, and every NaN the one code 0x7F: as Hopper's own
        cast does.  Otherwise they become NaN in E4M3 (it has no infinity) and infinity in E5M2, and a NaN keeps its
        sign.

    Returns
    -------
    ndarray
        Codes of x's shape, an ``ml_dtypes`` float8 type.

    Raises
    ------
    InputError
        If the format is unknown.

    Notes
    -----
    Saturating, this is the instruction ``cvt.rn.satfinite`` for every one of the 2^32 patterns of a float32:
    :func:`hopperbook.fp8.measured.cast_runs`.

    Source: ``micikevicius-2022-fp8``; ``hopperbook-2026-measured``.

    Examples
    --------
    >>> cast([500.0, 17.0, 2.0**-10], "e4m3").astype(float).tolist()
    [448.0, 16.0, 0.0]
    >>> cast([500.0], saturate=False).astype(float).tolist()
    [nan]
    """
    dtype, limit = _dtype(format), np.float32(largest(format))
    x = np.asarray(x).astype(np.float32, copy=False)
    with np.errstate(invalid="ignore", over="ignore"):  # NaN and overflow are answers here
        codes = np.asarray((np.clip(x, -limit, limit) if saturate else x).astype(dtype))
    if saturate:
        codes.view(np.uint8)[np.isnan(x)] = NAN
    return codes


def scale_of(
    amax: ArrayLike,
    format: str = "e4m3",
    *,
    power_of_two: bool = False,
    amax_epsilon: float = 0.0,
    cap: float = FLOAT32_MAX,
) -> np.ndarray:
    r"""Compute a quantisation scale from the largest magnitude, as Transformer Engine does.

    .. math:: s = \mathrm{fp8\_max} / \max(\mathrm{amax}, \epsilon)

    rounded down to a power of two if asked; 1 where the magnitude is zero or not finite, ``cap`` where the quotient
    overflows float32.

    Parameters
    ----------
    amax : array_like
        Largest magnitudes.
    format : str
        ``e4m3`` or ``e5m2``.
    power_of_two : bool
        Keep the exponent of the scale only.
    amax_epsilon : float
        Floor of ``amax``.
    cap : float
        Largest finite value of the input's type.

    Returns
    -------
    ndarray of float32
        Scales of ``amax``'s shape.

    Notes
    -----
    Source: ``nvidia-transformer-engine``, ``recipe_common.cuh``.

    Examples
    --------
    >>> scale_of([3.5, 0.0, 300.0]).tolist(), scale_of([300.0], power_of_two=True).tolist()
    ([128.0, 1.0, 1.493333339691162], [1.0])
    """
    amax = np.maximum(np.asarray(amax, dtype=np.float32), np.float32(amax_epsilon))
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        scale = np.float32(largest(format)) / amax
    scale = np.where(np.isinf(scale), np.float32(cap), scale).astype(np.float32)
    if power_of_two:
        scale = (scale.view(np.uint32) & np.uint32(0xFF800000)).view(np.float32)
    return np.where((amax == 0) | ~np.isfinite(amax), np.float32(1), scale).astype(np.float32)


def _input_max(x: np.ndarray) -> float:
    """Return the largest finite value of x's type, which caps a scale."""
    if x.dtype in (np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16)):
        return float(ml_dtypes.finfo(x.dtype).max)
    return FLOAT32_MAX


def _amax(x: np.ndarray, axis: int | None = None) -> NDArray[np.float32]:
    """Return the largest magnitude without a temporary of x's size."""
    if x.size == 0:
        return np.zeros(np.max(x, axis=axis, initial=0).shape, np.float32)
    high, low = np.max(x, axis=axis), np.min(x, axis=axis)
    return np.maximum(np.abs(high), np.abs(low)).astype(np.float32)


def _scaled_cast(x: np.ndarray, scale: NDArray[np.float32], format: str, out: np.ndarray) -> None:
    """Write cast(x * scale) into ``out``; x is two-dimensional, scale broadcasts."""
    rows = max(1, CHUNK // max(1, x.shape[1]))
    per_row = np.ndim(scale) == 2 and np.shape(scale)[0] == x.shape[0]
    for start in range(0, x.shape[0], rows):
        part = slice(start, start + rows)
        out[part] = cast(np.multiply(x[part], scale[part] if per_row else scale, dtype=np.float32), format)


def quantize(
    x: ArrayLike,
    format: str = "e4m3",
    recipe: str = "current",
    power_of_two: bool = False,
    amax_epsilon: float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    r"""Quantise a tensor with one of Transformer Engine's recipes.

    .. math:: q = \mathrm{cast}(x s), \qquad x \approx q \cdot s^{-1}

    Parameters
    ----------
    x : array_like
        Values; all but the last axis are rows.
    format : str
        ``e4m3`` or ``e5m2``.
    recipe : str
        ``current`` (one scale), ``row`` (one a row), ``block_1x128`` (activations) or ``block_128x128`` (weights).
    power_of_two : bool
        Keep only the exponent of each scale.
    amax_epsilon : float
        Floor of the largest magnitude.

    Returns
    -------
    codes : ndarray
        An ``ml_dtypes`` float8 array of x's shape.
    scale_inv : ndarray of float32
        Scalar; shape (rows, 1); or one a block, ragged edges included: (rows, ceil(k / 128)) or
        (ceil(rows / 128), ceil(k / 128)).

    Raises
    ------
    InputError
        If format or recipe is unknown, or x is not numeric.

    Notes
    -----
    Source: ``nvidia-transformer-engine``; block scaling ``deepseek-v3-2024``, section 3.3.

    Examples
    --------
    >>> codes, scale_inv = quantize(np.array([[1.0, -3.5, 0.001]]))
    >>> codes.astype(float).tolist(), float(scale_inv)
    ([[128.0, -448.0, 0.125]], 0.0078125)
    """
    dtype = _dtype(format)
    if recipe not in RECIPES:
        raise InputError("recipe", recipe, "one of " + ", ".join(RECIPES), RECIPES)
    x = np.asarray(x)
    if x.dtype.kind in "OUSbc" or (x.dtype.kind == "V" and x.dtype not in (np.dtype(ml_dtypes.bfloat16),)):
        raise InputError("x", str(x.dtype), "an array of real numbers")
    cap = _input_max(x)
    flat = x.reshape(-1, x.shape[-1]) if x.ndim else x.reshape(1, 1)
    flat = flat.astype(np.float32, copy=False)
    out = np.empty(flat.shape, dtype)
    scale_args: dict[str, Any] = {"power_of_two": power_of_two, "amax_epsilon": amax_epsilon, "cap": cap}
    if recipe == "current":
        scale = scale_of(_amax(flat), format, **scale_args)
        _scaled_cast(flat, scale, format, out)
    elif recipe == "row":
        scale = scale_of(_amax(flat, axis=1), format, **scale_args)[:, None]
        _scaled_cast(flat, scale, format, out)
    else:
        scale = _blocks(flat, BLOCK if recipe == "block_128x128" else 1, format, scale_args, out)
    with np.errstate(divide="ignore"):
        return out.reshape(x.shape), np.float32(1) / scale


def _blocks(
    x: np.ndarray, block_rows: int, format: str, scale_args: dict[str, Any], out: np.ndarray
) -> NDArray[np.float32]:
    """Quantise in blocks of (block_rows, 128), a band of rows at a time; return the grid of scales."""
    rows, k = x.shape
    row_blocks, k_blocks = -(-rows // block_rows), -(-k // BLOCK)
    scales = np.empty((row_blocks, k_blocks), np.float32)
    edges = np.arange(0, k, BLOCK)
    band = max(1, CHUNK // max(1, k * block_rows)) * block_rows
    for start in range(0, rows, band):
        part = x[start : start + band]
        magnitude = np.abs(part)
        amax = np.maximum.reduceat(magnitude, edges, axis=1) if k else np.zeros((len(part), 0), np.float32)
        if block_rows > 1:
            amax = np.maximum.reduceat(amax, np.arange(0, len(part), block_rows), axis=0)
        scale = scale_of(amax, format, **scale_args)
        first = start // block_rows
        scales[first : first + len(scale)] = scale
        wide = np.repeat(np.repeat(scale, block_rows, axis=0)[: len(part)], BLOCK, axis=1)[:, :k]
        _scaled_cast(part, wide, format, out[start : start + band])
    return scales


def dequantize(codes: np.ndarray, scale_inv: ArrayLike) -> NDArray[np.float32]:
    """Turn codes and inverse scales back into float32.

    Parameters
    ----------
    codes : ndarray
        FP8 codes; all but the last axis are rows.
    scale_inv : array_like of float32
        As :func:`quantize` returns them.

    Returns
    -------
    ndarray of float32
        Values of the codes' shape.

    Examples
    --------
    >>> x = np.array([[1.0, -3.5, 0.001]])
    >>> dequantize(*quantize(x)).tolist()
    [[1.0, -3.5, 0.0009765625]]
    """
    scale_inv = np.asarray(scale_inv, dtype=np.float32)
    wide = codes.astype(np.float32)
    if scale_inv.ndim == 0 or scale_inv.size == 1:
        return wide * scale_inv.reshape(())
    flat = wide.reshape(-1, wide.shape[-1])
    block_rows = -(-flat.shape[0] // scale_inv.shape[0])
    block_rows = block_rows if block_rows == 1 else BLOCK
    spread = np.repeat(scale_inv, block_rows, axis=0)[: flat.shape[0]]
    if spread.shape[1] > 1 or flat.shape[1] <= BLOCK:
        spread = np.repeat(spread, BLOCK, axis=1)[:, : flat.shape[1]]
    return (flat * spread).reshape(wide.shape)


@dataclass(frozen=True)
class DelayedScaling:
    """State of delayed scaling for one tensor: a history of largest magnitudes and the scale it gave.

    Parameters
    ----------
    history : tuple of float
        Largest magnitudes of past steps, the next one's place first, as Transformer Engine rolls them.
    scale : float
        Scale in use.
    format : str
        ``e4m3`` forward, ``e5m2`` for gradients (the HYBRID recipe).
    margin : int
        Powers of two kept free.
    algorithm : str
        ``max`` of the history or ``most_recent``.
    """

    history: tuple[float, ...]
    scale: float = 1.0
    format: str = "e4m3"
    margin: int = 0
    algorithm: str = "max"


def delayed(length: int = 1024, format: str = "e4m3", margin: int = 0, algorithm: str = "max") -> DelayedScaling:
    """Start delayed scaling with an empty history.

    Parameters
    ----------
    length : int
        Steps remembered.
    format, margin, algorithm
        As in :class:`DelayedScaling`.

    Returns
    -------
    DelayedScaling
        Scale 1 and a history of zeros.

    Raises
    ------
    InputError
        If the algorithm or format is unknown, or the length below 1.

    Examples
    --------
    >>> delayed(4).history
    (0.0, 0.0, 0.0, 0.0)
    """
    _dtype(format)
    if algorithm not in ("max", "most_recent"):
        raise InputError("algorithm", algorithm, "max or most_recent", ["max", "most_recent"])
    if length < 1:
        raise InputError("length", length, "a whole number of at least 1")
    return DelayedScaling((0.0,) * length, 1.0, format, margin, algorithm)


def observe(state: DelayedScaling, amax: float) -> DelayedScaling:
    """Record this step's largest magnitude, which the cast of this very step does not yet use.

    Parameters
    ----------
    state : DelayedScaling
        The state during the step.
    amax : float
        Largest magnitude seen.

    Returns
    -------
    DelayedScaling
        The same scale; slot 0 of the history holds the magnitude.

    Examples
    --------
    >>> observe(delayed(2), 3.0).history
    (3.0, 0.0)
    """
    return replace(state, history=(float(np.float32(max(amax, state.history[0]))), *state.history[1:]))


def update(state: DelayedScaling) -> DelayedScaling:
    r"""Close a step: roll the history and compute the next scale.

    .. math:: s = \mathrm{fp8\_max} / \mathrm{amax} / 2^{\mathrm{margin}}

    unchanged where the magnitude is zero or not finite, float32's largest value where it would overflow.

    Parameters
    ----------
    state : DelayedScaling
        The state after :func:`observe`.

    Returns
    -------
    DelayedScaling
        History rolled with slot 0 cleared, and the scale of the next step.

    Notes
    -----
    A magnitude of zero enters the history.  Transformer Engine's kernel for many tensors at once takes it for a tensor
    that sat the step out, and leaves its history as it is.

    Source: ``nvidia-transformer-engine``, ``delayed_scaling.cu``.

    Examples
    --------
    >>> update(observe(delayed(2), 3.5)).scale
    128.0
    """
    newest = state.history[0]
    rolled = (*state.history[1:], newest)
    amax = newest if state.algorithm == "most_recent" else max(rolled)
    scale = state.scale
    if np.isfinite(amax) and amax > 0:
        scaled_max = np.float32(largest(state.format) * 2.0**-state.margin)
        with np.errstate(over="ignore"):
            scale = min(float(scaled_max / np.float32(amax)), FLOAT32_MAX)
    return replace(state, history=(0.0, *rolled[1:]), scale=scale)


def quantize_delayed(x: ArrayLike, state: DelayedScaling) -> tuple[np.ndarray, np.float32, DelayedScaling]:
    """Quantise with the scale of earlier steps, and record this step's magnitude.

    Parameters
    ----------
    x : array_like
        Values.
    state : DelayedScaling
        The state before the step.

    Returns
    -------
    codes : ndarray
        FP8 codes of x's shape, saturated where the old scale is too large.
    scale_inv : float32
        Inverse of the scale that was used.
    state : DelayedScaling
        The state after :func:`observe` and :func:`update`.

    Examples
    --------
    >>> codes, scale_inv, state = quantize_delayed([3.5], delayed(2))
    >>> codes.astype(float).tolist(), float(scale_inv), state.scale
    ([3.5], 1.0, 128.0)
    """
    x = np.asarray(x).astype(np.float32, copy=False)
    scale = np.float32(state.scale)
    codes = cast(x * scale, state.format)
    return codes, np.float32(1) / scale, update(observe(state, float(_amax(x))))
