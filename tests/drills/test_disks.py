"""A disk that is full, or may only be read: one sentence, and what was published stays."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from tests.drills.drill import CUSTOMER, Place, times

from hopperbook.report import manifest

MOUNTS = shutil.which("unshare") and subprocess.run(
    ["unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, check=False
).returncode == 0  # fmt: skip
pytestmark = pytest.mark.skipif(not MOUNTS, reason="this user may not mount a small disk")
#: Mounts a disk of a size, puts a report on it, runs the command, and copies the report out.
ON_DISK = """
set -e
mount -t tmpfs -o size=$1k tmpfs $2
cp -a $3 $2/
if [ $4 = ro ]; then mount -o remount,ro $2; fi
shift 4
status=0; "$@" || status=$?
cp -a $OUT $KEPT
exit $status
"""


def build_on(place: Place, size_kib: int, mode: str = "rw") -> tuple[int, str, Path]:
    """Build over an earlier report on a disk of a size; return exit code, complaint, and what stands there then."""
    disk, kept = place.out.parent.parent / "disk", place.out.parent.parent / f"kept-{size_kib}"
    disk.mkdir(exist_ok=True)
    script = f"OUT={disk}/shop; KEPT={kept}; {ON_DISK}"
    wrap = ("unshare", "-m", "bash", "-c", script, "x", str(size_kib), str(disk), str(place.out), mode)
    arguments = ("build", "--customer", CUSTOMER, "--out", disk / "shop", "--set", "concurrency=5")
    status, complaint = place.run(*arguments, wrap=wrap)
    return status, complaint, kept


def test_a_full_disk(tmp_path: Path) -> None:
    place = Place(tmp_path)
    assert place.build() == (0, "")
    before = manifest.listing(place.out)
    needed = sum(path.stat().st_size for path in place.out.rglob("*") if path.is_file()) // 1024 + 900
    ends = set()
    for point in range(times(full=20, short=1)):
        size = needed + int(needed * (point + 0.2) / times(full=20, short=1))
        status, complaint, kept = build_on(place, size)
        ends.add(status)
        assert status in (0, 1), complaint
        if status:
            assert len(complaint.splitlines()) == 1 and complaint.startswith("hopperbook: "), complaint
            assert manifest.listing(kept) == before
        assert place.whole(kept)
        shutil.rmtree(kept)
    assert 1 in ends


def test_a_disk_that_may_only_be_read(tmp_path: Path) -> None:
    place = Place(tmp_path)
    assert place.build() == (0, "")
    status, complaint, kept = build_on(place, 1 << 16, "ro")
    assert status == 2 and len(complaint.splitlines()) == 1 and "Read-only" in complaint, complaint
    assert manifest.listing(kept) == manifest.listing(place.out)
