"""What a plan chooses from, as records: one way to serve the load, and one training run, each with its money."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import pandas as pd

from hopperbook.serving import Deployment


@dataclass(frozen=True, eq=False)
class Configuration:
    """One way to serve the load: a replica, how many, how they are had, what they cost, and how fast they answer.

    Parameters
    ----------
    deployment : Deployment
        The replica.
    tenure : str
        ``on_demand``, ``reserved``, ``own`` or ``kept``.
    replicas, users : int
        Replicas that carry the load (spare ones come on top), and requests in flight in each.
    rate_per_s : float
        Requests a second of all.
    gpus, billed_gpus : int
        Needed, and paid for.
    ttft_s, tpot_s, output_tokens_per_s : float
        Mean first token and time per token, and output of the fleet.
    ttft_at_s, tpot_at_s, request_at_s : float
        First token, time per token and whole answer at the percentiles that the customer names.
    usd_low, usd, usd_high : float
        USD a month at the ends and the middle of the prices.
    usd_per_million : float
        USD a million output tokens at the typical price.
    memory_gib, headroom, day_hours : float
        In use on one GPU; share of the cache's room that is left; hours a day that serving and scientific work take.
    p_tpot, p_ttft, p_request : float
        Probabilities that the targets are kept.
    training_usd : float
        USD a month of training beside this fleet.
    prefill_share : float
        Share of time that a replica spends in steps with prompts, where simulated.
    """

    deployment: Deployment
    tenure: str
    replicas: int
    users: int
    rate_per_s: float
    gpus: int
    billed_gpus: int
    ttft_s: float
    tpot_s: float
    ttft_at_s: float
    tpot_at_s: float
    request_at_s: float
    output_tokens_per_s: float
    usd_low: float
    usd: float
    usd_high: float
    usd_per_million: float
    memory_gib: float
    headroom: float
    day_hours: float
    p_tpot: float
    p_ttft: float
    p_request: float = 1.0
    training_usd: float = 0.0
    prefill_share: float = float("nan")

    @property
    def gpu(self) -> str:
        """Name of the part."""
        return self.deployment.gpu.name

    @property
    def tp(self) -> int:
        """GPUs over which a layer is cut."""
        return self.deployment.tp

    @property
    def precision(self) -> str:
        """Format of the weights."""
        return self.deployment.weights

    @property
    def kv_precision(self) -> str:
        """Format of the cache."""
        return self.deployment.kv_precision

    @property
    def cost(self) -> tuple[float, float]:
        """What configurations are ordered by: USD a month with training, then the time per token."""
        return round(self.usd + self.training_usd, 6), self.tpot_s


@dataclass(frozen=True)
class TrainingRun:
    """One training run: a cluster, its layout, how it is had, how long it takes and what it costs.

    Parameters
    ----------
    gpu, precision, tenure : str
        Part; format of matrix products; ``on_demand``, ``spot``, ``reserved``, ``own``, ``kept`` or ``shared`` with
        serving.
    gpus, tp, pp, vpp, cp, ep, dp, micro_batch, micro_batches : int
        The cluster and its layout.
    recompute : str
        ``none``, ``selective`` or ``full``.
    tokens_per_s_per_gpu, mfu, goodput, days : float
        Throughput of one GPU, model FLOP utilisation, share of time that is progress, and days of a run.
    days_seldom, days_often : float
        Days where nodes on spot are seldom and often taken away; those of a run otherwise.
    memory_gib : float
        Peak on one GPU.
    usd_low, usd, usd_high, usd_low_run, usd_run, usd_high_run : float
        USD a month, and a run.
    p_deadline : float
        Probability that the deadline is kept.
    """

    gpu: str
    precision: str
    tenure: str
    gpus: int
    tp: int
    pp: int
    vpp: int
    cp: int
    ep: int
    dp: int
    micro_batch: int
    micro_batches: int
    recompute: str
    tokens_per_s_per_gpu: float
    mfu: float
    goodput: float
    days: float
    days_seldom: float
    days_often: float
    memory_gib: float
    usd_low: float
    usd: float
    usd_high: float
    usd_low_run: float
    usd_run: float
    usd_high_run: float
    p_deadline: float


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


def of_row(row: pd.Series, deployments: Sequence[Deployment]) -> Configuration:
    """Return a row of the serving table as a record.

    Parameters
    ----------
    row : Series
        A judged row of :func:`hopperbook.planner.fleet.table`.
    deployments : sequence of Deployment
        Where its ``row`` points.

    Returns
    -------
    Configuration
        With plain Python values.
    """
    known = {f.name: _plain(row[f.name]) for f in fields(Configuration) if f.name in row.index}
    return Configuration(deployment=deployments[int(row["row"])], **known)


def run_of_row(row: pd.Series) -> TrainingRun:
    """Return a row of the training table as a record.

    Parameters
    ----------
    row : Series
        A row of :func:`hopperbook.planner.runs.table` with ``p_deadline``.

    Returns
    -------
    TrainingRun
        With plain Python values.
    """
    return TrainingRun(**{f.name: _plain(row[f.name]) for f in fields(TrainingRun)})
