"""Quick answers of the terminal against hand-worked sizes."""

import json

import pytest

from hopperbook import customer, facts, planner, serving, sizing, units
from hopperbook.errors import InputError
from hopperbook.models import load, model_names
from hopperbook.planner import verify
from hopperbook.units import GIB


def test_llama_70b_by_hand():
    row = sizing.model_row("llama-3.1-70b")
    assert row["parameters"] == 70_553_706_496
    assert row["weight_bytes"] == 2 * row["parameters"]
    assert row["kv_bytes_per_token"] == 2 * 8 * 128 * 80 * 2
    assert sizing.model_row("llama-3.1-70b", "fp8", "fp8")["kv_bytes_per_token"] == row["kv_bytes_per_token"] / 2
    assert row["attention"] == "GQA"
    assert row["training_flop_per_token"] > 6 * (row["parameters"] - 2 * 128_256 * 8192)


def test_a_mixture_uses_fewer_parameters_than_it_holds():
    row = sizing.model_row("mixtral-8x7b")
    assert row["parameters"] == 46_702_792_704
    assert row["active_parameters"] == pytest.approx(12.88e9, rel=0.01)
    assert [r["model"] for r in sizing.model_rows()] == list(model_names())


def test_memory_adds_up_to_the_card():
    answer = sizing.size("llama-3.3-70b", concurrency=32, context_tokens=4096)
    for row in answer["gpus"]:
        if row["fits"]:
            used = row["weights_gib_per_gpu"] + row["kv_gib_per_gpu"]
            assert used + max(0.0, row["free_gib_per_gpu"]) <= facts.gpu(row["gpu"]).memory_bytes / GIB
            assert row["free_gib_per_gpu"] >= -1e-9
            assert row["users_per_replica"] * row["replicas"] >= 32
            assert row["gpus"] == row["tp"] * row["replicas"]
    one = sizing.size("llama-3.3-70b", "H100 SXM", concurrency=32, context_tokens=4096, tp=4)["gpus"][0]
    assert one["weights_gib_per_gpu"] == pytest.approx(2 * 70.55e9 / 4 / GIB, rel=0.02)
    assert one["kv_gib_per_gpu"] == pytest.approx(32 / one["replicas"] * 4096 * 327_680 / 4 / GIB, rel=0.02)


def test_more_load_never_needs_fewer_gpus():
    needed = [
        sizing.size("llama-3.3-70b", "H100 SXM", concurrency=n, context_tokens=8192)["gpus"][0]["gpus"]
        for n in (1, 8, 32, 100, 400)
    ]
    assert needed == sorted(needed)
    assert needed[0] < needed[-1]


def test_what_does_not_fit_says_by_how_much():
    row = sizing.size("llama-3.1-405b", "H100 SXM")["gpus"][0]
    assert not row["fits"]
    assert "GiB too little" in row["reason"]
    assert sizing.rows({"gpus": [row]})[0]["layout"] == ""


@pytest.mark.parametrize(
    "bad",
    [
        {"concurrency": 0},
        {"concurrency": 10**9},
        {"context_tokens": -1},
        {"context_tokens": 200_000},
        {"output_tokens": 8192},
        {"output_tokens": -1},
        {"tp": 0},
        {"tp": 7},
        {"precision": "fp7"},
        {"kv_precision": ""},
    ],
)
def test_bad_sizes_are_refused(bad):
    with pytest.raises(InputError):
        sizing.size("llama-3.1-8b", "H100 SXM", **bad)


def test_sentence_has_the_figures():
    words = sizing.sentence(sizing.size("llama-3.1-8b", "H100 SXM", concurrency=3))
    assert "128" in words
    assert "3 requests of 8,192" in words


@pytest.mark.parametrize("part", ["H100 SXM", "A100 SXM 80GB"])
def test_size_and_plan_answer_one_question_alike(part):
    """The replica that is recommended has the latencies that `size` gives for it, to the last digit shown."""
    who = customer.check(
        {"name": "A", "model": "llama-3.3-70b", "concurrency": 24, "prompt_tokens": 1536, "output_tokens": 512}
        | {"context_tokens": 2048, "owned_gpu": part, "owned_gpus": 64}
    )
    made = planner.plan(who)
    rows = [row for row in (made.recommendation, made.runner_up, made.cheapest, made.fastest) if row is not None]
    assert rows
    for row in rows:
        answer = sizing.size(
            who.model, row.gpu, concurrency=int(row.users), context_tokens=2048, output_tokens=512, tp=int(row.tp),
            precision=row.precision, kv_precision=row.kv_precision,
        )["gpus"][0]  # fmt: skip
        assert answer["replicas"] == 1
        for name, value in (("ttft_ms", 1e3 * row.ttft_s), ("tpot_ms", 1e3 * row.tpot_s)):
            assert units.number(answer[name]["value"], 6) == units.number(value, 6)
        d = serving.deploy(
            load(who.model), row.gpu, tp=int(row.tp), precision=row.precision, kv_precision=row.kv_precision
        )
        budget = serving.budget(d, who.held_tokens)
        assert row.headroom == pytest.approx(budget.headroom(row.users))
        assert row.memory_gib * units.GIB == pytest.approx(budget.used_bytes(row.users))
        left = answer["free_gib_per_gpu"] * units.GIB
        assert left == pytest.approx(budget.kv_room_bytes - row.users * budget.kv_user_bytes)


