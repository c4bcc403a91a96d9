"""One customer's report for a batch: built or left as it is, with its headline and what a cheaper H200 would change."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hopperbook import facts
from hopperbook.customer import Customer
from hopperbook.report import given, manifest, pipeline, publish
from hopperbook.report.kept import inputs
from hopperbook.report.kept.store import Store, digest

#: The part whose price falls in the question that the index answers, and by how much.
CHEAPER, BY = "H200 SXM", 0.1
FIELD = "h200_usd_per_hour"


def build(file: Path, out: Path, workers: int = 1, chapters_dir: Path = pipeline.CHAPTERS) -> dict[str, Any]:
    """Build a customer's report, unless it stands and would come out the same.

    Parameters
    ----------
    file : Path
        The customer's YAML file.
    out : Path
        Where the report stands or is to stand.
    workers : int
        Chapters that run at once.
    chapters_dir : Path
        Folder of the chapters.

    Returns
    -------
    dict
        ``state``, ``built`` or ``unchanged``, and ``headline``.
    """
    who = given.load(file)
    before = pipeline.stands(who.model_dump(), out, chapters_dir)
    if not before:
        pipeline.build(who.model_dump(), out, chapters_dir=chapters_dir, workers=workers)
    return {"state": "unchanged" if before else "built", "sentence": "", "headline": of(who, out)}


def of(who: Customer, out: Path) -> dict[str, Any]:
    """Return what the index says of a report.

    Parameters
    ----------
    who : Customer
        Whose it is.
    out : Path
        The report.

    Returns
    -------
    dict
        Name, GPU, how many, cost a month, date of prices, and the GPU if the H200 were cheaper.
    """
    results = json.loads((out / publish.MARK).read_text(encoding="utf-8"))["results"]
    prices_as_of = manifest.read(out).get("prices_as_of", "")
    cost = results.get("monthly_cost_usd", {})
    return {
        "name": who.name,
        "gpu": results.get("gpu", {}).get("value"),
        "gpus": results.get("gpus", {}).get("value"),
        "usd_per_month": [cost.get(end) for end in ("low", "value", "high")],
        "prices_as_of": prices_as_of,
        "cheaper": cheaper(who),
    }


def cheaper(who: Customer) -> str:
    """Return the GPU that the plan changes to if an hour of an H200 costs a tenth less; empty where it stays.

    Parameters
    ----------
    who : Customer
        Whose plan.

    Returns
    -------
    str
        Name of a GPU, or nothing.
    """
    code = {name: value for name, value in inputs.at_start().items() if name.startswith(("lib/", "data/"))}
    key, store = digest(["cheaper", who.model_dump(), code]), Store()
    known = store.get("answers", key)
    if known is None:
        known = {"gpu": _changed(who)}
        store.put("answers", key, known)
    return str(known["gpu"])


def _changed(who: Customer) -> str:
    """Choose who serves at today's price of an hour and at one a tenth lower."""
    from hopperbook.planner import choose

    today = getattr(who, FIELD) or facts.price(CHEAPER, who.market).typical
    priced = (who.model_copy(update={FIELD: share * today}) for share in (1.0, 1.0 - BY))
    found = [choose.serve(each, all_parts=False).recommendation for each in priced]
    names = [row.gpu if row is not None else "" for row in found]
    return names[1] if names[0] != names[1] else ""
