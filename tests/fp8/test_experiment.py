"""The training experiment: its gradients, that it learns, and that the stored results say what the chapter says."""

import functools
import hashlib
import importlib.metadata
import re

import numpy as np
import pytest

from hopperbook import customer, facts, fp8
from hopperbook.fp8 import experiment
from hopperbook.fp8.experiment import model, recipes, repeat, results, runs, text
from hopperbook.fp8.experiment.model import Setup
from hopperbook.fp8.experiment.recipes import RECIPES, Recipe, Run

BY_SCALING = {r.scaling: r for r in RECIPES}

TINY = Setup(width=8, layers=2, heads=2, length=6, batch=2)
SMALL = Setup(width=128, layers=1, heads=4, length=32, batch=4, steps=40, characters=40_000)


def tokens():
    return np.random.default_rng(0).integers(0, 11, (TINY.batch, TINY.length + 1))


@pytest.mark.parametrize("name", sorted(model.start(TINY, 11, 0)))
def test_gradients_against_finite_differences(name):
    rng = np.random.default_rng(1)
    w = {k: v.astype(np.float64) * 3 for k, v in model.start(TINY, 11, 0).items()}
    _, gradients = model.loss_and_gradients(Run(RECIPES[0]), TINY, w, tokens())
    direction = rng.standard_normal(w[name].shape)
    losses = [
        model.loss_and_gradients(Run(RECIPES[0]), TINY, w | {name: w[name] + h * direction}, tokens())[0]
        for h in (1e-5, -1e-5)
    ]
    expected = float(np.sum(gradients[name] * direction))
    assert (losses[0] - losses[1]) / 2e-5 == pytest.approx(expected, rel=1e-5, abs=1e-9)


@functools.cache
def trained(recipe):
    return runs.train(recipe, 0, SMALL)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: r.name)
def test_a_short_run_learns(recipe):
    curve, result, run = trained(recipe)
    assert curve[0]["loss"] - curve[-1]["loss"] > 0.5
    assert 2 < result["held_out"] < 4.7
    assert (run.counts["weight"][0] > 0) == recipe.name.startswith("FP8")


def test_the_same_seed_gives_the_same_run():
    assert runs.train(BY_SCALING["current"], 0, SMALL)[0] == trained(BY_SCALING["current"])[0]


@pytest.mark.parametrize("kind", experiment.KINDS)
@pytest.mark.parametrize("recipe", [BY_SCALING[s] for s in ("current", "row", "block")], ids=lambda r: r.name)
def test_operands_are_what_fp8_holds(recipe, kind):
    x = np.random.default_rng(2).standard_normal((130, 256)).astype(np.float32) * np.float32(1e-6)
    form = recipe.gradient if kind == "gradient" else recipe.forward
    block = "block_128x128" if kind == "weight" else "block_1x128"
    scale = {"current": "current", "row": "row", "block": block}[recipe.scaling]
    expected = fp8.dequantize(*fp8.quantize(x, form, scale, power_of_two=recipe.scaling != "current"))
    np.testing.assert_array_equal(recipes.held(Run(recipe), x, kind, "x"), expected)


@pytest.mark.parametrize("recipe", [BY_SCALING[s] for s in ("row", "block")], ids=lambda r: r.name)
def test_scales_lie_along_the_axis_that_a_product_sums_over(recipe):
    rng = np.random.default_rng(4)
    x, w, dy = (rng.standard_normal(s).astype(np.float32) for s in ((130, 256), (256, 192), (130, 192)))
    x[:, 3], w[5], dy[7] = 1e3, 1e3, 1e3  # a channel of outliers, and a token
    y, backward = model.linear(Run(recipe), x, w, "w")
    dx, dw = backward(dy)
    cast = lambda a, kind: recipes.held(Run(recipe), np.ascontiguousarray(a), kind, "")  # noqa: E731
    blocks = recipe.scaling == "block"
    weight = cast(w, "weight") if blocks else cast(w.T, "weight").T
    np.testing.assert_allclose(y, cast(x, "activation") @ weight, rtol=1e-2)
    np.testing.assert_allclose(dx, cast(dy, "gradient") @ cast(w, "weight").T, rtol=1e-2)
    np.testing.assert_allclose(dw, cast(x.T, "activation") @ cast(dy.T, "gradient").T, rtol=1e-4, atol=1e-2)


