"""Other tools on the rows that we are judged by: seconds a question and errors, beside ours, for ``make bench``.

Each peer lives in an environment of its own below ``.build/peers``, made by its first use and kept.  Every tool, ours
too, is asked the same questions, one at a time, by a script of ``tests/peers`` in a process of its own, with one thread
for linear algebra: more of them slow aiconfigurator 0.4.0 several times on a busy machine.  The seconds are medians, so
that reading the tables, with the first question, counts for nobody; a search or a plan is asked once and includes it.
A peer that cannot be installed or asked is a line that says why.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from hopperbook import evidence, facts
from hopperbook.models import load

ROOT = facts.DATA.parent
SCRIPTS = Path(__file__).parent / "peers"
HOMES = ROOT / ".build" / "peers"
Question = dict[str, Any]


class Unavailable(Exception):
    """A peer that could not be installed or asked; its text is one line."""


@dataclass(frozen=True)
class Peer:
    """A tool, what pip installs, the script that asks it, what it is asked, and what of its answers we measure."""

    name: str
    about: str
    requirements: tuple[str, ...]
    script: str
    questions: Callable[[], list[Question]]
    quantities: tuple[str, ...] = ()
    ours: str = "hopperbook_rows.py"


def _judged(file: str, count: int, **columns: str) -> list[Question]:
    """Return rows that nothing was fitted to, without marked ones, evenly from first to last."""
    rows = evidence.read(facts.DATA / "measurements" / f"{file}.csv.gz")
    kept = (rows["split"] == "judge") & ~rows.get("note", pd.Series("", rows.index)).str.startswith("SUSPECT")
    for column, pattern in columns.items():
        kept &= rows[column].str.fullmatch(pattern)
    rows = rows[kept]
    places = sorted({round(i * (len(rows) - 1) / max(count - 1, 1)) for i in range(count)})
    return [_with_shape(row) for row in rows.iloc[places].to_dict("records")]


def _with_shape(row: Question) -> Question:
    """Add the model's shape, for tools that do not know it by name."""
    return {**row, "shape": dataclasses.asdict(load(row["model"]))}


def _offline() -> list[Question]:
    return _judged("inference", 10, model="meta-llama/Llama-3.3-70B-Instruct")


def _dense() -> list[Question]:
    engines = ("vLLM", "TensorRT-LLM")
    return [row for engine in engines for row in _judged("online", 20, model="Qwen/Qwen3-32B", engine=engine)]


def _experts() -> list[Question]:
    return _judged("online", 15, model="openai/gpt-oss-120b", engine="vLLM")


def _steps() -> list[Question]:
    rows = _judged("training_megatron", 16, model="meta-llama/.*", task="pretrain|sft", precision="bf16")
    return [{**row, "zero": 1} for row in rows]


def _memory() -> list[Question]:
    return [{**row, "zero": 3} for row in _judged("training_published", 9, memory_gib=".+", sharding="fsdp")]


def _search() -> list[Question]:
    """Return a peer's question, a model of 70B on eight GPUs, and our wider one: every part, serving and training."""
    lengths, targets = {"input_tokens": 2048, "output_tokens": 512}, {"ttft_ms": 2000, "tpot_ms": 60}
    return [{"gpu": "H200 SXM", "gpus": 8, **lengths, **targets, "customer": "train-70b.yaml"}]


def _busy() -> list[Question]:
    """Return two loads of one replica's worth of GPUs, requests arriving at random; the first warms both up."""
    load_ = {"gpus": 4, "rate_per_s": 3.0, "input_tokens": 2048, "output_tokens": 512}
    return [{**load_, "requests": count} for count in (1000, 10_000, 10_000)]


ANALYSIS = ("llm-analysis==0.2.2",)
ESTIMATE = ("aiconfigurator==0.12.0", "plotext<6")
GENZ = ("genz-llm==0.0.16",)
OFFLINE = ("aiconfigurator==0.4.0", "plotext<6")
SIMULATED = ("vllm-sr-sim==0.1.0.dev20260713123629",)
LATENCIES = ("ttft_ms", "tpot_ms")
PEERS = (
    Peer("aiconfigurator 0.4.0", "Llama 3.3 70B", OFFLINE, "aiconfigurator_offline.py", _offline,
         ("output_tokens_per_s",)),
    Peer("aiconfigurator 0.12.0", "Qwen3 32B", ESTIMATE, "aiconfigurator_online.py", _dense, LATENCIES),
    Peer("aiconfigurator 0.12.0", "gpt-oss 120B", ESTIMATE, "aiconfigurator_online.py", _experts, LATENCIES),
    Peer("genz-llm 0.0.16", "Qwen3 32B", GENZ, "genz_decode.py", _dense, LATENCIES),
    Peer("llm-analysis 0.2.2", "Llama, 50 % MFU given", ANALYSIS, "llm_analysis_training.py", _steps,
         ("tokens_per_s_per_gpu",)),
    Peer("llm-analysis 0.2.2", "Llama, FSDP", ANALYSIS, "llm_analysis_training.py", _memory, ("memory_gib",)),
    Peer("vllm-sr-sim 0.1.0.dev20260713123629", "10,000 requests at random, simulated", SIMULATED, "fleet_simulated.py",
         _busy, ours="hopperbook_simulated.py"),
    Peer("aiconfigurator 0.12.0", "search", ESTIMATE, "aiconfigurator_search.py", _search, ours="hopperbook_plan.py"),
    Peer("aiconfigurator 0.4.0", "search", OFFLINE, "aiconfigurator_search_old.py", _search, ours="hopperbook_plan.py"),
)  # fmt: skip
LABELS = {
    "output_tokens_per_s": "offline maximum",
    "ttft_ms": "first token",
    "tpot_ms": "time per token",
    "tokens_per_s_per_gpu": "training throughput",
    "memory_gib": "training memory",
}


