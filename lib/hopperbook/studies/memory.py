"""What the chapter on memory computes: whether a replica holds its users, what else would, and what training needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from hopperbook import facts, memory, serving
from hopperbook.customer import Customer
from hopperbook.models import (
    Model,
    cache_bytes,
    kv_bytes_per_token,
    load,
    parameters,
    recurrent_state_bytes,
    weight_bytes,
)
from hopperbook.planner import counterpart
from hopperbook.sizing import attention_kind
from hopperbook.studies.serving import neighbours
from hopperbook.units import GIB, KIB, MIB

#: The least headroom that is advised.
LEAST_HEADROOM = 0.05
#: Parts of a replica's memory, in the order in which they are stacked.
PARTS = ("weights", "KV cache", "activations", "runtime", "kept free")
CONTEXT_TOKENS = (2048, 4096, 8192, 16384, 32768, 65536, 131072)
MOST_CONTEXTS = 7
#: Models whose caches differ in kind, and the length at which they are compared.
KINDS = (
    "meta-llama/Llama-2-13b-hf",
    "meta-llama/Llama-3.1-8B",
    "meta-llama/Llama-3.3-70B-Instruct",
    "google/gemma-2-27b",
    "openai/gpt-oss-120b",
    "google/gemma-4-26B-A4B",
    "deepseek-ai/DeepSeek-V3",
    "deepseek-ai/DeepSeek-V3.2",
    "deepseek-ai/DeepSeek-V4-Pro",
    "Qwen/Qwen3.5-35B-A3B",
    "nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16",
)
KINDS_TOKENS, LONG_TOKENS = 32768, 131072
#: Models whose caches are drawn as they grow: every head its own, groups, windows, latent, compressed, recurrent.
DRAWN_KINDS = tuple(KINDS[i] for i in (0, 1, 4, 6, 8, 10))
#: Ways to train on one server: task, sharding, recompute.
WAYS = (
    ("pretrain", "none", "none"),
    ("pretrain", "zero1", "none"),
    ("pretrain", "zero2", "selective"),
    ("pretrain", "zero3", "selective"),
    ("pretrain", "zero3", "full"),
    ("lora", "zero3", "full"),
)
SHARDED = {"none": "nothing sharded", "zero1": "ZeRO-1", "zero2": "ZeRO-2", "zero3": "ZeRO-3"}
REDONE = {"none": "nothing recomputed", "selective": "attention recomputed", "full": "all recomputed"}
SERVER_GPUS, GRADIENT_BYTES = 8, 2.0
ADAM_BYTES_PER_PARAMETER = 16
STATES_SHARE = 0.7  # of a server's memory that states may take, so that a run has room beside them


def budget(customer: Customer, gpu: str, tp: int, precision: str, kv_precision: str) -> memory.Budget:
    """Work out what one GPU of a replica of the customer's model holds.

    Parameters
    ----------
    customer : Customer
        Its model, and the tokens that a user holds.
    gpu : str
        Name of the part.
    tp : int
        GPUs of the replica.
    precision, kv_precision : str
        Formats of weights and cache.

    Returns
    -------
    Budget
        Bytes on one GPU.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> [budget(default(), "H100 SXM", 4, "fp8", kv).users for kv in ("fp8", "bf16")]
    [168, 84]
    """
    d = serving.deploy(load(customer.model), gpu, tp=tp, precision=precision, kv_precision=kv_precision)
    return serving.budget(d, customer.held_tokens)


class Fit(NamedTuple):
    """How well the users of a replica fit: bytes of cache on each GPU, the share of the room left, the longest text.

    ``weights_tokens`` is how many tokens a user must hold for the cache to weigh as much as the weights.
    """

    needed_bytes: float
    free_bytes: float
    headroom: float
    largest_context_tokens: int
    weights_tokens: float


def fit(held: memory.Budget, users: int, context_tokens: int) -> Fit:
    r"""Say how well users fit into a replica.

    .. math:: h = 1 - \frac{u B_\mathrm{kv}}{B_\mathrm{room}}

    Parameters
    ----------
    held : Budget
        What one GPU holds; its cache of a user is B_kv, its room for caches B_room.
    users : int
        Users of the replica, u.
    context_tokens : int
        Tokens that each holds.

    Returns
    -------
    Fit
        A headroom below 0 where they do not fit.

    Examples
    --------
    >>> held = memory.Budget(80e9, 8e9, 20e9, 1e9, 1e9, 1e5, 5e8)
    >>> fit(held, 50, 5000).headroom, fit(held, 50, 5000).largest_context_tokens
    (0.5, 10000)
    """
    needed, room = users * held.kv_user_bytes, held.kv_room_bytes
    return Fit(
        needed_bytes=needed,
        free_bytes=room - needed,
        headroom=held.headroom(users),
        largest_context_tokens=int(room / users / held.kv_user_bytes * context_tokens),
        weights_tokens=context_tokens * held.weights_bytes / max(needed, 1),
    )


class Replica(NamedTuple):
    """A replica to stack: a part, how many of it, and the formats of weights and cache."""

    gpu: str
    tp: int
    precision: str
    kv_precision: str

    @property
    def name(self) -> str:
        """Its GPUs in words."""
        return f"{self.tp} × {self.gpu}" if self.tp > 1 else self.gpu


def replicas(customer: Customer, tp: int) -> list[Replica]:
    """List replicas to hold side by side: each part that the book draws, and the newer ones with half the GPUs.

    Parameters
    ----------
    customer : Customer
        Its model.
    tp : int
        GPUs of the customer's replica.

    Returns
    -------
    list of Replica
        With weights in the eight bits that the part multiplies, and the cache in FP8, as the plan tries them.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> [(replica.gpu, replica.precision) for replica in replicas(default(), 2)][:2]
    [('A100 SXM 80GB', 'int8'), ('H100 SXM', 'fp8')]
    """
    model = load(customer.model)
    newer = [name for name in facts.drawn() if facts.gpu(name).transformer_engine]
    sizes = [(name, tp) for name in facts.drawn()]
    sizes += [(name, tp // 2) for name in reversed(newer)] if tp > 1 else []
    return [Replica(name, gpus, counterpart("fp8", facts.gpu(name), model), "fp8") for name, gpus in sizes]


def stack(customer: Customer, options: Sequence[Replica], users: int) -> pd.DataFrame:
    """Stack what replicas hold under a number of users.

    Parameters
    ----------
    customer : Customer
        Its model and lengths.
    options : sequence of Replica
        One bar each.
    users : int
        Users of each.

    Returns
    -------
    DataFrame
        ``item part gib capacity_gib fits``: one row a replica and part of its memory, GiB over all of its GPUs.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> bars = stack(default(), replicas(default(), 4), 64)
    >>> bars[bars["item"] == "4 × H100 SXM"].set_index("part").gib.round(1).to_dict()  # 64 x 8,192 x 160 KiB of cache
    {'weights': 67.7, 'KV cache': 80.0, 'activations': 3.0, 'runtime': 5.6, 'kept free': 31.9}
    """
    rows = []
    for replica in options:
        b = budget(customer, *replica)
        held = (b.weights_bytes, users * b.kv_user_bytes, b.activations_bytes, b.runtime_bytes, b.reserve_bytes)
        capacity = replica.tp * b.capacity_bytes / GIB
        for part, size in zip(PARTS, held, strict=True):
            rows.append((replica.name, part, replica.tp * size / GIB, capacity, b.users >= users))
    return pd.DataFrame(rows, columns=["item", "part", "gib", "capacity_gib", "fits"])


def totals(stacked: pd.DataFrame) -> pd.DataFrame:
    """Add up each bar of a stack and hold it against its capacity.

    Parameters
    ----------
    stacked : DataFrame
        From :func:`stack`.

    Returns
    -------
    DataFrame
        ``used capacity fits`` by item, GiB.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> found = totals(stack(default(), replicas(default(), 4), 64))
    >>> found.round(0).loc[["4 × H100 SXM", "2 × H100 SXM"]].values.tolist()
    [[188.0, 319.0, True], [169.0, 159.0, False]]
    """
    found = stacked.groupby("item", sort=False).agg(used=("gib", "sum"), capacity=("capacity_gib", "first"))
    return found.assign(fits=found.used <= found.capacity)


def used_share(held: memory.Budget, model: Model, users: int, context_tokens: int, counted_tokens: int) -> float:
    r"""Return the share of the memory an engine may fill that users of some length fill.

    .. math:: \frac{B_w + B_a + B_r + u\, B_\mathrm{kv}\, \mathrm{kv}(t) / \mathrm{kv}(t_0)}{C - B_\mathrm{free}}

    Parameters
    ----------
    held : Budget
        What one GPU holds; its cache of a user is that of the counted length, t_0.
    model : Model
        The model: layers with a window keep no more than it.
    users : int
        Users of the replica, u.
    context_tokens, counted_tokens : int
        Tokens that each holds, t, and those that the budget was made for.

    Returns
    -------
    float
        1 where it is full.

    Examples
    --------
    >>> held = memory.Budget(80e9, 8e9, 20e9, 1e9, 1e9, 1e5, 5e8)
    >>> used_share(held, load("llama-3.1-8b"), 100, 5000, 5000)
    1.0
    """
    grown, before = float(context_tokens), float(counted_tokens)  # of an encoder, the hidden states of a text
    if not model.encoder:
        grown, before = float(cache_bytes(model, context_tokens)), float(cache_bytes(model, counted_tokens))
    cache = users * held.kv_user_bytes * grown / before
    fixed = held.capacity_bytes - held.kv_room_bytes - held.reserve_bytes
    return (fixed + cache) / (held.capacity_bytes - held.reserve_bytes)


def fit_map(held: memory.Budget, model: Model, users: int, context_tokens: int) -> pd.DataFrame:
    """Lay out what a replica holds by users and by the tokens of each, around a load.

    Parameters
    ----------
    held : Budget
        What one GPU holds at the load's length.
    model : Model
        The model, and its limit.
    users, context_tokens : int
        The load.

    Returns
    -------
    DataFrame
        ``x y share``: users, tokens of each, share of the memory that the engine may fill.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> shop = default()
    >>> grid = fit_map(budget(shop, "H100 SXM", 4, "fp8", "fp8"), load(shop.model), 64, shop.held_tokens)
    >>> grid[grid.x == 64].set_index("y").share.round(2).loc[2048:32768].to_dict()
    {2048: 0.34, 4096: 0.41, 8192: 0.54, 16384: 0.82, 32768: 1.38}
    """
    within = [n for n in CONTEXT_TOKENS if not model.context_limit or n <= model.context_limit]
    contexts = sorted({*within, context_tokens})[:MOST_CONTEXTS]
    return pd.DataFrame(
        [
            {"x": n, "y": tokens, "share": used_share(held, model, n, tokens, context_tokens)}
            for n in neighbours(users)
            for tokens in contexts
        ]
    )


def cache_kinds(customer: Customer) -> pd.DataFrame:
    """Count the cache of a token, and of two lengths, by architecture.

    Parameters
    ----------
    customer : Customer
        The model served, which is the first row.

    Returns
    -------
    DataFrame
        ``model attention kib gib32 gib131 gib32_fp8 state weights``: KiB a token in 16 bits while every layer sees it,
        GiB of one sequence in 16 bits and in FP8, MiB of recurrent state, GiB of weights in BF16.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> kinds = cache_kinds(default()).set_index("model")
    >>> float(kinds.kib["meta-llama/Llama-3.1-8B"]), kinds.attention["deepseek-ai/DeepSeek-V3"]
    (128.0, 'MLA')
    >>> round(float(kinds.state["nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16"]), 1)  # MiB, at any length
    47.1
    """
    rows = []
    for name in dict.fromkeys((customer.model, *KINDS)):
        model = load(name)
        rows.append(
            {
                "model": name,
                "attention": attention_kind(model),
                "kib": kv_bytes_per_token(model) / KIB,
                "gib32": float(cache_bytes(model, KINDS_TOKENS)) / GIB,
                "gib131": float(cache_bytes(model, LONG_TOKENS)) / GIB,
                "gib32_fp8": float(cache_bytes(model, KINDS_TOKENS, "fp8")) / GIB,
                "state": recurrent_state_bytes(model) / MIB,
                "weights": weight_bytes(model, "bf16") / GIB,
            }
        )
    return pd.DataFrame(rows)


def cache_growth() -> pd.DataFrame:
    """Follow the cache of one sequence as it grows, by architecture.

    Returns
    -------
    DataFrame
        ``x y series``: tokens, GiB in 16 bits, model.

    Examples
    --------
    >>> grown = cache_growth().set_index(["series", "x"]).y
    >>> name = "nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16"
    >>> [round(float(grown[name, n]), 3) for n in (1024, 131072)]  # most of the first is state
    [0.052, 0.796]
    """
    lengths = [2**i for i in range(10, 18)]
    rows = [
        {"x": n, "y": float(cache_bytes(load(name), n)) / GIB, "series": name} for name in DRAWN_KINDS for n in lengths
    ]
    return pd.DataFrame(rows)


def unshared_bytes_per_token(model: Model) -> float:
    r"""Return the cache of a token in 16 bits if every head kept its own keys and values.

    .. math:: 2 \cdot 2 \, L \, a \, d_v

    Parameters
    ----------
    model : Model
        The model, of L layers with a heads of size d_v.

    Returns
    -------
    float
        Bytes.

    Examples
    --------
    >>> unshared_bytes_per_token(load("llama-3.1-8b")) / kv_bytes_per_token(load("llama-3.1-8b"))
    4.0
    """
    return 2.0 * 2 * model.layers * model.heads * model.v_dim


def training_table(customer: Customer) -> pd.DataFrame:
    """Lay out the peak of a training run on one server of eight GPUs, by task, sharding and recompute.

    Parameters
    ----------
    customer : Customer
        The model trained and the length of a sequence, one at a time.

    Returns
    -------
    DataFrame
        ``way states activations total fits fits200``: GiB a GPU, and whether they fit the newest part that the book
        draws (``fits200``) and the one before it (``fits``).

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> table = training_table(default())
    >>> table.states.iloc[:4].round().tolist()  # whole: 16 bytes x 70.55e9 = 1,051 GiB; then ZeRO 1, 2 and 3 over 8
    [1051.0, 361.0, 246.0, 135.0]
    """
    model, rows = load(customer.trained_model), []
    before, newest = (facts.gpu(gpu).memory_bytes for gpu in facts.drawn()[-2:])
    for task, sharding, recompute in WAYS:
        peak = memory.peak(
            model,
            seq_len=customer.training_sequence_tokens,
            dp=SERVER_GPUS,
            sharding=sharding,
            recompute=recompute,
            task=task,
            adapter_parameters=memory.ADAPTER_PARAMETERS,
            gradient_bytes=GRADIENT_BYTES,
        )
        sizes = [float(size) for size in (peak.states_bytes, peak.activations_bytes, peak.total_bytes)]
        fits = ["yes" if sizes[-1] <= room else "no" for room in (before, newest)]
        what = "all weights" if task == "pretrain" else "adapters"
        rows.append((f"{what}, {SHARDED[sharding]}, {REDONE[recompute]}", *(size / GIB for size in sizes), *fits))
    return pd.DataFrame(rows, columns=["way", "states", "activations", "total", "fits", "fits200"])


class States(NamedTuple):
    """Adam's states of a model against the memory of one server of each of two parts.

    ``held_by`` counts the parts whose server holds them: 2 with room for a run, 1 the newest alone, 0 neither.
    """

    states_bytes: float
    before_bytes: float
    newest_bytes: float
    held_by: int


def adam_states(customer: Customer) -> States:
    """Hold Adam's states of the model trained against one server of the two newest parts that the book draws.

    Parameters
    ----------
    customer : Customer
        The model trained.

    Returns
    -------
    States
        Bytes.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> found = adam_states(default().model_copy(update={"training_model": "meta-llama/Llama-3.1-8B"}))
    >>> round(found.states_bytes / GIB), found.held_by
    (120, 2)
    """
    states = ADAM_BYTES_PER_PARAMETER * parameters(load(customer.trained_model))
    before, newest = (SERVER_GPUS * facts.gpu(gpu).memory_bytes for gpu in facts.drawn()[-2:])
    held_by = 2 if states < STATES_SHARE * before else int(states < newest)
    return States(states, before, newest, held_by)
