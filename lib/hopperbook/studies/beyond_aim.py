"""Which groups of published runs are predicted worse than aimed at: marked in a scatter, and named in words."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from hopperbook import story, units
from hopperbook.evidence import aims
from hopperbook.studies import accuracy

#: Runs that a group needs before its median says anything.
LEAST = 5


def marked(rows: pd.DataFrame) -> pd.DataFrame:
    """Mark the groups of runs whose median error exceeds the aim of their family, and name each of them once.

    Parameters
    ----------
    rows : DataFrame
        Judged rows of one kind, as :func:`hopperbook.evidence.judged` returns them, with ``chip`` or a short ``gpu``.

    Returns
    -------
    DataFrame
        The rows with ``lot`` (the group in words), ``beyond_aim`` and ``label`` (the group's first word at the run that
        is farthest off, empty elsewhere).

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
    label = lot.str.split(", ").str[0].where(beyond & farthest, "")
    return rows.assign(lot=lot, beyond_aim=beyond, label=label.mask(label.duplicated(), ""))


def words(rows: pd.DataFrame, most: int = 3) -> str:
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
    rows = rows if "chip" in rows else rows.assign(chip=[accuracy.chip(str(gpu)) for gpu in rows.gpu])
    kind = str(rows.kind.iloc[0])
    if kind == "serving":
        return accuracy.serving_groups(rows)
    if kind == "training":
        return accuracy.training_groups(rows)
    return rows.fabric.fillna("").astype(str) + ", " + rows.chip


def _aim(kind: str, quantity: str, family: str) -> float:
    """Return the median error wanted of a run's family, the widest where several hold it; any where none does."""
    wanted = [
        aim["aim"]
        for aim in aims.aims()
        if (aim["kind"], aim["quantity"]) == (kind, quantity) and re.search(aim["family"], family)
    ]
    return max(wanted, default=float("inf"))
