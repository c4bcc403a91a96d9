"""One clock: arrays and single questions read the same grids by the same rule, exactly where a step is affine."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hopperbook import serving
from hopperbook.models import load
from hopperbook.serving import ticker
from hopperbook.serving.clock import BATCH, CONTEXT, NEW_TOKENS, PROMPTS, read, read_table

REPLICAS = [
    serving.deploy(load("llama-3.1-8b"), "H100 SXM", precision="bf16"),
    serving.deploy(load("llama-3.3-70b"), "A100 SXM", tp=4, pp=2, precision="int8"),
    serving.deploy(load("deepseek-v3"), "H200 SXM", tp=8, attention_dp=8),
]


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(REPLICAS),
    st.integers(0, 6000),
    st.integers(1, 400_000),
    st.integers(1, 200_000),
    st.integers(1, 300),
    st.integers(0, 400_000),
)
def test_a_simulation_reads_what_arrays_read(d, batch, context, new, prompts, cached):
    clock = serving.clock_of(d)
    whole = clock.mixed_step_s(batch, context, new, prompts, cached)
    one = ticker.mixed_s(ticker.ticker(clock), batch, context, new, prompts, cached)
    assert one == pytest.approx(float(whole), rel=1e-12)
    if batch:
        step = clock.decode_step_s(batch, context)
        assert ticker.decode_s(ticker.ticker(clock), batch, context) == pytest.approx(float(step), rel=1e-12)


def test_no_two_replicas_of_attention_share_a_prompt():
    clock = serving.clock_of(REPLICAS[2])
    one, eight = (float(clock.mixed_step_s(0, 1, n * 30_000, n)) for n in (1, 8))
    alone = float(read_table(PROMPTS, NEW_TOKENS, clock.context_s, 1, 30_000))
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
