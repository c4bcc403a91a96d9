"""Many LoRA adapters beside one model, each request naming its own: the memory they take and the time they add."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from hopperbook import facts
from hopperbook.errors import InputError
from hopperbook.models import Model, linear_layers
from hopperbook.serving.deployment import Deployment, with_engine
from hopperbook.training import adapter_parameters


def adapter_bytes(model: Model, rank: int = 16) -> float:
    r"""Return the bytes of one adapter on every matrix but router and LM head, in 16 bits.

    .. math:: 2\, r \sum_\ell (k_\ell + n_\ell)

    Parameters
    ----------
    model : Model
        The model.
    rank : int
        Rank of the adapter.

    Returns
    -------
    float
        Bytes on all GPUs of a replica together.

    Notes
    -----
    Source: ``hu-2021-lora``.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> round(adapter_bytes(load("llama-3.1-8b")) / 1e6)  # MB: 35.7 million values of two bytes
    71
    """
    return 2.0 * adapter_parameters(model, rank)


def added_s(d: Deployment, rank: int, distinct: float, end: str = "value") -> float:
    r"""Return the seconds that adapters add to an engine step.

    .. math:: 2 M t_0 + \frac{n B_a}{t\,\beta B},\qquad M = \text{matrices of all layers}

    Parameters
    ----------
    d : Deployment
        The replica, of t GPUs.
    rank : int
        Rank of the adapters.
    distinct : float
        Adapters n that the requests of the step name.
    end : str
        ``low``, ``value`` or ``high`` of what a kernel's start and the bandwidth are known to be.

    Returns
    -------
    float
        Seconds.

    Notes
    -----
    Source: ``punica-2023-multi-tenant``, which adds 2 ms a token; arithmetic (2 r (k + n) FLOP a token) hides behind
    the reading.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> from hopperbook.serving import deploy
    >>> llama = deploy(load("llama-2-7b-hf"), "A100 SXM 80GB")
    >>> [round(1e3 * added_s(llama, 16, 32, end), 1) for end in ("low", "value", "high")]  # Punica: 2 ms
    [1.8, 2.8, 5.7]
    """
    c = facts.read_yaml("constants/adapters.yaml")
    other = {"low": "high", "high": "low"}.get(end, end)  # more bandwidth is less time
    matrices = sum(w.layers for w in linear_layers(d.model) if w.name not in ("router", "lm_head"))
    start = c["kernels_a_matrix"]["value"] * c["start_s"][end] * matrices
    rate = d.gpus * c["bandwidth_share"][other] * d.gpu.memory_bandwidth_bytes_per_s
    return float(start + distinct * adapter_bytes(d.model, rank) / rate)


@lru_cache(maxsize=4096)
def with_adapters(d: Deployment, adapters: int, rank: int, in_flight: int) -> Deployment:
    """Return a replica that holds so many adapters, its steps the longer for those that are in use.

    Every adapter lies in the memory of the replica's GPUs, cut among them. A step reads those that its requests name:
    one a request where there are more adapters than requests, all of them where there are fewer.

    Parameters
    ----------
    d : Deployment
        The replica without adapters.
    adapters, rank : int
        How many, and their rank.
    in_flight : int
        Requests in flight at the most.

    Returns
    -------
    Deployment
        The replica with them; as it was where there are none.

    Raises
    ------
    InputError
        If the rank is larger than the model is wide.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> from hopperbook.serving import budget, decode_step_s, deploy
    >>> alone = deploy(load("llama-3.1-8b"), "H100 SXM")
    >>> many = with_adapters(alone, 200, 16, 64)
    >>> budget(alone, 4096).users, budget(many, 4096).users  # 200 x 71 MB are 14 GB
    (108, 82)
    >>> [round(1e3 * float(decode_step_s(d, 32, 2048)), 1) for d in (alone, many)]  # milliseconds
    [10.3, 12.5]
    """
    if not adapters:
        return d
    if rank > d.model.hidden:
        raise InputError("adapter_rank", rank, f"at most {d.model.hidden:,}, the width of {d.model.name}")
    none, one = added_s(d, rank, 0.0), added_s(d, rank, 1.0) - added_s(d, rank, 0.0)
    each, fixed = (one, 0.0) if adapters >= in_flight else (0.0, adapters * one)
    held = with_engine(
        d,
        host_s=d.engine.host_s + none + fixed,
        sequence_s=d.engine.sequence_s + each,
        runtime_bytes=d.engine.runtime_bytes + adapters * adapter_bytes(d.model, rank) / d.gpus,
    )
    return replace(held, adapters=adapters)
