"""Run chapters for a customer's parameters; the same bytes as a plain papermill run, in a fraction of the time."""

from __future__ import annotations

import ast
import contextlib
import io
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from hopperbook import reads
from hopperbook.errors import Failed
from hopperbook.report import given, log, processes
from hopperbook.report.kept import fields, simulations
from hopperbook.report.kept.chapters import Chapters

Scalar = str | int | float | bool | None
INJECTED_ID = "injected-parameters"
#: Seconds that a cell may take, and the ending of the file beside an executed notebook that says what its run read.
CELL_S, READ = 300.0, ".read.json"
KERNELSPEC = {"display_name": "Python 3", "language": "python", "name": "python3"}


class ChapterError(Failed):
    """A chapter that could not be run, in one sentence that names the chapter and the cell."""


def run(
    chapters: Sequence[Path],
    parameters: Mapping[str, Scalar],
    out_dir: Path,
    workers: int = 2,
    progress: Callable[[str], None] | None = None,
    timeout_s: float = CELL_S,
    kept: Chapters | None = None,
) -> list[Path]:
    """Run chapters with parameters and write the executed notebooks; take those that were run before from a store.

    A chapter is given those parameters that its cell tagged ``parameters`` names, so that one set serves all.

    Parameters
    ----------
    chapters : sequence of Path
        Notebooks.
    parameters : mapping of str to scalar
        The customer's fields; those that a chapter does not name are left out there.
    out_dir : Path
        Folder for the executed notebooks, under the chapters' names.
    workers : int
        How many chapters run at once.
    progress : callable, optional
        Called with a chapter's name when it is done.
    timeout_s : float
        Seconds a cell may take.
    kept : Chapters, optional
        Where earlier runs are kept.

    Returns
    -------
    list of Path
        The executed notebooks, in the order of ``chapters``.

    Raises
    ------
    ChapterError
        If a cell fails; the sentence names chapter and cell.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    done = progress or (lambda name: None)
    waiting = [path for path in chapters if not _taken(path, out_dir, done, kept)]
    if kept:
        waiting = kept.longest_first(waiting)
    took = _run_all(waiting, parameters, out_dir, workers, done, timeout_s, kept)
    if kept and took:
        kept.took(took)
    return [out_dir / path.name for path in chapters]


def _taken(chapter: Path, out_dir: Path, done: Callable[[str], None], kept: Chapters | None) -> bool:
    """Write an executed notebook that is kept, and return whether one is."""
    text = kept.find(chapter) if kept else None
    if text is None:
        return False
    (out_dir / chapter.name).write_text(text, encoding="utf-8")
    log.event("chapter kept", chapter=chapter.stem)
    done(chapter.stem)
    return True


def _run_all(
    chapters: Sequence[Path],
    parameters: Mapping[str, Scalar],
    out_dir: Path,
    workers: int,
    done: Callable[[str], None],
    timeout_s: float,
    kept: Chapters | None,
) -> dict[str, float]:
    """Run chapters, each in a process of its own; return the seconds that each took."""
    took: dict[str, float] = {}
    if not chapters:
        return took
    preload()
    jobs = {path: partial(run_one, path, parameters, out_dir / path.name, timeout_s) for path in chapters}
    alone = {path.stem: jobs.pop(path) for path in chapters if not _plans(path)}

    def rest() -> Mapping[str, Callable[[], Path]]:
        if jobs:
            with log.step("  libraries and the plan"):
                warm(sorted(jobs), parameters, kept)
        return {path.stem: job for path, job in jobs.items() if not _taken(path, out_dir, done, kept)}

    try:
        for name in processes.each_forked(alone, workers, rest):
            read = json.loads((out_dir / name).with_suffix(READ).read_text(encoding="utf-8"))
            took[name] = read["seconds"]
            log.took(f"  cells of {name}", read["seconds"], chapter=name)
            done(name)
    except Failed as error:
        raise ChapterError(str(error)) from None
    return took


def _plans(chapter: Path) -> bool:
    """Return whether a chapter seems to need the plan; one that does not runs before it is made, beside it.

    Nothing but time hangs on this, and which fields a chapter is taken to have read.
    """
    return any("planner" in source or "claims" in source for source, _ in code_cells(chapter))


def preload() -> None:
    """Load what chapters use before forking, so that no chapter pays for it."""
    import altair
    import IPython.core.completer
    import IPython.core.interactiveshell  # noqa: F401
    import pandas
    import papermill  # noqa: F401
    import scipy.optimize  # noqa: F401

    import hopperbook.charts  # noqa: F401
    from hopperbook.display import core
    from hopperbook.kernels import between
    from hopperbook.report import engine

    between.warm()
    core.markdown("", {})
    altair.Chart(pandas.DataFrame({"x": [0]})).mark_point().encode(x="x").to_dict()
    engine.Outputs().display({"text/plain": ""}, {}, None, update=False)
    fields.watch()
    simulations.install()


def warm(chapters: Sequence[Path], parameters: Mapping[str, Scalar], kept: Chapters | None = None) -> None:
    """Load and compute in this process what the chapters share, so that each forked chapter finds it done.

    Every module that a chapter imports is imported, and the first chapter's beginning is run: its parameters and the
    next cell, which makes the customer and the plan. What they compute stays in the calculators' caches; what they put
    out is dropped. Nothing depends on it but time, and which parts of the plan a chapter rests on rather than on all
    that it was made from: an error here is left for the chapter itself to report.

    Parameters
    ----------
    chapters : sequence of Path
        Notebooks.
    parameters : mapping of str to scalar
        The customer's fields.
    kept : Chapters, optional
        Where earlier runs are kept; it is told of the plan.
    """
    from hopperbook.planner.choose import Plan

    reads.set_apart(None)
    with reads.aside() as read:
        plan = _warm({path: code_cells(path) for path in chapters}, parameters).get("plan")
    simulations.flush()
    if kept and isinstance(plan, Plan):
        reads.set_apart(plan)
        kept.planned(plan, read)


def _warm(cells: Mapping[Path, list[tuple[str, list[str]]]], parameters: Mapping[str, Scalar]) -> dict[str, Any]:
    """Import what cells import, run the first chapter's beginning, and return the names that it leaves."""
    for source, _ in (cell for found in cells.values() for cell in found):
        for line in _imports(source):
            with contextlib.suppress(Exception):
                exec(line, {})
    first = next(iter(cells.values()), [])
    start = next((place for place, (_, tags) in enumerate(first) if "parameters" in tags), None)
    names: dict[str, Any] = {"__name__": "__main__"}
    if start is None:
        return names
    quiet = io.StringIO()
    with contextlib.suppress(Exception), contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
        exec(first[start][0], names)
        names.update({name: value for name, value in parameters.items() if name in names})
        for source, _ in first[start + 1 : start + 2]:
            exec(source, names)
    return names


