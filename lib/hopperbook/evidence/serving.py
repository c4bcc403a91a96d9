"""Answers to rows that measure serving: offline throughput, and TTFT, TPOT and throughput at a concurrency."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from hopperbook import facts, models, serving
from hopperbook.errors import InputError
from hopperbook.evidence.beyond import own_family, serving_beyond, together
from hopperbook.evidence.intervals import beyond_exponent, uneven_answers
from hopperbook.evidence.rows import answered, cell, number
from hopperbook.kernels import engine_words
from hopperbook.serving.engines import version_number

#: Largest loads that are simulated event by event.
MOST = {"concurrency": 20_000, "requests": 200_000}
_SHAPE = ("layers", "hidden", "heads", "kv_heads", "head_dim", "ffn", "vocab")


def predict_serving(rows: pd.DataFrame, quantities: list[str]) -> pd.DataFrame:
    """Answer serving rows: with a concurrency by the closed loop, without one by the offline maximum.

    Parameters
    ----------
    rows : DataFrame
        Text cells.
    quantities : list of str
        Of ``output_tokens_per_s``, ``ttft_ms`` and ``tpot_ms``.

    Returns
    -------
    DataFrame
        The quantities, ``note``, ``family`` and ``wider``.
    """

    def answer(row: dict[str, str]) -> dict[str, Any]:
        line = _answer(row)
        if not cell(row, "concurrency") and {"ttft_ms", "tpot_ms"} & set(quantities):
            line["note"] += "; ttft_ms and tpot_ms need a concurrency"
        return line

    return answered(rows, quantities, "serving", answer)


def _whole(row: dict[str, str], column: str, default: int | None = None) -> int | None:
    value = number(row, column, default, whole=True, least=1)
    return None if value is None else int(value)


def model_of(row: dict[str, str]) -> models.Model:
    """Return the model a row means: by its shape columns where they are filled, else by name.

    Raises
    ------
    InputError
        If neither a known name nor ``layers, hidden, heads`` is given.
    """
    name = cell(row, "model")
    if cell(row, "layers") and cell(row, "hidden") and cell(row, "heads"):
        size = {c: _whole(row, c) for c in _SHAPE}
        return _by_shape(name or "shape", cell(row, "gated").lower() in ("yes", "true", "1"), *size.values())
    if not name:
        raise InputError("model", "", "a Hugging Face id, a short name, or the columns layers, hidden, heads")
    return models.load(name)


@lru_cache(maxsize=1024)
def _by_shape(name: str, gated: bool, layers: int, hidden: int, heads: int, kv: int | None, dim: int | None,
              ffn: int | None, vocab: int | None) -> models.Model:  # fmt: skip
    return models.from_shape(
        layers, hidden, heads, kv_heads=kv, head_dim=dim, ffn=ffn, vocab=vocab or 0, gated=gated, name=name
    )


def _software(row: dict[str, str]) -> tuple[str, str, str]:
    """Return (engine, version, note)."""
    text = cell(row, "engine") or cell(row, "software")
    version = cell(row, "engine_version")
    low = text.lower()
    for key, name in (("tensorrt", "TensorRT-LLM"), ("trt", "TensorRT-LLM"), ("sglang", "SGLang"), ("vllm", "vLLM")):
        if key in low:
            rest = low.split(key, 1)[1].replace("-llm", "").strip(" _-v")
            return name, version or rest.split(" ")[0], ""
    if text:
        raise InputError("engine", text, "TensorRT-LLM, vLLM or SGLang", ["TensorRT-LLM", "vLLM", "SGLang"])
    return "vLLM", version, "engine not stated: we assume vLLM"


@lru_cache(maxsize=2048)
def _deployment(
    model: models.Model, gpu: str, tp: int, pp: int, dp: int, moe_tp: int | None, moe_ep: int | None,
    precision: str, kv: str, moe: str, engine: str, version: str, date: str, fabric: str, bridged: bool
) -> serving.Deployment:  # fmt: skip
    part = facts.gpu(gpu) if bridged else replace(facts.gpu(gpu), nvlink_gpus=1)
    return serving.deploy(
        model, part, tp=tp, pp=pp, attention_dp=dp, moe_tp=moe_tp, moe_ep=moe_ep, precision=precision or None,
        kv_precision=kv or None, moe_precision=moe or None, engine_name=engine, engine_version=version,
        engine_date=date, fabric=fabric or "ndr",
    )  # fmt: skip


def _layout(row: dict[str, str], model: models.Model) -> tuple[int, int, int, int, str]:
    """Return (tensor parallel ranks, pipeline stages, attention replicas, replicas of the whole, note)."""
    gpus, tp, pp = _whole(row, "gpus"), _whole(row, "tp"), _whole(row, "pp", 1) or 1
    dp = _whole(row, "attention_dp", 1) or 1
    note = ""
    if tp is None:
        tp = max(1, (gpus or 1) // pp)
    if model.experts and gpus and gpus < tp * pp and gpus % pp == 0:
        note = f"tp {tp} assumed to be {gpus // pp}, from gpus"
        tp = gpus // pp
    if model.experts and dp > 1 and gpus == tp * dp * pp:
        tp = tp * dp  # tp counts the ranks of one attention replica
    gpus = gpus or tp * pp
    if gpus % (tp * pp):
        raise InputError("gpus", gpus, f"a multiple of tp x pp = {tp * pp}")
    return tp, pp, dp, gpus // (tp * pp), note


@dataclass(frozen=True)
class Load:
    """What one row asks: a deployment, how many replicas of it, and the load on them."""

    deployment: serving.Deployment
    replicas: int
    input_tokens: int
    output_tokens: int
    concurrency: int | None
    requests: int | None
    length_ratio: float
    step_tokens: int | None
    note: str

    @property
    def requests_each(self) -> int | None:
        """Requests of one replica, where the run says how many it had."""
        return None if self.requests is None else -(-self.requests // self.replicas)

    def loop(self, deployment: serving.Deployment | None = None) -> serving.Loop:
        """Run the closed loop of one replica (of another deployment, if given)."""
        users = self.concurrency or self.requests or 1
        return serving.closed_loop(
            deployment or self.deployment,
            -(-users // self.replicas),
            self.input_tokens,
            self.output_tokens,
            requests=self.requests_each,
            length_ratio=self.length_ratio,
            step_tokens=self.step_tokens,
        )


def resolve(row: dict[str, str]) -> Load:
    """Work out what a row asks.

    Parameters
    ----------
    row : dict of str
        Text cells by column.

    Returns
    -------
    Load
        The deployment and its load.

    Raises
    ------
    InputError
        If a cell is missing, unknown or impossible; the error names the column.
    """
    model = model_of(row)
    gpu = facts.gpu(cell(row, "gpu"))
    tp, pp, dp, replicas, note = _layout(row, model)
    engine, version, said = _software(row)
    bridged, optional = _bridge(row, gpu, tp)
    date = "" if version_number(version) else cell(row, "date")[:7]
    if not version_number(version):
        said = "; ".join(
            filter(None, [said, f"version not stated: we assume {'the newest of ' + date if date else 'the newest'}"])
        )
    sizes = {}
    for column in ("input_tokens", "output_tokens"):
        value = _whole(row, column)
        if value is None:
            raise InputError(column, "", "a whole number of at least 1")
        sizes[column] = value
    precision = cell(row, "precision") and models.precision_name(cell(row, "precision"))
    if precision == "fp8_block" and not model.experts and engine != "vLLM":
        precision, note = "fp8", "; ".join(filter(None, [note, "fp8_block treated as fp8 on a dense model"]))
    d = _deployment(
        model, gpu.name, tp, pp, dp, _positive(row, "moe_tp"), _positive(row, "moe_ep"), precision,
        cell(row, "kv_precision"), cell(row, "moe_precision") if model.experts else "", engine, version, date,
        cell(row, "fabric"), bridged,
    )  # fmt: skip
    need = sizes["input_tokens"] + sizes["output_tokens"]
    if serving.kv_capacity_tokens(d, need) < need:
        allowed = (
            f"more memory: {model.name} in {d.precision} and one request of {need:,} tokens do not fit {tp * pp} of it"
        )
        raise InputError("gpu", cell(row, "gpu"), allowed)
    concurrency, requests = _whole(row, "concurrency"), _whole(row, "requests")
    for column, count in (("concurrency", concurrency), ("requests", requests)):
        if count and count / replicas > MOST[column]:
            raise InputError(column, count, f"at most {MOST[column]:,} a replica, which is what is simulated")
    if concurrency is None and requests is None:
        requests = serving.published_requests(cell(row, "source"), sizes["input_tokens"], sizes["output_tokens"])
    notes = [note, said, optional, f"we used the constants of {engine_words(d.engine.name)}"]
    if d.gpu.stand_in["serving"]:
        notes.append(f"{d.gpu.name} is timed by {d.gpu.kernels_of}")
    if not cell(row, "kv_precision"):
        notes.append(f"KV cache assumed in {d.kv_precision.upper()}")
    budget = _whole(row, "step_tokens")
    if budget is None and concurrency:
        users = -(-concurrency // replicas)
        budget = serving.published_budget(cell(row, "source"), d, sizes["input_tokens"], users)
        if budget:
            notes.append("each step assumed to read one prompt and to write a token for every other request")
    return Load(
        d, replicas, sizes["input_tokens"], sizes["output_tokens"], concurrency, requests,
        min(number(row, "length_ratio", 1.0) or 1.0, 1.0), budget, "; ".join(filter(None, notes)),
    )  # fmt: skip


def _bridge(row: dict[str, str], gpu: facts.GPU, tp: int) -> tuple[bool, str]:
    """Return whether NVLink joins a row's cards, and what to say where the row does not: a bridge is optional."""
    text = cell(row, "nvlink").lower()
    if text not in ("", "yes", "no"):
        raise InputError("nvlink", text, "yes or no", ("yes", "no"))
    open_ = not text and tp > 1 and gpu.form == "PCIe" and gpu.nvlink_gpus == 2
    return text != "no", "we assume a bridge between the cards" if open_ else ""


