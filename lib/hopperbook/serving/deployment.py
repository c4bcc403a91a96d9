"""A replica of a model as it is served: engine, parts, layout and formats, checked and completed."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from hopperbook import facts
from hopperbook.errors import InputError
from hopperbook.models import Model, linear_layers, own_format, precision_name, stored_formats, without_windows
from hopperbook.serving.engines import Engine, engine, engines, on_card


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
    adapters : int
        LoRA adapters beside the model (:func:`hopperbook.serving.with_adapters`).
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
    adapters: int = 0

    @property
    def gpus(self) -> int:
        """GPUs of the replica."""
        return self.tp * self.pp

    @property
    def weights(self) -> str:
        """The format to ask for to get these weights: the experts' own where they alone are small."""
        if (self.precision, self.moe_precision) == (self.model.precision, self.model.moe_precision):
            return own_format(self.model)
        return self.moe_precision if self.model.experts and self.moe_precision == "mxfp4" else self.precision

    @property
    def attention_tp(self) -> int:
        """GPUs that share one sequence's attention."""
        return max(1, self.tp // self.attention_dp)


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
    engine_date: str = "",
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
    engine_name, engine_version, engine_date : str
        The engine; the date (``YYYY-MM``) speaks where no version is stated.
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
    runs = engine(engine_name, engine_version, engine_date)
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
    runs = on_card(runs, part)
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


def with_engine(d: Deployment, **constants: float | str) -> Deployment:
    """Return a deployment whose engine has other constants (for calibration and what-ifs)."""
    known = {f.name for f in fields(Engine)}
    for name in constants:
        if name not in known:
            raise InputError("constant", name, "a constant of an engine", known)
    values: dict[str, Any] = {**constants}
    return replace(d, engine=replace(d.engine, **values))
