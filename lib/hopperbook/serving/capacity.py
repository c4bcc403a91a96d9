"""How many tokens the cache of a replica holds."""

from __future__ import annotations

from hopperbook import memory
from hopperbook.models import kv_bytes
from hopperbook.serving.deployment import Deployment, without_windows


def kv_capacity_bytes(d: Deployment) -> float:
    """Return the bytes that one GPU has for the KV cache; 0 where the weights do not fit.

    Parameters
    ----------
    d : Deployment
        The deployment.

    Returns
    -------
    float
        Bytes on one GPU.
    """
    weights = memory.rank_weight_bytes(
        d.model, d.precision, tp=d.attention_tp, pp=d.pp, ep=d.tp, moe_precision=d.moe_precision
    )
    step = memory.step_activation_bytes(d.model, d.engine.step_tokens, tp=d.attention_tp, group=d.attention_dp)
    used = weights + step + d.engine.reserve_bytes
    if d.engine.kv_of_free:
        return max(0.0, d.engine.kv_fraction * (d.gpu.memory_bytes - used))
    return max(0.0, d.engine.kv_fraction * d.gpu.memory_bytes - used + 0.5 * d.engine.reserve_bytes)


def kv_capacity_tokens(d: Deployment, tokens_each: float = 4096) -> float:
    r"""Tokens that the cache of a replica holds.

    .. math:: T = \phi\,(C - B_w - B_a - B_r) / \mathrm{kv\ bytes\ a\ token\ and\ GPU}

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
    >>> from hopperbook.serving import deploy
    >>> from hopperbook.models import load
    >>> 300e3 < kv_capacity_tokens(deploy(load("llama-3.1-8b"), "H100 SXM", precision="bf16")) < 500e3
    True
    """
    held = d.model if d.engine.window_cache else without_windows(d.model)
    each = float(kv_bytes(held, tokens_each, d.kv_precision)) / tokens_each
    each *= memory.kv_copies(d.model, d.attention_tp) / (d.attention_tp * d.pp)
    return kv_capacity_bytes(d) / each * d.attention_dp
