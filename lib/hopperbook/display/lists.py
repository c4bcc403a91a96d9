"""Lists that other pages link to: the sources of the book and its words, each entry with an anchor of its own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from hopperbook.display.core import block, escape, show


class Reference(NamedTuple):
    """A source: its key, who wrote it, its title, the year, where it stands on the web, and a note."""

    key: str
    who: str
    title: str
    year: str = ""
    url: str = ""
    note: str = ""


def anchor(kind: str, name: str) -> str:
    """Return the anchor of an entry, for a link from another page.

    Parameters
    ----------
    kind : str
        ``source`` or ``word``.
    name : str
        The entry's key or term.

    Returns
    -------
    str
        An id of lower-case letters, digits and hyphens.

    Examples
    --------
    >>> anchor("word", "tensor parallel (TP)")
    'word-tensor-parallel-tp'
    """
    return f"{kind}-" + re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def references(entries: Sequence[Reference]) -> None:
    """Show the sources as a list, each with its anchor and a link to where it stands.

    Parameters
    ----------
    entries : sequence of Reference
        In the order shown.

    Examples
    --------
    >>> references([Reference("a-2024", "A. Author", "On rooflines", "2024", "https://example.org/a", "Preprint")])
    A. Author. On rooflines. 2024. https://example.org/a. Preprint.
    """
    html, lines = "", []
    for each in entries:
        shown = f"<cite>{escape(each.title)}</cite>"
        if each.url.startswith(("https://", "http://")):
            shown = f'<a href="{escape(each.url)}" rel="noreferrer">{shown}</a>'
        parts = [escape(each.who), shown, escape(each.year), escape(each.note)]
        html += f'<li id="{anchor("source", each.key)}">{". ".join(part for part in parts if part)}.</li>'
        lines.append(". ".join(filter(None, (each.who, each.title, each.year, each.url, each.note))) + ".")
    show(block("references", f"<ul>{html}</ul>"), "\n".join(lines))


def glossary(entries: Sequence[tuple[str, str]]) -> None:
    """Show the book's words, each with its anchor and meaning.

    Parameters
    ----------
    entries : sequence of tuple
        ``(term, meaning)``.

    Examples
    --------
    >>> glossary([("prefill", "Reading the prompt.")])
    prefill: Reading the prompt.
    """
    html = "".join(
        f'<dt id="{anchor("word", term)}">{escape(term)}</dt><dd>{escape(meaning)}</dd>' for term, meaning in entries
    )
    show(block("glossary", f"<dl>{html}</dl>"), "\n".join(f"{term}: {meaning}" for term, meaning in entries))
