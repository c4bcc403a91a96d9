"""A small language model trained in FP32, BF16 and FP8 side by side, forward and backward written out.

``python -m hopperbook.fp8_training`` repeats the whole experiment in under two minutes on two cores and writes
``data/fp8/training.csv``, ``exponents.csv`` and ``training.yaml``.  A transformer with causal attention learns to
predict the next character of Python's own documentation.  In the FP8 runs every linear layer of the blocks is quantised
three times a step, as Transformer Engine does it: activations and weights forward, gradients backward; head, embedding,
attention, norms and residuals stay in BF16, master weights and Adam's moments in FP32.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import pydoc_data.topics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from hopperbook import facts, fp8
from hopperbook.errors import InputError

Array = np.ndarray
COMMAND = "python -m hopperbook.fp8_training"
KINDS = ("weight", "activation", "gradient")
LINEAR = ("qkv", "out", "up", "down")
#: A start with larger weights and embeddings, whose gradients FP8 holds even without a scale.
WIDE_START = {"spread": 0.088, "embedding_spread": 0.5}
#: Bins of the histogram of exponents; zeros are counted apart.
EXPONENTS = np.arange(-40, 17)
#: Value of each code: looking it up is faster than a cast.
VALUES = {name: np.arange(256, dtype=np.uint8).view(dtype).astype(np.float32) for name, dtype in fp8.FORMATS.items()}


@dataclass(frozen=True)
class Recipe:
    """How the linear layers hold their operands.

    Parameters
    ----------
    name : str
        Word used in tables.
    scaling : str
        ``fp32`` or ``bf16`` (no FP8), ``none`` (scale 1), ``delayed``, ``current`` or ``block``.
    forward, gradient : str
        FP8 formats of weights and activations, and of gradients.
    """

    name: str
    scaling: str
    forward: str = "e4m3"
    gradient: str = "e5m2"


RECIPES = (
    Recipe("FP32", "fp32"),
    Recipe("BF16", "bf16"),
    Recipe("FP8 delayed", "delayed"),
    Recipe("FP8 current", "current"),
    Recipe("FP8 block", "block", gradient="e4m3"),
    Recipe("FP8 unscaled", "none"),
)


@dataclass(frozen=True)
class Setup:
    """Size of the model and of the run.

    Parameters
    ----------
    width, layers, heads, length, batch, steps : int
        Width of the residual stream, blocks, attention heads, characters of a sequence, sequences and steps.
    rate : float
        Peak learning rate of Adam.
    characters : int
        Prefix of the text that is used; its last tenth is held out.
    spread, embedding_spread : float
        Standard deviation of the first weights, and of embeddings.
    """

    width: int = 128
    layers: int = 2
    heads: int = 4
    length: int = 64
    batch: int = 8
    steps: int = 160
    rate: float = 3e-3
    characters: int = 400_000
    spread: float = 0.04
    embedding_spread: float = 0.3


@dataclass
class Run:
    """What a run carries along: its recipe, delayed scales by tensor, and counts of what casts lost."""

    recipe: Recipe
    scales: dict[str, fp8.DelayedScaling] = field(default_factory=dict)
    watch: bool = False
    counts: dict[str, Array] = field(default_factory=lambda: {k: np.zeros(3, np.int64) for k in KINDS})
    exponents: dict[str, Array] = field(default_factory=lambda: {k: np.zeros(len(EXPONENTS), np.int64) for k in KINDS})


def text(characters: int) -> str:
    """Return the start of Python's own documentation of its language.

    Parameters
    ----------
    characters : int
        Length of the prefix.

    Returns
    -------
    str
        Topics in alphabetical order, each under its name.

    Examples
    --------
    >>> text(6)
    'assert'
    """
    topics: dict[str, str] = pydoc_data.topics.topics
    return "\n".join(f"{name}\n{topics[name]}" for name in sorted(topics))[:characters]


def corpus(characters: int) -> tuple[Array, int, str]:
    """Number the characters of the text.

    Parameters
    ----------
    characters : int
        Length of the prefix.

    Returns
    -------
    codes : ndarray of int
        One number a character.
    vocabulary : int
        Distinct characters.
    digest : str
        SHA-256 of the text.

    Examples
    --------
    >>> codes, vocabulary, _ = corpus(1000)
    >>> len(codes), int(codes.max()) + 1 == vocabulary
    (1000, True)
    """
    words = text(characters)
    letters = sorted(set(words))
    place = {letter: i for i, letter in enumerate(letters)}
    return np.array([place[c] for c in words]), len(letters), hashlib.sha256(words.encode()).hexdigest()


def to_bf16(x: Array) -> Array:
    """Round float32 values to BF16, to nearest even, and keep them as float32.

    Parameters
    ----------
    x : ndarray of float32
        Finite values.

    Returns
    -------
    ndarray of float32
        Rounded values.

    Examples
    --------
    >>> to_bf16(np.array([1.00390625, 3.14159], np.float32)).tolist()
    [1.0, 3.140625]
    """
    u = np.ascontiguousarray(x).view(np.uint32)
    return ((u + np.uint32(0x7FFF) + ((u >> np.uint32(16)) & np.uint32(1))) & np.uint32(0xFFFF0000)).view(np.float32)


def held(run: Run, x: Array, kind: str, name: str) -> Array:
    """Return the values that a tensor has once the recipe's format holds it.

    Parameters
    ----------
    run : Run
        Recipe and state; counts grow while ``run.watch`` is true.
    x : ndarray of float32, shape (rows, k)
        The tensor; block scaling runs along its last axis.
    kind : str
        ``weight``, ``activation`` or ``gradient``.
    name : str
        Which tensor, for the history of delayed scaling.

    Returns
    -------
    ndarray of float32
        Values of x's shape.

    Examples
    --------
    >>> held(Run(Recipe("a", "none")), np.array([[1.03, 1e-4]], np.float32), "weight", "w").tolist()
    [[1.0, 0.0]]
    """
    scaling = run.recipe.scaling
    if scaling == "fp32":
        return x
    if scaling == "bf16":
        return to_bf16(x)
    form = run.recipe.gradient if kind == "gradient" else run.recipe.forward
    inverse: Any = np.float32(1)
    if scaling == "none":
        codes = fp8.cast(x, form)
    elif scaling == "delayed":
        state = run.scales.get(name) or fp8.delayed(format=form)
        codes, inverse, run.scales[name] = fp8.quantize_delayed(x, state)
    elif scaling == "current":
        codes, inverse = fp8.quantize(x, form)
    else:
        blocks = "block_128x128" if kind == "weight" else "block_1x128"
        codes, inverse = fp8.quantize(x, form, blocks, power_of_two=True)
    y = fp8.dequantize(VALUES[form].take(codes.view(np.uint8)), inverse)
    if run.watch:
        _count(run, x, y, codes, kind, form)
    return y


def _count(run: Run, x: Array, y: Array, codes: Array, kind: str, form: str) -> None:
    """Count values, those clipped to the largest one, and those that became zero; and their exponents."""
    nonzero = x != 0
    limit = np.float32(fp8.largest(form))
    clipped = (np.abs(codes.astype(np.float32)) == limit) & (np.abs(x) > np.abs(y) * np.float32(1 + 1e-5))
    run.counts[kind] += np.array([x.size, clipped.sum(), (nonzero & (y == 0)).sum()], np.int64)
    exponent = np.clip(np.frexp(x[nonzero])[1] - 1, EXPONENTS[0], EXPONENTS[-1])
    run.exponents[kind] += np.bincount(exponent - EXPONENTS[0], minlength=len(EXPONENTS))


def rest(run: Run, x: Array) -> Array:
    """Return values as everything outside the linear layers holds them: BF16, or FP32 in that run."""
    return x if run.recipe.scaling == "fp32" else to_bf16(x)


def linear(run: Run, x: Array, w: Array, name: str) -> tuple[Array, Callable[[Array], tuple[Array, Array]]]:
    r"""Multiply by a weight in the recipe's format.

    .. math:: y = q(x) q(w), \quad dx = q(dy) q(w)^T, \quad dw = q(x)^T q(dy)

    Parameters
    ----------
    run : Run
        Recipe and state.
    x : ndarray, shape (tokens, k)
        Activations.
    w : ndarray, shape (k, n)
        Master weight.
    name : str
        Name of the layer.

    Returns
    -------
    y : ndarray, shape (tokens, n)
        The product.
    backward : callable
        Takes the gradient of y, returns those of x and w.

    Examples
    --------
    >>> y, backward = linear(Run(RECIPES[0]), np.ones((1, 2), np.float32), np.ones((2, 3), np.float32), "w")
    >>> y.tolist(), backward(y)[1].shape
    ([[2.0, 2.0, 2.0]], (2, 3))
    """
    xq, wq = held(run, x, "activation", name + ".x"), held(run, w, "weight", name + ".w")

    def backward(dy: Array) -> tuple[Array, Array]:
        dyq = held(run, dy, "gradient", name + ".dy")
        dx = rest(run, dyq @ wq.T)
        if run.recipe.scaling != "block":
            return dx, xq.T @ dyq
        watch, run.watch = run.watch, False  # blocks along the tokens: quantised once more, transposed
        xt, dyt = held(run, x.T.copy(), "activation", name), held(run, dy.T.copy(), "gradient", name)
        run.watch = watch
        return dx, xt @ dyt.T

    return rest(run, xq @ wq), backward


def start(setup: Setup, vocabulary: int, seed: int) -> dict[str, Array]:
    """Draw the weights.

    Parameters
    ----------
    setup : Setup
        Sizes.
    vocabulary : int
        Distinct characters.
    seed : int
        Of the draw.

    Returns
    -------
    dict of ndarray
        Float32 arrays by name.

    Examples
    --------
    >>> sorted(start(Setup(layers=1), 50, 0))[:3]
    ['0.down', '0.norm1', '0.norm2']
    """
    rng, d = np.random.default_rng(seed), setup.width
    shapes = {"embedding": (vocabulary, d), "position": (setup.length, d), "head": (d, vocabulary)}
    for i in range(setup.layers):
        shapes |= {f"{i}.qkv": (d, 3 * d), f"{i}.out": (d, d), f"{i}.up": (d, 4 * d), f"{i}.down": (4 * d, d)}
    weights = {
        name: (rng.standard_normal(shape) * _spread(setup, name)).astype(np.float32) for name, shape in shapes.items()
    }
    norms = [f"{i}.norm{j}" for i in range(setup.layers) for j in (1, 2)] + ["norm"]
    return weights | {name: np.ones(d, np.float32) for name in norms}


def _spread(setup: Setup, name: str) -> float:
    """Standard deviation of a weight's first values; smaller where a layer writes into the residual stream."""
    if name in ("embedding", "position"):
        return setup.embedding_spread
    return setup.spread / (np.sqrt(2 * setup.layers) if name.endswith(("out", "down")) else 1)


