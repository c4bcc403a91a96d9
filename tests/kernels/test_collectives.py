"""Collectives: nccl-tests' own arithmetic, tables within a node, and the two-level model across nodes."""

import numpy as np
import pytest

from hopperbook.errors import InputError
from hopperbook.kernels import collectives
from hopperbook.kernels.algorithms import ALGORITHMS, OPS, traffic_factor
from hopperbook.kernels.tables import Times


def test_bus_bandwidth_as_nccl_tests_prints_it():
    """16 GiB over 16 H100 in 66,132 us is 487.09 GB/s (awsome-distributed-training)."""
    assert collectives.bus_bandwidth("all_reduce", 2**34, 66132e-6, 16) / 1e9 == pytest.approx(487.09, rel=1e-3)
    assert traffic_factor("all_gather", 8) == pytest.approx(7 / 8)


def test_closed_forms():
    def by(algorithm, gpus=8, op="all_reduce"):
        return float(collectives.collective_s(op, 1e9, gpus, "H100 SXM", algorithm=algorithm).seconds)

    assert by("ring") == pytest.approx(2 * 7 / 8 * 1e9 / 450e9)
    assert by("tree") == pytest.approx(2 * 1e9 / 450e9)
    assert by("nvls") == pytest.approx(9 / 8 * 1e9 / 450e9)
    assert by("ring", 16) == pytest.approx(30 * 1e-5 + 2 * 15 / 16 * 1e9 / 400e9)  # NDR: 400 GB/s a node, 10 us a hop
    assert by("sharp", 16) == pytest.approx(2e-5 + 1e9 / 400e9)
    assert by("nvls") <= by(None) < by("ring")  # 8 H100 reduce in the switch
    assert by("sharp", 16) <= by(None, 16)
    for wrong in ({"algorithm": "star"}, {"algorithm": "nvls", "gpus": 16}, {"algorithm": "tree", "op": "all_gather"}):
        with pytest.raises(InputError, match="algorithm|op"):
            by(**wrong)


def test_a_new_algorithm_is_one_function(monkeypatch):
    def telepathy(q):
        return Times(np.zeros_like(q.size), np.ones(q.size.shape, bool))

    monkeypatch.setitem(ALGORITHMS, "telepathy", telepathy)
    assert collectives.collective_s("all_gather", 1e9, 64, "H100 SXM", algorithm="telepathy").seconds == 0.0


def test_in_node_measurement_comes_back():
    """NCCL, 8 H200, 512 MiB: 2.0908 ms."""
    found = collectives.collective_s("all_reduce", 2**29, 8, "H200 SXM", engine="nccl")
    assert found.seconds * 1e3 == pytest.approx(2.0908, rel=1e-4)
    assert not found.beyond


@pytest.mark.parametrize("op", OPS)
def test_more_bytes_take_longer(op):
    seconds = collectives.collective_s(op, np.geomspace(1e6, 1e9, 40), 8, "H100 SXM").seconds
    assert seconds[-1] > 20 * seconds[0]
    assert np.mean(np.diff(seconds) > 0) > 0.95


def test_slower_links_take_longer():
    def step(**where):
        return float(collectives.collective_s("all_reduce", 1e9, **({"gpu": "H100 SXM"} | where)).seconds)

    assert step(gpus=4, gpu="H100 PCIe") > 4 * step(gpus=4, gpu="H100 SXM")
    assert step(gpus=2, gpu="H100 PCIe") < step(gpus=4, gpu="H100 PCIe")  # a bridge joins two cards
    ndr, slow = step(gpus=16, fabric="NDR"), step(gpus=16, fabric="10 GbE")
    assert slow > 100 * ndr
    assert step(gpus=1) == 0.0


def test_names_of_fabrics_are_read_from_text():
    assert collectives.fabric_record("InfiniBand NDR, 400 Gb/s a GPU")["name"] == "ndr"
    assert collectives.fabric_record("EFA 3200 Gb/s per node")["name"] == "efa3200"
    with pytest.raises(InputError, match="fabric"):
        collectives.fabric_record("carrier pigeon")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("GPUDirect-TCPX", "tcpx"),
        ("GPUDirect-TCPXO (A3 Mega)", "tcpxo"),
        ("A3 Ultra, GPUDirect-RDMA over RoCE", "roce400"),
        ("RoCE, 8 x 400 Gb/s", "roce400"),
        ("RDMA over Converged Ethernet, 1.6 Tb/s a node", "roce200"),
        ("EFAv3 (p5en.48xlarge)", "efa3200"),
        ("p4d.24xlarge, EFA v1, 400 Gbps", "efa400"),
        ("CoreWeave InfiniBand DISABLED (TCP)", "eth100"),
        ("TCP, 25 Gb/s", "eth25"),
        ("InfiniBand NDR with SHARP", "ndr"),
        ("4 x 100 Gb/s RoCE a node", "roce100"),
    ],
)
def test_networks_are_called_as_clouds_call_them(text, name):
    assert collectives.fabric_record(text)["name"] == name


def test_sockets_bound_a_fast_line_more_than_a_slow_one():
    seconds = [
        float(collectives.collective_s("all_reduce", 2**30, 16, "H100 SXM", fabric=name).seconds)
        for name in ("eth10", "eth25", "eth100", "eth400")
    ]
    assert seconds[0] > 2 * seconds[1] and seconds[1] > 1.2 * seconds[2] > 1.2 * seconds[3]
    with pytest.raises(InputError, match="op"):
        collectives.collective_s("broadcast", 1e6, 8, "H100 SXM")
