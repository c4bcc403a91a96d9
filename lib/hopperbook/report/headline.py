"""One customer's report for a batch: built or left as it is, with its headline and what a cheaper H200 would change."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

from hopperbook import facts
from hopperbook.customer import Customer, check
from hopperbook.errors import Failed, InputError
from hopperbook.report import given, manifest, pipeline, publish
from hopperbook.report.kept import inputs
from hopperbook.report.kept.store import Store, digest

#: The part whose price falls in the question that the index answers, and by how much.
CHEAPER, BY = "H200 SXM", 0.1
FIELD = "h200_usd_per_hour"


def build(
    file: Path, out: Path, workers: int = 1, chapters_dir: Path = pipeline.CHAPTERS, asked: str = ""
) -> dict[str, Any]:
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
    asked : str
        Digest of the customer for whom ``out`` was chosen; empty where any will do.

    Returns
    -------
    dict
        ``state``, ``built`` or ``unchanged``, and ``headline``.

    Raises
    ------
    Failed
        If the file holds another customer by now.
    """
    who = given.load(file)
    if asked and who.digest() != asked:
        raise Failed(f"{file.name} was changed while the batch ran; start the batch again")
    before = pipeline.stands(who.model_dump(), out, chapters_dir)
    if not before:
        pipeline.build(who.model_dump(), out, chapters_dir=chapters_dir, workers=workers)
    return {"state": "unchanged" if before else "built", "sentence": "", "headline": of(out, cheaper(who))}


def of(out: Path, other: str | None) -> dict[str, Any]:
    """Return what the index says of a report.

    Parameters
    ----------
    out : Path
        The report.
    other : str, optional
        As :func:`cheaper` returns it; None where that cannot be known.

    Returns
    -------
    dict
        Name, GPU, how many, cost a month, date of prices, and the GPU if the H200 were cheaper.
    """
    content = json.loads((out / publish.MARK).read_text(encoding="utf-8"))
    results = content["results"]
    prices_as_of = manifest.read(out).get("prices_as_of", "")
    cost = results.get("monthly_cost_usd", {})
    return {
        "name": content["parameters"]["name"],
        "gpu": results.get("gpu", {}).get("value"),
        "gpus": results.get("gpus", {}).get("value"),
        "usd_per_month": [cost.get(end) for end in ("low", "value", "high")],
        "prices_as_of": prices_as_of,
        "cheaper": other,
    }


def again(out: Path) -> dict[str, Any]:
    """Return what the index says of a report that was built some time ago, from its own files.

    Parameters
    ----------
    out : Path
        The report.

    Returns
    -------
    dict
        As :func:`of` returns it; nothing where the report is damaged.
    """
    try:
        known, other = manifest.read(out), None
        if not known.get("own_files"):  # which only their owner has
            with contextlib.suppress(InputError):
                other = cheaper(check(known["parameters"]))
        return of(out, other)
    except (InputError, OSError, ValueError, LookupError, TypeError, AttributeError):
        return {}


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
