"""The customer's own look: a logo that is only a picture, a colour that stays readable, a line on every page."""

from __future__ import annotations

import json
import re
import struct
import zlib
from pathlib import Path

import pytest
from tests.report import book

from hopperbook import report
from hopperbook.errors import InputError
from hopperbook.report import given, links, look, manifest, paper, zipped

LOGO = (
    '<?xml version="1.0"?>\n<!-- ours -->\n<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9">'
    '<style>.a{fill:red}</style><path class="a" d="M0 0h9v9z"/></svg>'
)
HOSTILE = "\"><b onclick=x> & ' onmouseover='x"


def png() -> bytes:
    """Return a picture of one pixel."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0\0")) + chunk(b"IEND", b"")


def dressed(folder: Path, **more: object) -> Path:
    """Build the small book for a customer with a logo, a colour and both lines."""
    (folder / "acme.svg").write_text(LOGO, encoding="utf-8")
    fields = {"name": "Zed & <b>", "logo": str(folder / "acme.svg"), "accent": "#ffcc00", "confidentiality": HOSTILE}
    return report.build({**fields, **more}, folder / "report", chapters_dir=book.write(folder / "chapters")).parent


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return dressed(tmp_path_factory.mktemp("look"))


def test_every_page_bears_logo_colour_and_line_and_nothing_of_them_runs(site: Path) -> None:
    pages = sorted(site.glob("*.html"))
    assert len(pages) >= 3 and links.check_links(site) == []
    for path in [page for page in pages if page.stem != "search"]:
        page = path.read_text(encoding="utf-8")
        assert '<img src="acme.svg" alt="Zed &amp; &lt;b&gt;" />' in page
        assert "--hb-accent: #8f7200" in page and "--hb-accent: #ffcc00" in page
        assert "&quot;&gt;&lt;b onclick=x&gt;" in page and "<b onclick" not in page


def test_the_manifest_knows_the_logo_and_names_no_folder(site: Path) -> None:
    known = manifest.read(site)
    assert known["parameters"]["logo"] == "acme.svg" and known["look"]["logo"] == known["files"]["acme.svg"]
    assert str(site.parent) not in json.dumps(known)
    for path in site.glob("*.yaml"):
        assert "logo: acme.svg" in path.read_text(encoding="utf-8")


def test_a_report_with_a_logo_comes_out_the_same_from_its_own_files(site: Path, tmp_path: Path) -> None:
    fields = manifest.read(site)["parameters"] | {"logo": str(site / "acme.svg")}
    again = report.build(fields, tmp_path / "again", chapters_dir=site.parent / "chapters").parent
    assert manifest.listing(again) == manifest.listing(site)


def test_a_zip_holds_the_whole_report_and_opens_where_it_is_unpacked(site: Path, tmp_path: Path) -> None:
    import zipfile

    one, other = (zipped.write(site, tmp_path / name) for name in ("one.zip", "other.zip"))
    assert one.read_bytes() == other.read_bytes()
    with zipfile.ZipFile(one) as packed:
        assert {entry.date_time for entry in packed.infolist()} == {zipped.TIME}
        packed.extractall(tmp_path / "there")
    there = tmp_path / "there" / "report"
    assert manifest.listing(there) == manifest.listing(site) and (there / "_static").is_dir()
    assert links.check_links(there) == []
    with pytest.raises(InputError, match="outside"):
        zipped.write(site, site / "own.zip")
    with pytest.raises(InputError, match="report"):
        zipped.write(tmp_path / "there", tmp_path / "no.zip")


def test_paper_bears_the_line_on_each_sheet_and_the_logo(site: Path) -> None:
    assert "&quot;&gt;&lt;b onclick=x&gt;" in paper._foot(site)
    assert paper.document(site).count('<img src="acme.svg"') >= 1


@pytest.mark.parametrize(
    "text",
    [
        "<svg><script>alert(1)</script></svg>",
        '<svg onload="alert(1)"></svg>',
        "<svg><foreignObject><p>x</p></foreignObject></svg>",
        '<svg><image href="https://evil.example/x.png"/></svg>',
        '<svg><a href="javascript:alert(1)"><path/></a></svg>',
        "<svg><style>@import url(https://evil.example/x.css);</style></svg>",
        "<svg><style>.a{fill:url(https://evil.example/x)}</style></svg>",
        '<!DOCTYPE svg [<!ENTITY x "y">]><svg>&x;</svg>',
        "<html><body>no picture</body></html>",
        "",
    ],
)
def test_an_svg_that_is_more_than_a_picture_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.svg").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match="^logo: .*SVG picture"):
        look.check("logo", tmp_path / "a.svg")


def test_logos_are_checked_for_type_size_and_name(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png())
    assert look.check("logo", tmp_path / "a.png") == png()
    (tmp_path / "b.png").write_bytes(b"GIF89a")
    (tmp_path / "c.svg").write_text("<svg>" + " " * look.MOST_BYTES + "</svg>", encoding="utf-8")
    (tmp_path / "a b.svg").write_text(LOGO, encoding="utf-8")
    for name, words in (("b.png", "PNG"), ("c.svg", "at most"), ("a b.svg", "letters"), ("no.svg", "existing")):
        with pytest.raises(InputError, match=words):
            look.check("logo", tmp_path / name)


def test_a_logo_that_is_missing_names_no_other_customers_files(tmp_path: Path) -> None:
    (tmp_path / "globex-secret-bank.svg").write_text(LOGO, encoding="utf-8")
    for field, name in (("logo", "missing.svg"), ("language", "missing.po")):
        with pytest.raises(InputError) as refused:
            look.check(field, tmp_path / name)
        assert "globex" not in str(refused.value)


def test_a_logo_is_found_beside_the_customers_file(tmp_path: Path) -> None:
    (tmp_path / "acme.svg").write_text(LOGO, encoding="utf-8")
    (tmp_path / "c.yaml").write_text("name: A\nmodel: llama-3.1-8b\nlogo: acme.svg\n", encoding="utf-8")
    who = given.load(tmp_path / "c.yaml")
    assert who.logo == str(tmp_path / "acme.svg")
    assert who.digest() == who.model_copy(update={"logo": "acme.svg"}).digest()
    (tmp_path / "acme.svg").unlink()
    with pytest.raises(InputError, match="^logo: 'acme.svg'"):
        given.load(tmp_path / "c.yaml")


@pytest.mark.parametrize("colour", ["#000000", "#ffffff", "#0067b5", "#ffcc00", "#7f7f7f", "#ff0000", "#00ff00"])
def test_a_colour_is_readable_in_both_themes(colour: str) -> None:
    for page in (look.LIGHT, look.DARK):
        shown = look.readable(colour, page)
        assert re.fullmatch("#[0-9a-f]{6}", shown) and look.contrast(shown, page) >= look.CONTRAST
        if look.contrast(colour, page) >= look.CONTRAST:
            assert shown == colour
