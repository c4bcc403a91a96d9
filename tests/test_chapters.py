"""The notebooks as they are stored: one parameters cell that is the default customer's, clean cells, clean outputs."""

import ast
import json
import re

import nbformat
import pytest

from hopperbook import customer, facts, story
from hopperbook.report import execute

ROOT = facts.DATA.parent
CHAPTERS = sorted((ROOT / "chapters").glob("*.ipynb"))
MACHINE = re.compile(r"/(?:home|root|work|tmp|Users|usr/local|opt)/[\w.]|[A-Z]:\\\\Users|site-packages|0x[0-9a-f]{8,}")


@pytest.fixture(params=CHAPTERS, ids=lambda p: p.stem)
def chapter(request):
    return nbformat.read(request.param, as_version=4)


def tags(cell):
    return cell.metadata.get("tags", [])


def test_every_chapter_of_the_contents_is_there():
    listed = set(re.findall(r"chapters/[\w-]+", (ROOT / "_toc.yml").read_text()))
    assert {f"chapters/{path.stem}" for path in CHAPTERS} == listed
    assert len(CHAPTERS) >= 13


def test_format_is_valid_with_unique_cell_ids(chapter):
    nbformat.validate(chapter)
    ids = [cell.id for cell in chapter.cells]
    assert len(ids) == len(set(ids))
    assert chapter.metadata.kernelspec.name == "python3"


def test_first_cell_is_the_question(chapter):
    first = chapter.cells[0]
    assert first.cell_type == "markdown"
    assert re.match(r"# \S", first.source)
    assert sum(len(re.findall(r"^# ", c.source, re.M)) for c in chapter.cells if c.cell_type == "markdown") == 1


def test_parameters_are_the_default_customer(chapter):
    marked = [cell for cell in chapter.cells if "parameters" in tags(cell)]
    assert len(marked) == 1
    assert marked[0].cell_type == "code"
    assigned = {}
    for statement in ast.parse(marked[0].source).body:
        assert isinstance(statement, ast.Assign)
        assigned[statement.targets[0].id] = ast.literal_eval(statement.value)
    default = customer.default().model_dump()
    assert assigned == default
    assert {k: type(v) for k, v in assigned.items()} == {k: type(v) for k, v in default.items()}
    assert customer.of(assigned) == customer.default()


def test_cells_are_short_and_call_public_names_of_the_library(chapter):
    """A chapter explains and shows: 15 lines a cell, 100 columns, no private name (ruff reads them too)."""
    for cell in chapter.cells:
        if cell.cell_type != "code" or "parameters" in tags(cell):
            continue
        lines = cell.source.splitlines()
        assert len(lines) <= 15, cell.source
        assert max(map(len, lines), default=0) <= 100
        nodes = list(ast.walk(ast.parse(cell.source)))
        private = [node.attr for node in nodes if isinstance(node, ast.Attribute) and node.attr.startswith("_")]
        names = [alias.name for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names]
        allowed = {"__version__", "_asdict"}  # the second is a named tuple's own
        assert not [name for name in (*private, *names) if name.startswith("_") and name not in allowed]


def test_outputs_are_stored_without_errors_or_machine_paths(chapter):
    assert any(cell.get("outputs") for cell in chapter.cells)
    for cell in chapter.cells:
        for output in cell.get("outputs", []):
            assert output.output_type != "error"
            assert output.get("name") != "stderr"
        found = MACHINE.search(json.dumps(cell.get("outputs", [])))
        assert found is None, found.group()
        assert MACHINE.search(cell.source) is None


def test_code_cells_run_in_order(chapter):
    counts = [cell.execution_count for cell in chapter.cells if cell.cell_type == "code" and cell.source.strip()]
    numbered = [n for n in counts if n is not None]
    assert numbered == sorted(numbered)


@pytest.mark.parametrize(
    ("model", "recipe", "scales"),
    [("Qwen/Qwen3-32B", "block", "a block of 128"), ("mistralai/Mixtral-8x7B-v0.1", "delayed", "a tensor or row")],
)
def test_the_fp8_chapter_follows_another_model_and_recipe(tmp_path, model, recipe, scales):
    asked = {"model": model, "fp8_recipe": recipe, "training_task": "pretrain", "training_tokens": 1e9}
    done = execute.run_one(ROOT / "chapters" / "02-fp8.ipynb", asked, tmp_path / "out.ipynb")
    cells = nbformat.read(done, as_version=4).cells
    shown = [str(o.get("data", {}).get("text/plain", "")) for cell in cells for o in cell.get("outputs", [])]
    assert any(
        text.startswith("Answer for ") and story.label(model) in text and f"yours ({recipe})" in text for text in shown
    )
    assert any(f"FP8 {recipe} lies on BF16" in text for text in shown)
    assert any(f"Your recipe ({recipe}) takes kernels with one scale {scales}:" in text for text in shown)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model": "Qwen/Qwen2.5-7B", "max_gpus": 1, "training_tokens": 1e9}, "on 1 × H200 SXM in FP8"),
        (
            {"model": "deepseek-ai/DeepSeek-V3", "max_gpus": 64, "training_tokens": 1e13},
            "No cluster up to 64 GPUs holds its states; shown is the smallest that does.",
        ),
    ],
)
def test_the_training_chapter_explains_what_hardly_fits(tmp_path, change, said):
    asked = {"training_task": "pretrain"} | change
    done = execute.run_one(ROOT / "chapters" / "05-training.ipynb", asked, tmp_path / "out.ipynb")
    assert said in done.read_text()


def test_every_chapter_has_the_anatomy_of_one(chapter):
    """A question, its answer first, a picture or table, what is left out, and the command that runs it again."""
    outputs = [output.get("data", {}) for cell in chapter.cells for output in cell.get("outputs", [])]
    html = ["".join(data.get("text/html", "")) for data in outputs]
    first = next(text for text in html if text)
    if "hb-glossary" in first:  # the lists that other pages link to answer no question
        assert any("hb-references" in text for text in html)
        return
    assert "hb-answer" in first or "hb-title" in first
    assert any(
        "application/vnd.vegalite.v5+json" in data or "<table" in text for data, text in zip(outputs, html, strict=True)
    )
    assert any("hb-rerun" in text or "hb-stamp" in text for text in html)
    assert any("application/vnd.hopperbook.result+json" in data for data in outputs)
