r"""The sizing of a service with a pencil: from the model card to the number of GPUs, a formula a line.

A step that writes a token for b requests reads the weights W once and the cache K of each, and waits for two
all-reduces a layer and for the host.  A prompt takes F operations and sends S bytes.  Prompts come as fast as answers
of o tokens end:

.. math:: a(b) = \frac{W + b K}{n\,\eta B} + 2 \ell t + h, \qquad p = \frac{F}{n\,\epsilon P} + \frac{S}{\kappa C},
          \qquad X(b) = a(b) + \frac{b\,p}{o}

The time per token X rises in a straight line with b, so that a target gives the largest b; Little's law gives the rest.
The calculators' figures for the same replica stand beside each line.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cache
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.optimize import brentq

from hopperbook import facts, serving, units
from hopperbook.customer import Customer
from hopperbook.memory.serving import kv_copies
from hopperbook.models import (
    PRECISION_BITS,
    Model,
    forward_flop,
    kv_bytes,
    kv_bytes_per_token,
    kv_values_per_token_layer,
    load,
    parameters,
    weight_bytes,
)
from hopperbook.planner import fleet, verify
from hopperbook.planner.configuration import Configuration
from hopperbook.planner.load import demand
from hopperbook.serving.demand import Largest, at_rate
from hopperbook.studies.load import wait


class Rules(NamedTuple):
    """Rules of thumb: shares of data sheets that whole steps reach, seconds that they wait, shares of targets."""

    bandwidth: float
    peak_8: float
    peak_16: float
    link: float
    reduce_s: float
    pcie_reduce_s: float
    host_s: float
    memory: float
    token_share: dict[str, float]
    first_share: dict[str, float]


@cache
def rules() -> Rules:
    """Return the rules of thumb from ``data/constants/by_hand.yaml``.

    Returns
    -------
    Rules
        Shares of memory bandwidth, of the dense peak in eight and in sixteen bits, of links and of memory to fill;
        seconds of a small all-reduce over NVLink and over PCIe, and of the host's part of a step; how much of a target
        the mean may take, by percentile.

    Examples
    --------
    >>> round(rules().bandwidth, 2), rules().first_share["p95"]
    (0.67, 0.25)
    """
    known = facts.read_yaml("constants/by_hand.yaml")
    return Rules(**{name: known[name]["value"] for name in Rules._fields})


class Cards(NamedTuple):
    """What the cards say, in base units: the model's, the GPU's, and the replica's number of GPUs."""

    parameters: int
    active_parameters: int
    bits: float
    layers: int
    values: int
    cache_bits: float
    copies: float
    memory_bytes: float
    bandwidth: float
    flop_per_s: float
    link: float
    reduce_s: float
    gpus: int


def cards(d: serving.Deployment, model: Model) -> Cards:
    """Read the model card and the GPU's data sheet.

    Parameters
    ----------
    d : Deployment
        The replica: formats, part and number of GPUs.
    model : Model
        Its model as published.

    Returns
    -------
    Cards
        Parameters in all and those that a token meets, bits of a weight, layers, values that a token keeps in a layer,
        bits and copies of the cache, and what one GPU has: memory, bandwidth, peak, link, time of a small all-reduce.

    Examples
    --------
    >>> seen = cards(serving.deploy(load("llama-3.1-70b"), "H100 SXM", tp=4), load("llama-3.1-70b"))
    >>> seen.layers, seen.values  # 8 KV heads of 128, a key and a value each
    (80, 2048)
    """
    peaks, part = d.gpu.dense_flop_per_s, d.gpu
    bridged = d.gpus <= part.nvlink_gpus
    link = part.nvlink_bytes_per_s_per_direction if bridged else part.pcie_bytes_per_s_per_direction
    return Cards(
        parameters(model),
        parameters(model, active=True),
        PRECISION_BITS[d.weights],
        model.layers,
        kv_values_per_token_layer(model),
        PRECISION_BITS[d.kv_precision],
        kv_copies(model, d.attention_tp),
        part.memory_bytes,
        part.memory_bandwidth_bytes_per_s,
        peaks.get(d.weights, peaks["bf16"]),
        link,
        rules().reduce_s if bridged else rules().pcie_reduce_s,
        d.gpus,
    )


