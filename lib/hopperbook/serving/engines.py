"""Serving engines as records of named constants."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from hopperbook import facts, kernels
from hopperbook.errors import InputError
from hopperbook.facts import own


@dataclass(frozen=True)
class Engine:
    """A serving engine as a record of named constants (``data/constants/serving.yaml``), and its drafts if any."""

    name: str
    tables: str
    host_s: float
    sequence_s: float
    gemm_excess_s: float
    eager_layer_s: float
    attention_bandwidth_share: float
    moe_decode: float
    moe_prefill: float
    mxfp4_decode: float
    mxfp4_prefill: float
    frontend_s: float
    tokenise_s: float
    schedule_lag_steps: int
    output_lag_steps: int
    step_tokens: int
    max_batch: int
    whole_prompts: bool
    prefill_first: bool
    kv_of_free: bool
    kv_fraction: float
    runtime_bytes: float
    age: float
    tuned_experts: bool
    windows: bool
    window_cache: bool
    dynamic_scales: bool
    block_tokens: int
    reserves: bool
    reserve_bytes: float = 0.0
    drafts: int = 0
    acceptance: float = 0.0


@cache
def engines() -> dict[str, Engine]:
    """Return every engine's record by name."""
    rows = facts.read_yaml("constants/serving.yaml")["engines"]
    return {name: _record(name, row) for name, row in rows.items()}


def _record(name: str, row: dict[str, Any]) -> Engine:
    """Make a record from the file's line, with the constants of a customer's own runs in place of ours."""
    mine = own.constants(name)
    if not mine.keys() <= row.keys():
        raise InputError("calibration", ", ".join(mine), f"constants of {name}", row)
    return Engine(name=name, **(row | mine))


def engine(name: str, version: str = "", date: str = "") -> Engine:
    """Return the record of an engine and version, the nearest that is known.

    Parameters
    ----------
    name : str
        TensorRT-LLM, vLLM or SGLang, or a key of ``data/constants/serving.yaml``.
    version : str
        What the user states; ``versions`` of ``data/constants/serving.yaml`` says which record speaks for it.
    date : str
        ``YYYY-MM`` of the run, which decides where no version is stated: the newest that could be had.

    Returns
    -------
    Engine
        Its constants.

    Raises
    ------
    InputError
        If the engine is unknown.

    Examples
    --------
    >>> engine("TensorRT-LLM", "0.14").name, engine("vLLM").name, engine("vLLM", date="2025-11-02").name
    ('trtllm-0.14', 'vllm', 'vllm-0.12')
    """
    if name in engines():
        return engines()[name]
    table = kernels.engine_name(name)
    product = "SGLang" if "sglang" in name.lower() else "vLLM" if table == "vllm" else "TensorRT-LLM"
    known = facts.read_yaml("constants/serving.yaml")["versions"][product]
    number = version_number(version)
    if number:
        known = [row for row in known if version_number(row["from"]) <= number] or known[:1]
    elif date:
        known = [row for row in known if row.get("since", "") <= date]
    return engines()[known[-1]["record"]]


def version_number(version: str) -> list[int]:
    """Return the first two parts of a version, or nothing where a text states none.

    Examples
    --------
    >>> version_number("v0.5.1.post1"), version_number("1.0.0rc3"), version_number("gpt-oss-dev")
    ([0, 5], [1, 0], [])
    """
    found = re.match(r"\s*v?(\d+)(?:\.(\d+))?", str(version), re.IGNORECASE)
    return [int(part) for part in found.groups() if part] if found else []


def on_card(runs: Engine, part: facts.GPU) -> Engine:
    """Return an engine's record on a part: vLLM gives some cards, and slices of large ones, smaller limits of a step.

    Parameters
    ----------
    runs : Engine
        The record for a large card.
    part : GPU
        The part.

    Returns
    -------
    Engine
        With the limits of ``small_card`` in ``data/constants/serving.yaml`` where they apply.

    Examples
    --------
    >>> [on_card(engine("vLLM"), facts.gpu(name)).step_tokens for name in ("A100 SXM 80GB", "H100")]
    [2048, 8192]
    """
    small = facts.read_yaml("constants/serving.yaml")["small_card"]
    spared = part.memory_bytes >= small["below_bytes"] and part.short not in small["also"]
    if runs.tables != "vllm" or spared:
        return runs
    return replace(runs, step_tokens=small["step_tokens"], max_batch=small["max_batch"])
