"""The report in two pages: the decision and what to do about it, then what else there was and what it rests on."""

from __future__ import annotations

import re
from html import escape
from pathlib import Path

#: What stands on each page: blocks of the first chapter by their kind, and sections of the last plan by their place.
#: A missing one is left out: a customer for whom nothing is recommended has nothing to order.
FIRST = (
    "hb-title",
    "hb-text",
    "hb-cards",
    "#your-bill-of-materials",
    "#what-to-ask-the-seller",
    "#what-to-do-on-monday",
)
SECOND = ("hb-options", "hb-flips", "hb-notes", "#what-goes-in", "hb-stamp")
ORDER = "10-scenarios"
VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
TAG = re.compile(r"<(/?)([a-zA-Z][\w:-]*)[^>]*?(/?)>")
#: Sheets of A4 whose margins are the style sheet's own; the questions to a seller stand without what we know of them.
STYLE = """
.hb-sheet { break-after: page; zoom: var(--hb-zoom, .62) !important; }
.hb-sheet:last-child { break-after: auto; }
.hb-sheet section { clear: both; }
.hb-sheet h2, .hb-sheet h3 { margin: 10px 0 2px; font-size: 17px; }
.hb-sheet .hb-text { max-width: none; margin: 6px 0; }
.hb-sheet details, .hb-sheet .hb-door, .hb-sheet .hb-links, .hb-sheet .headerlink { display: none !important; }
.hb-sheet p, .hb-sheet .hb-fold { max-width: none !important; }
.hb-sheet .hb-fold, .hb-sheet .hb-fold p { margin: 0; }
.hb-sheet #what-goes-in :is(th, td):not(:first-child, :last-child) { display: none; }
.hb-sheet #what-to-ask-the-seller :is(th, td):nth-child(n+3) { display: none; }
"""
#: Shrinks each sheet until it fits a page; run in the browser that prints.
FIT = """(() => {
  const page = document.createElement("div");
  page.style.cssText = "position:absolute;visibility:hidden;width:%(wide)smm;height:%(high)smm";
  document.body.append(page);
  const wide = page.offsetWidth, high = page.offsetHeight;
  page.remove();
  document.body.style.width = wide + "px";
  const found = [];
  for (const sheet of document.querySelectorAll(".hb-sheet")) {
    let zoom = 0.8;
    for (; zoom > 0.3; zoom -= 0.02) {
      sheet.style.setProperty("--hb-zoom", zoom);
      if (sheet.getBoundingClientRect().height <= high) break;
    }
    found.push(Math.round(100 * zoom) / 100);
  }
  document.body.style.width = "";
  return found;
})()"""


def element(page: str, start: int) -> str:
    """Return the element that begins at a place, up to its end.

    Parameters
    ----------
    page : str
        HTML.
    start : int
        Where its first tag begins.

    Returns
    -------
    str
        HTML of the element.

    Examples
    --------
    >>> element('<p><div class="a">b<div>c</div></div>d</p>', 3)
    '<div class="a">b<div>c</div></div>'
    """
    depth = 0
    for tag in TAG.finditer(page, start):
        if tag[2].lower() not in VOID and not tag[3]:
            depth += -1 if tag[1] else 1
        if depth == 0:
            return page[start : tag.end()]
    return page[start:]


def blocks(page: str, kind: str) -> list[str]:
    """Return the blocks of a kind, or the section at a place, in a page.

    Parameters
    ----------
    page : str
        HTML.
    kind : str
        A class of our blocks, or ``#`` and a section's id.

    Returns
    -------
    list of str
        HTML of each.

    Examples
    --------
    >>> blocks('<div class="hb hb-cards x">a</div><section id="s">b</section>', "#s")
    ['<section id="s">b</section>']
    """
    if kind.startswith("#"):
        pattern = rf'<section [^>]*\bid="{re.escape(kind[1:])}"'
        pattern = pattern.replace("<section [^>]*", "<section (?:[^>]*)?")
    else:
        pattern = rf'<div class="hb (?:[\w-]+ )*{kind}\b[^"]*"'
    return [element(page, hit.start()) for hit in re.finditer(pattern, page)]


def body(site: Path) -> str:
    """Return the two pages of a report's brief.

    Parameters
    ----------
    site : Path
        A built report.

    Returns
    -------
    str
        HTML of two sheets.
    """
    answer = (site / "index.html").read_text(encoding="utf-8")
    order_path = site / f"{ORDER}.html"
    order = order_path.read_text(encoding="utf-8") if order_path.is_file() else ""
    logo = re.search(r'<p class="hb-logo.*?</p>', answer, re.DOTALL)
    sheets = []
    for kinds in (FIRST, SECOND):
        found = [part for kind in kinds for part in _found(order if kind.startswith("#") else answer, kind)]
        sheets.append("".join(found))
    head = logo[0] if logo else ""
    shown = [f'<section class="hb-part hb-sheet bd-article">{part}</section>' for part in (head + sheets[0], sheets[1])]
    return "".join(shown)


def _found(page: str, kind: str) -> list[str]:
    """Return blocks; of the texts of the first page those above the cards, which say how sure the answer is."""
    if kind == "hb-text":
        page = page.split('<div class="hb hb-cards', 1)[0]
    return blocks(page, kind)


def document(site: Path, title: str, head: str, language: str) -> str:
    """Return a report's brief as one document.

    Parameters
    ----------
    site : Path
        A built report.
    title : str
        HTML of its title.
    head : str
        The style sheets of its pages.
    language : str
        Of its words.

    Returns
    -------
    str
        HTML that stands beside the report's ``_static``.
    """
    text = re.sub(r'<a class="headerlink".*?</a>|<a [^>]*>CSV</a>', "", body(site), flags=re.DOTALL)
    text = re.sub(r'<a\b[^>]*\bhref="(?!https?:)[^"]*"[^>]*>(.*?)</a>', r"\1", text, flags=re.DOTALL)
    text = re.sub(r'<script type="application/json".*?</script>', "", text, flags=re.DOTALL)
    return (
        f'<!DOCTYPE html><html lang="{escape(language)}" data-theme="light"><head><meta charset="utf-8">'
        f"<title>{title}</title>{head}<style>{STYLE}</style></head>"
        f'<body><main class="bd-content">{text}</main></body></html>'
    )
