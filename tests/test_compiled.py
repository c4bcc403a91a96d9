"""Compiled functions: what is kept of them, when it is used, and that it answers as Python does."""

import subprocess
import sys
from pathlib import Path

import copied
import numpy as np
import pytest

from hopperbook import compiled
from hopperbook.kernels import between

ASKED = """
import sys
import numpy as np
from hopperbook.kernels import between
axis, out, beyond = np.array([0.0, 1.0]), np.empty(1), np.empty(1, bool)
table = between.Table(axis * 3, axis, np.array([0, 2]))
between.read(table, np.full((1, 1), np.e**0.5), np.empty(1, int), np.empty(1), out, beyond)
print(round(out[0], 9), "numba" in sys.modules)
"""
FOLDER = "from hopperbook import compiled, prepared; print(prepared.folder(compiled.sources()))"
SIZED = """
import sys
from hopperbook import cli
cli.main(["size", "--model", "llama-3.1-8b", "--json"])
print({"numba", "pandas", "pydantic", "scipy"} & set(sys.modules))
"""


def said(text, library):
    """Return what a process of its own prints."""
    settings = {"PYTHONPATH": str(library)}
    done = subprocess.run([sys.executable, "-c", text], env=settings, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def test_what_is_kept_depends_on_every_file_that_is_compiled():
    """A function's code holds that of those it calls: a change in the file of another would go unnoticed."""
    library = Path(compiled.__file__).parent
    compiling = {
        path.relative_to(library).as_posix() for path in library.rglob("*.py") if "\n@compiled\n" in path.read_text()
    }
    assert compiling | {"compiled.py"} == set(compiled.SOURCES)


def test_a_later_process_needs_no_compiler_and_mends_what_is_damaged(tmp_path):
    library = copied.tree(tmp_path) / "lib"
    here = library / "hopperbook"
    text = (here / "compiled.py").read_text()
    (here / "compiled.py").write_text(text + "# changed, so that nothing is kept\n")
    assert said(ASKED, library) == "1.5 True"
    assert said(ASKED, library) == "1.5 False"
    (kept,) = Path(said(FOLDER, library)).glob("read-*.o")
    whole = kept.read_bytes()
    for spoilt in (whole[:-1], whole[:99] + b"?" + whole[100:], b"", b"\n\n"):
        kept.write_bytes(spoilt)
        assert said(ASKED, library) == "1.5 True"
        assert kept.read_bytes() == whole
    (here / "serving" / "ticker.py").write_text((here / "serving" / "ticker.py").read_text() + "# changed\n")
    assert said(ASKED, library) == "1.5 True"


def test_size_loads_no_compiler_and_no_data_frames():
    """It answers in half a second or so because of it."""
    library = Path(compiled.__file__).parents[1]
    said(SIZED, library)
    assert said(SIZED, library) == "set()"


def test_machine_code_answers_as_python_does_to_the_bit():
    rng = np.random.default_rng(1)
    sizes = 3, 4, 5
    axes = [np.sort(rng.normal(size=n)) for n in sizes]
    values, starts = rng.normal(size=np.prod(sizes)), np.cumsum([0, *sizes])
    at = np.exp(rng.normal(size=(3, 200), scale=2))
    found = []
    table = between.Table(values, np.concatenate(axes), starts)
    ways = (between.read, table), (between.read, compiled.Ready(table)), (between.read.function, table)
    for function, given in ways:
        out, beyond = np.empty(200), np.empty(200, bool)
        function(given, at, np.empty(3, int), np.empty(3), out, beyond)
        found.append((out, beyond))
    assert all((out == found[-1][0]).all() and (beyond == found[-1][1]).all() for out, beyond in found)
    assert 0 < found[0][1].sum() < 200


def test_an_array_in_pieces_is_refused():
    whole = np.zeros(4)
    with pytest.raises(ValueError, match="in one piece"):
        between.read(between.Table(np.zeros(8)[::2], whole, whole), whole, whole, whole, whole, whole)
