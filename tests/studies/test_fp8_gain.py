"""What FP8 buys: identities between a step, its parts and its lanes; serving against the calculators called by hand."""

import math

import pytest

from hopperbook import facts, serving
from hopperbook.customer import default
from hopperbook.models import load
from hopperbook.planner import plan
from hopperbook.studies import fp8_gain as buys

H100 = facts.gpu("H100 SXM")


@pytest.fixture(scope="module")
def case():
    return buys.trained(default(), H100)


@pytest.fixture(scope="module")
def step(case):
    return buys.step_gain(case)


def test_the_parts_of_a_step_do_not_exceed_it(step):
    for parts in (step.bf16, step.fp8):
        assert 0 < parts.layers_s < parts.total_s


def test_casts_and_rest_are_what_the_products_do_not_save(step):
    saved = step.bf16.products_s - step.fp8.products_s
    assert step.bf16.total_s - step.fp8.total_s == pytest.approx(saved - step.casts_s - step.rest_s)


def test_amdahl_bounds(step):
    assert step.law < step.ceiling == pytest.approx(1 / (1 - step.products_share))
    assert 1 < step.step < step.products


def test_lanes_are_as_long_as_the_step(case, step):
    lanes = buys.step_lanes(case, step)
    ends = lanes.groupby("lane").end.max()
    assert ends["BF16"] == pytest.approx(step.bf16.total_s)
    assert ends["FP8"] == pytest.approx(step.fp8.total_s)
    assert lanes[lanes.exposed].label.tolist() == ["rest", "rest"]


def test_form_gain_is_the_steps_own(case, step):
    assert buys.form_gain(case, case.form) == pytest.approx(step.step)
    assert buys.form_gain(case, "bf16") == 1.0


def test_where_no_layout_fits_the_smallest_is_timed_and_none_is_its_own():
    huge = default().model_copy(
        update={"training_model": "deepseek-ai/DeepSeek-V3", "training_task": "pretrain", "training_tokens": 1e12}
    )
    small = buys.Trained(
        load("llama-3.1-8b"), H100, "sft", 4096, 64, "fp8", buys.trained(default(), H100).layout, False
    )
    assert math.isnan(buys.step_gain(small).own_layout)
    assert buys.trained(huge, H100).layout.gpus >= 128


def test_a_decode_step_is_the_engines(case):
    replica = buys.Served(load("llama-3.1-8b"), H100, 1, 16, 1024, 1024.0, "fp8")
    by_hand = serving.deploy(replica.model, H100, tp=1, precision="bf16", kv_precision="bf16")
    assert buys.decode_s(replica, "bf16", "bf16") == pytest.approx(float(serving.decode_step_s(by_hand, 16, 1024.0)))
    gain = buys.served_gain(replica)
    assert gain.both == pytest.approx(gain.weights * gain.cache)


def test_the_replica_is_the_plans_where_there_is_one():
    replica = buys.served(default(), plan(default()), H100)
    row = plan(default()).recommendation
    assert replica.users == int(row.users)
    assert replica.tp == int(row.tp)
    assert replica.context_tokens == default().context_tokens - default().output_tokens / 2


def test_a_cache_in_fp8_is_half_as_large(case, step):
    memory = buys.memory_table(buys.served(default(), plan(default()), H100), case, step)
    assert memory.ratio["cache"] == pytest.approx(0.5)
    assert memory.ratio["optimizer"] == 1.0
    assert memory.ratio["weights_trained"] > 1


def test_widest_products_are_distinct_and_in_order():
    sizes = [w.k * w.n for w in buys.widest_products(load("llama-3.3-70b"), 2)]
    assert sizes == sorted(sizes)
    assert not {w.name for w in buys.widest_products(load("llama-3.3-70b"), 2)} & {"router", "lm_head"}


def test_parts_drawn_fall_on_one_side():
    has, lacks = buys.drawn_by_fp8()
    assert len(has) + len(lacks) == len(facts.drawn())