def _python(requirements: tuple[str, ...]) -> Path:
    """Return the interpreter of a peer's own environment, which is made where it is missing."""
    home = HOMES / "-".join(requirements).replace("==", "-").replace("<", "-below-")
    python, stamp = home / "bin" / "python", home / ".installed"
    if not stamp.exists():
        install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries", "1"]
        _run([sys.executable, "-m", "venv", "--clear", home], "its environment cannot be made", 120)
        _run([python, *install, *requirements], "it cannot be installed", 600)
        stamp.touch()
    return python


def _run(command: list[Any], otherwise: str, limit_s: float, folder: Path = ROOT) -> None:
    """Run a command in silence; where it fails, raise its last line."""
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    quiet = {**os.environ, **threads, "HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore"}
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=limit_s, cwd=folder, env=quiet)
    except subprocess.CalledProcessError as problem:
        lines = [line for line in problem.stderr.splitlines() if line.strip()] or [f"exit status {problem.returncode}"]
        raise Unavailable(f"{otherwise}: {lines[-1].strip()[:200]}") from None
    except (subprocess.TimeoutExpired, OSError) as problem:
        reason = f"no end within {limit_s:.0f} s" if isinstance(problem, subprocess.TimeoutExpired) else str(problem)
        raise Unavailable(f"{otherwise}: {reason}") from None


def _asked(python: Path, script: str, questions: list[Question]) -> list[dict[str, Any]]:
    """Ask a tool, in a process and a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        asked, answered = Path(folder) / "questions.json", Path(folder) / "answers.json"
        asked.write_text(json.dumps(questions))
        _run([python, SCRIPTS / script, asked, answered], "it cannot be asked", 200, Path(folder))
        return json.loads(answered.read_text())


def _errors(questions: list[Question], answers: list[dict[str, Any]], others: list[dict[str, Any]], q: str) -> list:
    """Return the size of a tool's errors on the rows that both tools answer."""
    rows = zip(questions, answers, others, strict=True)
    return [abs(a[q] / float(row[q]) - 1) for row, a, b in rows if q in a and q in b and row[q]]


def _compare(peer: Peer) -> tuple[list[list[str]], str]:
    """Return a peer's lines of the table, one a quantity or one for a search, and what it left unanswered."""
    questions = peer.questions()
    theirs = _asked(_python(peer.requirements), peer.script, questions)
    ours = _asked(Path(sys.executable), peer.ours, questions)
    for whose, answers in (("it answers", theirs), ("we answer", ours)):
        if all("why" in a for a in answers):
            raise Unavailable(f"{whose} nothing: {answers[0]['why']}")
    unanswered = [a["why"] for a in theirs if "why" in a]
    took, alone = (median(a["seconds"] for a in answers if "why" not in a) for answers in (theirs, ours))
    bulk = ours[0].get("seconds_in_bulk", 0.0)
    speed = [f"{took:.2g}", f"{alone:.2g}", f"{bulk:.2g}" if bulk else "", f"{took / alone:,.3g}"]
    speed.append(f"{took / bulk:,.3g}" if bulk else "")
    if not peer.quantities:
        searched = f"search of 8 H200; ours: plan of {ours[0].get('configurations', 0):,.0f}"
        asked = searched if peer.about == "search" else peer.about
        return [[peer.name, asked, "1", *speed, "", ""]], ""
    lines = []
    for q in peer.quantities:
        errors, errors_ours = _errors(questions, theirs, ours, q), _errors(questions, ours, theirs, q)
        sizes = [f"{median(e):.1%}" if e else "none" for e in (errors, errors_ours)]
        lines.append([peer.name, f"{LABELS[q]}, {peer.about}", str(len(errors)), *speed, *sizes])
    return lines, f"{len(unanswered)} of {len(theirs)} unanswered: {unanswered[0]}" if unanswered else ""


def main() -> None:
    """Print the table; a peer that is not to be had, or leaves a question, is a line below it."""
    heads = ("tool", "asked", "rows", "s a question", "ours alone", "in bulk", "times", "in bulk", "error", "ours")
    table = Table(*heads, title="Other tools beside ours: median seconds, their ratio, median error on the same rows")
    remarks = []
    for peer in PEERS:
        try:
            lines, remark = _compare(peer)
            for line in lines:
                table.add_row(*line)
        except Unavailable as problem:
            remark = f"not compared: {problem}"
        if remark:
            remarks.append(f"{peer.name}, {peer.about}: {remark}")
    console = Console(width=152)
    console.print(table)
    for remark in remarks:
        console.print(remark, markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    main()
