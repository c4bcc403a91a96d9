"""Named constants on a customer's own runs, drawn towards ours: her engine's and her framework's, before and after.

Two rows in three are fitted, the third is held out and judges.  Each constant may move only as far as its rows pay for:
a penalty that weighs as much as a few rows draws it back to the book's value.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from hopperbook import evidence, serving
from hopperbook.calibrate import training as frameworks
from hopperbook.calibrate.serving import descend, serving_loss, yaml_number
from hopperbook.errors import InputError
from hopperbook.evidence import noise
from hopperbook.evidence.serving import Load, resolve
from hopperbook.facts import own
from hopperbook.training.layer import framework

#: What may move, and how far: a step of that size costs as much as an error of one per cent on PULL rows.
ENGINE = {"age": 0.05, "host_s": 5e-4, "sequence_s": 2e-5, "frontend_s": 1e-2}
FRAMEWORK = {"gemm_ceiling_share": 0.05, "gemm_ceiling_share_a100": 0.05, "fp8_ceiling_share": 0.05,
             "elementwise_passes": 0.5, "host_step_s": 0.05}  # fmt: skip
PULL, LEAST_ROWS, HELD_OUT = 3.0, 6, 3
#: Rows alike in all that was asked must agree this well.
AGREE = 1.3


def contradictions(rows: pd.DataFrame) -> None:
    """Refuse rows that ask the same and measure something else.

    Parameters
    ----------
    rows : DataFrame
        Text cells.

    Raises
    ------
    InputError
        For the first pair of rows that are equal in every column but a quantity, which differs by more than 30 %.

    Examples
    --------
    >>> rows = pd.DataFrame({"model": ["a", "a"], "tpot_ms": ["10", "19"]})
    >>> contradictions(rows)
    Traceback (most recent call last):
    hopperbook.errors.InputError: rows: '1 and 2' is not usable; allowed is runs that agree: they are equal in every \
column but tpot_ms, which is 10 and 19
    """
    quantities = [c for c in rows if c in noise.QUANTITIES]
    asked = noise.conditions(rows)
    for _, same in rows.groupby(asked, sort=False) if asked else []:
        for quantity in quantities:
            value = pd.to_numeric(same[quantity], errors="coerce").dropna()
            if len(value) > 1 and value.max() > AGREE * value.min() > 0:
                low, high = value.idxmin(), value.idxmax()
                pair = f"{min(low, high) + 1} and {max(low, high) + 1}"
                said = f"equal in every column but {quantity}, which is {value[low]:g} and {value[high]:g}"
                raise InputError("rows", pair, f"runs that agree: they are {said}")


def fit(path: Path, out: Path) -> dict[str, Any]:
    """Fit constants on a file of a customer's runs, and write them with what they change on the rows held out.

    Parameters
    ----------
    path : Path
        Rows as ``hopperbook evidence`` reads them.
    out : Path
        YAML file to write: its ``calibration`` is the customer's field.

    Returns
    -------
    dict
        What was written: ``calibration``, ``rows``, ``held_out``, and ``before`` and ``after`` by quantity.

    Raises
    ------
    InputError
        If rows contradict each other, or too few can be answered.
    """
    rows = evidence.read(path)
    contradictions(rows)
    answered = evidence.predict(rows)
    usable = sorted(set(answered[answered.error.notna()].row - 1))
    if len(usable) < LEAST_ROWS:
        raise InputError("rows", len(usable), f"at least {LEAST_ROWS} rows with a measurement that can be predicted")
    rows = rows.iloc[usable].reset_index(drop=True)
    held = pd.Series(range(len(rows))) % HELD_OUT == HELD_OUT - 1
    fitted = rows[~held].reset_index(drop=True)
    found = _engines(fitted) | _frameworks(fitted)
    line = " ".join(f"{record}.{name}={value}" for record, some in found.items() for name, value in some.items())
    before, after = (_errors(rows[held].reset_index(drop=True), text) for text in ("", line))
    worse = np.mean([after[q] - before[q] for q in before]) > 0
    said = f"{len(fitted)} rows of {path.name[:60]} {hashlib.sha256(path.read_bytes()).hexdigest()[:12]}"
    words = ", ".join(f"{q} {before[q]:.1%} to {after[q]:.1%}" for q in before)
    report = {
        "calibration": "" if worse or not line else f"{line}; {said}; {int(held.sum())} held out: {words}",
        "rows": len(fitted), "held_out": int(held.sum()), "before": before, "after": after,
        "verdict": _verdict(bool(worse), sorted(found), line),
    }  # fmt: skip
    out.write_text(yaml.safe_dump(report, sort_keys=False, allow_unicode=True, width=1000), encoding="utf-8")
    return report


def _verdict(worse: bool, records: list[str], line: str) -> str:
    """Say whether what was fitted is kept, and of which records; a plan takes the newest version of its engine."""
    if worse:
        return "the book's constants are better on the rows held out: none changed"
    return f"kept, for {' and '.join(records)}" if line else "no constant moved"


def _errors(rows: pd.DataFrame, text: str) -> dict[str, float]:
    """Return the median absolute error of each quantity of some rows under constants of one's own."""
    before = own.text()
    try:
        own.put(text)
        answers = evidence.predict(rows)
    finally:
        own.put(before)
    return {
        str(q): round(float(each.error.abs().median()), 4)
        for q, each in answers.dropna(subset="error").groupby("quantity")
    }


