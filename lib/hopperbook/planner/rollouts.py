"""GRPO's roll-outs on the clock of serving: the same GPUs answer a batch of prompts, then train on the answers."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from hopperbook import facts, training
from hopperbook.customer import Customer
from hopperbook.errors import InputError
from hopperbook.models import load
from hopperbook.planner.tenure import assumptions
from hopperbook.serving import deploy
from hopperbook.serving.rollouts import rollouts_s
from hopperbook.training.methods import beside

#: GPUs of one server over which the policy is cut while it answers; and servers, where one does not hold it.
CUTS = (1, 2, 4, 8, 16, 32)


@functools.cache
def method_constants() -> dict[str, dict[str, float]]:
    """Return the constants of ``data/constants/methods.yaml`` by name: ``value``, ``low`` and ``high``.

    Returns
    -------
    dict of dict
        ``step_overhead`` of reinforcement learning, fitted; its ends are those of the judged runs.

    Examples
    --------
    >>> method_constants()["step_overhead"]["value"]
    1.74
    """
    return facts.read_yaml("constants/methods.yaml")


@functools.lru_cache(maxsize=4096)
def batch_s(model: str, part: str, gpus: int, sequences: int, prompt_tokens: int, mean: int, longest: int) -> float:
    """Return the seconds in which a cluster answers a batch of prompts, in the fastest cut of the policy.

    Parameters
    ----------
    model, part : str
        The policy, in 16 bits, and the GPU.
    gpus, sequences : int
        GPUs of the cluster, and prompts to answer.
    prompt_tokens, mean, longest : int
        Tokens of a prompt; of an answer, on average and at the most.

    Returns
    -------
    float
        Seconds; infinity where no cut of the policy fits.

    Examples
    --------
    >>> round(batch_s("Qwen/Qwen3-32B", "H100 SXM", 32, 2048, 150, 3056, 3946))  # of a step of 393
    83
    """
    policy, found = load(model), [np.inf]
    for tp in (tp for tp in CUTS if tp <= gpus and policy.heads % tp == 0):
        try:
            d = deploy(policy, part, tp=tp, precision="bf16", kv_precision="bf16")
        except InputError:
            continue
        found.append(rollouts_s(d, -(-sequences // (gpus // tp)), prompt_tokens, mean, longest))
    return float(min(found))


def with_rollouts(rows: pd.DataFrame, customer: Customer, part: str) -> pd.DataFrame:
    r"""Return training runs with the roll-outs of GRPO; runs of other tasks stay as they are.

    .. math:: r = \frac{N (p + o)}{\omega\,(t_\mathrm{roll} + N (p + o) / r_\mathrm{train})}

    with :math:`\omega` what real steps take beyond that (weights handed over, rewards, waiting), fitted.

    Parameters
    ----------
    rows : DataFrame
        Of :func:`hopperbook.training.best`: ``gpus tokens_per_s_per_gpu total_s mfu``.
    customer : Customer
        Task, model, tokens of prompts and roll-outs.
    part : str
        GPU.

    Returns
    -------
    DataFrame
        The same rows, tokens a second and MFU lowered.

    Notes
    -----
    Source: ``shao-2024-deepseekmath``; ``nvidia-2025-nemo-rl`` for the overhead.

    Examples
    --------
    >>> from hopperbook.customer import check
    >>> asked = check({"name": "A", "model": "llama-3.1-8b", "training_task": "grpo", "training_tokens": 1e9})
    >>> trained = pd.DataFrame({"gpus": [16], "tokens_per_s_per_gpu": [7000.0], "total_s": [10.0], "mfu": [0.3]})
    >>> round(float(with_rollouts(trained, asked, "H100 SXM").tokens_per_s_per_gpu[0]), -1)
    2030.0
    """
    if customer.training_task != "grpo" or rows.empty:
        return rows
    sequences = int(assumptions("planner")["rollout_sequences"])
    prompt, mean = customer.rollout_prompt_tokens, customer.rollout_tokens
    longest = customer.training_sequence_tokens - prompt
    name = customer.trained_model
    rolled = np.array([batch_s(name, part, int(g), sequences, prompt, mean, longest) for g in rows.gpus])
    tokens = sequences * (prompt + mean)
    trained = tokens / (rows.tokens_per_s_per_gpu.to_numpy() * rows.gpus.to_numpy())
    share = trained / ((rolled + trained) * method_constants()["step_overhead"]["value"])
    return rows.assign(
        tokens_per_s_per_gpu=rows.tokens_per_s_per_gpu * share, mfu=rows.mfu * share, total_s=rows.total_s / share
    )[np.isfinite(rolled)]


class Published(NamedTuple):
    """A published step of GRPO: its seconds, those counted here without any overhead, and what the row is used for."""

    model: str
    gpus: int
    release: str
    split: str
    step_s: float
    counted_s: float
    rollouts_s: float


@functools.cache
def published() -> tuple[Published, ...]:
    """Count the steps of ``data/rollouts.csv``, each in its own layout.

    Returns
    -------
    tuple of Published
        In the order of the file; roll-outs in the cut that the row names.

    Notes
    -----
    Source: ``nvidia-2025-nemo-rl``.

    Examples
    --------
    >>> first = published()[0]
    >>> first.model, first.step_s, round(first.counted_s)
    ('meta-llama/Llama-3.1-8B', 97.7, 55)
    """
    return tuple(_published(row) for row in facts.records("rollouts"))


def _published(row: Mapping[str, Any]) -> Published:
    """Count one published step: its sequences packed to the longest, in micro-batches of about four."""
    model, part = load(row["model"]), facts.gpu(row["gpu"])
    gpus, longest, cut = int(row["gpus"]), int(row["longest_tokens"]), int(row["rollout_tp"])
    mean = float(row["mean_tokens"]) - PROMPT_TOKENS
    d = deploy(model, part, tp=cut, precision="bf16", kv_precision="bf16")
    rolled = rollouts_s(d, float(row["sequences"]) * cut / gpus, PROMPT_TOKENS, mean, longest - PROMPT_TOKENS)
    layout = {name: int(row[name]) for name in ("tp", "cp", "ep", "pp")}
    bins = float(row["sequences"]) * float(row["mean_tokens"]) / longest
    bins /= gpus // (layout["tp"] * layout["cp"] * layout["pp"])
    each = max(1, round(bins / UPDATES))
    columns = {name: np.array([value]) for name, value in {**layout, "gpus": gpus, "micro_batches": each}.items()}
    framework = replace(training.framework(), tuning_document_share=1.0)
    asked: dict[str, Any] = {"seq_len": longest, "precision": "bf16"}
    tuned = training.step(model, part, task="sft", framework_name=framework, **asked, **columns)  # type: ignore[arg-type]
    more = beside("grpo", model, model, part, framework, columns, **asked)
    trained = float(tuned.total_s[0] + more.seconds[0]) * bins / each
    return Published(
        model.name, gpus, str(row["locator"]).split()[2], str(row["split"]), float(row["step_s"]), rolled + trained,
        rolled,
    )  # fmt: skip


#: Tokens of a prompt of the published runs, mathematics in a sentence or two (assumed); updates of a step.
PROMPT_TOKENS, UPDATES = 150, 4
