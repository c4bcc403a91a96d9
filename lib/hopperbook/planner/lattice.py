"""Plans of this customer's neighbours: other users, histories, prompts, models and prices, each planned for real.

A point of the lattice is the customer with some fields set anew, served as :func:`hopperbook.planner.plan` would serve
her.  Users and history are crossed, since each decides what the other costs; the other fields change one at a time.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

from hopperbook import facts, reads, serving
from hopperbook.customer import Customer, check
from hopperbook.errors import InputError
from hopperbook.models import load, parameters
from hopperbook.planner import fleet
from hopperbook.planner.borders import LADDER
from hopperbook.planner.choose import serve
from hopperbook.planner.configuration import Configuration
from hopperbook.planner.load import limits, served_model
from hopperbook.planner.odds import SURE
from hopperbook.planner.tenure import tenures
from hopperbook.planner.verify import answered, holds, shares

#: Steps of an axis, times the customer's own value.
STEPS = {"users": (0.5, 2.0, 4.0), "history": (0.5, 2.0), "prompt": (0.5, 2.0), "price": (0.5, 1.5)}
#: A model counts as smaller or larger from this ratio of parameters on.
OTHER_SIZE = 1.5
MEMORY, WHOLE, ONE = "memory", "GPUs come in whole servers", "one GPU, the least there is"

#: Fields on which no training run depends.
LOAD = {"requests_per_s", "concurrency", "context_tokens", "prompt_tokens"}

Value = float | str


class Axis(NamedTuple):
    """A field that may change: its values from small to large, the place of the customer's own, and their sizes."""

    field: str
    values: tuple[Value, ...]
    own: int
    sizes: tuple[float, ...]


class Point(NamedTuple):
    """A plan: places on the axes, the fields set anew, winner, next, what limits the winner, whether she can pay it."""

    place: tuple[int, ...]
    changed: dict[str, Value]
    best: Configuration | None
    other: Configuration | None
    limit: str
    over_budget: bool


class Lattice(NamedTuple):
    """All axes and points; the first point is the customer's own."""

    axes: tuple[Axis, ...]
    points: tuple[Point, ...]


@reads.lru_cache(maxsize=16)
def lattice(customer: Customer) -> Lattice:
    """Plan the serving of the customer and of her neighbours.

    Parameters
    ----------
    customer : Customer
        Whose load, targets, market and prices stand in the middle.

    Returns
    -------
    Lattice
        Every point's winner and next are those of :func:`hopperbook.planner.plan` with the same fields set.

    Examples
    --------
    >>> from hopperbook.customer import check
    >>> found = lattice(check({"name": "A", "model": "llama-3.1-8b", "concurrency": 16}))
    >>> [axis.field for axis in found.axes][:3], found.points[0].best.gpus
    (['concurrency', 'context_tokens', 'prompt_tokens'], 1)
    """
    own = serve(customer, all_parts=False)
    axes = tuple(_axes(customer, own.recommendation, own.runner_up))
    points = []
    for place in places(axes):
        changed = {a.field: a.values[at] for a, at in zip(axes, place, strict=True) if at != a.own}
        try:
            asked = check(customer.model_dump() | changed) if changed else customer
        except InputError:
            continue  # a model that does not read so much
        served = serve(asked, own.runs if set(changed) <= LOAD else None, all_parts=False)
        best, budget = served.recommendation, asked.budget_usd_per_month
        limit = binding(best, asked) if best else ""
        points.append(Point(place, changed, best, served.runner_up, limit, bool(best and 0 < budget < best.usd)))
    return Lattice(axes, tuple(points))


