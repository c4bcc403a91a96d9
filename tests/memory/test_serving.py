"""Memory against the worked examples of the papers that the formulas come from."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopperbook import memory, serving
from hopperbook.errors import InputError
from hopperbook.models import from_shape, load, parameters, weight_bytes

SHAPES = {"22B": (48, 6144, 64), "175B": (96, 12288, 96), "530B": (105, 20480, 128), "1T": (128, 25600, 160)}


@pytest.mark.parametrize(
    ("name", "scores_factor"),
    [("175B", 80), ("530B", 64)],  # korthikanti-2022-activations, section 4.1: 5as/h of GPT-3 and MT-NLG
)
def test_attention_share_of_activations(name, scores_factor):
    layers, hidden, heads = SHAPES[name]
    gpt = from_shape(layers, hidden, heads)
    whole = memory.layer_activation_bytes(gpt, 2048, flash=False, dropout=True)
    assert whole / (2048 * hidden) == pytest.approx(34 + scores_factor)


@pytest.mark.parametrize(
    ("mode", "factor"),
    [
        ({"sequence_parallel": False}, 10 + 24 / 8 + 64 / 8),
        ({}, (34 + 64) / 8),
        ({"sequence_parallel": False, "recompute": "selective"}, 10 + 24 / 8),
        ({"recompute": "selective"}, 34 / 8),
        ({"recompute": "full", "sequence_parallel": False}, 2),
    ],
)
def test_table_2_of_korthikanti(mode, factor):
    layers, hidden, heads = SHAPES["530B"]
    flash = mode.get("recompute") == "selective"
    got = memory.layer_activation_bytes(
        from_shape(layers, hidden, heads), 2048, tp=8, flash=False, dropout=True, **mode
    )
    assert not flash or got < 2048 * hidden * 14
    assert got / (2048 * hidden) == pytest.approx(factor)


@pytest.mark.parametrize(
    ("stage", "gb"),  # rajbhandari-2020-zero, figure 1: 7.5B parameters, 64 GPUs
    [("none", 120), ("zero1", 31.4), ("zero2", 16.6), ("zero3", 1.9)],
)
def test_figure_1_of_zero(stage, gb):
    states = memory.state_bytes(7.5e9, dp=64, sharding=stage, gradient_bytes=2.0)
    assert states.total_bytes / 1e9 == pytest.approx(gb, abs=0.05)


def test_rank_weights_add_up_to_the_checkpoint():
    for name in ("meta-llama/Llama-3.1-70B", "Qwen/Qwen3-30B-A3B", "google/gemma-2-9b", "deepseek-ai/DeepSeek-V3"):
        model = load(name)
        assert memory.rank_weight_bytes(model) == pytest.approx(weight_bytes(model), rel=1e-12)
    llama = load("meta-llama/Llama-3.1-70B")
    eight = 8 * memory.rank_weight_bytes(llama, tp=8)  # norms are on every rank
    assert eight == pytest.approx(weight_bytes(llama), rel=1e-3)
    assert sum(memory.rank_parameters(load("Qwen/Qwen3-30B-A3B"))) == parameters(load("Qwen/Qwen3-30B-A3B"))


def test_seventy_billion_in_bf16_leaves_nothing_on_an_h200():
    budget = serving.budget(serving.deploy(load("llama-3.3-70b"), "H200 SXM", precision="bf16"), 2048)
    assert budget.weights_bytes < budget.capacity_bytes  # the weights alone go in ...
    assert budget.kv_room_bytes < 0  # ... and nothing else does
    assert budget.users == 0


@given(tp=st.sampled_from([1, 2, 4, 8]), tokens=st.integers(128, 100_000))
def test_more_gpus_never_hold_fewer_users(tp, tokens):
    model = load("meta-llama/Llama-3.1-8B")

    def users(ranks, **formats):
        return serving.budget(serving.deploy(model, "A100 SXM 80GB", tp=ranks, **formats), tokens).users

    assert users(2 * tp) >= users(tp)
    assert users(tp, kv_precision="fp8") >= users(tp)


def test_latent_attention_is_copied_on_every_rank():
    deepseek = load("deepseek-ai/DeepSeek-V3")
    assert memory.kv_copies(deepseek, 8) == 8
    assert memory.kv_copies(load("meta-llama/Llama-3.1-70B"), 16) == 2


def test_unknown_words_are_refused():
    with pytest.raises(InputError, match="sharding"):
        memory.sharding_stage("zero9")
    with pytest.raises(InputError, match="recompute"):
        memory.layer_activation_bytes(from_shape(1, 64, 4), 10, recompute="some")


def test_lora_needs_far_less_than_full_finetuning():
    llama = load("meta-llama/Llama-3.1-8B")
    full = memory.peak(llama, seq_len=2048, dp=1, sharding="none", recompute="full", task="sft")
    lora = memory.peak(
        llama, seq_len=2048, dp=1, sharding="none", recompute="full", task="lora", adapter_parameters=40e6
    )
    assert lora.total_bytes < 0.25 * full.total_bytes
