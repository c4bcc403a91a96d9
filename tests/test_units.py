"""What is shown and stored does not depend on a number's last bits."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hopperbook import display, units

#: Numbers that lie on a rounding border of some digit: 2.345, 0.0125, 1,450.
TIES = st.one_of(
    st.builds(lambda whole, power: (whole * 10 + 5) * 10.0**power, st.integers(1, 99_999), st.integers(-9, 6)),
    st.sampled_from([1e-3, 10.0, 100.0, 120.0, 7200.0, 172_800.0, 999_500.0, 1e12]),  # where a unit changes
)
NUDGES = st.integers(-4, 4)


def nudged(value, steps):
    for _ in range(abs(steps)):
        value = math.nextafter(value, math.copysign(math.inf, steps))
    return value


@given(TIES, NUDGES, st.integers(1, 8))
def test_a_number_on_a_rounding_border_falls_to_one_side(value, steps, digits):
    other = nudged(value, steps)
    assert units.rounded(other, digits) == units.rounded(value, digits)
    assert units.number(other, digits) == units.number(value, digits)
    assert units.stored(np.float64(other)) == units.stored(value)


@given(TIES, NUDGES, st.integers(0, 4))
def test_every_formatter_is_blind_to_the_last_bits(value, steps, decimals):
    other = nudged(value, steps)
    assert units.fixed(other, decimals) == units.fixed(value, decimals)
    for shown in (units.percent, units.money, units.gib, units.duration, units.tokens, units.integer):
        assert shown(other) == shown(value), shown


@given(st.integers(0, 10_000), st.floats(0.01, 1e4), NUDGES)
def test_whole_multiples_stay_whole_when_rounded_up(count, each, steps):
    assert units.ceiling(nudged(count * each, steps) / each) == count


def test_what_a_table_and_a_result_store_is_rounded(capsys):
    frame = [{"x": 1.0909097498433753, "n": 70_553_706_496, "missing": math.nan}]
    held = display.tables._data("t", display.tables.pd.DataFrame(frame))
    assert held["rows"] == [[1.09091, 70_553_706_496, None]]
    display.result("share", 1.0909097498433749)
    display.result("break_even_months", 4.7, 2.5, math.inf)
    assert capsys.readouterr().out == "share = 1.09091\nbreak_even_months = 4.7 (2.5 to never)\n"
