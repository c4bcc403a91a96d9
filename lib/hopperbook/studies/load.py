"""What the chapter on serving says of load: Little's law, what requests wait, percentiles, a day, a failure, the parts.

Every figure is of the busy hour of a customer's fleet unless it says otherwise; all come from
:mod:`hopperbook.serving.demand` and :mod:`hopperbook.planner.verify`, as the plan's own do.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from hopperbook import serving, units
from hopperbook.customer import Customer
from hopperbook.planner import day, verify
from hopperbook.planner.configuration import Configuration
from hopperbook.planner.load import demand
from hopperbook.planner.upgrade import best_replica
from hopperbook.serving.clock import Floats
from hopperbook.serving.demand import (
    PERCENTILES,
    Answer,
    Demand,
    Latency,
    at_rate,
    cut_of,
    rate_of,
)
from hopperbook.serving.queue import Lengths, first_cut
from hopperbook.story import join, most_words
from hopperbook.studies.words import in_words

#: Loads of the table of percentiles, over the busy hour's.
LOADS = (0.25, 0.5, 1.0, 2.0, 4.0)
#: What the prefix cache may find of the history, as changes of the plan.
FINDS_HALF, FINDS_NOTHING = "Prefix cache finds half of what it should", "Prefix cache finds nothing"
#: Loads at which the first cut is held against the simulation.
CURVE_POINTS = 14


def short(percentile: str) -> str:
    """Name a percentile for the head of a table.

    Parameters
    ----------
    percentile : str
        As the customer's file names it.

    Returns
    -------
    str
        Such as ``median``.

    Examples
    --------
    >>> short("p50"), short("p95")
    ('median', 'p95')
    """
    return "median" if percentile == "p50" else percentile


def promise(seen: Answer, customer: Customer) -> str:
    """Say how fast an answer comes, at the customer's percentiles.

    Parameters
    ----------
    seen : Answer
        Of a replica.
    customer : Customer
        Its percentiles.

    Returns
    -------
    str
        A clause that begins without a capital.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> from hopperbook.planner import plan
    >>> promise(answered(plan(default()).recommendation, default()), default())[:47]
    '95 in 100 requests see their first token within'
    """
    first_at, token_at = customer.ttft_percentile, customer.tpot_percentile
    first, each = (units.duration(s) for s in (seen.ttft.at(first_at), seen.tpot.at(token_at)))
    every = f"a further one every {each}" + ("" if token_at == "mean" else " or sooner")
    come = "after" if first_at == "mean" else "within"
    said = f"{most_words(first_at).lower()} requests see their first token {come} {first}"
    if not seen.tpot.mean:  # answers of one token
        return said
    return f"{said}, and {every}" if first_at == token_at else f"{said}; {most_words(token_at).lower()} see {every}"


def replicas_words(row: Configuration) -> str:
    """Name the replicas of a configuration.

    Parameters
    ----------
    row : Configuration
        The plan's.

    Returns
    -------
    str
        Such as ``two replicas of 4 × H100 SXM``.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> from hopperbook.planner import plan
    >>> replicas_words(plan(default()).recommendation)
    'two replicas of 4 × H100 SXM'
    """
    n = row.replicas
    return f"{in_words(n)} replica{'s' if n > 1 else ''} of {row.deployment.gpus} {units.TIMES} {row.gpu}"


def answered(row: Configuration, customer: Customer) -> Answer:
    """Return how a replica of a configuration answers its share of the load, or as much of it as it can.

    Parameters
    ----------
    row : Configuration
        One that the plan explains.
    customer : Customer
        The load.

    Returns
    -------
    Answer
        Simulated; of more requests than a replica can answer, of as many as it can; where not one request fits, the
        first cut of the same load, as if it fitted.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> from hopperbook.planner import plan
    >>> answered(plan(default()).recommendation, default()).starved
    False
    """
    d, share = row.deployment, demand(customer).share(row.replicas)
    if serving.budget(d, customer.held_tokens).users >= 1:
        return serving.answer(d, full(d, share.lengths) if overrun(row, customer) else share)
    cut = cut_of(d, share.lengths)
    rate = min(rate_of(cut, share), float(cut.rate_per_s.max()))

    def at(values: Floats) -> float:
        return float(np.interp(rate, np.maximum.accumulate(cut.rate_per_s), values))

    first, each, whole = (Latency(*(at(x.at(name)) for name in PERCENTILES)) for x in (cut.ttft, cut.tpot, cut.request))
    busy, output = at(cut.prefill_share), rate * share.lengths.answer
    return Answer(
        rate, rate * whole.mean, first, each, whole, output, at(cut.running), 0.0, busy, 1 - busy, 1.0, 0.0, True
    )


class Little(NamedTuple):
    """Little's law of a whole fleet: requests a second, seconds of an answer and of thinking, requests and users."""

    rate_per_s: float
    answer_s: float
    think_s: float
    in_flight: float
    users: float
    idle_answer_s: float


