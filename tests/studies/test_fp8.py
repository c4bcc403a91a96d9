"""What FP8 loses: the stored experiment's rows, number lines, recipes and sums."""

import numpy as np
import pandas as pd
import pytest

from hopperbook import fp8
from hopperbook.studies import fp8 as loses


@pytest.fixture(scope="module", params=["delayed", "current", "row", "block"])
def losses(request):
    return loses.losses(request.param)


def test_bf16_is_its_own_yardstick(losses):
    row = losses.of("BF16")
    assert (row.over_bf16, row.over_low, row.over_high) == (0.0, 0.0, 0.0)


def test_yours_is_the_recipe_asked_for_and_within_what_is_said_of_all(losses):
    assert losses.yours.recipe == losses.recipe.name
    assert max(abs(losses.yours.over_low), abs(losses.yours.over_high)) <= losses.apart_nats
    assert losses.unscaled.over_bf16 > losses.apart_nats


def test_curves_drawn_are_three_with_bands_around_their_means(losses):
    curves = losses.drawn()
    assert set(curves.series) == {"BF16", losses.recipe.name, losses.unscaled.recipe}
    assert ((curves.low <= curves.y) & (curves.y <= curves.high)).all()


def test_the_ends_of_the_number_lines():
    e4m3, e5m2 = loses.exponents_held("e4m3"), loses.exponents_held("e5m2")
    assert (e4m3[0], e5m2[0]) == (-9.0, -16.0)
    assert e4m3[-1] == pytest.approx(np.log2(448.0))
    assert np.all(np.diff(e5m2) > 0)


def test_gradients_below_half_the_smallest_value_are_lost():
    rows = [("gradient", -18, 0.3), ("gradient", -17, 0.2), ("gradient", -1, 0.5), ("weight", -30, 1.0)]
    found = loses.underflow(pd.DataFrame(rows, columns=["kind", "exponent", "share"]))
    assert found.edge == -17.0
    assert found.zero_e5m2 == pytest.approx(0.3)
    assert found.zero_e4m3 == pytest.approx(0.5)
    assert found.shift == 16  # 2 to the 15 is E5M2's last power of two, the largest gradient's is -1
    assert found.zero_scaled == 0.0
    assert found.bins.percent.sum() == pytest.approx(100.0)
    assert (found.bins.x2 - found.bins.x == 1).all()


def test_rounding_in_the_table_is_half_a_step():
    table = loses.format_table().set_index("format")
    for form in fp8.FORMATS:
        values = fp8.values(form).astype(float)
        normal = values[values >= 1.0]
        worst = np.max(np.diff(normal) / 2 / normal[:-1])
        assert table.step[form.upper()] == pytest.approx(worst)


def test_each_recipe_has_its_row_and_one_is_yours():
    yours = loses.eight_bit_recipes()[3]
    table = loses.recipe_table(512, yours)
    assert len(table) == len(loses.eight_bit_recipes()) + 1
    assert table[table.mine].recipe.tolist() == ["Block"]
    assert (table.activations_error > 0).all()


def test_the_sums_drawn_are_those_named():
    sums = loses.accumulator()
    assert sums.lines.groupby("series").x.apply(list).map(tuple).nunique() == 1
    assert sums.promoted < sums.one_sign
    assert (sums.lines[sums.lines.series == "24 bits"].y < 0.1).all()


def test_bits_needed_falls_with_the_error_allowed():
    assert loses.bits_needed(1024, 1.0, 10) == 10
    assert loses.bits_needed(1024, 1e-3, 10) > loses.bits_needed(1024, 1e-2, 10)
    assert loses.bits_needed(1024, 0.0, 20) == 24
