"""Timings on this machine: ``make bench``.  A whole report beside papermill a process a chapter and Sphinx."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import ml_dtypes
import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from hopperbook import customer, evidence, facts, fp8, planner, report, serving, training, training_run
from hopperbook.models import load

ROOT = facts.DATA.parent
BIN = Path(sys.executable).parent


def seconds(call: Callable[[], object], repeat: int = 3) -> float:
    """Return the best of a few runs."""
    best = float("inf")
    for _ in range(repeat):
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return best


def calculators() -> list[tuple[str, float, str]]:
    """Time what a reader asks most."""
    llama = load("meta-llama/Llama-3.3-70B-Instruct")
    d = serving.deploy(llama, "H100 SXM", tp=4, precision="fp8", kv_precision="fp8")
    serving.sweep(d, 2048, 512)
    rows = [("one serving question over all batches", seconds(lambda: serving.sweep(d, 2048, 512)), "2 ms")]
    grid = pd.concat([training_run.layouts(llama, [64, 128, 256, 512, 1024], 1024)] * 60, ignore_index=True)[:100_000]
    columns = {c: grid[c].to_numpy() for c in grid if c != "dp"}
    step = lambda: training.step(llama, "H100 SXM", seq_len=4096, **columns)  # noqa: E731
    step()
    rows.append((f"{len(grid):,} training layouts", seconds(step), "1 s"))
    online = evidence.read(facts.DATA / "measurements" / "online.csv.gz")
    thousand = pd.concat([online, online])[:1000].reset_index(drop=True)
    rows.append(("1,000 evidence rows, at a concurrency", seconds(lambda: evidence.predict(thousand), 1), "5 s"))
    for name in ("default", "train-70b"):
        who = customer.load(facts.DATA / "customers" / f"{name}.yaml")
        made = planner.plan(who)

        def again(who: customer.Customer = who) -> None:
            planner.plan.cache_clear()
            planner.plan(who)

        rows.append((f"plan of {made.considered:,} configurations, {name}", seconds(again), "0.5 s"))
    x = np.random.default_rng(0).standard_normal((10_000, 10_000)).astype(np.float32)
    plain = seconds(lambda: x.astype(ml_dtypes.float8_e4m3fn), 1)
    rows.append(("astype of 10^8 values", plain, ""))
    for recipe in fp8.RECIPES:
        took = seconds(lambda r=recipe: fp8.quantize(x, recipe=r), 1)
        rows.append((f"quantise 10^8 values, {recipe}", took, f"{3 * plain:.1f} s (3 x astype)"))
    return rows


def whole_report() -> list[tuple[str, float, str]]:
    """Time a report by our engine, by a second customer in the same process, and the plain way."""
    with tempfile.TemporaryDirectory() as folder:
        who = customer.default()
        other = customer.load(facts.DATA / "customers" / "inference-saas.yaml")
        start = time.perf_counter()
        subprocess.run([BIN / "hopperbook", "build", "--out", f"{folder}/first"], check=True, capture_output=True)
        ours = time.perf_counter() - start
        report.build(who.model_dump(), Path(folder) / "warm")
        start = time.perf_counter()
        report.build(other.model_dump(), Path(folder) / "other")
        warm = time.perf_counter() - start
        plain = _plain(Path(folder))
    return [
        ("the whole report, a new process", ours, f"{plain / 4:.0f} s (1/4 of plain)"),
        ("one more customer, libraries loaded", warm, ""),
        ("papermill a process a chapter, then jupyter-book build", plain, ""),
    ]


def _plain(folder: Path) -> float:
    """Time the way without our engine: every chapter by its own papermill, then jupyter-book."""
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


def main() -> None:
    """Print all timings."""
    table = Table("what", "seconds", "goal")
    for what, took, goal in [*calculators(), *whole_report()]:
        table.add_row(what, f"{took:.4f}" if took < 0.1 else f"{took:.2f}", goal)
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