def _engines(rows: pd.DataFrame) -> dict[str, dict[str, str]]:
    """Fit the constants of every engine that serving rows name."""
    loads: dict[str, list[tuple[Load, dict[str, str]]]] = {}
    for row in rows.to_dict("records"):
        if any(row.get(q) for q in ("tpot_ms", "ttft_ms", "output_tokens_per_s")) and not row.get("arrival"):
            try:
                load = resolve(row)
            except InputError:
                continue
            loads.setdefault(load.deployment.engine.name, []).append((load, row))
    found = {}
    for name, pairs in loads.items():
        some, kept = [load for load, _ in pairs], [row for _, row in pairs]
        start = {c: float(getattr(serving.engines()[name], c)) for c in ENGINE}
        loss = _drawn_back(functools.partial(_off, some, kept), start, ENGINE, len(kept))
        best = descend(loss, start, {c: far / 2 for c, far in ENGINE.items()}, 3)
        found[name] = {c: yaml_number(v) for c, v in best.items() if v != start[c]}
    return found


def _off(loads: list[Load], rows: list[dict[str, str]], constants: dict[str, float]) -> float:
    return serving_loss(loads, rows, constants)[0]


def _frameworks(rows: pd.DataFrame) -> dict[str, dict[str, str]]:
    """Fit the constants of every framework that training rows name."""
    quantity = "tokens_per_s_per_gpu"
    rows = _with_rates(rows, quantity)
    named = {framework(text).name for text in rows.get("framework", pd.Series(dtype=str)) if text}
    found = {}
    for name in sorted(named):
        problem = frameworks.Problem(rows, name, quantity)
        if not problem.count:
            continue
        record = framework(name)
        start = {c: float(getattr(record, c)) for c in FRAMEWORK}

        def off(values: dict[str, float], problem: Any = problem, record: Any = record) -> float:
            return float(np.abs(problem.residuals(dataclasses.replace(record, **values), quantity)).mean())

        best = descend(
            _drawn_back(off, start, FRAMEWORK, problem.count), start, {c: f / 2 for c, f in FRAMEWORK.items()}, 3
        )
        found[name] = {c: yaml_number(v) for c, v in best.items() if v != start[c]}
    return found


def _with_rates(rows: pd.DataFrame, quantity: str) -> pd.DataFrame:
    """Return training rows with a rate where they state a step, its sequences and their length."""
    of = {c: pd.to_numeric(rows[c], errors="coerce") if c in rows else np.nan
          for c in ("step_s", "global_batch", "seq_len", "gpus")}  # fmt: skip
    made = pd.Series(of["global_batch"] * of["seq_len"] / (of["step_s"] * of["gpus"]), index=rows.index)
    known = rows[quantity] if quantity in rows else pd.Series("", index=rows.index)
    return rows.assign(**{quantity: known.where((known != "") | made.isna(), made.astype(str))})


def _drawn_back(
    loss: Callable[[dict[str, float]], float], start: dict[str, float], far: dict[str, float], rows: int
) -> Callable[[dict[str, float]], float]:
    """Return a loss that draws constants back to the book's the harder the fewer rows there are."""

    def drawn(values: dict[str, float]) -> float:
        moved = sum(((values[c] - start[c]) / far[c]) ** 2 for c in far)
        return loss(values) + 0.01 * PULL * moved / rows

    return drawn
