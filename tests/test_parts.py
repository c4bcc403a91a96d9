"""Parts by data: each block is timed, priced, drawn; owned ones are planned with; none is passed over in silence."""

import math

import numpy as np
import pytest

from hopperbook import charts, customer, evidence, facts, planner, serving
from hopperbook.errors import InputError
from hopperbook.evidence import beyond, stand_ins
from hopperbook.evidence.intervals import stand_in_factor, stand_in_factors
from hopperbook.models import load
from hopperbook.planner import tenure, unconsidered
from hopperbook.planner.standing import standing_parts

BLACKWELL = ("B200 SXM", "B300 SXM", "GB200", "GB300", "RTX PRO 6000 Blackwell Server")
#: Owned servers pay for space by the power reserved, 10.2 kW of an HGX H100, not by the 7.8 kW drawn in training.
HEADLINES = {
    "default": ("Buy 8 × H100 SXM", 10_100),
    "inference-saas": ("Buy 48 × H100 SXM", 56_500),
    "train-70b": ("Rent 32 × H100 SXM", 26_100),
    "ai-hpc": ("Buy 8 × H100 SXM", 9_770),
}


def shop(**values):
    return customer.check({"name": "A", "model": "llama-3.1-8b"} | values)


# ---------------------------------------------------------------- timed


@pytest.mark.parametrize("name", facts.gpus())
def test_every_part_is_timed_and_its_range_says_by_whom(name):
    part = facts.gpu(name)
    d = serving.deploy(load("llama-3.1-8b"), part, tp=2, precision="bf16")
    assert 0 < float(serving.decode_step_s(d, 16, 2048)) < 1
    assert 0 < float(serving.prefill_s(d, 2048)) < 10
    band = beyond.serving_band(d, "tpot_ms")
    assert any("is timed by" in reason for reason in band.beyond) == bool(part.stand_in["serving"])
    assert bool(part.stand_in["serving"]) == ("serving" not in part.measured)


def test_more_bandwidth_decodes_faster_and_more_arithmetic_reads_faster():
    def seconds(name):
        d = serving.deploy(load("llama-3.3-70b"), name, tp=8, precision="fp8")
        return float(serving.decode_step_s(d, 8, 4096)), float(serving.prefill_s(d, 8192))

    decode, prefill = zip(
        *(seconds(name) for name in ("L40S", "H100 SXM", "H200 SXM", "B200 SXM", "GB200")), strict=True
    )
    assert list(decode) == sorted(decode, reverse=True)
    assert list(prefill)[1:] == sorted(prefill[1:], reverse=True)


@pytest.mark.parametrize("name", BLACKWELL)
@pytest.mark.parametrize("model", ["llama-3.1-8b", "llama-3.3-70b", "mixtral-8x7b", "deepseek-v3"])
def test_fp4_on_blackwell_is_not_slower_than_fp8(name, model):
    tokens, users = np.array([64, 512, 2048, 8192]), np.array([1, 16, 128])
    four, eight = (serving.deploy(load(model), name, tp=8, precision=form) for form in ("fp4", "fp8"))
    assert (serving.prefill_s(four, tokens) <= serving.prefill_s(eight, tokens)).all()
    assert (serving.decode_step_s(four, users, 4096) <= serving.decode_step_s(eight, users, 4096)).all()
    assert "no rows in FP4" in beyond.serving_beyond(four)


def test_fp4_gains_by_the_ratio_of_peaks_at_most():
    four, eight = (serving.deploy(load("llama-3.3-70b"), "B200", tp=8, precision=form) for form in ("fp4", "fp8"))
    assert serving.prefill_s(eight, 8192) / serving.prefill_s(four, 8192) < 2.0
    hopper = [serving.deploy(load("llama-3.3-70b"), "H200", tp=8, precision=form) for form in ("fp4", "fp8")]
    assert serving.prefill_s(hopper[0], 8192) > serving.prefill_s(hopper[1], 8192)  # weights alone are in four bits


# ---------------------------------------------------------------- how wrong


def test_what_is_stored_of_stand_ins_is_what_the_trials_find():
    done = stand_ins.trials()
    assert {(trial.part, trial.stand_in) for trial in done} == set(stand_ins.TRIALS)
    assert stand_ins.factors(done) == stand_in_factors()
    stored = facts.read_yaml("stand_ins.yaml")["trials"]
    assert [trial._asdict() for trial in done] == stored


def test_four_in_five_measurements_lie_within_the_range_of_a_stand_in():
    answers = [a for a in stand_ins.serving_answers("H200 SXM", "H100 SXM") if a.quantity == "tpot_ms"]
    inside = []
    for a in answers:
        low, high = evidence.interval(a.family, near="same")
        inside.append(low <= a.measured / a.other <= high)
    assert len(inside) > 50
    assert np.mean(inside) >= 0.79


def test_a_stand_in_of_another_generation_is_never_surer():
    for quantity in ("tpot_ms", "ttft_p95_ms", "output_tokens_per_s", "tokens_per_s_per_gpu", "step_s"):
        assert 1.0 == stand_in_factor("", quantity) <= stand_in_factor("same", quantity)
        assert stand_in_factor("same", quantity) <= stand_in_factor("another", quantity)
    widths = [beyond.training_band(facts.gpu(name), experts=False) for name in ("H100 SXM", "B200 SXM", "MI300X")]
    assert [b.high / b.low for b in widths] == sorted(b.high / b.low for b in widths)


