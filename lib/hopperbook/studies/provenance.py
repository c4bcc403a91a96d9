"""How the book was made: what it holds, where each table comes from, which code computes it, and its words."""

from __future__ import annotations

import inspect
import re
import unicodedata
from functools import cache
from importlib import metadata
from types import ModuleType
from typing import NamedTuple

import pandas as pd

from hopperbook import cost, facts, fp8, hpc, kernels, memory, mig, models, serving, training, units
from hopperbook.customer import Customer
from hopperbook.display import Reference
from hopperbook.facts import own

#: Tables of facts in ``data/``, in words.
TABLES = {
    "gpus": "GPUs",
    "systems": "Servers",
    "fabrics": "Links and networks",
    "mig": "MIG profiles, by card",
    "prices": "Rental prices",
    "costs": "Purchase, power, space",
    "hpc": "Scientific measurements",
    "claims": "Claims of the article",
}
#: Packages whose versions are shown.
PACKAGES = (
    "hopperbook",
    "numpy",
    "pandas",
    "scipy",
    "altair",
    "vl-convert-python",
    "ml_dtypes",
    "pydantic",
    "papermill",
    "jupyter-book",
    "Sphinx",
    "myst-nb",
    "sphinx-book-theme",
)
#: Calculators, in the order of the interface.
ROOMS: tuple[ModuleType, ...] = (models, fp8, memory, kernels, training, serving, hpc, mig, cost)
SOURCE_LETTERS = 70  # shown of a title in tables


class Held(NamedTuple):
    """How much the book holds: rows of facts, published measurements, references, models."""

    facts: int
    measurements: int
    references: int
    models: int


def held() -> Held:
    """Count what the book holds.

    Returns
    -------
    Held
        Counts.

    Examples
    --------
    >>> found = held()
    >>> round(found.facts, -2), round(found.measurements, -3), round(found.models, -1)
    (1000, 5000, 60)
    """
    rows = fact_table()
    measured = sum(len(table) for table in _measurements().values())
    return Held(int(rows["rows"].iloc[:-1].sum()), measured, len(facts.references()), len(models.model_names()))


def fact_table() -> pd.DataFrame:
    """List the tables of facts, and last the models.

    Returns
    -------
    DataFrame
        ``table`` in words, ``rows``, ``file``.

    Examples
    --------
    >>> fact_table().table.tolist()[:2], fact_table().file.iloc[-1]
    (['GPUs', 'Servers'], 'data/models')
    """
    rows = [{"table": word, "rows": len(facts.records(name)), "file": f"data/{name}"} for name, word in TABLES.items()]
    return pd.DataFrame([*rows, {"table": "Models", "rows": len(models.model_names()), "file": "data/models"}])


@cache
def _measurements() -> dict[str, pd.DataFrame]:
    """Return the published measurements by the name of their file."""
    paths = sorted((facts.DATA / "measurements").glob("*.csv.gz"))
    return {path.name.split(".")[0]: pd.read_csv(path) for path in paths}


def measurement_table() -> pd.DataFrame:
    """List the files of measurements: how many rows constants were fitted on, and how many judge.

    Returns
    -------
    DataFrame
        ``file rows fit judge source``, the key of the first source; a file without a split judges with every row.

    Examples
    --------
    >>> measurement_table().set_index("file").loc["nccl_multinode", ["rows", "fit", "judge"]].tolist()
    [275, 142, 133]
    """
    rows = []
    for name, table in _measurements().items():
        split = table.split if "split" in table else pd.Series("judge", index=table.index)
        source = str(table.source.iloc[0]) if "source" in table else ""
        counts = {"fit": int((split == "fit").sum()), "judge": int((split == "judge").sum())}
        rows.append({"file": name, "rows": len(table)} | counts | {"source": source})
    return pd.DataFrame(rows)


