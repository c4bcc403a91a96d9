"""Parts side by side: peaks against the facts, rates against the kernels, points under their roofs."""

import numpy as np
import pytest

from hopperbook import facts, kernels
from hopperbook.customer import default
from hopperbook.models import load
from hopperbook.studies import hopper
from hopperbook.studies.words import in_words

A100, H100, H200 = (facts.gpu(name) for name in ("A100 SXM 80GB", "H100 SXM", "H200 SXM"))


@pytest.fixture(scope="module")
def widest():
    return hopper.widest_matrix(load("llama-3.3-70b"))


def test_rate_times_time_is_the_arithmetic(widest):
    seconds = float(kernels.gemm_s(H100, "bf16", 512.0, widest.n, widest.k).seconds)
    rate = float(hopper.product_flop_per_s(H100, "bf16", 512, widest))
    assert rate * seconds == pytest.approx(2 * 512 * widest.n * widest.k)


def test_gain_lies_in_its_range_and_printed_ratios_are_those_of_the_sheets(widest):
    gain = hopper.arithmetic_gain(H100, A100, widest)
    assert gain.low < gain.arithmetic < gain.high
    assert gain.mixed == pytest.approx(2 * gain.printed)
    assert hopper.arithmetic_gain(H100, H100, widest).arithmetic == 1.0


def test_at_the_ridge_reading_takes_as_long_as_computing():
    rows, k, n = hopper.ridge_rows(H100), 4096, 4096
    assert 2 * rows * k * n / H100.dense_flop_per_s["bf16"] == pytest.approx(hopper.read_s(H100, 2.0 * k * n))


def test_no_product_lies_above_its_roof(widest):
    points = hopper.roofline_points(H100, widest, {str(m): m for m in (1, 16, 256, 8192)})
    slope = points.intensity * H100.memory_bandwidth_bytes_per_s / 1e12
    assert (points.tflop_per_s < np.minimum(slope, H100.dense_flop_per_s["bf16"] / 1e12)).all()
    assert points.intensity.is_monotonic_increasing


def test_a_column_a_part_by_its_short_name(widest):
    table = hopper.rates_table(facts.drawn(), widest)
    assert list(table) == ["format", "rows", *(facts.gpu(name).short for name in facts.drawn())]
    assert table[table.format == "FP8"].A100.isna().all()


def test_a_part_that_never_passes_half_says_so(widest):
    shares = hopper.peak_shares(("H100 SXM",), widest)
    assert hopper.reaches(shares.assign(y=shares.y / 10))["H100 SXM"].half_rows is None
    reach = hopper.reaches(shares)["H100 SXM"]
    assert shares[shares.x < reach.half_rows].y.max() <= 50 < reach.top_percent


def test_a_cache_in_half_the_bits_is_half_the_bytes():
    none, full, half = (
        hopper.decode_read_bytes(default(), "fp8", cache, users)
        for cache, users in (("bf16", 0), ("bf16", 8), ("fp8", 8))
    )
    assert (full - none) == pytest.approx(2 * (half - none))


def test_published_rates_are_within_a_third():
    check = hopper.published_rates()
    assert set(check.gpu) >= {"A100 SXM 80GB", "H100 SXM"}
    assert check.error.abs().max() < 1 / 3


@pytest.mark.parametrize(("count", "word"), [(0, "no"), (3, "three"), (12, "twelve"), (13, "13")])
def test_counts_in_words(count, word):
    assert in_words(count) == word
