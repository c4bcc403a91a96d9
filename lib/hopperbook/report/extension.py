"""Our Sphinx extension: style sheet, offline mathematics and charts, links to each page's data and notebook."""

from __future__ import annotations

import functools
import json
import re
from html import escape
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

from jinja2.bccache import Bucket, BytecodeCache
from sphinx.application import Sphinx

from hopperbook import prepared
from hopperbook.report import collect, finding, linking, mime, numbering, policy
from hopperbook.report.kept import pages
from hopperbook.report.kept.store import Store, digest

if TYPE_CHECKING:
    from hopperbook.workbook import Book

STATIC = Path(__file__).parent / "static"
DATA_LINK = re.compile(r'href="data/([A-Za-z0-9_-]+\.(?:csv|xlsx))"')
CHAPTER_LINK = re.compile(r'href="([0-9]{2}-[a-z0-9-]+)\.ipynb(#[^"]*)?"')
LINKS = "<!--hb:links-->"
TAG = re.compile(r"<[^>]+>")
MENU = re.compile(r'<div(?: id="pst-primary-sidebar")?(?= class="bd-sidebar-primary)')


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension.

    Parameters
    ----------
    app : Sphinx
        The application.

    Returns
    -------
    dict
        Sphinx's description of the extension.
    """
    app.add_config_value("hopperbook_pictures", "", "html")
    app.add_config_value("hopperbook_notebooks", "", "html")
    app.add_config_value("hopperbook_customer", "", "html")
    app.add_config_value("hopperbook_places", {}, "html")
    app.add_config_value("hopperbook_root", "00-the-answer", "html")
    app.connect("config-inited", add_static, priority=900)
    app.connect("builder-inited", prepare_templates)
    app.connect("html-page-context", remember, priority=1)
    app.connect("html-page-context", finish_page, priority=900)
    app.connect("build-finished", add_policies)
    finding.setup(app)
    pages.setup(app)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def add_static(app: Sphinx, config: Any) -> None:
    """Add our files late, so that no other extension turns every script among them into a tag on every page."""
    config.html_static_path.append(str(STATIC))
    app.add_css_file("hopperbook.css", priority=900)
    app.add_js_file("page.js", loading_method="defer", priority=900)


def prepare_templates(app: Sphinx) -> None:
    """Let the theme's templates be compiled once for all later reports."""
    templates = getattr(app.builder, "templates", None)
    if templates is not None:
        templates.environment.bytecode_cache = Templates()


class Templates(BytecodeCache):
    """Compiled templates, each under the digest of its source."""

    def load_bytecode(self, bucket: Bucket) -> None:
        """Take a template from what is prepared."""
        if content := prepared.get("templates", _name(bucket)):
            bucket.bytecode_from_string(content)

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep a template."""
        prepared.put("templates", _name(bucket), bucket.bytecode_to_string())


def _name(bucket: Bucket) -> str:
    """Return the name under which a template is kept: of its source, and of who compiles it."""
    return digest([bucket.key, bucket.checksum, *map(version, ("jinja2", "sphinx"))])


def remember(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Let this process colour each piece of code, and find the stem of each word, once: chapters repeat both."""
    bridge, index = app.builder.highlighter, getattr(app.builder, "indexer", None)  # type: ignore[attr-defined]
    if index is not None and not hasattr(index.lang.stem, "cache_clear"):
        index.lang.stem = functools.lru_cache(maxsize=100_000)(index.lang.stem)
    if not isinstance(bridge, _Coloured):
        app.builder.highlighter = _Coloured(bridge)  # type: ignore[attr-defined]


class _Coloured:
    """Sphinx's highlighter of code, with what it put out before, in this process or another."""

    known: ClassVar[dict[str, str]] = {}
    name: ClassVar[str] = digest(["code", *map(version, ("sphinx", "pygments", "hopperbook"))])

    def __init__(self, bridge: Any):
        self._bridge = bridge
        if not self.known:
            self.known.update(Store().get("code", self.name) or {})
        self.kept = len(self.known)

    def keep(self) -> None:
        """Keep what was new."""
        if len(self.known) != self.kept:
            Store().put("code", self.name, self.known)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bridge, name)

    def highlight_block(self, source: str, lang: str, *given: Any, **options: Any) -> str:
        """Return code in colour."""
        plain = {name: value for name, value in options.items() if name != "location"}
        key = digest([source, repr((lang, given, sorted(plain.items())))])
        if key not in self.known:
            if len(self.known) > 5000:
                self.known.clear()
            self.known[key] = self._bridge.highlight_block(source, lang, *given, **options)
        return self.known[key]


