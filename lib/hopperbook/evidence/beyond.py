"""What a prediction rests on: the family of evidence that its range comes from, and how far it leaves measurement."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any, NamedTuple

from hopperbook import facts
from hopperbook.evidence.intervals import (
    beyond_exponent,
    distance,
    interval,
    intervals,
    known_family,
    one_campaign_exponent,
)
from hopperbook.serving import Deployment

#: Families from which it is learnt how much wider a range must be where a version, a model or a prompt is new.
ONLINE, OFFLINE, TRAINING = (
    "serving/tpot_ms/online", "serving/output_tokens_per_s/offline", "training/tokens_per_s_per_gpu/dense",
)  # fmt: skip


class Band(NamedTuple):
    """An 80 % range as factors on a prediction, the family of evidence it comes from, and why it is wider than that."""

    low: float
    high: float
    family: str
    beyond: tuple[str, ...] = ()


@cache
def _rules() -> dict[str, Any]:
    return facts.read_yaml("constants/evidence.yaml")


def own_family(d: Deployment) -> str:
    """Name what a replica's measurements are filed under: its kind of model and engine.

    Engines whose steps hold prompts or answers but not both (``in-turns``) stand apart: their users move in lockstep.

    Parameters
    ----------
    d : Deployment
        The replica.

    Returns
    -------
    str
        Such as ``moe/vllm``.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> from hopperbook.serving import deploy
    >>> own_family(deploy(load("llama-3.1-8b"), "H100 SXM"))
    'dense/vllm'
    """
    kind = "moe" if d.model.experts else "dense"
    turns = ("/in-turns" if d.model.experts else "-in-turns") if d.engine.prefill_first else ""
    return f"{kind}{turns}/{d.engine.name}"


def together(reasons: Mapping[str, float]) -> float:
    r"""Return the exponent that widens a range for several reasons at once.

    .. math:: w = 1 + \sum_r (e_r - 1)

    Parameters
    ----------
    reasons : mapping of float
        Exponent by reason, each at least 1.

    Returns
    -------
    float
        1 without reasons.

    Examples
    --------
    >>> together({"another part": 1.5, "another format": 1.5})
    2.0
    """
    return 1 + sum(exponent - 1 for exponent in reasons.values())


def serving_family(d: Deployment) -> tuple[str, bool]:
    """Name the family of measurements at a concurrency that speaks for a replica.

    Parameters
    ----------
    d : Deployment
        The replica.

    Returns
    -------
    str
        Kind of model and engine, such as ``moe/vllm``; the kind alone where its engine has too few groups of rows.
    bool
        Whether that family is of the replica's own engine version.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> from hopperbook.serving import deploy
    >>> serving_family(deploy(load("gpt-oss-120b"), "H100 SXM"))
    ('moe/vllm', True)
    """
    own = own_family(d)
    name = known_family(f"{ONLINE}/{own}").removeprefix(ONLINE).strip("/")
    return name, name == own


def serving_beyond(d: Deployment, prompt_tokens: float = 0.0) -> dict[str, float]:
    """Say in which respects a replica lies beyond the measurements of its family, and by how much each widens a range.

    Parameters
    ----------
    d : Deployment
        The replica.
    prompt_tokens : float
        Tokens of its prompts, where known.

    Returns
    -------
    dict of float
        Exponent by reason: engine, model, format, layout, long prompts, kinds of layers; a part that another times is
        named with 1, since its range is that of stand-ins themselves (``data/stand_ins.yaml``), with more if it is
        another maker's; empty where all were measured.  What leaving out whole versions, models and prompts showed
        decides (``distances`` of ``data/intervals.yaml``), else ``data/constants/evidence.yaml``.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> from hopperbook.serving import deploy
    >>> list(serving_beyond(deploy(load("gpt-oss-120b"), "H100 NVL", tp=2, precision="int4"), 32768))
    ['H100 NVL is timed by H100 SXM', 'prompts beyond 8,192 tokens', 'no rows in INT4']
    """
    measured, found = _rules()["measured_serving"], {}
    if d.gpu.stand_in["serving"]:
        found[f"{d.gpu.name} is timed by {d.gpu.kernels_of}"] = 1.0 if d.gpu.cuda else beyond_exponent()
    name, own = serving_family(d)
    if not own:
        found[f"we have no ranges for this engine and use those of {name or 'all engines'}"] = distance(
            ONLINE, "version"
        )
    if d.model.name not in measured["models"]:
        found[f"no rows of {d.model.name.split('/')[-1]}"] = distance(ONLINE, "model")
    if prompt_tokens > measured["prompt_tokens"]:
        found[f"prompts beyond {measured['prompt_tokens']:,} tokens"] = distance(OFFLINE, "long prompts")
    if d.weights not in measured["precision"]:
        found[f"no rows in {d.weights.upper()}"] = beyond_exponent()
    if d.kv_precision in ("fp8", "int8") and "fp8" not in d.gpu.dense_flop_per_s:
        has = facts.read_yaml("constants/serving.yaml")["narrow_caches"][d.engine.tables]
        other = "" if d.kv_precision in has else f": this engine has {has[0].upper()}, of as many bytes"
        found[f"no rows of a cache in {d.kv_precision.upper()} on {d.gpu.architecture}{other}"] = beyond_exponent()
    if d.pp > measured["pp"] or d.attention_dp > measured["attention_dp"]:
        found["no rows of pipeline stages or attention replicas"] = beyond_exponent()
    if d.adapters:
        found["no rows with adapters"] = beyond_exponent()
    for reason in d.model.unmeasured:
        found[reason] = beyond_exponent()
    return found


def serving_band(d: Deployment, quantity: str) -> Band:
    r"""Return the 80 % range of a quantity of a replica at a concurrency.

    .. math:: (l^w, h^w)

    with w as :func:`together` gives it.

    Parameters
    ----------
    d : Deployment
        The replica.
    quantity : str
        ``ttft_ms`` or ``tpot_ms``; throughput is the inverse of the time per token.

    Returns
    -------
    Band
        Factors on the prediction, family, and reasons to be wider.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> from hopperbook.serving import deploy
    >>> band = serving_band(deploy(load("gpt-oss-120b"), "H100 SXM"), "tpot_ms")
    >>> band.family, round(band.low, 2), round(band.high, 2)
    ('serving/tpot_ms/online/moe/vllm', 0.9, 1.3)
    """
    reasons = serving_beyond(d)
    return _band(f"serving/{quantity}/online/{serving_family(d)[0]}", reasons, d.gpu.stand_in["serving"])


def load_band(d: Deployment) -> Band:
    """Return the 80 % range of the mean first token of a replica that requests reach over time.

    Parameters
    ----------
    d : Deployment
        The replica.

    Returns
    -------
    Band
        Factors on the prediction, family, and reasons to be wider.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> from hopperbook.serving import deploy
    >>> band = load_band(deploy(load("llama-3.1-8b"), "H100 SXM"))
    >>> band.family, round(band.low, 2), round(band.high, 2)
    ('load/ttft_mean_ms/over_time/dense', 1.0, 1.62)
    """
    return _band(f"load/ttft_mean_ms/over_time/{own_family(d)}", serving_beyond(d), d.gpu.stand_in["serving"])


@lru_cache(maxsize=4096)
def bands(d: Deployment) -> dict[str, tuple[float, float]]:
    """Return the 80 % factors of a replica's latencies and throughput, wider where it lies beyond measurement.

    The first token's are those of runs under load: it waits for others, which runs at a concurrency do not show.

    Parameters
    ----------
    d : Deployment
        The replica: part, engine, format and layout decide.

    Returns
    -------
    dict
        Of ``tpot``, ``ttft`` and ``throughput``: (low, high) over the prediction.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> from hopperbook.serving import deploy
    >>> known, other = (deploy(load("mixtral-8x7b"), part, tp=2) for part in ("H100 SXM", "H100 NVL"))
    >>> round(bands(known)["tpot"][1], 3), round(bands(other)["tpot"][1], 3)
    (1.297, 1.332)
    """
    tpot, ttft = serving_band(d, "tpot_ms"), load_band(d)
    low, high = 1 / tpot.high, 1 / tpot.low
    return {"tpot": (tpot.low, tpot.high), "ttft": (ttft.low, ttft.high), "throughput": (low, high)}


def training_band(part: facts.GPU, experts: bool) -> Band:
    """Return the 80 % range of a training run's throughput on a part.

    Parameters
    ----------
    part : GPU
        The part.
    experts : bool
        A Mixture of Experts is trained.

    Returns
    -------
    Band
        Factors on the prediction, family, and reasons to be wider.

    Examples
    --------
    >>> training_band(facts.gpu("H200"), experts=False).beyond
    ('H200 SXM is timed by long runs of H100 SXM',)
    """
    family = "training/tokens_per_s_per_gpu" + ("-moe/megatron" if experts else "/dense/megatron")
    near = part.stand_in["training"]
    exponent = 1.0 if part.cuda else beyond_exponent()
    reasons = {f"{part.name} is timed by long runs of {part.long_runs_of}": exponent} if near else {}
    if experts:
        reasons["runs of experts are those of one laboratory"] = one_campaign_exponent()
    return _band(family, reasons, near)


def _band(family: str, reasons: dict[str, float], near: str) -> Band:
    """Return the range of the longest known beginning of a family, widened by a stand-in and all reasons together."""
    while family.count("/") > 1 and family not in intervals():
        family = family.rpartition("/")[0]
    low, high = interval(family, together(reasons), near)
    return Band(low, high, family, tuple(reasons))
