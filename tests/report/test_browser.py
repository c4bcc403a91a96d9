"""A built report as a reader sees it: in headless Chromium, from its files."""

from __future__ import annotations

import re
import zlib
from pathlib import Path

from tests.report import book
from tests.report.test_paper import long

from hopperbook import report

SLIDER = """import altair as alt
from hopperbook import display
users = alt.param(name="users", value=4, bind=alt.binding_range(min=1, max=16, step=1, name="users "))
rows = alt.InlineData(values=[{"x": i, "y": i} for i in range(5)])
chart = alt.Chart(rows, width=600).mark_line().encode(x="x:Q", y=alt.Y("z:Q")).transform_calculate(z="datum.y * users")
display.figure(chart.add_params(users), "slider", "It scales", alt="A line.")"""


def test_every_page_opens_without_error_and_a_slider_works(tmp_path: Path) -> None:
    from hopperbook.report.browser import Browser, check_site

    chapters = book.write(tmp_path / "chapters", _02_fp8=[("markdown", "# Sliders"), ("code", SLIDER)])
    index = report.build({"name": "<script>window.hacked = 1</script>"}, tmp_path / "report", chapters_dir=chapters)
    assert check_site(index.parent, tmp_path / "shots") == []
    assert len(list((tmp_path / "shots").glob("*.png"))) == 16
    with Browser() as browser:
        browser.open((index.parent / "02-fp8.html").as_uri())
        path = "document.querySelector('.mark-line path').getAttribute('d')"
        before = browser.evaluate(path)
        browser.evaluate(
            "const slider = document.querySelector('.vega-bind input'); slider.value = 8;"
            "slider.dispatchEvent(new Event('input')); 0"
        )
        browser.evaluate("new Promise(done => setTimeout(done, 200))")
        assert browser.evaluate(path) != before
        assert browser.evaluate("document.querySelectorAll('.vega-bind input').length") == 1
        browser.open(index.as_uri())
        assert browser.evaluate("window.hacked === undefined")


WHAT_IF = """import pandas as pd
from hopperbook import display, units
users = display.Choice("Users at once", "concurrency", ("8", "16", "32"), ("8", "16", "32"), (8, 16, 32), 0)
prompt = display.Choice("Tokens of a prompt", "prompt_tokens", ("1k", "2k"), ("1024", "2048"), (1024, 2048), 0)
plans = pd.DataFrame({"setting": ["As you asked", "16 users", "32 users", "2k"], "usd": [900.0, 1800.0, 3600.0, 950.0]})
shown = [display.Column("setting", "What changes"), display.Column("usd", "USD a month", units.money)]
places = [(0, 0), (1, 0), (2, 0), (0, 1)]
display.what_if(plans, shown, [users, prompt], places, "hopperbook plan a.yaml", name="plans", title="Plans")"""
COMPARE = "document.querySelector('.hb-compare').textContent"


def test_two_settings_are_compared_by_keyboard_and_kept_in_the_address(tmp_path: Path) -> None:
    from hopperbook.report.browser import Browser, check_site

    chapters = book.write(tmp_path / "chapters", _02_fp8=[("markdown", "# What if"), ("code", WHAT_IF)])
    index = report.build({"name": "A"}, tmp_path / "report", chapters_dir=chapters)
    page = index.parent / "02-fp8.html"
    assert check_site(index.parent, widths=(390,), themes=("dark",)) == []
    assert "32 users" in page.read_text(encoding="utf-8")  # the table is there without the script
    with Browser() as browser:
        browser.open(page.as_uri() + "#what-if?b.concurrency=16")
        said = browser.evaluate(COMPARE)
        assert "B costs $900 a month more than A (100 %)." in said and "No plan was worked out" not in said
        names = browser.evaluate(
            "[...document.querySelectorAll('.hb-compare select')].map(e => e.getAttribute('aria-label'))"
        )
        assert len(set(names)) == 4
        heights = "[...document.querySelectorAll('.hb-compare select')].map(e => e.getBoundingClientRect().height)"
        assert min(browser.evaluate(heights)) >= 24
        browser.evaluate(
            "const last = [...document.querySelectorAll('.hb-compare select')].pop(); last.value = 1;"
            "last.dispatchEvent(new Event('change', {bubbles: true})); 0"
        )
        said = browser.evaluate(COMPARE)
        assert "nearest one of the table" in said
        assert "hopperbook plan a.yaml --set concurrency=16 --set prompt_tokens=2048" in said
        assert browser.evaluate("location.hash") == "#what-if?b.concurrency=16&b.prompt_tokens=2048"


