"""What chapter 5 computes on its way: a training step taken apart, the run that follows from it, and its neighbours."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from hopperbook import facts, planner, story, training, units
from hopperbook.customer import Customer
from hopperbook.display import Input
from hopperbook.memory.serving import constants
from hopperbook.models import Model, load, parameters, training_flop_per_token
from hopperbook.planner import Plan, TrainingRun, train
from hopperbook.planner.rollouts import with_rollouts
from hopperbook.planner.runs import checkpoint_bytes, describe, global_batch, priced
from hopperbook.planner.tenure import assumptions, cluster_premium, tenures
from hopperbook.units import DAY_S

#: What stands in where a customer trains nothing: a fine-tuning of one billion tokens.
STAND_IN = {"training_task": "sft", "training_tokens": 1e9}
#: Parts of a step in words, as ``training.PARTS`` names them.
PART_WORDS = {
    "gemm_s": "matrix products",
    "attention_s": "attention",
    "elementwise_s": "element-wise",
    "recompute_s": "recomputation",
    "head_s": "head and loss",
    "tensor_parallel_s": "tensor parallel, exposed",
    "bubble_s": "pipeline bubble",
    "point_to_point_s": "between stages",
    "data_parallel_s": "data parallel, exposed",
    "optimizer_s": "optimizer",
    "host_s": "host",
}
#: What a method adds to a step of fine-tuning.
METHOD_WORDS = {"dpo": "reference", "grpo": "roll-outs and reference", "distill": "teacher"}
LAYOUT = tuple(column for column in training.LAYOUT_COLUMNS if column != "dp")
RECOMPUTE = ("none", "selective", "full")
CLUSTERS = tuple(2**power for power in range(3, 15))  # from one server to 16,384 GPUs
TUNING_SEQUENCES = 128


class Explained(NamedTuple):
    """The run that a chapter explains: the customer it stands for, her plan, and how far it is from what was asked.

    ``stands_in`` says that nothing is trained by her file; ``unfit_gpus`` is the largest cluster that she allows where
    even that does not hold the states, None where one does.
    """

    customer: Customer
    plan: Plan
    run: TrainingRun | None
    stands_in: bool
    unfit_gpus: int | None


class Timed(NamedTuple):
    """A run's step and what follows from it.

    ``alone_days`` with the GPUs to itself; ``free_share`` of a day that serving leaves it, on GPUs that serve;
    ``more_days`` that rented servers take to be set up, or are taken away, on GPUs of its own.
    """

    step_s: float
    parts: pd.DataFrame
    tokens_per_s_per_gpu: float
    tokens_per_s: float
    mfu: float
    flop_per_token: float
    peak_flop_per_s: float
    alone_days: float
    free_share: float
    more_days: float


class Days(NamedTuple):
    """Days, lowest, median and highest over the sizes compared."""

    low: float
    typical: float
    high: float


def explained(customer: Customer) -> Explained:
    """Find a run to explain: the plan's own, else that of a stand-in task or of a larger cluster.

    Parameters
    ----------
    customer : Customer
        Whose chapter it is.

    Returns
    -------
    Explained
        Its run is None where not even the largest cluster that may be asked for holds the states.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> found = explained(default().model_copy(update={"training_task": "none"}))
    >>> found.stands_in, found.customer.training_tokens
    (True, 1000000000.0)
    """
    stands_in = not customer.trains
    if stands_in:
        customer = customer.model_copy(update=STAND_IN)
    plan = planner.plan(customer)
    if plan.training is not None:
        return Explained(customer, plan, plan.training, stands_in, None)
    run = train.shown(customer, plan.training_table)
    if len(plan.training_table) or run is None:
        return Explained(customer, plan, run, stands_in, None)
    wider = customer.model_copy(update={"max_gpus": run.gpus})
    return Explained(wider, planner.plan(wider), run, stands_in, customer.max_gpus)


def timed(customer: Customer, run: TrainingRun) -> Timed:
    """Time a run's step on the customer's own sequences, and take it apart.

    Parameters
    ----------
    customer : Customer
        Model, task, tokens and sequence length.
    run : TrainingRun
        A row of the plan's training table.

    Returns
    -------
    Timed
        ``parts`` has ``part words part_s share``, the longest first.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> found = explained(default())
    >>> step = timed(found.customer, found.run)
    >>> step.parts.words.iloc[0], round(float(step.parts.share.iloc[0]), 2)
    ('matrix products', 0.65)
    """
    model, precision = load(customer.trained_model), run.precision.removesuffix("_block")
    layout: dict[str, Any] = {column: int(getattr(run, column)) for column in LAYOUT}
    step = training.step(
        model,
        run.gpu,
        precision=run.precision,
        framework_name=replace(training.framework(), tuning_document_share=1.0),
        seq_len=customer.training_sequence_tokens,
        task=training.base_task(customer.training_task),
        recompute=run.recompute,
        **layout,
    )
    method = customer.training_task in training.METHODS  # what it adds to the step is in the run's rate
    share = float(run.tokens_per_s_per_gpu / step.tokens_per_s_per_gpu[0]) if method else 1.0
    tokens_per_s = share * float(step.tokens_per_s_per_gpu[0]) * int(run.gpus)
    alone_days = customer.training_tokens / tokens_per_s / DAY_S / float(run.goodput)
    shared = run.tenure == "shared"
    return Timed(
        step_s=float(step.total_s[0]) / share,
        parts=_parts(step, customer.training_task, float(step.total_s[0]) / share),
        tokens_per_s_per_gpu=share * float(step.tokens_per_s_per_gpu[0]),
        tokens_per_s=tokens_per_s,
        mfu=float(step.mfu[0]) * share,
        flop_per_token=training_flop_per_token(
            model, customer.training_sequence_tokens, frozen=customer.training_task == "lora"
        ),
        peak_flop_per_s=facts.gpu(run.gpu).dense_flop_per_s[precision],
        alone_days=alone_days,
        free_share=min(1.0, alone_days / float(run.days)) if shared else 1.0,
        more_days=0.0 if shared else max(0.0, float(run.days) - alone_days),
    )


def _parts(step: training.Step, task: str, whole_s: float) -> pd.DataFrame:
    """Return the parts of a step of one layout, the longest first, with what a method adds to it."""
    lines = [(part, PART_WORDS.get(part, part), float(np.ravel(getattr(step, part))[0])) for part in training.PARTS]
    if task in training.METHODS:
        lines.append(("method_s", METHOD_WORDS[task], whole_s - float(step.total_s[0])))
    parts = pd.DataFrame(lines, columns=["part", "words", "part_s"])
    parts = parts.assign(share=parts.part_s / whole_s)
    return parts.sort_values("part_s", ascending=False, kind="stable").reset_index(drop=True)


def fastest(
    customer: Customer,
    gpu: str,
    gpus: int | Iterable[int],
    precision: str,
    *,
    task: str | None = None,
    sequences: int | None = None,
    seq_len: int | None = None,
    recompute: tuple[str, ...] = RECOMPUTE,
) -> pd.DataFrame:
    """Time the fastest layout that fits of each cluster size, for the customer's run or one that differs from it.

    Parameters
    ----------
    customer : Customer
        Model, task and sequences of a step.
    gpu : str
        The part.
    gpus : int or iterable of int
        Cluster sizes.
    precision : str
        Format of the matrix products.
    task, sequences, seq_len : str, int, int, optional
        Another task, other sequences of a step, and of other tokens, than the customer's.
    recompute : tuple of str
        Kinds of recomputation to try.

    Returns
    -------
    DataFrame
        As :func:`hopperbook.training.best`; no rows where nothing fits.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> len(fastest(default(), "H100 SXM", [8, 16, 32], "bf16"))
    3
    """
    table = training.sweep(
        load(customer.trained_model),
        gpu,
        [gpus] if isinstance(gpus, int) else list(gpus),
        sequences or global_batch(customer),
        seq_len or customer.training_sequence_tokens,
        precision=precision,
        task=task or customer.training_task,
        teacher=load(customer.teacher_model or customer.model),
        recompute=recompute,
    )
    asked = customer.model_copy(update={"training_task": task or customer.training_task})
    return with_rollouts(training.best(table), asked, gpu)


def tokens_per_s_per_gpu(rows: pd.DataFrame) -> float:
    """Return the rate of the smallest cluster of :func:`fastest`.

    Parameters
    ----------
    rows : DataFrame
        With ``tokens_per_s_per_gpu``.

    Returns
    -------
    float
        Tokens a second and GPU; NaN where nothing fits.

    Examples
    --------
    >>> tokens_per_s_per_gpu(pd.DataFrame({"tokens_per_s_per_gpu": [900.0, 850.0]}))
    900.0
    """
    return float(rows.tokens_per_s_per_gpu.iloc[0]) if len(rows) else float("nan")


def servers_gpus(run: TrainingRun | pd.Series) -> int:
    """Return the GPUs on which parts are compared: the run's, at least one server.

    Parameters
    ----------
    run : TrainingRun or Series
        A row of the plan's training table.

    Returns
    -------
    int
        GPUs.

    Examples
    --------
    >>> servers_gpus(pd.Series({"gpus": 2})), servers_gpus(pd.Series({"gpus": 64}))
    (8, 64)
    """
    return int(max(8, run.gpus))


def like_for_like(customer: Customer, gpus: int) -> pd.DataFrame:
    """Time the customer's run on as many GPUs of each part that is drawn, in BF16 and, where it can, in FP8.

    Parameters
    ----------
    customer : Customer
        The run, and the market whose prices count.
    gpus : int
        Cluster size.

    Returns
    -------
    DataFrame
        ``gpu precision layout tokens_per_s_per_gpu mfu memory_bytes days usd``; days and cost are those of a run on
        demand as the plan prices it, failures, checkpoints and set-up included; the cost is NaN where no price is on
        file. Parts that do not hold the states are left out.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> like_for_like(default(), 8).precision.tolist()
    ['BF16', 'BF16', 'FP8', 'BF16', 'FP8']
    """
    lines, state = [], checkpoint_bytes(customer)
    for gpu in facts.drawn():
        formats = ("bf16", customer.fp8_precision) if facts.gpu(gpu).transformer_engine else ("bf16",)
        for precision in formats:
            for row in fastest(customer, gpu, gpus, precision).itertuples():
                share = float(training.goodput(row.gpus, state))
                alone = training.days(customer.training_tokens, row.tokens_per_s_per_gpu * row.gpus, share)
                days, usd = rented(customer, gpu, int(row.gpus), float(alone))
                lines.append(
                    {
                        "gpu": gpu,
                        "precision": precision.removesuffix("_block").upper(),
                        "layout": describe(row),
                        "tokens_per_s_per_gpu": float(row.tokens_per_s_per_gpu),
                        "mfu": float(row.mfu),
                        "memory_bytes": float(row.memory_bytes),
                        "days": days,
                        "usd": usd,
                    }
                )
    return pd.DataFrame(lines)


def rented(customer: Customer, gpu: str, gpus: int, days: float) -> tuple[float, float]:
    """Return how long a run rented on demand lasts, and what it costs: at the plan's own prices.

    Parameters
    ----------
    customer : Customer
        Market, day and own prices.
    gpu : str
        The part.
    gpus : int
        GPUs.
    days : float
        Days of the run on GPUs that stand ready.

    Returns
    -------
    tuple of float
        Days, the set-up of several servers included, and USD; NaN where no price is on file.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> [round(each, 2) for each in rented(default(), "H100 SXM", 8, 1.0)]  # 8 x 24 x 3.30
    [1.0, 633.58]
    """
    asked = customer.model_copy(update={"tenure": "on_demand", "owned_gpu": "", "owned_gpus": 0})
    ways = tenures(asked, gpu)
    if not ways:
        return days, float("nan")
    found = priced(customer, ways[0], np.array([gpus]), np.array([days]))
    return float(found["days"][0]), float(found["usd_run"][0])


def included_words(gpus: int) -> str:
    """Say what days and cost of a run on demand hold beside its steps.

    Parameters
    ----------
    gpus : int
        GPUs of the run.

    Returns
    -------
    str
        The end of a sentence.

    Examples
    --------
    >>> included_words(8)
    'failures and checkpoints'
    >>> " ".join(included_words(32).split())  # several servers are joined and set up
    'failures, checkpoints, 4 hours of set-up and 15 % more for InfiniBand between servers'
    """
    if gpus <= facts.SERVER_GPUS:
        return "failures and checkpoints"
    hours, more = units.integer(assumptions()["cluster_setup_hours"]), units.percent(cluster_premium()[1])
    return f"failures, checkpoints, {hours} hours of set-up and {more} more for InfiniBand between servers"


def joined_inputs(gpus: int) -> list[Input]:
    """Return what servers that are rented to work together cost more, as a row of the inputs.

    Parameters
    ----------
    gpus : int
        GPUs of a run.

    Returns
    -------
    list of Input
        Empty for a run in one server.

    Examples
    --------
    >>> [" ".join(row.value.split()) for row in joined_inputs(32)], joined_inputs(8)
    (['15 % (0 to 50 %)'], [])
    """
    if gpus <= facts.SERVER_GPUS:
        return []
    low, typical, high = cluster_premium()
    value = f"{units.percent(typical)} ({units.number(100 * low)} to {units.percent(high)})"
    source = facts.read_yaml("constants/cost.yaml")["cluster_premium"]["source"]
    return [Input("More for rented servers joined by InfiniBand", value, "assumed", story.cite(source))]


def gain(rows: pd.DataFrame, over: tuple[str, str], of: tuple[str, str]) -> float:
    """Say how many times as fast one part and format trains as another.

    Parameters
    ----------
    rows : DataFrame
        From :func:`like_for_like`.
    over, of : tuple of str
        Part and format that is compared with, and that is asked about.

    Returns
    -------
    float
        The ratio of their tokens a second and GPU; NaN where either is missing.

    Examples
    --------
    >>> rows = pd.DataFrame({"gpu": ["A", "B"], "precision": ["BF16", "BF16"], "tokens_per_s_per_gpu": [2.0, 5.0]})
    >>> gain(rows, ("A", "BF16"), ("B", "BF16"))
    2.5
    """
    rates = rows.set_index(["gpu", "precision"]).tokens_per_s_per_gpu if len(rows) else {}
    return float(rates[of] / rates[over]) if over in rates and of in rates else float("nan")


def scaling(customer: Customer, run: TrainingRun) -> pd.DataFrame:
    """Work out the days of the customer's run on one server and more of each part that is drawn.

    Parameters
    ----------
    customer : Customer
        The run and the largest cluster.
    run : TrainingRun
        A row of the plan's training table; parts without its format compute in BF16.

    Returns
    -------
    DataFrame
        ``gpu gpus days tokens_per_s_per_gpu``, failures and checkpoints included.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> found = explained(default())
    >>> (24 * scaling(found.customer, found.run).groupby("gpu").days.max()).round(1).to_dict()
    {'A100 SXM 80GB': 10.7, 'H100 SXM': 4.1, 'H200 SXM': 3.6}
    """
    most = min(max(64, min(1024, customer.max_gpus), int(run.gpus)), 8 * global_batch(customer))
    sizes = [gpus for gpus in CLUSTERS if gpus <= most]
    lines = []
    for gpu in facts.drawn():
        precision = run.precision if facts.gpu(gpu).transformer_engine else "bf16"
        for row in fastest(customer, gpu, sizes, precision).itertuples():
            share = float(training.goodput(row.gpus, checkpoint_bytes(customer)))
            days = training.days(customer.training_tokens, row.tokens_per_s_per_gpu * row.gpus, share)
            lines.append((gpu, int(row.gpus), float(days), float(row.tokens_per_s_per_gpu)))
    return pd.DataFrame(lines, columns=["gpu", "gpus", "days", "tokens_per_s_per_gpu"])


def in_time_from(rows: pd.DataFrame, deadline_days: float) -> pd.Series:
    """Find the fewest GPUs of each part that keep a deadline.

    Parameters
    ----------
    rows : DataFrame
        From :func:`scaling`.
    deadline_days : float
        Days.

    Returns
    -------
    Series
        GPUs by part; parts that never keep it are left out.

    Examples
    --------
    >>> rows = pd.DataFrame({"gpu": "H100 SXM", "gpus": [8, 16, 32], "days": [4.0, 2.1, 1.2]})
    >>> in_time_from(rows, 2.5).to_dict()
    {'H100 SXM': 16}
    """
    return rows[rows.days <= deadline_days].groupby("gpu").gpus.min()


def met_words(first: pd.Series, fewest: int = 0) -> str:
    """Say from how many GPUs on each part meets a deadline, parts that need as many together.

    Parameters
    ----------
    first : Series
        From :func:`in_time_from`.
    fewest : int
        The fewest GPUs that were tried, where parts may need fewer.

    Returns
    -------
    str
        A sentence without a full stop; empty where no part meets it.

    Examples
    --------
    >>> met_words(pd.Series({"A100": 128, "H100": 32, "H200": 32}))
    'A100 meets the deadline from 128 GPUs on, H100 and H200 from 32 on'
    >>> met_words(pd.Series({"H100": 8, "H200": 8}), 8)
    'H100 and H200 meet the deadline at every size drawn, 8 GPUs and more'
    """
    parts = {int(n): list(named.index) for n, named in first.groupby(first, sort=False)}
    said = [f"{story.join(named)} {_from_words(n, fewest, '')}" for n, named in parts.items()]
    if said:
        n, named = next(iter(parts.items()))
        meet = "meets" if len(named) == 1 else "meet"
        said[0] = f"{story.join(named)} {meet} the deadline {_from_words(n, fewest, ' GPUs')}"
    return ", ".join(said)


def _from_words(gpus: int, fewest: int, unit: str) -> str:
    """Say from how many GPUs on, or that every size drawn will do."""
    count = f"{units.integer(gpus)}{unit}"
    return f"at every size drawn, {count} and more" if gpus == fewest else f"from {count} on"


def becomes(rows: pd.DataFrame, old: str, new: str, days: float = 7.0) -> Days | None:
    """Turn days of one part into days of as many GPUs of another.

    Parameters
    ----------
    rows : DataFrame
        From :func:`scaling`.
    old, new : str
        Two of its parts.
    days : float
        Days of the old part.

    Returns
    -------
    Days or None
        Over the sizes on which both hold the states; None where there is no such size.

    Examples
    --------
    >>> rows = pd.DataFrame({"gpu": ["A", "B", "A", "B"], "gpus": [8, 8, 16, 16], "days": [9.0, 3.0, 6.0, 1.5]})
    >>> becomes(rows, "A", "B", days=42)
    Days(low=10.5, typical=12.0, high=14.0)
    """
    by_size = rows.pivot_table(index="gpus", columns="gpu", values="days")
    both = by_size.dropna(subset=[old, new]) if {old, new} <= set(by_size) else by_size.iloc[:0]
    if both.empty:
        return None
    ratio = both[old] / both[new]
    return Days(float(days / ratio.max()), float(days / ratio.median()), float(days / ratio.min()))


def failures(model: Model, gpus: Iterable[int] = (8, 64, 512, 2048, 16384)) -> pd.DataFrame:
    r"""Work out how often a job of each size is stopped, and what share of its time is progress.

    .. math:: M = 1 / (g \lambda)

    Parameters
    ----------
    model : Model
        The model, all of whose states a checkpoint holds.
    gpus : iterable of int
        GPUs of the job, g.

    Returns
    -------
    DataFrame
        ``gpus between_failures_s goodput``.

    Examples
    --------
    >>> found = failures(load("llama-3.1-8b"))
    >>> (found.between_failures_s / 3600).round(1).tolist()[-1], found.goodput.round(2).tolist()[-1]
    (3.1, 0.95)
    """
    sizes, states = np.array(list(gpus)), _state_bytes(model)
    mean_s, share = training.checkpointing(sizes, states).failure_s, training.goodput(sizes, states)
    return pd.DataFrame({"gpus": sizes, "between_failures_s": mean_s, "goodput": share})


def _state_bytes(model: Model) -> float:
    """Return the bytes of a checkpoint of a full training."""
    return float(constants("training")["checkpoint_bytes_per_parameter"] * parameters(model))


class Checkpoints(NamedTuple):
    """A job's checkpoints at their best: bytes of one, seconds that matter, and the share of time that they cost."""

    state_bytes: float
    write_s: float
    between_failures_s: float
    interval_s: float
    lost: float


