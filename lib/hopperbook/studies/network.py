"""What chapter 4 computes on its way: what GPUs send each other in serving and training, and how long it takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from hopperbook import evidence, facts, serving, training
from hopperbook.customer import Customer
from hopperbook.kernels.collectives import bus_bandwidth, collective_s
from hopperbook.models import Model, load, parameters
from hopperbook.planner import Plan, counterpart
from hopperbook.planner.load import demand
from hopperbook.planner.tenure import server_of

#: The part whose collectives are published most often, and the same chip on a PCIe card.
REFERENCE, ON_PCIE = "H100 SXM", "H100 PCIe"
#: Networks between servers, slowest first: key of ``data/fabrics.yaml``, and how many of its ports a server has.
FABRICS = {
    "eth10": "10 GbE, sockets",
    "eth25": "25 GbE, sockets",
    "eth100": "100 GbE, sockets",
    "roce100": "4 × 100 Gb/s RoCE",
    "roce200": "8 × 200 Gb/s RoCE",
    "hdr": "InfiniBand HDR",
    "ndr": "InfiniBand NDR",
}
#: From how many parameters on a model is trained with tensor parallelism in every server.
SPLIT_PARAMETERS = 2e10
GRADIENT_BYTES = 4  # 32 bits a parameter


class Wait(NamedTuple):
    """What the all-reduces of tensor parallelism take of a decode step; without tensor parallelism nothing."""

    gpu: str
    tp: int
    users: int
    reduces: int
    reduce_bytes: float
    step_s: float
    exposed_s: float
    share: float


class AllReduce(NamedTuple):
    """Seconds of one all-reduce: by the bytes alone round a ring or through the switch (NVLS), and as measured."""

    ring_s: float
    nvls_s: float
    measured_s: float
    bus_bytes_per_s: float


class Enough(NamedTuple):
    """The first network on which a training step takes little longer than on the best, and how long that may be."""

    label: str
    limit_s: float


def mean_context_tokens(customer: Customer) -> float:
    """Return the tokens that a user's sequence holds on average while it is answered.

    Parameters
    ----------
    customer : Customer
        Lengths of history, prompt and answer.

    Returns
    -------
    float
        History, prompt and half of the answer.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> mean_context_tokens(default())
    7936.0
    """
    return demand(customer).lengths.met


def layer_reduces_s(model: Model, tokens: float, ranks: int, gpu: str) -> float:
    r"""Time the all-reduces of one step under tensor parallelism: two a layer, of 16 bits a hidden value and token.

    .. math:: t = 2 L\, t_\mathrm{AR}(2 h n, g)

    Parameters
    ----------
    model : Model
        Its layers L and hidden values h.
    tokens : float
        Tokens of the step, n.
    ranks : int
        GPUs that share a layer, g.
    gpu : str
        The part.

    Returns
    -------
    float
        Seconds; 0 on one GPU.

    Examples
    --------
    >>> round(1e3 * layer_reduces_s(load("llama-3.3-70b"), 16, 4, "H100 SXM"), 2)
    1.15
    """
    if ranks <= 1:
        return 0.0
    return 2 * model.layers * float(collective_s("all_reduce", 2.0 * model.hidden * tokens, ranks, gpu).seconds)


def decode_wait(plan: Plan) -> Wait:
    r"""Take the all-reduces out of a decode step of the recommended replica; without one, of the first configuration.

    .. math:: w = 2 L\, t_\mathrm{AR} / t_\mathrm{step}

    Parameters
    ----------
    plan : Plan
        The customer's plan.

    Returns
    -------
    Wait
        Part, GPUs and users of the replica, bytes and number of its all-reduces, seconds of them and of the step,
        and their share.

    Examples
    --------
    >>> from hopperbook import planner
    >>> from hopperbook.customer import default
    >>> found = decode_wait(planner.plan(default()))
    >>> found.reduces, round(found.share, 3)
    (160, 0.095)
    """
    row = plan.explained
    model, tp, users, replica = load(plan.customer.model), row.tp, row.users, row.deployment
    step_s = float(serving.decode_step_s(replica, users, mean_context_tokens(plan.customer)))
    exposed_s = layer_reduces_s(model, users, tp, row.gpu)
    share = exposed_s / step_s
    return Wait(
        gpu=row.gpu,
        tp=tp,
        users=users,
        reduces=2 * model.layers,
        reduce_bytes=2.0 * model.hidden * users,
        step_s=step_s,
        exposed_s=exposed_s,
        share=share,
    )


def all_reduce(size_bytes: float, ranks: int = 8, gpu: str = REFERENCE) -> AllReduce:
    """Time an all-reduce in one server by its bytes alone, and as measured.

    Parameters
    ----------
    size_bytes : float
        The buffer.
    ranks : int
        GPUs of the server that take part.
    gpu : str
        The part, joined by NVLink.

    Returns
    -------
    AllReduce
        Seconds by ring and by NVLS without any latency, measured seconds, and what nccl-tests makes of these.

    Examples
    --------
    >>> found = all_reduce(1e9)
    >>> round(1e3 * found.ring_s, 2), round(found.bus_bytes_per_s / 1e9)
    (3.89, 466)
    """
    ring_s, nvls_s = (
        float(collective_s("all_reduce", size_bytes, ranks, gpu, algorithm=name).seconds) for name in ("ring", "nvls")
    )
    measured_s = float(collective_s("all_reduce", size_bytes, ranks, gpu).seconds)
    return AllReduce(
        ring_s=ring_s,
        nvls_s=nvls_s,
        measured_s=measured_s,
        bus_bytes_per_s=float(bus_bandwidth("all_reduce", size_bytes, measured_s, ranks)),
    )


def bus_curves(parts: Sequence[str], ranks: int = 8) -> pd.DataFrame:
    """Work out the bus bandwidth of an all-reduce in one server, from 4 KiB to 4 GiB.

    Parameters
    ----------
    parts : sequence of str
        GPUs.
    ranks : int
        GPUs of the server that take part.

    Returns
    -------
    DataFrame
        ``gpu size_bytes bus_bytes_per_s``, by part and rising size.

    Examples
    --------
    >>> curves = bus_curves(["H100 SXM", "H100 PCIe"])
    >>> [round(v / 1e9) for v in curves.groupby("gpu", sort=False).bus_bytes_per_s.max()]
    [470, 32]
    """
    sizes = 2.0 ** np.arange(12, 33)
    curves = []
    for gpu in parts:
        rates = bus_bandwidth("all_reduce", sizes, collective_s("all_reduce", sizes, ranks, gpu).seconds, ranks)
        curves.append(pd.DataFrame({"gpu": gpu, "size_bytes": sizes, "bus_bytes_per_s": rates}))
    return pd.concat(curves, ignore_index=True)


def inside_over_outside(gpu: str) -> float:
    """Say how many times as wide the links inside a part's server are as its ports to the network.

    Parameters
    ----------
    gpu : str
        The part.

    Returns
    -------
    float
        NVLink of all GPUs over all network ports, one direction each.

    Raises
    ------
    InputError
        If no server of this GPU is on file.

    Examples
    --------
    >>> inside_over_outside("H100 SXM")
    9.0
    """
    system, inside = server_of(gpu), facts.gpu(gpu).nvlink_bytes_per_s_per_direction
    return system.gpus * inside / (system.nics * system.nic_bytes_per_s_per_direction)


def linked_parts() -> tuple[str, ...]:
    """Name the planned parts that NVLink joins by the server or in pairs; what joins four cards has no measurements.

    Returns
    -------
    tuple of str
        Names, in the order of ``data/gpus.yaml``.

    Examples
    --------
    >>> linked_parts()[-2:]
    ('H100 NVL', 'H200 SXM')
    """
    return tuple(part for part in facts.planned() if facts.gpu(part).nvlink_gpus in (2, 8))


def tensor_parallel_costs(plan: Plan, users: int = 16) -> pd.DataFrame:
    """Time a decode step and a prompt of the customer's model on 2, 4 and 8 GPUs of each part, all-reduces apart.

    Parameters
    ----------
    plan : Plan
        The customer's plan, whose recommendation (or first configuration) sets the formats.
    users : int
        Sequences that are decoded together.

    Returns
    -------
    DataFrame
        ``gpu tp step_s step_share prompt_s prompt_share``; the shares are those of the all-reduces. Parts on which the
        model or one user's cache does not fit are left out.

    Examples
    --------
    >>> from hopperbook import planner
    >>> from hopperbook.customer import default
    >>> costs = tensor_parallel_costs(planner.plan(default())).set_index(["gpu", "tp"])
    >>> costs.step_share[[("H100 SXM", 8), ("H100 PCIe", 8)]].round(2).tolist()
    [0.16, 0.41]
    """
    row = plan.explained
    model, prompt_tokens = load(plan.customer.model), plan.customer.prompt_tokens
    context = mean_context_tokens(plan.customer)
    lines = []
    for gpu in linked_parts():
        precision = counterpart(row.precision, facts.gpu(gpu), model)
        for ranks in (ranks for ranks in (2, 4, 8) if model.heads % ranks == 0):
            replica = serving.deploy(model, gpu, tp=ranks, precision=precision, kv_precision=row.kv_precision)
            if serving.kv_capacity_tokens(replica, context) < context:
                continue
            step_s = float(serving.decode_step_s(replica, users, context))
            prompt_s = float(serving.prefill_s(replica, prompt_tokens))
            step_share = layer_reduces_s(model, users, ranks, gpu) / step_s
            prompt_share = min(1.0, layer_reduces_s(model, prompt_tokens, ranks, gpu) / prompt_s)
            lines.append((gpu, ranks, step_s, step_share, prompt_s, prompt_share))
    return pd.DataFrame(lines, columns=["gpu", "tp", "step_s", "step_share", "prompt_s", "prompt_share"])


def fabric_steps(customer: Customer, nodes: int = 4, gpu: str = REFERENCE) -> pd.DataFrame:
    """Time a pretraining step of the customer's trained model on servers joined by each of `FABRICS`.

    Parameters
    ----------
    customer : Customer
        Model and sequence length.
    nodes : int
        Servers of eight GPUs.
    gpu : str
        The part.

    Returns
    -------
    DataFrame
        ``fabric label step_s wait_s wait_share bytes_per_s``: the step, what of it waits for gradients and weights, and
        what a server sends in one direction over all its ports.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> fabric_steps(default()).step_s.round(1).iloc[[0, -1]].tolist()
    [222.5, 9.2]
    """
    model = load(customer.trained_model)
    lines = []
    for fabric, label in FABRICS.items():
        step = training.step(
            model,
            gpu,
            gpus=8 * nodes,
            tp=8 if parameters(model) > SPLIT_PARAMETERS else 1,
            micro_batch=1,
            micro_batches=16,
            seq_len=customer.training_sequence_tokens,
            sharding="zero1",
            recompute="full",
            fabric=fabric,
        )
        link = facts.fabric(fabric)
        rate = link.bytes_per_s_per_direction * link.ports
        lines.append((fabric, label, float(step.total_s[0]), float(step.data_parallel_s[0]), rate))
    steps = pd.DataFrame(lines, columns=["fabric", "label", "step_s", "wait_s", "bytes_per_s"])
    return steps.assign(wait_share=steps.wait_s / steps.step_s)


def times_as_long(steps: pd.DataFrame, slow: str = "eth10", fast: str = "ndr") -> float:
    """Say how many times as long a step takes over one network as over another.

    Parameters
    ----------
    steps : DataFrame
        From :func:`fabric_steps`.
    slow, fast : str
        Two of its fabrics.

    Returns
    -------
    float
        The ratio of their steps.

    Examples
    --------
    >>> times_as_long(pd.DataFrame({"fabric": ["eth10", "ndr"], "step_s": [6.0, 4.0]}))
    1.5
    """
    step_s = steps.set_index("fabric").step_s
    return float(step_s[slow] / step_s[fast])


def enough(steps: pd.DataFrame, slack: float = 0.1, best: str = "ndr") -> Enough:
    """Find the first network that costs less than a share of the step on the best one.

    Parameters
    ----------
    steps : DataFrame
        From :func:`fabric_steps`, slowest first.
    slack : float
        The share.
    best : str
        The fabric that the others are held against.

    Returns
    -------
    Enough
        The network in words, and the seconds that a step may take.

    Examples
    --------
    >>> steps = pd.DataFrame({"fabric": ["eth10", "ndr"], "label": ["10 GbE", "NDR"], "step_s": [6.0, 4.0]})
    >>> enough(steps).label, round(enough(steps, slack=0.6).limit_s, 1)
    ('NDR', 6.4)
    """
    limit_s = (1 + slack) * float(steps.set_index("fabric").step_s[best])
    return Enough(str(steps[steps.step_s < limit_s].label.iloc[0]), limit_s)


def gradients_s(model: Model, fabric: str) -> float:
    r"""Time a model's gradients in 32 bits over one port, by its bandwidth alone.

    .. math:: t = 4 N / B

    Parameters
    ----------
    model : Model
        Its parameters N.
    fabric : str
        The network, whose port carries B bytes a second.

    Returns
    -------
    float
        Seconds.

    Examples
    --------
    >>> round(gradients_s(load("llama-3.1-8b"), "eth10"), 1)
    25.7
    """
    return GRADIENT_BYTES * parameters(model) / facts.fabric(fabric).bytes_per_s_per_direction


def judged_exchanges() -> pd.DataFrame:
    """Return predicted beside measured bus bandwidths, in and over servers, of runs that nothing was fitted to.

    Returns
    -------
    DataFrame
        As :func:`hopperbook.evidence.judged`, GB/s above 1, with the short name of the ``gpu``.

    Examples
    --------
    >>> sorted(judged_exchanges().gpu.unique())
    ['A100', 'H100', 'H200']
    """
    runs = evidence.judged("collective", "busbw_GBs")
    runs = runs[runs.measured > 1]
    return runs.assign(gpu=[evidence.gpu_label(gpu).split()[0] for gpu in runs.gpu])


def apart(runs: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Part runs over several servers from those in one.

    Parameters
    ----------
    runs : DataFrame
        From :func:`judged_exchanges`.

    Returns
    -------
    tuple of DataFrame
        Over servers, and in one.

    Examples
    --------
    >>> [len(rows) for rows in apart(judged_exchanges())]
    [32, 79]
    """
    over = runs.family.str.endswith("/nodes")
    return runs[over], runs[~over]
