"""What is prepared once for later processes: the same as what was read, and never used when it is damaged."""

import jinja2
import pytest

from hopperbook import prepared
from hopperbook.facts import tables as facts_tables
from hopperbook.kernels import tables
from hopperbook.report import extension

ASKED = "trtllm", "gemm", "H100 SXM"


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder of the test's own."""
    for kind in ("a", "tables", "templates", "yaml"):
        (tmp_path / kind).mkdir()
    monkeypatch.setattr(prepared, "folder", lambda kind: tmp_path / kind)
    return tmp_path


def test_an_entry_comes_back_and_a_damaged_one_does_not(place):
    prepared.put("a", "b", b"one\ntwo")
    (path,) = (place / "a").iterdir()
    whole = path.read_bytes()
    assert prepared.get("a", "b") == b"one\ntwo"
    for spoilt in (whole[:-1], whole + b"?", whole.replace(b"two", b"2wo"), b"", b"\n"):
        path.write_bytes(spoilt)
        assert prepared.get("a", "b") is None


def test_where_nothing_may_be_written_nothing_is_kept(monkeypatch):
    monkeypatch.setattr(prepared, "folder", lambda kind: None)
    prepared.put("a", "b", b"c")
    assert prepared.get("a", "b") is None


def test_tables_of_kernels_are_the_same_unpacked_and_mended_when_spoilt(place):
    first = tables._columns.__wrapped__(*ASKED)
    (path,) = (place / "tables").iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    for _ in range(2):  # made again, then read
        again = tables._columns.__wrapped__(*ASKED)
        assert first.keys() == again.keys() and all((first[name] == again[name]).all() for name in first)
        assert path.read_bytes() == whole
    rows = first["shapes"].prod(axis=1)
    assert rows.sum() == len(first["seconds"]) == len(first["measured"]) and len(rows) == len(first["precision"])
    assert [len(first[name]) for name in ("m", "n", "k")] == first["shapes"].sum(axis=0).tolist()


@pytest.mark.parametrize(
    ("text", "kept"),
    [("a: [1, 2.0, true, null, 'b']", 1), ("a: [.nan, .inf]", 1), ("a: 2026-08-23", 0), ("1: a", 0)],
)
def test_yaml_is_kept_only_where_json_says_the_same(place, text, kept):
    path = place / "facts.yaml"
    path.write_text(text)
    first, again = (facts_tables._parsed.__wrapped__(path, 0, 0) for _ in range(2))
    assert repr(first) == repr(again) and type(first) is type(again)
    assert len(list((place / "yaml").iterdir())) == kept


def test_a_template_is_compiled_once_and_again_when_its_code_is_spoilt(place):
    compiling = []

    class Counting(jinja2.Environment):
        def _compile(self, source, filename):
            compiling.append(filename)
            return super()._compile(source, filename)

    def said() -> str:
        settings = {"loader": jinja2.DictLoader({"page": "{{ n }} GPUs"}), "bytecode_cache": extension.Templates()}
        return Counting(**settings).get_template("page").render(n=8)

    assert [said(), said()] == ["8 GPUs"] * 2 and len(compiling) == 1
    (path,) = (place / "templates").iterdir()
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert said() == "8 GPUs" and len(compiling) == 2