def checkpoints(model: Model, gpus: int) -> Checkpoints:
    r"""Work out how often a full training should write a checkpoint, and what that and lost work cost.

    .. math:: \sqrt{2 \delta M}, \quad \sqrt{2 \delta / M}

    as :func:`hopperbook.training.checkpointing` has them.

    Parameters
    ----------
    model : Model
        The model, all of whose states a checkpoint holds.
    gpus : int
        GPUs of the job.

    Returns
    -------
    Checkpoints
        Bytes, seconds, and a share of the time.

    Examples
    --------
    >>> round(checkpoints(load("llama-3.1-8b"), 2048).interval_s)
    99
    """
    states = _state_bytes(model)
    write_s, failure_s, every_s = map(float, training.checkpointing(gpus, states))
    return Checkpoints(states, write_s, failure_s, every_s, write_s / every_s + every_s / (2 * failure_s))


def tasks(customer: Customer, gpu: str) -> pd.DataFrame:
    """Find the fewest GPUs that hold each kind of training of the customer's model, and how fast they are.

    Parameters
    ----------
    customer : Customer
        Model and tokens of a sequence.
    gpu : str
        The part; computed in BF16, at least one server.

    Returns
    -------
    DataFrame
        ``task gpus layout tokens_per_s_per_gpu memory_bytes``; tasks that fit nowhere are left out.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> tasks(default(), "H100 SXM").set_index("task").gpus.to_dict()
    {'pretrain': 16, 'sft': 16, 'lora': 8, 'dpo': 16, 'grpo': 16, 'distill': 16}
    """
    lines = []
    for task in (*training.TASKS, *training.METHODS):
        rows = fastest(customer, gpu, CLUSTERS[:-1], "bf16", task=task, sequences=TUNING_SEQUENCES)
        for row in rows.head(1).itertuples():
            lines.append((task, int(row.gpus), describe(row), row.tokens_per_s_per_gpu, row.memory_bytes))
    return pd.DataFrame(lines, columns=["task", "gpus", "layout", "tokens_per_s_per_gpu", "memory_bytes"])


def twice_as_long(customer: Customer) -> int:
    """Return twice the tokens of a training sequence, or as many as the model reads.

    Parameters
    ----------
    customer : Customer
        Model and sequence length.

    Returns
    -------
    int
        Tokens.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> twice_as_long(default())
    8192
    """
    double = 2 * customer.training_sequence_tokens
    return min(double, load(customer.trained_model).context_limit or double)


def without_playbook(runs: pd.DataFrame) -> pd.DataFrame:
    """Keep the judged runs whose shapes are known: layouts of a playbook come without theirs.

    Parameters
    ----------
    runs : DataFrame
        From :func:`hopperbook.evidence.judged`, with ``file`` and ``gpu``.

    Returns
    -------
    DataFrame
        The rest, ``gpu`` by generation.

    Examples
    --------
    >>> without_playbook(pd.DataFrame({"file": ["runs", "a_playbook"], "gpu": ["a100_80GB SXM", "h100"]})).gpu.tolist()
    ['A100']
    """
    core = runs[~runs.file.str.contains("playbook")]
    plain = [gpu.split()[0].upper().replace("_80GB", "").replace("_40GB", "") for gpu in core.gpu]
    return core.assign(gpu=plain)
