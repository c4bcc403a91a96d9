"""A papermill engine that runs a notebook's cells in a forked child, without a kernel process or a message queue.

The parent has the libraries loaded, so a chapter starts in milliseconds; the child's state ends with the notebook.
What the cells put out is what the ordinary kernel would have put out, to the byte: see `tests/report/test_execute.py`.
"""

from __future__ import annotations

import builtins
import contextlib
import gc
import io
import os
import pickle
import select
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from hopperbook.report import processes


class ForkEngine:
    """Papermill's engine ``hopperbook``: ``papermill in.ipynb out.ipynb --engine hopperbook``.

    It has the methods of papermill's own engines but is no subclass: papermill loads it while being loaded itself.
    """

    @staticmethod
    def execute_notebook(
        nb: Any,
        kernel_name: str,
        output_path: str | None = None,
        progress_bar: bool = True,
        log_output: bool = False,
        autosave_cell_every: int = 30,
        execution_timeout: float | None = None,
        **_: Any,
    ) -> Any:
        """Run a notebook's cells in a forked child and put their outputs into it.

        Parameters
        ----------
        nb : NotebookNode
            The notebook with its parameters.
        kernel_name : str
            Ignored: the cells run in this process's Python.
        output_path : str, optional
            Where papermill saves on the way.
        progress_bar, log_output, autosave_cell_every
            Papermill's own.
        execution_timeout : float, optional
            Seconds a cell may take.

        Returns
        -------
        NotebookNode
            The notebook with outputs.
        """
        from papermill.engines import NotebookExecutionManager

        manager = NotebookExecutionManager(nb, output_path, log_output, progress_bar, autosave_cell_every)
        manager.notebook_start()
        try:
            _run_managed(manager, execution_timeout)
        finally:
            manager.cleanup_pbar()
            manager.notebook_complete()
        return manager.nb

    @staticmethod
    def nb_kernel_name(nb: Any, name: str | None = None) -> str:
        """Return the kernel that a notebook names."""
        from papermill.utils import nb_kernel_name

        return nb_kernel_name(nb, name)

    @staticmethod
    def nb_language(nb: Any, language: str | None = None) -> str:
        """Return the language that a notebook names."""
        from papermill.utils import nb_language

        return nb_language(nb, language)


#: When Python looks for cycles in a chapter: tables are made of many small objects, hardly any of them in a cycle.
COLLECTED = (100_000, 20, 20)


def _run_managed(manager: Any, execution_timeout: float | None) -> None:
    """Run the cells of a managed notebook, telling its manager of each."""
    manager.nb.metadata["language_info"] = {"name": "python"}
    jobs = [(place, cell.source) for place, cell in _runnable(manager.nb.cells)]
    for event, place, *payload in _in_child(lambda send: _run_cells(jobs, send), execution_timeout):
        cell = manager.nb.cells[place]
        if event == "read":
            manager.nb.metadata["hopperbook"] = {"read": payload[0]}
        elif event == "start":
            manager.cell_start(cell, place)
        else:
            cell.execution_count, cell.outputs, failed = payload
            if failed:
                manager.cell_exception(cell, cell_index=place)
            manager.cell_complete(cell, place)


def _runnable(cells: list[Any]) -> Iterator[tuple[int, Any]]:
    """Yield the cells that an ordinary run would run: code that is not blank and not tagged to be skipped."""
    for place, cell in enumerate(cells):
        skipped = "skip-execution" in cell.metadata.get("tags", [])
        if cell.cell_type == "code" and cell.source.strip() and not skipped:
            yield place, cell


