"""Claims about the parts themselves: peaks, memory, links, MIG, DPX, FP64."""

from __future__ import annotations

import math

import numpy as np

from hopperbook import facts, hpc, kernels, mig, units
from hopperbook.claims.finding import CONDITIONS, HOLDS, MISLEADS, WRONG, Finding, between
from hopperbook.customer import Customer
from hopperbook.kernels import collectives
from hopperbook.planner.tenure import assumptions, market_price
from hopperbook.planner.ties import p_cheaper, price_spread

A100, H100, H200 = "A100 SXM 80GB", "H100 SXM", "H200 SXM"


def peaks(customer: Customer) -> Finding:
    """C04: 312 against 1,979 TFLOPS."""
    a, h = facts.gpu(A100), facts.gpu(H100)
    shown = h.sparse_flop_per_s["fp16"] / a.dense_flop_per_s["fp16"]
    like = h.dense_flop_per_s["fp16"] / a.dense_flop_per_s["fp16"]
    rate = [2 * 8192.0**3 / float(kernels.gemm_s(g, "bf16", 8192.0, 8192, 8192).seconds) for g in (a, h)]
    return Finding(
        MISLEADS if shown > 1.5 * like else HOLDS,
        f"One figure is dense, the other sparse. Dense beside dense the ratio is {units.fixed(like, 2)}, not"
        f" {units.fixed(shown, 2)}; measured matrix products run {units.fixed(rate[1] / rate[0], 2)} times as fast.",
        "H100 over A100, FP16", like, 1.5 * like, shown, (a.source, h.source, "aiconfigurator-2025"),
    )  # fmt: skip


def memory_sizes(customer: Customer) -> Finding:
    """C08: sizes and bandwidths of the three memories."""
    parts = [facts.gpu(g) for g in (A100, H100, H200)]
    claimed = ((80, 2.0), (80, 3.35), (141, 4.8))
    off = max(
        max(abs(p.memory_gb / gb - 1), p.memory_bandwidth_bytes_per_s / 1e12 / tb - 1 if tb > 2.5 else 0.0)
        for p, (gb, tb) in zip(parts, claimed, strict=True)
    )
    shown = ", ".join(units.gib(p.memory_bytes) for p in parts)
    reached = hpc.constants()["efficiency"]["bandwidth"]["value"]
    slow = facts.gpu("H100 PCIe").memory_bandwidth_bytes_per_s / 1e12
    return Finding(
        HOLDS if off < 0.02 else WRONG,
        f"This is true of the SXM parts as sold, in GB. Their drivers show {shown}, a copy reaches {units.percent(reached)} of the"
        f" bandwidth, and an H100 PCIe has only {units.fixed(slow, 1)} TB/s.",
        "largest difference from the data sheets, %", 100 * off, 2.0, 0.0, tuple(p.source for p in parts),
    )  # fmt: skip


def nvlink(customer: Customer) -> Finding:
    """C09: 600 and 900 GB/s."""
    h = facts.gpu(H100)
    size = 2.0**30
    seconds = float(collectives.collective_s("all_reduce", size, 8, h).seconds)
    bus = float(collectives.bus_bandwidth("all_reduce", size, seconds, 8))
    both = 2 * h.nvlink_bytes_per_s_per_direction
    return Finding(
        CONDITIONS,
        f"These figures add both directions. Each way an H100 has {units.fixed(both / 2e9)} GB/s, and an all-reduce of 1 GiB over"
        f" eight of them runs at {units.fixed(bus / 1e9)} GB/s of bus bandwidth.",
        "GB/s each way, H100", both / 2e9, 900.0, 900.0, (h.source, "nvidia-nccl-tests"),
    )  # fmt: skip


def larger_batches(customer: Customer) -> Finding:
    """C05: more TFLOPS, larger batches."""
    from hopperbook import serving
    from hopperbook.models import load

    model = load(customer.model)
    tp = next(t for t in (8, 4, 2, 1) if model.heads % t == 0)
    users = [serving.budget(serving.deploy(model, g, tp=tp), customer.held_tokens).users for g in (A100, H100, H200)]
    flop = facts.gpu(H100).dense_flop_per_s["bf16"] / facts.gpu(A100).dense_flop_per_s["bf16"]
    gain = users[1] / max(users[0], 1)
    return Finding(
        WRONG if gain < 1.1 else MISLEADS,
        f"An H100 has {units.fixed(flop, 1)} times the FLOP/s of an A100, yet in the same format it holds {users[1]} users where the"
        f" A100 holds {users[0]}. An H200 has no more FLOP/s and holds {users[2]}. Memory sets the batch.",
        "users held, H100 over A100", gain, 1.1, flop, (facts.gpu(H100).source, "kwon-2023-vllm"),
    )  # fmt: skip


