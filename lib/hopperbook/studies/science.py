"""What the chapter on scientific computing computes: kernels part by part, dynamic programming, a shared day."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from hopperbook import facts, hpc
from hopperbook.customer import Customer

#: A code that streams memory, and dense linear algebra: keys of ``data/constants/hpc.yaml``.
STREAMS, DENSE = "7-point stencil", "HPL-like (DGEMM)"
#: The part and the GPUs that a customer's hours of scientific work are stated for.
STATED_GPU, STATED_GPUS = "H100 SXM", 8
SLOPE_SHARE = 0.9  # of the compute roof, below which a kernel counts as bound by bandwidth


def compared(gpu: str) -> tuple[str, ...]:
    """Return the parts to compare: those that the book draws, and the customer's own.

    Parameters
    ----------
    gpu : str
        Name of the customer's part.

    Returns
    -------
    tuple of str
        Names, each once.

    Examples
    --------
    >>> compared("H100 NVL")
    ('A100 SXM 80GB', 'H100 SXM', 'H200 SXM', 'H100 NVL')
    """
    return tuple(dict.fromkeys((*facts.drawn(), gpu)))


def kernel_rates(gpus: Sequence[str]) -> pd.DataFrame:
    """Lay out what every kernel reaches on every part.

    Parameters
    ----------
    gpus : sequence of str
        Names of parts.

    Returns
    -------
    DataFrame
        FLOP/s, one row a kernel in the order of ``data/constants/hpc.yaml``, one column a part.

    Examples
    --------
    >>> round(float(kernel_rates(["H200 SXM"]).loc[STREAMS, "H200 SXM"]) / 1e12, 2)
    2.08
    """
    rates = pd.DataFrame(hpc.kernel_rates(list(gpus)))
    return rates.pivot(index="kernel", columns="gpu", values="flop_per_s").loc[list(hpc.constants()["kernels"])]


def gain(rates: pd.DataFrame, kernel: str, new: str, old: str) -> float:
    """Divide what a kernel reaches on one part by what it reaches on another.

    Parameters
    ----------
    rates : DataFrame
        From :func:`kernel_rates`.
    kernel : str
        A row of it.
    new, old : str
        Columns of it.

    Returns
    -------
    float
        Times as fast.

    Examples
    --------
    >>> round(gain(kernel_rates(["H100 SXM", "H200 SXM"]), STREAMS, "H200 SXM", "H100 SXM"), 2)
    1.43
    """
    return float(rates.loc[kernel, new] / rates.loc[kernel, old])


def ridge_flop_per_byte(gpu: str) -> float:
    r"""Find the intensity from which a part computes on its FP64 vector units rather than waits for its memory.

    .. math:: I^* = \frac{\eta_c P}{\eta_b B}

    Parameters
    ----------
    gpu : str
        Name of the part, of peak P and bandwidth B; both roofs as measured.

    Returns
    -------
    float
        FLOP a byte.

    Notes
    -----
    Source: ``williams-2009-roofline``.

    Examples
    --------
    >>> round(ridge_flop_per_byte("H100 SXM"), 1)
    10.7
    """
    part = facts.gpu(gpu)
    bandwidth = part.memory_bandwidth_bytes_per_s * hpc.constants()["efficiency"]["bandwidth"]["value"]
    return float(hpc.attainable_flop_per_s(part, np.inf)) / bandwidth


def vector_kernels(gpu: str) -> pd.DataFrame:
    """Place the kernels that use vector units on the roofline of a part.

    Parameters
    ----------
    gpu : str
        Name of the part.

    Returns
    -------
    DataFrame
        ``label intensity tflop_per_s slope``: FLOP a byte, TFLOP/s reached, and whether it lies on the slope, where
        only bandwidth counts.

    Examples
    --------
    >>> points = vector_kernels("H200 SXM")
    >>> points[~points.slope].label.tolist()
    ['Lennard-Jones forces']
    """
    vector = {name: kernel for name, kernel in hpc.constants()["kernels"].items() if kernel["units"] == "vector"}
    rates = kernel_rates([gpu])[gpu]
    points = pd.DataFrame(
        {
            "label": [name.split(" (")[0] for name in vector],
            "intensity": [float(kernel["flop_per_byte"]) for kernel in vector.values()],
            "tflop_per_s": [float(rates[name]) / 1e12 for name in vector],
        }
    )
    peak = facts.gpu(gpu).dense_flop_per_s["fp64"] / 1e12
    points["slope"] = points.tflop_per_s < SLOPE_SHARE * hpc.constants()["efficiency"]["vector"]["value"] * peak
    return points


class Step(NamedTuple):
    """A column of :func:`kernel_table` that holds one part over the one drawn before it."""

    column: str
    new: str
    old: str


def steps() -> list[Step]:
    """Name the steps from each part that the book draws to the next.

    Returns
    -------
    list of Step
        Column, and both parts' short names.

    Examples
    --------
    >>> [step.column for step in steps()]
    ['h100_a100', 'h200_h100']
    """
    short = [facts.gpu(gpu).short for gpu in facts.drawn()]
    return [Step(f"{new}_{old}".lower(), new, old) for old, new in zip(short, short[1:], strict=False)]


def kernel_table(gpus: Sequence[str]) -> pd.DataFrame:
    """Lay out what kernels reach part by part, what each step from part to part gains, and what binds on the newest.

    Parameters
    ----------
    gpus : sequence of str
        Names of parts, from :func:`compared`.

    Returns
    -------
    DataFrame
        ``kernel``; TFLOP/s, one column a part, named as :func:`headings` says; the columns of :func:`steps`; ``bound``.

    Examples
    --------
    >>> list(kernel_table(compared("H100 SXM")))
    ['kernel', 'A100', 'H100', 'H200', 'h100_a100', 'h200_h100', 'bound']
    """
    rates, names = kernel_rates(gpus), headings(gpus)
    table = pd.DataFrame({"kernel": rates.index, **{names[gpu]: rates[gpu].to_numpy() / 1e12 for gpu in gpus}})
    for step in steps():
        table[step.column] = table[step.new] / table[step.old]
    newest = {row["kernel"]: row["bound"] for row in hpc.kernel_rates([facts.drawn()[-1]])}
    table["bound"] = table.kernel.map(newest)
    return table


def headings(gpus: Sequence[str]) -> dict[str, str]:
    """Name parts as columns: those drawn by their short names, others in full.

    Parameters
    ----------
    gpus : sequence of str
        Names of parts.

    Returns
    -------
    dict of str
        Heading by part.

    Examples
    --------
    >>> headings(["H100 SXM", "H100 NVL"])
    {'H100 SXM': 'H100', 'H100 NVL': 'H100 NVL'}
    """
    return {gpu: facts.gpu(gpu).short if gpu in facts.drawn() else gpu for gpu in gpus}


def cell_updates(gpus: Sequence[str]) -> pd.DataFrame:
    """Lay out the speed of dynamic programming on parts, with what they have and in software.

    Parameters
    ----------
    gpus : sequence of str
        Names of parts.

    Returns
    -------
    DataFrame
        ``gpu dpx``, and cell updates a second: ``smith_waterman``, ``software`` (the same without DPX) and
        ``floyd_warshall``.

    Examples
    --------
    >>> cells = cell_updates(["A100 SXM 80GB", "H100 SXM"])
    >>> (cells.smith_waterman / 1e12).round(2).tolist()
    [1.94, 5.71]
    """
    rows = []
    for part in map(facts.gpu, gpus):
        sms, clock_hz = part.sms, part.boost_clock_hz
        rows.append(
            {
                "gpu": part.name,
                "dpx": part.dpx,
                "smith_waterman": hpc.cell_updates_per_s(sms, clock_hz, part.dpx),
                "software": hpc.cell_updates_per_s(sms, clock_hz, False),
                "floyd_warshall": hpc.cell_updates_per_s(sms, clock_hz, part.dpx, kernel="floyd-warshall"),
            }
        )
    return pd.DataFrame(rows)


class DpxGain(NamedTuple):
    """How many times as fast the first part with DPX is as the first without, and where that comes from."""

    new: str
    old: str
    smith_waterman: float
    clock: float
    dpx: float
    floyd_warshall: float


def dpx_gain(cells: pd.DataFrame) -> DpxGain:
    r"""Split the gain in sequence alignment into more multiprocessors at a higher clock, and DPX itself.

    .. math:: \frac{r_\mathrm{new}}{r_\mathrm{old}} = \frac{s_\mathrm{new}}{s_\mathrm{old}} \cdot
              \frac{r_\mathrm{new}}{s_\mathrm{new}}

    with s the rate in software.

    Parameters
    ----------
    cells : DataFrame
        From :func:`cell_updates`, a part with DPX and one without among them.

    Returns
    -------
    DpxGain
        Ratios of rates.

    Examples
    --------
    >>> found = dpx_gain(cell_updates(["A100 SXM 80GB", "H100 SXM"]))
    >>> round(found.smith_waterman, 1), round(found.clock * found.dpx, 1)
    (2.9, 2.9)
    """
    new, old = cells[cells.dpx].iloc[0], cells[~cells.dpx].iloc[0]
    return DpxGain(
        new=facts.gpu(new.gpu).short,
        old=facts.gpu(old.gpu).short,
        smith_waterman=float(new.smith_waterman / old.smith_waterman),
        clock=float(new.software / old.software),
        dpx=float(new.smith_waterman / new.software),
        floyd_warshall=float(new.floyd_warshall / old.floyd_warshall),
    )


class Day(NamedTuple):
    """A day of one fleet: hours of scientific work, of serving and between, and what is used of all GPU hours."""

    science_hours: float
    serving_hours: float
    idle_hours: float
    used_fraction: float
    free_gpu_hours: float

    @property
    def fits(self) -> bool:
        """Whether the scientific work fits beside serving."""
        return self.science_hours <= self.idle_hours


def day(customer: Customer, gpu: str, gpus: int) -> Day:
    r"""Split a day of a fleet between serving and scientific work.

    .. math:: h = h_8 \cdot s \cdot 8 / n

    Parameters
    ----------
    customer : Customer
        Hours of scientific work a day as eight H100 SXM need them, h_8; load of serving.
    gpu : str
        The fleet's part; s is :func:`hopperbook.hpc.slowdown`.
    gpus : int
        GPUs, n.

    Returns
    -------
    Day
        Hours a day.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> lab = default().model_copy(update={"hpc_hours_per_day": 10.0})
    >>> day(lab, "H100 SXM", 16).science_hours
    5.0
    """
    slow = hpc.slowdown(facts.gpu(gpu), STATED_GPU) * STATED_GPUS / gpus
    science, serving = customer.hpc_hours_per_day * slow, 24 * customer.busy_fraction
    shared = hpc.shared_day(min(science, 24.0), serving, gpus)
    idle = 24 * (1 - customer.busy_fraction)
    return Day(science, serving, idle, shared["used_fraction"], shared["free_gpu_hours"])


def check() -> pd.DataFrame:
    """Hold predictions against measurements of parts that nothing was fitted to.

    Returns
    -------
    DataFrame
        ``what predicted measured unit source error``; the source is a key of ``data/references.bib``, the error a
        fraction of what was measured.

    Examples
    --------
    >>> check()[["predicted", "measured", "unit", "error"]].round(2).values.tolist()
    [[4.56, 5.01, 'TCUPS', -0.09], [3468.0, 3614.6, 'GB/s', -0.04]]
    """
    fixed, measured = hpc.constants(), facts.table("hpc")
    (card, known), *_ = fixed["check"].items()
    cells = hpc.cell_updates_per_s(known["sms"], known["boost_clock_hz"], known["dpx"])
    part, efficiency = facts.gpu("GH200"), fixed["efficiency"]["bandwidth"]["value"]
    read = measured[measured.gpu.str.startswith(part.name) & measured.conditions.fillna("").str.contains("read")].iloc[
        0
    ]
    rows = [
        (f"Smith-Waterman, {card}", cells / 1e12, known["measured_tcups"], "TCUPS", known["source"]),
        (
            f"Copy, {part.name} 96 GB",
            part.memory_bandwidth_bytes_per_s * efficiency / 1e9,
            float(read.value) / 1e9,
            "GB/s",
            read.source,
        ),
    ]
    frame = pd.DataFrame(rows, columns=["what", "predicted", "measured", "unit", "source"])
    frame["error"] = frame.predicted / frame.measured - 1
    return frame