def test_size_and_plan_agree_on_several_replicas():
    """Without a history requests go to the least loaded replica, in both."""
    one = sizing.size("llama-3.1-8b", "A100 SXM 80GB", concurrency=400, context_tokens=2048, output_tokens=256, tp=1)
    row = one["gpus"][0]
    assert row["replicas"] > 1
    chat = {"name": "A", "model": "llama-3.1-8b", "concurrency": 400, "prompt_tokens": 1792, "output_tokens": 256}
    d = serving.deploy(load("llama-3.1-8b"), "A100 SXM 80GB")
    seen = verify.answered(d, row["replicas"], customer.check(chat))
    assert row["ttft_ms"]["value"] == pytest.approx(1e3 * seen.ttft.mean)
    assert row["ttft_p95_ms"]["value"] == pytest.approx(1e3 * seen.ttft.p95)
    assert row["tpot_ms"]["value"] == pytest.approx(1e3 * seen.tpot.mean)
    assert row["output_tokens_per_s"]["value"] == pytest.approx(row["replicas"] * seen.output_tokens_per_s)


def _saved(folder, config, **sidecar):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    if sidecar:
        (folder / "hf_quant_config.json").write_text(json.dumps(sidecar), encoding="utf-8")
    return str(folder)


LLAMA = {
    "model_type": "llama", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
    "num_key_value_heads": 8, "intermediate_size": 14336, "vocab_size": 128256, "tie_word_embeddings": False,
    "max_position_embeddings": 4096, "torch_dtype": "bfloat16",
}  # fmt: skip


def test_a_folder_named_like_a_known_model_is_read(tmp_path, monkeypatch):
    _saved(tmp_path / "meta-llama" / "Llama-3.1-70B", LLAMA)
    monkeypatch.chdir(tmp_path)
    assert sizing.model_row("meta-llama/Llama-3.1-70B")["parameters"] == 8_030_261_248
    assert sizing.model_row("llama-3.1-70b")["parameters"] == 70_553_706_496


def test_what_is_stored_comes_from_the_file_beside_the_config(tmp_path):
    whole = sizing.model_row(_saved(tmp_path / "a", LLAMA))["weight_bytes"]
    small = {"quantization": {"quant_algo": "FP8", "exclude_modules": ["lm_head"]}}
    row = sizing.model_row(_saved(tmp_path / "b", LLAMA, **small))
    assert (row["formats"], row["weight_bytes"]) == ("fp8", whole - 6_979_321_856)
    mixed = {"quantization": {"quant_algo": "NVFP4", "exclude_modules": ["lm_head", "model.layers.*.self_attn*"]}}
    row = sizing.model_row(_saved(tmp_path / "c", LLAMA, **mixed))
    attention = 32 * 4096 * 4096 * (2 + 2 * 8 / 32)
    assert row["weight_bytes"] == pytest.approx(whole - (6_979_321_856 - attention) * (2 - 4.5 / 8))


@pytest.mark.parametrize(
    ("name", "formats"),
    [
        ("nvidia/Llama-3.1-8B-Instruct-FP8", "fp8"),
        ("Qwen/Qwen3-32B-FP8", "fp8_block"),
        ("Qwen/Qwen3-32B-AWQ", "int4"),
        ("RedHatAI/Meta-Llama-3.1-8B-Instruct-quantized.w4a16", "int4"),
        ("nvidia/Llama-3.3-70B-Instruct-NVFP4", "fp4"),
        ("RedHatAI/Llama-3.3-70B-Instruct-FP8-dynamic", "fp8"),
        ("moonshotai/Kimi-K2.5", "int4 experts, bf16 elsewhere"),
        ("openai/gpt-oss-120b", "mxfp4 experts, bf16 elsewhere"),
    ],
)
def test_the_ending_of_a_name_says_what_is_stored(name, formats):
    assert sizing.model_row(name)["formats"] == formats


def test_every_part_has_an_answer_or_a_reason():
    answer = sizing.size("Qwen/Qwen3-235B-A22B-FP8", context_tokens=2048)
    assert len(answer["gpus"]) > 8
    assert all("tpot_ms" in row or row["reason"] for row in answer["gpus"])
    assert any("tpot_ms" in row for row in answer["gpus"])


def test_the_default_context_is_no_longer_than_the_model_reads(tmp_path):
    answer = sizing.size(_saved(tmp_path, LLAMA), "H100 SXM")
    assert answer["context_tokens"] == 4096
    assert sizing.size("llama-3.1-8b", "H100 SXM")["context_tokens"] == sizing.DEFAULT_CONTEXT


def test_an_unknown_id_offers_no_other_model_and_says_what_helps():
    with pytest.raises(InputError, match="path of its config.json") as error:
        sizing.size("acme/Newcomer-70B", "H100 SXM")
    assert "nearest" not in str(error.value)


def test_what_no_kernel_was_measured_for_is_said_and_widens_ranges():
    hybrid = sizing.size("nemotron-3-nano-30b-a3b", "H100 SXM", precision="bf16")
    assert hybrid["notes"] == ["no kernel of Mamba-2 was measured"]
    wide, narrow = (
        sizing.size(name, "H100 SXM", precision="bf16")["gpus"][0]["tpot_ms"]
        for name in ("nemotron-3-nano-30b-a3b", "qwen3-30b-a3b")
    )
    assert wide["high"] / wide["low"] > narrow["high"] / narrow["low"]
