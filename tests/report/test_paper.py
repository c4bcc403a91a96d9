"""A report on paper: one document whose links lead to places in it, and a PDF with bookmarks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.report import book

from hopperbook import report
from hopperbook.errors import InputError
from hopperbook.report import paper


def long(folder: Path) -> Path:
    """Build a report with more questions to the seller than a sheet holds."""
    asked = [("Price", "What does it cost?", "known"), *(("Lead time", "When?", "known"),) * 90]
    order = [
        ("markdown", "# Yours\n\n## What to ask the seller\n\nSend these questions."),
        ("code", f"from hopperbook import display\ndisplay.table([dict(zip('abc', row)) for row in {asked}])"),
        ("markdown", "## What to do on Monday\n\nRent one replica."),
    ]
    chapters = book.write(folder / "chapters", _10_scenarios=order)
    return report.build({"name": "Zed & <b>"}, folder / "report", chapters_dir=chapters).parent


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return long(tmp_path_factory.mktemp("paper"))


def test_every_link_of_the_document_leads_to_a_place_in_it_or_to_the_web(site: Path) -> None:
    text = paper.document(site)
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    links = re.findall(r'<a [^>]*href="([^"]*)"', text)
    assert links
    assert [link for link in links if link.startswith("#") and link[1:] not in ids] == []
    assert [link for link in links if not link.startswith(("#", "https://", "http://"))] == []
    assert "Zed &amp; &lt;b&gt;" in text


def test_a_brief_is_two_sheets_of_what_the_report_says(site: Path) -> None:
    text = paper.document(site, brief=True)
    assert text.count('<section class="hb-part hb-sheet') == 2
    first, second = text.split('<section class="hb-part hb-sheet')[1:]
    assert "Rent 8 GPUs for 300 users" in first and "$14,600" in first and "Rent one replica" in first
    assert "Lead time" in first and "hb-stamp" in second and "hb-stamp" not in first
    assert "What is new?" not in text and "<a " not in text.replace("<abbr", "")


def test_a_folder_without_a_report_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="report"):
        paper.document(tmp_path)
