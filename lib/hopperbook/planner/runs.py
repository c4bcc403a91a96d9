"""Every way to do the customer's training: part, cluster size, layout, format; timed, priced, against the deadline."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from hopperbook import facts
from hopperbook.cost import billed, rent_usd_per_month, usd_per_run
from hopperbook.customer import Customer
from hopperbook.memory.serving import constants
from hopperbook.models import load, parameters
from hopperbook.planner import spot
from hopperbook.planner.configuration import TrainingRun
from hopperbook.planner.rollouts import with_rollouts
from hopperbook.planner.tenure import Tenure, assumptions, on_spot, tenures
from hopperbook.training import adapter_parameters
from hopperbook.training.run import Asked, days, fastest, goodput
from hopperbook.units import DAY_S, GIB


def global_batch(customer: Customer) -> int:
    """Return the sequences of a step, a power of two.

    Parameters
    ----------
    customer : Customer
        Task and sequence length.

    Returns
    -------
    int
        Sequences.

    Examples
    --------
    >>> from hopperbook.customer import check
    >>> shop = check({"name": "A", "model": "llama-3.1-8b", "training_task": "pretrain", "training_tokens": 1e9})
    >>> global_batch(shop)
    1024
    """
    if customer.training_task == "grpo":
        return int(assumptions("planner")["update_sequences"])
    if customer.training_task != "pretrain":
        return int(assumptions("planner")["tuning_sequences"])
    tokens = int(assumptions("planner")["pretrain_batch_tokens"])
    return 1 << int(np.log2(max(64, tokens // customer.training_sequence_tokens)))


def sizes(customer: Customer) -> NDArray[np.int_]:
    """List the cluster sizes to try: one GPU up to the largest cluster or one sequence a GPU, doubling.

    Parameters
    ----------
    customer : Customer
        Largest cluster.

    Returns
    -------
    ndarray of int
        GPUs.

    Examples
    --------
    >>> from hopperbook.customer import check
    >>> sizes(check({"name": "A", "model": "llama-3.1-8b", "max_gpus": 16})).tolist()
    [1, 2, 4, 8, 16]
    """
    return 2 ** np.arange(int(np.log2(customer.max_gpus)) + 1)


def formats(customer: Customer, gpu: facts.GPU) -> tuple[str, ...]:
    """List the formats of a run's matrix products: BF16, and FP8 with the customer's scales where it is of use.

    Parameters
    ----------
    customer : Customer
        Task and recipe. Pretraining and supervised fine-tuning are offered FP8: for both there are runs whose quality
        in FP8 was that of BF16, and published pairs of runs that differ in the format alone. LoRA gains as much in such
        pairs, but no comparison of its quality is on file: it stays in BF16, as DPO, GRPO and distillation do.
    gpu : GPU
        The part; FP8 needs Hopper.

    Returns
    -------
    tuple of str
        Precisions of :func:`hopperbook.training.step`.

    Notes
    -----
    Source: ``infix-2025-infir2``, ``peng-2023-fp8lm`` (quality of fine-tuning); ``nvidia-dgxc-benchmarking`` (pairs).

    Examples
    --------
    >>> from hopperbook.customer import check
    >>> shop = check({"name": "A", "model": "llama-3.1-8b", "training_task": "sft", "fp8_recipe": "block"})
    >>> formats(shop, facts.gpu("H100 SXM")), formats(shop, facts.gpu("A100 SXM"))
    (('bf16', 'fp8_block'), ('bf16',))
    """
    if gpu.transformer_engine and customer.training_task in ("pretrain", "sft"):
        return ("bf16", customer.fp8_precision)
    return ("bf16",)


def checkpoint_bytes(customer: Customer) -> float:
    """Return the bytes of a checkpoint: all states of what is trained, which with LoRA is the adapters only.

    Parameters
    ----------
    customer : Customer
        Model trained, and task.

    Returns
    -------
    float
        Bytes.

    Examples
    --------
    >>> from hopperbook.customer import check
    >>> whole = {"name": "A", "model": "llama-3.1-8b", "training_task": "sft", "training_tokens": 1e9}
    >>> round(checkpoint_bytes(check(whole)) / checkpoint_bytes(check(whole | {"training_task": "lora"})))
    225
    """
    model = load(customer.trained_model)
    trained = adapter_parameters(model) if customer.training_task == "lora" else parameters(model)
    return constants("training")["checkpoint_bytes_per_parameter"] * trained


def table(customer: Customer, ways: dict[str, list[Tenure]]) -> tuple[pd.DataFrame, int]:
    """Time and price the fastest layout of each part, format and size.

    Parameters
    ----------
    customer : Customer
        Task, tokens, deadline.
    ways : dict
        Ways to have each part.

    Returns
    -------
    DataFrame
        One row a part, format, size and tenure.
    int
        Layouts considered.

    Examples
    --------
    >>> from hopperbook.customer import check
    >>> shop = check({"name": "A", "model": "llama-3.1-8b", "training_task": "sft", "training_tokens": 1e9})
    >>> rows, considered = table(shop, {"H100 SXM": tenures(shop, "H100 SXM")})
    >>> round(considered, -3), round(24 * float(rows[rows.gpus == 8].days.min()), 1)  # layouts; hours on a server
    (20000, 2.4)
    """
    considered, kept, state = 0, [], checkpoint_bytes(customer)
    for part, had in ways.items():
        gpu = facts.gpu(part)
        if not had:
            continue
        for precision in formats(customer, gpu):
            rows_of, layouts = _fastest(customer, part, precision)
            considered += layouts
            rows = {name: rows_of[name].to_numpy() for name in rows_of}
            rows |= {
                name: np.full(len(rows_of), value, object) for name, value in (("gpu", part), ("precision", precision))
            }
            rows["goodput"] = goodput(rows["gpus"], state)
            rows["days"] = days(customer.training_tokens, rows["tokens_per_s_per_gpu"] * rows["gpus"], rows["goodput"])
            rows["memory_gib"] = rows["memory_bytes"] / GIB
            offered = [*had, *filter(None, [on_spot(customer, part)])]
            kept += [_priced(rows, way, customer) for way in offered if len(rows_of)]
    return _stacked(kept), considered


def _fastest(customer: Customer, part: str, precision: str) -> tuple[pd.DataFrame, int]:
    """Return the fastest layout of each size of cluster, and how many layouts were timed."""
    names = customer.trained_model, customer.teacher_model or customer.model
    asked = tuple(sizes(customer).tolist()), global_batch(customer), customer.training_sequence_tokens
    rows, timed = _timed(part, precision, customer.training_task, *names, *asked)
    return with_rollouts(rows, customer, part), timed


@functools.lru_cache(maxsize=256)
def _timed(
    part: str, precision: str, task: str, model: str, teacher: str, gpus: tuple[int, ...], batch: int, length: int
) -> tuple[pd.DataFrame, int]:
    """Time a task's layouts once, whatever else is asked of the customer."""
    return fastest(Asked(load(model), part, gpus, batch, length, precision, task, load(teacher)))


