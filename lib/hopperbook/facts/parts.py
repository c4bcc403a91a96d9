"""GPUs, systems, fabrics and MIG profiles as frozen, sourced records: what parts can do at most, as printed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from functools import cache
from types import MappingProxyType
from typing import Any, TypeVar

from hopperbook.errors import InputError
from hopperbook.facts.tables import records
from hopperbook.units import GB, GIB, MIB, TB

SPARSE_FORMATS = ("tf32", "bf16", "fp16", "fp8", "int8")
TFLOP, MHZ, MICROSECOND, GBIT = 1e12, 1e6, 1e-6, 1e9 / 8


@dataclass(frozen=True)
class Style:
    """How a GPU is drawn: one colour, one dash and one shape in every chart and both themes.

    ``color`` is that of the mark, never of a word; the dash ``(1, 0)`` is solid.
    """

    color: str
    dash: tuple[int, ...]
    shape: str


@dataclass(frozen=True)
class GPU:
    """One GPU as sold; peaks are per GPU, link bandwidths per direction, units are in the names.

    ``memory_gb`` is what the data sheet says (1e9 bytes), ``memory_bytes`` what the driver shows: two facts with two
    sources.  A format absent from ``dense_flop_per_s`` does not exist on the part.  What the book does with a part is
    said in its block too: whether it is ``planned`` and ``drawn``, what it is a ``step_up_from``, its ``server``,
    whose measured kernels time it (``kernels_of``), whose long runs (``long_runs_of``), and of which work its own rows
    are on file (``measured``).  ``stand_in`` says, of ``serving`` and ``training``, whether the part that times it has
    the ``same`` compute capability or ``another``; it is empty where the part itself was measured.
    """

    name: str
    architecture: str
    form: str
    compute_capability: str
    sms: int
    boost_clock_hz: float
    tensor_clock_hz: float | None
    memory_gb: float
    memory_type: str
    memory_bytes: float
    memory_source: str
    memory_bandwidth_bytes_per_s: float
    l2_bytes: float
    dense_flop_per_s: Mapping[str, float]
    sparse_flop_per_s: Mapping[str, float]
    nvlink_generation: int
    nvlink_bytes_per_s_per_direction: float
    nvlink_gpus: int
    pcie_generation: int
    pcie_bytes_per_s_per_direction: float
    tdp_w: float
    transformer_engine: bool
    dpx: bool
    mig_instances: int
    short: str
    planned: bool
    drawn: bool
    step_up_from: tuple[str, ...]
    server: str | None
    price_field: str | None
    kernels_of: str
    long_runs_of: str
    measured: tuple[str, ...]
    stand_in: Mapping[str, str]
    style: Style
    aliases: tuple[str, ...]
    source: str
    note: str

    @property
    def cuda(self) -> bool:
        """Whether it runs the kernels that time it: a part by NVIDIA, whose compute capability is a number."""
        return self.compute_capability[0].isdigit()


@dataclass(frozen=True)
class System:
    """One server: its GPUs, switches, network ports and rated power; ``None`` where the maker publishes nothing."""

    name: str
    kind: str
    gpu: str
    gpus: int
    nvswitches: int
    nvswitch_generation: int | None
    nics: int
    nic: str
    nic_bytes_per_s_per_direction: float
    cpus: int
    memory_bytes: float | None
    nvme_bytes: float | None
    rated_power_w: float | None
    rack_units: int | None
    aliases: tuple[str, ...]
    source: str
    note: str


@dataclass(frozen=True)
class Fabric:
    """One kind of link; ``kind`` is ``intra`` (in a server) or ``inter`` (between servers), rates are per direction."""

    name: str
    label: str
    kind: str
    bytes_per_s_per_direction: float
    ports: int
    latency_s: float
    efficiency: float | None
    efficiency_source: str | None
    aliases: tuple[str, ...]
    source: str
    note: str


@dataclass(frozen=True)
class MigProfile:
    """One MIG profile of one card; ``starts`` are the memory slices (of 8) at which an instance may begin."""

    name: str
    card: str
    slices: int
    memory_slices: int
    memory_bytes: float
    sms: int
    count: int
    starts: tuple[int, ...]
    copy_engines: int
    decoders: int
    jpeg: int
    ofa: int
    source: str


Record = TypeVar("Record", bound="GPU | System | Fabric")


def _build(cls: type[Record], row: Mapping[str, Any], derived: Mapping[str, Any]) -> Record:
    values = {**row, **derived, "aliases": tuple(row.get("aliases") or ())}
    return cls(**{f.name: values[f.name] for f in fields(cls)})


def _stand_in(row: Mapping[str, Any]) -> Mapping[str, str]:
    """Say of each work how near the part is whose kernels time it: nothing where the part's own rows are on file."""
    capability = {other["name"]: other["compute_capability"] for other in records("gpus")}
    found = {}
    for work, stand_in in (("serving", row["kernels_of"]), ("training", row["long_runs_of"])):
        near = "same" if capability[stand_in] == row["compute_capability"] else "another"
        found[work] = "" if work in row["measured"] else near
    return MappingProxyType(found)


