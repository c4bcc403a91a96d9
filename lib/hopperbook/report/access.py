"""What keeps people out of a page, by axe: contrast, names, roles, landmarks."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path

from hopperbook.report.browser import Browser

#: Where pages are looked at: each width once, each theme once.
SEEN = ((1400, "light"), (390, "dark"))
LOOK = (Path(__file__).parent / "looks" / "access.js").read_text(encoding="utf-8")


@cache
def engine() -> str:
    """Return axe, of the package ``axe-core-python``.

    Returns
    -------
    str
        A script.
    """
    return files("axe_core_python").joinpath("axe.min.js").read_text(encoding="utf-8")


def findings(browser: Browser) -> list[str]:
    """Return what axe finds on the page that is open.

    Parameters
    ----------
    browser : Browser
        With an open page.

    Returns
    -------
    list of str
        One line a rule, of any impact; empty when all is well.
    """
    browser.evaluate(f"{engine()};0")
    return browser.evaluate(LOOK)


def check_site(site: Path) -> list[str]:
    """Return what axe finds on every page of a site.

    Parameters
    ----------
    site : Path
        A built site.

    Returns
    -------
    list of str
        One line a page and rule.
    """
    found = []
    with Browser() as browser:
        for page in sorted(site.glob("*.html")):
            for width, theme in SEEN:
                browser.open(page.resolve().as_uri(), width, theme)
                found += [f"{page.name} at {width} px, {theme}: {line}" for line in findings(browser)]
    return found
