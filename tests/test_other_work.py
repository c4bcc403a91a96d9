"""Work beside answering: texts embedded and ranked, adapters, the night's tokens, images, and further ways to train."""

import csv
import typing
from dataclasses import replace

import numpy as np
import pytest

from hopperbook import customer, evidence, facts, images, models, planner, serving, training
from hopperbook.errors import InputError
from hopperbook.models import from_config, load, parameters, reader
from hopperbook.planner import bands, days_band, fleet, rollouts
from hopperbook.planner.night import night, window, words
from hopperbook.planner.together import together
from hopperbook.serving.rollouts import rollouts_s, scale_tokens

SEARCH = {"name": "S", "model": "bge-m3", "service": "embed", "prompt_tokens": 300, "requests_per_s": 200.0}
SEARCH |= {"request_target_ms": 200.0, "tenure": "on_demand", "parts": "H100 SXM"}
CHAT = {"name": "C", "model": "llama-3.1-8b", "tenure": "on_demand", "parts": "H100 SXM"}


# ---------------------------------------------------------------- encoders, counted


def bert(**changes):
    config = models.read_config(facts.DATA / "models" / "BAAI--bge-large-en-v1.5.json")
    return from_config({k: v for k, v in (config | changes).items() if v is not None}, "b")


@pytest.mark.parametrize(
    ("architecture", "total"),  # as the checkpoints of bert-large-uncased hold them
    [("BertModel", 335_141_888), ("BertForMaskedLM", 335_174_458), ("BertForSequenceClassification", 335_143_938)],
)
def test_what_stands_behind_an_encoder_is_counted(architecture, total):
    assert parameters(bert(architectures=[architecture])) == total


@pytest.mark.parametrize(
    "change",
    [
        {"position_embedding_type": "relative_key"},
        {"num_attention_heads": 15},
        {"hidden_size": None},
        {"type_vocab_size": None},
        {"architectures": ["BertForSomethingNew"]},
        {"embedding_size": 128},
        {"is_decoder": True},
        {"num_hidden_groups": 1},
    ],
)
def test_an_encoder_that_is_not_understood_is_refused(change):
    with pytest.raises(InputError, match="config.json"):
        bert(**change)


def test_a_window_of_an_encoder_lies_on_both_sides():
    full, near = load("answerdotai/ModernBERT-base").attentions
    assert (full.layers, near.layers, near.window) == (8, 14, 128)
    assert float(models.attended_pairs(full, 512)[0]) == 512 * 512
    assert float(models.attended_pairs(near, 512)[0]) == 512 * 128
    assert models.kv_bytes_per_token(load("bge-m3")) == 0


# ---------------------------------------------------------------- services that only read


def test_texts_do_not_meet_one_another():
    def seconds(tokens, texts):
        return float(serving.prefill_s(serving.deploy(reader(load("bge-m3"), tokens), "H100 SXM"), tokens * texts, 1))

    assert seconds(512, 16) < 0.8 * seconds(8192, 1)
    one, many = seconds(512, 4), seconds(512, 16)
    assert 3.0 < many / one < 4.2  # in proportion to the texts, not to their square


def test_an_embedding_service_is_planned_and_its_answer_is_whole():
    made = planner.plan(customer.check(SEARCH))
    row = made.recommendation
    assert row.precision == "bf16" and row.ttft_at_s <= 0.2
    assert row.request_at_s == pytest.approx(row.ttft_at_s, rel=0.2)
    text = planner.as_text(made)
    assert "answered after" in text and "ms a token" not in text.split("one lost")[0]
    assert bands(row.deployment)["tpot"][1] > bands(serving.deploy(load("llama-3.1-8b"), "H100 SXM"))["tpot"][1]


def test_reranking_pays_for_every_candidate():
    few, many = (
        planner.plan(customer.check(SEARCH | {"service": "rerank", "texts_per_request": k})).recommendation
        for k in (5, 40)
    )
    assert many.gpus > few.gpus


def test_a_decoder_embeds_without_its_head():
    asked = customer.check(SEARCH | {"model": "Qwen/Qwen3-Embedding-8B", "requests_per_s": 5.0})
    row = planner.plan(asked).recommendation
    assert parameters(row.deployment.model) == 7_567_295_488


