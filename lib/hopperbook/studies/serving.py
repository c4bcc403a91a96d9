"""What the chapter on serving computes of a replica: floors of a step, where it goes, long contexts, options.

What it computes of load is in :mod:`hopperbook.studies.load`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import pandas as pd

from hopperbook import facts, planner, serving, units
from hopperbook.customer import Customer
from hopperbook.models import Model, cache_bytes, forward_flop, weight_bytes
from hopperbook.planner.fleet import TENSOR_PARALLEL
from hopperbook.planner.load import demand
from hopperbook.planner.stress import changed, dividing, drafting
from hopperbook.planner.tenure import assumptions
from hopperbook.planner.verify import carried

#: In which order the parts of a decode step are drawn.
STEP_PARTS = ("matrix products", "attention", "element-wise", "all-reduce", "head and host")
#: Prompts whose throughput is compared, and the longest sequence of a model that states no limit.
PROMPT_TOKENS = (1024, 2048, 4096, 8192, 16384, 32768, 65536)
UNSTATED_LIMIT_TOKENS = 131072
#: Options: share of a prompt in the prefix cache, and tokens of a small step.
SHARED, SMALL_STEP_TOKENS = 0.5, 2048


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


class Floor(NamedTuple):
    """What a decode step must read, and the least time that takes; the least time of a prompt."""

    weights_bytes: float
    cache_bytes: float
    step_s: float
    prompt_s: float


def floor(d: serving.Deployment, model: Model, running: float, lengths: serving.Lengths) -> Floor:
    r"""Work out the floors of a replica: memory read once a step, and a prompt's arithmetic at peak.

    .. math:: t_\mathrm{step} \ge \frac{B_w + u B_\mathrm{kv}}{n b}, \qquad t_\mathrm{prompt} \ge \frac{F}{n P}

    Parameters
    ----------
    d : Deployment
        The replica, of n GPUs with bandwidth b and peak P each.
    model : Model
        Its model as published.
    running : float
        Sequences that run, u.
    lengths : Lengths
        Of the requests: a prompt takes F FLOPs.

    Returns
    -------
    Floor
        Bytes and seconds.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> llama = load("llama-3.1-8b")
    >>> round(1e3 * floor(serving.deploy(llama, "H100 SXM"), llama, 1, serving.Lengths(1024, 128)).step_s, 1)
    4.8
    """
    weights = weight_bytes(model, d.weights)
    cache = running * float(cache_bytes(model, lengths.met, d.kv_precision))
    peaks = d.gpu.dense_flop_per_s
    flop = float(forward_flop(model, lengths.new, lengths.cached))
    return Floor(
        weights_bytes=weights,
        cache_bytes=cache,
        step_s=(weights + cache) / d.gpus / d.gpu.memory_bandwidth_bytes_per_s,
        prompt_s=flop / d.gpus / peaks.get(d.weights, peaks["bf16"]),
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


def on_part(d: serving.Deployment, model: Model, gpu: str, tp: int = 0) -> serving.Deployment:
    """Deploy the same replica on another part, its weights in the eight bits that the part multiplies.

    Parameters
    ----------
    d : Deployment
        The replica.
    model : Model
        Its model as published.
    gpu : str
        Name of the other part.
    tp : int
        GPUs; as many as the replica has by default.

    Returns
    -------
    Deployment
        The replica on the other part.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> llama = load("llama-3.1-8b")
    >>> on_part(serving.deploy(llama, "H100 SXM", precision="fp8"), llama, "A100 SXM").precision
    'int8'
    """
    precision = planner.counterpart(d.weights, facts.gpu(gpu), model)
    return serving.deploy(model, gpu, tp=tp or d.tp, precision=precision, kv_precision=d.kv_precision)


def long_contexts(d: serving.Deployment, model: Model, output_tokens: int) -> pd.DataFrame:
    """Lay out the highest throughput by length of the prompt, on the two newest parts that the book draws.

    Parameters
    ----------
    d : Deployment
        The customer's replica, for its formats.
    model : Model
        Its model as published.
    output_tokens : int
        Tokens of an answer.

    Returns
    -------
    DataFrame
        ``x y series batch gpus``: tokens of a prompt, output tokens a second and GPU, part, sequences at once, GPUs of
        the replica that writes most for each of them; without the lengths that one of the parts holds in no way.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> llama = load("llama-3.1-8b")
    >>> rows = long_contexts(serving.deploy(llama, "H100 SXM"), llama, 512)
    >>> rows.series.unique().tolist(), int(rows.gpus.max())
    (['H100 SXM', 'H200 SXM'], 1)
    """
    limit = model.context_limit or UNSTATED_LIMIT_TOKENS
    lengths = [n for n in PROMPT_TOKENS if n + output_tokens <= limit] or [PROMPT_TOKENS[0]]
    widths = [tp for tp in TENSOR_PARALLEL if not model.heads % tp]
    rows = []
    for gpu in facts.drawn()[-2:]:
        placed = [on_part(d, model, gpu, tp) for tp in widths]
        for n in lengths:
            found = [(*serving.offline(each, n, output_tokens), each.tp) for each in placed]
            rate, batch, tp = max(found, key=lambda each: (each[0] / each[2], -each[2]))
            rows.append({"x": n, "y": rate / tp, "series": gpu, "batch": batch, "gpus": tp})
    table = pd.DataFrame(rows)
    return table[table.groupby("x").y.transform("min") > 0].reset_index(drop=True)


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


class Option(NamedTuple):
    """A way to run the same replicas: in words, the load within the targets over the plain way's, and what it costs."""

    option: str
    gain: float
    costs: str