def _priced(rows: dict[str, np.ndarray], way: Tenure, customer: Customer) -> dict[str, np.ndarray]:
    """Return runs with what :func:`priced` says of them, and whether so many GPUs are to be had."""
    gpus = rows["gpus"]
    columns = {
        "tenure": np.full(len(gpus), way.kind, object),
        "available": (way.limit == 0) | (gpus <= way.limit),
    }
    return rows | columns | priced(customer, way, gpus, rows["days"])


def priced(customer: Customer, way: Tenure, gpus: NDArray[np.int_], days: ArrayLike) -> dict[str, NDArray[np.float64]]:
    """Price runs: rented by the hour they take; reserved, bought (whole servers) and kept GPUs by the month.

    Several nodes rented for one run are paid for while they are set up, too. On spot a run takes longer, by how often
    nodes are taken away: seldom, as assumed, or often; the ends of its price go with the ends of that.

    Parameters
    ----------
    customer : Customer
        Runs a year, and the states that a checkpoint holds.
    way : Tenure
        How the GPUs are had.
    gpus : array of int
        GPUs of each run.
    days : array
        Days of each on GPUs that stand ready and are not taken away.

    Returns
    -------
    dict of array
        ``days days_seldom days_often``; ``usd_low usd usd_high``, USD a month, and with ``_run`` at the end, a run.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> on_demand = tenures(default(), "H100 SXM")[0]  # USD 3.30, and 15 % more for servers that work together
    >>> found = priced(default(), on_demand, np.array([8, 32]), np.array([20.0, 5.0]))
    >>> (found["usd_run"] / 3.2999).round(1).tolist()  # 8 x 20 x 24 hours; 32 x (5 x 24 + 4 of set-up) x 1.15
    [3840.0, 4563.2]
    """
    each = 12 / customer.trainings_per_year
    paid = gpus if way.kind == "kept" else billed(gpus, np.full(len(gpus), way.kind))
    hourly = way.kind in ("on_demand", "kept", "spot")
    joined = (gpus > 8) & (way.kind in ("on_demand", "spot"))
    set_up = np.where(joined, assumptions()["cluster_setup_hours"] / 24, 0.0)
    longer = (1.0, 1.0, 1.0)
    if way.kind == "spot":
        longer = spot.excess(way.gpu, gpus, checkpoint_bytes(customer))  # type: ignore[assignment]
    # as in fleet: no choice hangs on the last bits
    seldom, typical, often = (np.round(np.asarray(days) * times + set_up, 9) for times in longer)
    found = {"days": typical, "days_seldom": seldom, "days_often": often}
    for column, end, lasts in (("usd_low", "low", seldom), ("usd", "typical", typical), ("usd_high", "high", often)):
        price = way.usd_per_hour(end, -(-gpus // 8))
        run = usd_per_run(paid, price, lasts * DAY_S)
        found[column] = np.round(run / each if hourly else rent_usd_per_month(paid, price), 6)
        found[column + "_run"] = run if hourly else found[column] * each
    return found


class Offer(NamedTuple):
    """One way to have GPUs for a training run: USD an hour, an hour of progress with its range, and a run.

    ``stretch`` is hours paid for one of progress: set-up and hours lost on spot count, and with it the rest of the
    year where GPUs are reserved or bought.
    """

    kind: str
    usd: float
    low: float
    typical: float
    high: float
    stretch: float
    usd_run: float
    date: str


def offers(customer: Customer, gpu: str, gpus: int, days: float) -> list[Offer]:
    """List what an hour of progress of a run costs a GPU: on demand, reserved, owned and on spot.

    Reserved and owned GPUs are paid for all year and do nothing but these runs.

    Parameters
    ----------
    customer : Customer
        Market, horizon, own prices, runs a year.
    gpu : str
        Name of the GPU.
    gpus : int
        GPUs of the run.
    days : float
        Days of a run on GPUs that stand ready and are not taken away.

    Returns
    -------
    list of Offer
        Ways in which so many GPUs are to be had, at the prices of :func:`priced`.

    Examples
    --------
    >>> from hopperbook.customer import check
    >>> shop = check({"name": "A", "model": "llama-3.1-8b", "training_task": "sft", "trainings_per_year": 12})
    >>> found = offers(shop, "H100 SXM", 8, 365 / 12)  # one run after the other, all year
    >>> {offer.kind: round(offer.stretch, 2) for offer in found}
    {'on_demand': 1.0, 'reserved': 1.0, 'own': 1.0, 'spot': 1.01}
    >>> found = offers(shop, "H100 SXM", 8, 365 / 48)  # a quarter of the year
    >>> {offer.kind: round(offer.stretch, 2) for offer in found}
    {'on_demand': 1.0, 'reserved': 4.0, 'own': 4.0, 'spot': 1.01}
    """
    asked = customer.model_copy(update={"tenure": "auto"})
    ways = [way for way in tenures(asked, gpu) if way.kind != "kept"]
    ways += filter(None, [on_spot(asked, gpu)])
    return [_offer(asked, way, gpus, days) for way in ways if not way.limit or gpus <= way.limit]


def _offer(customer: Customer, way: Tenure, gpus: int, days: float) -> Offer:
    """Return what a run costs in one way, over its hours of progress."""
    found = priced(customer, way, np.array([gpus]), np.array([days]))
    low, run, high = (float(found[column][0]) for column in ("usd_low_run", "usd_run", "usd_high_run"))
    usd, hours = float(way.usd_per_hour("typical", -(-gpus // 8))), gpus * 24 * days
    return Offer(way.kind, usd, low / hours, run / hours, high / hours, run / hours / usd, run, way.date)


def progress_days(customer: Customer, run: TrainingRun) -> float:
    """Return the days of a run on GPUs that stand ready and are not taken away: its tokens over rate and goodput.

    Parameters
    ----------
    customer : Customer
        The tokens.
    run : TrainingRun
        Its rate, GPUs and goodput.

    Returns
    -------
    float
        Days.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> from hopperbook.planner.choose import plan as make
    >>> run = make(default()).training  # in the hours that serving leaves: it takes longer
    >>> progress_days(default(), run) < run.days
    True
    """
    return float(days(customer.training_tokens, run.tokens_per_s_per_gpu * run.gpus, run.goodput))


def _stacked(tables: list[dict[str, np.ndarray]]) -> pd.DataFrame:
    if not tables:
        return pd.DataFrame()
    return pd.DataFrame({name: np.concatenate([t[name] for t in tables]) for name in tables[0]})


def describe(row: TrainingRun | pd.Series) -> str:
    """Name a training layout in the field's words.

    Parameters
    ----------
    row : TrainingRun
        Its layout.

    Returns
    -------
    str
        Such as ``TP 4, PP 2 x 5, DP 8, micro-batch 1``.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> from hopperbook.planner.choose import plan as make
    >>> describe(make(default()).training)
    'TP 4, micro-batch 1'
    """
    words = [f"TP {row.tp}"] if row.tp > 1 else []
    if row.pp > 1:
        words.append(f"PP {row.pp}" + (f" × {row.vpp} chunks" if row.vpp > 1 else ""))
    words += [f"CP {row.cp}"] if row.cp > 1 else []
    words += [f"EP {row.ep}"] if row.ep > 1 else []
    words += [f"DP {row.dp}"] if row.dp > 1 else []
    words.append(f"micro-batch {row.micro_batch}")
    words += [f"{row.recompute} recompute"] if row.recompute != "none" else []
    return ", ".join(words)
