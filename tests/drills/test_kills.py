"""Killed, stopped, hung and swollen: what was published stays, nothing is left, the next run goes on."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from pathlib import Path

import pytest
from tests.drills.drill import CUSTOMER, Place, times
from tests.report import book

from hopperbook.report import ChapterError, execute, processes


def test_kills_at_random_moments_of_a_build(tmp_path: Path) -> None:
    place, chance = Place(tmp_path), random.Random(22)
    begun = time.monotonic()
    assert place.build() == (0, "")
    took = time.monotonic() - begun
    for number in range(times(full=150, short=2)):
        arguments = ("--customer", CUSTOMER, "--out", place.out, "--set", f"concurrency={number + 2}")
        with place.start("build", *arguments) as process:
            time.sleep(chance.uniform(0.0, 1.1 * took))
            process.kill()
        assert place.whole()
        assert place.left() == []
        assert len(place.works()) <= 1
    assert place.build(users=1)[0] == 0
    assert place.whole() and place.works() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_end_a_build_in_good_order(tmp_path: Path, number: signal.Signals) -> None:
    place = Place(tmp_path)
    slow = [("markdown", "# Slow"), ("code", "import time\ntime.sleep(60)")]
    (place.chapters / "02-slow.ipynb").write_text(book.notebook(slow))
    with place.start("build", "--customer", CUSTOMER, "--out", place.out) as process:
        end = time.monotonic() + 30
        while not list(place.works()) and time.monotonic() < end:
            time.sleep(0.02)
        time.sleep(1.0)
        sent = time.monotonic()
        os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(number)
        _, complaint = process.communicate(timeout=30)
    assert time.monotonic() - sent < 2.0
    assert (process.returncode, complaint) == (130, "hopperbook: stopped\n")
    assert place.left() == [] and place.works() == [] and not place.out.exists()


CODE = {
    "dies": ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "was killed by SIGKILL"),
    "leaves": ("import os\nos._exit(7)", "ended with exit code 7"),
    "hangs": ("while True:\n    pass", "took longer than 0.5 s"),
    "swells": ("held = []\nwhile True:\n    held.append(bytearray(1 << 22))", "GiB of memory|memory runs out"),
    "forks": ("import os, subprocess\nsubprocess.Popen(['sleep', '61.5'])\nos._exit(1)", "ended with exit code 1"),
}


@pytest.mark.parametrize("kind", CODE)
def test_kernels_that_go_wrong(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes.limit_memory, "__defaults__", (128 << 20,))
    code, words = CODE[kind]
    source = tmp_path / "03-a.ipynb"
    source.write_text(book.notebook([("code", code)]))
    for _ in range(times(full=10, short=1)):
        with pytest.raises(ChapterError, match=words):
            execute.run_one(source, {}, tmp_path / "out.ipynb", timeout_s=0.5 if kind == "hangs" else 30.0)
    time.sleep(0.1)
    lines = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert not any(line.startswith(b"sleep\x0061.5") for line in lines)


def test_two_builds_of_one_customer_at_once(tmp_path: Path) -> None:
    place = Place(tmp_path)
    for _ in range(times(full=10, short=1)):
        both = [
            place.start("build", "--customer", CUSTOMER, "--out", place.out, "--set", f"concurrency={users}")
            for users in (3, 4)
        ]
        ends = [process.communicate(timeout=120)[1] for process in both]
        assert [process.returncode for process in both] == [0, 0], ends
        assert place.whole() and place.works() == []


def test_a_clock_that_was_set_back(tmp_path: Path) -> None:
    place = Place(tmp_path)
    assert place.build()[0] == 0
    ahead = time.time() + 365 * 86400  # what a machine wrote before its clock went back by a year
    for path in [*tmp_path.rglob("*")]:
        os.utime(path, (ahead, ahead))
    assert place.build(users=2)[0] == 0
    assert place.whole() and json.loads((place.out / "results.json").read_text())["parameters"]["concurrency"] == 2


def test_a_batch_that_is_killed_goes_on(tmp_path: Path) -> None:
    place, chance = Place(tmp_path), random.Random(23)
    folder, out = tmp_path / "customers", tmp_path / "many"
    folder.mkdir()
    for number in range(times(full=6, short=2)):
        (folder / f"c{number}.yaml").write_text(
            CUSTOMER.read_text().replace("Lingua Shop", f"Canary {number}") + f"max_gpus: {64 + number}\n"
        )
    (folder / "bad.yaml").write_text("name: [")
    arguments = ("--quiet", "batch", folder, "--out", out, "--workers", "2")
    for _ in range(times(full=50, short=0)):
        with place.start(*arguments) as process:
            time.sleep(chance.uniform(2.0, 12.0))
            process.kill()
        assert place.left(10.0) == []
        for page in out.glob("canary-*/manifest.json"):
            assert place.whole(page.parent)
    status, complaint = place.run(*arguments)
    assert (status, complaint.count("Traceback")) == (1, 0), complaint
    status, _ = place.run("--quiet", "batch", folder / "c0.yaml", folder / "c1.yaml", "--out", out)
    assert status == 0
    canaries(out)


def canaries(out: Path) -> None:
    """Each report holds its own customer's name and no other's; no log holds any."""
    names = {path.parent.name: path.parent.name.split("-")[1] for path in out.glob("canary-*/index.html")}
    assert len(names) >= 2
    for folder, own in names.items():
        texts = [path.read_text(errors="replace") for path in (out / folder).rglob("*") if path.is_file()]
        assert any(f"Canary {own}" in text for text in texts)
        others = [number for number in names.values() if number != own]
        assert not any(f"Canary {number}" in text for number in others for text in texts)
    assert "canary" not in (out / ".hopperbook" / "batch.jsonl").read_text().lower()
    assert (out / "index.html").read_text().count("Canary") == len(names)
