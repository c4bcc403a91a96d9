"""Where the answer changes: the map of model size and users, and the facts nearest to flipping the recommendation."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hopperbook import facts, reads, serving
from hopperbook.customer import Customer
from hopperbook.models import load, parameters
from hopperbook.planner import fleet, verify
from hopperbook.planner.choose import Plan
from hopperbook.planner.configuration import Configuration
from hopperbook.planner.load import demand, limits
from hopperbook.planner.odds import SURE
from hopperbook.planner.tenure import Tenure, assumptions, server_of, server_price, tenures
from hopperbook.planner.ties import p_cheaper, price_spread
from hopperbook.serving.demand import cut_of, kept_by
from hopperbook.units import MONTH_H

#: Dense models from one to several hundred billion parameters, one for each column of the map.
LADDER = (
    "meta-llama/Llama-3.2-1B",
    "meta-llama/Llama-3.2-3B",
    "meta-llama/Llama-3.1-8B",
    "meta-llama/Llama-2-13b-hf",
    "Qwen/Qwen2.5-32B",
    "meta-llama/Llama-3.1-70B",
    "meta-llama/Llama-3.1-405B",
)
USERS = tuple(2**i for i in range(11))


class Map(NamedTuple):
    """Which GPU serves a model of a size to a number of users at the least cost, which other costs about as much.

    ``rival`` names the next part where prices do not decide between it and the winner; it is empty elsewhere.
    """

    parameters: NDArray[np.float64]
    users: NDArray[np.int_]
    winner: NDArray[np.object_]
    rival: NDArray[np.object_]
    usd_per_month: NDArray[np.float64]


def most_users(customer: Customer, d: serving.Deployment) -> int:
    """Return the most users that one replica serves within both targets and its memory.

    Parameters
    ----------
    customer : Customer
        Lengths and targets.
    d : Deployment
        The replica.

    Returns
    -------
    int
        Users; 0 where not one fits.

    Examples
    --------
    >>> from hopperbook.customer import check
    >>> shop = check({"name": "A", "model": "llama-3.1-8b"})
    >>> round(most_users(shop, serving.deploy(load(shop.model), "H100 SXM")), -1)
    160
    """
    limit = d.model.context_limit or customer.held_tokens
    held = min(customer.held_tokens, limit)
    if serving.kv_capacity_tokens(d, held) < held:
        return 0
    asked = demand(shortened(customer, limit))
    cut = cut_of(d, asked.lengths)
    kept = kept_by(cut, limits(customer, d, SURE))
    return int((cut.in_flight + cut.rate_per_s * asked.think_s)[kept].max()) if kept.any() else 0


def shortened(customer: Customer, limit: int) -> Customer:
    """Return the customer with prompt and context cut to what a model reads."""
    prompt = min(customer.prompt_tokens, max(1, limit - customer.output_tokens))
    if prompt == customer.prompt_tokens and customer.held_tokens <= limit:
        return customer
    return customer.model_copy(update={"prompt_tokens": prompt, "context_tokens": min(customer.context_tokens, limit)})


def _contenders(customer: Customer, name: str, parts: tuple[str, ...]) -> list[serving.Deployment]:
    """Return the replicas of a model worth comparing: with the small cache, unless the customer wants another."""
    found = fleet.deployments(customer, load(name), parts)
    return [d for d in found if d.kv_precision == "fp8" or customer.kv_precision != "auto"]


@reads.lru_cache(maxsize=1024)
def simulated_over_cut(customer: Customer, part: str) -> float:
    """Return how many users a replica carries when simulated, over what the first cut says of it.

    Parameters
    ----------
    customer : Customer
        Its own model, in the layout that carries most for each GPU.
    part : str
        GPU.

    Returns
    -------
    float
        From 0.5 to 2; 1 where the first cut finds no replica.  The map corrects the first cut of every model by it,
        so that it agrees with the plan where the customer stands.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> round(simulated_over_cut(default(), "H100 SXM"), 1)
    1.2
    """
    carried = {d: most_users(customer, d) for d in _contenders(customer, customer.model, (part,))}
    best = max(carried, key=lambda d: (carried[d] / d.gpus, -d.gpus), default=None)
    if best is None or not carried[best]:
        return 1.0
    return float(np.clip(verify.carried(best, customer).users / carried[best], 0.5, 2.0))


def gpus_billed(customer: Customer, name: str, ways: dict[str, Tenure], users: NDArray[np.int_]) -> NDArray[np.float64]:
    """Return the fewest GPUs to pay for that serve a model to each number of users within the targets.

    Parameters
    ----------
    customer : Customer
        Lengths, targets, precision policy.
    name : str
        Model.
    ways : dict
        How each part is had.
    users : ndarray of int
        Users at once.

    Returns
    -------
    ndarray
        A row a part; infinity where no replica keeps the targets.

    Examples
    --------
    >>> from hopperbook.customer import check
    >>> shop = check({"name": "A", "model": "llama-3.1-8b"})
    >>> found = gpus_billed(shop, shop.model, rented(shop), np.array([1, 1000]))
    >>> found.tolist()  # A100, H100 and H200 for 1 user and for 1,000
    [[1.0, 4.0], [1.0, 4.0], [1.0, 2.0]]
    """
    fewest = np.full((len(ways), len(users)), np.inf)
    places = {part: place for place, part in enumerate(ways)}
    for d in _contenders(customer, name, tuple(ways)):
        each = most_users(customer, d)
        if each:
            each = max(1, int(each * simulated_over_cut(customer, d.gpu.name)))
            billed = fleet.billed(-(-users // each) * d.gpus, np.full(len(users), ways[d.gpu.name].kind))
            place = places[d.gpu.name]
            fewest[place] = np.minimum(fewest[place], billed)
    return fewest


def rented(customer: Customer) -> dict[str, Tenure]:
    """Return how each part of the map is had: on demand, or as the customer insists; none without a price.

    Parameters
    ----------
    customer : Customer
        Market, tenure, own prices.

    Returns
    -------
    dict of Tenure
        By part.

    Examples
    --------
    >>> from hopperbook.customer import check
    >>> [way.kind for way in rented(check({"name": "A", "model": "llama-3.1-8b"})).values()]
    ['on_demand', 'on_demand', 'on_demand']
    """
    ways: dict[str, Tenure] = {}
    for part in facts.drawn():
        kinds = [t for t in tenures(customer, part) if t.kind != "kept"]
        first = [t for t in kinds if t.kind == "on_demand"] or kinds
        if first:
            ways[part] = first[0]
    return ways


def _costs(customer: Customer, name: str, ways: dict[str, Tenure], users: NDArray[np.int_]) -> NDArray[np.float64]:
    """Return the cost a month of the cheapest way to serve a model to each number of users, a row a part."""
    hourly = np.array([way.typical for way in ways.values()])
    return np.round(MONTH_H * gpus_billed(customer, name, ways, users) * hourly[:, None], 6)


TIE = 1.08  # costs nearer than this are a tie, which goes to the neighbours' winner


def _winners(costs: NDArray[np.float64]) -> NDArray[np.int_]:
    """Return the cheapest part of every cell, ties given to the part that wins most around it; -1 where none serves."""
    best = costs.min(axis=0)
    winner = np.where(np.isfinite(best), costs.argmin(axis=0), -1)
    near = costs <= TIE * best
    for _ in range(3):
        padded = np.pad(winner, 1, constant_values=-1)
        around = np.stack([padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:], winner])
        votes = np.stack([(around == part).sum(axis=0) for part in range(len(costs))])
        winner = np.where(np.isfinite(best), np.where(near, votes, -1).argmax(axis=0), -1)
    return winner


@reads.lru_cache(maxsize=64)
def decision_map(customer: Customer) -> Map:
    """Work out which GPU is cheapest for each model size and number of users, at this customer's lengths and targets.

    Parameters
    ----------
    customer : Customer
        Lengths, targets, market and prices; rented on demand unless the customer says otherwise.

    Returns
    -------
    Map
        Parameters of the ladder's models, users, the winner (empty where no GPU keeps the targets), its rival where it
        is close, and its cost.

    Examples
    --------
    >>> from hopperbook.customer import check
    >>> found = decision_map(check({"name": "A", "model": "llama-3.1-8b"}))
    >>> found.winner[USERS.index(32)].tolist()  # from 1 to 405 billion parameters
    ['A100', 'A100', 'A100', 'A100', 'H100', 'H100', 'H100']
    """
    ways, users = rented(customer), np.array(USERS)
    costs = np.stack([_costs(customer, name, ways, users) for name in LADDER], axis=2)  # parts, users, models
    names = np.array([facts.gpu(part).short for part in ways] + [""], dtype=object)
    sizes = np.array([float(parameters(load(name))) for name in LADDER])
    won = _winners(costs)
    return Map(sizes, users, names[won], names[_rivals(costs, won, list(ways.values()))], costs.min(axis=0))


def _rivals(costs: NDArray[np.float64], won: NDArray[np.int_], ways: list[Tenure]) -> NDArray[np.int_]:
    """Return the part of every cell that may as well cost least, by the odds of :mod:`ties`; -1 where none is close."""
    spreads = np.array([price_spread(way.low, way.high) for way in ways])
    rho = assumptions("planner")["price_correlation_alike"]
    cheapest = np.take_along_axis(costs, np.maximum(won, 0)[None], axis=0)[0]
    others = np.where(np.arange(len(ways))[:, None, None] == won, np.inf, costs)
    second = others.argmin(axis=0)
    with np.errstate(invalid="ignore"):
        ratio = np.nan_to_num(others.min(axis=0) / cheapest, nan=np.inf)
    sure = p_cheaper(ratio, spreads[np.maximum(won, 0)], spreads[second], rho)
    return np.where((won >= 0) & (sure < assumptions("planner")["decided"]), second, -1)


class Border(NamedTuple):
    """A value at which the recommendation would change; a price says what each unit of it buys."""

    what: str
    now: float
    at: float
    note: str
    each: str = ""


def borders(plan: Plan) -> list[Border]:
    """Find the facts nearest to flipping the recommendation: a price, the users, the context, the target.

    Parameters
    ----------
    plan : Plan
        The plan.

    Returns
    -------
    list of Border
        The nearest first, by the ratio between now and then; empty where there is no recommendation.

    Examples
    --------
    >>> from hopperbook.customer import check
    >>> from hopperbook.planner.choose import plan as make
    >>> found = borders(make(check({"name": "A", "model": "llama-3.1-8b"})))
    >>> [(b.what, round(b.now, 1), round(b.at, 1)) for b in found[:2]]  # USD a GPU-hour, users
    [('price of A100 SXM 80GB', 1.3, 1.0), ('users', 32.0, 149.6)]
    """
    row, customer = plan.recommendation, plan.customer
    if row is None:
        return []
    found: list[Border] = []
    if plan.runner_up is not None:
        found += [border for border in [_price_border(row, plan.runner_up, customer)] if border.at > 0]
    d = row.deployment
    carried, asked = verify.carried(d, customer, replicas=row.replicas), demand(customer)
    now = asked.rate_per_s or asked.users
    most = (carried.rate_per_s if asked.rate_per_s else carried.users) * row.replicas
    if most > now:
        what = "requests a second" if asked.rate_per_s else "users"
        found.append(Border(what, now, most, "The replicas are full; another one is needed."))
    room = serving.kv_capacity_tokens(d, customer.held_tokens) / row.users
    if room > customer.held_tokens:
        found.append(
            Border("context", customer.held_tokens, room, "The cache is full; users queue or replicas are added.")
        )
    return sorted(found, key=lambda b: max(b.now, b.at) / min(b.now, b.at))


def _price_border(row: Configuration, other: Configuration, customer: Customer) -> Border:
    """Return the price of the runner-up, of a server or an hour, at which it would cost no more than the other."""
    what, note = f"price of {other.gpu}", f"{other.gpus} × {other.gpu} would then cost no more."
    if other.tenure == "own":
        return Border(what, *server_price(other, customer, row.usd), note, "a server")
    now, at = (usd / other.billed_gpus / MONTH_H for usd in (other.usd, row.usd))
    return Border(what, now, at, note, "an hour")


def power_w(plan: Plan) -> float:
    """Return the electrical power of the recommended servers under load.

    Parameters
    ----------
    plan : Plan
        The plan.

    Returns
    -------
    float
        Watts; the share of a server that the GPUs are; 0 where nothing is recommended.
    """
    row = plan.recommendation
    if row is None:
        return 0.0
    server = server_of(row.gpu)
    return facts.node_power(server.name).typical * float(row.gpus) / server.gpus
