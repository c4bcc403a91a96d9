"""The reports of many customers, side by side on Dask: whole reports as tasks, and an index that grows as they end."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hopperbook import customer as customers
from hopperbook.errors import Failed, InputError
from hopperbook.report import given, index, log, publish
from hopperbook.report.kept.store import Store
from hopperbook.report.pipeline import CHAPTERS
from hopperbook.report.worker import build_one

GIB = 1 << 30


@dataclass(frozen=True)
class Made:
    """What became of one customer's report.

    Parameters
    ----------
    file, folder : str
        The customer's file, and the report's folder below that of all reports; empty where there is none.
    state : str
        ``built``, ``unchanged`` or ``failed``.
    sentence : str
        Why it failed.
    seconds : float
        How long it took.
    headline : dict
        What the index says of it.
    kind : str
        What kind of failure it was, in a word that says nothing of the customer.
    digest : str
        Of the customer's fields; empty where the file cannot be used.
    """

    file: str
    folder: str
    state: str
    sentence: str = ""
    seconds: float = 0.0
    headline: dict[str, Any] = field(default_factory=dict)
    kind: str = ""
    digest: str = ""


def run(
    files: Sequence[Path],
    out: Path,
    scheduler: str | None = None,
    workers: int | None = None,
    timeout_s: float = 900.0,
    retries: int = 2,
    memory_gib: float = 6.0,
    progress: bool = False,
    chapters_dir: Path = CHAPTERS,
) -> list[Made]:
    """Build reports; a customer whose report stands and would come out the same is left as it is.

    Parameters
    ----------
    files : sequence of Path
        Customers' files, or folders of them.
    out : Path
        Folder for the reports and their index.
    scheduler : str, optional
        Address of a running Dask scheduler; by default a cluster on this machine.
    workers : int, optional
        Workers of the cluster on this machine; by default one a processor.
    timeout_s : float
        Seconds that a report may take.
    retries : int
        Tries again where a process died.
    memory_gib : float
        Memory of the process that builds a report.
    progress : bool
        True to show a bar in the terminal.
    chapters_dir : Path
        Folder of the chapters.

    Returns
    -------
    list of Made
        In the order of the files.

    Raises
    ------
    InputError
        If there are no files.
    Failed
        If the scheduler does not answer.
    """
    listed = list(_listed(files))
    made = {path: _refused(path, who) for path, who in listed if isinstance(who, InputError)}
    usable = [(path, who) for path, who in listed if not isinstance(who, InputError)]
    tasks, digests = _tasks(usable, out), {path: who.digest() for path, who in usable}
    out.mkdir(parents=True, exist_ok=True)
    index.check_place(out)
    wanted: dict[str, Any] = {"timeout_s": timeout_s, "retries": retries, "memory_bytes": int(memory_gib * GIB)}
    wanted |= {"chapters": str(chapters_dir.absolute())}
    with _client(scheduler, workers, len(tasks)) as (client, at_once), _bar(progress, len(listed)) as show:
        share = max(1, (os.cpu_count() or 1) // at_once) if scheduler is None else 1
        asked = {
            client.submit(
                build_one,
                wanted
                | {"file": str(path.absolute()), "digest": digests[path]}
                | {"out": str((out / folder).absolute()), "workers": share},
                key=f"hopperbook-{digests[path]}-{number}-{os.getpid()}",
                retries=retries,
                pure=False,
            ): (path, folder)
            for number, (path, folder) in enumerate(tasks.items())
        }
        for one in made.values():
            show(one)
        for future, answer in _answers(asked):
            path, folder = asked[future]
            made[path] = Made(str(path), folder, digest=digests[path], **answer)
            _record(out, made[path])
            show(made[path])
            index.write(out, [made[each] for each, _ in listed if each in made], soon=True)
    done = [made[path] for path, _ in listed]
    index.write(out, done)
    return done


def _listed(files: Sequence[Path]) -> Iterator[tuple[Path, Any]]:
    """Yield each customer's file with the customer, or with what is wrong with it."""
    paths = [each for path in files for each in (_inside(path) if path.is_dir() else [path])]
    if not paths:
        raise InputError("customers", ", ".join(map(str, files)), "customers' YAML files, or folders that hold some")
    if missing := next((path for path in files if not path.exists()), None):
        raise InputError("customers", str(missing), "an existing YAML file, or a folder that holds some")
    seen: dict[str, Path] = {}
    once: dict[str, Path] = {}  # by where a file really lies: under the first of its names
    for path in paths:
        once.setdefault(os.path.realpath(path), path)
    for path in once.values():
        try:
            who = customers.load(path)
            if seen.setdefault(f"{who.name} {who.digest()}", path) != path:
                first = seen[f"{who.name} {who.digest()}"].name
                raise InputError("customer", path.name, f"another customer than that of {first}, which says the same")
            yield path, who
        except InputError as error:
            yield path, error


