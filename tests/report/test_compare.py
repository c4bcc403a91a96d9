"""Reports compared: each cause is named, nothing that was kept is believed, a damaged report is told in a sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hopperbook.errors import InputError
from hopperbook.evidence import kept as tables
from hopperbook.report import compare, manifest
from hopperbook.report.kept import store


def site(folder: Path, results: object = None, without: str = "", **changed: object) -> Path:
    """Write a report's manifest and results, some groups of it otherwise."""
    known: dict[str, object] = {"title": "", "parameters": {"name": "A"}, "library": "1", "usd_per_gpu_hour": {}}
    known |= dict.fromkeys(("versions", "settings", "chapters", "facts", "files", "own_files", "look"), {}) | changed
    known.pop(without, None)
    folder.mkdir()
    (folder / manifest.NAME).write_text(json.dumps(known))
    figures = {"gpus": {"value": 8}} if results is None else results
    (folder / "results.json").write_text(json.dumps({"results": figures}))
    return folder


def test_the_customers_own_files_and_the_title_are_causes(tmp_path: Path) -> None:
    one = site(tmp_path / "one", own_files={"model": "a"}, look={"logo": "a"})
    other = site(
        tmp_path / "other", {"gpus": {"value": 4}}, own_files={"model": "b"}, look={"logo": "b"}, title="Offer"
    )
    changes = compare.diff(one, other)
    assert [(change.what, change.name, change.words) for change in changes] == [
        ("figure", "gpus", "-50 %"),
        ("parameter", "title", "nothing became Offer"),
        ("file", "model", "changed"),
        ("file", "logo", "changed"),
    ]
    assert compare.sentence(changes) == (
        "gpus -50 %: title nothing became Offer, file of model changed, file of logo changed."
    )


def test_nothing_kept_is_read_where_all_is_computed_again(tmp_path: Path) -> None:
    before = store.ROOT, tables.KEPT
    with compare._nothing_kept(tmp_path):
        assert all(place.is_relative_to(tmp_path) for place in (store.ROOT, tables.KEPT))
    assert before == (store.ROOT, tables.KEPT)


@pytest.mark.parametrize(
    "spoilt",
    [{"without": name} for name in ("title", *manifest.GROUPS)]
    + [{"title": 3}, {"parameters": []}, {"facts": []}, {"versions": None}, {"usd_per_gpu_hour": 3}, {"look": "x"}],
    ids=str,
)
def test_a_damaged_manifest_is_told_in_a_sentence(tmp_path: Path, spoilt: dict[str, Any]) -> None:
    whole, damaged = site(tmp_path / "whole"), site(tmp_path / "damaged", **spoilt)
    for read in (
        lambda: compare.diff(whole, damaged),
        lambda: compare.diff(damaged, whole),
        lambda: compare.verify(damaged),
    ):
        with pytest.raises(InputError, match="a built report with its manifest.json"):
            read()


@pytest.mark.parametrize("results", [[], 7, {"gpus": 7}, {"gpus": {}}, {"gpus": None}, "gpus"], ids=str)
def test_damaged_results_are_told_in_a_sentence(tmp_path: Path, results: object) -> None:
    whole, damaged = site(tmp_path / "whole"), site(tmp_path / "damaged", results)
    for pair in ((whole, damaged), (damaged, whole)):
        with pytest.raises(InputError, match="a built report with its results.json"):
            compare.diff(*pair)


@pytest.mark.parametrize("value", [10**400, 1e308, float("nan"), float("inf"), 5e-324, True, [1, 2], {}, "x"], ids=str)
def test_any_value_that_a_file_can_hold_is_put_into_words(value: object) -> None:
    for one, other in (
        (8, value),
        (value, 8),
        ([1, 8, 9], value),
        ([1, 8, 9], [value, 8, 9]),
        ([0, value, 9], [1, 8, 9]),
    ):
        assert compare.in_words(one, other) and compare.in_words(other, one)