def mig_generations(customer: Customer) -> Finding:
    """C06: more flexible MIG."""
    old, new = len(mig.layouts(A100)), len(mig.layouts(H100))
    small = [min(p.memory_bytes for p in mig.profiles(g).values()) for g in (A100, H100, H200)]
    whole = [p.memory_bytes for p in (facts.gpu(g) for g in (A100, H100))]
    per_slice = facts.gpu(H100).memory_bandwidth_bytes_per_s / facts.gpu(A100).memory_bandwidth_bytes_per_s
    return Finding(
        MISLEADS if new <= old else HOLDS,
        f"Both cards are cut into seven at most, in {old} and {new} ways. The smallest slice has"
        f" {units.percent(small[0] / whole[0])} and {units.percent(small[1] / whole[1])} of the memory, so the cuts are no finer. Each"
        f" slice grew: it has {units.fixed(per_slice, 1)} times the bandwidth and its own media engines. The smallest slice of an"
        f" H200 has {units.gib(small[2])}. Confidential computing covers the card, not the slice.",
        "ways to fill a card, H100 over A100; one more would do", new / old, (old + 1) / old, math.nan,
        ("nvidia-mig-user-guide",),
    )  # fmt: skip


def dpx(customer: Customer) -> Finding:
    """C07: DPX up to seven times."""
    a, h = facts.gpu(A100), facts.gpu(H100)
    sw = hpc.cell_updates_per_s(h.sms, h.boost_clock_hz, True) / hpc.cell_updates_per_s(a.sms, a.boost_clock_hz, False)
    soft = hpc.cell_updates_per_s(h.sms, h.boost_clock_hz, False)
    alone = hpc.cell_updates_per_s(h.sms, h.boost_clock_hz, True) / soft
    return Finding(
        between(sw, 5.0, 7.0, below=MISLEADS, inside=CONDITIONS, above=HOLDS),
        f"Whole programs that align sequences run {units.fixed(sw, 1)} times as fast as on A100; the instructions themselves give"
        f" a factor of {units.fixed(alone, 1)}. The seven comes from one best kernel.",
        "Smith-Waterman, H100 over A100", sw, 5.0, 7.0, ("schmidt-2024-cudasw4", "nvidia-dpx-blog-2022"),
    )  # fmt: skip


def only_choice_for_hpc(customer: Customer) -> Finding:
    """C13: the only choice for HPC."""
    rates = {(r["kernel"], r["gpu"]): r["flop_per_s"] for r in hpc.kernel_rates([A100, H100, H200])}
    names = list(hpc.constants()["kernels"])
    gain = [rates[n, H100] / rates[n, A100] for n in names]
    asked = {g: market_price(customer, g) for g in (A100, H100)}
    price = asked[H100].typical / asked[A100].typical
    one, other = (price_spread(asked[g].low, asked[g].high) for g in (H100, A100))
    rho = assumptions("planner")["price_correlation_alike"]
    sure = [float(p_cheaper(g / price, one, other, rho)) for g in gain]
    worth = sum(p >= assumptions("planner")["decided"] for p in sure)
    flat = sum(abs(rates[n, H200] / rates[n, H100] - 1) < 0.01 for n in names)
    low = float(np.min(gain))
    return Finding(
        HOLDS if worth == len(names) else CONDITIONS if low > price else MISLEADS if worth else WRONG,
        f"An H100 runs {units.fixed(low, 1)} to {units.fixed(max(gain), 1)} times as fast as an A100 and costs {units.fixed(price, 1)} times"
        f" as much to rent. In four of five price scenarios a result costs less on it for {worth} of {len(names)} kernels; for the"
        f" others the A100 remains a choice. On {flat} of them an H200 is no faster than an H100.",
        "least gain of H100 over A100 over its price", low / price, 1.0, math.nan,
        ("williams-2009-roofline", facts.gpu(H100).source),
    )  # fmt: skip


CLAIMS = {
    "C04": peaks,
    "C05": larger_batches,
    "C06": mig_generations,
    "C07": dpx,
    "C08": memory_sizes,
    "C09": nvlink,
    "C13": only_choice_for_hpc,
}
