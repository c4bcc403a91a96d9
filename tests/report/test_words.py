"""A report in another language: every word of a page, a chart or a script passes through the catalogue."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path

import pytest
from tests.report import book

from hopperbook import report
from hopperbook.errors import InputError
from hopperbook.report import catalogue, links, policy, spoken, words

FIELDS = {"name": "Lingua Shop & Söhne", "business": "writes copy", "users": 300}


@pytest.fixture(scope="module")
def english(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("words")
    return report.build(FIELDS, folder / "report", chapters_dir=book.write(folder / "chapters")).parent


@pytest.fixture(scope="module")
def pseudo(english: Path) -> Path:
    file = english.parent / "pseudo.po"
    catalogue.write(file, spoken.extract([english]), catalogue.PSEUDO_LANGUAGE, pseudo=True)
    chapters, fields = english.parent / "chapters", {**FIELDS, "language": str(file)}
    return report.build(fields, english.parent / "pseudo", chapters_dir=chapters).parent


def heard(text: str) -> list[str]:
    listener = catalogue.Listener()
    words.page(text, listener.say, spoken.own_words(FIELDS))
    return list(listener.heard)


def test_no_english_is_left_on_any_page(pseudo: Path) -> None:
    assert links.check_links(pseudo) == []
    for path in sorted(pseudo.glob("*.html")):
        page = path.read_text(encoding="utf-8")
        assert f'<html lang="{catalogue.PSEUDO_LANGUAGE}"' in page and policy.unknown(page) == []
        assert page.count(policy.MARK) == 1
        assert catalogue.left_english(heard(page)) == [], path.name
        drawn = [unescape(re.sub("<[^>]+>", "", text)) for text in re.findall(r"<text\b.*?</text>", page, re.DOTALL)]
        assert catalogue.left_english(words.message(text)[0] for text in drawn) == [], path.name


def test_the_customers_own_words_and_numbers_stay(pseudo: Path) -> None:
    page = (pseudo / "index.html").read_text(encoding="utf-8")
    assert "Lingua Shop &amp; Söhne" in page and "$14,600" in page and "300" in page


def test_scripts_and_search_speak_the_language(english: Path, pseudo: Path) -> None:
    said = (pseudo / "_static" / "page.js").read_text(encoding="utf-8")
    assert "Show the code of this page" not in said and "⟦Šhöw thé çödé öf thîš pàgé⟧" in said
    assert '"hb-switch"' in said and '"use strict"' in said
    search = (pseudo / "_static" / "searchtools.js").read_text(encoding="utf-8")
    assert '_("Search Results")' not in search
    index = (pseudo / "searchindex.js").read_text(encoding="utf-8")
    titles = json.loads(index.removeprefix("Search.setIndex(").removesuffix(")"))["titles"]
    assert titles and catalogue.left_english(words.message(title)[0] for title in titles) == []
    assert "Show the code of this page" in (english / "_static" / "page.js").read_text(encoding="utf-8")


def test_the_report_hands_out_its_catalogue_and_comes_out_the_same(pseudo: Path, tmp_path: Path) -> None:
    from hopperbook.report import manifest

    known = manifest.read(pseudo)
    assert known["parameters"]["language"] == "pseudo.po" and known["look"]["language"] == known["files"]["pseudo.po"]
    fields = known["parameters"] | {"language": str(pseudo / "pseudo.po")}
    again = report.build(fields, tmp_path / "again", chapters_dir=pseudo.parent / "chapters").parent
    assert manifest.listing(again) == manifest.listing(pseudo)


def test_what_a_catalogue_lacks_stays_english_and_is_counted(english: Path, capsys) -> None:
    file = english.parent / "half.po"
    messages = spoken.extract([english])
    first, *_ = [message for message in messages if message == "Some words."]
    catalogue.write(file, {first: ""}, "de")
    text = file.read_text(encoding="utf-8").replace(
        'msgid "Some words."\nmsgstr ""', 'msgid "Some words."\nmsgstr "Worte."'
    )
    file.write_text(text, encoding="utf-8")
    fields = {**FIELDS, "language": str(file)}
    site = report.build(fields, english.parent / "half", chapters_dir=english.parent / "chapters").parent
    page = (site / "01-hopper.html").read_text(encoding="utf-8")
    assert "Worte." in page and "A figure" in page and '<html lang="de"' in page
    assert re.search(r"\d+ of the report's messages are not in de", capsys.readouterr().err)


def test_extraction_finds_prose_charts_attributes_titles_and_scripts(english: Path) -> None:
    found = spoken.extract([english])
    for message in ("Some words.", "A figure", "Two bars.", "Show the code of this page", "Copied!", "Data sheets."):
        assert message in found, message
    assert "{1} holds {2} users." in {re.sub(r"</?\d+>", "", each) for each in found}


@pytest.mark.parametrize(
    ("html", "shown"),
    [
        ("<p>One <b>bold</b> word</p>", "<p>ONE <b>BOLD</b> WORD</p>"),
        ("<p>Run <code>make test</code> now</p>", "<p>RUN <code>make test</code> NOW</p>"),
        ("<pre>as it is</pre><script>let a = 'b';</script>", "<pre>as it is</pre><script>let a = 'b';</script>"),
        ('<img alt="a &quot;b&quot; &lt;c&gt;">', '<img alt="A &quot;B&quot; &lt;C&gt;">'),
        ("<p>a &lt; b &amp; c</p>", "<p>A &lt; B &amp; C</p>"),
        ("<p>a {b} c</p>", "<p>A {B} C</p>"),
        ("<span>a<div>b</div>c</span>", "<span>A<div>B</div>C</span>"),
        ("<p>Lingua Shop wins</p>", "<p>Lingua Shop WINS</p>"),
        ("<p>a<br>b</p>", "<p>A<br>B</p>"),
        ("<p>66\u00a0ms, FP8.</p>", "<p>66\u00a0MS, FP8.</p>"),
        ("<svg><text>a</text></svg>", "<svg><text>a</text></svg>"),
        ("a < b", "A < B"),
    ],
)
def test_blocks_are_translated_with_their_markup(html: str, shown: str) -> None:
    def upper(message: str) -> str:
        return re.sub(r"&\w+;|[^&]+?", lambda hit: hit[0] if hit[0][0] == "&" else hit[0].upper(), message)

    assert words.page(html, upper, ["Lingua Shop"]).replace("&lbrace;", "{").replace("&rbrace;", "}") == shown


def test_pages_stay_to_the_letter_where_nothing_is_translated(english: Path) -> None:
    for path in english.glob("*.html"):
        text = path.read_text(encoding="utf-8")
        one, other = (re.sub(r"\s+", "", unescape(each)) for each in (text, words.page(text, lambda m: m)))
        assert one == other, path.name


@pytest.mark.parametrize(
    ("text", "words_"),
    [
        ("", "header names its language"),
        ("no catalogue", "gettext"),
        ('msgid ""\nmsgstr "Language: de\\n"\n\nmsgid "a\n', "gettext"),
    ],
)
def test_what_is_no_catalogue_is_refused(tmp_path: Path, text: str, words_: str) -> None:
    (tmp_path / "a.po").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=f"^language: .*{words_}"):
        catalogue.read(tmp_path / "a.po")


def test_a_translation_that_lost_a_place_or_brings_markup_is_not_used(tmp_path: Path) -> None:
    made = 'msgid ""\nmsgstr "Language: de\\n"\n\n'
    for source, target in (("{1} users", "Nutzer"), ("Plan", "<script>x</script>"), ("Yes", "Ja")):
        made += f'msgid "{source}"\nmsgstr "{target}"\n\n'
    (tmp_path / "a.po").write_text(made, encoding="utf-8")
    assert catalogue.read(tmp_path / "a.po").known == {"Yes": "Ja"}


@pytest.mark.parametrize(
    ("translation", "values"),
    [
        ("⟦{1} ŠXM {2}⟧", ["H100", "80GB"]),
        ("{2} von {1}", ["8", "16"]),
        ("{1}er-Gruppe zu <1>{2}</1>", ["8", "16"]),
        ("每月{1}个用户 和 {2}", ["8", "16"]),
    ],
)
def test_a_translation_that_is_met_on_a_page_again_is_not_missing(translation: str, values: list[str]) -> None:
    message = "{1} of <1>{2}</1>" if "<1>" in translation else "{1} of {2}"
    known = catalogue.Catalogue("de", {message: translation})
    tags = [("<b>", "</b>")] if "<1>" in translation else []
    page = f"<p>{words.fill(known.say(message), values, tags)}</p>"
    assert words.page(page, known.say) == page and not known.missing
    words.page("<p>A sentence that nobody translated.</p>", known.say)
    assert list(known.missing) == ["A sentence that nobody translated."]
