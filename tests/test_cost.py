"""Costs against hand-worked figures, and their order."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hopperbook import cost, facts
from hopperbook.errors import InputError
from hopperbook.planner import tenure

#: 300,000 USD, eight GPUs, 10 kW, PUE 1.3, 200 USD a kW and month, 0.10 USD a kWh, 36 months, 30 % left, 8 %, 5 %;
#: 80 % fetched at once, 35 % of the power when idle.
SERVER = cost.Ownership(300_000, 8, 10_000, 1.3, 200, 0.10, 36, 0.3, 0.08, 0.05, 0.8, 0.35)
usd = st.floats(0.1, 50)


def test_rent_by_hand():
    assert cost.rent_usd_per_month(16, 2.5) == 16 * 2.5 * 730 == 29_200
    assert cost.usd_per_run(64, 2.0, 5 * 86_400) == 64 * 2 * 120 == 15_360
    assert np.array_equal(cost.rent_usd_per_month(np.array([1, 8]), 1.0), [730.0, 5840.0])


def test_ownership_by_hand():
    depreciation = 300_000 * 0.7 / 36  # 5,833.33
    interest = 0.08 / 12 * 300_000 * 1.3 / 2  # 1,300
    care = 0.05 / 12 * 300_000  # 1,250
    space = 200 * 10  # 2,000
    power = 730 * 0.10 * 1.3 * 10 * (0.35 + 0.65 * 0.5)  # 640.575
    assert cost.power_usd_per_month(SERVER, 0.5) == pytest.approx(space + power)
    assert cost.own_usd_per_month(SERVER, 1, 0.5) == pytest.approx(depreciation + interest + care + space + power)
    assert cost.own_usd_per_month(SERVER, 1, 0.5) == pytest.approx(11_023.908, abs=1e-3)
    assert cost.own_usd_per_month(SERVER, 3) == pytest.approx(3 * cost.own_usd_per_month(SERVER, 1))


def test_space_goes_by_the_power_reserved_and_electricity_by_the_power_drawn():
    rated = replace(SERVER, reserved_w=12_500)
    power = 730 * 0.10 * 1.3 * 10 * (0.35 + 0.65 * 0.5)
    assert cost.power_usd_per_month(rated, 0.5) == pytest.approx(200 * 12.5 + power)
    assert cost.power_usd_per_month(replace(SERVER, reserved_w=10_000), 0.5) == cost.power_usd_per_month(SERVER, 0.5)


def test_break_even_by_hand():
    running = 1300 + 1250 + 2000 + 949  # interest, care, space, power at full load
    own, rent = cost.cumulative_usd(SERVER, 2, 2.5, np.array([0.0, 36.0]))
    assert own[0] == pytest.approx(2 * 300_000 * (1 - SERVER.resale_at_once))
    assert own[1] == pytest.approx(2 * (300_000 * 0.7 + running * 36))
    assert rent[1] == 16 * 2.5 * 730 * 36
    month = cost.break_even_month(SERVER, 1, 2.5)
    own, rent = cost.cumulative_usd(SERVER, 1, 2.5, np.array([month - 0.1, month]))
    assert own[0] > rent[0]
    assert own[1] <= rent[1]
    assert math.isinf(cost.break_even_month(SERVER, 1, 0.5))


def test_cost_of_tokens_by_hand():
    # 10,000 USD a month, 1,000 tokens a second, busy half of 2,628,000 s: 1,314 million tokens.
    assert cost.usd_per_million_tokens(10_000, 1000, 0.5) == pytest.approx(10_000 / 1314)


@settings(max_examples=60, deadline=None)
@given(usd, usd, st.integers(1, 512))
def test_dearer_hours_cost_more(a, b, gpus):
    low, high = sorted((a, b))
    assert cost.rent_usd_per_month(gpus, low) <= cost.rent_usd_per_month(gpus, high)
    assert cost.break_even_month(SERVER, 1, low) >= cost.break_even_month(SERVER, 1, high)


@settings(max_examples=60, deadline=None)
@given(st.floats(0, 1), st.floats(0, 1), st.floats(1, 3))
def test_load_and_every_price_raise_the_cost_of_owning(a, b, factor):
    low, high = sorted((a, b))
    assert cost.own_usd_per_month(SERVER, 1, low) <= cost.own_usd_per_month(SERVER, 1, high)
    prices = ("server_usd", "usd_per_kwh", "space_usd_per_kw_month", "interest_per_year")
    for name in (*prices, "power_w", "reserved_w", "pue"):
        dearer = replace(SERVER, **{name: getattr(SERVER, name) * factor})
        assert cost.own_usd_per_month(dearer, 1, a) >= cost.own_usd_per_month(SERVER, 1, a)
    longer = replace(SERVER, months=48)
    assert cost.own_usd_per_month(longer) < cost.own_usd_per_month(SERVER)


@pytest.mark.parametrize("price", [0, -1.0, math.nan, math.inf])
def test_prices_that_are_none_are_refused(price):
    with pytest.raises(InputError, match="h100"):
        cost.positive("h100", price)


def test_tornado_puts_the_widest_first():
    rows = cost.tornado(
        lambda x: x["price"] * x["hours"], {"price": 2, "hours": 10}, {"hours": (9, 11), "price": (1, 4)}
    )
    assert [row[0] for row in rows] == ["price", "hours"]
    assert rows[0][3:] == (10, 40)


def test_owning_on_file_lies_between_its_ends():
    for gpu in ("H100 SXM", "H200 SXM"):
        ends = [
            float(cost.own_usd_per_month(tenure.ownership(gpu, 36, end), 1, 0.5)) for end in ("low", "typical", "high")
        ]
        assert ends == sorted(ends)
        rented = cost.rent_usd_per_month(8, facts.price(gpu, "hyperscaler").typical)
        assert 0.1 * rented < ends[1] < 2 * rented
