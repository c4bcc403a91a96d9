"""What chapter 5 computes: a step is the sum of its parts, days follow from it, and comparisons are ratios of both."""

import pandas as pd
import pytest

from hopperbook import customer, facts, training
from hopperbook.customer import default
from hopperbook.models import load
from hopperbook.planner.runs import global_batch
from hopperbook.studies import training as study
from hopperbook.units import DAY_S


@pytest.fixture(scope="module")
def found():
    return study.explained(default())


@pytest.fixture(scope="module")
def step(found):
    return study.timed(found.customer, found.run)


def test_a_step_is_the_sum_of_its_parts(step):
    assert step.parts.part_s.sum() == pytest.approx(step.step_s)
    assert step.parts.share.sum() == pytest.approx(1)
    assert step.parts.part_s.is_monotonic_decreasing
    assert set(study.PART_WORDS) == set(training.PARTS)


def test_days_are_tokens_over_rate_over_goodput(found, step):
    customer, run = found.customer, found.run
    assert step.alone_days == pytest.approx(customer.training_tokens / step.tokens_per_s / DAY_S / run.goodput)
    assert step.alone_days == pytest.approx(step.free_share * run.days)
    assert step.more_days == 0.0  # it runs on the fleet that serves


def test_mfu_is_arithmetic_over_the_peak(found, step):
    assert step.mfu == pytest.approx(step.tokens_per_s_per_gpu * step.flop_per_token / step.peak_flop_per_s, rel=1e-6)


def test_what_is_not_trained_or_does_not_fit_is_explained_by_a_neighbour():
    idle = study.explained(default().model_copy(update={"training_task": "none"}))
    assert idle.stands_in and idle.unfit_gpus is None and idle.customer.trains
    one = default().model_copy(update={"training_task": "pretrain", "max_gpus": 1})
    wider = study.explained(one)
    assert not wider.stands_in and wider.unfit_gpus == 1
    assert wider.customer.max_gpus == wider.run.gpus > 1


def test_every_drawn_part_is_compared_and_hopper_twice(found):
    like = study.like_for_like(found.customer, 8)
    assert set(like.gpu) == set(facts.drawn())
    new = [gpu for gpu in facts.drawn() if facts.gpu(gpu).transformer_engine]
    assert set(like[like.precision == "FP8"].gpu) == set(new)
    fast, slow = ("H100 SXM", "BF16"), ("A100 SXM 80GB", "BF16")
    assert 1.5 < study.gain(like, slow, fast) < 3.2
    assert study.gain(like, fast, slow) == pytest.approx(1 / study.gain(like, slow, fast))
    assert pd.isna(study.gain(like, slow, ("A100 SXM 80GB", "FP8")))
    assert pd.isna(study.gain(pd.DataFrame(), slow, fast))


def test_the_table_of_parts_costs_what_the_plan_pays():
    who = customer.load(facts.DATA / "customers" / "train-70b.yaml")
    found = study.explained(who)
    rows = found.plan.training_table.set_index(["gpu", "precision", "gpus", "tenure"])
    like = study.like_for_like(found.customer, found.run.gpus)
    assert len(like) == 5
    for row in like.itertuples():
        same = rows.loc[(row.gpu, row.precision.lower(), found.run.gpus, "on_demand")]
        assert (row.days, row.usd) == pytest.approx((same.days, same.usd_run))
    assert found.run.usd_run in like.usd.tolist()


def test_more_gpus_take_fewer_days_but_not_proportionally(found):
    scaled = study.scaling(found.customer, found.run)
    for _, rows in scaled.groupby("gpu"):
        assert rows.days.is_monotonic_decreasing
        assert (rows.days * rows.gpus).iloc[-1] >= (rows.days * rows.gpus).iloc[0]
    assert scaled.gpus.max() <= 8 * global_batch(found.customer)


def test_a_week_over_the_sizes_that_both_hold():
    rows = pd.DataFrame({"gpu": list("ABAB"), "gpus": [8, 8, 16, 16], "days": [8.0, 4.0, 6.0, 2.0]})
    assert study.becomes(rows, "A", "B") == (pytest.approx(7 / 3), pytest.approx(7 / 2.5), pytest.approx(7 / 2))
    assert study.becomes(rows, "A", "C") is None
    assert study.becomes(rows.head(1), "A", "B") is None
    assert study.in_time_from(rows, 5.0).to_dict() == {"B": 8}
    assert study.met_words(study.in_time_from(rows, 5.0), 4) == "B meets the deadline from 8 GPUs on"
    assert study.met_words(study.in_time_from(rows, 7.0), 8) == (
        "A meets the deadline from 16 GPUs on, B at every size drawn, 8 and more"
    )


def test_one_gpu_fails_as_often_as_meta_counted():
    failures = study.failures(load("meta-llama/Llama-3.1-405B"), (1, 16384))
    # 419 stops in 54 days of 16,384 GPUs
    assert failures.between_failures_s.iloc[1] / 3600 == pytest.approx(54 * 24 / 419, rel=0.02)
    assert failures.between_failures_s.iloc[0] == pytest.approx(16384 * failures.between_failures_s.iloc[1])
    assert failures.goodput.between(0, 1).all()


def test_longer_sequences_stop_where_the_model_does():
    short = default().model_copy(update={"training_model": "llm-foundry/mpt-125m", "training_sequence_tokens": 2048})
    assert study.twice_as_long(short) == load("llm-foundry/mpt-125m").context_limit == 2048
    assert study.twice_as_long(default()) == 2 * default().training_sequence_tokens
