"""Repeats of one run: which rows are alike, and how far apart they lie."""

import numpy as np
import pandas as pd
import pytest

from hopperbook.evidence import noise


def test_runs_that_differ_in_a_condition_are_no_repeats():
    rows = pd.DataFrame({"file": "f", "model": "a", "engine_version": ["1", "2"], "measured": [1.0, 2.0]})
    assert noise.repeats(rows).empty
    assert len(noise.repeats(rows.assign(engine_version="1"))) == 1


def test_what_says_nothing_of_a_run_does_not_part_repeats():
    rows = pd.DataFrame(
        {"file": "f", "model": "a", "source": ["x", "y"], "tpot_ms": [1.0, 2.0], "measured": [1.0, 2.0]}
    )
    assert noise.repeats(rows).tolist() == pytest.approx([np.log(2.0)])


def test_the_floor_is_the_error_of_the_mean_of_noisy_runs():
    rng = np.random.default_rng(0)
    runs = np.exp(rng.normal(0.0, 0.05, 400))
    rows = pd.DataFrame({"file": "f", "model": np.repeat(np.arange(200), 2), "measured": runs})
    assert noise.floor(rows)[1] == pytest.approx(float(np.median(np.abs(np.log(runs)))), rel=0.15)
    assert np.isnan(noise.floor(rows[:4])[1])
