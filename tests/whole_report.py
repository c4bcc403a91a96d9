"""Check a whole report in headless Chromium, in another language and unpacked from its zip.

``whole_report.py [CUSTOMER]``; the pseudo-language changes every word that passes through the catalogue, so that
English that is left did not.  `make browser` runs this after the pages themselves; it takes some minutes.
"""

from __future__ import annotations

import re
import sys
import tempfile
import zipfile
from html import unescape
from pathlib import Path

from hopperbook import customer, facts, report
from hopperbook.report import catalogue, links, spoken, words, zipped
from hopperbook.report.browser import check_site


def english_left(site: Path, fields: dict[str, object]) -> list[str]:
    """Return the English that pages in the pseudo-language still say, one line a page."""
    found, own = [], spoken.own_words(fields)
    theirs = re.compile("|".join(map(re.escape, sorted(own, key=len, reverse=True))))
    for path in sorted(site.glob("*.html")):
        page, listener = path.read_text(encoding="utf-8"), catalogue.Listener()
        words.page(page, listener.say, own)
        drawn = [
            theirs.sub("", unescape(re.sub("<[^>]+>", "", text)))
            for text in re.findall(r"<text\b.*?</text>", page, re.DOTALL)
        ]
        said = [*listener.heard, *(words.message(text)[0] for text in drawn)]
        left = catalogue.left_english(said)
        found += [f"{path.name}: English is left, such as {left[:3]}"] if left else []
    return found


def in_another_language(site: Path, fields: dict[str, object], folder: Path) -> list[str]:
    """Build the report again in the pseudo-language and return what is wrong with it."""
    file = folder / "pseudo.po"
    catalogue.write(file, spoken.extract([site]), catalogue.PSEUDO_LANGUAGE, pseudo=True)
    made = report.build(fields | {"language": str(file)}, folder / "pseudo").parent
    wrong = [*links.check_links(made), *english_left(made, fields)]
    return wrong + check_site(made, widths=(390,), themes=("dark",))


def unpacked(site: Path, folder: Path) -> list[str]:
    """Pack the report, unpack it elsewhere and return what is wrong with it there."""
    with zipfile.ZipFile(zipped.write(site, folder / "report.zip")) as packed:
        packed.extractall(folder / "sent")
    (made,) = (folder / "sent").iterdir()
    return links.check_links(made) + check_site(made, widths=(1400,), themes=("light",))


def main() -> None:
    """Check the report of a customer, the book's own by default."""
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else facts.DATA / "customers" / "default.yaml"
    fields = customer.load(path).model_dump()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        site = report.build(fields, folder / "report").parent
        wrong = unpacked(site, folder) + in_another_language(site, fields, folder)
    print("\n".join(wrong) or "The report is whole in another language and unpacked from its zip")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
