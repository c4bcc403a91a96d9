"""How wrong a part is timed when another part's kernels stand in for its own: measured parts timed as if they were new.

Each trial takes the judged rows of one part and times them twice: by its own kernels, and by another part's on the
ratio of their rooflines.  From the second comes the range of a part that nobody has measured: the factor by which
ranges must grow at both ends for four rows in five to lie within them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from hopperbook import facts, kernels, serving
from hopperbook.errors import InputError
from hopperbook.evidence import training
from hopperbook.evidence.beyond import own_family
from hopperbook.evidence.intervals import interval
from hopperbook.evidence.rows import measurements, suspect
from hopperbook.evidence.serving import Load, resolve

#: Part, and the part whose kernels time it instead.
TRIALS = (
    ("A100 PCIe 80GB", "A100 SXM 80GB"),
    ("H200 SXM", "H100 SXM"),
    ("H100 SXM", "H200 SXM"),
    ("H100 SXM", "A100 SXM 80GB"),
    ("A100 SXM 80GB", "H100 SXM"),
)
SERVING = ("online", "inference", "offline_trtllm014")
TRAINING = ("training_mpt", "training_megatron", "training_published")
SHARE = 0.8
#: Rows that a trial needs to say anything.
LEAST_ROWS = 10
#: One figure seen twice.
TWICE = ("output_tokens_per_s", "tpot_ms")


class Trial(NamedTuple):
    """One quantity of one part timed by another: rows; errors and factors by its own kernels and by the other's."""

    part: str
    stand_in: str
    near: str
    work: str
    quantity: str
    n: int
    own_median_abs_error: float
    median_abs_error: float
    bias: float
    own_factor: float
    factor: float


@dataclass(frozen=True)
class Answer:
    """One measured row: its family, what was measured, and both predictions."""

    family: str
    quantity: str
    measured: float
    own: float
    other: float


@cache
def as_if_new(part: str, stand_in: str) -> facts.GPU:
    """Return a part as if nothing of its own had been measured and another part's kernels and long runs timed it.

    Parameters
    ----------
    part, stand_in : str
        Names.

    Returns
    -------
    GPU
        With the part's own peaks, memory and links.

    Examples
    --------
    >>> new = as_if_new("H100 SXM", "A100 SXM 80GB")
    >>> new.kernels_of, round(new.dense_flop_per_s["bf16"] / 1e12)
    ('A100 SXM 80GB', 989)
    """
    other = facts.gpu(stand_in)
    return replace(
        facts.gpu(part), name=f"{part} as if new", architecture=other.architecture, kernels_of=stand_in,
        long_runs_of=stand_in, measured=(),
    )  # fmt: skip


def near(part: str, stand_in: str) -> str:
    """Say whether two parts share a compute capability: ``same`` or ``another``.

    Examples
    --------
    >>> near("H200 SXM", "H100 SXM"), near("A100 SXM 80GB", "H100 SXM")
    ('same', 'another')
    """
    return "same" if facts.gpu(part).compute_capability == facts.gpu(stand_in).compute_capability else "another"


def _rows(names: tuple[str, ...], part: str) -> Iterator[dict[str, str]]:
    """Yield the judged rows of a part."""
    for name in names:
        table = measurements(name, "judge")
        table = table[~suspect(table) & (table.get("suspect", "") != "yes")]
        yield from table[table["gpu"].map(_name) == part].to_dict("records")


@cache
def _name(text: str) -> str:
    try:
        return facts.gpu(text).name
    except InputError:
        return ""


def _held(load: Load, stand_in: str) -> bool:
    """Return whether the stand-in has kernels in the formats of a row's weights."""
    d = load.deployment
    held = kernels.engine_tables(stand_in, d.engine.tables)
    linear = {key[0] for key in held["gemm"]}
    experts = {key[0] for key in held["moe"]}
    wanted = kernels.table_names(d.precision)[0] in linear
    return wanted and (not d.model.experts or kernels.table_names(d.moe_precision)[0] in experts)


def _timed(load: Load, d: serving.Deployment) -> dict[str, float]:
    """Return the quantities of a row on a deployment."""
    if load.concurrency is None:
        rate, _ = serving.offline(d, load.input_tokens, load.output_tokens, load.requests_each)
        return {"output_tokens_per_s": load.replicas * rate}
    loop = load.loop(d)
    rate = load.replicas * loop.output_tokens_per_s
    return {"ttft_ms": 1e3 * loop.ttft_s, "tpot_ms": 1e3 * loop.tpot_s, "output_tokens_per_s": rate}


@cache
def serving_answers(part: str, stand_in: str) -> tuple[Answer, ...]:
    """Time the judged serving rows of a part by its own kernels and by another's.

    Parameters
    ----------
    part, stand_in : str
        Names.

    Returns
    -------
    tuple of Answer
        Rows whose formats the stand-in has kernels for; Mixtures of Experts without a stated layout are left out.

    Examples
    --------
    >>> answers = serving_answers("A100 PCIe 80GB", "A100 SXM 80GB")
    >>> len(answers), sorted({a.quantity for a in answers})
    (31, ['output_tokens_per_s'])
    """
    new, found = as_if_new(part, stand_in), []
    twin: dict[serving.Deployment, serving.Deployment] = {}
    for row in _rows(SERVING, part):
        try:
            load = resolve(row)
        except InputError:
            continue
        d = load.deployment
        if not _held(load, stand_in) or (load.concurrency is None and d.model.experts):
            continue
        other = twin.setdefault(d, replace(d, gpu=new))
        own, by_other = _timed(load, d), _timed(load, other)
        where = "online" if load.concurrency else "offline"
        for quantity in own:
            if row.get(quantity):
                family = f"serving/{quantity}/{where}/{own_family(d)}"
                found.append(Answer(family, quantity, float(row[quantity]), own[quantity], by_other[quantity]))
    return tuple(found)


