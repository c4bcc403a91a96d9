"""The customer's or seller's own look: a logo, an accent colour, a line at the foot of every page.

The logo is shown as a picture of its own, never as part of the page, so that nothing in it can run or load.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from hopperbook.errors import InputError
from hopperbook.report import given, svg

MOST_BYTES = 200_000
#: What text of a colour needs on a page, and the pages of both themes.
CONTRAST, LIGHT, DARK = 4.5, "#ffffff", "#121212"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
ARTICLE = re.compile(r'<article class="bd-article"[^>]*>')
PROLOG = re.compile(r"\A\ufeff?\s*(?:<\?xml[^>]*\?>|<!--.*?-->|<!DOCTYPE[^>\[]*>|\s)*", re.DOTALL)


def check(field: str, path: Path) -> bytes:
    """Return what a file of the look holds, refusing what is none.

    Parameters
    ----------
    field : str
        ``logo`` or ``language``.
    path : Path
        An SVG or PNG file, or a catalogue of words.

    Returns
    -------
    bytes
        The file.

    Raises
    ------
    InputError
        If the file is missing, too large, named oddly, of another type, or an SVG that holds more than a picture.
    """
    if not path.is_file():
        raise InputError(field, path.name, "an existing file beside the customer's file")  # others may be of others
    if not NAME.fullmatch(path.name):
        raise InputError(field, path.name, "a file whose name has letters, digits, dashes and dots only")
    if field == "language":
        from hopperbook.report import catalogue

        catalogue.read(path)
        return path.read_bytes()
    if path.stat().st_size > MOST_BYTES:
        raise InputError(field, path.name, f"at most {MOST_BYTES:,} bytes; this one has {path.stat().st_size:,}")
    content = path.read_bytes()
    if path.suffix.lower() == ".png":
        if not content.startswith(b"\x89PNG\r\n\x1a\n"):
            raise InputError(field, path.name, "a PNG picture; this file is none")
    elif not _only_a_picture(content):
        raise InputError(field, path.name, "an SVG picture without scripts, handlers, pages in it and links elsewhere")
    return content


def _only_a_picture(content: bytes) -> bool:
    """Return whether an SVG file draws and does nothing else; its style sheet may not load anything either."""
    try:
        picture = PROLOG.sub("", content.decode("utf-8"), count=1)
    except UnicodeDecodeError:
        return False
    plain = re.sub(r"<!--.*?-->", "", re.sub(r"(</?\s*)style\b", r"\1desc", picture), flags=re.DOTALL)
    return "@import" not in plain.lower() and svg.harmless(plain.replace("<svg:", "<"))


def contrast(colour: str, page: str) -> float:
    """Return the contrast of two colours, from 1 to 21.

    .. math:: \\frac{L_1 + 0.05}{L_2 + 0.05}

    with the relative luminance of each, as accessibility guidelines define it.

    Parameters
    ----------
    colour, page : str
        ``#rrggbb``.

    Returns
    -------
    float
        The ratio.

    Examples
    --------
    >>> round(contrast("#000000", "#ffffff"), 1), round(contrast("#0067b5", "#ffffff"), 1)
    (21.0, 5.8)
    """
    light, dark = sorted((_luminance(colour), _luminance(page)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _parts(colour: str) -> list[int]:
    return [int(colour[place : place + 2], 16) for place in (1, 3, 5)]


def _luminance(colour: str) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (p / 255 for p in _parts(colour))]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def readable(colour: str, page: str) -> str:
    """Return a colour, mixed with as little black or white as makes it readable on a page.

    Parameters
    ----------
    colour : str
        ``#rrggbb``.
    page : str
        Colour of the page.

    Returns
    -------
    str
        ``#rrggbb`` with a contrast of at least 4.5 to 1.

    Examples
    --------
    >>> readable("#0067b5", LIGHT), readable("#0067b5", DARK)
    ('#0067b5', '#2e82c2')
    """
    end = 0 if page == LIGHT else 255
    for step in range(101):
        mixed = "#" + "".join(f"{round(part + (end - part) * step / 100):02x}" for part in _parts(colour))
        if contrast(mixed, page) >= CONTRAST:
            return mixed
    return "#000000" if page == LIGHT else "#ffffff"


def said(parameters: Mapping[str, Any]) -> str:
    """Say how the accent colour is shown, where it had to be changed to stay readable.

    Parameters
    ----------
    parameters : mapping
        The customer's fields.

    Returns
    -------
    str
        A sentence; empty where the colour stays as it is, or none was given.

    Examples
    --------
    >>> said({"accent": "#ffcc00"})
    'accent #ffcc00 is shown as #8f7200 on white and as #ffcc00 on dark pages, so that words keep 4.5:1'
    """
    colour = str(parameters.get("accent", ""))
    if not colour:
        return ""
    light, dark = readable(colour, LIGHT), readable(colour, DARK)
    if light == dark == colour:
        return ""
    return f"accent {colour} is shown as {light} on white and as {dark} on dark pages, so that words keep 4.5:1"


def dress(site: Path, parameters: Mapping[str, Any]) -> None:
    """Put the customer's look into every page of a report, and its files beside them.

    Parameters
    ----------
    site : Path
        Pages made from chapters.
    parameters : mapping
        The customer's fields.

    Raises
    ------
    InputError
        As :func:`check`.
    """
    for field, path in given.look_files(parameters).items():
        (site / path.name).write_bytes(check(field, path))
    style, head, foot = _style(parameters), _head(parameters), _foot(parameters)
    if not style + head + foot:
        return
    for path in sorted(site.glob("*.html")):
        page = path.read_text(encoding="utf-8").replace("</head>", f"{style}</head>", 1)
        page = ARTICLE.sub(lambda hit: hit[0] + head, page, count=1)
        path.write_text(page.replace("</article>", f"{foot}</article>", 1), encoding="utf-8")


def _style(parameters: Mapping[str, Any]) -> str:
    """Return the style sheet of the accent colour."""
    colour = str(parameters.get("accent", ""))
    if not colour:
        return ""
    rules = (
        (':root, html[data-theme="light"]', readable(colour, LIGHT), ".35"),
        ('html[data-theme="dark"]', readable(colour, DARK), ".42"),
    )
    sheet = "".join(
        f"{where} {{ --hb-accent: {shown}; --hb-band: rgb({' '.join(map(str, _parts(shown)))} / {clear}) }}"
        for where, shown, clear in rules
    )
    on_paper = f'@media print {{ html, html[data-theme="dark"] {{ --hb-accent: {rules[0][1]} }} }}'
    return f"<style>{sheet}{on_paper}</style>"


def _head(parameters: Mapping[str, Any]) -> str:
    """Return the logo."""
    logo = given.look_files(parameters).get("logo")
    if logo is None:
        return ""
    name = escape(str(parameters.get("name", "")))
    return f'<p class="hb-logo mathjax_ignore"><img src="{escape(logo.name)}" alt="{name}" /></p>'


def _foot(parameters: Mapping[str, Any]) -> str:
    """Return the line at the foot of each page; on paper it stands on each sheet."""
    line = escape(str(parameters.get("confidentiality", "")))
    return f'<p class="hb-secret mathjax_ignore">{line}</p>' if line else ""
