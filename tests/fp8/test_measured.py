"""Casts against what Hopper gave for every pattern."""

import numpy as np
import pytest

from hopperbook import fp8
from hopperbook.fp8 import measured

KINDS = {"cast": (np.uint32, np.float32), "half": (np.uint16, np.float16)}


def codes(patterns, form, of):
    bits, real = KINDS[of]
    return fp8.cast(patterns.astype(bits).view(real), form).view(np.uint8)


@pytest.mark.parametrize("of", list(KINDS))
@pytest.mark.parametrize("form", list(fp8.FORMATS))
def test_every_pattern_is_cast_as_the_card_casts_it(form, of):
    runs = measured.cast_runs(form, of)
    first = runs.first.astype(np.int64)
    last = np.r_[first[1:], np.iinfo(runs.first.dtype).max + 1] - 1
    assert first[0] == 0
    assert np.all(last >= first)
    for patterns in (first, last):  # rounding is monotone: both ends of a run hold for all of it
        np.testing.assert_array_equal(codes(patterns, form, of), runs.code)
    inside = np.random.default_rng(1).integers(0, last[-1] + 1, 1_000_000)
    expected = runs.code[np.searchsorted(first, inside, side="right") - 1]
    np.testing.assert_array_equal(codes(inside, form, of), expected)


@pytest.mark.parametrize("form", list(fp8.FORMATS))
def test_runs_meet_at_the_midpoints_between_neighbours(form):
    runs = measured.cast_runs(form)
    table = fp8.values(form).astype(np.float64)
    table = table[table >= 0]
    middle = ((table[1:] + table[:-1]) / 2).astype(np.float32).view(np.uint32).astype(np.int64)
    starts = runs.first[1 : len(table)].astype(np.int64)
    assert set((starts - middle).tolist()) == {0, 1}  # a tie goes to the even code


@pytest.mark.parametrize("form", list(fp8.FORMATS))
def test_the_way_back_is_exact(form):
    every = np.arange(256, dtype=np.uint8).view(fp8.FORMATS[form])
    np.testing.assert_array_equal(measured.halves(form), every.astype(np.float16))


def test_the_calculator_gives_every_sum_that_is_kept():
    found = measured.agreement()
    assert found.same == found.outputs == sum(p.outputs.size for p in measured.products())
    told = measured.conditions()
    assert told["different"] == told["also_different"] == 0
    assert found.outputs < told["compared"] < told["also_compared"]
