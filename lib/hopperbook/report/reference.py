"""The reference of the library, one page a room, from the docstrings: made once for each state of the code.

``python -m hopperbook.report.reference FOLDER PARENT`` makes it by Sphinx's autodoc, in a process that ends with its
parent; `ahead` starts that beside other work, or takes the pages from the store.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib
import io
import json
import os
import pkgutil
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hopperbook.errors import Failed
from hopperbook.report import policy, processes
from hopperbook.report.kept import modules
from hopperbook.report.kept.store import Store, digest, digest_file

FOLDER = "reference"
NAMES = "names.json"
ABOVE = ("cli", "__main__", "report", "studies")
STYLE = "reference.css"
SETTINGS: Mapping[str, Any] = {
    "extensions": ["sphinx.ext.autodoc", "sphinx.ext.napoleon"],
    "project": "hopperbook",
    "html_theme": "basic",
    "html_title": "hopperbook: the calculators",
    "html_style": STYLE,
    "html_static_path": [str(Path(__file__).parent / "static" / "reference")],
    "html_sidebars": {"**": ["globaltoc.html"]},
    "html_copy_source": False,
    "html_show_sphinx": False,
    "html_show_copyright": False,
    "html_use_index": False,
    "html_domain_indices": False,
    "html_permalinks": False,
    "pygments_style": "xcode",
    "smartquotes": False,
    "autodoc_member_order": "bysource",
    "autodoc_typehints": "none",
    "autodoc_preserve_defaults": True,
    "napoleon_google_docstring": False,
    "napoleon_use_rtype": False,
    "napoleon_use_ivar": True,
    "add_module_names": False,
}


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
        Sphinx fails.
    """
    shown = used(chapters)
    parts = [Path(__file__), *sorted((Path(__file__).parent / "static" / "reference").iterdir())]
    code = [digest_file(path) for path in sorted([*modules.everything(), *parts])]
    key = digest(["reference", version("sphinx"), code, shown])
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


def rooms() -> dict[str, list[str]]:
    """Return the modules of each room that has pages, by the room's name.

    Returns
    -------
    dict of list of str
        Full names of modules.

    Examples
    --------
    >>> rooms()["memory"]
    ['hopperbook.memory', 'hopperbook.memory.serving', 'hopperbook.memory.training']
    """
    import hopperbook

    found: dict[str, list[str]] = {}
    for each in pkgutil.walk_packages(hopperbook.__path__, "hopperbook."):
        room, *rest = each.name.split(".")[1:]
        if room not in ABOVE and not any(part.startswith("_") for part in rest):
            found.setdefault(room, []).append(each.name)
    return found


def _source(room: str, listed: list[str]) -> str:
    """Return the source of a room's page; what a package hands on is explained where it is made."""
    text = f"{room}\n{'=' * len(room)}\n\n"
    for name in listed:
        if name.count(".") > 1:
            text += f"{name}\n{'-' * len(name)}\n\n"
        text += f".. automodule:: {name}\n   :members:\n   :ignore-module-all:\n\n"
    return text


def _places(out: Path) -> dict[str, str]:
    """Return where each public name of a room is explained."""
    places: dict[str, str] = {}
    for room, listed in rooms().items():
        page = (out / f"{room}.html").read_text(encoding="utf-8")
        ids = set(re.findall(r'id="(hopperbook\.[\w.]+)"', page))
        for module in listed:
            for name, value in vars(importlib.import_module(module)).items():
                place = f"{getattr(value, '__module__', '')}.{name}"
                home = place.split(".")[1] if place.startswith("hopperbook.") else ""
                if not name.startswith("_") and home and (home != room or place in ids):
                    places.setdefault(f"{module.split('.')[-1]}.{name}", f"{home}.html#{place}")
    known = {
        f"{page.name}#{found}"
        for page in out.glob("*.html")
        for found in re.findall(r'id="(hopperbook\.[\w.]+)"', page.read_text(encoding="utf-8"))
    }
    return {name: place for name, place in sorted(places.items()) if place in known}


def _make(folder: Path) -> None:
    """Make the reference in a folder that holds ``used.json``."""
    from sphinx.application import Sphinx

    shown = json.loads((folder / "used.json").read_text(encoding="utf-8"))
    source, out = folder / "source", folder / "out"
    source.mkdir()
    for room, listed in rooms().items():
        (source / f"{room}.rst").write_text(_source(room, listed), encoding="utf-8")
    listing = "".join(f"   {room}\n" for room in sorted(rooms()))
    head = "The calculators\n===============\n\nOne page for each room of the library.\n\n"
    (source / "index.rst").write_text(f"{head}.. toctree::\n   :maxdepth: 1\n\n{listing}", encoding="utf-8")

    def mention(app: Any, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
        short = ".".join([name.split(".")[1], name.split(".")[-1]])
        chapters = shown.get(short, []) if what == "function" else []
        if chapters:
            links = ", ".join(f"`{chapter} <../{_page(chapter)}.html>`__" for chapter in chapters)
            lines += ["", ".. rubric:: Used in", "", links, ""]

    warnings = io.StringIO()
    app = Sphinx(str(source), None, str(out), str(folder / "trees"), "html", dict(SETTINGS), None, warnings)
    app.builder.search = False  # type: ignore[attr-defined]
    app.connect("autodoc-process-docstring", mention)
    app.build(force_all=True)
    for name in ("search.html", "searchindex.js"):
        (out / name).unlink(missing_ok=True)
    for page in out.glob("*.html"):
        text = re.sub(r"\s*<script\b[^>]*>.*?</script>", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        text = re.sub(r'\s*<link rel="(?:search|index)"[^>]*>', "", text)
        page.write_text(text.replace("<body>", '<body><p><a href="../index.html">Back to the book</a></p>'), "utf-8")
        policy.put_in(page)
    (out / NAMES).write_text(json.dumps(_places(out)), encoding="utf-8")


def _page(chapter: str) -> str:
    return "index" if chapter.startswith("00-") else chapter


if __name__ == "__main__":
    processes.end_with_parent(int(sys.argv[2]))
    gc.disable()  # pages are trees whose parts hold one another: looking for what is free in them takes long
    _make(Path(sys.argv[1]))
