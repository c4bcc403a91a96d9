"""How far measurements of one and the same thing lie apart: no prediction from what rows state can be nearer."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from hopperbook.errors import InputError
from hopperbook.evidence import kept
from hopperbook.evidence.aims import aims, requests
from hopperbook.evidence.judged import judged
from hopperbook.evidence.rows import KINDS, alike

#: What says nothing of a run's conditions, as files of measurements name it.
SILENT = frozenset({"id", "note", "source", "locator", "split", "date", "file", "submitter", "bench", "suspect"})
#: Every quantity that some kind of row answers.
QUANTITIES = frozenset(quantity for kind in KINDS for quantity in kind.quantities)
#: What an answer says of itself beside what its file says of the row.
_OWN = frozenset(
    {"row", "kind", "quantity", "measured", "predicted", "low", "high", "error", "family", "reach", "group", "inside"}
)
#: Pairs below which a spread says nothing.
LEAST_PAIRS = 5


def conditions(rows: pd.DataFrame) -> list[str]:
    """Name the columns that say what was run: all but quantities, and what says nothing of a run.

    Parameters
    ----------
    rows : DataFrame
        Rows of measurements, or answers with what their files say.

    Returns
    -------
    list of str
        Columns in which two runs must agree to be repeats.

    Examples
    --------
    >>> conditions(pd.DataFrame(columns=["model", "gpu", "tpot_ms", "source"]))
    ['model', 'gpu']
    """
    return [c for c in rows if c not in QUANTITIES | SILENT | _OWN]


def repeats(rows: pd.DataFrame) -> pd.Series:
    r"""Compare all pairs of runs that agree in every condition their file states.

    .. math:: \left|\ln (y_i / y_j)\right|

    Parameters
    ----------
    rows : DataFrame
        With ``file``, ``measured`` and what the files say.

    Returns
    -------
    Series of float
        One entry a pair.

    Examples
    --------
    >>> runs = pd.DataFrame({"file": "f", "model": ["a", "a", "b"], "measured": [10.0, 11.0, 20.0]})
    >>> repeats(runs).round(3).tolist()
    [0.095]
    """
    usable = rows[rows.measured > 0]
    runs = np.log(usable.measured).groupby(alike(usable, ["file", *conditions(usable)]))
    apart = [abs(a - b) for _, same in runs for a, b in combinations(same.to_numpy(), 2)]
    return pd.Series(apart, dtype=float)


def floor(rows: pd.DataFrame) -> tuple[int, float]:
    r"""Work out the median error of a prediction that is exactly the mean of all repeats.

    .. math:: f = \mathrm{median}_{i<j} \left|\ln (y_i / y_j)\right| / \sqrt 2

    A difference of two equally noisy runs is wider by the root of two than the distance of one from their mean.

    Parameters
    ----------
    rows : DataFrame
        As for :func:`repeats`.

    Returns
    -------
    pairs, floor : int and float
        Pairs of repeats, and the floor; NaN where there are fewer pairs than `LEAST_PAIRS`.

    Examples
    --------
    >>> apart = [1.0, 1.02, 1.0, 0.98, 1.04]
    >>> runs = pd.DataFrame({"file": "f", "model": "a", "measured": apart})
    >>> pairs, least = floor(runs)
    >>> pairs, round(least, 3)  # median distance of these runs from one another, over the root of two
    (10, 0.014)
    """
    apart = repeats(rows)
    enough = len(apart) >= LEAST_PAIRS
    return len(apart), float(apart.median()) / float(np.sqrt(2)) if enough else float("nan")


def floor_of(aim: dict[str, Any]) -> tuple[int, float]:
    """Work out the floor of a family that has an aim, on its judged rows and those that constants were fitted on.

    Parameters
    ----------
    aim : dict
        An entry of :func:`hopperbook.evidence.aims.aims`.

    Returns
    -------
    pairs, floor : int and float
        As :func:`floor`; (0, NaN) of kernels, whose tables hold one time a shape, and of ratios.

    Examples
    --------
    >>> from hopperbook.evidence.aims import aims
    >>> pairs, least = floor_of(next(aim for aim in aims() if aim["name"] == "Under load, mean first token"))
    >>> pairs, round(100 * least)  # percent: runs of one load differ by nearly as much as we are off
    (40, 10)
    """
    if aim["kind"] in ("kernel", "ratio"):
        return 0, float("nan")
    if aim["quantity"] == "request":
        return floor(requests())
    found = []
    for split in ("judge", "fit"):
        try:
            rows = judged(aim["kind"], aim["quantity"], split)
        except InputError:  # nothing of this kind was fitted
            continue
        found.append(rows[rows.family.str.contains(aim["family"])])
    return floor(pd.concat(found, ignore_index=True))


def floors() -> pd.DataFrame:
    """Work out the floor of every family that has an aim.

    Returns
    -------
    DataFrame
        ``pairs floor``, one line an aim, as :func:`floor_of`.

    Examples
    --------
    >>> len(floors()) == len(aims())
    True
    """
    return kept.frame("floors", lambda: pd.DataFrame(map(floor_of, aims()), columns=["pairs", "floor"]))
