"""What the sliders of the book move through: GPUs to pay for by model, context and users, worked out beforehand."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hopperbook import facts, serving
from hopperbook.customer import Customer
from hopperbook.models import load, parameters
from hopperbook.planner import fleet
from hopperbook.planner.borders import LADDER, gpus_billed, rented
from hopperbook.units import MONTH_H

CONTEXTS = (2048, 4096, 8192, 16384, 32768, 65536)
USERS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
NO_ROOM, TOO_SLOW = "too little memory for one user", "misses a latency target"


class Explored(NamedTuple):
    """GPUs to pay for at every setting of the sliders, the settings, and the places of this customer's own."""

    models: list[str]
    billions: list[float]
    contexts: list[int]
    users: list[int]
    steps: pd.DataFrame
    usd_per_hour: dict[str, float]
    own: tuple[int, int, int]


def at_context(customer: Customer, tokens: int) -> Customer:
    """Return the customer with another context, the prompt longer or shorter in proportion.

    Parameters
    ----------
    customer : Customer
        Its own lengths.
    tokens : int
        Tokens that a user holds.

    Returns
    -------
    Customer
        The answer is as long as before, and at most half of the context.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> at_context(default(), 32768).prompt_tokens, at_context(default(), default().held_tokens) == default()
    (8192, True)
    """
    if tokens == customer.held_tokens:
        return customer
    output = min(customer.output_tokens, tokens // 2)
    prompt = round(customer.prompt_tokens * tokens / customer.held_tokens)
    lengths = {"prompt_tokens": max(1, min(prompt, tokens - output)), "output_tokens": output, "context_tokens": tokens}
    return customer.model_copy(update=lengths)


def _steps(
    billed: NDArray[np.float64], users: NDArray[np.int_], most: int, why: str
) -> list[tuple[int, int, int, str]]:
    """Return the runs of users that take the same GPUs: first, last, GPUs; 0 GPUs, and why, where none will do."""
    if np.isfinite(billed).any():
        why = f"more than {most:,} GPUs"
    counts = np.where(billed <= most, billed, 0).astype(int)
    starts = np.r_[0, np.flatnonzero(np.diff(counts)) + 1]
    ends = np.r_[starts[1:], len(users)] - 1
    found = [(int(users[a]), int(users[b]), int(counts[a])) for a, b in zip(starts, ends, strict=True)]
    return [(*step, "" if step[2] else why) for step in found]


def _why(customer: Customer, name: str, part: str) -> str:
    """Return what forbids a model on a part: no replica has room for one user, or none is quick enough."""
    model = load(name)
    held = min(customer.held_tokens, model.context_limit or customer.held_tokens)
    room = (serving.kv_capacity_tokens(d, held) for d in fleet.deployments(customer, model, (part,)))
    return TOO_SLOW if any(tokens >= held for tokens in room) else NO_ROOM


@functools.lru_cache(maxsize=16)
def explore(customer: Customer) -> Explored:
    """Work out the GPUs that every model of the ladder takes at every context and number of users.

    Parameters
    ----------
    customer : Customer
        Targets, lengths, market and prices; its model, context and users are among the choices.

    Returns
    -------
    Explored
        ``steps`` has the columns ``model, context, gpu, from, to, gpus, why``: from and to are users; 0 GPUs, and why,
        where no replica keeps memory and targets or the cluster grows too large. ``own`` holds the places of this
        customer's model, context and users.

    Examples
    --------
    >>> from hopperbook.customer import check
    >>> found = explore(check({"name": "A", "model": "llama-3.1-8b", "concurrency": 16}))
    >>> model, context, users = found.own
    >>> found.models[model], found.contexts[context], found.users[users], sorted(set(found.steps.gpu))
    ('meta-llama/Llama-3.1-8B', 2560, 16, ['A100', 'H100', 'H200'])
    """
    own = load(customer.model).name
    sizes = {name: float(parameters(load(name))) / 1e9 for name in (*LADDER, own)}
    models = sorted(_without_twins(sizes, own), key=lambda name: sizes[name])
    contexts = sorted({*CONTEXTS, customer.held_tokens})
    more = [customer.most_in_flight, 2 * customer.most_in_flight] if customer.most_in_flight >= USERS[-1] else []
    users = np.array(sorted({*USERS, customer.most_in_flight, *more}))
    ways, rows = rented(customer), []
    for tokens in contexts:
        asked = at_context(customer, tokens)
        for name in models:
            for part, billed in zip(ways, gpus_billed(asked, name, ways, users), strict=True):
                why = "" if np.isfinite(billed).all() else _why(asked, name, part)
                steps = _steps(billed, users, customer.max_gpus, why)
                rows += [(name, tokens, facts.gpu(part).short, *step) for step in steps]
    return Explored(
        models,
        [sizes[name] for name in models],
        contexts,
        users.tolist(),
        pd.DataFrame(rows, columns=["model", "context", "gpu", "from", "to", "gpus", "why"]),
        {facts.gpu(part).short: way.typical for part, way in ways.items()},
        (models.index(own), contexts.index(customer.held_tokens), users.tolist().index(customer.most_in_flight)),
    )


def _without_twins(sizes: dict[str, float], own: str) -> list[str]:
    """Return the models without those of the ladder that are as large as the customer's own, to a part in fifty."""
    return [name for name in sizes if name == own or abs(sizes[name] / sizes[own] - 1) > 0.02]


def choice(explored: Explored, model: int, context: int, users: int) -> pd.DataFrame:
    """Return what the sliders show at one setting and the known prices, as the figure works it out: GPUs times price.

    Parameters
    ----------
    explored : Explored
        From :func:`explore`.
    model, context, users : int
        Places in their lists.

    Returns
    -------
    DataFrame
        ``gpu gpus usd_per_month``, the cheapest first; parts that do not serve it are left out.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> found = explore(default())
    >>> choice(found, *found.own).round({"usd_per_month": -2}).values.tolist()  # 4 H100 x 730 h x 2.534 USD first
    [['H100', 8, 19300.0], ['H200', 8, 25600.0], ['A100', 40, 56900.0]]
    """
    s, load_ = explored.steps, explored.users[users]
    here = s[(s.model == explored.models[model]) & (s.context == explored.contexts[context]) & (s.gpus > 0)]
    here = here[(here["from"] <= load_) & (here["to"] >= load_)]
    hourly = here.gpu.map(explored.usd_per_hour).astype(float)
    priced = here[["gpu", "gpus"]].assign(usd_per_month=MONTH_H * here.gpus * hourly)
    return priced.sort_values("usd_per_month", kind="stable").reset_index(drop=True)
