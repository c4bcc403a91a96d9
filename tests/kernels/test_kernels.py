"""Kernel tables: what was measured comes back, what was not is estimated well, and leaving the table is said."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hopperbook import facts, kernels
from hopperbook.errors import InputError
from hopperbook.evidence import holdout
from hopperbook.kernels import tables


def test_measured_points_come_back():
    """Three figures of the published tables."""
    gemm = kernels.gemm_s("A100 SXM", "int8_wo", 8192, 65536, 3584, "trtllm")
    assert gemm.seconds * 1e3 == pytest.approx(14.73024, rel=1e-5)
    assert not gemm.beyond
    context = kernels.context_attention_s("A100 SXM", 4, 16384, 0, 96, 2, 128, engine="trtllm")
    assert context.seconds * 1e3 == pytest.approx(176.02714, rel=1e-5)
    decode = kernels.generation_attention_s("A100 SXM", 32, 64, 64, 64, 128, engine="trtllm")
    assert decode.seconds * 1e3 == pytest.approx(0.056661, rel=1e-5)
    moe = kernels.moe_s("A100 SXM", "bf16", 4, 4096, 1536, 128, 8, engine="trtllm")
    assert moe.seconds * 1e3 == pytest.approx(0.508928, rel=1e-5)


@pytest.mark.parametrize(
    ("family", "most"),
    [("gemm", 0.04), ("context", 0.04), ("generation", 0.06), ("moe", 0.06), ("collective", 0.045),
     ("mla_context", 0.03), ("mla_generation", 0.03), ("quantise", 0.04)],
)  # fmt: skip
def test_held_out_shapes(family, most):
    """The median error on a quarter of the shapes, left out of their own table, stays where the chapter says."""
    errors = []
    for engine in ("trtllm", "vllm", "nccl"):
        found = holdout.holdout(engine, family, "H100 SXM", 400)
        errors.append(np.abs(found.predicted / found.measured - 1))
    assert np.median(np.concatenate(errors)) < most


def test_arrays_and_scalars_agree():
    m = np.array([1, 100, 5000])
    together = kernels.gemm_s("H200 SXM", "fp8", m, 8192, 4096).seconds
    alone = [float(kernels.gemm_s("H200 SXM", "fp8", int(x), 8192, 4096).seconds) for x in m]
    assert together == pytest.approx(alone)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 200_000), st.sampled_from(["bf16", "fp8", "int8", "int4", "tf32", "fp8_block", "mxfp4"]))
def test_always_positive_and_below_physics(m, precision):
    """No product beats twice the data sheet, however far outside the table."""
    gpu = facts.gpu("H100 SXM")
    seconds = float(kernels.gemm_s(gpu, precision, m, 4096, 4096, "trtllm").seconds)
    peak = gpu.dense_flop_per_s["fp8" if precision in ("fp8", "fp8_block", "int8") else "bf16"]
    assert seconds > 2 * m * 4096 * 4096 / peak / 1.1


def test_beyond_is_said():
    assert bool(kernels.gemm_s("H100 SXM", "bf16", 10**6, 4096, 4096).beyond)
    assert not bool(kernels.gemm_s("H100 SXM", "bf16", 4096, 4096, 4096).beyond)
    assert bool(kernels.gemm_s("H100 NVL", "bf16", 4096, 4096, 4096).beyond)
    assert bool(kernels.gemm_s("A100 SXM", "fp8", 4096, 4096, 4096).beyond)


def test_other_parts_follow_their_peaks():
    def time(name):
        return float(kernels.gemm_s(name, "bf16", 8192, 8192, 8192).seconds)

    assert time("H100 PCIe") > 1.3 * time("H100 SXM")
    assert time("A100 PCIe 80GB") > 1.1 * time("A100 SXM 80GB")

    def read(name):
        return float(kernels.generation_attention_s(name, 64, 8192, 32, 8, 128).seconds)

    assert read("A100 SXM 40GB") / read("A100 SXM 80GB") == pytest.approx(2039 / 1555, rel=0.1)


def test_cached_tokens_cost_and_windows_save():
    plain = float(kernels.context_attention_s("H100 SXM", 1, 1024, 0, 32, 8, 128).seconds)
    cached = float(kernels.context_attention_s("H100 SXM", 1, 1024, 31744, 32, 8, 128).seconds)
    assert cached > 5 * plain
    full = float(kernels.generation_attention_s("H100 SXM", 64, 16384, 64, 8, 64).seconds)
    window = float(kernels.generation_attention_s("H100 SXM", 64, 16384, 64, 8, 64, window=128).seconds)
    assert window < full / 10


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: kernels.gemm_s("H300", "bf16", 1, 1, 1), "gpu"),
        (lambda: kernels.gemm_s("H100 SXM", "fp7", 1, 1, 1), "precision"),
        (lambda: kernels.gemm_s("H100 SXM", "bf16", 1, 1, 1, "llama.cpp"), "engine"),
        (lambda: kernels.moe_s("H100 SXM", "fp7", 1, 4096, 1536, 128, 8), "precision"),
    ],
)
def test_bad_input_names_its_field(call, word):
    with pytest.raises(InputError, match=word):
        call()


def test_tables_are_complete_boxes():
    for engine, family in holdout.TABLES:
        for gpu in tables.measured():
            for grid in (tables.load(engine, family, gpu, key) for key in tables.grids(engine, family, gpu)):
                assert np.isfinite(grid.residual).all()
                assert all(np.all(np.diff(axis) > 0) for axis in grid.axes)
