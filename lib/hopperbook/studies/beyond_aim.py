"""Which groups of published runs are predicted worse than aimed at: marked in a scatter, and named in words."""

from __future__ import annotations

import functools
import re

import numpy as np
import pandas as pd

from hopperbook import story, units
from hopperbook.evidence import aims
from hopperbook.studies import accuracy

#: Runs that a group needs before its median says anything, and how many of the worst groups are named.
LEAST, NAMED = 5, 3


def marked(rows: pd.DataFrame) -> pd.DataFrame:
    """Mark the groups of runs whose median error exceeds the aim of their family, and name each of them once.

    Parameters
    ----------
    rows : DataFrame
        Judged rows of one kind, as :func:`hopperbook.evidence.judged` returns them, with ``chip`` or a short ``gpu``;
        or rows with ``kind quantity family`` of an aim that bring their ``lot``.

    Returns
    -------
    DataFrame
        The rows with ``lot`` (the group in words), ``beyond_aim`` and ``label``: of the worst groups the first word, at
        the run that is farthest off; empty elsewhere.

    Examples
    --------
    >>> from hopperbook import evidence
    >>> found = marked(evidence.judged("serving", "tpot_ms"))
    >>> bool(found.beyond_aim.any()), len(found) == len(evidence.judged("serving", "tpot_ms"))
    (True, True)
    """
    lot, off = _lots(rows), np.abs(np.log(rows.predicted / rows.measured))
    sizes, medians = (rows.error.abs().groupby(lot).transform(how) for how in ("size", "median"))
    aim = pd.Series([_aim(*key) for key in zip(rows.kind, rows.quantity, rows.family, strict=True)], index=rows.index)
    beyond = (sizes >= LEAST) & (medians > aim.groupby(lot).transform("median"))
    farthest = off.where(beyond).groupby(lot).transform("max") == off
    worst = rows.error.abs()[beyond].groupby(lot).median().nlargest(NAMED).index
    label = lot.str.split(", ").str[0].where(beyond & farthest & lot.isin(worst), "")
    return rows.assign(lot=lot, beyond_aim=beyond, label=label.mask(label.duplicated(), ""))


def first(groups: pd.DataFrame, frames: accuracy.Frames) -> pd.DataFrame:
    """Put the groups beyond their aim before the others, the worst first.

    Parameters
    ----------
    groups : DataFrame
        From :func:`hopperbook.studies.accuracy.by_group`.
    frames : dict of DataFrame
        The judged rows that they sum up.

    Returns
    -------
    DataFrame
        The same rows with ``beyond_aim``.

    Examples
    --------
    >>> frames = accuracy.judged()
    >>> found = first(accuracy.by_group(frames), frames)
    >>> bool(found.beyond_aim.iloc[0]), bool(found.beyond_aim.iloc[-1])
    (True, False)
    """
    bad = {
        (kind, lot)
        for kind, rows in frames.items()
        if kind in set(groups.kind)
        for lot in marked(rows).query("beyond_aim").lot
    }
    marks = pd.Series([key in bad for key in zip(groups.kind, groups.group, strict=True)], index=groups.index)
    worst = groups["median"].where(marks, 0.0)
    order = (-worst).sort_values(kind="stable").index
    return groups.assign(beyond_aim=marks).loc[order].reset_index(drop=True)


def words(rows: pd.DataFrame, most: int = NAMED) -> str:
    """Say which groups are beyond their aim, for the line below a figure's title.

    Parameters
    ----------
    rows : DataFrame
        From :func:`marked`.
    most : int
        How many groups to name, the worst first.

    Returns
    -------
    str
        A sentence without a full stop.

    Examples
    --------
    >>> rows = pd.DataFrame({"lot": "A, H100", "beyond_aim": True, "error": [0.2, -0.2]})
    >>> words(rows).replace(units.THIN, " ")
    'Filled marks are groups whose median error exceeds our aim: A, H100 (20 %)'
    """
    bad = rows[rows.beyond_aim]
    if bad.empty:
        return "No group has a median error beyond our aim"
    worst = bad.error.abs().groupby(bad.lot).median().sort_values(ascending=False, kind="stable")
    named = [f"{lot} ({units.percent(median)})" for lot, median in worst.head(most).items()]
    if len(worst) > most:
        named.append(f"{units.integer(len(worst) - most)} more")
    return f"Filled marks are groups whose median error exceeds our aim: {story.join(named)}"


def _lots(rows: pd.DataFrame) -> pd.Series:
    """Name the group of each run, as chapter 12 does: by model and engine, by framework, or by fabric."""
    if "lot" in rows:
        return rows.lot
    rows = rows if "chip" in rows else rows.assign(chip=[accuracy.chip(str(gpu)) for gpu in rows.gpu])
    kind = str(rows.kind.iloc[0])
    if kind == "serving":
        return accuracy.serving_groups(rows)
    if kind == "training":
        return accuracy.training_groups(rows)
    return rows.fabric.fillna("").astype(str) + ", " + rows.chip


def pairs(rows: pd.DataFrame, lot: pd.Series) -> pd.DataFrame:
    """Mark the groups of pairs of runs whose ratio is predicted worse than aimed at, as :func:`marked` does.

    Parameters
    ----------
    rows : DataFrame
        ``measured predicted error``, a pair a row: ratios of two runs equal in all but one thing.
    lot : Series of str
        The group of each pair in words.

    Returns
    -------
    DataFrame
        As :func:`marked`.

    Examples
    --------
    >>> rows = pd.DataFrame({"measured": 1.0, "predicted": [1.2] * 5, "error": 0.2})
    >>> int(pairs(rows, pd.Series(["A, B"] * 5)).beyond_aim.sum())
    5
    """
    return marked(rows.assign(kind="ratio", quantity="ratio", family="", lot=lot))


@functools.cache
def _aim(kind: str, quantity: str, family: str) -> float:
    """Return the median error wanted of a run's family, the widest where several hold it; any where none does."""
    wanted = [
        aim["aim"]
        for aim in aims.aims()
        if (aim["kind"], aim["quantity"]) == (kind, quantity) and re.search(aim["family"], family)
    ]
    return max(wanted, default=float("inf"))
