"""Scientific computing: FP64 kernels on a roofline, dynamic programming with and without DPX, and a shared day."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hopperbook import facts
from hopperbook.errors import InputError


@functools.cache
def constants() -> dict[str, Any]:
    """Return ``data/constants/hpc.yaml``: kernels, efficiencies and instructions a cell, with their sources.

    Returns
    -------
    dict
        As in the file.

    Examples
    --------
    >>> constants()["kernels"]["7-point stencil"]["flop_per_byte"]
    0.5
    """
    return facts.read_yaml("constants/hpc.yaml")


def peak_flop_per_s(gpu: facts.GPU, units: str) -> float:
    """Return the FP64 peak of a kind of unit.

    Parameters
    ----------
    gpu : GPU
        The part.
    units : str
        ``vector`` or ``tensor``.

    Returns
    -------
    float
        FLOP/s.

    Raises
    ------
    InputError
        If the kind is unknown.

    Examples
    --------
    >>> peak_flop_per_s(facts.gpu("A100 SXM"), "tensor") / 1e12
    19.5
    """
    if units not in ("vector", "tensor"):
        raise InputError("units", units, "vector or tensor", ["vector", "tensor"])
    return gpu.dense_flop_per_s["fp64" if units == "vector" else "fp64_tensor"]


def attainable_flop_per_s(
    gpu: facts.GPU, flop_per_byte: ArrayLike, units: str = "vector", *, measured: bool = True
) -> NDArray[np.float64]:
    r"""Rate a kernel can reach: the lower of the compute roof and the bandwidth roof.

    .. math:: \min(\eta_c P,\; \eta_b B I)

    Parameters
    ----------
    gpu : GPU
        The part.
    flop_per_byte : float or array
        Arithmetic intensity, I.
    units : str
        ``vector`` or ``tensor``.
    measured : bool
        Roofs as measured (copy bandwidth, HPL) rather than as printed.

    Returns
    -------
    float or array
        FLOP/s.

    Notes
    -----
    Source: ``williams-2009-roofline``.

    Examples
    --------
    >>> round(float(attainable_flop_per_s(facts.gpu("H200 SXM"), 0.5)) / 1e12, 2)
    2.08
    """
    efficiency = constants()["efficiency"]
    compute = peak_flop_per_s(gpu, units) * (efficiency[units]["value"] if measured else 1.0)
    bandwidth = gpu.memory_bandwidth_bytes_per_s * (efficiency["bandwidth"]["value"] if measured else 1.0)
    return np.minimum(compute, bandwidth * np.asarray(flop_per_byte, dtype=float))[()]


def kernel_rates(gpus: list[str]) -> list[dict[str, Any]]:
    """Rate of every kernel on every GPU, and what binds it.

    Parameters
    ----------
    gpus : list of str
        Names of GPUs.

    Returns
    -------
    list of dict
        ``kernel, gpu, flop_per_s, bound`` ("bandwidth" or "compute"), ``flop_per_byte``, ``units``.

    Examples
    --------
    >>> rates = kernel_rates(["H100 SXM", "H200 SXM"])
    >>> {r["bound"] for r in rates if r["kernel"] == "STREAM triad"}
    {'bandwidth'}
    """
    rows = []
    for name, kernel in constants()["kernels"].items():
        for gpu in map(facts.gpu, gpus):
            intensity, units = float(kernel["flop_per_byte"]), kernel["units"]
            rate = float(attainable_flop_per_s(gpu, intensity, units))
            roof = float(attainable_flop_per_s(gpu, np.inf, units))
            bound = "compute" if rate >= roof else "bandwidth"
            rows.append({"kernel": name, "gpu": gpu.name, "flop_per_s": rate, "bound": bound})
            rows[-1] |= {"flop_per_byte": intensity, "units": units}
    return rows


def cell_updates_per_s(sms: float, clock_hz: float, dpx: bool, *, kernel: str = "smith-waterman") -> float:
    r"""Rate of dynamic programming in cell updates a second.

    .. math:: \frac{\mathrm{SMs} \cdot f \cdot \mathrm{lanes}}{\mathrm{instructions\ a\ cell}}

    Parameters
    ----------
    sms : float
        Streaming multiprocessors.
    clock_hz : float
        Boost clock, f.
    dpx : bool
        Whether the part runs DPX instructions in hardware.
    kernel : str
        ``smith-waterman`` (16-bit cells, affine gaps) or ``floyd-warshall`` (32-bit cells).

    Returns
    -------
    float
        Cell updates a second.

    Raises
    ------
    InputError
        If the kernel is unknown.

    Notes
    -----
    Source: ``schmidt-2024-cudasw4`` for Smith-Waterman; instructions of Floyd-Warshall are counted, not measured.

    Examples
    --------
    >>> h100 = facts.gpu("H100 SXM")
    >>> round(cell_updates_per_s(h100.sms, h100.boost_clock_hz, h100.dpx) / 1e12, 2)
    5.71
    """
    table = constants()["dynamic_programming"]
    lanes = table["lanes_per_sm"]["value"]
    if kernel == "smith-waterman":
        instructions = table["with_dpx" if dpx else "without_dpx"]["instructions_per_cell"]
    elif kernel == "floyd-warshall":
        instructions = table["floyd_warshall_with" if dpx else "floyd_warshall_without"]["instructions_per_cell"]
        lanes /= 2
    else:
        raise InputError("kernel", kernel, "smith-waterman or floyd-warshall", ["smith-waterman", "floyd-warshall"])
    return sms * clock_hz * lanes / instructions


def slowdown(gpu: facts.GPU, reference: str = "H100 SXM") -> float:
    r"""Time that a mix of scientific work takes on a part, over its time on a reference part.

    .. math:: \sqrt{\frac{s_\mathrm{ref}}{s} \cdot \frac{a_\mathrm{ref}}{a}}

    with s the rate of a stencil and a that of sequence alignment.

    Parameters
    ----------
    gpu : GPU
        The part.
    reference : str
        The part that hours are stated for.

    Returns
    -------
    float
        1 on the reference; the geometric mean of a bandwidth-bound stencil and of sequence alignment.

    Examples
    --------
    >>> slowdown(facts.gpu("H100 SXM")), round(slowdown(facts.gpu("A100 SXM")), 1)
    (1.0, 2.2)
    """

    def rates(part: facts.GPU) -> tuple[float, float]:
        cells = cell_updates_per_s(part.sms, part.boost_clock_hz, part.dpx)
        return float(attainable_flop_per_s(part, constants()["kernels"]["7-point stencil"]["flop_per_byte"])), cells

    ours, theirs = rates(gpu), rates(facts.gpu(reference))
    return float(np.sqrt(theirs[0] / ours[0] * theirs[1] / ours[1]))


def shared_day(hpc_hours: float, serving_hours: float, gpus: int) -> dict[str, float]:
    """Split a day of one server between scientific work and serving, whole GPUs at a time.

    Parameters
    ----------
    hpc_hours : float
        Hours a day that scientific work needs the whole server.
    serving_hours : float
        Hours a day that serving needs the whole server.
    gpus : int
        GPUs of the server.

    Returns
    -------
    dict of float
        ``used_fraction`` of the GPU hours, ``free_gpu_hours``, and ``servers`` needed if the two must not share.

    Raises
    ------
    InputError
        If hours are outside a day.

    Examples
    --------
    >>> round(shared_day(10, 7.2, 8)["used_fraction"], 3)  # 17.2 of 24 hours
    0.717
    """
    for name, hours in (("hpc_hours", hpc_hours), ("serving_hours", serving_hours)):
        if not 0 <= hours <= 24:
            raise InputError(name, hours, "0 to 24 hours a day")
    used = hpc_hours + serving_hours
    return {
        "used_fraction": used / 24,
        "free_gpu_hours": gpus * max(0.0, 24 - used),
        "servers": float(max(1, -(-used // 24))),
    }
