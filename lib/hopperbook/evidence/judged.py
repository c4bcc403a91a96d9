"""Predictions of the published rows that nothing was fitted to."""

from __future__ import annotations

import csv
import functools
import gzip
from pathlib import Path

from hopperbook import facts
from hopperbook.errors import InputError
from hopperbook.evidence import groups, kept
from hopperbook.evidence.answers import predict
from hopperbook.evidence.rows import read, suspect
from hopperbook.later import pandas as pd


@functools.cache
def _columns(path: Path) -> tuple[str, ...]:
    """Return the names of a file's columns."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return tuple(next(csv.reader(file)))


@functools.cache
def _answered(path: Path, split: str) -> pd.DataFrame:
    """Predict one file's rows of a split, and keep what the file says of each row beside the answers."""
    rows = read(path)
    rows = rows[rows["split"] == split] if "split" in rows else rows
    rows = rows[~suspect(rows) & (rows.get("suspect", "") != "yes")].reset_index(drop=True)
    if rows.empty:
        return pd.DataFrame()
    answers = kept.frame(f"{path.name.split('.')[0]}-{split}", lambda: predict(rows))
    about = rows.iloc[answers.row.to_numpy() - 1].drop(columns=[c for c in answers if c in rows]).reset_index(drop=True)
    return pd.concat([answers.reset_index(drop=True), about], axis=1).assign(file=path.name.split(".")[0])


def judged(kind: str, quantity: str, split: str = "judge") -> pd.DataFrame:
    """Return predictions of the published rows that nothing was fitted to.

    Parameters
    ----------
    kind : str
        ``serving``, ``training``, ``kernel`` or ``activation memory``.
    quantity : str
        Such as ``tpot_ms``.
    split : str
        ``judge``, or ``fit`` for the rows that constants were fitted on.

    Returns
    -------
    DataFrame
        ``gpu measured predicted low high error family group inside`` and what else the files say, one line an answer.
        Rows that a file marks as suspect are left out; ``inside`` tells whether the range that all other groups set
        holds the measurement.

    Raises
    ------
    InputError
        If there are no such rows.
    """
    return _judged(kind, quantity, split).copy()


@functools.lru_cache(maxsize=32)
def _judged(kind: str, quantity: str, split: str) -> pd.DataFrame:
    """Return the rows of :func:`judged`, kept."""
    name = f"{split}-{kind}-{quantity}".replace(" ", "-").replace("_", "-")
    return kept.frame(name, lambda: _found(kind, quantity, split))


def _found(kind: str, quantity: str, split: str) -> pd.DataFrame:
    """Find the rows of :func:`judged`, their groups, and whether ranges hold them."""
    found = []
    for path in sorted((facts.DATA / "measurements").glob("*.csv.gz")):
        if quantity in _columns(path):
            rows = _answered(path, split)
            if len(rows):
                found.append(rows[(rows.kind == kind) & (rows.quantity == quantity) & rows.error.notna()])
    if not found or not sum(map(len, found)):
        raise InputError("quantity", quantity, "a quantity with published measurements")
    table = pd.concat(found, ignore_index=True)
    return table.assign(group=groups.group_names(table), inside=groups.holds(table))
