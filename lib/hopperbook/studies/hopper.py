"""What is new in Hopper: parts side by side, and one matrix of a model on their rooflines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from hopperbook import evidence, facts, kernels, planner, serving, units
from hopperbook.customer import Customer
from hopperbook.errors import InputError
from hopperbook.evidence.beyond import serving_band
from hopperbook.models import Linear, Model, cache_bytes, linear_layers, load, weight_bytes

PREFILL_TOKENS = 8192  # rows of a product when a prompt is read
RATE_ROWS = (1, 4, 16, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
TABLE_ROWS = (16, 128, 1024, 8192)
SQUARES = (4096.0, 8192.0, 16384.0)  # rows m of the products m × 8,192 × 8,192 that are held to published rates
SQUARE_SIDE = 8192
ELEMENT_BYTES = {"bf16": 2.0, "fp8": 1.0}
OUTPUT_BYTES = 2.0


def widest_matrix(model: Model) -> Linear:
    """Return the largest matrix of a layer.

    Parameters
    ----------
    model : Model
        The model.

    Returns
    -------
    Linear
        On one GPU; the head does not count.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> widest = widest_matrix(load("meta-llama/Llama-3.1-8B"))
    >>> widest.name, widest.k, widest.n
    ('gate_up', 4096, 28672)
    """
    return max((w for w in linear_layers(model) if w.name != "lm_head"), key=lambda w: w.k * w.n)


def product_flop_per_s(gpu: str | facts.GPU, precision: str, rows: ArrayLike, matrix: Linear) -> NDArray[np.float64]:
    r"""Return the rate at which a product runs.

    .. math:: R = 2 m n k / t

    Parameters
    ----------
    gpu : str or GPU
        The part.
    precision : str
        ``bf16`` or ``fp8``.
    rows : float or array
        Rows m of x[m, k].
    matrix : Linear
        The weights w[k, n].

    Returns
    -------
    ndarray
        FLOP/s.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> widest = widest_matrix(load("meta-llama/Llama-3.1-8B"))
    >>> round(float(product_flop_per_s("H100 SXM", "bf16", 8192, widest)) / 1e12)
    723
    """
    m = np.asarray(rows, float)
    return 2.0 * m * matrix.n * matrix.k / kernels.gemm_s(gpu, precision, m, matrix.n, matrix.k).seconds


class Gain(NamedTuple):
    """How many times as fast one part runs a product of a prefill as another.

    ``arithmetic`` is in BF16, with its 80 % range ``low`` to ``high``; ``printed`` the ratio of the dense peaks;
    ``mixed`` the sparse peak of the one over the dense peak of the other; ``fp8`` what FP8 adds on the newer part.
    """

    arithmetic: float
    low: float
    high: float
    printed: float
    mixed: float
    fp8: float


def arithmetic_gain(new: facts.GPU, old: facts.GPU, matrix: Linear) -> Gain:
    """Compare two parts on a product of a prefill.

    Parameters
    ----------
    new, old : GPU
        The parts; the newer has FP8 units.
    matrix : Linear
        The weights.

    Returns
    -------
    Gain
        Times as fast.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> widest = widest_matrix(load("meta-llama/Llama-3.1-8B"))
    >>> round(arithmetic_gain(facts.gpu("H100 SXM"), facts.gpu("A100 SXM"), widest).arithmetic, 2)
    2.75
    """
    low, high = evidence.interval("kernel/latency_ms/gemm")
    rate, before = (float(product_flop_per_s(gpu, "bf16", PREFILL_TOKENS, matrix)) for gpu in (new, old))
    eight = float(product_flop_per_s(new, "fp8", PREFILL_TOKENS, matrix))
    gain, dense = rate / before, old.dense_flop_per_s["bf16"]
    printed, mixed = new.dense_flop_per_s["bf16"] / dense, new.sparse_flop_per_s["bf16"] / dense
    return Gain(gain, gain * (low / high), gain * (high / low), printed, mixed, eight / rate)


def ridge_rows(gpu: facts.GPU) -> float:
    r"""Return the rows above which a product in BF16 computes rather than reads its weights.

    .. math:: m = P / B \cdot 2\,\mathrm{B} / 2\,\mathrm{FLOP}

    Parameters
    ----------
    gpu : GPU
        The part.

    Returns
    -------
    float
        Rows.

    Examples
    --------
    >>> round(ridge_rows(facts.gpu("H100 SXM")))
    295
    """
    return gpu.dense_flop_per_s["bf16"] / gpu.memory_bandwidth_bytes_per_s


def parts_table(names: tuple[str, ...]) -> pd.DataFrame:
    """Set parts side by side, peaks dense.

    Parameters
    ----------
    names : tuple of str
        Names of parts.

    Returns
    -------
    DataFrame
        ``gpu arch``; ``bf16 fp8 fp64t`` in TFLOP/s; ``mem`` in GB, ``memt``; ``bw`` in TB/s; ``link`` in GB/s each
        way, ``joined``; ``w`` in watts; ``l2`` in MiB.

    Examples
    --------
    >>> parts_table(("H100 SXM", "H200 SXM")).set_index("gpu").bw.tolist()
    [3.35, 4.8]
    """
    return pd.DataFrame([_part_row(facts.gpu(name)) for name in names])


def _part_row(gpu: facts.GPU) -> dict[str, Any]:
    """Return a part as a row of the table."""
    dense = gpu.dense_flop_per_s
    return {
        "gpu": gpu.name,
        "arch": f"{gpu.architecture}, {gpu.sms} SMs",
        "bf16": dense["bf16"] / 1e12,
        "fp8": dense.get("fp8", np.nan) / 1e12,
        "fp64t": dense.get("fp64_tensor", np.nan) / 1e12,
        "mem": gpu.memory_gb,
        "memt": gpu.memory_type,
        "bw": gpu.memory_bandwidth_bytes_per_s / 1e12,
        "link": gpu.nvlink_bytes_per_s_per_direction / 1e9,
        "joined": f"{gpu.nvlink_gpus} joined",
        "w": gpu.tdp_w,
        "l2": gpu.l2_bytes / units.MIB,
    }


def roofs(names: Sequence[str], precision: str = "bf16") -> pd.DataFrame:
    """Return the two limits of each part as printed: dense arithmetic in one format, and memory.

    Parameters
    ----------
    names : sequence of str
        Names of parts.
    precision : str
        A format of the part's dense peaks.

    Returns
    -------
    DataFrame
        ``gpu peak_tflop_per_s bandwidth_tb_per_s``.

    Examples
    --------
    >>> roofs(["H200 SXM"]).bandwidth_tb_per_s.tolist(), roofs(["H100 SXM"], "fp64").peak_tflop_per_s.tolist()
    ([4.8], [33.5])
    """
    parts = [facts.gpu(name) for name in names]
    return pd.DataFrame(
        {
            "gpu": list(names),
            "peak_tflop_per_s": [part.dense_flop_per_s[precision] / 1e12 for part in parts],
            "bandwidth_tb_per_s": [part.memory_bandwidth_bytes_per_s / 1e12 for part in parts],
        }
    )


def roofline_points(gpu: facts.GPU, matrix: Linear, rows: dict[str, float]) -> pd.DataFrame:
    r"""Put products of one matrix on a roofline.

    .. math:: I = \frac{2 m k n}{2 (k n + m k) + 2 m n}

    Parameters
    ----------
    gpu : GPU
        The part.
    matrix : Linear
        The weights, in BF16 as everything here.
    rows : dict
        Rows m by label.

    Returns
    -------
    DataFrame
        ``label``, ``intensity`` in FLOP a byte, ``tflop_per_s``.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> widest = widest_matrix(load("meta-llama/Llama-3.1-8B"))
    >>> roofline_points(facts.gpu("H100 SXM"), widest, {"decode, 1 user": 1}).intensity.round(3).tolist()
    [1.0]
    """
    k, n, size = matrix.k, matrix.n, ELEMENT_BYTES["bf16"]
    return pd.DataFrame(
        {
            "label": label,
            "intensity": 2.0 * m * k * n / (size * (k * n + m * k) + OUTPUT_BYTES * m * n),
            "tflop_per_s": float(product_flop_per_s(gpu, "bf16", m, matrix)) / 1e12,
        }
        for label, m in rows.items()
    )


def peak_shares(names: tuple[str, ...], matrix: Linear) -> pd.DataFrame:
    """Return how near products in BF16 come to a part's dense peak, by their rows.

    Parameters
    ----------
    names : tuple of str
        Names of parts.
    matrix : Linear
        The weights.

    Returns
    -------
    DataFrame
        ``x`` (rows), ``y`` (% of the peak), ``series`` (the part).

    Examples
    --------
    >>> from hopperbook.models import load
    >>> shares = peak_shares(("H100 SXM",), widest_matrix(load("meta-llama/Llama-3.1-8B")))
    >>> round(shares.y.max())
    80
    """
    return pd.DataFrame(
        {"x": m, "y": 100 * float(product_flop_per_s(name, "bf16", m, matrix)) / peak, "series": name}
        for name, peak in ((name, facts.gpu(name).dense_flop_per_s["bf16"]) for name in names)
        for m in RATE_ROWS
    )


class Reach(NamedTuple):
    """Rows at which a part passes half of its peak (None: never), and the most that it reaches, %."""

    half_rows: int | None
    top_percent: float


def reaches(shares: pd.DataFrame) -> dict[str, Reach]:
    """Return how near each part comes to its peak.

    Parameters
    ----------
    shares : DataFrame
        From :func:`peak_shares`.

    Returns
    -------
    dict of str to Reach
        By name of the part, in the order of the shares.

    Examples
    --------
    >>> reaches(pd.DataFrame({"x": [1, 64, 512], "y": [1.0, 40.0, 70.0], "series": "H100 SXM"}))
    {'H100 SXM': Reach(half_rows=512, top_percent=70.0)}
    """
    found = {}
    for name, line in shares.groupby("series", sort=False):
        half = line[line.y > 50].x
        found[str(name)] = Reach(int(half.iloc[0]) if len(half) else None, float(line.y.max()))
    return found


def rates_table(names: tuple[str, ...], matrix: Linear) -> pd.DataFrame:
    """Return the rates of products by format, rows and part.

    Parameters
    ----------
    names : tuple of str
        Names of parts.
    matrix : Linear
        The weights.

    Returns
    -------
    DataFrame
        ``format rows`` and a column a part, by its short name, TFLOP/s; NaN where a part lacks the format.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> table = rates_table(("A100 SXM 80GB",), widest_matrix(load("meta-llama/Llama-3.1-8B")))
    >>> table.A100.isna().tolist()
    [False, False, False, False, True, True, True, True]
    """
    parts = [facts.gpu(name) for name in names]
    rows = [(precision, m) for precision in ELEMENT_BYTES for m in TABLE_ROWS]
    rates: dict[str, Any] = {"format": [p.upper() for p, _ in rows], "rows": [m for _, m in rows]}
    for part in parts:
        rates[part.short] = [
            float(product_flop_per_s(part, p, m, matrix)) / 1e12 if p in part.dense_flop_per_s else np.nan
            for p, m in rows
        ]
    return pd.DataFrame(rates)


def decode_read_bytes(customer: Customer, precision: str, kv_precision: str, users: int) -> float:
    """Return the bytes of weights and cache that a decode step reads.

    Parameters
    ----------
    customer : Customer
        Model and lengths; half of the answer is written on average.
    precision, kv_precision : str
        Formats of weights and cache.
    users : int
        Sequences that decode together.

    Returns
    -------
    float
        Bytes, on all GPUs of a replica.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> round(decode_read_bytes(default(), "fp8", "fp8", 64) / 1e9, 1)
    155.9
    """
    model = load(customer.model)
    return weight_bytes(model, precision) + users * float(cache_bytes(model, customer.decoding_tokens, kv_precision))


def read_s(gpu: facts.GPU, read_bytes: float, gpus: int = 1) -> float:
    r"""Return the seconds that reading takes at the printed bandwidth.

    .. math:: t = V / (n B)

    Parameters
    ----------
    gpu : GPU
        The part.
    read_bytes : float
        Bytes on all GPUs together.
    gpus : int
        GPUs that share them.

    Returns
    -------
    float
        Seconds.

    Examples
    --------
    >>> round(1e3 * read_s(facts.gpu("H100 SXM"), 67e9, 2), 2)
    10.0
    """
    return read_bytes / gpus / gpu.memory_bandwidth_bytes_per_s


def newer_parts(than: str) -> tuple[str, ...]:
    """Return the parts that run the same kernels and compute more, in the order of ``data/gpus.yaml``.

    Parameters
    ----------
    than : str
        Name of a part.

    Returns
    -------
    tuple of str
        Names.

    Examples
    --------
    >>> newer_parts("H200 SXM")
    ('B200 SXM', 'B300 SXM', 'GB200', 'GB300')
    """
    least = facts.gpu(than).dense_flop_per_s["bf16"]
    names = (str(row["name"]) for row in facts.records("gpus"))
    return tuple(n for n in names if facts.gpu(n).cuda and facts.gpu(n).dense_flop_per_s["bf16"] > least)


def context_table(customer: Customer, names: Sequence[str], row: planner.Configuration) -> pd.DataFrame:
    """Time one replica of the plan on other parts, with ranges that grow where another part's kernels time them.

    Parameters
    ----------
    customer : Customer
        Model, lengths and market.
    names : sequence of str
        Names of parts.
    row : Configuration
        Whose layout, formats and requests in flight are taken.

    Returns
    -------
    DataFrame
        ``gpu by``; dense peaks ``fp8 fp4`` in TFLOP/s; ``mem`` in GB; ``bw`` in TB/s; ``prefill`` (milliseconds of a
        prompt) and ``token`` (milliseconds of a decode step), ``usd`` (a rented GPU-hour), each with its ends.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> shop = default()
    >>> table = context_table(shop, ["H200 SXM", "B200 SXM"], planner.plan(shop).explained)
    >>> (table.token_high / table.token).round(2).tolist()  # measured, and by another generation's kernels
    [1.13, 1.19]
    """
    return pd.DataFrame([_context_row(customer, facts.gpu(name), row) for name in names])


def _context_row(customer: Customer, gpu: facts.GPU, row: planner.Configuration) -> dict[str, Any]:
    """Return one part of the table."""
    model, users = load(customer.model), max(1, int(row.users))
    weights = planner.counterpart(row.precision, gpu, model)
    d = serving.deploy(model, gpu, tp=int(row.tp), precision=weights, kv_precision=row.kv_precision)
    found: dict[str, Any] = {
        "gpu": gpu.name,
        "by": f"by {gpu.kernels_of}" if gpu.stand_in["serving"] else "measured",
        "fp8": gpu.dense_flop_per_s.get("fp8", np.nan) / 1e12,
        "fp4": gpu.dense_flop_per_s.get("fp4", np.nan) / 1e12,
        "mem": gpu.memory_gb,
        "bw": gpu.memory_bandwidth_bytes_per_s / 1e12,
    }
    times = {
        "prefill": (serving.prefill_s(d, customer.prompt_tokens), serving_band(d, "ttft_ms")),
        "token": (serving.decode_step_s(d, users, customer.decoding_tokens), serving_band(d, "tpot_ms")),
    }
    for name, (seconds, band) in times.items():
        ends = {name: 1.0, name + "_low": band.low, name + "_high": band.high}
        found |= {key: 1e3 * float(seconds) * factor for key, factor in ends.items()}
    try:
        price = facts.price(gpu.name, customer.market)
    except InputError:
        return found | dict.fromkeys(("usd", "usd_low", "usd_high"), np.nan)
    return found | {"usd": price.typical, "usd_low": price.low, "usd_high": price.high}


def published_blackwell() -> pd.DataFrame:
    """Set published offline throughput of Blackwell parts beside predictions by Hopper's kernels.

    Returns
    -------
    DataFrame
        ``gpu gpus model``; ``predicted measured`` in thousand output tokens a second of all, ``low`` and ``high``,
        ``error``; ``source``, a key. One GPU holds a replica.

    Notes
    -----
    Source: ``azure-2025-gb200-mlperf``, ``ainews247-2025-mlperf``.

    Examples
    --------
    >>> check = published_blackwell()
    >>> bool((check.error.abs() < 0.2).all()), len(check)
    (True, 2)
    """
    rows = []
    for run in facts.records("blackwell"):
        d = serving.deploy(
            load(run["model"]), run["gpu"], precision=run["precision"], kv_precision=run["kv_precision"],
            engine_name=run["engine"],
        )  # fmt: skip
        rate, _ = serving.offline(d, run["input_tokens"], run["output_tokens"], run["requests"] // run["gpus"])
        made, band = rate * run["gpus"] / 1e3, serving_band(d, "tpot_ms")
        rows.append((run["gpu"], run["gpus"], run["model"], made, run["output_tokens_per_s"] / 1e3, made / band.high,
                     made / band.low, run["source"]))  # fmt: skip
    table = pd.DataFrame(rows, columns=["gpu", "gpus", "model", "predicted", "measured", "low", "high", "source"])
    return table.assign(error=table.predicted / table.measured - 1)


def published_rates() -> pd.DataFrame:
    """Set our best product of three sizes beside the best sustained rate that others published, part by part.

    Returns
    -------
    DataFrame
        ``gpu format``; ``predicted`` and ``measured`` in TFLOP/s; ``source``, a key; ``error`` of the prediction.

    Notes
    -----
    Source: ``stas-ml-engineering``.

    Examples
    --------
    >>> check = published_rates()
    >>> check[["gpu", "format"]].iloc[0].tolist(), round(float(check.error.abs().median()), 2)
    (['A100 SXM 80GB', 'BF16'], 0.06)
    """
    held = facts.table("hpc")
    rows = []
    for published in held[held.benchmark == "MAMF matmul"].itertuples():
        try:
            gpu = facts.gpu(published.gpu)
        except InputError:
            continue
        precision = "fp8" if "FP8" in published.conditions else "bf16"
        if precision in gpu.dense_flop_per_s:
            value = float(published.value)
            rows.append(
                {
                    "gpu": gpu.name,
                    "format": precision.upper(),
                    "predicted": _best_square_flop_per_s(gpu, precision) / 1e12,
                    "measured": value / (1e12 if value > 1e6 else 1),
                    "source": str(published.source),
                }
            )
    table = pd.DataFrame(rows)
    return table.assign(error=table.predicted / table.measured - 1)


def _best_square_flop_per_s(gpu: facts.GPU, precision: str) -> float:
    """Return the best rate of the three sizes."""
    m = np.array(SQUARES)
    seconds = kernels.gemm_s(gpu, precision, m, SQUARE_SIDE, SQUARE_SIDE).seconds
    return float(np.max(2 * m * SQUARE_SIDE * SQUARE_SIDE / seconds))
