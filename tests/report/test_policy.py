"""Pages run what is the theme's and ours, to the letter, and nothing that a customer could have written."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import pytest
from tests.report import book

from hopperbook import report
from hopperbook.report import compare, manifest, policy


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("policy")
    report.build({"name": "A", "users": 7}, folder / "report", chapters_dir=book.write(folder / "chapters"))
    return folder / "report"


def test_every_page_has_a_policy_before_anything_that_it_loads(built: Path) -> None:
    pages = [path for path in built.rglob("*.html") if "_static" not in path.parts]
    assert len(pages) > 2
    for page in pages:
        text = page.read_text(encoding="utf-8")
        rules = unescape(re.findall(r'Content-Security-Policy" content="([^"]*)"', text)[0])
        assert text.index("Content-Security-Policy") < min(text.index("<script"), text.index("<link"))
        assert "unsafe-eval" not in rules and "http" not in rules and "default-src 'none'" in rules
        script = next(rule for rule in rules.split("; ") if rule.startswith("script-src"))
        assert "'unsafe-inline'" not in script and script.count("sha256-") >= 6
        assert policy.unknown(text) == []


@pytest.mark.parametrize(
    "evil", ["<script>alert(1)</script>", "<SCRIPT >x</script >", '<p onclick="x()">', "<img src=x onerror='x()'>"]
)
def test_a_script_that_got_in_is_neither_allowed_nor_published(built: Path, tmp_path: Path, evil: str) -> None:
    page = (built / "index.html").read_text(encoding="utf-8")
    spoilt = page.replace("</body>", f"{evil}</body>")
    assert policy.content(spoilt) == policy.content(page)
    (tmp_path / "index.html").write_text(spoilt, encoding="utf-8")
    assert any("would run" in problem for problem in report.check(tmp_path))


def test_the_manifest_says_what_a_report_was_made_from(built: Path) -> None:
    known = manifest.read(built)
    assert known["parameters"] == {"name": "A", "users": 7}
    assert known["files"] == manifest.listing(built) and "data/prices.csv" in known["facts"]
    assert known["seeds"] == {"rehearsal": 0, "traffic": 0} and known["rows"]["prices"] > 100
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", known["prices_as_of"])
    text = (built / manifest.NAME).read_text(encoding="utf-8")
    assert str(built.parent) not in text and "/tmp" not in text


def test_two_reports_are_compared_in_figures(built: Path, tmp_path: Path) -> None:
    cells = [(kind, code.replace("14600.0", "16060.0"), *tags) for kind, code, *tags in book.ANSWER]
    chapters = book.write(tmp_path / "chapters")
    (chapters / "00-the-answer.ipynb").write_text(book.notebook(cells), encoding="utf-8")
    report.build({"name": "A", "users": 8}, tmp_path / "other", chapters_dir=chapters)
    changes = compare.diff(built, tmp_path / "other")
    assert [(change.what, change.name, change.words) for change in changes] == [
        ("figure", "monthly_cost_usd", "+10 %, range narrower"),
        ("parameter", "users", "+14 %"),
        ("facts", "00-the-answer", "changed"),
    ]
    assert compare.sentence(changes) == ("monthly_cost_usd +10 %, range narrower: users +14 %, 00-the-answer changed.")
    assert compare.sentence(compare.diff(built, built)) == "The two reports say the same."
    assert compare.in_words([1.0, 2.0, 4.0], [1.11, 2.22, 4.44]) == "+11 %"


def test_a_report_is_verified_to_the_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hopperbook.report import pipeline

    chapters = book.write(tmp_path / "chapters")
    monkeypatch.setattr(pipeline, "CHAPTERS", chapters)
    monkeypatch.setattr(pipeline.build, "__defaults__", (None, chapters, *(pipeline.build.__defaults__ or ())[2:]))
    out = tmp_path / "report"
    report.build({"name": "A", "users": 7}, out, chapters_dir=chapters)
    assert compare.verify(out) == []
    (out / "data" / "01-hopper" / "numbers.csv").write_text("forged")
    assert compare.verify(out) == ["data/01-hopper/numbers.csv was changed after the report was built"]