def version_table() -> pd.DataFrame:
    """List the installed versions of the packages that the book rests on.

    Returns
    -------
    DataFrame
        ``package version``.

    Examples
    --------
    >>> version_table().package.iloc[0]
    'hopperbook'
    """
    return pd.DataFrame({"package": name, "version": metadata.version(name)} for name in PACKAGES)


def reference_list() -> list[Reference]:
    """List the references by title.

    Returns
    -------
    list of Reference
        Key, authors, title, year, address and note of each.

    Examples
    --------
    >>> next(each.year for each in reference_list() if each.key == "williams-2009-roofline")
    '2009'
    """
    found = []
    for key, entry in facts.references().items():
        who = _plain(entry.get("author", entry.get("organization", ""))).replace(" and others", " et al.")
        fields = (entry.get("title", ""), entry.get("year", ""), entry.get("url", ""), entry.get("note", ""))
        found.append(Reference(key, who.replace(" and ", ", ").removesuffix("."), *map(_plain, fields)))
    return sorted(found, key=lambda each: (each.who.lower(), each.title))


def _plain(text: str) -> str:
    """Drop BibTeX's braces and accents' commands."""
    accents = {r"\'": "\u0301", r"\"": "\u0308", r"\`": "\u0300", r"\^": "\u0302", r"\~": "\u0303"}
    for command, mark in accents.items():
        text = re.sub(re.escape(command) + r"\{?(\w)\}?", rf"\1{mark}", text)
    return unicodedata.normalize("NFC", text.replace("{", "").replace("}", "").replace(r"\&", "&").replace("--", "–"))


def interface() -> pd.DataFrame:
    """List the calculators' modules: what each is for, and its functions.

    Returns
    -------
    DataFrame
        ``module subject functions``.

    Examples
    --------
    >>> interface().set_index("module").subject["hopperbook.fp8"]
    'FP8 to the bit'
    """
    return pd.DataFrame(
        {"module": room.__name__, "subject": _subject(room), "functions": ", ".join(_functions(room))} for room in ROOMS
    )


def _subject(room: ModuleType) -> str:
    """Return what a module is for, up to the colon of its first line."""
    return (inspect.getdoc(room) or "").split("\n")[0].split(": ")[0].rstrip(".")


def _functions(room: ModuleType) -> list[str]:
    """Return the public functions of a module or package, those kept in a cache included, in its order."""
    found = {name: inspect.unwrap(value) for name, value in vars(room).items() if callable(value)}
    return [
        name
        for name, value in found.items()
        if inspect.isfunction(value) and value.__module__.startswith(room.__name__) and not name.startswith("_")
    ]


def kib(value_bytes: float) -> str:
    """Write bytes in KiB, without the unit.

    Parameters
    ----------
    value_bytes : float
        Bytes.

    Returns
    -------
    str
        Three digits.

    Examples
    --------
    >>> kib(131072)
    '128'
    """
    return units.number(value_bytes / units.KIB, 3)


def constants_words(customer: Customer) -> str:
    """Say whose constants a report rests on: the book's, or some that the customer's own runs gave.

    Parameters
    ----------
    customer : Customer
        Her ``calibration`` decides.

    Returns
    -------
    str
        A sentence or two.

    Examples
    --------
    >>> from hopperbook.customer import check
    >>> who = {"name": "A", "model": "llama-3.1-8b", "calibration": "vllm.age=1.05; 16 rows of a.csv"}
    >>> print(constants_words(check(who)))
    Constants of vllm (age 1.05) are the customer's own, fitted on 16 rows of a.csv. All others are the book's.
    """
    mine = own.read(customer.calibration)
    if not mine.constants:
        return "All constants are the book's: no runs of the customer's own were given."
    each = [f"{name} ({', '.join(f'{c} {v:g}' for c, v in some.items())})" for name, some in mine.constants.items()]
    whose = f"Constants of {' and '.join(each)} are the customer's own, fitted on {mine.made_from}."
    return f"{whose} All others are the book's."
