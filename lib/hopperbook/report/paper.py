"""A report on paper: its pages as one document with contents, bookmarks and page numbers, printed by Chromium."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from hopperbook.display.core import escape
from hopperbook.errors import InputError
from hopperbook.report import brief as two_pages

ARTICLE = re.compile(r'<article class="bd-article"[^>]*>(.*?)</article>', re.DOTALL)
TITLE = re.compile(r"<h1>(.*?)</h1>", re.DOTALL)
LINK = re.compile(r'<a class="headerlink".*?</a>', re.DOTALL)
STYLES = re.compile(r'<link[^>]+rel="stylesheet"[^>]*>')
SCRIPTS = re.compile(
    r'<script>window\.MathJax = [^<]*</script>|<script[^>]+src="_static/mathjax/[^"]*"[^>]*>\s*</script>'
)
#: Each chapter begins a sheet; what the style sheet says of a page's body holds for each part here.
SHEETS = (
    ".hb-part { break-before: page; zoom: .88 !important } .hb-part:first-child { break-before: auto }"
    " .hb-part:has(.hb-title) { zoom: .7 !important }"
    " .hb-part:not(:has(.hb-title)) h1 { position: static !important; width: auto !important; height: auto !important;"
    " clip-path: none !important; white-space: normal !important; display: block !important }"
)
SECRET = re.compile(r'<p class="hb-secret[^"]*">(.*?)</p>', re.DOTALL)
#: What A4 leaves between the margins of the style sheet, in millimetres, less a little.
PAPER = {"wide": 184, "high": 262}
FOOTER = (
    '<div style="font: 8px Arial; width: 100%; padding: 0 13mm; display: flex; justify-content: space-between">'
    '<span class="title"></span><span><!--line--></span>'
    '<span><span class="pageNumber"></span> / <span class="totalPages"></span></span></div>'
)


def pages(site: Path) -> list[Path]:
    """Return the pages of a report in the order of its chapters.

    Parameters
    ----------
    site : Path
        A built report.

    Returns
    -------
    list of Path
        The first page, then the chapters.

    Raises
    ------
    InputError
        If the folder holds no report.
    """
    first = site / "index.html"
    if not first.is_file():
        raise InputError("report", str(site), "the folder of a built report")
    return [first, *sorted(site.glob("[0-9][0-9]-*.html"))]


def document(site: Path, brief: bool = False) -> str:
    """Join a report's pages to one document whose links lead to places in it.

    Parameters
    ----------
    site : Path
        A built report.
    brief : bool
        True for its two-page brief.

    Returns
    -------
    str
        HTML that stands beside the report's ``_static``.

    Raises
    ------
    InputError
        If the folder holds no report.
    """
    listed = pages(site)
    texts = {path.stem: path.read_text(encoding="utf-8") for path in listed}
    first = next(iter(texts.values()))
    head = "".join(STYLES.findall(first)) + "".join(
        dict.fromkeys(s for t in texts.values() for s in SCRIPTS.findall(t))
    )
    name = re.search(r'<p class="hb-h1"[^>]*>(.*?)</p>', first, re.DOTALL)
    title = name[1] if name else "Which GPUs?"
    if brief:
        return two_pages.document(site, title, head + _own_styles(first), _language(first))
    parts = [_part(stem, text, set(texts)) for stem, text in texts.items()]
    parts.insert(1, _contents({stem: text for stem, text in texts.items() if stem != "index"}))
    body = "\n".join(parts)
    return (
        f'<!DOCTYPE html><html lang="{_language(first)}" data-theme="light"><head><meta charset="utf-8">'
        f"<title>{title}</title>{head}{_own_styles(first)}"
        f'<style>{SHEETS}</style></head><body><main class="bd-content">{body}</main></body></html>'
    )


def _part(stem: str, text: str, known: set[str]) -> str:
    """Return a page's content; its ids and links carry the page's name, so that they are the document's only ones."""
    found = ARTICLE.search(text)
    body = found[1] if found else ""
    body = re.sub(r'\bid="([^"]+)"', rf'id="{stem}--\1"', body)
    body = re.sub(r"url\(#([^)]+)\)", rf"url(#{stem}--\1)", body)
    body = re.sub(r'href="#([^"]*)"', rf'href="#{stem}--\1"', body)

    def inside(hit: re.Match[str]) -> str:
        if hit[1] not in known:
            return ""
        return f'href="#{hit[1]}' + (f'--{hit[2]}"' if hit[2] else '"')

    body = re.sub(r'href="([\w-]+)\.html(?:#([^"]*))?"', inside, body)
    body = re.sub(r'<script type="application/json".*?</script>|<a [^>]*>CSV</a>', "", body, flags=re.DOTALL)
    body = re.sub(r'href="(?!#|https?:)[^"]*"(?: download)?', "", body)
    return f'<section class="hb-part bd-article" id="{stem}">{body}</section>'


def _own_styles(page: str) -> str:
    """Return the style sheet of the customer's own look."""
    return "".join(re.findall(r"<style>:root, html\[data-theme.*?</style>", page, re.DOTALL))


def _language(page: str) -> str:
    """Return the language of a page's words."""
    found = re.search(r'<html\b[^>]*\blang="([\w-]+)"', page)
    return found[1] if found else "en"


def _foot(site: Path) -> str:
    """Return what stands at the foot of each sheet: the title, the customer's own line, the page."""
    found = SECRET.search((site / "index.html").read_text(encoding="utf-8"))
    return FOOTER.replace("<!--line-->", found[1] if found else "")


def _contents(texts: dict[str, str]) -> str:
    """Return the list of chapters."""
    articles = {stem: ARTICLE.search(text) for stem, text in texts.items()}
    found = {stem: TITLE.search(LINK.sub("", part[1])) if part else None for stem, part in articles.items()}
    items = "".join(f'<li><a href="#{stem}">{hit[1] if hit else escape(stem)}</a></li>' for stem, hit in found.items())
    style = "list-style: none; padding: 0"
    return f'<section class="hb-part bd-article"><h1>Contents</h1><ul style="{style}">{items}</ul></section>'


def write(site: Path, out: Path, brief: bool = False) -> Path:
    """Print a report as PDF.

    Parameters
    ----------
    site : Path
        A built report.
    out : Path
        The file to write.
    brief : bool
        True for its two-page brief.

    Returns
    -------
    Path
        ``out``.

    Raises
    ------
    InputError
        If the folder holds no report, or ``out`` cannot be written.
    """
    from hopperbook.report.browser import Browser

    text = document(site, brief)
    if not out.parent.is_dir():
        raise InputError("out", str(out), "a file in a folder that exists")
    with tempfile.TemporaryDirectory(prefix="hopperbook-paper-") as folder:
        (Path(folder) / "_static").symlink_to((site / "_static").resolve(), target_is_directory=True)
        for path in [*site.glob("*.svg"), *site.glob("*.png")]:
            (Path(folder) / path.name).symlink_to(path.resolve())
        page = Path(folder) / "report.html"
        page.write_text(text, encoding="utf-8")
        part = Path(folder) / "report.pdf"
        with Browser() as browser:
            browser.open(page.as_uri(), media="print")
            if brief:
                browser.evaluate(two_pages.FIT % PAPER)
            browser.pdf(part, _foot(site))
        out.write_bytes(part.read_bytes())
    return out
