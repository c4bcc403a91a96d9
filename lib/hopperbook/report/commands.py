"""The commands that look after reports: batch, verify, diff, rollback, doctor, clean."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

REPORTS = Path("reports")
PATH = click.Path(path_type=Path)
AS_JSON = click.option("--json", "json_", is_flag=True, help="Print JSON")
REPORT = click.argument("report", type=PATH, help="Folder of a built report")
IN_REPORTS = click.option("--reports", type=PATH, default=REPORTS, help="Folder that holds reports")


@click.group("words")
def words_of() -> None:
    """The words of a report, for translators."""


@words_of.command("extract")
@click.argument("reports", type=PATH, nargs=-1, required=True, help="Folders of built English reports")
@click.option(
    "--out", type=PATH, default=Path("words.pot"), help="The catalogue: a template, or FILE.po with --language"
)
@click.option("--language", default="", help="Code of the language, such as de")
@click.option("--pseudo", is_flag=True, help="Fill in a made-up language, to see what is missing")
def words_extract(reports: tuple[Path, ...], out: Path, language: str, pseudo: bool) -> None:
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


def register(app: click.Group) -> None:
    """Add the commands to the command line.

    Parameters
    ----------
    app : Group
        The command line.
    """
    for command in (batch, verify, diff, rollback, pdf, doctor, clean, zip_, words_of):
        app.add_command(command)


@click.command()
@click.argument("customers", type=PATH, nargs=-1, required=True, help="Customers' YAML files, or folders of them")
@click.option("--out", type=PATH, default=REPORTS, help="Folder for the reports and their index")
@click.option("--scheduler", help="Address of a running Dask scheduler, such as tcp://host:8786")
@click.option("--workers", type=click.IntRange(1), help="Local workers; default: one a processor")
@click.option("--timeout", type=click.FloatRange(1.0), default=900.0, help="Seconds allowed for one report")
@click.option("--retries", type=click.IntRange(0, 10), default=2, help="How often to try again if a worker dies")
@click.option("--memory", type=click.FloatRange(0.5), default=6.0, help="GiB of memory for each local worker")
@AS_JSON
def batch(
    customers: tuple[Path, ...],
    out: Path,
    scheduler: str | None,
    workers: int | None,
    timeout: float,
    retries: int,
    memory: float,
    json_: bool,
) -> None:
    """Build reports for many customers at once, with an index page; started again, it continues."""
    from hopperbook.report import batch as many

    made = many.run(customers, out, scheduler, workers, timeout, retries, memory, progress=not json_)
    if json_:
        print(json.dumps([asdict(each) for each in made], indent=1))
    else:
        print(many.sentence(made, out))
    if any(each.state == "failed" for each in made):
        raise click.exceptions.Exit(1)


@click.command()
@REPORT
def verify(report: Path) -> None:
    """Rebuild a report from its manifest and compare every byte."""
    from hopperbook.report import compare

    found = compare.verify(report)
    for line in found:
        print(line)
    if found:
        raise click.exceptions.Exit(1)
    print(f"{report}: every byte comes out the same")


@click.command()
@click.argument("one", type=PATH, help="Folder of a built report")
@click.argument("other", type=PATH, help="Folder of another built report")
@AS_JSON
def diff(one: Path, other: Path, json_: bool) -> None:
    """Show which figures differ between two reports, and why."""
    from hopperbook.report import compare

    changes = compare.diff(one, other)
    if json_:
        print(json.dumps([asdict(change) for change in changes], indent=1))
        return
    print(compare.sentence(changes))
    for change in changes:
        print(f"  {change.what:9s} {change.name}: {change.words}")


@click.command()
@REPORT
def rollback(report: Path) -> None:
    """Put the report before the present one in its place; once more puts the present one back."""
    from hopperbook.report import index, publish

    page = publish.rollback(report) / "index.html"
    index.refresh(report, "put back")
    print(f"The other of the two newest reports stands in its place now: open {page}; once more undoes it")


@click.command()
@REPORT
@click.option("--out", type=PATH, help="The file; default: beside the report")
@click.option("--brief", is_flag=True, help="Two pages: the decision and what to do, then the rest")
def pdf(report: Path, out: Path | None, brief: bool) -> None:
    """Print a report as one PDF with contents, bookmarks and page numbers (needs Chromium)."""
    from hopperbook.report import paper

    file = out or report.resolve().with_suffix(".pdf")
    print(f"{paper.write(report, file, brief)} is ready")


@click.command("zip")
@REPORT
@click.option("--out", type=PATH, help="The file; default: beside the report")
def zip_(report: Path, out: Path | None) -> None:
    """Pack a report into one file to send; unpacked, it opens from the file system."""
    from hopperbook.report import zipped

    site = report.resolve()
    print(f"{zipped.write(report, out or site.with_name(site.name + '.zip'))} is ready")


@click.command()
@IN_REPORTS
@AS_JSON
def doctor(reports: Path, json_: bool) -> None:
    """Say what this machine has and lacks for builds: software, browser, fonts, disk, permissions, leftover folders."""
    from hopperbook.report import upkeep

    found = upkeep.examine(reports)
    if json_:
        print(json.dumps([asdict(each) for each in found], indent=1))
    else:
        for each in found:
            print(f"{'ok  ' if each.ok else 'FAIL'} {each.what}: {each.words}")
    if not all(each.ok for each in found):
        raise click.exceptions.Exit(1)


@click.command()
@IN_REPORTS
def clean(reports: Path) -> None:
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
