"""What the chapter on serving computes, against the calculators it rests on and figures worked by hand."""

import pytest

from hopperbook import facts, serving
from hopperbook.models import load
from hopperbook.studies import serving as study

LLAMA = load("llama-3.1-8b")


@pytest.fixture(scope="module")
def replica():
    return serving.deploy(LLAMA, "H100 SXM", precision="bf16", kv_precision="bf16")


@pytest.mark.parametrize("users", [1, 20, 300])
@pytest.mark.parametrize("tp", [1, 4])
def test_the_parts_of_a_step_add_up_to_it(users, tp):
    d = serving.deploy(LLAMA, "H100 SXM", tp=tp)
    parts = serving.step_parts(d, users, 3000)
    assert set(parts) == set(study.STEP_PARTS)
    assert sum(parts.values()) == pytest.approx(float(serving.decode_step_s(d, users, 3000)))
    assert (parts["all-reduce"] > 0) == (tp > 1)
    assert study.step_lanes(parts).end_s.iloc[-1] == pytest.approx(sum(parts.values()))


def test_no_step_and_no_prompt_is_faster_than_its_floor(replica):
    floor = study.floor(replica, LLAMA, 32, 2048, 2304)
    assert floor.cache_bytes == 32 * 2304 * 2 * 32 * 8 * 128 * 2
    assert floor.step_s == (floor.weights_bytes + floor.cache_bytes) / replica.gpu.memory_bandwidth_bytes_per_s
    assert floor.step_s < float(serving.decode_step_s(replica, 32, 2304))
    assert floor.prompt_s < float(serving.prefill_s(replica, 2048))


def test_a_longer_prompt_stops_at_the_limit_of_the_model():
    assert study.longer_prompt(LLAMA, 1000, 500) == 4000
    assert study.longer_prompt(LLAMA, 100_000, 500) == LLAMA.context_limit - 500


def test_curves_hold_what_fits_and_the_best_within_a_target_is_one_of_their_points(replica):
    curves = study.throughput(replica, LLAMA, 1024, 256)
    assert set(curves.gpu) == set(facts.drawn())
    best = study.within(curves, 30.0)
    assert best.is_monotonic_decreasing
    for gpu, rate in best.items():
        kept = curves[(curves.gpu == gpu) & (curves.tpot_s <= 0.030)]
        assert rate == kept.tokens_per_s_per_gpu.max()
    assert study.within(curves, 1e-3).empty


def test_more_memory_serves_more_at_every_length(replica):
    gain = study.newest_gain(study.long_contexts(replica, LLAMA, 512))
    assert (gain > 1).all()
    assert gain.index.max() + 512 <= LLAMA.context_limit


def test_a_half_cached_prompt_costs_less_than_a_whole_and_more_than_a_half(replica):
    found = study.options(replica, 8, 8192, 64)
    assert float(serving.prefill_s(replica, 4096)) < found.cached_prompt_s < found.prompt_s
    assert found.speculation.tokens_per_step == pytest.approx(1 + 0.7 + 0.49 + 0.343)


def test_load_table_repeats_the_simulation(replica):
    row = study.under_load(replica, [8], 512, 64).iloc[0]
    run = serving.closed_loop(replica, 8, 512, 64)
    assert (row.ttft, row.tpot, row.rate) == (run.ttft_s, 1e3 * run.tpot_s, run.output_tokens_per_s)
