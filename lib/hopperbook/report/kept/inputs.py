"""The book's own files, facts and code, as this process found them: a report must be made from one state of them."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path

from hopperbook import facts, reads
from hopperbook.report.kept.store import digest_file

REPOSITORY = facts.DATA.parent
PACKAGE = Path(__file__).resolve().parents[2]
SETTINGS = ("requirements.lock", "_config.yml", "_toc.yml")


def now() -> dict[str, str]:
    """Return the digest of every file of facts, code and settings, by its path below the book's folder.

    Returns
    -------
    dict of str
        About as many entries as there are files, in their order.
    """
    found = [path for folder in (facts.DATA, PACKAGE) for path in folder.rglob("*")]
    files = [path for path in found if "__pycache__" not in path.parts and path.is_file()]
    files += [REPOSITORY / name for name in SETTINGS]
    return {short(path): digest_file(path) for path in sorted(files)}


@functools.cache
def at_start() -> Mapping[str, str]:
    """Return the digests as they were when this process first asked.

    Returns
    -------
    Mapping
        As :func:`now`.
    """
    return now()


def changed() -> list[str]:
    """Return the files that are not as they were when this process first asked.

    Returns
    -------
    list of str
        Paths below the book's folder.
    """
    before, after = at_start(), now()
    return sorted(name for name in {*before, *after} if before.get(name) != after.get(name))


def settled() -> bool:
    """Return whether no file was written since this process began: what it read at first is what was digested.

    Returns
    -------
    bool
        False too where a clock was set back: then nothing is kept, and the next process computes again.
    """
    return reads.untouched(REPOSITORY / name for name, digest in at_start().items() if digest)


def short(path: Path) -> str:
    """Return a path below the book's folder from there, so that no folder's name is kept; others as they are.

    Parameters
    ----------
    path : Path
        Any file.

    Returns
    -------
    str
        With slashes.

    Examples
    --------
    >>> short(facts.DATA / "gpus.yaml")
    'data/gpus.yaml'
    """
    return path.relative_to(REPOSITORY).as_posix() if path.is_relative_to(REPOSITORY) else path.as_posix()
