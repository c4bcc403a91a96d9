"""The customer of a report, read so that chapters rest on the fields, not on the file that holds them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from hopperbook import customer as customers
from hopperbook import reads
from hopperbook.report import publish


def load(path: Path, overrides: Mapping[str, Any] | None = None) -> customers.Customer:
    """Read and check a customer's file.

    Parameters
    ----------
    path : Path
        The YAML file.
    overrides : mapping, optional
        Fields that replace those of the file.

    Returns
    -------
    Customer
        As :func:`hopperbook.customer.load`; the facts that the check reads are noted, the file is not.
    """
    with reads.unnoted():
        values = customers.read(path)
    who = customers.check({**values, **(overrides or {})})
    found = {field: _beside(path, file) for field, file in look_files(who.model_dump()).items()}
    if found:
        from hopperbook.report import look

        with reads.unnoted():
            for field, file in found.items():
                look.check(field, file)
    customers.show_money(who)
    return who.model_copy(update={field: str(file) for field, file in found.items()})


def _beside(customer_file: Path, named: Path) -> Path:
    """Return where a file lies that a customer's file names: beside it, else where the command runs."""
    beside = customer_file.absolute().parent / named
    return beside if beside.is_file() or not named.is_file() else named.absolute()


def look_files(parameters: Mapping[str, Any]) -> dict[str, Path]:
    """Return the files of a report's look that a customer names: a logo, and a catalogue of words.

    Parameters
    ----------
    parameters : mapping
        The customer's fields.

    Returns
    -------
    dict of Path
        By field.

    Examples
    --------
    >>> list(look_files({"logo": "acme.svg", "language": "en"}))
    ['logo']
    """
    named = {field: str(parameters.get(field) or "") for field in customers.LOOK_FILES}
    return {field: Path(value) for field, value in named.items() if value and value != "en"}


def inside(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return a customer's fields as chapters are given them: files of the look by name, for they never open them.

    Parameters
    ----------
    parameters : mapping
        The customer's fields.

    Returns
    -------
    dict
        The same fields.

    Examples
    --------
    >>> inside({"logo": "/home/me/acme.svg"})
    {'logo': 'acme.svg'}
    """
    return {**parameters, **{field: path.name for field, path in look_files(parameters).items()}}


def own_files(parameters: Mapping[str, Any]) -> dict[str, Path]:
    """Return the files that a customer names in place of a model.

    Parameters
    ----------
    parameters : mapping
        The customer's fields.

    Returns
    -------
    dict of Path
        By field; a folder stands for the ``config.json`` in it.

    Examples
    --------
    >>> own_files({"model": "meta-llama/Llama-3.1-8B", "concurrency": 8})
    {}
    """
    named = {
        name: Path(value) for name, value in parameters.items() if name.endswith("model") and isinstance(value, str)
    }
    files = {name: path / "config.json" if path.is_dir() else path for name, path in named.items() if path.name}
    return {name: path.absolute() for name, path in files.items() if path.is_file()}


def shown(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return a customer's fields as a report shows them: of a file of her own its name, not where it lies.

    Parameters
    ----------
    parameters : mapping
        The customer's fields.

    Returns
    -------
    dict
        The same fields.

    Examples
    --------
    >>> shown({"model": "llama-3.1-8b"})
    {'model': 'llama-3.1-8b'}
    """
    return {**inside(parameters), **{name: path.name for name, path in own_files(parameters).items()}}


def file_name(parameters: Mapping[str, Any]) -> str:
    """Return the name of the customer's file that the report hands out.

    Parameters
    ----------
    parameters : mapping
        The customer's fields.

    Returns
    -------
    str
        Letters, digits and dashes before its ending.

    Examples
    --------
    >>> file_name({"name": "Lingua Shop"})
    'lingua-shop.yaml'
    """
    return f"{customers.slug(str(parameters.get('name', '')))}.yaml"


def place(reports: Path, name: str) -> Path:
    """Return where a customer's report stands or is to stand: by the name, with a code of it where another's stands.

    Parameters
    ----------
    reports : Path
        The folder of reports.
    name : str
        The customer's name.

    Returns
    -------
    Path
        A folder in it that holds nobody else's report.

    Examples
    --------
    >>> place(Path("reports"), "Any & All").as_posix()
    'reports/any-all'
    """
    final = reports / customers.slug(name)
    while is_anothers(final, name):
        final = final.with_name(f"{final.name}-{customers.name_code(name)}")
    return final


def is_anothers(final: Path, name: str) -> bool:
    """Return whether the report in a place, or else the last one kept beside it, is of a customer of another name.

    Parameters
    ----------
    final : Path
        Where a report stands or is to stand.
    name : str
        The customer's name.

    Returns
    -------
    bool
        False where no report says whose it is.
    """
    for site in (final, *reversed(publish.earlier(final))):
        with contextlib.suppress(OSError, ValueError, LookupError, TypeError, RecursionError):
            return bool(json.loads((site / publish.MARK).read_text(encoding="utf-8"))["parameters"]["name"] != name)
    return False


def write(site: Path, parameters: Mapping[str, Any]) -> Path:
    """Write the customer's file that the report hands out, for the command that its pages print.

    Parameters
    ----------
    site : Path
        The report.
    parameters : mapping
        The customer's fields.

    Returns
    -------
    Path
        The file; it leaves out what a file without it would mean too.
    """
    fields = customers.Customer.model_fields
    stated = {
        name: value for name, value in shown(parameters).items() if name in fields and value != fields[name].default
    }
    path = site / file_name(parameters)
    path.write_text(yaml.safe_dump(stated, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return path


def without_paths(text: str, parameters: Mapping[str, Any]) -> str:
    """Return a text of JSON in which the files of a customer's own are named, without where they lie.

    Parameters
    ----------
    text : str
        JSON, such as a notebook.
    parameters : mapping
        The customer's fields.

    Returns
    -------
    str
        JSON.
    """
    for name, path in own_files(parameters).items():
        for written in {str(parameters[name]), repr(str(parameters[name]))[1:-1], str(path)}:
            text = text.replace(json.dumps(written, ensure_ascii=False)[1:-1], path.name)
    return text