class Base(NamedTuple):
    """What does not depend on the load: bytes of weights and of a request, and the seconds that they take."""

    weights_bytes: float
    least_gpus: int
    token_bytes: float
    request_bytes: float
    room_bytes: float
    memory_requests: float
    read_s: float
    reduce_s: float
    each_s: float
    flop: float
    compute_s: float
    sent_bytes: float
    send_s: float

    @property
    def fixed_s(self) -> float:
        """What a step takes however few requests run."""
        return self.read_s + self.reduce_s + rules().host_s

    @property
    def prompt_s(self) -> float:
        """What a prompt adds."""
        return self.compute_s + self.send_s


def base(card: Cards, model: Model, customer: Customer, kv_precision: str) -> Base:
    """Work out the lines that do not depend on the load.

    Parameters
    ----------
    card : Cards
        From :func:`cards`.
    model : Model
        The model, for layers with a sliding window and for attention's own arithmetic.
    customer : Customer
        Lengths.
    kv_precision : str
        Format of the cache.

    Returns
    -------
    Base
        Bytes and seconds.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> d = serving.deploy(load(default().model), "H100 SXM", tp=4, precision="fp8", kv_precision="fp8")
    >>> found = base(cards(d, load(default().model)), load(default().model), default(), "fp8")
    >>> round(found.weights_bytes / 1e9, 1), found.least_gpus, round(found.memory_requests)  # GB, GPUs, requests
    (70.6, 1, 177)
    """
    lengths = demand(customer).lengths
    weights = card.parameters * card.bits / 8
    least = math.ceil(weights / (rules().memory * card.memory_bytes))
    a_token = kv_bytes_per_token(model, kv_precision) * card.copies
    a_request = float(kv_bytes(model, lengths.held, kv_precision)) * card.copies
    if model.encoder:  # it caches nothing: hidden states of the texts, while they are read
        a_token = 2.0 * model.hidden
        a_request = a_token * lengths.held
    met = float(kv_bytes(model, lengths.met, kv_precision)) * card.copies
    room = rules().memory * card.gpus * card.memory_bytes - weights
    reads = card.gpus * rules().bandwidth * card.bandwidth
    flop = float(forward_flop(model, lengths.new, lengths.cached))
    share = rules().peak_8 if 4 < card.bits <= 8 else rules().peak_16
    alone = card.gpus == 1
    sent = 0.0 if alone else 2 * card.layers * 2 * lengths.new * model.hidden * 2 * (card.gpus - 1) / card.gpus
    return Base(
        weights, 2 ** math.ceil(math.log2(least)), a_token, a_request, room, max(room / a_request, 0.0),
        weights / reads, 0.0 if alone else 2 * card.layers * card.reduce_s, met / reads, flop,
        flop / (card.gpus * share * card.flop_per_s), sent, sent / (rules().link * card.link),
    )  # fmt: skip


class Load(NamedTuple):
    """A replica that runs so many requests, by hand; seconds where a name ends in s."""

    running: float
    step_s: float
    cycle_s: float
    rate_per_s: float
    busy: float
    rest_s: float
    first_s: float
    answer_s: float
    in_flight: float
    users: float


