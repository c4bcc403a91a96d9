"""Publishing: at one stroke, the last reports kept, nothing of a killed build left, one build of a report at a time."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hopperbook.errors import Failed, InputError
from hopperbook.report import locks, publish, upkeep
from hopperbook.report.kept import store


def make(folder: Path, words: str) -> Path:
    """Write a report that says something."""
    (folder / "_static").mkdir(parents=True)
    (folder / "results.json").write_text("{}")
    (folder / "index.html").write_text(words)
    (folder / "_static" / "theme.css").write_text("the same in all")
    return folder


def put(final: Path, words: str) -> None:
    with publish.workshop(final) as work:
        built = make(work / "site", words)
        publish.share(built, final)
        publish.replace(built, final)


def test_the_last_reports_are_kept_and_come_back(tmp_path: Path) -> None:
    final = tmp_path / "shop"
    for words in ("one", "two", "three", "four"):
        put(final, words)
    assert (final / "index.html").read_text() == "four"
    assert [(path / "index.html").read_text() for path in publish.earlier(final)] == ["two", "three"]
    publish.rollback(final)
    assert (final / "index.html").read_text() == "three"
    publish.rollback(final)
    assert (final / "index.html").read_text() == "four"
    assert sorted(path.name for path in publish.room(final).iterdir()) == ["earlier", "lock"]


def test_without_an_earlier_report_nothing_is_rolled_back(tmp_path: Path) -> None:
    put(tmp_path / "shop", "one")
    with pytest.raises(InputError, match="with an earlier one kept beside it; this one has none"):
        publish.rollback(tmp_path / "shop")
    with pytest.raises(InputError, match="with an earlier one kept beside it; there is no such report"):
        publish.rollback(tmp_path / "other")
    assert (tmp_path / "shop" / "index.html").read_text() == "one"


def test_a_place_that_is_no_place_for_reports_is_refused(tmp_path: Path) -> None:
    put(tmp_path / "shop", "one")
    (tmp_path / "shop" / "manifest.json").write_text("{}")
    (tmp_path / "link").symlink_to(tmp_path / "shop")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for place in ("shop/sub", "shop/a/b", "link", "dangling", ".hopperbook/x"):
        with pytest.raises(InputError, match="out: "):
            publish.check_target(tmp_path / place)
    for folder in publish.OWN:
        with pytest.raises(InputError, match=f"a folder outside {folder.name}"):
            publish.check_target(folder / "report")
    publish.check_target(tmp_path / "shop")


def test_a_place_that_was_emptied_is_no_report_to_come_back_to(tmp_path: Path) -> None:
    for words in ("one", "two"):
        put(tmp_path / "shop", words)
    shutil.rmtree(tmp_path / "shop")
    (tmp_path / "shop").mkdir()
    publish.rollback(tmp_path / "shop")
    assert (tmp_path / "shop" / "index.html").read_text() == "one" and not publish.earlier(tmp_path / "shop")


def test_where_the_system_cannot_exchange_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish, "_exchange", lambda one, other: False)
    final = tmp_path / "shop"
    put(final, "one")
    put(final, "two")
    assert (final / "index.html").read_text() == "two"
    publish.rollback(final)
    assert (final / "index.html").read_text() == "one"
    # killed between the two steps: the report was moved away, nothing stands in its place
    (publish.room(final) / "moved").touch()
    os.rename(final, publish.room(final) / "earlier" / "000009")
    with publish.workshop(final):
        assert (final / "index.html").read_text() == "one"
    assert not (publish.room(final) / "moved").exists()


def test_what_killed_builds_left_is_cleared(tmp_path: Path) -> None:
    final = tmp_path / "shop"
    put(final, "one")
    (publish.room(final) / "work-abc" / "notebooks").mkdir(parents=True)
    assert any("killed builds" in found.words for found in upkeep.examine(tmp_path))
    with publish.workshop(final) as work:
        assert [path.name for path in publish.room(final).glob("work-*")] == [work.name]
    assert list(publish.room(final).glob("work-*")) == []


def test_a_report_under_way_elsewhere_is_waited_for(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    code = (
        "import sys, time; from pathlib import Path; from hopperbook.report import locks\n"
        f"with locks.hold(Path({str(lock)!r}), 'x'):\n    print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        assert locks.is_held(lock)
        told: list[str] = []
        with (
            pytest.raises(Failed, match="another process works on a report"),
            locks.hold(lock, "a report", 0.2, told.append),
        ):
            pass
        assert told == ["another process works on a report; waiting for it"]
        other.kill()
        other.wait()
        with locks.hold(lock, "a report", 5.0):  # the system took it back
            assert locks.is_held(lock)
            with pytest.raises(Failed), locks.hold(lock, "a report", 0.1):
                pass
        assert not locks.is_held(lock)


def test_reports_share_what_does_not_depend_on_the_customer(tmp_path: Path) -> None:
    put(tmp_path / "a", "one")
    put(tmp_path / "b", "two")
    one, other = (tmp_path / name / "_static" / "theme.css" for name in "ab")
    assert one.stat().st_ino == other.stat().st_ino and one.read_text() == "the same in all"
    pool = tmp_path / publish.HOUSE / "files"
    assert len(list(pool.iterdir())) == 1
    next(pool.iterdir()).write_text("spoilt")  # and with it both reports; the next build mends its own
    put(tmp_path / "b", "three")
    assert other.read_text() == "the same in all"


def test_a_report_shares_with_the_one_before_it_what_is_the_same_in_both(tmp_path: Path) -> None:
    final = tmp_path / "shop"
    for words in ("one", "two"):
        put(final, words)
    (before,) = publish.earlier(final)
    assert (before / "results.json").stat().st_ino == (final / "results.json").stat().st_ino
    assert [(each / "index.html").read_text() for each in (before, final)] == ["one", "two"]
    (final / "results.json").unlink()
    (final / "results.json").symlink_to(tmp_path / "elsewhere.json")
    (tmp_path / "elsewhere.json").write_text("{}")
    put(final, "three")
    assert not (final / "results.json").is_symlink() and (final / "results.json").stat().st_nlink == 1


def test_cleaning_keeps_the_reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "ROOT", tmp_path / "store")  # the run's own stays for the other workers
    for words in ("one", "two"):
        put(tmp_path / "shop", words)
    (publish.room(tmp_path / "shop") / "work-abc").mkdir()
    assert upkeep.clean(tmp_path) > 0
    assert (tmp_path / "shop" / "index.html").read_text() == "two"
    assert publish.earlier(tmp_path / "shop") == [] and not list(publish.room(tmp_path / "shop").glob("work-*"))
