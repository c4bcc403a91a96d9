"""Models by name: Hugging Face ids, short names and paths of a ``config.json``."""

from __future__ import annotations

import difflib
import functools
import re
from pathlib import Path

from hopperbook import facts
from hopperbook.errors import InputError
from hopperbook.models.config import from_config, read_config
from hopperbook.models.shape import Model, with_precision

MODELS = facts.DATA / "models"
#: Endings that name a tuning or a re-quantised copy of the same shapes, and what the latter store.
_FORMATS = {
    "fp8": "fp8", "fp4": "fp4", "nvfp4": "fp4", "mxfp4": "mxfp4", "int4": "int4", "awq": "int4", "gptq": "int4",
    "w4a16": "int4",
    "int8": "int8", "w8a8": "int8", "w8a16": "int8", "bf16": "bf16",
}  # fmt: skip
_TUNINGS = r"instruct|chat|it|base|hf|dynamic|block|quantized|v0\.[123]"
SAME_SHAPES = re.compile(rf"([-_.]({_TUNINGS}|{'|'.join(_FORMATS)}))+$", re.I)
#: Publishers whose FP8 copies hold a scale for each block of weights, not one a tensor or channel.
_IN_BLOCKS = ("qwen", "deepseek-ai", "zai-org", "minimaxai", "moonshotai", "xiaomimimo")


@functools.cache
def model_names() -> tuple[str, ...]:
    """Return the ids of all models in ``data/models``.

    Returns
    -------
    tuple of str
        Hugging Face ids, sorted.

    Examples
    --------
    >>> "meta-llama/Llama-3.3-70B-Instruct" in model_names()
    True
    """
    return tuple(sorted(path.stem.replace("--", "/", 1) for path in MODELS.glob("*--*.json")))


#: How their makers spell what ids write in small letters.
SPELT = {"gemma-": "Gemma-", "mpt-": "MPT-", "gpt-3": "GPT-3", "bge-": "BGE-", "nomic-": "Nomic-"}


def label(name: str) -> str:
    """Shorten a model's id for prose; a model given by the path of its ``config.json`` is called by its folder.

    Parameters
    ----------
    name : str
        Hugging Face id or path.

    Returns
    -------
    str
        Such as ``Llama 3.3 70B``.

    Examples
    --------
    >>> label("meta-llama/Llama-3.3-70B-Instruct"), label("meta-llama/Meta-Llama-3-8B"), label("Qwen/Qwen2.5-32B")
    ('Llama 3.3 70B', 'Llama 3 8B', 'Qwen2.5 32B')
    >>> label("google/gemma-2-27b"), label("openai/gpt-oss-20b"), label("meta-llama/Llama-2-7b-hf")
    ('Gemma 2 27B', 'gpt-oss 20B', 'Llama 2 7B')
    >>> label("/models/our-chat-14b/config.json"), label("config.json")
    ('our chat 14b', 'your model')
    """
    *folders, last = name.replace("\\", "/").rstrip("/").split("/")
    if last.lower() == "config.json":
        return folders[-1].replace("-", " ") if folders and folders[-1] not in ("", ".", "..") else "your model"
    short = last.removesuffix("-Instruct").removesuffix("-hf").removeprefix("Meta-")
    begun = next((word + short.removeprefix(lower) for lower, word in SPELT.items() if short.startswith(lower)), short)
    spelt = re.sub(r"(?<=-)\d+(?:\.\d+)?[bm](?=-|$)", lambda size: size[0].upper(), begun)
    return spelt.replace("-", " ").replace("gpt oss", "gpt-oss")


def _key(name: str) -> str:
    """Reduce a name to what tells one shape from another: no owner, no tuning, no punctuation."""
    short = SAME_SHAPES.sub("", name.strip().split("/")[-1])
    return re.sub(r"^meta", "", re.sub(r"[^a-z0-9.]", "", short.lower()))


@functools.cache
def _by_key() -> dict[str, str]:
    benchmarks = [name for name in model_names() if name.startswith("llm-foundry/")]
    others = [name for name in reversed(model_names()) if name not in benchmarks]
    same = {_key(other): name for name in others for other in read_config(_file(name)).get("_same_shapes", [])}
    return same | {_key(name): name for name in benchmarks + others}  # the last of a key wins: the first release


def _file(name: str) -> Path:
    return MODELS / (name.replace("/", "--", 1) + ".json")


