"""Facts as plain lists of dictionaries, for ``hopperbook facts TABLE --json``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from hopperbook.facts.parts import fabrics, gpus, mig_profiles, systems
from hopperbook.facts.prices import finite, node_power, price_summary
from hopperbook.facts.tables import table

FORMATS = ("fp64", "fp64_tensor", "fp32", "tf32", "bf16", "fp16", "fp8", "int8", "fp4")


def _plain(value: object) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    if is_dataclass(value):
        return _record(value)
    return finite(value.item() if hasattr(value, "item") else value)


def _record(record: Any) -> dict[str, Any]:
    return {field.name: _plain(getattr(record, field.name)) for field in fields(record)}


def _gpu_rows() -> list[dict[str, Any]]:
    rows = []
    for part in gpus().values():
        row = _record(part)
        for peaks in ("dense_flop_per_s", "sparse_flop_per_s"):
            row[peaks] = {name: row[peaks].get(name) for name in FORMATS}
        rows.append(row)
    return rows


def _system_rows() -> list[dict[str, Any]]:
    rows = []
    for server in systems().values():
        power = node_power(server.name)
        drawn = {"low": power.low, "typical": power.typical, "high": power.high, "source": power.source}
        rows.append({**_record(server), "training_power_w": drawn})
    return rows


def _mig_rows() -> list[dict[str, Any]]:
    cards = {row["name"]: list(row["gpus"]) for row in table("mig").to_dict("records")}
    return [{"gpus": gpus_, **_record(profile)} for gpus_ in cards.values() for profile in mig_profiles(gpus_[0])]


def as_json(name: str) -> list[dict[str, Any]]:
    """Return a table of facts as a list of dictionaries that JSON can hold.

    Parameters
    ----------
    name : str
        ``gpus``, ``systems``, ``fabrics``, ``mig`` (in base units), ``prices`` (computed ranges), or any other table of
        ``data/`` as it stands in its file.

    Returns
    -------
    list of dict
        Each with its source; null where a fact does not exist.

    Raises
    ------
    InputError
        For an unknown table.

    Examples
    --------
    >>> peaks = as_json("gpus")[1]["dense_flop_per_s"]  # of an A100: 312 TFLOP/s by its data sheet, and no FP8
    >>> round(peaks["bf16"] / 1e12), peaks["fp8"]
    (312, None)
    """
    builders = {
        "gpus": _gpu_rows,
        "systems": _system_rows,
        "fabrics": lambda: [_record(link) for link in fabrics().values()],
        "mig": _mig_rows,
        "prices": lambda: _plain(price_summary().to_dict("records")),
    }
    if name in builders:
        return builders[name]()
    return _plain(table(name).to_dict("records"))
