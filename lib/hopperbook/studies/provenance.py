"""How the book was made: what it holds, where each table comes from, which code computes it, and its words."""

from __future__ import annotations

import inspect
from functools import cache
from importlib import metadata
from types import ModuleType
from typing import NamedTuple

import pandas as pd

from hopperbook import cost, facts, fp8, hpc, kernels, memory, mig, models, serving, training, units
from hopperbook.customer import Customer
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
#: The field's words, each with what it means.
GLOSSARY = {
    "busbw": "bus bandwidth: an all-reduce's speed as nccl-tests counts it, comparable with a link's",
    "context parallel, CP": "one sequence's tokens split over GPUs",
    "data parallel, DP": "copies of the model, each with its share of the batch",
    "decode": "making one token for each sequence; reads all weights",
    "dense / sparse": "a peak without, and with, two of four weights skipped",
    "E4M3, E5M2": "the two FP8 formats: more precision, or more range",
    "goodput": "the share of a run that is progress, failures taken off",
    "GQA": "grouped-query attention: several heads share keys and values",
    "KV cache": "keys and values of the tokens so far",
    "MFU": "model FLOPs utilisation: useful FLOP over the dense peak",
    "MIG": "a card cut into instances in hardware",
    "MLA": "latent attention: a compressed cache",
    "pipeline parallel, PP": "layers split over GPUs in stages",
    "prefill": "reading a prompt; computes",
    "SXM, PCIe, NVL": "forms of a GPU: on a board with NVSwitch, a card, cards joined by bridges",
    "tensor parallel, TP": "each layer's matrices split over GPUs",
    "TPOT": "time per output token after the first",
    "TTFT": "time to first token",
    "ZeRO, FSDP": "states of training split over data-parallel GPUs",
}
SOURCE_LETTERS, AUTHOR_LETTERS = 70, 48  # shown of a title and of authors in tables


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
    (1000, 4000, 50)
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


def reference_table() -> pd.DataFrame:
    """List the references by key.

    Returns
    -------
    DataFrame
        ``key title who year``; authors cut after 48 letters.

    Examples
    --------
    >>> reference_table().set_index("key").year["williams-2009-roofline"]
    '2009'
    """
    return pd.DataFrame(
        {
            "key": key,
            "title": _plain(entry.get("title", "")),
            "who": _plain(entry.get("author", entry.get("organization", "")))[:AUTHOR_LETTERS],
            "year": entry.get("year", ""),
        }
        for key, entry in sorted(facts.references().items())
    )


def _plain(text: str) -> str:
    """Drop BibTeX's braces."""
    return text.replace("{", "").replace("}", "")


def glossary() -> pd.DataFrame:
    """List the field's words.

    Returns
    -------
    DataFrame
        ``word meaning``.

    Examples
    --------
    >>> glossary().set_index("word").meaning["TTFT"]
    'time to first token'
    """
    return pd.DataFrame(GLOSSARY.items(), columns=["word", "meaning"])


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
