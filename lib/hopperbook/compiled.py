"""Functions compiled by numba, kept between processes for as long as no source of theirs changes.

Numba keeps a compiled function with the time of its own file; a function that it calls may stand in another.  So what
is compiled is kept in a folder named by a digest of every file that holds such functions.
"""

from __future__ import annotations

import hashlib
import os
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba import njit

#: The files of the library that hold compiled functions, and this one, which says how.
SOURCES = ("compiled.py", "kernels/between.py", "serving/ticker.py", "serving/batching.py", "serving/events.py")
#: Divisions as NumPy makes them; and no counts of references, which would take two thirds of the time: every array is
#: made by the caller, who holds it.  A function that made one itself would be refused by the compiler.
OPTIONS: dict[str, Any] = {"error_model": "numpy", "_nrt": False}


@cache
def folder() -> str:
    """Return where compiled functions are kept: beside the package, else in the user's cache; empty for nowhere."""
    here = Path(__file__).parent
    text = b"".join((here / name).read_bytes() for name in SOURCES) + f"{numba.__version__} {sys.version}".encode()
    digest = hashlib.sha256(text).hexdigest()[:16]
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()) / "hopperbook"
    for place in (here / "__pycache__", home):
        try:
            place.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(place, os.W_OK):
            return str(place / digest)
    return ""


def compiled(function: Any) -> Any:
    """Compile a function of numbers and arrays when it is first called.

    Parameters
    ----------
    function : callable
        In one of ``SOURCES``.

    Returns
    -------
    callable
        The same, compiled; kept for later processes where something may be written.
    """
    if not folder():
        return njit(**OPTIONS)(function)
    config: Any = numba.config
    before, config.CACHE_DIR = config.CACHE_DIR, folder()
    try:
        return njit(cache=True, **OPTIONS)(function)
    finally:
        config.CACHE_DIR = before