def add_policies(app: Sphinx, failed: Exception | None) -> None:
    """Put its Content-Security-Policy into every page."""
    coloured = getattr(app.builder, "highlighter", None)
    if isinstance(coloured, _Coloured):
        coloured.keep()
    if not failed and app.builder.format == "html":
        taken = {f"{page}.html" for page in getattr(app.builder, "taken", ())}
        for page in Path(app.outdir).rglob("*.html"):
            if "_static" not in page.parts and page.name not in taken:
                _name_parts(page)
                policy.put_in(page)


def _name_parts(path: Path) -> None:
    """Name the parts of a page that the theme leaves nameless, for those who hear it."""
    page = path.read_text(encoding="utf-8")
    page = MENU.sub(r'\g<0> role="complementary" aria-label="Menu"', page, count=1)
    path.write_text(page.replace(' aria-label="Toggle hidden content"', ""), encoding="utf-8")


def finish_page(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Put pictures, data and links into a page before it is written."""
    body = context.get("body", "")
    if doctree is None or "hb-" not in body:
        return
    notebook = _notebook(app, page)
    content = json.loads(notebook.read_text(encoding="utf-8")) if notebook else {"cells": []}
    if mime.PLACE.search(body):
        pictures = app.config.hopperbook_pictures
        body = mime.fill(body, collect.specifications(content), Path(pictures) if pictures else None)
    if "hb-spec" in body:
        app.add_js_file("figures.js", loading_method="defer", priority=900)
    if "hb-what-if" in body:
        app.add_js_file("what-if.js", loading_method="defer", priority=900)
    if "mathjax_process" in body and not any("tex-chtml" in str(file) for file in context["script_files"]):
        app.add_js_file(app.config.mathjax_path, loading_method="defer")
    names = write_data(content, Path(app.outdir) / "data" / page)
    body = DATA_LINK.sub(rf'href="{_up(page)}data/{page}/\1"', body)
    body = CHAPTER_LINK.sub(lambda hit: f'href="{_page(app, hit[1])}.html{hit[2] or ""}"', body)
    body = numbering.number(body, page, numbering.places(Path(app.srcdir)))
    if linking.PAGE in app.env.found_docs and page != linking.PAGE:
        body = linking.link(body, app.config.hopperbook_places)
    context["body"] = body.replace(LINKS, _links(app, page, names, context.get("next")))


def _notebook(app: Sphinx, page: str) -> Path | None:
    """Return the executed notebook of a page: the original where Sphinx was given a lighter copy."""
    source = Path(app.env.doc2path(page))
    if app.config.hopperbook_notebooks:
        source = Path(app.config.hopperbook_notebooks) / source.name.replace("index.", f"{app.config.hopperbook_root}.")
    return source if source.suffix == ".ipynb" and source.exists() else None


def _page(app: Sphinx, chapter: str) -> str:
    """Return the page of a chapter: the first is the book's root."""
    return "index" if app.config.root_doc == "index" and chapter == app.config.hopperbook_root else chapter


def _up(page: str) -> str:
    """Return the way from a page to the site's root; a plain Jupyter Book keeps chapters in their folder."""
    return "../" * page.count("/")


def _links(app: Sphinx, page: str, names: list[str], following: dict[str, str] | None) -> str:
    """Return the links to a page's data and notebook, and to the next question."""
    links = [(f"{_up(page)}data/{page}/{name}", name) for name in names]
    links.append((f"{_up(page)}_sources/{page}.ipynb", f"{page.split('/')[-1]}.ipynb"))
    if app.config.hopperbook_customer:
        links.insert(0, (f"{_up(page)}{app.config.hopperbook_customer}", app.config.hopperbook_customer))
    shown = "".join(f'<a href="{escape(href)}" download>{escape(words)}</a>' for href, words in links)
    if following:
        title = TAG.sub("", following["title"])
        shown += f'<a class="hb-next" href="{escape(following["link"])}">Next: {title} →</a>'
    return shown


def write_data(notebook: dict[str, Any], folder: Path) -> list[str]:
    """Write the data of a chapter's figures and tables as CSV, and its workbooks.

    Parameters
    ----------
    notebook : dict
        An executed notebook.
    folder : Path
        Where to write.

    Returns
    -------
    list of str
        Their names.
    """
    found = {f"{name}.csv": text.encode() for name, text in collect.tables(notebook).items()}
    if books := collect.workbooks(notebook):
        from hopperbook.workbook.write import to_bytes

        found |= {name: to_bytes(cast("Book", book)) for name, book in books.items()}
    if found:
        folder.mkdir(parents=True, exist_ok=True)
    for name, content in found.items():
        (folder / name).write_bytes(content)
    return list(found)
