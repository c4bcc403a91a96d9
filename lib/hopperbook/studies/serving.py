"""What the chapter on serving computes: floors of a step, where it goes, throughput, long contexts, load, options."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hopperbook import facts, planner, serving
from hopperbook.models import Model, forward_flop, kv_bytes, weight_bytes
from hopperbook.serving.speculation import Speculation, speculate

#: In which order the parts of a decode step are drawn.
STEP_PARTS = ("matrix products", "attention", "element-wise", "all-reduce", "head and host")
#: Prompts whose throughput is compared, and the longest sequence of a model that states no limit.
PROMPT_TOKENS = (1024, 2048, 4096, 8192, 16384, 32768, 65536)
UNSTATED_LIMIT_TOKENS = 131072
CURVE_POINTS = 24
#: Options: share of a prompt in the prefix cache, drafts accepted, drafts a step, tokens of a small step.
SHARED, ACCEPTANCE, DRAFTS, SMALL_STEP_TOKENS = 0.5, 0.7, 3, 2048


def neighbours(users: int) -> list[int]:
    """List the numbers of users around one: a quarter, half, itself, twice and four times.

    Parameters
    ----------
    users : int
        Users.

    Returns
    -------
    list of int
        Ascending, each once, none below 1.

    Examples
    --------
    >>> neighbours(64), neighbours(1)
    ([16, 32, 64, 128, 256], [1, 2, 4])
    """
    return sorted({max(1, users // 4), max(1, users // 2), users, 2 * users, 4 * users})


def longer_prompt(model: Model, prompt_tokens: int, output_tokens: int, times: int = 4) -> int:
    """Return a prompt several times as long, or the longest that leaves the model room for the answer.

    Parameters
    ----------
    model : Model
        The model, and its limit.
    prompt_tokens, output_tokens : int
        Lengths.
    times : int
        How many times as long.

    Returns
    -------
    int
        Tokens.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> longer_prompt(load("llama-3.1-8b"), 2048, 512), longer_prompt(load("llama-3.1-8b"), 65536, 512)
    (8192, 130560)
    """
    longest = (model.context_limit or times * prompt_tokens + output_tokens) - output_tokens
    return min(times * prompt_tokens, longest)


class Floor(NamedTuple):
    """What a decode step must read, and the least time that takes; the least time of a prompt."""

    weights_bytes: float
    cache_bytes: float
    step_s: float
    prompt_s: float


def floor(d: serving.Deployment, model: Model, users: int, prompt_tokens: int, context_tokens: float) -> Floor:
    r"""Work out the floors of a replica: memory read once a step, and a prompt's arithmetic at peak.

    .. math:: t_\mathrm{step} \ge \frac{B_w + u B_\mathrm{kv}}{n b}, \qquad t_\mathrm{prompt} \ge \frac{F}{n P}

    Parameters
    ----------
    d : Deployment
        The replica, of n GPUs with bandwidth b and peak P each.
    model : Model
        Its model as published.
    users : int
        Sequences of the replica, u.
    prompt_tokens : int
        Tokens of a prompt, of F FLOPs.
    context_tokens : float
        Tokens each user holds.

    Returns
    -------
    Floor
        Bytes and seconds.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> llama = load("llama-3.1-8b")
    >>> round(1e3 * floor(serving.deploy(llama, "H100 SXM"), llama, 1, 1024, 1024).step_s, 1)
    4.8
    """
    weights = weight_bytes(model, d.weights)
    cache = users * float(kv_bytes(model, context_tokens, d.kv_precision))
    peaks = d.gpu.dense_flop_per_s
    flop = float(forward_flop(model, prompt_tokens))
    return Floor(
        weights_bytes=weights,
        cache_bytes=cache,
        step_s=(weights + cache) / d.tp / d.gpu.memory_bandwidth_bytes_per_s,
        prompt_s=flop / d.tp / peaks.get(d.weights, peaks["bf16"]),
    )


def step_lanes(parts: dict[str, float]) -> pd.DataFrame:
    """Lay the parts of a decode step one behind the other.

    Parameters
    ----------
    parts : dict of float
        From :func:`hopperbook.serving.step_parts`, seconds.

    Returns
    -------
    DataFrame
        ``lane start_s end_s exposed``; exposed is what nothing hides, the all-reduce.

    Examples
    --------
    >>> lanes = step_lanes(dict.fromkeys(STEP_PARTS, 0.5))
    >>> lanes.end_s.tolist()
    [0.5, 1.0, 1.5, 2.0, 2.5]
    """
    rows, start_s = [], 0.0
    for lane in STEP_PARTS:
        end_s = start_s + parts[lane]
        rows.append({"lane": lane, "start_s": start_s, "end_s": end_s, "exposed": lane == "all-reduce"})
        start_s = end_s
    return pd.DataFrame(rows)


def on_part(d: serving.Deployment, model: Model, gpu: str) -> serving.Deployment:
    """Deploy the same replica on another part, its weights in the eight bits that the part multiplies.

    Parameters
    ----------
    d : Deployment
        The replica.
    model : Model
        Its model as published.
    gpu : str
        Name of the other part.

    Returns
    -------
    Deployment
        As many GPUs of the other part.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> llama = load("llama-3.1-8b")
    >>> on_part(serving.deploy(llama, "H100 SXM", precision="fp8"), llama, "A100 SXM").precision
    'int8'
    """
    precision = planner.counterpart(d.weights, facts.gpu(gpu), model)
    return serving.deploy(model, gpu, tp=d.tp, precision=precision, kv_precision=d.kv_precision)


def batches(d: serving.Deployment, tokens_each: int) -> NDArray[np.int_]:
    """Spread numbers of users evenly on a logarithm, from one to what the cache and the engine hold.

    Parameters
    ----------
    d : Deployment
        The replica.
    tokens_each : int
        Tokens of a sequence.

    Returns
    -------
    ndarray of int
        Ascending, each once.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> found = batches(serving.deploy(load("llama-3.1-8b"), "H100 SXM", precision="bf16"), 2048)
    >>> int(found[0]), int(found[-1])
    (1, 217)
    """
    room = max(2, serving.kv_capacity_tokens(d, tokens_each) // tokens_each)
    return np.unique(np.round(np.geomspace(1, min(d.engine.max_batch, room), CURVE_POINTS)).astype(int))


def throughput(d: serving.Deployment, model: Model, prompt_tokens: int, output_tokens: int) -> pd.DataFrame:
    """Lay out throughput against latency on the parts that the book draws, replicas of as many GPUs.

    Parameters
    ----------
    d : Deployment
        The customer's replica.
    model : Model
        Its model as published.
    prompt_tokens, output_tokens : int
        Lengths.

    Returns
    -------
    DataFrame
        ``tpot_s tokens_per_s_per_gpu gpu users``: one row a part and number of users that its cache holds.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> llama = load("llama-3.1-8b")
    >>> curves = throughput(serving.deploy(llama, "H100 SXM"), llama, 1024, 256)
    >>> within(curves, 20.0).round(-2).to_dict()  # tokens a second and GPU
    {'H200 SXM': 5100.0, 'H100 SXM': 4000.0, 'A100 SXM 80GB': 1100.0}
    """
    users, rows = batches(d, prompt_tokens + output_tokens), []
    for gpu in facts.drawn():
        s = serving.sweep(on_part(d, model, gpu), prompt_tokens, output_tokens, users)
        rows += [
            (tpot_s, rate / d.tp, gpu, int(n))
            for n, rate, tpot_s, fits in zip(s.batch, s.output_tokens_per_s, s.tpot_s, s.fits, strict=True)
            if fits
        ]
    return pd.DataFrame(rows, columns=["tpot_s", "tokens_per_s_per_gpu", "gpu", "users"])


def within(curves: pd.DataFrame, tpot_target_ms: float) -> pd.Series:
    """Return the highest throughput of each part that keeps a target, the highest first.

    Parameters
    ----------
    curves : DataFrame
        From :func:`throughput`.
    tpot_target_ms : float
        Time per token, milliseconds.

    Returns
    -------
    Series
        Output tokens a second and GPU, by part; parts that keep the target with no number of users are left out.

    Examples
    --------
    >>> columns = ["gpu", "tpot_s", "tokens_per_s_per_gpu"]
    >>> curves = pd.DataFrame([("A", 0.01, 90.0), ("A", 0.09, 400.0), ("B", 0.02, 95.0)], columns=columns)
    >>> within(curves, 50.0).to_dict()
    {'B': 95.0, 'A': 90.0}
    """
    kept = curves[1e3 * curves.tpot_s <= tpot_target_ms]
    return kept.groupby("gpu").tokens_per_s_per_gpu.max().sort_values(ascending=False)


def own_curve(curves: pd.DataFrame, gpu: str) -> pd.DataFrame:
    """Return the curve of a part, or all of them where it is not drawn.

    Parameters
    ----------
    curves : DataFrame
        From :func:`throughput`.
    gpu : str
        Name of the part.

    Returns
    -------
    DataFrame
        Rows of ``curves``.

    Examples
    --------
    >>> curves = pd.DataFrame({"gpu": ["A", "B"], "users": [1, 1]})
    >>> len(own_curve(curves, "A")), len(own_curve(curves, "C"))
    (1, 2)
    """
    own = curves[curves.gpu == gpu]
    return own if len(own) else curves


def long_contexts(d: serving.Deployment, model: Model, output_tokens: int) -> pd.DataFrame:
    """Lay out the highest throughput by length of the prompt, on the two newest parts that the book draws.

    Parameters
    ----------
    d : Deployment
        The customer's replica, for its GPUs and formats.
    model : Model
        Its model as published.
    output_tokens : int
        Tokens of an answer.

    Returns
    -------
    DataFrame
        ``x y series batch``: tokens of a prompt, output tokens a second and GPU, part, users at once.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> llama = load("llama-3.1-8b")
    >>> rows = long_contexts(serving.deploy(llama, "H100 SXM"), llama, 512)
    >>> rows.series.unique().tolist()
    ['H100 SXM', 'H200 SXM']
    """
    limit = model.context_limit or UNSTATED_LIMIT_TOKENS
    lengths, rows = [n for n in PROMPT_TOKENS if n + output_tokens <= limit], []
    for gpu in facts.drawn()[-2:]:
        placed = on_part(d, model, gpu)
        for n in lengths:
            rate, batch = serving.offline(placed, n, output_tokens)
            rows.append({"x": n, "y": rate / d.tp, "series": gpu, "batch": batch})
    return pd.DataFrame(rows)


def newest_gain(rows: pd.DataFrame) -> pd.Series:
    """Divide the throughput of the newest part by that of the part before, length by length.

    Parameters
    ----------
    rows : DataFrame
        From :func:`long_contexts`.

    Returns
    -------
    Series
        Ratio by tokens of a prompt.

    Examples
    --------
    >>> before, newest = facts.drawn()[-2:]
    >>> newest_gain(pd.DataFrame({"x": [8, 8], "y": [2.0, 3.0], "series": [before, newest]})).to_dict()
    {8: 1.5}
    """
    before, newest = facts.drawn()[-2:]
    table = rows.pivot(index="x", columns="series", values="y")
    return table[newest] / table[before]


def under_load(d: serving.Deployment, counts: Sequence[int], prompt_tokens: int, output_tokens: int) -> pd.DataFrame:
    """Simulate the closed loop of several numbers of users.

    Parameters
    ----------
    d : Deployment
        The replica.
    counts : sequence of int
        Users of the replica.
    prompt_tokens, output_tokens : int
        Lengths.

    Returns
    -------
    DataFrame
        ``users p50 ttft p95 tpot rate queue``: seconds to the first token (median, mean, 95th percentile),
        milliseconds a token, output tokens a second, and whether requests wait for memory.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> rows = under_load(serving.deploy(load("llama-3.1-8b"), "H100 SXM"), [1, 64], 1024, 128)
    >>> rows.queue.tolist(), rows.tpot.round(1).tolist()
    (['no', 'no'], [6.3, 19.1])
    """
    rows = []
    for users in counts:
        run = serving.closed_loop(d, users, prompt_tokens, output_tokens)
        queue = "yes" if run.waiting_for_memory else "no"
        times = (run.ttft_p50_s, run.ttft_s, run.ttft_p95_s, 1e3 * run.tpot_s)
        rows.append((users, *times, run.output_tokens_per_s, queue))
    return pd.DataFrame(rows, columns=["users", "p50", "ttft", "p95", "tpot", "rate", "queue"])


class Options(NamedTuple):
    """Options that change a load: a prompt read whole and half from the prefix cache, drafts, a small step budget."""

    prompt_s: float
    cached_prompt_s: float
    speculation: Speculation
    small_steps: serving.Loop


def options(d: serving.Deployment, users: int, prompt_tokens: int, output_tokens: int) -> Options:
    """Work out what each option changes, one at a time.

    Parameters
    ----------
    d : Deployment
        The replica.
    users : int
        Users of the replica.
    prompt_tokens, output_tokens : int
        Lengths.

    Returns
    -------
    Options
        Seconds of a prompt with and without half of it cached, speculation, and the loop with steps of 2,048 tokens.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> found = options(serving.deploy(load("llama-3.1-8b"), "H100 SXM"), 16, 4096, 256)
    >>> round(found.cached_prompt_s / found.prompt_s, 1)
    0.5
    """
    new, known = prompt_tokens * (1 - SHARED), prompt_tokens * SHARED
    return Options(
        prompt_s=float(serving.prefill_s(d, prompt_tokens)),
        cached_prompt_s=float(serving.prefill_s(d, new, 1, known)),
        speculation=speculate(d, users, prompt_tokens + output_tokens / 2, ACCEPTANCE, DRAFTS),
        small_steps=serving.closed_loop(d, users, prompt_tokens, output_tokens, step_tokens=SMALL_STEP_TOKENS),
    )
