"""What happens and how long it takes: one line of JSON an event where asked for, and the profile of a build."""

from __future__ import annotations

import contextlib
import json
import logging
import sys
import time
from collections.abc import Iterator
from typing import Any

_logger = logging.getLogger("hopperbook")
_state = {"quiet": False}
_steps: list[tuple[str, float]] = []


class _Lines(logging.Formatter):
    """Each record as one line of JSON: the event, then what it is about."""

    def format(self, record: logging.LogRecord) -> str:
        return json.dumps({"event": record.getMessage(), **getattr(record, "about", {})}, ensure_ascii=False)


_logger.propagate = False
_logger.setLevel(logging.CRITICAL)


def show(verbose: bool, quiet: bool = False) -> None:
    """Write events to the error stream, or stop doing so.

    Parameters
    ----------
    verbose : bool
        Whether to write them.
    quiet : bool
        Whether nothing at all is to be shown on the way to an answer.
    """
    _state["quiet"] = quiet
    for handler in list(_logger.handlers):
        _logger.removeHandler(handler)
    _logger.setLevel(logging.INFO if verbose else logging.CRITICAL)
    if verbose:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(_Lines())
        _logger.addHandler(handler)


def is_shown() -> bool:
    """Return whether events are written.

    Returns
    -------
    bool
        True after ``--verbose``.
    """
    return _logger.isEnabledFor(logging.INFO) and bool(_logger.handlers)


def is_quiet() -> bool:
    """Return whether nothing is to be shown on the way to an answer.

    Returns
    -------
    bool
        True after ``--quiet``, and where each step is shown as a line.
    """
    return _state["quiet"] or is_shown()


def event(name: str, /, **about: Any) -> None:
    """Say that something happened.

    Parameters
    ----------
    name : str
        What.
    **about : object
        Plain values.
    """
    _logger.info(name, extra={"about": about})


def took(step: str, seconds: float, /, **about: Any) -> None:
    """Say how long a step took; it stands in the profile.

    Parameters
    ----------
    step : str
        What.
    seconds : float
        How long.
    **about : object
        Plain values for the line.
    """
    _steps.append((step, seconds))
    event(step, **about, seconds=round(seconds, 3))


@contextlib.contextmanager
def step(name: str) -> Iterator[None]:
    """Measure a step.

    Parameters
    ----------
    name : str
        What is done in the block.
    """
    begun = time.perf_counter()
    yield
    took(name, time.perf_counter() - begun)


def profile() -> list[tuple[str, float]]:
    """Return the steps that were measured in this process so far.

    Returns
    -------
    list of tuple
        Step and seconds, in order.
    """
    return list(_steps)
