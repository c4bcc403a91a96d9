"""The decision: which configuration to recommend, what else would do, and why every other part was rejected."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd

from hopperbook import evidence, facts, mig
from hopperbook.customer import Customer
from hopperbook.memory import constants as memory_constants
from hopperbook.models import load
from hopperbook.planner import fleet, runs
from hopperbook.planner.tenure import Tenure, tenures
from hopperbook.serving import Deployment
from hopperbook.simulation import closed_loop
from hopperbook.transformer import kv_bytes, weight_bytes
from hopperbook.units import GIB, MONTH_H, MONTH_S, money

SURE = 0.9  # probability that a recommendation must reach for each target
#: Stands for the cost of a training run that no cluster of its own finishes in time, USD a month.
UNTRAINED_USD = 1e12
#: A fleet busy for longer than this each day does no training beside.
FULL_DAY_HOURS = 23
Z80 = NormalDist().inv_cdf(0.9)


@dataclass(frozen=True, eq=False)
class Rejected:
    """A part that is not recommended, the one constraint that decided, and what would bring it back."""

    gpu: str
    reason: str
    remedy: str
    usd_per_month: float = math.nan
    tpot_s: float = math.nan
    gpus: int = 0


@dataclass(frozen=True, eq=False)
class Small:
    """Where the small services run: slices of cards."""

    gpu: str
    profile: str
    cards: int
    placements: list[mig.Placement]
    tenure: Tenure
    usd_low: float
    usd: float
    usd_high: float


@dataclass(frozen=True, eq=False)
class Plan:
    """A plan for one customer; configurations are rows of the tables they were chosen from.

    Parameters
    ----------
    customer : Customer
        Whose plan it is.
    recommendation, runner_up, cheapest, fastest, grow_into : Series or None
        Serving configurations; None where there is none.
    front : DataFrame
        Configurations that meet the targets and are not dominated in cost and time per token.
    rejected : tuple of Rejected
        Every other part, with the reason.
    training : Series or None
        Training configuration; ``training_options`` are the best of each part.
    small : Small or None
        Cards for the small services.
    considered : int
        Configurations timed.
    serving_table, training_table : DataFrame
        All of them.
    answer : str
        What stands in the way, where something does; empty otherwise.
    """

    customer: Customer
    recommendation: Any
    runner_up: Any
    cheapest: Any
    fastest: Any
    grow_into: Any
    front: pd.DataFrame
    rejected: tuple[Rejected, ...]
    training: Any
    training_options: pd.DataFrame
    small: Small | None
    considered: int
    serving_table: pd.DataFrame = field(repr=False)
    training_table: pd.DataFrame = field(repr=False)
    answer: str = ""

    def usd_per_month(self, end: str = "typical") -> float:
        """Cost of everything a month at one end of the prices.

        Parameters
        ----------
        end : str
            ``low``, ``typical`` or ``high``.

        Returns
        -------
        float
            USD; serving, training and small services together.
        """
        column = {"low": "usd_low", "typical": "usd", "high": "usd_high"}[end]
        parts = [self.recommendation, self.training, self.small]
        return float(sum(_get(part, column) for part in parts if part is not None))


def _get(part: Any, column: str) -> float:
    return getattr(part, column) if isinstance(part, Small) else part[column]


def probability(predicted: Any, limit: float, factors: tuple[float, float]) -> Any:
    r"""Probability that a quantity stays below a limit, its error lognormal with a given 80 % interval.

    .. math:: \Phi\!\left(\frac{\ln L - \ln(\hat y \sqrt{l h})}{\ln(h / l) / (2 \cdot 1.2816)}\right)

    Parameters
    ----------
    predicted : float or array
        Prediction.
    limit : float
        Limit in the same unit.
    factors : tuple of float
        Ends of the 80 % interval over the prediction.

    Returns
    -------
    float or array
        Between 0 and 1.

    Examples
    --------
    >>> round(float(probability(50.0, 50.0 * 1.1, (1 / 1.1, 1.1))), 2)
    0.9
    """
    from scipy.special import ndtr

    low, high = np.log(factors[0]), np.log(factors[1])
    sigma = max((high - low) / (2 * Z80), 1e-9)
    return ndtr((np.log(limit) - np.log(np.asarray(predicted, float)) - (low + high) / 2) / sigma)


def bands(customer: Customer) -> dict[str, tuple[float, float]]:
    """Return the 80 % factors of the quantities that a plan predicts, of the families its models belong to.

    Parameters
    ----------
    customer : Customer
        Its models: dense ones and Mixtures of Experts have ranges of their own.

    Returns
    -------
    dict
        Of ``tpot``, ``ttft``, ``throughput`` and ``days``: (low, high) over the prediction.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> low, high = bands(default())["tpot"]
    >>> low < high
    True
    """
    return _bands(bool(load(customer.model).experts), bool(load(customer.trained_model).experts))


@functools.cache
def _bands(moe: bool, moe_trained: bool) -> dict[str, tuple[float, float]]:
    engine = "online/vllm/moe" if moe else "online/vllm-0.12/dense"
    kind = "-moe/megatron" if moe_trained else "/dense/megatron"
    rate = evidence.interval("training/tokens_per_s_per_gpu" + kind, "tokens_per_s_per_gpu")
    tpot = evidence.interval(f"serving/tpot_ms/{engine}", "tpot_ms")
    return {
        "tpot": tpot,
        "ttft": evidence.interval(f"serving/ttft_ms/{engine}", "ttft_ms"),
        "throughput": (1 / tpot[1], 1 / tpot[0]),
        "days": (1 / rate[1], 1 / rate[0]),
    }


@functools.lru_cache(maxsize=64)
def plan(customer: Customer) -> Plan:
    """Make the plan of a customer.

    Parameters
    ----------
    customer : Customer
        The checked customer.

    Returns
    -------
    Plan
        The decision and everything it was chosen from.

    Raises
    ------
    InputError
        If no price of any GPU is known.

    Examples
    --------
    >>> from hopperbook.customer import check
    >>> made = plan(check({"name": "A", "model": "llama-3.1-8b", "concurrency": 16}))
    >>> bool(made.recommendation.tpot_s * 1e3 < 100)
    True
    """
    ways = {part: tenures(customer, part) for part in fleet.PARTS}
    served = fleet.table(customer, ways)
    run_table, layouts = _runs(customer, ways)
    rows, made = judge(served.rows, customer), served.deployments
    if len(rows):
        rows["training_usd"] = _training_usd(rows, run_table, customer)
    by_part, failed = _by_part(rows, made, customer)
    cheapest = _verified(_ordered(rows, "works"), made, customer, least=0.5)
    order = sorted(by_part.values(), key=lambda row: (row.usd + row.training_usd, row.tpot_s))
    recommendation = order[0] if order else cheapest
    runner_up = order[1] if len(order) > 1 else None
    front, grow_into = _front(rows, made, customer), None
    if recommendation is not None:
        grow_into = _grown(customer, ways)
    trained, options, run_table = _train(customer, run_table, recommendation)
    small = _small(customer, ways)
    return Plan(
        customer=customer,
        recommendation=recommendation,
        runner_up=runner_up,
        cheapest=cheapest,
        fastest=_fastest(front, customer, recommendation),
        grow_into=grow_into,
        front=front,
        rejected=_rejected(rows, served.missing, ways, by_part, failed, recommendation, customer),
        training=trained,
        training_options=options,
        small=small,
        considered=len(rows) + layouts,
        serving_table=rows,
        training_table=run_table,
        answer=_obstacle(rows, recommendation, trained, run_table, small, customer),
    )


def judge(rows: pd.DataFrame, customer: Customer) -> pd.DataFrame:
    """Add the probability that each target is met, and two verdicts.

    Parameters
    ----------
    rows : DataFrame
        From :func:`hopperbook.planner.fleet.table`.
    customer : Customer
        The targets.

    Returns
    -------
    DataFrame
        With ``p_tpot, p_ttft, works`` (predicted within the targets, and more likely than not) and ``sure`` (nine times
        in ten).
    """
    if rows.empty:
        return rows
    b = bands(customer)
    rows = rows.assign(
        p_tpot=probability(rows.tpot_s, customer.tpot_target_ms / 1e3, b["tpot"]),
        p_ttft=probability(rows.ttft_s, customer.ttft_target_ms / 1e3, b["ttft"]),
    )
    within = (rows.tpot_s * 1e3 <= customer.tpot_target_ms) & (rows.ttft_s * 1e3 <= customer.ttft_target_ms)
    possible = rows.fits & rows.available & within
    rows["works"] = possible & (rows.p_tpot >= 0.5) & (rows.p_ttft >= 0.5)
    rows["sure"] = possible & (rows.p_tpot >= SURE) & (rows.p_ttft >= SURE)
    return rows


def _training_usd(rows: pd.DataFrame, run_table: pd.DataFrame, customer: Customer) -> Any:
    """Return what training costs beside each fleet: nothing where the fleet does it in its idle hours, in time."""
    if run_table.empty:
        return 0.0
    in_time = run_table[run_table.available & (run_table.p_deadline >= SURE)]
    own = float(in_time.usd.min()) if len(in_time) else UNTRAINED_USD
    days = run_table.groupby(["gpu", "gpus"]).days.min()
    pairs = pd.MultiIndex.from_arrays([rows.gpu, 2 ** np.log2(rows.gpus).astype(int)])
    free = np.maximum(1 - rows.day_hours.to_numpy() / 24, 1e-9)
    shared = days.reindex(pairs).to_numpy() / free
    sure = probability(shared, customer.training_deadline_days, bands(customer)["days"]) >= SURE
    return np.where(sure & (rows.day_hours < FULL_DAY_HOURS), 0.0, own)


def _ordered(rows: pd.DataFrame, verdict: str) -> pd.DataFrame:
    """Return the rows of a verdict by cost, at equal cost the likeliest to keep the targets first.

    What is likely is ordered by the cost of serving; what is sure, and may be recommended, by that of training too.
    """
    if rows.empty:
        return rows
    kept = rows[rows[verdict]]
    likely = np.minimum(np.round(kept.p_tpot * kept.p_ttft, 3), 0.995)
    cost = kept.usd + kept.training_usd if verdict == "sure" and "training_usd" in kept else kept.usd
    kept = kept.assign(likely=-likely, cost=cost)
    return kept.sort_values(["cost", "likely", "tpot_s"], kind="stable").drop(columns=["likely", "cost"])


@functools.lru_cache(maxsize=65536)
def _loop(d: Deployment, users: int, prompt_tokens: int, output_tokens: int) -> Any:
    return closed_loop(d, users, prompt_tokens, output_tokens)


def _odds(d: Deployment, users: int, customer: Customer) -> tuple[float, float]:
    """Return the probabilities that a replica keeps the two targets under so many users, simulated."""
    loop, b = _loop(d, users, customer.prompt_tokens, customer.output_tokens), bands(customer)
    return (
        float(probability(loop.tpot_s, customer.tpot_target_ms / 1e3, b["tpot"])),
        float(probability(loop.ttft_s, customer.ttft_target_ms / 1e3, b["ttft"])),
    )


def _keeps(d: Deployment, users: int, customer: Customer, least: float) -> bool:
    """Whether a simulated replica keeps both targets, and with a probability of at least so much."""
    loop = _loop(d, users, customer.prompt_tokens, customer.output_tokens)
    within = loop.tpot_s * 1e3 <= customer.tpot_target_ms and loop.ttft_s * 1e3 <= customer.ttft_target_ms
    return within and min(_odds(d, users, customer)) >= least


def simulate(row: Any, deployments: list[Any], customer: Customer) -> Any:
    """Replace a row's steady-state latencies by those of the simulated closed loop.

    Parameters
    ----------
    row : Series
        A serving configuration.
    deployments : list of Deployment
        Where ``row.row`` points.
    customer : Customer
        The load.

    Returns
    -------
    Series
        The row with simulated ``ttft_s``, ``tpot_s``, ``ttft_p95_s``, throughput and the probabilities.
    """
    d, users = deployments[int(row.row)], int(row.users)
    loop = _loop(d, users, customer.prompt_tokens, customer.output_tokens)
    rate = loop.output_tokens_per_s * customer.concurrency / users
    p_tpot, p_ttft = _odds(d, users, customer)
    simulated = {
        "ttft_s": loop.ttft_s,
        "tpot_s": loop.tpot_s,
        "ttft_p95_s": loop.ttft_p95_s,
        "output_tokens_per_s": rate,
        "usd_per_million": row.usd * 1e6 / (MONTH_S * customer.busy_fraction * rate),
        "p_tpot": p_tpot,
        "p_ttft": p_ttft,
    }
    return pd.Series(row.to_dict() | simulated, name=row.name)


def _verified(candidates: pd.DataFrame, made: list[Deployment], customer: Customer, least: float = SURE) -> Any:
    """Return the first candidate that also keeps the targets when simulated.

    Of a replica that misses them, the most users that it can carry are found by bisection, and its candidates with
    more are passed over.
    """
    if candidates.empty:
        return None
    users = candidates.users.to_numpy()
    replicas = [made[i] for i in candidates.row]
    counts: dict[int, set[int]] = {}
    for d, n in zip(replicas, users, strict=True):
        counts.setdefault(id(d), set()).add(int(n))
    most: dict[int, int] = {}
    for at, (d, n) in enumerate(zip(replicas, users, strict=True)):
        if id(d) not in most:
            keeps = _keeps(d, int(n), customer, least)
            fewer = sorted(c for c in counts[id(d)] if c < n)
            most[id(d)] = int(n) if keeps else _most_users(d, fewer, customer, least)
        if n <= most[id(d)]:
            return simulate(candidates.iloc[at], made, customer)
    return None


def _most_users(d: Deployment, counts: list[int], customer: Customer, least: float) -> int:
    """Return the largest of ascending counts of users under which a replica keeps the targets; 0 where none does."""
    low, high = 0, len(counts)
    while low < high:
        middle = (low + high) // 2
        if _keeps(d, counts[middle], customer, least):
            low = middle + 1
        else:
            high = middle
    return counts[low - 1] if low else 0


def _by_part(rows: pd.DataFrame, made: list[Deployment], customer: Customer) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return each part's cheapest configuration that keeps the targets when simulated, and those that then do not."""
    found: dict[str, Any] = {}
    failed: dict[str, Any] = {}
    ordered = _ordered(rows, "sure")
    for part, candidates in ordered.groupby("gpu", sort=False) if len(ordered) else ():
        row = _verified(candidates, made, customer)
        if row is None:
            failed[str(part)] = simulate(candidates.iloc[-1], made, customer)
        else:
            found[str(part)] = row
    return found, failed


