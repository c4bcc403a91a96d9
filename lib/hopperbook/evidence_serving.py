"""Answers to rows that measure serving: offline throughput, and TTFT, TPOT and throughput at a concurrency."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from hopperbook import facts, models, serving, simulation, transformer
from hopperbook.errors import InputError
from hopperbook.evidence import cell, number

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
        The quantities, ``note``, ``family`` and ``beyond``.
    """
    lines = []
    for row in rows.to_dict("records"):
        line: dict[str, Any] = {q: np.nan for q in quantities} | {"note": "", "family": "serving", "beyond": False}
        try:
            line |= _answer(row)
        except InputError as problem:
            line["note"] = str(problem)
        lines.append({k: line.get(k, np.nan) for k in (*quantities, "note", "family", "beyond")})
    return pd.DataFrame(lines, index=rows.index)


def _whole(row: dict[str, str], column: str, default: int | None = None) -> int | None:
    value = number(row, column, default, whole=True, least=1)
    return None if value is None else int(value)


def model_of(row: dict[str, str]) -> transformer.Model:
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
              ffn: int | None, vocab: int | None) -> transformer.Model:  # fmt: skip
    return transformer.from_shape(
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
    return "vLLM", version, "engine not stated: vLLM"


@lru_cache(maxsize=2048)
def _deployment(
    model: transformer.Model, gpu: str, tp: int, pp: int, dp: int, moe_tp: int | None, moe_ep: int | None,
    precision: str, kv: str, moe: str, engine: str, version: str, fabric: str
) -> serving.Deployment:  # fmt: skip
    return serving.deploy(
        model, gpu, tp=tp, pp=pp, attention_dp=dp, moe_tp=moe_tp, moe_ep=moe_ep, precision=precision or None,
        kv_precision=kv or None, moe_precision=moe or None, engine_name=engine, engine_version=version,
        fabric=fabric or "ndr",
    )  # fmt: skip


def _layout(row: dict[str, str], model: transformer.Model) -> tuple[int, int, int, int, str]:
    """Return (tensor parallel ranks, pipeline stages, attention replicas, replicas of the whole, note)."""
    gpus, tp, pp = _whole(row, "gpus"), _whole(row, "tp"), _whole(row, "pp", 1) or 1
    dp = _whole(row, "attention_dp", 1) or 1
    note = ""
    if tp is None:
        tp = max(1, (gpus or 1) // pp)
    if model.experts and gpus and gpus < tp * pp and gpus % pp == 0:
        note = f"tp {tp} read as {gpus // pp} from gpus"
        tp = gpus // pp
    if model.experts and dp > 1 and gpus == tp * dp * pp:
        tp = tp * dp  # tp counts the ranks of one attention replica
    gpus = gpus or tp * pp
    if gpus % (tp * pp):
        raise InputError("gpus", gpus, f"a multiple of tp x pp = {tp * pp}")
    return tp, pp, dp, gpus // (tp * pp), note


def _answer(row: dict[str, str]) -> dict[str, Any]:
    model = model_of(row)
    gpu = facts.gpu(cell(row, "gpu"))
    tp, pp, dp, replicas, note = _layout(row, model)
    engine, version, said = _software(row)
    asked_input, asked_output = _whole(row, "input_tokens"), _whole(row, "output_tokens")
    for column, value in (("input_tokens", asked_input), ("output_tokens", asked_output)):
        if value is None:
            raise InputError(column, "", "a whole number of at least 1")
    precision = transformer.precision_name(cell(row, "precision", model.precision))
    if precision == "fp8_block" and not model.experts:
        precision, note = "fp8", "; ".join(filter(None, [note, "fp8_block read as fp8 on a dense model"]))
    moe = cell(row, "moe_precision") if model.experts else ""
    d = _deployment(
        model, gpu.name, tp, pp, dp, _whole(row, "moe_tp") if _positive(row, "moe_tp") else None,
        _whole(row, "moe_ep") if _positive(row, "moe_ep") else None, precision, cell(row, "kv_precision"), moe, engine,
        version, cell(row, "fabric"),
    )  # fmt: skip
    notes = [note, said, f"{d.engine.name} tables"]
    if not cell(row, "kv_precision"):
        notes.append(f"KV cache taken as {d.kv_precision}")
    beyond = serving.reference_name(gpu) != gpu.name
    if serving.kv_capacity_tokens(d, asked_input + asked_output) < asked_input + asked_output:
        raise InputError(
            "gpu",
            cell(row, "gpu"),
            f"more memory: {model.name} in {d.precision} and one request do not fit {tp * pp} of it",
        )
    concurrency = _whole(row, "concurrency")
    ratio = number(row, "length_ratio", 1.0, least=0.0) or 1.0
    requests = _whole(row, "requests")
    moe_or_dense = "moe" if model.experts else "dense"
    family = f"serving/{'online' if concurrency else 'offline'}/{d.engine.name}/{moe_or_dense}"
    line: dict[str, Any] = {"family": family, "beyond": beyond}
    if concurrency is None:
        if requests:
            loop = simulation.closed_loop(
                d,
                -(-requests // replicas),
                asked_input,
                asked_output,
                requests=-(-requests // replicas),
                length_ratio=ratio,
            )
            line["output_tokens_per_s"] = replicas * loop.output_tokens_per_s
        else:
            rate, batch = serving.offline(d, asked_input, asked_output)
            line["output_tokens_per_s"] = replicas * rate
            notes.append(f"batch {batch}")
    else:
        users = -(-concurrency // replicas)
        loop = simulation.closed_loop(
            d,
            users,
            asked_input,
            asked_output,
            requests=None if requests is None else -(-requests // replicas),
            length_ratio=ratio,
        )
        line |= {"ttft_ms": 1e3 * loop.ttft_s, "tpot_ms": 1e3 * loop.tpot_s}
        line["output_tokens_per_s"] = replicas * loop.output_tokens_per_s
        if loop.waiting_for_memory:
            notes.append("requests wait for KV memory")
    line["note"] = "; ".join(filter(None, notes))
    return line


def _positive(row: dict[str, str], column: str) -> bool:
    value = number(row, column, 0, whole=True, least=0)
    return bool(value)
