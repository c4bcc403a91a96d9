"""Fit the named constants of training frameworks on rows marked ``fit``, and the 80 % intervals of training answers.

``hopperbook calibrate training`` calls :func:`run`.  Rows are marked in ``data/measurements/training*.csv.gz`` by
source and model; suspect rows (``suspect`` = yes) are neither fitted nor judged.
"""

from __future__ import annotations

import dataclasses
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import least_squares

from hopperbook import evidence, facts
from hopperbook.errors import InputError
from hopperbook.evidence import training
from hopperbook.training import step
from hopperbook.training.layer import Framework, constants, framework

FILES = ("training_mpt", "training_megatron", "training_playbook", "training_published", "training_mlperf")
Bounds = dict[str, tuple[float, float]]
#: What is fitted, stage by stage: framework, the rows (columns that must hold a value), and bounds by constant.
STAGES: tuple[tuple[str, dict[str, str], Bounds], ...] = (
    ("fsdp", {"precision": "bf16"}, {
        "gemm_ceiling_share": (0.75, 0.95), "gemm_ceiling_share_a100": (0.75, 0.87), "elementwise_passes": (0.8, 2.5),
        "attention_factor": (0.8, 4.0), "attention_factor_a100": (0.8, 4.0), "attention_backward_ratio": (2.0, 3.5),
        "fsdp_exposed": (0.0, 1.0), "head_bytes": (20.0, 60.0), "hop_latency_s": (0.0, 2e-5)}),
    ("fsdp", {"precision": "fp8"}, {"fp8_ceiling_share": (0.7, 0.98)}),
    ("megatron", {"precision": "bf16", "task": "pretrain", "ep": ""}, {
        "document_share": (0.5, 1.0), "tp_exposed": (0.1, 1.0), "jitter_share": (0.0, 1e-2),
        "elementwise_passes": (0.6, 1.8), "wgrad_bytes": (0.0, 8.0), "cp_overhead": (0.0, 1.0)}),
    ("megatron", {"precision": "fp8", "task": "pretrain", "ep": ""}, {
        "fp8_ceiling_share": (0.7, 0.98), "cast_passes": (0.5, 4.0)}),
    ("megatron", {"task": "sft"}, {"tuning_document_share": (0.02, 1.0)}),
    ("megatron", {"task": "lora"}, {"lora_passes": (0.0, 6.0)}),
    ("megatron", {"task": "pretrain", "ep": "*"}, {
        "moe_factor": (0.8, 1.6), "dispatch_rows_per_s": (4e6, 3e7)}),
    ("torchtitan", {}, {"elementwise_passes": (0.6, 3.0), "fsdp_exposed": (0.0, 1.0), "cast_passes": (1.0, 4.0)}),
    ("internevo", {}, {
        "dp_exposed": (0.0, 1.0), "bucket_latency_s": (0.0, 1e-2), "elementwise_passes": (0.7, 3.0),
        "attention_factor_a100": (0.8, 3.0)}),
    ("nanotron", {}, {
        "elementwise_passes": (0.8, 5.0), "host_layer_s": (0.0, 2e-2), "tp_exposed": (0.5, 1.5),
        "dp_exposed": (0.0, 1.0), "p2p_exposed": (0.0, 2.0), "host_step_s": (0.0, 1.0)}),
)  # fmt: skip
#: The same for memory.
MEMORY_STAGES: tuple[tuple[str, dict[str, str], Bounds], ...] = (
    ("nanotron", {}, {
        "gradient_bytes": (4.0, 8.0), "state_factor": (0.8, 1.3), "activation_factor": (0.8, 4.0),
        "logit_bytes": (0.0, 20.0), "runtime_bytes": (0.0, 4e9)}),
    ("torchtitan", {}, {"selective_memory": (0.2, 1.0)}),
)  # fmt: skip


@cache
def measurements(split: str = "") -> pd.DataFrame:
    """Return the training rows of ``data/measurements`` as text, with their file in ``file``.

    Parameters
    ----------
    split : str
        ``fit``, ``judge``, or empty for both.

    Returns
    -------
    DataFrame
        Rows without suspect ones.
    """
    tables = []
    for name in FILES:
        rows = evidence.read(facts.DATA / "measurements" / f"{name}.csv.gz").assign(file=name)
        tables.append(rows)
    rows = pd.concat(tables, ignore_index=True).fillna("")
    rows["task"] = rows["task"].replace("", "pretrain")
    rows["precision"] = rows["precision"].replace({"amp_bf16": "bf16", "amp_fp8": "fp8"})
    rows = rows[(rows["suspect"] != "yes") & ((rows["split"] == split) | (split == ""))]
    return rows.reset_index(drop=True)


def chosen(rows: pd.DataFrame, where: dict[str, str]) -> pd.DataFrame:
    """Return the rows whose columns hold the values asked for (``*``: anything but nothing)."""
    for column, value in where.items():
        cells = rows[column]
        rows = rows[(cells != "") & (cells != "1") if value == "*" else cells.replace("1", "") == value]
    return rows


