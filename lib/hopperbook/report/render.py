"""From executed notebooks to a static site: Sphinx in this process, with Jupyter Book's configuration."""

from __future__ import annotations

import io
import itertools
import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from hopperbook.display.core import RESULT_MIME
from hopperbook.display.figure import CHART_MIME
from hopperbook.errors import Failed
from hopperbook.report import collect, mime
from hopperbook.report.kept.store import Store

REPOSITORY = Path(__file__).resolve().parents[3]
ROOT = "00-the-answer"
TOC = REPOSITORY / "_toc.yml"
WORKSHOP_TITLE = "The workshop"
#: Sections that a page shows below the line, in the order of their chapter.
WORKSHOP = ("What goes in", "The check", "What is left out, and where it breaks", "Run it again")
#: What display puts into an output for the report alone.
OURS = "application/vnd.hopperbook."
TAGGED = {"remove-input", "remove_input", "remove-cell", "hide-input", "hide-cell", "show-input"}


class RenderError(Failed):
    """Pages that could not be made, in Sphinx's own words."""


def html(
    notebooks_dir: Path,
    out_dir: Path,
    title: str | None = None,
    pictures: Path | None = None,
    config: Path = REPOSITORY / "_config.yml",
    strict: bool = True,
    builder: str = "html",
    customer_file: str = "",
    places: Mapping[str, str] | None = None,
    store: Store | None = None,
) -> Path:
    """Make the site of a folder of executed notebooks.

    Parameters
    ----------
    notebooks_dir : Path
        Executed notebooks ``00-the-answer.ipynb`` to ``14-how-made.ipynb``, those that exist.
    out_dir : Path
        Where the site goes; it should not exist, or be empty.
    title : str, optional
        The book's title in the side bar. It must not hold a customer's text.
    pictures : Path, optional
        Folder of a drawer that was asked for the charts; without it they are drawn here.
    config : Path
        Jupyter Book's ``_config.yml``.
    strict : bool
        True to fail on a warning.
    builder : str
        ``html``, or ``singlehtml`` for one page to print.
    customer_file : str
        Name of the customer's file, which will stand beside the pages.
    places : mapping of str, optional
        Where each calculator is explained, by its name, below the site.
    store : Store, optional
        Where finished pages are kept; without it every page is made anew.

    Returns
    -------
    Path
        ``out_dir``.

    Raises
    ------
    RenderError
        If Sphinx fails, or warns while ``strict``.
    """
    out_dir.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".pages-", dir=out_dir.parent) as folder:
        source = Path(folder) / "source"
        source.mkdir()
        chapters = prepare(notebooks_dir, source)
        (source / "_toc.yml").write_text(yaml.safe_dump(contents(chapters), sort_keys=False), encoding="utf-8")
        overrides: dict[str, Any] = {"hopperbook_pictures": str(pictures or ""), "hopperbook_root": ROOT}
        overrides |= {"hopperbook_notebooks": str(notebooks_dir.resolve()), "hopperbook_customer": customer_file}
        overrides |= {"hopperbook_places": dict(places or {})}
        overrides |= {"hopperbook_store": str(store.folder) if store else ""}
        if title:
            overrides |= {"html_title": title}
        site = Path(folder) / "site"
        _sphinx(source, site, Path(folder) / "doctrees", config, overrides, strict, builder)
        for noise in (".buildinfo", "objects.inv"):
            (site / noise).unlink(missing_ok=True)
        for page in chapters:
            _hand_out(_original(notebooks_dir, page), site / "_sources" / f"{page}.ipynb")
        site.rename(out_dir)
    return out_dir


