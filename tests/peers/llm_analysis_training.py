"""llm-analysis: training throughput and memory of a layout; the efficiency is its user's to give, 0.5 in its manual."""

from __future__ import annotations

import dataclasses
import logging
from typing import Any

from llm_analysis.analysis import ActivationRecomputation, DSZeRO, LLMAnalysis
from llm_analysis.config import ModelConfig, ParallelismConfig, get_gpu_config_by_name
from protocol import answer

logging.disable(logging.CRITICAL)

GPU_GB = {"H100 SXM": 80, "H200 SXM": 141}  # it knows no H200: an H100 with more memory
EFFICIENCY = 0.5
MODES = {"": 0, "none": 0, "selective": 1, "full": 2}


def ask(row: dict[str, Any]) -> dict[str, float]:
    """Answer a row; it knows no context parallelism, whose GPUs are counted to data parallelism."""
    shape, length, gpus = row["shape"], int(row["seq_len"]), int(row["gpus"])
    tp, pp = int(row["tp"]), int(row["pp"])
    model = ModelConfig(
        name="asked", num_layers=shape["layers"], n_head=shape["heads"], hidden_dim=shape["hidden"],
        vocab_size=shape["vocab"], max_seq_len=length, num_key_value_heads=shape["kv_heads"],
        ffn_embed_dim=shape["ffn"], expansion_ratio=shape["ffn"] / shape["hidden"],
    )  # fmt: skip
    layout = ParallelismConfig(tp_size=tp, pp_size=pp, dp_size=gpus // (tp * pp))
    gpu = dataclasses.replace(get_gpu_config_by_name("h100-sxm-80gb"), mem_per_GPU_in_GB=GPU_GB[row["gpu"]])
    tool = LLMAnalysis(model, gpu, parallelism_config=layout, flops_efficiency=EFFICIENCY)
    found = tool.training(
        batch_size_per_gpu=int(row["micro_batch"]), gradient_accumulation_steps=1, seq_len=length,
        activation_recomputation=ActivationRecomputation(MODES[row["recompute"]]), ds_zero=DSZeRO(row["zero"]),
        mlp_gated_linear_units=True,
    )  # fmt: skip
    rate = int(row["micro_batch"]) * length / found["latency_per_iter"] / (tp * pp)
    return {"tokens_per_s_per_gpu": rate, "memory_gib": found["(weight+op_state+grad+act)_memory_per_gpu"] / 2**30}


if __name__ == "__main__":
    answer(ask)