class Problem:
    """Rows of one framework read once, timed again and again under other constants."""

    def __init__(self, rows: pd.DataFrame, record: str, quantity: str = "tokens_per_s_per_gpu") -> None:
        """Read the rows whose framework's constants are ``record`` and whose layout is wholly stated."""
        self.record, self.groups, self.count = framework(record), [], 0
        groups: dict[training.Options, list[tuple[training.Layout, float]]] = {}
        for row in rows[rows[quantity] != ""].to_dict("records"):
            try:
                options, layouts, _ = training.read_row(row)
            except InputError:
                continue
            if framework(options.framework, options.gpu.architecture).name == record and len(layouts) == 1:
                groups.setdefault(options, []).append((layouts[0], float(row[quantity])))
        for options, pairs in groups.items():
            columns = zip(*(layout for layout, _ in pairs), strict=True)
            arrays = dict(zip(training.Layout._fields, map(np.array, columns), strict=True))
            self.groups.append((options, arrays, np.array([measured for _, measured in pairs])))
            self.count += len(pairs)

    def residuals(self, f: Framework, quantity: str = "tokens_per_s_per_gpu") -> NDArray[np.float64]:
        """Return log(predicted / measured) of every row under the constants."""
        found = []
        for o, arrays, measured in self.groups:
            result = step(
                o.model, o.gpu, precision=o.precision, sharding=o.sharding, recompute=o.recompute, task=o.task,
                framework_name=training.on_data(f, o), fabric=o.fabric, sequence_parallel=o.sequence_parallel, **arrays,
            )  # fmt: skip
            result = training.aged(result, o.age)
            values = result.memory_bytes / 2**30 if quantity == "memory_gib" else result.tokens_per_s_per_gpu
            found.append(np.log(values / measured))
        return np.concatenate(found)


def fit(problem: Problem, free: Bounds, quantity: str = "tokens_per_s_per_gpu") -> dict[str, float]:
    """Fit the named constants to the problem's rows, outliers (slow runs) counting little.

    Parameters
    ----------
    problem : Problem
        Rows.
    free : dict
        Bounds by name.
    quantity : str
        ``tokens_per_s_per_gpu`` or ``memory_gib``.

    Returns
    -------
    dict of float
        Values to three digits.
    """
    names = list(free)
    low, high = (np.array([free[n][i] for n in names]) for i in (0, 1))
    width = high - low
    start = np.clip((np.array([getattr(problem.record, n) for n in names]) - low) / width, 0.02, 0.98)

    def residuals(x: NDArray[np.float64]) -> NDArray[np.float64]:
        values = dict(zip(names, low + x * width, strict=True))
        return problem.residuals(dataclasses.replace(problem.record, **values), quantity)

    found = least_squares(residuals, start, bounds=(0, 1), loss="cauchy", f_scale=0.05, diff_step=0.01, max_nfev=60)
    values = low + np.where(found.x < 1e-3, 0.0, found.x) * width
    return {n: float(f"{v:.3g}") for n, v in zip(names, values, strict=True)}


def write_constants(record: str, values: dict[str, float], path: Path | None = None) -> None:
    """Write fitted values into a framework's record of ``data/constants/training.yaml``; comments and order stay.

    Parameters
    ----------
    record : str
        Name of the framework's record.
    values : dict of float
        Constants by name.
    path : Path, optional
        Another file.
    """
    path = path or facts.DATA / "constants" / "training.yaml"
    lines, inside, found = path.read_text().splitlines(), False, set()
    out: list[str] = []
    for line in lines:
        leaving = inside and not line.startswith("    ")
        if leaving:
            out += [f"    {n}: {v:g}" for n, v in values.items() if n not in found]
            inside = False
        inside = inside or line.startswith(f"  {record}:")
        name = line.strip().split(":")[0]
        if inside and name in values:
            comment = line[line.index("#") :] if "#" in line else ""
            line = f"    {name}: {values[name]:g}"
            line = f"{line:36s}{comment}".rstrip()
            found.add(name)
        out.append(line)
    path.write_text("\n".join(out) + "\n")
    constants.cache_clear()
    framework.cache_clear()


def errors(problem: Problem, quantity: str = "tokens_per_s_per_gpu") -> dict[str, float]:
    """Return rows, median and mean absolute error, and bias, under the stored constants.

    Parameters
    ----------
    problem : Problem
        Rows.
    quantity : str
        ``tokens_per_s_per_gpu`` or ``memory_gib``.

    Returns
    -------
    dict of float
        ``n``, ``median``, ``mean``, ``bias``.
    """
    found = np.expm1(problem.residuals(framework(problem.record.name), quantity))
    size = np.abs(found)
    return {
        "n": problem.count, "median": round(float(np.median(size)), 4), "mean": round(float(size.mean()), 4),
        "bias": round(float(np.median(found)), 4),
    }  # fmt: skip


def run() -> None:
    """Fit every stage on rows marked ``fit``, write the constants, print the errors on ``fit`` and ``judge`` rows."""
    for quantity, stages in (("tokens_per_s_per_gpu", STAGES), ("memory_gib", MEMORY_STAGES)):
        for record, where, free in stages:
            problem = Problem(chosen(measurements("fit"), where), record, quantity)
            values = fit(problem, free, quantity)
            write_constants(record, values)
            print(record, where or "", quantity, values)
            for split in ("fit", "judge"):
                rows = Problem(chosen(measurements(split), where), record, quantity)
                if rows.count:
                    print("   ", split, errors(rows, quantity))
