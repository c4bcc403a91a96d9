"""A replica of a model as it is served: engine, parts, layout and formats, checked and completed."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace
from functools import cache, lru_cache
from typing import Any

import numpy as np

from hopperbook import facts, kernels
from hopperbook.errors import InputError
from hopperbook.models import Model, linear_layers, precision_name, stored_formats


@dataclass(frozen=True)
class Engine:
    """A serving engine as a record of named constants (``data/constants/serving.yaml``)."""

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
    reserve_bytes: float
    age: float
    tuned_experts: bool
    windows: bool
    window_cache: bool
    dynamic_scales: bool


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


@cache
def _runs() -> tuple[dict[str, Any], ...]:
    return tuple(facts.read_yaml("constants/serving.yaml")["runs"])


def published_budget(source: str, d: Deployment, input_tokens: int, users: int) -> int | None:
    """Return a step's token budget where a campaign is known to have set it to one prompt and the running decodes.

    Parameters
    ----------
    source : str
        The row's source.
    d : Deployment
        The replica; an engine whose steps hold prompts alone keeps its own budget.
    input_tokens, users : int
        Tokens of a prompt as the row counts them, and users of the replica.

    Returns
    -------
    int or None
        The budget, less the tokens that a model's tokenizer adds to each prompt.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> published_budget("NVIDIA test", deploy(load("qwen3-32b"), "H100 SXM", tp=2), 1024, 16)
    1040
    """
    for run in _runs():
        if "step_tokens" in run and run["campaign"] in source and not d.engine.prefill_first:
            return input_tokens + users - run["added_tokens"].get(d.model.name.split("/")[0], 0)
    return None


def published_requests(source: str, input_tokens: int, output_tokens: int) -> int | None:
    """Return how many requests a published campaign queued at once for a pair of lengths, where it says so.

    Parameters
    ----------
    source : str
        The row's source.
    input_tokens, output_tokens : int
        Lengths.

    Returns
    -------
    int or None
        Requests of the whole run.

    Examples
    --------
    >>> published_requests("NVIDIA/TensorRT-LLM perf-overview.md", 128, 2048)
    3000
    """
    for run in _runs():
        if "requests" in run and run["campaign"] in source:
            return run["requests"].get(f"{input_tokens}/{output_tokens}")
    return None


@dataclass(frozen=True, eq=False)
class Deployment:
    """One replica of a model: where it runs, how it is cut, in which formats, by which engine.

    Parameters
    ----------
    model : Model
        The model.
    gpu : GPU
        The part.
    engine : Engine
        The engine's constants.
    tp, pp, attention_dp : int
        GPUs over which a layer is cut, pipeline stages, and replicas of attention within the group.
    moe_tp, moe_ep : int
        How experts are cut and spread; their product is the group's size.
    precision, kv_precision, moe_precision : str
        Formats of linear layers, cache and experts.
    fabric : str
        Network between nodes, where the group is larger than one.
    """

    model: Model
    gpu: facts.GPU
    engine: Engine
    tp: int = 1
    pp: int = 1
    attention_dp: int = 1
    moe_tp: int = 1
    moe_ep: int = 1
    precision: str = "bf16"
    kv_precision: str = "bf16"
    moe_precision: str = "bf16"
    fabric: str = "ndr"

    @property
    def gpus(self) -> int:
        """GPUs of the replica."""
        return self.tp * self.pp

    @property
    def weights(self) -> str:
        """The format to ask for to get these weights: the experts' own where they alone are small."""
        return self.moe_precision if self.model.experts and self.moe_precision == "mxfp4" else self.precision

    @property
    def attention_tp(self) -> int:
        """GPUs that share one sequence's attention."""
        return max(1, self.tp // self.attention_dp)


@lru_cache(maxsize=64)
def without_windows(model: Model) -> Model:
    """Return a model all of whose layers see the whole context."""
    return replace(model, window=0, window_layers=0)


def deploy(
    model: Model,
    gpu: str | facts.GPU,
    *,
    tp: int = 1,
    pp: int = 1,
    attention_dp: int = 1,
    moe_tp: int | None = None,
    moe_ep: int | None = None,
    precision: str | None = None,
    kv_precision: str | None = None,
    moe_precision: str | None = None,
    engine_name: str = "vLLM",
    engine_version: str = "",
    fabric: str = "ndr",
) -> Deployment:
    """Check and complete a deployment; everything left out takes the engine's default.

    Parameters
    ----------
    model : Model
        The model.
    gpu : str or GPU
        The part.
    tp, pp, attention_dp : int
        See :class:`Deployment`.
    moe_tp, moe_ep : int, optional
        Layout of experts; by default experts are cut like everything else.
    precision, kv_precision, moe_precision : str, optional
        Formats; the checkpoint's own by default, FP8 cache where TensorRT-LLM serves FP8 weights, else 16 bits.
    engine_name, engine_version : str
        The engine.
    fabric : str
        Network between nodes.

    Returns
    -------
    Deployment
        Ready for every function of this module.

    Raises
    ------
    InputError
        If a size is impossible or a name unknown.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> deploy(load("llama-3.1-70b"), "H100 SXM", tp=4, precision="fp8", engine_name="TensorRT-LLM").kv_precision
    'fp8'
    """
    part = gpu if isinstance(gpu, facts.GPU) else facts.gpu(gpu)
    runs = engine(engine_name, engine_version)
    for field, value in {"tp": tp, "pp": pp, "attention_dp": attention_dp}.items():
        if not isinstance(value, int | np.integer) or not 1 <= value <= 4096:
            raise InputError(field, value, "a whole number from 1 to 4,096")
    if tp % attention_dp:
        raise InputError("attention_dp", attention_dp, f"a divisor of tp ({tp})")
    if model.heads % max(1, tp // attention_dp):
        linear_layers(model, tp // attention_dp)  # raises with the nearest divisor
    if pp > model.layers:
        raise InputError("pp", pp, f"at most the {model.layers} layers of {model.name}")
    linear, experts = stored_formats(model, precision, moe_precision)
    if runs.name == "trtllm-1.0" and experts == "mxfp4":
        runs = engines()["trtllm-mxfp4"]  # MXFP4 experts take another path through this engine
    quantised = runs.tables == "trtllm" and linear in ("fp8", "fp8_block")
    if part.architecture == "Ampere" and kv_precision is None:
        quantised = False
    cache_name = precision_name(kv_precision or ("fp8" if quantised else "bf16"), "kv_precision")
    if not runs.windows:
        model = without_windows(model)
    moe_ep = moe_ep or 1
    moe_tp = moe_tp or max(1, tp // moe_ep)
    if model.experts and moe_ep > model.experts:
        raise InputError("moe_ep", moe_ep, f"at most the {model.experts} experts of {model.name}")
    return Deployment(
        model, part, runs, int(tp), int(pp), int(attention_dp), int(moe_tp), int(moe_ep),
        linear, cache_name, experts, fabric,
    )  # fmt: skip


def with_engine(d: Deployment, **constants: Any) -> Deployment:
    """Return a deployment whose engine has other constants (for calibration and what-ifs)."""
    known = {f.name for f in fields(Engine)}
    for name in constants:
        if name not in known:
            raise InputError("constant", name, "a constant of an engine", known)
    return replace(d, engine=replace(d.engine, **constants))
