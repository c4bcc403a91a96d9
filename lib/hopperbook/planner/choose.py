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
from hopperbook.units import MONTH_H, MONTH_S, money

NEAR = 1.05
STEP = 1.05  # after a miss, the next candidate costs at least this much more
SURE = 0.9  # probability that a recommendation must reach for each target
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
    rows, made = judge(served.rows, customer), served.deployments
    by_part, failed = _by_part(rows, made, customer)
    cheapest = _verified(_ordered(rows, "works"), made, customer, least=0.5)
    order = sorted(by_part.values(), key=lambda row: (row.usd, row.tpot_s))
    recommendation = order[0] if order else cheapest
    runner_up = order[1] if len(order) > 1 else None
    fastest = grow_into = None
    if recommendation is not None:
        fastest = _fastest(rows, made, customer, recommendation)
        grow_into = _grown(customer, ways)
    trained, options, run_table, layouts = _train(customer, ways, recommendation)
    return Plan(
        customer=customer,
        recommendation=recommendation,
        runner_up=runner_up,
        cheapest=cheapest,
        fastest=fastest,
        grow_into=grow_into,
        front=_front(rows, made, customer),
        rejected=_rejected(rows, served.missing, ways, by_part, failed, recommendation, customer),
        training=trained,
        training_options=options,
        small=_small(customer, ways),
        considered=len(rows) + layouts,
        serving_table=rows,
        training_table=run_table,
        answer=_obstacle(rows, recommendation, trained, run_table, customer),
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
        With ``p_tpot, p_ttft, works`` (more likely than not) and ``sure`` (nine times in ten).
    """
    if rows.empty:
        return rows
    b = bands(customer)
    rows = rows.assign(
        p_tpot=probability(rows.tpot_s, customer.tpot_target_ms / 1e3, b["tpot"]),
        p_ttft=probability(rows.ttft_s, customer.ttft_target_ms / 1e3, b["ttft"]),
    )
    possible = rows.fits & rows.available
    rows["works"] = possible & (rows.p_tpot >= 0.5) & (rows.p_ttft >= 0.5)
    rows["sure"] = possible & (rows.p_tpot >= SURE) & (rows.p_ttft >= SURE)
    return rows


def _ordered(rows: pd.DataFrame, verdict: str) -> pd.DataFrame:
    """Return the rows of a verdict by cost, at equal cost the likeliest to keep the targets first."""
    if rows.empty:
        return rows
    kept = rows[rows[verdict]]
    likely = np.minimum(np.round(kept.p_tpot * kept.p_ttft, 3), 0.995)
    return kept.assign(likely=-likely).sort_values(["usd", "likely", "tpot_s"], kind="stable")


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
    d = deployments[int(row.row)]
    loop = closed_loop(d, int(row.users), customer.prompt_tokens, customer.output_tokens)
    b, rate = bands(customer), loop.output_tokens_per_s * customer.concurrency / row.users
    simulated = {
        "ttft_s": loop.ttft_s,
        "tpot_s": loop.tpot_s,
        "ttft_p95_s": loop.ttft_p95_s,
        "output_tokens_per_s": rate,
        "usd_per_million": row.usd * 1e6 / (MONTH_S * customer.busy_fraction * rate),
        "p_tpot": float(probability(loop.tpot_s, customer.tpot_target_ms / 1e3, b["tpot"])),
        "p_ttft": float(probability(loop.ttft_s, customer.ttft_target_ms / 1e3, b["ttft"])),
    }
    return pd.Series(row.to_dict() | simulated, name=row.name)


def _verified(
    candidates: pd.DataFrame, made: list[Deployment], customer: Customer, least: float = SURE, most: int = 40
) -> Any:
    """Return the first candidate, by cost, that also keeps the targets when simulated; a miss skips its near kin."""
    floor = 0.0
    for _, row in candidates.drop_duplicates(["row", "replicas"]).iterrows():
        if row.usd < floor:
            continue
        simulated = simulate(row, made, customer)
        if simulated.p_tpot >= least and simulated.p_ttft >= least:
            return simulated
        floor, most = STEP * float(row.usd), most - 1
        if not most:
            break
    return None


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


def _fastest(rows: pd.DataFrame, made: list[Deployment], customer: Customer, recommendation: Any) -> Any:
    """Return the configuration with the shortest time per token within the budget, or twice the recommendation."""
    limit = customer.budget_usd_per_month or 2 * float(recommendation.usd)
    within = rows[rows.sure & (rows.usd <= limit)].sort_values(["tpot_s", "usd"], kind="stable")
    return _verified(within, made, customer)


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
    checked = [simulate(row, made, customer) for _, row in front.head(24).iterrows()]
    kept = pd.DataFrame([row for row in checked if row.p_tpot >= 0.5 and row.p_ttft >= 0.5])
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
    hourly = chosen.usd / row.billed_gpus / MONTH_H
    words = f"{row.usd / chosen.usd - 1:.0%} dearer"
    remedy = f"a price below {money(hourly)} a GPU-hour"
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
    limits, b = (customer.tpot_target_ms / 1e3, customer.ttft_target_ms / 1e3), bands(customer)
    about = (float(row.usd), float(row.tpot_s), int(row.gpus))
    if row.p_tpot <= row.p_ttft:
        reason = f"{row.tpot_s * 1e3:.0f} ms a token at best, {row.p_tpot:.0%} sure of {limits[0] * 1e3:.0f} ms"
        return Rejected(part, reason, f"a target of {row.tpot_s * b['tpot'][1] * 1e3:.0f} ms a token", *about)
    reason = f"first token after {row.ttft_s:.1f} s at best, {row.p_ttft:.0%} sure of {limits[1]:.1f} s"
    return Rejected(part, reason, f"a target of {row.ttft_s * b['ttft'][1]:.1f} s", *about)


def _train(
    customer: Customer, ways: dict[str, list[Tenure]], serving: Any
) -> tuple[Any, pd.DataFrame, pd.DataFrame, int]:
    """Choose the cheapest run that keeps the deadline nine times in ten; None where there is none."""
    if not customer.trains:
        return None, pd.DataFrame(), pd.DataFrame(), 0
    rows, considered = runs.table(customer, ways)
    if rows.empty:
        return None, rows, rows, considered
    rows = pd.concat([rows, _on_the_fleet(rows, serving)], ignore_index=True)
    rows = rows.assign(p_deadline=probability(rows.days, customer.training_deadline_days, bands(customer)["days"]))
    in_time = rows[rows.available & (rows.p_deadline >= SURE)]
    order = in_time.sort_values(["usd", "days"], kind="stable")
    near = order[order.usd <= NEAR * order.usd.min()]  # of what costs nearly the same, the smallest cluster
    chosen = near.sort_values(["gpus", "usd"], kind="stable").iloc[0] if len(near) else None
    return chosen, order.groupby("gpu", sort=False).head(1), rows, considered


def _on_the_fleet(rows: pd.DataFrame, serving: Any) -> pd.DataFrame:
    """Return the run on the GPUs that serve, in the hours they would stand idle, at no further cost."""
    if serving is None or serving.day_hours >= 23:
        return rows.iloc[:0]
    size = 1 << int(math.log2(serving.gpus))
    same = rows[(rows.gpu == serving.gpu) & (rows.gpus == size)].drop_duplicates("precision")
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


def _obstacle(rows: pd.DataFrame, chosen: Any, trained: Any, run_table: pd.DataFrame, customer: Customer) -> str:
    """Say in a sentence what cannot be had, and what comes nearest."""
    said = []
    if chosen is None:
        said.append(_nearest_serving(rows, customer))
    if customer.trains and trained is None:
        said.append(_nearest_training(run_table, customer))
    if chosen is not None and customer.budget_usd_per_month:
        serving = float(chosen.usd) + (float(trained.usd) if trained is not None else 0.0)
        if serving > customer.budget_usd_per_month:
            said.append(_over_budget(rows, serving, customer))
    return " ".join(said)


def _nearest_serving(rows: pd.DataFrame, customer: Customer) -> str:
    target = f"{customer.concurrency} users within {customer.tpot_target_ms:.0f} ms a token"
    none = f"No configuration up to {customer.max_gpus:,} GPUs serves {target}"
    possible = rows[rows.fits & rows.available] if len(rows) else rows
    if possible.empty:
        return none + ": the model fits no replica of up to 8 GPUs."
    over = np.maximum(possible.tpot_s * 1e3 / customer.tpot_target_ms, possible.ttft_s * 1e3 / customer.ttft_target_ms)
    row = possible.loc[over.idxmin()]
    reached = f"{row.tpot_s * 1e3:.0f} ms a token and {row.ttft_s:.1f} s to the first"
    return f"{none}; nearest: {reached} on {row.gpus:,} × {row.gpu} for ${row.usd:,.0f} a month."


def _nearest_training(rows: pd.DataFrame, customer: Customer) -> str:
    none = f"No cluster up to {customer.max_gpus:,} GPUs trains it within {customer.training_deadline_days:g} days"
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
