"""Nothing is computed twice, and nothing stale is ever used."""

from __future__ import annotations

import ast
import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from tests.report import book

from hopperbook import customer, reads, report
from hopperbook.errors import Failed
from hopperbook.report import execute, manifest, pipeline
from hopperbook.report.kept import chapters as kept_chapters
from hopperbook.report.kept import fields, inputs, modules, pages
from hopperbook.report.kept.chapters import Chapters
from hopperbook.report.kept.store import Store, digest

COUNT = "from pathlib import Path\nwith Path({log!r}).open('a') as file:\n    file.write('{name} ')\n"


def small(folder: Path, log: Path) -> Path:
    """Write a book whose chapters say each time they run: one reads ``users``, one ``name``, one neither."""
    chapters = book.write(folder)
    for name, more in (("02-users", "print(users + 1)"), ("03-name", "print(name)"), ("04-none", "print('same')")):
        cells = [("markdown", f"# {name}"), ("code", "users = 1\nname = 'a'", ["parameters"])]
        code = COUNT.format(log=str(log), name=name) + more
        (chapters / f"{name}.ipynb").write_text(book.notebook([*cells, ("code", code)]))
    return chapters


def ran(log: Path) -> list[str]:
    words = sorted(log.read_text().split()) if log.exists() else []
    log.unlink(missing_ok=True)
    return words


@pytest.fixture
def keeps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "settled", lambda: True)
    monkeypatch.setattr(reads, "_inputs", [set()])  # what tests before read in this process is not what a chapter reads


@pytest.mark.usefixtures("keeps")
def test_only_chapters_that_read_a_changed_value_run_again(tmp_path: Path) -> None:
    log, out = tmp_path / "log", tmp_path / "report"
    chapters = small(tmp_path / "chapters", log)

    def build(**parameters: object) -> list[str]:
        report.build(parameters, out, chapters_dir=chapters)
        return ran(log)

    everything = ["02-users", "03-name", "04-none"]
    assert build(users=1, name="a") == everything
    before = manifest.listing(out)
    assert build(users=1, name="a") == []
    assert build(users=2, name="a") == ["02-users"]
    assert build(users=2, name="b") == ["03-name"]
    assert build(users=1, name="a") == []
    assert manifest.listing(out) == before  # a kept chapter holds the values of whoever asks
    assert (
        json.loads((out / "_sources" / "04-none.ipynb").read_text())["cells"][2]["source"][-1].strip() == 'name = "a"'
    )
    text = (chapters / "04-none.ipynb").read_text()
    (chapters / "04-none.ipynb").write_text(text.replace("'same'", "'other'"))
    assert build(users=1, name="a") == ["04-none"]


PLANNING = "from hopperbook import planner\nfrom hopperbook.customer import of\ncustomer = of(globals())\n"
PLANNED = {  # chapters, and what each shows of the plan
    "02-row": "print(planner.plan(customer).explained.gpus, plan.explained.usd)",
    "03-parts": "print({part: row.usd for part, row in plan.by_part.items()})",
    "04-own": "print(plan.explained.gpus, customer.h200_usd_per_hour)",
    "05-other": "more = customer.model_copy(update={'concurrency': 9})\nprint(planner.plan(more).explained.gpus)",
}


def planning(folder: Path, log: Path, parameters: dict[str, object]) -> Path:
    """Write a book whose chapters say each time they run, and show parts of the plan."""
    chapters = book.write(folder)
    given = "\n".join(f"{name} = {value!r}" for name, value in parameters.items())
    for name, show in {"00-the-answer": "print('first')", **PLANNED}.items():
        first = ("markdown", f"# {name}"), ("code", given, ["parameters"])
        code = f"{PLANNING}plan = planner.plan(customer)"
        again = ("code", COUNT.format(log=str(log), name=name) + show)
        (chapters / f"{name}.ipynb").write_text(book.notebook([*first, ("code", code), again]))
    return chapters


