"""Processes end with their parent, within their limits and in good order."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from tests.report import book

from hopperbook.errors import Failed
from hopperbook.report import ChapterError, execute, processes


def alive(process: int) -> bool:
    """Return whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def gone(process: int, within_s: float = 5.0) -> bool:
    end = time.monotonic() + within_s
    while alive(process) and time.monotonic() < end:
        time.sleep(0.02)
    return not alive(process)


def write_own_number(path: Path, then_s: float) -> None:
    path.write_text(str(os.getpid()))
    time.sleep(then_s)


def test_the_first_failure_ends_the_others(tmp_path: Path) -> None:
    def fail() -> None:
        while not (tmp_path / "slow").exists():
            time.sleep(0.01)
        raise Failed("it is broken")

    tasks = {"slow": partial(write_own_number, tmp_path / "slow", 60.0), "bad": fail}
    with pytest.raises(Failed, match="^it is broken$"):
        list(processes.each_forked(tasks, workers=2))
    assert gone(int((tmp_path / "slow").read_text()))


def test_a_process_that_dies_is_named() -> None:
    with pytest.raises(Failed, match="^eater: the process was killed by SIGKILL, as happens when memory runs out$"):
        list(processes.each_forked({"eater": lambda: os.kill(os.getpid(), signal.SIGKILL)}, workers=1))


def test_further_tasks_find_done_what_was_done_beside_the_first(tmp_path: Path) -> None:
    done: list[str] = []

    def rest() -> dict[str, partial[None]]:
        done.append("plan")
        return {"second": partial(lambda: (tmp_path / "seen").write_text("".join(done)))}

    assert sorted(processes.each_forked({"first": lambda: None}, 2, rest)) == ["first", "second"]
    assert (tmp_path / "seen").read_text() == "plan"


def test_children_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    code = (
        "import os, time; from pathlib import Path; from hopperbook.report import processes\n"
        f"def child():\n    Path({str(tmp_path / 'child')!r}).write_text(str(os.getpid())); time.sleep(60)\n"
        "list(processes.each_forked({'a': child}, 1))"
    )
    with subprocess.Popen([sys.executable, "-c", code]) as parent:
        end = time.monotonic() + 20
        while not (tmp_path / "child").exists() or not (tmp_path / "child").read_text():
            assert time.monotonic() < end
            time.sleep(0.02)
        parent.kill()
    assert gone(int((tmp_path / "child").read_text()))


@pytest.mark.parametrize("words", [["worker"], ["drawer", "nowhere"]])
def test_a_helper_whose_parent_ended_first_ends_at_once(words: list[str]) -> None:
    """A batch that is killed while its helpers load leaves none that goes on with what it had been asked for."""
    name, *given = words
    other = subprocess.Popen([sys.executable, "-c", "pass"])
    other.wait()
    command = [sys.executable, "-m", f"hopperbook.report.{name}", *given, str(other.pid)]
    done = subprocess.run(command, input=b'{"file": "asked for"}\n', capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (1, b"")


def test_a_cell_that_eats_memory_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "CHAPTER_BYTES", 256 << 20)
    monkeypatch.setattr(processes.limit_memory, "__defaults__", (256 << 20,))
    source = tmp_path / "03-a.ipynb"
    source.write_text(book.notebook([("code", "held = [bytearray(1 << 20) for _ in range(1 << 14)]")]))
    with pytest.raises(ChapterError, match=r"^Chapter 03-a, cell 1: MemoryError: it needs more than .* GiB of memory$"):
        execute.run_one(source, {}, tmp_path / "out.ipynb")


def test_only_the_first_signal_counts() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt, match="SIGTERM"), processes.stopped_by_signals():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        finally:
            os.kill(os.getpid(), signal.SIGINT)  # an impatient reader: what clears up goes on
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_signal_stops_whatever_a_library_makes_of_it() -> None:
    with pytest.raises(KeyboardInterrupt, match="SIGTERM"), processes.stopped_by_signals():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        except KeyboardInterrupt:
            raise ImportError("initialization failed") from None


def test_a_signal_that_python_loses_comes_again(capfd: pytest.CaptureFixture[str]) -> None:
    class Held:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(1)

    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt, match="SIGTERM"), processes.stopped_by_signals():
        del (held := [Held()])[0]
        time.sleep(20)
    assert held == [] and time.monotonic() - begun < 5
    assert capfd.readouterr().err == ""


def test_linear_algebra_takes_one_thread_whatever_the_processors() -> None:
    code = (
        "from hopperbook.report import processes; processes.one_thread_each()\n"
        "import numpy as np; np.ones((500, 500)) @ np.ones((500, 500)); from pathlib import Path\n"
        "print(Path('/proc/self/status').read_text().split('Threads:')[1].split()[0])"
    )
    plain = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    done = subprocess.run([sys.executable, "-c", code], env=plain, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"