def _norm(x: Array, g: Array) -> tuple[Array, Callable[[Array], tuple[Array, Array]]]:
    """Divide by the root mean square and multiply by a gain."""
    inverse = 1 / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + 1e-6)
    n = x * inverse

    def backward(dy: Array) -> tuple[Array, Array]:
        dn = dy * g
        return inverse * (dn - n * np.mean(dn * n, axis=-1, keepdims=True)), np.sum(dy * n, axis=0)

    return n * g, backward


def _silu(x: Array) -> tuple[Array, Callable[[Array], Array]]:
    s = 1 / (1 + np.exp(-x))
    return x * s, lambda dy: dy * s * (1 + x * (1 - s))


def _attention(setup: Setup, qkv: Array) -> tuple[Array, Callable[[Array], Array]]:
    """Causal attention over (tokens, 3 width)."""
    d, t = setup.width // setup.heads, setup.length
    split = qkv.reshape(-1, t, 3, setup.heads, d).transpose(2, 0, 3, 1, 4)
    q, k, v = (np.ascontiguousarray(part) for part in split)
    scale = qkv.dtype.type(d**-0.5)
    scores = (q @ k.swapaxes(-1, -2)) * scale
    scores[..., np.triu_indices(t, 1)[0], np.triu_indices(t, 1)[1]] = -np.inf
    p = np.exp(scores - scores.max(axis=-1, keepdims=True))
    p /= p.sum(axis=-1, keepdims=True)
    joined = (p @ v).transpose(0, 2, 1, 3).reshape(-1, setup.width)

    def backward(dy: Array) -> Array:
        do = np.ascontiguousarray(dy.reshape(-1, t, setup.heads, d).transpose(0, 2, 1, 3))
        dp = do @ v.swapaxes(-1, -2)
        ds = p * (dp - np.sum(dp * p, axis=-1, keepdims=True)) * scale
        parts = np.stack([ds @ k, ds.swapaxes(-1, -2) @ q, p.swapaxes(-1, -2) @ do])
        return parts.transpose(1, 3, 0, 2, 4).reshape(-1, 3 * setup.width)

    return joined, backward


