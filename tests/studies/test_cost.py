"""What the chapter on cost computes, against figures worked by hand and against the calculators it rests on."""

import math

import numpy as np
import pytest

from hopperbook import cost, facts, planner
from hopperbook.customer import default, load
from hopperbook.planner.tenure import tenures
from hopperbook.studies import cost as study

#: 300,000 USD, eight GPUs, 10 kW, PUE 1.3, 200 USD a kW and month, 0.10 USD a kWh, 36 months, 30 % left, 8 %, 5 %.
SERVER = cost.Ownership(300_000, 8, 10_000, 1.3, 200, 0.10, 36, 0.3, 0.08, 0.05, 0.8, 0.35)


@pytest.fixture(scope="module")
def fleet():
    return study.paid_fleet(default(), "H100 SXM", 12)


@pytest.fixture(scope="module")
def run():
    return study.spot_run(planner.plan(default()))


def test_the_parts_of_an_owned_month_by_hand():
    month = study.owned_month(SERVER, 1.0)
    assert month.depreciation_usd == pytest.approx(5833.33, abs=0.01)
    assert (month.interest_usd, month.care_usd) == pytest.approx((1300, 1250))
    assert month.power_usd == pytest.approx(200 * 10 + 730 * 0.10 * 1.3 * 10)
    assert sum(month[:4]) == pytest.approx(month.usd) == pytest.approx(8 * 730 * month.usd_per_gpu_hour)


def test_bought_servers_are_whole_and_rented_gpus_are_not(fleet):
    monthly = study.monthly_usd(fleet)
    assert monthly["on_demand"] == 730 * 12 * fleet.on_demand.typical
    assert monthly["own"] == 730 * 16 * fleet.tenures["own"].typical


def test_the_flip_price_makes_the_two_cheapest_equal(fleet):
    others = [usd for kind, usd in study.monthly_usd(fleet).items() if kind != "on_demand"]
    assert 730 * fleet.gpus * study.flip_usd_per_hour(fleet) == pytest.approx(min(others))


def test_the_curves_of_spending_cross_when_buying_pays(fleet):
    pays = study.payback_months(fleet)
    assert pays.low <= pays.typical <= pays.high
    spent = study.spending(fleet, 60).set_index(["plan", "month"]).cost
    cheaper = spent["buy"] <= spent["rent on demand"]
    assert cheaper.idxmax() == math.ceil(pays.typical) if cheaper.any() else pays.typical > 60


def test_a_swing_ends_where_the_changed_input_leads(fleet):
    found = {swing.item: swing for swing in study.swings(fleet, 2000.0, (0.8, 1.25))}
    base = study.usd_per_million(fleet, 2000.0)
    assert found["engine"].usd_low == pytest.approx(base / 0.8)
    assert found["load"].usd_low == pytest.approx(2 * base)
    assert found["price"].usd_high == study.usd_per_million(fleet, 2000.0, price=fleet.on_demand.high)
    widths = [abs(swing.usd_high - swing.usd_low) for swing in study.swings(fleet, 2000.0, (0.8, 1.25))]
    assert widths == sorted(widths, reverse=True)


def test_own_and_api_cost_the_same_at_the_even_load():
    found = study.request(default(), 3.0)
    assert found.api_usd == pytest.approx((0.9 * 512 + 0.9 * 2048) / 1e6)
    at_even = found.own_usd * default().busy_fraction / found.even_load
    assert at_even == pytest.approx(found.api_usd)
    unnamed = default().model_copy(update={"api_usd_per_million_output_tokens": None})
    assert study.request(unnamed, 3.0) is None


def test_markets_hold_every_part_drawn_twice_and_hyperscalers_ask_more():
    prices = study.markets(default())
    assert prices.gpu.tolist() == [gpu for gpu in facts.drawn() for _ in facts.MARKETS]
    assert study.market_gap(prices).ratio > 2
    for row in prices.itertuples():
        who = default().model_copy(update={"market": row.market})
        reserved = next(way for way in tenures(who, row.gpu) if way.kind == "reserved")
        assert row.reserved == pytest.approx(reserved.typical) and row.reserved < row.on_demand


