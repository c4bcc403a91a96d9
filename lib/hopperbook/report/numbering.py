"""Numbers of figures, tables and equations, counted in the order of a page below its chapter's; and links by number."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import TypeAlias

#: Numbers of figures and tables by page and place.
Places: TypeAlias = Mapping[str, Mapping[str, int]]
#: The line below a figure or table that says where it comes from; a figure's is its caption.
SOURCE = re.compile(r'<(figcaption|p) class="hb-source">')
EQUATION = re.compile(r'<div class="math notranslate nohighlight">\s*\\\[(.*?)\\\]</div>', re.DOTALL)
#: A link to a figure, a table or an equation whose words are only what it is: the number is written here.
REFERENCE = re.compile(r'(<a [^>]*href="([^"#]*)#((figure|table|equation)-[\w-]+)"[^>]*>)(Figure|Table|Equation)</a>')
#: What is counted in a report's notebooks: the place of a figure or of a table; a table without one has a line alone.
PLACE = re.compile(r'id=\\"((?:figure|table)-[A-Za-z0-9-]+)\\"|<p class=\\"hb-source\\">')


def number(body: str, page: str, places: Places | None = None) -> str:
    """Write "Figure 3.1" or "Table 3.1" before each source line, a number at each equation, and numbers into links.

    Parameters
    ----------
    body : str
        HTML of the page.
    page : str
        Its name; one that begins with no number of a chapter has no numbers of its own.
    places : mapping of mapping, optional
        The number of every figure and table by its page and place; a link to one that this report has not leads to its
        chapter.

    Returns
    -------
    str
        The page.  What has no source line is not counted.

    Examples
    --------
    >>> number('<p class="hb-source">Data sheets.</p>', "03-memory")
    '<p class="hb-source"><b>Table 3.1</b> Data sheets.</p>'
    >>> number('<a href="09-cost.html#figure-spot">Figure</a>', "03-memory", {"09-cost": {"figure-spot": 2}})
    '<a href="09-cost.html#figure-spot">Figure 9.2</a>'
    """
    chapter = _chapter(page)
    if chapter:
        body = SOURCE.sub(_sources(chapter), body)
        equations = count(1)
        body = EQUATION.sub(lambda hit: _equation(hit[1], chapter, next(equations)), body)
    return REFERENCE.sub(lambda hit: _reference(hit, page, places or {}), body)


@lru_cache(maxsize=1)
def places(folder: Path) -> Places:
    """Return the number of each figure and each table in a folder of pages.

    Parameters
    ----------
    folder : Path
        Notebooks as they are given to Sphinx.

    Returns
    -------
    mapping of mapping
        Such as ``{"09-cost": {"figure-tornado": 2, "table-market": 1}}``.

    Examples
    --------
    >>> places(Path("no-such-folder"))
    {}
    """
    return {path.stem: _counted(path.read_text(encoding="utf-8")) for path in folder.glob("*.ipynb")}


def _counted(notebook: str) -> dict[str, int]:
    """Count the figures and the source lines of tables of a notebook; a place of a table belongs to the next line."""
    found: dict[str, int] = {}
    figures, tables, waiting = count(1), count(1), ""
    for hit in PLACE.finditer(notebook):
        place = hit[1] or ""
        if place.startswith("figure-"):
            found[place] = next(figures)
        elif place:
            waiting = place
        else:
            line = next(tables)
            found |= {waiting: line} if waiting else {}
            waiting = ""
    return found


def _chapter(page: str) -> int:
    """Return the number of a page's chapter, 0 where it has none."""
    hit = re.match(r"(?:.*/)?(\d\d)-", page)
    return int(hit[1]) if hit else 0


def _sources(chapter: int) -> Callable[[re.Match[str]], str]:
    """Return what writes the next number of a figure or a table."""
    numbers = {"figcaption": count(1), "p": count(1)}
    words = {"figcaption": "Figure", "p": "Table"}
    return lambda hit: f"{hit[0]}<b>{words[hit[1]]} {chapter}.{next(numbers[hit[1]])}</b> "


def _equation(formula: str, chapter: int, place: int) -> str:
    """Return an equation with its number, which a link can lead to."""
    start = f'<div class="math notranslate nohighlight" id="equation-{place}">'
    return rf"{start}\[{formula}\tag{{{chapter}.{place}}}\]</div>"


def _reference(hit: re.Match[str], page: str, places: Places) -> str:
    """Return a link with the number of what it leads to; to its page where this report has no such figure or table."""
    start, address, place, kind, word = hit.groups()
    target = address.removesuffix(".html") or page
    chapter, placed = _chapter(target), places.get(target.split("/")[-1], {})
    if kind == "equation":
        return f"{start}{word} {chapter}.{place.removeprefix('equation-')}</a>"
    if place in placed:
        return f"{start}{word} {chapter}.{placed[place]}</a>"
    return f"{start.replace(f'#{place}', '')}chapter {chapter}</a>" if address else f"the {word.lower()}"
