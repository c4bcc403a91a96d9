"""FP8 against ml_dtypes, against Transformer Engine's reference quantisers, and against its own laws."""

import json

import ml_dtypes
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopperbook import fp8
from hopperbook.errors import InputError
from hopperbook.facts import DATA
from hopperbook.fp8.formats import NAN

VECTORS = np.load(DATA / "fp8" / "transformer_engine_vectors.npz")
META = json.loads(VECTORS["meta"].tobytes())
finite = st.floats(-(2.0**90), 2.0**90, width=32)


def bits(x):
    return np.asarray(x).view(np.uint8)


def group(case):
    return f"{case['recipe']}-{case['format']}-{case['source']}-{'pow2' if case['power_of_two'] else 'exact'}"


@pytest.mark.parametrize("name", sorted({group(case) for case in META["cases"]}))
def test_bit_for_bit_with_transformer_engine(name):
    cases = [case for case in META["cases"] if group(case) == name]
    assert len(cases) >= 3
    for case in cases:
        x = VECTORS[case["x"]]
        x = x.astype(ml_dtypes.bfloat16) if case["source"] == "bfloat16" else x
        kwargs = {key: case[key] for key in ("format", "recipe", "power_of_two", "amax_epsilon")}
        codes, scale_inv = fp8.quantize(x, **kwargs)
        assert codes.shape == x.shape, case
        np.testing.assert_array_equal(scale_inv, VECTORS[case["key"] + "s"], err_msg=str(case))
        np.testing.assert_array_equal(bits(codes), VECTORS[case["key"] + "q"], err_msg=str(case))


def test_the_vectors_cover_what_can_go_wrong():
    cases = pd.DataFrame(META["cases"])
    assert len(META["commit"]) == 40
    for _, some in cases.groupby(["recipe", "format", "power_of_two"]):
        assert set(some.kind) >= {"normal", "outliers", "tiny", "subnormal", "zeros", "allzero", "wide"}
        assert set(some.source) == {"float32", "bfloat16"}
        assert any(VECTORS[x].shape[1] % fp8.BLOCK and VECTORS[x].shape[0] % fp8.BLOCK for x in some.x)  # ragged
        assert set(some.amax_epsilon) == {0.0, 1e-4}
    assert cases.groupby(["recipe", "format", "power_of_two"]).ngroups == len(fp8.RECIPES) * 2 * 2


DELAYED = pd.read_csv(DATA / "fp8" / "transformer_engine_delayed.csv", comment="#", dtype={"history": str})
RUN = ["format", "algorithm", "margin", "length", "amaxes"]


@pytest.mark.parametrize(
    "key", list(DELAYED[RUN].drop_duplicates().itertuples(index=False)), ids=lambda k: "-".join(map(str, k))
)
def test_delayed_scaling_bit_for_bit_with_transformer_engine(key):
    steps = DELAYED[(DELAYED[RUN] == list(key)).all(axis=1)]
    state = fp8.delayed(key.length, key.format, key.margin, key.algorithm)
    for row in steps.itertuples():
        state = fp8.update(fp8.observe(state, row.amax))
        history = [float(np.float32(x)) for x in row.history.split()]
        assert np.float32(state.scale) == np.float32(row.scale)
        assert list(state.history) == history
        # its PyTorch reference multiplies by a rounded reciprocal where the kernel divides
        assert row.scale_pytorch == pytest.approx(row.scale, rel=2.0**-23)


@pytest.mark.parametrize("format", list(fp8.FORMATS))
def test_casts_of_every_bfloat16(format):
    every = np.arange(2**16, dtype=np.uint16).view(ml_dtypes.bfloat16)
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(
            bits(fp8.cast(every, format, saturate=False)), bits(every.astype(np.float32).astype(fp8.FORMATS[format]))
        )
    limit = fp8.largest(format)
    saturated = fp8.cast(every, format).astype(np.float32)
    wide = every.astype(np.float32)
    assert np.all(saturated[wide >= limit] == limit)
    assert np.all(np.isnan(saturated) == np.isnan(wide))


