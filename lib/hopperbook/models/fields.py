"""The fields of a ``config.json``, read with care: checked, remembered as read, and refused where one stays unread.

A field that nobody reads may change a model's size, so that a count without it would be wrong in silence.  What cannot
(names, tokens, training, numerics, rotary angles) is listed in ``data/model_families.yaml``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import Any

from hopperbook import facts
from hopperbook.errors import InputError

Config = dict[str, Any]
LARGEST, MOST_LAYERS = 20_000_000, 4096


@cache
def _neutral() -> tuple[frozenset[str], re.Pattern[str], re.Pattern[str]]:
    """Return names and a pattern of fields that change no size, and the pattern of flags that may."""
    table = facts.read_yaml("model_families.yaml")
    names = frozenset(" ".join(table["neutral"]["names"].values()).split())
    patterns = table["neutral"]["patterns"]
    return names, re.compile("|".join(patterns)), re.compile("|".join(table["neutral"]["flags"]))


class Fields:
    """A ``config.json`` that is being read.

    Parameters
    ----------
    config : dict
        The fields as published.

    Examples
    --------
    >>> fields = Fields({"hidden_size": 64, "num_layers_of_mine": 3})
    >>> fields.size("hidden_size")
    64
    >>> fields.finish()
    Traceback (most recent call last):
    hopperbook.errors.InputError: config.json: num_layers_of_mine: 3 is not usable; allowed is no field ...
    """

    def __init__(self, config: Config):
        self.config = config
        self.seen: set[str] = set()

    def get(self, *names: str) -> Any:
        """Return the first of some fields that is there and not null; None if none is."""
        self.seen.update(names)
        return next((self.config[name] for name in names if self.config.get(name) is not None), None)

    def size(self, *names: str, default: int | None = None, least: int = 1) -> int:
        """Return a whole number under the first of some names; refuse nonsense, contradiction and absence."""
        self.seen.update(names)
        found = {name: self.config[name] for name in names if self.config.get(name) is not None}
        for name, value in found.items():
            most = MOST_LAYERS if name.endswith(("_layers", "n_layer")) else LARGEST
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
                raise InputError(f"config.json: {name}", value, f"a whole number from {least} to {most:,}")
        if not found:
            if default is None:
                raise InputError("config.json: " + names[0], None, "a whole number (the field is missing)")
            return default
        name, value = next(iter(found.items()))
        for other, differs in found.items():
            if differs != value:
                raise InputError(f"config.json: {other}", differs, f"{value}, as {name} says")
        return value

    def flag(self, name: str, default: bool) -> bool:
        """Return a field that is true or false."""
        value = self.get(name)
        if value is not None and not isinstance(value, bool | int):
            raise InputError(f"config.json: {name}", value, "true or false")
        return default if value is None else bool(value)

    def words(self, name: str, length: int, kinds: Iterable[str]) -> list[str] | None:
        """Return a list of words, one a layer, each of known kinds; None where the field is missing."""
        value, allowed = self.get(name), tuple(kinds)
        if value is None:
            return None
        if not isinstance(value, list) or len(value) != length:
            raise InputError(f"config.json: {name}", value, f"a list of {length} words, one a layer")
        for word in value:
            if word not in allowed:
                raise InputError(f"config.json: {name}", word, "a list of " + ", ".join(allowed))
        return value

    def numbers(self, name: str, length: int | None = None) -> list[int] | None:
        """Return a list of whole numbers from 0; None where the field is missing."""
        value = self.get(name)
        if value is None:
            return None
        right = isinstance(value, list) and all(isinstance(v, int) and 0 <= v <= LARGEST for v in value)
        if not right or (length is not None and len(value) != length):
            of = "" if length is None else f"{length} "
            raise InputError(f"config.json: {name}", value, f"a list of {of}whole numbers")
        return value

    def inner(self, name: str) -> Fields | None:
        """Return a field that is itself an object, to be read as this one is; None where it is missing."""
        value = self.get(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise InputError(f"config.json: {name}", value, "an object")
        return Fields(value)

    def only(self, name: str, *values: Any) -> None:
        """Refuse a field that says something else than the values that are understood, or nothing."""
        value = self.get(name)
        if value is not None and value not in values:
            raise InputError(f"config.json: {name}", value, " or ".join(repr(v) for v in values))

    def ignore(self, names: Iterable[str]) -> None:
        """Mark fields as known to change no size."""
        self.seen.update(names)

    def unread(self) -> list[str]:
        """List the fields that nobody has read and that may change a size."""
        names, pattern, flags = _neutral()
        left = []
        for name, value in self.config.items():
            if name in self.seen or name in names or name.startswith("_") or pattern.search(name):
                continue
            if isinstance(value, bool):  # a feature that is off is what its absence means, but for a few
                may = bool(flags.search(name)) if value else bool(re.search("tie|gat|parallel|multi_query", name))
            elif isinstance(value, str):
                may = bool(re.search("pattern|block_type|layer_type|layers_enum|expert", name))
            elif isinstance(value, float):
                may = bool(re.search("mult|ratio|expan", name))
            else:
                may = value is not None and value != [] and value != {}
            if may:
                left.append(name)
        return left

    def finish(self, of: str = "this model_type") -> None:
        """Refuse the config if a field stays unread that may change a size."""
        for name in self.unread():
            allowed = f"no field whose meaning for {of} is not known here, since it may change sizes"
            raise InputError(f"config.json: {name}", self.config[name], allowed)


def divides(name: str, value: int, of: str, total: int) -> None:
    """Refuse a size that does not divide another.

    Parameters
    ----------
    name : str
        Its field.
    value : int
        The size.
    of : str
        What it must divide, in words.
    total : int
        How large that is.

    Raises
    ------
    InputError
        If it leaves a remainder.

    Examples
    --------
    >>> divides("num_key_value_heads", 7, "num_attention_heads", 32)
    Traceback (most recent call last):
    hopperbook.errors.InputError: config.json: num_key_value_heads: 7 is not usable; allowed is a divisor of ...
    """
    if total % value:
        raise InputError(f"config.json: {name}", value, f"a divisor of {of} ({total})")


def at_most(name: str, value: int, of: str, most: int) -> None:
    """Refuse a size that is larger than one that holds it.

    Parameters
    ----------
    name : str
        Its field.
    value : int
        The size.
    of : str
        What holds it, in words.
    most : int
        How large that is.

    Raises
    ------
    InputError
        If it is larger.

    Examples
    --------
    >>> at_most("num_experts_per_tok", 10, "the number of experts", 8)
    Traceback (most recent call last):
    hopperbook.errors.InputError: config.json: num_experts_per_tok: 10 is not usable; allowed is at most the number ...
    """
    if value > most:
        raise InputError(f"config.json: {name}", value, f"at most {of} ({most})")
