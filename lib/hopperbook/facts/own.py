"""Constants that a customer's own runs gave: they stand in for those of ``data/constants`` while her plan is made.

``hopperbook calibrate --with`` writes them as one line of text, the customer's field ``calibration``, so that a report
says what it rests on and can be built again from its parameters alone.
"""

from __future__ import annotations

import re
import sys
from functools import lru_cache
from typing import NamedTuple

from hopperbook.errors import InputError
from hopperbook.facts.tables import read_yaml

_PAIR = re.compile(r"([a-z][\w.-]*)\.([a-z]\w*)=([0-9.e+-]+)")
_state = {"text": ""}


class Own(NamedTuple):
    """Constants by record, and where they are from in words."""

    constants: dict[str, dict[str, float]]
    made_from: str


@lru_cache(maxsize=64)
def read(text: str) -> Own:
    """Read a line of constants.

    Parameters
    ----------
    text : str
        ``record.constant=value`` separated by spaces, then ``;`` and what they were fitted on; empty for none.

    Returns
    -------
    Own
        The constants by record, and the words behind the semicolon.

    Raises
    ------
    InputError
        If a part is no pair of that form, or of an unknown record.

    Examples
    --------
    >>> read("vllm.host_s=0.0004 vllm.age=1.05; 36 rows of runs.csv").constants
    {'vllm': {'host_s': 0.0004, 'age': 1.05}}
    """
    found: dict[str, dict[str, float]] = {}
    pairs, _, words = text.partition(";")
    for pair in pairs.split():
        match = _PAIR.fullmatch(pair)
        try:
            value = float(match.group(3)) if match else -1.0
        except ValueError:
            value = -1.0
        if match is None or not 0 <= value < 1e12:
            raise InputError("calibration", pair, "record.constant=number, as hopperbook calibrate --with writes it")
        if match.group(1) not in (known := _records()):
            raise InputError("calibration", match.group(1), "the record of an engine or a framework", known)
        found.setdefault(match.group(1), {})[match.group(2)] = value
    return Own(found, words.strip())


def _records() -> list[str]:
    """Return the names of the records that hold constants of engines and of frameworks."""
    held = read_yaml("constants/serving.yaml")["engines"], read_yaml("constants/training.yaml")["frameworks"]
    return [name for records in held for name in records]


def text() -> str:
    """Return the line that is in force; empty for the book's constants."""
    return _state["text"]


def put(text: str) -> None:
    """Let constants stand in from here on in this process; what was computed with others is forgotten.

    Parameters
    ----------
    text : str
        As :func:`read` takes it; empty for those of the book.
    """
    if text == _state["text"]:
        return
    read(text)
    _state["text"] = text
    for name, module in list(sys.modules.items()):
        if name.startswith(("hopperbook.serving", "hopperbook.training", "hopperbook.planner", "hopperbook.evidence")):
            for value in vars(module).values():
                if hasattr(value, "cache_clear"):
                    value.cache_clear()


def constants(record: str) -> dict[str, float]:
    """Return what stands in for a record's constants.

    Parameters
    ----------
    record : str
        An engine's or a framework's, such as ``vllm``.

    Returns
    -------
    dict of float
        Values by name; empty where nothing was fitted.

    Examples
    --------
    >>> constants("vllm")
    {}
    """
    return read(_state["text"]).constants.get(record, {})
