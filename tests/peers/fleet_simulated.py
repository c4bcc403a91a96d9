"""vllm-sr-sim: requests that arrive at random, simulated one by one on the same number of GPUs."""

from __future__ import annotations

from typing import Any

from fleet_sim import H100_80GB, Fleet, FleetConfig, PoolConfig
from fleet_sim.workload import CdfWorkload, PoissonWorkload
from protocol import answer


def ask(question: dict[str, Any]) -> dict[str, float]:
    """Simulate so many requests of one length, and say how many of them were answered."""
    tokens = question["input_tokens"] + question["output_tokens"]
    share = question["output_tokens"] / tokens
    lengths = CdfWorkload([(tokens - 1, 0.0), (tokens, 1.0)], l_out_frac=share, l_in_frac=1 - share)
    arrivals = PoissonWorkload(question["rate_per_s"], lengths, question["requests"]).generate()
    pool = PoolConfig("all", H100_80GB, question["gpus"], 2 * tokens)
    done = Fleet(FleetConfig([pool], "LeastLoadedRouter")).run(arrivals)
    return {"simulated": len(done.completed)}


if __name__ == "__main__":
    answer(ask)
