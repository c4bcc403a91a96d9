"""The planner: against brute force, its order under easier inputs, and plain answers where nothing can be had."""

import itertools
import json
import math
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from hopperbook import cost, customer, facts, planner, serving, training, units
from hopperbook.errors import InputError
from hopperbook.models import load
from hopperbook.planner import bill, choose, fleet, odds, runs, small, tenure, upgrade
from hopperbook.units import GIB

SHIPPED = ("default", "train-70b", "inference-saas", "ai-hpc")
QUANTITIES = (
    "usd_per_month",
    "usd_per_million_output_tokens",
    "ttft_ms",
    "tpot_ms",
    "output_tokens_per_s",
)
quick = settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


def shop(**values):
    return customer.check({"name": "A", "model": "llama-3.1-8b"} | values)


def shipped(name):
    return customer.load(facts.DATA / "customers" / f"{name}.yaml")


def shown(made):
    """Return every serving configuration that a plan shows."""
    named = [made.recommendation, made.runner_up, made.cheapest, made.fastest]
    return [row for row in named if row is not None] + list(made.front)


def standing(made):
    """Return what a customer gets, the better the smaller: first sure of the targets or not, then the cost."""
    row = made.recommendation
    if row is None:
        return (2, math.inf)
    missing = made.customer.trains and made.training is None
    sure = min(row.p_tpot, row.p_ttft) >= odds.SURE and not missing
    return (0 if sure else 1, made.usd_per_month() if not missing else math.inf)


def no_worse(easier, harder):
    a, b = standing(easier), standing(harder)
    assert a[0] <= b[0]
    if a[0] == b[0] and math.isfinite(b[1]):
        assert a[1] <= b[1] * (1 + 1e-9)
    for name in ("cheapest",):
        least, most = getattr(easier, name), getattr(harder, name)
        assert most is None or least.usd <= most.usd * (1 + 1e-9)


# ---------------------------------------------------------------- against brute force