def _fastest(front: pd.DataFrame, customer: Customer, recommendation: Any) -> Any:
    """Return the configuration with the shortest time per token within the budget, or twice the recommendation."""
    if recommendation is None:
        return None
    limit = customer.budget_usd_per_month or 2 * float(recommendation.usd)
    sure = [row for _, row in front.iterrows() if min(row.p_tpot, row.p_ttft) >= SURE]
    within = [row for row in (recommendation, *sure) if row.usd <= limit]
    return min(within, key=lambda row: (row.tpot_s, row.usd)) if within else None


def _grown(customer: Customer, ways: dict[str, list[Tenure]]) -> Any:
    """Return the cheapest configuration for twice the users."""
    doubled = customer.model_copy(update={"concurrency": 2 * customer.concurrency})
    served = fleet.table(doubled, ways)
    return _verified(_ordered(judge(served.rows, doubled), "sure"), served.deployments, doubled)


def _front(rows: pd.DataFrame, made: list[Deployment], customer: Customer) -> pd.DataFrame:
    """Keep what meets the targets and is not dominated in cost and time per token; the latencies are simulated."""
    if rows.empty:
        return rows
    ordered = rows[rows.works].sort_values(["usd", "tpot_s"], kind="stable")
    front = ordered[ordered.tpot_s < ordered.tpot_s.cummin().shift(fill_value=np.inf)]
    likely = [row for _, row in front.head(48).iterrows() if _keeps(made[int(row.row)], int(row.users), customer, 0.5)]
    kept = pd.DataFrame([simulate(row, made, customer) for row in likely])
    if kept.empty:
        return kept
    return kept[kept.tpot_s < kept.tpot_s.cummin().shift(fill_value=np.inf)]


