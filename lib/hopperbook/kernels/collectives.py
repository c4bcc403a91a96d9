"""Seconds of a collective: measured tables within a node, a two-level latency and bandwidth model across nodes.

Sizes are those that nccl-tests prints: the whole buffer of an all-reduce, the gathered buffer of an all-gather, the
buffer before a reduce-scatter, what one GPU sends in all of an all-to-all or point to point.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from hopperbook import facts
from hopperbook.errors import InputError
from hopperbook.kernels.engines import engine_name
from hopperbook.kernels.tables import Times, load, scaled

OPS = ("all_reduce", "all_gather", "reduce_scatter", "all_to_all", "p2p")


@cache
def constants() -> dict[str, dict[str, float]]:
    """Return the fitted constants of each kind of fabric, from ``data/constants/interconnect.yaml``."""
    return facts.read_yaml("constants/interconnect.yaml")["fabrics"]


def traffic_factor(op: str, gpus: Any) -> Any:
    r"""Bytes that a ring moves over each link for a byte of size.

    .. math:: f = 2 (g-1) / g \text{ for an all-reduce, } (g-1)/g \text{ else}

    Parameters
    ----------
    op : str
        ``all_reduce``, ``all_gather``, ``reduce_scatter``, ``all_to_all`` or ``p2p``.
    gpus : int or array
        Ranks.

    Returns
    -------
    float or array
        The factor between nccl-tests' ``algbw`` and ``busbw``.

    Raises
    ------
    InputError
        If the operation is unknown.

    Notes
    -----
    Source: ``nvidia-nccl-tests``.

    Examples
    --------
    >>> float(traffic_factor("all_reduce", 8))
    1.75
    """
    if op not in OPS:
        raise InputError("op", op, "one of " + ", ".join(OPS), OPS)
    if op == "p2p":
        return np.ones_like(np.asarray(gpus, float))[()]
    share = (np.asarray(gpus, float) - 1) / np.asarray(gpus, float)
    return ((2.0 if op == "all_reduce" else 1.0) * share)[()]


def bus_bandwidth(op: str, bytes_: Any, seconds: Any, gpus: Any) -> Any:
    """Turn a time into nccl-tests' bus bandwidth, in bytes/s.

    Parameters
    ----------
    op : str
        The collective.
    bytes_, seconds, gpus : float or array
        Size, time and ranks.

    Returns
    -------
    float or array
        Bus bandwidth in bytes/s.

    Examples
    --------
    >>> float(round(bus_bandwidth("all_reduce", 17179869184, 62648e-6, 8) / 1e9, 1))
    479.9
    """
    return np.asarray(bytes_, float) / seconds * traffic_factor(op, gpus)


def closed_form_s(algorithm: str, bytes_: Any, gpus: Any, bytes_per_s: float, hop_s: float) -> Any:
    r"""Time an all-reduce by the textbook: ring, tree, or in-switch reduction (NVLS).

    .. math:: t_\mathrm{ring} = 2(g-1)\alpha + 2\tfrac{g-1}{g}\tfrac{S}{B},\quad
              t_\mathrm{tree} = 2\lceil\log_2 g\rceil\alpha + 2\tfrac{S}{B},\quad
              t_\mathrm{nvls} = 2\alpha + \tfrac{g+1}{g}\tfrac{S}{B}

    Parameters
    ----------
    algorithm : str
        ``ring``, ``tree`` or ``nvls``.
    bytes_, gpus : float or array
        Size and ranks.
    bytes_per_s, hop_s : float
        Link bandwidth in one direction, and latency of one hop.

    Returns
    -------
    float or array
        Seconds.

    Raises
    ------
    InputError
        If the algorithm is unknown.

    Examples
    --------
    >>> round(float(closed_form_s("ring", 1e9, 8, 450e9, 1e-6)) * 1e3, 3)
    3.903
    """
    size, ranks = np.asarray(bytes_, float), np.asarray(gpus, float)
    if algorithm == "ring":
        return 2 * (ranks - 1) * hop_s + 2 * (ranks - 1) / ranks * size / bytes_per_s
    if algorithm == "tree":
        return 2 * np.ceil(np.log2(ranks)) * hop_s + 2 * size / bytes_per_s
    if algorithm == "nvls":
        return 2 * hop_s + (ranks + 1) / ranks * size / bytes_per_s
    raise InputError("algorithm", algorithm, "ring, tree or nvls", ["ring", "tree", "nvls"])


def _in_node(op: str, size: Any, gpus: Any, part: facts.GPU, engine: str) -> Times:
    if op == "p2p":
        c = constants()["nvlink"]
        link = c["efficiency"] * part.nvlink_bytes_per_s_per_direction
        return Times(c["point_to_point_s"] + size / link, np.ones(size.shape, bool))
    best = scaled("nccl", "collective", part, (op, "nccl_half"), [gpus, size])
    if op != "all_reduce" or engine == "nccl":
        return best
    for source in ("custom", "vllm_graph"):
        if (op, source) in load(engine, "collective", part.kernels_of):
            custom = scaled(engine, "collective", part, (op, source), [gpus, size])
            faster = (custom.seconds < best.seconds) & ~(custom.beyond & ~best.beyond & (size > 1e6))
            best = Times(np.where(faster, custom.seconds, best.seconds), np.where(faster, custom.beyond, best.beyond))
    return best


def _over_pcie(op: str, size: Any, gpus: Any, part: facts.GPU) -> Any:
    c = constants()["pcie"]
    steps = 1.0 if op == "p2p" else (2.0 if op == "all_reduce" else 1.0) * np.log2(np.maximum(gpus, 2.0))
    rate = c["efficiency"] * part.pcie_bytes_per_s_per_direction
    return c["start_s"] + steps * c["hop_s"] + traffic_factor(op, gpus) * size / rate


def collective_s(
    op: str,
    bytes_: Any,
    gpus: Any,
    gpu: str | facts.GPU = "H100 SXM",
    *,
    engine: str = "vllm",
    fabric: str | None = None,
    gpus_per_node: int = 8,
) -> Times:
    r"""Time a collective over GPUs of one node, or of several nodes joined by a fabric.

    .. math:: t = \alpha_f + \alpha_h \log_2 N + \gamma \frac{S/g}{S/g + S_h} + \max\!\left(t_\mathrm{node}(S),\;
              f_N \frac{S}{\eta B_\mathrm{node}}\right)

    Parameters
    ----------
    op : str
        ``all_reduce``, ``all_gather``, ``reduce_scatter``, ``all_to_all`` or ``p2p``.
    bytes_, gpus : float or array
        Size as nccl-tests prints it, and ranks; broadcast together.
    gpu : str or GPU
        The part.
    engine : str
        Whose custom all-reduce competes with NCCL's; ``"nccl"`` for NCCL alone.
    fabric : str, optional
        A name or alias of ``data/fabrics.yaml``; InfiniBand NDR if nodes must be crossed and none is named.
    gpus_per_node : int
        Ranks that one node holds.

    Returns
    -------
    Times
        Seconds, and where they lie beyond what was measured.

    Raises
    ------
    InputError
        If the operation, the part or the fabric is unknown.

    Notes
    -----
    Source: ``aiconfigurator-2025`` within a node; ``coreweave-nccl-tests``, ``skypilot-nccl-examples``,
    ``aws-awsome-distributed-training`` across nodes.

    Examples
    --------
    >>> t = collective_s("all_reduce", 2**34, 16, fabric="EFA 3200").seconds
    >>> bool(430 < bus_bandwidth("all_reduce", 2**34, float(t), 16) / 1e9 < 500)
    True
    """
    part = gpu if isinstance(gpu, facts.GPU) else facts.gpu(gpu)
    engine = engine if engine == "nccl" else engine_name(engine)
    traffic_factor(op, gpus)  # refuses an unknown operation before anything else
    size, ranks = np.broadcast_arrays(np.asarray(bytes_, float), np.asarray(gpus, float))
    inside = np.minimum(ranks, gpus_per_node)
    node, beyond = _inside(op, size, inside, part, engine)
    nodes = np.maximum(np.ceil(ranks / gpus_per_node), 1.0)
    if np.any(nodes > 1):
        link = fabric_record(fabric or "ndr")
        c = constants()[link["model"]]
        node_rate = min(c["efficiency"] * link["node_bytes_per_s"], c.get("limit_bytes_per_s", np.inf))
        rate = node_rate / 8 * np.maximum(inside, 1.0)
        inter = _crossing(op, size, ranks, nodes) / rate
        fill = c["fill_s"] * size / (size + c["half_bytes"])
        start = c["start_s"] + c["hop_s"] * np.log2(nodes)
        if op == "p2p":
            across = c["hop_s"] + size / (c["efficiency"] * link["port_bytes_per_s"])
        else:
            stream = np.maximum(_stream(op, size, inside, part), inter)
            across = start + fill + stream
        node = np.where(nodes > 1, across, node)
        beyond = beyond | (nodes > 1)
    alone = (ranks <= 1) & (op != "p2p")
    return Times(np.where(alone, 0.0, node), beyond & ~alone)


def _stream(op: str, size: Any, inside: Any, part: facts.GPU) -> Any:
    """Seconds the node's own links need once the pipeline is full (no start-up)."""
    large = np.full_like(size, 512e6)
    seconds = _inside(op, large, inside, part, "vllm")[0]
    return np.where(inside > 1, seconds * size / large, 0.0)


