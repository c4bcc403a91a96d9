"""What every chapter needs around its calculators: inputs as rows, names for prose, checks of predictions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pandas as pd

from hopperbook import facts, units
from hopperbook.customer import Customer
from hopperbook.display import Input
from hopperbook.models import label as label

#: A customer's ``fp8_recipe`` in words.
RECIPE_WORDS = {
    "delayed": "one a tensor, of earlier steps",
    "current": "one a tensor, of this step",
    "row": "one a row, of this step",
    "block": "one a block of 128, of this step",
}
#: What may be trained, in words.
TASK_WORDS = {
    "none": "nothing",
    "pretrain": "pretraining",
    "sft": "fine-tuning of all weights",
    "lora": "adapters (LoRA)",
    "dpo": "preferences (DPO)",
    "grpo": "rewarded answers (GRPO)",
    "distill": "distillation",
}
#: The same in tables and labels.
SHORT_TASKS = {"pretrain": "pretraining", "sft": "fine-tuning", "lora": "LoRA"}
#: Label and formatter of the customer's fields, as the tables of inputs name them.
FIELD_WORDS: dict[str, tuple[str, Callable[..., object]]] = {
    "model": ("Model served", str),
    "trained_model": ("Model trained", str),
    "concurrency": ("Users at once at the busy hour", units.integer),
    "requests_per_s": ("Requests a second at the busy hour", lambda x: f"{x:g}" if x else "from the users"),
    "think_time_s": ("Seconds between an answer and the next request", lambda x: f"{x:g}"),
    "arrivals": ("How requests come", {"poisson": "at random", "bursty": "in bursts", "constant": "evenly"}.get),
    "prompt_tokens": ("New tokens of a prompt", units.integer),
    "history_tokens": ("Tokens of history before it", units.integer),
    "history_found": ("Share of the history found in the cache", units.percent),
    "output_tokens": ("Tokens of an answer", units.integer),
    "held_tokens": ("Tokens a user holds in the cache", units.integer),
    "ttft_target_ms": ("First token within, ms", units.integer),
    "ttft_percentile": ("For how many", lambda x: most_words(x).lower()),
    "tpot_target_ms": ("Each further token within, ms", units.integer),
    "tpot_percentile": ("For how many", lambda x: most_words(x).lower()),
    "busy_fraction": ("Mean load, share of the busy hour's", units.percent),
    "training_task": ("What is trained", lambda x: TASK_WORDS.get(x, x)),
    "training_tokens": ("Tokens of the training run", units.tokens),
    "training_sequence_tokens": ("Tokens of a training sequence", units.integer),
    "training_deadline_days": ("Deadline, days", lambda x: f"{x:g}"),
    "trainings_per_year": ("Runs a year", lambda x: f"{x:g}"),
    "small_services": ("Small services", units.integer),
    "small_model": ("Model of a small service", str),
    "hpc_hours_per_day": ("Hours of scientific work a day", lambda x: f"{x:g}"),
    "budget_usd_per_month": ("Budget, USD a month", lambda x: units.money(x) if x else "not stated"),
    "fp8_recipe": ("Scales of FP8 training", RECIPE_WORDS.get),
    "market": ("Rental market", {"other": "GPU clouds", "hyperscaler": "hyperscalers"}.get),
    "horizon_months": ("Months the plan must last", units.integer),
    "owned_gpus": ("GPUs owned today", units.integer),
    "owned_gpu": ("Kind of GPU owned", lambda x: x or "none"),
}

#: Files of ``data/measurements`` in words.
MEASURED = {
    "activations": "activation memory, as the authors of the formula report it",
    "inference": "offline throughput, TensorRT-LLM 1.0 and 1.2",
    "load": "serving under load",
    "nccl_multinode": "exchanges over servers",
    "offline_mlperf": "offline throughput, MLPerf Inference",
    "offline_trtllm014": "offline throughput, TensorRT-LLM 0.14",
    "online": "serving at a concurrency",
    "online_moe": "serving at a concurrency, Mixture of Experts",
    "products": "matrix products that we timed",
    "training_megatron": "training, Megatron and NeMo recipes",
    "training_mlperf": "training steps, MLPerf Training",
    "training_mpt": "training, MPT in LLM Foundry",
    "training_playbook": "training layouts, Ultra-Scale Playbook",
    "training_published": "training, single published runs",
}


def measured(file: str) -> str:
    """Name a file of measurements in words.

    Parameters
    ----------
    file : str
        Its name in ``data/measurements``, without its ending.

    Returns
    -------
    str
        What it holds; its name where no words are written for it.

    Examples
    --------
    >>> measured("training_mpt"), measured("mine")
    ('training, MPT in LLM Foundry', 'mine')
    """
    return MEASURED.get(file, file)


def most_words(percentile: str) -> str:
    """Say of how many requests a percentile speaks.

    Parameters
    ----------
    percentile : str
        ``mean``, ``p50``, ``p90``, ``p95`` or ``p99``.

    Returns
    -------
    str
        The beginning of a sentence about requests.

    Examples
    --------
    >>> most_words("p95"), most_words("mean")
    ('95 in 100', 'On average')
    """
    return "On average" if percentile == "mean" else f"{percentile[1:]} in 100"


def yours(customer: Customer, *fields: str) -> list[Input]:
    """List the customer's own inputs as rows of a chapter's table.

    Parameters
    ----------
    customer : Customer
        Whose values.
    *fields : str
        Fields of ``FIELD_WORDS``.

    Returns
    -------
    list of Input
        One row each, kind ``yours``.

    Examples
    --------
    >>> from hopperbook.customer import check
    >>> yours(check({"name": "A", "model": "llama-3.1-8b"}), "concurrency")[0].value
    '32'
    """
    rows = []
    for field in fields:
        words, fmt = FIELD_WORDS[field]
        value = getattr(customer, field)
        shown = label(value) if field.endswith("model") else fmt(value)
        rows.append(Input(words, str(shown), "yours", "customer file"))
    return rows


def cite(key: str) -> str:
    """Name a source in a few words, from its key in ``data/references.bib``.

    Parameters
    ----------
    key : str
        Key, or several joined by commas.

    Returns
    -------
    str
        Title and year; where there is none the key itself, of a repository its name alone.

    Examples
    --------
    >>> cite("nvidia-h100-whitepaper-2023")
    'NVIDIA H100 Tensor Core GPU Architecture, 2023'
    """
    known = facts.references()
    titles = []
    for each in key.split(", "):
        entry = known.get(each.split(":")[0].strip())
        titles.append(_title(entry) if entry else each.split("@")[0])
    titles = list(dict.fromkeys(titles))
    more = f" and {len(titles) - 2} more" if len(titles) > 2 else ""
    return "; ".join(titles[:2]) + more


def from_file(source: str) -> str:
    """Say in words where a fact comes from whose source may be a file of ours.

    Parameters
    ----------
    source : str
        Keys as of :func:`cite`, or files of ``data/``.

    Returns
    -------
    str
        Titles of the sources; of our own files, whose rows name theirs, that they are our lists.

    Examples
    --------
    >>> from_file("data/constants/cost.yaml"), from_file("data/prices.csv, data/costs.csv"), from_file("customer file")
    ('our assumption', 'our list of prices', 'customer file')
    """
    if source.startswith("data/constants/"):
        return "our assumption"
    return "our list of prices" if source.startswith("data/") else cite(source)


def _title(entry: Mapping[str, str]) -> str:
    title = entry.get("title", "").replace("{", "").replace("}", "")
    short = title if len(title) <= 60 else title[:57].rsplit(" ", 1)[0] + " …"
    return f"{short}, {entry['year']}" if entry.get("year") else short


#: The least share that is shown in per cent.
TINY = 1e-3


def error_words(rows: pd.DataFrame) -> dict[str, str]:
    """Say how far predictions lie from measurements, for prose.

    Parameters
    ----------
    rows : DataFrame
        With ``error``, ``measured``, ``low`` and ``high``.

    Returns
    -------
    dict of str
        ``n``, ``median`` and ``mean`` absolute error, ``bias``, ``coverage`` and ``worst``, formatted.

    Examples
    --------
    >>> rows = pd.DataFrame({"error": [0.1, -0.1], "measured": [1, 1], "low": [0.9, 0.9], "high": [1.2, 0.95]})
    >>> error_words(rows)["coverage"].replace(units.THIN, " ")
    '50 %'
    """
    median = rows.error.abs().median()
    inside = rows.inside if "inside" in rows else (rows.measured >= rows.low) & (rows.measured <= rows.high)
    return {
        "n": units.integer(len(rows)),
        "median": f"less than {units.percent(TINY)}" if 0 < median < TINY / 2 else units.percent(median),
        "mean": units.percent(rows.error.abs().mean()),
        "bias": units.percent(rows.error.median()),
        "coverage": units.percent(inside.mean()),
        "worst": units.percent(rows.error.loc[rows.error.abs().idxmax()]),
    }


def join(words: Sequence[str]) -> str:
    """Join words for a sentence.

    Parameters
    ----------
    words : sequence of str
        Two or more, or fewer.

    Returns
    -------
    str
        ``a, b and c``.

    Examples
    --------
    >>> join(["a", "b", "c"]), join(["a"])
    ('a, b and c', 'a')
    """
    words = list(words)
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1] if words else ""
