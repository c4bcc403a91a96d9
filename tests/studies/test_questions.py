"""What chapter 13 computes: shares of the map that add up, ratios of two parts, and what a token costs."""

import math

import numpy as np
import pandas as pd
import pytest

from hopperbook import facts, planner, units
from hopperbook.customer import default
from hopperbook.planner.borders import Border
from hopperbook.studies import questions


@pytest.fixture(scope="module")
def loads():
    return planner.decision_map(default())


def test_shares_of_all_winners_add_up_to_one(loads):
    winners = set(np.unique(loads.winner.astype(str)))
    assert sum(questions.share_won(loads, part) for part in winners) == pytest.approx(1)
    assert sum(questions.cells_won(loads, part) for part in winners) == loads.winner.size


def test_a_share_of_no_model_is_nothing(loads):
    assert questions.share_won(loads, "H200", from_billions=1e6) == 0.0
    small, large = (questions.share_won(loads, "H200", *ends) for ends in ((0, 31), (31, math.inf)))
    columns = int((loads.parameters < 31e9).sum())
    whole = questions.share_won(loads, "H200")
    assert whole == pytest.approx((columns * small + (7 - columns) * large) / 7)


def test_borders_say_dollars_or_numbers():
    words = questions.border_words(Border("price of H200 SXM", 3.0, 2.5, ""))
    assert words == "Price of H200 SXM at $2.50 (now $3.00)"
    words = questions.border_words(Border("price of H200 SXM", 300e3, 250e3, "", "a server"))
    assert words == "Price of H200 SXM at $250,000 a server (now $300,000)"
    assert questions.border_words(Border("context", 8192, 16384, "")) == "Context at 16,384 (now 8,192)"


def test_a_token_costs_the_price_over_the_rate():
    parts = ("A100 SXM 80GB", "H100 SXM")
    gains = questions.inference_gains(default(), parts, ("meta-llama/Llama-3.1-8B",)).set_index("gpu")
    old, new = (gains.loc[part] for part in parts)
    assert old.gain == 1.0
    assert new.gain == pytest.approx(new.output_tokens_per_s / old.output_tokens_per_s)
    usd = new.usd_per_million * new.output_tokens_per_s * 3600 / 1e6
    assert usd == pytest.approx(facts.price("H100 SXM", "other").typical)
    ratio = new.usd_per_million / old.usd_per_million
    assert ratio == pytest.approx(questions.price_ratio(default(), *reversed(parts)) / new.gain)


def test_targets_that_nothing_keeps_leave_no_gain():
    hurried = default().model_copy(update={"tpot_target_ms": 0.1})
    gains = questions.inference_gains(hurried, facts.drawn(), ("meta-llama/Llama-3.1-8B",))
    assert gains.gain.isna().all() and gains.usd_per_million.isna().all()
    assert math.isnan(questions.premium(hurried, "H200 SXM", "H100 SXM").worth)


def test_a_part_is_worth_itself():
    assert questions.premium(default(), "H100 SXM", "H100 SXM") == (1.0, 1.0, 1.0)


def test_forms_are_compared_with_the_board():
    timed = questions.form_factors(default(), "H100 SXM")
    assert set(timed.gpu) == set(questions.forms("H100 SXM"))
    assert (timed[timed.gpu == "H100 SXM"].ratio == 1.0).all()
    assert (timed[timed.gpu == "H100 PCIe"].ratio > 1.2).all()
    assert questions.on_a_card("A100 SXM 80GB") == "A100 PCIe 80GB"


def test_judged_ratios_are_of_equal_runs():
    pairs = questions.judged_ratio("H200", "H100")
    assert pairs.error.to_numpy() == pytest.approx((pairs.predicted / pairs.measured - 1).to_numpy())
    assert (pairs.measured > 0).all()
    swapped = questions.judged_ratio("H100", "H200")
    inverse = np.sort(1 / swapped.measured.to_numpy())
    assert np.sort(pairs.measured.to_numpy()) == pytest.approx(inverse)
    assert isinstance(pairs, pd.DataFrame) and len(pairs) == len(swapped)


def test_the_other_market_of_the_other_market_is_ones_own(loads):
    away = default().model_copy(update={"market": "hyperscaler"})
    assert (questions.other_market_map(away).winner == loads.winner).all()


@pytest.mark.parametrize(
    ("worth", "words"),
    [
        (1.5, "the H200 is the better choice"),
        (1.2, "the H100 is the better rent, and the H200 the better purchase"),
        (1.0, "the H100 is the better choice"),
    ],
)
def test_a_premium_pays_to_rent_and_to_buy_by_itself(worth, words):
    assert words in questions.premium_words(questions.Premium(worth, 1.3, 1.1), "H200", "H100")
    turned = questions.premium_words(questions.Premium(1.2, 1.1, 1.3), "H200", "H100")
    assert "the H200 is the better rent, and the H100 the better purchase" in turned


def test_the_plan_counts_whole_fleets():
    made = planner.plan(default())
    said = questions.whole_fleets(made, made.recommendation.gpu, made.runner_up.gpu)
    for row in (made.recommendation, made.runner_up):
        assert f"{row.gpus} × {row.gpu}, bought, at {units.money(row.usd)} a month" in said
    assert questions.whole_fleets(made, made.recommendation.gpu, "none such") == ""
