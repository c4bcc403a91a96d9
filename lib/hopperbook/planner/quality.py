"""What published evaluations say that a format of weights or cache loses: shares of the score in sixteen bits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from hopperbook import facts, units
from hopperbook.planner.choose import Plan
from hopperbook.planner.configuration import Configuration

FULL = ("bf16", "fp16")


class Kept(NamedTuple):
    """Share of a score that a format keeps, over its evaluations on file: the least and the most, and their sources."""

    low: float
    high: float
    studies: int
    source: str


def rows_of(format_: str) -> list[Mapping[str, Any]]:
    """Return the evaluations of a format on file.

    Parameters
    ----------
    format_ : str
        ``fp8``, ``int8``, ``int4``, ``fp4`` or ``fp8_cache``; a block-scaled format counts as the plain one.

    Returns
    -------
    list of Mapping
        Rows of ``data/quality.csv``.

    Examples
    --------
    >>> [row["model"] for row in rows_of("fp8_block")]
    ['Llama 3.1 8B to 405B']
    """
    name = format_.removesuffix("_block")
    return [row for row in facts.records("quality") if row["format"] == name]


def kept(format_: str) -> Kept | None:
    """Return the share of a score that a format keeps, over all its evaluations on file.

    Parameters
    ----------
    format_ : str
        As in :func:`rows_of`.

    Returns
    -------
    Kept or None
        None where nothing is on file.

    Examples
    --------
    >>> kept("int8").low, kept("int8").high, kept("bf16")
    (0.97, 0.994, None)
    """
    rows = rows_of(format_)
    if not rows:
        return None
    sources = ", ".join(dict.fromkeys(row["source"] for row in rows))
    return Kept(min(row["kept_low"] for row in rows), max(row["kept_high"] for row in rows), len(rows), sources)


def quality_notes(plan: Plan) -> list[str]:
    """Say what published evaluations found of each format below sixteen bits that a plan recommends.

    Parameters
    ----------
    plan : Plan
        The plan.

    Returns
    -------
    list of str
        A phrase a format; none where nothing is recommended.
    """
    return notes(plan.recommendation) if plan.recommendation is not None else []


def notes(row: Configuration) -> list[str]:
    """Say what published evaluations found of each format below sixteen bits that a configuration uses.

    Parameters
    ----------
    row : Configuration
        A serving configuration.

    Returns
    -------
    list of str
        A phrase a format.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> from hopperbook.planner.choose import plan
    >>> found = notes(plan(default()).recommendation)
    >>> found[1].replace(units.THIN, " ")[:66]
    'the cache in FP8 kept 94 to 99 % of the score in 16 bits (1 publis'
    """
    used = [(f"weights in {units.format_name(row.precision)}", row.precision)]
    used += [(f"the cache in {units.format_name(row.kv_precision)}", f"{row.kv_precision}_cache")]
    found = []
    for what, format_ in used:
        known = kept(format_)
        if format_.removesuffix("_cache") in FULL:
            continue
        if known is None:
            found.append(f"{what}: no published evaluation is on file")
            continue
        share = units.percent(known.low)
        if known.high > known.low:
            share = units.span(share, units.percent(known.high))
        studies = f"{known.studies} published {'studies' if known.studies > 1 else 'study'}"
        found.append(f"{what} kept {share} of the score in 16 bits ({studies}); try your own texts")
    return found
