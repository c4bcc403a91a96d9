"""Processes that leave nothing behind: they end with their parent, within limits, and on a signal in good order."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import select
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from hopperbook.errors import Failed, InputError

GIB = 1 << 30
#: Memory that a chapter may take beyond what it was started with.
CHAPTER_BYTES = 4 * GIB
STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
#: How a process ends that could not get the memory it needed, beside Python's own error.
STARVED = ("SIGKILL", "SIGSEGV", "SIGBUS", "SIGABRT")
_PR_SET_PDEATHSIG = 1


def end_with_parent(parent: int) -> None:
    """Let the system kill this process when its parent ends, however it ends; where it cannot, do nothing.

    Parameters
    ----------
    parent : int
        The parent's process id, taken before this process was started: if it is gone already, end now.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def leave_signals_to_parent() -> None:
    """Ignore Ctrl-C, which a terminal sends to every process: the parent ends this one.  Others act as usual."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for each in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_DFL)


def limit_memory(more_bytes: int = CHAPTER_BYTES) -> None:
    """Let this process take so much memory beyond what it holds; then Python raises ``MemoryError``.

    Parameters
    ----------
    more_bytes : int
        Bytes of data; files that are mapped and memory that is only reserved do not count.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = _data_bytes() + more_bytes
    resource.setrlimit(resource.RLIMIT_DATA, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))


def lift_memory_limit() -> None:
    """Let this process take more memory again, to say what went wrong when it had none left."""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))


def _data_bytes() -> int:
    """Return the bytes of data that this process holds, as the limit counts them."""
    with contextlib.suppress(OSError), open("/proc/self/status", encoding="ascii", errors="replace") as status:
        for line in status:
            if line.startswith("VmData:"):
                return 1024 * int(line.split()[1])
    return 0


def one_thread_each() -> None:
    """Let the library of linear algebra take one thread in this process and its children, if it is not loaded yet.

    Work is spread over processes. Each further thread holds 40 MB that count against the limit of every chapter, and it
    would take one for each processor: on a machine of 64, more than half of that limit.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


#: The signal that came, if one did.  What is raised where Python collects garbage, or a library catches all, is lost.
_came: list[str] = []
LOOK_S = 0.2


def stop_if_asked() -> None:
    """Raise ``KeyboardInterrupt`` if a signal came and its own was lost."""
    if _came:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        raise KeyboardInterrupt(_came[0])


@contextlib.contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Turn the first of INT, TERM and HUP into ``KeyboardInterrupt``; what clears up after it is not disturbed.

    So it ends whatever a library made of it on the way: a module that is stopped while it loads says it is broken.
    """
    before = {each: signal.getsignal(each) for each in (*STOPS, signal.SIGALRM)}
    complain = sys.unraisablehook

    def stop(number: int, _: Any) -> None:
        for each in STOPS:
            signal.signal(each, signal.SIG_IGN)
        _came.append(signal.Signals(number).name)
        raise KeyboardInterrupt(_came[0])

    def again(lost: Any) -> None:
        """Raise once more, in a moment, what was raised where Python could only complain of it."""
        if _came and lost.exc_type is KeyboardInterrupt:
            signal.signal(signal.SIGALRM, stop)
            signal.setitimer(signal.ITIMER_REAL, LOOK_S)
        else:
            complain(lost)

    sys.unraisablehook = again
    for each in STOPS:
        if before[each] != signal.SIG_IGN:  # as nohup leaves it
            signal.signal(each, stop)
    try:
        yield
        stop_if_asked()
    except SystemExit:  # the command has said how it ended
        raise
    except BaseException:
        if _came:
            raise KeyboardInterrupt(_came[0]) from None
        raise
    finally:
        _came.clear()
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        sys.unraisablehook = complain
        for each, action in before.items():
            signal.signal(each, action)


def ending(status: int) -> str:
    """Say how a process ended.

    Parameters
    ----------
    status : int
        Its exit code; of one that a signal killed, the signal's number below zero.

    Returns
    -------
    str
        Words.

    Examples
    --------
    >>> ending(3), ending(-9)
    ('ended with exit code 3', 'was killed by SIGKILL, as happens when memory runs out')
    """
    if status >= 0:
        return f"ended with exit code {status}"
    with contextlib.suppress(ValueError):
        name = signal.Signals(-status).name
        return f"was killed by {name}" + (", as happens when memory runs out" if name in STARVED else "")
    return f"was killed by signal {-status}"


def each_forked(
    tasks: Mapping[str, Callable[[], Any]],
    workers: int,
    rest: Callable[[], Mapping[str, Callable[[], Any]]] | None = None,
) -> Iterator[str]:
    """Run tasks, each in a forked process of its own, and yield the name of each as it ends well.

    Parameters
    ----------
    tasks : mapping of str to callable
        What to run, in this order; what it returns is dropped.
    workers : int
        How many run at once.
    rest : callable, optional
        Called once the first tasks run, beside them; what it returns is run too, and finds done what it has done.

    Yields
    ------
    str
        Names, in the order in which they end.

    Raises
    ------
    Failed
        With the sentence of the first that fails.  The others are ended at once, as they are when the caller stops.

    Examples
    --------
    >>> sorted(each_forked({"a": lambda: None, "b": lambda: None}, workers=2))
    ['a', 'b']
    """
    waiting = deque(tasks.items())
    running: dict[int, tuple[str, int]] = {}
    try:
        while waiting or running or rest:
            while waiting and len(running) < (workers - 1 if rest else workers):
                name, task = waiting.popleft()
                pipe, child = _start(task)
                running[pipe] = name, child
            if rest:
                waiting.extend(rest().items())
                rest = None
                continue
            stop_if_asked()
            for pipe in select.select(list(running), [], [], LOOK_S)[0]:
                name, child = running.pop(pipe)
                if said := _outcome(pipe, child):
                    raise Failed(said if said[0] != " " else f"{name}: the process{said}")
                yield name
    finally:
        for pipe, (_, child) in running.items():
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
            with contextlib.suppress(OSError):
                os.close(pipe)


def _start(task: Callable[[], Any]) -> tuple[int, int]:
    """Start a task in a forked process; return the end of a pipe that tells how it went, and the process."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    parent = os.getpid()
    pipe, told = os.pipe()
    child = os.fork()
    if child:
        os.close(told)
        return pipe, child
    with os.fdopen(told, "wb") as tells:
        try:
            end_with_parent(parent)
            leave_signals_to_parent()
            task()
            tells.write(b"done")
        except InputError as error:
            tells.write(str(error)[:4000].encode())
        except BaseException as error:
            tells.write(f"{type(error).__name__}: {error}"[:4000].encode())
    os._exit(0)


def _outcome(pipe: int, child: int) -> str:
    """Return the sentence of a process that has said it, or how it ended; nothing where all went well."""
    with os.fdopen(os.dup(pipe), "rb") as told:
        said = told.read().decode(errors="replace")
    _, status = os.waitpid(child, 0)
    os.close(pipe)
    return "" if said == "done" else said or f" {ending(os.waitstatus_to_exitcode(status))}"