def _positive(row: dict[str, str], column: str) -> int | None:
    value = number(row, column, 0, whole=True, least=0)
    return int(value) if value else None


def _answer(row: dict[str, str]) -> dict[str, Any]:
    load = resolve(row)
    d = load.deployment
    reasons = serving_beyond(d, load.input_tokens)
    if "version not stated" in load.note:
        reasons["the engine's version is not stated"] = beyond_exponent()
    if "a bridge" in load.note:
        reasons["whether a bridge joins the cards is not stated"] = beyond_exponent()
    line: dict[str, Any] = {
        "family": f"serving/{'online' if load.concurrency else 'offline'}/{own_family(d)}",
        "wider": together(reasons),
        "near": d.gpu.stand_in["serving"],
    }
    notes = [load.note, *(f"wider range: {reason}" for reason in reasons if "is timed by" not in reason)]
    if load.concurrency is None:
        if d.model.experts and d.engine.tuned_experts and not (_positive(row, "moe_tp") or _positive(row, "moe_ep")):
            d = serving.fastest_layout(d, load.input_tokens, load.output_tokens, load.requests_each)
            notes.append(
                f"layout of the experts not stated: we took the fastest, moe_tp {d.moe_tp}, moe_ep {d.moe_ep}, "
                f"attention_dp {d.attention_dp}"
            )
        rate, batch = serving.offline(d, load.input_tokens, load.output_tokens, load.requests_each)
        if load.requests:
            notes.append(f"{load.requests:,} requests sent at once")
        line["output_tokens_per_s"] = load.replicas * rate
        notes.append(f"{batch} requests run at once")
    else:
        loop = load.loop()
        line["output_tokens_per_s"] = load.replicas * loop.output_tokens_per_s
        line |= {"ttft_ms": 1e3 * loop.ttft_s, "tpot_ms": 1e3 * loop.tpot_s if load.output_tokens > 1 else np.nan}
        if load.output_tokens == 1:
            notes.append("an answer of one token has no time between tokens")
        if d.engine.prefill_first and load.length_ratio == 1.0:
            line["reach"] = min(1.0, replace(load, length_ratio=uneven_answers()).loop().ttft_s / loop.ttft_s)
            notes.append("the first token is that of users in lockstep, its range also that of users who are not")
        if loop.waiting_for_memory and load.concurrency:
            notes.append("requests wait for room in the KV cache")
    return line | {"note": "; ".join(notes)}
