"""The whole experiment: every recipe with every seed, in processes of one thread each."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hopperbook import facts
from hopperbook.errors import InputError
from hopperbook.fp8.experiment import results
from hopperbook.fp8.experiment.model import LINEAR, Setup, start
from hopperbook.fp8.experiment.recipes import EXPONENTS, KINDS, RECIPES, Recipe, Run
from hopperbook.fp8.experiment.runs import train
from hopperbook.fp8.experiment.text import SOURCE, encode

#: A start with larger weights and embeddings, whose gradients FP8 holds even without a scale.
WIDE_START = {"spread": 0.088, "embedding_spread": 0.5}


def _job(job: tuple[Recipe, int, Setup]) -> tuple[dict[str, Any], list[dict[str, Any]], Run]:
    """Train one model; name recipe and seed in its result and in every point of its curve."""
    named = {"recipe": job[0].name, "seed": job[1]}
    curve, result, run = train(*job)
    return named | result, [named | point for point in curve], run


def experiment(
    seeds: Sequence[int] = (0, 1, 2), setup: Setup | None = None, folder: Path | None = None, workers: int = 2
) -> dict[str, Any]:
    """Train every recipe with every seed and store the results.

    Parameters
    ----------
    seeds : sequence of int
        One run of each recipe for each.
    setup : Setup, optional
        Sizes; the stored experiment's by default.
    folder : Path, optional
        Where the three files go; ``data/fp8`` by default.
    workers : int
        Processes.

    Returns
    -------
    dict
        What ``training.yaml`` holds.

    Raises
    ------
    InputError
        If there are no seeds.

    Examples
    --------
    >>> experiment(seeds=())
    Traceback (most recent call last):
    ...
    hopperbook.errors.InputError: seeds: () is not usable; allowed is at least one seed
    """
    if not seeds:
        raise InputError("seeds", seeds, "at least one seed")
    setup, folder = setup or Setup(), folder or facts.DATA / "fp8"
    began = time.perf_counter()
    wide = replace(setup, **WIDE_START)  # type: ignore[arg-type]
    jobs = [(recipe, seed, setup) for recipe in RECIPES for seed in seeds]
    jobs += [(recipe, seeds[0], wide) for recipe in RECIPES if recipe.scaling in ("bf16", "none")]
    os.environ.update(dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1"))  # a core each
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        done = pool.map(_job, jobs, chunksize=1)
    main, large = done[: len(RECIPES) * len(seeds)], done[len(RECIPES) * len(seeds) :]
    about = _about(setup, list(seeds)) | {
        "runs": _short([result for result, _, _ in main]),
        "wide_start": dict(WIDE_START),
        "wide_runs": _short([result for result, _, _ in large]),
    }
    curves = [point for _, curve, _ in main for point in curve]
    results.write(folder, curves, _exponent_rows([run for _, _, run in main if run.recipe.scaling == "current"]), about)
    return about | {"seconds": time.perf_counter() - began}


def _exponent_rows(runs: list[Run]) -> list[dict[str, Any]]:
    """Share of the nonzero values of each kind of tensor in each power of two, over the runs with current scaling."""
    rows: list[dict[str, Any]] = []
    for kind in KINDS:
        total = np.sum([run.exponents[kind] for run in runs], axis=0)
        share = total / max(1, total.sum())
        rows += [{"kind": kind, "exponent": int(x), "share": float(s)} for x, s in zip(EXPONENTS, share, strict=True)]
    return [row for row in rows if row["share"] > 0]


def _about(setup: Setup, seeds: list[int]) -> dict[str, Any]:
    """Say what was trained on what, so that the experiment can be repeated and its text checked."""
    _, vocabulary, digest = encode(setup.characters)
    model = start(setup, vocabulary, 0)
    return {
        "command": results.COMMAND,
        "text": SOURCE,
        "sha256": digest,
        "vocabulary": vocabulary,
        "parameters": sum(v.size for v in model.values()),
        "quantised": sum(v.size for k, v in model.items() if k.split(".")[-1] in LINEAR),
        "setup": dict(vars(setup)),
        "seeds": seeds,
    }


def _short(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Round what was measured to the five digits that are stored."""
    return [{k: float(f"{v:.5g}") if isinstance(v, float | np.floating) else v for k, v in row.items()} for row in rows]
