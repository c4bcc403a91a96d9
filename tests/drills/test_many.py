"""Many customers: the time and memory of each stay what they are for a few, two workers do twice as much.

The short form runs four and looks at results and memory; times mean something only for many, on a quiet machine.  One
worker draws charts beside its chapters and so uses more than one core: it is given one, so that two workers have twice
as much.  Two cores of a rented machine are seldom twice one: how much plain Python gains on them is measured beside it.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

from tests.drills.drill import CUSTOMER, SHARE, Place, times


def write(folder: Path, count: int) -> Path:
    """Write files of customers that differ in name and load."""
    folder.mkdir()
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


@contextlib.contextmanager
def one_core() -> Iterator[None]:
    """Give what is started in a block one core."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def _plain(_: int) -> None:
    """Do work like a report's: objects, text and patterns, nothing shared."""
    numbers = {str(each): list(range(each % 50)) for each in range(60_000)}
    for _ in range(4):
        re.sub(r"\d+", "x", json.dumps(json.loads(json.dumps(numbers))))


def gain_of_two_cores() -> float:
    """Return how many times as much plain Python two processes do in the time of one."""
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        pool.map(_plain, range(2), chunksize=1)
        times = []
        for processes in (1, 2):
            begun = time.monotonic()
            pool.map(_plain, range(processes), chunksize=1)
            times.append(time.monotonic() - begun)
    return 2 * times[0] / times[1]


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
        alone = Place(tmp_path / "alone")
        timed(alone, write(tmp_path / "lone-first", 2), tmp_path / "lone-first-out", 1)
        with one_core():
            one_worker_s, _ = timed(alone, write(tmp_path / "lone", few), tmp_path / "lone-out", 1)
        files = {p.stat().st_ino: p.stat().st_size for p in (tmp_path / "many-out").rglob("*") if p.is_file()}
        gain = gain_of_two_cores()
        print(f"\n{few} customers {few_s:.0f} s, {many} {many_s:.0f} s, {few} on one core {one_worker_s:.0f} s")
        print(
            f"two workers {one_worker_s / few_s:.2f} times one; plain Python gains {gain:.2f} on this machine's cores"
        )
        print(f"memory of the largest process {few_bytes / 2**20:.0f} and {many_bytes / 2**20:.0f} MiB")
        print(f"disk of a further report {sum(files.values()) / many / 2**20:.2f} MiB")
        assert many_s / many < 1.1 * few_s / few
        assert one_worker_s / few_s > min(1.8, 0.9 * gain)
