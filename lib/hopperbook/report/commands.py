"""The commands that look after reports: batch, verify, diff, rollback, doctor, clean."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

REPORTS = Path("reports")
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON")]
Report = Annotated[Path, typer.Argument(help="Folder of a built report")]
Reports = Annotated[Path, typer.Option("--reports", help="Folder that holds reports")]


words_of = typer.Typer(help="The words of a report, for translators.", no_args_is_help=True)


@words_of.command("extract")
def words_extract(
    reports: Annotated[list[Path], typer.Argument(help="Folders of built English reports")],
    out: Annotated[Path, typer.Option(help="The catalogue: a template, or FILE.po with --language")] = Path(
        "words.pot"
    ),
    language: Annotated[str, typer.Option(help="Code of the language, such as de")] = "",
    pseudo: Annotated[
        bool, typer.Option("--pseudo", help="Fill in a made-up language, to see what is missing")
    ] = False,
) -> None:
    """Write a catalogue (gettext) of everything that readers see in reports."""
    from hopperbook.errors import InputError
    from hopperbook.report import catalogue, manifest, spoken

    for report in reports:
        if manifest.read(report)["parameters"].get("language", "en") != "en":
            raise InputError("report", str(report), "a report in English")
    if not out.absolute().parent.is_dir() or out.suffix not in (".po", ".pot"):
        raise InputError("out", str(out), "a file that ends in .pot or .po, in a folder that exists")
    found = spoken.extract(reports)
    catalogue.write(out, found, catalogue.PSEUDO_LANGUAGE if pseudo else language, pseudo)
    print(f"{out} holds {len(found):,} messages; translate it, then: hopperbook build --words {out.with_suffix('.po')}")


def register(app: typer.Typer) -> None:
    """Add the commands to the command line.

    Parameters
    ----------
    app : Typer
        The command line.
    """
    app.callback()(_options)
    for command in (batch, verify, diff, rollback, pdf, doctor, clean):
        app.command()(command)
    app.command("zip")(zip_)
    app.add_typer(words_of, name="words")


def _options(
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print answers and errors, nothing on the way")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Print each step as a line of JSON")] = False,
) -> None:
    """Which GPUs to buy or rent, computed from sourced facts."""
    from hopperbook.report import log

    log.show(verbose, quiet)


def batch(
    customers: Annotated[list[Path], typer.Argument(help="Customers' YAML files, or folders of them")],
    out: Annotated[Path, typer.Option(help="Folder for the reports and their index")] = REPORTS,
    scheduler: Annotated[
        str | None, typer.Option(help="Address of a running Dask scheduler, such as tcp://host:8786")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Local workers; default: one a processor")] = None,
    timeout: Annotated[float, typer.Option(min=1.0, help="Seconds allowed for one report")] = 900.0,
    retries: Annotated[int, typer.Option(min=0, max=10, help="How often to try again if a worker dies")] = 2,
    memory: Annotated[float, typer.Option(min=0.5, help="GiB of memory for each local worker")] = 6.0,
    json_: AsJson = False,
) -> None:
    """Build reports for many customers at once, with an index page; started again, it continues."""
    from hopperbook.report import batch as many

    made = many.run(customers, out, scheduler, workers, timeout, retries, memory, progress=not json_)
    if json_:
        print(json.dumps([asdict(each) for each in made], indent=1))
    else:
        print(many.sentence(made, out))
    if any(each.state == "failed" for each in made):
        raise typer.Exit(1)


def verify(report: Report) -> None:
    """Rebuild a report from its manifest and compare every byte."""
    from hopperbook.report import compare

    found = compare.verify(report)
    for line in found:
        print(line)
    if found:
        raise typer.Exit(1)
    print(f"{report}: every byte comes out the same")


def diff(
    one: Report,
    other: Annotated[Path, typer.Argument(help="Folder of another built report")],
    json_: AsJson = False,
) -> None:
    """Show which figures differ between two reports, and why."""
    from hopperbook.report import compare

    changes = compare.diff(one, other)
    if json_:
        print(json.dumps([asdict(change) for change in changes], indent=1))
        return
    print(compare.sentence(changes))
    for change in changes:
        print(f"  {change.what:9s} {change.name}: {change.words}")


def rollback(report: Report) -> None:
    """Put the report before the present one in its place; once more puts the present one back."""
    from hopperbook.report import index, publish

    page = publish.rollback(report) / "index.html"
    index.refresh(report, "put back")
    print(f"The other of the two newest reports stands in its place now: open {page}; once more undoes it")


def pdf(
    report: Report,
    out: Annotated[Path | None, typer.Option(help="The file; default: beside the report")] = None,
    brief: Annotated[
        bool, typer.Option("--brief", help="Two pages: the decision and what to do, then the rest")
    ] = False,
) -> None:
    """Print a report as one PDF with contents, bookmarks and page numbers (needs Chromium)."""
    from hopperbook.report import paper

    file = out or report.resolve().with_suffix(".pdf")
    print(f"{paper.write(report, file, brief)} is ready")


def zip_(
    report: Report,
    out: Annotated[Path | None, typer.Option(help="The file; default: beside the report")] = None,
) -> None:
    """Pack a report into one file to send; unpacked, it opens from the file system."""
    from hopperbook.report import zipped

    site = report.resolve()
    print(f"{zipped.write(report, out or site.with_name(site.name + '.zip'))} is ready")


def doctor(reports: Reports = REPORTS, json_: AsJson = False) -> None:
    """Say what this machine has and lacks for builds: software, browser, fonts, disk, permissions, leftover folders."""
    from hopperbook.report import upkeep

    found = upkeep.examine(reports)
    if json_:
        print(json.dumps([asdict(each) for each in found], indent=1))
    else:
        for each in found:
            print(f"{'ok  ' if each.ok else 'FAIL'} {each.what}: {each.words}")
    if not all(each.ok for each in found):
        raise typer.Exit(1)


def clean(reports: Reports = REPORTS) -> None:
    """Remove what no report needs: kept work, folders of killed builds, earlier reports."""
    from hopperbook.report import upkeep

    print(f"Freed {upkeep.clean(reports) / 2**20:.0f} MiB; the reports stay")


def table(rows: list[dict[str, Any]]) -> None:
    """Print the profile of a build.

    Parameters
    ----------
    rows : list of dict
        ``step`` and ``seconds``.

    Examples
    --------
    >>> table([{"step": "pages", "seconds": 1.25}])
      1.25 s  pages
    """
    for row in rows:
        print(f"{row['seconds']:6.2f} s  {row['step']}")