def _rejected(
    rows: pd.DataFrame,
    missing: dict[str, str],
    ways: dict[str, list[Tenure]],
    by_part: dict[str, Any],
    failed: dict[str, Any],
    chosen: Any,
    customer: Customer,
) -> tuple[Rejected, ...]:
    found = []
    for part in fleet.PARTS:
        if chosen is not None and part == chosen.gpu:
            continue
        if not ways[part]:
            found.append(Rejected(part, "no price on file", "a price of your own"))
        elif part in missing:
            reason, _, remedy = missing[part].partition("; ")
            found.append(Rejected(part, reason, remedy))
        elif part in by_part:
            found.append(_dearer(by_part[part], part, chosen))
        elif part in failed:
            found.append(_slow(failed[part], part, customer))
        else:
            found.append(_too_slow(rows[rows.gpu == part], part, customer))
    return tuple(found)


def _dearer(row: Any, part: str, chosen: Any) -> Rejected:
    """Reject a part that keeps every target at a higher price."""
    costs = [float(each.usd + each.training_usd) for each in (row, chosen)]
    hourly = (costs[1] - row.training_usd) / row.billed_gpus / MONTH_H
    if costs[0] >= UNTRAINED_USD > costs[1]:
        words, remedy = "no time left to train on it", "a later deadline"
    else:
        words = f"{costs[0] / costs[1] - 1:.0%} dearer"
        remedy = f"a price below {money(hourly)} a GPU-hour" if hourly > 0 else "GPUs that serve and train in turn"
    return Rejected(part, words, remedy, float(row.usd), float(row.tpot_s), int(row.gpus))


