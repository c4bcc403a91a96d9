"""Speculative decoding and the knee of a throughput curve, at their limits and against sums worked by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopperbook.errors import InputError
from hopperbook.models import load
from hopperbook.serving import deploy
from hopperbook.serving.drafts import tokens_per_step
from hopperbook.serving.knee import elasticity, knee
from hopperbook.serving.speculation import speculate


@given(st.floats(0, 1), st.integers(0, 12))
def test_tokens_a_step_are_the_chances_that_each_draft_is_reached(acceptance, drafts):
    chances = [acceptance**n for n in range(drafts + 1)]
    assert tokens_per_step(acceptance, drafts) == pytest.approx(math.fsum(chances))


def test_limits_of_speculation():
    assert tokens_per_step(0.0, 5) == 1
    assert tokens_per_step(1.0, 5) == 6
    for acceptance, drafts in ((1.2, 3), (-0.1, 3), (0.5, -1)):
        with pytest.raises(InputError):
            tokens_per_step(acceptance, drafts)


def test_no_drafts_change_nothing_and_gains_vanish_as_the_batch_grows():
    d = deploy(load("llama-3.1-70b"), "H100 SXM", tp=4)
    assert speculate(d, 16, 2048, 0.7, 0) == (1.0, 1.0)
    gains = [speculate(d, users, 2048, 0.7, 3).speedup for users in (1, 16, 256)]
    assert gains[0] > gains[1] > gains[2]


def test_elasticity_of_a_power_law_is_its_exponent():
    users = np.geomspace(1, 100, 9)
    assert elasticity(users, users**0.7) == pytest.approx(np.full(9, 0.7))


def test_the_knee_of_a_saturating_curve_is_where_half_is_reached():
    users = np.arange(1, 400)
    # r = u / (1 + u / 50): the elasticity is 1 / (1 + u / 50), a half at 50
    assert abs(knee(users, users / (1 + users / 50)) - 50) <= 1
    assert knee([1, 2], [10, 10]) == 2
