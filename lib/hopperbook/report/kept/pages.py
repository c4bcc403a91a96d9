"""Finished pages, kept under everything that they are made from: Sphinx writes only those that have changed.

Sphinx still reads every chapter, since a page shows what others are called and what is found in them. What a page puts
in is its chapter, those names and places, the settings, and our code and facts; a page made from the same is the same.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from docutils import nodes
from docutils.utils import new_document
from sphinx.application import Sphinx
from sphinx.builders.html import StandaloneHTMLBuilder

from hopperbook.report import finding, numbering
from hopperbook.report.kept import inputs
from hopperbook.report.kept.chapters import ground
from hopperbook.report.kept.store import Store, digest, digest_file

if TYPE_CHECKING:
    from sphinx.search import IndexBuilder


def setup(app: Sphinx) -> None:
    """Let Sphinx take pages from the store that is named in ``hopperbook_store``, and keep there those that it writes.

    Parameters
    ----------
    app : Sphinx
        The application.
    """
    app.add_config_value("hopperbook_store", "", "html")
    app.add_builder(Builder, override=True)
    app.connect("build-finished", _keep, priority=950)  # when nothing is put into a page any more


class Builder(StandaloneHTMLBuilder):
    """Sphinx's builder of pages, which passes over those that are kept."""

    def init(self) -> None:
        """Begin with no page known."""
        super().init()
        self.keys: dict[str, str] = {}
        self.taken: dict[str, Any] = {}

    def write(
        self,
        build_docnames: Iterable[str] | None,
        updated_docnames: Sequence[str],
        method: Literal["all", "specific", "update"] = "update",
    ) -> None:
        """Write the pages that are not kept, and the first, which Sphinx writes whatever it is asked."""
        if not self.config.hopperbook_store:
            super().write(build_docnames, updated_docnames, method)
            return
        store, root = Store(Path(self.config.hopperbook_store)), self.config.root_doc
        self.keys = _keys(self.app)
        known = {page: store.get("pages", key) for page, key in self.keys.items() if page != root}
        self.taken = {page: kept for page, kept in known.items() if kept}
        super().write(set(self.keys) - set(self.taken), [], "specific")

    def index_page(self, pagename: str, doctree: nodes.document, title: str) -> None:
        """Let Sphinx's index know a page by its headings: its words are found by the book's own search."""
        headings = new_document("")
        for each in doctree.findall(nodes.title):
            section = nodes.section(ids=each.parent["ids"])
            section += nodes.title("", each.astext())
            headings += section
        super().index_page(pagename, headings, title)

    def load_indexer(self, docnames: Iterable[str]) -> None:
        """Begin with an empty index: kept pages bring what it knows of them."""

    def prepare_writing(self, docnames: set[str]) -> None:
        """Prepare what pages share, and put in place those that are kept."""
        super().prepare_writing(docnames)
        for page, kept in self.taken.items():
            for name, content in kept["files"].items():
                path = Path(self.outdir) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(base64.b64decode(content))
            finding.gathered(self.app)[page] = [finding.Section(*each) for each in kept["sections"]]
            if self.indexer is not None:
                _put_words(self.indexer, page, kept["words"])


def _keys(app: Sphinx) -> dict[str, str]:
    """Return the name under which each page is kept."""
    shared = digest([ground(), dict(inputs.at_start()), _settings(app), _names(app)])
    notebooks = Path(app.config.hopperbook_notebooks)
    original = {app.config.root_doc: app.config.hopperbook_root}
    found = {}
    for page in app.env.found_docs:
        read = digest_file(Path(app.env.doc2path(page)))
        found[page] = digest([shared, page, read, _put_out(notebooks / f"{original.get(page, page)}.ipynb")])
    return found


def _put_out(notebook: Path) -> str:
    """Return the digest of what a notebook puts out; the customer's values stand in a cell that puts out nothing."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return digest([[cell["metadata"].get("tags"), cell["outputs"]] for cell in cells if cell.get("outputs")])


def _settings(app: Sphinx) -> list[Any]:
    """Return the settings that are not the same for every report."""
    config = app.config
    return [config.html_title, config.root_doc, config.hopperbook_customer, config.hopperbook_places]


def _names(app: Sphinx) -> str:
    """Return, as text, what a page may say of others: their titles, order, headings, and places that links lead to."""
    env = app.env
    standard = env.get_domain("std").data
    said = {
        "titles": {page: title.astext() for page, title in env.titles.items()},
        "contents": env.toctree_includes,
        "numbers": [env.toc_secnumbers, env.toc_fignumbers],
        "headings": {page: about.get("myst_slugs") for page, about in env.metadata.items()},
        "places": [standard["labels"], standard["anonlabels"], env.get_domain("math").data["objects"]],
        "figures": numbering.places(Path(app.srcdir)),
    }
    return json.dumps(said, sort_keys=True, default=str)


def _keep(app: Sphinx, failed: Exception | None) -> None:
    """Keep the pages that were written."""
    builder = app.builder
    if failed or not isinstance(builder, Builder) or not builder.keys or not inputs.settled():
        return
    store, out = Store(Path(app.config.hopperbook_store)), Path(app.outdir)
    for page, key in builder.keys.items():
        if page in builder.taken or page == app.config.root_doc:
            continue
        files = [out / f"{page}.html", *sorted((out / "data" / page).glob("*"))]
        content = {
            "files": {path.relative_to(out).as_posix(): base64.b64encode(path.read_bytes()).decode() for path in files},
            "sections": list(map(list, finding.gathered(app).get(page, []))),
            "words": _words(builder.indexer, page) if builder.indexer is not None else {},
        }
        store.put("pages", key, content)


#: What Sphinx's index knows of each page, and the words that it knows pages by.
BY_PAGE = ("_titles", "_filenames", "_all_titles", "_index_entries")
BY_WORD = ("_mapping", "_title_mapping")


def _words(index: IndexBuilder, page: str) -> dict[str, Any]:
    """Return what Sphinx's index holds of a page."""
    by_word = {name: sorted(word for word, pages in getattr(index, name).items() if page in pages) for name in BY_WORD}
    return {name: getattr(index, name)[page] for name in BY_PAGE} | by_word


def _put_words(index: IndexBuilder, page: str, kept: dict[str, Any]) -> None:
    """Put into Sphinx's index what it held of a page."""
    for name in BY_PAGE:
        getattr(index, name)[page] = kept[name]
    for name in BY_WORD:
        known = getattr(index, name)
        for word in kept[name]:
            known.setdefault(word, set()).add(page)