def test_search_and_chat_share_a_fleet():
    found = together([customer.check(CHAT | {"concurrency": 16}), customer.check(SEARCH)])
    assert set(found[0].services) == {"C", "S"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"service": "generate"}, "service: .*embed or rerank, since BAAI/bge-m3 is an encoder"),
        ({"prompt_tokens": 9000}, "prompt_tokens: 9000.*at most 8,192 tokens of a text"),
        ({"adapters": 3}, "adapters: 3.*0 where the service is embed"),
        ({"lengths": "azure-code"}, "length_sample"),
        ({"model": "llama-3.1-8b", "service": "generate", "texts_per_request": 4}, "texts_per_request: 4.*nearest: 1"),
        ({"model": "llama-3.1-8b", "small_model": "bge-m3"}, "small_model: 'BAAI/bge-m3'.*a decoder"),
        (
            {"model": "llama-3.1-8b", "service": "generate", "night_model": "bge-m3"},
            "night_model: 'BAAI/bge-m3'.*a decoder",
        ),
    ],
)
def test_what_cannot_be_read_is_refused(change, said):
    with pytest.raises(InputError, match=said):
        customer.check(SEARCH | change)


def test_published_embedding_rates_stand_beside_ours():
    d = serving.deploy(reader(load("snowflake-arctic-embed-m-v1.5"), 512), "H200 SXM", precision="bf16")
    rate = 128 * 512 / float(serving.prefill_s(d, 128 * 512, 128))
    assert rate / 1.6e6 == pytest.approx(1.2, abs=0.1)  # Snowflake: 1.6 million tokens a second and GPU


# ---------------------------------------------------------------- adapters


def test_adapters_take_memory_and_time():
    alone = serving.deploy(load("llama-3.1-8b"), "H100 SXM")
    held = [serving.budget(serving.with_adapters(alone, n, 16, 64), 4096).users for n in (0, 100, 500)]
    assert held == sorted(held, reverse=True) and held[0] > held[2]
    steps = [
        float(serving.decode_step_s(serving.with_adapters(alone, n, 16, 64), 32, 1024)) for n in (0, 1, 8, 64, 1000)
    ]
    assert steps == sorted(steps) and steps[3] == pytest.approx(steps[4])  # a step names at most its own requests'


def test_adapters_change_a_plan_and_widen_its_range():
    plain, many = (planner.plan(customer.check(CHAT | {"adapters": n})).recommendation for n in (0, 600))
    assert many.tpot_s > plain.tpot_s and many.memory_gib > plain.memory_gib
    assert many.deployment.adapters == 600
    assert "no rows with adapters" in evidence.beyond.serving_beyond(many.deployment)
    assert bands(many.deployment)["tpot"][1] > bands(plain.deployment)["tpot"][1]


def test_a_rank_wider_than_the_model_is_refused():
    with pytest.raises(InputError, match="adapter_rank: 9999"):
        serving.with_adapters(serving.deploy(load("llama-3.1-8b"), "H100 SXM"), 2, 9999, 8)
    with pytest.raises(InputError, match="adapter_rank: 600.*from 1 to 512"):
        customer.check(CHAT | {"adapter_rank": 600})


# ---------------------------------------------------------------- the night


NIGHT = CHAT | {"requests_per_s": 60.0, "night_tokens": 1e6}


def test_a_night_that_free_gpus_do_costs_nothing():
    made = planner.plan(customer.check(NIGHT))
    assert (made.night.gpus, made.night.usd, made.night.unscheduled_tokens) == (0, 0, 0)
    assert made.usd_per_month() == planner.plan(customer.check(NIGHT | {"night_tokens": 0.0})).usd_per_month()


def test_a_night_that_is_too_much_adds_gpus_and_what_is_left_is_said():
    made = planner.plan(customer.check(NIGHT | {"night_tokens": 3e9}))
    assert made.night.gpus > 0 and 0 < made.night.freed_tokens < 3e9
    work = made.night
    written = work.freed_tokens + work.gpus / work.deployment.gpus * work.rate * 3600 * 8
    assert written >= 3e9
    assert made.usd_per_month() > made.recommendation.usd
    assert "added" in planner.as_text(made)
    short = planner.plan(customer.check(NIGHT | {"night_tokens": 1e13}))
    assert short.night.unscheduled_tokens > 0 and "cannot be scheduled" in short.answer


