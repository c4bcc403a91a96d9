"""What a replica holds: the one budget of weights, activations, runtime and cache, as its engine keeps it."""

from __future__ import annotations

from functools import lru_cache

from hopperbook import memory
from hopperbook.models import kv_bytes_per_token, without_windows
from hopperbook.serving.deployment import Deployment


@lru_cache(maxsize=4096)
def budget(d: Deployment, context_tokens: float) -> memory.Budget:
    r"""Work out what one GPU of a replica holds, and the room it leaves for caches.

    .. math:: B_\mathrm{kv} = \phi\,C - B_w - B_a - B_r \quad\text{or}\quad \phi\,(C - B_w - B_a - B_r)

    the second for engines that take their share of what is free once weights are loaded.

    Parameters
    ----------
    d : Deployment
        The replica.
    context_tokens : float
        Tokens that a user holds, prompt and answer.

    Returns
    -------
    Budget
        Bytes on one GPU: capacity C, weights, activations of a step, runtime (graphs, workspaces, communicators), what
        the engine keeps free, and the cache of a user.

    Notes
    -----
    Source: ``kwon-2023-vllm`` for the paged cache that makes whole use of the room.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> from hopperbook.serving import deploy
    >>> llama = load("llama-3.1-70b")
    >>> budget(deploy(llama, "H200 SXM", precision="bf16"), 4096).users  # 141 GB of weights on a card of 151
    0
    >>> budget(deploy(llama, "H200 SXM", precision="fp8"), 4096).users
    44
    """
    tp, engine, model = d.attention_tp, d.engine, d.model
    weights = memory.rank_weight_bytes(model, d.precision, tp=tp, pp=d.pp, ep=d.tp, moe_precision=d.moe_precision)
    step = memory.step_activation_bytes(model, engine.step_tokens, tp=tp, group=d.attention_dp)
    capacity = d.gpu.memory_bytes
    kept_of = max(capacity - weights - step - engine.runtime_bytes, 0.0) if engine.kv_of_free else capacity
    held = model if engine.window_cache else without_windows(model)
    copies = memory.kv_copies(model, tp) / (tp * d.pp)
    return memory.Budget(
        capacity_bytes=capacity,
        reserve_bytes=engine.reserve_bytes or (1 - engine.kv_fraction) * kept_of,
        weights_bytes=weights,
        activations_bytes=step,
        runtime_bytes=engine.runtime_bytes,
        kv_bytes_per_token=kv_bytes_per_token(held, d.kv_precision) * copies,
        kv_user_bytes=memory.rank_cache_bytes(held, context_tokens, d.kv_precision, tp=tp, pp=d.pp),
        groups=d.attention_dp,
    )


def kv_capacity_tokens(d: Deployment, tokens_each: float = 4096) -> float:
    r"""Tokens that the cache of a replica holds.

    .. math:: T = B_\mathrm{kv} / \mathrm{kv\ bytes\ a\ token\ and\ GPU}

    Parameters
    ----------
    d : Deployment
        The deployment.
    tokens_each : float
        Length of a sequence (matters only where some layers slide).

    Returns
    -------
    float
        Tokens over all sequences of the replica.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> from hopperbook.serving import deploy
    >>> round(kv_capacity_tokens(deploy(load("llama-3.1-8b"), "H100 SXM", precision="bf16")), -3)
    445000.0
    """
    b = budget(d, tokens_each)
    return max(b.kv_room_bytes, 0.0) / b.kv_user_bytes * tokens_each * b.groups
