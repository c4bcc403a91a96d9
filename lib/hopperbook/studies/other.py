"""What the chapter on serving computes of other work: texts embedded, adapters, the night, images; and its check."""

from __future__ import annotations

import pandas as pd

from hopperbook import facts, images, serving, story
from hopperbook.customer import Customer
from hopperbook.models import load, parameters, reader, weight_bytes
from hopperbook.planner import fleet, night, rollouts
from hopperbook.planner.configuration import Configuration
from hopperbook.planner.tenure import tenures
from hopperbook.serving import Deployment
from hopperbook.studies.answer import usd_per_hour
from hopperbook.units import GIB, HOUR_S

#: Models that embed or rank, as the table shows them, and the tokens of a text.
READERS = (
    "BAAI/bge-base-en-v1.5", "BAAI/bge-large-en-v1.5", "BAAI/bge-m3", "Qwen/Qwen3-Embedding-0.6B",
    "Qwen/Qwen3-Embedding-8B",
)  # fmt: skip
TEXT_TOKENS = 512
#: Numbers of adapters that are compared; tokens of a night where a customer asks for none.
ADAPTERS = (0, 1, 16, 128)
NIGHT_TOKENS = 1e9


def read_per_s(d: Deployment, text_tokens: int, texts: int) -> float:
    r"""Return the tokens a second that a replica reads, texts queued up: :math:`n b / t(n b)`.

    Parameters
    ----------
    d : Deployment
        A replica of a model that only reads.
    text_tokens, texts : int
        Tokens of a text, n, and texts of a step, b.

    Returns
    -------
    float
        Tokens a second.

    Examples
    --------
    >>> large = reader(load("bge-large-en-v1.5"), 512)
    >>> round(read_per_s(serving.deploy(large, "H100 SXM"), 512, 16) / 1e6, 2)  # million
    0.51
    """
    return text_tokens * texts / float(serving.prefill_s(d, text_tokens * texts, texts))


