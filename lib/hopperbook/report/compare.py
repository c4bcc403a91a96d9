"""Two reports beside each other, and one beside what the same sources make of it again."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hopperbook.errors import InputError
from hopperbook.evidence import kept as tables
from hopperbook.report import given, manifest, publish
from hopperbook.report.kept import store

#: Groups of a manifest: what all reports are made from, and the customer's own files.
SOURCES, OWN = ("facts", "chapters", "settings", "versions"), ("own_files", "look")
#: The figures that a customer asks for first, in the order in which they are told.
FIRST = ("monthly_cost_usd", "gpu", "gpus", "ttft_s", "tpot_ms", "memory_headroom", "training_days")
#: Beyond it a number is no figure of a report.
LARGEST = 1e100


@dataclass(frozen=True)
class Change:
    """One thing that is different in the second of two reports.

    Parameters
    ----------
    what : str
        ``figure``, ``parameter``, ``price``, ``file`` (of the customer's own), ``facts`` or ``code``.
    name : str
        Which.
    before, after : object
        Its values; None where there is none.
    words : str
        The difference in words.
    """

    what: str
    name: str
    before: Any
    after: Any
    words: str


def verify(site: Path) -> list[str]:
    """Build a report again from what its manifest says and compare every byte.

    Parameters
    ----------
    site : Path
        The report.

    Returns
    -------
    list of str
        One line a difference; empty where all is the same.

    Raises
    ------
    InputError
        If there is no report.
    """
    from hopperbook.report import pipeline

    known = manifest.read(site)
    if known.get("own_files"):
        raise InputError(
            "report", site.name, "a report of a published model; this one's is a file that only its owner has"
        )
    found = _altered(known["files"], manifest.listing(site), "was changed after the report was built")
    parameters = known["parameters"] | {field: str(site / name) for field, name in _look(known).items()}
    now = manifest.made_from(parameters, pipeline.find_chapters(pipeline.CHAPTERS), known["title"])
    sources = [f"{name}: {words}" for name, words in _sources(known, now)]
    if found or sources:
        return [*found, *sources]
    with tempfile.TemporaryDirectory(prefix="hopperbook-") as folder, _nothing_kept(Path(folder) / "store"):
        again = Path(folder) / "report"
        pipeline.build(parameters, again, known["title"] or None)
        return _altered(known["files"], manifest.listing(again), "comes out otherwise when it is built again")


def _look(known: Mapping[str, Any]) -> dict[str, str]:
    """Return the files of a report's look, which stand in the report itself, by field."""
    return {field: path.name for field, path in given.look_files(known["parameters"]).items()}


@contextlib.contextmanager
def _nothing_kept(folder: Path) -> Iterator[None]:
    """Keep work in an empty folder for a while, so that everything is computed again."""
    before, store.ROOT, tables.KEPT = (store.ROOT, tables.KEPT), folder, folder / "answers"
    try:
        yield
    finally:
        store.ROOT, tables.KEPT = before


def _altered(before: Mapping[str, str], after: Mapping[str, str], how: str) -> list[str]:
    """Return a line for each file that is not in both with the same content."""
    names = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
    return [f"{name} {how}" for name in names]


def _sources(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return which facts, chapters, settings and versions differ, with what happened to them."""
    found = [each for group in SOURCES for each in _differing(group, before, after)]
    if before.get("library") != after.get("library"):
        found.append(("library", "changed"))
    return found


def _differing(group: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what differs in a group of two manifests, with what happened to it."""
    one, other = before.get(group, {}), after.get(group, {})
    for name in sorted({*one, *other}):
        if one.get(name) != other.get(name):
            how = "added" if name not in one else "gone" if name not in other else "changed"
            yield name, f"{one[name]} became {other[name]}" if group == "versions" and how == "changed" else how


def diff(one: Path, other: Path) -> list[Change]:
    """Return what is different in the second of two reports, and what that comes from.

    Parameters
    ----------
    one, other : Path
        Reports.

    Returns
    -------
    list of Change
        Figures first, those that a customer asks for at the top; then parameters, prices, files, facts and code.

    Raises
    ------
    InputError
        If one of them is no report.
    """
    (before, figures), (after, new_figures) = _read(one), _read(other)
    found = _values("figure", figures, new_figures)
    found.sort(key=lambda change: (FIRST.index(change.name) if change.name in FIRST else len(FIRST), change.name))
    found += _values("parameter", before["parameters"], after["parameters"])
    found += _values("parameter", {"title": before["title"]}, {"title": after["title"]})
    found += _values("price", before.get("usd_per_gpu_hour", {}), after.get("usd_per_gpu_hour", {}))
    own = (each for group in OWN for each in _differing(group, before, after))
    found += [Change("file", name, None, None, words) for name, words in own]
    return found + [
        Change("code" if name == "library" else "facts", name, None, None, words)
        for name, words in _sources(before, after)
    ]


def _read(site: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a report's manifest and its figures: value, low, high."""
    known = manifest.read(site)
    try:
        results = json.loads((site / publish.MARK).read_text(encoding="utf-8"))["results"]
        ends = ("low", "value", "high")
        return known, {
            name: [record[end] for end in ends] if {*ends} <= {*record} else record["value"]
            for name, record in results.items()
        }
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise InputError("report", str(site), f"a built report with its {publish.MARK}") from None


def _values(what: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """Return the values that differ, each in words."""
    names = dict.fromkeys([*before, *after])
    return [
        Change(what, name, before.get(name), after.get(name), in_words(before.get(name), after.get(name)))
        for name in names
        if before.get(name) != after.get(name)
    ]


def in_words(before: Any, after: Any) -> str:
    """Say how a value changed: a number in per cent, a range too where it became wider or narrower.

    Parameters
    ----------
    before, after : object
        A number, a text, or a list of low, typical and high.

    Returns
    -------
    str
        Words.

    Examples
    --------
    >>> in_words(100.0, 108.0), in_words("H100 SXM", "H200 SXM")
    ('+8 %', 'H100 SXM became H200 SXM')
    >>> in_words([1.0, 2.0, 3.0], [0.5, 2.0, 4.0])
    'range wider'
    >>> in_words([1.0, 2.5, "never"], [1.0, "never", "never"])
    '2.5 became never'
    """
    if all(isinstance(ends, list) and len(ends) == 3 for ends in (before, after)):
        (low, value, high), (new_low, new_value, new_high) = before, after
        words = in_words(value, new_value) if value != new_value else ""
        if not all(map(is_number, (*before, *after))):
            return words or "range moved"
        width, new_width = (high - low) / abs(value or 1), (new_high - new_low) / abs(new_value or 1)
        if width > 0 and abs(new_width / width - 1) > 0.02:
            words += (", " if words else "") + ("range wider" if new_width > width else "range narrower")
        return words or "range moved"
    if is_number(before) and is_number(after) and before:
        share = 100 * (after / before - 1)
        return f"{share:+.0f} %" if abs(share) >= 1 else f"{share:+.2g} %"
    shown = ["nothing" if value in (None, "") else _number(value) for value in (before, after)]
    return f"{shown[0]} became {shown[1]}"


def is_number(value: Any) -> bool:
    """Return whether a value read from a file is a number that can be reckoned with.

    Parameters
    ----------
    value : object
        What JSON can hold.

    Returns
    -------
    bool
        False for true, false, what is no number, and what is beyond any figure of a report.

    Examples
    --------
    >>> [is_number(value) for value in (8, 0.5, True, "8", float("nan"), 10**400)]
    [True, True, False, False, False, False]
    """
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def sentence(changes: list[Change]) -> str:
    """Say in one sentence what changed most and why.

    Parameters
    ----------
    changes : list of Change
        As :func:`diff` returns them.

    Returns
    -------
    str
        A sentence.

    Examples
    --------
    >>> sentence([])
    'The two reports say the same.'
    >>> sentence([Change("figure", "gpus", 8, 4, "-50 %"), Change("parameter", "concurrency", 300, 150, "-50 %")])
    'gpus -50 %: concurrency -50 %.'
    """
    figures = [f"{change.name} {change.words}" for change in changes if change.what == "figure"]
    causes = [_cause(change) for change in changes if change.what != "figure"]
    if not changes:
        return "The two reports say the same."
    if not figures:
        return f"No figure changed; {', '.join(causes[:5])}."
    more = f" and {len(causes) - 5} more" if len(causes) > 5 else ""
    return f"{', '.join(figures[:5])}: {', '.join(causes[:5]) or 'from the same sources'}{more}."


def _cause(change: Change) -> str:
    name = f"{change.what} of {change.name}" if change.what in ("price", "file") else change.name
    return f"{name} {change.words}"
