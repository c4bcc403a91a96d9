"""Building ``data/kernels``: published kernel tables brought to one form, and their holes filled by local kriging.

Run with ``python -m hopperbook.kernels.fill FOLDER``, where FOLDER holds the published tables (``gemm.csv.gz`` ... of
TensorRT-LLM, and ``vllm/``).  Each grid is filled to a full box: the log residual against the roofline of a missing
cell is estimated from the nearest measured cells by ordinary kriging with an exponential covariance.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from hopperbook import facts
from hopperbook.kernels.roofline import ROOFLINES, chip
from hopperbook.kernels.tables import FAMILIES, Floats, file_of

DTYPE = {"float16": "16", "bfloat16": "16", "half": "16", "w4a16_mxfp4": "mxfp4"}
#: Distance in octaves over which a residual loses its memory, along each axis of a family.
MEMORY = {
    "gemm": (1.0, 6.0, 6.0),
    "context": (4.0, 4.0, 4.0, 8.0),
    "generation": (4.0, 4.0, 8.0, 6.0),
    "moe": (6.0,),
    "mla_context": (4.0, 4.0, 4.0),
    "mla_generation": (4.0, 4.0, 4.0),
    "mla_bmm": (6.0, 6.0),
    "quantise": (6.0, 6.0),
    "collective": (1.0, 6.0),
}


#: Axes whose points every grid of a family takes from all of them (a shape's missing token counts are filled).
SHARED_AXES = {"moe": ("tokens",)}
#: Query heads a KV head above which a grouped decode kernel no longer serves them in one pass.
LARGEST_GROUP = 16


def place(cells: pd.DataFrame, family: str, mha: bool = False) -> Floats:
    """Return where cells lie for kriging: octaves over each axis's memory; for decode attention, group and waves too.

    Parameters
    ----------
    cells : DataFrame
        The family's axes.
    family : str
        A key of ``FAMILIES``.
    mha : bool
        Every head has its own KV head.

    Returns
    -------
    array, shape (cells, d)
        Coordinates.
    """
    axes = list(FAMILIES[family][1])
    where = np.log2(cells[axes].to_numpy(float)) / np.array(MEMORY[family])
    if family != "generation":
        return where
    kv = cells["heads"] if mha else cells["kv_heads"]
    group, blocks = cells["heads"] / kv, cells["batch"] * kv
    more = [np.log2(group) / 2, np.log2(blocks) / 3, 2.0 * (group > LARGEST_GROUP)]
    return np.column_stack([where, *more])


def krige(known: Floats, value: Floats, wanted: Floats, nugget: float = 3e-3, neighbours: int = 40) -> Floats:
    r"""Estimate values at points from their nearest known ones: :math:`\min \mathrm{var}` under :math:`\sum w = 1`.

    Parameters
    ----------
    known, wanted : array, shape (n, d) and (q, d)
        Points, each axis in units of its memory.
    value : array, shape (n,)
        Known values.
    nugget : float
        Variance of measurement noise relative to the field's.
    neighbours : int
        How many known points each estimate uses.

    Returns
    -------
    array, shape (q,)
        Estimates.

    Notes
    -----
    Source: ``cressie-1993`` (ordinary kriging).

    Examples
    --------
    >>> float(np.round(krige(np.array([[0.0], [2.0]]), np.array([1.0, 3.0]), np.array([[1.0]]))[0], 6))
    2.0
    """
    k = min(neighbours, len(known))
    tree = cKDTree(known)
    result = np.empty(len(wanted))
    for start in range(0, len(wanted), 4000):
        points = wanted[start : start + 4000]
        distance, index = (a.reshape(len(points), k) for a in tree.query(points, k=k))
        near = known[index]
        matrix = np.ones((len(points), k + 1, k + 1))
        matrix[:, :k, :k] = np.exp(-np.sqrt(((near[:, :, None] - near[:, None]) ** 2).sum(-1)))
        matrix[:, range(k), range(k)] += nugget
        matrix[:, k, k] = 0.0
        right = np.concatenate([np.exp(-distance), np.ones((len(points), 1))], axis=1)
        weights = np.linalg.solve(matrix, right[:, :, None])[:, :k, 0]
        result[start : start + 4000] = (weights * value[index]).sum(1)
    return result


def _attention(rows: pd.DataFrame, generation: bool) -> pd.DataFrame:
    window = rows.get("window_size", 0)
    tokens = rows["isl"] + (rows["step"] if generation else 0)
    frame = pd.DataFrame(
        {"precision": rows.attn_dtype.replace(DTYPE), "kv_precision": rows.kv_cache_dtype.replace(DTYPE)}
    )
    mha = (rows.num_heads == rows.num_key_value_heads) & (rows.num_heads > 8)
    return frame.assign(head_dim=rows.head_dim, window=window, mha=mha, batch=rows.batch_size, tokens=tokens,
                        heads=rows.num_heads, kv_heads=rows.num_key_value_heads.where(~mha, 1))  # fmt: skip


def context(rows: pd.DataFrame) -> pd.DataFrame:
    """Bring a context-attention table to the family's columns (full multi-head attention is a grid of its own)."""
    return _attention(rows, generation=False)


