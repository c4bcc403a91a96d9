"""A small book for the tests of the report."""

from __future__ import annotations

import json
from pathlib import Path


def notebook(cells: list[tuple[str, str] | tuple[str, str, list[str]]]) -> str:
    """Return a notebook of ``(kind, source, tags)`` cells as text; kind is ``markdown`` or ``code``."""
    made = []
    for place, (kind, source, *tags) in enumerate(cells):
        cell = {
            "cell_type": kind,
            "id": f"cell-{place}",
            "metadata": {"tags": tags[0]} if tags else {},
            "source": source,
        }
        made.append(cell | ({"execution_count": None, "outputs": []} if kind == "code" else {}))
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    head = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return json.dumps({"cells": made, "metadata": head, "nbformat": 4, "nbformat_minor": 5})


ANSWER = [
    ("markdown", "# The answer"),
    ("code", 'name = "Lingua Shop"\nusers = 300', ["parameters"]),
    (
        "code",
        "from hopperbook import charts, display, units\n"
        'display.title(f"Rent 8 GPUs for {users} users", "**{who}** holds {n} users.", who=name, n=users)\n'
        'room = display.Estimate("Headroom", 0.4, 0.3, 0.5, units.percent)\n'
        'display.answer("Yes.", f"{name} fits.", room, [name], name)\n'
        'display.cards([display.Estimate("Cost", 14600.0, 12000.0, 18000.0, units.money, limit=18000.0, note=name)])\n'
        'display.text("For {who}: $E = m c^2$, see [memory](01-hopper.ipynb).", who=name)\n'
        'display.result("gpus", 8)\ndisplay.result("monthly_cost_usd", 14600.0, 12000.0, 18000.0)',
    ),
    ("code", 'display.stamp({"Customer": name})'),
]
HOPPER = [
    ("markdown", "# What is new?\n\nSome words.\n\n## A figure"),
    ("code", "users = 1", ["parameters"]),
    (
        "code",
        "from hopperbook import charts, display\n"
        'rows = [{"item": "A100", "value": 2.0}, {"item": "H100", "value": 3.35}]\n'
        'chart = charts.bars(rows, "TB/s")\n'
        'display.figure(chart, "bandwidth", "H100 reads faster", "TB/s", "Data sheets.", "Two bars.")\n'
        'display.table(rows, name="numbers", source="Data sheets.")\n'
        'display.fold("Why **{n}**?", "Because.", n=users)\n'
        'display.rerun("lingua-shop.yaml", {"users": 2})',
    ),
]


def write(folder: Path, **more: list) -> Path:
    """Write the small book into a folder and return it; further chapters by name, dashes as underscores."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "00-the-answer.ipynb").write_text(notebook(ANSWER), encoding="utf-8")
    (folder / "01-hopper.ipynb").write_text(notebook(HOPPER), encoding="utf-8")
    for name, cells in more.items():
        (folder / f"{name[1:].replace('_', '-')}.ipynb").write_text(notebook(cells), encoding="utf-8")
    return folder
