"""What FP8 buys: gains of products, of a training step, of serving, and bytes, each on one part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from hopperbook import facts, serving, training
from hopperbook.customer import Customer
from hopperbook.kernels.gain import amdahl, fp8_gain
from hopperbook.memory.training import state_bytes
from hopperbook.models import (
    Linear,
    Model,
    cache_bytes,
    linear_layers,
    load,
    parameters,
    quantised_parameters,
    weight_bytes,
)
from hopperbook.planner import Plan, counterpart
from hopperbook.planner.runs import global_batch

#: Scales of the two kinds of FP8 kernels, in words.
FORMS = {"fp8": "one a tensor or row", "fp8_block": "one a block of 128"}
#: What is done to the model trained, in words.
CLUSTERS = (8, 32, 128, 512)  # tried in turn until the model trained fits
SQUARES = (1024, 2048, 4096, 8192, 16384)


# Products


def peak_ratio(gpu: facts.GPU) -> float:
    """Return the FP8 peak of a part over its BF16 peak, both dense.

    Parameters
    ----------
    gpu : GPU
        A part with FP8 units.

    Returns
    -------
    float
        Ratio.

    Examples
    --------
    >>> round(peak_ratio(facts.gpu("H100 SXM")), 2)
    2.0
    """
    return gpu.dense_flop_per_s["fp8"] / gpu.dense_flop_per_s["bf16"]


def drawn_by_fp8() -> tuple[list[str], list[str]]:
    """Split the parts that charts compare into those with FP8 units and those without.

    Returns
    -------
    has, lacks : list of str
        Short names.

    Examples
    --------
    >>> drawn_by_fp8()
    (['H100', 'H200'], ['A100'])
    """
    parts = [facts.gpu(name) for name in facts.drawn()]
    has = [part.short for part in parts if "fp8" in part.dense_flop_per_s]
    return has, [part.short for part in parts if part.short not in has]


def quantised_share(model: Model) -> float:
    """Return the share of a model's parameters whose products run in FP8.

    Parameters
    ----------
    model : Model
        The model.

    Returns
    -------
    float
        From 0 to 1.

    Examples
    --------
    >>> round(quantised_share(load("meta-llama/Llama-3.1-8B")), 2)
    0.87
    """
    return float(sum(quantised_parameters(model)) / parameters(model))


def widest_products(model: Model, tp: int, count: int = 4) -> list[Linear]:
    """List the largest matrices of a layer that FP8 holds, each size once.

    Parameters
    ----------
    model : Model
        The model.
    tp : int
        Ranks that share a layer.
    count : int
        How many.

    Returns
    -------
    list of Linear
        The largest last.

    Examples
    --------
    >>> [product.name for product in widest_products(load("meta-llama/Llama-3.1-8B"), 1)]
    ['o', 'qkv', 'down', 'gate_up']
    """
    held = [w for w in linear_layers(model, tp) if w.name not in ("router", "lm_head")]
    return sorted({(w.k, w.n): w for w in held}.values(), key=lambda w: w.k * w.n)[-count:]


def product_gains(gpu: facts.GPU, products: list[Linear], rows: list[int], form: str) -> pd.DataFrame:
    """Return how many times as fast products run in FP8 as in BF16, by their rows.

    Parameters
    ----------
    gpu : GPU
        The part.
    products : list of Linear
        Matrices.
    rows : list of int
        Rows m of x[m, k].
    form : str
        ``fp8`` or ``fp8_block``.

    Returns
    -------
    DataFrame
        ``x`` (rows), ``y`` (times as fast), ``series``.

    Examples
    --------
    >>> widest = widest_products(load("meta-llama/Llama-3.1-8B"), 1, count=1)
    >>> product_gains(facts.gpu("H100 SXM"), widest, [1, 8192], "fp8").round(2).y.tolist()
    [1.79, 1.68]
    """
    return pd.DataFrame(
        {"x": m, "y": float(gain), "series": f"{w.name.replace('_', ' ')} {w.k} × {w.n}"}
        for w in products
        for m, gain in zip(rows, fp8_gain(gpu, form, rows, w.n, w.k), strict=True)
    )


def square_gains(gpu: facts.GPU) -> pd.DataFrame:
    """Return the gain of FP8 in square products by library.

    Parameters
    ----------
    gpu : GPU
        The part.

    Returns
    -------
    DataFrame
        ``size``; ``vllm``, ``block`` and ``trt`` in times as fast.

    Examples
    --------
    >>> square_gains(facts.gpu("H100 SXM")).round(2).iloc[-1].tolist()
    [16384.0, 1.57, 1.77, 1.79]
    """
    kinds = {"vllm": ("fp8", "vllm"), "block": ("fp8_block", "vllm"), "trt": ("fp8", "trtllm")}
    return pd.DataFrame(
        {"size": s} | {name: float(fp8_gain(gpu, form, s, s, s, engine)) for name, (form, engine) in kinds.items()}
        for s in SQUARES
    )


# Training


@dataclass(frozen=True, eq=False)
class Trained:
    """One training step: model, part, task, and the layout that it has in both formats.

    Parameters
    ----------
    model : Model
        The model trained.
    gpu : GPU
        The part.
    task : str
        The customer's; fine-tuning stands in where nothing is trained.
    sequence_tokens, batch : int
        Tokens of a sequence, sequences of a step.
    form : str
        ``fp8`` or ``fp8_block``, by the customer's recipe.
    layout : Series
        A row of :func:`hopperbook.training.sweep`.
    fits : bool
        Whether any layout fits; else this is the one that needs least memory.
    """

    model: Model
    gpu: facts.GPU
    task: str
    sequence_tokens: int
    batch: int
    form: str
    layout: pd.Series
    fits: bool


class StepParts(NamedTuple):
    """Seconds of a step: all of it, its products (repeats included), attention, the rest of its layers; and bytes."""

    total_s: float
    products_s: float
    attention_s: float
    elementwise_s: float
    memory_bytes: float

    @property
    def layers_s(self) -> float:
        """Forward and backward of all layers, without communication."""
        return self.products_s + self.attention_s + self.elementwise_s


class StepGain(NamedTuple):
    """A step in BF16 and in FP8, and how many times as fast it and its parts become.

    ``law`` is what Amdahl's law makes of the products' gain, ``ceiling`` of products that take no time, ``doubled`` of
    products twice as fast; ``own_layout`` lets each format have its best layout (NaN where none fits); ``casts_s`` and
    ``rest_s`` are the seconds that element-wise work and all else take longer in FP8.
    """

    bf16: StepParts
    fp8: StepParts
    step: float
    products: float
    layer: float
    own_layout: float
    products_share: float
    law: float
    doubled: float
    ceiling: float
    casts_s: float
    rest_s: float


def trained(customer: Customer, gpu: facts.GPU) -> Trained:
    """Find the layout of the customer's training: the fastest in BF16 on the smallest cluster where one fits.

    Parameters
    ----------
    customer : Customer
        Model, task, lengths, recipe.
    gpu : GPU
        The part.

    Returns
    -------
    Trained
        What :func:`step_parts` times.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> found = trained(default(), facts.gpu("H100 SXM"))
    >>> found.task, int(found.layout.gpus), found.fits
    ('lora', 8, True)
    """
    task = training.base_task(customer.training_task) if customer.trains else "sft"
    batch = global_batch(customer.model_copy(update={"training_task": task}))
    model, length = load(customer.trained_model), customer.training_sequence_tokens
    for gpus in CLUSTERS:
        grid = training.sweep(model, gpu, gpus, batch, length, task=task)
        found = training.best(grid)
        if len(found):
            break
    layout = found.iloc[0] if len(found) else grid.loc[grid.memory_bytes.idxmin()]
    return Trained(model, gpu, task, length, batch, customer.fp8_precision, layout, len(found) > 0)


def step_parts(case: Trained, precision: str, sequence_tokens: int = 0, task: str = "") -> StepParts:
    """Time the step in a format, on the layout of the case.

    Parameters
    ----------
    case : Trained
        Model, part, layout.
    precision : str
        ``bf16``, ``fp8`` or ``fp8_block``.
    sequence_tokens : int
        Another length; 0 for that of the case.
    task : str
        Another task; empty for that of the case.

    Returns
    -------
    StepParts
        Seconds and bytes a GPU.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> case = trained(default(), facts.gpu("H100 SXM"))
    >>> [round(step_parts(case, precision).total_s, 1) for precision in ("bf16", "fp8")]
    [36.3, 25.5]
    """
    layout: dict[str, Any] = {name: int(case.layout[name]) for name in training.LAYOUT_COLUMNS if name != "dp"}
    timed = training.step(
        case.model,
        case.gpu,
        seq_len=sequence_tokens or case.sequence_tokens,
        precision=precision,
        task=task or case.task,
        recompute=case.layout.recompute,
        **layout,
    )
    part = {name: float(np.ravel(getattr(timed, name))[0]) for name in training.PARTS}
    products_s = part["gemm_s"] + part["recompute_s"]
    total_s, memory_bytes = float(timed.total_s[0]), float(timed.memory_bytes[0])
    return StepParts(total_s, products_s, part["attention_s"], part["elementwise_s"], memory_bytes)


def form_gain(case: Trained, form: str, sequence_tokens: int = 0, task: str = "") -> float:
    """Return how many times as fast the step runs in a kind of FP8 as in BF16, on the layout of the case.

    Parameters
    ----------
    case : Trained
        Model, part, layout.
    form : str
        One of :data:`FORMS`.
    sequence_tokens : int
        Another length; 0 for that of the case.
    task : str
        Another task; empty for that of the case.

    Returns
    -------
    float
        Times as fast.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> case = trained(default(), facts.gpu("H100 SXM"))
    >>> round(form_gain(case, "fp8"), 2), round(form_gain(case, "fp8", 32768, "pretrain"), 2)
    (1.42, 1.33)
    """
    before, after = (step_parts(case, precision, sequence_tokens, task) for precision in ("bf16", form))
    return before.total_s / after.total_s


def step_gain(case: Trained) -> StepGain:
    r"""Compare the step in BF16 and in FP8, and Amdahl's law with both.

    .. math:: S = \frac{1}{1 - p + p / g}

    Parameters
    ----------
    case : Trained
        Model, part, layout, format.

    Returns
    -------
    StepGain
        Times as fast, and seconds.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> gain = step_gain(trained(default(), facts.gpu("H100 SXM")))
    >>> round(gain.products, 2), round(gain.products_share, 2)
    (1.64, 0.75)
    >>> round(gain.law, 2), round(gain.step, 2)  # 1 / (1 - 0.75 + 0.75 / 1.64), and the whole step
    (1.41, 1.42)
    """
    before, after = step_parts(case, "bf16"), step_parts(case, case.form)
    share, products = before.products_s / before.total_s, before.products_s / after.products_s
    rest = [s.total_s - s.products_s - s.elementwise_s for s in (before, after)]
    return StepGain(
        bf16=before,
        fp8=after,
        step=before.total_s / after.total_s,
        products=products,
        layer=before.layers_s / after.layers_s,
        own_layout=_own_layout_gain(case),
        products_share=share,
        law=float(amdahl(share, products)),
        doubled=float(amdahl(share, 2.0)),
        ceiling=float(amdahl(share, np.inf)),
        casts_s=after.elementwise_s - before.elementwise_s,
        rest_s=rest[1] - rest[0],
    )


def _own_layout_gain(case: Trained) -> float:
    """Return the gain where each format has its own best layout on as many GPUs; NaN where none fits."""
    grid = training.sweep(
        case.model,
        case.gpu,
        [int(case.layout.gpus)],
        case.batch,
        case.sequence_tokens,
        precision=case.form,
        task=case.task,
    )
    own = training.best(grid)
    if not len(own) or not case.fits:
        return float("nan")
    return float(own.iloc[0].tokens_per_s_per_gpu / case.layout.tokens_per_s_per_gpu)


def step_lanes(case: Trained, gain: StepGain) -> pd.DataFrame:
    """Lay the parts of the step one behind the other, a lane a format.

    Parameters
    ----------
    case : Trained
        Whether products are repeated.
    gain : StepGain
        The step in both formats.

    Returns
    -------
    DataFrame
        ``lane label start end exposed``, seconds; what nothing hides is exposed.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> case = trained(default(), facts.gpu("H100 SXM"))
    >>> step_lanes(case, step_gain(case)).groupby("lane", sort=False).label.count().to_dict()
    {'BF16': 4, 'FP8': 4}
    """
    products = "products" if case.layout.recompute == "none" else "products, repeats"
    lanes: list[dict[str, Any]] = []
    for lane, parts in (("BF16", gain.bf16), ("FP8", gain.fp8)):
        pieces = {
            products: parts.products_s,
            "attention": parts.attention_s,
            "element-wise, casts": parts.elementwise_s,
        }
        pieces["rest"] = parts.total_s - sum(pieces.values())
        start = 0.0
        for label, seconds in pieces.items():
            end = start + max(seconds, 0.0)
            lanes.append({"lane": lane, "label": label, "start": start, "end": end, "exposed": label == "rest"})
            start = end
    return pd.DataFrame(lanes)


def amdahl_curve(share: float) -> pd.DataFrame:
    """Return Amdahl's law by the gain of the products.

    Parameters
    ----------
    share : float
        Share of the step that products take.

    Returns
    -------
    DataFrame
        ``x`` and ``y`` in times as fast, ``series``.

    Examples
    --------
    >>> amdahl_curve(0.5).y.iloc[[0, 4]].round(3).tolist()
    [1.0, 1.333]
    """
    gains = np.array([1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0, 6.0, 8.0])
    return pd.DataFrame({"x": gains, "y": amdahl(share, gains), "series": "Amdahl"})


# Serving


@dataclass(frozen=True)
class Served:
    """A replica of the plan, put on one part.

    Parameters
    ----------
    model : Model
        The model served.
    gpu : GPU
        The part.
    tp : int
        GPUs of the replica.
    users : int
        Sequences that decode together.
    prompt_tokens : int
        Tokens of a prompt.
    context_tokens : float
        Tokens a sequence holds on average.
    form : str
        ``fp8`` or ``fp8_block``, as the plan holds eight bits of such a model.
    """

    model: Model
    gpu: facts.GPU
    tp: int
    users: int
    prompt_tokens: int
    context_tokens: float
    form: str


class ServedGain(NamedTuple):
    """How many times as fast serving becomes: a prefill, and a decode step by what is in FP8.

    ``weights`` keeps the cache in BF16, ``both`` does not, ``cache`` puts it in FP8 beside weights in FP8;
    ``other_form`` is ``both`` with the other kind of scales.
    """

    prefill: float
    weights: float
    both: float
    cache: float
    other_form: float


def served(customer: Customer, plan: Plan, gpu: facts.GPU) -> Served:
    """Put a replica of the plan on a part, with a tensor-parallel width that its heads allow.

    Parameters
    ----------
    customer : Customer
        Model and lengths.
    plan : Plan
        Its recommendation, or the first configuration timed where there is none.
    gpu : GPU
        The part.

    Returns
    -------
    Served
        What :func:`served_gain` times.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> from hopperbook.planner import plan
    >>> replica = served(default(), plan(default()), facts.gpu("H100 SXM"))
    >>> replica.form, replica.context_tokens
    ('fp8', 7936.0)
    """
    row = plan.explained
    model = load(customer.model)
    tp = next(t for t in (int(row.tp), 8, 4, 2, 1) if t <= 8 and model.heads % t == 0)
    users, form = max(1, int(row.users)), counterpart("fp8", gpu, model)
    return Served(model, gpu, tp, users, customer.prompt_tokens, customer.decoding_tokens, form)


def other_form(form: str) -> str:
    """Return the other kind of FP8 kernels.

    Parameters
    ----------
    form : str
        One of :data:`FORMS`.

    Returns
    -------
    str
        The other.

    Examples
    --------
    >>> other_form("fp8")
    'fp8_block'
    """
    return next(other for other in FORMS if other != form)


def decode_s(replica: Served, weights: str, cache: str) -> float:
    """Time a decode step of a replica.

    Parameters
    ----------
    replica : Served
        Model, part, users.
    weights, cache : str
        Formats of weights and products, and of the KV cache.

    Returns
    -------
    float
        Seconds.

    Examples
    --------
    >>> replica = Served(load("meta-llama/Llama-3.1-8B"), facts.gpu("H100 SXM"), 1, 16, 1024, 1024.0, "fp8")
    >>> round(1e3 * decode_s(replica, "bf16", "bf16"), 1)
    7.9
    """
    return float(serving.decode_step_s(_deployed(replica, weights, cache), replica.users, replica.context_tokens))


def _deployed(replica: Served, weights: str, cache: str) -> serving.Deployment:
    """Return the replica with formats of weights and cache."""
    return serving.deploy(
        replica.model, replica.gpu, tp=replica.tp, precision=weights, moe_precision=weights, kv_precision=cache
    )


def served_gain(replica: Served) -> ServedGain:
    """Compare serving in BF16 and in FP8.

    Parameters
    ----------
    replica : Served
        Model, part, users, format.

    Returns
    -------
    ServedGain
        Times as fast.

    Examples
    --------
    >>> replica = Served(load("meta-llama/Llama-3.1-8B"), facts.gpu("H100 SXM"), 1, 16, 1024, 1024.0, "fp8")
    >>> gain = served_gain(replica)
    >>> round(gain.both, 2), round(gain.prefill, 2)
    (1.48, 1.27)
    """
    formats = ("bf16", replica.form)
    prefill = [serving.prefill_s(_deployed(replica, f, "bf16"), replica.prompt_tokens) for f in formats]
    base, weights = (decode_s(replica, f, "bf16") for f in formats)
    both = decode_s(replica, replica.form, "fp8")
    other = decode_s(replica, other_form(replica.form), "fp8")
    return ServedGain(float(prefill[0] / prefill[1]), base / weights, base / both, weights / both, base / other)


def memory_table(replica: Served, case: Trained, gain: StepGain) -> pd.DataFrame:
    """Compare bytes in BF16 and in FP8: weights and cache served, states of full training, a GPU's peak in the step.

    Parameters
    ----------
    replica : Served
        The model served and its users.
    case : Trained
        The model trained.
    gain : StepGain
        The training step in both formats.

    Returns
    -------
    DataFrame
        ``bf16 fp8`` in bytes and their ``ratio``, by ``weights_served``, ``cache``, ``weights_trained``,
        ``optimizer`` and ``peak``; all GPUs together but for the peak.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> from hopperbook.planner import plan
    >>> gpu = facts.gpu("H100 SXM")
    >>> case = trained(default(), gpu)
    >>> memory_table(served(default(), plan(default()), gpu), case, step_gain(case)).ratio.round(2).to_dict()
    {'weights_served': 0.51, 'cache': 0.5, 'weights_trained': 2.0, 'optimizer': 1.0, 'peak': 0.87}
    """
    states = {p: state_bytes(parameters(case.model), precision=p) for p in ("bf16", "fp8")}
    rows = {
        "weights_served": [weight_bytes(replica.model, p, p) for p in states],
        "cache": [replica.users * float(cache_bytes(replica.model, replica.context_tokens, p)) for p in states],
        "weights_trained": [float(state.weights_bytes) for state in states.values()],
        "optimizer": [float(state.optimizer_bytes) for state in states.values()],
        "peak": [gain.bf16.memory_bytes, gain.fp8.memory_bytes],
    }
    table = pd.DataFrame(rows, index=["bf16", "fp8"]).T
    return table.assign(ratio=table.fp8 / table.bf16)
