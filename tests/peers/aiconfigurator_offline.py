"""aiconfigurator 0.4.0: output tokens per second of one engine that may batch as much as fits."""

from __future__ import annotations

import logging
from typing import Any

logging.disable(logging.CRITICAL)

from aiconfigurator.sdk.common import FMHAQuantMode, GEMMQuantMode, KVCacheQuantMode, MoEQuantMode  # noqa: E402
from aiconfigurator.sdk.config import ModelConfig, RuntimeConfig  # noqa: E402
from aiconfigurator.sdk.pareto_analysis import agg_pareto  # noqa: E402
from aiconfigurator.sdk.perf_database import get_database  # noqa: E402
from protocol import answer  # noqa: E402

MODELS = {"meta-llama/Llama-3.3-70B-Instruct": "LLAMA3.1_70B"}
MODES = (GEMMQuantMode.fp8, MoEQuantMode.fp8, KVCacheQuantMode.fp8, FMHAQuantMode.fp8)
NAMES = ("gemm_quant_mode", "moe_quant_mode", "kvcache_quant_mode", "fmha_quant_mode")
NO_LIMIT_MS = 1000.0  # per token; looser limits find nothing better


def ask(row: dict[str, Any]) -> dict[str, float]:
    """Take the best point of its curve at the row's tensor parallelism."""
    tp = int(row["tp"])
    tables = get_database(row["gpu"].lower().replace(" ", "_"), "trtllm", "1.0.0rc3")
    load = RuntimeConfig(isl=int(row["input_tokens"]), osl=int(row["output_tokens"]), ttft=1e6, tpot=[NO_LIMIT_MS])
    model = ModelConfig(**dict(zip(NAMES, MODES, strict=True)))
    curve = agg_pareto(MODELS[row["model"]], load, tables, "trtllm", model, [[tp, 1, 1, 1, 1]])
    return {"output_tokens_per_s": tp * curve["tokens/s/gpu"].max()}


if __name__ == "__main__":
    answer(ask)
