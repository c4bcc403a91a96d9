"""Quick answers for the terminal: what a model weighs, what fits on a GPU, and how fast it then answers."""

from __future__ import annotations

from typing import Any, TypedDict

import numpy as np

from hopperbook import facts, models, serving, units
from hopperbook.cost import billed, rent_usd_per_month, usd_per_million_tokens
from hopperbook.errors import InputError
from hopperbook.evidence.beyond import bands
from hopperbook.models import Model, load, model_names, precision_name

#: The end of the rate that goes with the typical, low and high price: the most tokens with the least money.
ENDS = ("value", "high", "low")
#: Tokens of a request where none are given, if the model allows as many.
DEFAULT_CONTEXT = 8192


class Range(TypedDict):
    """A figure and the ends of its 80 % range."""

    value: float
    low: float
    high: float


def model_row(name: str, precision: str | None = None, kv_precision: str | None = None) -> dict[str, Any]:
    """Count a model: parameters, bytes and FLOPs.

    Parameters
    ----------
    name : str
        Id, short name or path of a ``config.json``.
    precision, kv_precision : str, optional
        Formats of weights and cache; the default is the checkpoint's own, and 16 bits.

    Returns
    -------
    dict
        ``model parameters active_parameters weight_bytes kv_bytes_per_token forward_flop_per_token`` and the shape.

    Examples
    --------
    >>> model_row("llama-3.1-70b")["kv_bytes_per_token"]
    327680
    """
    m = load(name)
    kv = models.kv_bytes_per_token(m, kv_precision)
    return {
        "model": m.name,
        "parameters": models.parameters(m),
        "active_parameters": models.parameters(m, active=True),
        "vision_parameters": m.vision,
        "total_parameters": models.parameters(m) + m.vision,
        "weight_bytes": round(models.weight_bytes(m, precision)),
        "kv_bytes_per_token": int(kv) if kv == int(kv) else kv,
        "state_bytes": int(models.recurrent_state_bytes(m)),
        "forward_flop_per_token": round(float(models.forward_flop(m, 1))),
        "training_flop_per_token": round(models.training_flop_per_token(m, max(1, min(m.context_limit or 4096, 4096)))),
        "precision": models.stored_formats(m, precision)[0],
        "formats": format_words(m, precision),
        "layers": m.layers,
        "hidden": m.hidden,
        "heads": m.heads,
        "kv_heads": m.kv_heads,
        "head_dim": m.head_dim,
        "ffn": m.ffn,
        "vocab": m.vocab,
        "experts": m.experts,
        "attention": attention_kind(m),
        "notes": [*m.notes, *m.unmeasured],
        "context_limit": m.context_limit,
        "source": m.source,
    }


def format_words(m: Model, precision: str | None = None) -> str:
    """Say in which formats weights are held.

    Parameters
    ----------
    m : Model
        The model.
    precision : str, optional
        What is asked for; the default is the checkpoint's own.

    Returns
    -------
    str
        Such as ``fp8``, or ``mxfp4 experts, bf16 elsewhere``.

    Examples
    --------
    >>> format_words(load("gpt-oss-120b")), format_words(load("llama-3.1-8b"), "fp8")
    ('mxfp4 experts, bf16 elsewhere', 'fp8')
    """
    linear, experts = models.stored_formats(m, precision)
    return f"{experts} experts, {linear} elsewhere" if m.experts and linear != experts else linear


def attention_kind(m: Model) -> str:
    """Name what mixes a model's tokens: MHA, MQA, GQA or MLA, windows, selected keys, and recurrent layers.

    Parameters
    ----------
    m : Model
        The model.

    Returns
    -------
    str
        Such as ``GQA, window 4,096 in 21 of 42 layers``.

    Examples
    --------
    >>> attention_kind(load("llama-3.1-8b")), attention_kind(load("deepseek-v3"))
    ('GQA', 'MLA')
    """
    named = [_heads_shared(a) for a in m.attentions] + [r.kind for r in m.recurrents]
    words = [" and ".join(dict.fromkeys(named))]
    for window in dict.fromkeys(a.window for a in m.attentions if a.window):
        layers = sum(a.layers for a in m.attentions if a.window == window)
        words.append(f"window {window:,}" + (f" in {layers} of {m.layers} layers" if layers < m.layers else ""))
    every = sorted({str(a.every) for a in m.attentions if a.every}, key=int)
    if every:
        words.append(f"one entry for {' or '.join(every)} tokens")
    for selected in dict.fromkeys(a.selected for a in m.attentions if a.selected):
        words.append(f"{selected:,} {'of them' if every else 'keys'} read")
    if m.recurrents:
        words.append(f"{sum(r.layers for r in m.recurrents)} of {m.layers} layers recurrent")
    return ", ".join(words)


