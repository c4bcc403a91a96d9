"""GPUs that may be taken away at any minute: what interruptions cost a training run and a serving fleet.

A spot hour is cheap and part of it is lost: work since the last checkpoint, checkpoints written more often, and the
wait for another node. What counts is the price of an hour of progress.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hopperbook import facts
from hopperbook.errors import InputError
from hopperbook.planner.configuration import TrainingRun, run_of_row
from hopperbook.planner.odds import SURE
from hopperbook.planner.tenure import assumptions
from hopperbook.training.run import run_constants
from hopperbook.units import HOUR_S, MONTH_H

if TYPE_CHECKING:
    from hopperbook.planner.choose import Plan

NODE_GPUS = 8
MOST_STRETCH = 1e6  # a run that takes so much longer is none
NEVER_PER_HOUR, ALWAYS_PER_HOUR = 1e-6, 1e2  # ends of the rates between which a border is looked for


class Rate(NamedTuple):
    """How often a spot node is taken away, per hour: a quoted band at the low end, measured traces at the high one."""

    low: float
    typical: float
    high: float
    quoted: facts.Range
    traced: facts.Range


def rate_of_share(share: float, hours: float = MONTH_H) -> float:
    r"""Turn a share of nodes interrupted within a time into a rate: :math:`\lambda = -\ln(1 - p) / t`.

    Parameters
    ----------
    share : float
        Share interrupted, p.
    hours : float
        Within that time, t.

    Returns
    -------
    float
        Interruptions a node and hour.

    Examples
    --------
    >>> round(1 / rate_of_share(0.15) / 24)
    187
    """
    return float(-np.log1p(-share) / hours)


def interruptions(gpu: str) -> Rate:
    """Return how often a spot node of a GPU is taken away.

    No trace of A100, H100 or H200 is published. The low end reads the quoted band of the largest cloud as a rate, the
    high end is what was measured on V100; about a factor of a thousand lies between, and its geometric mean is an
    assumption.

    Parameters
    ----------
    gpu : str
        Name; a part without a band of its own takes that of the H100.

    Returns
    -------
    Rate
        Interruptions a node and hour.

    Notes
    -----
    Source: ``thundercompute-2025-spot``, ``thundercompute-2026-spot`` (bands); ``wu-2024-cant-be-late`` (traces).

    Examples
    --------
    >>> rate = interruptions("H200 SXM")
    >>> [round(MONTH_H * each, 2) for each in rate[:2]]  # a month; 15 % of nodes in it: -ln(0.85) = 0.16
    [0.16, 6.09]
    >>> rate.high  # an hour, as traced on V100
    0.313
    """
    try:
        quoted = facts.cost("spot_interrupted_share_of_month", facts.gpu(gpu).name)
    except InputError:
        quoted = facts.cost("spot_interrupted_share_of_month", "H100 SXM")
    traced = facts.cost("spot_interruptions_per_node_hour", "V100")
    low = rate_of_share(quoted.typical)
    return Rate(low, float(np.sqrt(low * traced.typical)), traced.typical, quoted, traced)


def stretch(
    gpus: ArrayLike, checkpoint_bytes: float, per_node_hour: ArrayLike, restart_hours: float | None = None
) -> NDArray[np.float64]:
    r"""Hours that are paid for an hour of progress, checkpoints as often as is best.

    .. math:: s = \frac{M e^{R/M}\left(e^{(\tau + \delta)/M} - 1\right)}{\tau}, \qquad M = \frac{1}{N \lambda + g f}

    Parameters
    ----------
    gpus : int or array
        GPUs of the job, g; one node of the N that hold them stops it.
    checkpoint_bytes : float
        Bytes of a checkpoint; every GPU writes its share in delta.
    per_node_hour : float or array
        Interruptions a node and hour, lambda; ordinary failures, f a GPU and hour, come on top.
    restart_hours : float, optional
        From the loss of a node to work again, R; ``spot_restart_hours`` of the assumptions by default.

    Returns
    -------
    float or array
        At least 1.

    Notes
    -----
    Source: ``daly-2006-checkpoint`` for the expected time and for the best interval, tau, which is
    ``young-1974-checkpoint`` to first order; ``grattafiori-2024-llama3`` for f.

    Examples
    --------
    >>> float(stretch(8, 1e11, 0.0).round(2)), float(stretch(8, 1e11, 0.5).round(2))
    (1.0, 1.36)
    """
    restart = assumptions()["spot_restart_hours"] if restart_hours is None else restart_hours
    g, c = np.asarray(gpus, dtype=float), run_constants()
    interrupted = np.ceil(g / NODE_GPUS) * np.asarray(per_node_hour, dtype=float)
    mean = 1 / (interrupted + g * c["failures_per_gpu_hour"])
    write = checkpoint_bytes / (g * c["checkpoint_bytes_per_s_per_gpu"]) / HOUR_S
    part = np.sqrt(write / (2 * mean))
    every = np.where(write < 2 * mean, np.sqrt(2 * write * mean) * (1 + part / 3 + part**2 / 9) - write, mean)
    with np.errstate(over="ignore"):
        return mean * np.exp(restart / mean) * np.expm1((every + write) / mean) / every


def excess(
    gpu: str, gpus: ArrayLike, checkpoint_bytes: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return hours paid on spot for an hour undisturbed, at the low, typical and high rate of interruptions.

    Parameters
    ----------
    gpu : str
        Name of the GPU.
    gpus : int or array
        GPUs of the job.
    checkpoint_bytes : float
        Bytes of a checkpoint.

    Returns
    -------
    tuple of array
        At least 1 each.

    Examples
    --------
    >>> [float(each.round(3)) for each in excess("H100 SXM", 8, 1e11)]
    [1.001, 1.011, 1.224]
    """
    undisturbed = stretch(gpus, checkpoint_bytes, 0.0)
    low, typical, high = (
        np.minimum(stretch(gpus, checkpoint_bytes, rate) / undisturbed, MOST_STRETCH) for rate in interruptions(gpu)[:3]
    )
    return low, typical, high


