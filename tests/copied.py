"""A copy of the library and its facts that a test may change, with what is compiled of it."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from hopperbook import facts

ROOT = facts.DATA.parent
#: What is left behind: files that another process is just writing, and how the library was installed.
LEFT = shutil.ignore_patterns("*.egg-info", "*.pyc.*", "*.tmp.*")


def tree(there: Path, names: Iterable[str] = ("lib", "data")) -> Path:
    """Copy files and folders of the book into a folder and return it; the copied library compiles nothing again."""
    for name in names:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, there / name, ignore=LEFT)
        else:
            shutil.copy(ROOT / name, there)
    return there
