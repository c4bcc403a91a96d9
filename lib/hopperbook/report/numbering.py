"""Numbers of figures and tables: counted in the order of a page, below its chapter's number."""

from __future__ import annotations

import re
from itertools import count

#: The line below a figure or table that says where it comes from; a figure's is its caption.
SOURCE = re.compile(r'<(figcaption|p) class="hb-source">')


def number(body: str, page: str) -> str:
    """Write "Figure 3.1" or "Table 3.1" before each source line of a page.

    Parameters
    ----------
    body : str
        HTML of the page.
    page : str
        Its name; one that begins with no number of a chapter stays as it is.

    Returns
    -------
    str
        The page.  What has no source line is not counted.

    Examples
    --------
    >>> number('<p class="hb-source">Data sheets.</p>', "03-memory")
    '<p class="hb-source"><b>Table 3.1</b> Data sheets.</p>'
    """
    chapter = re.match(r"(?:.*/)?(\d\d)-", page)
    if not chapter:
        return body
    numbers = {"figcaption": count(1), "p": count(1)}
    words = {"figcaption": "Figure", "p": "Table"}

    def numbered(hit: re.Match[str]) -> str:
        return f"{hit[0]}<b>{words[hit[1]]} {int(chapter[1])}.{next(numbers[hit[1]])}</b> "

    return SOURCE.sub(numbered, body)