def _in_child(work: Callable[[Callable[[Any], None]], None], limit_s: float | None) -> Iterator[Any]:
    """Run work in a forked child and yield what it sends, in order.

    Raises
    ------
    RuntimeError
        If the child dies, or sends nothing for longer than the limit.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    read_end, write_end = os.pipe()
    parent = os.getpid()
    gc.freeze()  # the child's collector need not walk, and so copy, all that the parent has loaded
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)  # with whatever the cells start, so that it ends with them
        processes.end_with_parent(parent)
        processes.leave_signals_to_parent()
        processes.limit_memory()
        gc.set_threshold(*COLLECTED)
        os.close(read_end)
        _serve(work, write_end)
    gc.unfreeze()
    os.close(write_end)
    done = False
    try:
        for message in _messages(read_end, limit_s):
            if message[0] == "crash":
                raise RuntimeError(message[1])
            done = message[0] == "end"
            if not done:
                yield message
    finally:
        os.close(read_end)
        if not done:
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child, signal.SIGKILL)
    if not done:
        how = processes.ending(os.waitstatus_to_exitcode(status))
        raise RuntimeError(f"the process that ran the cells {how}")


def _messages(read_end: int, limit_s: float | None) -> Iterator[tuple]:
    """Yield the child's messages, each behind its length, until it closes its end or is silent for too long."""
    held = b""
    while True:
        while len(held) < 8 or len(held) < 8 + int.from_bytes(held[:8], "big"):
            if limit_s and not select.select([read_end], [], [], limit_s)[0]:
                raise RuntimeError(f"a cell took longer than {limit_s:g} s")
            chunk = os.read(read_end, 1 << 20)
            if not chunk:
                return
            held += chunk
        size = int.from_bytes(held[:8], "big")
        yield pickle.loads(held[8 : 8 + size])
        held = held[8 + size :]


def _serve(work: Callable[[Callable[[Any], None]], None], write_end: int) -> None:
    """Do the work in the child, send what it has to say, and leave without running the parent's exit handlers."""
    with os.fdopen(write_end, "wb") as pipe:

        def send(message: Any) -> None:
            content = pickle.dumps(message)
            pipe.write(len(content).to_bytes(8, "big") + content)
            pipe.flush()

        try:
            work(send)
            send(("end",))
        except BaseException:
            send(("crash", traceback.format_exc()))
    os._exit(0)


def _run_cells(jobs: list[tuple[int, str]], send: Callable[[Any], None]) -> None:
    """Run cells one after the other in a fresh shell and send each cell's outputs, and what all of them read."""
    from hopperbook.report.kept.chapters import record

    if _ran(jobs, send):
        send(("read", 0, record()))


def _ran(jobs: list[tuple[int, str]], send: Callable[[Any], None]) -> bool:
    """Run cells; return whether all of them ran."""
    outputs = Outputs()
    vars(builtins).pop("_", None)  # a parent that ran doctests leaves one, and IPython would not set its own
    shell = _new_shell(outputs)
    for place, source in jobs:
        send(("start", place))
        outputs.clear()
        outcome = shell.run_cell(source, store_history=True)
        outputs.flush()
        send(("done", place, shell.execution_count - 1, outputs.items, not outcome.success))
        if not outcome.success:
            return False
    return True


def _new_shell(outputs: Outputs) -> Any:
    """Return an IPython shell as a fresh kernel has it, whose outputs go to a list."""
    from IPython.core.displayhook import DisplayHook
    from IPython.core.displaypub import DisplayPublisher
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    class Publisher(DisplayPublisher):
        def publish(self, data, metadata=None, *, transient=None, update=False, **_):
            outputs.display(data, metadata or {}, (transient or {}).get("display_id"), update)

        def clear_output(self, wait=False):
            outputs.clear()

    class Hook(DisplayHook):
        def __call__(self, result=None):
            self.check_for_underscore()
            if result is not None and not self.quiet():
                data, metadata = self.compute_format_data(result)
                self.update_user_ns(result)
                self.fill_exec_result(result)
                if data:
                    self.log_output(data)
                    outputs.result(data, metadata, self.prompt_count)

    class Shell(InteractiveShell):
        def showtraceback(self, *args, **kwargs):
            super().showtraceback(*args, **kwargs)

        def _format_exception_for_storage(self, *given, **options):
            processes.lift_memory_limit()
            return super()._format_exception_for_storage(*given, **options)

        def _showtraceback(self, etype, evalue, stb):
            outputs.error(etype, evalue, stb)

        def init_sys_modules(self):
            self._main_mod_cache = {}
            sys.modules["__main__"] = self.user_module

    warnings.resetwarnings()
    _fresh_filters()
    sys.stdout, sys.stderr = outputs.stream("stdout"), outputs.stream("stderr")
    sys.argv = [""]
    if "" not in sys.path:
        sys.path.insert(0, "")
    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.banner1 = ""
    InteractiveShell.clear_instance()
    return Shell.instance(config=config, display_pub_class=Publisher, displayhook_class=Hook)


