"""Algorithms of a collective, one function each, in one table: `collective_s` takes the one that a network would.

Every function takes the same :class:`Question` and returns :class:`Times`.  ``tables`` reads what was measured inside a
node; ``pcie`` and ``hierarchical`` rest on fitted constants; ``ring``, ``tree``, ``nvls`` and ``sharp`` are the closed
forms of the textbook at nominal rates: floors, to compare with.  To add an algorithm, add a function and its line in
:data:`ALGORITHMS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hopperbook import facts
from hopperbook.errors import InputError
from hopperbook.kernels.tables import Floats, Times, grids, scaled

OPS = ("all_reduce", "all_gather", "reduce_scatter", "all_to_all", "p2p")


@cache
def constants() -> dict[str, dict[str, float]]:
    """Return the fitted constants of each kind of fabric, from ``data/constants/interconnect.yaml``."""
    return facts.read_yaml("constants/interconnect.yaml")["fabrics"]


@dataclass(frozen=True)
class Question:
    """A collective to be timed: arrays of one shape, the part, and the fabric between its nodes.

    Parameters
    ----------
    op : str
        One of :data:`OPS`.
    size : ndarray
        Bytes as nccl-tests prints them.
    ranks, inside, nodes : ndarray
        GPUs in all and in each node, and nodes.
    part : GPU
        The part.
    engine : str
        Whose custom all-reduce competes with NCCL's.
    fabric : dict
        From :func:`hopperbook.kernels.collectives.fabric_record`; empty within a node.
    """

    op: str
    size: Floats
    ranks: Floats
    inside: Floats
    nodes: Floats
    part: facts.GPU
    engine: str
    fabric: dict[str, Any]

    @property
    def joined(self) -> NDArray[np.bool_]:
        """Where NVLink joins the GPUs of a node."""
        return (self.inside <= self.part.nvlink_gpus) & (self.part.nvlink_bytes_per_s_per_direction > 0)

    @property
    def links_bytes_per_s(self) -> Floats:
        """Nominal rate of the narrowest link in one direction: the fabric's of a node, else NVLink's, else PCIe's."""
        node = np.where(
            self.joined, self.part.nvlink_bytes_per_s_per_direction, self.part.pcie_bytes_per_s_per_direction
        )
        return np.where(self.nodes > 1, self.fabric.get("node_bytes_per_s", np.inf), node)

    @property
    def hop_s(self) -> Floats:
        """Latency of a hop between nodes; none is charged inside one."""
        between = constants()[self.fabric["model"]]["hop_s"] if self.fabric else 0.0
        return np.where(self.nodes > 1, between, 0.0)


def traffic_factor(op: str, gpus: ArrayLike) -> Floats:
    r"""Bytes that a ring moves over each link for a byte of size.

    .. math:: f_\mathrm{all\ reduce} = 2\tfrac{g-1}{g},\quad f_\mathrm{gather, scatter, all\ to\ all} = \tfrac{g-1}{g},
              \quad f_\mathrm{p2p} = 1

    Parameters
    ----------
    op : str
        One of :data:`OPS`.
    gpus : int or array
        Ranks.

    Returns
    -------
    ndarray
        Factor.

    Raises
    ------
    InputError
        If the operation is unknown.

    Notes
    -----
    Source: ``nvidia-nccl-tests``.

    Examples
    --------
    >>> float(traffic_factor("all_reduce", 8)), float(traffic_factor("all_gather", 8))
    (1.75, 0.875)
    """
    ranks = np.asarray(gpus, float)
    if op == "p2p":
        return np.ones_like(ranks)
    if op not in OPS:
        raise InputError("op", op, "one of " + ", ".join(OPS), OPS)
    return (2.0 if op == "all_reduce" else 1.0) * (ranks - 1) / ranks


def ring(q: Question) -> Times:
    r"""Time a ring: :math:`k (g - 1) \alpha + f_g S / B`, k = 2 for an all-reduce, else 1; f is `traffic_factor`."""
    passes = 2.0 if q.op == "all_reduce" else 1.0
    seconds = passes * (q.ranks - 1) * q.hop_s + traffic_factor(q.op, q.ranks) * q.size / q.links_bytes_per_s
    return _floor(q, seconds)


def tree(q: Question) -> Times:
    r"""Time an all-reduce over a binary tree: :math:`2 \lceil\log_2 g\rceil \alpha + 2 S / B`."""
    return _floor(_reduces(q, "tree"), 2 * np.ceil(np.log2(q.ranks)) * q.hop_s + 2 * q.size / q.links_bytes_per_s)


def nvls(q: Question) -> Times:
    r"""Time an all-reduce that the NVSwitch of one node sums: :math:`\tfrac{g + 1}{g} S / B`."""
    if np.any(q.nodes > 1):
        raise InputError("algorithm", "nvls", "sharp between nodes: an NVSwitch sums inside one", ["sharp"])
    return _floor(_reduces(q, "nvls"), (q.ranks + 1) / q.ranks * q.size / q.links_bytes_per_s)


