"""Answers are read from one draw of some 900 requests, which must stand for endless traffic at other loads too."""

import numpy as np
import pytest

from hopperbook import customer, facts, planner
from hopperbook.calibrate import draw
from hopperbook.planner.load import demand
from hopperbook.serving import demand as demands


def recommended(name):
    """Return the replica, lengths and rate of a shipped customer's recommended fleet."""
    who = customer.load(facts.DATA / "customers" / f"{name}.yaml")
    row = planner.plan(who).recommendation
    return row.deployment, demand(who).lengths, row.rate_per_s / row.replicas


@pytest.fixture(scope="module")
def off():
    """Return how far the draws 62 to 73 lie off endless traffic at the four customers' fleets."""
    at = [recommended(name) for name in ("default", "inference-saas", "train-70b", "ai-hpc")]
    first = demands.typical_draw()
    return draw.errors(at, range(first, first + 12))


def test_the_typical_draw_is_near_endless_traffic(off):
    first, token = off[0, :, 1], off[0, :, 2]
    assert np.abs(first).max() < 0.08 and np.abs(token).max() < 0.08
    assert abs(first.mean()) < 0.04 and abs(token.mean()) < 0.04


def test_it_is_nearer_than_most(off):
    spread = draw.spreads(off) @ draw.WEIGHTS
    assert (spread[0] < spread[1:]).mean() >= 0.7
