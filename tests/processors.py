"""Run the chapters again as other processors would: narrower vectors in NumPy, other kernels of OpenBLAS.

What a notebook stores is rounded, and no decision may hang on a last bit; this holds the book to both: every chapter,
run by the report's own engine with nothing kept from before, must come out as it is stored, to the byte.  What is
narrower than this processor is tried, one way after the other; its own way is the one by which nbval runs the chapters.
"""

from __future__ import annotations

import difflib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

SIMD = np.show_config(mode="dicts")["SIMD Extensions"]  # type: ignore[index]
FOUND: list[str] = SIMD.get("found", [])
WIDER_THAN_V3 = [name for name in FOUND if name not in ("SSE41", "SSE42", "AVX", "F16C", "FMA3", "AVX2", "X86_V3")]


def ways() -> dict[str, dict[str, str]]:
    """Return the environment of each way to run, by its name."""
    old = {"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX512F,-AVX2,-FMA,-FMA4", "OPENBLAS_CORETYPE": "Prescott"}
    found = {"no wide vectors": old | {"NPY_DISABLE_CPU_FEATURES": " ".join(FOUND)}}
    if {"X86_V3", "AVX2"} & set(FOUND) and WIDER_THAN_V3:
        narrow = {"NPY_DISABLE_CPU_FEATURES": " ".join(WIDER_THAN_V3), "OPENBLAS_CORETYPE": "Haswell"}
        found["AVX2"] = narrow
    return found


def differences() -> list[str]:
    """Run every chapter in this process's way and return the first lines of each that are not as stored."""
    from hopperbook import customer, report
    from hopperbook.evidence import kept
    from hopperbook.report.kept import store
    from hopperbook.report.pipeline import CHAPTERS, find_chapters

    found = []
    with tempfile.TemporaryDirectory(prefix="hopperbook-") as folder:
        store.ROOT, kept.KEPT = Path(folder) / "store", Path(folder) / "answers"
        fresh = Path(folder) / "chapters"
        shutil.copytree(CHAPTERS, fresh)
        report.store_outputs(customer.default().model_dump(), fresh)
        for path in find_chapters(CHAPTERS):
            stored, now = (side.read_text(encoding="utf-8").splitlines() for side in (path, fresh / path.name))
            found += [line[:300] for line in difflib.unified_diff(stored, now, path.name, "now", n=0, lineterm="")][:12]
    return found


def run(way: tuple[str, dict[str, str]]) -> bool:
    """Run the chapters one way in a process of its own; return whether they came out as they are stored."""
    name, settings = way
    done = subprocess.run(
        [sys.executable, __file__, "here"], env=os.environ | settings, capture_output=True, text=True, check=False
    )
    print(
        f"chapters as on a processor with {name}: {'differ' if done.returncode else 'the same'}; {settings}", flush=True
    )
    print(done.stdout + done.stderr, end="", flush=True)
    return done.returncode == 0


def main() -> int:
    """Run every way; return 1 if one of them puts out what is not stored."""
    if sys.argv[1:] == ["here"]:
        lines = differences()
        for line in lines:
            print(line)
        return int(bool(lines))
    return int(not all(list(map(run, ways().items()))))


if __name__ == "__main__":
    sys.exit(main())
