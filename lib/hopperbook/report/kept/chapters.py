"""Executed chapters, kept under everything that they were made from.

What a chapter was made from is its cells, the modules that they can reach, the lock file, the measured tables of
kernels, and what it *read when it ran*: fields of the customer and files.  What it read with other values is unknown
until it runs with them; but a run follows the values that it reads, so that with the same values of the same fields
and files it reads nothing else and puts out the same.  A kept chapter is therefore used when its cells and all values
that its run read are the same, and in any doubt the chapter runs.
"""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hopperbook import facts, reads
from hopperbook.report import given
from hopperbook.report.kept import fields, inputs, modules
from hopperbook.report.kept.store import Store, digest, digest_file

#: Our modules that shape what a chapter puts out, beside those that it imports.
SHAPING = ("report/engine.py", "report/execute.py", "report/kept/chapters.py")
Parameters = Mapping[str, Any]
#: The entry that says how long chapters took.
SECONDS = digest("seconds")
#: Stands for the customer's values in a kept notebook.
MARK = "\ue000values\ue001"


def record() -> dict[str, list[str]]:
    """Return what this process has read so far, to be kept with what it made.

    Returns
    -------
    dict
        ``fields`` of customers and ``files``; without ``files`` where not all are known.
    """
    found = {"fields": sorted(fields.read())}
    return found | ({"files": sorted(reads.files())} if reads.complete() else {})


class Chapters:
    """The executed chapters of a store, for one customer.

    Parameters
    ----------
    parameters : mapping
        The customer's fields.
    store : Store, optional
        Where they are kept.
    """

    def __init__(self, parameters: Parameters, store: Store | None = None):
        self.parameters = dict(parameters)
        self.store = store or Store()
        self._bases: dict[Path, str] = {}

    def find(self, chapter: Path) -> str | None:
        """Return the text of an executed notebook as it would come out now, where one made from the same is kept."""
        base = self._base(chapter)
        for name in self.store.keys(f"shapes/{base}"):
            shape = self.store.get(f"shapes/{base}", name)
            kept = self.store.get("chapters", self._key(base, shape)) if shape else None
            if kept is not None:
                return kept["notebook"].replace(MARK, self._assignments(chapter))
        return None

    def keep(self, chapter: Path, read: Mapping[str, list[str]], notebook: str) -> None:
        """Keep the text of an executed notebook with what its run read, but for the customer's values themselves."""
        base, (code, assigned) = self._base(chapter), cells(chapter)
        values = self._assignments(chapter)
        if values and notebook.count(values) != 1:
            return
        shape = {
            "parameters": sorted(fields.named(code, assigned) | (set(read["fields"]) & set(assigned))),
            "files": sorted(map(inputs.short, {*_files(read), *given.own_files(self.parameters).values()})),
        }
        self.store.put(f"shapes/{base}", digest(shape), shape)
        text = notebook.replace(values, MARK) if values else notebook
        self.store.put("chapters", self._key(base, shape), {"notebook": text})

    def longest_first(self, chapters: Sequence[Path]) -> list[Path]:
        """Return chapters in the order in which several at once end soonest: those that took longest come first."""
        took = self.store.get("seconds", SECONDS) or {}
        return sorted(chapters, key=lambda path: -took.get(path.stem, 0.0))

    def took(self, seconds: Mapping[str, float]) -> None:
        """Keep how many seconds chapters took to run."""
        self.store.put("seconds", SECONDS, (self.store.get("seconds", SECONDS) or {}) | dict(seconds))

    def _assignments(self, chapter: Path) -> str:
        """Return the lines of the cell that papermill puts in, as they stand in a notebook's text; empty for none."""
        from papermill.translators import PythonTranslator

        _, assigned = cells(chapter)
        chosen = {name: value for name, value in given.shown(self.parameters).items() if name in assigned}
        lines = PythonTranslator.codify(chosen, "Parameters").splitlines(keepends=True) if chosen else []
        return ",\n    ".join(json.dumps(line, ensure_ascii=False) for line in lines)

    def _key(self, base: str, shape: Mapping[str, list[str]]) -> str:
        """Return the name of what a chapter puts out, where its run reads these fields and files."""
        values = {name: self.parameters.get(name, ["none"]) for name in shape["parameters"]}
        return digest([base, shape, values, {path: _digest(path) for path in shape["files"]}])

    def _base(self, chapter: Path) -> str:
        """Return the digest of what a chapter rests on whatever it reads, as it was when first asked."""
        if chapter not in self._bases:
            code, _ = cells(chapter)
            found = [digest_file(chapter), chapter.name, _code_digest(tuple(code)), ground()]
            self._bases[chapter] = digest(found)
        return self._bases[chapter]


def cells(chapter: Path) -> tuple[list[str], list[str]]:
    """Return the code of a chapter behind its parameters, and the names of its parameters.

    Parameters
    ----------
    chapter : Path
        A notebook.

    Returns
    -------
    tuple of list
        Sources of cells; names.
    """
    from hopperbook.report import execute

    found = execute.code_cells(chapter)
    code = [source for source, tags in found if "parameters" not in tags]
    return code, sorted(execute.named_parameters(chapter))


def _files(read: Mapping[str, list[str]]) -> list[Path]:
    """Return the facts that a run rests on: those that it read, or all of them where that is not known.

    Other files are the book's code, which counts by what it imports; a file that the customer names, which counts
    besides; and what makes a report of chapters, on which no chapter rests.
    """
    if "files" not in read:
        return [inputs.REPOSITORY / name for name in inputs.at_start() if name.startswith("data/")]
    below = f"{facts.DATA}{os.sep}"
    return [Path(path) for path in read["files"] if path.startswith(below) and os.path.isfile(path)]


def _digest(name: str) -> str:
    """Return the digest of a file: of the book's own as this process found it, of others as they are."""
    known = inputs.at_start().get(name)
    return digest_file(inputs.REPOSITORY / name) if known is None else known


@functools.lru_cache(maxsize=256)
def _code_digest(code: tuple[str, ...]) -> str:
    """Return the digest of the modules that code reaches."""
    return digest({name: _digest(name) for name in map(inputs.short, modules.reached(code))})


@functools.cache
def ground() -> str:
    """Return the digest of what every chapter rests on: versions, our engine, tables of kernels, names of facts.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    known = inputs.at_start()
    names = [name for name in known if name.startswith("data/")]
    engine = [inputs.short(inputs.PACKAGE / name) for name in SHAPING]
    rest = [name for name in names if name.startswith("data/kernels/")] + engine + ["requirements.lock"]
    return digest([sys.version, names, {name: known[name] for name in rest}])