def _gpu(row: Mapping[str, Any]) -> GPU:
    dense = {name: peak * TFLOP for name, peak in row["dense_tflop_per_s"].items()}
    tensor_clock = row["tensor_clock_mhz"]
    return _build(
        GPU,
        row,
        {
            "boost_clock_hz": row["boost_clock_mhz"] * MHZ,
            "tensor_clock_hz": None if tensor_clock is None else tensor_clock * MHZ,
            "memory_bytes": row["memory_mib"] * MIB,
            "memory_bandwidth_bytes_per_s": row["memory_bandwidth_gb_per_s"] * GB,
            "l2_bytes": row["l2_mib"] * MIB,
            "dense_flop_per_s": MappingProxyType(dense),
            "sparse_flop_per_s": MappingProxyType({name: 2 * dense[name] for name in SPARSE_FORMATS if name in dense}),
            "nvlink_bytes_per_s_per_direction": row["nvlink_gb_per_s_per_direction"] * GB,
            "pcie_bytes_per_s_per_direction": row["pcie_gb_per_s_per_direction"] * GB,
            "step_up_from": tuple(row["step_up_from"]),
            "measured": tuple(row["measured"]),
            "stand_in": _stand_in(row),
            "style": Style(row["style"]["color"], tuple(row["style"]["dash"]), row["style"]["shape"]),
        },
    )


def _system(row: Mapping[str, Any]) -> System:
    memory, nvme = row["memory_gb"], row["nvme_tb"]
    return _build(
        System,
        row,
        {
            "nic_bytes_per_s_per_direction": row["nic_gbit_per_s"] * GBIT,
            "memory_bytes": None if memory is None else memory * GB,
            "nvme_bytes": None if nvme is None else nvme * TB,
        },
    )


def _fabric(row: Mapping[str, Any]) -> Fabric:
    return _build(
        Fabric,
        row,
        {
            "bytes_per_s_per_direction": row["gb_per_s_per_direction"] * GB,
            "latency_s": row["latency_us"] * MICROSECOND,
        },
    )


@cache
def gpus() -> Mapping[str, GPU]:
    """Return every GPU of ``data/gpus.yaml`` by name, in order of name.

    Returns
    -------
    Mapping of str to GPU
        Read-only.

    Examples
    --------
    >>> list(gpus())[:3]
    ['A10', 'A100 PCIe 40GB', 'A100 PCIe 80GB']
    """
    return MappingProxyType({row["name"]: _gpu(row) for row in sorted(records("gpus"), key=lambda row: row["name"])})


@cache
def planned() -> tuple[str, ...]:
    """Return the parts that a plan chooses from, in the order of ``data/gpus.yaml``.

    Returns
    -------
    tuple of str
        Names.

    Examples
    --------
    >>> len(planned()), planned()[0]
    (7, 'A100 SXM 80GB')
    """
    return tuple(row["name"] for row in records("gpus") if row["planned"])


@cache
def drawn() -> tuple[str, ...]:
    """Return the parts that maps and charts compare side by side, in the order of ``data/gpus.yaml``.

    Returns
    -------
    tuple of str
        Names.

    Examples
    --------
    >>> drawn()
    ('A100 SXM 80GB', 'H100 SXM', 'H200 SXM')
    """
    return tuple(row["name"] for row in records("gpus") if row["drawn"])


@cache
def step_ups(name: str) -> tuple[str, ...]:
    """Return the newer parts that an owner of a part is offered, in the order of ``data/gpus.yaml``.

    Parameters
    ----------
    name : str
        A GPU's name or alias.

    Returns
    -------
    tuple of str
        Names; empty where nothing is a step up from it.

    Examples
    --------
    >>> step_ups("A100"), step_ups("H100")
    (('H100 SXM', 'H200 SXM'), ('H200 SXM',))
    """
    return tuple(row["name"] for row in records("gpus") if gpu(name).name in row["step_up_from"])


@cache
def systems() -> Mapping[str, System]:
    """Return every server of ``data/systems.yaml`` by name, in the file's order.

    Returns
    -------
    Mapping of str to System
        Read-only.

    Examples
    --------
    >>> systems()["DGX H100"].rated_power_w
    10200
    """
    return MappingProxyType({row["name"]: _system(row) for row in records("systems")})


