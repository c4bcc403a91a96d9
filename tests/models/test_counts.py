"""Parameter counts, KV bytes and FLOPs against published totals and worked examples."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopperbook import models
from hopperbook.errors import InputError
from hopperbook.models import load, model_names

# Published safetensors totals (huggingface-models) or the paper's count.
PUBLISHED = {
    "meta-llama/Llama-2-7b-hf": 6_738_415_616,
    "meta-llama/Llama-2-13b-hf": 13_015_864_320,
    "meta-llama/Llama-2-70b-hf": 68_976_648_192,
    "meta-llama/Meta-Llama-3-8B": 8_030_261_248,
    "meta-llama/Meta-Llama-3-70B": 70_553_706_496,
    "meta-llama/Llama-3.1-8B": 8_030_261_248,
    "meta-llama/Llama-3.1-70B": 70_553_706_496,
    "meta-llama/Llama-3.1-405B": 405_853_388_800,
    "meta-llama/Llama-3.2-1B": 1_235_814_400,
    "meta-llama/Llama-3.2-3B": 3_212_749_824,
    "meta-llama/Llama-3.3-70B-Instruct": 70_553_706_496,
    "codellama/CodeLlama-34b-hf": 33_743_970_304,
    "mistralai/Mistral-7B-v0.1": 7_241_732_096,
    "mistralai/Mistral-7B-v0.3": 7_248_023_552,
    "mistralai/Mixtral-8x7B-v0.1": 46_702_792_704,
    "mistralai/Mixtral-8x22B-v0.1": 140_620_634_112,
    "Qwen/Qwen2.5-7B": 7_615_616_512,
    "Qwen/Qwen2.5-32B": 32_763_876_352,
    "Qwen/Qwen2.5-72B": 72_706_203_648,
    "Qwen/Qwen3-8B": 8_190_735_360,
    "Qwen/Qwen3-32B": 32_762_123_264,
    "Qwen/Qwen3-30B-A3B": 30_532_122_624,
    "Qwen/Qwen3-235B-A22B": 235_093_634_560,
    "deepseek-ai/DeepSeek-V3": 671_026_419_200,
    "google/gemma-2-9b": 9_241_705_984,
    "google/gemma-2-27b": 27_227_128_320,
    "openai/gpt-oss-20b": 20_914_757_184,
    "openai/gpt-oss-120b": 116_829_156_672,
    "mosaicml/mpt-7b": 6_649_286_656,
    # counted by transformers 5.24.0, and what balances routers (configs/truth.csv)
    "Qwen/Qwen3.5-35B-A3B": 34_660_610_688,
    "nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16": 31_577_937_344 + 2_944,
    "deepseek-ai/DeepSeek-V3.2": 671_877_929_216 + 14_848,
    "deepseek-ai/DeepSeek-V4-Pro": 1_572_997_179_491 + 2_349_312,
    "google/gemma-4-26B-A4B": 25_233_141_760,
    "moonshotai/Kimi-K2.5": 1_026_408_209_408 + 23_040,
    # encoders and embedding models: the totals of their safetensors
    "BAAI/bge-base-en-v1.5": 109_482_240,
    "BAAI/bge-large-en-v1.5": 335_141_888,
    "BAAI/bge-m3": 567_754_752,
    "BAAI/bge-reranker-v2-m3": 567_755_777,
    "answerdotai/ModernBERT-base": 149_655_232,
    "nomic-ai/nomic-embed-text-v1.5": 136_731_648,
    "Qwen/Qwen3-Embedding-0.6B": 595_776_512,
    "Qwen/Qwen3-Embedding-8B": 7_567_295_488 + 151_665 * 4096,  # its file is without the LM head that its config names
    "MiniMaxAI/MiniMax-M2.5": 228_689_748_992 + 15_872,
    # mosaicml-llm-foundry, column `parameters` of its published training table
    "llm-foundry/mpt-125m": 125_311_488,
    "llm-foundry/mpt-350m": 355_985_408,
    "llm-foundry/mpt-760m": 760_470_528,
    "llm-foundry/mpt-1b": 1_315_950_592,
    "llm-foundry/mpt-3b": 2_651_837_440,
    "llm-foundry/mpt-7b": 6_658_859_008,
    "llm-foundry/mpt-13b": 12_853_954_560,
    "llm-foundry/mpt-30b": 29_975_214_080,
    "llm-foundry/mpt-70b": 64_862_437_376,
}
ROUNDED_IN_PAPER = {"openai/gpt-3-175b": 174.6e9, "mosaicml/mpt-30b": 29.96e9}
#: meta-2025-llama4 names totals in billions, with a vision tower of 0.9 that is not counted here.
WITH_VISION = {"meta-llama/Llama-4-Scout-17B-16E": 109e9, "meta-llama/Llama-4-Maverick-17B-128E": 400e9}


@pytest.mark.parametrize("name", model_names())
def test_parameters_equal_the_published_total(name):
    count = models.parameters(load(name))
    if name in ROUNDED_IN_PAPER:
        assert count == pytest.approx(ROUNDED_IN_PAPER[name], rel=5e-4)
    elif name in WITH_VISION:
        assert count == pytest.approx(WITH_VISION[name], rel=0.012)
    else:
        assert count + models.buffers(load(name)) == PUBLISHED[name]  # files hold what balances routers too


def test_active_parameters_of_experts():
    # qwen-2025-qwen3: 3.3 B of 30.5 B; deepseek-v3-2024: 37 B of 671 B; openai-2025-gpt-oss: 5.1 B of 116.8 B without
    # the embedding's look-up.
    assert models.parameters(load("Qwen/Qwen3-30B-A3B"), active=True) == pytest.approx(3.3e9, rel=0.02)
    assert models.parameters(load("deepseek-ai/DeepSeek-V3"), active=True) == pytest.approx(37e9, rel=0.02)
    oss = load("openai/gpt-oss-120b")
    assert models.parameters(oss, active=True) - oss.vocab * oss.hidden == pytest.approx(5.13e9, rel=0.01)


@pytest.mark.parametrize(
    ("name", "precision", "kib"),
    [
        ("meta-llama/Llama-2-7b-hf", "fp16", 512),  # kwon-2023-vllm's 13B is 800 KiB by the same formula
        ("meta-llama/Llama-2-13b-hf", "fp16", 800),  # kwon-2023-vllm: "800 KB" a token of a 13B model
        ("meta-llama/Llama-3.1-70B", "bf16", 320),
        ("meta-llama/Llama-3.1-8B", "bf16", 128),
        ("meta-llama/Llama-3.1-8B", "fp8", 64),
        ("deepseek-ai/DeepSeek-V3", "bf16", 61 * 576 * 2 / 1024),  # deepseek-v3-2024: 70 KB
    ],
)
def test_kv_bytes_a_token(name, precision, kib):
    assert models.kv_bytes_per_token(load(name), precision) / 1024 == pytest.approx(kib)


def test_windows_stop_growing():
    model = load("mistralai/Mistral-7B-v0.1")
    assert models.kv_bytes(model, 4096) == models.kv_bytes(model, 100_000)
    oss = load("openai/gpt-oss-120b")
    assert models.kv_bytes(oss, 8192) == pytest.approx(models.kv_bytes_per_token(oss) * (8192 + 128) / 2)


def test_training_flop_of_a_published_model():
    # narayanan-2021-megatron, eq. 3: F = 96 B s l h^2 (1 + s/6h + V/16lh) with recompute, so 72 without.
    layers, hidden, s, vocab = 96, 12288, 2048, 51200
    model = models.from_shape(layers, hidden, 96, vocab=vocab)
    expected = 72 * layers * hidden**2 * (1 + s / (6 * hidden) + vocab / (12 * layers * hidden))
    assert models.training_flop_per_token(model, s) == pytest.approx(expected, rel=1e-12)


def test_frozen_weights_spare_their_gradients_and_nothing_of_attention():
    model = load("meta-llama/Llama-3.1-8B")
    whole, frozen = (models.training_flop_per_token(model, 4096, frozen=f) for f in (False, True))
    assert whole - frozen == pytest.approx(2 * models.matmul_parameters(model), rel=1e-12)
    layers, heads_dim, s = 32, 32 * 128, 4096
    assert frozen - 4 * models.matmul_parameters(model) == pytest.approx(12 * layers * heads_dim * s, rel=1e-12)


@given(st.integers(0, 300), st.integers(0, 300), st.integers(1, 200))
def test_attended_pairs_equal_a_count_by_hand(new, cached, window):
    by_hand = sum(min(window, cached + i + 1) for i in range(new))
    assert float(models.attended_tokens(new, cached, window)) == by_hand
    assert float(models.attended_tokens(new, cached)) == sum(cached + i + 1 for i in range(new))


def test_weights_shrink_by_the_linear_layers_only():
    model = load("meta-llama/Llama-3.1-70B")
    linear, experts = models.quantised_parameters(model)
    assert experts == 0
    assert models.weight_bytes(model) == 2 * models.parameters(model)
    assert models.weight_bytes(model, "fp8") == linear + 2 * (models.parameters(model) - linear)
    # openai-2025-gpt-oss: the checkpoint is 60.8 GiB (MXFP4 experts)
    assert models.weight_bytes(load("openai/gpt-oss-120b")) / 2**30 == pytest.approx(60.8, rel=0.01)


@pytest.mark.parametrize("tp", [1, 2, 4, 8])
def test_ranks_share_every_matrix(tp):
    model = load("meta-llama/Llama-3.1-8B")
    whole = sum(w.k * w.n * w.layers for w in models.linear_layers(model))
    assert tp * sum(w.k * w.n * w.layers for w in models.linear_layers(model, tp)) == whole


def test_impossible_split_names_the_nearest():
    with pytest.raises(InputError, match="tp: 3 is not usable.*nearest: 2"):
        models.linear_layers(load("meta-llama/Llama-3.1-8B"), 3)


def test_kv_bytes_take_arrays():
    model = load("google/gemma-2-9b")
    lengths = np.array([100, 4096, 20_000])
    assert models.kv_bytes(model, lengths).shape == (3,)
    assert models.kv_bytes(model, lengths)[2] == models.kv_bytes(model, 20_000)
