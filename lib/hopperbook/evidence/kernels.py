"""Answers to rows that time one kernel or one collective."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from hopperbook import facts, kernels
from hopperbook.errors import InputError
from hopperbook.evidence.intervals import beyond_exponent
from hopperbook.evidence.rows import answered, cell, number, plain_gpu
from hopperbook.kernels import collectives, fill, tables
from hopperbook.kernels.tables import FAMILIES, grids, scaled

_READERS: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "gemm": fill.gemm,
    "context": fill.context,
    "generation": fill.generation,
    "moe": fill.moe,
    "mla_context": fill.mla,
    "mla_generation": fill.mla,
    "mla_bmm": fill.mla_bmm,
    "quantise": fill.quantise,
    "collective": fill.collective,
}
_NUMBERS = (
    "m", "n", "k", "batch_size", "isl", "step", "num_heads", "num_key_value_heads", "head_dim", "window_size",
    "num_tokens", "hidden_size", "inter_size", "topk", "num_experts", "moe_tp_size", "moe_ep_size", "num_gpus",
    "message_size",
)  # fmt: skip
_MAY_BE_ZERO = ("step", "window_size")
_NEEDS = {
    "gemm": ("gemm_dtype", "m", "n", "k"),
    "quantise": ("m", "k"),
    "moe": ("num_tokens", "hidden_size", "inter_size", "topk", "num_experts"),
    "collective": ("num_gpus", "message_size"),
    "mla": ("num_heads", "batch_size", "isl", "kv_cache_dtype", "gemm_type"),
    "mla_bmm": ("num_tokens", "num_heads", "op_name"),
    "attention": ("batch_size", "isl", "num_heads", "num_key_value_heads", "head_dim"),
}


def predict_kernel(rows: pd.DataFrame, quantities: list[str]) -> pd.DataFrame:
    """Answer kernel rows: which family each is follows from the columns it fills.

    Parameters
    ----------
    rows : DataFrame
        Text cells with the columns of the published kernel tables.
    quantities : list of str
        ``["latency_ms"]``.

    Returns
    -------
    DataFrame
        ``latency_ms``, ``note``, ``family`` and ``wider``.
    """
    del quantities
    result = pd.DataFrame({"latency_ms": np.nan, "note": "", "family": "kernel", "wider": 1.0}, index=rows.index)
    table, problem = _numbers(rows)
    table, family = _families(table, problem)
    gpu, bad_gpu = _gpus(rows)
    problem = problem.where(problem != "", bad_gpu)
    engine = _engines(rows)
    answered = problem == ""
    result.loc[~answered, "note"] = problem[~answered]
    groups = pd.DataFrame({"family": family, "gpu": gpu, "engine": engine})[answered]
    for (name, part, engine_), group in groups.groupby(["family", "gpu", "engine"]):
        _answer_family(result, table.loc[group.index], str(name), str(part), str(engine_))
    return result


def _numbers(rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.Series]:
    table, problem = rows.copy(), pd.Series("", index=rows.index)
    for column in (c for c in _NUMBERS if c in rows):
        value = pd.to_numeric(rows[column], errors="coerce")
        least = 0 if column in _MAY_BE_ZERO else 1
        wrong = (rows[column] != "") & ~(np.isfinite(value) & (value >= least))
        text = rows[column].map(repr).str.slice(0, 40)
        what = "a number" if least == 0 else "a number of at least 1"
        problem = problem.where(~wrong | (problem != ""), column + ": " + text + " is not " + what)
        table[column] = value
    for column, default in (
        ("step", 0.0),
        ("window_size", 0.0),
        ("head_dim", 128.0),
        ("moe_tp_size", 1.0),
        ("moe_ep_size", 1.0),
    ):
        table[column] = table[column].fillna(default) if column in table else default
    return table, problem


def _families(table: pd.DataFrame, problem: pd.Series) -> tuple[pd.DataFrame, pd.Series]:
    def filled(column: str) -> pd.Series:
        return table[column].notna() & (table[column] != "") if column in table else pd.Series(False, index=table.index)

    op = table["op_name"].astype(str) if "op_name" in table else pd.Series("", index=table.index)
    decode = (table["isl"] == 1) & (table["step"] >= 1) if "isl" in table else pd.Series(False, index=table.index)
    kind = np.select(
        [filled("message_size"), op.str.startswith("mla"), filled("mla_dtype") | filled("gemm_type"), filled("topk"),
         filled("batch_size"), filled("n"), filled("k")],
        ["collective", "mla_bmm", "mla", "moe", "attention", "gemm", "quantise"], default="",
    )  # fmt: skip
    kind = pd.Series(kind, index=table.index)
    problem[(kind == "") & (problem == "")] = "no kernel is recognised by the filled columns"
    for name, needs in _NEEDS.items():
        for column in needs:
            lacks = (kind == name) & ~filled(column) & (problem == "")
            problem[lacks] = f"{column}: empty or missing, and a {name} row needs it"
    family = kind.where(kind != "attention", np.where(decode, "generation", "context"))
    family = family.where(family != "mla", np.where(decode, "mla_generation", "mla_context"))
    for column in (
        "attn_dtype",
        "kv_cache_dtype",
        "distribution",
        "kernel_source",
        "backend",
        "nccl_dtype",
        "gemm_dtype",
    ):
        if column not in table:
            table[column] = ""
    if "moe_dtype" not in table:
        table["moe_dtype"] = "float16"
    table["attn_dtype"] = table["attn_dtype"].replace("", "float16")
    table["kv_cache_dtype"] = table["kv_cache_dtype"].replace("", "float16")
    table["distribution"] = table["distribution"].replace("", "power_law_1.2")
    return table, family


def _gpus(rows: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    if "gpu" not in rows:
        return pd.Series("", index=rows.index), pd.Series("gpu: the column is missing", index=rows.index)
    names, problems = {}, {}
    for name in rows["gpu"].unique():
        try:
            names[name], problems[name] = facts.gpu(name).name, ""
        except InputError as problem:
            names[name], problems[name] = "", str(problem)
    return rows["gpu"].map(names), rows["gpu"].map(problems)


def _engines(rows: pd.DataFrame) -> pd.Series:
    said = rows["software"] if "software" in rows else pd.Series("", index=rows.index)
    if "engine" in rows:
        said = said.where(said != "", rows["engine"])
    source = rows["kernel_source"] if "kernel_source" in rows else pd.Series("", index=rows.index)
    low = said.str.lower() + " " + source.str.lower()
    fallback = "vllm" if "kernel_source" in rows else "trtllm"
    guess = np.select([low.str.contains("nccl"), low.str.contains("vllm|sglang"), low.str.contains("tensorrt|trt")],
                      ["nccl", "vllm", "trtllm"], fallback)  # fmt: skip
    return pd.Series(guess, index=rows.index)


def _reader_frame(part: pd.DataFrame, name: str, engine: str) -> pd.DataFrame:
    if name == "collective":
        size = part.message_size * np.where(part["nccl_dtype"] == "int8", 1, 2)
        op = (
            part["op_name"].replace({"alltoall": "all_to_all", "": "all_reduce"}) if "op_name" in part else "all_reduce"
        )
        if engine == "nccl":
            source = "nccl_" + part["nccl_dtype"].replace("", "half")
        else:
            source = part["backend"].replace("", "vllm_graph" if engine == "vllm" else "custom")
        return pd.DataFrame({"op": op, "source": source, "gpus": part.num_gpus, "bytes": size}, index=part.index)
    if name in ("context", "generation") and "window_size" not in part:
        part = part.assign(window_size=0)
    return _READERS[name](part)


def _answer_family(result: pd.DataFrame, part: pd.DataFrame, name: str, gpu: str, engine: str) -> None:
    frame = _reader_frame(part, name, engine)
    keys, axes = FAMILIES[name]
    device = facts.gpu(gpu)
    for column in keys:
        if frame[column].dtype.kind == "f":
            frame[column] = frame[column].astype(int)
    known = grids(engine, name, device.kernels_of)
    code = frame.groupby(list(keys), sort=False).ngroup().to_numpy()
    order = np.argsort(code, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(code[order]) > 0])
    position = [order[i:j] for i, j in zip(starts, [*starts[1:], len(order)], strict=True)]
    value = {a: frame[a].to_numpy(float) for a in axes}
    named = {k: frame[k].to_numpy() for k in keys}
    cached = part["step"].to_numpy() > 0 if name == "context" else np.zeros(len(part), bool)
    seconds, beyond = np.full(len(part), np.nan), np.zeros(len(part), bool)
    note = np.full(len(part), "", dtype=object)
    for at in position:
        key = tuple(v.item() if isinstance(v := named[k][at[0]], np.generic) else v for k in keys)
        try:
            if key in known and not cached[at].any():
                times = scaled(engine, name, device, key, [value[a][at] for a in axes])
            else:
                fields = dict(zip(keys, key, strict=True))
                times = _nearest(engine, name, device, fields, frame.iloc[at], part.iloc[at])
                note[at] = f"no table for this {name} shape on {gpu} ({engine}): we scaled the nearest"
        except InputError as problem:
            note[at] = str(problem)
            continue
        seconds[at], beyond[at] = times.seconds, times.beyond
    note[beyond & (note == "")] = "beyond the table"
    result.loc[part.index, "latency_ms"] = seconds * 1e3
    result.loc[part.index, "wider"] = np.where(beyond, beyond_exponent(), 1.0)
    result.loc[part.index, "note"] = note
    result.loc[part.index, "family"] = f"kernel/{name}"


def _nearest(
    engine: str, name: str, device: facts.GPU, key: dict[str, Any], at: pd.DataFrame, rows: pd.DataFrame
) -> tables.Times:
    tables = "trtllm" if engine == "nccl" else engine
    col = {c: at[c].to_numpy() for c in at.columns}
    if name == "gemm":
        return kernels.gemm_s(device, _precision(key["precision"]), col["m"], col["n"], col["k"], tables)
    if name in ("context", "generation"):
        kv = np.where(key["mha"], col["heads"], col["kv_heads"])
        kv_name, window = _precision(key["kv_precision"]), int(key["window"])
        if name == "generation":
            return kernels.generation_attention_s(
                device, col["batch"], col["tokens"], col["heads"], kv, int(key["head_dim"]), kv_name, window, tables
            )
        return kernels.context_attention_s(
            device, col["batch"], col["tokens"], rows["step"].to_numpy(), col["heads"], kv, int(key["head_dim"]),
            _precision(key["precision"]), kv_name, window, tables,
        )  # fmt: skip
    if name == "moe":
        k = key
        return kernels.moe_s(
            device, _precision(k["precision"]), col["tokens"], k["hidden"], k["ffn"], k["experts"], k["top_k"], k["tp"],
            k["ep"], tables, k["load"],
        )  # fmt: skip
    if name == "mla_context":
        return kernels.mla_context_s(device, col["batch"], col["tokens"], col["heads"], *_mla_formats(key))
    if name == "mla_generation":
        return kernels.mla_generation_s(device, col["batch"], col["tokens"], col["heads"], *_mla_formats(key))
    if name == "quantise":
        return kernels.quantise_s(device, col["m"], col["k"], dynamic=False)
    if name == "collective":
        return collectives.collective_s(key["op"], col["bytes"], col["gpus"], device, engine=tables)
    raise InputError("kernel", name, "a kernel measured on this GPU")


def _mla_formats(key: dict[str, Any]) -> tuple[str, str]:
    return _precision(key["kv_precision"]), _precision(key["precision"])


@cache
def _precision(name: str) -> str:
    known = {"16": "bf16", "": "bf16", "sq": "int8", "int4_wo": "int4", "int8_wo": "int8_wo", "w4afp8": "w4afp8"}
    return known.get(name, name)


def predict_collective(rows: pd.DataFrame, quantities: list[str]) -> pd.DataFrame:
    """Answer rows of nccl-tests: ``collective size_bytes gpus gpu`` and, across nodes, ``nodes`` and ``fabric``.

    Parameters
    ----------
    rows : DataFrame
        Text cells.
    quantities : list of str
        Of ``time_us``, ``algbw_GBs`` and ``busbw_GBs``.

    Returns
    -------
    DataFrame
        The quantities, ``note``, ``family`` and ``wider``.
    """
    return answered(rows, quantities, "collective", _answer_collective)


def _answer_collective(row: dict[str, str]) -> dict[str, Any]:
    op = cell(row, "collective", "all_reduce").replace("alltoall", "all_to_all")
    size, gpus = number(row, "size_bytes", least=1), number(row, "gpus", whole=True, least=2)
    if size is None or gpus is None:
        raise InputError("size_bytes" if size is None else "gpus", "", "a number")
    nodes = number(row, "nodes", 1, whole=True, least=1) or 1
    fabric, said = _fabric(cell(row, "fabric")) if nodes > 1 else (None, "")
    seconds = float(
        collectives.collective_s(
            op, size, gpus, facts.gpu(plain_gpu(cell(row, "gpu"))), engine="nccl", fabric=fabric,
            gpus_per_node=-(-int(gpus) // int(nodes)),
        ).seconds
    )  # fmt: skip
    return {
        "time_us": 1e6 * seconds,
        "algbw_GBs": size / seconds / 1e9,
        "busbw_GBs": float(collectives.bus_bandwidth(op, size, seconds, gpus)) / 1e9,
        "family": f"collective/{'node' if nodes == 1 else 'nodes'}",
        "wider": beyond_exponent() if size > 1e9 and nodes == 1 or "assume" in said else 1.0,
        "note": said,
    }


def _fabric(text: str) -> tuple[str, str]:
    """Return the fabric that a row's text means, and what to say of it; an unknown one is taken as RoCE."""
    if not text:
        return "ndr", "network not stated: we assume InfiniBand NDR"
    try:
        record = collectives.fabric_record(text)
    except InputError:
        return "roce400", f"{text[:60]} is not known: we assume RoCE, 400 Gb/s a GPU"
    measured = record["name"] in collectives.constants() or record["model"] in ("infiniband", "tcp")
    said = f"we read the network as {record['name']}"
    return record[
        "name"
    ], said if measured else f"{said}, never measured: we assume that it behaves as {record['model']}"
