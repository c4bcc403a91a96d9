"""The plans around a customer's own in words: what differs, what to take, what limits it, what comes next."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from hopperbook import facts, story, units
from hopperbook.customer import Customer
from hopperbook.display import Choice
from hopperbook.planner.lattice import Lattice, Point, Value
from hopperbook.planner.ties import tie
from hopperbook.studies.answer import HAD

NAMES = {
    "concurrency": "Users at once",
    "requests_per_s": "Requests a second",
    "context_tokens": "Tokens a user holds",
    "prompt_tokens": "Tokens of a prompt",
    "model": "Model",
}
WORDS = {
    "concurrency": "{} users at once",
    "requests_per_s": "{} requests a second",
    "context_tokens": "{} tokens held",
    "prompt_tokens": "{} tokens a prompt",
}


def choices(found: Lattice) -> list[Choice]:
    """Name what the reader may change, and its values.

    Parameters
    ----------
    found : Lattice
        From :func:`hopperbook.planner.lattice.lattice`.

    Returns
    -------
    list of Choice
        One an axis.

    Examples
    --------
    >>> from hopperbook.planner.lattice import Axis
    >>> axis = Axis("concurrency", (64, 128), 1, (64.0, 128.0))
    >>> choices(Lattice((axis,), ()))[0].words
    ('64 users at once', '128 users at once')
    """
    return [
        Choice(
            NAMES.get(axis.field) or f"Price of an {_part(axis.field)} hour",
            axis.field,
            tuple(_words(axis.field, value) for value in axis.values),
            tuple(f"{value:g}" if isinstance(value, float) else str(value) for value in axis.values),
            axis.sizes,
            axis.own,
        )
        for axis in found.axes
    ]


def _part(field: str) -> str:
    """Return the short name of the part that a field prices."""
    return next(part.short for part in facts.gpus().values() if part.price_field == field)


def _words(field: str, value: Value) -> str:
    """Say a value of a field."""
    if isinstance(value, str):
        return story.label(value)
    if field not in WORDS:
        return f"{_part(field)} at {units.money(value)} an hour"
    return WORDS[field].format(units.integer(value) if value == int(value) else units.number(value))


def table(found: Lattice) -> pd.DataFrame:
    """Say each plan: what differs from the customer's own, what to take, at what cost, how fast, what limits it.

    Parameters
    ----------
    found : Lattice
        From :func:`hopperbook.planner.lattice.lattice`.

    Returns
    -------
    DataFrame
        ``setting fleet next usd usd_low usd_high ttft_s tpot_ms limit``, a row a point.

    Examples
    --------
    >>> table(Lattice((), (Point((), {}, None, None, "", False),))).fleet.tolist()
    ['nothing meets your targets']
    """
    return pd.DataFrame([_row(point) for point in found.points])


def _row(point: Point) -> dict[str, str | float]:
    """Return a plan as a row of the table."""
    best, other = point.best, point.other
    changed = [_words(field, value) for field, value in point.changed.items()]
    said: dict[str, str | float] = {"setting": ", ".join(changed) or "As you asked"}
    if best is None:
        numbers = dict.fromkeys(("usd", "usd_low", "usd_high", "ttft_s", "tpot_ms"), math.nan)
        return said | {"fleet": "nothing meets your targets", "next": ""} | numbers | {"limit": ""}
    following, close = "no other GPU works", False
    if other is not None:
        close, ratio = tie(best, other).close, other.usd / best.usd
        more = f"{units.percent(ratio - 1)} more" if ratio < 2 else f"{units.number(ratio)} times as much"
        following = f"next: {other.gpus:,} {units.TIMES} {other.gpu}, {more}"
    limits = [point.limit, *["prices nearly tie"] * close, *["costs more than your budget"] * point.over_budget]
    return said | {
        "fleet": f"{best.gpus:,} {units.TIMES} {best.gpu}, {HAD[best.tenure]}",
        "next": following,
        "usd": best.usd,
        "usd_low": best.usd_low,
        "usd_high": best.usd_high,
        "ttft_s": best.ttft_at_s,
        "tpot_ms": 1e3 * best.tpot_at_s,
        "limit": "; ".join(limits),
    }


def most_moved(found: Lattice) -> tuple[str, float]:
    """Name the single change that moves the cost most, and how many times the cost it makes.

    Parameters
    ----------
    found : Lattice
        From :func:`hopperbook.planner.lattice.lattice`.

    Returns
    -------
    tuple
        The change in words, and the ratio of costs; empty and one where nothing keeps the targets.

    Examples
    --------
    >>> most_moved(Lattice((), ()))
    ('', 1.0)
    """
    own = found.points[0].best if found.points else None
    moved = [p for p in found.points if len(p.changed) == 1 and p.best is not None]
    if own is None or not own.usd or not moved:
        return "", 1.0
    most = max(moved, key=lambda p: abs(math.log(max(p.best.usd, 1.0) / own.usd)))  # type: ignore[union-attr]
    return ", ".join(_words(*each) for each in most.changed.items()), most.best.usd / own.usd  # type: ignore[union-attr]


def other_winners(found: Lattice) -> Sequence[str]:
    """List the single changes after which another part wins.

    Parameters
    ----------
    found : Lattice
        From :func:`hopperbook.planner.lattice.lattice`.

    Returns
    -------
    sequence of str
        Each in words, with the part.

    Examples
    --------
    >>> other_winners(Lattice((), ()))
    []
    """
    own = found.points[0].best if found.points else None
    return [
        f"{', '.join(_words(*each) for each in p.changed.items())} ({p.best.gpu})"
        for p in found.points
        if own is not None and p.best is not None and len(p.changed) == 1 and p.best.gpu != own.gpu
    ]


def command(customer: Customer) -> str:
    """Return the line that makes the customer's own plan.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> command(default())
    'hopperbook plan lingua-shop.yaml'
    """
    return f"hopperbook plan {customer.file_name}"