def test_gpus_of_the_night_that_are_billed_and_not_used_are_named():
    made = planner.plan(customer.check(NIGHT | {"night_tokens": 3e9}))
    part = made.night.deployment.gpu.name
    rented = replace(made.night, gpus=44, tenure="on_demand")
    assert f"44 × {part} added (48 billed)" in words(rented, made.customer)
    assert "billed" not in words(replace(rented, gpus=48), made.customer)
    assert "billed" not in words(replace(rented, tenure="kept"), made.customer)


def test_a_corpus_is_embedded_by_night():
    made = planner.plan(customer.check(SEARCH | {"requests_per_s": 3000.0, "night_tokens": 1e9}))
    work = made.night
    assert work.gpus == 0 and work.freed_tokens == 1e9
    assert 1e5 < work.rate < 1e6  # tokens read a second, not requests


def test_scientific_work_and_shared_training_come_first():
    asked = customer.check(NIGHT | {"night_tokens": 1e9})
    row = planner.plan(asked).recommendation
    ways = {}
    alone = night(asked, row, None, ways).freed_gpu_hours
    busier = night(asked, fleet.Configuration(**(vars(row) | {"day_hours": 23.5})), None, ways).freed_gpu_hours
    assert busier == pytest.approx(0.5 * row.gpus) and busier < alone


def test_a_window_wraps_midnight_and_an_equal_one_is_the_whole_day():
    assert window(customer.check(NIGHT | {"night_from": 23, "night_until": 2})).tolist() == [23, 0, 1]
    assert len(window(customer.check(NIGHT | {"night_from": 5, "night_until": 5}))) == 24


# ---------------------------------------------------------------- images


def test_images_beside_published_runs():
    assert images.linear_flop("flux.1-dev") / 59_523.04e9 == pytest.approx(1, abs=1e-3)
    known = facts.read_yaml("images.yaml")
    assert sum(run["split"] == "fit" for run in known["measured"]) == 1
    for run in known["measured"]:
        one = images.generate(run["model"], run["gpu"], side_pixels=run["side_pixels"], steps=run["steps"])
        assert one.low_s <= run["seconds"] <= one.high_s


def test_block_sizes_give_the_published_parameters():
    for shape in facts.read_yaml("images.yaml")["models"].values():
        h = shape["hidden"]
        counted = shape["double_blocks"] * 36 * h * h + shape["single_blocks"] * 15 * h * h
        assert counted == pytest.approx(shape["parameters"], rel=0.01)


def test_the_schema_names_the_image_models_on_file():
    named = typing.get_args(customer.Customer.model_fields["image_model"].annotation)
    assert set(named) == set(facts.read_yaml("images.yaml")["models"])


def test_images_are_planned_and_refused():
    made = planner.plan(customer.check(CHAT | {"images_per_hour": 2000.0}))
    assert made.pictures.gpus * made.pictures.seconds
    assert made.pictures.gpus >= 2000 * made.pictures.seconds / 3600
    assert "wide estimate" in planner.as_text(made)
    more = planner.plan(customer.check(CHAT | {"images_per_hour": 1e7}))
    assert more.pictures is None and "images an hour" in more.answer
    for bad in ({"image_side_pixels": 1000}, {"image_side_pixels": 100}, {"image_model": "flux"}, {"image_steps": -1}):
        with pytest.raises(InputError, match=next(iter(bad))):
            customer.check(CHAT | bad)


# ---------------------------------------------------------------- further ways to train


def tuned(task, **more):
    model = load("llama-3.1-8b")
    table = training.sweep(model, "H100 SXM", 8, 128, 4096, task=task, recompute=("none",), **more)
    return float(training.best(table).tokens_per_s_per_gpu.iloc[0]), float(table.memory_bytes.min())


def test_a_reference_costs_a_third_of_a_step_and_its_weights():
    (sft, held), (dpo, more) = tuned("sft"), tuned("dpo")
    assert 1.25 < sft / dpo < 1.5
    assert more > held