def at(known: Base, running: float, customer: Customer, lag: int) -> Load:
    """Work out a replica that runs some requests.

    Parameters
    ----------
    known : Base
        From :func:`base`.
    running : float
        Requests that run.
    customer : Customer
        Tokens of an answer, time to think.
    lag : int
        Steps until the engine shows a token.

    Returns
    -------
    Load
        Step, time per token, rate, share of prompts, wait, first token, whole answer, and by Little's law requests in
        flight and users.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> known = Base(70e9, 2, 160e3, 1.3e9, 200e9, 150.0, 0.008, 0.001, 0.0002, 3e14, 0.10, 1e9, 0.02)
    >>> seen = at(known, 50, default(), 1)
    >>> round(1e3 * seen.cycle_s, 1), round(seen.busy, 2)  # 8 + 1 + 1 + 50 x 0.2 + 50 x 120 / 512 milliseconds
    (31.7, 0.37)
    """
    o, p = float(customer.output_tokens), known.prompt_s
    step = known.fixed_s + running * known.each_s
    cycle = step + running * p / o
    rate = running / (o * cycle)
    busy = rate * p
    rest = cycle / 2 * (1 + busy * p / (cycle * (1 - busy**2)))
    own = step + p + 2 * busy * rest
    first = rest + own + lag * (step + busy * own)
    answer = first + (o - 1) * cycle
    users = rate * (answer + customer.think_time_s)
    return Load(running, step, cycle, rate, busy, rest, first, answer, rate * answer, users)


class Size(NamedTuple):
    """The whole sizing by hand: the largest load of a replica, what limits it, and how many it takes."""

    load: Load
    limit: str
    limit_s: float
    share: float
    replicas: float
    gpus: float
    billed_gpus: float


def steady(most: float) -> float:
    r"""Return the requests that may run on average where memory holds so many: two swings of a Poisson number below.

    .. math:: b + 2 \sqrt b = N \quad\Rightarrow\quad b = (\sqrt{N + 1} - 1)^2

    Source: ``kleinrock-1975-queueing``: requests that come at random are a Poisson number in a system where none waits.

    Parameters
    ----------
    most : float
        Requests that the memory holds.

    Returns
    -------
    float
        Requests.

    Examples
    --------
    >>> steady(168.0), steady(0.0)
    (144.0, 0.0)
    """
    return (math.sqrt(most + 1) - 1) ** 2


def size(known: Base, card: Cards, customer: Customer, row: Configuration) -> Size:
    """Find the most that a replica carries within the targets, and the replicas that carry the load.

    Parameters
    ----------
    known : Base
        From :func:`base`.
    card : Cards
        GPUs of a replica.
    customer : Customer
        Load and targets.
    row : Configuration
        Whose engine and way of paying are meant.

    Returns
    -------
    Size
        The load; what limits it in words, the target that it speaks of in seconds and the share that the mean may take
        (of memory not a number and one); counts, infinite where no request is in time or in memory.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> from hopperbook.planner import plan
    >>> row, model = plan(default()).recommendation, load(default().model)
    >>> card = cards(row.deployment, model)
    >>> found = size(base(card, model, default(), row.kv_precision), card, default(), row)
    >>> found.limit, found.gpus, row.gpus
    ('time per token', 8.0, 8)
    """
    c, lag = customer, row.deployment.engine.output_lag_steps

    def within(value: Callable[[Load], float], target_s: float) -> float:
        def over(running: float) -> float:
            return value(at(known, running, c, lag)) - target_s

        top = float(row.deployment.engine.max_batch * row.deployment.attention_dp)
        if over(1e-3) > 0:
            return 0.0
        return top if over(top) <= 0 else float(brentq(over, 1e-3, top))

    targets = {
        "time per token": (c.tpot_target_ms / 1e3, rules().token_share[c.tpot_percentile]),
        "first token": (c.ttft_target_ms / 1e3, rules().first_share[c.ttft_percentile]),
        "whole answer": (c.request_target_ms / 1e3 or math.inf, rules().token_share[c.request_percentile]),
        "memory": (math.nan, 1.0),
    }
    values = {
        "time per token": lambda x: x.cycle_s if c.output_tokens > 1 else 0.0,
        "first token": lambda x: x.first_s,
        "whole answer": lambda x: x.answer_s,
    }
    allowed = {name: within(value, math.prod(targets[name])) for name, value in values.items()}
    allowed["memory"] = steady(known.memory_requests)
    limit = min(allowed, key=lambda name: allowed[name])
    enough = allowed[limit] >= 0.5  # less than half a request on average is no service
    most = at(known, allowed[limit] if enough else 1.0, c, lag)
    asked = demand(c)
    each = most.rate_per_s if asked.rate_per_s else most.users
    replicas = math.ceil((asked.rate_per_s or asked.users) / each - 1e-9) if enough else math.inf
    gpus = (replicas + c.spare_replicas) * card.gpus
    paid = float(fleet.billed(np.array([gpus]), np.array([row.tenure]))[0]) if enough else math.inf
    return Size(most, limit, *targets[limit], float(replicas), float(gpus), paid)


