"""Layouts worth trying, the fastest that fits a cluster, and the length of a whole run with its failures."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from hopperbook import facts
from hopperbook.errors import InputError
from hopperbook.later import pandas as pd
from hopperbook.memory.serving import constants
from hopperbook.models import Model
from hopperbook.training.layer import Floats, framework
from hopperbook.training.methods import base_task, beside
from hopperbook.training.network import GPUS_PER_NODE
from hopperbook.training.steps import LAYOUT_COLUMNS, step
from hopperbook.units import DAY_S, HOUR_S


@functools.cache
def run_constants() -> dict[str, float]:
    """Return the constants of a run's goodput from ``data/constants/run.yaml``, each with its unit in its name.

    Returns
    -------
    dict of float
        ``failures_per_gpu_hour``, ``checkpoint_bytes_per_s_per_gpu``, ``restart_s``.

    Notes
    -----
    Source: ``grattafiori-2024-llama3`` for the failures; the others are assumed.

    Examples
    --------
    >>> round(1 / (16384 * run_constants()["failures_per_gpu_hour"]), 1)  # hours between failures of that cluster
    3.1
    """
    return {name: float(row["value"]) for name, row in facts.read_yaml("constants/run.yaml").items()}


def usable_bytes(gpu: facts.GPU) -> float:
    """Return the bytes of a card that a training run may fill.

    Parameters
    ----------
    gpu : GPU
        The part.

    Returns
    -------
    float
        Bytes.

    Examples
    --------
    >>> round(usable_bytes(facts.gpu("H100 SXM")) / 2**30, 1)
    77.3
    """
    return gpu.memory_bytes * constants("training")["usable_fraction"]


def layouts(model: Model, gpus: ArrayLike, global_batch: int, *, per_node: int = 8) -> pd.DataFrame:
    """List the layouts that divide a model and a batch over GPUs.

    Parameters
    ----------
    model : Model
        The model.
    gpus : int or sequence of int
        Cluster sizes.
    global_batch : int
        Sequences of a step.
    per_node : int
        GPUs of a node; tensor parallelism stays inside it.

    Returns
    -------
    DataFrame
        One row a layout: ``gpus tp pp vpp cp ep dp micro_batch micro_batches``.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> grid = layouts(load("meta-llama/Llama-3.1-8B"), [8, 16], 128)
    >>> bool((grid.gpus == grid.tp * grid.pp * grid.cp * grid.dp).all()), len(grid)
    (True, 520)
    """
    sizes = np.atleast_1d(np.asarray(gpus, dtype=np.int64))
    tps = [t for t in (1, 2, 4, 8) if t <= per_node and model.heads % t == 0]
    pps = [p for p in (1, 2, 4, 8, 16, 32) if p <= model.layers]
    eps = [e for e in (1, 2, 4, 8) if model.experts and model.experts % e == 0] or [1]
    axes = [sizes, tps, pps, (1, 2, 4, 8), (1, 2, 4), eps, (1, 2, 4, 8)]
    n, tp, pp, vpp, cp, ep, mb = (axis.ravel() for axis in np.meshgrid(*map(np.asarray, axes), indexing="ij"))
    ranks = tp * pp * cp
    dp = n // ranks
    keep = (n % ranks == 0) & (dp >= 1)
    keep &= np.where(vpp > 1, (pp > 1) & (pp * vpp <= model.layers), True)
    keep &= (dp * cp) % ep == 0
    keep &= global_batch % np.maximum(dp * mb, 1) == 0
    micro_batches = global_batch // np.maximum(dp * mb, 1)
    keep &= (micro_batches >= 1) & np.where(vpp > 1, micro_batches % pp == 0, True)
    columns = (n, tp, pp, vpp, cp, ep, dp, mb, micro_batches)
    return pd.DataFrame({name: column[keep] for name, column in zip(LAYOUT_COLUMNS, columns, strict=True)})


def sweep(
    model: Model,
    gpu: str | facts.GPU,
    gpus: ArrayLike,
    global_batch: int,
    seq_len: int,
    *,
    precision: str = "bf16",
    task: str = "pretrain",
    teacher: Model | None = None,
    fabric: str | None = None,
    recompute: tuple[str, ...] = ("none", "selective", "full"),
) -> pd.DataFrame:
    """Time every layout under every recomputation, with what it needs in memory.

    Parameters
    ----------
    model : Model
        The model.
    gpu : str or GPU
        The part.
    gpus : int or sequence of int
        Cluster sizes.
    global_batch, seq_len : int
        Sequences of a step and their tokens.
    precision, fabric
        As in :func:`hopperbook.training.step`.
    task : str
        As there, or one of :data:`hopperbook.training.METHODS`; the roll-outs of ``grpo`` are not part of it.
    teacher : Model, optional
        Of whom ``distill`` learns; the model itself if none is named.
    recompute : tuple of str
        Kinds of recomputation to try.

    Returns
    -------
    DataFrame
        The layouts with ``recompute, total_s, tokens_per_s_per_gpu, memory_bytes, mfu, fits``.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> table = sweep(load("meta-llama/Llama-3.1-8B"), "H100 SXM", 8, 128, 4096)
    >>> len(table), int(table.fits.sum())  # layouts times kinds of recomputation, and those that fit
    (576, 485)
    >>> round(float(table[table.fits].tokens_per_s_per_gpu.max()) / 1e3, 1)  # thousand tokens a second and GPU
    11.2
    """
    part = gpu if isinstance(gpu, facts.GPU) else facts.gpu(gpu)
    per_node = min(part.nvlink_gpus, GPUS_PER_NODE) if part.nvlink_bytes_per_s_per_direction else 1
    grid = layouts(model, gpus, global_batch, per_node=max(1, per_node))
    room = usable_bytes(part)
    whole = replace(framework(), tuning_document_share=1.0)  # the customer's sequences, not a benchmark's short samples
    tables = []
    columns: dict[str, Any] = {c: grid[c].to_numpy() for c in LAYOUT_COLUMNS if c != "dp"}
    asked: dict[str, Any] = {"seq_len": seq_len, "precision": precision, "fabric": fabric}
    more = beside(task, model, teacher or model, part, whole, columns, **asked)
    for kind in recompute:
        s = step(model, part, task=base_task(task), recompute=kind, framework_name=whole, **asked, **columns)
        share = s.total_s / (s.total_s + more.seconds)
        held = s.memory_bytes + more.memory_bytes
        table = grid.assign(
            recompute=kind, total_s=s.total_s + more.seconds, tokens_per_s_per_gpu=share * s.tokens_per_s_per_gpu
        )
        tables.append(table.assign(memory_bytes=held, mfu=share * s.mfu, fits=held <= room))
    return pd.concat(tables, ignore_index=True)


def best(table: pd.DataFrame) -> pd.DataFrame:
    """Keep the fastest layout that fits for each cluster size.

    Parameters
    ----------
    table : DataFrame
        From :func:`sweep`.

    Returns
    -------
    DataFrame
        One row a cluster size on which anything fits, in order of size.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> len(best(sweep(load("meta-llama/Llama-3.1-8B"), "H100 SXM", [8, 16], 128, 4096)))
    2
    """
    fitting = table[table.fits]
    rows = (
        fitting.loc[fitting.tokens_per_s_per_gpu.round(6).groupby(fitting.gpus).idxmax()] if len(fitting) else fitting
    )
    return rows.sort_values("gpus").reset_index(drop=True)


class Asked(NamedTuple):
    """A training task whose layouts are timed: as of :func:`sweep`, with the cluster sizes and of whom it learns."""

    model: Model
    gpu: str
    gpus: tuple[int, ...]
    global_batch: int
    seq_len: int
    precision: str
    task: str
    teacher: Model


def fastest(asked: Asked) -> tuple[pd.DataFrame, int]:
    """Find the fastest layout that fits for each cluster size, and count the layouts that were timed.

    Parameters
    ----------
    asked : Asked
        The task.

    Returns
    -------
    DataFrame
        As :func:`best`.
    int
        Layouts.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> llama = load("meta-llama/Llama-3.1-8B")
    >>> rows, timed = fastest(Asked(llama, "H100 SXM", (8,), 128, 4096, "bf16", "pretrain", llama))
    >>> len(rows), timed
    (1, 576)
    """
    return finder(asked)


def found(asked: Asked) -> tuple[pd.DataFrame, int]:
    """Time the layouts of :func:`fastest`."""
    timed = sweep(*asked[:5], precision=asked.precision, task=asked.task, teacher=asked.teacher)
    return best(timed), len(timed)


#: What :func:`fastest` asks; who keeps layouts between processes puts a look-up before it.
finder: Callable[[Asked], tuple[pd.DataFrame, int]] = found


def goodput(gpus: ArrayLike, state_bytes: float) -> Floats:
    r"""Share of a run's time that is progress, with checkpoints as often as is best.

    .. math:: \eta = 1 - \sqrt{2 \delta / M} - R / M, \quad M = 1 / (g \lambda)

    with delta the seconds that writing a checkpoint stalls the job and R those of a restart (:func:`run_constants`).

    Parameters
    ----------
    gpus : int or array
        GPUs of the job, g.
    state_bytes : float
        Bytes of a checkpoint, all ranks together.

    Returns
    -------
    float or array
        Between 0 and 1.

    Notes
    -----
    Source: ``young-1974-checkpoint``, ``daly-2006-checkpoint``; the failure rate, lambda, from
    ``grattafiori-2024-llama3``.

    Examples
    --------
    >>> float(goodput(16384, 405e9 * 14).round(2))
    0.94
    """
    every = checkpointing(gpus, state_bytes)
    restarts = run_constants()["restart_s"] / every.failure_s
    return np.clip(1 - np.sqrt(2 * every.write_s / every.failure_s) - restarts, 0.05, 1.0)


class Checkpointing(NamedTuple):
    """Seconds that writing a checkpoint stalls a job, between its failures, and between checkpoints at best."""

    write_s: Floats
    failure_s: Floats
    interval_s: Floats


def checkpointing(gpus: ArrayLike, state_bytes: float) -> Checkpointing:
    r"""Work out how often a job should write a checkpoint.

    .. math:: \tau = \sqrt{2 \delta M}, \quad \delta = S / (g w), \quad M = 1 / (g \lambda)

    At this interval writing and lost work cost the same, together :math:`\sqrt{2 \delta / M}` of the time.

    Parameters
    ----------
    gpus : int or array
        GPUs of the job, g.
    state_bytes : float
        Bytes of a checkpoint, all ranks together, S; each GPU writes w bytes a second (:func:`run_constants`).

    Returns
    -------
    Checkpointing
        Seconds: delta, M and tau.

    Notes
    -----
    Source: ``young-1974-checkpoint``; the failure rate, lambda, from ``grattafiori-2024-llama3``.

    Examples
    --------
    >>> round(float(checkpointing(2048, 70e9 * 14).interval_s))
    292
    """
    g, c = np.asarray(gpus, dtype=float), run_constants()
    failure_s = HOUR_S / (g * c["failures_per_gpu_hour"])
    write_s = state_bytes / (g * c["checkpoint_bytes_per_s_per_gpu"])
    return Checkpointing(write_s, failure_s, np.sqrt(2 * write_s * failure_s))


def days(tokens: float, tokens_per_s: ArrayLike, share: float | Floats = 1.0) -> Floats:
    r"""Days of a run: :math:`D / (r \eta)`.

    Parameters
    ----------
    tokens : float
        Tokens to train on, D.
    tokens_per_s : float or array
        Rate of the cluster, r.
    share : float or array
        Goodput.

    Returns
    -------
    float or array
        Days.

    Raises
    ------
    InputError
        If there are no tokens.

    Examples
    --------
    >>> float(days(8.64e9, 1e5, 1.0))
    1.0
    """
    if tokens <= 0:
        raise InputError("training_tokens", tokens, "a number above zero")
    return tokens / (np.asarray(tokens_per_s, dtype=float) * share * DAY_S)
