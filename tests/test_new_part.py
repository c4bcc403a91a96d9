"""A part is one block of data: in a copy of the tree an invented one is added, planned, sized, drawn and reported."""

import json
import os
import subprocess
import sys

import pytest
import yaml
from tests import copied

NAME = "Z100 SXM"
CHAPTERS = ["00-the-answer", "01-hopper", "04-network", "06-serving", "09-cost"]


def hopperbook(copy, *words):
    """Run the command on the copied tree and return what it printed."""
    return python(copy, "import sys; from hopperbook.cli import main; sys.exit(main())", *words)


def python(copy, code, *words):
    """Run Python on the copied tree and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=copy, env=os.environ | {"PYTHONPATH": str(copy / "lib")}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """Return a copied tree whose data holds one part more: twice an H200, at its price, drawn and planned."""
    names = ("lib", "data", "chapters", "_toc.yml", "_config.yml", "pyproject.toml")
    there = copied.tree(tmp_path_factory.mktemp("tree"), names)
    kept = copied.ROOT / ".build"  # what no fact changes, such as the pages about the library, is made once for both
    kept.mkdir(exist_ok=True)
    (there / kept.name).symlink_to(kept)
    gpus = there / "data" / "gpus.yaml"
    block = dict(yaml.safe_load(gpus.read_text())["H200 SXM"])
    block |= {"architecture": "Zeta", "compute_capability": "11.0", "memory_gb": 282, "memory_mib": 287542}
    block |= {"memory_bandwidth_gb_per_s": 9600, "aliases": ["Z100"], "price_field": None, "note": "invented"}
    block["dense_tflop_per_s"] = {name: 2 * peak for name, peak in block["dense_tflop_per_s"].items()}
    block |= {"short": "Z100", "planned": True, "drawn": True, "step_up_from": ["H200 SXM"], "server": "HGX Z100"}
    block |= {"kernels_of": "H200 SXM", "long_runs_of": "H100 SXM", "measured": []}
    block["style"] = {"color": "#5f4bb6", "dash": [4, 2], "shape": "diamond"}
    gpus.write_text(gpus.read_text() + yaml.safe_dump({NAME: block}))
    systems = there / "data" / "systems.yaml"
    server = dict(yaml.safe_load(systems.read_text())["HGX H200"]) | {"gpu": NAME, "aliases": []}
    systems.write_text(systems.read_text() + yaml.safe_dump({"HGX Z100": server}))
    prices = there / "data" / "prices.csv"
    rows = [line.replace("H200 SXM", NAME) for line in prices.read_text().splitlines() if ",H200 SXM," in line]
    prices.write_text(prices.read_text() + "\n".join(rows) + "\n")
    costs = there / "data" / "costs.csv"
    rows = [line.replace("HGX H200", "HGX Z100") for line in costs.read_text().splitlines() if ",HGX H200," in line]
    costs.write_text(costs.read_text() + "\n".join(rows) + "\n")
    mig = there / "data" / "mig.yaml"
    mig.write_text(mig.read_text().replace("[H200 SXM", f"[{NAME}, H200 SXM"))
    return there


def test_it_is_planned_and_its_ranges_are_wide(copy):
    made = json.loads(hopperbook(copy, "plan", "data/customers/default.yaml", "--json"))
    row = made["recommendation"]
    assert row["gpu"] == NAME  # twice the card at the same price
    assert f"{NAME} is timed by H200 SXM" in row["beyond_measurement"]
    assert row["tpot_ms"]["high"] / row["tpot_ms"]["value"] > 1.1


def test_it_is_sized_and_compared_with_what_the_map_draws(copy):
    sized = json.loads(hopperbook(copy, "size", "--model", "llama-3.1-8b", "--gpu", "Z100", "--json"))["gpus"][0]
    assert sized["gpu"] == NAME and sized["fits"]
    compared = json.loads(hopperbook(copy, "compare", "--model", "llama-3.1-8b", "--json"))
    row = next(row for row in compared if row["GPU"] == NAME)
    assert row["$ a month"].startswith("$") and row["note"] == "timed by H200 SXM"


def test_chapters_show_it(copy, tmp_path):
    run = "from hopperbook import customer; from hopperbook.report import execute, pipeline; from pathlib import Path\n"
    run += f"chapters = [pipeline.CHAPTERS / f'{{name}}.ipynb' for name in {CHAPTERS!r}]\n"
    run += f"execute.run(chapters, customer.default().model_dump(), Path({str(tmp_path)!r}), workers=2)"
    python(copy, run)
    for name in CHAPTERS:
        assert "Z100" in (tmp_path / f"{name}.ipynb").read_text(), name
    assert "#5f4bb6" in (tmp_path / "06-serving.ipynb").read_text()


@pytest.mark.skipif("DRILL" not in os.environ, reason="a whole report takes two minutes; make drill builds it")
def test_a_report_is_built_with_it(copy, tmp_path):
    out = tmp_path / "report"
    hopperbook(copy, "build", "--customer", "data/customers/default.yaml", "--out", str(out))
    results = json.loads((out / "results.json").read_text())["results"]
    assert results["gpu"]["value"] == NAME
    for page in ("index", *CHAPTERS[1:]):
        assert "Z100" in (out / f"{page}.html").read_text(), page
