"""Answers to rows that measure training: throughput, step time and peak memory, and the activations of a rank.

A row becomes the layouts it may mean (one where everything is stated, several where the micro-batch or the interleaving
is not); rows that share model, part and options are timed together, and the fastest layout that fits answers.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hopperbook import facts, models, units
from hopperbook.errors import InputError
from hopperbook.evidence.intervals import interval, one_campaign, one_campaign_exponent
from hopperbook.evidence.rows import answered, cell, number
from hopperbook.kernels import collectives
from hopperbook.memory.training import activation_bytes, sharding_stage
from hopperbook.training import TASKS, Framework, Step, constants, framework, step
from hopperbook.training.run import usable_bytes
from hopperbook.units import GIB

_SHAPE = ("layers", "hidden", "heads", "kv_heads", "head_dim", "ffn", "vocab")
_EXPERTS = ("experts", "experts_per_token", "expert_ffn")
_YES, _NO = ("yes", "true", "1", "y"), ("no", "false", "0", "n")
_RECOMPUTE = {"none": "none", "no": "none", "selective": "selective", "full": "full", "selective op": "selective"}
_RECOMPUTE |= {"uniform": "full", "block": "full", "selective layer": "selective"}
_MICRO_BATCHES_IF_UNKNOWN = 8


class Options(NamedTuple):
    """What must be equal for rows to be timed in one call."""

    model: models.Model
    gpu_name: str
    power_limit_w: float | None
    precision: str
    sharding: str
    recompute: str
    task: str
    framework: str
    fabric: str | None
    sequence_parallel: bool
    recompute_stated: bool
    document_share: float | None = None
    age: float = 1.0

    @property
    def gpu(self) -> facts.GPU:
        """The part, with its power limit."""
        return _gpu(self.gpu_name, self.power_limit_w)


class Layout(NamedTuple):
    """One layout that a row may mean."""

    gpus: int
    seq_len: int
    tp: int
    pp: int
    vpp: int
    cp: int
    ep: int
    micro_batch: int
    micro_batches: int
    shard_ranks: int


def predict_training(rows: pd.DataFrame, quantities: list[str]) -> pd.DataFrame:
    """Answer training rows.

    Parameters
    ----------
    rows : DataFrame
        Text cells.
    quantities : list of str
        Of ``tokens_per_s_per_gpu``, ``model_tflops_per_gpu``, ``step_s`` and ``memory_gib``.

    Returns
    -------
    DataFrame
        The quantities, ``note``, ``family``, ``near`` and ``wider``.

    Examples
    --------
    >>> row = dict(model="llama-3.1-8b", gpu="H100 SXM", gpus="8", seq_len="8192", precision="bf16", cp="2")
    >>> row |= dict(micro_batch="1", global_batch="128", framework="NeMo v24.11.1")
    >>> answer = predict_training(pd.DataFrame([row]), ["tokens_per_s_per_gpu"]).iloc[0]
    >>> round(float(answer.tokens_per_s_per_gpu) / 1e3, 1)  # thousands; published: 10.153 (nvidia-dgxc-benchmarking)
    10.1
    """
    blank = dict.fromkeys(quantities, np.nan) | {"note": "", "family": "training", "near": "", "wider": 1.0}
    lines: list[dict[str, Any]] = [dict(blank) for _ in range(len(rows))]
    asked: dict[Options, list[tuple[int, Layout]]] = {}
    notes: dict[int, list[str]] = {}
    for at, row in enumerate(rows.to_dict("records")):
        try:
            options, layouts, notes[at] = read_row(row)
            asked.setdefault(options, []).extend((at, layout) for layout in layouts)
        except InputError as problem:
            lines[at]["note"] = str(problem)
    for options, pairs in asked.items():
        _answer_group(options, pairs, notes, lines, quantities)
    return pd.DataFrame(lines, index=rows.index, columns=list(blank))


def _answer_group(
    options: Options, pairs: list[tuple[int, Layout]], notes: dict[int, list[str]], lines: list[dict[str, Any]],
    quantities: list[str],
) -> None:  # fmt: skip
    """Time the layouts of rows with equal options and write each row's fastest that fits."""
    try:
        result = timed(options, [layout for _, layout in pairs])
    except InputError as problem:
        for at in {at for at, _ in pairs}:
            lines[at]["note"] = str(problem)
        return
    room, capacity = usable_bytes(options.gpu), options.gpu.memory_bytes
    need, least = result.memory_bytes, result.memory_bytes
    partly = (
        not options.recompute_stated or options.recompute == "selective"
    )  # how much it keeps is for its user to say
    if partly and np.any(need > room):
        least = timed(options._replace(recompute="full"), [layout for _, layout in pairs]).memory_bytes
    low, _ = interval("training/memory_gib")
    rank = np.where(need <= room, np.round(result.total_s / _tokens(pairs), 15), np.inf)
    of_row = np.array([at for at, _ in pairs])
    for at in np.unique(of_row):
        mine = np.flatnonzero(of_row == at)
        fits = np.isfinite(rank[mine]).any()
        best = mine[np.argmin(rank[mine])] if fits else mine[np.argmin(least[mine])]
        words = list(notes[at])
        if least[best] * low > capacity:
            short = f"{units.fixed(least[best] / GIB)} GiB of {units.fixed(capacity / GIB)} GiB a GPU"
            words.append(f"needs about {short}: does not fit")
            lines[at]["note"] = "; ".join(words)
            continue
        layout = pairs[best][1]
        if len(mine) > 1:
            words.append(f"we took the fastest that fits: micro-batch {layout.micro_batch}, vpp {layout.vpp}")
        if not fits:
            how = "with selective" if options.recompute == "selective" else "without"
            words.append(f"memory is tight: about {units.fixed(need[best] / GIB)} GiB {how} recomputation")
        lines[at] |= _line(options, layout, result, best, quantities)
        lines[at]["note"] = "; ".join(filter(None, words))


