"""How well a kernel table predicts shapes it does not hold: a quarter of its shapes left out and estimated again."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from hopperbook import facts
from hopperbook.kernels.fill import krige, place
from hopperbook.kernels.roofline import ROOFLINES, chip
from hopperbook.kernels.tables import FAMILIES, file_of, measured

#: Columns that make a shape: all rows that share them are left out together, as a new layer's shape would be.
SHAPE = {
    "gemm": ["n", "k"],
    "context": ["batch", "tokens", "heads"],
    "generation": ["batch", "tokens", "heads"],
    "moe": ["hidden", "ffn", "top_k", "experts", "tokens"],
    "mla_context": ["batch", "tokens", "heads"],
    "mla_generation": ["batch", "tokens", "heads"],
    "mla_bmm": ["tokens", "heads"],
    "quantise": ["m", "k"],
    "collective": ["op", "gpus", "bytes"],
}
TABLES = [(e, f) for e in ("trtllm", "vllm", "nccl") for f in FAMILIES]


def holdout(engine: str, family: str, gpu_name: str, most: int = 2000) -> pd.DataFrame:
    """Leave a quarter of a table's measured shapes out and estimate them from the rest.

    Parameters
    ----------
    engine, family, gpu_name : str
        Which table.
    most : int
        Rows to estimate at most, evenly taken.

    Returns
    -------
    DataFrame
        ``measured`` and ``predicted`` seconds; empty where there is no table.
    """
    path = file_of(engine, family, gpu_name)
    if not path.exists():
        return pd.DataFrame({"measured": [], "predicted": []})
    rows = pq.read_table(path).to_pandas()
    rows = rows[rows.measured].reset_index(drop=True)
    keys, axes = (list(part) for part in FAMILIES[family])
    code = rows.groupby(SHAPE[family], sort=True).ngroup().to_numpy()
    out = np.random.default_rng(0).permutation(code.max() + 1)[code] % 4 == 0
    share = max(1, int(out.sum() / most))
    part, found = chip(facts.gpu(gpu_name)), []
    for number, (key, grid) in enumerate(rows.groupby(keys)):
        left_out = out[grid.index]
        if number % share and family == "moe" or left_out.sum() == 0 or (~left_out).sum() < 4:
            continue
        named = dict(zip(keys, key, strict=True))
        roof = ROOFLINES[family](part, **named, **{a: grid[a].to_numpy(float) for a in axes})
        residual = np.log(grid.seconds.to_numpy(float) / roof)
        where = place(grid, family, bool(named.get("mha")))
        asked = np.flatnonzero(left_out)[:: 1 if family == "moe" else share]
        estimate = krige(where[~left_out], residual[~left_out], where[asked])
        found.append(
            pd.DataFrame({"measured": grid.seconds.to_numpy(float)[asked], "predicted": roof[asked] * np.exp(estimate)})
        )
    return pd.concat(found, ignore_index=True)


def answers() -> pd.DataFrame:
    """Hold out every table and return the estimates as answers of kind ``kernel``.

    Returns
    -------
    DataFrame
        The columns of :func:`hopperbook.evidence.predict`, with ``file`` and ``split``.
    """
    tables = []
    for engine, family in TABLES:
        for gpu in measured():
            found = holdout(engine, family, gpu)
            if len(found):
                name = f"kernel/latency_ms/{family}"
                tables.append(found.assign(family=name, gpu=gpu, file=f"kernels/{engine}"))
    table = pd.concat(tables, ignore_index=True)
    return table.assign(
        kind="kernel", quantity="latency_ms", error=table.predicted / table.measured - 1, split="judge", note=""
    )
