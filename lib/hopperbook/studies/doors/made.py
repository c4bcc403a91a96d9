"""How a panel is made: the words of ``data/doors.yaml``, filled with numbers, sources and known errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from hopperbook import facts, story, units
from hopperbook.customer import Customer
from hopperbook.display import Door, Input
from hopperbook.evidence.aims import aims, reached_by

#: How a value of an input may be known; see `hopperbook.display.Input`.
YOURS, VENDOR, MEASURED, ASSUMED = "yours", "vendor", "measured", "assumed"
CUSTOMER_FILE = "customer file"


@cache
def panels() -> Mapping[str, Mapping[str, Any]]:
    """Return ``data/doors.yaml``: formula, calculator, known error and a field to try, by the number.

    Returns
    -------
    mapping
        One entry a number.

    Examples
    --------
    >>> panels()["cache"]["calculator"]
    'serving.budget'
    """
    return facts.read_yaml("doors.yaml")


@cache
def error_words(name: str) -> str:
    """Say how far predictions of one kind lay from published measurements that nothing was fitted to.

    Parameters
    ----------
    name : str
        Name of an aim of ``data/aims.yaml``.

    Returns
    -------
    str
        A sentence.

    Examples
    --------
    >>> error_words("Serving, time per token").replace(units.THIN, " ")
    'Half of 355 published runs lie within 3.8 % of the prediction; nothing was fitted to them.'
    """
    aim = next(aim for aim in aims() if aim["name"] == name)
    count, median = reached_by(aim)
    within = f"{units.percent(median)} of the prediction"
    if aim["kind"] == "kernel":
        return f"Half of {units.integer(count)} measured shapes, left out of the tables, lie within {within}."
    return f"Half of {units.integer(count)} published runs lie within {within}; nothing was fitted to them."


def make(name: str, customer: Customer, values: Mapping[str, str], inputs: Sequence[Input]) -> Door:
    """Fill the panel of a number.

    Parameters
    ----------
    name : str
        Its entry in ``data/doors.yaml``.
    customer : Customer
        Whose file the command names.
    values : mapping of str
        Numbers in words, by the names in the entry's braces.
    inputs : sequence of Input
        What goes in.

    Returns
    -------
    Door
        The panel.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> make("held", default(), {"facts": "985", "measurements": "4,096"}, []).error
    'A count. A row without a source fails when it is read.'
    """
    entry = panels()[name]
    family = entry.get("family", "")
    error = f"{family}: {error_words(family)}" if family else entry["error"].format(**values)
    return Door(
        entry["formula"].format(**values),
        inputs,
        entry["calculator"],
        error,
        customer.file_name,
        entry["try"],
    )


def sourced(name: str, value: str, kind: str, key: str, date: str = "") -> Input:
    """Return an input with its source: the title that pages link, and the address outside.

    Parameters
    ----------
    name, value : str
        What it is, and its value in words.
    kind : str
        How it is known.
    key : str
        Of ``data/references.bib``, or several joined by commas.
    date : str
        When it was true.

    Returns
    -------
    Input
        The input.

    Examples
    --------
    >>> sourced("A peak", "1", "vendor", "williams-2009-roofline").source
    'Roofline: An Insightful Visual Performance Model for …, 2009'
    """
    entry = facts.references().get(key.split(",")[0].split(":")[0].strip(), {})
    return Input(name, value, kind, story.cite(key), date, entry.get("url", ""))


def yours(name: str, value: str) -> Input:
    """Return an input that the customer stated."""
    return Input(name, value, YOURS, CUSTOMER_FILE)


def kernels_of(tables: str) -> Input:
    """Return the measured kernels as an input."""
    return sourced("Times of kernels", f"{tables} tables", MEASURED, "aiconfigurator-2025")
