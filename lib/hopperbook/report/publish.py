"""Put a finished report in its place at one stroke, so that a reader never sees half of one."""

from __future__ import annotations

import ctypes
import os
import shutil
from pathlib import Path

from hopperbook.errors import InputError

MARK = "results.json"
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


def replace(built: Path, final: Path) -> Path:
    """Move a built report to its place; the previous one stays until the new one stands there.

    Parameters
    ----------
    built : Path
        The new report, on the same file system.
    final : Path
        Its place: nothing, an empty folder, or an earlier report.

    Returns
    -------
    Path
        ``final``.

    Raises
    ------
    InputError
        If something that is not a report stands there.
    """
    check_target(final)
    final.parent.mkdir(parents=True, exist_ok=True)
    if not final.exists():
        os.rename(built, final)
        return final
    if not _exchange(built, final):
        aside = built.with_name(built.name + ".old")
        os.rename(final, aside)
        try:
            os.rename(built, final)
        except OSError:
            os.rename(aside, final)
            raise
        built = aside
    shutil.rmtree(built)
    return final


def check_target(final: Path) -> None:
    """Refuse a place that holds something other than a report.

    Parameters
    ----------
    final : Path
        Where a report is to stand.

    Raises
    ------
    InputError
        If it is a file, or a folder with content that is not a report.
    """
    if final.exists() and not final.is_dir():
        raise InputError("out", str(final), "a folder, not a file")
    if final.exists() and any(final.iterdir()) and not (final / MARK).exists():
        raise InputError("out", str(final), "a new or empty folder, or one that holds an earlier report")


def _exchange(one: Path, other: Path) -> bool:
    """Swap two folders in one step where the system can; return whether it did."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    return rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0
