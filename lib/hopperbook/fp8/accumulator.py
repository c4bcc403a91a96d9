"""A GEMM in FP8 as Hopper's tensor cores add it up: products cut to a common exponent, few bits, promotion."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hopperbook import facts
from hopperbook.errors import InputError
from hopperbook.fp8.formats import FORMATS, cast, smallest_normal

Doubles = NDArray[np.float64]
EXPONENT_BITS = 0x7FF << 52  # of a float64
LEAST = 2.0**-126  # below every product's exponent


def accumulate(
    a: np.ndarray, b: np.ndarray, *, bits: int = 24, promote: int = 0, step: int = 32, start: ArrayLike = 0.0
) -> NDArray[np.float32]:
    r"""Multiply two FP8 matrices with exact products and an accumulator of limited width.

    One instruction adds ``step`` products to the accumulator r.  With E the largest exponent among r and the products,
    where a product's is the sum of its operands' exponent fields, not normalised, and u what the last bit is worth,

    .. math:: r' = c\Big(u\,\big\lfloor r / u \rfloor_0 + u \sum_i \lfloor a_i b_i / u \rfloor_0\Big),
              \qquad u = 2^{E + 1 - \mathrm{bits}},

    where :math:`\lfloor\,\rfloor_0` cuts towards zero, the sum is exact, and c cuts it to ``bits`` significant bits.
    Every ``promote`` products r is added to a float32 register, rounded to nearest, and starts again at zero.

    Parameters
    ----------
    a : ndarray, shape (m, k)
        FP8 codes, or values that E4M3 represents.
    b : ndarray, shape (k, n)
        Likewise; the formats of a and b may differ.
    bits : int
        Significant bits of the accumulator: 14 on Hopper, 24 is float32.
    promote : int
        Products after which the partial sum is added in float32; 0 = never.
    step : int
        Products an instruction adds.
    start : array_like, shape (m, n)
        What the accumulator holds before the first product.

    Returns
    -------
    ndarray of float32, shape (m, n)
        The product.

    Raises
    ------
    InputError
        If a value is neither a code nor one that E4M3 represents.

    Notes
    -----
    With 14 bits and 32 products an instruction this gives all 1,114,112 outputs that came back from an H100, bit for
    bit, by ``wgmma`` (``QGMMA`` in machine code), cuBLASLt and Triton; a part of them is kept
    (:func:`hopperbook.fp8.measured.agreement`), and an H200 gave the same.  On each card itself the rule in CUDA gave
    713,031,680 more.  cuBLASLt's fast accumulation never promotes, its other mode every 128 products.  Hopper runs the
    older ``mma.sync`` in FP8 on its FP16 units, which keep float32's bits.

    Source: ``hopperbook-2026-measured``; the width first in ``deepseek-v3-2024``, section 3.3.2, the rule in
    ``xie-2025-mma`` and ``khattak-2025-tensor-cores``.

    Examples
    --------
    >>> ones = np.ones((1, 256), np.float32)
    >>> float(accumulate(ones, ones.T, bits=14)[0, 0])
    256.0
    >>> float(accumulate(ones * 1.125, ones.T, bits=8)[0, 0])  # beside the first 36 an eighth is cut
    260.0
    """
    (a_values, a_powers), (b_values, b_powers) = _parts("a", a), _parts("b", np.asarray(b).T)
    k = a_values.shape[1]
    total = np.zeros((len(a_values), len(b_values)), np.float32)
    register = np.zeros(total.shape) + np.asarray(start, np.float64)
    for begin in range(0, k, step):
        end = begin + step
        products = a_values[:, None, begin:end] * b_values[:, begin:end]
        powers = a_powers[:, None, begin:end] * b_powers[:, begin:end]
        register = _instruction(register, products, powers, bits)
        if promote and (end % promote == 0 or end >= k):
            total += register.astype(np.float32)
            register = np.zeros_like(register)
    return total if promote else register.astype(np.float32)


def _instruction(register: Doubles, products: Doubles, powers: NDArray[np.float32], bits: int) -> Doubles:
    """Add products [m, n, step] to the register [m, n]; ``powers`` are two to the exponents of their fields."""
    largest = np.maximum(powers.max(axis=2), _power(register))
    unit = np.maximum(largest, LEAST) * 2.0 ** (1 - bits)
    products /= unit[..., None]
    total = np.trunc(products, out=products).sum(axis=2) + np.trunc(register / unit)
    last = np.maximum(_power(total) * 2.0 ** (1 - bits), 1.0)  # of a whole number there is nothing to cut below 1
    return np.trunc(total / last) * (last * unit)


def _power(x: Doubles) -> Doubles:
    """Return the power of two of each number's leading bit, zero for zero: the number without its fraction bits."""
    return (x.view(np.int64) & EXPONENT_BITS).view(np.float64)


def _parts(name: str, x: np.ndarray) -> tuple[Doubles, NDArray[np.float32]]:
    """Return the values of codes and two to the exponent that each code's field says: a subnormal's is the lowest."""
    if x.dtype not in [np.dtype(form) for form in FORMATS.values()]:
        codes, wide = cast(x, "e4m3"), np.asarray(x, np.float64)
        lost = wide[codes.astype(np.float64) != wide]
        if lost.size:
            near = float(cast(lost[0]).astype(np.float64))
            raise InputError(name, float(lost[0]), "FP8 codes, or values that E4M3 represents", f"{near:g}")
        x = codes
    values = np.ascontiguousarray(x).astype(np.float64)
    powers = np.where(values != 0, np.maximum(_power(values), smallest_normal(x.dtype)), 0.0)
    return values, powers.astype(np.float32)


def published_accumulator() -> dict[str, Any]:
    """Return what others measured of Hopper's FP8 accumulator, from ``data/fp8/published.yaml``.

    Returns
    -------
    dict
        ``bits``, ``promote_every`` products, ``error`` as a fraction at ``error_at_k``, ``source``.

    Notes
    -----
    Source: ``deepseek-v3-2024``, section 3.3.2.

    Examples
    --------
    >>> published_accumulator()["bits"]
    14
    """
    return facts.read_yaml("fp8/published.yaml")["accumulator"]
