"""Ours: rows of measurements answered by ``hopperbook.evidence``, one at a time, then all in one call."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
from protocol import answer

from hopperbook import evidence


def table(questions: list[dict[str, Any]]) -> pd.DataFrame:
    """Return rows as a file of measurements would hold them."""
    return pd.DataFrame([{k: v for k, v in question.items() if isinstance(v, str)} for question in questions])


def ask(question: dict[str, Any]) -> dict[str, float]:
    """Predict each quantity that the row holds."""
    found = evidence.predict(table([question]))
    return {q: p for q, p in zip(found["quantity"], found["predicted"], strict=True) if p is not None and p == p}


def ask_all() -> None:
    """Add the seconds of a row where all are asked in one call, as questions that no earlier answer is kept for."""
    questions, answers = (json.loads(Path(path).read_text()) for path in sys.argv[1:3])
    rows = table(questions)
    if "input_tokens" in rows:
        rows["length_ratio"] = [f"{float(q.get('length_ratio') or 1) * (1 - 1e-9):.12f}" for q in questions]
    start = time.perf_counter()
    evidence.predict(rows)
    took = (time.perf_counter() - start) / len(rows)
    Path(sys.argv[2]).write_text(json.dumps([{**found, "seconds_in_bulk": took} for found in answers]))


if __name__ == "__main__":
    answer(ask)
    ask_all()
