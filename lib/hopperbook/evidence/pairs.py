"""Pairs of published training runs that differ in the format alone: what FP8 gained, and what we would have said."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from hopperbook.evidence.judged import judged

#: What two runs must share to be a pair.
SAME = ["model", "task", "seq_len", "gpus", "framework"]
#: A file of sweeps over layouts, not of best rates.
SWEEPS = "training_playbook"


class Pairs(NamedTuple):
    """Gains by pair, and where the runs were published.

    ``gains`` has the columns of :data:`SAME`, then ``measured`` and ``predicted`` (FP8 over BF16, times as fast) and
    ``error`` of the prediction; ``sources`` are keys of ``data/references.bib``.
    """

    gains: pd.DataFrame
    sources: list[str]


def format_pairs(gpu: str) -> Pairs:
    """Return the best published rate in FP8 over that in BF16, pair by pair, measured and predicted.

    Parameters
    ----------
    gpu : str
        Name of the part.

    Returns
    -------
    Pairs
        One row for each model, task, length of sequence, number of GPUs and framework that has both formats.

    Examples
    --------
    >>> pairs = format_pairs("H100 SXM")
    >>> len(pairs.gains), round(float(pairs.gains.measured.median()), 2)
    (31, 1.38)
    """
    runs = judged("training", "tokens_per_s_per_gpu")
    runs = runs[(runs.gpu == gpu) & (runs.file != SWEEPS)]
    runs = runs.assign(format=runs.precision.str.removeprefix("amp_"), task=runs.task.fillna("pretrain"))
    rates = runs.pivot_table(index=SAME, columns="format", values=["measured", "predicted"], aggfunc="max").dropna()
    gains = pd.DataFrame({k: rates[k, "fp8"] / rates[k, "bf16"] for k in ("measured", "predicted")}).reset_index()
    gains["error"] = gains.predicted / gains.measured - 1
    return Pairs(gains, list(runs.merge(gains[SAME])["source"].drop_duplicates()))


def gain_range(gains: pd.DataFrame, gain: float) -> tuple[float, float]:
    """Return the 80 % range of a predicted gain, from how far measured gains lay from predicted ones.

    Parameters
    ----------
    gains : DataFrame
        ``measured`` and ``predicted``.
    gain : float
        The prediction, times as fast.

    Returns
    -------
    low, high : float
        Times as fast.

    Examples
    --------
    >>> low, high = gain_range(pd.DataFrame({"measured": [0.9, 1.1], "predicted": [1.0, 1.0]}), 2.0)
    >>> round(low, 2), round(high, 2)
    (1.84, 2.16)
    """
    low, high = np.quantile(gains.measured / gains.predicted, [0.1, 0.9])
    return float(gain * low), float(gain * high)


def by_task(gains: pd.DataFrame) -> pd.DataFrame:
    """Return the median pair of each model and task.

    Parameters
    ----------
    gains : DataFrame
        From :func:`format_pairs`.

    Returns
    -------
    DataFrame
        ``model task pairs measured predicted error``.

    Examples
    --------
    >>> int(by_task(format_pairs("H100 SXM").gains).pairs.sum())
    31
    """
    found = gains.groupby(["model", "task"], as_index=False).agg(
        pairs=("measured", "size"), measured=("measured", "median"), predicted=("predicted", "median")
    )
    return found.assign(error=found.predicted / found.measured - 1)
