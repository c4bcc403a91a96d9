"""aiconfigurator 0.4.0: its own search for the best way to serve a model on a number of GPUs of one kind."""

from __future__ import annotations

import contextlib
import io
import logging
from typing import Any

logging.disable(logging.CRITICAL)

from aiconfigurator.main import main  # noqa: E402
from protocol import answer  # noqa: E402


def ask(question: dict[str, Any]) -> dict[str, float]:
    """Run the command that its manual shows, without what it prints."""
    options = {
        "model": "LLAMA3.1_70B",
        "system": question["gpu"].lower().replace(" ", "_"),
        "total_gpus": question["gpus"],
        "isl": question["input_tokens"],
        "osl": question["output_tokens"],
        "ttft": question["ttft_ms"],
        "tpot": question["tpot_ms"],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        main(["cli", "default", *(part for k, v in options.items() for part in (f"--{k}", str(v)))])
    return {}


if __name__ == "__main__":
    answer(ask)
