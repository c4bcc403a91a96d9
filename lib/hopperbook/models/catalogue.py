"""Models by name: Hugging Face ids, short names and paths of a ``config.json``."""

from __future__ import annotations

import functools
import re
from pathlib import Path

from hopperbook import facts
from hopperbook.errors import InputError
from hopperbook.models.config import from_config, read_config
from hopperbook.models.shape import Model

MODELS = facts.DATA / "models"
#: Endings that name a tuning or a re-quantised copy of the same shapes.
SAME_SHAPES = re.compile(
    r"(-(instruct|chat|it|base|hf|fp8|fp4|nvfp4|int4|int8|awq|gptq|bf16|dynamic|v0\.[123]))+$", re.I
)


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
    known = find(name)
    if known:
        return _load_known(known)
    path = Path(name)
    looks_like_path = name.endswith(".json") or name.startswith((".", "/", "~"))
    try:
        path = path.expanduser()
        path = path / "config.json" if path.is_dir() else path
        exists = path.is_file()
    except (OSError, ValueError, RuntimeError):
        exists = False
    if exists:
        return from_config(read_config(path), name=path.parent.name or path.stem, source=path.name)
    if looks_like_path:
        raise InputError("model", name, "the path of an existing config.json, or a model name")
    allowed = "a model in data/models (hopperbook facts models) or the path of a config.json"
    raise InputError("model", name, allowed, model_names())


@functools.cache
def _load_known(name: str) -> Model:
    config = read_config(_file(name))
    return from_config(config, name=name, source=config.get("_source", ""))
