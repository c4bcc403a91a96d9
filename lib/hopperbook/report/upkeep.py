"""Looking after the place: what a machine lacks for a build, and what may be cleared away."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from hopperbook.report import locks, publish
from hopperbook.report.kept.store import Store

NEEDED_BYTES = 200 << 20


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Parameters
    ----------
    what : str
        Which.
    ok : bool
        Whether a build works with it.
    words : str
        What was found.
    """

    what: str
    ok: bool
    words: str


def examine(reports: Path) -> list[Finding]:
    """Look at everything that a build needs.

    Parameters
    ----------
    reports : Path
        The folder that holds reports.

    Returns
    -------
    list of Finding
        All of them, well or not.
    """
    return [*_software(), *_browser(), *_places(reports), *_left(reports)]


def _software() -> Iterator[Finding]:
    """Look at Python and the packages that chapters and pages need."""
    running = ".".join(map(str, sys.version_info[:3]))
    yield Finding("Python", sys.version_info >= (3, 11), f"{running}; 3.11 or later is needed")
    for name in ("ipykernel", "papermill", "jupyter-book", "myst-nb", "vl-convert-python", "distributed"):
        try:
            yield Finding(name, True, version(name))
        except PackageNotFoundError:
            yield Finding(name, False, "not installed; make report installs it")


def _browser() -> Iterator[Finding]:
    """Look for what only some commands need: a browser, and the font that charts name first."""
    from hopperbook.report.browser import find_browser

    try:
        yield Finding("Chromium", True, find_browser())
    except FileNotFoundError:
        yield Finding("Chromium", True, "none; only check --browser needs it")
    folders = [Path("/usr/share/fonts"), Path.home() / ".fonts", Path("/usr/local/share/fonts")]
    names = ("Arial", "arial", "LiberationSans")
    known = any(path.name.startswith(names) for folder in folders if folder.is_dir() for path in folder.rglob("*.ttf"))
    words = "Arial or Liberation Sans" if known else "neither Arial nor Liberation Sans; pages use another"
    yield Finding("fonts", True, words)


def _places(reports: Path) -> Iterator[Finding]:
    """Look at the folders that a build writes to."""
    for what, folder in (
        ("reports", reports),
        ("store", Store().folder),
        ("temporary files", Path(tempfile.gettempdir())),
    ):
        place = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
        may = os.access(place, os.W_OK | os.X_OK)
        yield Finding(what, may, f"{place} may be written" if may else f"{place} may not be written")
        free = shutil.disk_usage(place).free
        yield Finding(f"disk of {what}", free > NEEDED_BYTES, f"{free / 2**30:.1f} GiB are free")


def _left(reports: Path) -> Iterator[Finding]:
    """Look for what killed builds left behind."""
    rooms = sorted((reports / publish.HOUSE / "reports").glob("*/"))
    for room in rooms:
        works = list(room.glob("work-*"))
        if works and not locks.is_held(room / "lock"):
            words = f"{len(works)} folders of killed builds; the next build or clean removes them"
            yield Finding(room.name, True, words)
        elif works:
            yield Finding(room.name, True, "is being built now")
    yield Finding("locks", True, "the system takes them back from dead processes; none can be stale")


def clean(reports: Path) -> int:
    """Remove what no report needs: the store, folders of killed builds, earlier reports, files shared by none.

    Parameters
    ----------
    reports : Path
        The folder that holds reports.

    Returns
    -------
    int
        Bytes freed.
    """
    house, before = reports / publish.HOUSE, _bytes(reports / publish.HOUSE) + _bytes(Store().folder)
    Store().clear()
    for room in sorted((house / "reports").glob("*/")):
        if not locks.is_held(room / "lock"):
            with locks.hold(room / "lock", room.name, wait_s=0):
                publish.repair(reports / room.name)
                shutil.rmtree(room / "earlier", ignore_errors=True)
    publish.drop_unshared(reports)
    return before - _bytes(house) - _bytes(Store().folder)


def _bytes(folder: Path) -> int:
    """Return what a folder takes, files with several names once; a build may remove some meanwhile."""
    sizes = {}
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                state = os.stat(os.path.join(place, name))
                sizes[state.st_dev, state.st_ino] = state.st_size
    return sum(sizes.values())
