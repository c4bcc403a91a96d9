"""A customer's traffic as plans take it: rates and users, percentiles, a day, a lost replica, and other ways to run."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hopperbook import customer, planner, serving
from hopperbook.errors import InputError
from hopperbook.models import load
from hopperbook.planner import day, stress, verify
from hopperbook.planner.load import allowance, demand, limits
from hopperbook.planner.odds import probability
from hopperbook.planner.together import together
from hopperbook.serving.demand import Demand, Targets, _latency, answer, at_rate, largest
from hopperbook.serving.disaggregated import best_division, divided, transfer_s
from hopperbook.serving.events import Requests
from hopperbook.serving.queue import Lengths
from hopperbook.serving.search import largest_kept
from hopperbook.serving.speculation import speculating

CHAT = {"name": "A", "model": "llama-3.1-8b", "prompt_tokens": 1024, "output_tokens": 256, "max_gpus": 64}
REPLICA = serving.deploy(load("llama-3.1-8b"), "H100 SXM", precision="fp8", kv_precision="fp8")
LENGTHS = Lengths(1024, 256)


def who(**more):
    return customer.check(CHAT | more)


def test_littles_law_both_ways():
    """As many users as a rate keeps in flight ask for that rate, and thinking users ask for less."""
    by_rate = answer(REPLICA, Demand(LENGTHS, rate_per_s=8.0))
    by_users = answer(REPLICA, Demand(LENGTHS, users=by_rate.in_flight))
    assert by_users.rate_per_s == pytest.approx(8.0, rel=0.02)
    assert by_users.in_flight == pytest.approx(by_users.rate_per_s * by_users.request.mean)
    thinking = answer(REPLICA, Demand(LENGTHS, users=100, think_s=20.0))
    assert thinking.rate_per_s * (thinking.request.mean + 20.0) == pytest.approx(100, rel=0.015)


def test_a_plan_for_a_rate_is_the_plan_for_its_users():
    users = planner.plan(who(concurrency=400)).recommendation
    rate = planner.plan(who(requests_per_s=float(f"{users.rate_per_s:.4g}"))).recommendation
    assert (rate.gpu, rate.gpus, rate.tp) == (users.gpu, users.gpus, users.tp)
    assert rate.tpot_at_s == pytest.approx(users.tpot_at_s, rel=0.03)


def test_history_is_held_read_by_attention_and_found_as_far_as_said():
    short, long = who(), who(context_tokens=1280 + 16_000)
    assert demand(long).lengths.cached == 16_000 and demand(long).lengths.new == 1024
    seen = [verify.answered(REPLICA, 2, x) for x in (short, long)]
    assert seen[1].tpot.mean > 1.1 * seen[0].tpot.mean
    lost = demand(who(context_tokens=1280 + 16_000, history_found=0.5)).lengths
    assert (lost.cached, lost.new) == (8_000, 9_024)


@settings(max_examples=12, deadline=None)
@given(st.floats(1.0, 12.0), st.floats(1.1, 2.0), st.sampled_from(["mean", "p95", "p99"]))
def test_more_load_is_never_faster_and_looser_targets_never_carry_less(rate, more, percentile):
    slow, fast = (at_rate(REPLICA, LENGTHS, r) for r in (rate, more * rate))
    assert fast.request.mean >= slow.request.mean * (1 - 5e-3)
    tight, loose = (
        largest(REPLICA, Demand(LENGTHS, users=1), Targets(0.3 * k, 0.012 * k, np.inf, percentile, percentile))
        for k in (1.0, more)
    )
    assert loose.rate_per_s >= tight.rate_per_s * 0.985


def test_a_higher_percentile_never_takes_fewer_gpus():
    gpus = [
        planner.plan(
            who(concurrency=300, tpot_target_ms=14.0, tenure="on_demand", ttft_percentile=name, tpot_percentile=name)
        ).recommendation.usd
        for name in ("mean", "p90", "p99")
    ]
    assert gpus == sorted(gpus)


def test_limits_are_where_the_odds_are_nine_in_ten():
    asked = who(tpot_target_ms=20.0)
    share = allowance(planner.bands(REPLICA)["tpot"], 0.9)
    assert limits(asked, REPLICA, 0.9).tpot_s == pytest.approx(0.020 * share)
    assert float(probability(0.020 * share, 0.020, planner.bands(REPLICA)["tpot"])) >= 0.9 - 1e-9
    assert limits(asked, REPLICA, 0.9).request_s == np.inf


def test_a_whole_answer_may_have_a_target():
    free, bound = planner.plan(who(concurrency=200)), planner.plan(who(concurrency=200, request_target_ms=2500.0))
    assert bound.recommendation.request_at_s <= 2.5 < free.recommendation.request_at_s
    assert bound.recommendation.p_request >= 0.9


def test_spare_replicas_are_paid_for_and_not_counted_on():
    plain, spare = planner.plan(who(concurrency=200)), planner.plan(who(concurrency=200, spare_replicas=1))
    row = spare.recommendation
    assert row.gpus == (row.replicas + 1) * row.tp
    assert row.usd >= plain.recommendation.usd
    lost = stress.lost_replica(row, spare.customer)
    assert limits(spare.customer, row.deployment, 0.9).keeps(lost)


def test_spare_replicas_count_among_the_largest_cluster():
    made = planner.plan(who(concurrency=400, spare_replicas=2, max_gpus=6))
    assert (made.serving_table.gpus <= 6).all()
    assert made.recommendation is not None


def test_a_prompt_that_all_share_is_read_too():
    with pytest.raises(InputError, match="shared_prompt_tokens"):
        who(shared_prompt_tokens=131_000)
    assert who(shared_prompt_tokens=4_000).shared_prompt_tokens == 4_000


def test_a_day_of_its_own_replaces_the_mean():
    hours = [0.1] * 8 + [1.0] * 8 + [0.4] * 8
    own = who(day_curve=",".join(map(str, hours)), busy_fraction=0.9)
    assert own.busy_fraction == pytest.approx(0.5)
    assert day.curve(own).tolist() == hours
    assert day.needed(own, 5)[:, 0].tolist() == [1] * 8 + [5] * 8 + [2] * 8
    assert day.free_hours(own, 5, 2, 8).tolist() == [8.0] and day.free_hours(own, 5, 2, 6).tolist() == [16.0]
    for bad in ("1,2,3", "a," * 23 + "a", ",".join(["0"] * 24), ",".join(["-1"] * 24)):
        with pytest.raises(InputError, match="day_curve"):
            who(day_curve=bad)


def test_several_services_share_nodes_and_pay_no_more_than_apart():
    one, two = (who(name=name, concurrency=users, tenure="own") for name, users in (("chat", 100), ("code", 40)))
    found = together([one, two])
    best = found[0]
    apart = {c.name: planner.plan(c).by_part[best.gpu] for c in (one, two)}
    assert best.gpus == sum(row.gpus for row in apart.values())
    assert best.billed_gpus <= sum(row.billed_gpus for row in apart.values())
    assert best.usd <= sum(row.usd for row in apart.values()) * (1 + 1e-9)
    assert [each.usd for each in found] == sorted(each.usd for each in found)
    with pytest.raises(InputError, match="name"):
        together([one, one])


def test_services_together_keep_no_more_gpus_than_are_owned():
    owned = {"owned_gpu": "A100 SXM", "owned_gpus": 1, "tenure": "on_demand"}
    found = together([who(name=name, concurrency=30, **owned) for name in ("chat", "code")])
    on_owned = next(each for each in found if each.gpu == "A100 SXM 80GB")
    assert on_owned.gpus == 2 and on_owned.tenure != "kept"


def test_lengths_of_a_published_trace_replace_the_customers():
    chat = who(lengths="azure-conversation")
    assert (chat.prompt_tokens, chat.output_tokens) == (1155, 211)
    assert demand(chat).lengths.new_std == 1109
    assert customer.check(chat.model_dump()) == chat
    with pytest.raises(InputError, match="lengths"):
        who(lengths="azure")


@settings(max_examples=25, deadline=None)
@given(st.floats(1e-4, 1.0), st.integers(1, 40))
def test_the_smooth_day_has_its_mean_and_its_peak(mean, replicas):
    asked = who(busy_fraction=mean)
    curve = day.curve(asked)
    assert curve.max() == pytest.approx(1.0) and (curve >= 0).all()
    if mean >= 1 / 24:
        assert curve.mean() == pytest.approx(mean, abs=2e-3)
    assert day.needed(asked, replicas).max() == replicas


def test_training_takes_only_hours_that_serving_does_not_need():
    busy = who(busy_fraction=1.0, concurrency=400, training_task="lora", training_tokens=1e7, training_deadline_days=9)
    assert planner.plan(busy).training.tenure != "shared"


def test_a_burst_is_slower_than_random_arrivals_and_one_lost_replica_than_all():
    made = planner.plan(who(concurrency=2000))
    row, asked = made.recommendation, made.customer
    assert row.replicas > 1
    assert stress.burst(row, asked).ttft_s > 2 * row.ttft_s
    assert stress.lost_replica(row, asked).tpot.mean > row.tpot_s
    one = planner.plan(who(concurrency=1)).recommendation
    assert one.replicas == 1 and stress.lost_replica(one, asked) is None


def test_drafts_buy_more_the_more_are_accepted_and_none_change_nothing():
    plain = at_rate(REPLICA, LENGTHS, 4.0).tpot.mean
    gains = [plain / at_rate(speculating(REPLICA, share, 3), LENGTHS, 4.0).tpot.mean for share in (0.3, 0.6, 0.9)]
    assert gains == sorted(gains) and gains[2] > 1.8
    assert at_rate(speculating(REPLICA, 0.5, 0), LENGTHS, 4.0).tpot.mean == plain


def test_divided_replicas_conserve_requests_and_send_every_cache():
    requests = Requests([1000] * 50, [100] * 50, arrival_s=np.arange(50) * 0.2)
    run = divided(REPLICA, requests, 1, 1, 50e9)
    together = divided(REPLICA, requests, 1, 1, 1e30)
    assert len(run.ttft) == 50 and (run.request > run.ttft).all()
    sent = transfer_s(REPLICA, 1000, 50e9)
    assert float((run.request - together.request).mean()) == pytest.approx(sent, rel=0.5)
    with pytest.raises(InputError, match="two or more"):
        divided(REPLICA, requests, 1, 0, 50e9)
    found = best_division(REPLICA, Demand(LENGTHS, users=1), Targets(1.0, 0.009), 4, 50e9)
    assert found.readers + found.writers == 4 and found.rate_per_s > 0


def test_variants_are_tried_where_they_are_allowed():
    asked = who(concurrency=200, draft_acceptance=0.7, disaggregation="try", context_tokens=4096)
    row = planner.plan(asked).recommendation
    names = {variant.name for variant in stress.variants(row, asked)}
    assert {"speculative decoding", "no prefix cache"} <= names
    assert stress.variants(row, who(concurrency=200)) == []


@pytest.mark.parametrize("sense", [0.5, 1.0, 3.3, 900.0])
def test_the_search_finds_any_border_and_always_ends(sense):
    found = largest_kept(lambda rate: rate <= sense, 2.0, 0.01, 1000.0)
    assert sense / 1.01 <= found <= sense
    assert largest_kept(lambda rate: True, 2.0, 0.01, 1000.0) == 1000.0
    assert largest_kept(lambda rate: False, 2.0, 0.01, 1000.0) == 0.0


def test_targets_that_nothing_misses_end_the_search_at_saturation():
    """Limits of hours are kept by any run of some hundred requests: what is not steady is not carried."""
    patient = largest(REPLICA, Demand(LENGTHS, users=1), Targets(3600.0, 60.0))
    assert 0 < patient.rate_per_s < 1e3
    nothing = best_division(REPLICA, Demand(LENGTHS, users=1), Targets(1e-6, 1e-6), 2, 50e9)
    assert nothing.rate_per_s == 0.0 and nothing.gain == 0.0


def test_histories_of_those_who_think_take_room():
    """The cache keeps what it has room for; the rest is read again, which costs time; more memory brings it back."""
    small, large = (serving.deploy(load("llama-3.1-8b"), part) for part in ("A100 SXM 40GB", "H200 SXM"))
    few, many = (Demand(Lengths(200, 200, cached=7600), rate_per_s=1.0, think_s=seconds) for seconds in (5.0, 60.0))
    assert answer(small, few).history_kept == answer(large, many).history_kept == 1.0
    lost = answer(small, many)
    room = serving.kv_capacity_tokens(small, 8000) - lost.in_flight * 8000
    assert lost.history_kept == pytest.approx(room / (60 * 8000), abs=0.02)
    assert lost.ttft.mean > 2 * answer(small, few).ttft.mean
    assert largest(small, many, Targets(1.0, 0.05)).rate_per_s < largest(small, few, Targets(1.0, 0.05)).rate_per_s


def test_a_model_that_one_server_does_not_hold_is_dealt_out_over_several():
    who = customer.check({"name": "A", "model": "deepseek-v3", "concurrency": 32, "tpot_target_ms": 90.0})
    row = planner.plan(who).by_part["H100 SXM"]
    assert (row.tp, row.deployment.pp, row.gpus) == (8, 2, 16) and "TP 8 × PP 2" in planner.layout(row)
    assert row.headroom > 0 and row.p_tpot >= 0.9
    near, far = (serving.deploy(load("llama-3.1-70b"), "H100 SXM", tp=tp, pp=2) for tp in (4, 8))
    hop = [float(serving.decode_step_s(d, 32, 2048)) for d in (near, far)]
    assert hop[1] < hop[0]  # eight GPUs a stage read their weights faster than the wire takes


@given(st.lists(st.floats(1e-4, 1e4), min_size=1, max_size=60))
def test_a_latency_has_numpys_percentiles_to_the_bit(values):
    seen = _latency(np.array(values))
    assert list(seen) == [np.mean(values), *np.percentile(values, (50, 90, 95, 99))]