@pytest.mark.usefixtures("keeps")
def test_a_chapter_rests_on_the_parts_of_the_plan_that_it_shows(tmp_path: Path) -> None:
    with reads.aside():  # this process is asked for what the chapters read, and passes on what it read before them
        log, given = tmp_path / "log", customer.check({"name": "A", "model": "llama-3.1-8b"}).model_dump()
    chapters = planning(tmp_path / "chapters", log, given)

    def build(**changed: object) -> list[str]:
        report.build(given | changed, tmp_path / "report", chapters_dir=chapters)
        return ran(log)

    def made_anew(**changed: object) -> dict[str, str]:
        report.build(given | changed, tmp_path / "anew", chapters_dir=chapters, store=Store(tmp_path / "anew-store"))
        assert ran(log) == ["00-the-answer", *PLANNED]
        return manifest.listing(tmp_path / "anew")

    assert build() == ["00-the-answer", *PLANNED]
    assert build(h200_usd_per_hour=3.0) == ["03-parts", "04-own", "05-other"]  # another GPU serves, as it did before
    assert manifest.listing(tmp_path / "report") == made_anew(h200_usd_per_hour=3.0)
    assert build(h200_usd_per_hour=0.01) == ["02-row", "03-parts", "04-own", "05-other"]
    assert build(name="B") == build() == []


@pytest.mark.usefixtures("keeps")
def test_only_pages_that_changed_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[list[str]] = []
    plain = pages.Builder.prepare_writing

    def noting(self: pages.Builder, docnames: set[str]) -> None:
        taken.append(sorted(self.taken))
        plain(self, docnames)

    monkeypatch.setattr(pages.Builder, "prepare_writing", noting)
    store, chapters = Store(tmp_path / "store"), book.write(tmp_path / "chapters")
    for name, show in (("03-memory-maths", "print(users)"), ("04-network", "print('same')")):
        cells = ("markdown", f"# {name}"), ("code", "users = 1", ["parameters"]), ("code", show)
        (chapters / f"{name}.ipynb").write_text(book.notebook([*cells]))

    def build(out: str, store: Store = store, users: int = 1) -> dict[str, str]:
        report.build({"users": users}, tmp_path / out, chapters_dir=chapters, store=store)
        return manifest.listing(tmp_path / out)

    first = build("one")
    assert build("one") == first
    assert build("one", users=2) == build("anew", Store(tmp_path / "anew-store"), users=2)
    text = (chapters / "04-network.ipynb").read_text()
    (chapters / "04-network.ipynb").write_text(text.replace("# 04-network", "# Another title"))
    assert build("one", users=2) == build("other", Store(tmp_path / "other-store"), users=2)
    every = ["01-hopper", "03-memory-maths", "04-network"]  # the first page is always written
    assert taken == [[], every, ["04-network"], [], [], []]  # each page shows the titles of all


def test_a_part_of_a_plan_without_a_plain_value_is_not_kept(tmp_path: Path) -> None:
    kept = Chapters({}, Store(tmp_path / "store"))
    kept.planned(SimpleNamespace(small=object(), answer="none"), [])  # type: ignore[arg-type]
    read = {"fields": [], "files": []}
    assert kept._key("base", read | {"parameters": [], "parts": ["answer"]})
    assert kept._key("base", read | {"parameters": [], "parts": ["small"]}) is None


