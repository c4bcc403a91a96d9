"""The closed first cut, which orders many configurations, stays near the simulation that answers for one."""

import itertools

import numpy as np
import pytest

from hopperbook import serving
from hopperbook.models import load
from hopperbook.serving.demand import at_rate

REPLICAS = (
    ("llama-3.3-70b", "H100 SXM", 4, "fp8"),
    ("llama-3.3-70b", "H200 SXM", 4, "fp8"),
    ("llama-3.3-70b", "A100 SXM 80GB", 4, "int8"),
    ("llama-3.1-8b", "H100 SXM", 1, "bf16"),
    ("qwen2.5-32b", "H100 PCIe", 2, "fp8"),
)
LENGTHS = (
    serving.Lengths(512, 512),
    serving.Lengths(2048, 512, 1024, 256),
    serving.Lengths(4096, 1024, cached=11264),
    serving.Lengths(1024, 128, 700, 60),
)


@pytest.fixture(scope="module")
def ratios():
    """Closed form over simulation: mean and p95 of the first token and of the time per token, and in flight."""
    found = []
    for (model, part, tp, precision), lengths in itertools.product(REPLICAS, LENGTHS):
        d = serving.deploy(load(model), part, tp=tp, precision=precision, kv_precision="fp8")
        for running in (2, 8, 24, 64):
            cut = serving.first_cut(d, lengths, running * np.array([0.9, 1.0, 1.1]))
            if cut.room_share[1] > 0.9 or cut.prefill_share[1] > 0.6:
                continue
            seen = at_rate(d, lengths, float(cut.rate_per_s[1]))
            pairs = [(cut.in_flight[1], seen.in_flight)]
            for name in ("mean", "p95"):
                pairs += [(cut.ttft.at(name)[1], seen.ttft.at(name)), (cut.tpot.at(name)[1], seen.tpot.at(name))]
            found.append([np.log(closed / simulated) for closed, simulated in pairs])
    return np.array(found)


def test_the_first_cut_is_near_the_simulation(ratios):
    assert len(ratios) > 50
    median = np.median(np.abs(ratios), axis=0)
    in_flight, first, token, first_p95, token_p95 = median
    assert in_flight < 0.05 and first < 0.05 and token < 0.05
    assert first_p95 < 0.15 and token_p95 < 0.08


def test_the_first_cut_does_not_lean_to_one_side(ratios):
    assert (np.abs(np.median(ratios, axis=0)) < 0.1).all()


def test_no_load_waits_for_nobody():
    d = serving.deploy(load("llama-3.1-8b"), "H100 SXM", precision="bf16")
    cut = serving.first_cut(d, serving.Lengths(1024, 256), [1e-4, 1.1e-4])
    alone = at_rate(d, serving.Lengths(1024, 256), 1e-3)
    assert float(cut.tpot.mean[0]) == pytest.approx(alone.tpot.mean, rel=0.01)
    assert float(cut.prefill_share[0]) < 1e-4
