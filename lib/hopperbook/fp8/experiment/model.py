"""A small transformer, forward and backward written out, its linear layers quantised by a recipe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hopperbook.fp8.experiment.recipes import RECIPES, Array, Run, held, rest, turned

__all__ = ["LINEAR", "RECIPES", "Setup", "linear", "loss_and_gradients", "start"]

#: Layers of a block whose products are quantised.
LINEAR = ("qkv", "out", "up", "down")


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
    steps: int = 120
    rate: float = 3e-3
    characters: int = 240_000
    spread: float = 0.02
    embedding_spread: float = 0.3


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
    ahead = turned(run, w, "weight") if run.recipe.scaling == "row" else wq  # blocks of weights are square

    def backward(dy: Array) -> tuple[Array, Array]:
        dyq = held(run, dy, "gradient", name + ".dy")
        dx = rest(run, dyq @ wq.T)
        if run.recipe.directed:  # this product sums over the tokens
            return dx, turned(run, x, "activation").T @ turned(run, dy, "gradient")
        return dx, xq.T @ dyq

    return rest(run, xq @ ahead), backward


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
