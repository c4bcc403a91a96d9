"""What Hopper gave when we measured it: sums of FP8 products and casts, and how many of them we give to the bit."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hopperbook import facts
from hopperbook.errors import InputError
from hopperbook.fp8.accumulator import accumulate
from hopperbook.fp8.formats import FORMATS

FOLDER = facts.DATA / "fp8"


class Product(NamedTuple):
    """A matrix product that was measured: by what and of what numbers, operands, accumulator's start, outputs."""

    kernel: str
    draw: str
    k: int
    promote: int
    a: np.ndarray
    b: np.ndarray
    start: NDArray[np.float32]
    outputs: NDArray[np.float32]


class Runs(NamedTuple):
    """A cast of all patterns in order: each run's first pattern, and the code it gets up to the next run."""

    first: NDArray[np.unsignedinteger]
    code: NDArray[np.uint8]


class Agreement(NamedTuple):
    """How many of the measured sums that we keep the calculator gives to the bit."""

    outputs: int
    same: int


def conditions() -> dict[str, Any]:
    """Return where, when and with what was measured, and what the accumulator was found to be.

    Returns
    -------
    dict
        ``data/fp8/hopper.yaml``: ``bits``, ``step``, ``promote_every``, ``gpu``, ``source`` and more.

    Notes
    -----
    Source: ``hopperbook-2026-measured``.

    Examples
    --------
    >>> conditions()["bits"], conditions()["step"]
    (14, 32)
    """
    return facts.read_yaml("fp8/hopper.yaml")


@cache
def _arrays() -> dict[str, np.ndarray]:
    with np.load(FOLDER / "hopper.npz") as held:
        return dict(held)


@cache
def products() -> tuple[Product, ...]:
    """Read the matrix products that were measured, their inputs drawn again from their seeds.

    Returns
    -------
    tuple of Product
        One for each row of ``data/fp8/hopper_sums.csv``.

    Notes
    -----
    Source: ``hopperbook-2026-measured``.

    Examples
    --------
    >>> first = products()[0]
    >>> first.a.shape, first.b.shape, float(first.outputs[0, 0])
    ((64, 32), (32, 8), 21038.0)
    """
    rows = pd.read_csv(FOLDER / "hopper_sums.csv", comment="#")
    sizes = rows.rows * rows["columns"]
    sums = np.split(_arrays()["sums"].view(np.float32), sizes.cumsum()[:-1])
    starts = iter(np.split(_arrays()["starts"], sizes[rows.start == "drawn"].cumsum()[:-1]))
    found = []
    for row, outputs in zip(rows.itertuples(), sums, strict=True):
        start = next(starts) if row.start == "drawn" else np.zeros(outputs.size, np.float32)
        a = _drawn(row.seed_a, (row.rows, row.k), row.draw, row.format_a)
        b = _drawn(row.seed_b, (row.columns, row.k), row.draw, row.format_b)
        shape = (row.rows, row.columns)
        ends = start.reshape(shape), outputs.reshape(shape)
        found.append(Product(row.kernel, row.draw, row.k, row.promote, a, b.T, *ends))
    return tuple(found)


def _drawn(seed: int, shape: tuple[int, int], draw: str, form: str) -> np.ndarray:
    size = shape[0] * shape[1]
    words = np.random.PCG64(seed).random_raw(-(-size // 8)).astype("<u8")
    return _arrays()[f"draw_{draw}_{form}"][words.view(np.uint8)[:size]].reshape(shape).view(FORMATS[form])


@cache
def agreement() -> Agreement:
    """Sum every measured product again, and count the outputs that are the same to the bit.

    Returns
    -------
    Agreement
        Outputs and those that are the same.

    Notes
    -----
    Source: ``hopperbook-2026-measured``.

    Examples
    --------
    >>> agreement()
    Agreement(outputs=24832, same=24832)
    """
    told, outputs, same = conditions(), 0, 0
    for p in products():
        ours = accumulate(p.a, p.b, bits=told["bits"], promote=p.promote, step=told["step"], start=p.start)
        same += int(np.sum(ours.view(np.uint32) == p.outputs.view(np.uint32)))
        outputs += p.outputs.size
    return Agreement(outputs, same)


def worst_error(k: int, draw: str, promote: int = 0) -> float:
    """Return how far the card's own sums of one length lay from the exact ones at most.

    Parameters
    ----------
    k : int
        Products in a sum.
    draw : str
        ``positive``: even numbers from 0 to E4M3's largest; ``normal`` ``heavy`` ``uniform``: both signs.
    promote : int
        Products after which the partial sum moved to float32; 0 = never.

    Returns
    -------
    float
        Largest error over the exact sum.

    Raises
    ------
    InputError
        If no such sum was measured.

    Notes
    -----
    Source: ``hopperbook-2026-measured``.

    Examples
    --------
    >>> round(100 * worst_error(4096, "positive"), 1), round(100 * worst_error(4096, "positive", 128), 2)  # percent
    (7.7, 0.06)
    """
    found = [p for p in products() if (p.k, p.draw, p.promote) == (k, draw, promote)]
    if not found:
        raise InputError("k", k, f"a length measured for {draw}", [str(p.k) for p in products() if p.draw == draw])
    errors = [np.abs(p.outputs / (p.a.astype(float) @ p.b.astype(float)) - 1).max() for p in found]
    return float(max(errors))


def cast_runs(form: str, of: str = "cast") -> Runs:
    """Return what the card's cast gave for every pattern, as runs of patterns with one code.

    Rounding is monotone, so two casts that agree on the first and the last pattern of each run agree on all.

    Parameters
    ----------
    form : str
        ``e4m3`` or ``e5m2``.
    of : str
        ``cast`` for the 2^32 patterns of float32, ``half`` for the 2^16 of float16.

    Returns
    -------
    Runs
        First patterns and codes.

    Notes
    -----
    Source: ``hopperbook-2026-measured``.

    Examples
    --------
    >>> runs = cast_runs("e4m3")
    >>> len(runs.first), hex(runs.first[1]), int(runs.code[1])  # just above half the smallest value, 2^-10
    (256, '0x3a800001', 1)
    """
    return Runs(_arrays()[f"{of}_{form}_first"], _arrays()[f"{of}_{form}_code"])


def halves(form: str) -> NDArray[np.float16]:
    """Return what the card made of each of the 256 codes on the way back to float16.

    Parameters
    ----------
    form : str
        ``e4m3`` or ``e5m2``.

    Returns
    -------
    ndarray of float16, shape (256,)
        Values by code.

    Notes
    -----
    Source: ``hopperbook-2026-measured``.

    Examples
    --------
    >>> float(halves("e4m3")[0x7E])
    448.0
    """
    return _arrays()[f"back_{form}"].view(np.float16)