def decoding(seen: Answer) -> float:
    r"""Return the requests that are past their first token, by Little's law: :math:`\lambda (T - \mathrm{TTFT})`.

    Parameters
    ----------
    seen : Answer
        Of a replica.

    Returns
    -------
    float
        Sequences that run on average.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> from hopperbook.planner import plan
    >>> seen = answered(plan(default()).recommendation, default())
    >>> 0.9 < decoding(seen) / seen.in_flight < 1
    True
    """
    return max(seen.rate_per_s * (seen.request.mean - seen.ttft.mean), 0.05)


def little(seen: Answer, replicas: int, customer: Customer, d: serving.Deployment) -> Little:
    r"""Read Little's law off an answer, for all replicas together.

    .. math:: L = \lambda T, \qquad U = \lambda (T + Z)

    Parameters
    ----------
    seen : Answer
        Of one replica.
    replicas : int
        How many share the load.
    customer : Customer
        Its time to think, Z.
    d : Deployment
        The replica.

    Returns
    -------
    Little
        The rate :math:`\lambda`, the time of an answer T, requests in flight L, users U, and T on an idle replica.

    Notes
    -----
    Source: ``little-1961-law``.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> from hopperbook.planner import plan
    >>> row = plan(default()).recommendation
    >>> seen = verify.answered(row.deployment, row.replicas, default())
    >>> law = little(seen, row.replicas, default(), row.deployment)
    >>> round(law.rate_per_s * law.answer_s) == round(law.in_flight) == 128
    True
    """
    rate, inside = replicas * seen.rate_per_s, replicas * seen.in_flight
    thinking = rate * customer.think_time_s
    idle = float(cut_of(d, demand(customer).lengths).request.mean[0])
    return Little(rate, seen.request.mean, customer.think_time_s, inside, inside + thinking, idle)


class Wait(NamedTuple):
    """What makes up the mean first token under random arrivals, in closed form; seconds where a name ends in s."""

    rate_per_s: float
    running: float
    step_s: float
    prompt_s: float
    busy: float
    cycle_s: float
    rest_s: float
    before_s: float
    shown_s: float
    front_s: float
    first_s: float


