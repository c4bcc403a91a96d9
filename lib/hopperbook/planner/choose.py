"""The decision: which configuration to recommend, and what else would do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hopperbook import reads
from hopperbook.customer import Customer
from hopperbook.evidence.beyond import bands
from hopperbook.facts import own
from hopperbook.planner import fleet, train
from hopperbook.planner.configuration import Configuration, TrainingRun, of_row
from hopperbook.planner.extras import Extra, extras
from hopperbook.planner.load import limits
from hopperbook.planner.night import Night, night
from hopperbook.planner.obstacles import obstacle, unscheduled
from hopperbook.planner.odds import SURE, probability
from hopperbook.planner.pictures import Pictures, pictures
from hopperbook.planner.reject import Rejected, rejected
from hopperbook.planner.small import Small, small_services
from hopperbook.planner.standing import standing_parts
from hopperbook.planner.tenure import Tenure, tenures
from hopperbook.planner.verify import keeps, simulate, verified
from hopperbook.serving import Deployment

Found = dict[str, Configuration]
CENT = 0.01  # USD; costs nearer than this are alike


@dataclass(frozen=True, eq=False)
class Plan:
    """A plan for one customer: what is recommended, what else would do, and the tables it was chosen from.

    Parameters
    ----------
    customer : Customer
        Whose plan it is.
    recommendation, runner_up, cheapest, fastest, grow_into : Configuration or None
        Serving configurations; None where there is none.
    front : tuple of Configuration
        Those that meet the targets and are not dominated in cost and time per token.
    by_part : dict of Configuration
        Each part's cheapest that keeps the targets, in its own best layout.
    rejected : tuple of Rejected
        Every other part, with the reason.
    training : TrainingRun or None
        The training run; ``training_options`` are the best of each part.
    small : Small or None
        Cards for the small services.
    night : Night or None
        The night's work.
    pictures : Pictures or None
        GPUs that generate images.
    considered : int
        Configurations timed.
    serving_table, training_table : DataFrame
        All of them.
    extras : tuple of Extra
        What is billed beside the GPUs.
    answer : str
        What stands in the way, where something does; empty otherwise.
    explained : Configuration
        The one that chapters explain: the recommendation, else the quickest of all, else the roomiest that falls short.
    """

    customer: Customer
    recommendation: Configuration | None
    runner_up: Configuration | None
    cheapest: Configuration | None
    fastest: Configuration | None
    grow_into: Configuration | None
    front: tuple[Configuration, ...]
    rejected: tuple[Rejected, ...]
    training: TrainingRun | None
    training_options: pd.DataFrame
    small: Small | None
    considered: int
    serving_table: pd.DataFrame = field(repr=False)
    training_table: pd.DataFrame = field(repr=False)
    explained: Configuration
    by_part: dict[str, Configuration] = field(repr=False, default_factory=dict)
    extras: tuple[Extra, ...] = ()
    answer: str = ""
    night: Night | None = None
    pictures: Pictures | None = None

    def usd_per_month(self, end: str = "typical") -> float:
        """Cost of everything a month at one end of the prices.

        Parameters
        ----------
        end : str
            ``low``, ``typical`` or ``high``.

        Returns
        -------
        float
            USD; serving, training, small services, the night's work, images and what is billed beside them.
        """
        column = {"low": "usd_low", "typical": "usd", "high": "usd_high"}[end]
        parts = (self.recommendation, self.training, self.small, self.night, self.pictures, *self.extras)
        return float(sum(getattr(part, column) for part in parts if part is not None))


@reads.lru_cache(maxsize=64)
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
    >>> round(made.recommendation.tpot_s * 1e3, 1), made.customer.tpot_target_ms  # milliseconds
    (14.1, 100.0)
    """
    found = serve(customer)
    ways, rows, made, by_part = found.ways, found.fleet.rows, found.fleet.deployments, found.by_part
    recommendation, run_table = found.recommendation, found.runs[0]
    cheapest = verified(_ordered(rows, "works"), made, customer, least=0.5)
    front, grow_into = _front(rows, made, customer), None
    if recommendation is not None:
        grow_into = _grown(customer, ways)
    trained, options, run_table = train.cheapest(customer, run_table, recommendation)
    small = small_services(customer, ways)
    nightly, drawn = night(customer, recommendation, trained, ways), pictures(customer, ways)
    beside = extras(customer, (recommendation, trained, small))
    return Plan(
        customer=customer,
        recommendation=recommendation,
        runner_up=found.runner_up,
        cheapest=cheapest,
        fastest=_fastest(front, customer, recommendation),
        grow_into=grow_into,
        front=front,
        by_part=by_part,
        rejected=rejected(rows, found.fleet.missing, ways, made, by_part, found.failed, recommendation, customer),
        training=trained,
        training_options=options,
        small=small,
        considered=len(rows) + found.runs[1],
        serving_table=rows,
        training_table=run_table,
        answer=" ".join(
            filter(
                None,
                (
                    obstacle(rows, recommendation, trained, run_table, small, beside, customer, (nightly, drawn)),
                    unscheduled(nightly, drawn, customer),
                ),
            )
        ),  # fmt: skip
        night=nightly,
        pictures=drawn,
        extras=beside,
        explained=recommendation or _quickest(rows, made) or fleet.short_of_room(customer, ways),
    )


