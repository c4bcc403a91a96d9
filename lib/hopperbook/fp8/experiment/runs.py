"""One training run: a recipe, a seed, a curve of losses and what casts lost on the way."""

from __future__ import annotations

from typing import Any

import numpy as np

from hopperbook.fp8.experiment.model import Setup, loss_and_gradients, start
from hopperbook.fp8.experiment.recipes import RECIPES, Array, Recipe, Run
from hopperbook.fp8.experiment.text import encode

__all__ = ["RECIPES", "train"]


def train(
    recipe: Recipe, seed: int, setup: Setup | None = None, every: int = 10, watch_every: int = 20
) -> tuple[list[dict[str, Any]], dict[str, Any], Run]:
    """Train one model.

    Parameters
    ----------
    recipe : Recipe
        How linear layers hold their operands.
    seed : int
        Of weights and batches: the same for every recipe, so that only the format differs.
    setup : Setup, optional
        Sizes; the stored experiment's by default.
    every : int
        Steps that a point of the curve averages.
    watch_every : int
        Every so many steps casts are counted.

    Returns
    -------
    curve : list of dict
        ``step`` and ``loss`` in nats a character.
    result : dict
        ``held_out`` loss in nats, and per kind of tensor the shares clipped and lost to zero.
    run : Run
        Counts and exponents.

    Notes
    -----
    Source: ``nvidia-transformer-engine`` for the recipes, ``kingma-2014-adam``.

    Examples
    --------
    >>> small = Setup(width=16, layers=1, heads=2, length=8, batch=2, steps=4)
    >>> curve, result, _ = train(RECIPES[0], 0, small, every=2)
    >>> [point["step"] for point in curve]
    [2, 4]
    """
    setup = setup or Setup()
    codes, vocabulary, _ = encode(setup.characters)
    border = int(0.9 * len(codes))
    w, run, rng = start(setup, vocabulary, seed), Run(recipe), np.random.default_rng(1000 + seed)
    moments = {k: (np.zeros_like(v), np.zeros_like(v)) for k, v in w.items()}
    window, curve = [], []
    for step in range(setup.steps):
        run.watch = step % watch_every == watch_every - 1
        at = rng.integers(0, border - setup.length - 1, setup.batch)
        loss, g = loss_and_gradients(run, setup, w, codes[at[:, None] + np.arange(setup.length + 1)])
        _adam(w, g, moments, step, setup)
        window.append(loss)
        if len(window) == every:
            curve.append({"step": step + 1, "loss": float(np.mean(window))})
            window = []
    run.watch = False
    result: dict[str, Any] = {"held_out": _held_out(run, setup, w, codes[border:])}
    for kind, (total, clipped, zeroed) in run.counts.items():
        result |= {f"{kind}_clipped": clipped / max(total, 1), f"{kind}_zeroed": zeroed / max(total, 1)}
    return curve, result, run


def _held_out(run: Run, setup: Setup, w: dict[str, Array], codes: Array, count: int = 8) -> float:
    """Mean loss of evenly spread batches of text that was not trained on, in nats a character."""
    at = np.linspace(0, len(codes) - setup.length - 1, count * setup.batch).astype(int)
    batches = codes[at[:, None] + np.arange(setup.length + 1)].reshape(count, setup.batch, -1)
    return float(np.mean([loss_and_gradients(run, setup, w, b, learn=False)[0] for b in batches]))


def _adam(w: dict[str, Array], g: dict[str, Array], moments: dict[str, Any], step: int, setup: Setup) -> None:
    """Take a step of Adam in float32 with a short warm-up and a cosine to a tenth."""
    warm = max(1, setup.steps // 20)
    share = min(1.0, (step + 1) / warm) * (0.55 + 0.45 * np.cos(np.pi * step / setup.steps))
    rate = np.float32(setup.rate * share)
    for name, weight in w.items():
        m, v = moments[name]
        m += np.float32(0.1) * (g[name] - m)
        v += np.float32(0.05) * (g[name] * g[name] - v)
        up, down = 1 - 0.9 ** (step + 1), 1 - 0.95 ** (step + 1)
        weight -= rate * (m / np.float32(up)) / (np.sqrt(v / np.float32(down)) + np.float32(1e-8))