def _inside(folder: Path) -> list[Path]:
    """Return the customers' files of a folder: neither folders in it nor what is hidden there."""
    found = [path for path in sorted(folder.glob("*")) if path.suffix in (".yaml", ".yml") and not path.is_dir()]
    return [path for path in found if not path.name.startswith(".")]


def _refused(path: Path, error: InputError) -> Made:
    return Made(str(path), "", "failed", " ".join(str(error).split()), kind=type(error).__name__)


def _tasks(listed: Sequence[tuple[Path, customers.Customer]], out: Path) -> dict[Path, str]:
    """Return the folder of each customer's report: by the name; where two share it, with the customer's digest.

    None is that of another in the batch, and none holds another's report.
    """
    names = [customers.slug(who.name) for _, who in listed]
    tasks: dict[Path, str] = {}
    for (path, who), name in zip(listed, names, strict=True):
        alone = names.count(name) == 1
        folder = given.place(out, who.name).name if alone else f"{name}-{who.digest()}"
        while folder in tasks.values() or given.is_anothers(out / folder, who.name):
            folder += f"-{who.digest()}"
        tasks[path] = folder
    return tasks


@contextlib.contextmanager
def _client(scheduler: str | None, workers: int | None, tasks: int) -> Iterator[tuple[Any, int]]:
    """Yield a client of Dask, and how many workers it has here."""
    import dask
    from distributed import Client, LocalCluster

    quiet = {"distributed.logging.distributed": "error", "distributed.worker.daemon": False}
    with dask.config.set(quiet | {"distributed.admin.log-format": "%(message)s"}):
        if scheduler is not None:
            try:
                with Client(scheduler, timeout=10) as client:
                    yield client, 1
            except (OSError, ValueError, TimeoutError) as error:
                words = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
                raise Failed(f"the scheduler {scheduler} does not answer ({words})") from None
            return
        at_once = max(1, min(workers or os.cpu_count() or 1, max(tasks, 1)))
        with (
            LocalCluster(
                n_workers=at_once,
                threads_per_worker=1,
                processes=True,
                memory_limit=None,
                dashboard_address="127.0.0.1:0",
                scheduler_kwargs={"dashboard": False},
                silence_logs=50,
            ) as cluster,
            Client(cluster) as client,
        ):
            yield client, at_once


def _answers(asked: dict[Any, tuple[Path, str]]) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Yield the answer to each task as it comes; what Dask itself could not do is an answer too."""
    from distributed import as_completed

    for future in as_completed(list(asked)):
        try:
            answer = future.result()
        except Exception as error:
            kind = type(error).__name__
            answer = {"state": "failed", "sentence": f"{kind}: {' '.join(str(error).split())[:200]}", "kind": kind}
        yield future, answer
        future.release()


def _record(out: Path, one: Made) -> None:
    """Write a line to the batch's log; names of customers, and what may hold them, stand in the index, not there."""
    line = {"digest": one.digest, "state": one.state, "kind": one.kind, "seconds": one.seconds}
    log.event("report", **line)
    house = out / publish.HOUSE
    house.mkdir(exist_ok=True)
    with (house / "batch.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(line, ensure_ascii=False) + "\n")


@contextlib.contextmanager
def _bar(shown: bool, total: int) -> Iterator[Any]:
    """Show how many reports are done, and each that failed; yield what is told of each."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True, markup=False, highlight=False)
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}", markup=False), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not shown or log.is_quiet()) as bar:
        task = bar.add_task("reports", total=total)
        plain = shown and not console.is_terminal and not log.is_quiet()  # no bar moves in a file or a pipe
        if plain:
            slow = "" if Store().keys("chapters") else "; the first reports take longest, since nothing is kept yet"
            console.print(f"customers: {total}{slow}")

        def show(one: Made) -> None:
            bar.update(task, advance=1, description=one.folder or Path(one.file).name)
            if shown and one.state == "failed":
                console.print(f"{Path(one.file).name}: {one.sentence}")
            elif plain:
                console.print(f"{one.folder}: {one.state} in {one.seconds:.0f} s")

        yield show


def sentence(made: Sequence[Made], out: Path) -> str:
    """Say in one sentence what became of a batch.

    Parameters
    ----------
    made : sequence of Made
        As :func:`run` returns it.
    out : Path
        Folder of the reports.

    Returns
    -------
    str
        A sentence.

    Examples
    --------
    >>> sentence([Made("a.yaml", "a", "built"), Made("b.yaml", "", "failed", "no")], Path("reports"))
    '1 built, 0 unchanged, 1 failed: open reports/index.html'
    """
    counts = {state: sum(one.state == state for one in made) for state in ("built", "unchanged", "failed")}
    words = ", ".join(f"{count:,} {state}" for state, count in counts.items())
    return f"{words}: open {(out / 'index.html').as_posix()}"