def test_a_larger_teacher_costs_more():
    own, large = tuned("distill"), tuned("distill", teacher=load("llama-3.1-70b"))
    assert own[0] > large[0] and own[1] < large[1]


def test_lengths_of_rollouts_keep_their_mean_and_their_end():
    assert -scale_tokens(900, 1000) * np.expm1(-1000 / scale_tokens(900, 1000)) == pytest.approx(900)
    with pytest.raises(InputError, match="rollout_tokens"):
        scale_tokens(2000, 1000)
    d = serving.deploy(load("llama-3.1-8b"), "H100 SXM")
    times = [rollouts_s(d, n, 256, 800, 3800) for n in (16, 128, 2048)]
    assert times == sorted(times) and times[1] < 4 * times[0]  # all wait for the longest
    assert rollouts_s(d, 16, 256, 800, 3800) > 3800 * float(serving.decode_step_s(d, 1, 256)) * 0.9


def test_the_overhead_of_grpo_is_the_fit_of_its_runs_and_its_range_holds_most_others():
    own = rollouts.method_constants()["step_overhead"]
    ratios = {"fit": [], "judge": []}
    for run in rollouts.published():
        ratios[run.split].append(run.step_s / run.counted_s)
    assert np.exp(np.mean(np.log(ratios["fit"]))) == pytest.approx(own["value"], abs=0.01)
    judged = np.array(ratios["judge"]) / own["value"]
    inside = (judged >= own["low"]) & (judged <= own["high"])
    assert len(judged) == 8 and inside.sum() >= 6


@pytest.mark.parametrize("task", training.METHODS)
def test_methods_are_planned_with_their_range(task):
    asked = CHAT | {"training_task": task, "training_tokens": 1e8, "training_deadline_days": 20.0, "max_gpus": 16}
    made = planner.plan(customer.check(asked))
    sft = planner.plan(customer.check(asked | {"training_task": "sft"}))
    assert made.training is not None and made.training.precision == "bf16"
    alike = made.training_table.merge(sft.training_table, on=["gpu", "gpus", "precision", "tenure"])
    assert (alike.days_x > alike.days_y).all()
    low, high = days_band(customer.check(asked), "H100 SXM")
    assert low <= 0.95 and high >= 1.2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"training_task": "ppo"}, "training_task: 'ppo'.*dpo, grpo, distill"),
        ({"training_task": "distill", "teacher_model": "qwen3-32b"}, "teacher_model: .*128,256 tokens"),
        ({"training_task": "grpo", "rollout_tokens": 4000}, "rollout_tokens: 4000.*at most 3,840"),
        ({"training_task": "sft", "training_model": "bge-m3"}, "training_model: 'BAAI/bge-m3'"),
    ],
)
def test_training_that_cannot_be_is_refused(change, said):
    with pytest.raises(InputError, match=said):
        customer.check(CHAT | {"training_tokens": 1e9} | change)


# ---------------------------------------------------------------- formats of Blackwell


def test_auto_tries_fp4_where_there_are_units_for_it():
    asked, llama = customer.check(CHAT), load("llama-3.1-8b")
    tried = {gpu: {w for w, _ in fleet.formats(asked, facts.gpu(gpu), llama)} for gpu in ("H200 SXM", "B200 SXM")}
    assert tried["B200 SXM"] - tried["H200 SXM"] == {"fp4"}


def test_mxfp4_on_blackwell_is_not_slower_than_eight_bits():
    model, tokens = load("gpt-oss-120b"), np.array([256, 2048, 8192])
    four, eight = (serving.deploy(model, "B200 SXM", tp=2, precision=form) for form in ("mxfp4", "fp8_block"))
    hopper = serving.deploy(model, "H200 SXM", tp=2, precision="mxfp4")
    assert (serving.prefill_s(four, tokens) <= serving.prefill_s(eight, tokens)).all()
    assert (serving.prefill_s(hopper, tokens) > 2 * serving.prefill_s(four, tokens)).all()


def test_measured_rollouts_name_their_sources():
    with open(facts.DATA / "rollouts.csv", encoding="utf-8") as lines:
        assert all(row["source"] == "nvidia-2025-nemo-rl" and row["step_s"] for row in csv.DictReader(lines))
