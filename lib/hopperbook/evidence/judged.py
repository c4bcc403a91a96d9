"""Predictions of the published rows that nothing was fitted to, kept beside the build."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import shutil
from pathlib import Path

import pandas as pd

from hopperbook import facts
from hopperbook.errors import InputError
from hopperbook.evidence import groups
from hopperbook.evidence.answers import predict
from hopperbook.evidence.rows import read, suspect

#: Of the library what stands above predictions, and of the facts what none of them reads.
ABOVE = {"__main__.py", "cli.py", "report", "studies", "story.py", "sizing.py", "claims", "planner", "calibrate"}
ABOVE |= {"charts", "display"}
UNREAD = {"prices.csv", "costs.csv", "claims.yaml", "customers", "references.bib", "references.d", "aims.yaml"}
#: Where predictions are kept, in a folder for each state of code and data; of how many states; all may be deleted.
KEPT = facts.DATA.parent / ".build" / "answers"
STATES = 4


@functools.cache
def _answered(path: Path, split: str) -> pd.DataFrame:
    """Predict one file's rows of a split, and keep what the file says of each row beside the answers."""
    rows = read(path)
    rows = rows[rows["split"] == split] if "split" in rows else rows
    rows = rows[~suspect(rows) & (rows.get("suspect", "") != "yes")].reset_index(drop=True)
    if rows.empty:
        return pd.DataFrame()
    answers = _kept(path, split, rows)
    about = rows.iloc[answers.row.to_numpy() - 1].drop(columns=[c for c in answers if c in rows]).reset_index(drop=True)
    return pd.concat([answers.reset_index(drop=True), about], axis=1).assign(file=path.name.split(".")[0])


def _kept(path: Path, split: str, rows: pd.DataFrame) -> pd.DataFrame:
    """Predict rows, or read what the same code and data predicted before."""
    kept = KEPT / _fingerprint() / f"{path.name.split('.')[0]}-{split}.parquet"
    try:
        return pd.read_parquet(kept)
    except (OSError, ValueError):
        answers = predict(rows)
    with contextlib.suppress(OSError):
        if not kept.parent.exists():
            _forget()
        kept.parent.mkdir(parents=True, exist_ok=True)
        whole = kept.with_suffix(f".{os.getpid()}")
        answers.to_parquet(whole)
        whole.replace(kept)
    return answers


def _forget() -> None:
    """Leave only what the last states of code and data predicted."""
    earlier = sorted(KEPT.glob("*"), key=lambda folder: folder.stat().st_mtime)
    for folder in earlier[: len(earlier) - STATES + 1]:
        shutil.rmtree(folder, ignore_errors=True)


@functools.cache
def _fingerprint() -> str:
    """Return a digest of all code and data that predictions rest on: what stands below, and no price."""
    digest, library = hashlib.sha256(), Path(__file__).parents[1]
    code = [path for path in library.rglob("*.py") if path.relative_to(library).parts[0] not in ABOVE]
    data = [path for path in facts.DATA.rglob("*.*") if path.relative_to(facts.DATA).parts[0] not in UNREAD]
    for path in sorted(each for each in (*code, *data) if each.is_file()):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]


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
    """Find the rows of :func:`judged`, their groups, and whether ranges hold them."""
    found = []
    for path in sorted((facts.DATA / "measurements").glob("*.csv.gz")):
        if quantity in pd.read_csv(path, nrows=0).columns:
            rows = _answered(path, split)
            if len(rows):
                found.append(rows[(rows.kind == kind) & (rows.quantity == quantity) & rows.error.notna()])
    if not found or not sum(map(len, found)):
        raise InputError("quantity", quantity, "a quantity with published measurements")
    table = pd.concat(found, ignore_index=True)
    return table.assign(group=groups.group_names(table), inside=groups.holds(table))
