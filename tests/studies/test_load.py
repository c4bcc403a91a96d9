"""Little's law, waits, percentiles and days of the chapter on serving, against identities and figures by hand."""

import math

import numpy as np
import pandas as pd
import pytest

from hopperbook import customer, facts, planner, serving
from hopperbook.planner import verify
from hopperbook.planner.load import demand
from hopperbook.serving.demand import Latency, cut_of
from hopperbook.studies import load as study

SHOP = customer.default()


@pytest.fixture(scope="module")
def row():
    return planner.plan(SHOP).recommendation


@pytest.fixture(scope="module")
def seen(row):
    return study.answered(row, SHOP)


def test_the_answer_is_the_plans_own(row, seen):
    assert seen.ttft.mean == pytest.approx(row.ttft_s)
    assert seen.tpot.at(SHOP.tpot_percentile) == pytest.approx(row.tpot_at_s)


@pytest.mark.parametrize("change", [{}, {"think_time_s": 20.0, "concurrency": 200}, {"requests_per_s": 4.0}])
def test_littles_law_holds_of_users_and_of_requests(row, change):
    who = SHOP.model_copy(update=change)
    law = study.little(study.answered(row, who), row.replicas, who, row.deployment)
    assert law.in_flight == pytest.approx(law.rate_per_s * law.answer_s)
    assert law.users == pytest.approx(law.rate_per_s * (law.answer_s + who.think_time_s))
    asked, found = (4.0, law.rate_per_s) if who.requests_per_s else (who.concurrency, law.users)
    assert found == pytest.approx(asked, rel=0.02)
    assert law.idle_answer_s < law.answer_s


def test_a_wait_is_the_sum_of_its_parts_and_the_first_cuts_own(row, seen):
    lengths = demand(SHOP).lengths
    wait = study.wait(row.deployment, lengths, seen.rate_per_s)
    assert wait.rest_s + wait.step_s + wait.prompt_s + wait.before_s + wait.shown_s + wait.front_s == pytest.approx(
        wait.first_s
    )
    assert wait.cycle_s == pytest.approx(wait.step_s / (1 - wait.busy))
    assert wait.busy == pytest.approx(wait.rate_per_s * wait.prompt_s)
    assert wait.rate_per_s == pytest.approx(seen.rate_per_s, rel=0.02)
    assert wait.running == pytest.approx(wait.rate_per_s * lengths.answer * wait.cycle_s)
    # equation: half of a mean cycle, and more for cycles that differ by the prompts in them
    variance = wait.rate_per_s * wait.cycle_s * wait.prompt_s**2 / (1 - wait.busy**2)
    assert wait.rest_s == pytest.approx(wait.cycle_s / 2 * (1 + variance / wait.cycle_s**2), rel=1e-6)


def test_the_first_cut_follows_the_simulation_up_to_the_knee(row):
    d, asked = row.deployment, demand(SHOP)
    curve, knee = study.first_token_curve(d, asked), study.first_token_knee(d, asked.lengths)
    errors = study.curve_errors(curve[curve.rate_per_s <= knee])
    assert errors["ttft_mean"][0] < 0.10 and abs(errors["ttft_mean"][1]) < 0.25
    assert errors["tpot_mean"][0] < 0.10
    assert curve.rate_per_s.iloc[0] < knee <= curve.rate_per_s.iloc[-1]
    cut = cut_of(d, asked.lengths)  # at the knee the rate over the wait is largest
    inside = cut.room_share <= 1
    assert knee == cut.rate_per_s[inside][np.argmax(cut.rate_per_s[inside] / cut.ttft.mean[inside])]
    lines, height = study.curve_lines(curve, knee)
    assert lines.series.nunique() == 5 and height in lines.y.tolist()


def test_percentiles_rise_with_load_and_stop_where_a_rate_overruns(row):
    rows = study.percentiles(row.deployment, row.replicas, SHOP)
    assert rows.load.tolist() == list(study.LOADS)
    for name in ("rate", "in_flight", "mean", "p95", "tpot", "prefill", "cache"):
        assert rows[name].is_monotonic_increasing, name
    assert (rows.p50 <= rows.p95).all() and (rows.p95 <= rows.p99).all()
    rate = SHOP.model_copy(update={"requests_per_s": 3.0 * row.replicas})
    by_rate = study.percentiles(row.deployment, row.replicas, rate)
    assert by_rate.p95.notna().tolist() == [True, True, True, False, False]


def test_a_rate_beyond_all_capacity_is_told_and_answered_as_far_as_it_goes(row):
    flood = SHOP.model_copy(update={"requests_per_s": 1000.0})
    assert study.overrun(row, flood) and not study.overrun(row, SHOP)
    some = study.answered(row, flood)
    assert some.rate_per_s == pytest.approx(study.capacity_per_s(row.deployment, demand(flood).lengths))
    assert math.isfinite(some.ttft.p99)