def wait(d: serving.Deployment, lengths: Lengths, rate_per_s: float) -> Wait:
    r"""Take the first cut of a load apart: how busy prompts keep a replica, and what a request waits.

    .. math:: X = \frac{a}{1 - \rho}, \quad \rho = \lambda p, \quad
              \mathrm{TTFT} = R + (a + p) + 2 \rho R + \ell (a + \rho (a + p + 2 \rho R)) + f

    Parameters
    ----------
    d : Deployment
        The replica.
    lengths : Lengths
        Of the requests.
    rate_per_s : float
        Requests a second; the largest that the first cut knows where this is more.

    Returns
    -------
    Wait
        The rate, sequences that run, the step without prompts a, what a prompt adds p, the share of time :math:`\rho`
        that prompts take, the cycle X, what is left R of the one that a request meets, prompts before it, the steps
        until the engine shows the token, the front end f, and the sum.

    Notes
    -----
    Source: ``kleinrock-1975-queueing``; derived in :mod:`hopperbook.serving.queue`.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> d = serving.deploy(load("llama-3.3-70b"), "H100 SXM", tp=4, precision="fp8", kv_precision="fp8")
    >>> seen = wait(d, Lengths(2048, 512), 4.0)
    >>> round(seen.busy, 1), round(1e3 * seen.cycle_s, -1), round(1e3 * seen.first_s, -2)  # share, milliseconds
    (0.5, 30.0, 300.0)
    """
    known = cut_of(d, lengths)
    running = float(np.interp(rate_per_s, np.maximum.accumulate(known.rate_per_s), known.running))
    cut = first_cut(d, lengths, [running])
    rate, busy, cycle = (float(x[0]) for x in (cut.rate_per_s, cut.prefill_share, cut.tpot.mean))
    first, lag = float(cut.ttft.mean[0]), d.engine.output_lag_steps
    step, prompt = cycle * (1 - busy), busy / rate
    front = d.engine.frontend_s + d.engine.tokenise_s * (lengths.new + lengths.cached)
    own = step + prompt
    rest = (first - front - own - lag * (step + busy * own)) / (1 + 2 * busy * (1 + lag * busy))
    before = 2 * busy * rest
    shown = lag * (step + busy * (own + before))
    return Wait(rate, running, step, prompt, busy, cycle, rest, before, shown, front, first)


def capacity_per_s(d: serving.Deployment, lengths: Lengths) -> float:
    """Return the requests a second that a replica answers when as many are in flight as its cache and slots hold.

    Parameters
    ----------
    d : Deployment
        The replica.
    lengths : Lengths
        Of the requests.

    Returns
    -------
    float
        More a second than this wait without end.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> d = serving.deploy(load("llama-3.3-70b"), "H100 SXM", tp=4, precision="fp8", kv_precision="fp8")
    >>> round(capacity_per_s(d, Lengths(2048, 512)))
    6
    """
    return serving.answer(d, full(d, lengths)).rate_per_s


def full(d: serving.Deployment, lengths: Lengths) -> Demand:
    """Return as many requests in flight as the cache and the slots of a replica hold.

    Parameters
    ----------
    d : Deployment
        The replica.
    lengths : Lengths
        Of the requests.

    Returns
    -------
    Demand
        Users who do not think.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> d = serving.deploy(load("llama-3.3-70b"), "H100 SXM", tp=4, precision="fp8", kv_precision="fp8")
    >>> round(full(d, Lengths(2048, 512)).users, -1)  # some 1.4 million tokens of cache
    540
    """
    room = max(serving.kv_capacity_tokens(d, lengths.held) - lengths.shared, 0.0) / (lengths.held - lengths.shared)
    return Demand(lengths, users=max(1, round(min(room, d.engine.max_batch * d.attention_dp))))


def overrun(row: Configuration, customer: Customer) -> bool:
    """Say whether more requests come each second than the replicas of a configuration can answer.

    Parameters
    ----------
    row : Configuration
        One that the plan explains.
    customer : Customer
        The load; users wait for answers, so that only a rate can overrun.

    Returns
    -------
    bool
        True where the queue would grow without end.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> from hopperbook.planner import plan
    >>> row = plan(default()).recommendation
    >>> [overrun(row, default().model_copy(update={"requests_per_s": rate})) for rate in (0.0, 4.0, 400.0)]
    [False, False, True]
    """
    rate = customer.requests_per_s / row.replicas
    return bool(rate) and rate > capacity_per_s(row.deployment, demand(customer).lengths)


