"""The customer: what is served, what is trained, what it may cost; one flat schema for YAML, notebooks and the command.

Every field is a scalar, so that a papermill parameters cell, a ``--set key=value`` and a YAML file say the same.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
import re
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator

from hopperbook import facts, models, units
from hopperbook.errors import InputError, nearest_names
from hopperbook.facts import own

MAX_FILE_BYTES = 64_000
#: What would be markup: of HTML, Markdown, MyST and Jinja; and steps out of a folder.
FORBIDDEN_IN_NAME = re.compile(r"[<>{}`*#|$\[\]\\]|\.\./|__|~~|(?<!\w)_|_(?!\w)")
Text = Annotated[str, StringConstraints(max_length=300, strip_whitespace=True)]
Count = Annotated[int, Field(ge=1, strict=True)]
Usd = Annotated[float, Field(ge=1e-4, le=1e6)]
Percentile = Literal["mean", "p50", "p90", "p95", "p99"]


class Customer(BaseModel):
    """A customer's load, training, money and preferences; ``hopperbook schema`` prints the JSON Schema."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=())

    name: Annotated[str, StringConstraints(min_length=1, max_length=60, strip_whitespace=True)] = Field(
        description="Shown on the report; plain text"
    )
    business: Text = Field("", description="What the customer does, in a sentence; plain text")
    model: Annotated[str, StringConstraints(min_length=1, max_length=300)] = Field(
        description="Model served: Hugging Face id, short name, or path of a config.json"
    )
    service: Literal["generate", "embed", "rerank"] = Field(
        "generate", description="What the model does: writes answers, embeds texts, or scores texts for a query"
    )
    texts_per_request: Annotated[Count, Field(le=10_000)] = Field(
        1, description="Texts of a request that embeds, or candidates of a query; each of prompt_tokens"
    )
    concurrency: Annotated[Count, Field(le=100_000)] = Field(
        32, description="Users at once at the busy hour; without think_time_s, requests in flight"
    )
    requests_per_s: Annotated[float, Field(ge=0, le=1e5)] = Field(
        0.0, description="Requests a second at the busy hour, in place of users; 0 = from the users by Little's law"
    )
    think_time_s: Annotated[float, Field(ge=0, le=86_400)] = Field(
        0.0, description="Seconds a user reads and types between an answer and the next request"
    )
    arrivals: Literal["poisson", "bursty", "constant"] = Field(
        "poisson", description="How requests come: at random, in bursts, or evenly"
    )
    arrival_variation: Annotated[float, Field(ge=0, le=100)] = Field(
        0.0, description="Standard deviation of the gaps between requests over their mean; 0 = that of arrivals"
    )
    lengths: Literal[
        "own", "azure-conversation", "azure-code", "mooncake-conversation", "sharegpt", "arxiv-summarization"
    ] = Field("own", description="Whose lengths of prompts and answers: as given here, or those of a published trace")
    length_sample: Annotated[str, StringConstraints(max_length=8000, strip_whitespace=True)] = Field(
        "",
        description="Typical requests, each new/answer or new/answer/cached tokens, separated by blanks, in place of"
        " log-normal lengths; scaled to the means below; empty = those of the published trace, if one is named",
    )
    prompt_tokens: Annotated[Count, Field(le=2_000_000)] = Field(2048, description="New tokens of a prompt, mean")
    prompt_std_tokens: Annotated[float, Field(ge=0, le=2_000_000)] = Field(
        0.0, description="Their standard deviation, log-normal; 0 = one length"
    )
    output_tokens: Annotated[Count, Field(le=200_000)] = Field(512, description="Tokens of an answer, mean")
    output_std_tokens: Annotated[float, Field(ge=0, le=200_000)] = Field(0.0, description="Their standard deviation")
    context_tokens: Annotated[int, Field(ge=0, le=4_000_000, strict=True)] = Field(
        0, description="Tokens a conversation holds: history, prompt and answer; 0 = prompt and answer"
    )
    history_found: Annotated[float, Field(ge=0, le=1)] = Field(
        1.0, description="Share of the history that the prefix cache still holds; the rest is read again"
    )
    shared_prompt_tokens: Annotated[int, Field(ge=0, le=1_000_000, strict=True)] = Field(
        0, description="Tokens of a system prompt before each request, the same for all"
    )
    ttft_target_ms: Annotated[float, Field(ge=0.1, le=3.6e6)] = Field(2000.0, description="First token after, at most")
    ttft_percentile: Percentile = Field("p95", description="Of whom that is asked: the mean or a percentile")
    tpot_target_ms: Annotated[float, Field(ge=0.01, le=6e4)] = Field(
        100.0, description="Each further token after, at most, as a mean over an answer"
    )
    tpot_percentile: Percentile = Field("p95", description="Of whom that is asked")
    request_target_ms: Annotated[float, Field(ge=0, le=3.6e7)] = Field(
        0.0, description="Whole answer after, at most; 0 = not asked"
    )
    request_percentile: Percentile = Field("p95", description="Of whom that is asked")
    spare_replicas: Annotated[int, Field(ge=0, le=64, strict=True)] = Field(
        0, description="Replicas that may fail at the busy hour without a target missed"
    )
    busy_fraction: Annotated[float, Field(ge=1e-4, le=1)] = Field(
        0.5, description="Mean load over the busy hour's load"
    )
    draft_acceptance: Annotated[float, Field(ge=0, le=0.99)] = Field(
        0.0, description="Share of drafted tokens accepted, where speculative decoding may be used; 0 = it may not"
    )
    disaggregation: Literal["no", "try"] = Field(
        "no", description="Whether some replicas may read prompts and others write answers"
    )
    adapters: Annotated[int, Field(ge=0, le=10_000, strict=True)] = Field(
        0, description="LoRA adapters served beside the model, each request naming one; 0 = the model alone"
    )
    adapter_rank: Annotated[Count, Field(le=512)] = Field(16, description="Rank of an adapter")
    day_curve: Text = Field(
        "", description="Load of 24 hours from midnight, separated by commas; empty = a smooth day with that mean"
    )
    precision: Literal["auto", "bf16", "fp16", "fp8", "int8", "int4"] = Field("auto", description="Weights; auto = any")
    kv_precision: Literal["auto", "bf16", "fp8"] = Field("auto", description="KV cache; auto = any")
    fp8_recipe: Literal["delayed", "current", "row", "block"] = Field(
        "current", description="Scales of FP8 training: of earlier steps, or this step's by tensor, row or block"
    )
    calibration: Annotated[str, StringConstraints(max_length=900, strip_whitespace=True)] = Field(
        "",
        description="Constants fitted on your own runs, as hopperbook calibrate --with writes them; empty = the book's",
    )
    training_task: Literal["none", "pretrain", "sft", "lora", "dpo", "grpo", "distill"] = Field(
        "none", description="What is trained: all weights, adapters, by preferences, by roll-outs, or by a teacher"
    )
    training_model: Text = Field("", description="Model trained; empty = the model served")
    teacher_model: Text = Field("", description="Model that teaches, of the same vocabulary; empty = the model served")
    rollout_prompt_tokens: Annotated[Count, Field(le=1_000_000)] = Field(
        256, description="Tokens of a prompt that GRPO answers, mean"
    )
    rollout_tokens: Annotated[Count, Field(le=1_000_000)] = Field(
        1024, description="Tokens of a roll-out, mean; the longest fills training_sequence_tokens"
    )
    training_tokens: Annotated[float, Field(ge=0, le=1e15)] = Field(0.0, description="Tokens of the training run")
    training_sequence_tokens: Annotated[Count, Field(le=1_000_000)] = Field(4096, description="Tokens of a sequence")
    training_deadline_days: Annotated[float, Field(ge=0.001, le=3650)] = Field(30.0, description="The run ends within")
    trainings_per_year: Annotated[float, Field(ge=0.001, le=366)] = Field(4.0, description="How often it is run")
    small_services: Annotated[int, Field(ge=0, le=500, strict=True)] = Field(
        0, description="Small services beside the main one"
    )
    small_model: Text = Field("meta-llama/Llama-3.2-3B", description="Model of a small service")
    night_tokens: Annotated[float, Field(ge=0, le=1e13)] = Field(
        0.0, description="Tokens written every night, or read where it only reads; lengths are the service's; 0 = none"
    )
    night_from: Annotated[int, Field(ge=0, le=23, strict=True)] = Field(22, description="Hour at which a night begins")
    night_until: Annotated[int, Field(ge=0, le=23, strict=True)] = Field(6, description="Hour at which it ends")
    night_model: Text = Field("", description="Model of the night's work; empty = the model served")
    images_per_hour: Annotated[float, Field(ge=0, le=1e7)] = Field(
        0.0, description="Images generated in the busiest hour; 0 = none"
    )
    image_model: Literal["flux.1-dev", "stable-diffusion-3.5-large"] = Field(
        "flux.1-dev", description="Model that generates them"
    )
    image_side_pixels: Annotated[int, Field(ge=256, le=2048, multiple_of=16, strict=True)] = Field(
        1024, description="Side of a square image, a multiple of 16"
    )
    image_steps: Annotated[int, Field(ge=0, le=200, strict=True)] = Field(
        0, description="Denoising steps of an image; 0 = as the model's publisher shows"
    )
    hpc_hours_per_day: Annotated[float, Field(ge=0, le=24)] = Field(
        0.0, description="Hours of FP64 or DPX work a day, as eight H100 SXM need them"
    )
    budget_usd_per_month: Annotated[float, Field(ge=0, le=1e10)] = Field(0.0, description="At most; 0 = not stated")
    market: Literal["other", "hyperscaler"] = Field(
        "other", description="Whose rental prices: GPU clouds, or the three"
    )
    as_of: Text = Field("", description="Day of the prices, YYYY-MM-DD; empty = that of the newest quote on file")
    tenure: Literal["auto", "on_demand", "reserved", "own"] = Field("auto", description="How you pay for GPUs")
    region: Text = Field("US", description="Where; shown beside prices")
    horizon_months: Annotated[int, Field(ge=1, le=120, strict=True)] = Field(
        24, description="Months the plan must last"
    )
    owned_gpu: Text = Field("", description="GPU owned today; empty = none")
    owned_gpus: Annotated[int, Field(ge=0, le=100_000, strict=True)] = Field(0, description="How many are owned")
    max_gpus: Annotated[Count, Field(le=16_384)] = Field(1024, description="Largest cluster considered")
    parts: Text = Field(
        "", description="GPUs to choose from, by commas; empty = A100, H100 and H200, and what is owned"
    )
    a100_usd_per_hour: Usd | None = Field(
        None, description="Your price of an A100 SXM 80GB hour; empty = data/prices.csv"
    )
    h100_usd_per_hour: Usd | None = Field(None, description="Your price of an H100 SXM hour")
    h200_usd_per_hour: Usd | None = Field(None, description="Your price of an H200 SXM hour")
    api_usd_per_million_input_tokens: Usd | None = Field(None, description="What that API asks for tokens it reads")
    api_usd_per_million_output_tokens: Usd | None = Field(
        None, description="Price of an API that would do; empty = none"
    )
    growth_per_year: Annotated[float, Field(ge=0, le=10)] = Field(
        0.0, description="Growth of the load a year, as a share; the bill by month adds replicas as they are needed"
    )
    stored_tb: Annotated[float, Field(ge=0, le=1e6)] = Field(0.0, description="Data stored at the provider, TB")
    egress_tb_per_month: Annotated[float, Field(ge=0, le=1e6)] = Field(
        0.0, description="Traffic out of the provider to the internet, TB a month"
    )
    support: Literal["none", "business", "enterprise"] = Field(
        "none", description="Support plan of the provider, where GPUs are rented"
    )
    licence: Literal["none", "nvaie"] = Field("none", description="Software licence of each GPU: NVIDIA AI Enterprise")
    site_kw: Annotated[float, Field(ge=0, le=1e6)] = Field(
        0.0, description="Power of your own site for servers and their cooling, kW; 0 = no limit"
    )
    site_rack_kw: Annotated[float, Field(ge=0, le=1000)] = Field(
        0.0, description="Power that a rack of it carries and cools, kW; 0 = as assumed"
    )
    site_racks: Annotated[int, Field(ge=0, le=100_000, strict=True)] = Field(
        0, description="Racks free there; 0 = no limit"
    )
    site_pue: Annotated[float, Field(ge=0, le=3)] = Field(
        0.0, description="Power of the site over that of its machines, from 1 on; 0 = as surveyed"
    )
    site_usd_per_kwh: Annotated[float, Field(ge=0, le=5)] = Field(
        0.0, description="Price of electricity there; 0 = as assumed"
    )
    currency: Annotated[str, StringConstraints(max_length=12, strip_whitespace=True)] = Field(
        "USD", description="Money is shown in it: a code of data/currencies.csv; what is computed stays in USD"
    )
    currency_per_usd: Annotated[float, Field(ge=0, le=1e6)] = Field(
        0.0, description="Your rate, units of that currency for one US dollar; 0 = the dated rate on file"
    )
    language: Annotated[str, StringConstraints(min_length=2, max_length=300)] = Field(
        "en",
        description="Language of the pages: en, or a catalogue FILE.po beside this file (hopperbook words)",
    )
    logo: Annotated[str, StringConstraints(max_length=300)] = Field(
        "", description="Logo at the head of each page: an SVG or PNG file beside this file; empty = none"
    )
    accent: Annotated[str, StringConstraints(max_length=30, strip_whitespace=True)] = Field(
        "",
        description="Colour of headings and links, #rrggbb, made darker or lighter to be legible; empty = the book's",
    )
    contact: Text = Field("", description="Whom readers ask, on the first page; plain text")
    confidentiality: Text = Field("", description="Line at the foot of each page and printed sheet; plain text")

    @field_validator("name")
    @classmethod
    def _plain_name(cls, value: str) -> str:
        if FORBIDDEN_IN_NAME.search(value) or not value.isprintable():
            raise ValueError("plain text on one line, without ../ and the signs < > { } [ ] ` * # | $ _ \\ of markup")
        return value

    @field_validator(
        "business", "region", "small_model", "training_model", "teacher_model", "night_model", "model",
        "owned_gpu", "parts", "contact", "confidentiality", "logo", "language",
    )  # fmt: skip
    @classmethod
    def _printable(cls, value: str) -> str:
        if not value.isprintable():
            raise ValueError("printable text on one line")
        return value

    @field_validator("contact", "confidentiality")
    @classmethod
    def _no_markup(cls, value: str) -> str:
        if re.search(r"[<>{}`\[\]\\$]", value):
            raise ValueError("plain text without the signs < > { } [ ] ` $ \\ of markup")
        return value

    @field_validator("accent")
    @classmethod
    def _colour(cls, value: str) -> str:
        if value and not re.fullmatch(r"#[0-9a-fA-F]{6}", value):
            raise ValueError("a colour such as #0067b5, or nothing")
        return value.lower()

    @field_validator("*", mode="before")
    @classmethod
    def _no_flags(cls, value: object) -> object:
        if isinstance(value, bool):
            raise ValueError("a number or a text, not true or false")
        return value

    @property
    def only_reads(self) -> bool:
        """Whether the model embeds or scores texts and writes nothing; one token stands for its answer."""
        return self.service != "generate"

    @property
    def request_tokens(self) -> int:
        """New tokens of a request: its prompt, or all its texts."""
        return self.prompt_tokens * self.texts_per_request

    @property
    def held_tokens(self) -> int:
        """Tokens a user holds in the cache: the context given, at least prompt and answer."""
        return max(self.context_tokens, self.request_tokens + self.output_tokens)

    @property
    def decoding_tokens(self) -> float:
        """Tokens a user holds on average while her answer is written: all of it but half of the answer."""
        return self.held_tokens - self.output_tokens / 2

    @property
    def history_tokens(self) -> int:
        """Tokens of a conversation before its new prompt."""
        return self.held_tokens - self.request_tokens - self.output_tokens

    @property
    def night_hours(self) -> int:
        """Hours of a night; the whole day where it begins and ends at one hour."""
        return (self.night_until - self.night_from) % 24 or 24

    @property
    def hourly_load(self) -> list[float]:
        """The day's curve as it was written, 24 numbers; none where none was given."""
        return [float(hour) for hour in self.day_curve.split(",")] if self.day_curve else []

    @property
    def sample(self) -> tuple[tuple[int, int, int], ...]:
        """The typical requests: new tokens, those of the answer, those cached before."""
        return _sample(self.length_sample)

    @property
    def file_name(self) -> str:
        """Name of the file that a report hands out, to run it again."""
        return f"{slug(self.name)}.yaml"

    @property
    def load_words(self) -> str:
        """The load in words: users, or requests a second."""
        return f"{self.requests_per_s:g} requests a second" if self.requests_per_s else f"{self.concurrency:,} users"

    @property
    def most_in_flight(self) -> int:
        """Requests in flight at the most: the users, or, by Little's law, a rate times answers as slow as allowed."""
        if not self.requests_per_s:
            return self.concurrency
        slowest_s = (self.ttft_target_ms + self.output_tokens * self.tpot_target_ms) / 1e3
        return max(1, math.ceil(self.requests_per_s * min(slowest_s, self.request_target_ms / 1e3 or slowest_s)))

    @property
    def part_names(self) -> tuple[str, ...]:
        """Names of the GPUs that she wants to choose from; empty where she leaves it to the book."""
        return tuple(name.strip() for name in self.parts.split(",") if name.strip())

    @property
    def trained_model(self) -> str:
        """The model that is trained."""
        return self.training_model or self.model

    @property
    def trains(self) -> bool:
        """Whether anything is trained."""
        return self.training_task != "none" and self.training_tokens > 0

    @property
    def fp8_precision(self) -> str:
        """What calculators call FP8 with the customer's scales: kernels differ by block scales only."""
        return "fp8_block" if self.fp8_recipe == "block" else "fp8"

    def digest(self) -> str:
        """Return twelve hexadecimal digits that change when any field does; of a file of the look by its name."""
        files = {field: Path(getattr(self, field)).name for field in LOOK_FILES}
        text = json.dumps(self.model_dump() | files, sort_keys=True, ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


@functools.cache
def _sample(text: str) -> tuple[tuple[int, int, int], ...]:
    """Read the typical requests as they were written, refusing what is none."""
    found = []
    for entry in text.split():
        parts = [int(part) for part in entry.split("/") if part.isdecimal() and len(part) <= 7]
        if len(parts) != len(entry.split("/")) or len(parts) not in (2, 3) or min(parts[:2]) < 1:
            raise InputError("length_sample", entry, "new/answer or new/answer/cached, whole numbers of tokens")
        found.append((parts[0], parts[1], parts[2] if len(parts) == 3 else 0))
    return tuple(found)


FIELDS = tuple(Customer.model_fields)
#: Fields that may name a file of the report's look, beside the customer's file.
LOOK_FILES = ("logo", "language")
Known = TypeVar("Known")


def _rule(field: str) -> dict[str, Any]:
    """Return what the JSON Schema says of a field; of one that may be empty, what holds where it is not."""
    rule = Customer.model_json_schema()["properties"][field]
    return rule["anyOf"][0] if "anyOf" in rule else rule


def _allowed(rule: dict[str, Any]) -> str:
    """Say what a field takes, in words."""
    if "enum" in rule:
        return "one of " + ", ".join(rule["enum"])
    if rule["type"] == "string":
        return f"text of {rule.get('minLength', 0)} to {rule['maxLength']:,} characters on one line"
    low, high = float(rule.get("minimum", rule.get("exclusiveMinimum", 0))), float(rule["maximum"])
    above = "above" if "exclusiveMinimum" in rule else "from"
    return f"a {'whole ' if rule['type'] == 'integer' else ''}number {above} {_written(low)} to {_written(high)}"


def _written(number: float) -> str:
    return f"{int(number):,}" if number == int(number) else f"{number:g}"


def _nearest(rule: dict[str, Any], value: object) -> str | list[str] | None:
    """Return the choices, or the end of the range beyond which a number lies."""
    if "enum" in rule:
        return list(rule["enum"])
    if rule["type"] == "string" or not isinstance(value, int | float) or value != value:
        return None
    ends = [(value > rule["maximum"], rule["maximum"]), (value < rule.get("minimum", value), rule.get("minimum"))]
    return next((_written(end).replace(",", "") for beyond, end in ends if beyond), None)


def _sentence(error: ValidationError) -> InputError:
    """Turn pydantic's first complaint into our sentence; a name of no field comes first: one may be missing for it."""
    first, *others = sorted(error.errors(include_url=False), key=lambda each: each["type"] != "extra_forbidden")
    field, value = str(first["loc"][0]) if first["loc"] else "customer", first.get("input")
    named = dict.fromkeys(str(each["loc"][0]) for each in others if each["loc"])
    also = [name for name in named if name in FIELDS and name != field]
    if first["type"] == "extra_forbidden":
        return InputError("customer", field, "one of its fields", nearest_names(field, FIELDS) or FIELDS[:3], also)
    if first["type"] == "missing":
        return InputError(field, None, f"required: {Customer.model_fields[field].description}", also=also)
    rule = _rule(field)
    if first["type"] == "value_error":
        return InputError(field, value, first["msg"].removeprefix("Value error, "), also=also)
    return InputError(field, value, _allowed(rule), _nearest(rule, value), also)


def check(values: dict[str, Any]) -> Customer:
    """Make a customer from plain values, refusing what cannot be used.

    Parameters
    ----------
    values : dict
        Field names and scalars.

    Returns
    -------
    Customer
        The checked customer; its models and GPUs exist.

    Raises
    ------
    InputError
        For the first value that cannot be used.

    Examples
    --------
    >>> check({"name": "Lingua Shop", "model": "llama-3.3-70b"}).model
    'meta-llama/Llama-3.3-70B-Instruct'
    """
    values = dict(values)
    for field in ("model", "training_model", "small_model", "teacher_model", "night_model"):
        value = values.get(field)
        if isinstance(value, str) and value:
            values[field] = models.find(value) or value
    try:
        customer = Customer(**values)
    except ValidationError as error:
        raise _sentence(error) from None
    except TypeError:
        raise InputError("customer", list(values)[:3], "field names as text") from None
    if customer.lengths != "own":
        sample = facts.read_yaml("traffic.yaml")[customer.lengths]
        fields = ("length_sample", "prompt_tokens", "prompt_std_tokens", "output_tokens", "output_std_tokens")
        customer = customer.model_copy(update={field: sample[field] for field in fields})
    customer = _as_reader(customer)
    if customer.day_curve:
        customer = _with_own_day(customer)
    _sample(customer.length_sample)
    own.read(customer.calibration)
    facts.currency(customer.currency)
    _check_look(customer)
    if customer.as_of and not re.fullmatch(r"20[2-3]\d-\d\d-\d\d", customer.as_of):
        raise InputError("as_of", customer.as_of, "a day such as 2026-08-23", facts.newest_price_date())
    if customer.as_of:
        try:
            date.fromisoformat(customer.as_of)
        except ValueError:
            raise InputError("as_of", customer.as_of, "a day of the calendar", facts.newest_price_date()) from None
    if 0 < customer.site_pue < 1:
        raise InputError("site_pue", customer.site_pue, "0, or a number from 1 to 3: cooling adds to the machines", "1")
    served = _known("model", models.load, customer.model)
    for field in ("training_model", "small_model", "teacher_model", "night_model"):
        _writes(field, _known(field, models.load, getattr(customer, field) or customer.model), customer)
    if not customer.only_reads:
        _writes("model", served, customer)
    if customer.trains:
        _check_training(customer)
    if customer.owned_gpu:
        _known("owned_gpu", facts.gpu, customer.owned_gpu)
    if customer.parts:
        customer = _with_known_parts(customer)
    limit = served.context_limit
    if limit and customer.only_reads and customer.prompt_tokens > limit:
        allowed = f"at most {limit:,} tokens of a text, which {served.name} reads"
        raise InputError("prompt_tokens", customer.prompt_tokens, allowed, str(limit))
    if customer.only_reads:
        return customer
    if limit and customer.prompt_tokens + customer.output_tokens > limit:
        raise InputError(
            "prompt_tokens",
            customer.prompt_tokens,
            f"at most {limit - customer.output_tokens:,}: {served.name} reads {limit:,} tokens",
        )
    if limit and customer.shared_prompt_tokens + customer.held_tokens > max(limit, customer.context_tokens):
        raise InputError(
            "shared_prompt_tokens",
            customer.shared_prompt_tokens,
            f"at most {max(limit - customer.held_tokens, 0):,} beside {customer.held_tokens:,} of a conversation:"
            f" {served.name} reads {limit:,} tokens",
        )
    if limit and customer.context_tokens > limit:
        raise InputError(
            "context_tokens", customer.context_tokens, f"at most {limit:,}, the context of {served.name}", str(limit)
        )
    return customer


def _check_look(customer: Customer) -> None:
    """Refuse a logo or a catalogue of words that is no such file by its name; what it holds is read for a report."""
    if customer.logo and not customer.logo.lower().endswith((".svg", ".png")):
        raise InputError("logo", customer.logo, "an SVG or PNG file beside the customer's file, or nothing")
    if customer.language != "en" and not customer.language.endswith(".po"):
        raise InputError("language", customer.language, "en, or a catalogue that ends in .po beside that file", "en")


def show_money(customer: Customer) -> None:
    """Let this process show money in the customer's currency.

    Parameters
    ----------
    customer : Customer
        Whose currency, and perhaps whose own rate.

    Examples
    --------
    >>> show_money(check({"name": "A", "model": "llama-3.1-8b"}))
    """
    found = facts.currency(customer.currency)
    units.show_money_in(found.code, found.sign, rate(customer))


def rate(customer: Customer) -> float:
    """Return how much of the customer's currency one US dollar buys.

    Parameters
    ----------
    customer : Customer
        Whose currency.

    Returns
    -------
    float
        Her own rate, or that on file.

    Examples
    --------
    >>> rate(check({"name": "A", "model": "llama-3.1-8b", "currency": "CHF", "currency_per_usd": 0.8}))
    0.8
    """
    if customer.currency == "USD":
        return 1.0
    return customer.currency_per_usd or facts.currency(customer.currency).per_usd


def rate_words(customer: Customer) -> str:
    """Say at which rate, of which day and by whom, money is shown in the customer's currency.

    Parameters
    ----------
    customer : Customer
        Whose currency.

    Returns
    -------
    str
        A sentence; empty for US dollars.

    Examples
    --------
    >>> rate_words(check({"name": "A", "model": "llama-3.1-8b", "currency": "EUR"}))
    'Money is in euros, at EUR 0.8654 a US dollar (European Central Bank, 2026-08-10).'
    """
    found = facts.currency(customer.currency)
    if found.code == "USD":
        return ""
    whose = "your own rate" if customer.currency_per_usd else f"{_publisher(found.source)}, {found.date}"
    return f"Money is in {found.name}, at {found.code} {units.number(rate(customer), 4)} a US dollar ({whose})."


def _publisher(source: str) -> str:
    """Return who published a source."""
    return facts.references().get(source, {}).get("author", source).replace("{", "").replace("}", "")


def _as_reader(customer: Customer) -> Customer:
    """Set what a service that only reads asks: no history, one token for its answer, due when the whole answer is."""
    if not customer.only_reads:
        if customer.texts_per_request > 1:
            raise InputError("texts_per_request", customer.texts_per_request, "1 where the service generates", "1")
        return customer
    if customer.length_sample:
        raise InputError("length_sample", customer.length_sample[:40], f"empty where the service is {customer.service}")
    if customer.adapters:
        raise InputError("adapters", customer.adapters, f"0 where the service is {customer.service}", "0")
    whole = customer.request_target_ms or customer.ttft_target_ms
    percentile = customer.request_percentile if customer.request_target_ms else customer.ttft_percentile
    asked = {"output_tokens": 1, "output_std_tokens": 0.0, "context_tokens": 0, "shared_prompt_tokens": 0}
    asked |= {"ttft_target_ms": whole, "request_target_ms": whole}
    return customer.model_copy(update=asked | {"ttft_percentile": percentile, "request_percentile": percentile})


def _writes(field: str, model: models.Model, customer: Customer) -> None:
    """Refuse an encoder where a model must write, or be trained as one that does."""
    reads = field == "night_model" and customer.only_reads
    if not model.encoder or reads or (field != "model" and not getattr(customer, field)):
        return
    if field == "model":
        allowed = f"embed or rerank, since {model.name} is an encoder and writes no text"
        raise InputError("service", customer.service, allowed, ["embed", "rerank"])
    raise InputError(field, model.name, "a decoder; this one is an encoder, which writes no text")


def _check_training(customer: Customer) -> None:
    """Refuse encoders, a teacher of another vocabulary, and roll-outs longer than their sequence."""
    student = models.load(customer.trained_model)
    if student.encoder:
        raise InputError("training_model", student.name, "a decoder; the training of encoders is not timed")
    if customer.training_task == "distill":
        teacher = models.load(customer.teacher_model or customer.model)
        if teacher.vocab != student.vocab:
            allowed = f"a model with the {student.vocab:,} tokens of {student.name}; this one has {teacher.vocab:,}"
            raise InputError("teacher_model", teacher.name, allowed)
    longest = customer.training_sequence_tokens
    if customer.training_task == "grpo" and customer.rollout_prompt_tokens + customer.rollout_tokens > longest:
        most = longest - customer.rollout_prompt_tokens
        allowed = f"at most {most:,}: training_sequence_tokens is {longest:,}, and prompts take the rest"
        raise InputError("rollout_tokens", customer.rollout_tokens, allowed, str(most) if most > 0 else None)


def _with_known_parts(customer: Customer) -> Customer:
    """Check the GPUs to choose from, and write their names in full."""
    names = [name.strip() for name in customer.parts.split(",") if name.strip()]
    if not names:
        raise InputError("parts", customer.parts, "names of GPUs, separated by commas", ", ".join(facts.drawn()))
    full = dict.fromkeys(_known("parts", facts.gpu, name).name for name in names)
    return customer.model_copy(update={"parts": ", ".join(full)})


def _with_own_day(customer: Customer) -> Customer:
    """Check the day's curve, and take the mean load from it."""
    wanted = "24 numbers of zero or more, separated by commas, the largest above zero"
    try:
        hours = customer.hourly_load
    except ValueError:
        raise InputError("day_curve", customer.day_curve, wanted) from None
    if len(hours) != 24 or not all(0 <= hour < math.inf for hour in hours) or max(hours) <= 0:
        raise InputError("day_curve", customer.day_curve, wanted)
    return customer.model_copy(update={"busy_fraction": max(1e-4, sum(hours) / 24 / max(hours))})


def _known(field: str, look_up: Callable[[str], Known], name: str) -> Known:
    """Look a name up; where it is unknown, complain of the customer's field."""
    try:
        return look_up(name)
    except InputError as error:
        error.args = (
            (re.sub(r"^[^:]*: ", f"{field}: ", str(error), count=1),) if error.field in ("gpu", "model") else error.args
        )
        raise


def read(path: str | Path) -> dict[str, Any]:
    """Read a customer's YAML file as plain values.

    Parameters
    ----------
    path : path
        A YAML file of at most 64,000 bytes: a mapping of field names to scalars, without tags, anchors or aliases.

    Returns
    -------
    dict
        Values as written; :func:`check` makes a customer of them.

    Raises
    ------
    InputError
        If the file is missing, too large, not YAML, or anything but a flat mapping.

    Examples
    --------
    >>> read(facts.DATA / "customers" / "default.yaml")["name"]
    'Lingua Shop'
    """
    path = Path(path)
    try:
        size = path.stat().st_size
    except (OSError, ValueError):
        raise InputError("customer file", str(path), "an existing YAML file", _known_files(path)) from None
    if not path.is_file():
        raise InputError("customer file", str(path), "a YAML file, not a folder")
    if size > MAX_FILE_BYTES:
        raise InputError("customer file", path.name, f"at most {MAX_FILE_BYTES:,} bytes; this one has {size:,}")
    try:
        text = path.read_bytes().decode("utf-8")
        depth = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            _refuse_cleverness(event, depth, path.name)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        values = yaml.safe_load(text)
        plain = {key.value: value for key, value in node.value} if isinstance(node, yaml.MappingNode) else {}
    except OSError:
        raise InputError("customer file", path.name, "a file that may be read") from None
    except UnicodeDecodeError:
        raise InputError("customer file", path.name, "UTF-8 text") from None
    except (yaml.YAMLError, ValueError, ArithmeticError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark else ""
        raise InputError("customer file", path.name, f"YAML{where}") from None
    if not isinstance(values, dict) or not isinstance(node, yaml.MappingNode):
        raise InputError("customer file", path.name, "a mapping of fields to values")
    names = [key.value for key, _ in node.value]
    if "<<" in names:
        raise InputError("customer file", "<<", "YAML without merged mappings")
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise InputError("customer file", twice[0], "each field once")
    for key, value in values.items():
        if not isinstance(key, str) or isinstance(value, list | dict | set):
            raise InputError(str(key), value, "one value, not a list or a mapping")
    return {key: _as_written(key, value, plain[key]) for key, value in values.items()}


def _as_written(field: str, value: Any, node: yaml.Node) -> Any:
    """Return a value as its writer meant it: a day as text; a number that only YAML would read as one is refused."""
    if isinstance(value, date):
        return str(node.value)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if number and re.search(r"[_:]|^[-+]?0\w", str(node.value)):
        raise InputError(field, str(node.value), "a number in decimal digits, such as 12 or 0.5")
    return value


def _known_files(path: Path) -> list[str]:
    folder = path.parent if path.parent.is_dir() else facts.DATA / "customers"
    return [str(folder / name) for name in nearest_names(path.name, [p.name for p in folder.glob("*.yaml")])]


def _refuse_cleverness(event: yaml.Event, depth: int, name: str) -> None:
    if depth > 2:  # a parser's time grows with the square of the depth
        raise InputError("customer file", name, "a flat mapping of fields to values")
    if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
        raise InputError("customer file", name, "YAML without anchors and aliases")
    if tag := getattr(event, "tag", None):
        raise InputError("customer file", str(tag), "YAML without tags")


def load(path: str | Path, overrides: dict[str, Any] | None = None) -> Customer:
    """Read and check a customer's file.

    Parameters
    ----------
    path : path
        The YAML file.
    overrides : dict, optional
        Fields that replace those of the file.

    Returns
    -------
    Customer
        The checked customer.

    Raises
    ------
    InputError
        As :func:`read` and :func:`check`.

    Examples
    --------
    >>> load(facts.DATA / "customers" / "default.yaml", {"context_tokens": 32768}).held_tokens
    32768
    """
    return check({**read(path), **(overrides or {})})


def slug(name: str) -> str:
    """Turn a name into the name of a folder: letters, digits and dashes; of a name with others, a code of it too.

    Parameters
    ----------
    name : str
        Any text.

    Returns
    -------
    str
        At most 40 characters, never empty.

    Examples
    --------
    >>> slug("Lingua Shop"), slug("../.."), slug("Café")
    ('lingua-shop', 'customer', 'caf-73473d')
    """
    kept = "".join(c if c.isascii() and c.isalnum() else "-" for c in name.lower())
    plain = "-".join(part for part in kept.split("-") if part)[:40] or "customer"
    return plain if name.isascii() else f"{plain[:33].rstrip('-')}-{name_code(name)}"


def name_code(name: str) -> str:
    """Return a short code of a name, which tells it from another whose folder would be called the same.

    Parameters
    ----------
    name : str
        Any text.

    Returns
    -------
    str
        Six hexadecimal digits.

    Examples
    --------
    >>> name_code("Möller") == name_code("Müller")
    False
    """
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:6]


def default() -> Customer:
    """Return the customer of the published book.

    Returns
    -------
    Customer
        ``data/customers/default.yaml``.

    Examples
    --------
    >>> default().name
    'Lingua Shop'
    """
    return load(facts.DATA / "customers" / "default.yaml")


def of(namespace: dict[str, Any]) -> Customer:
    """Make the customer from a notebook's variables, as its parameters cell set them.

    Parameters
    ----------
    namespace : dict
        ``globals()`` of the notebook; names that are no fields are left alone.

    Returns
    -------
    Customer
        The checked customer.

    Raises
    ------
    InputError
        As :func:`check`.

    Examples
    --------
    >>> of({"name": "A", "model": "mistral-7b", "concurrency": 8, "unrelated": object()}).concurrency
    8
    """
    customer = check({field: namespace[field] for field in FIELDS if field in namespace})
    own.put(customer.calibration)
    show_money(customer)
    return customer


def parse_override(text: str) -> tuple[str, Any]:
    """Read one ``--set key=value`` of the command.

    Parameters
    ----------
    text : str
        ``context_tokens=32768``.

    Returns
    -------
    tuple
        Field and value: text as it stands, everything else read as a YAML scalar.

    Raises
    ------
    InputError
        If there is no ``=``, the field is unknown or the value is not a scalar.

    Examples
    --------
    >>> parse_override("context_tokens=32768")
    ('context_tokens', 32768)
    """
    key, equals, value = text.partition("=")
    key = key.strip()
    if not equals or key not in FIELDS:
        raise InputError("--set", text, "FIELD=VALUE with a field of the customer", nearest_names(key, FIELDS))
    if Customer.model_fields[key].annotation is str:
        return key, value.strip()
    try:
        parsed, node = yaml.safe_load(value), yaml.compose(value, Loader=yaml.SafeLoader)
        for event in yaml.parse(value, Loader=yaml.SafeLoader):
            _refuse_cleverness(event, 0, "--set")
    except (yaml.YAMLError, ValueError, ArithmeticError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(key, value, "one value") from None
    if isinstance(parsed, list | dict | set):
        raise InputError(key, value, "one value, not a list or a mapping")
    return key, _as_written(key, parsed, node) if node else parsed


def schema() -> dict[str, Any]:
    """Return the JSON Schema of a customer's file, for editors that complete YAML.

    Returns
    -------
    dict
        JSON Schema, draft 2020-12.

    Examples
    --------
    >>> concurrency = schema()["properties"]["concurrency"]
    >>> concurrency["minimum"], concurrency["maximum"]
    (1, 100000)
    """
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | Customer.model_json_schema()