@pytest.mark.parametrize("format", list(fp8.FORMATS))
def test_casts_of_a_million_random_float32(format):
    rng = np.random.default_rng(1)
    patterns = rng.integers(0, 2**32, 1_000_000, dtype=np.uint32).view(np.float32)
    with np.errstate(invalid="ignore"):
        expected = patterns.astype(fp8.FORMATS[format])
        clipped = np.clip(patterns, -fp8.largest(format), fp8.largest(format)).astype(fp8.FORMATS[format])
    np.testing.assert_array_equal(bits(fp8.cast(patterns, format, saturate=False)), bits(expected))
    canonical = np.where(np.isnan(patterns), NAN, bits(clipped))
    np.testing.assert_array_equal(bits(fp8.cast(patterns, format)), canonical)


@pytest.mark.parametrize("format", list(fp8.FORMATS))
@given(x=finite)
def test_rounding_to_the_nearest(format, x):
    table = fp8.values(format).astype(np.float64)
    got = float(fp8.cast([x], format).astype(np.float64)[0])
    clipped = float(np.clip(x, table[0], table[-1]))
    assert abs(got - clipped) == np.min(np.abs(table - clipped))  # at most half a unit in the last place
    assert fp8.cast([got], format).astype(float)[0] == got  # idempotent
    assert fp8.cast([-x], format).astype(float)[0] == -got  # symmetric


@pytest.mark.parametrize("format", list(fp8.FORMATS))
@given(a=finite, b=finite)
def test_monotone(format, a, b):
    low, high = fp8.cast([min(a, b), max(a, b)], format).astype(float)
    assert low <= high


@pytest.mark.parametrize("recipe", fp8.RECIPES)
@given(seed=st.integers(0, 2**16), power=st.integers(-20, 20))
def test_scale_invariance_by_powers_of_two(recipe, seed, power):
    x = np.random.default_rng(seed).standard_normal((5, 200)).astype(np.float32)
    codes, scale_inv = fp8.quantize(x, recipe=recipe)
    again, scale_again = fp8.quantize(np.ldexp(x, power), recipe=recipe)
    np.testing.assert_array_equal(bits(codes), bits(again))
    np.testing.assert_array_equal(np.ldexp(scale_inv, power), scale_again)


@pytest.mark.parametrize("recipe", fp8.RECIPES)
@pytest.mark.parametrize("shape", [(3, 5), (200, 130), (2, 4, 260)])
def test_there_and_back(recipe, shape):
    x = np.random.default_rng(3).standard_normal(shape).astype(np.float32)
    codes, scale_inv = fp8.quantize(x, recipe=recipe)
    back = fp8.dequantize(codes, scale_inv)
    assert back.shape == x.shape
    error = np.abs(back - x)
    assert np.all(error <= np.maximum(np.abs(x) * 2.0**-4, np.max(scale_inv) * 2.0**-10) * 1.0001)


def test_block_scales_cover_ragged_edges():
    x = np.ones((130, 300), np.float32)
    x[129, 299] = 1000.0
    _, by_row = fp8.quantize(x, recipe="block_1x128")
    _, by_square = fp8.quantize(x, recipe="block_128x128")
    assert by_row.shape == (130, 3)
    assert by_square.shape == (2, 3)
    assert np.unique(by_square).size == 2


def test_delayed_scaling_follows_the_history():
    state = fp8.delayed(3, margin=1)
    scales = []
    for amax in (2.0, 8.0, 1.0, 1.0, 1.0, 0.0, float("inf")):
        state = fp8.update(fp8.observe(state, amax))
        scales.append(state.scale)
    assert scales[:5] == [112.0, 28.0, 28.0, 28.0, 224.0]
    assert scales[6] == scales[5]  # not finite: unchanged
    assert state.history[0] == 0.0
    recent = fp8.update(fp8.observe(fp8.delayed(3, algorithm="most_recent", format="e5m2"), 2.0))
    assert recent.scale == 57344 / 2


def test_delayed_scaling_saturates_a_sudden_spike():
    codes, _, state = fp8.quantize_delayed([1.0], fp8.delayed(4))
    codes, scale_inv, _ = fp8.quantize_delayed([100.0], state)
    clipped = float(codes.astype(float)[0] * scale_inv)  # to the magnitude of the step before
    assert clipped == pytest.approx(1.0, rel=1e-6)


@pytest.mark.parametrize(
    ("kwargs", "word"), [({"format": "e3m4"}, "format"), ({"recipe": "column"}, "recipe"), ({"x": ["a"]}, "x")]
)
def test_unknown_words_are_refused(kwargs, word):
    with pytest.raises(InputError, match=word):
        fp8.quantize(**{"x": [1.0], **kwargs})
