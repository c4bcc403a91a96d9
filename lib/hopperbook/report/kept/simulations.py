"""Simulated replicas, first cuts and training layouts, kept between processes: no price changes them.

A report's time goes into them.  What each puts out is decided by what is asked, the code below it and the facts that
such code reads; all of that is in its name.  A chapter that uses a kept one rests on the same facts.
"""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import sqlite3
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hopperbook import reads
from hopperbook.facts import own
from hopperbook.report.kept import inputs, modules
from hopperbook.report.kept.store import Store, digest

#: Facts that no simulation reads.
UNREAD = ("measurements/", "fp8/", "customers/", "references", "prices.csv", "costs.csv", "claims.yaml", "aims.yaml")
#: Entries kept; a simulation of about 0.4 kB, a first cut of 10.
MOST = 100_000
#: Answers that wait to be kept together, and how long: a look at all that they rest on takes as long as some of them.
MOST_WAITING, LONGEST_WAIT_S = 64, 1.0
_waiting: dict[str, bytes] = {}
_since: dict[str, float] = {"process": 0, "seconds": 0.0}
_open: dict[int, sqlite3.Connection | None] = {}
_names: dict[Any, str] = {}


@functools.cache
def install() -> None:
    """Let what is kept be looked up before it is computed, in this process and its children."""
    from hopperbook.serving import demand, queue
    from hopperbook.training import run

    def looked_up(
        d: demand.Deployment, lengths: demand.Lengths, rate_per_s: float, variation: float, seed: int, pool: int
    ) -> demand.Answer:
        key = _key(_name(d), *_said_of(lengths), [float(rate_per_s), float(variation), seed, pool])
        known: demand.Answer | None = _get(key, lambda content: _answer(json.loads(content)))
        if known is None:
            known = demand.simulated(d, lengths, rate_per_s, variation, seed, pool)
            _put(key, _plain(known).encode())
        return known

    def cut(d: demand.Deployment, lengths: demand.Lengths) -> queue.Cut:
        key = _key(_name(d), *_said_of(lengths), "first cut")
        known: queue.Cut | None = _get(key, _cut)
        if known is None:
            known = queue.first_cut(d, lengths)
            _put(key, b"".join(row.tobytes() for row in _rows(known)))
        return known

    def layouts(asked: run.Asked) -> tuple[pd.DataFrame, int]:
        key = _key("layouts", own.text(), plain_values(tuple(asked)))
        known: tuple[pd.DataFrame, int] | None = _get(key, _table)
        if known is None:
            known = run.found(asked)
            _put(key, json.dumps([known[1], known[0].to_dict("list"), known[0].dtypes.map(str).to_dict()]).encode())
        return known

    demand.simulator, demand.cutter, run.finder = looked_up, cut, layouts
    atexit.register(flush)
    demand.at_rate.cache_clear()
    demand.cut_of.cache_clear()


def _said_of(lengths: Any) -> tuple[list[float], list[Any]]:
    """Return what lengths of requests hold as plain lists."""
    return [float(each) for each in lengths[:-1]], list(lengths.sample)


def _key(*asked: Any) -> str:
    """Return the name of what is asked; whoever asks rests on the facts that the answer does."""
    _rest_on_files()
    return digest([_ground(), *asked])


@functools.cache
def _rest_on_files() -> None:
    """Note, once and for all children, the facts that what is kept was made from."""
    for path in _files():
        reads.add(path)


@functools.cache
def _files() -> tuple[str, ...]:
    """Return the facts that a simulation may read."""
    names = [name for name in inputs.at_start() if name.startswith("data/")]
    return tuple(str(inputs.REPOSITORY / name) for name in names if not name[5:].startswith(UNREAD))


@functools.cache
def _ground() -> str:
    """Return the digest of the code and the facts that every simulation rests on."""
    return digest({name: inputs.at_start().get(name) for name in map(inputs.short, map(Path, _rested_on()))})


