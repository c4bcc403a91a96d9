"""What the executive page computes: ranges hold their value, the map counts every cell, options repeat the plan."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from hopperbook import facts, planner, units
from hopperbook.customer import default
from hopperbook.planner.reject import Rejected
from hopperbook.planner.stress import with_spare
from hopperbook.studies import answer


@pytest.fixture(scope="module")
def plan():
    return planner.plan(default())


def test_everything_costs_what_its_parts_cost(plan):
    typical, low, high = answer.costs(plan)
    parts = [part.usd for part in (plan.recommendation, plan.training, plan.small) if part is not None]
    assert typical == pytest.approx(sum(parts))
    assert low <= typical <= high


def test_ranges_are_the_bands_of_the_replica(plan):
    row = plan.recommendation
    bands, found = planner.bands(row.deployment), answer.latency(row)
    assert [each / found.tpot_ms[0] for each in found.tpot_ms[1:]] == pytest.approx(bands["tpot"])
    assert [each / found.ttft_s[0] for each in found.ttft_s[1:]] == pytest.approx(bands["ttft"])
    days = answer.run_days(default(), plan.training)
    assert days[1:] == pytest.approx([plan.training.days * end for end in planner.days_band(default(), "H100 SXM")])


def test_training_counts_more_only_where_it_costs_more(plan):
    assert not answer.trains_mostly(plan)  # LoRA in the idle hours of the fleet
    dear = SimpleNamespace(recommendation=SimpleNamespace(usd=1.0), training=SimpleNamespace(usd=2.0))
    assert answer.trains_mostly(dear)
    assert not answer.trains_mostly(SimpleNamespace(recommendation=None, training=SimpleNamespace(usd=2.0)))


def test_a_third_more_for_half_the_time():
    row, other = SimpleNamespace(usd=90.0, tpot_at_s=0.02), SimpleNamespace(usd=120.0, tpot_at_s=0.01)
    assert answer.against(other, row) == (pytest.approx(1 / 3), pytest.approx(0.5))
    assert answer.against(row, row) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("usd", "chosen", "words"),
    [
        (110.0, 100.0, "Costs 10 % more"),
        (90.0, 100.0, "Costs 10 % less"),
        (250.0, 100.0, "Costs 2.5 times as much"),
        (9.0, 0.0, "Costs 0.0 % more"),
    ],
)
def test_costs_in_words(usd, chosen, words):
    assert answer.more_words(usd, chosen).replace("\u202f", " ") == words


def test_options_show_cost_time_and_room(plan):
    row = plan.recommendation
    shown = answer.option("Recommended", row, "Least cost.")
    assert shown.name == f"{row.gpus} × {row.gpu}"
    (cost, ends), (each, _), _ = shown.values
    assert float(cost.replace(",", "")) == pytest.approx(row.usd, rel=0.01)
    assert "$" not in cost + ends
    assert float(each) == pytest.approx(1e3 * row.tpot_at_s, rel=0.05)
    assert answer.refused(Rejected("H200 NVL", "no price", "one"), plan).values == ["", "", ""]


def test_a_price_that_says_nothing_is_not_shown(plan):
    usd = plan.recommendation.usd
    near, far = (Rejected("L4", "too slow", "more time", times * usd, 0.02, 512) for times in (2.0, 50.0))
    assert answer.refused(near, plan).name == "512 × L4" and answer.refused(near, plan).values[0]
    hidden = answer.refused(far, plan)
    assert (hidden.name, hidden.values) == ("L4", ["", "", ""])
    assert hidden.reason == "No number up to 1,024 is sure to meet the targets: too slow. Reconsider with more time."
    keeps = plan.runner_up.gpu
    assert answer.refused(Rejected(keeps, "costs more", "less", 50.0 * usd, 0.02, 512), plan).values[0]


def test_other_runs_are_on_other_parts_and_few(plan):
    others = answer.other_runs(plan, most=2)
    assert len(others) <= 2
    assert plan.training.gpu not in {run.gpu for run in others}


def test_every_cell_of_the_map_is_won_once_or_by_none():
    found = answer.near(default())
    empty = (found.map.winner == "").sum()
    assert sum(found.wins.values()) + empty == found.map.winner.size
    assert list(found.wins) == [facts.gpu(part).short for part in facts.drawn()]
    assert found.winner in {*found.wins, ""}
    assert found.unpriced == []


def test_dates_span_those_of_all_parts_drawn():
    first, last = answer.price_dates(default()).split(" to ")
    for part in facts.drawn():
        days = facts.price(part, "other").date.split(" to ")
        assert first <= days[0] <= days[-1] <= last


def test_the_high_end_names_the_premium_only_where_a_rented_job_spans_servers():
    def said(tenure, gpus):
        run = SimpleNamespace(tenure=tenure, gpus=gpus)
        return answer.dear_words(SimpleNamespace(recommendation=None, training=run, usd_per_month=lambda end: 1e4))

    assert all("InfiniBand" in said(tenure, 16) for tenure in ("on_demand", "reserved", "spot"))
    assert not any("InfiniBand" in said(*job) for job in (("on_demand", 8), ("own", 64), ("shared", 16)))


def test_a_run_on_spot_is_told_with_the_number_of_its_sellers():
    for gpu, words in (("H100 SXM", "4 providers let it"), ("H100 NVL", "1 provider lets it")):
        assert words in answer.spot_words(default(), SimpleNamespace(gpu=gpu, usd=5.0, p_deadline=0.7), 10.0)


def test_a_lost_replica_is_told_with_what_a_spare_one_costs(plan):
    row, customer = plan.recommendation, default()
    told = answer.failure_words(row, customer)
    assert "targets are missed" in told and units.money(with_spare(row).usd) in told
    assert "the service stops" in answer.failure_words(replace(row, replicas=1), customer)
    kept = answer.failure_words(replace(row, replicas=12), customer)
    assert kept.endswith("still met.")
