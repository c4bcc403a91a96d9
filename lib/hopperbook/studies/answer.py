"""What the executive page computes on its way: ranges of the answer, rows of the options, and the map near the load."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from hopperbook import evidence, facts, planner, story, units
from hopperbook.customer import Customer
from hopperbook.display import Option
from hopperbook.errors import InputError
from hopperbook.models import load, parameters
from hopperbook.planner import Configuration, Plan, TrainingRun, ties
from hopperbook.planner.borders import Map, rented
from hopperbook.planner.configuration import run_of_row
from hopperbook.planner.extras import RENTED
from hopperbook.planner.load import limits
from hopperbook.planner.reject import Rejected
from hopperbook.planner.runs import describe
from hopperbook.planner.stress import lost_replica, with_spare
from hopperbook.planner.tenure import assumptions, cluster_premium, market_price

#: Ways to have a GPU, as a sentence about the map says them.
HAD = {"on_demand": "rented on demand", "reserved": "reserved", "own": "bought", "kept": "kept"}
COUNTS = ("none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SAYS_NOTHING = 10  # times the recommendation's cost, beyond which the price of what misses the targets is not shown
CLEARLY_FASTER = 0.95  # of the recommendation's time per token, at most

Three = tuple[float, float, float]


class Latency(NamedTuple):
    """Time per token in milliseconds and first token in seconds: typical, and the ends of the 80 % range."""

    tpot_ms: Three
    ttft_s: Three


class Against(NamedTuple):
    """How a configuration differs from the recommended one, as shares of it; NaN where its time is not known."""

    dearer: float
    quicker: float


class Near(NamedTuple):
    """The decision map around a load: who wins there, and who costs about as much; cells that each part wins and that
    are close; who has no price."""

    map: Map
    here: tuple[float, float]
    winner: str
    rival: str
    wins: dict[str, int]
    close: int
    had: str
    unpriced: list[str]


def capital(words: str) -> str:
    """Begin a sentence with a capital letter and leave the rest as it is.

    Parameters
    ----------
    words : str
        Not empty.

    Returns
    -------
    str
        The sentence.

    Examples
    --------
    >>> capital("eight H100 cost less")
    'Eight H100 cost less'
    """
    return words[0].upper() + words[1:]


def most_requests(percentile: str) -> str:
    """Say of how many requests a percentile speaks, to begin a sentence.

    Parameters
    ----------
    percentile : str
        ``mean``, ``p50``, ``p90``, ``p95`` or ``p99``.

    Returns
    -------
    str
        Words.

    Examples
    --------
    >>> most_requests("p95"), most_requests("mean")
    ('95 in 100 requests', 'On average requests')
    """
    return f"{story.most_words(percentile)} requests"


def costs(plan: Plan) -> Three:
    """Return what everything costs a month, at typical, low and high prices.

    Parameters
    ----------
    plan : Plan
        The plan.

    Returns
    -------
    tuple of float
        USD.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> [round(usd, -2) for usd in costs(planner.plan(default()))]  # typical, low, high
    [10100.0, 7100.0, 13500.0]
    """
    return plan.usd_per_month("typical"), plan.usd_per_month("low"), plan.usd_per_month("high")


def latency(row: Configuration) -> Latency:
    """Return the latencies of a configuration, at the percentiles that the customer names, with their 80 % ranges.

    Parameters
    ----------
    row : Configuration
        One of the plan's.

    Returns
    -------
    Latency
        Typical, low and high.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> found = latency(planner.plan(default()).recommendation)
    >>> [round(each) for each in found.tpot_ms]
    [47, 42, 53]
    """
    bands, tpot_ms, ttft_s = planner.bands(row.deployment), 1e3 * float(row.tpot_at_s), float(row.ttft_at_s)
    (faster, slower), (sooner, later) = bands["tpot"], bands["ttft"]
    return Latency((tpot_ms, tpot_ms * faster, tpot_ms * slower), (ttft_s, ttft_s * sooner, ttft_s * later))


def run_days(customer: Customer, run: TrainingRun) -> Three:
    """Return the days of a training run with their 80 % range.

    Parameters
    ----------
    customer : Customer
        Whose bands count.
    run : TrainingRun
        One of the plan's.

    Returns
    -------
    tuple of float
        Typical, low and high.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> [round(24 * days, 1) for days in run_days(default(), planner.plan(default()).training)]  # hours
    [16.3, 15.3, 17.6]
    """
    return float(run.days), *planner.days_range(customer, run)


def chance(row: Configuration) -> float:
    """Return the probability that a configuration keeps both targets.

    Parameters
    ----------
    row : Configuration
        A serving configuration.

    Returns
    -------
    float
        Between 0 and 1, as if the two were independent.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> chance(SimpleNamespace(p_tpot=0.9, p_ttft=0.5))
    0.45
    """
    return float(row.p_tpot * row.p_ttft)


def trains_mostly(plan: Plan) -> bool:
    """Say whether training costs more than serving.

    Parameters
    ----------
    plan : Plan
        The plan.

    Returns
    -------
    bool
        True where it does; without a serving configuration False.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> trains_mostly(planner.plan(default()))
    False
    """
    row, run = plan.recommendation, plan.training
    return row is not None and run is not None and float(run.usd) > float(row.usd)


def same_fleet(row: Configuration, other: Configuration) -> bool:
    """Say whether two configurations are as many GPUs of the same part.

    Parameters
    ----------
    row, other : Series
        Serving configurations.

    Returns
    -------
    bool
        True where they are.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> four, eight = (SimpleNamespace(gpus=gpus, gpu="H100 SXM") for gpus in (4, 8))
    >>> same_fleet(four, four), same_fleet(four, eight)
    (True, False)
    """
    return (row.gpus, row.gpu) == (other.gpus, other.gpu)


def against(other: Configuration, row: Configuration) -> Against:
    r"""Compare a configuration with the recommended one.

    .. math:: d = c' / c - 1, \quad q = 1 - t' / t

    Parameters
    ----------
    other, row : Series
        The configuration, of cost c' and time per token t' at the customer's percentile, and the recommended one.

    Returns
    -------
    Against
        Shares of cost and time per token; ``quicker`` is below 0 where it is slower.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> row, other = SimpleNamespace(usd=100.0, tpot_at_s=0.04), SimpleNamespace(usd=125.0, tpot_at_s=0.03)
    >>> against(other, row)
    Against(dearer=0.25, quicker=0.25)
    """
    return Against(other.usd / row.usd - 1, 1 - other.tpot_at_s / row.tpot_at_s if row.tpot_at_s else math.nan)


def clearly_faster(plan: Plan) -> Configuration | None:
    """Return the plan's fastest configuration where it is worth a row of its own.

    Parameters
    ----------
    plan : Plan
        The plan.

    Returns
    -------
    Configuration or None
        None where the recommendation is nearly as fast.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> quick, slow = SimpleNamespace(tpot_at_s=0.01), SimpleNamespace(tpot_at_s=0.02)
    >>> clearly_faster(SimpleNamespace(fastest=quick, recommendation=slow)).tpot_at_s
    0.01
    """
    fastest, row = plan.fastest, plan.recommendation
    if fastest is None or row is None:
        return None
    return fastest if fastest.tpot_at_s < CLEARLY_FASTER * row.tpot_at_s else None


def _bare(usd: float) -> str:
    """Write money for a column whose head has the unit."""
    return units.amount(usd)


def option(verdict: str, row: Configuration, reason: str) -> Option:
    """Make a row of the options from a serving configuration.

    Parameters
    ----------
    verdict, reason : str
        A word or two, and a sentence.
    row : Configuration
        The configuration.

    Returns
    -------
    Option
        Cost a month, milliseconds a token and room left in the cache, per cent.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> row = planner.plan(default()).recommendation
    >>> option("Recommended", row, "Least cost.").name
    '8 × H100 SXM'
    """
    tpot_ms, low_ms, high_ms = latency(row).tpot_ms
    cost = (_bare(float(row.usd)), f"{_bare(float(row.usd_low))}–{_bare(float(row.usd_high))}")
    each = (units.number(tpot_ms), f"{units.number(low_ms)}–{units.number(high_ms)}")
    room = units.number(100 * float(row.headroom))
    detail = f"{planner.layout(row)}, {units.format_name(row.precision)}, {row.tenure.replace('_', ' ')}"
    return Option(verdict, f"{units.integer(row.gpus)} × {row.gpu}", [cost, each, room], reason, detail)


def refused(part: Rejected, plan: Plan) -> Option:
    """Make a row of the options from a part that is not recommended.

    Parameters
    ----------
    part : Rejected
        The part, what decided, and what would bring it back.
    plan : Plan
        Its plan.

    Returns
    -------
    Option
        Its cost and time per token where they are known, and say something: not where a fleet costs many times the
        recommendation and still misses the targets.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> refused(Rejected("H100 NVL", "too slow", "more time"), planner.plan(default())).reason
    'Too slow. Reconsider with more time.'
    """
    row = plan.recommendation
    if row is not None and part.gpu not in plan.by_part and part.usd_per_month > SAYS_NOTHING * row.usd:
        none = f"No number up to {units.integer(plan.customer.max_gpus)} is sure to meet the targets"
        return Option("Rejected", part.gpu, ["", "", ""], f"{none}: {part.reason}. Reconsider with {part.remedy}.")
    cost = "" if math.isnan(part.usd_per_month) else _bare(part.usd_per_month)
    each = "" if math.isnan(part.tpot_at_s) else units.number(1e3 * part.tpot_at_s)
    name = f"{units.integer(part.gpus)} × {part.gpu}" if part.gpus else part.gpu
    return Option("Rejected", name, [cost, each, ""], f"{capital(part.reason)}. Reconsider with {part.remedy}.")


def run_option(customer: Customer, verdict: str, run: TrainingRun, reason: str) -> Option:
    """Make a row of the options from a training configuration.

    Parameters
    ----------
    customer : Customer
        Whose bands count.
    verdict, reason : str
        A word or two, and a sentence.
    run : TrainingRun
        The configuration.

    Returns
    -------
    Option
        Cost of a run, days, and the share of the dense peak, per cent.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> plan = planner.plan(default())
    >>> run_option(default(), "Recommended", plan.training, "Least cost.").name
    '4 × H100 SXM'
    """
    days, low, high = run_days(customer, run)
    lasts = (units.number(days), f"{units.number(low)}–{units.number(high)}")
    detail = f"{describe(run)}, {units.format_name(run.precision)}, {run.tenure.replace('_', ' ')}"
    cost, share = _bare(float(run.usd_run)), units.number(100 * float(run.mfu))
    return Option(verdict, f"{units.integer(run.gpus)} × {run.gpu}", [cost, lasts, share], reason, detail)


def other_runs(plan: Plan, most: int = 4) -> list[TrainingRun]:
    """Return the training runs on other parts than the one chosen, the cheapest first.

    Parameters
    ----------
    plan : Plan
        A plan with training.
    most : int
        How many.

    Returns
    -------
    list of TrainingRun
        The cheapest of each other part.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> plan = planner.plan(default())
    >>> plan.training.gpu, [run.gpu for run in other_runs(plan)]
    ('H100 SXM', ['A100 SXM 80GB', 'H200 SXM', 'H100 NVL', 'H200 NVL'])
    """
    options = [run_of_row(row) for _, row in plan.training_options.iterrows()]
    return [run for run in options if plan.training is None or run.gpu != plan.training.gpu][:most]


def on_spot(plan: Plan) -> TrainingRun | None:
    """Return the cheapest run on spot that is to be had and likelier in time than not, where it is not the plan's.

    Parameters
    ----------
    plan : Plan
        A plan with training.

    Returns
    -------
    TrainingRun or None
        None where there is none that costs less than the plan's.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> on_spot(planner.plan(default())) is None  # its fleet trains in its idle hours, for nothing
    True
    """
    rows, chosen = plan.training_table, plan.training
    if chosen is None or chosen.tenure == "spot":
        return None
    had = rows.available & (rows.tenure == "spot")
    likely = rows[had & (rows.p_deadline >= 0.5) & (rows.usd < chosen.usd)]
    if likely.empty:
        return None
    return run_of_row(likely.sort_values(["usd", "days", "gpus"], kind="stable").iloc[0])


def spot_words(customer: Customer, run: TrainingRun, usd_chosen: float) -> str:
    """Say what a run on spot costs beside the choice, by whom its GPUs are let, and its chance to be in time.

    Parameters
    ----------
    customer : Customer
        Market and day.
    run : TrainingRun
        A run on spot.
    usd_chosen : float
        What the choice costs.

    Returns
    -------
    str
        A sentence.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> from hopperbook.customer import default
    >>> words = spot_words(default(), SimpleNamespace(gpu="H100 SXM", usd=50.0, p_deadline=0.6), 100.0)
    >>> " ".join(words.split())
    'Costs 50 % less on spot (4 providers let it), with a 60 % chance to be in time.'
    """
    count = market_price(customer, run.gpu, "spot").count
    let = f"{count} providers let it" if count > 1 else "1 provider lets it"
    odds = units.percent(run.p_deadline)
    return f"{more_words(run.usd, usd_chosen)} on spot ({let}), with a {odds} chance to be in time."


def spot_rule() -> str:
    """Say which GPUs on spot count as to be had for a run.

    Returns
    -------
    str
        A sentence.

    Examples
    --------
    >>> spot_rule()
    'On spot a cluster counts as to be had where 3 providers let the GPU, or one lets whole servers.'
    """
    sellers = units.integer(assumptions()["spot_sellers"])
    return f"On spot a cluster counts as to be had where {sellers} providers let the GPU, or one lets whole servers."


def dear_words(plan: Plan) -> str:
    """Say what a month costs at the high end of rents, and what that end holds beside the rent of a GPU.

    Parameters
    ----------
    plan : Plan
        A plan whose fleet is rented.

    Returns
    -------
    str
        A sentence.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> run = SimpleNamespace(tenure="on_demand", gpus=32)
    >>> plan = SimpleNamespace(recommendation=None, training=run, usd_per_month=lambda end: 43_200.0)
    >>> " ".join(dear_words(plan).split())
    'At the high end, and with 50 % on top for InfiniBand between servers, a month costs $43,200.'
    """
    row, run, more = plan.recommendation, plan.training, ""
    jobs = [(row.tenure, row.deployment.gpus)] if row is not None else []
    jobs += [(run.tenure, run.gpus)] if run is not None else []
    if any(tenure in RENTED and gpus > facts.SERVER_GPUS for tenure, gpus in jobs):
        more = f", and with {units.percent(cluster_premium()[2])} on top for InfiniBand between servers,"
    return f"At the high end{more} a month costs {units.money(plan.usd_per_month('high'))}."


def more_words(usd: float, usd_chosen: float) -> str:
    """Say how a cost compares with that of the choice.

    Parameters
    ----------
    usd, usd_chosen : float
        Costs; a choice that is free counts as equal.

    Returns
    -------
    str
        The beginning of a sentence.

    Examples
    --------
    >>> more_words(300.0, 100.0)
    'Costs 3.0 times as much'
    """
    return f"Costs {units.more(usd / usd_chosen if usd_chosen else 1.0)}"


def near(customer: Customer) -> Near:
    """Read the decision map around a customer's load.

    Parameters
    ----------
    customer : Customer
        Model, users, lengths, targets, market.

    Returns
    -------
    Near
        The load as billions of parameters and users; the winner of the nearest cell, empty where none keeps the
        targets; the cells that each part drawn wins; how the first of them is had; those without a price.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> found = near(default())
    >>> list(found.wins), round(found.here[0], 1)
    (['A100', 'H100', 'H200'], 70.6)
    """
    drawn, ways = planner.decision_map(customer), rented(customer)
    billions = parameters(load(customer.model)) / 1e9
    row = np.argmin(np.abs(np.log(drawn.users / customer.most_in_flight)))
    column = np.argmin(np.abs(np.log(drawn.parameters / 1e9 / billions)))
    shorts = [facts.gpu(part).short for part in facts.drawn()]
    priced = {facts.gpu(part).short for part in ways}
    return Near(
        map=drawn,
        here=(billions, customer.most_in_flight),
        winner=str(drawn.winner[row, column]),
        rival=str(drawn.rival[row, column]),
        wins={short: int((drawn.winner == short).sum()) for short in shorts},
        close=int((drawn.rival != "").sum()),
        had=HAD[next(iter(ways.values())).kind],
        unpriced=[short for short in shorts if short not in priced],
    )


def plan_beside(winner: str, row: Configuration | None) -> str:
    """Say why the plan takes another part than the map shows at the load.

    Parameters
    ----------
    winner : str
        Who wins the map's cell; empty where none does.
    row : Configuration or None
        The recommendation.

    Returns
    -------
    str
        A sentence that continues a line; empty where both name one part.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> plan_beside("H200", SimpleNamespace(gpu="H100 SXM"))[:41], plan_beside("H100", SimpleNamespace(gpu="H100 SXM"))
    ('. The plan weighs more and takes H100: it', '')
    """
    if row is None or winner in ("", facts.gpu(row.gpu).short):
        return ""
    return (
        f". The plan weighs more and takes {facts.gpu(row.gpu).short}: it simulates each request, compares ways to pay "
        "and counts other work"
    )


def failure_words(row: Configuration, customer: Customer) -> str:
    """Say what becomes of the targets if a replica fails, and what a spare one would cost.

    Parameters
    ----------
    row : Configuration
        The recommendation.
    customer : Customer
        Her load.

    Returns
    -------
    str
        One sentence or two.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> failure_words(planner.plan(default()).recommendation, default())[:52]
    'With one replica lost at the busy hour, the targets '
    """
    lost, spare = lost_replica(row, customer), with_spare(row)
    paid = f" ({units.integer(spare.billed_gpus)} paid for)" if spare.billed_gpus != spare.gpus else ""
    gpus = f"{units.integer(spare.gpus)} GPUs{paid}"
    more = f"A spare one makes it {gpus} and {units.money(spare.usd)} a month for serving."
    if lost is None:
        return f"There is one replica: if it stops, the service stops. {more}"
    if limits(customer, row.deployment, 0.5).keeps(lost):
        return "With one replica lost at the busy hour, the targets are still met."
    each = units.duration(lost.tpot.at(customer.tpot_percentile))
    first = units.duration(lost.ttft.at(customer.ttft_percentile))
    times = f"a token takes {each} ({customer.tpot_percentile}), the first {first} ({customer.ttft_percentile})"
    return f"With one replica lost at the busy hour, the targets are missed: {times}. {more}"


#: Options that cost about as much as the recommendation and are named on the first page.
MOST_CLOSE = 2


def close_words(row: Configuration, options: Sequence[ties.Tie]) -> str:
    """Say which options cost about as much as the recommendation, how sure that is, and what would decide.

    Parameters
    ----------
    row : Configuration
        The recommendation.
    options : sequence of Tie
        Those that are close.

    Returns
    -------
    str
        Two or three sentences an option, the last without its full stop.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> from hopperbook.planner import plan
    >>> made = plan(default())
    >>> close_words(made.recommendation, ties.ties(made)[:1])[:85]
    '8 × H200 SXM, bought, comes to $10,200 a month for serving, against $9,620, and costs'
    """
    return ". ".join(_close(row, each) for each in options)


def _close(row: Configuration, each: ties.Tie) -> str:
    other = each.row
    costs = f"comes to {units.money(other.usd)} a month for serving, against {units.money(row.usd)},"
    what = f"{other.gpus} × {other.gpu}, {HAD[other.tenure]}, {costs}"
    regret = f"The wrong choice costs {units.money(each.regret_usd)} a month on average"
    odds = f"costs more in {units.percent(each.cheaper, 2)} of price scenarios"
    return f"{what} and {odds}. {capital(ties.choose_by(row, each))}. {regret}"


def usd_per_hour(part: str, customer: Customer) -> float:
    """Return the typical price of an hour of a GPU on demand.

    Parameters
    ----------
    part : str
        The GPU.
    customer : Customer
        Market and day.

    Returns
    -------
    float
        USD; NaN where no price is on file.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> usd_per_hour("H100 SXM", default()), usd_per_hour("A800 SXM", default())
    (3.2999, nan)
    """
    try:
        return market_price(customer, part).typical
    except InputError:
        return math.nan


def price_dates(customer: Customer) -> str:
    """Return the dates of the prices that the map rests on.

    Parameters
    ----------
    customer : Customer
        Market and day.

    Returns
    -------
    str
        The first and the last over all parts drawn that have a price; empty where none has.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> price_dates(default())
    '2026-05-08 to 2026-08-23'
    """
    days: list[str] = []
    for part in facts.drawn():
        try:
            days += market_price(customer, part).date.split(" to ")
        except InputError:
            continue
    first, last = min(days, default=""), max(days, default="")
    return first if first == last else f"{first} to {last}"


def published_runs() -> int:
    """Count the published runs that judge the answer: of serving by time per token and at most, and of training.

    Returns
    -------
    int
        Runs that nothing was fitted to.

    Examples
    --------
    >>> round(published_runs(), -2)
    1700
    """
    asked = (("serving", "tpot_ms"), ("serving", "output_tokens_per_s"), ("training", "tokens_per_s_per_gpu"))
    return sum(len(evidence.judged(kind, quantity)) for kind, quantity in asked)


def milliseconds(value_ms: float) -> str:
    """Write a time per token.

    Parameters
    ----------
    value_ms : float
        Milliseconds.

    Returns
    -------
    str
        With its unit.

    Examples
    --------
    >>> milliseconds(25.4).split()
    ['25', 'ms']
    """
    return units.quantity(value_ms, "ms")


def lasting(days: float) -> str:
    """Write the length of a run.

    Parameters
    ----------
    days : float
        Days.

    Returns
    -------
    str
        In the unit that suits it.

    Examples
    --------
    >>> lasting(3.0).split()
    ['3.0', 'days']
    """
    return units.duration(days * units.DAY_S)
