"""The pages: safe against what customers write, the same bytes everywhere, complete without a network."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml
from tests.report import book

from hopperbook import report
from hopperbook.errors import InputError
from hopperbook.report import publish, render, svg
from hopperbook.report.kept.store import Store

EVIL = '<script>alert(1)</script> {{ 7*7 }} **bold** $x$ `a` [l](javascript:x) "q" & \\( y \\)'


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("book")
    chapters = book.write(folder / "chapters")
    report.build({"name": EVIL, "users": 7}, folder / "report", chapters_dir=chapters)
    return folder / "report"


def test_a_customer_name_stays_text(built: Path) -> None:
    page = (built / "index.html").read_text(encoding="utf-8")
    assert (
        "<script>alert" not in page
        and "<strong>bold" not in page
        and "javascript:x" not in re.findall('href="[^"]*"', page)
    )
    assert "&lt;script&gt;alert(1)&lt;/script&gt; {{ 7*7 }} **bold** $x$ `a`" in page
    for hit in re.finditer(r"\{\{ 7\*7 \}\}", page):
        before = page[: hit.start()]
        start = max(before.rfind('class="hb '), before.rfind('class="highlight'), before.rfind("<svg"))
        assert "mathjax_ignore" in before[start : start + 60] or "highlight" in before[start : start + 60]


def test_every_link_resolves_and_nothing_is_loaded_from_elsewhere(built: Path) -> None:
    assert report.check(built) == []


def test_results_data_and_notebooks_are_there(built: Path) -> None:
    results = json.loads((built / "results.json").read_text(encoding="utf-8"))
    assert results["parameters"]["users"] == 7
    assert results["results"]["monthly_cost_usd"] == {
        "chapter": "00-the-answer",
        "high": 18000.0,
        "low": 12000.0,
        "value": 14600.0,
    }
    assert (built / "data/01-hopper/bandwidth.csv").read_text() == "item,TB/s\nA100,2.0\nH100,3.35\n"
    page = (built / "01-hopper.html").read_text(encoding="utf-8")
    assert 'href="data/01-hopper/numbers.csv"' in page and 'href="_sources/01-hopper.ipynb"' in page
    notebook = (built / "_sources/01-hopper.ipynb").read_text(encoding="utf-8")
    assert '"cells":[' in notebook and "vegalite" in notebook and "vnd.hopperbook" not in notebook
    (handed,) = built.glob("*.yaml")
    assert yaml.safe_load(handed.read_text(encoding="utf-8"))["name"] == results["parameters"]["name"]
    assert f'href="{handed.name}" download' in page
    assert "<h1>1. What is new?" in page


def test_a_chart_is_a_picture_with_words(built: Path) -> None:
    page = (built / "01-hopper.html").read_text(encoding="utf-8")
    assert page.count('<div class="hb-svg hb-wide" role="img" aria-label="Two bars."><svg') == 1
    assert page.count('<div class="hb-svg hb-narrow" role="img" aria-label="Two bars."><svg') == 1
    assert "<!--hb:" not in page


def test_the_chart_script_stands_only_where_a_chart_is_live(built: Path) -> None:
    assert "figures.js" not in (built / "index.html").read_text(encoding="utf-8")


def test_same_bytes_in_another_folder_and_without_the_cache(built: Path, tmp_path: Path) -> None:
    chapters = book.write(tmp_path / "other" / "chapters")
    again = tmp_path / "deep" / "er" / "report"
    report.build({"name": EVIL, "users": 7}, again, chapters_dir=chapters, workers=1, store=Store(tmp_path / "store"))
    names = sorted(path.relative_to(built) for path in built.rglob("*") if path.is_file())
    assert names == sorted(path.relative_to(again) for path in again.rglob("*") if path.is_file())
    assert [name for name in names if (built / name).read_bytes() != (again / name).read_bytes()] == []
    machine = [str(tmp_path), str(built.parent), "/tmp/"]
    texts = {
        name: (again / name).read_text(errors="replace")
        for name in names
        if name.suffix in (".html", ".js", ".json", ".ipynb")
    }
    assert [
        name for name, text in texts.items() if any(place in text for place in machine) and "_static" not in str(name)
    ] == []


def test_a_picture_that_was_spoilt_in_the_store_is_drawn_again(tmp_path: Path) -> None:
    chapters, store = book.write(tmp_path / "chapters"), Store(tmp_path / "store")
    report.build({"users": 1}, tmp_path / "one", chapters_dir=chapters, store=store)
    keys = store.keys("pictures")
    assert keys
    for key in keys:  # sealed like a good one, by somebody who knows how
        assert svg.harmless(store.get("pictures", key))
        store.put("pictures", key, "<svg><script>alert(1)</script></svg>")
    report.build({"users": 2}, tmp_path / "two", chapters_dir=chapters, store=store)
    page = (tmp_path / "two" / "01-hopper.html").read_text(encoding="utf-8")
    assert "alert(1)" not in page and page.count("<svg") > 1


def test_a_failed_build_leaves_the_report_untouched(built: Path, tmp_path: Path) -> None:
    final = tmp_path / "report"
    shutil.copytree(built, final)
    before = (final / "index.html").read_bytes()
    chapters = book.write(tmp_path / "chapters", _02_fp8=[("markdown", "# x"), ("code", "1 / 0")])
    with pytest.raises(report.ChapterError, match="Chapter 02-fp8, cell 2"):
        report.build({"users": 1}, final, chapters_dir=chapters)
    assert (final / "index.html").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == [".hopperbook", "chapters", "report"]
    assert [path.name for path in (tmp_path / ".hopperbook" / "reports" / "report").iterdir()] == ["lock"]


def test_a_report_replaces_only_a_report(built: Path, tmp_path: Path) -> None:
    new, final = tmp_path / "new", tmp_path / "final"
    shutil.copytree(built, new)
    final.mkdir()
    (final / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="out: .* is not usable"):
        publish.replace(new, final)
    (final / "thesis.tex").unlink()
    publish.replace(new, final)
    shutil.copytree(built, new)
    (new / "results.json").write_text("{}")
    publish.replace(new, final)
    assert (final / "results.json").read_text() == "{}" and not new.exists()


def test_a_broken_link_and_a_repeated_name_are_found(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(
        '<a href="gone.html">x</a><a href="#no">y</a><img src="https://a.b/c.png"><p id="a"><p id="a">'
    )
    assert report.check(tmp_path) == [
        "index.html: the id a stands twice",
        "index.html: links to gone.html, which is not there",
        "index.html: links to #no, but that page has no such place",
        "index.html: loads https://a.b/c.png from elsewhere",
    ]
    twice = [("markdown", "# x"), ("code", "from hopperbook import display\ndisplay.result('gpus', 1)")]
    chapters = book.write(tmp_path / "chapters", _02_fp8=twice)
    with pytest.raises(InputError, match="key: 'gpus'"):
        report.build({}, tmp_path / "report", chapters_dir=chapters)


def test_no_chapters_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="chapters: .* is not usable"):
        report.build({}, tmp_path / "report", chapters_dir=tmp_path)


def test_stored_outputs_hold_the_customers_values(tmp_path: Path) -> None:
    chapters = book.write(tmp_path)
    report.store_outputs({"name": 'A "b"', "users": 9}, chapters)
    notebook = json.loads((chapters / "00-the-answer.ipynb").read_text(encoding="utf-8"))
    assert "".join(notebook["cells"][1]["source"]) == 'name = "A \\"b\\""\nusers = 9'
    assert len(notebook["cells"]) == 4 and notebook["cells"][2]["outputs"]


def test_code_that_shows_nothing_joins_what_it_prepares() -> None:
    def code(source: str, shows: bool) -> dict[str, object]:
        tags = {"tags": ["hide-input"]}
        return {"cell_type": "code", "source": source, "metadata": tags, "outputs": [{}] if shows else []}

    prose = {"cell_type": "markdown", "source": "words", "metadata": {}}
    cells = [code("a", False), code("b", True), code("c", False), prose, code("d", False), prose]
    joined = render._joined(cells)
    assert [cell["source"] for cell in joined] == ["a\n\nb\n\nc", "words", "d", "words"]