def code_cells(path: Path) -> list[tuple[str, list[str]]]:
    """Return source and tags of a notebook's code cells.

    Parameters
    ----------
    path : Path
        A notebook.

    Returns
    -------
    list of tuple
        Source, tags.
    """
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = (cell for cell in cells if cell["cell_type"] == "code")
    return [("".join(cell["source"]), cell["metadata"].get("tags", [])) for cell in code]


def _imports(source: str) -> list[str]:
    """Return the import statements at the top level of a cell; none where the cell is not plain Python."""
    try:
        body = ast.parse(source).body
    except SyntaxError:
        return []
    return [ast.unparse(node) for node in body if isinstance(node, ast.Import | ast.ImportFrom)]


def run_one(chapter: Path, parameters: Mapping[str, Scalar], out: Path, timeout_s: float = CELL_S) -> Path:
    """Run one chapter through papermill with our engine and write it, normalised.

    Parameters
    ----------
    chapter : Path
        The notebook.
    parameters : mapping of str to scalar
        Parameters; only those that the chapter's parameters cell names are injected.
    out : Path
        Where to write.
    timeout_s : float
        Seconds a cell may take.

    Returns
    -------
    Path
        ``out``.

    Raises
    ------
    ChapterError
        If a cell fails.
    """
    import papermill
    from papermill.exceptions import PapermillExecutionError

    begun = time.perf_counter()
    logging.getLogger("papermill").setLevel(logging.WARNING)
    named = named_parameters(chapter)
    chosen = {name: value for name, value in parameters.items() if name in named}
    try:
        notebook = papermill.execute_notebook(
            str(chapter),
            None,
            chosen,
            engine_name="hopperbook",
            kernel_name="python3",
            progress_bar=False,
            execution_timeout=timeout_s,
        )
    except PapermillExecutionError as error:
        place = error.cell_index - bool(chosen)  # the cell with the customer's values is ours, not the chapter's
        raise ChapterError(_sentence(chapter, place, error.ename, error.evalue)) from None
    except RuntimeError as error:
        raise ChapterError(f"Chapter {chapter.stem}: {str(error).strip().splitlines()[-1]}") from None
    read = notebook.metadata.pop("hopperbook", {}).get("read", {"fields": [], "parts": []})
    read["seconds"] = time.perf_counter() - begun
    simulations.flush()
    out.with_suffix(READ).write_text(json.dumps(read), encoding="utf-8")
    out.write_text(given.without_paths(dumps(normalise(notebook)), parameters), encoding="utf-8")
    return out


