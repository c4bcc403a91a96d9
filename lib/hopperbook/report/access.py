"""What keeps people out of a page, by axe: contrast, names, roles, landmarks."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path

from hopperbook.report.browser import Browser

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
