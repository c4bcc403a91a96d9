"""Every way to do the customer's training: part, cluster size, layout, format; timed, priced, against the deadline."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hopperbook import facts
from hopperbook.cost import billed, rent_usd_per_month, usd_per_run
from hopperbook.customer import Customer
from hopperbook.memory.serving import constants
from hopperbook.models import load, parameters
from hopperbook.planner import spot
from hopperbook.planner.configuration import TrainingRun
from hopperbook.planner.rollouts import with_rollouts
from hopperbook.planner.tenure import Tenure, assumptions, on_spot
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


def table(customer: Customer, tenures: dict[str, list[Tenure]]) -> tuple[pd.DataFrame, int]:
    """Time and price the fastest layout of each part, format and size.

    Parameters
    ----------
    customer : Customer
        Task, tokens, deadline.
    tenures : dict
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
    >>> from hopperbook.planner.tenure import tenures as ways
    >>> shop = check({"name": "A", "model": "llama-3.1-8b", "training_task": "sft", "training_tokens": 1e9})
    >>> rows, considered = table(shop, {"H100 SXM": ways(shop, "H100 SXM")})
    >>> round(considered, -3), round(24 * float(rows[rows.gpus == 8].days.min()), 1)  # layouts; hours on a server
    (20000, 2.4)
    """
    considered, kept, state = 0, [], checkpoint_bytes(customer)
    for part, ways in tenures.items():
        gpu = facts.gpu(part)
        if not ways:
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
            offered = [*ways, *filter(None, [on_spot(customer, part)])]
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
    """Price runs: rented by the hour they take; reserved, bought (whole servers) and kept GPUs by the month.

    Several nodes rented for one run are paid for while they are set up, too. On spot a run takes longer, by how often
    nodes are taken away: seldom, as assumed, or often; the ends of its price go with the ends of that.
    """
    gpus, each = rows["gpus"], 12 / customer.trainings_per_year
    paid = gpus if way.kind == "kept" else billed(gpus, np.full(len(gpus), way.kind))
    hourly = way.kind in ("on_demand", "kept", "spot")
    joined = (gpus > 8) & (way.kind in ("on_demand", "spot"))
    set_up = np.where(joined, assumptions()["cluster_setup_hours"] / 24, 0.0)
    longer = (1.0, 1.0, 1.0)
    if way.kind == "spot":
        longer = spot.excess(way.gpu, gpus, checkpoint_bytes(customer))  # type: ignore[assignment]
    # as in fleet: no choice hangs on the last bits
    seldom, days, often = (np.round(rows["days"] * times + set_up, 9) for times in longer)
    priced = {
        "tenure": np.full(len(gpus), way.kind, object),
        "available": (way.limit == 0) | (gpus <= way.limit),
        "days": days,
        "days_seldom": seldom,
        "days_often": often,
    }
    for column, end, lasts in (("usd_low", "low", seldom), ("usd", "typical", days), ("usd_high", "high", often)):
        price = way.usd_per_hour(end, -(-gpus // 8))
        run = usd_per_run(paid, price, lasts * DAY_S)
        priced[column] = np.round(run / each if hourly else rent_usd_per_month(paid, price), 6)
        priced[column + "_run"] = run if hourly else priced[column] * each
    return rows | priced


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
