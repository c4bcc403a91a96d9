"""Writes the chart library that pages load, from the installed vl-convert: ``python -m hopperbook.report.vendor``."""

from __future__ import annotations

from pathlib import Path

STATIC = Path(__file__).parent / "static"
BUNDLE = STATIC / "vega" / "vega-bundle.js"


def bundle() -> str:
    """Return Vega, Vega-Lite and Vega-Embed as one script whose top-level names stay its own.

    Returns
    -------
    str
        A script that sets ``window.hbVegaEmbed``.
    """
    import vl_convert

    body = vl_convert.javascript_bundle("window.hbVegaEmbed = vegaEmbed;", vl_version="6.4")
    return "(function () {\n" + body.rstrip() + "\n})();\n"


if __name__ == "__main__":
    BUNDLE.write_text(bundle(), encoding="utf-8")
