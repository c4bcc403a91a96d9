"""Ranges for a group of runs that nobody has seen: set, and checked, by leaving whole groups out.

Rows of one campaign, model, part, engine version and format err alike, so that a range from some of them is too narrow
for the next campaign.  Here a *group* is left out, not a row.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hopperbook.evidence.intervals import intervals, known_family, same_as
from hopperbook.evidence.rows import alike
from hopperbook.later import pandas as pd

Floats = NDArray[np.float64]

#: Share of measurements that a range is to hold.
SHARE = 0.8
#: Groups that a family needs for a range of its own; rows below which a group weighs less than a whole one.
LEAST_GROUPS, FULL_GROUP = 3, 5
#: What makes a group, by kind: rows that agree in all of these that their file has.  A table of training runs holds
#: many models timed alike, and one of kernels many shapes: there the campaign is the group.
SAME = {
    "": ("file", "campaign", "model", "chip", "engine", "engine_version", "precision", "fabric"),
    "training": ("file", "campaign", "chip", "framework", "task", "round"), "kernel": ("file", "chip", "family"),
}  # fmt: skip


def group_names(answers: pd.DataFrame) -> pd.Series:
    """Name the group of every answer: campaign, model, part, engine version, format, framework and task.

    Parameters
    ----------
    answers : DataFrame
        Answers with what their files say of each row.

    Returns
    -------
    Series of str
        One name an answer.

    Examples
    --------
    >>> rows = pd.DataFrame({"kind": "serving", "file": "f", "model": ["a", "a", "b"], "source": "x: y"})
    >>> group_names(rows).nunique()
    2
    """
    columns = list(dict.fromkeys(name for names in SAME.values() for name in names))
    source = answers["source"].fillna("").astype(str) if "source" in answers else pd.Series("", index=answers.index)
    chip = answers["gpu"].fillna("").astype(str) if "gpu" in answers else pd.Series("", index=answers.index)
    full = answers.assign(campaign=source.str.split("[@#;]", regex=True).str[0], chip=chip)
    full = full.assign(**{c: "" for c in columns if c not in full})
    joined = {kind: alike(full, names) for kind, names in SAME.items()}
    kinds = full["kind"].where(full["kind"].isin(list(SAME)), "")
    return pd.Series([joined[kind][row] for row, kind in enumerate(kinds)], answers.index, dtype="str")


def laboratory(source: str) -> str:
    """Return who measured, by the text of a source: the owner of a repository, or the source itself.

    Examples
    --------
    >>> laboratory("inference-sim/training@ed5c1d:a/b.json"), laboratory("NVIDIA test")
    ('inference-sim', 'NVIDIA test')
    """
    return source.split("/")[0] if "@" in source else source


def _weights(groups: NDArray[np.int64]) -> Floats:
    """Let every group weigh the same in all, small ones less."""
    count = np.bincount(groups)
    each: Floats = np.minimum(count, FULL_GROUP) / FULL_GROUP / np.maximum(count, 1)
    return each[groups]


def _ends(ratio: Floats, weight: Floats) -> tuple[float, float]:
    """Return the weighted tenth and ninetieth percentile, 1 between them."""
    order = np.argsort(ratio, kind="stable")
    share = np.cumsum(weight[order]) / weight.sum()
    last = len(ratio) - 1
    tail = (1 - SHARE) / 2
    low = ratio[order[min(int(np.searchsorted(share, tail)), last)]]
    high = ratio[order[min(int(np.searchsorted(share, 1 - tail - 1e-12)), last)]]
    return min(float(low), 1.0), max(float(high), 1.0)


def left_out_ends(ratio: ArrayLike, groups: ArrayLike) -> tuple[Floats, Floats]:
    """Return for every row the ends of the range that all other groups give, before it is widened.

    Parameters
    ----------
    ratio : array
        Measured over predicted.
    groups : array
        Name of each row's group.

    Returns
    -------
    low, high : ndarray
        Ends of each row's range; NaN where there is only one group.

    Examples
    --------
    >>> low, high = left_out_ends([0.9, 0.95, 1.3], ["a", "a", "b"])
    >>> [round(float(end), 2) for end in (*low, *high)]
    [1.0, 1.0, 0.9, 1.3, 1.3, 1.0]
    """
    values = np.asarray(ratio, float)
    code = np.unique(np.asarray(groups), return_inverse=True)[1].reshape(-1)
    weight, ends = _weights(code), np.full((2, len(values)), np.nan)
    for group in range(code.max() + 1 if len(code) else 0):
        others = code != group
        if others.any():
            ends[:, ~others] = np.array(_ends(values[others], weight[others]))[:, None]
    return ends[0], ends[1]


def margin(ratio: ArrayLike, groups: ArrayLike) -> float:
    r"""Return how far both ends of a range must move out to hold four in five of a group it was not set on.

    .. math:: \delta = \min \{\delta \ge 0 :\ \overline{\Pr_g[\ln l_{-g} - \delta \le \ln r \le \ln h_{-g} + \delta]}
              \ge 0.8\}

    The mean is over groups, each left out in turn.

    Parameters
    ----------
    ratio, groups : array
        As in :func:`left_out_ends`.

    Returns
    -------
    float
        In logarithms, at least 0; 0 where there is only one group.

    Notes
    -----
    Source: ``vovk-2005-conformal``; groups in place of rows.

    Examples
    --------
    >>> rows = np.exp(np.repeat([-0.1, 0.0, 0.1, 0.05], 10))  # four groups, each off by its own amount
    >>> round(margin(rows, np.repeat(["a", "b", "c", "d"], 10)), 2)
    0.1
    """
    values, names = np.asarray(ratio, float), np.asarray(groups)
    low, high = left_out_ends(values, names)
    need = np.maximum(0.0, np.maximum(np.log(values / high), np.log(low / values)))
    if not np.isfinite(need).all():
        return 0.0
    weight = _weights(np.unique(names, return_inverse=True)[1].reshape(-1))
    order = np.argsort(need, kind="stable")
    share = np.cumsum(weight[order]) / weight.sum()
    return float(need[order[int(np.searchsorted(share, SHARE - 1e-12))]])


def range_of(ratio: ArrayLike, groups: ArrayLike) -> dict[str, float]:
    """Return the factors between which four in five measurements of an unseen group lie.

    Parameters
    ----------
    ratio, groups : array
        As in :func:`left_out_ends`.

    Returns
    -------
    dict of float
        ``low``, ``high``, rows ``n``, ``groups``, ``grown`` (by how much leaving groups out moved each end) and
        ``median_abs_error``.

    Examples
    --------
    >>> range_of(np.linspace(0.9, 1.1, 101), range(101))["high"]
    1.082
    """
    values, names = np.asarray(ratio, float), np.asarray(groups)
    code = np.unique(names, return_inverse=True)[1].reshape(-1)
    grown = float(np.exp(margin(values, names)))
    low, high = _ends(values, _weights(code))
    return {
        "low": round(low / grown, 4), "high": round(high * grown, 4), "n": len(values), "groups": int(code.max()) + 1,
        "grown": round(float(grown), 3), "median_abs_error": round(float(np.median(np.abs(1 / values - 1))), 4),
    }  # fmt: skip


def holds(answers: pd.DataFrame) -> pd.Series:
    """Tell of every measurement whether the range that all other groups set holds it.

    Parameters
    ----------
    answers : DataFrame
        Judged answers of one kind and quantity, with ``measured predicted family`` and what their files say.

    Returns
    -------
    Series of bool
        One entry an answer; of a family with one group, whether the published range holds it.
    """
    same = answers["family"].map(same_as)
    family, keys = same.str[0], answers["family"].map(known_family)
    ratio = (answers["measured"] / answers["predicted"]).where(~same.str[1], answers["predicted"] / answers["measured"])
    names, inside = group_names(answers), pd.Series(False, index=answers.index)
    for key in sorted(set(keys) - {""}):
        pool, known = (family + "/").str.startswith(key + "/"), intervals()[key]
        low, high = left_out_ends(ratio[pool], names[pool])
        low, high = low / known["grown"], high * known["grown"]
        low, high = np.where(np.isfinite(low), low, known["low"]), np.where(np.isfinite(high), high, known["high"])
        if "reach" in answers:
            low = low * answers["reach"][pool].fillna(1.0).to_numpy(float)
        found = (ratio[pool] >= low) & (ratio[pool] <= high)
        inside = inside | (found.reindex(answers.index, fill_value=False) & (keys == key))
    return inside
