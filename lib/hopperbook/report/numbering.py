"""Numbers of figures, tables and equations, counted in the order of a page below its chapter's; and links by number."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import count
from pathlib import Path

#: The line below a figure or table that says where it comes from; a figure's is its caption.
SOURCE = re.compile(r'<(figcaption|p) class="hb-source">')
EQUATION = re.compile(r'<div class="math notranslate nohighlight">\s*\\\[(.*?)\\\]</div>', re.DOTALL)
#: A link to a figure or an equation whose words are only what it is: the number is written here.
REFERENCE = re.compile(r'(<a [^>]*href="([^"#]*)#((figure|equation)-[\w-]+)"[^>]*>)(Figure|Equation)</a>')


def number(body: str, page: str, figures: Mapping[str, Sequence[str]] | None = None) -> str:
    """Write "Figure 3.1" or "Table 3.1" before each source line, a number at each equation, and numbers into links.

    Parameters
    ----------
    body : str
        HTML of the page.
    page : str
        Its name; one that begins with no number of a chapter has no numbers of its own.
    figures : mapping of str, optional
        The places of every page's figures in their order, by the page's name; a link to one that
        this report has not leads to its chapter.

    Returns
    -------
    str
        The page.  What has no source line is not counted.

    Examples
    --------
    >>> number('<p class="hb-source">Data sheets.</p>', "03-memory")
    '<p class="hb-source"><b>Table 3.1</b> Data sheets.</p>'
    >>> number('<a href="09-cost.html#figure-spot">Figure</a>', "03-memory", {"09-cost": ["figure-a", "figure-spot"]})
    '<a href="09-cost.html#figure-spot">Figure 9.2</a>'
    """
    chapter = _chapter(page)
    if chapter:
        body = SOURCE.sub(_sources(chapter), body)
        places = count(1)
        body = EQUATION.sub(lambda hit: _equation(hit[1], chapter, next(places)), body)
    return REFERENCE.sub(lambda hit: _reference(hit, page, figures or {}), body)


@lru_cache(maxsize=1)
def figures(folder: Path) -> dict[str, list[str]]:
    """Return the places of the figures in a folder of pages, in their order.

    Parameters
    ----------
    folder : Path
        Notebooks as they are given to Sphinx.

    Returns
    -------
    dict of list
        Such as ``figure-tornado``, by the page's name.

    Examples
    --------
    >>> figures(Path("no-such-folder"))
    {}
    """
    return dict(_figures(folder))


def _figures(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield each page with the places of its figures."""
    for path in folder.glob("*.ipynb"):
        yield path.stem, re.findall(r'id=\\"(figure-[A-Za-z0-9-]+)\\"', path.read_text(encoding="utf-8"))


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


def _reference(hit: re.Match[str], page: str, figures: Mapping[str, Sequence[str]]) -> str:
    """Return a link with the number of what it leads to; to its page where this report has no such figure."""
    start, address, place, kind, word = hit.groups()
    target = address.removesuffix(".html") or page
    chapter, placed = _chapter(target), figures.get(target.split("/")[-1], ())
    if kind == "equation":
        return f"{start}{word} {chapter}.{place.removeprefix('equation-')}</a>"
    if place in placed:
        return f"{start}{word} {chapter}.{list(placed).index(place) + 1}</a>"
    return f"{start.replace(f'#{place}', '')}chapter {chapter}</a>" if address else "the figure"
