"""One clock: arrays and single questions read the same grids by the same rule, exactly where a step is affine."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hopperbook import serving
from hopperbook.models import load
from hopperbook.serving import ticker
from hopperbook.serving.clock import BATCH, CONTEXT, NEW_TOKENS, PROMPTS, TOKENS, read, read_table

REPLICAS = [
    serving.deploy(load("llama-3.1-8b"), "H100 SXM", precision="bf16"),
    serving.deploy(load("llama-3.3-70b"), "A100 SXM", tp=4, pp=2, precision="int8"),
    serving.deploy(load("deepseek-v3"), "H200 SXM", tp=8, attention_dp=8),
]


def decode(d, batch, context):
    """Return the seconds of a step of pure decode, read part by part."""
    clock = serving.clock_of(d)
    share = np.maximum(batch / clock.ranks, 1.0)
    attention = read_table(BATCH, CONTEXT, clock.generation_s, share, context)
    return read(TOKENS, clock.decode_s, share) + attention + read(BATCH, clock.head_s, share)


def mixed(d, batch, context, new, prompts, cached):
    """Return the seconds of a step with prompts, read part by part."""
    clock, dp = serving.clock_of(d), d.attention_dp
    share, each, count = batch / clock.ranks, np.maximum(new / dp, 1.0), np.maximum(prompts / dp, 1.0)
    whole = each * dp / np.clip(prompts, 1.0, dp)
    decoding = read_table(BATCH, CONTEXT, clock.generation_s, np.maximum(share, 1.0), context)
    fresh = read_table(PROMPTS, NEW_TOKENS, clock.context_s, count, np.maximum(whole / count, 1.0))
    chunk = read_table(NEW_TOKENS, CONTEXT, clock.cached_s, whole, np.maximum(cached, 1.0))
    attention = np.where(share > 0, decoding, 0.0) + np.where(cached > 0, chunk, fresh)
    head = read(BATCH, clock.head_s, np.maximum(share + count, 1.0))
    return read(TOKENS, clock.mixed_s, share + each) + attention + head


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(REPLICAS),
    st.integers(0, 6000),
    st.integers(1, 400_000),
    st.integers(1, 200_000),
    st.integers(1, 300),
    st.integers(0, 400_000),
)
def test_a_step_is_its_parts_read_between_grid_points(d, batch, context, new, prompts, cached):
    asked = np.array([[batch, context, new, prompts, cached]] * 2, float).T
    wanted = mixed(d, *asked)
    assert serving.mixed_step_s(d, *asked) == pytest.approx(wanted, rel=1e-12)
    one = ticker.mixed_s(ticker.ticker(serving.clock_of(d)), *asked[:, 0])
    assert one == float(serving.mixed_step_s(d, *asked[:, 0])) == pytest.approx(float(wanted[0]), rel=1e-12)
    if batch:
        step = decode(d, *asked[:2])
        assert serving.decode_step_s(d, *asked[:2]) == pytest.approx(step, rel=1e-12)
        assert float(serving.decode_step_s(d, batch, context)) == pytest.approx(float(step[0]), rel=1e-12)


def test_loads_are_broadcast_together():
    steps = serving.decode_step_s(REPLICAS[0], [[1], [64]], [10, 100, 1000])
    assert steps.shape == (2, 3)
    assert steps[1, 2] == serving.decode_step_s(REPLICAS[0], 64, 1000)
    assert np.ndim(serving.decode_step_s(REPLICAS[0], 64, 1000)) == 0


def test_no_two_replicas_of_attention_share_a_prompt():
    d = REPLICAS[2]
    one, eight = (float(serving.mixed_step_s(d, 0, 1, n * 30_000, n)) for n in (1, 8))
    alone = float(read_table(PROMPTS, NEW_TOKENS, serving.clock_of(d).context_s, 1, 30_000))
    assert alone < one < eight
    assert eight < 8 * one


def test_what_is_affine_is_read_exactly():
    table = 3.0 + 2.0 * BATCH[:, None] * CONTEXT[None, :]
    rows, columns = np.array([1.5, 100.0, 3000.0]), np.array([5.0, 7777.0, 200_000.0])
    assert read_table(BATCH, CONTEXT, table, rows, columns) == pytest.approx(3.0 + 2.0 * rows * columns)
    assert read(CONTEXT, 5.0 + CONTEXT, [3.0, 999.5]).tolist() == [8.0, 1004.5]


def test_a_grid_point_is_read_as_it_stands_and_beyond_the_last_in_proportion():
    clock = serving.clock_of(REPLICAS[0])
    at_edge = read_table(BATCH, CONTEXT, clock.generation_s, BATCH[-1], CONTEXT[-1])
    assert float(at_edge) == clock.generation_s[-1, -1]
    twice = read_table(BATCH, CONTEXT, clock.generation_s, BATCH[-1], 2 * CONTEXT[-1])
    assert float(twice) == pytest.approx(2 * clock.generation_s[-1, -1])


def test_the_parts_of_a_step_are_the_step():
    for d in REPLICAS:
        parts = serving.step_parts(d, 48, 3000)
        assert sum(parts.values()) == pytest.approx(float(serving.decode_step_s(d, 48, 3000)), rel=1e-12)