class Line(NamedTuple):
    """One line of the comparison: by hand and by the calculators, in base units, and how to write it."""

    what: str
    hand: float
    plan: float
    fmt: Callable[[float], str]


def compare(found: Size, known: Base, row: Configuration, customer: Customer) -> list[Line]:
    """Set the lines of the pencil beside the calculators' figures for the same replica.

    Parameters
    ----------
    found : Size
        By hand.
    known : Base
        By hand, whatever the load.
    row : Configuration
        The plan's.
    customer : Customer
        The load.

    Returns
    -------
    list of Line
        Not a number where the calculators find no load within the targets.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> from hopperbook.planner import plan
    >>> row, model = plan(default()).recommendation, load(default().model)
    >>> card = cards(row.deployment, model)
    >>> known = base(card, model, default(), row.kv_precision)
    >>> lines = compare(size(known, card, default(), row), known, row, default())
    >>> lines[-1].what, lines[-1].hand, lines[-1].plan
    ('GPUs paid for', 8.0, 8.0)
    """
    d, asked, by_hand = row.deployment, demand(customer).dealt(row.replicas), found.load
    lengths = asked.lengths
    budget = serving.budget(d, customer.held_tokens)
    most = verify.carried(d, customer, replicas=row.replicas) if budget.users >= 1 else Largest(0.0, 0.0, 0.0)
    step = float(serving.decode_step_s(d, by_hand.running, lengths.met))
    seen = at_rate(d, lengths, most.rate_per_s, asked.variation, 0, asked.pool) if most.rate_per_s else None
    nothing = math.nan
    enough = verify.fewest_replicas(d, customer) if most.rate_per_s else math.inf
    prompt = wait(d, lengths, most.rate_per_s or by_hand.rate_per_s)
    return [
        Line("Weights", known.weights_bytes, weight_bytes(d.model, d.weights), units.gib),
        Line("Cache of a request", known.request_bytes, budget.kv_user_bytes * d.gpus / budget.groups, units.gib),
        Line("Requests that memory holds", known.memory_requests, float(budget.users), units.integer),
        Line("Step at the load by hand", by_hand.step_s, step, units.duration),
        Line("A prompt adds", known.prompt_s, prompt.prompt_s, units.duration),
        Line("Time per token, mean", by_hand.cycle_s, seen.tpot.mean if seen else nothing, units.duration),
        Line("Requests a second, at the most", by_hand.rate_per_s, most.rate_per_s or nothing, units.number),
        Line("Share of time for prompts", by_hand.busy, prompt.busy if seen else nothing, units.percent),
        Line("First token, mean", by_hand.first_s, seen.ttft.mean if seen else nothing, units.duration),
        Line("In flight, at the most", by_hand.in_flight, most.in_flight or nothing, units.number),
        Line("Replicas", found.replicas, enough, units.integer),
        Line("GPUs", found.gpus, (enough + customer.spare_replicas) * d.gpus, units.integer),
        Line("GPUs paid for", found.billed_gpus, float(row.billed_gpus), units.integer),
    ]


