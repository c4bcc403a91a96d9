"""The 80 % ranges, from residuals of judged rows, whole groups left out."""

from __future__ import annotations

import numpy as np
import pandas as pd

from hopperbook import evidence, facts
from hopperbook.evidence import groups, holdout
from hopperbook.evidence.intervals import distance, same_as

LEAST_ROWS = 20
#: Rows that a quantity needs for a range of its own.
LEAST_OF_A_KIND = 4
LONG_TOKENS = 8192
#: Kinds whose families need rows of two laboratories, or they are left to the family above: one measures alike.
LATENCIES = ("serving/tpot_ms", "serving/ttft_ms", "load/")
HEAD = """\
# 80 % factors on a prediction, by family. Made by: hopperbook calibrate intervals
# Of judged rows of data/measurements, and of kernel shapes held out of their tables. A group is a campaign, model,
# part, engine version and format. grown: how far each end moved out to hold four rows in five of a group left out.
"""
FAR_HEAD = "# Exponents where all rows of a version, model, format or part are left out; of long prompts over all.\n"
#: Of which families it is learnt how much farther a range must reach beyond all that its rows share.
FAR = ("serving/tpot_ms/online", "serving/output_tokens_per_s/offline", "training/tokens_per_s_per_gpu/dense")


def interval_table(answers: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Work out the factors of every family, and of every group of families, from answers with measurements.

    Parameters
    ----------
    answers : DataFrame
        As :func:`residuals` returns them.

    Returns
    -------
    dict
        Factors by family; families with few rows or few groups are left to the family above.
    """
    judged = answers[answers.error.notna() & (answers.predicted > 0)]
    names = judged.group if "group" in judged else groups.group_names(judged)
    same = judged.family.map(same_as)
    ratio = (judged.measured / judged.predicted).where(~same.str[1], judged.predicted / judged.measured)
    family = same.str[0]
    once = ~pd.DataFrame({"family": family, "file": judged.file, "row": judged.row}).duplicated() | judged.row.isna()
    ratio, names, family = ratio[once], names[once], family[once]
    found: dict[str, dict[str, float]] = {}
    for depth in range(1, 6):
        for key, part in ratio.groupby(family.str.split("/").str[: depth + 1].str.join("/")):
            held = names[part.index]
            few = held.nunique() < groups.LEAST_GROUPS and not str(key).startswith("kernel/")
            enough = len(part) >= LEAST_ROWS and not few
            if depth > 2 and str(key).startswith(LATENCIES):
                enough = enough and judged.source[part.index].map(groups.laboratory).nunique() > 1
            if enough or (depth == 1 and len(part) >= LEAST_OF_A_KIND):
                found[str(key)] = groups.range_of(part, held)
    return dict(sorted(found.items()))


def distances(answers: pd.DataFrame) -> dict[str, dict[str, float]]:
    r"""Work out how much wider a range must be where a whole version, model, format or part is new, or prompts long.

    .. math:: e = \max\left(1, \frac{\ln h_d - \ln l_d}{\ln h - \ln l}\right)

    with the ends that leave out all rows of one version, model, format or part, over those that leave out a group; for
    long prompts the ratio of the errors that four rows in five keep.

    Parameters
    ----------
    answers : DataFrame
        As :func:`residuals` returns them.

    Returns
    -------
    dict
        Exponents by family and by what is new.
    """
    found = {}
    for key in FAR:
        rows = answers[answers.family.str.startswith(key + "/")]
        ratio = rows.measured / rows.predicted
        text = {
            c: rows[c].fillna("").astype(str) if c in rows else "" for c in ("engine", "engine_version", "framework")
        }
        new = {"version": text["engine"] + text["engine_version"] + text["framework"], "model": rows.model,
               "format": rows.precision, "part": rows.gpu.map(evidence.gpu_label)}  # fmt: skip
        width = _width(groups.range_of(ratio, rows.group))
        each = {what: groups.range_of(ratio, names.fillna("").astype(str)) for what, names in new.items()}
        found[key] = {what: round(max(1.0, _width(ends) / width), 2) for what, ends in each.items()}
        if "input_tokens" in rows:
            off, long = np.abs(np.log(ratio)), pd.to_numeric(rows.input_tokens, errors="coerce") > LONG_TOKENS
            if long.sum() >= LEAST_ROWS:
                wider = off[long].quantile(groups.SHARE) / off.quantile(groups.SHARE)
                found[key]["long prompts"] = round(max(1.0, float(wider)), 2)
    return found


def _width(ends: dict[str, float]) -> float:
    return float(np.log(ends["high"] / ends["low"]))


def residuals() -> pd.DataFrame:
    """Answer every row of ``data/measurements``, and hold kernel shapes out of their own tables.

    Returns
    -------
    DataFrame
        Judged answers with measurements, their ``file`` and ``group``.  Rows that constants were fitted on stand in
        only where a quantity has hardly any others.
    """
    tables = []
    for path in sorted((facts.DATA / "measurements").glob("*.csv.gz")):
        rows = evidence.read(path)
        rows = rows[~evidence.suspect(rows) & (rows.get("suspect", "") != "yes")].reset_index(drop=True)
        answers = evidence.predict(rows).assign(file=path.name.split(".")[0])
        about = rows.iloc[answers.row.to_numpy() - 1].drop(columns=[c for c in answers if c in rows])
        tables.append(pd.concat([answers.reset_index(drop=True), about.reset_index(drop=True)], axis=1))
    tables.append(holdout.answers().assign(row=float("nan")))
    table = pd.concat(tables, ignore_index=True)
    table = table[table.error.notna()].reset_index(drop=True)
    table["split"] = table.split.fillna("judge").replace("", "judge")
    judged = table.split.eq("judge").groupby(table.family.str.split("/").str[:2].str.join("/")).transform("sum")
    table = table[table.split.eq("judge") | (judged < LEAST_ROWS)].reset_index(drop=True)
    return table.assign(group=groups.group_names(table))


def fit_intervals() -> dict[str, dict[str, float]]:
    """Write ``data/intervals.yaml`` from the residuals, and print the coverage of groups left out.

    Returns
    -------
    dict
        Factors by family.
    """
    table = residuals()
    found = interval_table(table)
    text = HEAD
    lines = ["  " + family + ": {" + ", ".join(f"{k}: {v}" for k, v in f.items()) + "}" for family, f in found.items()]
    far = [
        f"  {key}: " + "{" + ", ".join(f"{k}: {v}" for k, v in e.items()) + "}" for key, e in distances(table).items()
    ]
    text += "families:\n" + "\n".join(lines) + "\n"
    text += FAR_HEAD
    (facts.DATA / "intervals.yaml").write_text(text + "distances:\n" + "\n".join(far) + "\n")
    evidence.intervals.cache_clear()
    distance.cache_clear()
    print(coverage(table).to_string(index=False))
    return found


def coverage(table: pd.DataFrame) -> pd.DataFrame:
    """Return the share of measurements inside the range that other groups set, with errors, by family.

    Parameters
    ----------
    table : DataFrame
        From :func:`residuals`.

    Returns
    -------
    DataFrame
        ``family n groups median_abs_error mean_abs_error bias coverage``.
    """
    inside = pd.concat([groups.holds(part) for _, part in table.groupby(["kind", "quantity"])])
    lines = []
    for family, part in table.assign(inside=inside).groupby("family"):
        size = part.error.abs()
        lines.append({"family": family, "n": len(part), "groups": part.group.nunique(),
                      "median_abs_error": round(float(size.median()), 4),
                      "mean_abs_error": round(float(size.mean()), 4), "bias": round(float(part.error.median()), 4),
                      "coverage": round(float(part.inside.mean()), 3)})  # fmt: skip
    return pd.DataFrame(lines)
