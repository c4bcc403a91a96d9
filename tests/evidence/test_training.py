"""Answers to training and activation rows: vocabulary, refusals, and errors on rows that nothing was fitted to."""

import time

import numpy as np
import pandas as pd
import pytest

from hopperbook import evidence, facts
from hopperbook.calibrate import training as fitting
from hopperbook.evidence import training
from hopperbook.evidence.training import predict_activation, predict_training

QUANTITIES = ["tokens_per_s_per_gpu", "model_tflops_per_gpu", "step_s", "memory_gib"]
ROW = {
    "model": "meta-llama/Llama-3.1-70B", "gpu": "H100 SXM", "gpus": "64", "seq_len": "8192", "precision": "bf16",
    "tp": "4", "pp": "4", "vpp": "5", "cp": "2", "micro_batch": "1", "global_batch": "128",
    "sharding": "distributed optimizer", "framework": "NeMo v24.11.1", "fabric": "InfiniBand NDR", "recompute": "none",
}  # fmt: skip


def ask(**changes):
    return predict_training(pd.DataFrame([ROW | changes]), QUANTITIES).iloc[0]


@pytest.fixture(scope="module")
def judged():
    rows = fitting.measurements("judge")
    found = predict_training(rows, ["tokens_per_s_per_gpu", "memory_gib"])
    for q in ("tokens_per_s_per_gpu", "memory_gib"):
        rows["error_" + q] = found[q] / pd.to_numeric(rows[q], errors="coerce") - 1
    return rows.assign(note2=found.note, model_family=found.family)


#: Rows, by a filter, and the median and mean absolute error that they must not exceed.
BOUNDS = {
    "MPT, FSDP, H100, BF16": ("file == 'training_mpt' and gpu == 'H100 SXM' and precision == 'bf16'", 0.030, 0.037),
    "MPT, FSDP, H100, FP8": ("file == 'training_mpt' and precision == 'fp8'", 0.045, 0.055),
    "MPT, FSDP, A100 80 GB": ("file == 'training_mpt' and gpu == 'A100 SXM 80GB'", 0.030, 0.045),
    "MPT, FSDP, A100 40 GB": ("file == 'training_mpt' and gpu == 'A100 SXM 40GB'", 0.038, 0.046),
    "NeMo, Llama 3.1, BF16": (
        "framework == 'NeMo v25.02' and precision == 'bf16' and task == 'pretrain'", 0.010, 0.012),
    "NeMo, Llama 3.1, FP8": ("framework == 'NeMo v25.02' and precision == 'fp8' and task == 'pretrain'", 0.025, 0.032),
    "NeMo 24.07, GPT-3 and Llama 2 and 3, FP8": (
        "framework.str.startswith('NeMo 24.07') and task == 'pretrain'", 0.030, 0.036),
    "NeMo, SFT": ("task == 'sft' and framework.str.startswith('NeMo v25')", 0.035, 0.035),
    "NeMo, LoRA": ("task == 'lora'", 0.045, 0.062),
    "Nemotron-4 15B, 16-2,048 H100": ("model == 'Nemotron-4 15B'", 0.035, 0.032),
    "Llama 3.1 405B, BF16": ("id.str.contains('405b') and precision == 'bf16'", 0.028, 0.030),
    "Llama 3.1 405B, FP8": ("id.str.contains('405b') and precision == 'fp8'", 0.050, 0.060),
    "Megatron 2022, A100": ("framework == 'Megatron-LM 2022'", 0.040, 0.045),
    "torchtitan, A100 to H200": ("framework.str.startswith('torchtitan')", 0.050, 0.050),
    "InternEvo over RoCE, A100": ("framework.str.startswith('InternEvo')", 0.030, 0.065),
    "all dense": ("not model_family.str.contains('ranking|moe')", 0.028, 0.040),
    "Mixture of Experts": ("model_family.str.contains('moe') and id != 'bridge-dsv3-2509'", 0.21, 0.17),
}  # fmt: skip