def find(name: str) -> str | None:
    """Return the id in ``data/models`` that a name means, or None.

    Parameters
    ----------
    name : str
        An id, a short name, or a vendor's name of a re-quantised copy.

    Returns
    -------
    str or None
        The id whose shapes are meant.

    Examples
    --------
    >>> find("nvidia/Llama-3.1-8B-Instruct-FP8"), find("llama-3.3-70b")
    ('meta-llama/Llama-3.1-8B', 'meta-llama/Llama-3.3-70B-Instruct')
    """
    exact = {known.lower(): known for known in model_names()}
    return exact.get(name.strip().lower()) or _by_key().get(_key(name))


def _named_by(path: Path) -> str:
    """Name a model by the folder that holds its config.json: ``owner--name`` as the hub names it."""
    return path.resolve().parent.name.replace("--", "/", 1) or path.stem


def load(name: str) -> Model:
    """Load a model by Hugging Face id, short name, or path of a ``config.json``.

    Parameters
    ----------
    name : str
        ``meta-llama/Llama-3.1-70B``, ``llama-3.1-70b``, or ``path/to/config.json`` (or its folder).

    Returns
    -------
    Model
        The shapes.

    Raises
    ------
    InputError
        If the name is unknown (the nearest names are offered) or the file is not a decoder transformer's.

    Examples
    --------
    >>> load("mistral-7b").kv_heads
    8
    """
    if not isinstance(name, str) or not name.strip():
        raise InputError("model", name, "a Hugging Face id, a short name, or the path of a config.json")
    path = _config_at(name)
    if path:  # what lies on the disk beats a name
        return from_config(read_config(path), name=_named_by(path), source=path.name)
    known = find(name)
    if known:
        return _load_known(known, named_format(name))
    if name.endswith(".json") or name.startswith((".", "/", "~")):
        raise InputError(
            "model", name, "the path of an existing config.json, or of the folder that holds it, or a model's name"
        )
    allowed = (
        "a model that hopperbook facts models lists, or the path of its config.json (or of the folder that holds it)"
    )
    raise InputError("model", name, allowed, alike(name))


def _config_at(name: str) -> Path | None:
    """Return the config that lies at a path, or None."""
    try:
        path = Path(name).expanduser()
        path = path / "config.json" if path.is_dir() else path
        return path if path.is_file() else None
    except (OSError, ValueError, RuntimeError):
        return None


def named_format(name: str) -> str | None:
    """Return the format of weights that the ending of a name promises, or None.

    Parameters
    ----------
    name : str
        An id or a short name.

    Returns
    -------
    str or None
        A key of ``PRECISION_BITS``.

    Examples
    --------
    >>> names = ("nvidia/Llama-3.1-8B-Instruct-FP8", "Qwen/Qwen3-32B-FP8", "Llama-3-8B-quantized.w4a16")
    >>> [named_format(name) for name in names]
    ['fp8', 'fp8_block', 'int4']
    """
    owner, _, short = name.strip().lower().rpartition("/")
    ending = SAME_SHAPES.search(short)
    words = re.split(r"[-_.]", ending[0]) if ending else []
    found = next((_FORMATS[word] for word in reversed(words) if word in _FORMATS), None)
    return "fp8_block" if found == "fp8" and ("block" in words or owner in _IN_BLOCKS) else found


def alike(name: str) -> tuple[str, ...]:
    """Return the known models of the same family and size as a name that is not known.

    Parameters
    ----------
    name : str
        What was asked for.

    Returns
    -------
    tuple of str
        Ids; none where no model of that family and size is known.

    Examples
    --------
    >>> alike("mixtral-8x7b-2"), alike("acme/Other-70B")
    (('mistralai/Mixtral-8x7B-v0.1',), ())
    """
    family, sizes = _family_and_sizes(name)
    found = []
    for known in model_names():
        other, its = _family_and_sizes(known)
        if sizes <= its and difflib.SequenceMatcher(None, family, other).ratio() > 0.8:
            found.append(known)
    return tuple(found)


def _family_and_sizes(name: str) -> tuple[str, set[str]]:
    """Return the letters that a name begins with, and the sizes that it names, such as 70b or 8x7b."""
    short = name.strip().split("/")[-1].lower()[:200]
    letters = re.match(r"[a-z]*", _key(short))
    return letters[0] if letters else "", set(re.findall(r"(?<![\w.])\d+(?:[x.]\d+)?[bm](?![a-z0-9])", short))


@functools.cache
def _load_known(name: str, stored: str | None = None) -> Model:
    config = read_config(_file(name))
    model = from_config(config, name=name, source=config.get("_source", ""))
    return with_precision(model, stored) if stored and stored not in (model.precision, model.moe_precision) else model
