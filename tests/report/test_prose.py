"""No result is typed into a chapter's prose."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.report import book

from hopperbook.report import CHAPTERS
from hopperbook.report.prose import check_chapter, typed_numbers

FINE = [
    "An H100 SXM has FP8, the A100 has not; NVLink 4 and PCIe 5.0, HBM3e, sm_90a.",
    "Llama 3.3 70B and Qwen3-32B on vLLM 0.24.0, chapter 4, scenario 2, C07 and Q3.",
    "An 80 % range, in 2024, dated 2025-11-20; a 1g.10gb slice.",
    "1. First\n2. Second\n\n$e = 2.718$ and `3.14` and ```\n42\n```",
    "See [the link](04-network.ipynb#part-12); {users} users at {fill}.",
]
TYPED = {
    "The cache takes 105 GiB.": ["105 GiB"],
    "It costs $14,600 a month.": ["$14,600 a"],
    "H200 is 1.4 times as fast, 36 % dearer.": ["1.4 times", "36 %"],
    "About 9,100 tokens.": ["9,100 tokens"],
}


@pytest.mark.parametrize("text", FINE)
def test_names_and_definitions_may_stand(text: str) -> None:
    assert typed_numbers(text) == []


@pytest.mark.parametrize("text", TYPED)
def test_results_are_found(text: str) -> None:
    assert typed_numbers(text) == TYPED[text]


def test_templates_are_read_too(tmp_path: Path) -> None:
    path = tmp_path / "01-a.ipynb"
    cells = [("markdown", "# 1 question"), ("code", "display.text('It takes 105 GiB, {n}.', n=n)\nx = 'not 99 prose'")]
    path.write_text(book.notebook(cells), encoding="utf-8")
    assert check_chapter(path) == ["01-a, cell 2: typed into prose: 105 GiB"]


def test_the_book_types_no_result() -> None:
    assert [line for path in sorted(CHAPTERS.glob("[0-9][0-9]-*.ipynb")) for line in check_chapter(path)] == []
