"""Multi-Instance GPU: which slices a card can be cut into, where they sit, and how few cards a set of services needs.

An instance takes a run of memory slices (eight on a card) and some compute slices (seven).  Placement is exact: every
way to fill a card is listed once, and an integer program (SciPy's HiGHS) picks the fewest cards.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hopperbook import facts
from hopperbook.errors import InputError
from hopperbook.units import GIB

MEMORY_SLICES, COMPUTE_SLICES = 8, 7


@dataclass(frozen=True)
class Profile:
    """One kind of instance of one card.

    Parameters
    ----------
    name : str
        As the driver lists it, such as ``2g.20gb``.
    slices, memory_slices : int
        Compute slices of seven, memory slices of eight.
    memory_bytes : float
        Memory of the instance.
    sms : int
        Streaming multiprocessors.
    starts : tuple of int
        Memory slices at which it may begin.
    """

    name: str
    slices: int
    memory_slices: int
    memory_bytes: float
    sms: int
    starts: tuple[int, ...]


@dataclass(frozen=True)
class Placement:
    """An instance on a card: which card, which profile, where it begins, and what runs in it."""

    card: int
    profile: Profile
    start: int
    service: str


def profiles(gpu: str) -> dict[str, Profile]:
    """Return the MIG profiles of a GPU, smallest first; those with media engines (+me) left out.

    Parameters
    ----------
    gpu : str
        Name of the GPU.

    Returns
    -------
    dict of str to Profile
        By name.

    Raises
    ------
    InputError
        If the GPU is unknown or has no profiles in ``data/mig.yaml``.

    Notes
    -----
    Source: ``nvidia-mig-user-guide``.

    Examples
    --------
    >>> profiles("H100 SXM")["2g.20gb"].memory_slices
    2
    """
    return dict(_profiles(facts.gpu(gpu).name))


@functools.cache
def _profiles(gpu: str) -> tuple[tuple[str, Profile], ...]:
    table = next((row for row in facts.records("mig") if gpu in row["gpus"]), None)
    if table is None:
        cut = [name for row in facts.records("mig") for name in row["gpus"]]
        raise InputError("gpu", gpu, "a GPU whose MIG profiles are in data/mig.yaml", cut)
    rows = [
        Profile(name, row["slices"], row["memory_slices"], row["memory_gib"] * GIB, row["sms"], tuple(row["starts"]))
        for name, row in table["profiles"].items()
        if not name.endswith("+me")
    ]
    return tuple((p.name, p) for p in sorted(rows, key=lambda p: (p.memory_slices, p.slices)))


@functools.cache
def layouts(gpu: str) -> tuple[tuple[tuple[str, int], ...], ...]:
    """List every way to fill a card so that nothing more can be added, each as (profile, start) pairs.

    Parameters
    ----------
    gpu : str
        Name of the GPU.

    Returns
    -------
    tuple of tuples
        Maximal layouts, in order of their first slice.

    Examples
    --------
    >>> len(layouts("A100 SXM 40GB")), (("7g.40gb", 0),) in layouts("A100 SXM 40GB")
    (78, True)
    """
    every = list(profiles(gpu).values())
    found: list[tuple[tuple[str, int], ...]] = []

    def fits(profile: Profile, start: int, used: int, compute: int) -> bool:
        mask = ((1 << profile.memory_slices) - 1) << start
        return not used & mask and compute + profile.slices <= COMPUTE_SLICES

    def grow(placed: tuple[tuple[str, int], ...], used: int, compute: int, least: int) -> None:
        more = [(p, s) for p in every for s in p.starts if fits(p, s, used, compute)]
        if not more:
            found.append(placed)
        for profile, start in more:
            if start >= least:
                mask = ((1 << profile.memory_slices) - 1) << start
                grow((*placed, (profile.name, start)), used | mask, compute + profile.slices, start + 1)

    grow((), 0, 0, 0)
    return tuple(sorted(set(found)))


def pack(services: Mapping[str, str], gpu: str) -> list[Placement]:
    r"""Place services, each in an instance of its profile or a larger one, on the fewest cards.

    .. math:: \min \sum_\ell x_\ell \quad\text{s.t.}\quad \sum_{p' \succeq p} \text{taken}_{p p'} = \text{services}_p,
              \quad \sum_p \text{taken}_{p p'} \le \sum_\ell n_{\ell p'} x_\ell

    Parameters
    ----------
    services : mapping of str to str
        Profile wanted by each service.
    gpu : str
        Name of the GPU.

    Returns
    -------
    list of Placement
        One a service, by card and start.

    Raises
    ------
    InputError
        If a profile does not exist on this GPU.

    Examples
    --------
    >>> placed = pack({"chat": "3g.40gb", "rerank": "2g.20gb", "ocr": "1g.10gb", "speech": "3g.40gb"}, "H100 SXM")
    >>> 1 + max(p.card for p in placed)
    2
    """
    known = profiles(gpu)
    for service, wanted in services.items():
        if wanted not in known:
            raise InputError(f"profile of {service}", wanted, f"a MIG profile of {gpu}", list(known))
    if not services:
        return []
    counts = tuple(list(services.values()).count(name) for name in known)
    return _place(services, gpu, _fewest_cards(gpu, counts))


def _holds(larger: Profile, smaller: Profile) -> bool:
    return larger.slices >= smaller.slices and larger.memory_bytes >= smaller.memory_bytes


@functools.lru_cache(maxsize=1024)
def _fewest_cards(gpu: str, counts: tuple[int, ...]) -> tuple[tuple[str, ...], ...]:
    """Solve the integer program for so many services of each profile; return the profiles that each card is cut in."""
    known = profiles(gpu)
    names = list(known)
    cuts = list(dict.fromkeys(tuple(sorted(name for name, _ in layout)) for layout in layouts(gpu)))
    supply = np.array([[cut.count(name) for name in names] for cut in cuts], dtype=float)  # (ways, profiles)
    pairs = [(a, b) for a, p in enumerate(names) for b, q in enumerate(names) if _holds(known[q], known[p])]
    ways, kinds = supply.shape
    cost = np.concatenate([np.ones(ways), 1e-4 * np.array([b - a for a, b in pairs])])
    demand = np.zeros((kinds, ways + len(pairs)))
    room = np.zeros((kinds, ways + len(pairs)))
    room[:, :ways] = -supply.T
    for column, (a, b) in enumerate(pairs, start=ways):
        demand[a, column] = 1
        room[b, column] = 1
    from scipy.optimize import Bounds, LinearConstraint, milp

    answer = milp(
        cost,
        constraints=[LinearConstraint(demand, counts, counts), LinearConstraint(room, -np.inf, 0)],
        integrality=np.ones_like(cost),
        bounds=Bounds(0, sum(counts)),
    )
    if answer.x is None:
        raise InputError("services", sum(counts), "a set that the solver can place")
    return tuple(cut for cut, n in zip(cuts, answer.x[:ways], strict=True) for _ in range(round(n)))


def _place(services: Mapping[str, str], gpu: str, cards: Sequence[tuple[str, ...]]) -> list[Placement]:
    """Seat the services, the largest first, in the smallest free instance that holds each."""
    known = profiles(gpu)
    by_way = {tuple(sorted(name for name, _ in layout)): layout for layout in reversed(layouts(gpu))}
    free = [(card, known[name], start) for card, way in enumerate(cards) for name, start in by_way[way]]
    placed = []
    for service, wanted in sorted(services.items(), key=lambda item: (-known[item[1]].memory_bytes, item[0])):
        holds = [seat for seat in free if _holds(seat[1], known[wanted])]
        seat = min(holds, key=lambda s: (s[1].memory_bytes, s[1].slices, s[0], s[2]))
        free.remove(seat)
        placed.append(Placement(*seat, service=service))
    return sorted(placed, key=lambda p: (p.card, p.start))


def smallest(gpu: str, memory_bytes: float, flop_share: float = 0.0) -> Profile | None:
    """Return the smallest profile that holds a service, or None.

    Parameters
    ----------
    gpu : str
        Name of the GPU.
    memory_bytes : float
        Memory the service needs, runtime included.
    flop_share : float
        Share of the card's multiprocessors it needs.

    Returns
    -------
    Profile or None
        The first that has both.

    Examples
    --------
    >>> smallest("H100 SXM", 17e9).name, smallest("H100 SXM", 200e9)
    ('1g.20gb', None)
    """
    sms = facts.gpu(gpu).sms
    holds = (p for p in profiles(gpu).values() if p.memory_bytes >= memory_bytes and p.sms / sms >= flop_share)
    return next(holds, None)


def instance(gpu: str, profile: str) -> facts.GPU:
    """Return an instance as a small GPU: its share of multiprocessors, memory and bandwidth.

    Parameters
    ----------
    gpu : str
        Name of the GPU.
    profile : str
        Name of the profile.

    Returns
    -------
    GPU
        The card scaled to the instance; no NVLink, for MIG has none between instances.

    Raises
    ------
    InputError
        If the profile does not exist on this GPU.

    Examples
    --------
    >>> slice_ = instance("H100 SXM", "1g.10gb")
    >>> slice_.memory_bandwidth_bytes_per_s / 1e9, round(slice_.dense_flop_per_s["bf16"] / 1e12)
    (418.75, 120)
    """
    whole = facts.gpu(gpu)
    known = profiles(whole.name)
    if profile not in known:
        raise InputError("profile", profile, f"a MIG profile of {whole.name}", list(known))
    p = known[profile]
    compute, memory = p.sms / whole.sms, p.memory_slices / MEMORY_SLICES
    return replace(
        whole,
        name=f"{whole.name} {p.name}",
        sms=p.sms,
        memory_bytes=p.memory_bytes,
        memory_bandwidth_bytes_per_s=whole.memory_bandwidth_bytes_per_s * memory,
        l2_bytes=whole.l2_bytes * memory,
        dense_flop_per_s={k: v * compute for k, v in whole.dense_flop_per_s.items()},
        sparse_flop_per_s={k: v * compute for k, v in whole.sparse_flop_per_s.items()},
        nvlink_bytes_per_s_per_direction=0.0,
        nvlink_gpus=1,
        aliases=(),
    )
