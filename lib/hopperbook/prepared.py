"""What takes long to make of a file and is the same each time, kept for later processes: whole, or not used.

It lies beside the package, as Python's own compiled code does, else in the user's cache.  Each entry is named by a
digest of all that it is made from, and begins with a digest of itself: one that is damaged or cut is made again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from functools import cache
from pathlib import Path

from hopperbook import reads

DIGITS = 16


def digest(*made_from: bytes) -> str:
    """Return the name of what is made from some content.

    Parameters
    ----------
    *made_from : bytes
        All that it is made from.

    Returns
    -------
    str
        Hexadecimal digits.

    Examples
    --------
    >>> digest(b"a", b"b")
    'fb8e20fc2e4c3f24'
    """
    return hashlib.sha256(b"".join(made_from)).hexdigest()[:DIGITS]


@cache
def folder(name: str) -> Path | None:
    """Return where entries of one kind are kept.

    Parameters
    ----------
    name : str
        Of the kind.

    Returns
    -------
    Path or None
        A folder that is there; None where nothing may be written.
    """
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    for place in (Path(__file__).parent / "__pycache__" / name, Path(home, "hopperbook", name)):
        if not place.is_absolute():  # whoever runs this has no home
            continue
        try:
            place.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(place, os.W_OK):
            return place
    return None


def get(kind: str, name: str) -> bytes | None:
    """Return an entry.

    Parameters
    ----------
    kind, name : str
        Which.

    Returns
    -------
    bytes or None
        Its content; None where it is not there or not whole.
    """
    place = folder(kind)
    try:
        with reads.unnoted():  # what a chapter rests on is what this was made from
            told, _, content = (place / name).read_bytes().partition(b"\n") if place else (b"", b"", b"")
    except OSError:
        return None
    return content if told == hashlib.sha256(content).hexdigest().encode() else None


def put(kind: str, name: str, content: bytes) -> None:
    """Keep an entry, whole or not at all; where that cannot be, the next process makes it again.

    Parameters
    ----------
    kind, name : str
        Which.
    content : bytes
        What to keep.
    """
    place = folder(kind)
    if place is None:
        return
    with contextlib.suppress(OSError):  # a full disk costs the next process time, no more
        aside = place / f"{name}.tmp.{os.getpid()}"
        try:
            aside.write_bytes(hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
            aside.replace(place / name)
        finally:
            aside.unlink(missing_ok=True)
