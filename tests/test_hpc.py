"""Scientific kernels against measurements that the constants were not taken from."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopperbook import facts, hpc
from hopperbook.errors import InputError


def test_dpx_against_a_part_that_was_not_fitted():
    check = hpc.constants()["check"]["L40S"]
    predicted = hpc.cell_updates_per_s(check["sms"], check["boost_clock_hz"], check["dpx"]) / 1e12
    assert predicted == pytest.approx(check["measured_tcups"], rel=0.10)


def test_dpx_ratio_is_three_not_seven():
    h100, a100 = facts.gpu("H100 SXM"), facts.gpu("A100 SXM")
    ratio = hpc.cell_updates_per_s(h100.sms, h100.boost_clock_hz, True) / hpc.cell_updates_per_s(
        a100.sms, a100.boost_clock_hz, False
    )
    assert ratio == pytest.approx(5.71 / 1.94, rel=0.01)  # schmidt-2024-cudasw4


def test_h200_gains_only_where_bandwidth_binds():
    rates = {(r["kernel"], r["gpu"]): r for r in hpc.kernel_rates(["H100 SXM", "H200 SXM"])}
    for kernel in hpc.constants()["kernels"]:
        ratio = rates[kernel, "H200 SXM"]["flop_per_s"] / rates[kernel, "H100 SXM"]["flop_per_s"]
        expected = 4.8 / 3.35 if rates[kernel, "H200 SXM"]["bound"] == "bandwidth" else 1.0
        assert ratio == pytest.approx(expected, rel=0.01), kernel


@given(st.floats(0.01, 1000), st.floats(1.0, 3.0))
def test_the_roof_never_falls(intensity, factor):
    gpu = facts.gpu("H100 SXM")
    assert hpc.attainable_flop_per_s(gpu, intensity * factor) >= hpc.attainable_flop_per_s(gpu, intensity)
    assert hpc.attainable_flop_per_s(gpu, intensity, measured=False) >= hpc.attainable_flop_per_s(gpu, intensity)


def test_bad_words_and_hours():
    with pytest.raises(InputError):
        hpc.peak_flop_per_s(facts.gpu("H100 SXM"), "scalar")
    with pytest.raises(InputError):
        hpc.cell_updates_per_s(1, 1, True, kernel="knapsack")
    with pytest.raises(InputError):
        hpc.shared_day(25, 0, 8)