def every_fleet(who):
    """Yield cost a month, name and replica of every part, format, layout and replica count, by plain loops."""
    model = load(who.model)
    for part in facts.planned():
        ways = {way.kind: way.typical for way in tenure.tenures(who, part)}
        for weights in ("bf16", "fp8" if facts.gpu(part).architecture == "Hopper" else "int8"):
            for cache, tp in itertools.product(("bf16", "fp8"), (1, 2, 4, 8)):
                if model.heads % tp:
                    continue
                d = serving.deploy(model, part, tp=tp, precision=weights, kv_precision=cache)
                for replicas in range(1, who.max_gpus // tp + 1):
                    gpus = replicas * tp
                    whole = math.ceil(gpus / 8) * 8
                    some = next((n for n in (1, 2, 4, 8) if n >= gpus), whole)
                    usd = min((730 * h * (whole if k == "own" else some) for k, h in ways.items()), default=1e99)
                    yield usd, (part, weights, cache, tp, replicas), d


def brute_force(who):
    """Return the least cost a month of all fleets that keep memory and targets, tried from the cheapest up."""
    lengths = serving.Lengths(who.prompt_tokens, who.output_tokens)
    for usd, what, d in sorted(every_fleet(who), key=lambda each: each[:2]):
        users = who.concurrency / what[-1]
        if users * who.held_tokens > serving.kv_capacity_tokens(d, who.held_tokens):
            continue
        seen = serving.answer(d, serving.Demand(lengths, users=users))
        factors = planner.bands(d)
        p_tpot = odds.probability(seen.tpot.p95, who.tpot_target_ms / 1e3, factors["tpot"])
        p_ttft = odds.probability(seen.ttft.p95, who.ttft_target_ms / 1e3, factors["ttft"])
        if min(p_tpot, p_ttft) >= 0.9:
            return usd, what
    return math.inf, None


@pytest.mark.parametrize(
    "load_",
    [
        {"concurrency": 24, "tpot_target_ms": 20.0, "max_gpus": 8},
        {"concurrency": 48, "prompt_tokens": 4096, "output_tokens": 128, "ttft_target_ms": 600.0, "max_gpus": 12},
        {"model": "llama-3.3-70b", "concurrency": 16, "tpot_target_ms": 40.0, "max_gpus": 16},
        {"model": "mixtral-8x7b", "concurrency": 40, "tpot_target_ms": 25.0, "max_gpus": 16},
        {"model": "llama-3.2-3b", "concurrency": 200, "prompt_tokens": 4096, "ttft_target_ms": 400.0, "max_gpus": 16},
        {"concurrency": 300, "tpot_target_ms": 15.0, "max_gpus": 16, "tenure": "own", "horizon_months": 36},
        {"concurrency": 60, "max_gpus": 8, "tenure": "auto", "market": "hyperscaler", "horizon_months": 24},
    ],
)
def test_serving_never_loses_to_brute_force(load_):
    who = shop(**({"tenure": "on_demand"} | load_))
    usd, what = brute_force(who)
    made = planner.plan(who)
    assert what is not None
    assert made.recommendation.usd <= usd * (1 + 1e-9), (what, made.recommendation)


def test_training_never_loses_to_brute_force():
    who = shop(
        training_task="sft", training_tokens=5e9, training_deadline_days=3, tenure="on_demand", max_gpus=32,
        busy_fraction=1.0,
    )  # fmt: skip
    least = math.inf
    for part in facts.planned():
        factors = planner.days_band(who, part)
        try:
            hourly = facts.price(part, who.market).typical
        except InputError:
            continue
        hopper = facts.gpu(part).architecture == "Hopper"
        for gpus, precision in itertools.product((1, 2, 4, 8, 16, 32), ("bf16", "fp8") if hopper else ("bf16",)):
            layouts = training.sweep(
                load(who.model), part, gpus, runs.global_batch(who), 4096, precision=precision, task="sft"
            )
            for _, row in layouts[layouts.fits].nlargest(1, "tokens_per_s_per_gpu").iterrows():
                share = float(training.goodput(gpus, 14 * 8.03e9))
                days = who.training_tokens / (row.tokens_per_s_per_gpu * gpus * share * 86400)
                days += tenure.assumptions()["cluster_setup_hours"] / 24 if gpus > 8 else 0.0
                if odds.probability(days, 3, factors) >= 0.9:
                    least = min(least, gpus * hourly * 24 * days * who.trainings_per_year / 12)
    assert planner.plan(who).training.usd == pytest.approx(least, rel=1e-3)


@pytest.mark.parametrize("name", SHIPPED)
def test_shown_configurations_keep_memory_and_targets_when_simulated(name):
    who = shipped(name)
    made = planner.plan(who)
    rows = shown(made)
    assert rows
    for row in rows:
        model, part = load(who.model), facts.gpu(row.gpu)
        d = serving.deploy(model, part, tp=int(row.tp), precision=row.precision, kv_precision=row.kv_precision)
        share = who.concurrency / row.replicas
        assert share == pytest.approx(row.users, abs=0.6 + 0.01 * share)
        assert row.users * who.held_tokens <= serving.kv_capacity_tokens(d, who.held_tokens)
        assert row.memory_gib * GIB <= part.memory_bytes
        assert not who.hpc_hours_per_day or row.day_hours <= 24
        assert row.gpus <= who.max_gpus
        history = who.held_tokens - who.prompt_tokens - who.output_tokens
        lengths = serving.Lengths(who.prompt_tokens, who.output_tokens, cached=history)
        seen = serving.answer(d, serving.Demand(lengths, users=share))
        assert seen.tpot.mean == pytest.approx(row.tpot_s) and seen.ttft.p95 == pytest.approx(row.ttft_at_s)
        assert seen.tpot.p95 * 1e3 <= who.tpot_target_ms
        assert seen.ttft.p95 * 1e3 <= who.ttft_target_ms
    assert min(made.recommendation.p_tpot, made.recommendation.p_ttft) >= odds.SURE
    if made.training is not None:
        assert made.training.days <= who.training_deadline_days
        assert made.training.memory_gib * GIB <= facts.gpu(made.training.gpu).memory_bytes


# ---------------------------------------------------------------- easier inputs never make it worse

loads = st.fixed_dictionaries(
    {
        "model": st.sampled_from(["llama-3.1-8b", "llama-3.3-70b", "mixtral-8x7b"]),
        "concurrency": st.integers(1, 300),
        "prompt_tokens": st.sampled_from([256, 2048, 6000]),
        "output_tokens": st.sampled_from([128, 700]),
        "tpot_target_ms": st.sampled_from([15.0, 30.0, 60.0]),
        "ttft_target_ms": st.sampled_from([300.0, 900.0, 3000.0]),
    }
)
trainings = st.fixed_dictionaries(
    {
        "training_task": st.sampled_from(["lora", "sft", "pretrain"]),
        "training_tokens": st.sampled_from([2e8, 5e9, 1e11]),
        "training_deadline_days": st.sampled_from([1.0, 7.0, 40.0]),
        "busy_fraction": st.sampled_from([0.2, 0.6]),
    }
)


@quick
@given(loads, trainings, st.sampled_from(["a100", "h100", "h200"]), st.floats(0.3, 6.0), st.floats(0.3, 0.99))
@example(
    {"model": "llama-3.2-3b", "concurrency": 800, "prompt_tokens": 4096, "ttft_target_ms": 200.0}, {}, "h100", 3.0, 0.7
)
def test_cheaper_prices_never_raise_the_cost(load_, training, part, price, cut):
    field = f"{part}_usd_per_hour"
    dear, cheap = (shop(**load_, **training, **{field: usd}) for usd in (price, price * cut))
    no_worse(planner.plan(cheap), planner.plan(dear))


@quick
@given(loads, trainings, st.sampled_from(["tpot_target_ms", "ttft_target_ms"]), st.floats(1.01, 4.0))
@example(
    {"model": "llama-3.1-8b", "concurrency": 64, "prompt_tokens": 4096, "output_tokens": 1000, "tpot_target_ms": 8.0},
    {}, "tpot_target_ms", 1.1,
)  # fmt: skip
def test_a_looser_latency_target_never_costs_more(load_, training, field, factor):
    tight = shop(**load_, **training)
    loose = tight.model_copy(update={field: getattr(tight, field) * factor})
    no_worse(planner.plan(loose), planner.plan(tight))


def test_a_fleet_that_also_trains_is_counted_whole():
    """A slower target that let a small fleet serve must not make training, done by the larger one, dearer."""
    costs = []
    for target in (12.0, 16.0, 24.0, 40.0, 80.0):
        who = shop(
            model="llama-3.3-70b", concurrency=32, tpot_target_ms=target, training_task="lora", busy_fraction=0.3,
            training_tokens=3e8, training_deadline_days=3, trainings_per_year=50,
        )  # fmt: skip
        costs.append(standing(planner.plan(who)))
    assert costs == sorted(costs, reverse=True)


@quick
@given(loads, trainings, st.floats(1.05, 5.0))
def test_a_looser_deadline_never_costs_more(load_, training, factor):
    tight = shop(**load_, **training)
    loose = tight.model_copy(update={"training_deadline_days": tight.training_deadline_days * factor})
    no_worse(planner.plan(loose), planner.plan(tight))


def test_deadlines_one_after_the_other():
    base = shipped("train-70b")
    costs = [
        planner.plan(base.model_copy(update={"training_deadline_days": days})).training.usd
        for days in (2, 4, 7, 11, 14, 20, 26, 30, 60)
    ]
    assert costs == sorted(costs, reverse=True)


@quick
@given(loads, st.floats(200, 3e5), st.floats(1.0, 4.0))
def test_more_budget_worsens_nothing_shown(load_, budget, factor):
    less, more = (shop(**load_, budget_usd_per_month=usd) for usd in (budget, budget * factor))
    small, large = planner.plan(less), planner.plan(more)
    for name in ("recommendation", "runner_up", "cheapest", "grow_into"):
        a, b = getattr(small, name), getattr(large, name)
        assert (a is None) == (b is None)
        assert planner.configuration(a, small, training=False) == planner.configuration(b, large, training=False)
    if small.fastest is not None:
        assert large.fastest.tpot_s <= small.fastest.tpot_s
        assert small.fastest.usd <= budget
    assert small.answer or not large.answer


@quick
@given(loads, st.integers(1, 300))
def test_more_users_are_never_cheaper(load_, more):
    few = shop(**load_)
    many = few.model_copy(update={"concurrency": few.concurrency + more})
    no_worse(planner.plan(few), planner.plan(many))


# ---------------------------------------------------------------- plain answers


def plain(made):
    json.dumps(planner.as_json(made), allow_nan=False)
    text = planner.as_text(made)
    assert text.strip()
    assert not re.search(r"\bnan\b|\binf\b", text)
    return made.answer


def test_a_budget_that_buys_nothing():
    for budget, said in (
        (1.0, r"[\d,]+ times the budget of \$1\."),
        (8_000.0, r"[\d.]+\s% above the budget of \$8,000"),
    ):
        made = planner.plan(shipped("default").model_copy(update={"budget_usd_per_month": budget}))
        cost = units.money(made.usd_per_month())
        assert re.search(rf"The least that keeps every target costs \{cost} a month, {said}", plain(made))


def test_a_deadline_that_no_machine_meets():
    made = planner.plan(shipped("train-70b").model_copy(update={"training_deadline_days": 0.01}))
    assert made.training is None
    assert re.search(
        r"No cluster up to 1,024 GPUs trains it within 0.01 days.*nearest: [\d.]+ days on [\d,]+ × \w+", plain(made)
    )


def test_a_model_that_fits_nowhere():
    made = planner.plan(shop(model="llama-3.1-405b", max_gpus=1))
    assert made.recommendation is None
    assert "No configuration up to 1 GPU serves" in plain(made)
    assert made.rejected
    assert all(r.reason and r.remedy for r in made.rejected)
    assert planner.headline(made) == made.answer


def test_training_that_fits_nowhere():
    made = planner.plan(
        shop(training_model="llama-3.1-405b", training_task="pretrain", training_tokens=1e9, max_gpus=1)
    )
    assert made.training is None
    assert made.recommendation is not None
    assert "its states fit none of them" in plain(made)


def test_a_target_that_nothing_keeps():
    made = planner.plan(shop(model="llama-3.3-70b", tpot_target_ms=0.5))
    assert made.recommendation is None
    said = r"within 2 s to the first token and 0.5 ms for each other, .* nearest: [\d.]+ s and \d+ ms expected on \d+ ×"
    assert re.search(said, plain(made))


def test_price_of_zero_is_refused_and_no_price_is_asked_for(monkeypatch):
    with pytest.raises(InputError, match="h100_usd_per_hour"):
        shop(h100_usd_per_hour=0)
    monkeypatch.setattr(choose, "tenures", lambda who, part: [])
    planner.plan.cache_clear()
    with pytest.raises(InputError, match="a price of at least one GPU"):
        planner.plan(shop(concurrency=33))
    planner.plan.cache_clear()


def test_small_services_that_no_slice_holds():
    made = planner.plan(shop(small_services=3, small_model="mixtral-8x22b"))
    assert made.small is None
    assert re.search(
        r"No slice of a card holds a small service of mistralai/Mixtral-8x22B-v0.1: it needs \d+ GiB", plain(made)
    )


def test_only_owned_gpus_and_too_few_of_them():
    made = planner.plan(
        shop(model="llama-3.3-70b", concurrency=400, tenure="own", horizon_months=6, owned_gpu="A100 SXM", owned_gpus=2)
    )
    assert made.recommendation is None
    assert plain(made)


# ---------------------------------------------------------------- what is printed


def ordered(quantity):
    assert set(quantity) == {"value", "low", "high"}
    assert all(math.isfinite(x) for x in quantity.values())
    assert 0 <= quantity["low"] <= quantity["value"] <= quantity["high"]


@pytest.mark.parametrize("name", SHIPPED)
def test_json_has_every_field_with_its_range(name):
    who = shipped(name)
    found = json.loads(json.dumps(planner.as_json(planner.plan(who)), allow_nan=False))
    assert {"recommendation", "runner_up", "cheapest", "grow_into", "front", "rejected", "considered"} <= set(found)
    assert found["considered"] > 1000
    rows = [found[k] for k in ("recommendation", "runner_up", "cheapest", "grow_into") if found[k]] + found["front"]
    assert len(rows) > 3
    for row in rows:
        for quantity in QUANTITIES:
            ordered(row[quantity])
        assert 0 < row["memory_gib_per_gpu"]["value"] < 150  # counted, so without a range
        for text in ("gpu", "layout", "precision", "kv_precision", "tenure"):
            assert isinstance(row[text], str) and row[text]
        assert row["gpus"] == row["tp"] * row["replicas"]
        assert row["nodes"] == math.ceil(row["gpus"] / 8)
    ordered(found["usd_per_month"])
    if who.trains:
        ordered(found["recommendation"]["days_to_train"])
        ordered(found["training"]["usd_per_run"])
    for row in found["rejected"]:
        assert row["gpu"] and row["reason"] and row["remedy"]
    named = {row["gpu"] for row in found["rejected"]} | {found["recommendation"]["gpu"]}
    assert named == set(facts.planned())
    usd = [row["usd_per_month"]["value"] for row in found["front"]]
    tpot = [row["tpot_ms"]["value"] for row in found["front"]]
    assert usd == sorted(usd)
    assert tpot == sorted(tpot, reverse=True)


def test_a_full_plan_considers_a_hundred_thousand():
    assert planner.plan(shipped("train-70b")).considered >= 100_000


def test_plans_follow_their_customers():
    made = {name: planner.plan(shipped(name)) for name in SHIPPED}
    assert made["train-70b"].training.usd > made["train-70b"].recommendation.usd
    assert made["inference-saas"].recommendation.gpus > made["ai-hpc"].recommendation.gpus
    assert made["ai-hpc"].recommendation.tenure == "own"
    assert len({planner.headline(m) for m in made.values()}) == 4


def test_billing_and_probability():
    assert cost.billed(np.array([1, 3, 5, 9, 17]), np.array(["on_demand"] * 5)).tolist() == [1, 4, 8, 16, 24]
    assert odds.probability(1.0, 1.0, (0.8, 1.25)) == pytest.approx(0.5)
    assert odds.probability(1.0, 1.25, (0.8, 1.25)) == pytest.approx(0.9)
    p = odds.probability(np.linspace(0.1, 2, 50), 1.0, (0.9, 1.2))
    assert (np.diff(p) <= 0).all()


def test_own_prices_and_horizons():
    kinds = {t.kind for t in tenure.tenures(shop(horizon_months=6), "H100 SXM")}
    assert kinds == {"on_demand"}
    kinds = {t.kind for t in tenure.tenures(shop(owned_gpu="H100 SXM", owned_gpus=4), "H100 SXM")}
    assert kinds == {"on_demand", "reserved", "own", "kept"}
    for t in tenure.tenures(shop(), "H200 SXM"):
        assert 0 < t.low <= t.typical <= t.high
        assert t.source


def test_replacing_pays_from_the_month_after_which_it_stays_cheaper():
    keep = np.array([0.0, 3.0, 5.0, 9.0, 12.0])
    touched = {"keep and add A100": keep, "replace by H100": np.array([0.0, 2.9, 6.0, 8.0, 9.0])}
    assert upgrade._crossing(touched, "A100") == 3.0  # below in month 1, above in month 2
    never = {"keep and add A100": keep, "replace by H100": keep + 1}
    assert upgrade._crossing(never, "A100") == math.inf
    at_once = {"keep and add A100": keep, "replace by H100": keep / 2}
    assert upgrade._crossing(at_once, "A100") == 1.0


def test_growing_out_of_a_cluster():
    found = upgrade.path(shop(), 16)
    for _, months in found.monthly.groupby("series"):
        assert (np.diff(months.y) > 0).all()
    costs = [option["usd"] for option in found.options]
    assert costs == sorted(costs)
    assert costs[0] > 0
    last = found.monthly.groupby("series").y.last() * 1e3
    assert sorted(last) == pytest.approx(costs)


def test_a_bill_of_materials_names_what_the_fleet_needs():
    made = planner.plan(shipped("inference-saas"))
    items = bill.bill(made)
    assert len(items) > 4
    assert any(made.recommendation.gpu in str(item) for item in items)
    assert tenure.servers(17, "H100 SXM") == 3
    assert bill.strains(made)


@pytest.mark.parametrize(
    ("model", "format"),
    [("gpt-oss-120b", "mxfp4"), ("mixtral-8x7b", "fp8_block"), ("deepseek-v3", "fp8_block"), ("llama-3.1-8b", "fp8")],
)
def test_weights_are_offered_in_formats_that_gain_on_hopper(model, format):
    m, asked = load(model), shop(model=model)
    part = facts.gpu("H200 SXM")
    offered = {w for w, _ in fleet.formats(asked, part, m)}
    assert format in offered
    step = {w: float(serving.decode_step_s(fleet.replica(m, part.name, 2, w, "fp8"), 16, 4096)) for w in offered}
    assert all(step[w] < step["bf16"] for w in offered - {"bf16"})
    row = planner.plan(asked).recommendation
    assert row.precision in {format, "int8"}
    assert fleet.replica(m, row.gpu, int(row.tp), row.precision, row.kv_precision).weights == row.precision


def test_training_in_fp8_uses_the_customers_recipe():
    found = {}
    for recipe in ("delayed", "current", "row", "block"):
        base = {
            "name": "A",
            "model": "llama-3.1-8b",
            "max_gpus": 8,
            "training_task": "pretrain",
            "training_tokens": 1e9,
        }
        who = customer.check(base | {"fp8_recipe": recipe})
        rows, _ = runs.table(who, {"H100 SXM": tenure.tenures(who, "H100 SXM")})
        found[recipe] = rows[rows.precision != "bf16"]
        assert set(found[recipe].precision) == {"fp8_block" if recipe == "block" else "fp8"}
    assert found["current"].days.tolist() == found["delayed"].days.tolist()
    assert not np.allclose(found["current"].days, found["block"].days, rtol=1e-6)


@pytest.mark.parametrize(("task", "offered"), [("pretrain", 2), ("sft", 2), ("lora", 1)])
def test_fp8_is_offered_where_its_quality_was_shown(task, offered):
    who = shop(training_task=task, training_tokens=1e9)
    assert len(runs.formats(who, facts.gpu("H100 SXM"))) == offered
    assert runs.formats(who, facts.gpu("A100 SXM 80GB")) == ("bf16",)


def test_fp8_speeds_fine_tuning_up_as_published_pairs_did():
    """Pairs of runs that differ in the format alone: their gain, and ours at the same layout."""
    rows = pd.read_csv(facts.DATA / "measurements" / "training_megatron.csv.gz")
    rows = rows[(rows.task == "sft") & (rows.source == "nvidia-dgxc-benchmarking")]
    both = rows.pivot_table("tokens_per_s_per_gpu", ["model", "gpus", "tp", "pp"], "precision").dropna()
    assert len(both) >= 4
    for (model, gpus, tp, pp), pair in both.iterrows():
        shape = {
            "gpus": gpus,
            "tp": tp,
            "pp": pp,
            "seq_len": 4096,
            "micro_batches": 32 * gpus // 8 // (gpus // tp // pp),
        }
        ours = [
            training.step(load(model), "H100 SXM", precision=precision, task="sft", framework_name="NeMo", **shape)
            for precision in ("bf16", "fp8")
        ]
        gain = (ours[1].tokens_per_s_per_gpu / ours[0].tokens_per_s_per_gpu).item()
        assert gain == pytest.approx(pair.fp8 / pair.bf16, rel=0.15)


def test_a_terminal_reads_names_of_formats_and_whole_sentences():
    text = planner.as_text(planner.plan(shop(model="mixtral-8x7b", concurrency=40)))
    assert "fp8_block" not in text
    assert "block FP8" in text
    shared = planner.as_text(planner.plan(shipped("default")))
    assert "in hours when the fleet is idle, at no extra cost" in shared
    assert "$0.00" not in shared


def test_what_is_rejected_reads_as_a_sentence():
    for name in SHIPPED:
        for r in planner.plan(shipped(name)).rejected:
            shares = [float(n) for n in re.findall(r"([\d.]+)\s% more", r.reason)]
            assert all(n < 100 for n in shares), r.reason


def test_small_services_pay_for_what_is_sold():
    assert [small.cards_paid(3, "A100 PCIe 80GB", kind) for kind in ("on_demand", "reserved", "own", "kept")] == [
        4,
        4,
        3,
        3,
    ]
    assert small.cards_paid(1, "H200 SXM", "own") == 8
    made = planner.plan(shipped("ai-hpc"))
    assert made.small.usd <= 2 * made.small.tenure.typical * 730 * made.small.cards


def test_rules_of_thumb_stand_in_data_and_move_the_plan(monkeypatch):
    who = shop(training_task="pretrain", training_tokens=1e9)
    batch, made = runs.global_batch(who), planner.plan(shipped("inference-saas"))

    def racks():
        return sum(item.amount for item in bill.bill(made) if item.what.startswith("Racks"))

    before = racks()
    known = tenure.assumptions("planner")
    assert known["pretrain_batch_tokens"] == 2**22
    changed = known | {"pretrain_batch_tokens": 2.0**23, "rack_kw": 10.0}
    for module in (runs, bill):
        monkeypatch.setattr(module, "assumptions", lambda of="cost": changed)
    monkeypatch.setattr(bill.site, "_assumed", lambda name: changed[name])
    assert runs.global_batch(who) == 2 * batch
    assert racks() > before


def test_a_checkpoint_of_adapters_is_small():
    whole, adapters = (runs.checkpoint_bytes(shop(training_task=t, training_tokens=1e9)) for t in ("sft", "lora"))
    assert whole == pytest.approx(14 * 8.03e9, rel=1e-3)
    assert adapters < whole / 100


def test_the_bill_lists_the_cards_of_small_services_unless_they_are_owned():
    listed = {
        name: "Cards for small services" in [i.what for i in bill.bill(planner.plan(shipped(name)))] for name in SHIPPED
    }
    assert listed == {"default": False, "train-70b": False, "inference-saas": True, "ai-hpc": True}


@pytest.mark.filterwarnings("error")
def test_an_answer_of_one_token_has_no_time_between_tokens():
    made = planner.plan(shop(output_tokens=1, prompt_tokens=500, concurrency=4))
    assert made.recommendation.p_tpot == 1
    assert planner.as_json(made)["recommendation"]["tpot_ms"]["value"] == 0
