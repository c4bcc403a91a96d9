"""Answers to rows that name a benchmark of one card or server: copies, sustained products, HPL, alignment, NCCL."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from hopperbook import facts, hpc, kernels
from hopperbook.errors import InputError
from hopperbook.evidence.rows import answered, cell, number, plain_gpu
from hopperbook.kernels import collectives

#: What a unit of the table is in SI.
UNITS = {"GB/s": 1e9, "TB/s": 1e12, "TFLOPS": 1e12, "TFLOP/s": 1e12, "TCUPS": 1e12, "GCUPS": 1e9}
#: Message of a published bus bandwidth whose size is not stated: 8 GiB, where bandwidth no longer grows.
LARGE_MESSAGE_BYTES = 8 * 2**30


def _copy(gpu: facts.GPU, row: dict[str, str]) -> float:
    del row
    return gpu.memory_bandwidth_bytes_per_s * hpc.constants()["efficiency"]["bandwidth"]["value"]


def _hpl(gpu: facts.GPU, row: dict[str, str]) -> float:
    count = number(row, "gpus", 1, whole=True, least=1) or 1
    return count * float(hpc.attainable_flop_per_s(gpu, np.inf, "tensor"))


def _vector(gpu: facts.GPU, row: dict[str, str]) -> float:
    share = hpc.constants()["efficiency"]["vector"]["value"]
    return share * gpu.dense_flop_per_s["fp32" if "fp32" in _words(row) else "fp64"]


def _matmul(gpu: facts.GPU, row: dict[str, str]) -> float:
    """Return the best rate over large shapes, as such a search would find it."""
    size = 2.0 ** np.arange(11, 16)
    m, n, k = np.meshgrid(size[size <= 8192], size, size)
    precision = "fp8" if "fp8" in _words(row) else "bf16"
    return float(np.max(2 * m * n * k / kernels.gemm_s(gpu, precision, m, n, k).seconds))


def _alignment(gpu: facts.GPU, row: dict[str, str]) -> float:
    del row
    return hpc.cell_updates_per_s(gpu.sms, gpu.boost_clock_hz, gpu.dpx)


def _bus(gpu: facts.GPU, row: dict[str, str]) -> float:
    op = re.search(r"all_?reduce|all_?gather|reduce_?scatter|all_?to_?all", _words(row))
    if op is None:
        raise InputError("benchmark", cell(row, "benchmark"), "an all-reduce, all-gather or reduce-scatter")
    name = {"allreduce": "all_reduce", "allgather": "all_gather", "reducescatter": "reduce_scatter"}.get(
        op.group().replace("_", ""), "all_to_all"
    )
    gpus = number(row, "gpus", 2, whole=True, least=2) or 2
    nodes = number(row, "nodes", 1, whole=True, least=1) or 1
    fabric = (cell(row, "fabric") or "InfiniBand 3200 Gb/s") if nodes > 1 else None
    times = collectives.collective_s(
        name, LARGE_MESSAGE_BYTES, gpus, gpu, engine="nccl", fabric=fabric, gpus_per_node=-(-int(gpus) // int(nodes))
    )
    return float(collectives.bus_bandwidth(name, LARGE_MESSAGE_BYTES, float(times.seconds), gpus))


#: A pattern in the benchmark's name, conditions or metric, and the calculator that answers; the first match is taken.
BENCHMARKS: tuple[tuple[str, Callable[[facts.GPU, dict[str, str]], float]], ...] = (
    (r"smith-waterman", _alignment),
    (r"hpl(?!-mxp)", _hpl),
    (r"nccl", _bus),
    (r"d2d|coalesced|stream|device copy", _copy),
    (r"matmul|gemm", _matmul),
    (r"opencl.*fp(64|32)", _vector),
)


def _words(row: dict[str, str]) -> str:
    return " ".join(cell(row, c) for c in ("benchmark", "conditions", "metric")).lower()


def _part(name: str) -> facts.GPU:
    """Return the part that a benchmark's habit of naming means ("GH200 480GB (96 GB HBM3)")."""
    return facts.gpu(plain_gpu(name))


def predict_hpc(rows: pd.DataFrame, quantities: list[str]) -> pd.DataFrame:
    """Answer rows of ``benchmark, conditions, metric, value, unit, gpu, gpus, nodes``.

    Parameters
    ----------
    rows : DataFrame
        Text cells.
    quantities : list of str
        ``["value"]``.

    Returns
    -------
    DataFrame
        ``value`` in the row's own unit, ``note``, ``family`` and ``wider``.
    """
    return answered(rows, quantities, "benchmark", _answer)


def _answer(row: dict[str, str]) -> dict[str, Any]:
    known = [calculate for pattern, calculate in BENCHMARKS if re.search(pattern, _words(row))]
    if not known:
        raise InputError("benchmark", cell(row, "benchmark"), "one that a calculator here answers")
    if cell(row, "unit") not in UNITS:
        raise InputError("unit", cell(row, "unit"), "one of " + ", ".join(UNITS), UNITS)
    line: dict[str, Any] = {"value": known[0](_part(cell(row, "gpu")), row) / UNITS[cell(row, "unit")]}
    if known[0] in (_copy, _hpl, _vector, _alignment):
        line["note"] = "its constant is read from one published run of this kind (data/constants/hpc.yaml)"
    return line
