"""The reference of the library, one page a room, from the docstrings: made once for each state of the code.

``python -m hopperbook.report.reference FOLDER PARENT`` makes it by :mod:`hopperbook.report.docstrings`, in a process
that ends with its parent; :func:`ahead` starts that beside other work, or takes the pages from the store.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from hopperbook import facts
from hopperbook.errors import Failed
from hopperbook.report import policy, processes
from hopperbook.report.kept import modules
from hopperbook.report.kept.store import Store, digest, digest_file

FOLDER = "reference"
NAMES = "names.json"
MADE_BY = ("griffelib", "jinja2", "markdown-it-py", "pygments")


@contextlib.contextmanager
def ahead(chapters: Sequence[Path]) -> Iterator[Callable[[], Mapping[str, str]]]:
    """Begin to make the pages, beside other work, unless this state of the library and the chapters has them already.

    Parameters
    ----------
    chapters : sequence of Path
        The chapters, which the pages link to.

    Yields
    ------
    callable
        Waits for the pages, and returns them by name as text, ``names.json`` among them.  It raises ``Failed`` if
        they cannot be made.
    """
    shown = used(chapters)
    parts = [Path(__file__), *sorted((Path(__file__).parent / "templates").iterdir())]
    read = [*modules.everything(), *parts, facts.DATA / "references.bib"]
    code = [digest_file(path) for path in sorted(read)]
    key = digest(["reference", [version(name) for name in MADE_BY], code, shown])
    kept = Store().get("reference", key)
    if kept is not None:
        yield lambda: kept
        return
    with tempfile.TemporaryDirectory(prefix="hopperbook-reference-") as folder:
        (Path(folder) / "used.json").write_text(json.dumps(shown), encoding="utf-8")
        command = [sys.executable, "-m", "hopperbook.report.reference", folder, str(os.getpid())]
        making = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, process_group=0)  # Ctrl-C is for us

        def wait() -> Mapping[str, str]:
            _, complaint = making.communicate()
            if making.returncode:
                raise Failed(f"the reference of the library was not made: {complaint.strip()[-400:]}")
            found = _read(Path(folder) / "out")
            Store().put("reference", key, found)
            return found

        try:
            yield functools.cache(wait)
        finally:
            making.kill()
            making.wait()


def _read(out: Path) -> dict[str, str]:
    """Return the files that are pages, or that pages need, by name."""
    kept = [path for path in sorted(out.rglob("*")) if path.suffix in (".html", ".css", ".json")]
    return {path.relative_to(out).as_posix(): path.read_text(encoding="utf-8") for path in kept}


def write(site: Path, pages: Mapping[str, str]) -> None:
    """Put the reference into a report.

    Parameters
    ----------
    site : Path
        The report.
    pages : mapping of str
        Pages by name.
    """
    for name, text in pages.items():
        if name != NAMES:
            path = site / FOLDER / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")


def names(pages: Mapping[str, str]) -> dict[str, str]:
    """Return where each public name of a room is explained.

    Parameters
    ----------
    pages : mapping of str
        Pages by name.

    Returns
    -------
    dict of str
        Address below the report by name, such as ``memory.budget``.
    """
    return {name: f"{FOLDER}/{place}" for name, place in json.loads(pages[NAMES]).items()}


def used(chapters: Sequence[Path]) -> dict[str, list[str]]:
    """Return which chapters call or name each of the library's names.

    Parameters
    ----------
    chapters : sequence of Path
        The chapters.

    Returns
    -------
    dict of list of str
        Chapters by name, such as ``planner.plan``.
    """
    found: dict[str, list[str]] = {}
    for path in chapters:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        source = "\n".join("".join(cell["source"]) for cell in cells)
        for name in sorted(set(re.findall(r"\b[a-z_]+\.[a-z_]\w*\b", source))):
            found.setdefault(name, []).append(path.stem)
    return found


def _make(folder: Path) -> None:
    """Make the reference in a folder that holds ``used.json``."""
    from hopperbook.report import docstrings

    pages, places = docstrings.pages(json.loads((folder / "used.json").read_text(encoding="utf-8")))
    out = folder / "out"
    out.mkdir()
    for name, text in (pages | {NAMES: json.dumps(places)}).items():
        (out / name).write_text(text, encoding="utf-8")
    for page in out.glob("*.html"):
        policy.put_in(page)


if __name__ == "__main__":
    processes.end_with_parent(int(sys.argv[2]))
    _make(Path(sys.argv[1]))
