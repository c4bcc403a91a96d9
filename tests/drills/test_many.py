"""Many customers: the time and memory of each stay what they are for a few, two workers do twice as much.

The short form runs four and looks at results and memory; times mean something only for many, on a quiet machine.  One
worker draws charts beside its chapters and so uses more than one core: it is given one, so that two workers have twice
as much.  A batch begins with some seconds that no further worker shortens, so the customers are many.  Two cores of a
rented machine are seldom twice one: what two batches that know nothing of each other gain on them is measured too.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import mean

import pytest
from tests.drills.drill import CUSTOMER, SHARE, Place, times


def write(folder: Path, count: int) -> Path:
    """Write files of customers that differ in name and load."""
    folder.mkdir(parents=True)
    for number in range(count):
        text = CUSTOMER.read_text().replace("Lingua Shop", f"Shop {number}")
        (folder / f"c{number:03d}.yaml").write_text(text + f"max_gpus: {64 + number}\n")
    return folder


def largest_bytes(place: Place, process) -> float:
    """Return the most memory that any process of the place held until its command ended."""
    most = 0
    while process.poll() is None:
        for pid in Path("/proc").glob("[0-9]*"):
            try:
                if place.mark.encode() in (pid / "environ").read_bytes():
                    most = max(most, int((pid / "statm").read_text().split()[1]) * 4096)
            except (OSError, ValueError, IndexError):
                continue
        time.sleep(0.5)
    return most


def timed(place: Place, customers: Path, out: Path, workers: int) -> tuple[float, float]:
    """Return seconds and the most memory of a batch."""
    begun = time.monotonic()
    with place.start("--quiet", "batch", customers, "--out", out, "--workers", workers) as process:
        most = largest_bytes(place, process)
    assert process.returncode == 0
    return time.monotonic() - begun, most


def on_core(core: int, folder: Path, count: int) -> float:
    """Return the seconds of a batch of one worker that has one core, all that it needs compiled before."""
    place = Place(folder)
    timed(place, write(folder / "first", 2), folder / "first-out", 1)
    os.sched_setaffinity(0, {core})  # of this thread and what it starts
    return timed(place, write(folder / "lone", count), folder / "lone-out", 1)[0]


def apart(folder: Path, cores: Sequence[int], count: int) -> float:
    """Return the seconds that batches of one worker take at once, each on a core of its own; the longest."""
    with ThreadPoolExecutor(len(cores)) as pool:
        return max(pool.map(lambda core: on_core(core, folder / str(core), count), cores))


def two_and_one(place: Place, folder: Path, count: int) -> tuple[float, float]:
    """Return the seconds of a batch by two workers, and of one by one worker."""
    together, _ = timed(place, write(folder / "both", count), folder / "both-out", 2)
    return together, apart(folder / "alone", sorted(os.sched_getaffinity(0))[:1], count)


def test_many_customers(tmp_path: Path) -> None:
    place, few, many = Place(tmp_path), times(20, 2), times(200, 4)
    if SHARE >= 1:
        timed(place, write(tmp_path / "first", 2), tmp_path / "first-out", 2)  # loads and compiles what all need
    few_s, few_bytes = timed(place, write(tmp_path / "few", few), tmp_path / "few-out", 2)
    many_s, many_bytes = timed(place, write(tmp_path / "many", many), tmp_path / "many-out", 2)
    made = sorted(path.parent.name for path in (tmp_path / "many-out").glob("*/index.html"))
    assert made == sorted(f"shop-{number}" for number in range(many))
    assert many_bytes < 1.15 * few_bytes
    if SHARE >= 1:
        after_s, _ = timed(place, write(tmp_path / "after", few), tmp_path / "after-out", 2)
        files = {p.stat().st_ino: p.stat().st_size for p in (tmp_path / "many-out").rglob("*") if p.is_file()}
        print(f"\n{few} customers {few_s:.1f} s, {many} {many_s:.1f} s, {few} again {after_s:.1f} s")
        print(f"memory of the largest process {few_bytes / 2**20:.0f} and {many_bytes / 2**20:.0f} MiB")
        print(f"disk of a further report {sum(files.values()) / many / 2**20:.2f} MiB")
        assert many_s / many < 1.1 * few_s / few


@pytest.mark.skipif(SHARE < 1, reason="says something only for many customers, on a quiet machine: make drill")
def test_two_workers(tmp_path: Path) -> None:
    rounds, count = 2, 80
    place = Place(tmp_path / "both")
    took = [two_and_one(place, tmp_path / str(number), count) for number in range(rounds)]
    assert len(list(tmp_path.glob("*/*-out/*/index.html"))) == rounds * count
    beside = apart(tmp_path / "beside", sorted(os.sched_getaffinity(0))[:2], count)
    reached = mean(alone / together for together, alone in took)
    gain = mean(2 * alone / beside for _, alone in took)
    print(f"\n{count} customers by two workers and by one:", [[round(s, 1) for s in each] for each in took])
    print(f"two workers do {reached:.2f} times as much as one; two batches apart, in {beside:.1f} s, {gain:.2f} times")
    assert reached > min(1.8, 0.9 * gain)