def test_a_bad_page_is_reported(tmp_path: Path) -> None:
    from hopperbook.report.browser import check_site

    wide = '<p style="width:3000px">wide</p><img src="gone.png"><script src="https://example.org/x.js"></script>'
    (tmp_path / "index.html").write_text(f"<!doctype html><main>{wide}<script>throw new Error('no')</script></main>")
    found = "\n".join(check_site(tmp_path, widths=(1400,), themes=("light",)))
    for words in ("asks the network for https://example.org", "script error", "scrolls sideways", "gone.png"):
        assert words in found


def test_a_page_wider_than_a_phone_is_reported(tmp_path: Path) -> None:
    """A phone shows such a page smaller, and says that its window is as wide as the page."""
    from hopperbook.report.browser import check_site

    viewport = '<meta name="viewport" content="width=device-width, initial-scale=1">'
    (tmp_path / "index.html").write_text(f'<!doctype html>{viewport}<main><p style="width:480px">wide</p></main>')
    assert "scrolls sideways by" in "\n".join(check_site(tmp_path, widths=(390,), themes=("light",)))


def test_the_pdf_has_bookmarks_and_a_sheet_for_each_chapter(tmp_path: Path) -> None:
    from hopperbook.report import paper

    index = report.build({"name": "Zed"}, tmp_path / "report", chapters_dir=book.write(tmp_path / "chapters"))
    data = paper.write(index.parent, tmp_path / "report.pdf").read_bytes()
    assert data.startswith(b"%PDF-")
    streams = re.findall(rb"stream\r?\n(.*?)endstream", data, re.DOTALL)
    unpacked = b"".join(zlib.decompressobj().decompress(each) for each in streams if each[:1] == b"x") + data
    assert unpacked.count(b"/Type /Page\n") + len(re.findall(rb"/Type /Page[ />]", unpacked)) >= 3
    assert b"/Outlines" in unpacked


def test_a_brief_takes_two_pages_of_a4(tmp_path: Path) -> None:
    from hopperbook.report import paper

    made = paper.write(long(tmp_path), tmp_path / "brief.pdf", brief=True).read_bytes()
    assert len(re.findall(rb"/Type\s*/Page\b", made)) == 2


READ = """import altair as alt
from hopperbook import display
rows = alt.InlineData(values=[{"x": i, "y": i * i} for i in range(5)])
chart = alt.Chart(rows, width=600).mark_point().encode(x="x:Q", y="y:Q", tooltip=[alt.Tooltip("y:Q", title="squares")])
two = display.Input("Two", "2", "vendor", "A sheet", url="https://example.org/a")
door = display.Door("2 x 3 = 6", [two], "a.b", "0 %")
display.answer("Yes.", "It costs $9,580 and 26 ms.", doors={"$9,580": door})
display.figure(chart, "points", "They rise", alt="Five points.")
rows = [{"what": str(i), "a": i, "b": i, "c": i, "d": i} for i in range(20)]
display.table(rows, name="long", strong=12)"""
ROWS = "[...document.querySelectorAll('#table-long tbody tr')].filter(row => row.offsetHeight).map(row => row.rowIndex)"