def _inside(op: str, size: Any, inside: Any, part: facts.GPU, engine: str) -> Times:
    linked = (inside <= part.nvlink_gpus) & (part.nvlink_bytes_per_s_per_direction > 0)
    pcie = _over_pcie(op, size, inside, part)
    if not np.any(linked):
        return Times(pcie, np.ones(size.shape, bool))
    times = _in_node(op, size, np.maximum(inside, 2.0), part, engine)
    return Times(np.where(linked, times.seconds, pcie), np.where(linked, times.beyond, True))


def _crossing(op: str, size: Any, ranks: Any, nodes: Any) -> Any:
    """Bytes that must leave each node: two-level algorithms reduce inside the node first."""
    if op == "all_reduce":
        return 2.0 * size * (nodes - 1) / nodes
    if op == "all_to_all":
        return size * (ranks / nodes) * (nodes - 1) / nodes
    return size * (nodes - 1) / nodes


@cache
def fabric_record(name: str) -> dict[str, Any]:
    """Return a fabric's bytes/s a port and a node, and which fitted model stands for it.

    Parameters
    ----------
    name : str
        A key, label or alias of ``data/fabrics.yaml``, or a text that holds one ("InfiniBand NDR, 400 Gb/s a GPU").

    Returns
    -------
    dict
        ``port_bytes_per_s``, ``node_bytes_per_s``, ``latency_s`` and ``model``.

    Raises
    ------
    InputError
        If no fabric is recognised.

    Examples
    --------
    >>> fabric_record("InfiniBand NDR")["node_bytes_per_s"] / 1e9
    400.0
    """
    rows = [row for row in facts.records("fabrics") if row["kind"] == "inter"]
    wanted = "".join(c for c in name.lower() if c.isalnum())
    best, score = None, 0
    for row in rows:
        for label in (row["name"], row["label"], *row.get("aliases", ())):
            key = "".join(c for c in str(label).lower() if c.isalnum())
            points = 1000 if key == wanted else len(key) if key in wanted and len(key) > 2 else 0
            if points > score:
                best, score = row, points
    if best is None:
        raise InputError("fabric", name, "a fabric of data/fabrics.yaml", [str(r["label"]) for r in rows])
    port = 1e9 * best["gb_per_s_per_direction"]
    key = str(best["name"])
    model = key if key in constants() else "tcp" if key.startswith("eth") else "infiniband"
    return {
        "name": key, "port_bytes_per_s": port, "node_bytes_per_s": port * best["ports"],
        "latency_s": 1e-6 * best["latency_us"], "model": model,
    }  # fmt: skip
