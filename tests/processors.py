"""Run the chapters' nbval again as other processors would: narrower vectors in NumPy, other kernels of OpenBLAS.

What a notebook stores is rounded, and no decision may hang on a last bit; this holds the book to both.  Each way is
tried where this processor has what it takes.
"""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np

SIMD = np.show_config(mode="dicts")["SIMD Extensions"]  # type: ignore[index]
FOUND: list[str] = SIMD.get("found", [])
WIDER_THAN_V3 = [name for name in FOUND if name not in ("SSE41", "SSE42", "AVX", "F16C", "FMA3", "AVX2", "X86_V3")]


def ways() -> dict[str, dict[str, str]]:
    """Return the environment of each way to run, by its name."""
    old = {"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX512F,-AVX2,-FMA,-FMA4", "OPENBLAS_CORETYPE": "Prescott"}
    found = {"no wide vectors": old | {"NPY_DISABLE_CPU_FEATURES": " ".join(FOUND)}}
    if {"X86_V3", "AVX2"} & set(FOUND):
        narrow = {"NPY_DISABLE_CPU_FEATURES": " ".join(WIDER_THAN_V3), "OPENBLAS_CORETYPE": "Haswell"}
        found["AVX2"] = narrow
    if {"X86_V4", "AVX512_SKX"} & set(FOUND):
        found["AVX-512"] = {"OPENBLAS_CORETYPE": "SkylakeX"}
    return found


def main() -> int:
    """Run every way; return 1 if one of them prints what is not stored."""
    nbval = ["-m", "pytest", "-p", "no:cacheprovider", "--nbval", "-n", "2", "--dist", "loadfile", "chapters"]
    failed = []
    for name, settings in ways().items():
        print(f"chapters as on a processor with {name}: {settings}", flush=True)
        if subprocess.run([sys.executable, *nbval], env=os.environ | settings, check=False).returncode:
            failed.append(name)
    return print("differs with " + " and ".join(failed)) or 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
