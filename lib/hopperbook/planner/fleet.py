"""Every way to serve the customer's load: part, layout, formats and replicas, timed and priced as one table."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from hopperbook import facts, hpc, kernels, serving, units
from hopperbook.cost import billed
from hopperbook.customer import Customer
from hopperbook.errors import InputError
from hopperbook.models import Model, own_format
from hopperbook.planner.configuration import Configuration
from hopperbook.planner.day import served_gpu_hours
from hopperbook.planner.load import demand, served_model
from hopperbook.planner.tenure import Tenure
from hopperbook.serving import Deployment, deploy
from hopperbook.serving.demand import cut_of
from hopperbook.units import GIB, MONTH_H, MONTH_S

TENSOR_PARALLEL = (1, 2, 4, 8)
#: Servers over which a replica's layers are dealt out, where one does not hold the model.
STAGES = (2, 4)


class Fleet(NamedTuple):
    """Every serving configuration: its rows, the deployments they point to, and parts on which nothing fits."""

    rows: pd.DataFrame
    deployments: list[Deployment]
    missing: dict[str, str]


def eight_bits(gpu: facts.GPU, model: Model) -> str:
    """Name the eight-bit format of weights that a part multiplies fastest.

    Parameters
    ----------
    gpu : GPU
        The part.
    model : Model
        The model; FP8 checkpoints of Mixtures of Experts hold a scale a block.

    Returns
    -------
    str
        ``fp8``, ``fp8_block`` or ``int8``.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> eight_bits(facts.gpu("A100 SXM"), load("llama-3.1-8b")), eight_bits(facts.gpu("H100"), load("mixtral-8x7b"))
    ('int8', 'fp8_block')
    """
    if not gpu.transformer_engine:
        return "int8"
    return "fp8_block" if model.experts else "fp8"


def counterpart(precision: str, gpu: facts.GPU, model: Model) -> str:
    """Name the format that a part serves in place of another's: eight bits become its own eight bits, others stay.

    Parameters
    ----------
    precision : str
        Format of the weights on some part.
    gpu : GPU
        The part asked about.
    model : Model
        The model.

    Returns
    -------
    str
        A key of ``models.PRECISION_BITS``.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> a100, llama = facts.gpu("A100 SXM"), load("llama-3.1-8b")
    >>> counterpart("fp8", a100, llama), counterpart("int4", a100, llama)
    ('int8', 'int4')
    """
    return eight_bits(gpu, model) if precision in ("fp8", "fp8_block", "int8") else precision


def formats(customer: Customer, gpu: facts.GPU, model: Model) -> list[tuple[str, str]]:
    """List the formats of weights and cache to try on a part.

    Parameters
    ----------
    customer : Customer
        Its precision policy.
    gpu : GPU
        The part; FP8 arithmetic needs Hopper, INT8 stands in for it on Ampere; FP4 is tried where there are units.
    model : Model
        The model served; Mixtures of Experts hold FP8 with a scale a block, as their published checkpoints do, and a
        checkpoint whose experts are in four bits is also served as it is. An encoder stays in 16 bits unless another
        format is asked for.

    Returns
    -------
    list of tuple of str
        (weights, cache).

    Examples
    --------
    >>> from hopperbook.models import load
    >>> from hopperbook.customer import check
    >>> formats(check({"name": "A", "model": "llama-3.1-8b"}), facts.gpu("A100 SXM"), load("llama-3.1-8b"))
    [('bf16', 'bf16'), ('bf16', 'fp8'), ('int8', 'bf16'), ('int8', 'fp8')]
    """
    eight = eight_bits(gpu, model)
    weights: list[str] = [customer.precision]
    if customer.precision == "auto" and model.encoder:  # engines of encoders compute in 16 bits
        weights = ["bf16"]
    elif customer.precision == "auto":
        four = ["fp4"] if kernels.multiplies_fp4(gpu, "fp4") else []
        weights = list(dict.fromkeys(["bf16", eight, *four, own_format(model)]))
    elif customer.precision == "fp8":
        weights = [eight] if gpu.transformer_engine else []
    caches = ["bf16", "fp8"] if customer.kv_precision == "auto" else [customer.kv_precision]
    caches = ["bf16"] if model.text_tokens else caches  # what only reads keeps no cache
    return [(w, kv) for w in weights for kv in caches]


def deployments(customer: Customer, model: Model, parts: tuple[str, ...]) -> list[Deployment]:
    """List the replicas worth trying: on GPUs of one server, and where eight hold no user, on several servers.

    Layers are then dealt out to servers in stages; within a server each layer is cut.

    Parameters
    ----------
    customer : Customer
        Precision policy, and what a user holds.
    model : Model
        The model served.
    parts : tuple of str
        GPUs.

    Returns
    -------
    list of Deployment
        One for each part, layout and pair of formats.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> from hopperbook.customer import check
    >>> len(deployments(check({"name": "A", "model": "llama-3.1-8b"}), load("llama-3.1-8b"), ("H100 SXM",)))
    16
    """
    found = []
    for part in map(facts.gpu, parts):
        for weights, cache in formats(customer, part, model):
            for tp in TENSOR_PARALLEL:
                if model.heads % tp == 0 and model.hidden % tp == 0:
                    found.append(_with_adapters(replica(model, part.name, tp, weights, cache), customer))
            for stages in (n for n in STAGES if 8 * n <= customer.max_gpus):
                widest = found[-1] if found else None
                if widest is None or widest.tp < 8 or serving.budget(widest, customer.held_tokens).users >= 1:
                    break
                found.append(_with_adapters(replica(model, part.name, 8, weights, cache, stages), customer))
    return found


def _with_adapters(d: Deployment, customer: Customer) -> Deployment:
    """Return a replica with the customer's adapters, which all replicas hold."""
    return serving.with_adapters(d, customer.adapters, customer.adapter_rank, customer.most_in_flight)