def test_the_customers_recipes_are_those_that_were_trained():
    allowed = customer.schema()["properties"]["fp8_recipe"]["enum"]
    assert allowed == [r.scaling for r in RECIPES if r.name.startswith("FP8") and r.scaling != "none"]


def test_counts_of_clipped_and_zeroed():
    run = Run(Recipe("a", "none"), watch=True)
    recipes.held(run, np.array([[500.0, 1.0, 0.0, 1e-4]], np.float32), "activation", "x")
    assert run.counts["activation"].tolist() == [4, 1, 1]
    assert run.exponents["activation"].sum() == 3


def test_delayed_scaling_uses_the_scale_of_the_step_before():
    run = Run(BY_SCALING["delayed"])
    x = np.full((1, 4), 1e-4, np.float32)
    assert np.all(recipes.held(run, x, "activation", "x") == 0)  # the first step has no history yet
    np.testing.assert_allclose(recipes.held(run, x, "activation", "x"), x, rtol=1e-6)


def test_bf16_rounds_as_ml_dtypes_does():
    import ml_dtypes

    x = np.random.default_rng(3).standard_normal(10_000).astype(np.float32)
    np.testing.assert_array_equal(recipes.to_bf16(x), x.astype(ml_dtypes.bfloat16).astype(np.float32))


def test_stored_results_say_what_the_chapter_says():
    curves, finals, exponents, about = experiment.stored()
    assert set(finals.recipe) == {r.name for r in RECIPES}
    assert finals.groupby("recipe").size().eq(len(about["seeds"])).all()
    assert len(about["seeds"]) >= 3
    assert about["setup"] == vars(Setup())
    table = experiment.summary(finals).set_index("recipe")
    scaled = table.loc[["FP32", *(r.name for r in RECIPES if r.scaling in ("delayed", "current", "row", "block"))]]
    assert scaled[["over_low", "over_high"]].abs().to_numpy().max() < 0.02  # nats, every seed
    assert table.loc["FP8 unscaled"].over_low > 0.5
    assert table.loc["FP8 unscaled"].gradient_zeroed > 0.5
    assert scaled.gradient_zeroed.max() < 0.002
    ends = curves[curves.step == curves.step.max()].groupby("recipe").loss.mean()
    assert ends["FP8 unscaled"] > ends["BF16"] + 0.5
    assert exponents.groupby("kind").share.sum().to_numpy() == pytest.approx(1, abs=1e-3)
    wide = {row["recipe"]: row["held_out"] for row in about["wide_runs"]}
    assert wide["FP8 unscaled"] - wide["BF16"] < 0.1


def test_the_stored_results_are_of_the_text_that_is_installed():
    about = experiment.stored()[3]
    words = text.read(about["setup"]["characters"])
    assert len(words) == about["setup"]["characters"] >= 200_000
    assert about["sha256"] == hashlib.sha256(words.encode()).hexdigest() == text.encode(len(words))[2]
    assert about["text"] == text.SOURCE


def test_the_text_is_of_a_pinned_package():
    pinned = re.findall(r"^scipy==(\S+)", (facts.DATA.parent / "requirements.lock").read_text(), re.M)
    assert pinned == [importlib.metadata.version("scipy")]


def test_an_experiment_writes_what_is_read(tmp_path, monkeypatch):
    setup = Setup(width=16, layers=1, heads=2, length=8, batch=2, steps=20, characters=5_000)
    about = repeat.experiment((0, 1), setup, tmp_path / "fp8", workers=1)
    monkeypatch.setattr(results.facts, "DATA", tmp_path)
    curves, finals, _, stored = experiment.stored()
    assert stored == {k: v for k, v in about.items() if k != "seconds"}
    assert len(curves) == len(RECIPES) * 2 * 2
    assert (tmp_path / "fp8" / "training.csv").read_text().startswith(f"# {experiment.COMMAND}\n")
    assert finals.held_out.notna().all()