def border(
    gpus: int, checkpoint_bytes: float, spot_usd: float, other_usd: float, restart_hours: float | None = None
) -> float:
    """Find the rate of interruptions at which an hour of progress on spot costs what it costs otherwise.

    Parameters
    ----------
    gpus : int
        GPUs of the job.
    checkpoint_bytes : float
        Bytes of a checkpoint.
    spot_usd, other_usd : float
        USD a GPU-hour on spot and otherwise.
    restart_hours : float, optional
        As in :func:`stretch`.

    Returns
    -------
    float
        Interruptions a node and hour; 0 where spot does not pay even undisturbed, infinity where it always does.

    Examples
    --------
    >>> at = border(64, 1e12, 1.0, 2.0)
    >>> round(float(stretch(64, 1e12, at) / stretch(64, 1e12, 0.0)), 2)
    2.0
    """
    rates = np.geomspace(NEVER_PER_HOUR, ALWAYS_PER_HOUR, 4001)
    undisturbed = stretch(gpus, checkpoint_bytes, 0.0, restart_hours)
    dearer = spot_usd * stretch(gpus, checkpoint_bytes, rates, restart_hours) >= other_usd * undisturbed
    if dearer[0]:
        return 0.0
    return float(rates[dearer.argmax()]) if dearer.any() else float("inf")


def fleet_replicas(needed: int, per_node_hour: float, restart_hours: float | None = None, sure: float = 0.999) -> int:
    r"""Return the spot replicas to hold so that enough of them run nearly always.

    .. math:: \min N: \quad P\left(\mathrm{Bin}(N, a) \ge n\right) \ge q, \qquad a = \frac{1}{1 + \lambda R}

    Parameters
    ----------
    needed : int
        Replicas that the load needs, n.
    per_node_hour : float
        Interruptions a node and hour, lambda; they are taken to strike replicas one by one.
    restart_hours : float, optional
        From the loss of a replica to the next that answers, R.
    sure : float
        Share of the time, q.

    Returns
    -------
    int
        Replicas, N.

    Examples
    --------
    >>> fleet_replicas(4, 1e-4), fleet_replicas(4, 0.3)
    (4, 9)
    """
    from scipy.special import bdtrc

    restart = assumptions()["spot_restart_hours"] if restart_hours is None else restart_hours
    counts = np.arange(needed, 4 * needed + 16)
    enough = bdtrc(needed - 1, counts, 1 / (1 + per_node_hour * restart)) >= sure
    return int(counts[enough.argmax()])


def run_alone(plan: Plan) -> TrainingRun | None:
    """Return the training run that would be rented: the plan's own, or the cheapest in time if the fleet did not train.

    Parameters
    ----------
    plan : Plan
        The plan.

    Returns
    -------
    TrainingRun or None
        A row of the plan's training table; None where nothing is trained or no rented cluster is in time.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> from hopperbook.planner.choose import plan as make
    >>> run_alone(make(default())).tenure
    'on_demand'
    """
    rows = plan.training_table
    if rows.empty:
        return None
    timed = rows[(rows.tenure == "on_demand") & (rows.p_deadline >= SURE)]
    return run_of_row(timed.sort_values(["usd", "gpus", "days"], kind="stable").iloc[0]) if len(timed) else None