def _heads_shared(a: models.Attention) -> str:
    """Name how the heads of an attention share keys and values."""
    if a.latent:
        return "MLA"
    return "MHA" if a.kv_heads == a.heads else "MQA" if a.kv_heads == 1 else "GQA"


def model_rows() -> list[dict[str, Any]]:
    """Count every model in ``data/models``.

    Returns
    -------
    list of dict
        As :func:`model_row`.

    Examples
    --------
    >>> {row["model"]: row["parameters"] for row in model_rows()}["meta-llama/Llama-3.1-8B"]  # as published
    8030261248
    """
    return [model_row(name) for name in model_names()]


def size(
    model: str,
    gpu: str | None = None,
    *,
    concurrency: int = 1,
    context_tokens: int | None = None,
    output_tokens: int | None = None,
    precision: str | None = None,
    kv_precision: str | None = None,
    tp: int | None = None,
    adapters: int = 0,
    adapter_rank: int = 16,
) -> dict[str, Any]:
    """Size a model on one GPU part, or on every part.

    Parameters
    ----------
    model : str
        Id, short name or path of a ``config.json``.
    gpu : str, optional
        The part; every part if left out, each with its answer or with the reason why it has none.
    concurrency : int
        Requests in flight.
    context_tokens : int, optional
        Tokens each holds, prompt and answer; 8,192 by default, or what the model allows where that is less. Of an
        encoder, tokens of a text.
    output_tokens : int, optional
        Of an answer; an eighth of the context by default. An encoder writes none: one token stands for its answer.
    precision, kv_precision : str, optional
        Formats; the default is the checkpoint's own, and 16 bits.
    tp : int, optional
        Tensor parallel; the default is the fewest GPUs that hold the load, then more replicas.
    adapters, adapter_rank : int
        LoRA adapters that every replica holds beside the model, and their rank.

    Returns
    -------
    dict
        The model's counts and ``gpus``, a list of one answer a part.

    Raises
    ------
    InputError
        For an unknown model, GPU or format, or a context beyond the model's.

    Examples
    --------
    >>> answer = size("llama-3.3-70b", "H200 SXM", concurrency=16, context_tokens=4096, precision="fp8")
    >>> answer["gpus"][0]["gpus"], answer["gpus"][0]["fits"]
    (1, True)
    """
    m, unstated = load(model), ""
    if context_tokens is None:
        context_tokens = min(DEFAULT_CONTEXT, m.context_limit or DEFAULT_CONTEXT)
        unstated = "" if m.context_limit else f"its config states no longest context: {DEFAULT_CONTEXT:,} tokens taken"
    for name, value in (("concurrency", concurrency), ("context", context_tokens), ("tp", 1 if tp is None else tp)):
        if not 1 <= value <= 10_000_000:
            raise InputError(name, value, "a whole number from 1 to 10,000,000", "1" if value < 1 else "10000000")
    for name, form in (("precision", precision), ("kv_precision", kv_precision)):
        if form is not None:
            precision_name(form, name)
    if tp is not None:
        models.linear_layers(m, tp)  # refuses what does not divide the heads, on any part
    if m.context_limit and context_tokens > m.context_limit:
        raise InputError(
            "context", context_tokens, f"at most {m.context_limit:,} tokens, which {m.name} reads", str(m.context_limit)
        )
    if not 0 <= adapters <= 10_000 or not 1 <= adapter_rank <= m.hidden:
        allowed = f"from 0 to 10,000, of rank 1 to {m.hidden:,}"
        raise InputError("adapters", f"{adapters} of rank {adapter_rank}", allowed)
    if m.encoder:
        m, output_tokens = models.reader(m, context_tokens), 1
    output = max(1, context_tokens // 8) if output_tokens is None else output_tokens
    if not 1 <= output < max(2, context_tokens):
        raise InputError("output", output, f"a whole number from 1 to {context_tokens - 1}, less than the context")
    load_ = {"concurrency": concurrency, "context": context_tokens + m.encoder, "output": output}
    load_ |= {"adapters": adapters, "rank": adapter_rank}
    parts = [facts.gpu(gpu)] if gpu is not None else [g for g in facts.gpus().values() if g.cuda]
    rows = [_on(m, part, load_, precision, kv_precision, tp, alone=gpu is not None) for part in parts]
    counted = model_row(model, precision, kv_precision)
    return counted | {
        "notes": [*counted["notes"], *([unstated] if unstated else [])],
        "adapter_bytes": round(adapters * serving.adapter_bytes(m, adapter_rank)),
        "adapters": adapters,
        "cache_bytes": round(float(models.cache_bytes(m, context_tokens, kv_precision))),
        "concurrency": concurrency,
        "context_tokens": context_tokens,
        "output_tokens": output,
        "gpus": rows,
    }


def _on(
    m: Model, part: facts.GPU, load_: dict[str, int], precision: str | None, kv_precision: str | None, tp: int | None,
    *, alone: bool,
) -> dict[str, Any]:  # fmt: skip
    """Answer for one part: the fewest GPUs that hold the load, or the layout asked for; or why there is no answer."""
    formats: dict[str, Any] = {"precision": precision, "kv_precision": kv_precision}
    tps = (tp,) if tp else tuple(t for t in (1, 2, 4, 8) if m.heads % t == 0)
    try:
        for ranks in tps:
            d = serving.deploy(m, part, tp=ranks, **formats)
            d = serving.with_adapters(d, load_["adapters"], load_["rank"], load_["concurrency"])
            budget = serving.budget(d, load_["context"])
            if budget.users >= load_["concurrency"]:
                break
    except InputError as problem:
        if alone:
            raise
        return {"gpu": part.name, "tp": 0, "replicas": 0, "gpus": 0, "fits": False, "reason": str(problem)}
    if budget.users < 1:
        lacking = budget.kv_user_bytes - budget.kv_room_bytes
        reason = f"does not fit: {units.fixed(lacking / units.GIB)} GiB too little on each of {ranks} GPUs"
        return {"gpu": part.name, "tp": ranks, "replicas": 0, "gpus": 0, "fits": False, "reason": reason}
    replicas = -(-load_["concurrency"] // budget.users)
    users = load_["concurrency"] / replicas
    row = {
        "gpu": part.name,
        "tp": ranks,
        "replicas": replicas,
        "gpus": replicas * ranks,
        "fits": True,
        "users_per_replica": budget.users,
        "weights_gib_per_gpu": budget.weights_bytes / units.GIB,
        "kv_gib_per_gpu": users * budget.kv_user_bytes / units.GIB,
        "free_gib_per_gpu": (budget.kv_room_bytes - users * budget.kv_user_bytes) / units.GIB,
        "timed_by": part.kernels_of if part.stand_in["serving"] else None,
    }
    try:
        return row | _speed(d, replicas, load_)
    except InputError as problem:  # no kernel of this format on this part
        return row | {"reason": str(problem)}


def _speed(d: serving.Deployment, replicas: int, load_: dict[str, int]) -> dict[str, Range]:
    """Mean latency and throughput with their 80 % ranges: the simulated replicas that a plan asks, without history.

    An encoder's tokens a second are those it reads; it has no time per token.
    """
    lengths = serving.Lengths(load_["context"] - load_["output"], load_["output"])
    asked = serving.Demand(lengths, users=load_["concurrency"], routing="least_loaded")
    seen, ranges = serving.answer(d, asked.share(replicas)), bands(d)
    values = {
        "ttft_ms": (1e3 * seen.ttft.mean, ranges["ttft"]),
        "ttft_p95_ms": (1e3 * seen.ttft.p95, ranges["ttft"]),
        "tpot_ms": (1e3 * seen.tpot.mean, ranges["tpot"]),
        "output_tokens_per_s": (seen.output_tokens_per_s * replicas, ranges["throughput"]),
    }
    if d.model.encoder:
        del values["tpot_ms"]
        read, ends = values["output_tokens_per_s"]
        values["output_tokens_per_s"] = (read * lengths.new, ends)
    return {name: {"value": x, "low": x * low, "high": x * high} for name, (x, (low, high)) in values.items()}


def rows(answer: dict[str, Any], priced: bool = False) -> list[dict[str, Any]]:
    """Flatten an answer of :func:`size` into rows for a table.

    Parameters
    ----------
    answer : dict
        From :func:`size`.
    priced : bool
        Add what the GPUs rent for and a million output tokens cost.

    Returns
    -------
    list of dict
        One row a part, numbers formatted.

    Examples
    --------
    >>> rows(size("llama-3.1-8b", "H100 SXM"))[0]["GPUs"]
    1
    """
    table = []
    for row in answer["gpus"]:
        line = {
            "GPU": row["gpu"],
            "GPUs": row["gpus"],
            "layout": f"{row['replicas']} x TP {row['tp']}" if row["fits"] else "",
        }
        if row["fits"]:
            line |= {
                "weights GiB": units.fixed(row["weights_gib_per_gpu"], 1),
                "KV GiB": units.fixed(row["kv_gib_per_gpu"], 1),
                "free GiB": units.fixed(row["free_gib_per_gpu"], 1),
            }
        else:
            line |= {"weights GiB": "", "KV GiB": "", "free GiB": ""}
        for name, unit in (
            ("ttft_ms", "first token ms"),
            ("ttft_p95_ms", "p95 ms"),
            ("tpot_ms", "ms a token"),
            ("output_tokens_per_s", "tokens/s"),
        ):
            found = row.get(name)
            line[unit] = (
                f"{units.fixed(found['value'])} ({units.fixed(found['low'])}-{units.fixed(found['high'])})"
                if found
                else ""
            )
        if priced:
            line |= _cost(row)
        by = f"timed by {row['timed_by']}" if row.get("timed_by") else ""
        table.append(line | {"note": row.get("reason", by)})
    return table


def _cost(row: dict[str, Any]) -> dict[str, str]:
    """Return what a part's answer costs, rented on demand outside the hyperscalers and kept busy around the clock."""
    usd, million = "", ""
    if row["fits"]:
        try:
            price = facts.price(row["gpu"])
        except InputError:
            return {"$ a month": "no price on file", "$/million tokens": ""}
        paid = int(billed(np.array([row["gpus"]]), np.array(["on_demand"]))[0])
        month = [float(rent_usd_per_month(paid, each)) for each in (price.typical, price.low, price.high)]
        usd = f"{units.money(month[0])} ({units.money(month[1])}-{units.money(month[2])})"
        rate = row.get("output_tokens_per_s")
        if rate:
            each = [float(usd_per_million_tokens(m, rate[end])) for m, end in zip(month, ENDS, strict=True)]
            million = f"{units.money(each[0])} ({units.money(each[1])}-{units.money(each[2])})"
    return {"$ a month": usd, "$/million tokens": million}


def sentence(answer: dict[str, Any]) -> str:
    """Say in one line what was sized.

    Parameters
    ----------
    answer : dict
        From :func:`size`.

    Returns
    -------
    str
        Model, parameters, weights, cache a token, load; a line for each note on what is left out or was not measured.

    Examples
    --------
    >>> sentence(size("llama-3.1-8b", "H100 SXM"))[:40]
    'meta-llama/Llama-3.1-8B: 8.03\\xa0billion pa'
    """
    weights = f"{units.gib(answer['weight_bytes'])} of weights in {answer['formats']}"
    cache = f"{units.number(answer['kv_bytes_per_token'] / 1024, 3)} KiB of cache a token"
    if answer["state_bytes"]:
        cache += f" and {units.gib(answer['state_bytes'])} of state"
    if answer["adapters"]:
        cache += f", {units.gib(answer['adapter_bytes'])} of {answer['adapters']:,} adapters"
    many = "requests" if answer["concurrency"] > 1 else "request"
    asked = f"{answer['concurrency']:,} {many} of {answer['context_tokens']:,} tokens"
    whole = f"{answer['model']}: {units.parameters(answer['parameters'])} parameters, {weights}, {cache}; {asked}"
    return "\n".join([whole, *(f"note: {note}" for note in answer["notes"])])