def table(lines: list[Line]) -> pd.DataFrame:
    """Write the lines of a comparison as a table.

    Parameters
    ----------
    lines : list of Line
        From :func:`compare`.

    Returns
    -------
    DataFrame
        ``what hand plan off``: words, both figures written, and the difference as a fraction.

    Examples
    --------
    >>> rows = table([Line("GPUs", 6.0, 8.0, units.integer), Line("Replicas", math.inf, 2.0, units.integer)])
    >>> rows.hand.tolist(), rows.off.tolist()[0]
    (['6', 'none'], -0.25)
    """
    rows = [(x.what, write(x.hand, x.fmt), write(x.plan, x.fmt), difference(x)) for x in lines]
    return pd.DataFrame(rows, columns=["what", "hand", "plan", "off"])


def write(value: float, fmt: Callable[[float], str] = units.integer) -> str:
    """Write a figure that may not exist.

    Parameters
    ----------
    value : float
        The figure.
    fmt : callable
        Its formatter.

    Returns
    -------
    str
        ``none`` for infinity, a dash for no number.

    Examples
    --------
    >>> write(8.0), write(math.inf), write(math.nan)
    ('8', 'none', '–')
    """
    return "none" if math.isinf(value) else "–" if math.isnan(value) else fmt(value)


def gpus_words(count: float) -> str:
    """Write a number of GPUs.

    Parameters
    ----------
    count : float
        Infinity where no number is enough.

    Returns
    -------
    str
        Words.

    Examples
    --------
    >>> gpus_words(8.0), gpus_words(1.0), gpus_words(math.inf)
    ('8 GPUs', '1 GPU', 'no number of such replicas')
    """
    if math.isinf(count):
        return "no number of such replicas"
    return f"{units.integer(count)} GPU{'s' if count > 1 else ''}"


def signed(fraction: float) -> str:
    """Write a difference with its sign.

    Parameters
    ----------
    fraction : float
        Of the figure that it is held against.

    Returns
    -------
    str
        Per cent.

    Examples
    --------
    >>> signed(0.128).replace(units.THIN, " "), signed(0.0), signed(-0.25).replace(units.THIN, " ")
    ('+13 %', 'none', '−25 %')
    """
    if abs(fraction) < 5e-4:
        return "none"
    return f"{'+' if fraction > 0 else ''}{units.percent(fraction)}"


def distance(line: Line) -> float:
    """Return how far the pencil lies from the calculators, as a fraction; nought where either has no figure.

    Parameters
    ----------
    line : Line
        From :func:`compare`.

    Returns
    -------
    float
        Not below nought.

    Examples
    --------
    >>> distance(Line("GPUs", 6.0, 8.0, units.integer)), distance(Line("GPUs", math.inf, 8.0, units.integer))
    (0.25, 0.0)
    """
    off = abs(difference(line))
    return off if math.isfinite(off) else 0.0


def difference(line: Line) -> float:
    """Return how far the pencil lies from the calculators, as a fraction with its sign.

    Parameters
    ----------
    line : Line
        From :func:`compare`.

    Returns
    -------
    float
        Not a number where either has no figure.

    Examples
    --------
    >>> difference(Line("GPUs", 6.0, 8.0, units.integer)), difference(Line("GPUs", math.inf, 8.0, units.integer))
    (-0.25, nan)
    """
    known = math.isfinite(line.hand) and math.isfinite(line.plan) and line.plan
    return line.hand / line.plan - 1 if known else math.nan


def doubled(card: Cards, model: Model, customer: Customer, row: Configuration, what: str) -> Size:
    """Size the same load on a part that has twice of something.

    Parameters
    ----------
    card : Cards
        The part's.
    model : Model
        The model.
    customer : Customer
        Load and targets.
    row : Configuration
        Format of the cache, engine, way of paying.
    what : str
        A field of :class:`Cards`.

    Returns
    -------
    Size
        By hand.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> from hopperbook.planner import plan
    >>> row, model = plan(default()).recommendation, load(default().model)
    >>> card = cards(row.deployment, model)
    >>> wider = doubled(card, model, default(), row, "bandwidth").load.running
    >>> wider > doubled(card, model, default(), row, "flop_per_s").load.running
    True
    """
    more = card._replace(**{what: 2 * getattr(card, what)})
    return size(base(more, model, customer, row.kv_precision), more, customer, row)


