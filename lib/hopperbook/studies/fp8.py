"""What FP8 loses: the experiment's runs, gradients that become zero, casts under each recipe, sums in few bits."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hopperbook import fp8, units
from hopperbook.fp8 import experiment
from hopperbook.fp8.experiment.recipes import Recipe
from hopperbook.fp8.rounding import cast_error, drawn_tensors, sum_error

#: Where a recipe's scales lie and of when they are.
SCALES = {
    "none": ("none", "–"),
    "delayed": ("one", "earlier steps"),
    "current": ("one", "this step"),
    "row": ("one a row", "this step"),
    "block": ("one a block", "this step"),
}
USES = {"e4m3": "weights, activations", "e5m2": "gradients"}
GROWTH = 4.0  # of a tensor from one step to the next, to show what a delayed scale clips
SUM_LENGTHS = (128, 256, 512, 1024, 2048, 4096, 8192)
SIGNED_DRAWS = 15
RARE_SHARE, RARER_SHARE = 1e-4, 1e-5  # exponents with fewer of the values are left out


def nats(value: float) -> str:
    """Write a loss.

    Parameters
    ----------
    value : float
        Nats.

    Returns
    -------
    str
        Four digits.

    Examples
    --------
    >>> nats(2.34567)
    '2.346'
    """
    return units.number(value, 4)


def thousandths(value: float) -> str:
    """Write a number in thousandths.

    Parameters
    ----------
    value : float
        The number.

    Returns
    -------
    str
        Two digits.

    Examples
    --------
    >>> thousandths(0.0123)
    '12'
    """
    return units.number(1e3 * value)


# The experiment


@dataclass(frozen=True, eq=False)
class Losses:
    """The stored experiment, and which of its recipes is the customer's.

    Parameters
    ----------
    recipe : Recipe
        The customer's.
    curves, finals, exponents : DataFrame
        As :func:`hopperbook.fp8.experiment.stored` returns them.
    about : dict
        Command, text, sizes.
    """

    recipe: Recipe
    curves: pd.DataFrame
    finals: pd.DataFrame
    exponents: pd.DataFrame
    about: dict[str, Any]

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row a recipe: losses in nats, differences to BF16, shares of casts lost."""
        table = experiment.summary(self.finals)
        return table.assign(clipped=table[[f"{kind}_clipped" for kind in experiment.KINDS]].max(axis=1))

    @property
    def yours(self) -> pd.Series:
        """The row of the customer's recipe."""
        return self.of(self.recipe.name)

    @property
    def unscaled(self) -> pd.Series:
        """The row of the recipe without scales."""
        return self.of(next(r.name for r in eight_bit_recipes() if r.scaling == "none"))

    @property
    def apart_nats(self) -> float:
        """How far from BF16 a seed of a scaled recipe ends at most, nats."""
        scaled = [r.name for r in eight_bit_recipes() if r.scaling != "none"]
        return float(np.abs(self.table.set_index("recipe").loc[scaled, ["over_low", "over_high"]].to_numpy()).max())

    @property
    def between_seeds_nats(self) -> float:
        """How far one seed in BF16 ends from another at most, nats."""
        return float(np.ptp(self.finals[self.finals.recipe == "BF16"].held_out))

    @property
    def wide(self) -> pd.Series:
        """The run without scales that started with larger weights: ``gap_nats`` behind BF16, ``gradient_zeroed``."""
        runs = pd.DataFrame(self.about["wide_runs"]).set_index("recipe")
        bare = runs.loc[self.unscaled.recipe]
        gap_nats = float(bare.held_out - runs.loc["BF16"].held_out)
        return pd.Series({"gap_nats": gap_nats, "gradient_zeroed": float(bare.gradient_zeroed)})

    def of(self, recipe: str) -> pd.Series:
        """Return the row of a recipe by its name."""
        return self.table[self.table.recipe == recipe].iloc[0]

    def drawn(self) -> pd.DataFrame:
        """Return loss curves of BF16, the customer's recipe and none: ``series x y low high`` over seeds, nats."""
        shown = ["BF16", self.recipe.name, self.unscaled.recipe]
        rows = self.curves[self.curves.recipe.isin(shown)].groupby(["recipe", "step"], sort=False)
        found = rows.loss.agg(["mean", "min", "max"]).reset_index()
        names = {"recipe": "series", "step": "x", "mean": "y", "min": "low", "max": "high"}
        return found.rename(columns=names)


