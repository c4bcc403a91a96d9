"""Steady states of continuous batching, and the highest throughput of a replica."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hopperbook.serving.capacity import kv_capacity_tokens
from hopperbook.serving.deployment import Deployment, with_engine
from hopperbook.serving.step import Floats, decode_step_s, mixed_step_s


@dataclass(frozen=True)
class Steady:
    """Steady states of continuous batching, one entry a batch."""

    batch: Floats
    output_tokens_per_s: Floats
    tpot_s: Floats
    fits: NDArray[np.bool_]


def sweep(d: Deployment, input_tokens: float, output_tokens: float, batch: ArrayLike | None = None) -> Steady:
    r"""Work out steady state for many batches at once: prompts arrive as fast as answers end.

    .. math:: t_\mathrm{request} = o\, t_\mathrm{decode}(b) + b\, t_\mathrm{prefill},\qquad
              \mathrm{rate} = b\,o / t_\mathrm{request}

    Parameters
    ----------
    d : Deployment
        The deployment.
    input_tokens, output_tokens : float
        Lengths.
    batch : array, optional
        Batches to try; the default is every whole number up to 64, then 2 % apart up to the engine's limit.

    Returns
    -------
    Steady
        Throughput and TPOT for each batch, and whether it fits.

    Examples
    --------
    >>> from hopperbook.serving import deploy
    >>> from hopperbook.models import load
    >>> d = deploy(load("llama-3.1-8b"), "H100 SXM", precision="bf16", engine_name="TensorRT-LLM")
    >>> s = sweep(d, 1024, 256, [8, 64])
    >>> (1e3 * s.tpot_s).round(1).tolist()  # milliseconds; TensorRT-LLM 1.0 measured: 7.5, 15.2
    [8.0, 16.0]
    >>> s.output_tokens_per_s.round(-1).tolist()
    [1000.0, 3990.0]
    """
    if batch is None:
        top = d.engine.max_batch * d.attention_dp
        batch = np.unique(np.r_[np.arange(1, 65), np.round(64 * 1.02 ** np.arange(1, 300))])
        batch = batch[batch <= top]
    b = np.asarray(batch, float)
    tokens = input_tokens + output_tokens
    fits = b * tokens <= kv_capacity_tokens(d, tokens)
    context = input_tokens + output_tokens / 2
    decode = decode_step_s(d, b, context)
    prompt = _prompt_cost_s(d, b, context, input_tokens)
    step = decode + b * prompt / output_tokens
    return Steady(b, b / step, step, fits)


def _prompt_cost_s(d: Deployment, batch: Floats, context: float, input_tokens: float) -> Floats:
    """Seconds a prompt adds to the step that carries it: as many whole prompts a step as the budget holds.

    Pipeline stages read different prompts at a time: each passes one on while the others work.
    """
    budget = max(d.engine.step_tokens, input_tokens if d.engine.whole_prompts else 1.0)
    each = np.maximum(np.floor(budget / input_tokens), 1.0) * d.attention_dp
    count = np.minimum(each, np.maximum(np.asarray(batch) / 4, 1.0))
    carried = mixed_step_s(d, batch, context, count * input_tokens, count)
    return (carried - decode_step_s(d, batch, context)) / (count * d.pp)


@lru_cache(maxsize=1024)
def unstreamed(d: Deployment) -> Deployment:
    """Return the deployment without the front end and the host's time a sequence: offline, no client waits for tokens.

    Parameters
    ----------
    d : Deployment
        The deployment.

    Returns
    -------
    Deployment
        The same with those constants zero.
    """
    return with_engine(d, sequence_s=0.0, frontend_s=0.0, tokenise_s=0.0)


def offline(d: Deployment, input_tokens: float, output_tokens: float, requests: int | None = None) -> tuple[float, int]:
    r"""Return the highest throughput and the batch that reaches it, under the KV memory and batch limits.

    .. math:: \frac{N\,o}{\lfloor N / S \rfloor\, t(S) + t(N \bmod S)},\qquad t(b) = o\,t_\mathrm{decode}(b)
              + b\,t_\mathrm{prefill}

    for N requests that are queued at once, S of which fit; the last of them run in a smaller batch.

    Parameters
    ----------
    d : Deployment
        The deployment.
    input_tokens, output_tokens : float
        Lengths.
    requests : int, optional
        Requests of the whole run, N; without it the steady state of endlessly many.

    Returns
    -------
    output_tokens_per_s, batch : float and int
        Of one replica; (0, 0) where not one sequence fits.

    Examples
    --------
    >>> from hopperbook.serving import deploy
    >>> from hopperbook.models import load
    >>> d = deploy(load("llama-3.1-8b"), "H100 SXM", precision="fp8", engine_name="TensorRT-LLM")
    >>> rate, batch = offline(d, 1000, 1000, requests=3000)
    >>> round(rate, -2), batch  # tokens/s and sequences; NVIDIA published 15,220 tokens/s
    (14900.0, 503)
    """
    slots = int(min(d.engine.max_batch * d.attention_dp, kv_capacity_tokens(d, input_tokens + output_tokens)
                    // (input_tokens + output_tokens)))  # fmt: skip
    if slots < 1:
        return 0.0, 0
    d = unstreamed(d)
    if requests:
        batch = min(slots, requests)
        waves, rest = divmod(requests, batch)
        full, last = sweep(d, input_tokens, output_tokens, [batch, max(rest, 1)]).output_tokens_per_s
        seconds = output_tokens * (waves * batch / full + rest / last)
        return float(requests * output_tokens / seconds), batch
    found = sweep(d, input_tokens, output_tokens, np.unique(np.linspace(1, slots, 64).astype(int)))
    best = int(np.argmax(np.round(found.output_tokens_per_s, 6)))
    return float(found.output_tokens_per_s[best]), int(found.batch[best])


@lru_cache(maxsize=4096)
def fastest_layout(d: Deployment, input_tokens: float, output_tokens: float, requests: int | None = None) -> Deployment:
    """Return the layout of experts and attention over the same GPUs that has the highest offline throughput.

    Parameters
    ----------
    d : Deployment
        A Mixture-of-Experts deployment.
    input_tokens, output_tokens : float
        Lengths.
    requests : int, optional
        As in :func:`offline`.

    Returns
    -------
    Deployment
        The fastest that fits; the one given where none does.
    """
    rates = [offline(trial, input_tokens, output_tokens, requests)[0] for trial in _layouts(d)]
    best = int(np.argmax(np.round(rates, 6)))
    return _layouts(d)[best] if rates[best] > 0 else d


@lru_cache(maxsize=512)
def _layouts(d: Deployment) -> tuple[Deployment, ...]:
    """Return a deployment with every layout of its experts, attention cut or replicated, each made once."""
    spread = [e for e in range(1, d.tp + 1) if d.tp % e == 0 and d.model.experts % e == 0]
    replicas = (1, d.tp) if d.attention_dp == 1 and d.tp > 1 and d.model.heads % d.tp == 0 else (d.attention_dp,)
    return tuple(replace(d, moe_ep=e, moe_tp=d.tp // e, attention_dp=dp) for e in spread for dp in replicas)
