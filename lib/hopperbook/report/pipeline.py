"""One call from a customer's parameters to a report in its place."""

from __future__ import annotations

import ast
import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hopperbook.errors import Failed, InputError
from hopperbook.report import execute, given, log, manifest, publish, svg
from hopperbook.report.kept import inputs
from hopperbook.report.kept.chapters import Chapters
from hopperbook.report.kept.store import Store

CHAPTERS = inputs.REPOSITORY / "chapters"
WAIT = "making the pages"
WORKERS = os.cpu_count() or 2


def build(
    parameters: Mapping[str, execute.Scalar],
    out_dir: Path,
    title: str | None = None,
    chapters_dir: Path = CHAPTERS,
    progress: bool = False,
    workers: int = WORKERS,
    strict: bool = True,
    store: Store | None = None,
) -> Path:
    """Build a customer's report and put it in its place; if anything fails the previous report stays untouched.

    Parameters
    ----------
    parameters : mapping of str to scalar
        The customer's fields; each chapter is given those that its parameters cell names.
    out_dir : Path
        Where the report goes: nothing, an empty folder or an earlier report.
    title : str, optional
        Title in the side bar, without a customer's text.
    chapters_dir : Path
        Folder of the chapters ``NN-name.ipynb``.
    progress : bool
        True to show a bar in the terminal.
    workers : int
        Chapters that run at once; by default as many as there are processors.
    strict : bool
        True to fail on a warning of Sphinx.
    store : Store, optional
        Where earlier work is kept; the book's own by default.

    Returns
    -------
    Path
        The report's ``index.html``.

    Raises
    ------
    ChapterError
        If a chapter fails, naming it and the cell.
    RenderError
        If the pages cannot be made.
    InputError
        If there are no chapters, or something else stands where the report is to go.
    """
    return _build(parameters, out_dir, title, find_chapters(chapters_dir), progress, workers, strict, store)


def _build(
    parameters: Mapping[str, execute.Scalar],
    out_dir: Path,
    title: str | None,
    chapters: list[Path],
    progress: bool,
    workers: int,
    strict: bool,
    store: Store | None,
) -> Path:
    """Build a report from chapters and put it in its place; one that stands there and would come out the same stays."""
    source = manifest.made_from(parameters, chapters, title)
    if store is None and manifest.is_current(out_dir, source):
        log.event("unchanged")
        return out_dir / "index.html"
    from hopperbook.report import collect, linking, look, reference, render
    from hopperbook.report import spoken as language

    whole = any(path.stem == linking.PAGE for path in chapters)
    inside = given.inside(parameters)
    kept = Chapters(inside, store)
    spoken = language.catalogue(parameters)
    own = language.own_words(parameters)
    with publish.workshop(out_dir, waiting=_tell if progress else None) as work:
        if store is None and manifest.is_current(out_dir, source):  # another process has built it meanwhile
            return out_dir / "index.html"
        shown = work / ("notebooks" if spoken is None else "spoken")
        with (
            _drawer(work, store) as drawer,
            reference.ahead(chapters) if whole else contextlib.nullcontext(dict) as made,
            _bar(progress, len(chapters) + 1) as done,
        ):

            def finished(chapter: str) -> None:
                if spoken is not None:
                    language.charts([work / "notebooks" / f"{chapter}.ipynb"], shown, spoken, own)
                for spec, _ in collect.charts(_read(shown / f"{chapter}.ipynb")):
                    drawer.ask(spec)
                done(chapter)

            with log.step("chapters"):
                notebooks = execute.run(chapters, inside, work / "notebooks", workers, finished, kept=kept)
            drawer.close()
            done(WAIT)
            with log.step("pages"):
                explained = made()
                site = render.html(
                    shown,
                    work / "site",
                    title,
                    drawer.folder,
                    strict=strict,
                    customer_file=given.file_name(parameters),
                    places=reference.names(explained) if whole else None,
                    store=kept.store,
                )
        with log.step("checks and disk"):
            _write_results(site, parameters, notebooks)
            _write_files(site, notebooks)
            given.write(site, parameters)
            look.dress(site, parameters)
            if spoken is not None:
                language.pages(site, spoken, own)
            if whole:
                reference.write(site, explained)
            manifest.write(site, source | manifest.about(parameters))
            _refuse_faults(site)
            _refuse_changes(source, manifest.made_from(parameters, chapters, title))
            _keep(kept, chapters, notebooks)
            publish.share(site, out_dir)
            publish.replace(site, out_dir)
    if spoken is not None and spoken.missing:
        first = next(iter(spoken.missing))
        _tell(f"{len(spoken.missing)} of the report's messages are not in {spoken.language}: the first, {first[:60]!r}")
    return out_dir / "index.html"