def eight_bit_recipes() -> list[Recipe]:
    """List the experiment's recipes in FP8.

    Returns
    -------
    list of Recipe
        In the order of the experiment.

    Examples
    --------
    >>> [recipe.scaling for recipe in eight_bit_recipes()]
    ['delayed', 'current', 'row', 'block', 'none']
    """
    return [recipe for recipe in experiment.RECIPES if recipe.name.startswith("FP8")]


def losses(scaling: str) -> Losses:
    """Read the stored experiment for a customer's recipe.

    Parameters
    ----------
    scaling : str
        The customer's ``fp8_recipe``.

    Returns
    -------
    Losses
        Losses in nats a character.

    Examples
    --------
    >>> found = losses("current")
    >>> found.recipe.name, round(float(found.unscaled.over_bf16), 2)
    ('FP8 current', 0.98)
    """
    recipe = next(r for r in eight_bit_recipes() if r.scaling == scaling)
    return Losses(recipe, *experiment.stored())


# Formats, casts, sums


class Underflow(NamedTuple):
    """Gradients by power of two, and what of them a format rounds to zero.

    ``bins`` has ``x x2 percent``; ``edge`` is the log2 below which E5M2 holds nothing; ``shift`` the power of two of a
    scale that moves the largest gradient to the largest value; ``zero_e5m2``, ``zero_e4m3`` and ``zero_scaled`` are
    shares of the values.
    """

    bins: pd.DataFrame
    edge: float
    shift: int
    zero_e5m2: float
    zero_e4m3: float
    zero_scaled: float


def exponents_held(format: str) -> NDArray[np.float32]:
    """Return log2 of every positive value of a format.

    Parameters
    ----------
    format : str
        ``e4m3`` or ``e5m2``.

    Returns
    -------
    ndarray
        In order.

    Examples
    --------
    >>> exponents_held("e5m2").min(), exponents_held("e4m3").min()
    (np.float32(-16.0), np.float32(-9.0))
    """
    values = fp8.values(format)
    return np.log2(values[values > 0])


def underflow(exponents: pd.DataFrame) -> Underflow:
    """Lay the experiment's gradients on the number lines of the two formats.

    Parameters
    ----------
    exponents : DataFrame
        ``kind exponent share`` of the experiment.

    Returns
    -------
    Underflow
        What becomes zero: all below half the smallest value.

    Examples
    --------
    >>> found = underflow(losses("current").exponents)
    >>> round(found.zero_e5m2, 2), round(found.zero_e4m3, 2), found.shift, round(found.zero_scaled, 2)
    (0.67, 1.0, 25, 0.0)
    """
    rows = exponents[(exponents.kind == "gradient") & (exponents.share > RARER_SHARE)]
    edges = {format: float(exponents_held(format).min()) - 1 for format in fp8.FORMATS}
    shift = np.floor(np.log2(fp8.largest("e5m2"))) - float(rows.exponent.max())
    below = {edge: float(rows[rows.exponent < edge].share.sum()) for edge in (*edges.values(), edges["e5m2"] - shift)}
    start = rows.exponent.astype(float)
    bins = pd.DataFrame({"x": start, "x2": start + 1, "percent": 100 * rows.share}).reset_index(drop=True)
    zero = [below[edge] for edge in (edges["e5m2"], edges["e4m3"], edges["e5m2"] - shift)]
    return Underflow(bins, edges["e5m2"], int(shift), *zero)


def exponent_span(exponents: pd.DataFrame, kind: str) -> int:
    """Return how many powers of two a kind of tensor spans, rare values left out.

    Parameters
    ----------
    exponents : DataFrame
        ``kind exponent share`` of the experiment.
    kind : str
        ``weight``, ``activation`` or ``gradient``.

    Returns
    -------
    int
        Powers of two.

    Examples
    --------
    >>> exponent_span(pd.DataFrame({"kind": "weight", "exponent": [-3, 0, 9], "share": [0.5, 0.5, 1e-6]}), "weight")
    4
    """
    held = exponents[(exponents.kind == kind) & (exponents.share > RARE_SHARE)].exponent
    return int(held.max() - held.min() + 1)


