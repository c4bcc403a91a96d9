"""Serving engines as records of named constants."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cache

from hopperbook import facts, kernels


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
    drafts: int = 0
    acceptance: float = 0.0


@cache
def engines() -> dict[str, Engine]:
    """Return every engine's record by name."""
    rows = facts.read_yaml("constants/serving.yaml")["engines"]
    return {name: Engine(name=name, **row) for name, row in rows.items()}


def engine(name: str, version: str = "") -> Engine:
    """Return the record of an engine and version, the nearest that is known.

    Parameters
    ----------
    name : str
        TensorRT-LLM, vLLM or SGLang, or a key of ``data/constants/serving.yaml``.
    version : str
        What the user states; TensorRT-LLM before 1.0 and vLLM before 0.14 (no asynchronous
        scheduling by default) are records of their own.

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
    >>> engine("TensorRT-LLM", "0.14").name, engine("vLLM").name
    ('trtllm-0.14', 'vllm')
    """
    if name in engines():
        return engines()[name]
    table = kernels.engine_name(name)
    if "sglang" in name.lower():
        return engines()["sglang"]
    number = [int(part) for part in re.findall(r"\d+", str(version))[:2]]
    if table == "trtllm":
        return engines()["trtllm-0.14" if number and number[0] == 0 else "trtllm-1.0"]
    return engines()["vllm-0.12" if number and number < [0, 14] else "vllm"]


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