@contextlib.contextmanager
def _drawer(work: Path, store: Store | None) -> Iterator[svg.Drawer]:
    """Draw charts beside the chapters, until the report stands."""
    drawer = svg.Drawer(work / "pictures", store)
    try:
        yield drawer
    finally:
        drawer.stop()


def _tell(sentence: str) -> None:
    print(f"hopperbook: {sentence}", file=sys.stderr)


def _refuse_faults(site: Path) -> None:
    """Refuse to publish pages with faults."""
    if problems := check(site):
        raise Failed(f"the report has {len(problems)} problems; the first: {problems[0]}")


def _refuse_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Refuse to publish what was made from two states of the book or of a customer's files."""
    different = inputs.changed()
    for group, what in (("own_files", "the file of {}"), ("look", "the file of {}"), ("chapters", "chapter {}")):
        different += [what.format(name) for name, digest in before[group].items() if after[group].get(name) != digest]
    if different:
        raise Failed(f"{different[0]} was changed while the report was being built; build it again")


def _keep(kept: Chapters, chapters: Sequence[Path], notebooks: Sequence[Path]) -> None:
    """Keep the chapters that were run."""
    if not inputs.settled():
        return
    for chapter, notebook in zip(chapters, notebooks, strict=True):
        read = notebook.with_suffix(execute.READ)
        if read.exists():
            kept.keep(chapter, _read(read), notebook.read_text(encoding="utf-8"))
    kept.keep_plan()
    kept.store.prune()


def stands(parameters: Mapping[str, execute.Scalar], out_dir: Path, chapters_dir: Path = CHAPTERS) -> bool:
    """Return whether a customer's report stands in its place and would come out the same.

    Parameters
    ----------
    parameters : mapping of str to scalar
        The customer's fields.
    out_dir : Path
        The report.
    chapters_dir : Path
        Folder of the chapters.

    Returns
    -------
    bool
        False in any doubt.
    """
    return manifest.is_current(out_dir, manifest.made_from(parameters, find_chapters(chapters_dir)))


def find_chapters(folder: Path) -> list[Path]:
    """Return the chapters in a folder, by number.

    Parameters
    ----------
    folder : Path
        Folder of notebooks ``NN-name.ipynb``.

    Returns
    -------
    list of Path
        The notebooks.

    Raises
    ------
    InputError
        If there are none.
    """
    found = sorted(folder.glob("[0-9][0-9]-*.ipynb"))
    if not found:
        raise InputError("chapters", str(folder), "a folder with notebooks named like 00-the-answer.ipynb")
    return found


def _read(path: Path) -> dict[str, Any]:
    """Return a notebook as plain dictionaries."""
    return json.loads(path.read_text(encoding="utf-8"))


def _write_results(site: Path, parameters: Mapping[str, execute.Scalar], notebooks: list[Path]) -> None:
    """Write ``results.json``: the customer's parameters, the version, and every figure that chapters put out."""
    from importlib.metadata import version

    from hopperbook.report import collect

    content = {
        "version": version("hopperbook"),
        "parameters": given.shown(parameters),
        "results": collect.results(notebooks),
    }
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    (site / publish.MARK).write_text(text, encoding="utf-8")


def _write_files(site: Path, notebooks: list[Path]) -> None:
    """Write what chapters put out as files: commands, manifests and scripts of the plan."""
    from hopperbook.report import collect

    for name, text in collect.files(notebooks).items():
        (site / "deploy").mkdir(exist_ok=True)
        (site / "deploy" / name).write_text(text, encoding="utf-8")


