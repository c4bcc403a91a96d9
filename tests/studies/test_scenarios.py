"""Scenarios side by side: every column a customer, every decision its plan's, every limit twice."""

import math

import pytest

from hopperbook import planner, units
from hopperbook.customer import default
from hopperbook.planner.bill import Strain, bill
from hopperbook.studies import scenarios


@pytest.fixture(scope="module")
def plans():
    return {key: planner.plan(case) for key, case in scenarios.cases(default()).items()}


def never():
    return default().model_copy(update={"tpot_target_ms": 0.001, "training_task": "none"})


def test_cases_have_titles_and_the_customer_is_last():
    cases = scenarios.cases(default())
    assert list(cases) == list(scenarios.TITLES)
    assert cases["yours"] == default()
    table = scenarios.input_table(cases)
    assert list(table) == ["what", *cases]
    assert len(table) == len(scenarios.FIELDS)


def test_a_shop_that_does_not_train_has_no_deadline():
    assert [scenarios.field_words(never(), f) for f in ("training_tokens", "training_deadline_days")] == ["none"] * 2
    free = default().model_copy(update={"budget_usd_per_month": 0.0})
    assert scenarios.field_words(free, "budget_usd_per_month") == "not stated"


def test_decisions_are_the_plans(plans):
    table = scenarios.decision_table(plans)
    for (_, row), made in zip(table.iterrows(), plans.values(), strict=True):
        assert row.low <= row.usd <= row.high
        assert row.usd == made.usd_per_month()
        assert 0 <= row.sure <= 1
        assert row.serve.endswith(made.recommendation.gpu)


def test_where_nothing_keeps_the_targets_nothing_is_named():
    table = scenarios.decision_table({"yours": planner.plan(never())})
    assert table.loc[0, ["serve", "how", "train", "days"]].tolist() == ["nothing meets the targets", "", "none", ""]
    assert math.isnan(table.sure[0])


def test_a_bill_has_its_items_in_order(plans):
    table = scenarios.bill_table(plans["yours"])
    assert table.what.tolist() == [item.what for item in bill(plans["yours"])]
    assert list(scenarios.bill_table(planner.plan(never()))) == ["what", "amount", "unit", "why"]


@pytest.mark.parametrize(("amount", "words"), [(3, "3"), (3.0, "3"), (0.25, "0.25"), (11.2, "11.2")])
def test_amounts_that_are_whole_have_no_point(amount, words):
    assert scenarios.amount_words(amount) == words


def test_odds_near_one_are_not_told_apart():
    assert units.odds(0.999) == units.odds(1.0) != units.odds(0.99)


def test_the_most_strained_limit_stands_for_a_scenario():
    strains = [Strain("budget", 0.6, 1.2, "buy"), Strain("KV cache", 0.3, 0.6, "shrink")]
    table = scenarios.break_table({"A": strains, "B": []})
    assert table.breaks.tolist() == ["budget", ""]
    assert table.now.isna().tolist() == [False, True]
    bars = scenarios.strain_bars(strains)
    assert bars.value.tolist() == pytest.approx([60, 120, 30, 60])


def test_more_gpus_train_in_fewer_days(plans):
    made = plans["A"]
    tried = made.training_table
    counts = sorted(set(tried[tried.gpu == "H100 SXM"].gpus))[:2]
    days = [scenarios.days_on(made, "H100 SXM", int(count)) for count in counts]
    assert days[0] > days[1] > 0
    assert scenarios.days_on(made, "H100 SXM", 7) is None