class Served(NamedTuple):
    """Who serves: ways to have each part, configurations, training runs, each part's best, the winner and the next."""

    ways: dict[str, list[Tenure]]
    fleet: fleet.Fleet
    runs: tuple[pd.DataFrame, int]
    by_part: Found
    failed: Found
    recommendation: Configuration | None
    runner_up: Configuration | None


def serve(customer: Customer, runs: tuple[pd.DataFrame, int] | None = None, all_parts: bool = True) -> Served:
    """Choose who serves: the part of a plan that other work only weighs in on.

    Parameters
    ----------
    customer : Customer
        The checked customer.
    runs : tuple, optional
        Training runs as :func:`hopperbook.planner.train.timed` returns them, where they are known.
    all_parts : bool
        False to leave out parts that are sure to cost more than winner and runner-up; those two stay the same.

    Returns
    -------
    Served
        Its ``recommendation`` is that of :func:`plan`.

    Raises
    ------
    InputError
        If no price of any GPU is known.

    Examples
    --------
    >>> from hopperbook.customer import check
    >>> serve(check({"name": "A", "model": "llama-3.1-8b"}), all_parts=False).recommendation.gpus
    1
    """
    own.put(customer.calibration)
    ways = {part: tenures(customer, part) for part in standing_parts(customer)}
    served = fleet.table(customer, ways)
    runs = runs or train.timed(customer, ways)
    rows, made = judge(served.rows, served.deployments, customer), served.deployments
    if len(rows):
        rows["training_usd"] = train.usd_beside(rows, runs[0], customer)
    by_part, failed = _by_part(rows, made, customer, all_parts)
    order = sorted(by_part.values(), key=lambda row: row.cost)
    first = order[0] if order else verified(_ordered(rows, "works"), made, customer, least=0.5)
    second = order[1] if len(order) > 1 else None
    return Served(ways, served._replace(rows=rows), runs, by_part, failed, first, second)


def judge(rows: pd.DataFrame, made: Sequence[Deployment], customer: Customer) -> pd.DataFrame:
    """Add the probability that each target is met, and two verdicts.

    Parameters
    ----------
    rows : DataFrame
        From :func:`hopperbook.planner.fleet.table`.
    made : sequence of Deployment
        Where their ``row`` points.
    customer : Customer
        The targets.

    Returns
    -------
    DataFrame
        With ``p_tpot, p_ttft, p_request, works`` (predicted within the targets, and more likely than not) and ``sure``
        (nine times in ten), and ``near``: what a simulation may find to be sure.
    """
    if rows.empty:
        return rows
    ranges = {name: np.array([bands(d)[name] for d in made]) for name in ("tpot", "ttft")}
    at = rows.row.to_numpy()
    whole_s = customer.request_target_ms / 1e3 or np.inf
    rows = rows.assign(
        p_tpot=probability(rows.tpot_at_s, customer.tpot_target_ms / 1e3, tuple(ranges["tpot"][at].T)),
        p_ttft=probability(rows.ttft_at_s, customer.ttft_target_ms / 1e3, tuple(ranges["ttft"][at].T)),
        p_request=probability(rows.request_at_s, whole_s, tuple(ranges["tpot"][at].T)),
    )
    within = (rows.tpot_at_s * 1e3 <= customer.tpot_target_ms) & (rows.ttft_at_s * 1e3 <= customer.ttft_target_ms)
    possible = rows.fits & rows.available & within & (rows.request_at_s <= whole_s)
    least = rows[["p_tpot", "p_ttft", "p_request"]].min(axis=1)
    rows["works"] = possible & (least >= 0.5)
    rows["sure"] = possible & (least >= SURE)
    rows["near"] = rows.available & (rows.headroom >= 0) & _near(rows, made, customer)
    return rows


