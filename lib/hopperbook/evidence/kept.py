"""Tables computed from the published rows, kept beside the build: no price and no customer changes them."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from hopperbook import facts, reads
from hopperbook.later import pandas as pd

#: Of the library what stands above predictions, and of the facts what none of them reads.
ABOVE = {"__main__.py", "cli.py", "report", "studies", "story.py", "sizing.py", "claims", "planner", "calibrate"}
ABOVE |= {"charts", "display"}
UNREAD = {"prices.csv", "costs.csv", "claims.yaml", "customers", "references.bib", "references.d"}
#: Where tables are kept, in a folder for each state of code and data; of how many states; all may be deleted.
KEPT = facts.DATA.parent / ".build" / "answers"
STATES = 4


def frame(name: str, make: Callable[[], pd.DataFrame]) -> pd.DataFrame:
    """Make a table, or read what the same code and data made before.

    Parameters
    ----------
    name : str
        Of the table, letters, digits and hyphens: what it is made from beside code and data.
    make : callable
        Makes it; its columns hold text, numbers or truth values.

    Returns
    -------
    DataFrame
        The table.

    Examples
    --------
    >>> frame("doctest", lambda: pd.DataFrame({"a": [1.5, 2.0]})).a.sum()
    np.float64(3.5)
    """
    for path in _data():
        reads.add(str(path))  # whoever takes a kept table rests on all that it was made from
    place = KEPT / fingerprint() / f"{name}.parquet"
    with contextlib.suppress(OSError):
        seal, _, content = place.read_bytes().partition(b"\n")
        if seal == _seal(content):
            return pd.read_parquet(io.BytesIO(content))
    table = make()
    if not reads.untouched(_rested_on()):
        return table
    with contextlib.suppress(OSError):
        if not place.parent.exists():
            _forget()
        place.parent.mkdir(parents=True, exist_ok=True)
        content, whole = table.to_parquet(), place.with_suffix(f".{os.getpid()}")
        whole.write_bytes(_seal(content) + b"\n" + content)
        whole.replace(place)
    return table


def _seal(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()


def _forget() -> None:
    """Leave only the tables of the last states of code and data, with room for one more."""
    newest = sorted(KEPT.glob("*"), key=lambda folder: folder.stat().st_mtime, reverse=True)
    for folder in newest[STATES - 1 :]:
        shutil.rmtree(folder, ignore_errors=True)


@functools.cache
def _data() -> tuple[Path, ...]:
    """Return the facts that tables may rest on."""
    found = (path for path in facts.DATA.rglob("*.*") if path.relative_to(facts.DATA).parts[0] not in UNREAD)
    return tuple(sorted(path for path in found if path.is_file()))


@functools.cache
def fingerprint() -> str:
    """Return a digest of all code and data that tables rest on: what stands below, and no price.

    Returns
    -------
    str
        16 hexadecimal digits.
    """
    digest = hashlib.sha256(sys.version.encode())
    with reads.unnoted():
        for path in _rested_on():
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]


@functools.cache
def _rested_on() -> tuple[Path, ...]:
    """Return the files of code and facts that tables rest on, with the versions of other code."""
    library = Path(__file__).parents[1]
    code = [path for path in library.rglob("*.py") if path.relative_to(library).parts[0] not in ABOVE]
    return (*sorted(code), *_data(), *facts.DATA.parent.glob("requirements.lock"))
