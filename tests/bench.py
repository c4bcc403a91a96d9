"""Timings on this machine: ``make bench``.

Calculators on one core, a whole report beside papermill a process a chapter and Sphinx, and other tools beside ours
(:mod:`bench_peers`).
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import bench_peers
import ml_dtypes
import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from hopperbook import customer, evidence, facts, fp8, planner, serving, training
from hopperbook.evidence import kept
from hopperbook.models import load

ROOT = facts.DATA.parent
BIN = Path(sys.executable).parent
Timing = tuple[str, float, str]  # what, seconds, goal


def seconds(call: Callable[[], object], repeat: int = 3) -> float:
    """Return the best of a few runs."""
    best = float("inf")
    for _ in range(repeat):
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return best


def calculators() -> list[Timing]:
    """Time what a reader asks most; to be called in a new process, where nothing is read or kept."""
    return [*plans(), *sizes(), *evidence_rows(), *single_questions(), *quantising()]


def plans() -> list[Timing]:
    """Time a plan that reads its tables, and again when only they and the parts of a step are kept."""
    rows = []
    for name in ("train-70b", "default"):
        who = customer.load(facts.DATA / "customers" / f"{name}.yaml")
        start = time.perf_counter()
        made = planner.plan(who)
        first = time.perf_counter() - start

        def again(who: customer.Customer = who) -> None:
            for each in (planner.plan, serving.demand.at_rate, serving.demand.answer, serving.demand.largest):
                each.cache_clear()
            planner.plan(who)

        what = f"plan of {made.considered:,} configurations, {name}"
        rows += [(f"{what}, first", first, "1.0 s"), (what, seconds(again), "1.5 s")]
    return rows


def sizes() -> list[Timing]:
    """Time the command that sizes a model, each time in a new process."""
    size = [str(BIN / "hopperbook"), "size", "--model", "llama-3.3-70b", "--gpu", "H200"]
    return [
        (
            "hopperbook size, a new process",
            seconds(lambda: subprocess.run(size, check=True, capture_output=True), 5),
            "0.5 s",
        )
    ]


def evidence_rows() -> list[Timing]:
    """Time 1,000 rows of each kind, asked once."""
    kinds = {
        "training": "training_megatron",
        "activation memory": "activations",
        "offline": "offline_trtllm014",
        "at a concurrency": "online",
        "collective": "nccl_multinode",
    }
    tables = {kind: evidence.read(facts.DATA / "measurements" / f"{file}.csv.gz") for kind, file in kinds.items()}
    tables["kernel"] = gemm_rows()
    rows = []
    for kind, table in tables.items():
        asked = thousand(table)
        rows.append((f"1,000 evidence rows, {kind}", seconds(lambda a=asked: evidence.predict(a), 1), "5 s"))
    return rows


def thousand(rows: pd.DataFrame) -> pd.DataFrame:
    """Return 1,000 rows; a repeated one differs by a billionth in its lengths, so that no simulation is kept for it."""
    copies = [rows.copy() for _ in range(-(-1000 // len(rows)))]
    for more, copy in enumerate(copies):
        if "input_tokens" in copy:
            ratio = copy["length_ratio"] if "length_ratio" in copy else pd.Series("", copy.index)
            copy["length_ratio"] = [f"{float(r or 1) * (1 - 1e-9 * more):.12f}" for r in ratio]
    return pd.concat(copies, ignore_index=True)[:1000]


def gemm_rows() -> pd.DataFrame:
    """Return measured matrix products of the H100, as a file of kernel rows holds them."""
    table = pd.read_parquet(facts.DATA / "kernels" / "trtllm" / "gemm_h100.parquet")
    table = table[table["measured"] & (table["precision"] == "16")].iloc[:1000]
    rows = table[["m", "n", "k"]].assign(latency_ms=table["seconds"] * 1e3).astype(str)
    return rows.assign(gpu="H100 SXM", gemm_dtype="bf16", software="TensorRT-LLM 1.0.0").reset_index(drop=True)


def single_questions() -> list[Timing]:
    """Time a serving question over all batches, and a grid of training layouts."""
    llama = load("meta-llama/Llama-3.3-70B-Instruct")
    d = serving.deploy(llama, "H100 SXM", tp=4, precision="fp8", kv_precision="fp8")
    chat = serving.Lengths(2048, 512)
    serving.first_cut(d, chat)
    rows = [("one serving question over all loads", seconds(lambda: serving.first_cut(d, chat)), "5 ms")]
    requests = serving.traffic.draw(serving.Traffic(4.2, 100_000, 2048, 512))
    serve = lambda: serving.events.replay(d, requests, serving.demand.limits_of(d))  # noqa: E731
    serve()
    rows.append(("100,000 requests to a replica of 70B, simulated", seconds(serve, 1), "1 s"))
    grid = pd.concat([training.layouts(llama, [64, 128, 256, 512, 1024], 1024)] * 60, ignore_index=True)[:100_000]
    columns = {c: grid[c].to_numpy() for c in grid if c != "dp"}
    step = lambda: training.step(llama, "H100 SXM", seq_len=4096, **columns)  # noqa: E731
    step()
    return [*rows, (f"{len(grid):,} training layouts", seconds(step), "1 s")]


def quantising() -> list[Timing]:
    """Time FP8 by each recipe beside a plain cast."""
    x = np.random.default_rng(0).standard_normal((10_000, 10_000)).astype(np.float32)
    plain = seconds(lambda: x.astype(ml_dtypes.float8_e4m3fn), 1)
    rows = [("astype of 10^8 values", plain, "")]
    for recipe in fp8.RECIPES:
        took = seconds(lambda r=recipe: fp8.quantize(x, recipe=r), 1)
        rows.append((f"quantise 10^8 values, {recipe}", took, f"{3 * plain:.1f} s (3 x astype)"))
    return rows


def on_one_core(call: Callable[[], list[Timing]]) -> list[Timing]:
    """Call in a new process that has one core, where the system can say so."""
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_setaffinity") else set()
    if allowed:
        os.sched_setaffinity(0, {min(allowed)})
    try:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            return pool.apply(call)
    finally:
        if allowed:
            os.sched_setaffinity(0, allowed)


def whole_report() -> list[Timing]:
    """Time a report in new processes with a store of their own, from nothing on, and the plain way."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plain = _plain(folder)
        saas = facts.DATA / "customers" / "inference-saas.yaml"
        return [
            ("the whole report, nothing kept", _built(folder), f"{plain / 12:.1f} s (1/12 of plain)"),
            ("the same again", _built(folder), "0.3 s after start-up"),
            ("start-up alone", _built(folder, "schema"), ""),
            ("another region", _built(folder, "--set", "region=EU"), ""),
            ("one price changed", _built(folder, "--set", "h200_usd_per_hour=2.5"), f"{plain / 40:.1f} s (1/40)"),
            ("one more customer", _built(folder, "--customer", str(saas)), f"{plain / 20:.1f} s (1/20)"),
            ("papermill a process a chapter, then jupyter-book build", plain, ""),
        ]


