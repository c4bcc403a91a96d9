"""What chapter 12 computes on its way: predictions beside published runs, summed up by kind, part, engine and scale."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pandas as pd

from hopperbook import evidence, facts, story
from hopperbook.evidence import aims

TPOT, TTFT, OFFLINE = "Serving, time per token", "Serving, first token", "Serving, offline maximum"
THROUGHPUT, STEP, MEMORY = "Training, throughput", "Training, steps alone", "Training, peak memory"
PLAYBOOK, PLAYBOOK_MEMORY = "Training, layouts of a playbook", "Training, memory of a playbook"
ACTIVATIONS, COLLECTIVES = "Activations", "Collectives, in and over servers"
#: Each kind of prediction: its name on the page, and the kind and quantity of its judged rows.
KINDS = {
    TPOT: ("serving", "tpot_ms"),
    TTFT: ("serving", "ttft_ms"),
    OFFLINE: ("serving", "output_tokens_per_s"),
    THROUGHPUT: ("training", "tokens_per_s_per_gpu"),
    STEP: ("training", "step_s"),
    MEMORY: ("training", "memory_gib"),
    ACTIVATIONS: ("activation memory", "activation_gib_per_gpu"),
    COLLECTIVES: ("collective", "busbw_GBs"),
}
#: Kinds whose rows of a playbook, which come without their shapes, are judged apart.
APART = {THROUGHPUT: PLAYBOOK, MEMORY: PLAYBOOK_MEMORY}
#: Families of kernels in words.
KERNEL_WORDS = {
    "gemm": "matrix products",
    "context": "attention over prompts",
    "generation": "attention in decoding",
    "moe": "Mixture of Experts",
    "quantise": "quantisation",
    "collective": "collectives in a server",
    "mla_bmm": "latent attention, products",
    "mla_context": "latent attention, prompts",
    "mla_generation": "latent attention, decoding",
}
#: Frameworks as families name them, in words.
FRAMEWORK_WORDS = {
    "fsdp": "FSDP",
    "internevo": "InternEvo",
    "megatron": "Megatron",
    "megatron2022": "Megatron of 2022",
    "nemo": "NeMo",
}
#: Clusters of published training runs, by their largest number of GPUs.
SCALES = {8: "up to 8 GPUs", 64: "9 to 64", 512: "65 to 512", 1e6: "more than 512"}
LARGE, KEPT = 20, 0.7  # groups worth counting, and the share of their rows that a range should at least hold
EDGE = 0.6  # errors beyond it are drawn at the edge

Frames = dict[str, pd.DataFrame]


def chip(gpu: str) -> str:
    """Name the generation of a GPU as measurements write it; of activations, which name none, the A100.

    Parameters
    ----------
    gpu : str
        A name or alias, or nothing.

    Returns
    -------
    str
        Its first word.

    Examples
    --------
    >>> chip("h200_sxm"), chip("")
    ('H200', 'A100')
    """
    return (evidence.gpu_label(gpu).split() or ["A100"])[0]


def judged() -> Frames:
    """Return the judged rows of every kind of prediction, layouts of the playbook apart.

    Returns
    -------
    dict of DataFrame
        As :func:`hopperbook.evidence.judged` with ``chip``, by the names of `KINDS` and `APART`; none is empty.

    Examples
    --------
    >>> list(judged())[0], len(judged())
    ('Serving, time per token', 10)
    """
    frames: Frames = {}
    for label, (kind, quantity) in KINDS.items():
        rows = evidence.judged(kind, quantity)
        rows = rows[rows.measured > 0]
        frames[label] = rows.assign(chip=[chip(str(gpu)) for gpu in rows.gpu])
    said = set(zip(frames[THROUGHPUT].file, frames[THROUGHPUT].row, strict=True))
    alone = [pair not in said for pair in zip(frames[STEP].file, frames[STEP].row, strict=True)]
    frames[STEP] = frames[STEP][alone]  # rows that state a rate as well are judged by it
    for label, apart in APART.items():
        ranking = frames[label].family.str.contains("ranking")
        frames[apart] = frames[label][ranking]
        frames[label] = frames[label][~ranking]
    return {label: rows for label, rows in frames.items() if len(rows)}


def coverage(rows: pd.DataFrame) -> float:
    """Return the share of measurements inside the 80 % range that all other groups of runs set.

    Parameters
    ----------
    rows : DataFrame
        With ``inside``, as :func:`hopperbook.evidence.judged` tells it.

    Returns
    -------
    float
        Between 0 and 1.

    Examples
    --------
    >>> coverage(pd.DataFrame({"inside": [True, True, False, True]}))
    0.75
    """
    return float(rows.inside.mean())


def kinds(frames: Frames) -> pd.DataFrame:
    """Sum up how far each kind of prediction is off.

    Parameters
    ----------
    frames : dict of DataFrame
        From :func:`judged`.

    Returns
    -------
    DataFrame
        ``kind n median mean bias coverage``: rows, median and mean absolute error, median error, and coverage.

    Examples
    --------
    >>> rows = pd.DataFrame({"error": [0.1, -0.3], "inside": True})
    >>> [round(float(each), 2) for each in kinds({"A": rows}).iloc[0, 1:]]
    [2.0, 0.2, 0.2, -0.1, 1.0]
    """
    lines = []
    for kind, rows in frames.items():
        off, bias = rows.error.abs(), float(rows.error.median())
        lines.append((kind, len(rows), float(off.median()), float(off.mean()), bias, coverage(rows)))
    return pd.DataFrame(lines, columns=["kind", "n", "median", "mean", "bias", "coverage"])


def files(frames: Frames) -> pd.DataFrame:
    """Count the judged rows of each file of measurements.

    Parameters
    ----------
    frames : dict of DataFrame
        From :func:`judged`.

    Returns
    -------
    DataFrame
        ``file n source``, the source of the file's first row.

    Examples
    --------
    >>> files(judged()).set_index("file").n.to_dict()["online"]
    548
    """
    count = pd.concat([rows.file for rows in frames.values()]).value_counts().sort_index()
    found = [facts.DATA / "measurements" / f"{file}.csv.gz" for file in count.index]
    sources = [str(pd.read_csv(path).source.iloc[0]) for path in found]
    return pd.DataFrame({"file": count.index, "n": count.to_numpy(), "source": sources})


def most_gpus(rows: pd.DataFrame) -> float:
    """Return the GPUs of the largest cluster among runs.

    Parameters
    ----------
    rows : DataFrame
        With ``gpus``, as written.

    Returns
    -------
    float
        GPUs.

    Examples
    --------
    >>> most_gpus(pd.DataFrame({"gpus": ["8", "", "1024"]}))
    1024.0
    """
    return float(pd.to_numeric(rows.gpus, errors="coerce").max())


def by_part(frames: Frames, labels: Iterable[str] = (TPOT, THROUGHPUT)) -> pd.DataFrame:
    """Put the errors of some kinds into lanes, one a kind and part.

    Parameters
    ----------
    frames : dict of DataFrame
        From :func:`judged`.
    labels : iterable of str
        Their kinds.

    Returns
    -------
    DataFrame
        ``lane error drawn``: the error, and the error no farther out than the edge of a drawing.

    Examples
    --------
    >>> rows = pd.DataFrame({"chip": ["H100", "H100"], "error": [0.1, 0.9]})
    >>> by_part({"Serving, time per token": rows}).drawn.tolist()
    [0.1, 0.6]
    """
    rows = [
        pd.DataFrame({"lane": f"{label.split(', ')[0]}, " + found.chip, "error": found.error})
        for label, found in frames.items()
        if label in set(labels)
    ]
    strips = pd.concat(rows)
    return strips.assign(drawn=strips.error.clip(-EDGE, EDGE))


def _groups(kind: str, rows: pd.DataFrame, by: pd.Series) -> pd.DataFrame:
    """Return rows, median absolute error, bias and coverage of each group of a kind."""
    lines = [
        (kind, str(name), len(part), float(part.error.abs().median()), float(part.error.median()), coverage(part))
        for name, part in rows.groupby(by, observed=True)
    ]
    return pd.DataFrame(lines, columns=["kind", "group", "n", "median", "bias", "coverage"])


def serving_groups(rows: pd.DataFrame) -> pd.Series:
    """Name what a serving run has in common with its like: model, part, engine and version, or its file in words.

    Parameters
    ----------
    rows : DataFrame
        Judged rows with ``model chip file``, and ``engine engine_version`` where known.

    Returns
    -------
    Series of str
        One name a row.

    Examples
    --------
    >>> rows = pd.DataFrame({"model": ["a/B"], "chip": "H100", "engine": "vLLM", "engine_version": "0.18", "file": "f"})
    >>> serving_groups(rows)[0]
    'B, H100, vLLM 0.18'
    """
    blank = pd.Series("", index=rows.index)
    text = {c: rows.get(c, blank).fillna("").astype(str) for c in ("model", "engine", "engine_version", "software")}
    engine = (text["engine"] + " " + text["engine_version"]).str.strip()
    engine = engine.where(engine != "", text["software"].str.split(" \\(").str[0])
    return (
        text["model"].map(story.label)
        + ", "
        + rows.chip
        + ", "
        + engine.where(engine != "", rows.file.map(story.measured))
    )


def training_groups(rows: pd.DataFrame) -> pd.Series:
    """Name what a training run has in common with its like: framework, version and task.

    Parameters
    ----------
    rows : DataFrame
        Judged rows with ``file``, and ``framework round task`` where known.

    Returns
    -------
    Series of str
        One name a row.

    Examples
    --------
    >>> training_groups(pd.DataFrame({"framework": ["NeMo v25.02"], "task": "lora", "file": "f"}))[0]
    'NeMo v25.02, LoRA'
    """
    blank = pd.Series("", index=rows.index)
    text = {c: rows.get(c, blank).fillna("").astype(str) for c in ("framework", "round", "task")}
    framework = text["framework"].where(text["framework"] != "", rows.file.map(story.measured))
    contest = ("MLPerf " + text["round"]).where(text["round"] != "", "")
    return (
        (framework + " " + contest).str.strip()
        + ", "
        + text["task"].replace({"": "pretrain"}).replace(story.SHORT_TASKS)
    )


def by_group(frames: Frames) -> pd.DataFrame:
    """Sum up errors and coverage: serving by model, part and engine; training by campaign, scale, framework, format.

    Parameters
    ----------
    frames : dict of DataFrame
        From :func:`judged`.

    Returns
    -------
    DataFrame
        ``kind group n median bias coverage``: rows, median absolute and median error, and the share of measurements
        inside the range that all other groups set.

    Examples
    --------
    >>> found = by_group(judged())
    >>> found[found.group.isin(SCALES.values())].group.tolist()[0]
    'up to 8 GPUs'
    """
    train = frames[THROUGHPUT]
    gpus = pd.to_numeric(train.gpus, errors="coerce")
    scale = pd.cut(gpus, [0, *SCALES], labels=list(SCALES.values()))
    framework = train.family.str.split("/").str[3].fillna(train.family.str.split("/").str[-1]).replace(FRAMEWORK_WORDS)
    form = train.precision.str.lower().str.replace("amp_", "").str.upper()
    serving = [
        _groups(kind, frames[kind], serving_groups(frames[kind])) for kind in (TPOT, TTFT, OFFLINE) if kind in frames
    ]
    campaigns = [_groups(kind, frames[kind], training_groups(frames[kind])) for kind in (THROUGHPUT, STEP)]
    training = [_groups(THROUGHPUT, train, by) for by in (scale, framework, form)]
    return pd.concat([*serving, *campaigns, *training], ignore_index=True)


#: Families of predictions in words.
FAMILY_WORDS = {
    "serving/tpot_ms/online": "time per token",
    "serving/output_tokens_per_s/offline": "offline throughput",
    "training/tokens_per_s_per_gpu/dense": "training throughput",
}


def steps_away() -> pd.DataFrame:
    """List by how much a range widens with each step away from what was measured.

    Returns
    -------
    DataFrame
        ``what of wider kind``: what is new, of which predictions, the exponent on both ends, how it is known.

    Examples
    --------
    >>> steps_away().kind.unique().tolist()
    ['left out and tried', 'judgement']
    """
    learnt = facts.read_yaml("intervals.yaml")["distances"]
    lines = [
        (f"a {what}" if what != "long prompts" else "prompts beyond 8,192 tokens", FAMILY_WORDS[family], wider)
        for family, each in learnt.items()
        for what, wider in each.items()
    ]
    known = pd.DataFrame(lines, columns=["what", "of", "wider"]).assign(kind="left out and tried")
    assumed = facts.read_yaml("constants/evidence.yaml")
    rest = [
        ("a shape, format, layout or kind of layer without rows", "all", assumed["beyond_exponent"]["value"]),
        (
            "a framework, or experts, with runs of only one laboratory",
            "training",
            assumed["one_campaign_exponent"]["value"],
        ),
    ]
    judged_ = pd.DataFrame(rest, columns=["what", "of", "wider"]).assign(kind="judgement")
    return pd.concat([known, judged_], ignore_index=True)


def held_out() -> pd.DataFrame:
    """Return how far shapes held out of the kernels' own tables, and products we timed, lay from their predictions.

    Returns
    -------
    DataFrame
        ``kernel n low high``: shapes, and the ends of the 80 % range of measured over predicted time, less one.

    Examples
    --------
    >>> found = held_out().set_index("kernel").loc["matrix products"]
    >>> round(float(found.low), 3), round(float(found.high), 3)
    (-0.108, 0.095)
    """
    kept = {key: row for key, row in evidence.intervals().items() if key.startswith("kernel/latency_ms/")}
    names = [key.split("/")[-1] for key in kept]
    lines = [
        (KERNEL_WORDS.get(name, name), int(row["n"]), float(row["low"]) - 1, float(row["high"]) - 1)
        for name, row in zip(names, kept.values(), strict=True)
    ]
    return pd.DataFrame(lines, columns=["kernel", "n", "low", "high"])


def own_products() -> pd.DataFrame:
    """Set the matrix products that we timed ourselves beside their predictions, by part, format and run.

    Returns
    -------
    DataFrame
        ``gpu form pauses n off bias inside``: median error without and with its sign, and the share within the range
        that all other groups set.

    Notes
    -----
    Source: ``hopperbook-2026-measured``.

    Examples
    --------
    >>> round(100 * float(own_products().off.max()), 1)  # percent
    15.3
    """
    rows = evidence.judged("kernel", "latency_ms")
    rows = rows.assign(off=rows.error.abs(), form=rows.gemm_dtype.replace("bfloat16", "bf16"))
    by = rows.groupby(["gpu", "form", "pauses"], sort=True)
    found = by.agg(n=("off", "size"), off=("off", "median"), bias=("error", "median"), inside=("inside", "mean"))
    return found.reset_index()


def ratios() -> pd.DataFrame:
    """Sum up the ratios of judged rows that differ in the part, or the format, alone.

    Returns
    -------
    DataFrame
        ``what pair n measured predicted median``: pairs, medians of both ratios, and the median absolute error.

    Examples
    --------
    >>> ratios().columns.tolist()
    ['what', 'pair', 'n', 'measured', 'predicted', 'median']
    """
    pairs = aims.ratios().assign(off=lambda rows: rows.error.abs())
    summed = pairs.groupby(["what", "pair"]).agg(
        n=("error", "size"),
        measured=("measured", "median"),
        predicted=("predicted", "median"),
        median=("off", "median"),
    )
    return summed.reset_index()


def _run_words(row: Mapping[str, object]) -> str:
    """Name a run by its model, or the collective, and the part."""
    model = row["model"]
    what = story.label(model) if isinstance(model, str) else row["collective"]
    return f"{what}, {evidence.gpu_label(str(row['gpu']))}"


def worst(frames: Frames, each: int = 2, most: int = 12) -> pd.DataFrame:
    """Return the judged rows that are farthest off, by name; those of the playbook and of activations left out.

    Parameters
    ----------
    frames : dict of DataFrame
        From :func:`judged`.
    each, most : int
        Rows of a kind, and in all.

    Returns
    -------
    DataFrame
        ``kind what measured predicted error note``, the worst first; the note says what was assumed.

    Examples
    --------
    >>> found = worst(judged())
    >>> len(found), int(found.kind.value_counts().max())
    (12, 2)
    """
    left_out = {PLAYBOOK, PLAYBOOK_MEMORY, ACTIVATIONS}
    rows = [found.assign(kind=kind) for kind, found in frames.items() if kind not in left_out]
    ranked = pd.concat(rows, ignore_index=True)
    ranked = ranked.loc[ranked.error.abs().sort_values(ascending=False).index]
    ranked = ranked.groupby("kind").head(each).head(most)
    what = [_run_words(row) for row in ranked.to_dict("records")]
    note = [each if isinstance(each, str) else "" for each in ranked.note]
    named = ranked.assign(what=what, note=note)
    return named[["kind", "what", "measured", "predicted", "error", "note"]].reset_index(drop=True)


def result_name(kind: str) -> str:
    """Name the result under which a kind's median error goes out.

    Parameters
    ----------
    kind : str
        Name of the kind.

    Returns
    -------
    str
        Lower case with underscores.

    Examples
    --------
    >>> result_name("Serving, first token")
    'median_error_serving_first_token'
    """
    return "median_error_" + kind.lower().replace(", ", "_").replace(" ", "_")