def loss_and_gradients(
    run: Run, setup: Setup, w: dict[str, Array], tokens: Array, learn: bool = True
) -> tuple[float, dict[str, Array]]:
    r"""Mean cross-entropy of the next character, and its gradients.

    .. math:: L = -\frac{1}{N} \sum \log p(c_{i+1} \mid c_{\le i})

    Parameters
    ----------
    run : Run
        Recipe and state.
    setup : Setup
        Sizes.
    w : dict of ndarray
        Weights.
    tokens : ndarray of int, shape (batch, length + 1)
        Characters.
    learn : bool
        False to leave the gradients out.

    Returns
    -------
    loss : float
        Nats a character.
    gradients : dict of ndarray
        Of every weight.

    Examples
    --------
    >>> setup = Setup(width=8, layers=1, heads=2, length=4)
    >>> loss, _ = loss_and_gradients(Run(RECIPES[0]), setup, start(setup, 10, 0), np.zeros((2, 5), int))
    >>> bool(abs(loss - np.log(10)) < 0.1)
    True
    """
    source, target = tokens[:, :-1].ravel(), tokens[:, 1:].ravel()
    x = rest(run, w["embedding"][source] + np.tile(w["position"], (len(tokens), 1)))
    undo = []
    for i in range(setup.layers):
        x, backward = _block(run, setup, w, x, i)
        undo.append(backward)
    h, norm_back = _norm(x, w["norm"])
    h, head = rest(run, h), rest(run, w["head"])
    logits = h @ head
    logits -= logits.max(axis=-1, keepdims=True)
    p = np.exp(logits)
    p /= p.sum(axis=-1, keepdims=True)
    rows = np.arange(len(target))
    loss = float(-np.mean(np.log(p[rows, target])))
    if not learn:
        return loss, {}
    p[rows, target] -= 1
    d = rest(run, p / len(target))
    g = {"head": h.T @ d}
    dx, g["norm"] = norm_back(d @ head.T)
    dx = rest(run, dx)
    for backward in reversed(undo):
        dx = backward(dx, g)
    g["embedding"] = np.zeros_like(w["embedding"])
    np.add.at(g["embedding"], source, dx)
    g["position"] = dx.reshape(len(tokens), setup.length, -1).sum(axis=0)
    return loss, g


