"""Ours: the same requests on one replica of a 70B model, step by step, every block of its cache counted."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from protocol import answer

from hopperbook import serving
from hopperbook.models import load


@cache
def replica(gpus: int) -> serving.Deployment:
    """Return the replica; its kernels' tables are read, and the simulator compiled, by the first question."""
    d = serving.deploy(load("meta-llama/Llama-3.3-70B-Instruct"), "H100 SXM", tp=gpus, precision="fp8")
    serving.events.replay(d, serving.traffic.draw(serving.Traffic(1.0, 100, 512, 64)), serving.demand.limits_of(d))
    return d


def ask(question: dict[str, Any]) -> dict[str, float]:
    """Simulate so many requests, and say how many of them were answered."""
    d = replica(question["gpus"])
    traffic = serving.Traffic(
        question["rate_per_s"], question["requests"], question["input_tokens"], question["output_tokens"]
    )
    run = serving.events.replay(d, serving.traffic.draw(traffic), serving.demand.limits_of(d))
    return {"simulated": np.isfinite(run.ttft).sum()}


if __name__ == "__main__":
    answer(ask)
