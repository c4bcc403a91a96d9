"""One build of a report at a time: a lock that the system takes back when its holder dies."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from hopperbook.errors import Failed

_held: set[str] = set()


@contextlib.contextmanager
def hold(path: Path, what: str, wait_s: float = 60.0, waiting: Callable[[str], None] | None = None) -> Iterator[None]:
    """Hold the lock of a file.

    Parameters
    ----------
    path : Path
        The file, made where there is none.  It stays: whether it is locked is known to the system alone, so that none
        is ever stale.
    what : str
        What is locked, for the sentence.
    wait_s : float
        Seconds to wait for whoever holds it.
    waiting : callable, optional
        Told once that somebody else holds it.

    Raises
    ------
    Failed
        If somebody else holds it for longer.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, hold(Path(folder) / "lock", "a report"):
    ...     print("held")
    held
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    key, end, told = os.path.realpath(path), time.monotonic() + wait_s, False
    while (file := _taken(path, key)) is None:
        if waiting and not told:
            waiting(f"another process works on {what}; waiting for it")
            told = True
        if time.monotonic() > end:
            raise Failed(f"another process works on {what} (waited {wait_s:g} s)")
        time.sleep(0.05)
    try:
        yield
    finally:
        _held.discard(key)
        file.close()


def _taken(path: Path, key: str) -> IO[str] | None:
    """Take the lock of a file; return what holds it, or nothing where that was not possible.

    A lock belongs to a process, not to its children, and the process loses it when it closes the file anywhere: a file
    whose lock is held here is not opened again.
    """
    if key in _held:
        return None
    file = path.open("a+", encoding="ascii")
    try:
        fcntl.lockf(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        if error.errno in (errno.EACCES, errno.EAGAIN):
            return None
        raise
    _held.add(key)
    return file


def is_held(path: Path) -> bool:
    """Return whether somebody holds the lock of a file.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    bool
        False too where there is no such file.

    Examples
    --------
    >>> is_held(Path("nowhere"))
    False
    """
    if not path.exists():
        return False
    key = os.path.realpath(path)
    file = _taken(path, key)
    if file is not None:
        _held.discard(key)
        file.close()
    return file is None