def _block(run: Run, setup: Setup, w: dict[str, Array], x: Array, i: int) -> tuple[Array, Callable[..., Array]]:
    """One layer: attention and a two-layer perceptron, each behind a norm and a residual."""
    n1, norm1 = _norm(x, w[f"{i}.norm1"])
    qkv, qkv_back = linear(run, rest(run, n1), w[f"{i}.qkv"], f"{i}.qkv")
    a, attention_back = _attention(setup, qkv)
    o, out_back = linear(run, rest(run, a), w[f"{i}.out"], f"{i}.out")
    middle = rest(run, x + o)
    n2, norm2 = _norm(middle, w[f"{i}.norm2"])
    u, up_back = linear(run, rest(run, n2), w[f"{i}.up"], f"{i}.up")
    s, silu_back = _silu(u)
    down, down_back = linear(run, rest(run, s), w[f"{i}.down"], f"{i}.down")

    def backward(dy: Array, g: dict[str, Array]) -> Array:
        ds, g[f"{i}.down"] = down_back(dy)
        dn, g[f"{i}.up"] = up_back(rest(run, silu_back(ds)))
        dm, g[f"{i}.norm2"] = norm2(dn)
        dm = rest(run, dm + dy)
        da, g[f"{i}.out"] = out_back(dm)
        dn, g[f"{i}.qkv"] = qkv_back(rest(run, attention_back(da)))
        dx, g[f"{i}.norm1"] = norm1(dn)
        return rest(run, dx + dm)

    return rest(run, middle + down), backward


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
    codes, vocabulary, _ = corpus(setup.characters)
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
    count = 8
    at = np.linspace(border, len(codes) - setup.length - 1, count * setup.batch).astype(int)
    batches = codes[at[:, None] + np.arange(setup.length + 1)].reshape(count, setup.batch, -1)
    held_out = float(np.mean([loss_and_gradients(run, setup, w, b, learn=False)[0] for b in batches]))
    result: dict[str, Any] = {"held_out": held_out}
    for kind, (total, clipped, zeroed) in run.counts.items():
        result |= {f"{kind}_clipped": clipped / max(total, 1), f"{kind}_zeroed": zeroed / max(total, 1)}
    return curve, result, run


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


