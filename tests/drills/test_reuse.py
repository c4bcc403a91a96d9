"""What is kept is what would come out: the whole report after a change, beside one made with nothing of it kept.

`make test` does the same with a small book (`tests/report/test_kept.py`).
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.drills.drill import SHARE, SMALL

from hopperbook import facts
from hopperbook.report import manifest

ROOT = facts.DATA.parent

#: Each differs from the one before: prices of what is recommended and what is not, place, load, budget, customer.
CHANGES = (
    [],
    ["--set", "h200_usd_per_hour=2.5"],
    ["--set", "h100_usd_per_hour=1.9"],
    ["--set", "region=EU", "--set", "budget_usd_per_month=9000"],
    ["--set", "concurrency=450"],
    ["--customer", "data/customers/train-70b.yaml"],
    ["--customer", "data/customers/train-70b.yaml", "--set", "h100_usd_per_hour=2"],
)


def built(store: Path, out: Path, change: list[str]) -> dict[str, str]:
    """Build the book with a store of its own, and return what the report holds."""
    small = [sys.executable, SMALL, ROOT / "chapters", store, "--quiet", "build", "--out", out]
    subprocess.run([*small, *change], cwd=ROOT, check=True)
    return manifest.listing(out)


@pytest.mark.skipif(SHARE < 1, reason="`make drill` builds the whole book fourteen times")
def test_a_report_of_kept_parts_is_one_made_anew(tmp_path: Path) -> None:
    kept, anew = tmp_path / "kept", tmp_path / "anew"
    for change in CHANGES:
        found = built(kept, tmp_path / "one", change)
        shutil.rmtree(anew, ignore_errors=True)
        anew.mkdir()
        for name in ("simulations.sqlite", "answers"):  # whose own tests compare them to the last bit
            path = kept / name
            (shutil.copytree if path.is_dir() else shutil.copy)(path, anew / name)
        assert found == built(anew, tmp_path / "two", change), change
        shutil.rmtree(tmp_path / "two")