def _fresh_filters() -> None:
    """Set the warning filters that a new interpreter starts with; a test run's own must not leak into a chapter."""
    for category in (ResourceWarning, ImportWarning, PendingDeprecationWarning, DeprecationWarning):
        warnings.simplefilter("ignore", category)
    warnings.filterwarnings("default", category=DeprecationWarning, module="__main__")


class Outputs:
    """The outputs of one cell, collected in the order in which a kernel would have sent them."""

    def __init__(self) -> None:
        from nbformat import NotebookNode

        self.items: list[NotebookNode] = []
        self._buffers = {"stdout": io.StringIO(), "stderr": io.StringIO()}
        self._by_id: dict[str, list[Any]] = {}

    def stream(self, name: str) -> io.TextIOBase:
        """Return the text stream of a name; it is held back until something else is put out, as a kernel does."""
        return _Stream(self._buffers[name], name)

    def clear(self) -> None:
        """Begin a new cell."""
        self.items = []
        for buffer in self._buffers.values():
            buffer.seek(0)
            buffer.truncate()

    def flush(self) -> None:
        """Put out what was printed so far."""
        from nbformat.v4 import new_output

        for name, buffer in self._buffers.items():
            text = buffer.getvalue()
            if text:
                last = self.items[-1] if self.items else None
                if last is not None and last.output_type == "stream" and last.name == name:
                    last.text += text
                else:
                    self.items.append(new_output("stream", name=name, text=text))
                buffer.seek(0)
                buffer.truncate()

    def display(self, data: dict, metadata: dict, display_id: str | None, update: bool) -> None:
        """Put out something displayed, or change what was displayed under an id."""
        self.flush()
        node = _node("display_data", data, metadata)
        if update:
            for earlier in self._by_id.get(display_id or "", []):
                earlier.data, earlier.metadata = node.data, node.metadata
            return
        self.items.append(node)
        if display_id:
            self._by_id.setdefault(display_id, []).append(node)

    def result(self, data: dict, metadata: dict, count: int) -> None:
        """Put out the value of a cell's last expression."""
        self.flush()
        self.items.append(_node("execute_result", data, metadata, execution_count=count))

    def error(self, etype: Any, evalue: Any, stb: list[str]) -> None:
        """Put out an exception."""
        from nbformat.v4 import new_output

        self.flush()
        name = getattr(etype, "__name__", str(etype))
        self.items.append(new_output("error", ename=name, evalue=str(evalue), traceback=list(stb)))


class _Stream(io.TextIOBase):
    """A text stream that writes into a buffer and calls itself a kernel's."""

    def __init__(self, buffer: io.StringIO, name: str):
        self._buffer, self.name = buffer, f"<{name}>"

    encoding = "UTF-8"

    def write(self, text: str) -> int:
        return self._buffer.write(text)

    def writable(self) -> bool:
        return True

    def flush(self) -> None:
        return None


def _node(kind: str, data: dict, metadata: dict, **more: Any) -> Any:
    """Return a rich output as a kernel sends it: images in base 64, everything plain JSON."""
    from ipykernel.jsonutil import encode_images, json_clean
    from nbformat.v4 import new_output

    return new_output(kind, data=json_clean(encode_images(data)), metadata=json_clean(metadata), **more)
