"""genz-llm 0.0.16: time per token of a decode step, and of a prompt, on one engine."""

from __future__ import annotations

from typing import Any

from GenZ import ModelConfig, decode_moddeling, prefill_moddeling
from protocol import answer

GPUS = {"H100 SXM": "H100_GPU"}


def ask(row: dict[str, Any]) -> dict[str, float]:
    """Answer a row halfway through its output; the first token is one prompt's, since the tool knows no queue."""
    shape, batch, prompt = row["shape"], int(row["concurrency"]), int(row["input_tokens"])
    model = ModelConfig(
        model="asked", vocab_size=shape["vocab"], hidden_size=shape["hidden"], intermediate_size=shape["ffn"],
        num_ffi=2, num_decoder_layers=shape["layers"], num_attention_heads=shape["heads"],
        num_key_value_heads=shape["kv_heads"], head_dim=shape["head_dim"],
    )  # fmt: skip
    where = {"system_name": GPUS[row["gpu"]], "tensor_parallel": int(row["tp"]),
             "bits": "fp8" if row["precision"] == "fp8" else "bf16"}  # fmt: skip
    step = decode_moddeling(
        model=model, batch_size=batch, input_tokens=prompt, output_tokens=int(row["output_tokens"]) // 2, Bb=1, **where
    )
    first = prefill_moddeling(model=model, batch_size=1, input_tokens=prompt, **where)
    return {"ttft_ms": first["Latency"], "tpot_ms": step["Latency"]}


if __name__ == "__main__":
    answer(ask)
