"""What this process reads: every file that it opens, from the moment on that it is told to watch.

The record only grows, and a forked process inherits it: what a chapter finds computed was read by somebody before it.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from typing import Any

# When this process began to load the library; not in the reference, which must come out alike at every build.
STARTED_NS, STARTED_S = time.time_ns(), time.perf_counter()
_files: set[str] = set()
_state = {"watching": False, "early": False, "noting": True}


def watch(early: bool = False) -> None:
    """Begin to note every file that is opened for reading; once begun it goes on as long as the process lives.

    Parameters
    ----------
    early : bool
        True where nothing has been read yet, at the very start of a command: only then is the record complete.
    """
    if not _state["watching"]:
        _state.update(watching=True, early=early)
        sys.addaudithook(_note)


def complete() -> bool:
    """Return whether everything that this process ever read is in the record.

    Returns
    -------
    bool
        False where watching began late, or not at all.
    """
    return _state["watching"] and _state["early"]


@contextlib.contextmanager
def unnoted() -> Iterator[None]:
    """Note nothing in a block: it reads files to see whether they changed, and keeps nothing of what they say."""
    before, _state["noting"] = _state["noting"], False
    try:
        yield
    finally:
        _state["noting"] = before


def add(path: str) -> None:
    """Note a file that was not opened here, because what was made from it is kept.

    Parameters
    ----------
    path : str
        Absolute.
    """
    if _state["watching"]:
        _files.add(path)


def files() -> frozenset[str]:
    """Return the paths of the files read so far.

    Returns
    -------
    frozenset of str
        Absolute paths; some may be gone by now.
    """
    return frozenset(_files)


def _note(event: str, given: tuple[Any, ...]) -> None:
    """Note a file when it is opened; an error in here would be everybody's."""
    if event == "open" and _state["noting"] and isinstance(given[0], str | bytes | os.PathLike):
        mode = str(given[1] or "r")
        if "r" in mode or "+" in mode:
            _files.add(os.path.abspath(os.fsdecode(given[0])))