def longer(customer: Customer, row: Configuration, field: str) -> Size:
    """Size the load with prompts or answers twice as long, the history as it is.

    Parameters
    ----------
    customer : Customer
        Load and targets.
    row : Configuration
        The plan's replica.
    field : str
        ``prompt_tokens`` or ``output_tokens``.

    Returns
    -------
    Size
        By hand.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> from hopperbook.planner import plan
    >>> longer(default(), plan(default()).recommendation, "prompt_tokens").gpus  # as simulated
    24.0
    """
    tokens = getattr(customer, field)
    more = customer.model_copy(update={field: 2 * tokens, "context_tokens": customer.held_tokens + tokens})
    model = load(customer.model)
    card = cards(row.deployment, model)
    return size(base(card, model, more, row.kv_precision), card, more, row)


def replicas_words(replicas: int, gpus: int) -> str:
    """Say how many replicas of how many GPUs there are.

    Parameters
    ----------
    replicas, gpus : int
        Replicas, and GPUs of each.

    Returns
    -------
    str
        Words.

    Examples
    --------
    >>> replicas_words(1, 2), replicas_words(2, 1)
    ('1 replica of 2 GPUs', '2 replicas of 1 GPU')
    """
    return f"{units.integer(replicas)} replica{'s' if replicas != 1 else ''} of {gpus_words(float(gpus))}"


def changes(found: Size, others: Mapping[str, Size]) -> list[str]:
    """Say what would change the GPUs that are paid for.

    Parameters
    ----------
    found : Size
        By hand.
    others : mapping of str to Size
        The same for another load, by what differs.

    Returns
    -------
    list of str
        What differs, and the GPUs then; loads that the same GPUs carry are left out.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> from hopperbook.planner import plan
    >>> row = plan(default()).recommendation
    >>> sizes = {field: longer(default(), row, field) for field in ("output_tokens", "prompt_tokens")}
    >>> changes(sizes["output_tokens"], sizes)
    ['prompt_tokens: 24 GPUs']
    """
    return [
        f"{what}: {gpus_words(each.billed_gpus)}"
        for what, each in others.items()
        if each.billed_gpus != found.billed_gpus
    ]


def layouts(customer: Customer, row: Configuration) -> pd.DataFrame:
    """Size the same load by hand in other layouts of the same part, beside the calculators' figures.

    Parameters
    ----------
    customer : Customer
        The load and its targets.
    row : Configuration
        Part, formats and way of paying.

    Returns
    -------
    DataFrame
        ``gpus hand plan hand_gpus plan_gpus``: GPUs of a replica, the most requests in flight in one, and GPUs for the
        load, by hand and simulated; not a number where no request is in time.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> from hopperbook.planner import plan
    >>> rows = layouts(default(), plan(default()).recommendation)
    >>> rows.gpus.tolist()
    [1, 2, 4, 8]
    """
    model, d, rows = load(customer.model), row.deployment, []
    for each in fleet.deployments(customer, model, (d.gpu.name,)):
        if (each.weights, each.kv_precision) != (d.weights, d.kv_precision):
            continue
        card = cards(each, model)
        known = base(card, model, customer, each.kv_precision)
        found = size(known, card, customer, row)
        fits = serving.budget(each, customer.held_tokens).users >= 1
        most = verify.carried(each, customer).in_flight if fits else 0.0
        needed = (verify.fewest_replicas(each, customer) + customer.spare_replicas) * each.gpus if most else math.inf
        hand = found.load.in_flight if math.isfinite(found.gpus) else 0.0
        rows.append((each.gpus, hand, most, found.gpus, needed))
    frame = pd.DataFrame(rows, columns=["gpus", "hand", "plan", "hand_gpus", "plan_gpus"])
    return frame.replace(math.inf, math.nan)
