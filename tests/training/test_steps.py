"""The training step and its memory: what physics demands of every layout, and what was published."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hopperbook import facts, memory, training
from hopperbook.errors import InputError
from hopperbook.models import load
from hopperbook.training import PARTS, framework, layer, network, step

LLAMA8, LLAMA70 = load("meta-llama/Llama-3.1-8B"), load("meta-llama/Llama-3.1-70B")
MIXTRAL = load("mistralai/Mixtral-8x7B-v0.1")
LAYOUTS = st.sampled_from([(1, 1, 1), (2, 1, 1), (4, 2, 1), (8, 1, 1), (2, 4, 1), (1, 1, 2), (4, 4, 2)])


def run(model=LLAMA8, gpu="H100 SXM", gpus=64, seq_len=8192, **options):
    """One layout."""
    return step(model, gpu, gpus=gpus, seq_len=seq_len, **options)


def seconds(**options):
    return float(run(**options).total_s[0])


def peak_bytes(**options):
    return float(run(**options).memory_bytes[0])


@settings(max_examples=30, deadline=None)
@given(LAYOUTS, st.sampled_from([1, 2, 4]), st.sampled_from([8, 16, 64]), st.sampled_from(["bf16", "fp8"]))
def test_parts_add_up_to_the_step(layout, mb, m, precision):
    tp, pp, cp = layout
    s = run(tp=tp, pp=pp, cp=cp, micro_batch=mb, micro_batches=m, precision=precision)
    assert sum(float(getattr(s, part)[0]) for part in PARTS) == pytest.approx(float(s.total_s[0]), rel=1e-6)
    assert all(float(getattr(s, part)[0]) >= -1e-9 for part in PARTS)


@settings(max_examples=30, deadline=None)
@given(LAYOUTS, st.sampled_from([1, 2]), st.sampled_from(["none", "zero1", "zero3"]))
def test_recomputation_costs_time_and_never_memory(layout, mb, sharding):
    tp, pp, cp = layout
    shape = {"tp": tp, "pp": pp, "cp": cp, "micro_batch": mb, "micro_batches": 16, "sharding": sharding}
    kinds = ("none", "selective", "full")
    bytes_ = [peak_bytes(recompute=kind, **shape) for kind in kinds]
    times = [seconds(recompute=kind, **shape) for kind in kinds]
    assert bytes_[0] >= bytes_[1] >= bytes_[2]
    assert times[0] <= times[1] <= times[2]


@settings(max_examples=20, deadline=None)
@given(LAYOUTS, st.sampled_from([2, 4, 8]))
def test_the_same_batch_on_more_gpus_takes_no_longer(layout, times_more):
    tp, pp, cp = layout
    few = seconds(gpus=64, tp=tp, pp=pp, cp=cp, micro_batches=64)
    many = seconds(gpus=64 * times_more, tp=tp, pp=pp, cp=cp, micro_batches=64 // times_more)
    assert many <= few * 1.001


@settings(max_examples=20, deadline=None)
@given(st.sampled_from([1, 2, 4]), st.sampled_from(["none", "zero1", "zero2", "zero3"]))
def test_each_stage_of_sharding_needs_less(mb, sharding):
    order = ["none", "zero1", "zero2", "zero3"]
    later = order[min(3, order.index(sharding) + 1)]
    assert peak_bytes(micro_batch=mb, sharding=later) <= peak_bytes(micro_batch=mb, sharding=sharding) * 1.0001


def test_interleaving_shrinks_the_bubble_and_holds_more():
    plain = run(LLAMA70, tp=4, pp=4, micro_batches=16)
    chunks = run(LLAMA70, tp=4, pp=4, vpp=5, micro_batches=16)
    assert chunks.bubble_s[0] == pytest.approx(plain.bubble_s[0] / 5)
    assert chunks.memory_bytes[0] > plain.memory_bytes[0]
    assert chunks.total_s[0] < plain.total_s[0]


def test_more_micro_batches_dilute_the_bubble():
    rates = [run(LLAMA70, tp=4, pp=4, micro_batches=m).tokens_per_s_per_gpu[0] for m in (4, 8, 32, 128)]
    assert rates == sorted(rates)


def test_fp8_is_faster_and_the_a100_refuses_it():
    bf16, fp8 = (run(cp=2, gpus=8, micro_batches=32, precision=p) for p in ("bf16", "fp8"))
    assert 1.2 < fp8.tokens_per_s_per_gpu[0] / bf16.tokens_per_s_per_gpu[0] < 1.8
    with pytest.raises(InputError, match="precision"):
        run(gpu="A100 SXM", precision="fp8")


def test_lora_skips_weight_gradients_and_optimizer_states():
    whole, lora = (run(gpus=8, seq_len=4096, micro_batches=4, task=t) for t in ("sft", "lora"))
    assert lora.total_s[0] < 0.85 * whole.total_s[0]
    assert lora.memory_bytes[0] < 0.6 * whole.memory_bytes[0]
    assert lora.optimizer_s[0] == 0


def test_experts_cost_dispatch_and_expert_parallelism_saves_peak_bytes():
    one = run(MIXTRAL, seq_len=4096, tp=1, ep=1, gpus=64, micro_batches=8)
    eight = run(MIXTRAL, seq_len=4096, tp=1, ep=8, gpus=64, micro_batches=8)
    assert eight.memory_bytes[0] < one.memory_bytes[0]
    assert eight.tensor_parallel_s[0] > one.tensor_parallel_s[0]


def test_a_lower_power_limit_is_slower():
    h100 = facts.gpu("H100 SXM")
    limited = dataclasses.replace(h100, tdp_w=500)
    assert layer.sustained_flop_per_s(limited, "bf16") < layer.sustained_flop_per_s(h100, "bf16")
    assert run(gpu=limited).tokens_per_s_per_gpu[0] < run().tokens_per_s_per_gpu[0]


@pytest.mark.parametrize("gpu", sorted(facts.gpus()))
def test_every_part_can_train(gpu):
    s = run(gpu=gpu, gpus=8, seq_len=4096, micro_batches=8, sharding="fsdp")
    assert 50 < s.tokens_per_s_per_gpu[0] < 40_000
    assert 0.02 < s.mfu[0] < 0.8


def test_impossible_layouts_are_refused():
    for bad in ({"tp": 3}, {"tp": 8, "pp": 16, "gpus": 64}, {"task": "play"}, {"recompute": "some"}):
        with pytest.raises(InputError):
            run(**bad)
    with pytest.raises(InputError):
        run(sharding="zero9")


def test_slower_fabrics_cost_more():
    fast, slow = (run(gpus=64, sharding="fsdp", fabric=f).data_parallel_s[0] for f in ("ndr", "eth100"))
    assert slow > fast


def test_a_shard_group_inside_a_node_gathers_less():
    columns = {"sharding": "zero1", "framework_name": "InternEvo", "gpus": 512, "gpu": "A100 SXM", "seq_len": 2048}
    near, far = (run(shard_ranks=n, micro_batches=4, **columns).total_s[0] for n in (8, 512))
    assert near < far


def test_unknown_frameworks_take_megatron_and_records_hold_every_constant():
    assert framework("").name == framework("some new thing").name == "megatron"
    assert framework("torchtitan 2024-12").name == "torchtitan"
    assert framework("Megatron-LM", "Ampere").name == "megatron2022" != framework("Megatron-LM", "Hopper").name
    for name, row in layer.constants()["frameworks"].items():
        assert all(framework(word).name == name for word in row["names"])


def test_the_last_stage_holds_the_logits():
    shape = {"seq_len": 8192, "tp": 2, "micro_batches": 8, "dp": 2}
    wide = dataclasses.replace(LLAMA8, vocab=1_000_000)
    one = memory.peak(wide, pp=4, micro_batch=1, **shape)
    assert one.logits_bytes > 0 and one.activations_bytes > 0
    small = memory.peak(LLAMA8, pp=4, micro_batch=1, **shape)
    assert small.logits_bytes == 0


def test_activation_modes_are_those_of_the_paper():
    from hopperbook.models import from_shape

    gpt = from_shape(48, 6144, 64)
    by_mode = {m: memory.activation_bytes(gpt, 2048, 4, mode=m, tp=8) for m in memory.MODES}
    assert by_mode["none"] > by_mode["seq"] > by_mode["selective"] > by_mode["seq+selective"] > by_mode["full"]
    with pytest.raises(InputError):
        memory.activation_bytes(gpt, 2048, 4, mode="some")


def test_zero_ranks_send_nothing():
    h100, f = facts.gpu("H100 SXM"), framework()
    one = np.array([1.0])
    for call in (
        network.tensor_parallel_s(
            LLAMA8, h100, f, one * 4096, np.array([1]), precision="bf16", task="pretrain", recompute="none",
            sequence_parallel=True, fabric=None,
        ),
        network.expert_parallel_s(LLAMA8, h100, f, one * 4096, one, one, one, None),
    ):  # fmt: skip
        assert np.all(call == 0)


def test_sweep_and_best_keep_what_fits():
    table = training.sweep(LLAMA8, "H100 SXM", [8, 64], 256, 8192)
    assert {"recompute", "total_s", "tokens_per_s_per_gpu", "memory_bytes", "mfu", "fits"} <= set(table.columns)
    chosen = training.best(table)
    assert chosen.gpus.tolist() == [8, 64] and chosen.fits.all()
    nothing = training.best(training.sweep(LLAMA70, "A100 SXM 40GB", [1], 64, 8192))
    assert len(nothing) == 0


def test_a_hundred_thousand_layouts_take_a_second():
    import time

    grid = training.layouts(LLAMA70, [64, 128, 256, 512, 1024, 2048], 2048)
    at = np.resize(np.arange(len(grid)), 100_000)
    columns = {c: grid[c].to_numpy()[at] for c in grid.columns if c != "dp"}
    run(LLAMA70, tp=8)
    start = time.process_time()
    assert len(step(LLAMA70, "H100 SXM", seq_len=8192, **columns).total_s) == 100_000
    assert time.process_time() - start < 1.0
