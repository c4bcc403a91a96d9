"""What the check of links sees in a page is what Python's parser of HTML sees, and every fault is told."""

from html.parser import HTMLParser
from pathlib import Path

import pytest

from hopperbook.report import links


class Slow(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.references: list[tuple[str, str, str]] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        for name, value in attributes:
            if name == "id" and value:
                self.ids.append(value)
            elif name in ("href", "src", "data", "xlink:href", "action") and value:
                self.references.append((tag, name, value))


PAGES = (
    '<p id="a">one<p id=\'a\'>two <P ID=b>three',
    '<!-- <a href="gone.html" id="c"> --><a title="a > b" href="x.html#y&amp;z">x</a>',
    '<script src="s.js">const p = "<a href=\'no\'>";</script ><style id="k">a > b { src: url(x) }</style>',
    '<svg><use xlink:href="#m" data-id="n" /><image href=i.svg id = "o"/></svg>',
    '<p>id="text" href="text" 1 < 2 > 1</p><object data="d.svg"></object><form action="f"><br/></form>',
    '<a href="" id="">nothing</a><a\n  href="line.html"\n  id="line">l</a><a hidden href="h">h</a>',
    "<h1 id=ü>ü</h1><a href='p.html?q=1&lt;2'>p</a><i data-href='no' xid='no'>i</i>",
)  # fmt: skip


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_read_as_python_reads_it(page):
    slow, seen = Slow(), links._held(page)
    slow.feed(page)
    assert seen.ids == set(slow.ids)
    assert seen.twice == {each for each in slow.ids if slow.ids.count(each) > 1}
    assert seen.references == slow.references


def test_a_finished_page_is_read_as_python_reads_it(tmp_path: Path):
    from tests.report import book

    from hopperbook import report

    made = report.build({"name": "A"}, tmp_path / "report", chapters_dir=book.write(tmp_path / "chapters"))
    for path in made.parent.glob("*.html"):
        test_a_page_is_read_as_python_reads_it(path.read_text(encoding="utf-8"))


def test_faults_are_told(tmp_path: Path):
    (tmp_path / "a.html").write_text(
        '<p id="x"></p><p id="x"></p><a href="b.html#there">b</a><a href="b.html#gone">b</a><a href="c.html">c</a>'
        '<img src="https://example.org/i.png"><a href="https://example.org/">e</a><a href="javascript:x()">j</a>'
    )
    (tmp_path / "b.html").write_text('<p id="there"></p>')
    assert links.check_links(tmp_path) == [
        "a.html: the id x stands twice",
        "a.html: links to b.html#gone, but that page has no such place",
        "a.html: links to c.html, which is not there",
        "a.html: loads https://example.org/i.png from elsewhere",
        "a.html: has a link that browsers do not follow: javascript:x()",
    ]