@cache
def fabrics() -> Mapping[str, Fabric]:
    """Return every kind of link of ``data/fabrics.yaml`` by its key, in the file's order.

    Returns
    -------
    Mapping of str to Fabric
        Read-only.

    Examples
    --------
    >>> fabrics()["ndr"].bytes_per_s_per_direction
    50000000000.0
    """
    return MappingProxyType({row["name"]: _fabric(row) for row in records("fabrics")})


def _key(name: str) -> str:
    return re.sub(r"[^a-z0-9.]", "", name.lower().replace("nvidia", ""))


def _index(rows: Iterable[Record], extra: str = "") -> dict[str, Record]:
    index: dict[str, Record] = {}
    for record in rows:
        for alias in (record.name, *record.aliases, *([getattr(record, extra)] if extra else [])):
            if index.setdefault(_key(alias), record).name != record.name:
                raise InputError("alias", alias, "a name that means one thing only")
    return index


@cache
def _gpu_index() -> dict[str, GPU]:
    return _index(gpus().values())


@cache
def _system_index() -> dict[str, System]:
    return _index(systems().values())


@cache
def _fabric_index() -> dict[str, Fabric]:
    return _index(fabrics().values(), "label")


def gpu(name: str) -> GPU:
    """Return a GPU by its name or an alias, ignoring case, spaces, hyphens and the word NVIDIA.

    Parameters
    ----------
    name : str
        Such as ``H100 SXM``, ``h100_80gb`` or ``NVIDIA H200``.

    Returns
    -------
    GPU
        The part.

    Raises
    ------
    InputError
        For an unknown name, with the nearest names.

    Examples
    --------
    >>> gpu("h100_80gb").name, gpu("NVIDIA H200").name, gpu("A100 SXM").name
    ('H100 SXM', 'H200 SXM', 'A100 SXM 80GB')
    >>> round(gpu("H100 SXM").dense_flop_per_s["bf16"] / gpu("A100 SXM").dense_flop_per_s["bf16"], 2)  # 989.4 / 312
    3.17
    """
    found = _gpu_index().get(_key(str(name)))
    if found is None:
        raise InputError("gpu", name, "a GPU of data/gpus.yaml", list(gpus()))
    return found


def system(name: str) -> System:
    """Return a server by its name or an alias.

    Parameters
    ----------
    name : str
        Such as ``DGX H100``.

    Returns
    -------
    System
        The server.

    Raises
    ------
    InputError
        For an unknown name, with the nearest names.

    Examples
    --------
    >>> system("dgx a100").gpu
    'A100 SXM 80GB'
    """
    found = _system_index().get(_key(str(name)))
    if found is None:
        raise InputError("system", name, "a server of data/systems.yaml", list(systems()))
    return found


def fabric(name: str) -> Fabric:
    """Return a kind of link by its key, label or alias.

    Parameters
    ----------
    name : str
        Such as ``ndr``, ``InfiniBand NDR`` or ``10GbE``.

    Returns
    -------
    Fabric
        The link.

    Raises
    ------
    InputError
        For an unknown name, with the nearest names.

    Examples
    --------
    >>> fabric("10 GbE").bytes_per_s_per_direction, fabric("InfiniBand").name
    (1250000000.0, 'ndr')
    """
    found = _fabric_index().get(_key(str(name)))
    if found is None:
        choices = [*fabrics(), *(row.label for row in fabrics().values())]
        raise InputError("fabric", name, "a link of data/fabrics.yaml", choices)
    return found


@cache
def mig_profiles(name: str) -> tuple[MigProfile, ...]:
    """Return the MIG profiles of a GPU, smallest first.

    Parameters
    ----------
    name : str
        A GPU's name or alias.

    Returns
    -------
    tuple of MigProfile
        With placements as memory slices of 8.

    Raises
    ------
    InputError
        For an unknown GPU, or one whose profiles the tables do not hold.

    Examples
    --------
    >>> [(p.name, p.count) for p in mig_profiles("H200 SXM") if "+me" not in p.name]
    [('1g.18gb', 7), ('1g.35gb', 4), ('2g.35gb', 3), ('3g.71gb', 2), ('4g.71gb', 1), ('7g.141gb', 1)]
    """
    part = gpu(name).name
    for row in records("mig"):
        if part in row["gpus"]:
            return tuple(_profile(profile, values, row) for profile, values in row["profiles"].items())
    known = [part for row in records("mig") for part in row["gpus"]]
    raise InputError("gpu", name, f"a GPU whose MIG profiles are in data/mig.yaml ({', '.join(known)})", known)


def _profile(name: str, values: Mapping[str, Any], row: Mapping[str, Any]) -> MigProfile:
    rest = {key: value for key, value in values.items() if key not in ("memory_gib", "starts")}
    memory = values["memory_gib"] * GIB
    starts = tuple(values["starts"])
    return MigProfile(name=name, card=row["name"], memory_bytes=memory, starts=starts, source=row["source"], **rest)
