"""aiconfigurator 0.12.0: first token and time per token at a number of requests in flight."""

from __future__ import annotations

import logging
from typing import Any

logging.disable(logging.CRITICAL)

from aiconfigurator.cli.api import cli_estimate  # noqa: E402
from protocol import answer  # noqa: E402

ENGINES = {"vLLM": "vllm", "TensorRT-LLM": "trtllm"}


def ask(row: dict[str, Any]) -> dict[str, float]:
    """Give it the row's formats: the KV cache is FP8 where TensorRT-LLM serves FP8 weights, as we take it too."""
    fp8 = row["precision"] == "fp8"
    cache = "fp8" if fp8 and row["engine"] == "TensorRT-LLM" else "bfloat16"
    found = cli_estimate(
        row["model"],
        row["gpu"].lower().replace(" ", "_"),
        backend_name=ENGINES[row["engine"]],
        isl=int(row["input_tokens"]),
        osl=int(row["output_tokens"]),
        batch_size=int(row["concurrency"]),
        tp_size=int(row["tp"]),
        attention_dp_size=int(row["attention_dp"] or 1),
        moe_tp_size=int(row["moe_tp"] or 1),
        moe_ep_size=int(row["moe_ep"] or 1),
        gemm_quant_mode="fp8" if fp8 else None,
        kvcache_quant_mode=cache,
    )
    return {"ttft_ms": found.ttft, "tpot_ms": found.tpot}


if __name__ == "__main__":
    answer(ask)
