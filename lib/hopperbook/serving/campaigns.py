"""What published campaigns set of an engine: the token budget of a step, and requests queued at once."""

from __future__ import annotations

from functools import cache
from typing import Any

from hopperbook import facts
from hopperbook.serving.deployment import Deployment


@cache
def _runs() -> tuple[dict[str, Any], ...]:
    return tuple(facts.read_yaml("constants/serving.yaml")["runs"])


def published_budget(source: str, d: Deployment, input_tokens: int, users: int) -> int | None:
    """Return a step's token budget where a campaign is known to have set it to one prompt and the running decodes.

    Parameters
    ----------
    source : str
        The row's source.
    d : Deployment
        The replica; an engine whose steps hold prompts alone keeps its own budget.
    input_tokens, users : int
        Tokens of a prompt as the row counts them, and users of the replica.

    Returns
    -------
    int or None
        The budget, less the tokens that a model's tokenizer adds to each prompt.

    Examples
    --------
    >>> from hopperbook.serving import deploy
    >>> from hopperbook.models import load
    >>> published_budget("NVIDIA test", deploy(load("qwen3-32b"), "H100 SXM", tp=2), 1024, 16)
    1040
    """
    for run in _runs():
        if "step_tokens" in run and run["campaign"] in source and not d.engine.prefill_first:
            return input_tokens + users - run["added_tokens"].get(d.model.name.split("/")[0], 0)
    return None


def published_requests(source: str, input_tokens: int, output_tokens: int) -> int | None:
    """Return how many requests a published campaign queued at once for a pair of lengths, where it says so.

    Parameters
    ----------
    source : str
        The row's source.
    input_tokens, output_tokens : int
        Lengths.

    Returns
    -------
    int or None
        Requests of the whole run.

    Examples
    --------
    >>> published_requests("NVIDIA/TensorRT-LLM perf-overview.md", 128, 2048)
    3000
    """
    for run in _runs():
        if "requests" in run and run["campaign"] in source:
            return run["requests"].get(f"{input_tokens}/{output_tokens}")
    return None
