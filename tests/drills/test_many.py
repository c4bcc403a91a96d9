"""Two hundred customers: the time and the memory of each stay what they are at twenty, two workers do twice as much."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from tests.drills.drill import CUSTOMER, SHARE, Place

pytestmark = pytest.mark.skipif(SHARE < 1, reason="make drill")


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


def test_many_customers(tmp_path: Path) -> None:
    place = Place(tmp_path)
    timed(place, write(tmp_path / "first", 2), tmp_path / "r2", 2)  # loads and compiles what all need
    few_s, few_bytes = timed(place, write(tmp_path / "few", 20), tmp_path / "r20", 2)
    many_s, many_bytes = timed(place, write(tmp_path / "many", 200), tmp_path / "r200", 2)
    alone_s, _ = timed(Place(tmp_path / "alone"), write(tmp_path / "lone", 20), tmp_path / "r20a", 1)
    sizes = sum({p.stat().st_ino: p.stat().st_size for p in (tmp_path / "r200").rglob("*") if p.is_file()}.values())
    print(f"\n20 customers {few_s:.0f} s, 200 {many_s:.0f} s, 20 by one worker {alone_s:.0f} s")
    print(f"memory of the largest process {few_bytes / 2**20:.0f} and {many_bytes / 2**20:.0f} MiB")
    print(f"disk of a further report {sizes / 200 / 2**20:.2f} MiB")
    assert many_s / 200 < 1.1 * few_s / 20
    assert many_bytes < 1.15 * few_bytes
    assert alone_s > 1.6 * few_s
