"""Sums in a narrow accumulator: bit for bit what Hopper gave, each part of the rule needed, and its own laws."""

import math

import ml_dtypes
import numpy as np
import pytest

from hopperbook import fp8
from hopperbook.errors import InputError
from hopperbook.fp8 import measured
from hopperbook.fp8.formats import smallest_normal

TOLD = measured.conditions()
PRODUCTS = measured.products()
SHORT = [p for p in PRODUCTS if p.k == 32]


def same(ours, product):
    return ours.view(np.uint32) == product.outputs.view(np.uint32)


@pytest.mark.parametrize("kernel", sorted({p.kernel for p in PRODUCTS}))
def test_bit_for_bit_with_the_tensor_cores(kernel):
    for p in (p for p in PRODUCTS if p.kernel == kernel):
        ours = fp8.accumulate(p.a, p.b, bits=TOLD["bits"], promote=p.promote, step=TOLD["step"], start=p.start)
        assert np.all(same(ours, p)), (p.kernel, p.draw, p.k)


def test_what_was_measured_covers_what_can_differ():
    forms = [np.dtype(form) for form in fp8.FORMATS.values()]
    assert {(p.a.dtype, p.b.dtype) for p in PRODUCTS} == {(a, b) for a in forms for b in forms}
    assert {p.draw for p in PRODUCTS} == {"uniform", "normal", "heavy", "positive"}
    assert {bool(p.start.any()) for p in SHORT} == {False, True}
    assert {32, 128, 512, 4096} <= {p.k for p in PRODUCTS}
    assert {0, 128} == {p.promote for p in PRODUCTS}
    for p in PRODUCTS:
        if p.promote == 0:  # what an accumulator holds has no more bits than it keeps
            assert not np.any(p.outputs.view(np.uint32) & (2 ** (24 - TOLD["bits"]) - 1))


@pytest.mark.parametrize("change", [{"bits": 13}, {"bits": 15}, {"step": 16}, {"step": 64}, {"promote": 64}], ids=str)
def test_other_widths_and_groups_do_not_fit(change):
    arguments = {"bits": TOLD["bits"], "step": TOLD["step"]} | change
    assert not all(
        np.all(same(fp8.accumulate(p.a, p.b, start=p.start, **arguments), p)) for p in PRODUCTS if p.promote == 0
    )


def one(values_a, values_b, start, least, *, normalised=False, cut=math.trunc, aligned=True, kept=True):
    """Sum one output's 32 products in whole numbers and fractions, the rule's parts changed on demand."""
    fraction = TOLD["bits"] - 1
    products = [a * b for a, b in zip(values_a, values_b, strict=True)]

    def exponent(x, lowest=-1000):
        return max(math.frexp(x)[1] - 1, lowest)

    pairs = zip(values_a, values_b, least, strict=True)
    fields = [exponent(a, low[0]) + exponent(b, low[1]) for a, b, low in pairs if a * b]
    if normalised:
        fields = [exponent(x) for x in products if x]
    top = max([*fields, *([exponent(start)] if start and aligned else [])], default=0)
    unit = 2.0 ** (top - fraction)
    total = sum(cut(x / unit) for x in products) + (cut(start / unit) if aligned else start / unit)
    total *= unit
    last = 2.0 ** (exponent(total) - fraction) if total else 1.0
    return math.trunc(total / last) * last if kept else total


def differing(**change):
    """Count the outputs of the shortest products, one in seven, that a changed rule gets wrong."""
    wrong = 0
    for p in SHORT:
        lowest = [int(np.log2(smallest_normal(x.dtype))) for x in (p.a, p.b)]
        a, b, start = p.a.astype(float), p.b.astype(float), p.start.astype(float)
        for i in range(0, p.outputs.size, 7):
            row, column = divmod(i, p.outputs.shape[1])
            ours = one(a[row], b[:, column], start[row, column], [lowest] * 32, **change)
            wrong += np.float32(ours) != p.outputs[row, column]
    return wrong


def test_a_second_calculation_in_whole_numbers_gives_the_same():
    assert differing() == 0


@pytest.mark.parametrize(
    "change", [{"normalised": True}, {"cut": round}, {"cut": math.floor}, {"aligned": False}, {"kept": False}], ids=str
)
def test_every_part_of_the_rule_is_needed(change):
    assert differing(**change) > 0


def test_the_order_of_an_instructions_products_does_not_matter():
    p = SHORT[1]
    order = np.random.default_rng(0).permutation(32)
    again = fp8.accumulate(p.a[:, order], p.b[order], bits=TOLD["bits"], start=p.start)
    assert np.all(same(again, p))


def test_products_below_the_last_bit_are_lost():
    a, b = np.zeros((1, 32)), np.ones((32, 1))
    a[0, 0] = 256.0
    for small, kept in ((2.0**-5, 1.0), (2.0**-6, 0.0)):  # the last of 14 bits below 256 is 2^-5
        a[0, 1:] = small
        assert float(fp8.accumulate(a, b, bits=14)[0, 0]) == 256.0 + kept * 31 * small


def test_promotion_keeps_what_the_accumulator_loses():
    rng = np.random.default_rng(0)
    a, b = (fp8.cast(np.abs(rng.standard_normal(shape))) for shape in ((4, 4096), (4096, 4)))
    exact = a.astype(np.float64) @ b.astype(np.float64)

    def worst(**kwargs):
        return np.max(np.abs(fp8.accumulate(a, b, **kwargs) - exact) / exact)

    assert worst(bits=24) < 1e-5
    assert 0.02 / 5 < worst(bits=14) < 0.02 * 5  # deepseek-v3-2024: nearly 2 % at K = 4096
    assert worst(bits=14, promote=128) < worst(bits=14) / 4


def test_values_that_no_code_holds_are_refused():
    with pytest.raises(InputError, match=r"^a: .*E4M3"):
        fp8.accumulate(np.full((1, 32), 1.03), np.ones((32, 1)))
    with pytest.raises(InputError, match="b"):
        fp8.accumulate(np.ones((1, 32)), np.full((32, 1), 57344.0))
    as_codes = np.full((32, 1), 57344.0, np.float32).astype(ml_dtypes.float8_e5m2)
    assert float(fp8.accumulate(np.ones((1, 32)), as_codes)[0, 0]) == 32 * 57344.0