def first_token_curve(d: serving.Deployment, asked: Demand) -> pd.DataFrame:
    """Lay out first token and time per token by load, in closed form and simulated.

    Parameters
    ----------
    d : Deployment
        The replica.
    asked : Demand
        Lengths and arrivals; how much is asked does not matter.

    Returns
    -------
    DataFrame
        ``rate_per_s``, and ``ttft_mean ttft_p95 tpot_mean`` in seconds of the first cut and, with ``sim_``, simulated:
        even loads up to where the first cut sees the cache full.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> d = serving.deploy(load("llama-3.3-70b"), "H100 SXM", tp=4, precision="fp8", kv_precision="fp8")
    >>> rows = first_token_curve(d, Demand(Lengths(2048, 512), users=1))
    >>> float(rows.ttft_mean.round(1).iloc[0]), float(rows.sim_ttft_mean.round(1).iloc[0])  # seconds at the least load
    (0.2, 0.2)
    """
    cut = cut_of(d, asked.lengths)
    inside = cut.room_share <= 1 if (cut.room_share <= 1).any() else np.ones(len(cut.rate_per_s), bool)
    rates = np.maximum.accumulate(cut.rate_per_s[inside])
    rows = []
    for rate in rates[-1] * np.linspace(1 / CURVE_POINTS, 1, CURVE_POINTS):
        seen = at_rate(d, asked.lengths, float(f"{rate:.5g}"), asked.variation, 0, asked.pool)
        closed = (np.interp(rate, rates, x[inside]) for x in (cut.ttft.mean, cut.ttft.at("p95"), cut.tpot.mean))
        rows.append((rate, *map(float, closed), seen.ttft.mean, seen.ttft.p95, seen.tpot.mean))
    names = ["ttft_mean", "ttft_p95", "tpot_mean"]
    return pd.DataFrame(rows, columns=["rate_per_s", *names, *(f"sim_{name}" for name in names)])


def curve_lines(curve: pd.DataFrame, knee_per_s: float) -> tuple[pd.DataFrame, float]:
    """Return a curve as lines of a chart, an upright one at the knee, and the simulated mean there.

    Parameters
    ----------
    curve : DataFrame
        From :func:`first_token_curve`.
    knee_per_s : float
        The knee, requests a second.

    Returns
    -------
    DataFrame
        ``x y series``: requests a second, seconds, words.
    float
        Seconds.

    Examples
    --------
    >>> names = [f"{kind}ttft_{at}" for kind in ("", "sim_") for at in ("mean", "p95")]
    >>> curve = pd.DataFrame({"rate_per_s": [1.0, 2.0]} | dict.fromkeys(names, [1.0, 3.0]))
    >>> curve_lines(curve, 1.5)[1]
    2.0
    """
    words = {
        "sim_ttft_p95": "simulated, p95",
        "ttft_p95": "formula, p95",
        "sim_ttft_mean": "simulated, mean",
        "ttft_mean": "formula, mean",
    }
    lines = [pd.DataFrame({"x": curve.rate_per_s, "y": curve[name], "series": said}) for name, said in words.items()]
    height = float(np.interp(knee_per_s, curve.rate_per_s, curve.sim_ttft_mean))
    foot = 0.75 * float(curve[list(words)].min().min())
    return pd.concat([*lines, pd.DataFrame({"x": [knee_per_s] * 2, "y": [height, foot], "series": "knee"})]), height


def first_token_knee(d: serving.Deployment, lengths: Lengths) -> float:
    r"""Find the knee of the first token: the load from which one per cent more costs more than one per cent of wait.

    .. math:: \frac{d \ln \mathrm{TTFT}}{d \ln \lambda} = 1

    Parameters
    ----------
    d : Deployment
        The replica.
    lengths : Lengths
        Of the requests.

    Returns
    -------
    float
        Requests a second; the largest rate with room in the cache where the knee lies beyond it.

    Notes
    -----
    Source: ``kleinrock-1975-queueing``: there the rate over the wait is largest.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> d = serving.deploy(load("llama-3.3-70b"), "H100 SXM", tp=4, precision="fp8", kv_precision="fp8")
    >>> round(first_token_knee(d, Lengths(2048, 512)))
    4
    """
    cut = cut_of(d, lengths)
    inside = np.flatnonzero(cut.room_share <= 1)
    if len(inside) < 3:
        return float(cut.rate_per_s[0])
    rate, first = cut.rate_per_s[inside], cut.ttft.mean[inside]
    return float(rate[np.argmax(rate / first)])


