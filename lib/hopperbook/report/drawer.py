"""The process that draws charts: ``python -m hopperbook.report.drawer FOLDER PARENT`` reads a specification a line."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from hopperbook.errors import InputError
from hopperbook.report import processes
from hopperbook.report.svg import FINISHED, digest, draw


def serve(folder: Path) -> None:
    """Draw the specifications that come in, one a line, each written aside and renamed.

    Parameters
    ----------
    folder : Path
        Where the pictures go, under their specifications' names.
    """
    for line in sys.stdin:
        spec = json.loads(line)
        target = folder / f"{digest(spec)}.svg"
        try:
            text = draw(spec)
        except InputError as error:
            text, target = str(error), target.with_suffix(".error")
        aside = target.with_suffix(".part")
        aside.write_text(text, encoding="utf-8")
        aside.rename(target)
    (folder / FINISHED).touch()


if __name__ == "__main__":
    processes.leave_signals_to_parent()
    processes.end_with_parent(int(sys.argv[2]))
    try:
        serve(Path(sys.argv[1]))
    except FileNotFoundError:
        if Path(sys.argv[1]).exists():  # else whoever asked has given up
            raise
