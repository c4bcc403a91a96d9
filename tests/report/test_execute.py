"""Our engine puts out what the ordinary kernel puts out, and says clearly what went wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from tests.report import book

from hopperbook.report import ChapterError, execute

EVERYTHING = [
    ("markdown", "# Everything that a cell can put out"),
    ("code", 'context_tokens = 4096\nname = "a"\nhalf = 0.5\nsure = True', ["parameters"]),
    (
        "code",
        "import sys\nprint('out', context_tokens, name, half, sure)\nprint('err', file=sys.stderr)\nprint('more')",
    ),
    (
        "code",
        "from IPython.display import HTML, display\nprint('before')\ndisplay(HTML('<b>x</b>'))\nprint('after')\n1 + 1",
    ),
    ("code", "   \n"),
    ("code", "import pandas as pd\npd.DataFrame({'a': [1, 2.5], 'b': ['x', None]})"),
    ("code", "handle = display('first', display_id='one')\ndisplay('changed', display_id='one', update=True)"),
    ("code", "_ , Out[3] if 3 in Out else None"),
    ("code", "x = [i for i in range(3)]\nx;"),
    (
        "code",
        "class Odd:\n    def _repr_mimebundle_(self, **_):\n"
        "        return {'text/plain': 'odd', 'application/x+json': {'b': 1, 'a': 2}}\nOdd()",
    ),
    ("code", "import asyncio\nawait asyncio.sleep(0)\nprint(__name__)"),
    ("code", "print('skipped')", ["skip-execution"]),
    ("code", "from hopperbook import charts, display as show\nshow.text('{n} users', n=3)\nshow.result('a_key', 1.5)"),
    (
        "code",
        "chart = charts.lines([{'x': 1, 'y': 2, 'series': 'H100'}, {'x': 2, 'y': 3, 'series': 'H100'}], 'x', 'y')\n"
        "show.figure(chart, 'curve', 'It rises', alt='A line.')\nchart",
    ),
]


def test_same_bytes_as_a_plain_papermill_run(tmp_path: Path) -> None:
    source, plain = tmp_path / "01-all.ipynb", tmp_path / "plain.ipynb"
    source.write_text(book.notebook(EVERYTHING), encoding="utf-8")
    command = [sys.executable, "-m", "papermill", source, plain, "-p", "context_tokens", "32768", "-p", "name", "b c"]
    subprocess.run([*map(str, command), "--no-progress-bar", "--log-level", "ERROR"], check=True, timeout=120)
    ours = execute.run_one(source, {"context_tokens": 32768, "name": "b c", "unknown": 1}, tmp_path / "ours.ipynb")
    expected = execute.dumps(execute.normalise(nbformat.read(plain, 4)))
    assert ours.read_text(encoding="utf-8") == expected


def test_parameters_reach_the_chapter_and_its_injected_cell_is_hidden(tmp_path: Path) -> None:
    source = tmp_path / "01-a.ipynb"
    source.write_text(book.notebook([("code", "users = 1", ["parameters"]), ("code", "print(users, type(users))")]))
    done = json.loads(execute.run_one(source, {"users": 7}, tmp_path / "out.ipynb").read_text(encoding="utf-8"))
    assert done["cells"][1]["id"] == execute.INJECTED_ID
    assert done["cells"][1]["metadata"]["tags"] == ["injected-parameters", "remove-input"]
    assert done["cells"][2]["outputs"][0]["text"] == ["7 <class 'int'>\n"]
    assert "papermill" not in done["metadata"]


def test_a_failing_cell_is_one_sentence(tmp_path: Path) -> None:
    chapters = tmp_path / "chapters"
    book.write(chapters, _02_fp8=[("markdown", "# x"), ("code", "1 / 0")])
    with pytest.raises(ChapterError, match=r"^Chapter 02-fp8, cell 2: ZeroDivisionError: division by zero$"):
        execute.run(sorted(chapters.glob("*.ipynb")), {}, tmp_path / "out")


def test_a_bad_input_in_a_chapter_speaks_for_itself(tmp_path: Path) -> None:
    source = tmp_path / "02-a.ipynb"
    code = "from hopperbook.errors import InputError\nraise InputError('gpu', 'H300', 'a GPU', ['H200'])"
    source.write_text(book.notebook([("code", code)]))
    with pytest.raises(ChapterError, match=r"^Chapter 02-a, cell 1: gpu: 'H300' is not usable"):
        execute.run_one(source, {}, tmp_path / "out.ipynb")


def test_a_cell_that_never_ends_and_one_that_kills_itself(tmp_path: Path) -> None:
    source = tmp_path / "03-a.ipynb"
    source.write_text(book.notebook([("code", "while True:\n    pass")]))
    with pytest.raises(ChapterError, match=r"^Chapter 03-a: a cell took longer than 1 s$"):
        execute.run_one(source, {}, tmp_path / "out.ipynb", timeout_s=1.0)
    source.write_text(book.notebook([("code", "import os\nos._exit(3)")]))
    with pytest.raises(ChapterError, match=r"^Chapter 03-a: the process that ran the cells ended with exit code 3$"):
        execute.run_one(source, {}, tmp_path / "out.ipynb")


def test_a_chapter_leaves_nothing_behind(tmp_path: Path) -> None:
    source = tmp_path / "04-a.ipynb"
    code = (
        "import os, sys, warnings\nos.environ['LEFT'] = '1'\nsys.modules['left'] = sys\nwarnings.simplefilter('ignore')"
    )
    source.write_text(book.notebook([("code", code)]))
    before = sys.stdout, list(sys.argv)
    execute.run_one(source, {}, tmp_path / "out.ipynb")
    assert "left" not in sys.modules and (sys.stdout, list(sys.argv)) == before
