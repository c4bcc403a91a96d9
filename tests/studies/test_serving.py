"""What the chapter on serving computes of a replica, against the calculators it rests on and figures worked by hand."""

import pytest

from hopperbook import customer, facts, planner, serving
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
    lengths = serving.Lengths(2048, 512, cached=1024)
    floor = study.floor(replica, LLAMA, 32, lengths)
    assert floor.cache_bytes == 32 * (1024 + 2048 + 256) * 2 * 32 * 8 * 128 * 2
    assert floor.step_s == (floor.weights_bytes + floor.cache_bytes) / replica.gpu.memory_bandwidth_bytes_per_s
    assert floor.step_s < float(serving.decode_step_s(replica, 32, lengths.met))
    assert floor.prompt_s < float(serving.prefill_s(replica, 2048, 1, 1024))


def test_more_memory_serves_more_at_every_length(replica):
    gain = study.newest_gain(study.long_contexts(replica, LLAMA, 512))
    assert (gain > 1).all()
    assert gain.index.max() + 512 <= LLAMA.context_limit


def test_long_contexts_take_each_part_in_its_best_layout():
    big = load("llama-3.3-70b")
    d = serving.deploy(big, "H200 SXM", precision="fp8", kv_precision="fp8")
    rows = study.long_contexts(d, big, 512).set_index(["series", "x"])
    assert (
        rows.gpus["H100 SXM"].min() == 2 and rows.gpus["H200 SXM"].min() == 1
    )  # 73 GB of weights leave an H100 no room
    for part, n in (("H100 SXM", 1024), ("H200 SXM", 65536)):
        rates = [serving.offline(study.on_part(d, big, part, tp), n, 512)[0] / tp for tp in (1, 2, 4, 8)]
        assert rows.y[part, n] == pytest.approx(max(rates))


def test_options_are_held_against_the_plain_replicas():
    shop = customer.default()
    row = planner.plan(shop).recommendation
    options = study.options(row, shop)
    assert len(options) == (4 if row.replicas > 1 else 3)
    assert all(0.1 < each.gain < 10 for each in options)
    assert options[0].gain > 1  # half of each prompt need not be read
    hopeless = shop.model_copy(update={"tpot_target_ms": 0.5})
    assert study.options(row, hopeless) == []


def test_a_shared_part_is_moved_from_new_tokens_to_cached_ones():
    asked = serving.Demand(serving.Lengths(4000, 256, 400.0, cached=100), users=4)
    lengths = study.with_shared(asked, 0.5).lengths
    assert (lengths.new, lengths.new_std, lengths.cached, lengths.shared) == (2000, 200, 2100, 2000)
    assert lengths.held == asked.lengths.held


def test_neighbours_and_parts_of_the_book():
    assert study.neighbours(3) == [1, 3, 6, 12]
    for gpu in facts.drawn():
        assert study.on_part(serving.deploy(LLAMA, "H100 SXM", precision="fp8"), LLAMA, gpu).gpu.name == gpu