def _sentence(chapter: Path, cell: int, name: str, words: str) -> str:
    """Return the one sentence about a failed cell; our own input errors speak for themselves."""
    words = " ".join(str(words).split())
    if name.endswith("MemoryError"):
        words = f"it needs more than {processes.CHAPTER_BYTES // processes.GIB} GiB of memory"
    if not words:
        words = "it could not say why, as happens when memory runs out"
    return f"Chapter {chapter.stem}, cell {cell + 1}: " + (words if name == "InputError" else f"{name}: {words}")


def named_parameters(chapter: Path) -> set[str]:
    """Return the names that a chapter's cell tagged ``parameters`` assigns.

    Parameters
    ----------
    chapter : Path
        A notebook.

    Returns
    -------
    set of str
        Names.
    """
    for source, tags in code_cells(chapter):
        if "parameters" in tags:
            names = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)]
            return {name.id for name in names if isinstance(name.ctx, ast.Store)}
    return set()


def normalise(notebook: Any) -> Any:
    """Return a notebook without clocks, random ids and versions: same content, same bytes.

    Parameters
    ----------
    notebook : NotebookNode
        An executed notebook; it is changed in place.

    Returns
    -------
    NotebookNode
        The same notebook: papermill's and the kernel's timing dropped, the injected cell under a fixed id and hidden.

    Examples
    --------
    >>> import nbformat
    >>> cell = nbformat.v4.new_code_cell("users = 2", metadata={"tags": ["injected-parameters"], "execution": {}})
    >>> normalise(nbformat.v4.new_notebook(cells=[cell])).cells[0]["metadata"]
    {'tags': ['injected-parameters', 'remove-input']}
    """
    notebook.metadata = {"kernelspec": dict(KERNELSPEC), "language_info": {"name": "python"}}
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    for place, cell in enumerate(notebook.cells):
        for noise in ("papermill", "execution", "scrolled", "collapsed"):
            cell.metadata.pop(noise, None)
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell["id"] = INJECTED_ID
            cell.metadata["tags"] = sorted({*cell.metadata["tags"], "remove-input"})
        elif "id" not in cell:
            cell["id"] = f"cell-{place}"
    return notebook


def dumps(notebook: Any) -> str:
    """Return a notebook as text the way Jupyter writes it, keys sorted.

    Parameters
    ----------
    notebook : NotebookNode
        A notebook.

    Returns
    -------
    str
        JSON with a line break at the end.

    Examples
    --------
    >>> import nbformat
    >>> dumps(nbformat.v4.new_notebook()).splitlines()[1]
    ' "cells": [],'
    """
    import nbformat

    return nbformat.writes(notebook, version=4).rstrip("\n") + "\n"