def _too_slow(rows: pd.DataFrame, part: str, customer: Customer) -> Rejected:
    possible = rows[rows.fits & rows.available]
    if possible.empty:
        if rows.fits.any() and (rows.day_hours > 24).all():
            words = f"serving and scientific work need {rows.day_hours.min():.0f} hours a day"
            return Rejected(part, words, "fewer hours of scientific work")
        short = "too few are owned" if rows.fits.any() else "the cache of one user fills it"
        return Rejected(part, short, "more GPUs or a shorter context")
    return _slow(possible.loc[(possible.p_tpot * possible.p_ttft).idxmax()], part, customer)


def _slow(row: Any, part: str, customer: Customer) -> Rejected:
    """Reject a part whose best configuration is unlikely to keep a target."""
    b = bands(customer)
    about = (float(row.usd), float(row.tpot_s), int(row.gpus))
    if row.p_tpot <= row.p_ttft:
        reason = f"{row.tpot_s * 1e3:.0f} ms a token at best, {row.p_tpot:.0%} sure of {customer.tpot_target_ms:g} ms"
        return Rejected(part, reason, f"a target of {row.tpot_s * b['tpot'][1] * 1e3:.0f} ms a token", *about)
    reason = (
        f"first token after {row.ttft_s:.1f} s at best, {row.p_ttft:.0%} sure of {customer.ttft_target_ms / 1e3:g} s"
    )
    return Rejected(part, reason, f"a target of {row.ttft_s * b['ttft'][1]:.1f} s", *about)