def format_table() -> pd.DataFrame:
    """List the two formats: how many values, the ends of the range, the rounding.

    Returns
    -------
    DataFrame
        ``format values least most step use``; the step is the largest rounding as a share of the value.

    Examples
    --------
    >>> format_table()[["format", "values", "most", "step"]].values.tolist()
    [['E4M3', 253, 448.0, 0.0625], ['E5M2', 247, 57344.0, 0.125]]
    """
    return pd.DataFrame(
        {
            "format": form.upper(),
            "values": len(fp8.values(form)),
            "least": f"2 to the −{int(-exponents_held(form).min())}",
            "most": fp8.largest(form),
            "step": 2.0 ** -(ml_dtypes.finfo(dtype).nmant + 1),
            "use": USES[form],
        }
        for form, dtype in fp8.FORMATS.items()
    )


def recipe_table(width: int, yours: Recipe) -> pd.DataFrame:
    """Cast drawn activations and gradients under every FP8 recipe.

    Parameters
    ----------
    width : int
        Columns of the tensors: the model's hidden size.
    yours : Recipe
        The customer's recipe.

    Returns
    -------
    DataFrame
        ``recipe scales when formats mine``, and for each kind of tensor its ``_error`` and share ``_zeroed``.

    Examples
    --------
    >>> table = recipe_table(1024, eight_bit_recipes()[1]).set_index("recipe")
    >>> (100 * table.activations_error[["Delayed", "Delayed, tensor grown fourfold"]]).round(1).tolist()  # percent
    [2.7, 45.4]
    """
    activations, gradients = drawn_tensors(width)
    kinds = [(r, r.scaling.capitalize() if r.scaling != "none" else "No scale", 1.0) for r in eight_bit_recipes()]
    kinds.insert(1, (kinds[0][0], "Delayed, tensor grown fourfold", 1 / GROWTH))
    rows = []
    for recipe, name, past in kinds:
        scales, when = SCALES[recipe.scaling]
        formats = f"{recipe.forward.upper()} / {recipe.gradient.upper()}"
        row: dict[str, Any] = {"recipe": name, "scales": scales, "when": when, "formats": formats}
        row |= {"mine": recipe is yours and past == 1.0}
        for kind, tensor in (("activations", activations), ("gradients", gradients)):
            lost = cast_error(recipe, kind.removesuffix("s"), tensor, past)
            row |= {f"{kind}_error": lost.error, f"{kind}_zeroed": lost.zeroed}
        rows.append(row)
    return pd.DataFrame(rows)


class Accumulator(NamedTuple):
    """Sums in Hopper's accumulator as published, and errors of ours as shares of the exact sum.

    ``lines`` has ``x`` (products in a sum), ``y`` (worst error, %) and ``series``; ``one_sign`` and ``promoted`` are
    its values at ``k``; ``signed`` are errors of draws with values of both signs.
    """

    bits: int
    promote_every: int
    k: int
    published: float
    lines: pd.DataFrame
    one_sign: float
    promoted: float
    signed: NDArray[np.float64]


def accumulator() -> Accumulator:
    """Sum products in the published accumulator, with promotion, and in FP32.

    Returns
    -------
    Accumulator
        The worst of all sums by their length.

    Examples
    --------
    >>> found = accumulator()
    >>> found.bits, found.k, round(found.one_sign, 4)
    (14, 4096, 0.0771)
    """
    told = fp8.published_accumulator()
    bits, every, k = told["bits"], told["promote_every"], told["error_at_k"]
    ways = {f"{bits} bits": (bits, 0), f"{bits} bits, promoted": (bits, every), "24 bits": (24, 0)}
    lines = pd.DataFrame(
        {"x": n, "y": 100 * sum_error(n, n, bits=width, promote=promote), "series": name}
        for name, (width, promote) in ways.items()
        for n in SUM_LENGTHS
    )
    at_k = lines[lines.x == k].y / 100
    signed = np.array([sum_error(k, seed, signed=True, bits=bits) for seed in range(SIGNED_DRAWS)])
    return Accumulator(bits, every, k, told["error"], lines, float(at_k.iloc[0]), float(at_k.iloc[1]), signed)


def bits_needed(k: int, error: float, start: int) -> int:
    """Return the bits of an accumulator whose positive sums are less than an error off.

    Parameters
    ----------
    k : int
        Products in a sum.
    error : float
        As a share of the exact sum.
    start : int
        Fewest bits to try.

    Returns
    -------
    int
        Significant bits, 24 at most.

    Examples
    --------
    >>> bits_needed(4096, 0.01, 12)
    17
    """
    return next((b for b in range(start, 24) if sum_error(k, k, bits=b) < error), 24)
