"""A batch: every customer's report, an index of them all, and a sentence for each that cannot be."""

from __future__ import annotations

import json
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest
from tests.report import book

from hopperbook import customer as customers
from hopperbook import facts
from hopperbook.errors import Failed, InputError
from hopperbook.report import batch, given, headline, index, publish, worker
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
    asked |= {"digest": customers.load(CUSTOMER).digest()}
    return asked | {"timeout_s": 120.0, "memory_bytes": 6 << 30, "retries": 1} | more


def test_a_worker_outlives_whatever_a_report_does(tmp_path: Path) -> None:
    slow = request(tmp_path / "slow", timeout_s=3.0)
    hang = [("markdown", "# Slow"), ("code", "import time\ntime.sleep(60)")]
    (tmp_path / "slow" / "chapters" / "02-slow.ipynb").write_text(book.notebook(hang))
    assert worker.build_one(slow) | {"seconds": 0} == {
        "state": "failed",
        "sentence": "it took longer than 3 s",
        "kind": "TimeoutError",
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
    folders = batch._tasks(listed[:2], tmp_path / "out")
    assert len(set(folders.values())) == 2 and all(name.startswith("one-two-") for name in folders.values())
    code = listed[0][1].digest()
    (tmp_path / "d.yaml").write_text(f"name: One Two {code}\nmodel: llama-3.1-8b\n")  # as the folder of a is called
    listed[2:] = [(tmp_path / "d.yaml", customers.load(tmp_path / "d.yaml"))]
    assert len(set(batch._tasks(listed, tmp_path / "out").values())) == 3


def stand(site: Path, name: str, **more: object) -> Path:
    """Write what a report of a customer says of itself."""
    site.mkdir(parents=True)
    results = {"gpus": {"value": 8}, "gpu": {"value": "H200 SXM"}, "monthly_cost_usd": {"value": 2e4}}
    fields = {"name": name, "model": "llama-3.1-8b", **more}
    (site / "results.json").write_text(json.dumps({"parameters": fields, "results": results}))
    groups = dict.fromkeys(("versions", "settings", "chapters", "facts", "files"), {})
    own = {"own_files": {"model": "0" * 64}} if str(fields["model"]).endswith(".json") else {}
    content = {"title": "", "parameters": fields, "prices_as_of": "2026-08-23", **groups, **own}
    (site / "manifest.json").write_text(json.dumps(content))
    (site / "index.html").write_text("report")
    return site


def test_no_batch_replaces_the_report_of_another_customer(tmp_path: Path) -> None:
    for name in ("A & B", "A B"):
        (tmp_path / f"{name[2]}.yaml").write_text(f"name: {name}\nmodel: llama-3.1-8b\n")
    (first, one), (second, other) = [
        (path, customers.load(path)) for path in (tmp_path / "&.yaml", tmp_path / "B.yaml")
    ]
    out = tmp_path / "out"
    stand(out / batch._tasks([(first, one)], out)[first], one.name)
    assert batch._tasks([(first, one)], out) == {first: "a-b"}
    folder = batch._tasks([(second, other)], out)[second]
    assert folder == f"a-b-{customers.name_code('A B')}"
    stand(out / folder, other.name)
    assert batch._tasks([(second, other)], out) == {second: folder}
    # removed, but the last one kept beside it is still the other customer's: rollback would bring it back
    (publish.room(out / "a-b") / "earlier").mkdir(parents=True)
    (out / "a-b").rename(publish.room(out / "a-b") / "earlier" / "000001")
    assert batch._tasks([(second, other)], out) == {second: folder}
    assert given.place(tmp_path / "nowhere", "A B").name == "a-b"


def test_a_file_that_holds_another_customer_by_now_is_not_built_in_her_place(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("name: One\nmodel: llama-3.1-8b\n")
    before = customers.load(path).digest()
    path.write_text("name: Other\nmodel: llama-3.1-8b\n")
    with pytest.raises(Failed, match="^a.yaml was changed while the batch ran; start the batch again$"):
        headline.build(path, tmp_path / "out" / "one", asked=before)
    assert not (tmp_path / "out").exists()


def test_the_log_holds_no_name_of_a_customer(tmp_path: Path) -> None:
    sentence = "06-serving: ValueError: cannot serve Canary"
    one = batch.Made("canary.yaml", "canary", "failed", sentence, 1.5, kind="ChapterError", digest="0123456789ab")
    batch._record(tmp_path, one)
    line = (tmp_path / publish.HOUSE / "batch.jsonl").read_text()
    assert "canary" not in line.lower()
    assert json.loads(line) == {"digest": "0123456789ab", "state": "failed", "kind": "ChapterError", "seconds": 1.5}


def test_of_a_folder_only_its_customers_files_are_taken_each_once(tmp_path: Path) -> None:
    for name in ("._two.yaml", "two.yaml", "one.yml", "three.yXml"):
        (tmp_path / name).write_text(f"name: {name.replace('_', '')}\nmodel: llama-3.1-8b\n")
    (tmp_path / "._two.yaml").write_text((tmp_path / "two.yaml").read_text())
    (tmp_path / "sub.yaml").mkdir()
    (tmp_path / "sub").mkdir()
    (tmp_path / "link.yaml").symlink_to(tmp_path / "two.yaml")
    (tmp_path / "none.yaml").symlink_to(tmp_path / "nothing.yaml")
    listed = list(batch._listed([tmp_path / "two.yaml", tmp_path / "sub" / ".." / "two.yaml", tmp_path]))
    assert [path.name for path, _ in listed] == ["two.yaml", "none.yaml", "one.yml"]
    assert [isinstance(who, InputError) for _, who in listed] == [False, True, False]


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


def test_a_report_that_stands_stays_in_the_index_when_building_it_again_fails(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        stand(tmp_path / folder, folder)
    about = {"name": "Shop One", "gpu": "H200 SXM", "gpus": 8, "usd_per_month": [1.0, 2.0, 3.0], "cheaper": ""}
    index.write(tmp_path, [batch.Made("one.yaml", "one", "built", headline=about)])
    failed = batch.Made("one.yaml", "one", "failed", "it took longer than 1 s", 1.0, kind="TimeoutError")
    for _ in range(2):
        index.write(tmp_path, [failed])
        page = (tmp_path / "index.html").read_text()
        assert '<a href="one/index.html">Shop One</a>' in page and "8 × H200 SXM" in page
        assert ">failed: it took longer than 1 s; the report before it stands<" in page
    index.write(tmp_path, [batch.Made("two.yaml", "two", "built", headline=about | {"name": "Shop Two"})])
    page = (tmp_path / "index.html").read_text()
    assert '<a href="one/index.html">Shop One</a>' in page and ">earlier<" in page and "longer than" not in page
    index.write(tmp_path, [batch.Made("x.yaml", "x", "failed", "no")])  # nothing stands there: no link, no figures
    assert (
        ">x.yaml<" in (tmp_path / "index.html").read_text() and 'href="x/' not in (tmp_path / "index.html").read_text()
    )


def test_a_report_put_back_is_told_in_the_index_whatever_its_model(tmp_path: Path) -> None:
    rows = [batch.Made(f"{name}.yaml", name, "failed", "no", 1.0, {"name": "now"}) for name in ("own", "spoilt")]
    for name in ("own", "spoilt"):
        stand(tmp_path / name, f"Shop {name}", model="config.json")
    index.write(tmp_path, rows)
    index.refresh(tmp_path / "own", "put back")
    page = (tmp_path / "index.html").read_text()
    assert '<a href="own/index.html">Shop own</a>' in page and ">put back<" in page and "8 × H200 SXM" in page
    assert "no change" not in page  # whether a cheaper H200 changes it only its owner's file tells
    for content in ("[]", "{", json.dumps({"parameters": {"name": 7}, "results": {"gpus": {"value": "x"}}})):
        (tmp_path / "spoilt" / "results.json").write_text(content)
        index.refresh(tmp_path / "spoilt", "put back")
        page = (tmp_path / "index.html").read_text()
        assert page.count(">put back<") == 2 and ">spoilt.yaml<" in page and "Shop own" in page


@pytest.mark.parametrize(
    "spoilt",
    [
        {"seconds": "x"},
        {"seconds": 10**400},
        {"folder": "/tmp"},
        {"folder": "../elsewhere"},
        {"state": 3},
        {"unknown": 1},
        {"headline": []},
        {"headline": {"usd_per_month": ["a"]}},
        {"headline": {"usd_per_month": ["a", "b", "c"]}},
        {"headline": {"gpus": "8"}},
        {"headline": {"name": {}}},
    ],
)
def test_a_spoilt_row_of_the_index_is_left_out_alone(tmp_path: Path, spoilt: dict[str, object]) -> None:
    out = tmp_path / "out"
    stand(out / "one", "One")
    stand(out / "two", "Two")
    stand(tmp_path / "elsewhere", "Elsewhere")
    whole = [{"file": f"{name}.yaml", "folder": name, "state": "built"} for name in ("one", "two")]
    (out / publish.HOUSE).mkdir()
    (out / index.ROWS).write_text(json.dumps([whole[0] | spoilt, whole[1], 7]))
    assert [one.folder for one in index.known(out)] == ["two"]
    index.write(out, [])
    for content in ("{}", "7", "[" * 100_000, ""):
        (out / index.ROWS).write_text(content)
        assert index.known(out) == []


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
