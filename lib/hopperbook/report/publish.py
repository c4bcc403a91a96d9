"""Put a finished report in its place at one stroke, keep the last ones, and clear what a killed build left.

Beside the reports stands one hidden folder, ``.hopperbook``.  It holds for each report its lock, the folder in which
the next one is built, and the earlier ones; and once for all of them the files that they share.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from hopperbook import facts
from hopperbook.errors import InputError
from hopperbook.report import locks

MARK = "results.json"
HOUSE = ".hopperbook"
#: Folders of a report that hold the same files for every customer.
SHARED = ("_static", "reference")
#: The book's own folders, in which no report may stand.
OWN = (facts.DATA, Path(__file__).resolve().parents[1], facts.DATA.parent / "chapters")
#: Earlier reports that are kept.
KEPT = 2
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


def room(final: Path) -> Path:
    """Return the folder of a report's lock, work and earlier reports; on the report's own file system.

    Parameters
    ----------
    final : Path
        Where the report stands.

    Returns
    -------
    Path
        It need not exist.

    Examples
    --------
    >>> room(Path("reports/lingua-shop")).as_posix()
    'reports/.hopperbook/reports/lingua-shop'
    """
    return final.parent / HOUSE / "reports" / final.name


@contextlib.contextmanager
def workshop(final: Path, waiting: Callable[[str], None] | None = None) -> Iterator[Path]:
    """Hold the lock of a report, clear what killed builds of it left, and yield an empty folder to build it in.

    Parameters
    ----------
    final : Path
        Where the report stands or is to stand.
    waiting : callable, optional
        Told once that another process works on it.

    Yields
    ------
    Path
        A folder on the same file system; it is gone afterwards.

    Raises
    ------
    InputError
        If something that is not a report stands there.
    Failed
        If another process works on it for too long.
    """
    check_target(final)
    with locks.hold(room(final) / "lock", f"the report {final.name}", waiting=waiting):
        repair(final)
        work = Path(tempfile.mkdtemp(prefix="work-", dir=room(final)))
        try:
            yield work
        finally:
            shutil.rmtree(work, ignore_errors=True)


def repair(final: Path) -> int:
    """Clear what killed builds left, and put a report back that was moved away and not replaced; under its lock.

    Parameters
    ----------
    final : Path
        Where the report stands.

    Returns
    -------
    int
        Folders removed.
    """
    stale = [path for path in room(final).glob("work-*") if path.is_dir()]
    for path in stale:
        shutil.rmtree(path, ignore_errors=True)
    moved = room(final) / "moved"
    if moved.exists() and not final.exists() and (last := earlier(final)):
        os.rename(last[-1], final)
    moved.unlink(missing_ok=True)
    return len(stale)


def earlier(final: Path) -> list[Path]:
    """Return the earlier reports that are kept, the last one at the end.

    Parameters
    ----------
    final : Path
        Where the report stands.

    Returns
    -------
    list of Path
        Folders.
    """
    return sorted((room(final) / "earlier").glob("[0-9]" * 6))


def replace(built: Path, final: Path) -> Path:
    """Move a built report to its place; the previous one stays until the new one stands there, and is then kept.

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
    if not any(final.iterdir()):
        final.rmdir()
        os.rename(built, final)
        return final
    kept = earlier(final)
    place = room(final) / "earlier" / f"{int(kept[-1].name) + 1 if kept else 1:06d}"
    place.parent.mkdir(parents=True, exist_ok=True)
    if _exchange(built, final):
        os.rename(built, place)
    else:
        _swap_in_two_steps(built, final, place)
    for path in earlier(final)[:-KEPT]:
        shutil.rmtree(path, ignore_errors=True)
    return final


def _swap_in_two_steps(built: Path, final: Path, place: Path) -> None:
    """Replace a folder where the system cannot exchange two: a build that is killed between the steps is repaired."""
    moved = room(final) / "moved"
    moved.touch()
    os.rename(final, place)
    try:
        os.rename(built, final)
    except OSError:
        os.rename(place, final)
        raise
    finally:
        moved.unlink(missing_ok=True)


