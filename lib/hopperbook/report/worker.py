"""A process that builds one report after another, and whoever asks it: one for each worker of a batch.

A worker of Dask has threads, and a process with threads must not fork; this one has none.  It can be ended when a
report takes too long or too much, without harm to the worker.  The first report that is built loads what all need; each
further one is built in a fork, so that its memory ends with it.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import threading
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from hopperbook import reads

reads.watch(early="hopperbook.facts" not in sys.modules)

_builders: list[subprocess.Popen[bytes]] = []
_one_at_a_time = threading.Lock()


def build_one(request: dict[str, Any]) -> dict[str, Any]:
    """Build a customer's report in this worker's builder; called by Dask.

    Parameters
    ----------
    request : dict
        ``file``, ``digest``, ``out``, ``chapters``, ``workers``, ``timeout_s``, ``memory_bytes``, ``retries``.

    Returns
    -------
    dict
        ``state`` (``built``, ``unchanged`` or ``failed``), ``seconds``, ``sentence``, ``headline``, or
        the ``kind`` of failure.
    """
    with _one_at_a_time:
        begun, sentence, kind = time.monotonic(), "", ""
        for _ in range(1 + int(request["retries"])):
            try:
                answer = _ask(request)
            except TimeoutError as error:
                kind = type(error).__name__
                sentence = f"it took longer than {request['timeout_s']:g} s"
                break
            except (OSError, ValueError) as error:
                kind = type(error).__name__
                sentence = "the process that built it ended, or the book's files were changed"
                continue
            return answer | {"seconds": round(time.monotonic() - begun, 2)}
        seconds = round(time.monotonic() - begun, 2)
        return {"state": "failed", "sentence": sentence, "kind": kind, "seconds": seconds}


def _ask(request: dict[str, Any]) -> dict[str, Any]:
    """Send a request to the builder and return its answer; a builder that does not answer in time is ended."""
    builder = _builder()
    assert builder.stdin is not None and builder.stdout is not None
    try:
        builder.stdin.write(json.dumps(request).encode() + b"\n")
        builder.stdin.flush()
        line = _line(builder.stdout.fileno(), time.monotonic() + request["timeout_s"])
        answer = json.loads(line)
    except BaseException:
        _end(builder)
        raise
    if answer.pop("stale", False):
        _end(builder)
        raise ValueError("facts or code were changed since the builder began")
    return answer


def _line(pipe: int, end: float) -> bytes:
    """Read one line from a pipe until a moment."""
    held = b""
    while not held.endswith(b"\n"):
        if not select.select([pipe], [], [], max(0.0, end - time.monotonic()))[0]:
            raise TimeoutError
        chunk = os.read(pipe, 1 << 16)
        if not chunk:
            raise OSError("the builder ended")
        held += chunk
    return held


def _builder() -> subprocess.Popen[bytes]:
    """Return this process's builder, started where there is none."""
    if not _builders or _builders[0].poll() is not None:
        _builders[:] = [
            subprocess.Popen(
                [sys.executable, "-m", "hopperbook.report.worker", str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
        ]
    return _builders[0]


def _end(builder: subprocess.Popen[bytes]) -> None:
    """End a builder and forget it."""
    builder.kill()
    builder.wait()
    for pipe in (builder.stdin, builder.stdout):
        with suppress(OSError):
            if pipe:
                pipe.close()
    _builders.clear()


def serve() -> None:
    """Build what is asked for on standard input, a line of JSON each, and answer on standard output."""
    from hopperbook.report import processes

    processes.end_with_parent(int(sys.argv[1]))  # which may have ended before this line
    processes.leave_signals_to_parent()
    processes.one_thread_each()
    from hopperbook.report import execute

    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever is printed goes to the error stream
    limited, loaded = False, False
    for line in sys.stdin:
        request = json.loads(line)
        if not limited:
            processes.limit_memory(int(request["memory_bytes"]))
            limited = True
        if loaded:
            list(processes.each_forked({request["file"]: partial(_answer, request, answers)}, workers=1))
        elif _answer(request, answers) == "built":
            execute.preload()
            loaded = True


def _answer(request: dict[str, Any], answers: TextIO) -> str:
    """Build one report, say how it went, and return its state."""
    from hopperbook.report.kept import simulations

    answer = _built(request)
    simulations.flush()
    answers.write(json.dumps(answer) + "\n")
    answers.flush()
    return str(answer.get("state"))


def _built(request: dict[str, Any]) -> dict[str, Any]:
    """Build one report; whatever goes wrong is said in a sentence."""
    from hopperbook.errors import InputError
    from hopperbook.report import headline
    from hopperbook.report.kept import inputs

    if inputs.changed():
        return {"stale": True}
    try:
        return headline.build(
            Path(request["file"]),
            Path(request["out"]),
            int(request["workers"]),
            Path(request["chapters"]),
            request["digest"],
        )
    except InputError as error:
        kind, sentence = type(error).__name__, str(error)
    except MemoryError as error:
        kind, sentence = type(error).__name__, "it needs more memory than it may take"
    except OSError as error:
        kind = type(error).__name__
        sentence = ": ".join(filter(None, (error.strerror, Path(error.filename or "").name)))
    except Exception as error:
        kind, sentence = type(error).__name__, f"{type(error).__name__}: {error}"
    return {"state": "failed", "sentence": " ".join(sentence.split())[:400], "kind": kind}


if __name__ == "__main__":
    serve()