@contextlib.contextmanager
def _bar(show: bool, steps: int) -> Iterator[Callable[[str], None]]:
    """Yield a function that moves a progress bar on by a step; it does nothing where none is shown."""
    if not show:
        yield lambda name: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (BarColumn(), TextColumn("{task.completed:.0f}/{task.total:.0f}"), TextColumn("{task.description}"))
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("running the chapters", total=steps)

        def done(name: str) -> None:
            bar.update(task, advance=0 if name == WAIT else 1, description=name)

        yield done


def store_outputs(
    parameters: Mapping[str, execute.Scalar],
    chapters_dir: Path = CHAPTERS,
    workers: int = WORKERS,
    only: Sequence[str] = (),
) -> None:
    """Run the chapters for the default customer and store the outputs in them: the published book.

    The values in each parameters cell are set to the customer's: a chapter opened by itself says the same.

    Parameters
    ----------
    parameters : mapping of str to scalar
        The default customer's fields.
    chapters_dir : Path
        Folder of the chapters.
    workers : int
        Chapters that run at once.
    only : sequence of str
        Numbers or names of the chapters to run, such as ``06``; all by default.

    Raises
    ------
    ChapterError
        If a chapter fails; then none is changed.
    InputError
        If a number or name is no chapter's.
    """
    chapters = _picked(find_chapters(chapters_dir), only)
    with tempfile.TemporaryDirectory(prefix="hopperbook-") as folder:
        fresh = []
        for path in chapters:
            notebook = _read(path)
            for cell in notebook["cells"]:
                if "parameters" in cell["metadata"].get("tags", []):
                    cell["source"] = set_values("".join(cell["source"]), parameters)
            fresh.append(Path(folder) / path.name)
            fresh[-1].write_text(json.dumps(notebook), encoding="utf-8")
        done = execute.run(fresh, {}, Path(folder) / "done", workers)
        texts = [path.read_text(encoding="utf-8") for path in done]
    for path, text in zip(chapters, texts, strict=True):
        path.write_text(text, encoding="utf-8")


def _picked(chapters: list[Path], only: Sequence[str]) -> list[Path]:
    """Return the chapters whose number or name was given, in the book's order; all where none was."""
    known = {word: path for path in chapters for word in (path.stem, path.stem[:2])}
    for word in only:
        if word not in known:
            raise InputError("chapter", word, "the number or name of a chapter, such as 06", list(known))
    return [path for path in chapters if not only or path in {known[word] for word in only}]


def set_values(source: str, values: Mapping[str, execute.Scalar]) -> str:
    """Return a parameters cell with new values, its order and comments kept.

    Parameters
    ----------
    source : str
        Assignments, one a line.
    values : mapping of str to scalar
        New values by name; names that the cell does not assign are left out.

    Returns
    -------
    str
        The cell.

    Examples
    --------
    >>> set_values("users = 1  # at once\\nmodel = 'a'", {"users": 300, "other": 2})
    "users = 300  # at once\\nmodel = 'a'"
    """
    lines = source.splitlines()
    for node in ast.parse(source).body:
        targets = getattr(node, "targets", [getattr(node, "target", None)])
        value = getattr(node, "value", None)
        if len(targets) == 1 and isinstance(targets[0], ast.Name) and targets[0].id in values and value is not None:
            line = lines[value.lineno - 1].encode()
            new = line[: value.col_offset] + _literal(values[targets[0].id]).encode() + line[value.end_col_offset :]
            lines[value.lineno - 1] = new.decode()
    return "\n".join(lines)


def _literal(value: execute.Scalar) -> str:
    """Return a value as Python source with double quotes."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def check(site: Path, browser: bool = False, screenshots: Path | None = None) -> list[str]:
    """Return what is wrong with a built report.

    Parameters
    ----------
    site : Path
        The report.
    browser : bool
        True to open every page in headless Chromium too.
    screenshots : Path, optional
        Folder for its pictures.

    Returns
    -------
    list of str
        One line a problem; empty when all is well.
    """
    from hopperbook.report.links import check_links

    found = check_links(site)
    if browser:
        from hopperbook.report import access
        from hopperbook.report.browser import check_site

        found += check_site(site, screenshots, also=access.findings)
    return found