def _hand_out(notebook: Path, path: Path) -> None:
    """Write an executed notebook as a page offers it: without white space, and without what no Jupyter shows.

    White space is a third of it; what only the report reads stands beside the page as files.
    """
    content = json.loads(notebook.read_text(encoding="utf-8"))
    for cell in content["cells"]:
        for output in cell.get("outputs", ()):
            for ours in [name for name in output.get("data", ()) if name.startswith(OURS)]:
                del output["data"][ours]
    path.write_text(json.dumps(content, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")


def _original(notebooks_dir: Path, page: str) -> Path:
    """Return the executed notebook of a page."""
    return notebooks_dir / f"{ROOT if page == 'index' else page}.ipynb"


def prepare(notebooks_dir: Path, source: Path) -> list[str]:
    """Copy notebooks into Sphinx's source folder: the first becomes ``index``, code is folded, titles get numbers.

    Parameters
    ----------
    notebooks_dir, source : Path
        From where, to where.

    Returns
    -------
    list of str
        The pages' names, ``index`` first.

    Raises
    ------
    RenderError
        If the first chapter is missing.
    """
    paths = sorted(notebooks_dir.glob("[0-9][0-9]-*.ipynb"))
    if not paths or paths[0].stem != ROOT:
        raise RenderError(f"the folder of chapters holds no {ROOT}.ipynb")
    pages = []
    for path in paths:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        page = "index" if path.stem == ROOT else path.stem
        for cell in notebook["cells"]:
            _prepare_cell(cell)
        notebook["cells"] = _workshop_last(_joined(notebook["cells"]))
        _number_title(notebook["cells"], int(path.stem[:2]))
        text = json.dumps(notebook, ensure_ascii=False)
        (source / f"{page}.ipynb").write_text(text, encoding="utf-8")
        pages.append(page)
    return pages


def _prepare_cell(cell: dict[str, Any]) -> None:
    """Fold code below what it shows, hide parameters, and let links to the first chapter lead to the root."""
    if cell["cell_type"] == "markdown":
        cell["source"] = "".join(cell["source"]).replace(f"({ROOT}.ipynb", "(index.ipynb")
    if cell["cell_type"] != "code":
        return
    tags = set(cell["metadata"].get("tags", []))
    if "parameters" in tags:
        tags.add("remove-input")
    elif not tags & TAGGED:
        tags.add("hide-input")
    cell["metadata"]["tags"] = sorted(tags)
    if tags & {"parameters", "injected-parameters"}:
        cell["source"] = ""  # no page shows it, and no page then depends on the values in it
    cell["outputs"] = [light for output in cell["outputs"] if (light := _lighten(output, sorted(tags))) is not None]


def _joined(cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Join code that shows nothing to the code beside it, so that the page has one fold for each thing shown."""
    runs = ((folds, list(run)) for folds, run in itertools.groupby(cells, _folds))
    return [cell for folds, run in runs for cell in (_shown_once(run) if folds else run)]


def _shown_once(run: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return adjoining cells of code as one cell an output; what is left at the end goes to the last of them."""
    found: list[dict[str, Any]] = []
    waiting: list[str] = []
    for cell in run:
        waiting.append("".join(cell["source"]))
        if cell["outputs"]:
            found.append(cell | {"source": "\n\n".join(waiting)})
            waiting = []
    if waiting:
        last = found.pop() if found else run[-1] | {"source": ""}
        found.append(last | {"source": "\n\n".join([last["source"], *waiting]).lstrip("\n")})
    return found


def _workshop_last(cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Put inputs, check, limits and rerun below the answer and its reasons: a notebook runs in another order."""
    main: list[dict[str, Any]] = []
    workshop: list[dict[str, Any]] = []
    place = main
    for cell in cells:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown" and source.startswith("## "):
            place = workshop if source.split("\n")[0].removeprefix("## ") in WORKSHOP else main
            cell = cell | {"source": f"#{source}"} if place is workshop else cell
        place.append(cell)
    if not workshop:
        return main
    heading = {"cell_type": "markdown", "id": "workshop", "metadata": {}, "source": f"## {WORKSHOP_TITLE}"}
    return [*main, heading, *workshop]


def _folds(cell: dict[str, Any]) -> bool:
    """Return whether a cell is code that the page shows folded."""
    return cell["cell_type"] == "code" and "hide-input" in cell["metadata"]["tags"]


def _lighten(output: dict[str, Any], tags: Sequence[str]) -> dict[str, Any] | None:
    """Return an output as the page needs it: a chart as a finished figure, no results, no data."""
    content = output.get("data", {})
    if RESULT_MIME in content:
        return None
    if CHART_MIME in content:
        html = mime.figure(*collect.chart(output, tags))
        return {"output_type": "display_data", "metadata": {}, "data": {"text/html": html}}
    if "text/html" in content:
        return output | {"data": {"text/html": content["text/html"]}}
    return output


def _number_title(cells: list[dict[str, Any]], number: int) -> None:
    """Put a chapter's number before its title."""
    for cell in cells:
        if number and cell["cell_type"] == "markdown":
            cell["source"] = re.sub(r"\A# (?!\d)", f"# {number}. ", "".join(cell["source"]))
            return


def contents(pages: Sequence[str]) -> dict[str, Any]:
    """Return the table of contents of the pages that exist, by the parts of ``_toc.yml``.

    Parameters
    ----------
    pages : sequence of str
        Names, ``index`` first.

    Returns
    -------
    dict
        The content of a ``_toc.yml``.

    Examples
    --------
    >>> contents(["index", "01-hopper"])["parts"]
    [{'caption': 'Understand', 'chapters': [{'file': '01-hopper'}]}]
    """
    parts = []
    for part in yaml.safe_load(TOC.read_text(encoding="utf-8"))["parts"]:
        listed = [Path(entry["file"]).name for entry in part["chapters"]]
        chapters = [{"file": page} for page in listed if page in pages]
        if chapters:
            parts.append({"caption": part["caption"], "chapters": chapters})
    return {"format": "jb-book", "root": pages[0]} | ({"parts": parts} if parts else {})


def _sphinx(
    source: Path, out: Path, doctrees: Path, config: Path, overrides: Mapping[str, Any], strict: bool, builder: str
) -> None:
    """Run Sphinx in this process with Jupyter Book's configuration and ours on top."""
    from jupyter_book.config import get_final_config
    from sphinx.application import Sphinx
    from sphinx.errors import SphinxError
    from sphinx.util.docutils import docutils_namespace, patch_docutils

    settings, _ = get_final_config(
        user_yaml=config, sourcedir=source, cli_config={"latex_individualpages": False, **overrides}
    )
    warnings = io.StringIO()
    try:
        with patch_docutils(str(source)), docutils_namespace():
            app = Sphinx(
                srcdir=str(source),
                confdir=None,
                outdir=str(out),
                doctreedir=str(doctrees),
                buildername=builder,
                confoverrides=settings,
                status=None,
                warning=warnings,
                freshenv=True,
            )
            app.build(force_all=True)
            failed = app.statuscode
    except SphinxError as error:
        raise RenderError(f"{error}\n{warnings.getvalue()}".strip()) from error
    if failed or (strict and warnings.getvalue().strip()):
        raise RenderError(re.sub(r"\x1b\[[0-9;]*m", "", warnings.getvalue()).replace(str(source) + "/", "").strip())
