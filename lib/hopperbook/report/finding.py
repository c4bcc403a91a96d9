"""The book's own search: words and numbers of each section, so that a figure is found and the right chapter is first.

Sphinx's index splits ``9,580`` in two, ignores queries of digits, and ranks pages by titles. Ours knows how often each
section says a word; ``search.js`` ranks chapters by it and leads to the section.
"""

from __future__ import annotations

import functools
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from docutils import nodes
from sphinx.application import Sphinx

#: A number with its separators, or a word.
TOKEN = re.compile(r"\d+(?:[.,]\d+)+|\w+")
#: A number and the unit behind it, which a reader types as one thing.
WITH_UNIT = re.compile(
    r"(\d+(?:[.,]\d+)*)[ \u00a0\u202f]{1,4}"
    r"(ms|s|h|GB|GiB|MB|MiB|KiB|TB|W|kW|kWh|GPUs|users|months|days|hours|tokens|TFLOP)\b"
)
#: Two words that a hyphen makes one.
HYPHENED = re.compile(r"\b([^\W\d_]+)-([^\W\d_]+)\b")
UNSEEN = re.compile(r"<(script|style)\b.*?</\1>|<!--.*?-->", re.DOTALL | re.IGNORECASE)
TAG = re.compile(r"<[^>]+>")
#: How many times a word of a heading counts, and one of an answer box, a card or the first page's line.
HEADING, HEADLINE = 6, 8
#: What a page says in large letters.
LARGE = re.compile(r'<p class="hb-(?:verdict|number|h1)"[^>]*>(.*?)</p>', re.DOTALL)
FILE = "search-index.js"


class Section(NamedTuple):
    """A section of a page: where it begins, its heading, its own words, and those in large letters."""

    anchor: str
    title: str
    text: str
    large: str = ""


def words(text: str) -> list[str]:
    """Split a text as the search does: numbers whole, without commas; number and unit, or a hyphened pair, once more.

    Parameters
    ----------
    text : str
        Plain text.

    Returns
    -------
    list of str
        Lower-case words.

    Examples
    --------
    >>> words("It costs $9,580 and takes 26 ms.")
    ['it', 'costs', '9580', 'and', 'takes', '26', 'ms', '26ms']
    """
    found = [token.replace(",", "").lower() for token in TOKEN.findall(text)]
    joined = [*WITH_UNIT.findall(text), *HYPHENED.findall(text)]
    return found + [(first + second).replace(",", "").lower() for first, second in joined]


def sections(page: nodes.document) -> list[Section]:
    """Return the sections of a page in their order.

    Parameters
    ----------
    page : document
        A resolved page.

    Returns
    -------
    list of Section
        Each with its own words only.
    """
    found = []
    for section in page.findall(nodes.section):
        own = [child for child in section.children if not isinstance(child, nodes.section)]
        heading = next((child.astext() for child in own if isinstance(child, nodes.title)), "")
        text = " ".join(piece for child in own if not isinstance(child, nodes.title) for piece in _texts(child))
        large = " ".join(TAG.sub("", hit) for child in own for hit in _large(child))
        found.append(Section(section["ids"][0] if section["ids"] else "", heading, text, large))
    return found


def _texts(node: nodes.Node) -> Iterable[str]:
    """Yield the texts of a node as a reader sees them: of HTML what stands between its tags."""
    for each in node.findall(lambda one: isinstance(one, nodes.Text | nodes.raw)):
        if isinstance(each, nodes.raw):
            yield TAG.sub(" ", UNSEEN.sub(" ", each.astext()))
        elif not isinstance(each.parent, nodes.raw):
            yield each.astext()


def _large(node: nodes.Node) -> Iterable[str]:
    """Yield what the HTML of a node says in large letters."""
    for raw in node.findall(nodes.raw):
        yield from LARGE.findall(raw.astext())


def index(pages: Mapping[str, Sequence[Section]], stem: Callable[[str], str]) -> dict[str, Any]:
    """Count the words of every section.

    Parameters
    ----------
    pages : mapping of sequence of Section
        Sections by the name of their page.
    stem : callable
        From a word to its stem.

    Returns
    -------
    dict
        ``pages``: names; ``sections``: page, anchor, heading and number of words of each; ``words``: by stem, section
        and count in turn.

    Examples
    --------
    >>> found = index({"a": [Section("x", "Costs", "It costs $9,580.")]}, lambda word: word.removesuffix("s"))
    >>> found["words"]["9580"], found["words"]["cost"]
    ([0, 1], [0, 7])
    """

    @functools.cache
    def root(word: str) -> str:
        return stem(word) if word.isalpha() and len(word) > 3 else word

    listed: list[tuple[int, str, str, int]] = []
    postings: dict[str, list[int]] = {}
    for place, (_, held) in enumerate(sorted(pages.items())):
        for each in held:
            counts = Counter(map(root, words(each.text)))
            for word in words(each.title):
                counts[root(word)] += HEADING
            for word in words(each.large):
                counts[root(word)] += HEADLINE
            for word, count in sorted(counts.items()):
                postings.setdefault(word, []).extend((len(listed), count))
            listed.append((place, each.anchor, each.title, counts.total()))
    return {"pages": sorted(pages), "sections": listed, "words": dict(sorted(postings.items()))}


def gathered(app: Sphinx) -> dict[str, Sequence[Section]]:
    """Return the sections gathered so far.

    Parameters
    ----------
    app : Sphinx
        The application.

    Returns
    -------
    dict of sequence of Section
        By page; whoever has them from elsewhere adds them.
    """
    found: dict[str, Sequence[Section]] = vars(app).setdefault("hopperbook_sections", {})
    return found


def setup(app: Sphinx) -> None:
    """Gather the sections of every page as Sphinx resolves it, and put the search on the page of search.

    Parameters
    ----------
    app : Sphinx
        The application.
    """

    def gather(app: Sphinx, page: nodes.document, name: str) -> None:
        gathered(app)[name] = sections(page)

    def put(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
        if page == "search" and app.builder.name == "html":
            static = Path(app.outdir) / "_static"
            static.mkdir(parents=True, exist_ok=True)
            stem = app.builder.indexer.lang.stem  # type: ignore[attr-defined]
            content = json.dumps(index(gathered(app), stem), ensure_ascii=False, separators=(",", ":"))
            (static / FILE).write_text(f"window.hbSearch={content};\n", encoding="utf-8")
            for name in (FILE, "search.js"):
                app.add_js_file(name, loading_method="defer", priority=900)

    app.connect("doctree-resolved", gather, priority=900)
    app.connect("html-page-context", put, priority=900)