def generation(rows: pd.DataFrame) -> pd.DataFrame:
    """Bring a generation-attention table to the family's columns."""
    return _attention(rows, generation=True)


def gemm(rows: pd.DataFrame) -> pd.DataFrame:
    """Bring a GEMM table to the family's columns."""
    return rows[["m", "n", "k"]].assign(precision=rows.gemm_dtype.replace(DTYPE))


def moe(rows: pd.DataFrame) -> pd.DataFrame:
    """Bring a Mixture-of-Experts table to the family's columns."""
    names = {"num_tokens": "tokens", "hidden_size": "hidden", "inter_size": "ffn", "topk": "top_k",
             "num_experts": "experts", "moe_tp_size": "tp", "moe_ep_size": "ep", "distribution": "load"}  # fmt: skip
    return rows.rename(columns=names)[list(names.values())].assign(precision=rows.moe_dtype.replace(DTYPE))


def mla(rows: pd.DataFrame) -> pd.DataFrame:
    """Bring a table of whole MLA modules to the family's columns."""
    frame = pd.DataFrame(
        {"kv_precision": rows.kv_cache_dtype.replace(DTYPE), "precision": rows.gemm_type.replace(DTYPE)}
    )
    tokens = np.where(rows.isl == 1, rows.isl + rows.step, rows.isl)
    return frame.assign(batch=rows.batch_size, tokens=tokens, heads=rows.num_heads)


def mla_bmm(rows: pd.DataFrame) -> pd.DataFrame:
    """Bring the table of MLA's batched products to the family's columns."""
    return pd.DataFrame({"op": rows.op_name, "tokens": rows.num_tokens, "heads": rows.num_heads})


def quantise(rows: pd.DataFrame) -> pd.DataFrame:
    """Bring a quantisation table to the family's columns."""
    return rows[["m", "k"]].assign(op=rows.kernel_source)


def collective(rows: pd.DataFrame) -> pd.DataFrame:
    """Bring an all-reduce or NCCL table to the family's columns; message sizes count elements."""
    dtype = rows["nccl_dtype"] if "nccl_dtype" in rows else rows["allreduce_dtype"]
    size = rows.message_size * np.where(dtype == "int8", 1, 2)
    op = rows["op_name"].replace("alltoall", "all_to_all") if "op_name" in rows else "all_reduce"
    source = "nccl_" + dtype if "op_name" in rows else rows.get("backend", pd.Series("custom", rows.index))
    return pd.DataFrame({"op": op, "source": source, "gpus": rows.num_gpus, "bytes": size}, index=rows.index)


#: (engine, family, published file, its reader)
SOURCES = (
    ("trtllm", "gemm", "gemm.csv.gz", gemm),
    ("trtllm", "context", "context_attention.csv.gz", context),
    ("trtllm", "generation", "generation_attention.csv.gz", generation),
    ("trtllm", "moe", "moe.csv.gz", moe),
    ("trtllm", "collective", "custom_allreduce.csv.gz", collective),
    ("nccl", "collective", "nccl.csv.gz", collective),
    ("vllm", "gemm", "vllm/gemm.csv.gz", gemm),
    ("vllm", "context", "vllm/context_attention.csv.gz", context),
    ("vllm", "generation", "vllm/generation_attention.csv.gz", generation),
    ("vllm", "moe", "vllm/moe.csv.gz", moe),
    ("vllm", "mla_context", "vllm/mla_context_module.csv.gz", mla),
    ("vllm", "mla_generation", "vllm/mla_generation_module.csv.gz", mla),
    ("vllm", "mla_bmm", "vllm/mla_bmm.csv.gz", mla_bmm),
    ("vllm", "quantise", "vllm/computescale.csv.gz", quantise),
    ("vllm", "quantise", "vllm/scale_matrix.csv.gz", quantise),
    ("vllm", "collective", "vllm/custom_allreduce.csv.gz", collective),
)