def test_what_does_not_fit_is_timed_as_if_it_did():
    big = customer.check({"name": "A", "model": "deepseek-v3", "precision": "bf16", "concurrency": 4})
    big = big.model_copy(update={"max_gpus": 8})
    row = planner.plan(big).explained
    assert serving.budget(row.deployment, big.held_tokens).users < 1
    seen = study.answered(row, big)
    assert 0 < seen.ttft.mean < seen.request.mean < math.inf


@pytest.mark.parametrize("change", [{}, {"busy_fraction": 0.01}, {"busy_fraction": 1.0}])
def test_a_day_never_needs_more_than_the_fleet(row, change):
    found = study.by_hour(row.deployment, row.replicas, SHOP.model_copy(update=change))
    assert len(found.hours) == 24
    assert found.hours.needed.max() == row.replicas
    assert found.needed_share == pytest.approx(found.hours.needed.sum() / (24 * row.replicas))
    assert found.hours.loc[found.hours.load.idxmax(), "all_s"] == pytest.approx(row.ttft_at_s, rel=0.05)
    assert study.day_lines(found, row.replicas).x.max() == 23
    assert "replica" in study.needed_words(found)


def test_a_lost_replica_makes_tokens_slower(row):
    rows = study.one_less_and_more(row, SHOP)
    assert rows.replicas.tolist() == [n for n in (row.replicas - 1, row.replicas, row.replicas + 1) if n]
    assert rows.tpot_at.is_monotonic_decreasing and rows.odds.is_monotonic_increasing
    spare = SHOP.model_copy(update={"spare_replicas": 1})
    assert study.one_less_and_more(row, spare).replicas.iloc[0] == row.replicas


def test_a_forgetful_prefix_cache_needs_more_replicas(row):
    rows = study.by_history(row.deployment, row.replicas, SHOP).set_index("change")
    assert rows.needed["As planned"] <= row.replicas
    assert rows.needed["Half the history"] <= rows.needed["As planned"] < rows.needed["Prefix cache finds nothing"]
    assert rows.cache["Half the history"] < rows.cache["As planned"]
    plain = SHOP.model_copy(update={"context_tokens": 0})
    assert list(study.variants(plain)) == ["As planned", "Prompts half as long"]


def test_each_part_stands_in_the_layout_that_carries_most():
    rows = study.best_layouts(SHOP, facts.drawn())
    assert rows.each.is_monotonic_increasing  # the parts are drawn from the oldest to the newest
    assert (rows.each == rows.users / rows.gpus).all()
    hopeless = SHOP.model_copy(update={"tpot_target_ms": 0.5})
    assert not study.best_layouts(hopeless, ["H100 SXM"]).each.any()


def test_words():
    seen = study.answered(planner.plan(SHOP).recommendation, SHOP)
    mean = SHOP.model_copy(update={"ttft_percentile": "mean", "tpot_percentile": "p99"})
    assert study.promise(seen, mean).startswith("on average requests see their first token after")
    assert "99 in 100" in study.promise(seen, mean)
    assert study.short("p99") == "p99"
    assert Latency(1.0, 1.0, 2.0, 3.0, 4.0).at("p95") == 3.0


def test_evidence_is_summed_up_by_arrival():
    rows = pd.DataFrame({"error": [0.1, -0.6], "predicted": [1.1, 0.4], "measured": [1.0, 1.0], "low": [np.nan] * 2})
    rows = rows.assign(high=np.nan, arrival=["poisson", "constant"])
    table = study.evidence_table(study.by_arrival(rows, "First token"))
    assert table.runs.tolist() == [1, 1] and table.coverage.isna().all()
    assert study.far_off(rows) == 1


def test_the_largest_load_is_the_planners(row):
    most = verify.carried(row.deployment, SHOP)
    found = study.best_layouts(SHOP, [row.gpu]).iloc[0]
    assert found.each >= most.users / row.deployment.gpus * (1 - 1e-9)


@pytest.mark.parametrize(("half", "nothing", "said"), [(9.0, 7.0, True), (3.0, 7.0, False), (math.nan, 7.0, False)])
def test_the_routing_is_explained_where_it_turns_the_count(half, nothing, said):
    rows = pd.DataFrame({"change": [study.FINDS_HALF, study.FINDS_NOTHING], "needed": [half, nothing]})
    words = study.routing_words(rows)
    assert "least busy" in words
    assert ("finding half takes 9 replicas and finding nothing 7" in words) == said


def test_a_customer_without_history_has_no_such_rows():
    assert "unevenly" not in study.routing_words(pd.DataFrame({"change": ["As planned"], "needed": [2.0]}))
