"""The 80 % ranges, from residuals of every second judged row."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from hopperbook import evidence, facts
from hopperbook.evidence import holdout

SHARE = 0.8
LEAST_ROWS = 20
#: Rows that a quantity needs for a range of its own.
LEAST_OF_A_KIND = 4


def factors(ratio: ArrayLike) -> dict[str, float]:
    r"""Return the factors between which 80 % of measured / predicted lie, by split conformal order statistics.

    Parameters
    ----------
    ratio : array
        Measured over predicted.

    Returns
    -------
    dict of float
        ``low``, ``high``, ``n``, and the ``median_abs_error`` of predicted over measured.

    Examples
    --------
    >>> factors(np.linspace(0.9, 1.1, 101))["high"]
    1.082
    """
    values = np.sort(np.asarray(ratio, float))
    n, tail = len(values), (1 - SHARE) / 2
    low = values[max(0, int(np.floor((n + 1) * tail)) - 1)]
    high = values[min(n - 1, int(np.ceil((n + 1) * (1 - tail))) - 1)]
    error = round(float(np.median(np.abs(1 / values - 1))), 4)
    return {"low": round(float(low), 4), "high": round(float(high), 4), "n": n, "median_abs_error": error}


def interval_table(answers: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Work out the factors of every family, and of every group of families, from answers with measurements.

    Parameters
    ----------
    answers : DataFrame
        As :func:`hopperbook.evidence.predict` returns them.

    Returns
    -------
    dict
        Factors by family; families with few rows are left to their group.
    """
    judged = answers[answers.error.notna() & (answers.predicted > 0)]
    ratio = judged.measured / judged.predicted
    found: dict[str, dict[str, float]] = {}
    for depth in range(1, 6):
        group = judged.family.str.split("/").str[: depth + 1].str.join("/")
        for family, part in ratio.groupby(group):
            if len(part) >= LEAST_ROWS or (depth == 1 and len(part) >= LEAST_OF_A_KIND):
                found[str(family)] = factors(part)
    return dict(sorted(found.items()))


def residuals() -> pd.DataFrame:
    """Answer every row of ``data/measurements``, and hold kernel shapes out of their own tables.

    Returns
    -------
    DataFrame
        Answers with measurements, ``split``, and ``half`` (0: the row gives intervals, 1: it checks them).  Rows that
        constants were fitted on are left out where a family has rows enough without them.
    """
    tables = []
    for path in sorted((facts.DATA / "measurements").glob("*.csv.gz")):
        rows = evidence.read(path)
        rows = rows[~evidence.suspect(rows) & (rows.get("suspect", "") != "yes")].reset_index(drop=True)
        answers = evidence.predict(rows).assign(file=path.name.split(".")[0])
        split = rows["split"] if "split" in rows else pd.Series("judge", index=rows.index)
        tables.append(answers.assign(split=answers.row.map(dict(zip(rows.index + 1, split, strict=True)))))
    tables.append(holdout.answers())
    table = pd.concat(tables, ignore_index=True)
    table = table[table.error.notna()].reset_index(drop=True)
    judged = table.split.eq("judge").groupby(table.family).transform("sum")
    table = table[table.split.eq("judge") | (judged < 2 * LEAST_ROWS)].reset_index(drop=True)
    return table.assign(half=table.groupby("family").cumcount() % 2)


def fit_intervals() -> dict[str, dict[str, float]]:
    """Write ``data/intervals.yaml`` from every second residual, and print the coverage on the others.

    Returns
    -------
    dict
        Factors by family.
    """
    table = residuals()
    found = interval_table(table[table.half == 0])
    text = "# 80 % factors on a prediction, by family. Made by: hopperbook calibrate intervals\n"
    text += "# (every second judged row of data/measurements and of kernel shapes held out of their tables;\n"
    text += "# coverage is shown on the others)\n"
    lines = ["  " + family + ": {" + ", ".join(f"{k}: {v}" for k, v in f.items()) + "}" for family, f in found.items()]
    (facts.DATA / "intervals.yaml").write_text(text + "families:\n" + "\n".join(lines) + "\n")
    evidence.intervals.cache_clear()
    print(coverage(table[table.half == 1]).to_string(index=False))
    return found


def coverage(table: pd.DataFrame) -> pd.DataFrame:
    """Return the share of measurements inside their interval, with errors, by family.

    Parameters
    ----------
    table : DataFrame
        Answers with measurements.

    Returns
    -------
    DataFrame
        ``family n median_abs_error mean_abs_error bias coverage``.
    """
    bounds = np.array([evidence.interval(f) for f in table.family])
    ratio = table.measured / table.predicted
    inside = (ratio >= bounds[:, 0]) & (ratio <= bounds[:, 1])
    lines = []
    for family, part in table.assign(inside=inside).groupby("family"):
        size = part.error.abs()
        lines.append({"family": family, "n": len(part), "median_abs_error": round(float(size.median()), 4),
                      "mean_abs_error": round(float(size.mean()), 4), "bias": round(float(part.error.median()), 4),
                      "coverage": round(float(part.inside.mean()), 3)})  # fmt: skip
    return pd.DataFrame(lines)