def options(row: planner.Configuration, customer: Customer) -> list[Option]:
    """Work out how much more load the replicas of a plan carry within the targets, one option at a time.

    Parameters
    ----------
    row : Configuration
        The plan's.
    customer : Customer
        Load and targets; without a ``draft_acceptance`` of its own, that of ``data/constants/planner.yaml`` is taken.

    Returns
    -------
    list of Option
        Half of each prompt shared, drafts, a small step budget, and, where there are two replicas or more, some that
        read prompts beside others that write answers.  Empty where the plain replicas keep no target.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> found = options(planner.plan(default()).recommendation, default())
    >>> [each.gain > 1 for each in found][:2]
    [True, True]
    """
    d, asked = row.deployment, demand(customer)
    if not carried(d, customer).rate_per_s:
        return []
    accepted = customer.draft_acceptance or assumptions("planner")["draft_acceptance"]
    small = serving.with_engine(d, step_tokens=SMALL_STEP_TOKENS)
    found = [
        Option(
            f"Prefix cache, {units.percent(SHARED)} of each prompt shared",
            changed(row, customer, d, with_shared(asked, SHARED)),
            "prompts that begin alike",
        ),
        Option(
            f"Speculative decoding, {units.percent(accepted)} accepted",
            drafting(row, customer, accepted).gain,
            "a draft model, trained for your text",
        ),
        Option(
            f"Steps of {units.integer(SMALL_STEP_TOKENS)} tokens",
            changed(row, customer, small, asked),
            "long prompts are read in pieces",
        ),
    ]
    if row.replicas > 1:
        division = dividing(row, customer)
        costs = "every prompt's cache crosses the network"
        found.append(Option(f"Disaggregated: {division.note}", division.gain, costs))
    return found


def with_shared(asked: serving.Demand, share: float) -> serving.Demand:
    """Return a demand of whose prompts a part is the same for all and found in the cache.

    Parameters
    ----------
    asked : Demand
        What is asked.
    share : float
        Of each new prompt.

    Returns
    -------
    Demand
        With fewer new tokens and more that are cached and shared.

    Examples
    --------
    >>> with_shared(serving.Demand(serving.Lengths(4096, 256), users=16), 0.25).lengths[:2]
    (3072.0, 256)
    """
    n = asked.lengths
    common, rest = share * n.new, 1 - share
    known = n._replace(new=rest * n.new, new_std=rest * n.new_std, cached=n.cached + common, shared=n.shared + common)
    return replace(asked, lengths=known)