def fill(rows: pd.DataFrame, family: str, gpu_name: str) -> pd.DataFrame:
    """Complete every grid of a family to a full box.

    Parameters
    ----------
    rows : DataFrame
        The family's columns and ``seconds``.
    family, gpu_name : str
        Which table.

    Returns
    -------
    DataFrame
        All cells in the grids' order, with ``group`` and ``measured``.
    """
    keys, axes = FAMILIES[family]
    part = chip(facts.gpu(gpu_name))
    filled = []
    shared = {a: np.sort(rows[a].unique()) for a in SHARED_AXES.get(family, ())}
    for group, (key, grid) in enumerate(rows.groupby(list(keys), sort=True)):
        grid = grid.groupby(list(axes), as_index=False).seconds.median()
        points = [_axis(a, grid[a], shared) for a in axes]
        cells = pd.MultiIndex.from_product(points, names=axes).to_frame(index=False)
        cells = cells.merge(grid, how="left", on=list(axes))
        named = dict(zip(keys, key, strict=True))
        roof = ROOFLINES[family](part, **named, **{a: cells[a].to_numpy(float) for a in axes})
        residual = np.log(cells.seconds.to_numpy() / roof)
        missing = np.isnan(residual)
        if missing.any():
            where = place(cells, family, bool(named.get("mha")))
            known, value = where[~missing], residual[~missing]
            twin = _twin(rows, family, named)
            if len(twin):
                at = place(twin, family)
                known = np.vstack([np.c_[known, np.zeros(len(known))], np.c_[at, np.full(len(at), 0.15)]])
                where = np.c_[where, np.zeros(len(where))]
                more = ROOFLINES[family](part, **named, **{a: twin[a].to_numpy(float) for a in axes})
                value = np.r_[value, np.log(twin.seconds.to_numpy() / more)]
            residual[missing] = krige(known, value, where[missing])
        cells = cells.assign(seconds=roof * np.exp(residual), measured=~missing, group=group, **named)
        filled.append(cells)
    return pd.concat(filled, ignore_index=True)


def _axis(name: str, values: pd.Series, shared: dict[str, np.ndarray]) -> np.ndarray:
    """Return an axis's points: those measured, and those that other grids of the family have."""
    points = np.sort(values.unique())
    if name == "bytes":
        return np.union1d(points, 2 ** np.arange(np.log2(points[0]), np.log2(points[-1]) + 1).astype(np.int64))
    if name in shared:
        inner = shared[name]
        return np.union1d(points, inner[(inner >= min(points[0], 1)) & (inner <= 1.5 * points[-1])])
    return points


def _twin(rows: pd.DataFrame, family: str, named: dict[str, Any]) -> pd.DataFrame:
    """Return the same collective timed with NCCL's other number format, which moves the same bytes."""
    if family != "collective" or not str(named["source"]).startswith("nccl"):
        return rows.iloc[:0]
    same = (rows["op"] == named["op"]) & (rows["source"] != named["source"])
    return rows[same].groupby(["gpus", "bytes"], as_index=False).seconds.median()


def write(cells: pd.DataFrame, path: Path) -> None:
    """Write a filled family as a small parquet file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    small = {c: "int32" for c in cells.columns if cells[c].dtype.kind in "iu"}
    if (cells.select_dtypes("integer").max() > 2**31 - 1).any():
        small = {c: t if cells[c].max() < 2**31 else "int64" for c, t in small.items()}
    cells = cells.astype(small | {"seconds": "float32"})
    cells.to_parquet(path, compression="zstd", compression_level=19, index=False, use_byte_stream_split=["seconds"],
                     use_dictionary=[c for c in cells.columns if c != "seconds"])  # fmt: skip


def read(folder: Path, engine: str, family: str) -> pd.DataFrame:
    """Read every published table of a family in the family's columns, with ``gpu`` and ``seconds``."""
    frames = []
    for of_engine, of_family, name, reader in SOURCES:
        if (of_engine, of_family) == (engine, family) and (folder / name).exists():
            rows = pd.read_csv(folder / name)
            frames.append(reader(rows).assign(gpu=rows.gpu, seconds=rows.latency_ms / 1e3))
    return pd.concat(frames, ignore_index=True)


def main(folder: Path) -> None:
    """Build ``data/kernels`` from a folder of published tables."""
    for engine, family in dict.fromkeys(s[:2] for s in SOURCES):
        rows = read(folder, engine, family)
        for gpu, part in rows.groupby("gpu"):
            name = facts.gpu(str(gpu)).name
            cells = fill(part, family, name)
            write(cells, file_of(engine, family, name))
            print(
                f"{engine} {family} {name}: {int(cells.measured.sum())} measured, {int((~cells.measured).sum())} filled"
            )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
