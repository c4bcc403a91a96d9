"""What the aims that are missed are made of: which groups of runs, and how far repeats of one run lie apart."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from hopperbook import units
from hopperbook.evidence import aims, noise
from hopperbook.studies.accuracy import chip, serving_groups, training_groups

#: Rows that a group needs to be named, and how many groups are named at most.
LEAST_ROWS, MOST_GROUPS = 3, 5


def aimed() -> pd.DataFrame:
    """Say of each family whether its aim is reached, and how far repeats of one run lie apart.

    Returns
    -------
    DataFrame
        As :func:`hopperbook.evidence.aims.reached` with ``verdict``, ``pairs`` of repeats and the ``floor`` that they
        set to any error (:func:`hopperbook.evidence.noise.floor`), NaN where the files hold hardly a repeat.

    Examples
    --------
    >>> found = aimed().set_index("name")
    >>> len(found), sorted(set(found.verdict)), int(found.pairs["Serving, first token"])
    (25, ['missed', 'reached'], 20)
    """
    found = aims.reached()
    verdict, miss = np.where(found.met, "reached", "missed"), np.where(found.met, "", found.miss)
    return pd.concat([found.assign(verdict=verdict, miss=miss), noise.floors()], axis=1)


def _names(rows: pd.DataFrame, by: str = "") -> pd.Series:
    """Name the group of every judged row of an aim: by a column, a run's like, a campaign, or a pair of a ratio."""
    if by:
        return by.replace("_", " ") + " " + rows[by].astype(str)
    if "what" in rows:
        return rows.what + ", " + rows.pair
    rows = rows.assign(chip=[chip(str(gpu)) for gpu in rows.gpu])
    return training_groups(rows) if rows.kind.iloc[0] == "training" else serving_groups(rows)


def left_out(rows: pd.DataFrame, aim: float, by: str = "") -> tuple[list[str], float]:
    """Find the fewest groups without which a family reaches its aim, taking out the one that helps most each time.

    Parameters
    ----------
    rows : DataFrame
        Judged rows of the family, with ``error`` and what names a group.
    aim : float
        Median absolute error wanted.
    by : str
        A column whose values make the groups; without it models, parts, engines and campaigns do.

    Returns
    -------
    names, median : list of str and float
        Names of the groups, each with its rows and median error, and what is left without them.

    Examples
    --------
    >>> rows = pd.DataFrame({"what": ["a"] * 3 + ["b"] * 4, "pair": "x", "error": [0.5, 0.6, 0.7] + [0.01] * 4})
    >>> rows = pd.concat([rows, rows[:3]])  # six rows of a, four of b
    >>> said, rest = left_out(rows, 0.05)
    >>> said[0][:12], rest
    ('a, x (6 rows', 0.01)
    """
    names, off = _names(rows, by), rows.error.abs().to_numpy()
    large = [name for name, count in names.value_counts().items() if count >= LEAST_ROWS]
    of = {name: names.to_numpy() == name for name in large}
    kept, said = np.ones(len(off), bool), list[str]()
    while _median(off[kept]) > aim and len(said) < MOST_GROUPS:
        without = {name: _median(off[kept & ~of[name]]) for name in large}
        usable = {name: median for name, median in without.items() if median < _median(off[kept])}
        if not usable:
            break
        best = min(usable, key=lambda name: usable[name])
        part = off[of[best]]
        said.append(f"{best} ({len(part)} rows, {units.percent(_median(part))} off)")
        kept &= ~of[best]
    return said, _median(off[kept])


def _median(values: np.ndarray) -> float:
    """Return the median, NaN of none."""
    return float(np.median(values)) if len(values) else float("nan")


def misses() -> pd.DataFrame:
    """Say of every family that misses its aim which groups make the miss, what is left without them, and why.

    Returns
    -------
    DataFrame
        ``name aim left_out rest miss``, one line a family.

    Examples
    --------
    >>> found = misses()
    >>> bool((found.rest <= found["median"]).all())
    True
    """
    lines: list[dict[str, Any]] = []
    for aim, median in zip(aims.aims(), aims.reached()["median"], strict=True):
        if median > aim["aim"]:
            said, rest = left_out(aims.rows_of(aim), float(aim["aim"]), aim.get("by", ""))
            named = "; ".join(said) or "no group of its own"
            lines.append(aim | {"median": median, "left_out": named, "rest": rest})
    return pd.DataFrame(lines)[["name", "median", "aim", "left_out", "rest", "miss"]]