# ---------------------------------------------------------------- priced and drawn


@pytest.mark.parametrize("name", facts.gpus())
def test_every_part_has_a_server_a_price_or_says_so_and_a_style(name):
    asked = shop(owned_gpu=name, owned_gpus=8, horizon_months=24)
    kinds = {way.kind for way in tenure.tenures(asked, name)}
    assert "kept" in kinds
    for way in tenure.tenures(asked, name):
        assert 0 < way.low <= way.typical <= way.high
    assert charts.gpu_style(f"8 × {name}") == facts.gpu(name).style


def test_new_parts_have_quotes_of_2026_from_several_sellers():
    prices = facts.table("prices")
    for name in ("B200 SXM", "B300 SXM", "L40S", "L4", "RTX PRO 6000 Blackwell Server"):
        rows = prices[(prices.gpu == name) & prices.date.str.startswith("2026-08")]
        assert rows.provider.nunique() >= 3, name
    assert not prices.note.str.contains("INDEX|MODEL").any()


# ---------------------------------------------------------------- who stands


def test_parts_choose_who_stands_and_the_owned_one_always_does():
    assert standing_parts(shop()) == facts.planned()
    assert standing_parts(shop(owned_gpu="B200", owned_gpus=0)) == facts.planned()
    assert standing_parts(shop(owned_gpu="B200", owned_gpus=2))[-1] == "B200 SXM"
    assert shop(parts="b200 , h20,B200 SXM").parts == "B200 SXM, H20"
    made = planner.plan(shop(parts="L40S, B200"))
    assert {made.recommendation.gpu, *(r.gpu for r in made.rejected)} == {"L40S", "B200 SXM"}


def test_an_owned_b200_changes_the_plan():
    load_ = {"model": "llama-3.3-70b", "concurrency": 64, "tpot_target_ms": 60.0}
    without, having = planner.plan(shop(**load_)), planner.plan(shop(**load_, owned_gpu="B200", owned_gpus=8))
    assert without.recommendation.gpu in facts.planned()
    assert (having.recommendation.gpu, having.recommendation.tenure) == ("B200 SXM", "kept")
    assert having.usd_per_month() < without.usd_per_month()
    shown = planner.configuration(having.recommendation, having)
    assert "B200 SXM is timed by H200 SXM" in shown["beyond_measurement"]


@pytest.mark.parametrize(
    ("owned", "more", "word"),
    [
        ("L4", {"model": "deepseek-v3", "owned_gpus": 8, "max_gpus": 8}, "GiB more"),
        ("A10", {"precision": "fp8", "owned_gpus": 4}, "no units for weights in FP8"),
        (
            "H20",
            {"model": "llama-3.3-70b", "concurrency": 400, "ttft_target_ms": 500.0, "owned_gpus": 1},
            "first token",
        ),
    ],
)
def test_an_owned_part_that_cannot_serve_is_told_why(owned, more, word):
    made = planner.plan(shop(owned_gpu=owned, **more))
    reason = next(r for r in made.rejected if r.gpu == facts.gpu(owned).name)
    assert word in reason.reason
    assert reason.remedy


# ---------------------------------------------------------------- who did not


def test_every_plan_ends_with_who_was_not_considered():
    made = planner.plan(shop())
    last = planner.as_text(made).splitlines()[-1]
    assert last.startswith("Not considered: ") and "by a wide estimate B200 SXM would cost about $" in last
    for name in facts.gpus():
        assert (name in last.split(";")[0]) == (name not in facts.planned()), name
    told = planner.as_json(made)["not_considered"]
    assert told["sentence"] == last and told["gpu"] == "B200 SXM"
    assert 0 < told["usd_per_month"]["low"] < told["usd_per_month"]["high"]


@pytest.mark.parametrize("load_", [{}, {"model": "llama-3.3-70b", "concurrency": 128}, {"concurrency": 2000}])
def test_the_estimate_holds_what_a_full_plan_of_that_part_costs(load_):
    found = unconsidered.estimate(shop(**load_), "B200 SXM")
    full = planner.plan(shop(**load_, parts="B200")).recommendation
    assert found.usd_low <= full.usd <= found.usd_high * 1.001


def test_the_estimate_says_why_there_is_none():
    assert unconsidered.estimate(shop(horizon_months=6), "MI325X").reason == ""
    assert unconsidered.estimate(shop(horizon_months=6), "H20").reason == "has no price on file"
    hard = unconsidered.estimate(shop(tpot_target_ms=0.5), "B200 SXM")
    assert hard.reason == "would not keep the targets" and math.isnan(hard.usd_low)
    everyone = shop(parts=", ".join(facts.gpus())[:300].rpartition(",")[0])
    assert unconsidered.next_best(everyone) not in standing_parts(everyone)


@pytest.mark.parametrize("name", HEADLINES)
def test_the_shipped_customers_keep_their_answers(name):
    made = planner.plan(customer.load(facts.DATA / "customers" / f"{name}.yaml"))
    words, usd = HEADLINES[name]
    assert planner.headline(made).startswith(words)
    assert made.usd_per_month() == pytest.approx(usd, rel=0.01)


def test_a_bad_name_is_one_sentence_with_the_nearest():
    for value, nearest in (("B2000", "B200 SXM"), ("H100 SXM, L50S", "L40S")):
        with pytest.raises(InputError, match=f"parts: .*nearest: .*{nearest}"):
            shop(parts=value)
