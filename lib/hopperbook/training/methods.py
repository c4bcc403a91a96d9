"""Training methods beside pretraining and fine-tuning: DPO, GRPO and distillation, as fine-tuning and passes forward.

Each is a step of supervised fine-tuning over the same tokens, and forward passes of a second model or of the same one:
DPO asks a frozen reference for both answers of a pair, GRPO the policy before its update and a reference, distillation
a teacher.  What GRPO's roll-outs take is counted apart (:mod:`hopperbook.planner.rollouts`): it is serving.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hopperbook import facts
from hopperbook.memory.training import rank_parameters
from hopperbook.models import Model
from hopperbook.training.layer import Floats, Framework
from hopperbook.training.steps import Step, step


class Method(NamedTuple):
    """What a method asks beside a step of fine-tuning: passes forward, and whether a second model is held for them."""

    passes: int
    second: bool
    words: str


METHODS = {
    "dpo": Method(1, True, "a frozen reference reads both answers of each pair"),
    "grpo": Method(2, True, "the policy before its update and a frozen reference read every roll-out"),
    "distill": Method(1, True, "a teacher reads every sequence"),
}


def base_task(task: str) -> str:
    """Return the task whose step a method takes: fine-tuning of all weights.

    Parameters
    ----------
    task : str
        A task or a method.

    Returns
    -------
    str
        One of :data:`hopperbook.training.TASKS`.

    Examples
    --------
    >>> base_task("dpo"), base_task("lora")
    ('sft', 'lora')
    """
    return "sft" if task in METHODS else task


def forward_s(s: Step, f: Framework) -> Floats:
    r"""Return the seconds of a pass forward over the tokens of a step, from the parts of the step.

    .. math:: \tfrac13 (t_\mathrm{GEMM} + t_\mathrm{elementwise} + t_\mathrm{head} + t_\mathrm{TP} + t_\mathrm{bubble})
              + \frac{t_\mathrm{attention}}{1 + \rho} + \tfrac12 t_\mathrm{p2p}

    A product is computed once forward and twice backward; attention backward takes :math:`\rho` times as long as
    forward; activations travel between stages in one direction.

    Parameters
    ----------
    s : Step
        A step of fine-tuning of the model that reads.
    f : Framework
        Whose constants.

    Returns
    -------
    ndarray
        Seconds.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> from hopperbook.training import framework
    >>> tuned = step(load("llama-3.1-8b"), "H100 SXM", gpus=8, seq_len=4096, micro_batches=16, task="sft")
    >>> round(float(forward_s(tuned, framework())[0] / tuned.total_s[0]), 2)
    0.33
    """
    thirds = s.gemm_s + s.elementwise_s + s.head_s + s.tensor_parallel_s + s.bubble_s
    return thirds / 3 + s.attention_s / (1 + f.attention_backward_ratio) + s.point_to_point_s / 2


class Beside(NamedTuple):
    """What a method adds to every layout: seconds of a step, and bytes of a GPU."""

    seconds: Floats
    memory_bytes: Floats


def beside(
    task: str, student: Model, teacher: Model, gpu: facts.GPU, f: Framework, columns: dict[str, NDArray[np.int64]],
    **asked: Any,
) -> Beside:  # fmt: skip
    """Return what a method adds to a step of fine-tuning in each layout.

    The second model is cut by the layout's tensor, pipeline and expert ranks, as the student is, and held in 16 bits.

    Parameters
    ----------
    task : str
        The task; what is no method adds nothing.
    student, teacher : Model
        What is trained; and of whom a distillation learns.
    gpu : GPU
        The part.
    f : Framework
        Whose constants.
    columns : dict of array
        The layouts, as :func:`hopperbook.training.step` takes them.
    **asked
        Further arguments of it: ``seq_len``, ``precision``, ``fabric``.

    Returns
    -------
    Beside
        Zero where a layout does not fit the second model either: its memory then says so.

    Notes
    -----
    Source: ``rafailov-2023-dpo``, ``shao-2024-deepseekmath``, ``hinton-2015-distillation``.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> from hopperbook.training import framework
    >>> llama, one = load("llama-3.1-8b"), {"gpus": np.array([8]), "tp": np.array([2]), "micro_batches": np.array([16])}
    >>> more = beside("dpo", llama, llama, facts.gpu("H100"), framework(), one, seq_len=4096, precision="bf16")
    >>> round(float(more.memory_bytes[0]) / 1e9, 1)  # GB: two bytes of half of 8.03 billion
    8.0
    """
    count = len(columns["gpus"])
    if task not in METHODS:
        return Beside(np.zeros(count), np.zeros(count))
    method = METHODS[task]
    second = teacher if task == "distill" else student
    whole = np.ones(count, dtype=np.int64)
    cut = {name: columns.get(name, whole) for name in ("tp", "pp", "ep")}
    fits = (second.heads % cut["tp"] == 0) & (cut["pp"] <= second.layers)
    held: dict[str, Any] = {name: np.where(fits, value, 1) for name, value in columns.items()}
    held |= {"gpus": columns["gpus"]}
    s = step(second, gpu, task="sft", framework_name=f, **held, **asked)
    dense, experts = rank_parameters(second, tp=cut["tp"], pp=cut["pp"], ep=cut["ep"])
    seconds = method.passes * forward_s(s, f)
    return Beside(np.where(fits, seconds, np.inf), np.where(fits, 2.0 * (dense + experts), np.inf))