def rollback(final: Path) -> Path:
    """Put the report before the present one in its place; once more puts the present one back.

    Parameters
    ----------
    final : Path
        A report that stands in its place, or stood there.

    Returns
    -------
    Path
        ``final``.

    Raises
    ------
    InputError
        If no earlier report is kept.
    """
    check_target(final)
    if not earlier(final):
        lacks = "this one has none" if final.exists() else "there is no such report"
        raise InputError("report", str(final), f"a report with an earlier one kept beside it; {lacks}")
    with workshop(final) as work:
        last = earlier(final)[-1]
        if final.exists() and not any(final.iterdir()):
            final.rmdir()
        if not final.exists():
            os.rename(last, final)
        elif not _exchange(last, final):
            aside = work / "aside"
            os.rename(last, aside)
            _swap_in_two_steps(aside, final, last)
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
        If it is a file, a folder with content that is not a report, a link, or lies in a report or in the book's own
        folders of facts, code and chapters.
    """
    if not final.name or final.name == HOUSE:
        raise InputError("out", str(final), "a folder of its own, with a name")
    if final.is_symlink():
        raise InputError("out", str(final), "a folder, not a link to one", [str(final.resolve())])
    for folder in final.resolve().parents:
        if folder in OWN or folder.name == HOUSE or all((folder / name).exists() for name in (MARK, "manifest.json")):
            raise InputError("out", str(final), f"a folder outside {folder.name}, which is not a place for reports")
    if final.exists() and not final.is_dir():
        raise InputError("out", str(final), "a folder, not a file")
    if final.exists() and any(final.iterdir()) and not (final / MARK).exists():
        raise InputError("out", str(final), "a new or empty folder, or one that holds an earlier report")


def share(built: Path, final: Path) -> None:
    """Give a report as links those files that do not depend on the customer, and those that her last report has too.

    Parameters
    ----------
    built : Path
        The new report; the files below its ``_static`` and ``reference`` become links to one copy beside all reports,
        others that are the same in the report that it will replace become links to those.
    final : Path
        Where it is to stand.
    """
    pool = final.parent / HOUSE / "files"
    pool.mkdir(parents=True, exist_ok=True)
    for path in sorted(built.rglob("*")):
        if not path.is_file() or path.is_symlink():
            continue
        content, below = path.read_bytes(), path.relative_to(built)
        if below.parts[0] in SHARED:
            _link(path, pool / hashlib.sha256(content).hexdigest(), content)
        elif _is(final / below, content):
            _replace(path, final / below)


def _is(path: Path, content: bytes) -> bool:
    """Return whether a file holds a content."""
    try:
        plain = path.is_file() and not path.is_symlink()
        return plain and path.stat().st_size == len(content) and path.read_bytes() == content
    except OSError:
        return False


def _replace(path: Path, one: Path) -> None:
    """Make a file a link to another; where that cannot be, leave it."""
    aside = path.with_name(f".{path.name}.part")
    with contextlib.suppress(OSError):
        os.link(one, aside)
        os.replace(aside, path)


def _link(path: Path, one: Path, content: bytes) -> None:
    """Make a file the same as the one copy; where that cannot be, or the copy is not what it should be, leave it."""
    with contextlib.suppress(OSError):
        if _is(one, content):
            _replace(path, one)
        else:
            one.unlink(missing_ok=True)
            os.link(path, one)


def drop_unshared(reports: Path) -> None:
    """Remove the shared files that no report bears any more.

    Parameters
    ----------
    reports : Path
        The folder that holds reports.
    """
    for path in (reports / HOUSE / "files").glob("*"):
        with contextlib.suppress(OSError):
            if path.stat().st_nlink == 1:
                path.unlink()


def _exchange(one: Path, other: Path) -> bool:
    """Swap two folders in one step where the system can; return whether it did."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    return rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0
