"""Links that nobody types: from sources, calculators and terms of the field to where they are explained.

Only text is touched: headings, links, formulas, code, pictures and scripts stay as they are.  Sources and calculators
are linked wherever they are named, a term where a page first uses it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import NamedTuple, TypeAlias

from hopperbook import facts, story
from hopperbook.display.core import escape
from hopperbook.display.lists import anchor

PAGE = "16-sources"
SKIPPED = "script|style|svg|a|code|pre|h[1-6]|summary|button|title|nav|cite|dt|th"
HEADLINES = "h1|verdict|number|label|title2|subtitle|key"
PIECE = re.compile(
    rf'<({SKIPPED})\b.*?</\1>|<(span|div) class="math .*?</\2>|<p class="hb-(?:{HEADLINES})".*?</p>'
    r"|<!--.*?-->|<[^>]+>|[^<]+",
    re.DOTALL | re.IGNORECASE,
)


class Linked(NamedTuple):
    """What a text may link to: a pattern that finds it, and the start tag of the link by what was found."""

    pattern: re.Pattern[str]
    tags: Mapping[str, str]


#: What to link, and how: from start tags, what was found and the text before it to a link.
Rule: TypeAlias = tuple[Linked, Callable[[Mapping[str, str], str, str], str]]


@cache
def sources() -> Linked:
    """Return the sources as a page names them.

    Returns
    -------
    Linked
        Every title with its year, the longest first, so that no title is taken for the beginning of another.

    Examples
    --------
    >>> sources().tags["Roofline: An Insightful Visual Performance Model for …, 2009"]
    '<a class="hb-cite" href="16-sources.html#source-williams-2009-roofline">'
    """
    keys = {escape(story.cite(key)): key for key in facts.references()}
    start = f'<a class="hb-cite" href="{PAGE}.html#'
    return _linked({words: f'{start}{anchor("source", key)}">' for words, key in keys.items()}, whole=False)


@cache
def terms() -> Linked:
    """Return the terms of the field in the forms that pages write.

    Returns
    -------
    Linked
        Each form with its link, which carries the meaning for those who point at it.

    Examples
    --------
    >>> terms().tags["MIG"].split('"')[1::2][:2]
    ['hb-term', '16-sources.html#word-mig']
    """
    tags = {}
    for entry in facts.glossary():
        href = f"{PAGE}.html#{anchor('word', entry.term)}"
        for form in entry.forms:
            tags[escape(form)] = f'<a class="hb-term" href="{href}" data-meaning="{escape(entry.meaning)}">'
    return _linked(tags, whole=True)


def _linked(tags: dict[str, str], whole: bool) -> Linked:
    """Return a pattern that finds the longest of several words, as whole words if asked."""
    words = "|".join(re.escape(word) for word in sorted(tags, key=len, reverse=True))
    return Linked(re.compile(rf"(?<![\w.-])(?:{words})(?![\w-])" if whole else words), tags)


def calculators(places: Mapping[str, str]) -> Linked:
    """Return the calculators as code names them; a page calls each by the words of ``data/calculators.yaml``.

    The pattern finds all that looks like one, for two thousand names are many to look for.

    Parameters
    ----------
    places : mapping of str
        Address by name, such as ``memory.budget``.

    Returns
    -------
    Linked
        Each name with its link.

    Examples
    --------
    >>> calculators({"planner.plan": "reference/planner.html"}).tags["planner.plan"]
    '<a class="hb-call" href="reference/planner.html" title="planner.plan">'
    """
    start = '<a class="hb-call" href="{}" title="{}">'
    tags = {name: start.format(escape(place), name) for name, place in places.items()}
    return Linked(re.compile(r"(?<![\w.-])[A-Za-z_]\w*\.[A-Za-z_]\w*(?![\w-])"), tags)


def called(tags: Mapping[str, str], found: str, before: str) -> str:
    """Return a link that calls a calculator by its words, with a capital letter where a sentence begins.

    Parameters
    ----------
    tags : mapping of str
        Start tags by name.
    found : str
        The calculator's name.
    before : str
        What stands before it.

    Returns
    -------
    str
        The link; the name itself where no words are written for it.

    Examples
    --------
    >>> tags = {"planner.plan": "<a>"}
    >>> called(tags, "planner.plan", "Made by "), called(tags, "planner.plan", " ")
    ('<a>our plan</a>', '<a>Our plan</a>')
    """
    words = facts.read_yaml("calculators.yaml").get(found, found)
    if words != found and (not before.strip() or before.rstrip().endswith((".", ":"))):
        words = words[0].upper() + words[1:]
    return f"{tags[found]}{escape(words)}</a>"


def link(body: str, places: Mapping[str, str] | None = None) -> str:
    """Link the sources, the calculators and the terms in a page.

    Parameters
    ----------
    body : str
        HTML of the page.
    places : mapping of str, optional
        Where each calculator is explained, by its name.

    Returns
    -------
    str
        The page with links.

    Examples
    --------
    >>> link("<p>One MIG slice, and MIG again.</p>").count("<a ")
    1
    """
    seen: set[str] = set()

    def once(tags: Mapping[str, str], found: str, before: str) -> str:
        if tags[found] in seen:
            return found
        seen.add(tags[found])
        return _anchor(tags, found, before)

    rules: list[Rule] = [(sources(), _anchor), (terms(), once)]
    if places:
        rules.insert(1, (calculators(places), called))
    pieces = (piece[0] for piece in PIECE.finditer(body))
    return "".join(piece if piece[0] == "<" else _linked_text(piece, rules) for piece in pieces)


def _anchor(tags: Mapping[str, str], found: str, before: str) -> str:
    """Return a link around what was found."""
    return f"{tags[found]}{found}</a>"


def _linked_text(text: str, rules: Sequence[Rule]) -> str:
    """Return a text in which each rule has made its links, the first rule first; no link holds another."""
    if not rules or text.isspace():
        return text
    (linked, put), *rest = rules
    parts, start = [], 0
    for hit in (each for each in linked.pattern.finditer(text) if each[0] in linked.tags):
        parts += [_linked_text(text[start : hit.start()], rest), put(linked.tags, hit[0], text[: hit.start()])]
        start = hit.end()
    return "".join([*parts, _linked_text(text[start:], rest)])
