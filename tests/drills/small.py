"""The command, with a small book in place of the real one: ``small.py CHAPTERS STORE ARGUMENTS...``."""

import sys
from pathlib import Path

from hopperbook import reads

reads.watch(early=True)


def main() -> None:
    """Run the command on the book in a folder, with a store of its own."""
    from hopperbook import __main__
    from hopperbook.evidence import kept
    from hopperbook.report import pipeline
    from hopperbook.report.kept import store

    chapters, store.ROOT, kept.KEPT = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[2]) / "answers"
    pipeline.CHAPTERS = chapters
    pipeline.build.__defaults__ = (None, chapters, *pipeline.build.__defaults__[2:])
    sys.argv = ["hopperbook", *sys.argv[3:]]
    __main__.main()


if __name__ == "__main__":
    main()
