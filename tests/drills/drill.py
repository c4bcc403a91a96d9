"""What drills share: how many times each is run, a command on a small book, and a look for what it left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

from tests.report import book

from hopperbook import facts
from hopperbook.report import manifest

#: The share of all drills that is run; ``make drill`` runs all, ``make test`` a short form.
SHARE = float(os.environ.get("DRILL") or 0)
CUSTOMER = facts.DATA / "customers" / "default.yaml"
SMALL = Path(__file__).with_name("small.py")
MARK = "HOPPERBOOK_DRILL"


def times(full: int, short: int) -> int:
    """Return how often a drill is run: its share of all, at least the short form."""
    return max(short, round(full * SHARE))


def _as_from_a_terminal() -> None:
    """Undo what nohup and shells do to processes in the background: signals that stop a command stop it."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


class Place:
    """A folder with a small book, a store and reports, and the command that builds them."""

    def __init__(self, folder: Path):
        self.chapters = book.write(folder / "chapters")
        self.store, self.out, self.mark = folder / "store", folder / "reports" / "shop", uuid.uuid4().hex

    def start(self, *arguments: object, wrap: tuple[str, ...] = ()) -> subprocess.Popen[str]:
        """Start the command in a process group of its own."""
        command = [*wrap, sys.executable, str(SMALL), str(self.chapters), str(self.store), *map(str, arguments)]
        return subprocess.Popen(
            command, env=os.environ | {MARK: self.mark}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            start_new_session=True, preexec_fn=_as_from_a_terminal,
        )  # fmt: skip

    def run(self, *arguments: object, wrap: tuple[str, ...] = ()) -> tuple[int, str]:
        """Run the command; return its exit code and what it complained of."""
        with self.start(*arguments, wrap=wrap) as process:
            _, complaint = process.communicate(timeout=120)
        return process.returncode, complaint

    def build(self, users: int = 1) -> tuple[int, str]:
        """Build the report for so many users."""
        return self.run("build", "--customer", CUSTOMER, "--out", self.out, "--set", f"concurrency={users}")

    def left(self, within_s: float = 5.0) -> list[str]:
        """Return the processes of this place that are still there after a while."""
        end = time.monotonic() + within_s
        while (found := self._processes()) and time.monotonic() < end:
            time.sleep(0.02)
        return found

    def _processes(self) -> list[str]:
        needle, found = f"{MARK}={self.mark}".encode(), []
        for place in Path("/proc").glob("[0-9]*"):
            try:
                if needle in (place / "environ").read_bytes():
                    found.append((place / "cmdline").read_text().replace("\0", " "))
            except OSError:
                continue
        return found

    def works(self) -> list[Path]:
        """Return the folders in which reports are being built, or were when they were killed."""
        return list((self.out.parent / ".hopperbook" / "reports").glob("*/work-*"))

    def whole(self, out: Path | None = None) -> bool:
        """Return whether the report is complete, to the byte."""
        out = out or self.out
        return manifest.read(out)["files"] == manifest.listing(out)