def curve_errors(curve: pd.DataFrame) -> dict[str, tuple[float, float]]:
    """Say how far the first cut lies from the simulation over a curve.

    Parameters
    ----------
    curve : DataFrame
        From :func:`first_token_curve`.

    Returns
    -------
    dict of tuple
        Median absolute error and the error of largest size, as fractions, of ``ttft_mean``, ``ttft_p95``,
        ``tpot_mean``.

    Examples
    --------
    >>> values = {"ttft_mean": [1.1, 0.8], "ttft_p95": [1.0, 1.0], "tpot_mean": [2.0, 2.0]}
    >>> errors = curve_errors(pd.DataFrame(values | {f"sim_{name}": [1.0, 1.0] for name in values}))
    >>> [round(x, 2) for x in errors["ttft_mean"]]
    [0.15, -0.2]
    """
    found = {}
    for name in ("ttft_mean", "ttft_p95", "tpot_mean"):
        known = curve[curve[f"sim_{name}"] > 0]  # an answer of one token has no time per token
        error = known[name] / known[f"sim_{name}"] - 1
        found[name] = (float(error.abs().median()), float(error[error.abs().idxmax()])) if len(error) else (0.0, 0.0)
    return found


def _line(seen: Answer) -> tuple[float, ...]:
    """Return what a table says of an answer: seconds to the first token, milliseconds a token, shares."""
    first, each = seen.ttft, seen.tpot
    times = (first.mean, first.p50, first.p95, first.p99, 1e3 * each.mean, 1e3 * each.p95)
    return seen.rate_per_s, seen.in_flight, *times, seen.prefill_share, seen.cache_share


_LINE = ("rate", "in_flight", "mean", "p50", "p95", "p99", "tpot", "tpot95", "prefill", "cache")


def percentiles(
    d: serving.Deployment, replicas: int, customer: Customer, loads: Sequence[float] = LOADS
) -> pd.DataFrame:
    """Simulate a fleet at shares and multiples of its users.

    Parameters
    ----------
    d : Deployment
        A replica.
    replicas : int
        How many share the load.
    customer : Customer
        The load.
    loads : sequence of float
        Over the busy hour's.

    Returns
    -------
    DataFrame
        ``load rate in_flight mean p50 p95 p99 tpot tpot95 prefill cache`` of a replica: requests a second and in
        flight, first token in seconds, milliseconds a token, shares; not a number from where a rate is more than the
        replica can answer.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> from hopperbook.planner import plan
    >>> row = plan(default()).recommendation
    >>> rows = percentiles(row.deployment, row.replicas, default())
    >>> rows.load.tolist(), bool(rows.p95.is_monotonic_increasing)
    ([0.25, 0.5, 1.0, 2.0, 4.0], True)
    """
    rows, most = [], math.inf
    if customer.requests_per_s:
        most = capacity_per_s(d, demand(customer).lengths)
    for load in loads:
        rate = load * customer.requests_per_s / replicas
        if rate > most:
            rows.append((load, rate, *[math.nan] * (len(_LINE) - 1)))
        else:
            rows.append((load, *_line(verify.answered(d, replicas / load, customer))))
    return pd.DataFrame(rows, columns=["load", *_LINE])


class Day(NamedTuple):
    """A day of a fleet, a row an hour, and the hours of replicas that it needs over those that it has."""

    hours: pd.DataFrame
    needed_share: float