def _built(folder: Path, *arguments: str) -> float:
    """Time the command in a new process, with what earlier ones kept in this folder."""
    out = [] if arguments == ("schema",) else ["build", "--out", str(folder / "reports" / "one")]
    command = [sys.executable, ROOT / "tests" / "drills" / "small.py", ROOT / "chapters", folder / "store"]
    start = time.perf_counter()
    subprocess.run([*command, *out, *arguments], check=True, capture_output=True)
    return time.perf_counter() - start


def _plain(folder: Path) -> float:
    """Time the way without our engine, from nothing too: every chapter by its own papermill, then jupyter-book."""
    shutil.rmtree(kept.KEPT, ignore_errors=True)
    book = folder / "plain"
    (book / "chapters").mkdir(parents=True)
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy(ROOT / name, book / name)
    start = time.perf_counter()
    for chapter in sorted((ROOT / "chapters").glob("*.ipynb")):
        command = [BIN / "papermill", "--no-progress-bar", chapter, book / "chapters" / chapter.name]
        subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
    subprocess.run([BIN / "jupyter-book", "build", book], check=True, capture_output=True)
    return time.perf_counter() - start


def show(title: str, timings: list[Timing]) -> None:
    """Print one table of timings."""
    table = Table("what", "seconds", "goal", title=title, title_justify="left")
    for what, took, goal in timings:
        table.add_row(what, f"{took:.4f}" if took < 0.1 else f"{took:.2f}", goal)
    Console(width=110).print(table)


def main() -> None:
    """Print all timings, ours first."""
    show("Calculators, on one core", on_one_core(calculators))
    show("The report", whole_report())
    bench_peers.main()


if __name__ == "__main__":
    main()
