"""Gains: Amdahl's law at its limits, and FP8 products against the kernels they are taken from."""

import numpy as np
import pytest

from hopperbook import kernels
from hopperbook.errors import InputError
from hopperbook.kernels.gain import amdahl, fp8_gain


def test_amdahl_at_its_limits():
    assert amdahl(0.0, 7.0) == 1.0
    assert amdahl(1.0, 7.0) == pytest.approx(7.0)
    assert amdahl(0.75, np.inf) == pytest.approx(4.0)
    assert amdahl(1.0, np.inf) == np.inf
    assert amdahl(0.5, 2.0) == pytest.approx(4 / 3)  # half at twice the pace: 0.5 + 0.25 of the time
    assert amdahl(0.3, 1.0) == pytest.approx(1.0)


def test_amdahl_grows_with_share_and_gain():
    shares, gains = np.linspace(0, 1, 11), np.linspace(1, 9, 9)
    table = amdahl(shares[:, None], gains)
    assert (np.diff(table, axis=0)[:, 1:] > 0).all()
    assert (np.diff(table, axis=1)[1:] > 0).all()


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_amdahl_refuses_what_is_no_share(share):
    with pytest.raises(InputError):
        amdahl(share, 2.0)


def test_gain_is_the_ratio_of_two_kernels():
    seconds = {form: kernels.gemm_s("H100 SXM", form, 4096.0, 8192, 4096).seconds for form in ("bf16", "fp8")}
    assert fp8_gain("H100 SXM", "fp8", 4096, 8192, 4096) == pytest.approx(float(seconds["bf16"] / seconds["fp8"]))


def test_blocks_take_the_faster_library():
    m, n, k = 4096.0, 8192, 4096
    bf16 = float(kernels.gemm_s("H100 SXM", "bf16", m, n, k).seconds)
    blocks = [float(kernels.gemm_s("H100 SXM", "fp8_block", m, n, k, engine).seconds) for engine in ("vllm", "trtllm")]
    assert fp8_gain("H100 SXM", "fp8_block", m, n, k) == pytest.approx(bf16 / min(blocks))