def readers(gpu: str, customer: Customer) -> pd.DataFrame:
    """Return what models that embed or rank do on one GPU, in 16 bits, with texts queued up.

    Parameters
    ----------
    gpu : str
        The part.
    customer : Customer
        Market and day of the price.

    Returns
    -------
    DataFrame
        ``model millions gib texts_per_s tokens_per_s usd_per_million``, the last of texts.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> table = readers("H100 SXM", default())
    >>> bool((table.texts_per_s.diff().iloc[1:2] < 0).all()), round(float(table.millions.iloc[1]))
    (True, 335)
    """
    rows, hourly = [], usd_per_hour(gpu, customer)
    for name in READERS:
        model = reader(load(name), TEXT_TOKENS)
        d = serving.deploy(model, gpu, precision="bf16")
        rate = read_per_s(d, TEXT_TOKENS, max(1, d.engine.step_tokens // TEXT_TOKENS)) / TEXT_TOKENS
        size = parameters(model) / 1e6, weight_bytes(model, "bf16") / GIB
        rows.append((name, *size, rate, rate * TEXT_TOKENS, 1e6 * hourly / HOUR_S / rate))
    return pd.DataFrame(rows, columns=["model", "millions", "gib", "texts_per_s", "tokens_per_s", "usd_per_million"])


def adapters(row: Configuration, customer: Customer) -> pd.DataFrame:
    """Return what adapters cost the planned replica: memory, users and time per token.

    Parameters
    ----------
    row : Configuration
        The fleet.
    customer : Customer
        Rank, and tokens that a user holds.

    Returns
    -------
    DataFrame
        ``adapters gib users tpot_ms low_ms high_ms`` of a replica; GiB on one GPU.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> from hopperbook.planner import plan
    >>> table = adapters(plan(default()).recommendation, default())
    >>> bool(table.tpot_ms.is_monotonic_increasing and table.users.is_monotonic_decreasing)
    True
    """
    d, rank = row.deployment, customer.adapter_rank
    if d.adapters:
        d = fleet.replica(d.model, d.gpu.name, d.tp, d.weights, d.kv_precision, d.pp)
    in_flight, rows = max(1, int(row.users)), []
    plain = float(serving.decode_step_s(d, in_flight, customer.held_tokens))
    for count in ADAPTERS:
        held = serving.with_adapters(d, count, rank, in_flight)
        step = float(serving.decode_step_s(held, in_flight, customer.held_tokens))
        added = {end: serving.added_s(d, rank, min(count, in_flight), end) if count else 0.0 for end in ("low", "high")}
        gib = count * serving.adapter_bytes(d.model, rank) / d.gpus / GIB
        users = serving.budget(held, customer.held_tokens).users
        rows.append((count, gib, users, 1e3 * step, *(1e3 * (plain + added[end]) for end in ("low", "high"))))
    return pd.DataFrame(rows, columns=["adapters", "gib", "users", "tpot_ms", "low_ms", "high_ms"])


def nightly(row: Configuration, customer: Customer) -> night.Night | None:
    """Return how the planned fleet does the customer's work of the night, or a billion tokens where she has none.

    Parameters
    ----------
    row : Configuration
        The fleet.
    customer : Customer
        Its day and window.

    Returns
    -------
    Night or None
        With what it costs; never None, since something is asked.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> from hopperbook.planner import plan
    >>> nightly(plan(default()).recommendation, default()).tokens
    1000000000.0
    """
    asked = customer.model_copy(update={"night_tokens": customer.night_tokens or NIGHT_TOKENS})
    return night.night(asked, row, None, {row.gpu: tenures(customer, row.gpu)})


def pictures(customer: Customer) -> pd.DataFrame:
    """Return what an image takes on the parts drawn, for both diffusion transformers.

    Parameters
    ----------
    customer : Customer
        Size and steps of an image; market and day of the price.

    Returns
    -------
    DataFrame
        ``model gpu steps seconds low_s high_s gib usd_per_thousand``.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> table = pictures(default())
    >>> len(table), bool((table.low_s < table.seconds).all())
    (6, True)
    """
    rows = []
    for model in facts.read_yaml("images.yaml")["models"]:
        for gpu in facts.drawn():
            one = images.generate(model, gpu, side_pixels=customer.image_side_pixels, steps=customer.image_steps)
            usd = 1e3 * one.seconds / HOUR_S * usd_per_hour(gpu, customer)
            rows.append(
                (images.label(model), gpu, one.steps, one.seconds, one.low_s, one.high_s, one.memory_bytes / GIB, usd)
            )
    columns = ["model", "gpu", "steps", "seconds", "low_s", "high_s", "gib", "usd_per_thousand"]
    return pd.DataFrame(rows, columns=columns)


def published() -> pd.DataFrame:
    """Return published runs of other work beside what is predicted for them.

    Returns
    -------
    DataFrame
        ``what how measured predicted ratio``: measured over predicted, tokens a second or seconds.

    Examples
    --------
    >>> table = published()
    >>> sorted(set(table.kind)), len(table)
    (['images', 'texts'], 8)
    """
    rows: list[tuple[str, str, str, float, float]] = []
    for run in facts.records("readers"):
        tokens, texts = int(run["text_tokens"]), int(run["texts"])
        model = reader(load(run["model"]), tokens)
        rates = [
            read_per_s(serving.deploy(model, run["gpu"], precision=form), tokens, texts)
            for form in dict.fromkeys(("bf16", run["precision"]))
        ]
        what = f"{story.label(run['model'])}, {run['gpu']}, tokens/s"
        rows.append(("texts", what, run["how"], float(run["tokens_per_s"]), max(rates)))
    for run in facts.read_yaml("images.yaml")["measured"]:
        if run["split"] == "judge":
            one = images.generate(run["model"], run["gpu"], side_pixels=run["side_pixels"], steps=run["steps"])
            rows.append(
                ("images", f"{images.label(run['model'])}, {run['gpu']}, s", run["how"], run["seconds"], one.seconds)
            )
    table = pd.DataFrame(rows, columns=["kind", "what", "how", "measured", "predicted"])
    return table.assign(ratio=table.measured / table.predicted)


def rollout_check() -> pd.DataFrame:
    """Return published steps of GRPO beside those that are predicted, overhead included.

    Returns
    -------
    DataFrame
        ``model gpus release split measured_s predicted_s rollouts ratio``.

    Examples
    --------
    >>> table = rollout_check()
    >>> table.split.value_counts().to_dict()
    {'judge': 8, 'fit': 2}
    """
    overhead = rollouts.method_constants()["step_overhead"]["value"]
    rows = [
        (
            run.model,
            run.gpus,
            run.release,
            run.split,
            run.step_s,
            overhead * run.counted_s,
            run.rollouts_s / run.counted_s,
        )
        for run in rollouts.published()
    ]
    columns = ["model", "gpus", "release", "split", "measured_s", "predicted_s", "rollouts"]
    table = pd.DataFrame(rows, columns=columns)
    return table.assign(ratio=table.measured_s / table.predicted_s)
