"""The Content-Security-Policy of every page: what a report needs from itself, and nothing from anywhere else."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from pathlib import Path

#: What a page may load: its own files, pictures that it holds itself, styles, and no connection to anywhere.
REST = (
    "default-src 'none'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:;"
    " connect-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'"
)
SCRIPT = re.compile(r"<script(?P<attributes>[^>]*)>(?P<body>.*?)</script\s*>", re.DOTALL | re.IGNORECASE)
CHARSET = re.compile(r'<meta charset="utf-8"\s*/?>', re.IGNORECASE)
MARK = '<meta http-equiv="Content-Security-Policy"'
#: The theme's scripts that stand in a page itself, to the letter; a page's name is the one thing that differs.
KNOWN = (
    r'\s*document\.documentElement\.dataset\.mode = localStorage\.getItem\("mode"\) \|\| "auto";\s*'
    r'document\.documentElement\.dataset\.theme = localStorage\.getItem\("theme"\) \|\| "auto";\s*',
    r"let toggleHintShow = '[\w ]*';",
    r"let toggleHintHide = '[\w ]*';",
    r"let toggleOpenOnPrint = '\w+';",
    r"var togglebuttonSelector = '[\w., ]+';",
    r'window\.MathJax = \{"options": \{"processHtmlClass": "[\w|]+"\}\}',
    r"DOCUMENTATION_OPTIONS\.pagename = '[\w/-]+';",
    r"DOCUMENTATION_OPTIONS\.search_as_you_type = (true|false);",
    r"\s*// Activate the search field on page load\s*let searchInput = document\.querySelector"
    r'\("form\.bd-search input"\);\s*if \(searchInput\) \{\s*searchInput\.focus\(\);\s*searchInput\.select\(\);'
    r'\s*console\.log\("\[PST\]: Set focus on search field\."\);\s*\}\s*',
)
HANDLERS = ("toggleFullScreen()", "window.print()")
_known = re.compile("|".join(f"(?:{each})" for each in KNOWN))


def content(page: str) -> str:
    """Return the policy of a page: its own files, and those of its inline scripts that are known to be the theme's.

    Parameters
    ----------
    page : str
        HTML.

    Returns
    -------
    str
        The policy.

    Examples
    --------
    >>> pages = ("<script>let toggleOpenOnPrint = 'true';</script>", "<script>x</script>")
    >>> ["sha256" in content(page) for page in pages]
    [True, False]
    """
    known = [hit["body"] for hit in SCRIPT.finditer(page) if _is_inline(hit) and _known.fullmatch(hit["body"])]
    known += [each for each in HANDLERS if f'onclick="{each}"' in page]
    hashes = " ".join(sorted({f"'sha256-{_hash(body)}'" for body in known}))
    handlers = " 'unsafe-hashes'" if any(f'onclick="{each}"' in page for each in HANDLERS) else ""
    return f"{REST}; script-src 'self'{handlers} {hashes}".rstrip()


def _is_inline(hit: re.Match[str]) -> bool:
    """Return whether a script element holds a script, not the name of a file or data."""
    return " src=" not in hit["attributes"] and "application/json" not in hit["attributes"]


def _hash(body: str) -> str:
    return base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()


def unknown(page: str) -> list[str]:
    """Return what a page wants to run and its policy does not allow.

    Parameters
    ----------
    page : str
        HTML.

    Returns
    -------
    list of str
        The beginnings of scripts.

    Examples
    --------
    >>> unknown("<p onclick='x()'>"), unknown("<script>alert(1)</script>")
    (['x()'], ['alert(1)'])
    """
    scripts = [hit["body"] for hit in SCRIPT.finditer(page) if _is_inline(hit)]
    outside = SCRIPT.sub("", page)
    handlers = [hit[2] for hit in re.finditer(r"<[a-zA-Z][^<>]*\son[a-z]+\s*=\s*([\"'])(.*?)\1", outside)]
    found = [body for body in scripts if not _known.fullmatch(body)]
    found += [handler for handler in handlers if handler not in HANDLERS]
    return [body.strip()[:60] for body in found]


def without(page: str) -> str:
    """Return a page without its policy, to be changed and given a new one.

    Parameters
    ----------
    page : str
        HTML.

    Returns
    -------
    str
        HTML.

    Examples
    --------
    >>> without('<p><meta http-equiv="Content-Security-Policy" content="x" />a</p>')
    '<p>a</p>'
    """
    return re.sub(rf'\s*{re.escape(MARK)} content="[^"]*" />', "", page, count=1)


def put_in(path: Path) -> None:
    """Put its policy into a page, before anything that it loads.

    Parameters
    ----------
    path : Path
        A page; one that has a policy stays as it is.
    """
    page = path.read_text(encoding="utf-8")
    if MARK in page:
        return
    element = f'{MARK} content="{html.escape(content(page), quote=True)}" />'
    path.write_text(CHARSET.sub(lambda hit: f"{hit[0]}\n    {element}", page, count=1), encoding="utf-8")
