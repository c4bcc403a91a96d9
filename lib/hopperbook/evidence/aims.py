"""How right predictions are meant to be, how right they are on judged rows, and the ratios on which a choice rests."""

from __future__ import annotations

import functools
from typing import Any

import pandas as pd

from hopperbook import facts
from hopperbook.evidence import kept
from hopperbook.evidence.intervals import intervals
from hopperbook.evidence.judged import judged
from hopperbook.evidence.rows import gpu_label

#: Rows are compared where they agree in all of these that their file has.
SAME_SERVING = (
    "model", "gpus", "tp", "precision", "kv_precision", "input_tokens", "output_tokens", "concurrency", "engine",
    "engine_version", "round",
)  # fmt: skip
SAME_TRAINING = ("model", "seq_len", "gpus", "tp", "pp", "cp", "task", "framework", "sharding")
#: (what, kind, quantity, column that differs, value above, value below)
RATIOS = (
    ("offline throughput", "serving", "output_tokens_per_s", "chip", "H200", "H100"),
    ("offline throughput, 16 bits", "serving", "output_tokens_per_s", "chip", "H100", "A100"),
    ("time per token", "serving", "tpot_ms", "chip", "H200", "H100"),
    ("training throughput", "training", "tokens_per_s_per_gpu", "format", "fp8", "bf16"),
)


@functools.cache
def aims() -> tuple[dict[str, Any], ...]:
    """Return ``data/aims.yaml``: the families, what is wanted of each, and what a miss is made of.

    Returns
    -------
    tuple of dict
        ``name kind quantity family aim holds miss``.

    Examples
    --------
    >>> aims()[0]["quantity"]
    'tpot_ms'
    """
    return tuple(facts.read_yaml("aims.yaml")["aims"])


def requests() -> pd.DataFrame:
    r"""Join first tokens and times per token of judged rows to the time of a whole answer.

    .. math:: t = \mathrm{TTFT} + (o - 1)\,\mathrm{TPOT}

    Returns
    -------
    DataFrame
        ``measured predicted error family``, milliseconds.
    """
    first, rest = judged("serving", "ttft_ms"), judged("serving", "tpot_ms")
    both = first.merge(rest[["file", "row", "measured", "predicted"]], on=["file", "row"], suffixes=("", "_each"))
    more = pd.to_numeric(both.output_tokens) - 1
    measured, predicted = (both[c] + more * both[f"{c}_each"] for c in ("measured", "predicted"))
    return both.assign(measured=measured, predicted=predicted, error=predicted / measured - 1, low=float("nan"))


def ratios() -> pd.DataFrame:
    """Compare pairs of judged rows that are equal in everything but the part, or the format.

    Returns
    -------
    DataFrame
        ``what pair measured predicted error``, one line a pair.

    Examples
    --------
    >>> of = ratios().groupby("what")[["measured", "predicted"]].median()
    >>> of.loc["offline throughput"].round(2).tolist()  # H200 over H100; memory bandwidth: 4.8 / 3.35 = 1.43
    [1.21, 1.23]
    """
    return kept.frame("ratios", _ratios)


def _ratios() -> pd.DataFrame:
    """Find the pairs of :func:`ratios`."""
    found = []
    for what, kind, quantity, column, top, bottom in RATIOS:
        rows = judged(kind, quantity)
        rows = rows[~rows.family.str.contains("ranking")]
        rows = rows.assign(chip=[gpu_label(str(g)).split()[0] for g in rows.gpu])
        rows = rows.assign(format=rows.precision.fillna("").str.lower().str.replace("amp_", ""))
        if "16 bits" in what:
            rows = rows[~rows.format.isin(["fp8", "fp8_block"])]
        wanted = (*(SAME_SERVING if kind == "serving" else SAME_TRAINING), "file")
        keys = [k for k in wanted if k in rows and k != ("precision" if column == "format" else "")]
        pairs = rows[rows[column] == top].merge(rows[rows[column] == bottom], on=keys, suffixes=("", "_b"))
        measured, predicted = pairs.measured / pairs.measured_b, pairs.predicted / pairs.predicted_b
        found.append(pd.DataFrame({"what": what, "pair": f"{top.upper()} over {bottom.upper()}", "measured": measured,
                                   "predicted": predicted, "error": predicted / measured - 1}))  # fmt: skip
    return pd.concat(found, ignore_index=True)


def rows_of(aim: dict[str, Any]) -> pd.DataFrame:
    """Return the judged answers of one aim.

    Parameters
    ----------
    aim : dict
        An entry of :func:`aims`; kernels are held out by ``hopperbook calibrate intervals``, not here.

    Returns
    -------
    DataFrame
        With ``error``.
    """
    if aim["kind"] == "ratio":
        return ratios()
    rows = requests() if aim["quantity"] == "request" else judged(aim["kind"], aim["quantity"])
    return rows[rows.family.str.contains(aim["family"]) & (rows.measured > 0)]


def reached() -> pd.DataFrame:
    """Measure every aim on judged rows.

    Returns
    -------
    DataFrame
        ``name n median aim holds met miss``; of kernels, the shapes held out when the ranges were last made.

    Examples
    --------
    >>> dense = reached().set_index("name").loc["Training, dense"]
    >>> int(dense.n), round(100 * float(dense["median"]), 1), round(100 * float(dense.aim), 1)  # rows; percent; wanted
    (277, 2.4, 4.0)
    """
    found = kept.frame("aims", lambda: pd.DataFrame([reached_by(aim) for aim in aims()], columns=["n", "median"]))
    table = pd.concat([found, pd.DataFrame(aims())], axis=1)
    columns = ["name", "kind", "n", "median", "aim", "holds", "met", "miss"]
    return table.assign(met=table["median"] <= table["aim"])[columns]


def reached_by(aim: dict[str, Any]) -> tuple[int, float]:
    """Measure one aim on judged rows, or on the shapes held out when ranges were last made.

    Parameters
    ----------
    aim : dict
        An entry of :func:`aims`.

    Returns
    -------
    tuple
        Rows or shapes, and their median absolute error.

    Examples
    --------
    >>> count, median = reached_by(aims()[0])
    >>> count, round(100 * median, 1)  # rows; percent
    (355, 3.8)
    """
    if aim["kind"] == "kernel":
        return _held_out(aim["family"])
    error = rows_of(aim).error.abs()
    return len(error), float(error.median())


def _held_out(family: str) -> tuple[int, float]:
    """Return shapes held out and the median error of a family of kernels, the worst of its grids."""
    known = pd.DataFrame.from_dict(intervals(), orient="index")
    part = known[known.index.str.startswith("kernel/") & known.index.str.contains(family + "$")]
    return int(part.n.sum()), float(part.median_abs_error.max())