def _line(options: Options, layout: Layout, result: Step, best: int, quantities: list[str]) -> dict[str, Any]:
    """Return one row's quantities, family and whether they leave what was measured."""
    rate = float(result.tokens_per_s_per_gpu[best])
    flop = models.training_flop_per_token(options.model, layout.seq_len)
    values = {
        "tokens_per_s_per_gpu": rate, "model_tflops_per_gpu": rate * flop / 1e12,
        "step_s": float(result.total_s[best]), "memory_gib": float(result.memory_bytes[best]) / GIB,
    }  # fmt: skip
    record = framework(options.framework, options.gpu.architecture)
    kind = "-ranking" if record.ranking else "-moe" if options.model.experts else "/dense"
    tuned = "" if options.task == "pretrain" else "/tuning"
    alike = record.name in one_campaign() or (options.model.experts and "experts" in one_campaign())
    return {quantity: values[quantity] for quantity in quantities} | {
        "family": f"training{kind}/{record.name}{tuned}",
        "near": options.gpu.stand_in["training"],
        "wider": one_campaign_exponent() if alike else 1.0,
    }


def _tokens(pairs: list[tuple[int, Layout]]) -> NDArray[np.float64]:
    sequences = [x.gpus // (x.tp * x.pp * x.cp) * x.micro_batch * x.micro_batches for _, x in pairs]
    return np.array(sequences, float) * np.array([x.seq_len for _, x in pairs], float)


def timed(options: Options, layouts: list[Layout], part: facts.GPU | None = None) -> Step:
    """Run :func:`hopperbook.training.step` on a list of layouts.

    Parameters
    ----------
    options : Options
        What they share.
    layouts : list of Layout
        The layouts.
    part : GPU, optional
        A part in place of the options' own, such as one that another's kernels time.

    Returns
    -------
    Step
        Arrays as long as ``layouts``.
    """
    columns = {name: np.array(values) for name, values in zip(Layout._fields, zip(*layouts, strict=True), strict=True)}
    record = on_data(framework(options.framework, options.gpu.architecture), options)
    result = step(
        options.model, part or options.gpu, precision=options.precision, sharding=options.sharding,
        recompute=options.recompute, task=options.task, framework_name=record, fabric=options.fabric,
        sequence_parallel=options.sequence_parallel, **columns,
    )  # fmt: skip
    return aged(result, options.age)


def on_data(record: Framework, options: Options) -> Framework:
    """Return a framework's constants on the data set of some rows, where theirs has documents of its own length."""
    share = options.document_share
    return record if share is None else dataclasses.replace(record, tuning_document_share=share)


def aged(result: Step, factor: float) -> Step:
    """Return steps that take longer or shorter by the age of their software.

    Parameters
    ----------
    result : Step
        Steps.
    factor : float
        Seconds over those given.

    Returns
    -------
    Step
        The same with all seconds longer by the factor, rates lower.
    """
    if factor == 1.0:
        return result
    slower = ("tokens_per_s_per_gpu", "mfu")
    changed = {name: factor * each for name, each in result._asdict().items() if name.endswith("_s")}
    return result._replace(**(changed | {name: getattr(result, name) / factor for name in slower}))


def age_factor(date: str) -> float:
    """Return how much longer a pretraining step took with the software of a date.

    Parameters
    ----------
    date : str
        ``YYYY-MM``, with or without a day.

    Returns
    -------
    float
        Seconds over those of the framework's record; 1 where there is no date.

    Examples
    --------
    >>> [round(age_factor(date), 2) for date in ("", "2023-06", "2023-12", "2025-11")]
    [1.0, 1.16, 1.03, 0.91]
    """
    found = re.match(r"(\d{4})-(\d{2})", date)
    if not found:
        return 1.0
    known = constants()["age"]
    at = int(found.group(1)) + (int(found.group(2)) - 0.5) / 12
    return float(np.exp(np.interp(at, known["dates"], np.log(known["factor"]))))


def read_row(row: dict[str, str]) -> tuple[Options, list[Layout], list[str]]:
    """Read a training row: what it shares with others, the layouts it may mean, and what was assumed.

    Parameters
    ----------
    row : dict of str
        Cells as text.

    Returns
    -------
    Options, list of Layout, list of str
        The reading.

    Raises
    ------
    InputError
        If a needed cell is missing, a word unknown, or the layout impossible.
    """
    notes: list[str] = []
    model = model_of(row)
    power = number(row, "power_limit_w")
    gpu = _gpu(cell(row, "gpu"), power)
    seq_len = _whole(row, "seq_len")
    if seq_len is None:
        raise InputError("seq_len", "", "a whole number of at least 1")
    precision = models.precision_name(cell(row, "precision", "bf16"))
    if precision.startswith("fp8") and "fp8" not in gpu.dense_flop_per_s:
        raise InputError("precision", cell(row, "precision"), f"a format that {gpu.name} computes in", ["bf16"])
    sharding = cell(row, "sharding")
    words = cell(row, "framework")
    if not words:
        fsdp = sharding and sharding_stage(sharding) >= 2
        words = "FSDP" if fsdp else "Megatron"
        notes.append(f"framework not stated: we assume {words}")
    record = framework(words, gpu.architecture)
    if not sharding:
        sharding = record.default_sharding
        notes.append(f"sharding not stated: we assume {sharding}")
    sharding_stage(sharding)
    task = cell(row, "task", "pretrain").lower()
    task = {"pretraining": "pretrain", "finetune": "sft", "fine-tuning": "sft", "full": "sft", "peft": "lora"}.get(
        task, task
    )
    if task not in TASKS:
        raise InputError("task", task, "one of " + ", ".join(TASKS), TASKS)
    if not model.vocab and record.default_vocab:
        model = dataclasses.replace(model, vocab=int(record.default_vocab))
        notes.append(f"vocabulary not stated: we assume {model.vocab}")
    sequence_parallel = _flag(row, "sequence_parallel", True)
    fabric = fabric_of(cell(row, "fabric") or cell(row, "section"))
    if fabric is None and gpu.architecture == "Ampere":
        fabric = "hdr"  # the usual network of A100 systems
    if gpu.stand_in["training"]:
        notes.append(f"{gpu.name} is timed by long runs of {gpu.long_runs_of}")
    layouts, said = _layouts(row, model, sharding, seq_len, bool(record.interleaves))
    stated = bool(cell(row, "recompute") or cell(row, "full_recompute"))
    recompute = _recompute(row, record.default_recompute, notes)
    data = constants()["datasets"].get(cell(row, "dataset") or cell(row, "bench")) if task != "pretrain" else None
    age = age_factor(cell(row, "date")) if task == "pretrain" and not re.search(r"\d", words) else 1.0
    if age != 1.0:
        notes.append(f"newer software, of {cell(row, 'date')}: the step takes {age:.2f} times as long")
    options = Options(
        model, gpu.name, power, precision, sharding, recompute, task, words, fabric, sequence_parallel, stated,
        data["document_share"] if data else None, age,
    )  # fmt: skip
    return options, layouts, notes + said


def model_of(row: dict[str, str]) -> models.Model:
    """Return the model a training row means: by its shape columns where they are filled, else by name.

    Parameters
    ----------
    row : dict of str
        Cells; ``experts, experts_per_token, expert_ffn`` make a Mixture of Experts of a shape.

    Returns
    -------
    Model
        The model.

    Raises
    ------
    InputError
        If neither a known name nor ``layers, hidden, heads`` is given.

    Examples
    --------
    >>> model_of({"model": "7b"}).layers, model_of({"layers": "2", "hidden": "256", "heads": "4"}).ffn
    (32, 1024)
    """
    name = cell(row, "model")
    if cell(row, "layers") and cell(row, "hidden") and cell(row, "heads"):
        sizes = tuple(_whole(row, c) for c in _SHAPE)
        experts = tuple(_whole(row, c) or 0 for c in _EXPERTS)
        return _by_shape(name or "shape", _flag(row, "gated", False), sizes, experts)
    if not name:
        raise InputError("model", "", "a Hugging Face id, a short name, or the columns layers, hidden, heads")
    if re.fullmatch(r"\d+(\.\d+)?[mbMB]", name):  # the sizes of the MPT tables
        return models.load("mpt-" + name.lower())
    return models.load(name)


@lru_cache(maxsize=4096)
def _by_shape(name: str, gated: bool, sizes: tuple[int | None, ...], experts: tuple[int, ...]) -> models.Model:
    layers, hidden, heads, kv, dim, ffn, vocab = sizes
    if layers is None or hidden is None or heads is None:
        raise InputError("layers", layers, "layers, hidden and heads")
    model = models.from_shape(
        layers, hidden, heads, kv_heads=kv, head_dim=dim, ffn=ffn, vocab=vocab or 0, gated=gated, name=name
    )
    if experts[0]:
        width = experts[2] or model.ffn
        model = dataclasses.replace(model, experts=experts[0], experts_per_token=experts[1] or 1, expert_ffn=width)
    return model


@lru_cache(maxsize=1024)
def _gpu(name: str, power_limit_w: float | None) -> facts.GPU:
    gpu = facts.gpu(name)
    if power_limit_w is None or power_limit_w >= gpu.tdp_w:
        return gpu
    if power_limit_w < 100:
        raise InputError("power_limit_w", power_limit_w, f"between 100 and {gpu.tdp_w}")
    return dataclasses.replace(gpu, tdp_w=int(power_limit_w))


def _whole(row: dict[str, str], column: str) -> int | None:
    text = cell(row, column)
    if text.lower() in ("", "n/a", "na", "none", "-"):
        return None
    value = number(row, column, None, whole=True, least=1)
    return None if value is None else int(value)


def _flag(row: dict[str, str], column: str, default: bool) -> bool:
    text = cell(row, column).lower()
    if text == "":
        return default
    if text not in _YES + _NO:
        raise InputError(column, text, "yes or no", ["yes", "no"])
    return text in _YES


def _recompute(row: dict[str, str], default: str, notes: list[str]) -> str:
    text = cell(row, "recompute").lower()
    if not text and cell(row, "full_recompute"):
        return "full" if _flag(row, "full_recompute", False) else "none"
    if not text:
        notes.append(f"recomputation not stated: we assume {default}")
        return default
    if text not in _RECOMPUTE:
        raise InputError("recompute", text, "none, selective or full", ["none", "selective", "full"])
    return _RECOMPUTE[text]


@lru_cache(maxsize=1024)
def fabric_of(text: str) -> str | None:
    """Return the fabric that a text names, by its words or by the bandwidth of a node.

    Parameters
    ----------
    text : str
        Such as ``InfiniBand NDR, 400 Gb/s a GPU`` or ``A100 80GB with 1600 Gbps node-node interconnect (RoCE)``.

    Returns
    -------
    str or None
        A name of ``data/fabrics.yaml``; None where nothing is recognised.

    Examples
    --------
    >>> fabric_of("A100 80GB with 1600 Gbps node-node interconnect (RoCE)"), fabric_of("")
    ('roce200', None)
    """
    if not text:
        return None
    node = re.search(r"(\d{3,4})\s*Gbps node", text)
    if node and "roce" in text.lower():
        per_port = int(node.group(1)) // 8
        return {100: "roce100", 200: "roce200", 400: "roce400"}.get(per_port, "roce200")
    try:
        return str(collectives.fabric_record(text)["name"])
    except InputError:
        return None


def _layouts(
    row: dict[str, str], model: models.Model, sharding: str, seq_len: int, interleaves: bool
) -> tuple[list[Layout], list[str]]:
    """Return the layouts that a row may mean."""
    notes: list[str] = []
    gpus = _whole(row, "gpus")
    given = {c: _whole(row, c) for c in ("tp", "pp", "cp", "ep", "dp", "vpp")}
    tp, pp, cp, ep = (given[c] or 1 for c in ("tp", "pp", "cp", "ep"))
    if gpus is None:
        gpus = tp * pp * cp * (given["dp"] or 1)
    dp = given["dp"]
    if dp is not None and tp * pp * cp * dp != gpus:
        if given["tp"] is None and gpus % (pp * cp * dp) == 0:
            tp = gpus // (pp * cp * dp)
        else:
            raise InputError("gpus", gpus, f"tp x pp x cp x dp = {tp} x {pp} x {cp} x {dp} = {tp * pp * cp * dp}")
    if gpus % (tp * pp * cp):
        raise InputError("gpus", gpus, f"a multiple of tp x pp x cp = {tp * pp * cp}")
    dp = gpus // (tp * pp * cp)
    _check_layout(model, tp, pp, ep, dp * cp)
    hint = re.search(r"zero1=(\d+)", cell(row, "note"))
    shard = _whole(row, "zero1_ranks") or (int(hint.group(1)) if hint else dp * cp)
    if "h" in sharding.lower()[:1]:
        shard = min(8, dp * cp)
    batches = _batches(row, dp, pp, notes)
    chunks = _chunks(given["vpp"], interleaves and cell(row, "vpp") == "", model.layers, pp)
    found = [
        Layout(gpus, seq_len, tp, pp, v, cp, ep, mb, m, shard)
        for (mb, m), v in itertools.product(batches, chunks)
        if v == 1 or m % pp == 0 or m > pp
    ]
    return found or [Layout(gpus, seq_len, tp, pp, 1, cp, ep, *batches[0], shard)], notes


def _check_layout(model: models.Model, tp: int, pp: int, ep: int, data_ranks: int) -> None:
    """Refuse layouts that no run can have."""
    if model.heads % tp:
        near = min((d for d in range(1, model.heads + 1) if model.heads % d == 0), key=lambda d: abs(d - tp))
        raise InputError("tp", tp, f"a divisor of the {model.heads} heads of {model.name}", str(near))
    if pp > model.layers:
        raise InputError("pp", pp, f"at most the {model.layers} layers of {model.name}")
    if ep > 1 and (not model.experts or model.experts % ep):
        raise InputError("ep", ep, f"a divisor of the {model.experts} experts of {model.name}")


def _batches(row: dict[str, str], dp: int, pp: int, notes: list[str]) -> list[tuple[int, int]]:
    """Return (micro-batch, micro-batches of a step) that the batch columns allow."""
    micro, many, whole = (_whole(row, c) for c in ("micro_batch", "grad_accum", "global_batch"))
    if many is None and whole is None:
        hint = re.search(r"micro_num (\d+)", cell(row, "note"))
        many = int(hint.group(1)) if hint else None
    if micro and many:
        if whole is not None and whole != micro * many * dp:
            notes.append(f"global batch {whole} read as micro_batch x grad_accum x dp = {micro * many * dp}")
        return [(micro, many)]
    if whole is not None:
        if micro:
            if whole < micro * dp or whole % (micro * dp):
                raise InputError("global_batch", whole, f"a multiple of micro_batch x dp = {micro} x {dp}")
            return [(micro, whole // (micro * dp))]
        if whole % dp:
            raise InputError("global_batch", whole, f"a multiple of dp = {dp}")
        each = whole // dp
        if many:
            if each % many:
                raise InputError("global_batch", whole, f"a multiple of grad_accum x dp = {many} x {dp}")
            return [(each // many, many)]
        return [(b, each // b) for b in (1, 2, 4, 8, 16, 32) if each % b == 0]
    assumed = _MICRO_BATCHES_IF_UNKNOWN * pp
    notes.append(f"global batch not stated: we assume {many or assumed} micro-batches a step")
    if micro:
        return [(micro, assumed)]
    return [(b, many or assumed) for b in (1, 2, 4, 8)]


def _chunks(stated: int | None, asked: bool, layers: int, pp: int) -> list[int]:
    """Return the interleavings to try: what is stated, or each even one where the cell is empty."""
    if stated is not None or pp == 1:
        return [stated or 1]
    if not asked:
        return [1]
    per_stage = -(-layers // pp)
    return [v for v in range(1, per_stage + 1) if per_stage % v == 0] if layers % pp == 0 else [1]


def predict_activation(rows: pd.DataFrame, quantities: list[str]) -> pd.DataFrame:
    """Answer rows of activation memory: ``layers, hidden, heads, seq_len, micro_batch``, ``mode`` and ``tp``.

    Parameters
    ----------
    rows : DataFrame
        Text cells; ``pp`` and ``vpp`` add what an interleaved schedule holds beyond all layers.
    quantities : list of str
        ``["activation_gib_per_gpu"]``.

    Returns
    -------
    DataFrame
        The quantity, ``note``, ``family`` and ``wider``.

    Examples
    --------
    >>> gpt3 = dict(layers="96", hidden="12288", heads="96", seq_len="2048", micro_batch="1", tp="8", pp="8", vpp="3")
    >>> table = predict_activation(pd.DataFrame([gpt3 | {"mode": "none"}]), ["activation_gib_per_gpu"])
    >>> round(float(table.activation_gib_per_gpu.iloc[0]), 2)  # figure 1 of the paper: 66.84
    66.84
    """
    return answered(rows, quantities, "activation memory", lambda row: {"activation_gib_per_gpu": _activation_gib(row)})


def _activation_gib(row: dict[str, str]) -> float:
    model = model_of(row)
    sizes = {c: _whole(row, c) for c in ("seq_len", "micro_batch")}
    for column, value in sizes.items():
        if value is None:
            raise InputError(column, "", "a whole number of at least 1")
    tp, pp, vpp, cp = (_whole(row, c) or 1 for c in ("tp", "pp", "vpp", "cp"))
    _check_layout(model, tp, pp, 1, 1)
    many = _whole(row, "grad_accum")
    bytes_ = activation_bytes(
        model, sizes["seq_len"], sizes["micro_batch"], mode=cell(row, "mode", "none"), tp=tp, pp=pp, vpp=vpp, cp=cp,
        micro_batches=many,
    )  # fmt: skip
    return float(bytes_) / GIB
