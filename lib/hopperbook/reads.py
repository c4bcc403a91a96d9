"""What this process reads: every file that it opens, from the moment on that it is told to watch, and named inputs.

The record of files only grows, and a forked process inherits it: what a chapter finds computed was read by somebody
before it.  Inputs, such as a customer's fields, are told apart more finely: each is noted where it is read, and
:func:`lru_cache` hands what the making of a value read to everyone who takes that value later.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, ParamSpec, Protocol, TypeVar, cast

# When this process began to load the library; not in the reference, which must come out alike at every build.
STARTED_NS, STARTED_S = time.time_ns(), time.perf_counter()
_files: set[str] = set()
_state = {"watching": False, "early": False, "noting": True}
# The inputs read so far by this process, and on top of them by what is being made now, innermost last.
_inputs: list[set[str]] = [set()]
# What notes for itself what is read of it: whoever takes it has not yet read what it was made from.
_apart: list[object] = [None]
P = ParamSpec("P")
R = TypeVar("R", covariant=True)


class Cached(Protocol[P, R]):
    """A function whose values are kept in memory."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Return the value, made or kept."""

    def cache_clear(self) -> None:
        """Forget all values."""


def watch(early: bool = False) -> None:
    """Begin to note every file that is opened for reading; once begun it goes on as long as the process lives.

    Parameters
    ----------
    early : bool
        True where nothing has been read yet, at the very start of a command: only then is the record complete.
    """
    if not _state["watching"]:
        _state.update(watching=True, early=early)
        sys.addaudithook(_note)


def complete() -> bool:
    """Return whether everything that this process ever read is in the record.

    Returns
    -------
    bool
        False where watching began late, or not at all.
    """
    return _state["watching"] and _state["early"]


def untouched(paths: Iterable[str | Path]) -> bool:
    """Return whether no file was written since this process began: what it read at first is what stands there.

    Parameters
    ----------
    paths : iterable of path
        Files; one that is gone counts as untouched.

    Returns
    -------
    bool
        False too where a clock was set back.
    """
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            if os.stat(path).st_mtime_ns >= STARTED_NS:
                return False
    return True


@contextlib.contextmanager
def unnoted() -> Iterator[None]:
    """Note nothing in a block: it reads files to see whether they changed, and keeps nothing of what they say."""
    before, _state["noting"] = _state["noting"], False
    try:
        yield
    finally:
        _state["noting"] = before


def add(path: str) -> None:
    """Note a file that was not opened here, because what was made from it is kept.

    Parameters
    ----------
    path : str
        Absolute.
    """
    if _state["watching"]:
        _files.add(path)


def files() -> frozenset[str]:
    """Return the paths of the files read so far.

    Returns
    -------
    frozenset of str
        Absolute paths; some may be gone by now.
    """
    return frozenset(_files)


def _note(event: str, given: tuple[Any, ...]) -> None:
    """Note a file when it is opened; an error in here would be everybody's."""
    if event == "open" and _state["noting"] and isinstance(given[0], str | bytes | os.PathLike):
        mode = str(given[1] or "r")
        if "r" in mode or "+" in mode:
            _files.add(os.path.abspath(os.fsdecode(given[0])))


def note(name: str) -> None:
    """Note that an input is read.

    Parameters
    ----------
    name : str
        The input's.
    """
    _inputs[-1].add(name)


def inputs() -> frozenset[str]:
    """Return the names of the inputs read so far, by this process or by one that it was forked from.

    Returns
    -------
    frozenset of str
        Names.
    """
    return frozenset().union(*_inputs)


@contextlib.contextmanager
def aside() -> Iterator[set[str]]:
    """Gather the inputs that a block reads, and count them as read by nobody else.

    Yields
    ------
    set of str
        Names; it grows as the block runs.

    Examples
    --------
    >>> with aside() as found:
    ...     note("users")
    >>> found, "users" in inputs()
    ({'users'}, False)
    """
    _inputs.append(set())
    try:
        yield _inputs[-1]
    finally:
        _inputs.pop()


def set_apart(value: object) -> None:
    """Let one value note for itself what is read of it, in place of whatever it was made from.

    Parameters
    ----------
    value : object
        One that a function behind :func:`lru_cache` returns; None for none.  What was kept while another was apart is
        forgotten: its making may have noted parts of that one.
    """
    if _apart[0] is not None:
        forget()
    _apart[0] = value


def is_apart(value: object) -> bool:
    """Return whether a value notes for itself what is read of it.

    Parameters
    ----------
    value : object
        Any.

    Returns
    -------
    bool
        True for the one that :func:`set_apart` was given.
    """
    return value is _apart[0]


def lru_cache(maxsize: int) -> Callable[[Callable[P, R]], Cached[P, R]]:
    """Keep a function's values as :func:`functools.lru_cache` does; to take one is to read what its making read.

    Every function that is given a customer, or what holds one, is kept by this.

    Parameters
    ----------
    maxsize : int
        Values kept.

    Returns
    -------
    callable
        A decorator.

    Examples
    --------
    >>> @lru_cache(maxsize=8)
    ... def double(users):
    ...     note("users")
    ...     return 2 * users
    >>> with aside():
    ...     first = double(3)
    >>> with aside() as found:
    ...     again = double(3)
    >>> again, found
    (6, {'users'})
    """

    def decorate(function: Callable[P, R]) -> Cached[P, R]:
        @functools.lru_cache(maxsize)
        def made(*args: P.args, **kwargs: P.kwargs) -> tuple[R, frozenset[str]]:
            _inputs.append(set())
            try:
                return function(*args, **kwargs), frozenset(_inputs[-1])
            except BaseException:
                _inputs[-2].update(_inputs[-1])
                raise
            finally:
                _inputs.pop()

        @functools.wraps(function)
        def taken(*args: P.args, **kwargs: P.kwargs) -> R:
            value, names = made(*args, **kwargs)  # type: ignore[arg-type]
            if names and value is not _apart[0]:
                _inputs[-1].update(names)
            return value

        kept = cast(Cached[P, R], taken)
        kept.cache_clear = made.cache_clear  # type: ignore[method-assign]
        _kept.append(kept)
        return kept

    return decorate


# Every function that lru_cache keeps values of.
_kept: list[Cached[..., Any]] = []


def forget() -> None:
    """Forget the values of every function that :func:`lru_cache` keeps: of their making nothing was noted."""
    for each in _kept:
        each.cache_clear()
