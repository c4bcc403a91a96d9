"""The training experiment: its gradients, that it learns, and that the stored results say what the chapter says."""

import hashlib

import numpy as np
import pytest

from hopperbook import fp8, fp8_training
from hopperbook.fp8_training import RECIPES, Recipe, Run, Setup

TINY = Setup(width=8, layers=2, heads=2, length=6, batch=2)
SMALL = Setup(width=128, layers=1, heads=4, length=32, batch=4, steps=40, characters=40_000)


def tokens():
    return np.random.default_rng(0).integers(0, 11, (TINY.batch, TINY.length + 1))


@pytest.mark.parametrize("name", sorted(fp8_training.start(TINY, 11, 0)))
def test_gradients_against_finite_differences(name):
    rng = np.random.default_rng(1)
    w = {k: v.astype(np.float64) * 3 for k, v in fp8_training.start(TINY, 11, 0).items()}
    _, gradients = fp8_training.loss_and_gradients(Run(RECIPES[0]), TINY, w, tokens())
    direction = rng.standard_normal(w[name].shape)
    losses = [
        fp8_training.loss_and_gradients(Run(RECIPES[0]), TINY, w | {name: w[name] + h * direction}, tokens())[0]
        for h in (1e-5, -1e-5)
    ]
    expected = float(np.sum(gradients[name] * direction))
    assert (losses[0] - losses[1]) / 2e-5 == pytest.approx(expected, rel=1e-5, abs=1e-9)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: r.name)
def test_a_short_run_learns(recipe):
    curve, result, run = fp8_training.train(recipe, 0, SMALL)
    assert curve[0]["loss"] - curve[-1]["loss"] > 0.5
    assert 2 < result["held_out"] < 4.7
    assert (run.counts["weight"][0] > 0) == recipe.name.startswith("FP8")


def test_the_same_seed_gives_the_same_run():
    first, second = (fp8_training.train(RECIPES[3], 1, SMALL)[0] for _ in range(2))
    assert first == second


@pytest.mark.parametrize("kind", fp8_training.KINDS)
@pytest.mark.parametrize("recipe", [r for r in RECIPES if r.scaling in ("current", "block")], ids=lambda r: r.name)
def test_operands_are_what_fp8_holds(recipe, kind):
    x = np.random.default_rng(2).standard_normal((130, 256)).astype(np.float32) * np.float32(1e-6)
    form = recipe.gradient if kind == "gradient" else recipe.forward
    scale = {"current": "current", "block": "block_128x128" if kind == "weight" else "block_1x128"}[recipe.scaling]
    expected = fp8.dequantize(*fp8.quantize(x, form, scale, power_of_two=recipe.scaling == "block"))
    np.testing.assert_array_equal(fp8_training.held(Run(recipe), x, kind, "x"), expected)


def test_counts_of_clipped_and_zeroed():
    run = Run(Recipe("a", "none"), watch=True)
    fp8_training.held(run, np.array([[500.0, 1.0, 0.0, 1e-4]], np.float32), "activation", "x")
    assert run.counts["activation"].tolist() == [4, 1, 1]
    assert run.exponents["activation"].sum() == 3


def test_delayed_scaling_uses_the_scale_of_the_step_before():
    run = Run(RECIPES[2])
    x = np.full((1, 4), 1e-4, np.float32)
    assert np.all(fp8_training.held(run, x, "activation", "x") == 0)  # the first step has no history yet
    np.testing.assert_allclose(fp8_training.held(run, x, "activation", "x"), x, rtol=1e-6)


def test_bf16_rounds_as_ml_dtypes_does():
    import ml_dtypes

    x = np.random.default_rng(3).standard_normal(10_000).astype(np.float32)
    np.testing.assert_array_equal(fp8_training.to_bf16(x), x.astype(ml_dtypes.bfloat16).astype(np.float32))


def test_stored_results_say_what_the_chapter_says():
    curves, finals, exponents, about = fp8_training.stored()
    assert set(finals.recipe) == {r.name for r in RECIPES}
    assert finals.groupby("recipe").size().eq(len(about["seeds"])).all()
    assert len(about["seeds"]) >= 3
    assert about["setup"] == vars(Setup())
    table = fp8_training.summary(finals).set_index("recipe")
    scaled = table.loc[["FP32", "FP8 delayed", "FP8 current", "FP8 block"]]
    assert scaled[["over_low", "over_high"]].abs().to_numpy().max() < 0.01  # nats, every seed
    assert table.loc["FP8 unscaled"].over_low > 0.5
    assert table.loc["FP8 unscaled"].gradient_zeroed > 0.5
    assert scaled.gradient_zeroed.max() < 0.002
    ends = curves[curves.step == curves.step.max()].groupby("recipe").loss.mean()
    assert ends["FP8 unscaled"] > ends["BF16"] + 0.5
    assert exponents.groupby("kind").share.sum().to_numpy() == pytest.approx(1, abs=1e-3)
    wide = {row["recipe"]: row["held_out"] for row in about["wide_runs"]}
    assert wide["FP8 unscaled"] - wide["BF16"] < 0.1


def test_the_stored_text_is_named_by_its_digest():
    about = fp8_training.stored()[3]
    words = fp8_training.text(about["setup"]["characters"])
    digest = fp8_training.corpus(about["setup"]["characters"])[2]
    assert digest == hashlib.sha256(words.encode()).hexdigest()
    assert len(about["sha256"]) == 64  # another Python has other documentation; the results are stored


def test_an_experiment_writes_what_is_read(tmp_path, monkeypatch):
    setup = Setup(width=16, layers=1, heads=2, length=8, batch=2, steps=20, characters=5_000)
    about = fp8_training.experiment((0, 1), setup, tmp_path / "fp8", workers=1)
    monkeypatch.setattr(fp8_training.facts, "DATA", tmp_path)
    curves, finals, _, stored = fp8_training.stored()
    assert stored == {k: v for k, v in about.items() if k != "seconds"}
    assert len(curves) == len(RECIPES) * 2 * 2
    assert (tmp_path / "fp8" / "training.csv").read_text().startswith(f"# {fp8_training.COMMAND}\n")
    assert finals.held_out.notna().all()
