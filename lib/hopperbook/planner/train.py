"""The training run of a plan: a cluster of its own, or the fleet that serves in the hours it would stand idle."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from hopperbook.customer import Customer
from hopperbook.planner import runs
from hopperbook.planner.configuration import Configuration, TrainingRun, run_of_row
from hopperbook.planner.day import HOURS, free_hours
from hopperbook.planner.odds import SURE, p_deadline
from hopperbook.planner.standing import standing_parts
from hopperbook.planner.tenure import Tenure, tenures

#: Stands for the cost of a training run that no cluster of its own finishes in time, USD a month.
UNTRAINED_USD = 1e12


def timed(customer: Customer, ways: dict[str, list[Tenure]]) -> tuple[pd.DataFrame, int]:
    """Return the training runs with the probability that each keeps the deadline, and how many layouts were timed.

    Parameters
    ----------
    customer : Customer
        Task, tokens, deadline.
    ways : dict
        Ways to have each part.

    Returns
    -------
    DataFrame, int
        As :func:`hopperbook.planner.runs.table` with ``p_deadline``; empty where nothing is trained.
    """
    if not customer.trains:
        return pd.DataFrame(), 0
    rows, considered = runs.table(customer, ways)
    if len(rows):
        rows["p_deadline"] = p_deadline(rows, customer)
    return rows, considered


def usd_beside(rows: pd.DataFrame, run_table: pd.DataFrame, customer: Customer) -> NDArray[np.float64] | float:
    """Return what training costs beside each fleet: nothing where the fleet does it in its idle hours, in time.

    Parameters
    ----------
    rows : DataFrame
        Serving configurations.
    run_table : DataFrame
        Training runs on clusters of their own.
    customer : Customer
        The deadline.

    Returns
    -------
    array
        USD a month; ``UNTRAINED_USD`` where no cluster is in time either.
    """
    if run_table.empty:
        return 0.0
    in_time = run_table[run_table.available & (run_table.p_deadline >= SURE)]
    own = float(in_time.usd.min()) if len(in_time) else UNTRAINED_USD
    runs = 2 ** np.arange(int(np.log2(rows.gpus.max())) + 1)
    days = run_table.groupby(["gpu", "gpus"]).days.min().unstack().reindex(columns=runs)
    alone = days.reindex(rows.gpu).to_numpy().T  # one line a size of run
    hours = free_hours_beside(customer, rows.replicas, rows.tp, runs[:, None], rows.day_hours * rows.gpus)
    shared = np.fmin.reduce(24 * alone / np.maximum(hours, 1e-9), initial=np.inf)
    sure = p_deadline(pd.DataFrame({"gpu": rows.gpu, "days": shared}), customer) >= SURE
    return np.where(sure, 0.0, own)


def free_hours_beside(
    customer: Customer, replicas: ArrayLike, tp: ArrayLike, gpus: ArrayLike, taken_gpu_hours: ArrayLike
) -> NDArray[np.float64]:
    """Return the hours of a day that serving and scientific work leave to a training run of so many GPUs.

    Parameters
    ----------
    customer : Customer
        Its day.
    replicas, tp : int or array of int, shape (n,)
        Replicas of the busiest hour, and GPUs of each.
    gpus : int or array of int, shape (k, 1)
        GPUs of the run, or of several runs.
    taken_gpu_hours : float or array, shape (n,)
        GPU-hours of a day that serving and scientific work take.

    Returns
    -------
    ndarray, shape (n,) or (k, n)
        Hours in which as many GPUs are free of serving, at most what scientific work, which runs on any GPU that is
        free, leaves of the day.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> free_hours_beside(default(), 2, 4, 4, 148.0).tolist()
    [11.0]
    """
    left = HOURS * np.atleast_1d(np.asarray(replicas) * np.asarray(tp)) - np.asarray(taken_gpu_hours)
    return np.maximum(np.minimum(free_hours(customer, replicas, tp, gpus), left / np.asarray(gpus)), 0.0)


def cheapest(
    customer: Customer, rows: pd.DataFrame, serving: Configuration | None
) -> tuple[TrainingRun | None, pd.DataFrame, pd.DataFrame]:
    """Choose the cheapest run that keeps the deadline nine times in ten; None where there is none.

    Parameters
    ----------
    customer : Customer
        The deadline.
    rows : DataFrame
        Training runs on clusters of their own.
    serving : Configuration or None
        The fleet that serves, which may train in its idle hours.

    Returns
    -------
    TrainingRun or None, DataFrame, DataFrame
        The run, the best of each part, and all runs.
    """
    if rows.empty:
        return None, rows, rows
    shared = _on_the_fleet(rows, serving, customer)
    if len(shared):
        rows = pd.concat([rows, shared.assign(p_deadline=p_deadline(shared, customer))], ignore_index=True)
    in_time = rows[rows.available & (rows.p_deadline >= SURE)]
    order = in_time.sort_values(["usd", "days", "gpus"], kind="stable")
    chosen = run_of_row(order.iloc[0]) if len(order) else None
    return chosen, order.groupby("gpu", sort=False).head(1), rows


def _on_the_fleet(rows: pd.DataFrame, serving: Configuration | None, customer: Customer) -> pd.DataFrame:
    """Return the runs on GPUs that serve, in the hours in which serving does not need them, at no further cost.

    Servers whose replicas work each for itself are had without a network between them: a run stays in one.
    """
    if serving is None:
        return rows.iloc[:0]
    each = serving.deployment.gpus
    possible = (rows.gpu == serving.gpu) & (rows.gpus < serving.gpus) & (rows.gpus <= max(each, 8))
    same = rows[possible & (rows.tenure != "spot")].sort_values("days", kind="stable")
    same = same.drop_duplicates(["precision", "gpus"])
    taken = serving.day_hours * serving.gpus
    hours = {g: free_hours_beside(customer, serving.replicas, each, g, taken)[0] for g in same.gpus.unique()}
    free = same.gpus.map(hours).astype(float)
    same, free = same[free > 0], free[free > 0]
    cost = dict.fromkeys(("usd_low", "usd", "usd_high", "usd_low_run", "usd_run", "usd_high_run"), 0.0)
    days = 24 * same.days / free
    return same.assign(tenure="shared", available=True, days=days, days_seldom=days, days_often=days, **cost)


LARGEST_CLUSTER = 16_384  # as the customer's field allows


def shown(customer: Customer, rows: pd.DataFrame) -> TrainingRun | None:
    """Return a run to explain where the plan chose none: the quickest, or the smallest cluster that holds the states.

    Parameters
    ----------
    customer : Customer
        The load.
    rows : DataFrame
        The plan's training table.

    Returns
    -------
    TrainingRun or None
        A run; None where not even the largest cluster that may be asked for holds the states.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> one = default().model_copy(update={"training_task": "pretrain", "max_gpus": 1})
    >>> int(shown(one, pd.DataFrame()).gpus)
    8
    """
    if len(rows):
        return run_of_row(rows.loc[rows.days.idxmin()])
    ways = {part: tenures(customer, part) for part in standing_parts(customer)}
    wider, _ = timed(customer.model_copy(update={"max_gpus": LARGEST_CLUSTER}), ways)
    return run_of_row(wider.sort_values(["gpus", "days"], kind="stable").iloc[0]) if len(wider) else None
