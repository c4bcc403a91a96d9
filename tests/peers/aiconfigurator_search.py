"""aiconfigurator 0.12.0: its own search for the best way to serve a model on a number of GPUs of one kind."""

from __future__ import annotations

import logging
from typing import Any

logging.disable(logging.CRITICAL)

from aiconfigurator.cli.api import cli_default  # noqa: E402
from protocol import answer  # noqa: E402


def ask(question: dict[str, Any]) -> dict[str, float]:
    """Search, and say how many points its curves hold."""
    found = cli_default(
        "nvidia/Llama-3.1-70B-Instruct-FP8",
        total_gpus=question["gpus"],
        system=question["gpu"].lower().replace(" ", "_"),
        isl=question["input_tokens"],
        osl=question["output_tokens"],
        ttft=question["ttft_ms"],
        tpot=question["tpot_ms"],
    )
    return {"configurations": sum(len(curve) for curve in found.pareto_fronts.values())}


if __name__ == "__main__":
    answer(ask)