def _runs(customer: Customer, ways: dict[str, list[Tenure]]) -> tuple[pd.DataFrame, int]:
    """Return the training runs with the probability that each keeps the deadline, and how many layouts were timed."""
    if not customer.trains:
        return pd.DataFrame(), 0
    rows, considered = runs.table(customer, ways)
    if len(rows):
        rows["p_deadline"] = probability(rows.days, customer.training_deadline_days, bands(customer)["days"])
    return rows, considered


def _train(customer: Customer, rows: pd.DataFrame, serving: Any) -> tuple[Any, pd.DataFrame, pd.DataFrame]:
    """Choose the cheapest run that keeps the deadline nine times in ten; None where there is none."""
    if rows.empty:
        return None, rows, rows
    shared = _on_the_fleet(rows, serving)
    if len(shared):
        sure = probability(shared.days, customer.training_deadline_days, bands(customer)["days"])
        rows = pd.concat([rows, shared.assign(p_deadline=sure)], ignore_index=True)
    in_time = rows[rows.available & (rows.p_deadline >= SURE)]
    order = in_time.sort_values(["usd", "gpus", "days"], kind="stable")
    chosen = order.iloc[0] if len(order) else None
    return chosen, order.groupby("gpu", sort=False).head(1), rows


def _on_the_fleet(rows: pd.DataFrame, serving: Any) -> pd.DataFrame:
    """Return the run on the GPUs that serve, in the hours they would stand idle, at no further cost."""
    if serving is None or serving.day_hours >= FULL_DAY_HOURS:
        return rows.iloc[:0]
    size = 1 << int(math.log2(serving.gpus))
    same = rows[(rows.gpu == serving.gpu) & (rows.gpus == size)].sort_values("days", kind="stable")
    same = same.drop_duplicates("precision")
    free = 1 - serving.day_hours / 24
    cost = dict.fromkeys(("usd_low", "usd", "usd_high", "usd_low_run", "usd_run", "usd_high_run"), 0.0)
    return same.assign(tenure="shared", available=True, days=same.days / free, **cost)


def _small(customer: Customer, ways: dict[str, list[Tenure]]) -> Small | None:
    """Pack the small services into slices of the cards that cost least."""
    if not customer.small_services:
        return None
    found = []
    for part, kinds in ways.items():
        placed = pack_small(customer, part) if kinds else None
        if placed is None:
            continue
        profile, placements = placed
        for way in kinds:
            cards = 1 + max(p.card for p in placements)
            if way.limit and cards > way.limit:
                continue
            low, typical, high = (MONTH_H * cards * x for x in (way.low, way.typical, way.high))
            found.append(Small(part, profile, cards, placements, way, low, typical, high))
    return min(found, key=lambda s: s.usd) if found else None


