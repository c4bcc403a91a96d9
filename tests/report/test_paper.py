"""A report on paper: one document whose links lead to places in it, and a PDF with bookmarks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.report import book

from hopperbook import report
from hopperbook.errors import InputError
from hopperbook.report import paper


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("paper")
    return report.build({"name": "Zed & <b>"}, folder / "report", chapters_dir=book.write(folder / "chapters")).parent


def test_every_link_of_the_document_leads_to_a_place_in_it_or_to_the_web(site: Path) -> None:
    text = paper.document(site)
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    links = re.findall(r'<a [^>]*href="([^"]*)"', text)
    assert links
    assert [link for link in links if link.startswith("#") and link[1:] not in ids] == []
    assert [link for link in links if not link.startswith(("#", "https://", "http://"))] == []
    assert "Zed &amp; &lt;b&gt;" in text


def test_a_brief_is_the_first_page(site: Path) -> None:
    assert "What is new?" in paper.document(site)
    assert "What is new?" not in paper.document(site, brief=True)


def test_a_folder_without_a_report_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="report"):
        paper.document(tmp_path)