def sharp(q: Question) -> Times:
    r"""Time an all-reduce that the fabric's switches sum, S once each way: :math:`2 \alpha + S / B`."""
    return _floor(_reduces(q, "sharp"), 2 * q.hop_s + q.size / q.links_bytes_per_s)


def _reduces(q: Question, name: str) -> Question:
    """Return a question that an algorithm for sums can answer; refuse others."""
    if q.op != "all_reduce":
        raise InputError("op", q.op, f"all_reduce with {name}", ["all_reduce"])
    return q


def _floor(q: Question, seconds: Floats) -> Times:
    """Return a closed form: computed, so beyond what was measured wherever it is asked."""
    return Times(np.broadcast_to(seconds, q.size.shape), np.ones(q.size.shape, bool))


def tables(q: Question) -> Times:
    """Read NCCL's measured times over NVLink, and an engine's own all-reduce where that is faster."""
    part, inside = q.part, np.maximum(q.inside, 2.0)
    if q.op == "p2p":
        c = constants()["nvlink"]
        link = c["efficiency"] * part.nvlink_bytes_per_s_per_direction
        return Times(c["point_to_point_s"] + q.size / link, np.ones(q.size.shape, bool))
    best = scaled("nccl", "collective", part, (q.op, "nccl_half"), [inside, q.size])
    if q.op != "all_reduce" or q.engine == "nccl":
        return best
    for source in ("custom", "vllm_graph"):
        if (q.op, source) in grids(q.engine, "collective", part.kernels_of):
            custom = scaled(q.engine, "collective", part, (q.op, source), [inside, q.size])
            faster = (custom.seconds < best.seconds) & ~(custom.beyond & ~best.beyond & (q.size > 1e6))
            best = Times(np.where(faster, custom.seconds, best.seconds), np.where(faster, custom.beyond, best.beyond))
    return best


def pcie(q: Question) -> Times:
    r"""Time a collective over PCIe: :math:`\alpha_0 + k \log_2 g\,\alpha + f_g S / (\eta B)` with fitted constants."""
    c = constants()["pcie"]
    steps = 1.0 if q.op == "p2p" else (2.0 if q.op == "all_reduce" else 1.0) * np.log2(np.maximum(q.inside, 2.0))
    rate = c["efficiency"] * q.part.pcie_bytes_per_s_per_direction
    seconds = c["start_s"] + steps * c["hop_s"] + traffic_factor(q.op, q.inside) * q.size / rate
    return Times(seconds, np.ones(q.size.shape, bool))


def in_node(q: Question) -> Times:
    """Time a collective inside a node: measured tables where NVLink joins its GPUs, PCIe elsewhere."""
    slow = pcie(q)
    if not np.any(q.joined):
        return slow
    fast = tables(q)
    return Times(np.where(q.joined, fast.seconds, slow.seconds), np.where(q.joined, fast.beyond, True))


def hierarchical(q: Question) -> Times:
    r"""Time a two-level collective over nodes: reduced inside them first, then between, streams overlapping.

    .. math:: t = \alpha_f + \alpha_h \log_2 N + \gamma \frac{S}{S + S_h} + \max\!\left(t_\mathrm{node}(S),\;
              f_N \frac{S}{\eta B_\mathrm{node}}\right)

    Over sockets a server's processors carry no more than L: :math:`((\eta B)^{-4} + L^{-4})^{-1/4}` in place of eta B.
    """
    c, link = constants()[q.fabric["model"]], q.fabric
    if q.op == "p2p":
        return Times(c["hop_s"] + q.size / (c["efficiency"] * link["port_bytes_per_s"]), np.ones(q.size.shape, bool))
    line, sockets = c["efficiency"] * link["node_bytes_per_s"], c.get("limit_bytes_per_s", np.inf)
    node_rate = line * (1 + (line / sockets) ** 4) ** -0.25
    inter = _crossing(q) / (node_rate / 8 * np.maximum(q.inside, 1.0))
    start = c["start_s"] + c["hop_s"] * np.log2(q.nodes)
    fill = c["fill_s"] * q.size / (q.size + c["half_bytes"])
    return Times(start + fill + np.maximum(_stream(q), inter), np.ones(q.size.shape, bool))


def _stream(q: Question) -> Floats:
    """Seconds that a node's own links need once the pipeline is full (no start-up)."""
    large = np.full_like(q.size, 512e6)
    inside = Question(q.op, large, q.inside, q.inside, np.ones_like(q.nodes), q.part, "vllm", {})
    return np.where(q.inside > 1, in_node(inside).seconds * q.size / large, 0.0)


def _crossing(q: Question) -> Floats:
    """Bytes that must leave each node: two-level algorithms reduce inside the node first."""
    share = (q.nodes - 1) / q.nodes
    if q.op == "all_to_all":
        return q.size * (q.ranks / q.nodes) * share
    return (2.0 if q.op == "all_reduce" else 1.0) * q.size * share


#: Every algorithm by its name.
ALGORITHMS: dict[str, Callable[[Question], Times]] = {
    "ring": ring,
    "tree": tree,
    "nvls": nvls,
    "sharp": sharp,
    "tables": tables,
    "pcie": pcie,
    "in_node": in_node,
    "hierarchical": hierarchical,
}
