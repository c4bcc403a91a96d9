"""Every source that the code or the data names stands in the bibliography."""

import csv
import gzip
import re
from pathlib import Path

import pytest
import yaml

import hopperbook
from hopperbook import facts
from hopperbook.models import MODELS

LIB = Path(hopperbook.__file__).parent
KEY = re.compile(r"^[a-z0-9.]+(-[a-z0-9.]+)*$")
MODULES = sorted(LIB.rglob("*.py"))
TABLES = sorted(p for folder in ("", "constants", "fp8") for p in (facts.DATA / folder).glob("*.yaml"))
SHEETS = sorted([*facts.DATA.rglob("*.csv"), *facts.DATA.rglob("*.csv.gz")])


def keys(text):
    return [key.split(":")[0].strip() for key in re.split(r"[,;]\s+", str(text)) if key.strip()]


def sources(value):
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == "source":
                yield from keys(inner) if inner is not None else ()
            else:
                yield from sources(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from sources(inner)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(LIB)))
def test_sources_of_docstrings_resolve(path):
    for words in re.findall(r"Source:(.*?)(?:\n\s*\n|\"\"\")", path.read_text(encoding="utf-8"), re.DOTALL):
        named = [key for key in re.findall(r"``([^`]+)``", words) if KEY.match(key)]
        assert [key for key in named if key not in facts.references()] == []


def test_docstrings_do_name_sources():
    text = "".join(path.read_text(encoding="utf-8") for path in MODULES)
    assert len(re.findall(r"Source: ?``", text)) > 10


@pytest.mark.parametrize("path", TABLES, ids=lambda p: p.name)
def test_sources_of_yaml_resolve(path):
    found = list(sources(yaml.safe_load(path.read_text(encoding="utf-8"))))
    assert [key for key in found if key not in facts.references()] == []


@pytest.mark.parametrize("path", [p for p in SHEETS if p.parent.name != "measurements"], ids=lambda p: p.name)
def test_sources_of_csv_resolve(path):
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    assert rows
    if "source" in rows[0]:
        found = {key for row in rows for key in keys(row["source"])}
        assert sorted(found - set(facts.references())) == []


@pytest.mark.parametrize("path", [p for p in SHEETS if p.parent.name == "measurements"], ids=lambda p: p.name)
def test_every_measurement_says_where_it_is_from(path):
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        assert all(row["source"].strip() for row in csv.DictReader(lines))


def test_bibliography_is_usable():
    assert len(facts.references()) > 50
    for key, entry in facts.references().items():
        assert re.fullmatch(r"[a-z0-9.-]+", key), key
        assert entry.get("title"), key
    assert len(list(MODELS.glob("*.json"))) > 30