def small_service_bytes(customer: Customer) -> float:
    """Bytes that one small service needs: weights in 16 bits, the cache of eight users, the runtime.

    Parameters
    ----------
    customer : Customer
        Its small model.

    Returns
    -------
    float
        Bytes.

    Examples
    --------
    >>> from hopperbook.customer import check
    >>> 6 < small_service_bytes(check({"name": "A", "model": "llama-3.1-8b"})) / 1e9 < 14
    True
    """
    small = load(customer.small_model)
    cache = 8 * float(kv_bytes(small, min(customer.prompt_tokens + customer.output_tokens, 4096)))
    return weight_bytes(small) + cache + memory_constants("inference")["runtime_bytes"]


def pack_small(customer: Customer, part: str) -> tuple[str, list[mig.Placement]] | None:
    """Place the small services on one part.

    Parameters
    ----------
    customer : Customer
        How many services, and their model.
    part : str
        GPU.

    Returns
    -------
    tuple or None
        (profile, placements); None where a service needs more than the part's largest slice, or it cannot be cut.
    """
    if not facts.gpu(part).mig_instances or not any(part in row["gpus"] for row in facts.records("mig")):
        return None
    profile = mig.smallest(part, small_service_bytes(customer))
    if profile is None:
        return None
    names = {f"service {i + 1}": profile.name for i in range(customer.small_services)}
    return profile.name, mig.pack(names, part)


def _obstacle(
    rows: pd.DataFrame, chosen: Any, trained: Any, run_table: pd.DataFrame, small: Small | None, customer: Customer
) -> str:
    """Say in a sentence what cannot be had, and what comes nearest."""
    said = []
    if chosen is None:
        said.append(_nearest_serving(rows, customer))
    if customer.trains and trained is None:
        said.append(_nearest_training(run_table, customer))
    if customer.small_services and small is None:
        needed = small_service_bytes(customer) / GIB
        said.append(f"No slice of a card holds a small service of {customer.small_model}: it needs {needed:.0f} GiB.")
    if chosen is not None and customer.budget_usd_per_month:
        serving = float(chosen.usd) + (float(trained.usd) if trained is not None else 0.0)
        if serving > customer.budget_usd_per_month:
            said.append(_over_budget(rows, serving, customer))
    return " ".join(said)


def _gpus(count: int) -> str:
    return f"{count:,} GPU{'s' if count > 1 else ''}"


def _nearest_serving(rows: pd.DataFrame, customer: Customer) -> str:
    target = f"{customer.concurrency:,} users within {customer.tpot_target_ms:g} ms a token"
    none = f"No configuration up to {_gpus(customer.max_gpus)} serves {target}"
    possible = rows[rows.fits & rows.available] if len(rows) else rows
    if possible.empty:
        return none + f": the model fits no replica of up to {_gpus(min(8, customer.max_gpus))}."
    over = np.maximum(possible.tpot_s * 1e3 / customer.tpot_target_ms, possible.ttft_s * 1e3 / customer.ttft_target_ms)
    row = possible.loc[over.idxmin()]
    reached = f"{row.tpot_s * 1e3:.0f} ms a token and {row.ttft_s:.1f} s to the first"
    return f"{none}; nearest: {reached} on {row.gpus:,} × {row.gpu} for ${row.usd:,.0f} a month."


def _nearest_training(rows: pd.DataFrame, customer: Customer) -> str:
    none = f"No cluster up to {_gpus(customer.max_gpus)} trains it within {customer.training_deadline_days:g} days"
    possible = rows[rows.available] if len(rows) else rows
    if possible.empty:
        return none + ": its states fit none of them."
    row = possible.loc[possible.days.idxmin()]
    return (
        f"{none} nine times in ten; nearest: {row.days:.1f} days on {row.gpus:,} × {row.gpu} for ${row.usd_run:,.0f}."
    )


def _over_budget(rows: pd.DataFrame, usd: float, customer: Customer) -> str:
    budget = customer.budget_usd_per_month
    above = f"{usd / budget - 1:.0%} above the budget of ${budget:,.0f}"
    return f"The least that keeps every target costs ${usd:,.0f} a month, {above}."
