"""Seconds of a collective: measured tables within a node, a two-level latency and bandwidth model across nodes.

Sizes are those that nccl-tests prints: the whole buffer of an all-reduce, the gathered buffer of an all-gather, the
buffer before a reduce-scatter, what one GPU sends in all of an all-to-all or point to point.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hopperbook import facts
from hopperbook.errors import InputError
from hopperbook.kernels.algorithms import ALGORITHMS, Question, constants, traffic_factor
from hopperbook.kernels.engines import as_gpu, engine_name
from hopperbook.kernels.tables import Floats, Times


def bus_bandwidth(op: str, bytes_: ArrayLike, seconds: ArrayLike, gpus: ArrayLike) -> Floats:
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
    >>> float(round(bus_bandwidth("all_reduce", 17179869184, 62648e-6, 8) / 1e9, 1))  # GB/s; nccl-tests: 479.90
    479.9
    """
    return np.asarray(bytes_, float) / np.asarray(seconds, float) * traffic_factor(op, gpus)


def collective_s(
    op: str,
    bytes_: ArrayLike,
    gpus: ArrayLike,
    gpu: str | facts.GPU,
    *,
    engine: str = "vllm",
    fabric: str | None = None,
    gpus_per_node: int = 8,
    algorithm: str | None = None,
) -> Times:
    r"""Time a collective over GPUs of one node, or of several nodes joined by a fabric.

    The equations stand with the algorithms (:mod:`hopperbook.kernels.algorithms`).

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
    algorithm : str, optional
        A key of :data:`hopperbook.kernels.algorithms.ALGORITHMS`; by default what was measured inside a node, and two
        levels between nodes.

    Returns
    -------
    Times
        Seconds, and where they lie beyond what was measured.

    Raises
    ------
    InputError
        If the operation, the part, the fabric or the algorithm is unknown, or the algorithm cannot do the operation.

    Notes
    -----
    Source: ``aiconfigurator-2025`` within a node; ``coreweave-nccl-tests``, ``skypilot-nccl-examples``,
    ``aws-awsome-distributed-training`` across nodes.

    Examples
    --------
    >>> t = collective_s("all_reduce", 2**34, 16, "H100 SXM", fabric="EFA 3200").seconds
    >>> round(float(bus_bandwidth("all_reduce", 2**34, t, 16)) / 1e9)  # 487 GB/s measured
    472
    >>> floor = collective_s("all_reduce", 2**30, 8, "H100 SXM", algorithm="ring").seconds
    >>> round(1e3 * float(floor), 2)  # milliseconds: 1.75 GiB over 450 GB/s
    4.18
    """
    part = as_gpu(gpu)
    traffic_factor(op, gpus)  # refuses an unknown operation before anything else
    size, ranks = np.broadcast_arrays(np.asarray(bytes_, float), np.asarray(gpus, float))
    inside = np.minimum(ranks, gpus_per_node)
    nodes = np.maximum(np.ceil(ranks / gpus_per_node), 1.0)
    link = fabric_record(fabric or "ndr") if np.any(nodes > 1) else {}
    asked = Question(op, size, ranks, inside, nodes, part, engine if engine == "nccl" else engine_name(engine), link)
    if algorithm is not None:
        if algorithm not in ALGORITHMS:
            raise InputError("algorithm", algorithm, "one of " + ", ".join(ALGORITHMS), ALGORITHMS)
        found = ALGORITHMS[algorithm](asked)
    elif link:
        near, far = ALGORITHMS["in_node"](asked), ALGORITHMS["hierarchical"](asked)
        found = Times(np.where(nodes > 1, far.seconds, near.seconds), near.beyond | (nodes > 1))
    else:
        found = ALGORITHMS["in_node"](asked)
    alone = (ranks <= 1) & (op != "p2p")
    return Times(np.where(alone, 0.0, found.seconds), found.beyond & ~alone)


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
    rows = {str(row["name"]): dict(row) for row in facts.records("fabrics") if row["kind"] == "inter"}
    key = _named(name, rows) or _described(name, rows)
    if key is None:
        raise InputError("fabric", name, "a fabric of data/fabrics.yaml", [str(r["label"]) for r in rows.values()])
    best = rows[key]
    port = 1e9 * best["gb_per_s_per_direction"]
    kind = next((model for start, model in _MODELS.items() if key.startswith(start)), "infiniband")
    return {
        "name": key, "port_bytes_per_s": port, "node_bytes_per_s": port * best["ports"],
        "latency_s": 1e-6 * best["latency_us"], "model": key if key in constants() else kind,
    }  # fmt: skip


#: Which fitted model stands for fabrics without one of their own, by how their keys start.
_MODELS = {"eth": "tcp", "tcpx": "efa400"}
#: What words of a text say of a network, the most telling first: how the keys of its records start.
_WORDS = {
    "tcpxo": ("tcpxo",), "tcpx": ("tcpx",), "tcp": ("eth",), "socket": ("eth",), "efa": ("efa",), "roce": ("roce",),
    "converged": ("roce",), "rdma": ("roce", "hdr", "ndr"), "infiniband": ("hdr", "ndr"), "ethernet": ("eth",),
    "gbe": ("eth",),
}  # fmt: skip


def _plain(text: object) -> str:
    return "".join(c for c in str(text).lower() if c.isalnum())


def _named(text: str, rows: dict[str, dict[str, Any]]) -> str | None:
    """Return the record whose key, label or alias a text is, or None."""
    for key, row in rows.items():
        if _plain(text) in {_plain(label) for label in (key, row["label"], *row.get("aliases", ()))}:
            return key
    return None


def _described(text: str, rows: dict[str, dict[str, Any]]) -> str | None:
    """Return the record that a text describes: of its kind the nearest in rate, else the longest name it holds."""
    kind = next((starts for word, starts in _WORDS.items() if word in text.lower()), None)
    rate = stated_node_bytes_per_s(text)
    if kind and rate:
        of_kind = {key: 1e9 * row["gb_per_s_per_direction"] * row["ports"] for key, row in rows.items()
                   if key.startswith(kind)}  # fmt: skip
        return min(of_kind, key=lambda key: abs(np.log(of_kind[key] / rate)))
    names = [
        (len(_plain(label)), key)
        for key, row in rows.items()
        for label in (key, row["label"], *row.get("aliases", ()))
        if len(_plain(label)) > 2 and _plain(label) in _plain(text) and (not kind or key.startswith(kind))
    ]
    return max(names, key=lambda found: found[0])[1] if names else None


def stated_node_bytes_per_s(text: str) -> float | None:
    """Return the rate of a server's network that a text states, in bytes/s, or None.

    Parameters
    ----------
    text : str
        Such as ``RoCE, 8 x 400 Gb/s``; a rate ``a GPU`` or ``per port`` is taken eight times.

    Returns
    -------
    float or None
        Bytes/s in one direction.

    Examples
    --------
    >>> stated_node_bytes_per_s("EFA 3200 Gb/s per node"), stated_node_bytes_per_s("4 x 100 Gb/s RoCE a node")
    (400000000000.0, 50000000000.0)
    """
    found = re.search(r"(?:(\d+)\s*[x*]\s*)?(\d+(?:\.\d+)?)\s*([gt])(?:b/s|bps|bit)", text.lower())
    if not found:
        return None
    many, rate, unit = found.groups()
    each = float(rate) * (1e9 if unit == "g" else 1e12) / 8
    if many:
        return int(many) * each
    return each * (8 if re.search(r"(?:\ba|per|each|/)\s*(?:gpu|port|nic)", text.lower()) else 1)