@pytest.mark.parametrize("name", list(BOUNDS))
def test_errors_on_judge_rows_stay_within_bounds(judged, name):
    where, median, mean = BOUNDS[name]
    size = judged.query(where, engine="python").error_tokens_per_s_per_gpu.dropna().abs()
    assert len(size) >= 2
    assert size.median() <= median, f"{name}: median {size.median():.4f}"
    assert size.mean() <= mean, f"{name}: mean {size.mean():.4f}"


def test_memory_errors_on_judge_rows(judged):
    size = judged[judged.file == "training_playbook"].error_memory_gib.dropna().abs()
    assert len(size) > 600
    assert size.median() <= 0.10 and size.mean() <= 0.14


def test_layouts_of_one_or_two_nodes_match_and_larger_ones_keep_their_order(judged):
    rows = judged[judged.file == "training_playbook"]
    few = rows[rows.gpus.isin(["8", "16"])].error_tokens_per_s_per_gpu.dropna().abs()
    assert len(few) > 100 and few.median() <= 0.075
    predicted = (1 + rows.error_tokens_per_s_per_gpu) * rows.tokens_per_s_per_gpu.astype(float)
    for at in rows.groupby(["model", "gpus"]).groups.values():
        ranks = rows.loc[at, "tokens_per_s_per_gpu"].astype(float).rank(), predicted[at].rank()
        assert ranks[0].corr(ranks[1]) > 0.5  # half of these runs were over three times slower than their like


def test_ratios_between_parts_and_formats(judged):
    rows = evidence.read(facts.DATA / "measurements" / "training_mpt.csv.gz")
    rows = rows[(rows.suspect != "yes") & (rows.gpus == "8")].reset_index(drop=True)
    rows["predicted"] = predict_training(rows, QUANTITIES[:1]).tokens_per_s_per_gpu
    rows["measured"] = rows.tokens_per_s_per_gpu.astype(float)
    key = ["model", "seq_len", "full_recompute", "micro_batch"]
    h100 = rows[(rows.gpu == "H100 SXM") & (rows.precision == "amp_bf16")].set_index(key)
    a100 = rows[(rows.gpu == "A100 SXM 80GB")].set_index(key)
    names = ["predicted", "measured"]
    both = h100[names].merge(a100[names], left_index=True, right_index=True, suffixes=("_h", "_a"))
    error = (both.predicted_h / both.predicted_a) / (both.measured_h / both.measured_a) - 1
    assert len(error) > 15 and error.abs().median() < 0.05


def test_activations_match_the_paper():
    rows = evidence.read(facts.DATA / "measurements" / "activations.csv.gz")
    found = predict_activation(rows, ["activation_gib_per_gpu"]).activation_gib_per_gpu
    size = (found / rows.activation_gib_per_gpu.astype(float) - 1).abs()
    assert len(size) == 20 and size.median() < 0.003 and size.max() < 0.03


def test_activation_rows_say_what_is_missing():
    row = {"layers": "2", "hidden": "64", "heads": "4", "seq_len": "", "micro_batch": "1", "mode": "none"}
    table = predict_activation(pd.DataFrame([row, row | {"seq_len": "8", "mode": "odd"}]), ["activation_gib_per_gpu"])
    assert table.activation_gib_per_gpu.isna().all()
    assert "seq_len" in table.note[0] and "mode" in table.note[1]