#: How far the first cut may lie above a limit for the simulation to decide: first token, time per token, whole answer.
NEAR = (1.6, 1.25, 1.25)


def _near(rows: pd.DataFrame, made: Sequence[Deployment], customer: Customer) -> NDArray[np.bool_]:
    """Return which rows the first cut puts near enough to their limits, nine times in ten, for a simulation to tell."""
    asked = [limits(customer, d, SURE) for d in made]
    ends = np.array([(x.ttft_s, x.tpot_s, x.request_s) for x in asked])[rows.row.to_numpy()]
    seen = rows[["ttft_at_s", "tpot_at_s", "request_at_s"]].to_numpy()
    return np.asarray((seen <= np.array(NEAR) * ends).all(axis=1))


def _ordered(rows: pd.DataFrame, verdict: str) -> pd.DataFrame:
    """Return the rows of a verdict by cost, at equal cost the likeliest to keep the targets first.

    What is likely is ordered by the cost of serving; what may be recommended, by that of training too.
    """
    if rows.empty:
        return rows
    kept = rows[rows[verdict]]
    likely = np.minimum(np.round(kept.p_tpot * kept.p_ttft, 2), 0.99)  # a hundredth decides nothing
    cost = kept.usd + kept.training_usd if verdict == "near" and "training_usd" in kept else kept.usd
    kept = kept.assign(likely=-likely, cost=cost)
    return kept.sort_values(["cost", "likely", "tpot_s"], kind="stable").drop(columns=["likely", "cost"])


def _quickest(rows: pd.DataFrame, made: Sequence[Deployment]) -> Configuration | None:
    """Return the configuration with the shortest time per token, kept targets or not."""
    carried = rows[np.isfinite(rows.tpot_s)] if len(rows) else rows
    return of_row(carried.loc[carried.tpot_s.idxmin()], made) if len(carried) else None


def _by_part(
    rows: pd.DataFrame, made: list[Deployment], customer: Customer, all_parts: bool = True
) -> tuple[Found, Found]:
    """Return each part's cheapest configuration that keeps the targets when simulated, and those that then do not."""
    found: Found = {}
    failed: Found = {}
    ordered = _ordered(rows, "near")
    for part, candidates in ordered.groupby("gpu", sort=False) if len(ordered) else ():
        if not all_parts and len(found) > 1:
            second = sorted(row.cost for row in found.values())[1][0]
            candidates = candidates[candidates.usd + candidates.training_usd < second + CENT]
            if candidates.empty:
                continue
        row = verified(candidates, made, customer)
        if row is None:
            failed[str(part)] = simulate(candidates.iloc[-1], made, customer)
        else:
            found[str(part)] = row
    return found, failed


def _fastest(
    front: Sequence[Configuration], customer: Customer, recommendation: Configuration | None
) -> Configuration | None:
    """Return the configuration with the shortest time per token within the budget, or twice the recommendation."""
    if recommendation is None:
        return None
    limit = customer.budget_usd_per_month or 2 * recommendation.usd
    sure = [row for row in front if min(row.p_tpot, row.p_ttft) >= SURE]
    within = [row for row in (recommendation, *sure) if row.usd <= limit]
    return min(within, key=lambda row: (row.tpot_s, row.usd)) if within else None


def _grown(customer: Customer, ways: dict[str, list[Tenure]]) -> Configuration | None:
    """Return the cheapest configuration for twice the users."""
    doubled = customer.model_copy(
        update={"concurrency": 2 * customer.concurrency, "requests_per_s": 2 * customer.requests_per_s}
    )
    served = fleet.table(doubled, ways)
    rows = judge(served.rows, served.deployments, doubled)
    return verified(_ordered(rows, "near"), served.deployments, doubled)


#: Configurations of the front that are simulated.
MOST_SHOWN = 12


def _front(rows: pd.DataFrame, made: list[Deployment], customer: Customer) -> tuple[Configuration, ...]:
    """Keep what meets the targets and is not dominated in cost and time per token; the latencies are simulated."""
    if rows.empty:
        return ()
    ordered = rows[rows.works].sort_values(["usd", "tpot_s"], kind="stable")
    front = ordered[ordered.tpot_s < ordered.tpot_s.cummin().shift(fill_value=np.inf)]
    first = [row for _, row in front.head(MOST_SHOWN).iterrows()]
    likely = [row for row in first if keeps(made[int(row.row)], int(row.replicas), customer, 0.5)]
    kept: list[Configuration] = []
    for row in (simulate(row, made, customer) for row in likely):
        if not kept or row.tpot_s < kept[-1].tpot_s:
            kept.append(row)
    return tuple(kept)