def _job(job: tuple[Recipe, int, Setup]) -> tuple[str, int, list[dict[str, Any]], dict[str, Any], dict[str, Array]]:
    curve, result, run = train(*job)
    return job[0].name, job[1], curve, result, run.exponents


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
    jobs = [(recipe, seed, setup) for recipe in RECIPES[::-1] for seed in seeds]
    jobs += [(recipe, seeds[0], wide) for recipe in RECIPES if recipe.scaling in ("bf16", "none")]
    os.environ.update(dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1"))  # a core each
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        results = pool.map(_job, jobs, chunksize=1)
    count = len(RECIPES) * len(seeds)
    done = sorted(results[:count], key=lambda r: ([x.name for x in RECIPES].index(r[0]), r[1]))
    large = [{"recipe": r, "seed": s, **result} for r, s, _, result, _ in results[count:]]
    curves = [{"recipe": r, "seed": s, **point} for r, s, curve, _, _ in done for point in curve]
    finals = [{"recipe": r, "seed": s, **result} for r, s, _, result, _ in done]
    rows = _exponent_rows([(r, e) for r, _, _, _, e in done])
    about = _about(setup, list(seeds), finals, large)
    _write(folder, curves, rows, about)
    return about | {"seconds": time.perf_counter() - began}


def _exponent_rows(done: list[tuple[str, dict[str, Array]]]) -> list[dict[str, Any]]:
    """Share of the nonzero values of each kind in each power of two, in the run with current scaling."""
    rows = []
    for kind in KINDS:
        total = np.sum([e[kind] for recipe, e in done if recipe == "FP8 current"], axis=0)
        share = total / max(1, total.sum())
        rows += [{"kind": kind, "exponent": int(x), "share": float(s)} for x, s in zip(EXPONENTS, share, strict=True)]
    return [row for row in rows if float(str(row["share"])) > 0]


def _about(setup: Setup, seeds: list[int], finals: list[dict[str, Any]], large: list[dict[str, Any]]) -> dict[str, Any]:
    codes, vocabulary, digest = corpus(setup.characters)
    model = start(setup, vocabulary, 0)
    return {
        "command": COMMAND,
        "text": "pydoc_data.topics of the standard library, topics sorted by name",
        "sha256": digest,
        "vocabulary": vocabulary,
        "parameters": sum(v.size for v in model.values()),
        "quantised": sum(v.size for k, v in model.items() if k.split(".")[-1] in LINEAR),
        "setup": dict(vars(setup)),
        "seeds": seeds,
        "runs": [{k: _short(v) for k, v in row.items()} for row in finals],
        "wide_start": dict(WIDE_START),
        "wide_runs": [{k: _short(v) for k, v in row.items()} for row in large],
    }


def _short(value: Any) -> Any:
    return float(f"{value:.5g}") if isinstance(value, float | np.floating) else value


def _write(folder: Path, curves: list[dict[str, Any]], exponents: list[dict[str, Any]], about: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    wide = pd.DataFrame(curves).pivot_table(index=["recipe", "step"], columns="seed", values="loss", sort=False)
    wide.columns = [f"seed{c}" for c in wide.columns]
    for name, table in (("training", wide.reset_index()), ("exponents", pd.DataFrame(exponents))):
        body = table.to_csv(index=False, float_format="%.5g", lineterminator="\n")
        (folder / f"{name}.csv").write_text(f"# {COMMAND}\n{body}")
    head = yaml.safe_dump({k: v for k, v in about.items() if not k.endswith("runs")}, sort_keys=False)
    for name in ("runs", "wide_runs"):
        head += f"{name}:\n" + "".join(f"- {json.dumps(row)}\n" for row in about[name])
    (folder / "training.yaml").write_text(f"# {COMMAND}\n{head}")


def stored() -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Read the stored experiment.

    Returns
    -------
    curves : DataFrame
        ``recipe step seed loss``, nats a character.
    finals : DataFrame
        ``recipe seed held_out`` and shares of casts clipped and zeroed by kind of tensor.
    exponents : DataFrame
        ``kind exponent share``.
    about : dict
        Command, text, sizes.

    Examples
    --------
    >>> curves, finals, _, about = stored()
    >>> about["command"]
    'python -m hopperbook.fp8_training'
    """
    folder = facts.DATA / "fp8"
    wide = pd.read_csv(folder / "training.csv", comment="#")
    curves = wide.melt(["recipe", "step"], var_name="seed", value_name="loss")
    curves["seed"] = curves.seed.str.removeprefix("seed").astype(int)
    about = yaml.safe_load((folder / "training.yaml").read_text())
    return curves, pd.DataFrame(about["runs"]), pd.read_csv(folder / "exponents.csv", comment="#"), about


def published() -> dict[str, Any]:
    """Return what others measured of Hopper's FP8 accumulator, from ``data/fp8/published.yaml``.

    Returns
    -------
    dict
        ``bits``, ``promote_every`` products, ``error`` as a fraction at ``error_at_k``, ``source``.

    Examples
    --------
    >>> published()["bits"]
    14
    """
    return yaml.safe_load((facts.DATA / "fp8" / "published.yaml").read_text())["accumulator"]


def summary(finals: pd.DataFrame) -> pd.DataFrame:
    """Compare recipes over seeds, each seed with the same seed in BF16.

    Parameters
    ----------
    finals : DataFrame
        From :func:`stored`.

    Returns
    -------
    DataFrame
        One row a recipe: mean, least and greatest held-out loss; mean, least and greatest difference to BF16; shares.

    Examples
    --------
    >>> table = summary(stored()[1])
    >>> float(table[table.recipe == "BF16"].over_bf16.iloc[0])
    0.0
    """
    base = finals[finals.recipe == "BF16"].set_index("seed").held_out
    rows = finals.assign(over=finals.held_out - finals.seed.map(base))
    grouped = rows.groupby("recipe", sort=False)
    table = grouped.held_out.agg(["mean", "min", "max"]).rename(columns={"mean": "loss", "min": "low", "max": "high"})
    for column, how in (("over_bf16", "mean"), ("over_low", "min"), ("over_high", "max")):
        table[column] = getattr(grouped.over, how)()
    shares = [c for c in finals if c.endswith(("_clipped", "_zeroed"))]
    return table.join(grouped[shares].mean()).reset_index()


if __name__ == "__main__":
    told = experiment()
    print(f"{told['seconds']:.0f} s")
    print(summary(pd.DataFrame(told["runs"])).to_string())