def by_hour(d: serving.Deployment, replicas: int, customer: Customer) -> Day:
    """Simulate a day hour by hour: with all replicas, and with as many as the plan counts for each hour.

    Parameters
    ----------
    d : Deployment
        A replica.
    replicas : int
        Of the fleet.
    customer : Customer
        Its day and its load at the peak.

    Returns
    -------
    Day
        ``hour load all_s needed needed_s``: the first token at the customer's percentile with all replicas and with
        as many as are needed, seconds.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> from hopperbook.planner import plan
    >>> row = plan(default()).recommendation
    >>> found = by_hour(row.deployment, row.replicas, default())
    >>> int(found.hours.needed.max()), round(found.needed_share, 1)  # replicas; share of replica-hours
    (2, 0.7)
    """
    needed, at, rows = day.needed(customer, replicas)[:, 0], customer.ttft_percentile, []
    for hour, (load, count) in enumerate(zip(day.curve(customer), needed, strict=True)):
        share = float(f"{max(load, 1e-3):.4g}")
        times = [verify.answered(d, n / share, customer).ttft.at(at) for n in (replicas, int(count))]
        rows.append((hour, share, times[0], int(count), times[1]))
    hours = pd.DataFrame(rows, columns=["hour", "load", "all_s", "needed", "needed_s"])
    return Day(hours, float(needed.sum() / (24 * replicas)))


def day_lines(found: Day, replicas: int) -> pd.DataFrame:
    """Return a day as lines of a chart.

    Parameters
    ----------
    found : Day
        From :func:`by_hour`.
    replicas : int
        Of the fleet.

    Returns
    -------
    DataFrame
        ``x y series``: hour, seconds to the first token, words; one line where the fleet never needs fewer.

    Examples
    --------
    >>> hours = pd.DataFrame({"hour": [0, 1], "all_s": [1.0, 2.0], "needed": [1.0, 2.0], "needed_s": [2.0, 2.0]})
    >>> day_lines(Day(hours, 0.75), 2).series.unique().tolist()
    ['all replicas', 'as few as needed']
    """
    hours = found.hours
    whole = pd.DataFrame({"x": hours.hour, "y": hours.all_s, "series": "all replicas"})
    if (hours.needed == replicas).all():
        return whole
    return pd.concat([whole, pd.DataFrame({"x": hours.hour, "y": hours.needed_s, "series": "as few as needed"})])


def needed_words(found: Day) -> str:
    """Say how many replicas a day needs.

    Parameters
    ----------
    found : Day
        From :func:`by_hour`, with a number that keeps the targets.

    Returns
    -------
    str
        Such as ``one replica for 13 hours and two for 11``.

    Examples
    --------
    >>> needed_words(Day(pd.DataFrame({"needed": [1.0] * 13 + [2.0] * 11}), 0.7))
    'one replica for 13 hours and two for 11'
    """
    counts = found.hours.needed.value_counts().sort_index()
    if len(counts) > 3:
        least, most = in_words(int(counts.index[0])), in_words(int(counts.index[-1]))
        return f"{least} replica{'s' if counts.index[0] > 1 else ''} at night and {most} at the peak"
    said = [f"{in_words(int(need))} for {hours}" for need, hours in counts.items()]
    first = f"{in_words(int(counts.index[0]))} replica{'s' if counts.index[0] > 1 else ''}"
    if len(counts) == 1:
        return f"{first} at every hour"
    return join([f"{first} for {counts.iloc[0]} hours", *said[1:]])


def one_less_and_more(row: Configuration, customer: Customer) -> pd.DataFrame:
    """Simulate a fleet that has lost a replica, the fleet as planned, spare ones included, and one with one more.

    Parameters
    ----------
    row : Configuration
        The plan's.
    customer : Customer
        The load and its targets.

    Returns
    -------
    DataFrame
        ``replicas`` and the columns of :func:`percentiles`, ``ttft_at tpot_at`` at the customer's percentiles, seconds
        and milliseconds, and ``odds``, the probability that all targets are kept; without the first row where one
        replica is all.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> from hopperbook.planner import plan
    >>> rows = one_less_and_more(plan(default()).recommendation, default())
    >>> rows.replicas.tolist(), (rows.odds >= 0.9).tolist()
    ([1, 2, 3], [False, True, True])
    """
    d, rows, fleet_size = row.deployment, [], row.replicas + customer.spare_replicas
    most = capacity_per_s(d, demand(customer).lengths) if customer.requests_per_s else math.inf
    for n in (fleet_size - 1, fleet_size, fleet_size + 1):
        if n and customer.requests_per_s / n > most:
            rows.append((n, *[math.nan] * (len(_LINE) + 2), 0.0))
        elif n:
            seen = verify.answered(d, n, customer)
            at = seen.ttft.at(customer.ttft_percentile), 1e3 * seen.tpot.at(customer.tpot_percentile)
            rows.append((n, *_line(seen), *at, math.prod(verify.odds(d, seen, customer))))
    return pd.DataFrame(rows, columns=["replicas", *_LINE, "ttft_at", "tpot_at", "odds"])


