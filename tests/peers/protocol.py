"""What the scripts here share: questions come in as JSON, each is asked on the clock, answers go out as JSON.

``python SCRIPT QUESTIONS ANSWERS``; a question is an object, an answer its numbers by name with ``seconds``, or ``why``
there is none.  Nothing but the standard library: every script runs where its tool is installed.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def answer(ask: Callable[[dict[str, Any]], dict[str, float]]) -> None:
    """Ask every question alone; a tool that fails one goes on with the next."""
    answers = []
    for question in json.loads(Path(sys.argv[1]).read_text()):
        start = time.perf_counter()
        try:
            found: dict[str, Any] = {name: float(value) for name, value in ask(question).items()}
        except Exception as problem:
            found = {"why": f"{type(problem).__name__}: {problem}"[:200]}
        answers.append({"seconds": time.perf_counter() - start, **found})
    Path(sys.argv[2]).write_text(json.dumps(answers))
