"""Check a built site without a browser: every link and anchor resolves, and nothing is loaded from elsewhere."""

from __future__ import annotations

import html
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from hopperbook.report import policy
from hopperbook.report.kept import inputs
from hopperbook.report.kept.store import Store, digest

LOADED = {("img", "src"), ("script", "src"), ("link", "href"), ("iframe", "src"), ("source", "src"), ("image", "href")}
LOADED |= {("video", "src"), ("audio", "src"), ("object", "data"), ("use", "href"), ("use", "xlink:href")}


#: A comment, a script or a style with all that it holds, or the start of an element; pages are too large to be parsed.
ELEMENT = re.compile(
    r"""<!--.*?-->|<(?P<raw>script|style)\b(?P<of_raw>(?:[^>"']|"[^"]*"|'[^']*')*)>.*?</(?P=raw)\s*>"""
    r"""|<(?P<tag>[a-zA-Z][^\s/>]*)(?P<of_tag>(?:[^>"']|"[^"]*"|'[^']*')*)>""",
    re.DOTALL | re.IGNORECASE,
)
ATTRIBUTE = re.compile(
    r"""(?<![^\s"'/])(?P<name>id|href|src|data|xlink:href|action)\s*=\s*"""
    r"""(?:"(?P<a>[^"]*)"|'(?P<b>[^']*)'|(?P<c>[^\s"'=<>`]+))""",
    re.IGNORECASE,
)


class _Page(NamedTuple):
    """The ids of a page, those that stand twice, and what it refers to: tag, attribute and value."""

    ids: set[str]
    twice: set[str]
    references: list[tuple[str, str, str]]


def check_links(site: Path) -> list[str]:
    """Return the links of a site that lead nowhere and the files that it loads from elsewhere.

    Parameters
    ----------
    site : Path
        Folder of a built site.

    Returns
    -------
    list of str
        One line a problem; empty when all is well.
    """
    site = site.resolve()
    texts = {
        str(path): path.read_text(encoding="utf-8", errors="replace")
        for path in sorted(site.rglob("*.html"))
        if "_static" not in path.parts
    }
    if not texts:
        return [f"{site}: holds no page"]
    pages, found = {path: _parse(text) for path, text in texts.items()}, []
    for path, page in pages.items():
        name = Path(path).relative_to(site).as_posix()
        found += [f"{name}: the id {anchor} stands twice" for anchor in sorted(page.twice)]
        found += [f"{name}: {problem}" for problem in _problems(path, page, pages)]
        found += [f"{name}: would run {script}" for script in policy.unknown(texts[path])]
    return found + _style_problems(site)


def _parse(text: str) -> _Page:
    """Return what a page holds, as kept from an earlier look at the same text where it is."""
    key = digest(["links", inputs.at_start().get(inputs.short(Path(__file__))), text])
    known = Store().get("links", key)
    if known is not None:
        return _Page(set(known[0]), set(known[1]), [tuple(each) for each in known[2]])
    page = _held(text)
    Store().put("links", key, [sorted(page.ids), sorted(page.twice), page.references])
    return page


def _held(text: str) -> _Page:
    """Return what a page holds."""
    page = _Page(set(), set(), [])
    for element in ELEMENT.finditer(text):
        tag = (element["tag"] or element["raw"] or "").lower()
        for each in ATTRIBUTE.finditer(element["of_tag"] or element["of_raw"] or ""):
            name, value = each["name"].lower(), html.unescape(each["a"] or each["b"] or each["c"] or "")
            if name == "id" and value:
                (page.twice if value in page.ids else page.ids).add(value)
            elif value:
                page.references.append((tag, name, value))
    return page


def _problems(path: str, page: _Page, pages: dict[str, _Page]) -> Iterator[str]:
    """Yield what is wrong with a page's references, each once."""
    folder = os.path.dirname(path)
    for tag, name, value in dict.fromkeys(page.references):
        parts = urlsplit(value)
        if parts.scheme in ("http", "https") or value.startswith("//"):
            if (tag, name) in LOADED:
                yield f"loads {value} from elsewhere"
            continue
        if parts.scheme:
            if parts.scheme not in ("mailto", "data"):
                yield f"has a link that browsers do not follow: {value[:60]}"
            continue
        target = os.path.normpath(os.path.join(folder, unquote(parts.path))) if parts.path else path
        if target not in pages and not os.path.exists(target):
            yield f"links to {value}, which is not there"
        elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].ids:
            yield f"links to {value}, but that page has no such place"


def _style_problems(site: Path) -> list[str]:
    """Return style sheets of ours and the theme that load something from elsewhere."""
    found = []
    for path in sorted(site.rglob("*.css")):
        text = path.read_text(encoding="utf-8", errors="replace")
        if re.search(r"""(url\(|@import)\s*['"]?\s*(https?:)?//""", text):
            found.append(f"{path.relative_to(site).as_posix()}: loads something from elsewhere")
    return found
