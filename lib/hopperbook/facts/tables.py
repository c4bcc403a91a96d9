"""Reading ``data/``: YAML and CSV tables as records and data frames, each row with its source, and the bibliography."""

from __future__ import annotations

import contextlib
import functools
import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import yaml

from hopperbook import prepared
from hopperbook.errors import InputError
from hopperbook.later import pandas as pd

DATA = Path(__file__).resolve().parents[3] / "data"
ENTRY = re.compile(r"@(\w+)\{([^,\s]+),(.*?)\n\}", re.DOTALL)
FIELD = re.compile(r"^\s*(\w+)\s*=\s*\{(.*?)\},?\s*$", re.MULTILINE | re.DOTALL)


#: The safe loader in C where PyYAML was built with it: ten times as fast.
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_yaml(name: str | Path) -> Any:
    """Read a YAML file of ``data/``.

    Parameters
    ----------
    name : str or Path
        Path below ``data/``, such as ``constants/memory.yaml``.

    Returns
    -------
    dict or list
        As in the file.

    Examples
    --------
    >>> sorted(read_yaml("constants/memory.yaml"))[:1]
    ['training']
    """
    path = DATA / name
    state = path.stat()
    return _parsed(path, state.st_mtime_ns, state.st_size)


@functools.lru_cache(maxsize=256)
def _parsed(path: Path, changed_ns: int, size_bytes: int) -> Any:
    """Parse a file once for as long as it stays as it is; whoever reads it changes nothing in it.

    Later processes read it as JSON, which takes a tenth of the time, where JSON can say all that the file says.
    """
    text = path.read_bytes()
    name = prepared.digest(yaml.__version__.encode(), text)
    if (kept := prepared.get("yaml", name)) is not None:
        return json.loads(kept)
    content = yaml.load(text.decode(), Loader=LOADER)
    with contextlib.suppress(TypeError):
        told = json.dumps(content)
        if repr(json.loads(told)) == repr(content):
            prepared.put("yaml", name, told.encode())
    return content


def _path(name: str) -> Path:
    candidates = (
        [DATA / f"{name}{suffix}" for suffix in (".yaml", ".csv")] if re.fullmatch(r"[\w/-]{1,80}", name) else []
    )
    path = next((candidate for candidate in candidates if candidate.exists()), None)
    if path is None:
        tables = sorted(found.stem for found in DATA.glob("*.*") if found.suffix in (".yaml", ".csv"))
        raise InputError("table", name, f"a table of data/ ({', '.join(tables)})", tables)
    return path


def _csv(path: Path) -> pd.DataFrame:
    frame = pd.read_csv(path)
    text = frame.select_dtypes(exclude="number").columns
    frame[text] = frame[text].fillna("")
    return frame


def _rows(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".csv":
        return [{str(key): value for key, value in row.items()} for row in _csv(path).to_dict("records")]
    content = read_yaml(path)
    return content if isinstance(content, list) else [{"name": name, **row} for name, row in content.items()]


@cache
def records(name: str) -> tuple[Mapping[str, Any], ...]:
    """Return the rows of a table of ``data/``, each checked to have a source.

    Parameters
    ----------
    name : str
        A file of ``data/`` without its ending; of two, YAML comes before CSV.

    Returns
    -------
    tuple of Mapping
        Read-only rows; the keys of a YAML mapping become ``name``.

    Raises
    ------
    InputError
        For an unknown table, or a row without a source.

    Examples
    --------
    >>> records("fabrics")[0]["label"]
    'PCIe 4.0 x16'
    """
    rows = _rows(_path(name))
    for row in rows:
        if not isinstance(row.get("source"), str) or not row["source"].strip():
            label = row.get("name") or row.get("id") or next(iter(row.values()))
            raise InputError("source", label, f"a source for every row of the table {name}")
    return tuple(MappingProxyType(row) for row in rows)


@cache
def _frame(name: str) -> pd.DataFrame:
    return pd.DataFrame([dict(row) for row in records(name)])


def table(name: str) -> pd.DataFrame:
    """Return a table of ``data/`` as a data frame that the caller may change.

    Parameters
    ----------
    name : str
        A file of ``data/`` without its ending.

    Returns
    -------
    pandas.DataFrame
        A row a fact, a column a field, ``source`` among them, in the units of the file.

    Raises
    ------
    InputError
        For an unknown table, or a row without a source.

    Examples
    --------
    >>> table("claims").id.tolist()[:2]
    ['C01', 'C02']
    """
    return _frame(name).copy()


@cache
def references() -> Mapping[str, Mapping[str, str]]:
    """Return every entry of the bibliography by its key.

    Returns
    -------
    Mapping of str to Mapping
        The fields of ``data/references.bib`` and ``data/references.d/*.bib``, ``type`` among them.

    Raises
    ------
    InputError
        For a key that stands twice with different titles.

    Examples
    --------
    >>> references()["williams-2009-roofline"]["year"]
    '2009'
    """
    found: dict[str, Mapping[str, str]] = {}
    for path in [DATA / "references.bib", *sorted((DATA / "references.d").glob("*.bib"))]:
        for kind, key, body in ENTRY.findall(path.read_text(encoding="utf-8")):
            entry = {name.lower(): " ".join(text.split()) for name, text in FIELD.findall(body)} | {
                "type": kind.lower()
            }
            if found.setdefault(key, entry).get("title") != entry.get("title"):
                raise InputError("reference", key, "a key that stands for one source only")
    return MappingProxyType(dict(sorted(found.items())))


class Term(NamedTuple):
    """A word of the field: how the glossary lists it, what it means, and the forms in which pages write it."""

    term: str
    meaning: str
    forms: tuple[str, ...]


@cache
def glossary() -> tuple[Term, ...]:
    """Return the words of the field that the book uses.

    Returns
    -------
    tuple of Term
        The entries of ``data/glossary.yaml``, in its order.

    Raises
    ------
    InputError
        If a form stands for two terms.

    Examples
    --------
    >>> next(each.meaning for each in glossary() if each.term == "prefill")
    'Reading the prompt; all its tokens are computed together, so arithmetic sets the pace.'
    """
    found: list[Term] = []
    owners: dict[str, str] = {}
    for entry in read_yaml("glossary.yaml"):
        forms = tuple(entry.get("match", [entry["term"]]))
        for form in forms:
            if owners.setdefault(form, entry["term"]) != entry["term"]:
                raise InputError("glossary", form, f"a form of one term only (also of {owners[form]})")
        found.append(Term(entry["term"], entry["meaning"], forms))
    return tuple(found)
