"""A batch: every customer's report, an index of them all, and a sentence for each that cannot be."""

from __future__ import annotations

import json
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest
from tests.report import book

from hopperbook import facts
from hopperbook.errors import Failed, InputError
from hopperbook.report import batch, index, worker
from hopperbook.report.kept import store

CUSTOMER = facts.DATA / "customers" / "default.yaml"


@pytest.fixture(autouse=True)
def no_builder_left() -> Iterator[None]:
    yield
    for builder in list(worker._builders):
        worker._end(builder)


def request(tmp_path: Path, **more: object) -> dict[str, object]:
    """Return what a worker is asked for the small book."""
    chapters = book.write(tmp_path / "chapters")
    asked = {"file": str(CUSTOMER), "out": str(tmp_path / "reports" / "a"), "chapters": str(chapters), "workers": 1}
    return asked | {"timeout_s": 120.0, "memory_bytes": 6 << 30, "retries": 1} | more


def test_a_worker_outlives_whatever_a_report_does(tmp_path: Path) -> None:
    slow = request(tmp_path / "slow", timeout_s=3.0)
    hang = [("markdown", "# Slow"), ("code", "import time\ntime.sleep(60)")]
    (tmp_path / "slow" / "chapters" / "02-slow.ipynb").write_text(book.notebook(hang))
    assert worker.build_one(slow) | {"seconds": 0} == {
        "state": "failed",
        "sentence": "it took longer than 3 s",
        "seconds": 0,
    }
    bad = request(tmp_path / "bad", file=str(tmp_path / "none.yaml"))
    assert "an existing YAML file" in worker.build_one(bad)["sentence"]


def test_two_customers_of_one_name_get_a_folder_each(tmp_path: Path) -> None:
    for name, users in (("a", 8), ("b", 9)):
        (tmp_path / f"{name}.yaml").write_text(f"name: One & Two\nmodel: llama-3.1-8b\nconcurrency: {users}\n")
    (tmp_path / "c.yaml").write_text("name: [")
    listed = list(batch._listed([tmp_path]))
    assert isinstance(listed[2][1], InputError)
    folders = batch._tasks(listed[:2])
    assert len(set(folders.values())) == 2 and all(name.startswith("one-two-") for name in folders.values())


def test_an_index_that_is_somebody_elses_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<h1>my page</h1>")
    with pytest.raises(InputError, match="this one holds another page"):
        batch.run([CUSTOMER], tmp_path)
    assert (tmp_path / "index.html").read_text() == "<h1>my page</h1>"


def test_no_files_and_no_scheduler_are_sentences(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="customers: .* folders that hold some"):
        batch.run([tmp_path], tmp_path / "out")
    with pytest.raises(Failed, match="^the scheduler nonsense does not answer"):
        batch.run([CUSTOMER], tmp_path / "out", scheduler="nonsense")


def test_the_index_keeps_what_earlier_batches_made_and_still_stands(tmp_path: Path) -> None:
    for folder in ("a", "b", "gone"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "index.html").write_text("report")
    about = {"name": "Shop A", "gpu": "H200 SXM", "gpus": 8, "usd_per_month": [1.0, 2.0, 3.0]}
    first = [batch.Made("a.yaml", "a", "built", headline=about), batch.Made("g.yaml", "gone", "built", headline=about)]
    index.write(tmp_path, first)
    (tmp_path / "gone" / "index.html").unlink()
    index.write(tmp_path, [batch.Made("b.yaml", "b", "built", headline=about | {"name": "Shop B"})])
    page = (tmp_path / "index.html").read_text()
    assert "Shop A" in page and "Shop B" in page and "gone" not in page and "<p>2 customers</p>" in page
    index.write(tmp_path, [batch.Made("a.yaml", "a", "unchanged", headline=about | {"name": "Shop A again"})])
    page = (tmp_path / "index.html").read_text()
    assert "Shop A again" in page and "Shop B" in page and page.count("Shop A") == 1


def test_a_path_that_is_not_there_leaves_the_index_alone(tmp_path: Path) -> None:
    index.write(tmp_path, [])
    before = (tmp_path / "index.html").read_bytes()
    with pytest.raises(InputError, match="customers: .* an existing YAML file, or a folder"):
        batch.run([CUSTOMER, tmp_path / "nowhere"], tmp_path)
    assert (tmp_path / "index.html").read_bytes() == before


def test_a_second_file_of_the_same_customer_is_told(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text("name: One\nmodel: llama-3.1-8b\n")
    (_, first), (_, second) = batch._listed([tmp_path])
    assert first.name == "One" and "that of a.yaml" in str(second)


def test_the_index_says_what_each_report_says(tmp_path: Path) -> None:
    about = {"name": "A & B", "gpu": "H200 SXM", "gpus": 8, "usd_per_month": [1e4, 12745.1, 3e4]}
    about |= {"prices_as_of": "2026-03-03", "cheaper": "H200 NVL"}
    made = [batch.Made("a.yaml", "a-b", "built", "", 2.5, about), batch.Made("x.yaml", "", "failed", "name: no", 0.1)]
    index.write(tmp_path, made)
    page = unescape((tmp_path / "index.html").read_text(encoding="utf-8"))
    for words in (
        "A & B",
        'href="a-b/index.html"',
        "8 × H200 SXM",
        "$12,700",
        "we would choose H200 NVL",
        "failed: name: no",
    ):
        assert words in page, words
    index.check_place(tmp_path)
    assert json.dumps(about) not in page


def test_slow_first_reports_are_announced_only_where_nothing_is_kept(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(store, "ROOT", tmp_path)
    said = []
    for _ in range(2):
        with batch._bar(shown=True, total=3):
            said.append(capsys.readouterr().err.strip())
        store.Store().put("chapters", store.digest("any"), {})
    assert said == ["customers: 3; the first reports take longest, since nothing is kept yet", "customers: 3"]
