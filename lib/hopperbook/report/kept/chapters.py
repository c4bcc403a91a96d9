"""Executed chapters, kept under everything that they were made from.

What a chapter was made from is its cells, the modules that they can reach, the lock file, the measured tables of
kernels, and what it *read when it ran*: fields of the customer, parts of her plan, and files.  What it read with other
values is unknown until it runs with them; but a run follows the values that it reads, so that with the same values of
the same fields, parts and files it reads nothing else and puts out the same.  A kept chapter is therefore used when its
cells and all values that its run read are the same, and in any doubt the chapter runs.  The plan is kept in the same
way, as the digests of its parts.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hopperbook import facts, reads
from hopperbook.report import given
from hopperbook.report.kept import fields, inputs, modules
from hopperbook.report.kept.store import Store, digest, digest_file

if TYPE_CHECKING:
    from hopperbook.planner.choose import Plan

#: Our modules that shape what a chapter puts out, beside those that it imports.
SHAPING = ("report/engine.py", "report/execute.py", "report/kept/chapters.py")
#: The code that makes the plan, which is kept as a chapter of this name would be.
PLANNER, PLAN = "import hopperbook.customer, hopperbook.planner", "plan"
Parameters = Mapping[str, Any]
Read = dict[str, list[str]]
#: The entry that says how long chapters took.
SECONDS = digest("seconds")
#: Stands for the customer's values in a kept notebook.
MARK = "\ue000values\ue001"


def record() -> Read:
    """Return what this process has read so far, to be kept with what it made.

    Returns
    -------
    dict
        ``fields`` of customers, ``parts`` of the plan and ``files``; without ``files`` where not all are known.
    """
    return _recorded(reads.inputs())


def _recorded(names: Iterable[str]) -> Read:
    """Return inputs as they are kept, with the files that this process has read so far."""
    read, parts = fields.split(names)
    found = {"fields": read, "parts": parts}
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
        self._plan_read: Read | None = None
        self._parts: dict[str, str] = {}
        self._parts = self._found("plans", _plan_base()) or {}

    def find(self, chapter: Path) -> str | None:
        """Return the text of an executed notebook as it would come out now, where one made from the same is kept."""
        kept = self._found("chapters", self._base(chapter))
        return None if kept is None else kept["notebook"].replace(MARK, self._assignments(chapter))

    def planned(self, plan: Plan, read: Iterable[str]) -> None:
        """Take note of the plan that chapters will be run with, and of what was read to make it.

        A part that has no plain value is left out: a chapter that reads it is not kept.
        """
        from hopperbook.report.kept.simulations import plain_values

        self._parts = {}
        with reads.aside():
            for name, part in vars(plan).items():
                with contextlib.suppress(TypeError):
                    self._parts[name] = digest(plain_values(part))
        self._plan_read = _recorded(read)

    def keep(self, chapter: Path, read: Read, notebook: str) -> None:
        """Keep the text of an executed notebook with what its run read, but for the customer's values themselves."""
        code, assigned = cells(chapter)
        values = self._assignments(chapter)
        if values and notebook.count(values) != 1:
            return
        known = fields.named(code, assigned) | (set(read["fields"]) & set(assigned))
        text = notebook.replace(values, MARK) if values else notebook
        self._keep("chapters", self._base(chapter), known, read, {"notebook": text})

    def keep_plan(self) -> None:
        """Keep the digests of the plan's parts, where it was made from this customer's fields alone."""
        read = self._plan_read
        if read is not None and set(read["fields"]) <= set(self.parameters):
            self._keep("plans", _plan_base(), read["fields"], read, self._parts)

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

    def _found(self, kind: str, base: str) -> Any:
        """Return what is kept of one made from the same."""
        for name in self.store.keys(f"shapes/{base}"):
            shape = self.store.get(f"shapes/{base}", name)
            key = self._key(base, shape) if shape else None
            kept = self.store.get(kind, key) if key else None
            if kept is not None:
                return kept
        return None

    def _keep(self, kind: str, base: str, named: Iterable[str], read: Read, content: Any) -> None:
        """Keep something with the names of what its making read."""
        shape = {
            "parameters": sorted(named),
            "parts": read["parts"],
            "files": sorted(map(inputs.short, {*_files(read), *given.own_files(self.parameters).values()})),
        }
        if key := self._key(base, shape):
            self.store.put(f"shapes/{base}", digest(shape), shape)
            self.store.put(kind, key, content)

    def _key(self, base: str, shape: Read) -> str | None:
        """Return the name of what is made where its making reads these fields, parts and files; None if not known."""
        if not set(shape["parts"]) <= set(self._parts):
            return None
        values = {name: self.parameters.get(name, ["none"]) for name in shape["parameters"]}
        parts = {name: self._parts[name] for name in shape["parts"]}
        return digest([base, shape, values, parts, {path: _digest(path) for path in shape["files"]}])

    def _base(self, chapter: Path) -> str:
        """Return the digest of what a chapter rests on whatever it reads, as it was when first asked."""
        if chapter not in self._bases:
            code, _ = cells(chapter)
            found = [digest_file(chapter), chapter.name, _code_digest(tuple(code)), ground()]
            self._bases[chapter] = digest(found)
        return self._bases[chapter]


@functools.cache
def _plan_base() -> str:
    """Return the digest of what a plan rests on whatever it reads."""
    return digest([PLAN, _code_digest((PLANNER,)), ground()])


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


def _files(read: Read) -> list[Path]:
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