def variants(customer: Customer) -> dict[str, Customer]:
    """List customers who ask the same with less history, or whose prefix cache finds less of it.

    Parameters
    ----------
    customer : Customer
        As planned.

    Returns
    -------
    dict of str to Customer
        By what changes, in words; the customer's own first.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> [changed.history_tokens for changed in variants(default()).values()]
    [5632, 2816, 5632, 5632, 5632]
    """
    c, found = customer, {"As planned": customer}
    if c.history_tokens:
        half = c.held_tokens - c.history_tokens // 2
        found["Half the history"] = c.model_copy(update={"context_tokens": half})
        for share, words in ((0.5, FINDS_HALF), (0.0, FINDS_NOTHING)):
            found[words] = c.model_copy(update={"history_found": share * c.history_found})
    shorter = max(1, c.prompt_tokens // 2)
    held = c.context_tokens and c.held_tokens - (c.prompt_tokens - shorter)
    return found | {"Prompts half as long": c.model_copy(update={"prompt_tokens": shorter, "context_tokens": held})}


def by_history(d: serving.Deployment, replicas: int, customer: Customer) -> pd.DataFrame:
    """Simulate the planned fleet for each of :func:`variants`, and count the replicas that it would need.

    Parameters
    ----------
    d : Deployment
        A replica.
    replicas : int
        Of the planned fleet.
    customer : Customer
        The load.

    Returns
    -------
    DataFrame
        ``change`` and the columns of :func:`percentiles`, and ``needed``: replicas that keep the targets.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> from hopperbook.planner import plan
    >>> row = plan(default()).recommendation
    >>> rows = by_history(row.deployment, row.replicas, default()).set_index("change").needed
    >>> bool(rows["As planned"] < rows["Prefix cache finds nothing"])  # replicas
    True
    """
    rows = []
    for words, changed in variants(customer).items():
        asks = demand(changed)
        overloaded = asks.rate_per_s and asks.rate_per_s / replicas > capacity_per_s(d, asks.lengths)
        line = (math.nan,) * len(_LINE) if overloaded else _line(verify.answered(d, replicas, changed))
        needed = verify.fewest_replicas(d, changed)
        rows.append((words, *line, needed if math.isfinite(needed) else math.nan))
    return pd.DataFrame(rows, columns=["change", *_LINE, "needed"])


def routing_words(rows: pd.DataFrame) -> str:
    """Say where requests go, and what that does where finding nothing needs fewer replicas than finding half.

    Parameters
    ----------
    rows : DataFrame
        From :func:`by_history`.

    Returns
    -------
    str
        Sentences.

    Examples
    --------
    >>> rows = pd.DataFrame({"change": [FINDS_HALF, FINDS_NOTHING], "needed": [9.0, 7.0]})
    >>> routing_words(rows)[-85:]
    'That loads replicas unevenly, so finding half takes 9 replicas and finding nothing 7.'
    """
    said = "A request goes to the replica whose cache holds its history, however busy, or else to the least busy one."
    needed = rows.set_index("change").needed
    half, nothing = (float(needed.get(words, math.nan)) for words in (FINDS_HALF, FINDS_NOTHING))
    if not nothing < half:
        return said
    takes = f"finding half takes {units.integer(half)} replicas and finding nothing {units.integer(nothing)}"
    return f"{said} That loads replicas unevenly, so {takes}."


def best_layouts(customer: Customer, parts: Sequence[str]) -> pd.DataFrame:
    """Find each part's best layout for a customer: the most load within the targets for each GPU.

    Parameters
    ----------
    customer : Customer
        Load, lengths and targets.
    parts : sequence of str
        GPUs.

    Returns
    -------
    DataFrame
        ``gpu gpus weights cache users rate each rate_each``: GPUs of a replica, formats, users (in flight or thinking)
        and requests a second of a replica, and both for each GPU; zeros where no layout keeps the targets.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> rows = best_layouts(default(), ["H100 SXM", "H200 SXM"])
    >>> rows.gpus.tolist(), bool(rows.each.is_monotonic_increasing)  # GPUs of a replica; more memory carries more
    ([4, 2], True)
    """
    rows = []
    for part in parts:
        found = best_replica(customer, part, customer.model)
        if found is None:
            rows.append((part, 0, "", "", 0.0, 0.0, 0.0, 0.0))
            continue
        d, most = found
        formats = units.format_name(d.weights), units.format_name(d.kv_precision)
        each = most.users / d.gpus, most.rate_per_s / d.gpus
        rows.append((part, d.gpus, *formats, most.users, most.rate_per_s, *each))
    return pd.DataFrame(rows, columns=["gpu", "gpus", "weights", "cache", "users", "rate", "each", "rate_each"])


def evidence_table(rows: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Sum up how far predictions lie from measurements, one line a group.

    Parameters
    ----------
    rows : mapping of str to DataFrame
        Judged rows with ``error``, ``measured``, ``low`` and ``high``, by words.

    Returns
    -------
    DataFrame
        ``what runs median bias near coverage``: runs, median absolute and median error, share of runs that are less
        than a quarter off, and share inside their range, not a number where no range is stated.

    Examples
    --------
    >>> runs = pd.DataFrame({"error": [0.1, -0.4], "measured": [1.0, 1.0], "low": [0.9, 0.9], "high": [1.2, 0.95]})
    >>> evidence_table({"first token": runs}).near.tolist()
    [0.5]
    """
    found = []
    for words, table in rows.items():
        inside = ((table.low <= table.measured) & (table.measured <= table.high)).mean()
        ranged = bool(table.low.notna().any())
        size = table.error.abs()
        near = float((size < 0.25).mean())
        found.append((words, len(table), size.median(), table.error.median(), near, inside if ranged else math.nan))
    return pd.DataFrame(found, columns=["what", "runs", "median", "bias", "near", "coverage"])


def by_arrival(rows: pd.DataFrame, what: str) -> dict[str, pd.DataFrame]:
    """Split judged rows under load by how their requests came.

    Parameters
    ----------
    rows : DataFrame
        Judged rows with ``arrival``.
    what : str
        What was measured, in words.

    Returns
    -------
    dict of str to DataFrame
        By words, the most rows first.

    Examples
    --------
    >>> list(by_arrival(pd.DataFrame({"arrival": ["poisson", "constant", "poisson"]}), "First token"))
    ['First token, random arrivals', 'First token, even arrivals']
    """
    words = {"poisson": "random arrivals", "constant": "even arrivals", "at_once": "all at once", "bursty": "bursts"}
    kinds = rows.arrival.value_counts(sort=True).index
    return {f"{what}, {words[kind]}": rows[rows.arrival == kind] for kind in kinds}


def far_off(rows: pd.DataFrame, factor: float = 2.0) -> int:
    """Count predictions that lie off by more than a factor.

    Parameters
    ----------
    rows : DataFrame
        With ``predicted`` and ``measured``.
    factor : float
        More than this many times too long or too short.

    Returns
    -------
    int
        Rows.

    Examples
    --------
    >>> far_off(pd.DataFrame({"predicted": [1.0, 3.0, 0.4], "measured": [1.0, 1.0, 1.0]}))
    2
    """
    ratio = rows.predicted / rows.measured
    return int(((ratio > factor) | (ratio < 1 / factor)).sum())