@functools.lru_cache(maxsize=4096)
def replica(model: Model, part: str, tp: int, weights: str, cache: str, pp: int = 1) -> Deployment:
    """Build a replica once, so that its profile of step times is laid out once.

    Parameters
    ----------
    model : Model
        The model.
    part : str
        GPU.
    tp : int
        Tensor parallel.
    weights, cache : str
        Formats.
    pp : int
        Pipeline stages.

    Returns
    -------
    Deployment
        The replica.
    """
    return deploy(model, part, tp=tp, pp=pp, precision=weights, kv_precision=cache)


def replica_counts(customer: Customer, gpus: int) -> NDArray[np.int_]:
    """List the replica counts that differ in the users each serves.

    Parameters
    ----------
    customer : Customer
        Its load and largest cluster.
    gpus : int
        GPUs of a replica.

    Returns
    -------
    ndarray of int
        Counts up to one user a replica or the largest cluster.

    Examples
    --------
    >>> from hopperbook.customer import check
    >>> replica_counts(check({"name": "A", "model": "llama-3.1-8b", "concurrency": 8}), 4).tolist()
    [1, 2, 3, 4, 8]
    """
    inside = customer.most_in_flight
    most = max(1, min(inside, customer.max_gpus // gpus - customer.spare_replicas))
    counts = np.arange(1, most + 1)
    each = -(-inside // counts)
    return counts[np.unique(each, return_index=True)[1]][::-1]


def serve(customer: Customer, d: Deployment) -> dict[str, NDArray[np.generic]] | None:
    """Time a deployment for every number of replicas.

    Parameters
    ----------
    customer : Customer
        The load.
    d : Deployment
        The replica.

    Returns
    -------
    dict or None
        Columns of equal length; None where the weights alone do not fit.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> from hopperbook.customer import check
    >>> shop = check({"name": "A", "model": "llama-3.1-8b"})
    >>> serve(shop, deploy(load(shop.model), "H100 SXM"))["replicas"][0]
    np.int64(1)
    """
    if serving.budget(d, customer.held_tokens).users < 1:
        return None
    replicas = replica_counts(customer, d.gpus)
    return {"replicas": replicas} | timed(customer, d, replicas)


def timed(customer: Customer, d: Deployment, replicas: NDArray[np.int_]) -> dict[str, NDArray[np.generic]]:
    """Read the first cut of a replica at its share of the load.

    Parameters
    ----------
    customer : Customer
        The load.
    d : Deployment
        The replica.
    replicas : ndarray of int
        Numbers of replicas among which the load is shared.

    Returns
    -------
    dict of ndarray
        Latencies, seconds; requests in flight in a replica; output tokens and requests a second of all; memory.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> from hopperbook.customer import check
    >>> shop = check({"name": "A", "model": "llama-3.1-8b"})
    >>> found = timed(shop, deploy(load(shop.model), "H100 SXM"), np.array([1, 2]))
    >>> found["users"].tolist(), (1e3 * found["tpot_s"]).round(1).tolist()  # in flight; milliseconds
    ([32, 16], [12.9, 10.0])
    """
    asked, budget = demand(customer), serving.budget(d, customer.held_tokens)
    cut = cut_of(d, asked.lengths)
    rates = np.maximum.accumulate(cut.rate_per_s)
    axis = rates if asked.rate_per_s else np.maximum.accumulate(cut.in_flight + cut.rate_per_s * asked.think_s)
    share = (asked.rate_per_s or asked.users) / replicas

    def at(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.interp(share, axis, values, right=np.inf)

    users = np.maximum(np.rint(np.minimum(at(cut.in_flight), customer.most_in_flight)), 1).astype(int)
    headroom = budget.headroom(users)
    return {
        "users": users,
        "rate_per_s": np.minimum(np.interp(share, axis, rates), share if asked.rate_per_s else np.inf) * replicas,
        "ttft_s": at(cut.ttft.mean),
        "tpot_s": at(cut.tpot.mean),
        "ttft_at_s": at(cut.ttft.at(customer.ttft_percentile)),
        "tpot_at_s": at(cut.tpot.at(customer.tpot_percentile)),
        "request_at_s": at(cut.request.at(customer.request_percentile)),
        "output_tokens_per_s": np.interp(share, axis, rates) * replicas * asked.lengths.answer,
        "fits": (headroom >= 0) & (at(cut.room_share) <= 1),
        "memory_gib": budget.used_bytes(users) / GIB,
        "headroom": np.maximum(headroom, -98.0),
    }


def table(customer: Customer, tenures: dict[str, list[Tenure]], model: Model | None = None) -> Fleet:
    """Time and price every configuration.

    Parameters
    ----------
    customer : Customer
        The load.
    tenures : dict
        Ways to have each part, from :func:`hopperbook.planner.tenure.tenures`.
    model : Model, optional
        The model; the default is the customer's.

    Returns
    -------
    Fleet
        One row a configuration: ``gpu tp precision kv_precision replicas users gpus tenure`` and its times and costs.

    Raises
    ------
    InputError
        If no part has a price.
    """
    model = model or served_model(customer)
    if not any(tenures.values()):
        raise InputError("prices", None, "a price of at least one GPU (h100_usd_per_hour and the like)")
    parts = tuple(part for part, ways in tenures.items() if ways)
    made = deployments(customer, model, parts)
    columns: list[dict[str, Any]] = []
    missing: dict[str, str] = {}
    for part in set(parts) - {d.gpu.name for d in made}:
        missing[part] = f"has no units for weights in {units.format_name(customer.precision)}; another format"
    for d in (d for d in made if d.gpus * (1 + customer.spare_replicas) <= customer.max_gpus):
        try:
            timed = serve(customer, d)
        except InputError as problem:  # no kernel of this format stands in for this part's
            missing[d.gpu.name] = f"cannot be timed ({problem}); another format"
            continue
        if timed is None:
            missing[d.gpu.name] = shortage(d, customer.held_tokens)
            continue
        for way in tenures[d.gpu.name]:
            columns.append(timed | {"deployment": d, "tenure": way})
    fitted = {c["deployment"].gpu.name for c in columns}
    missing = {part: words for part, words in missing.items() if part not in fitted}
    return Fleet(_frame(columns, customer), [c["deployment"] for c in columns], missing)


def short_of_room(customer: Customer, tenures: dict[str, list[Tenure]]) -> Configuration:
    """Return one replica on the part with most memory, to explain what does not fit anywhere.

    Parameters
    ----------
    customer : Customer
        The load.
    tenures : dict
        Ways to have each part.

    Returns
    -------
    Configuration
        Timed as if it fitted; its headroom is negative, its odds are nil.

    Examples
    --------
    >>> from hopperbook.customer import check
    >>> from hopperbook.planner.tenure import tenures as ways
    >>> big = check({"name": "A", "model": "deepseek-v3", "precision": "bf16"})
    >>> row = short_of_room(big, {"H100 SXM": ways(big, "H100 SXM")})
    >>> row.gpu, row.gpus, round(row.memory_gib)  # GiB of 80; the weights are 671e9 x 2 / 32 bytes, 39 GiB
    ('H100 SXM', 32, 44)
    """
    part = max((name for name, ways in tenures.items() if ways), key=lambda name: facts.gpu(name).memory_bytes)
    d = deployments(customer, served_model(customer), (part,))[-1]
    way = tenures[part][0]
    found = {name: values[0].item() for name, values in timed(customer, d, np.array([1])).items() if name != "fits"}
    low, usd, high = (MONTH_H * d.gpus * end for end in (way.low, way.typical, way.high))
    rate = max(found["output_tokens_per_s"], 1e-9)
    return Configuration(
        deployment=d,
        tenure=way.kind,
        replicas=1,
        gpus=d.gpus,
        billed_gpus=d.gpus,
        usd_low=low,
        usd=usd,
        usd_high=high,
        usd_per_million=1e6 * usd / (MONTH_S * customer.busy_fraction * rate),
        day_hours=24 * customer.busy_fraction,
        p_tpot=0.0,
        p_ttft=0.0,
        p_request=0.0,
        **found,
    )


def shortage(d: Deployment, held_tokens: int) -> str:
    """Say how much memory is missing on each GPU of a deployment for one user, and what would bring it back.

    Parameters
    ----------
    d : Deployment
        The deployment.
    held_tokens : int
        Tokens of one user.

    Returns
    -------
    str
        A phrase.
    """
    budget = serving.budget(d, held_tokens)
    lacking = budget.kv_user_bytes - budget.kv_room_bytes
    needed = max(1.0, lacking / GIB)
    where = f"a GPU at TP {d.tp}{f', PP {d.pp}' if d.pp > 1 else ''} in {units.format_name(d.weights)}"
    return f"needs {units.fixed(needed)} GiB more {where}; a smaller format"


def _frame(columns: list[dict[str, Any]], customer: Customer) -> pd.DataFrame:
    """Stack columns into one table and price it."""
    if not columns:
        return pd.DataFrame()
    counts = [len(c["replicas"]) for c in columns]

    def spread(values: ArrayLike) -> np.ndarray:
        return np.repeat(np.asarray(values), counts)

    names = [name for name, values in columns[0].items() if isinstance(values, np.ndarray)]
    stacked = {name: np.concatenate([c[name] for c in columns]) for name in names}
    for name in names:  # no choice hangs on bits that processors disagree on
        stacked[name] = np.round(stacked[name], 12) if name.endswith("_s") else stacked[name]
    made = [c["deployment"] for c in columns]
    ways = [c["tenure"] for c in columns]
    fixed = {
        "gpu": spread([d.gpu.name for d in made]),
        "tp": spread([d.tp for d in made]),
        "precision": spread([d.weights for d in made]),
        "kv_precision": spread([d.kv_precision for d in made]),
        "tenure": spread([w.kind for w in ways]),
        "row": spread(list(range(len(columns)))),
    }
    each = spread([d.gpus for d in made])
    gpus = (stacked["replicas"] + customer.spare_replicas) * each
    paid = billed(gpus, fixed["tenure"])
    servers = [(way, -(-d.gpus // 8)) for way, d in zip(ways, made, strict=True)]
    month = {}
    for end in ("low", "typical", "high"):
        hourly = {each: each[0].usd_per_hour(end, each[1]) for each in dict.fromkeys(servers)}
        month[end] = np.round(paid * spread([hourly[each] for each in servers]) * MONTH_H, 6)
    limit = spread([w.limit for w in ways])
    slow = spread([hpc.slowdown(d.gpu) if customer.hpc_hours_per_day else 0.0 for d in made])
    served = served_gpu_hours(customer, stacked["replicas"], each)
    day_hours = (served + customer.hpc_hours_per_day * slow * 8) / gpus
    priced = {
        "gpus": gpus,
        "billed_gpus": paid,
        "usd_low": month["low"],
        "usd": month["typical"],
        "usd_high": month["high"],
        "day_hours": day_hours,
        "available": ((limit == 0) | (gpus <= limit)) & (day_hours <= 24),
        "usd_per_million": 1e6 * month["typical"] / (MONTH_S * customer.busy_fraction * stacked["output_tokens_per_s"]),
    }
    return pd.DataFrame(fixed | stacked | priced)