@functools.cache
def _rested_on() -> tuple[str, ...]:
    """Return the files of code and facts that every simulation rests on."""
    code = modules.reached(["import hopperbook.serving.demand, hopperbook.training.run"])
    return (*map(str, code), *_files(), __file__, str(inputs.REPOSITORY / "requirements.lock"))


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
        Tables, dataclasses, mappings, sequences, numbers and texts.

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
    if isinstance(value, pd.DataFrame):
        cells = pd.util.hash_pandas_object(value).to_numpy().tobytes()
        kinds = [[str(name), str(kind)] for name, kind in value.dtypes.items()]
        return ["table", kinds, hashlib.sha256(cells).hexdigest()]
    if isinstance(value, np.generic):
        return [type(value).__name__, plain_values(value.item())]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [[each.name, plain_values(getattr(value, each.name))] for each in dataclasses.fields(value)]
        return [type(value).__name__, fields]
    if isinstance(value, Mapping):
        return ["dict", [[plain_values(key), plain_values(each)] for key, each in value.items()]]
    if isinstance(value, tuple | list):
        return [type(value).__name__, [plain_values(each) for each in value]]
    raise TypeError(f"no plain value: {type(value).__name__}")


def _get(key: str, read: Callable[[bytes], Any]) -> Any:
    """Return a kept answer, or None."""
    if key in _waiting:
        return read(_waiting[key])
    with contextlib.suppress(sqlite3.Error, ValueError, TypeError, AttributeError):
        connection = _connection()
        row = (
            connection.execute("select seal, answer from answers where name = ?", (key,)).fetchone()
            if connection
            else None
        )
        if row and row[0] == _seal(key, row[1]):
            return read(row[1])
    return None


def _put(key: str, content: bytes) -> None:
    """Keep an answer, with others that follow soon."""
    if _since["process"] != os.getpid():  # what waits in a parent is the parent's to keep
        _waiting.clear()
        _since.update(process=os.getpid())
    if not _waiting:
        _since.update(seconds=time.monotonic())
    _waiting[key] = content
    if len(_waiting) >= MOST_WAITING or time.monotonic() - _since["seconds"] > LONGEST_WAIT_S:
        flush()


def flush() -> None:
    """Keep the answers that wait, unless what they rest on was written meanwhile; where that cannot be, drop them."""
    if _since["process"] != os.getpid():
        return
    rows = [(key, _seal(key, content), content) for key, content in _waiting.items()]
    _waiting.clear()
    if not rows or not reads.untouched(_rested_on()):
        return
    with contextlib.suppress(sqlite3.Error, OSError):
        if connection := _connection():
            with connection:  # all or none
                connection.execute("begin immediate")
                connection.executemany("insert or replace into answers values (?, ?, ?)", rows)


def _seal(key: str, content: bytes) -> str:
    return hashlib.sha256(key.encode() + content).hexdigest()


def _rows(cut: Any) -> list[Any]:
    """Return the arrays of a first cut in their order, those of its latencies one by one."""
    values = vars(cut).values()
    return [row for value in values for row in ([value] if isinstance(value, np.ndarray) else vars(value).values())]


def _cut(content: bytes) -> Any:
    """Return a first cut from its arrays."""
    from hopperbook.serving.queue import Cut, Spread

    running, rate, in_flight, *rest = np.frombuffer(content).reshape(_ROWS, -1)
    first, each, whole = (Spread(*rest[start : start + 3]) for start in (0, 3, 6))
    return Cut(running, rate, in_flight, first, each, whole, *rest[9:])


def _table(content: bytes) -> tuple[pd.DataFrame, int]:
    """Return the fastest layouts, and how many were timed."""
    count, columns, kinds = json.loads(content)
    return pd.DataFrame(columns).astype(kinds), int(count)


#: The arrays of a first cut: five, and three of each latency.
_ROWS = 5 + 3 * 3


def _plain(answer: Any) -> str:
    """Return an answer as text."""
    return json.dumps([_said(getattr(answer, each.name)) for each in dataclasses.fields(answer)])


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
            connection.execute("create table if not exists answers (name text primary key, seal text, answer blob)")
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
