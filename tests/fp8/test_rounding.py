"""Rounding: values that E4M3 holds, scales that are powers of two, recipes and sums against what they must do."""

import numpy as np
import pytest

from hopperbook.fp8 import largest, values
from hopperbook.fp8.experiment import RECIPES
from hopperbook.fp8.rounding import cast_error, drawn_tensors, sum_error, through

RECIPE = {recipe.scaling: recipe for recipe in RECIPES}


def test_what_a_format_holds_comes_through_unchanged():
    held = values("e4m3")
    assert [through(float(x)) for x in held] == held.tolist()


def test_a_power_of_two_adds_range_and_no_digits():
    assert through(1.03, 128.0) == through(1.03)
    assert through(2.0**-12) == 0.0
    assert through(2.0**-12, 128.0) == 2.0**-12
    assert through(1e6) == largest("e4m3")


def test_sixteen_bits_lose_less_than_any_recipe_of_eight():
    activations, _ = drawn_tensors(512)
    errors = {name: cast_error(RECIPE[name], "activation", activations).error for name in RECIPE}
    assert errors["fp32"] == 0.0
    assert 0 < errors["bf16"] < 2.0**-8
    assert errors["bf16"] < min(errors[name] for name in ("none", "delayed", "current", "row", "block"))


def test_a_delayed_scale_of_this_very_step_is_the_current_one():
    activations, gradients = drawn_tensors(512)
    assert cast_error(RECIPE["delayed"], "activation", activations) == cast_error(
        RECIPE["current"], "activation", activations
    )
    late = cast_error(RECIPE["delayed"], "gradient", gradients, past=0.25)
    assert late.error > cast_error(RECIPE["delayed"], "gradient", gradients).error


def test_small_gradients_vanish_without_a_scale():
    _, gradients = drawn_tensors(512)
    assert cast_error(RECIPE["none"], "gradient", gradients).zeroed > 0.5
    assert cast_error(RECIPE["row"], "gradient", gradients).zeroed < 0.05


def test_a_bit_more_halves_the_error_of_a_long_sum():
    errors = [sum_error(4096, 1, bits=bits) for bits in (12, 14, 16)]
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.5)
    assert errors[1] / errors[2] == pytest.approx(4, rel=0.5)


def test_promotion_takes_the_length_out_of_the_error():
    assert sum_error(8192, 1, bits=14, promote=128) < 0.2 * sum_error(8192, 1, bits=14)


def test_positive_sums_in_float32_are_off_by_little():
    assert sum_error(1024, 3) < 1024 * np.finfo(np.float32).eps
