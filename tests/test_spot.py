"""Spot: hours lost to interruptions by hand, by simulation, and where it stops paying."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hopperbook import customer, facts, planner
from hopperbook.planner import runs, spot, tenure
from hopperbook.studies import answer
from hopperbook.training.run import goodput, run_constants


def test_by_hand():
    # one node lost every ten hours, a checkpoint of 0.1 h, half an hour to restart; failures of hardware besides
    written = 0.1 * 3600 * 8 * 1e9
    mean = 1 / (0.1 + 8 * run_constants()["failures_per_gpu_hour"])
    part = math.sqrt(0.1 / (2 * mean))
    every = math.sqrt(2 * 0.1 * mean) * (1 + part / 3 + part**2 / 9) - 0.1
    hours = mean * math.exp(0.5 / mean) * (math.exp((every + 0.1) / mean) - 1)
    assert spot.stretch(8, written, 0.1, 0.5) == pytest.approx(hours / every)
    assert spot.stretch(8, written, 0.1, 0.5) == pytest.approx(1.215, abs=0.001)


def test_against_a_simulated_run():
    rng = np.random.default_rng(1)
    mean, write, restart = 5.0, 0.05, 0.25
    every = math.sqrt(2 * write * mean)
    paid = 0.0
    for _ in range(20_000):  # segments of work, each tried until it is written down
        while (lost := rng.exponential(mean)) < every + write:
            paid += lost
            while (again := rng.exponential(mean)) < restart:
                paid += again
            paid += restart
        paid += every + write
    rate = 1 / mean - 8 * run_constants()["failures_per_gpu_hour"]
    assert spot.stretch(8, write * 3600 * 8e9, rate, restart) == pytest.approx(paid / (20_000 * every), rel=0.02)


@pytest.mark.parametrize("gpus", [8, 64, 1024])
def test_without_interruptions_it_is_the_goodput_of_a_run(gpus):
    assert spot.stretch(gpus, 1e12, 0.0, 600 / 3600) == pytest.approx(1 / goodput(gpus, 1e12), rel=0.01)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([8, 64, 512]), st.floats(1e-5, 0.05), st.floats(1.01, 3.0), st.floats(1e9, 1e12))
def test_more_interruptions_cost_more(gpus, rate, factor, checkpoint):
    assert 1.0 <= spot.stretch(gpus, checkpoint, rate) <= spot.stretch(gpus, checkpoint, rate * factor) * (1 + 1e-9)


def test_the_border_is_where_both_cost_the_same():
    at = spot.border(64, 1e12, 1.0, 2.0)
    undisturbed = spot.stretch(64, 1e12, 0.0)
    assert spot.stretch(64, 1e12, 0.98 * at) / undisturbed < 2.0 < spot.stretch(64, 1e12, 1.02 * at) / undisturbed
    assert spot.border(64, 1e12, 2.0, 1.0) == 0.0
    assert spot.border(64, 1e12, 1.0, 1.5) < at < spot.border(64, 1e12, 1.0, 3.0)
    assert spot.border(512, 1e12, 1.0, 2.0) < at


def test_rates_are_sourced_and_ordered():
    for gpu in ("A100 SXM 80GB", "H100 SXM", "H200 SXM", "H100 PCIe"):
        rate = spot.interruptions(gpu)
        assert 0 < rate.low < rate.typical < rate.high
        for fact in (rate.quoted, rate.traced):
            assert fact.date[:2] == "20"
            assert set(fact.source.split(", ")) <= set(facts.references())


def test_spare_replicas_by_counting():
    a, needed = 1 / (1 + 0.2 * 0.5), 3
    held = spot.fleet_replicas(needed, 0.2, 0.5, sure=0.99)
    odds = [sum(math.comb(n, k) * a**k * (1 - a) ** (n - k) for k in range(needed, n + 1)) for n in (held - 1, held)]
    assert odds[0] < 0.99 <= odds[1]
    assert spot.fleet_replicas(3, 1e-6) == 3


@pytest.mark.parametrize("name", ["default", "train-70b", "inference-saas", "ai-hpc"])
def test_offers_of_a_customer(name):
    who = customer.load(facts.DATA / "customers" / f"{name}.yaml")
    run = spot.run_alone(planner.plan(who))
    assert (run is None) == (not who.trains or who.tenure == "own")
    offers = runs.offers(who, "H100 SXM", 64, 5.0)
    kinds = [offer.kind for offer in offers]
    assert kinds[0] == "on_demand"
    assert kinds[-1] == "spot"
    for offer in offers:
        assert 0 < offer.low <= offer.typical <= offer.high
        assert offer.typical == pytest.approx(offer.usd * offer.stretch)
        assert offer.usd_run == pytest.approx(offer.typical * 64 * 24 * 5)
    assert offers[-1].typical > offers[-1].usd


def test_an_offer_costs_what_the_plan_pays_for_the_same_run():
    who = customer.load(facts.DATA / "customers" / "train-70b.yaml")
    rows = planner.plan(who).training_table
    alone = rows[(rows.gpu == "H100 SXM") & (rows.gpus == 32) & (rows.precision == "fp8")].set_index("tenure")
    each = runs.progress_days(who, alone.loc["on_demand"])
    for offer in runs.offers(who, "H100 SXM", 32, each):
        assert offer.usd_run == pytest.approx(alone.usd_run[offer.kind], rel=1e-6)
        ends = alone.usd_low_run[offer.kind], alone.usd_high_run[offer.kind]
        assert (offer.low, offer.high) == pytest.approx(tuple(usd / (32 * 24 * each) for usd in ends), rel=1e-6)


def test_servers_that_stand_idle_are_paid_for_and_only_rented_ones_cost_the_premium():
    who = customer.load(facts.DATA / "customers" / "train-70b.yaml")
    found = {offer.kind: offer for offer in runs.offers(who, "H100 SXM", 32, 20.0)}  # four runs a year of 20 days
    ways = {way.kind: way for way in tenure.tenures(who, "H100 SXM")}
    premium = tenure.cluster_premium()[1]
    assert premium == tenure.assumptions()["cluster_premium"]
    for kind in ("on_demand", "reserved"):
        assert found[kind].usd == pytest.approx(ways[kind].typical * (1 + premium))
    assert found["own"].usd == float(ways["own"].usd_per_hour("typical", 4)) < ways["own"].typical * (1 + premium)
    assert found["on_demand"].stretch == pytest.approx((20 * 24 + 4) / (20 * 24))  # and four hours of set-up
    for kind in ("reserved", "own"):
        assert found[kind].stretch == pytest.approx(365 / 80)
        assert found[kind].usd_run == pytest.approx(32 * 8760 / 4 * found[kind].usd)


@pytest.mark.parametrize(
    ("sellers", "gpus", "limit"),
    [(1, 1, 1), (2, 4, 4), (2, 8, 0), (3, 1, 0)],  # GPUs to be had, 0 = as many as wanted
)
def test_a_cluster_on_spot_wants_several_sellers_or_whole_servers(monkeypatch, sellers, gpus, limit):
    price = facts.price("H100 SXM", tenure="spot")
    monkeypatch.setattr(tenure, "market_price", lambda *_: replace(price, count=sellers))
    monkeypatch.setattr(facts, "largest_offer", lambda *_: gpus)
    assert tenure.on_spot(customer.default(), "H100 SXM").limit == limit


def test_one_card_of_one_seller_is_no_cluster():
    who = customer.load(facts.DATA / "customers" / "train-70b.yaml")
    made = planner.plan(who)
    spots = made.training_table[made.training_table.tenure == "spot"]
    for gpu, rows in spots.groupby("gpu"):
        several = facts.price(gpu, tenure="spot").count >= tenure.assumptions()["spot_sellers"]
        most = facts.largest_offer(gpu, tenure="spot")
        assert (rows.available == (several or most >= 8 or rows.gpus <= most)).all()
    chosen = answer.on_spot(made)
    assert chosen is not None and facts.price(chosen.gpu, tenure="spot").count >= 3
    assert "spot" not in {offer.kind for offer in runs.offers(who, "H100 NVL", 64, 5.0)}


# ---------------------------------------------------------------- in a plan

LAB = {"name": "A", "model": "llama-3.1-8b", "training_task": "sft", "trainings_per_year": 12.0}


def lab(**values):
    return planner.plan(customer.check(LAB | {"training_tokens": 3e9, "training_deadline_days": 10.0} | values))


def test_a_run_on_spot_is_an_option_whose_odds_count_interruptions():
    made = lab()
    rows = made.training_table
    on_spot, hourly = (
        rows[rows.tenure == kind].set_index(["gpu", "precision", "gpus"]) for kind in ("spot", "on_demand")
    )
    both = on_spot.index.intersection(hourly.index)
    assert len(both)
    assert (on_spot.loc[both].days >= hourly.loc[both].days - 1e-9).all()
    assert (on_spot.loc[both].p_deadline <= hourly.loc[both].p_deadline + 1e-9).all()
    assert (on_spot.days_often >= on_spot.days).all() and (on_spot.days >= on_spot.days_seldom).all()


def test_a_late_deadline_takes_spot_and_a_tight_one_does_not():
    late = lab(training_deadline_days=60.0, busy_fraction=1.0)
    assert late.training.tenure == "spot" and late.training.p_deadline >= 0.9
    assert "on spot" in planner.as_text(late) or ", spot," in planner.as_text(late)
    rows = late.training_table
    hourly = rows[(rows.tenure == "on_demand") & (rows.p_deadline >= 0.9)]
    assert late.training.usd < hourly.usd.min()
    quick = lab(training_deadline_days=1.01 * float(rows[rows.tenure == "on_demand"].days.min()), busy_fraction=1.0)
    assert quick.training is None or quick.training.tenure != "spot"


def test_what_a_run_on_spot_costs_by_hand():
    made = lab(busy_fraction=1.0)
    row = made.training_table[(made.training_table.tenure == "spot") & (made.training_table.gpus == 8)].iloc[0]
    plain = made.training_table
    same = plain[(plain.tenure == "on_demand") & (plain.gpus == 8) & (plain.gpu == row.gpu)]
    same = same[same.precision == row.precision].iloc[0]
    longer = spot.excess(row.gpu, 8, runs.checkpoint_bytes(made.customer))
    assert row.days == pytest.approx(float(same.days * longer[1]), rel=1e-6)
    price = facts.price(row.gpu, "other", "spot").typical
    assert row.usd_run == pytest.approx(8 * price * 24 * row.days)


def test_whoever_insists_on_another_tenure_is_offered_no_spot():
    assert "spot" not in set(lab(tenure="on_demand").training_table.tenure)