def test_spot_costs_as_much_as_the_other_way_at_the_border(run):
    for kind, rate in study.spot_borders(run).items():
        if 0 < rate < np.inf:
            assert float(study.spot_usd(run, rate)) == pytest.approx(run.offers[kind].typical, rel=0.01)


def test_a_run_on_demand_costs_what_page_one_says_and_idle_servers_are_not_least():
    who = load(facts.DATA / "customers" / "train-70b.yaml")
    plan = planner.plan(who)
    run = study.spot_run(plan)
    table = study.spot_table(run).set_index("way")
    assert table.run.on_demand == pytest.approx(plan.training.usd_run)
    assert table.run.on_demand < table.run.own and table.progress.on_demand < table.progress.own
    assert run.used == pytest.approx(4 * (plan.training.days - 4 / 24) / 365)
    assert table.stretch.own == pytest.approx(1 / run.used)
    assert (table.run / table.progress).nunique() == 1 or np.ptp(table.run / table.progress) < 1e-6
    assert set(study.spot_borders(run)) == {"on_demand"}  # a year reserved costs far more
    words = " ".join(study.offers_words(plan, run).split())
    assert "15 % more for InfiniBand" in words and "take 26 % of it" in words


def test_a_year_filled_with_runs_is_reserved_or_owned_for_less():
    who = load(facts.DATA / "customers" / "train-70b.yaml").model_copy(update={"trainings_per_year": 15.0})
    run = study.spot_run(planner.plan(who))
    assert run.used > 0.9
    assert run.offers["own"].typical < run.offers["reserved"].typical < run.offers["on_demand"].typical
    assert {"on_demand", "reserved"} == set(study.spot_borders(run))


def test_why_a_run_has_no_row_on_spot():
    unpriced = next(gpu for gpu in facts.gpus() if not _priced(gpu))
    assert study.no_spot_words(default(), unpriced, 64).startswith("No price of")
    assert "too few" in study.no_spot_words(default(), "H100 NVL", 64)


def test_the_power_that_is_reserved_is_as_rated_or_marked_as_assumed():
    assert study.reserved_input("H100 SXM")[1:3] == ("10.2", "vendor")
    assert study.reserved_input("H100 NVL").kind == "assumed"


def test_the_curve_of_spot_rises_and_the_others_are_flat(run):
    curve = study.spot_curve(run, np.geomspace(0.1, 1000, 30))
    assert curve[curve.series == "spot"].y.is_monotonic_increasing
    assert curve[curve.series == "on_demand"].y.nunique() == 1


def test_no_run_and_no_price_give_nothing():
    idle = default().model_copy(update={"training_task": "none"})
    assert study.spot_run(planner.plan(idle)) is None
    unpriced = next(gpu for gpu in facts.gpus() if not _priced(gpu))
    assert study.spot_fleet(default(), unpriced, 1, 1, 0.1) is None


def _priced(gpu):
    try:
        return facts.price(gpu, default().market, "spot")
    except ValueError:
        return None


def test_more_losses_want_more_spare_replicas():
    rare, often = (study.spot_fleet(default(), "H100 SXM", 2, 4, rate) for rate in (1e-4, 0.3))
    assert (rare.replicas, often.replicas) == (4, 9)
    assert often.usd_per_month / rare.usd_per_month == pytest.approx(9 / 4)
    assert often.lost_every_s == pytest.approx(12_000)


@pytest.mark.parametrize(
    ("middle", "traced", "words"),
    [
        (90.0, 95.0, "Spot pays at either rate"),
        (90.0, 200.0, "Spot pays while nodes are lost as rarely"),
        (120.0, 200.0, "Owning costs less and meets the target."),
    ],
)
def test_spot_is_held_against_the_cheapest_other_way(middle, traced, words):
    monthly = {"on_demand": 300.0, "reserved": 150.0, "own": 100.0}
    fleets = (study.SpotFleet(3, 3600.0, usd) for usd in (middle, traced))
    assert study.spot_words(monthly, *fleets).startswith(words)


def test_buying_that_never_pays_is_said_in_a_sentence():
    assert study.pays_words(17.0).split() == ["buying", "has", "cost", "less", "after", "17", "months"]
    assert "never" not in study.pays_words(math.inf)
    assert set(study.WAYS) == set(study.monthly_usd(study.paid_fleet(default(), "H100 SXM", 8)))