def test_marks_by_keyboard_doors_by_click_and_numbers_by_search(tmp_path: Path) -> None:
    from hopperbook.report import access
    from hopperbook.report.browser import Browser, check_site

    cells = {
        "_02_fp8": [("markdown", "# Reading\n\n## A part"), ("code", READ)],
        "_12_how_wrong": [("markdown", "# Off")],
    }
    chapters = book.write(tmp_path / "chapters", **cells)
    index = report.build({"name": "A"}, tmp_path / "report", chapters_dir=chapters)
    assert check_site(index.parent, also=access.findings) == []
    with Browser() as browser:
        browser.open((index.parent / "02-fp8.html").as_uri())
        browser.evaluate(
            "const chart = document.querySelector('.hb-svg[tabindex]'); chart.focus();"
            "for (const key of ['End', 'ArrowLeft']) chart.dispatchEvent(new KeyboardEvent('keydown', {key})); 0"
        )
        assert browser.evaluate("document.querySelectorAll('.hb-at').length") == 1
        said = browser.evaluate("document.querySelector('.hb-svg [aria-live]').textContent")
        assert said.startswith("4 of 5: ")
        assert "9" in said.split(": ", 1)[1]
        browser.evaluate("document.querySelector('.hb-door summary').click()")
        assert browser.evaluate("document.querySelector('.hb-door dl').getBoundingClientRect().height") > 40
        assert browser.evaluate("document.querySelector('.hb-out').href") == "https://example.org/a"
        assert len(browser.evaluate(ROWS)) == 20
        browser.open((index.parent / "02-fp8.html").as_uri(), 390)
        assert browser.evaluate(ROWS) == [1, 2, 3, 4, 5, 13]  # on a phone the first five and the recommended one
        browser.evaluate("document.querySelector('#table-long .hb-rows').click()")
        assert len(browser.evaluate(ROWS)) == 20
        hits = "[...document.querySelectorAll('#search-results li a')].map(each => each.getAttribute('href'))"
        for query in ("9,580", "9580", "26 ms"):
            browser.open((index.parent / "search.html").as_uri() + "?q=" + query.replace(" ", "%20"))
            found = browser.evaluate(f"new Promise(done => setTimeout(() => done({hits}), 500))")
            assert found[:1] == ["02-fp8.html#a-part"], query
        for query, first in {"Rea": "02-fp8.html#reading", "958": None}.items():  # a word is begun; a number is not
            browser.open((index.parent / "search.html").as_uri() + f"?q={query}")
            found = browser.evaluate(f"new Promise(done => setTimeout(() => done({hits}), 500))")
            assert (found or [None])[0] == first, query
        assert browser.problems() == []


def test_words_on_words_are_reported_turned_or_not(tmp_path: Path) -> None:
    from hopperbook.report.browser import check_site

    def text(x: int, y: int, words: str, turn: int = 0) -> str:
        return f'<text x="{x}" y="{y}" transform="rotate({turn} {x} {y})">{words}</text>'

    texts = text(10, 40, "rent on demand") + text(60, 44, "buy") + text(10, 100, "far") + text(14, 90, "away", -90)
    picture = f'<svg width="300" height="120">{texts}</svg>'
    figure = f'<figure class="hb-figure" id="f"><div class="hb-svg">{picture}</div></figure>'
    (tmp_path / "index.html").write_text(f"<!doctype html><main>{figure}</main>")
    found = check_site(tmp_path, widths=(1400,), themes=("light",))
    assert [line.split(": ", 1)[1] for line in found] == ['f writes "buy" over "rent on demand"']


def test_ranges_stay_where_the_system_chooses_the_colours(tmp_path: Path) -> None:
    from hopperbook.report.browser import Browser

    index = report.build({}, tmp_path / "report", chapters_dir=book.write(tmp_path / "chapters"))
    ground = "getComputedStyle(document.body).backgroundColor"
    colour = "getComputedStyle(document.querySelector('{}')).backgroundColor"
    with Browser() as browser:
        browser.open(index.as_uri())
        features = [{"name": "forced-colors", "value": "active"}]
        browser.call("Emulation.setEmulatedMedia", media="", features=features)
        assert browser.evaluate("matchMedia('(forced-colors: active)').matches")
        around = browser.evaluate(ground)
        for part in (".hb-track", ".hb-band", ".hb-dot"):
            assert browser.evaluate(colour.format(part)) not in (around, "rgba(0, 0, 0, 0)"), part
        assert browser.evaluate(colour.format(".hb-band")) != browser.evaluate(colour.format(".hb-track"))
