"""Ranges for groups that nobody has seen: each group left out lies inside as often as is promised."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopperbook import evidence
from hopperbook.evidence import groups
from hopperbook.evidence.intervals import interval, known_family, same_as


def sample(seed, many=8, each=25, between=0.1, within=0.02):
    draw = np.random.default_rng(seed)
    log = np.repeat(draw.normal(0, between, many), each) + draw.normal(0, within, many * each)
    return np.exp(log), np.repeat([f"campaign {i}" for i in range(many)], each)


def test_a_range_from_rows_alone_misses_the_next_group_and_one_from_groups_does_not():
    inside, naive = [], []
    for seed in range(60):
        ratio, names = sample(seed, many=9)
        known, new = names != "campaign 8", names == "campaign 8"
        found = groups.range_of(ratio[known], names[known])
        inside.append(((ratio[new] >= found["low"]) & (ratio[new] <= found["high"])).mean())
        one = names == "campaign 0"
        low, high = np.quantile(ratio[one], [0.1, 0.9])
        naive.append(((ratio[new] >= low) & (ratio[new] <= high)).mean())
    assert 0.7 <= np.mean(inside) <= 0.95
    assert np.mean(naive) < 0.4


@given(st.integers(0, 200), st.floats(0.0, 0.3), st.floats(0.001, 0.1))
def test_a_range_holds_one_and_four_in_five_of_its_own_rows(seed, between, within):
    ratio, names = sample(seed, many=5, each=10, between=between, within=within)
    found = groups.range_of(ratio, names)
    assert found["low"] <= 1.0 <= found["high"] and found["grown"] >= 1.0
    assert ((ratio >= found["low"] - 1e-4) & (ratio <= found["high"] + 1e-4)).mean() >= 0.79


def test_the_ends_for_a_group_do_not_know_its_rows():
    ratio, names = sample(1)
    moved = np.where(names == "campaign 3", ratio * 5, ratio)
    at = names == "campaign 3"
    for before, after in zip(groups.left_out_ends(ratio, names), groups.left_out_ends(moved, names), strict=True):
        assert np.array_equal(before[at], after[at])
        assert not np.array_equal(before[~at], after[~at])


FAMILIES = (
    ("serving", "tpot_ms"),
    ("serving", "ttft_ms"),
    ("serving", "output_tokens_per_s"),
    ("training", "tokens_per_s_per_gpu"),
    ("training", "step_s"),
    ("training", "memory_gib"),
    ("collective", "busbw_GBs"),
)


@pytest.mark.parametrize(("kind", "quantity"), FAMILIES)
def test_every_family_keeps_what_it_promises_on_groups_left_out(kind, quantity):
    assert 0.7 < evidence.judged(kind, quantity).inside.mean() < 0.9


def test_quantities_that_say_the_same_share_a_range():
    low, high = interval("training/tokens_per_s_per_gpu/dense/megatron")
    assert interval("training/step_s/dense/megatron") == pytest.approx((1 / high, 1 / low))
    assert same_as("collective/busbw_GBs/nodes") == ("collective/time_us/nodes", True)
    low, high = interval("serving/tpot_ms/online/dense")
    assert interval("serving/output_tokens_per_s/online/dense") == pytest.approx((1 / high, 1 / low))


def test_a_family_without_rows_takes_the_range_above_it():
    assert known_family("serving/tpot_ms/online/dense/an engine to come") == "serving/tpot_ms/online/dense"
    assert known_family("nothing/of/the/kind") == ""


def test_rows_of_one_campaign_model_part_and_version_are_one_group():
    rows = pd.DataFrame(
        {
            "kind": "serving", "file": "online", "source": "somebody", "model": ["a", "a", "a", "b"],
            "gpu": "H100 SXM", "engine": "vLLM", "engine_version": ["0.12", "0.12", "0.18", "0.12"],
        }
    )  # fmt: skip
    assert groups.group_names(rows).nunique() == 3
