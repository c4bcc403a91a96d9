"""Recipes: how a training run holds the operands of its linear layers, and what its casts lose."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hopperbook import fp8

Array = np.ndarray
KINDS = ("weight", "activation", "gradient")
#: Bins of the histogram of exponents; zeros are counted apart.
EXPONENTS = np.arange(-40, 17)
#: Value of each code: looking it up is faster than a cast.
VALUES = {name: np.arange(256, dtype=np.uint8).view(dtype).astype(np.float32) for name, dtype in fp8.FORMATS.items()}


@dataclass(frozen=True)
class Recipe:
    """How the linear layers hold their operands.

    Parameters
    ----------
    name : str
        Word used in tables.
    scaling : str
        ``fp32`` or ``bf16`` (no FP8), ``none`` (scale 1), ``delayed``, ``current``, ``row`` or ``block``.
    forward, gradient : str
        FP8 formats of weights and activations, and of gradients.

    Notes
    -----
    Source: ``nvidia-transformer-engine`` (delayed, current, block), ``torchao-float8`` (row).
    """

    name: str
    scaling: str
    forward: str = "e4m3"
    gradient: str = "e5m2"

    @property
    def directed(self) -> bool:
        """Whether scales lie along the axis that a product sums over: a tensor is then quantised once a product."""
        return self.scaling in ("row", "block")


RECIPES = (
    Recipe("FP32", "fp32"),
    Recipe("BF16", "bf16"),
    Recipe("FP8 delayed", "delayed"),
    Recipe("FP8 current", "current"),
    Recipe("FP8 row", "row", gradient="e4m3"),
    Recipe("FP8 block", "block", gradient="e4m3"),
    Recipe("FP8 unscaled", "none"),
)


@dataclass
class Run:
    """What a run carries along: its recipe, delayed scales by tensor, and counts of what casts lost."""

    recipe: Recipe
    scales: dict[str, fp8.DelayedScaling] = field(default_factory=dict)
    watch: bool = False
    counts: dict[str, Array] = field(default_factory=lambda: {k: np.zeros(3, np.int64) for k in KINDS})
    exponents: dict[str, Array] = field(default_factory=lambda: {k: np.zeros(len(EXPONENTS), np.int64) for k in KINDS})


def to_bf16(x: Array) -> Array:
    """Round float32 values to BF16, to nearest even, and keep them as float32.

    Parameters
    ----------
    x : ndarray of float32
        Finite values.

    Returns
    -------
    ndarray of float32
        Rounded values.

    Examples
    --------
    >>> to_bf16(np.array([1.00390625, 3.14159], np.float32)).tolist()
    [1.0, 3.140625]
    """
    u = np.ascontiguousarray(x).view(np.uint32)
    return ((u + np.uint32(0x7FFF) + ((u >> np.uint32(16)) & np.uint32(1))) & np.uint32(0xFFFF0000)).view(np.float32)


def held(run: Run, x: Array, kind: str, name: str) -> Array:
    """Return the values that a tensor has once the recipe's format holds it.

    Parameters
    ----------
    run : Run
        Recipe and state; counts grow while ``run.watch`` is true.
    x : ndarray of float32, shape (rows, k)
        The tensor; scales of rows and blocks run along its last axis.
    kind : str
        ``weight``, ``activation`` or ``gradient``.
    name : str
        Which tensor, for the history of delayed scaling.

    Returns
    -------
    ndarray of float32
        Values of x's shape.

    Examples
    --------
    >>> held(Run(Recipe("a", "none")), np.array([[1.03, 1e-4]], np.float32), "weight", "w").tolist()
    [[1.0, 0.0]]
    """
    if run.recipe.scaling == "fp32":
        return x
    if run.recipe.scaling == "bf16":
        return to_bf16(x)
    form = run.recipe.gradient if kind == "gradient" else run.recipe.forward
    codes, inverse = _quantised(run, x, form, kind, name)
    y = fp8.dequantize(VALUES[form].take(codes.view(np.uint8)), inverse)
    if run.watch:
        _count(run, x, y, codes, kind, form)
    return y


def _quantised(run: Run, x: Array, form: str, kind: str, name: str) -> tuple[Array, Any]:
    """Return codes and inverse scales of a tensor under an FP8 recipe; delayed scaling moves on by a step."""
    scaling = run.recipe.scaling
    if scaling == "none":
        return fp8.cast(x, form), np.float32(1)
    if scaling == "delayed":
        codes, inverse, run.scales[name] = fp8.quantize_delayed(x, run.scales.get(name) or fp8.delayed(format=form))
        return codes, inverse
    if scaling == "block":
        scaling = "block_128x128" if kind == "weight" else "block_1x128"
    return fp8.quantize(x, form, scaling, power_of_two=run.recipe.directed)


def turned(run: Run, x: Array, kind: str) -> Array:
    """Return the values of a tensor whose first axis is summed over: quantised along it, and not counted again.

    Parameters
    ----------
    run : Run
        Recipe and state.
    x : ndarray of float32, shape (k, n)
        The tensor.
    kind : str
        ``weight``, ``activation`` or ``gradient``.

    Returns
    -------
    ndarray of float32
        Values of x's shape.

    Examples
    --------
    >>> x = np.array([[1.0, 448.0], [1.0, 1e-3]], np.float32)
    >>> turned(Run(Recipe("a", "row")), x, "weight").tolist() == x.tolist()  # each column has its own scale
    False
    """
    watch, run.watch = run.watch, False
    values = held(run, np.ascontiguousarray(x.T), kind, "").T
    run.watch = watch
    return values


def _count(run: Run, x: Array, y: Array, codes: Array, kind: str, form: str) -> None:
    """Count values, those clipped to the largest one, and those that became zero; and their exponents."""
    nonzero = x != 0
    limit = np.float32(fp8.largest(form))
    clipped = (np.abs(codes.astype(np.float32)) == limit) & (np.abs(x) > np.abs(y) * np.float32(1 + 1e-5))
    run.counts[kind] += np.array([x.size, clipped.sum(), (nonzero & (y == 0)).sum()], np.int64)
    exponent = np.clip(np.frexp(x[nonzero])[1] - 1, EXPONENTS[0], EXPONENTS[-1])
    run.exponents[kind] += np.bincount(exponent - EXPONENTS[0], minlength=len(EXPONENTS))


def rest(run: Run, x: Array) -> Array:
    """Return values as everything outside the linear layers holds them: BF16, or FP32 in that run."""
    return x if run.recipe.scaling == "fp32" else to_bf16(x)
