"""What rounding to eight bits costs: a value, a tensor under a recipe, a sum in a narrow accumulator."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hopperbook.fp8.accumulator import accumulate
from hopperbook.fp8.experiment.recipes import Recipe, Run, held
from hopperbook.fp8.formats import cast, delayed, observe, quantize, update

DRAWN_ROWS = 256
OUTLIER_SHARE, OUTLIER_TIMES = 0.002, 60.0  # channels of activations that are larger than the others
GRADIENT_SCALE, GRADIENT_SPREAD = 1e-6, 2.0  # size of drawn gradients; standard deviation of the log of a row's size
SUM_ROWS = 12


class CastError(NamedTuple):
    """What a cast loses: error as a share of the root mean square, and the share of values that become zero."""

    error: float
    zeroed: float


def through(value: float, scale: float = 1.0, format: str = "e4m3") -> float:
    """Return what a value becomes when it is multiplied by a scale, cast, and divided by the scale again.

    Parameters
    ----------
    value : float
        The value.
    scale : float
        The scale.
    format : str
        ``e4m3`` or ``e5m2``.

    Returns
    -------
    float
        The value that the format holds.

    Examples
    --------
    >>> through(5e-4), through(5e-4, scale=128.0)
    (0.0, 0.00048828125)
    """
    return float(cast([value * scale], format).astype(float)[0] / scale)


def drawn_tensors(width: int, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Draw activations with a few channels of outliers, and gradients whose rows differ in size.

    Parameters
    ----------
    width : int
        Columns.
    seed : int
        Of the generator.

    Returns
    -------
    activations, gradients : ndarray of float32, shape (256, width)
        The tensors.

    Examples
    --------
    >>> activations, gradients = drawn_tensors(4096)
    >>> activations.shape, round(float(np.abs(activations).max()))
    ((256, 4096), 245)
    """
    rng = np.random.default_rng(seed)
    shape = (DRAWN_ROWS, width)
    activations = rng.standard_normal(shape) * np.where(rng.random(width) < OUTLIER_SHARE, OUTLIER_TIMES, 1.0)
    gradients = rng.standard_normal(shape) * np.exp(GRADIENT_SPREAD * rng.standard_normal((DRAWN_ROWS, 1)))
    return activations.astype(np.float32), (gradients * GRADIENT_SCALE).astype(np.float32)


def cast_error(recipe: Recipe, kind: str, x: NDArray[np.float32], past: float = 1.0) -> CastError:
    r"""Cast a tensor under a recipe and compare.

    .. math:: e = \sqrt{\sum (y - x)^2 / \sum x^2}

    Parameters
    ----------
    recipe : Recipe
        One of :data:`hopperbook.fp8.experiment.RECIPES`.
    kind : str
        ``weight``, ``activation`` or ``gradient``.
    x : ndarray of float32, shape (rows, k)
        The tensor.
    past : float
        Largest magnitude of the step before over that of this one; delayed scaling alone looks at it.

    Returns
    -------
    CastError
        Error and share of values that became zero.

    Examples
    --------
    >>> from hopperbook.fp8.experiment import RECIPES
    >>> current = next(r for r in RECIPES if r.scaling == "current")
    >>> lost = cast_error(current, "weight", np.array([[1.0, 1.03, 1e-6]], np.float32))
    >>> round(100 * lost.error, 1), round(100 * lost.zeroed)  # percent: of the root mean square, and one value in three
    (2.1, 33)
    """
    run = Run(recipe)
    if recipe.scaling == "delayed":
        form = recipe.gradient if kind == "gradient" else recipe.forward
        run.scales["x"] = update(observe(delayed(4, form), past * float(np.abs(x).max())))
    y = held(run, x, kind, "x")
    error = float(np.sqrt(np.sum((y - x) ** 2.0) / np.sum(x.astype(float) ** 2)))
    return CastError(error, float(np.mean((x != 0) & (y == 0))))


def sum_error(k: int, seed: int, *, signed: bool = False, bits: int = 24, promote: int = 0) -> float:
    """Return the worst relative error of 144 sums of k products of random numbers in E4M3.

    Parameters
    ----------
    k : int
        Products in a sum.
    seed : int
        Of the generator.
    signed : bool
        True for normal numbers of both signs, false for numbers from 0 to 1.
    bits : int
        Significant bits of the accumulator.
    promote : int
        Products after which the partial sum moves to float32; 0 = never.

    Returns
    -------
    float
        Largest error over the exact sum.

    Examples
    --------
    >>> round(100 * sum_error(4096, 4096, bits=14), 1)  # percent
    7.7
    >>> round(1e6 * sum_error(4096, 4096), 1)  # with float32's 24 bits, parts per million
    2.0
    """
    rng = np.random.default_rng(seed)
    draw = rng.standard_normal if signed else rng.random
    a, b = (quantize(draw(shape).astype(np.float32))[0] for shape in ((SUM_ROWS, k), (k, SUM_ROWS)))
    exact = a.astype(float) @ b.astype(float)
    return float(np.max(np.abs(accumulate(a, b, bits=bits, promote=promote) - exact) / np.abs(exact)))