@cache
def training_answers(part: str, stand_in: str) -> tuple[Answer, ...]:
    """Time the judged training rows of a part, of one stated layout, by its own kernels and by another's.

    Parameters
    ----------
    part, stand_in : str
        Names.

    Returns
    -------
    tuple of Answer
        Rows in formats that the stand-in computes in.

    Examples
    --------
    >>> answers = training_answers("A100 SXM 80GB", "H100 SXM")
    >>> len(answers) > 50, answers[0].quantity
    (True, 'tokens_per_s_per_gpu')
    """
    new, quantity = as_if_new(part, stand_in), "tokens_per_s_per_gpu"
    groups: dict[training.Options, list[tuple[training.Layout, float]]] = {}
    for row in _rows(TRAINING, part):
        try:
            options, layouts, _ = training.read_row(row)
        except InputError:
            continue
        if row.get(quantity) and len(layouts) == 1:
            groups.setdefault(options, []).append((layouts[0], float(row[quantity])))
    found = []
    for options, pairs in groups.items():
        try:
            own, other = (training.timed(options, [pair[0] for pair in pairs], gpu) for gpu in (None, new))
        except InputError:
            continue
        family = f"training/{quantity}" + ("-moe" if options.model.experts else "/dense")
        for (_, measured), a, b in zip(pairs, own.tokens_per_s_per_gpu, other.tokens_per_s_per_gpu, strict=True):
            found.append(Answer(family, quantity, measured, float(a), float(b)))
    return tuple(found)


def factor(ratios: ArrayLike, families: Sequence[str]) -> float:
    r"""Return by how much the ranges of families must grow at both ends for four rows in five to lie within them.

    .. math:: f = \exp \max\left(0,\, Q_{0.8}\left[\max\left(\ln \tfrac{r}{h}, \ln \tfrac{l}{r}\right)\right]\right)

    with the ends l and h of each row's own family: what its own kernels leave unexplained is not counted again.

    Parameters
    ----------
    ratios : array
        Measured over predicted, r.
    families : sequence of str
        Family of each row.

    Returns
    -------
    float
        At least 1; the same both ways, since a new part may lie on either side.

    Notes
    -----
    Source: ``vovk-2005-conformal``, on the score of conformal quantile regression.

    Examples
    --------
    >>> factor([1.0] * 5, ["serving/tpot_ms"] * 5), round(factor([1.5] * 5, ["serving/tpot_ms"] * 5), 1)
    (1.0, 1.3)
    """
    log = np.log(np.asarray(ratios, float))
    low, high = np.log(np.array([interval(family) for family in families])).T
    outside = np.sort(np.maximum(log - high, low - log))
    at = min(len(outside) - 1, math.ceil((len(outside) + 1) * SHARE) - 1)
    return float(np.exp(max(0.0, outside[at])))


def trials() -> list[Trial]:
    """Run every trial.

    Returns
    -------
    list of Trial
        One a pair of parts and quantity with rows enough.

    Examples
    --------
    >>> all(trial.n >= 10 and trial.factor >= 1 for trial in trials())
    True
    """
    found = []
    for part, stand_in in TRIALS:
        for work, ask in (("serving", serving_answers), ("training", training_answers)):
            answers = pd.DataFrame([vars(a) for a in ask(part, stand_in)])
            for quantity, rows in answers.groupby("quantity") if len(answers) else ():
                if len(rows) >= LEAST_ROWS:
                    found.append(_trial(part, stand_in, work, str(quantity), rows))
    return found


def factors(done: Sequence[Trial]) -> dict[str, dict[str, float]]:
    """Return the factor of each quantity, by how near the stand-in is: that of the worst trial, over its own kernels'.

    A new part is one more pair of parts, not one more row, and the pairs are few.  Never surer of another generation
    than of the same; the time per token and throughput are one figure seen twice.

    Parameters
    ----------
    done : sequence of Trial
        All of them.

    Returns
    -------
    dict of dict of float
        By ``same`` or ``another`` compute capability, and quantity.

    Examples
    --------
    >>> base = ("serving", "tpot_ms", 30, 0.02, 0.1, 0.1, 1.0)
    >>> done = [Trial("B", "A", "same", *base, 1.1), Trial("C", "B", "another", *base, 1.2)]
    >>> factors(done)["another"]
    {'output_tokens_per_s': 1.2, 'tpot_ms': 1.2}
    """
    found: dict[str, dict[str, float]] = {"same": {}, "another": {}}
    for trial in done:
        for near_ in ("same", "another") if trial.near == "same" else ("another",):
            for quantity in TWICE if trial.quantity in TWICE else (trial.quantity,):
                found[near_][quantity] = max(found[near_].get(quantity, 1.0), round(trial.factor / trial.own_factor, 3))
    return {kind: dict(sorted(known.items())) for kind, known in found.items()}


def _trial(part: str, stand_in: str, work: str, quantity: str, rows: pd.DataFrame) -> Trial:
    own, other = (rows[name] / rows.measured - 1 for name in ("own", "other"))
    errors = (float(own.abs().median()), float(other.abs().median()), float(other.median()))
    within = (factor(rows.measured / made, list(rows.family)) for made in (rows.own, rows.other))
    rounded = (round(each, 3) for each in (*errors, *within))
    return Trial(part, stand_in, near(part, stand_in), work, quantity, len(rows), *rounded)