def _axes(customer: Customer, best: Configuration | None, other: Configuration | None) -> Iterator[Axis]:
    """Yield the fields that may change for this customer."""
    users = "requests_per_s" if customer.requests_per_s else "concurrency"
    yield _numbers(users, getattr(customer, users), "users")
    if not customer.only_reads:
        least = customer.request_tokens + customer.output_tokens
        yield _numbers("context_tokens", customer.held_tokens, "history", least)
    if customer.lengths == "own":
        yield _numbers("prompt_tokens", customer.prompt_tokens, "prompt")
    if not customer.only_reads:
        yield _models(load(customer.model).name)
    for part in _two_priced([row.gpu for row in (best, other) if row is not None]):
        if rented := [way for way in tenures(customer, part) if way.kind == "on_demand"]:
            now = rented[0].typical
            values = tuple(sorted({now, *(round(step * now, 2) for step in STEPS["price"])}))
            yield Axis(str(facts.gpu(part).price_field), values, values.index(now), values)


def _two_priced(first: list[str]) -> list[str]:
    """Return two parts whose price the customer may give: winner and next where they are among them."""
    return [part for part in dict.fromkeys((*first, *facts.drawn())) if facts.gpu(part).price_field][:2]


def _numbers(field: str, own: float, steps: str, least: float = 1) -> Axis:
    """Return the axis of a number; whole where the field is."""
    kind = type(own)
    values = sorted({own, *(max(kind(least), kind(step * own)) for step in STEPS[steps])})
    return Axis(field, tuple(values), values.index(own), tuple(map(float, values)))


def _models(own: str) -> Axis:
    """Return the model, with the next smaller and the next larger of the ladder."""
    sizes = {name: float(parameters(load(name))) for name in (*LADDER, own)}
    smaller = [name for name in LADDER if sizes[name] * OTHER_SIZE < sizes[own]]
    larger = [name for name in LADDER if sizes[name] > OTHER_SIZE * sizes[own]]
    names = (*smaller[-1:], own, *larger[:1])
    return Axis("model", names, names.index(own), tuple(sizes[name] for name in names))


def places(axes: tuple[Axis, ...]) -> list[tuple[int, ...]]:
    """List the points: the customer's own, then one field changed at a time, then users and history together.

    Parameters
    ----------
    axes : tuple of Axis
        Users and history come first.

    Returns
    -------
    list of tuple of int
        Places on the axes.

    Examples
    --------
    >>> axis = Axis("concurrency", (1, 2, 4), 1, (1.0, 2.0, 4.0))
    >>> places((axis, axis._replace(field="context_tokens")))[:5]
    [(1, 1), (0, 1), (2, 1), (1, 0), (1, 2)]
    """
    own = tuple(axis.own for axis in axes)
    found = [own]
    for at, axis in enumerate(axes):
        found += [(*own[:at], place, *own[at + 1 :]) for place in range(len(axis.values)) if place != axis.own]
    if len(axes) > 1 and axes[1].field == "context_tokens":
        crossed = itertools.product(range(len(axes[0].values)), range(len(axes[1].values)))
        found += [(*pair, *own[2:]) for pair in crossed if (*pair, *own[2:]) not in found]
    return found


def binding(row: Configuration, customer: Customer) -> str:
    """Say which limit keeps a fleet from being smaller: what one replica fewer, or half the replica, would miss first.

    Parameters
    ----------
    row : Configuration
        A winner.
    customer : Customer
        Whose targets count.

    Returns
    -------
    str
        ``memory``, ``first token``, ``time per token`` or ``whole answer``, or that GPUs come in whole servers or that
        there is but one.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> binding(serve(default(), all_parts=False).recommendation, default())
    'time per token'
    """
    d, replicas = row.deployment, row.replicas - 1
    if not replicas:
        if d.tp == 1:
            return ONE
        replicas = 1
        d = fleet.replica(served_model(customer), row.gpu, d.tp // 2, d.weights, d.kv_precision)
        if serving.budget(d, customer.held_tokens).users < 1:
            return MEMORY
    seen = answered(d, replicas, customer)
    over = {name: share for name, share in shares(limits(customer, d, SURE), seen).items() if share > 1}
    first = max(over, key=lambda name: over[name], default=WHOLE)
    waits = first == "first token" and seen.starved  # for room in the cache
    return MEMORY if waits or not holds(d, replicas, customer) else first
