"""Seconds of a training step's communication that computation does not hide.

Tensor, context and expert parallel traffic inside layers; transfers between pipeline stages; data-parallel reductions
and gathers, bucketed or layer by layer.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from hopperbook import facts
from hopperbook.kernels import collectives
from hopperbook.memory.training import sharding_stage
from hopperbook.models import Model
from hopperbook.training.layer import Floats, Framework, Ints

GPUS_PER_NODE = 8


def _inside_node(inner: ArrayLike) -> Ints:
    """Ranks of a group that share a node with ``inner`` other ranks each."""
    return np.maximum(1, GPUS_PER_NODE // np.maximum(np.asarray(inner, dtype=np.int64), 1))


def _collective(op: str, bytes_: Floats, ranks: Ints, gpu: facts.GPU, inner: ArrayLike, fabric: str | None) -> Floats:
    """Seconds of a collective whose ranks share nodes with ``inner`` model-parallel ones each."""
    per_node = _inside_node(inner)
    return collectives.collective_s(op, bytes_, ranks, gpu, fabric=fabric, gpus_per_node=per_node).seconds  # type: ignore[arg-type]


def tensor_parallel_s(
    model: Model, gpu: facts.GPU, f: Framework, tokens: Floats, tp: Ints, *, precision: str, task: str, recompute: str,
    sequence_parallel: bool, fabric: str | None,
) -> Floats:  # fmt: skip
    """Time a layer's tensor-parallel traffic that stays exposed, forward and backward.

    Parameters
    ----------
    model, gpu, f
        Model, part, constants.
    tokens, tp : array
        Tokens of a micro-batch on a rank, and tensor-parallel ranks.
    precision, task, recompute : str
        All-gathers move FP8 where GEMMs read it; LoRA hides nothing; full recomputation repeats an exchange.
    sequence_parallel : bool
        All-gathers and reduce-scatters instead of all-reduces.
    fabric : str, optional
        Between nodes.

    Returns
    -------
    array
        Seconds a layer and micro-batch.
    """
    if not np.any(tp > 1):
        return np.zeros_like(tokens, dtype=float)
    size = 2.0 * tokens * model.hidden
    if sequence_parallel:
        gathered = size / 2 if precision.startswith("fp8") else size
        one = _collective("all_gather", gathered, tp, gpu, 1, fabric)
        one = one + _collective("reduce_scatter", size, tp, gpu, 1, fabric)
    else:
        one = _collective("all_reduce", size, tp, gpu, 1, fabric)
    passes = 4.0 + (1.5 if recompute == "full" else 0.0)
    exposed = 1.0 if task == "lora" else f.tp_exposed
    return np.where(tp > 1, passes * exposed * one, 0.0)


def context_parallel_s(model: Model, gpu: facts.GPU, tokens: Floats, cp: Ints, tp: Ints, attention: Floats) -> Floats:
    """Time the exchange of keys and values that attention does not hide, a layer and micro-batch.

    Parameters
    ----------
    model, gpu
        Model and part.
    tokens, cp, tp : array
        Tokens of a rank, context and tensor parallel ranks.
    attention : array
        Seconds of the layer's attention, both ways.

    Returns
    -------
    array
        Seconds.
    """
    if not np.any(cp > 1):
        return np.zeros_like(attention)
    size = 4.0 * tokens * np.maximum(1, model.kv_heads // tp) * model.head_dim
    one = collectives.collective_s("p2p", size, 2, gpu).seconds
    return np.where(cp > 1, np.maximum(0.0, 3 * (cp - 1) * one - attention), 0.0)


def expert_parallel_s(
    model: Model, gpu: facts.GPU, f: Framework, tokens: Floats, ep: Ints, tp: Ints, expert_tp: Ints, fabric: str | None
) -> Floats:
    r"""Time sending tokens to their experts and back, forward and backward, a layer and micro-batch.

    .. math:: c = N \left(1 - (1 - 1/N)^k\right)

    of k copies of a token cross the network when its experts stand on N nodes: each node gets it once and hands it on.

    Parameters
    ----------
    model, gpu, f
        Model, part, constants.
    tokens, ep, tp, expert_tp : array
        Tokens of a rank, expert ranks, tensor-parallel ranks of attention and of experts.
    fabric : str, optional
        Between nodes.

    Returns
    -------
    array
        Seconds.

    Notes
    -----
    Source: ``deepseek-v3-2024`` (each node gets a token once).
    """
    if not model.experts:
        return np.zeros_like(tokens, dtype=float)
    size = 2.0 * tokens / tp * model.hidden * model.experts_per_token
    nodes = np.maximum(ep * expert_tp / GPUS_PER_NODE, 1.0)
    copies = nodes * (1 - (1 - 1 / nodes) ** model.experts_per_token)
    sent = np.where(nodes > 1, np.minimum(copies / model.experts_per_token, 1.0), 1.0) * size
    one = _collective("all_to_all", sent, ep, gpu, expert_tp, fabric)
    rows = tokens / tp * model.experts_per_token
    one = np.where(ep > 1, np.maximum(one, rows / f.dispatch_rows_per_s), 0.0)
    inside = _collective("all_gather", size * expert_tp, expert_tp, gpu, 1, fabric)
    return 4.0 * (one + np.where(expert_tp > 1, inside, 0.0)) * model.moe_layers / model.layers


def pipeline_s(
    model: Model, gpu: facts.GPU, f: Framework, tokens: Floats, *, tp: Ints, pp: Ints, vpp: Ints, micro_batches: Ints,
    inner: Ints, sequence_parallel: bool, fabric: str | None,
) -> Floats:  # fmt: skip
    """Time sending activations between stages that the schedule does not hide.

    Parameters
    ----------
    model, gpu, f
        Model, part, constants.
    tokens, tp, pp, vpp, micro_batches, inner : array
        Tokens of a rank; ranks, chunks, micro-batches; GPUs that one stage takes.
    sequence_parallel : bool
        Each rank sends its share of the tokens.
    fabric : str, optional
        Between nodes.

    Returns
    -------
    array
        Seconds a step.
    """
    if not np.any(pp > 1):
        return np.zeros_like(tokens, dtype=float)
    size = 2.0 * tokens * model.hidden / np.where(sequence_parallel, tp, 1)
    inside = collectives.collective_s("p2p", size, 2, gpu).seconds
    across = collectives.collective_s("p2p", size, 16, gpu, fabric=fabric).seconds
    one = np.where(pp * inner > GPUS_PER_NODE, across, inside)
    steady = 2 * micro_batches * np.maximum(vpp, 1)
    return np.where(pp > 1, one * (2 * (pp - 1) + f.p2p_exposed * steady), 0.0)


def data_parallel_s(
    gpu: facts.GPU, f: Framework, held: Floats, *, layers: Floats, ranks: Ints, shard_ranks: Ints, tp: Ints,
    micro_batches: Ints, stage_s: Floats, sharding: str, task: str, fabric: str | None,
) -> Floats:  # fmt: skip
    """Time data-parallel traffic that computation does not hide.

    Parameters
    ----------
    gpu, f
        Part, constants.
    held, layers : array
        Parameters and layers of a model-parallel rank.
    ranks, shard_ranks, tp, micro_batches : array
        Ranks that hold the same parameters, those that share states, tensor-parallel ranks, micro-batches.
    stage_s : array
        Seconds of one micro-batch on the rank, which traffic hides behind.
    sharding, task : str
        As in :func:`hopperbook.training.step`.
    fabric : str, optional
        Between nodes.

    Returns
    -------
    array
        Seconds a step.
    """
    if task == "lora" or not np.any(ranks > 1):
        return np.zeros_like(stage_s)
    zero, g = sharding_stage(sharding), f.gradient_comm_bytes
    if zero >= 2 and f.fsdp_exposed:
        shard = np.minimum(shard_ranks, ranks)
        gather = _collective("all_gather", 2.0 * held, shard, gpu, tp, fabric)
        scatter = _collective("reduce_scatter", g * held, shard, gpu, tp, fabric)
        traffic, hidden = micro_batches * ((zero - 1) * gather + scatter), micro_batches * stage_s
        exposed = f.fsdp_exposed * np.minimum(traffic, hidden) + np.maximum(0.0, traffic - hidden)
        copies = np.maximum(1, ranks // shard)
        rest = _collective("all_reduce", g * held / shard, copies, gpu, GPUS_PER_NODE, fabric)
        away = np.maximum(0, shard - _inside_node(tp))
        exposed = exposed + f.hop_latency_s * away * micro_batches * layers * zero
        return np.where(ranks > 1, exposed + np.where(copies > 1, f.fsdp_exposed * rest, 0.0), 0.0)
    traffic = _collective("reduce_scatter" if zero else "all_reduce", g * held, ranks, gpu, tp, fabric)
    if zero:
        traffic = traffic + _collective("all_gather", 2.0 * held, np.minimum(shard_ranks, ranks), gpu, tp, fabric)
    exposed = np.maximum(f.dp_exposed * traffic, traffic - stage_s)
    return np.where(ranks > 1, exposed + f.bucket_latency_s * np.minimum(shard_ranks, ranks), 0.0)
