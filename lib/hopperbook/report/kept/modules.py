"""Which modules of the library a piece of code can reach by its imports, and the digest of them all."""

from __future__ import annotations

import ast
import functools
import json
from collections.abc import Iterable
from pathlib import Path

from hopperbook import prepared
from hopperbook.report.kept.inputs import PACKAGE

#: What stands above chapters, where nothing below may import from (``make lint`` sees to it).
ABOVE = ("report", "cli.py", "__main__.py")


def reached(sources: Iterable[str]) -> frozenset[Path]:
    """Return the library's files that code can reach by imports, wherever in the code they stand.

    Parameters
    ----------
    sources : iterable of str
        Python.

    Returns
    -------
    frozenset of Path
        Files; all that a chapter may import where code is no plain Python or imports by a name that it computes.

    Examples
    --------
    >>> sorted(path.stem for path in reached(["from hopperbook.errors import InputError"]))
    ['__init__', 'errors']
    """
    waiting = [name for source in sources for name in imports(source)]
    found: set[Path] = set()
    while waiting:
        name = waiting.pop()
        if name == "*":
            return everything()
        path = _file(name)
        if path is not None and path not in found:
            found.add(path)
            waiting += _kept_imports(path)
    return frozenset(found)


def everything() -> frozenset[Path]:
    """Return every file of the library that a chapter may import: all but what makes reports of chapters.

    Returns
    -------
    frozenset of Path
        Files.
    """
    return frozenset(path for path in PACKAGE.rglob("*.py") if path.relative_to(PACKAGE).parts[0] not in ABOVE)


def imports(source: str) -> list[str]:
    """Return the names of the library's modules that code imports, and of those above them.

    Parameters
    ----------
    source : str
        Python.

    Returns
    -------
    list of str
        Names; some are of things in a module.  ``*`` where nobody can tell.

    Examples
    --------
    >>> imports("import numpy\\nfrom hopperbook.models import load")
    ['hopperbook', 'hopperbook.models', 'hopperbook.models.load']
    """
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return ["*"]
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [part for alias in node.names for part in _above(alias.name)]
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                return ["*"]
            found += [part for alias in node.names for part in _above(f"{node.module}.{alias.name}")]
        elif isinstance(node, ast.Name | ast.Attribute) and _name(node) in ("import_module", "__import__"):
            return ["*"]
    return list(dict.fromkeys(name for name in found if name.split(".")[0] == PACKAGE.name))


def _name(node: ast.Name | ast.Attribute) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr


def _above(name: str) -> list[str]:
    """Return a module's name behind the names of the packages that hold it."""
    parts = name.split(".")
    return [".".join(parts[: end + 1]) for end in range(len(parts))]


@functools.cache
def _file(name: str) -> Path | None:
    """Return the file of a module; None where the name is of something else."""
    place = PACKAGE.parent.joinpath(*name.split("."))
    candidates = (place / "__init__.py", place.with_suffix(".py"))
    return next((path for path in candidates if path.is_file()), None)


def _kept_imports(path: Path) -> tuple[str, ...]:
    return _imports_of(path, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=4096)
def _imports_of(path: Path, written_ns: int) -> tuple[str, ...]:
    """Return what a file imports, as kept from an earlier process where its content is the same."""
    content = path.read_bytes()
    key = prepared.digest(_ourselves(), content)
    if (known := prepared.get("imports", key)) is None:
        known = json.dumps(imports(content.decode())).encode()
        prepared.put("imports", key, known)
    return tuple(json.loads(known))


@functools.cache
def _ourselves() -> bytes:
    """Return this file, which says how imports are found."""
    return Path(__file__).read_bytes()
