"""Pairs of published runs: what makes a pair, and the range that they give a prediction."""

import pandas as pd
import pytest

from hopperbook.evidence.pairs import SAME, by_task, format_pairs, gain_range


def test_a_pair_is_one_model_task_length_cluster_and_framework():
    gains = format_pairs("H100 SXM").gains
    assert not gains.duplicated(SAME).any()
    assert (gains.measured > 0).all()
    assert gains.error.to_numpy() == pytest.approx((gains.predicted / gains.measured - 1).to_numpy())


def test_an_exact_prediction_has_no_range():
    exact = pd.DataFrame({"measured": [1.2, 1.4, 1.6], "predicted": [1.2, 1.4, 1.6]})
    assert gain_range(exact, 1.3) == pytest.approx((1.3, 1.3))


def test_runs_that_gain_half_as_much_again_lift_the_range():
    off = pd.DataFrame({"measured": [1.5] * 4, "predicted": [1.0] * 4})
    assert gain_range(off, 2.0) == pytest.approx((3.0, 3.0))


def test_the_median_of_each_task_stands_for_its_pairs():
    one = {"model": "a", "task": "sft", "seq_len": 1, "gpus": 8, "framework": "nemo", "error": 0.0}
    rows = pd.DataFrame([one | {"measured": m, "predicted": 1.2} for m in (1.0, 1.2, 1.6)])
    row = by_task(rows).iloc[0]
    assert (row.pairs, row.measured, row.predicted) == (3, 1.2, 1.2)
    assert row.error == pytest.approx(0.0)