def test_functions_of_a_customer_are_kept_by_reads_alone() -> None:
    """A plain cache would hand on what was computed of a customer without a word of which of her fields it rests on."""
    plain = []
    for path in (inputs.PACKAGE).rglob("*.py"):
        if path.is_relative_to(inputs.PACKAGE / "report"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                how = {ast.unparse(each).split("(")[0] for each in node.decorator_list}
                given = ast.unparse(node.args)
                if how & {"cache", "lru_cache", "functools.cache", "functools.lru_cache"} and (
                    "Customer" in given or "Plan" in given
                ):
                    plain.append(f"{path.name}: {node.name}")
    assert plain == []


@pytest.mark.usefixtures("keeps")
def test_an_unchanged_report_is_left_as_it_is_and_a_spoilt_one_is_not(tmp_path: Path) -> None:
    out, chapters = tmp_path / "report", book.write(tmp_path / "chapters")
    report.build({"users": 1}, out, chapters_dir=chapters)
    made = (out / "index.html").stat().st_ino
    report.build({"users": 1}, out, chapters_dir=chapters)
    assert (out / "index.html").stat().st_ino == made
    (out / "index.html").write_text("half")
    report.build({"users": 1}, out, chapters_dir=chapters)
    assert (out / "index.html").read_text() != "half"


def test_a_file_that_a_chapter_read_counts(tmp_path: Path) -> None:
    source, model = book.write(tmp_path / "chapters") / "01-hopper.ipynb", tmp_path / "config.json"
    model.write_text("{}")
    given = {"users": 1, "model": str(model)}
    kept = Chapters(given, Store(tmp_path / "store"))
    done = execute.run_one(source, given, tmp_path / "out.ipynb").read_text()
    kept.keep(source, {"fields": [], "parts": [], "files": [str(inputs.REPOSITORY / "data" / "prices.csv")]}, done)
    assert Chapters(given, kept.store).find(source) == done
    model.write_text('{"other": 1}')
    assert Chapters(given, kept.store).find(source) is None


def test_a_changed_fact_or_module_is_another_chapter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = book.write(tmp_path / "chapters") / "01-hopper.ipynb"
    store = Store(tmp_path / "store")
    done = execute.run_one(source, {"users": 1}, tmp_path / "out.ipynb").read_text()
    Chapters({"users": 1}, store).keep(
        source, {"fields": [], "parts": [], "files": [str(inputs.REPOSITORY / "data/prices.csv")]}, done
    )
    start = dict(inputs.at_start())

    def found(**changed: str) -> bool:
        monkeypatch.setattr(inputs, "at_start", lambda: start | {n.replace("__", "/"): v for n, v in changed.items()})
        kept_chapters.ground.cache_clear()
        kept_chapters._code_digest.cache_clear()
        return Chapters({"users": 1}, store).find(source) is not None

    assert found()
    assert not found(**{"data/prices.csv": "x"})
    assert found(**{"data/costs.csv": "x"})
    assert not found(**{"lib/hopperbook/charts/base.py": "x"})
    assert found(**{"lib/hopperbook/planner/spot.py": "x"})
    assert not found(**{"requirements.lock": "x"})
    assert not found(**{"data/new.csv": "x"})
    monkeypatch.undo()
    kept_chapters.ground.cache_clear()
    kept_chapters._code_digest.cache_clear()


def test_a_spoilt_entry_is_computed_again(tmp_path: Path) -> None:
    store, key = Store(tmp_path), digest("question")
    store.put("answers", key, {"gpu": "H100"})
    path = store._path("answers", key)
    for spoil in (b"", b"x" * 40, path.read_bytes()[:-3], path.read_bytes().replace(b"\n", b"\nx", 1)):
        store.put("answers", key, {"gpu": "H100"})
        path.write_bytes(spoil)
        assert store.get("answers", key) is None and not path.exists()
    store.put("answers", key, {"gpu": "H100"})
    other = store._path("answers", digest("other"))
    other.parent.mkdir(parents=True, exist_ok=True)
    other.write_bytes(path.read_bytes())  # an answer under the name of another question
    assert store.get("answers", digest("other")) is None


def test_the_store_stays_within_its_room(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for number in range(6):
        store.put("answers", digest(number), list(range(2000 + number)))
        time.sleep(0.01)
    size = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    assert store.prune(size // 2) > 0
    assert store.get("answers", digest(5)) is not None and store.get("answers", digest(0)) is None


def test_files_changed_during_a_build_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "changed", lambda: ["data/prices.csv"])
    with pytest.raises(Failed, match="data/prices.csv was changed while the report was being built"):
        report.build({"users": 1}, tmp_path / "report", chapters_dir=book.write(tmp_path / "chapters"))
    assert not (tmp_path / "report").exists()


def test_a_customers_own_file_changed_during_a_build_is_refused(tmp_path: Path) -> None:
    chapters, model = book.write(tmp_path / "chapters"), tmp_path / "config.json"
    model.write_text(json.dumps({"hidden_size": 64}))
    cells = [("markdown", "# Own"), ("code", "model = 'a'", ["parameters"])]
    change = f"from pathlib import Path\nprint(Path({str(model)!r}).write_text('other'))"
    (chapters / "02-own.ipynb").write_text(book.notebook([*cells, ("code", change)]))
    with pytest.raises(Failed, match="the file of model was changed while the report was being built"):
        report.build({"model": str(model)}, tmp_path / "report", chapters_dir=chapters)
    assert not (tmp_path / "report").exists()


def test_nothing_is_kept_of_facts_written_since_the_process_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hopperbook.evidence import kept
    from hopperbook.report.kept import simulations

    fact, asked = tmp_path / "fact.yaml", []
    fact.write_text("a: 1")
    for module, found in ((simulations, str(fact)), (kept, fact)):
        monkeypatch.setattr(module, "_rested_on", lambda found=found: (found,))
    monkeypatch.setattr(simulations, "_connection", lambda: asked.append("opened"))
    monkeypatch.setattr(kept, "KEPT", tmp_path / "answers")
    kept.fingerprint()
    for written_ns, times in ((fact.stat().st_mtime_ns, 0), (reads.STARTED_NS - 1, 1)):
        os.utime(fact, ns=(written_ns, written_ns))
        simulations._put("key", b"answer")
        simulations.flush()
        assert kept.frame("numbers", lambda: pd.DataFrame({"a": [1.0]})).a.tolist() == [1.0]
        assert (len(asked), len(list((tmp_path / "answers").rglob("*.parquet")))) == (times, times)


def test_modules_are_followed_wherever_they_are_imported() -> None:
    names = {
        path.relative_to(inputs.PACKAGE).as_posix() for path in modules.reached(["import hopperbook.planner.spot"])
    }
    assert {"planner/spot.py", "customer.py", "facts/tables.py", "serving/demand.py"} <= names
    assert "report/pipeline.py" not in names and "cli.py" not in names
    assert modules.reached(["%load_ext nothing"]) == modules.everything()
    assert modules.reached(["__import__('hopperbook.hpc')"]) == modules.everything()


def test_every_module_says_what_it_imports_so_that_a_chapter_rests_on_no_other() -> None:
    assert not [path for path in modules.everything() if "*" in modules.imports(path.read_text(encoding="utf-8"))]
    found = pipeline.find_chapters(pipeline.CHAPTERS)
    reached = {path.stem[:2]: modules.reached(kept_chapters.cells(path)[0]) for path in found}
    resting = lambda name: [number for number, files in reached.items() if inputs.PACKAGE / name in files]  # noqa: E731
    assert [resting(name) for name in ("planner/lattice.py", "workbook/write.py")] == [["13"], ["09"]]
    assert resting("calibrate/draw.py") == [] and "16" not in resting("charts/base.py")
    assert len(resting("units.py")) == len(found)


def test_fields_are_seen_however_they_are_read() -> None:
    code = (
        "from hopperbook import customer; from hopperbook import reads; from hopperbook.report.kept import fields\n"
        "who = customer.default(); fields.watch()\n"
        "hash(who); who == who; other = who.model_copy(update={'concurrency': 7})\n"
        "assert reads.inputs() == frozenset(), reads.inputs()\n"
        "other.concurrency; who.held_tokens\n"
        "held = {'context_tokens', 'prompt_tokens', 'output_tokens', 'texts_per_request'}\n"
        "assert reads.inputs() == {'concurrency'} | held, reads.inputs()\n"
        "ways = 'who.digest()', 'who.model_dump()', 'dict(who)', 'repr(who)', 'vars(who)', 'who.model_dump_json()'\n"
        "for way in ways:\n"
        "    with reads.aside() as found: eval(way)\n"
        "    assert found == set(customer.FIELDS), way\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_books_own_chapters_can_be_told_apart() -> None:
    for chapter in pipeline.find_chapters(pipeline.CHAPTERS):
        code, assigned = kept_chapters.cells(chapter)
        assert len(fields.named(code, assigned)) < 5, chapter.stem  # a loop's variable may bear a field's name


def test_chapters_that_took_longest_start_first(tmp_path: Path) -> None:
    chapters = [tmp_path / f"{name}.ipynb" for name in ("00-a", "01-b", "02-c", "03-new")]
    kept = Chapters({}, Store(tmp_path / "store"))
    assert kept.longest_first(chapters) == chapters
    kept.took({"00-a": 1.0, "01-b": 9.0})
    kept.took({"02-c": 3.0})
    assert [path.stem for path in kept.longest_first(chapters)] == ["01-b", "02-c", "00-a", "03-new"]


def test_a_kept_simulation_is_the_same_to_the_last_bit_and_a_spoilt_one_is_not_used(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from hopperbook import reads; reads.watch(early=True)\n"
        "from hopperbook.models import load; from hopperbook.serving import Lengths, demand, deploy, queue\n"
        "from hopperbook.training import run; from pandas.testing import assert_frame_equal\n"
        "from hopperbook.report.kept import simulations, store; store.ROOT = Path(sys.argv[1])\n"
        "simulations.install(); calls = []\n"
        "simulations._put = lambda key, known, put=simulations._put: (calls.append(key), put(key, known))\n"
        "d = deploy(load('llama-3.1-8b'), 'H100 SXM')\n"
        "seen = demand.at_rate(d, Lengths(2048, 512), 2.0)\n"
        "same = demand.simulated(d, Lengths(2048, 512), 2.0, 1.0, 0, 1)\n"
        "kinds = [[type(v) for v in vars(x).values()] + [type(v) for v in x.ttft] for x in (seen, same)]\n"
        "llama = load('llama-3.1-8b')\n"
        "asked = run.Asked(llama, 'H100 SXM', (8, 16), 128, 4096, 'bf16', 'pretrain', llama)\n"
        "assert_frame_equal(run.fastest(asked)[0], run.found(asked)[0], check_exact=True)\n"
        "files = {Path(path).name for path in reads.files()}\n"
        "assert repr(seen) == repr(same) and kinds[0] == kinds[1] and {'gpus.yaml', 'serving.yaml'} <= files\n"
        "cut, again = demand.cut_of(d, Lengths(2048, 512)), queue.first_cut(d, Lengths(2048, 512))\n"
        "parts = [[*vars(x.ttft).values(), *vars(x.request).values(), x.running, x.room_share] for x in (cut, again)]\n"
        "assert all((a == b).all() and a.dtype == b.dtype for a, b in zip(*parts, strict=True))\n"
        "print(len(calls))"
    )

    def computed() -> str:
        done = subprocess.run([sys.executable, "-c", code, tmp_path], check=True, capture_output=True, text=True)
        return done.stdout.strip()

    assert [computed(), computed()] == ["3", "0"]  # a simulation, the first cut from which it starts, layouts
    with contextlib.closing(sqlite3.connect(tmp_path / "simulations.sqlite", isolation_level=None)) as kept:
        kept.execute("update answers set answer = substr(answer, 2)")
    assert [computed(), computed()] == ["3", "0"]
    (tmp_path / "simulations.sqlite").write_bytes(b"no database" * 1000)
    assert [computed(), computed()] == ["3", "0"]


def test_simulations_read_no_fact_that_does_not_count() -> None:
    code = (
        "from hopperbook import reads; reads.watch(early=True)\n"
        "from hopperbook.models import load; from hopperbook.serving import Lengths, demand, deploy\n"
        "from hopperbook.report.kept import simulations\n"
        "for part in ('A100 SXM 80GB', 'H200 SXM'):\n"
        "    demand.at_rate(deploy(load('mixtral-8x7b'), part, tp=2), Lengths(512, 128), 1.0)\n"
        "print([p for p in reads.files() if '/data/' in p and p not in simulations._files()])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_where_a_customers_own_model_lies_is_not_told(tmp_path: Path) -> None:
    secret = tmp_path / "secret-folder" / "config.json"
    secret.parent.mkdir()
    secret.write_text("{}")
    chapters = book.write(tmp_path / "chapters")
    cells = [("markdown", "# M"), ("code", "model = 'a'", ["parameters"]), ("code", "print('model', model)")]
    (chapters / "02-fp8.ipynb").write_text(book.notebook(cells))
    for store in (Store(tmp_path / "store"), Store(tmp_path / "store")):
        out = tmp_path / f"report-{time.monotonic_ns()}"
        report.build({"name": "A", "model": str(secret)}, out, chapters_dir=chapters, store=store)
        assert json.loads((out / "results.json").read_text())["parameters"]["model"] == "config.json"
        assert "model config.json" in (out / "02-fp8.html").read_text()
        texts = {path: path.read_text(errors="replace") for path in out.rglob("*") if path.is_file()}
        assert [path for path, text in texts.items() if "secret-folder" in text] == []
