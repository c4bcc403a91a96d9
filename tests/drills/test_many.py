"""Many customers: the time and memory of each stay what they are for a few, two workers do twice as much.

The short form runs four and looks at results and memory; times mean something only for many, on a quiet machine.  One
worker draws charts beside its chapters and so uses more than one core: it is given one, so that two workers have twice
as much.  Two cores of a rented machine are seldom twice one: what two batches gain on them that know nothing of each
other is measured beside it.  What a worker takes to start is left out of that: it stands in the time of a customer.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
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


def on_core(core: int, place: Place, few: int, more: int) -> float:
    """Return the seconds a further customer takes one worker that has one core, all it needs compiled before."""
    folder = place.store.parent
    timed(place, write(folder / "first", 2), folder / "first-out", 1)
    os.sched_setaffinity(0, {core})  # of this thread and what it starts
    took = [timed(place, write(folder / f"lone-{n}", n), folder / f"out-{n}", 1)[0] for n in (few, few + more)]
    return (took[1] - took[0]) / more


def apart(tmp_path: Path, cores: Sequence[int], few: int, more: int) -> float:
    """Return the seconds a further customer takes batches of one worker at once, each on its own core; the longest."""
    with ThreadPoolExecutor(len(cores)) as pool:
        places = [Place(tmp_path / f"{len(cores)}-on-{core}") for core in cores]
        return max(pool.map(lambda core, place: on_core(core, place, few, more), cores, places))


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
        cores = sorted(os.sched_getaffinity(0))[:2]
        alone_s, beside_s = (apart(tmp_path, some, few, more=3 * few) for some in (cores[:1], cores))
        gain, reached = 2 * alone_s / beside_s, alone_s / ((many_s - few_s) / (many - few))
        files = {p.stat().st_ino: p.stat().st_size for p in (tmp_path / "many-out").rglob("*") if p.is_file()}
        print(f"\n{few} customers {few_s:.0f} s, {many} {many_s:.0f} s; one more by one worker {alone_s:.2f} s")
        print(f"two workers do {reached:.2f} times as much as one; two batches apart, a core each, {gain:.2f} times")
        print(f"memory of the largest process {few_bytes / 2**20:.0f} and {many_bytes / 2**20:.0f} MiB")
        print(f"disk of a further report {sum(files.values()) / many / 2**20:.2f} MiB")
        assert many_s / many < 1.1 * few_s / few
        assert reached > min(1.8, 0.9 * gain)