def test_quantities_agree_with_each_other():
    a = ask()
    assert a.step_s * a.tokens_per_s_per_gpu * 64 == pytest.approx(128 * 8192)
    assert 400 < a.model_tflops_per_gpu < 600
    assert 40 < a.memory_gib < 80


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"dp": "3"}, "gpus"), ({"tp": "3"}, "gpus"), ({"tp": "16", "cp": "1", "model": "mpt-760m"}, "tp"),
        ({"gpus": "two"}, "gpus"), ({"seq_len": ""}, "seq_len"), ({"model": "nothing-7b"}, "model"),
        ({"gpu": "H900"}, "gpu"), ({"precision": "fp7"}, "precision"), ({"sharding": "zero9"}, "sharding"),
        ({"recompute": "some"}, "recompute"), ({"task": "play"}, "task"),
        ({"gpu": "A100 SXM", "precision": "fp8"}, "precision"),
        ({"global_batch": "7"}, "global_batch"), ({"ep": "8"}, "ep"), ({"pp": "100", "gpus": "800"}, "pp"),
        ({"tp": "1", "pp": "1", "vpp": "1", "cp": "1", "sharding": "none", "micro_batch": "1"}, "does not fit"),
        ({"power_limit_w": "5"}, "power_limit_w"), ({"sequence_parallel": "perhaps"}, "sequence_parallel"),
    ],
)  # fmt: skip
def test_impossible_rows_say_why_and_the_rest_are_answered(changes, word):
    table = predict_training(pd.DataFrame([ROW | changes, ROW]).fillna(""), QUANTITIES)
    assert table.loc[0, QUANTITIES].isna().all() and word in table.note[0]
    assert table.loc[1, QUANTITIES].notna().all()


@pytest.mark.parametrize(
    "changes",
    [
        {"gpu": "h100_80gb"}, {"gpu": "NVIDIA H200"}, {"precision": "amp_bf16"}, {"sharding": "FULL_SHARD"},
        {"sharding": "SHARD_GRAD_OP"}, {"sharding": "hsdp"}, {"sharding": ""}, {"framework": ""}, {"fabric": ""},
        {"recompute": "", "full_recompute": "True"}, {"sequence_parallel": "no"}, {"micro_batch": ""}, {"vpp": ""},
        {"task": "lora"}, {"task": "sft"}, {"power_limit_w": "500"}, {"global_batch": "", "grad_accum": "64"},
        {"model": "GPT-70B", "layers": "80", "hidden": "8192", "heads": "64", "kv_heads": "8", "gated": "no"},
        {"precision": "fp8_block"}, {"global_batch": ""},
    ],
)  # fmt: skip
def test_every_word_of_the_format_is_understood(changes):
    a = ask(**changes)
    assert np.isfinite(a.tokens_per_s_per_gpu) and a.tokens_per_s_per_gpu > 0, a.note


def test_what_is_assumed_is_said():
    a = ask(micro_batch="", vpp="", framework="", recompute="", sharding="")
    for word in ("micro-batch", "vpp", "framework", "recomputation", "sharding"):
        assert word in a.note
    assert a.tokens_per_s_per_gpu >= 0.99 * ask().tokens_per_s_per_gpu


def test_two_of_the_batch_columns_give_the_third():
    whole = ask(micro_batch="", grad_accum="64", global_batch="128")
    assert whole.step_s == pytest.approx(ask().step_s)
    assert "read as" in ask(grad_accum="10").note


def test_a_thousand_rows_take_seconds():
    rows = fitting.measurements("")
    rows = rows.iloc[np.resize(np.arange(len(rows)), 1000)].reset_index(drop=True)
    start = time.process_time()
    predict_training(rows, QUANTITIES)
    assert time.process_time() - start < 5


def test_constants_are_written_in_place(tmp_path):
    path = tmp_path / "training.yaml"
    path.write_text("defaults:\n  a: 1  # word\nframeworks:\n  one:\n    a: 2   # kept\n  two:\n    a: 3\nsource: x\n")
    fitting.write_constants("one", {"a": 0.5, "b": 4.0}, path)
    text = path.read_text()
    assert "a: 0.5" in text and "# kept" in text and "b: 4" in text and "a: 3" in text
    assert text.index("b: 4") < text.index("two:")


def test_fitting_finds_what_was_planted():
    rows = fitting.measurements("fit")
    problem = fitting.Problem(fitting.chosen(rows, {"task": "lora"}), "megatron")
    found = fitting.fit(problem, {"lora_passes": (0.0, 6.0)})
    assert found["lora_passes"] == pytest.approx(training.framework("megatron").lora_passes, abs=0.05)
