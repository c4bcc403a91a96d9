"""Simulated replicas, kept between processes: most of a report's time goes into them, and no price changes them.

What a simulation puts out is decided by the replica, the requests, the code below it and the facts that such code
reads; all of that is in its name.  A chapter that uses a kept one rests on the same facts.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hopperbook import reads
from hopperbook.report.kept import inputs, modules
from hopperbook.report.kept.store import Store, digest

#: Facts that no simulation reads.
UNREAD = ("measurements/", "fp8/", "customers/", "references", "prices.csv", "costs.csv", "claims.yaml", "aims.yaml")
#: Entries kept; about 0.4 kB each.
MOST = 500_000
_open: dict[int, sqlite3.Connection | None] = {}
_names: dict[Any, str] = {}


@functools.cache
def install() -> None:
    """Let simulations at a rate be looked up before they are run; from here on, in this process and its children."""
    from hopperbook.serving import demand

    def looked_up(
        d: demand.Deployment, lengths: demand.Lengths, rate_per_s: float, variation: float, seed: int, pool: int
    ) -> demand.Answer:
        for path in _files():
            reads.add(path)
        asked = [float(rate_per_s), float(variation), seed, pool]
        key = digest([_ground(), _name(d), [float(each) for each in lengths[:-1]], list(lengths.sample), asked])
        known: demand.Answer | None = _get(key)
        if known is None:
            known = demand.simulated(d, lengths, rate_per_s, variation, seed, pool)
            _put(key, known)
        return known

    demand.simulator = looked_up
    demand.at_rate.cache_clear()


@functools.cache
def _files() -> tuple[str, ...]:
    """Return the facts that a simulation may read."""
    names = [name for name in inputs.at_start() if name.startswith("data/")]
    return tuple(str(inputs.REPOSITORY / name) for name in names if not name[5:].startswith(UNREAD))


@functools.cache
def _ground() -> str:
    """Return the digest of the code and the facts that every simulation rests on."""
    code = modules.reached(["import hopperbook.serving.demand"])
    names = [inputs.short(path) for path in code] + [inputs.short(Path(path)) for path in _files()]
    names += [inputs.short(Path(__file__)), "requirements.lock"]
    return digest({name: inputs.at_start().get(name) for name in names})


def _name(d: Any) -> str:
    """Return the digest of a replica: of every value in it and in its parts."""
    if d not in _names:
        _names[d] = digest(plain_values(d))
    return _names[d]


def plain_values(value: Any) -> Any:
    """Return a value's content as plain lists and texts, two alike only where all of it is the same.

    Parameters
    ----------
    value : object
        Dataclasses, mappings, sequences, numbers and texts.

    Returns
    -------
    object
        What JSON can say.

    Raises
    ------
    TypeError
        For anything else.

    Examples
    --------
    >>> plain_values({"b": (1, 2.0)})
    ['dict', [['b', ['tuple', [1, 'float 2.0']]]]]
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return f"float {value!r}"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [[each.name, plain_values(getattr(value, each.name))] for each in dataclasses.fields(value)]
        return [type(value).__name__, fields]
    if isinstance(value, Mapping):
        return ["dict", [[plain_values(key), plain_values(each)] for key, each in value.items()]]
    if isinstance(value, tuple | list):
        return [type(value).__name__, [plain_values(each) for each in value]]
    raise TypeError(f"no plain value: {type(value).__name__}")


def _get(key: str) -> Any:
    """Return a kept answer, or None."""
    with contextlib.suppress(sqlite3.Error, ValueError, TypeError, AttributeError):
        connection = _connection()
        row = (
            connection.execute("select seal, answer from answers where name = ?", (key,)).fetchone()
            if connection
            else None
        )
        if row and row[0] == _seal(key, row[1]):
            return _answer(json.loads(row[1]))
    return None


def _put(key: str, answer: Any) -> None:
    """Keep an answer; where that is not possible, go on without."""
    with contextlib.suppress(sqlite3.Error, OSError):
        if connection := _connection():
            text = json.dumps([_said(getattr(answer, each.name)) for each in dataclasses.fields(answer)])
            connection.execute("insert or replace into answers values (?, ?, ?)", (key, _seal(key, text), text))


def _seal(key: str, text: str) -> str:
    return hashlib.sha256(f"{key} {text}".encode()).hexdigest()


def _said(value: Any) -> Any:
    """Return a value of an answer with its kind, so that it comes back as what it was, to the last bit."""
    if isinstance(value, tuple):
        return ["latency", [_said(each) for each in value]]
    if isinstance(value, np.floating):
        return ["numpy", repr(float(value))]
    if isinstance(value, bool | np.bool_):
        return ["bool" if isinstance(value, bool) else "numpy bool", bool(value)]
    return ["int" if isinstance(value, int) else "float", repr(value)]


def _read(said: Any) -> Any:
    """Return a value from what was said of it."""
    from hopperbook.serving.demand import Latency

    kind, value = said
    if kind == "latency":
        return Latency(*map(_read, value))
    makers: dict[str, Any] = {"numpy": lambda x: np.float64(float(x)), "bool": bool, "numpy bool": np.bool_, "int": int}
    return makers.get(kind, float)(value)


def _answer(said: list[Any]) -> Any:
    from hopperbook.serving.demand import Answer

    return Answer(*map(_read, said))


def _connection() -> sqlite3.Connection | None:
    """Return this process's connection to what is kept; a forked process opens its own.  None where there is none."""
    process = os.getpid()
    if process not in _open:
        _open.clear()  # a parent's connection is not for its child, nor closed by it
        _open[process] = _opened(Store().folder / "simulations.sqlite")
    return _open[process]


def _opened(path: Path) -> sqlite3.Connection | None:
    """Open what is kept; a file that is spoilt is thrown away, once."""
    for _ in range(2):
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            connection = sqlite3.connect(path, timeout=5.0, isolation_level=None, check_same_thread=False)
            connection.execute("pragma journal_mode = wal")
            connection.execute("pragma synchronous = off")
            connection.execute("create table if not exists answers (name text primary key, seal text, answer text)")
            count = connection.execute("select max(rowid) - min(rowid) from answers").fetchone()[0]
            if count and count > MOST:
                connection.execute(
                    "delete from answers where rowid < (select max(rowid) from answers) - ?", (MOST // 2,)
                )
            return connection
        except sqlite3.DatabaseError:
            for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
                with contextlib.suppress(OSError):
                    path.with_name(name).unlink()
        except OSError:
            return None
    return None
