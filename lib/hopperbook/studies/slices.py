"""What the chapter on shared cards computes: how services sit in slices, what a slice serves, and alternatives."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from hopperbook import facts, mig, serving
from hopperbook.customer import Customer
from hopperbook.errors import InputError
from hopperbook.models import cache_bytes, load, weight_bytes
from hopperbook.planner import Plan
from hopperbook.planner.small import SERVICE_USERS, pack_small, service_tokens, small_service_bytes
from hopperbook.units import GIB

#: What stands in for a customer without small services.
STANDIN_SERVICES = 7
#: Load of a small service: longest prompt counted, and tokens of an answer.
PROMPT_TOKENS, OUTPUT_TOKENS = 1024, 256
#: Tokens a user for which the users of a slice are counted.
HELD_TOKENS = 2048
TABLE_USERS = 4


class Cut(NamedTuple):
    """How the small services sit on cards.

    Parameters
    ----------
    gpu : str
        Name of the card.
    profile : Profile
        The slice that each service takes.
    placements : tuple of Placement
        Where each service sits.
    service_bytes : float
        Memory that a service needs.
    """

    gpu: str
    profile: mig.Profile
    placements: tuple[mig.Placement, ...]
    service_bytes: float

    @property
    def services(self) -> int:
        """Services placed."""
        return len(self.placements)

    @property
    def cards(self) -> int:
        """Cards that hold them."""
        return 1 + max(p.card for p in self.placements)

    @property
    def room(self) -> int:
        """Services that the cards hold when each is as full as the first."""
        return self.cards * sum(p.card == 0 for p in self.placements)

    @property
    def free_memory_slices(self) -> int:
        """Memory slices that stay free."""
        return mig.MEMORY_SLICES * self.cards - sum(p.profile.memory_slices for p in self.placements)


def cards() -> tuple[str, ...]:
    """Return the parts that the book draws and that MIG cuts, by the profiles on file.

    Returns
    -------
    tuple of str
        Names.

    Examples
    --------
    >>> cards()
    ('A100 SXM 80GB', 'H100 SXM', 'H200 SXM')
    """
    known = {gpu for row in facts.records("mig") for gpu in row["gpus"]}
    return tuple(gpu for gpu in facts.drawn() if gpu in known)


def cut(customer: Customer, plan: Plan) -> Cut:
    """Place the small services on the cards that the plan chose for them, or on the first newer part that holds them.

    Parameters
    ----------
    customer : Customer
        How many services, and their model; without any, seven stand in.
    plan : Plan
        Its plan.

    Returns
    -------
    Cut
        One placement a service.

    Raises
    ------
    InputError
        If no slice of a part that the book draws holds a service.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> from hopperbook.planner import plan
    >>> found = cut(default(), plan(default()))
    >>> found.services, found.cards
    (4, 2)
    """
    newer = [name for name in cards() if facts.gpu(name).transformer_engine]
    for gpu in dict.fromkeys([plan.small.gpu] if plan.small else newer):
        found = cut_on(customer, gpu)
        if found is not None:
            return found
    raise InputError("small_model", customer.small_model, "a model that one slice of a card holds")


def cut_on(customer: Customer, gpu: str) -> Cut | None:
    """Place the small services on a part.

    Parameters
    ----------
    customer : Customer
        How many services, and their model; without any, seven stand in.
    gpu : str
        Name of the part.

    Returns
    -------
    Cut or None
        None where no slice of it holds a service.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> cut_on(default(), "H200 SXM").profile.name
    '1g.35gb'
    """
    asked = customer.model_copy(update={"small_services": customer.small_services or STANDIN_SERVICES})
    placed = pack_small(asked, gpu)
    if placed is None:
        return None
    profile, placements = placed
    return Cut(gpu, mig.profiles(gpu)[profile], tuple(placements), small_service_bytes(asked, gpu))


def deployment(customer: Customer, part: str | facts.GPU) -> serving.Deployment:
    """Deploy a small service in 16 bits on a card or a slice of one.

    Parameters
    ----------
    customer : Customer
        Its small model.
    part : str or GPU
        The card, or the slice as a small GPU.

    Returns
    -------
    Deployment
        One engine.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> deployment(default(), mig.instance("H100 SXM", "1g.20gb")).gpu.sms
    26
    """
    return serving.deploy(load(customer.small_model), part, precision="bf16", kv_precision="bf16")


def slice_users(d: serving.Deployment) -> int:
    """Count the users that a slice holds at once, eight at most.

    Parameters
    ----------
    d : Deployment
        The service in its slice.

    Returns
    -------
    int
        Users of 2,048 tokens; one at least.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> slice_users(deployment(default(), "H100 SXM"))
    8
    """
    return max(1, min(SERVICE_USERS, int(serving.kv_capacity_tokens(d, HELD_TOKENS) // HELD_TOKENS)))


def token_s(customer: Customer, d: serving.Deployment, users: int) -> float:
    """Time a token of a small service that so many requests are in flight of.

    Parameters
    ----------
    customer : Customer
        Length of its prompts, of which 1,024 tokens are counted at most.
    d : Deployment
        The service.
    users : int
        Requests in flight.

    Returns
    -------
    float
        Seconds, the mean under random arrivals.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> service = deployment(default(), "H100 SXM")
    >>> [round(1e3 * token_s(default(), service, users), 1) for users in (1, 8)]  # milliseconds
    [6.6, 7.6]
    """
    return served(customer, d, users).tpot.mean


def served(customer: Customer, d: serving.Deployment, users: int) -> serving.Answer:
    """Return how a small service answers so many requests in flight: prompts and answers of its own, short lengths."""
    lengths = serving.Lengths(min(customer.prompt_tokens, PROMPT_TOKENS), OUTPUT_TOKENS)
    return serving.answer(d, serving.Demand(lengths, users=users))


def cached_bytes(customer: Customer) -> float:
    """Return the bytes of cache that a small service needs for its users.

    Parameters
    ----------
    customer : Customer
        Its small model and lengths.

    Returns
    -------
    float
        Bytes of eight users of the customer's lengths, 4,096 tokens at most.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> round(cached_bytes(default()) / GIB, 2)
    2.5
    """
    return SERVICE_USERS * float(cache_bytes(load(customer.small_model), service_tokens(customer)))


def least_token_s(customer: Customer, gpu: facts.GPU) -> float:
    r"""Return the time in which a part reads the weights of a small service once: no token is faster.

    .. math:: t \ge B_w / b

    Parameters
    ----------
    customer : Customer
        Its small model, of B bytes in 16 bits.
    gpu : GPU
        The part, of bandwidth b.

    Returns
    -------
    float
        Seconds.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> round(1e3 * least_token_s(default(), mig.instance("H100 SXM", "1g.10gb")), 1)
    38.4
    """
    return weight_bytes(load(customer.small_model)) / gpu.memory_bandwidth_bytes_per_s


def most_instances(gpu: str, profile: str) -> int:
    """Count the instances of a profile that a card holds at most.

    Parameters
    ----------
    gpu : str
        Name of the card.
    profile : str
        Name of the profile.

    Returns
    -------
    int
        Instances.

    Examples
    --------
    >>> most_instances("H100 SXM", "1g.20gb"), most_instances("H100 SXM", "3g.40gb")
    (4, 2)
    """
    return max(sum(name == profile for name, _ in layout) for layout in mig.layouts(gpu))


def shared_bytes(gpu: str) -> float:
    """Return the memory of the largest slice that leaves room for another.

    Parameters
    ----------
    gpu : str
        Name of the card.

    Returns
    -------
    float
        Bytes.

    Examples
    --------
    >>> shared_bytes("H100 SXM") / GIB
    39.5
    """
    return max(p.memory_bytes for p in mig.profiles(gpu).values() if p.slices < mig.COMPUTE_SLICES)


def drawing(found: Cut) -> pd.DataFrame:
    """Lay out a cut for its drawing: each instance, then the free memory slices of each card in runs.

    Parameters
    ----------
    found : Cut
        The cut.

    Returns
    -------
    DataFrame
        ``card start slices label detail gpu``: cards by letter, memory slices, profile and service, empty where free.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> rows = drawing(cut_on(default(), "H100 SXM"))
    >>> int(rows.slices.sum())  # two cards of eight
    16
    """
    rows = [(p.card, p.start, p.profile.memory_slices, p.profile.name, p.service) for p in found.placements]
    for card in range(found.cards):
        rows += [(card, run[0], len(run), "", "") for run in _runs(_free(found, card))]
    frame = pd.DataFrame(rows, columns=["card", "start", "slices", "label", "detail"])
    return frame.assign(card=[f"card {chr(97 + card)}" for card in frame.card], gpu=found.gpu)


def _free(found: Cut, card: int) -> list[int]:
    """Return the free memory slices of a card."""
    taken = {s for p in found.placements if p.card == card for s in range(p.start, p.start + p.profile.memory_slices)}
    return sorted(set(range(mig.MEMORY_SLICES)) - taken)


def _runs(numbers: Sequence[int]) -> list[list[int]]:
    """Split ascending numbers where one is left out."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return runs


def slice_table(customer: Customer, gpus: Sequence[str]) -> pd.DataFrame:
    """Lay out every slice of cards, and what a small service does in it with four users.

    Parameters
    ----------
    customer : Customer
        Its small model and lengths.
    gpus : sequence of str
        Names of cards.

    Returns
    -------
    DataFrame
        ``card profile count gib gbs sms tpot rate``: instances at most, GiB, GB/s, multiprocessors, milliseconds a
        token and tokens a second; the last two missing where the service does not fit.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> table = slice_table(default(), ["H100 SXM"])
    >>> table[table.tpot.isna()].profile.tolist()
    ['1g.10gb', '1g.20gb', '2g.20gb']
    >>> table.dropna().set_index("profile").tpot.round().to_dict()
    {'3g.40gb': 13.0, '4g.40gb': 13.0, '7g.80gb': 7.0}
    """
    rows = [_slice(customer, gpu, profile) for gpu in gpus for profile in mig.profiles(gpu).values()]
    return pd.DataFrame(rows, columns=["card", "profile", "count", "gib", "gbs", "sms", "tpot", "rate"])


def _slice(customer: Customer, gpu: str, profile: mig.Profile) -> tuple[str | int | float, ...]:
    """Return a row of the table of slices."""
    part, tpot_s, rate = mig.instance(gpu, profile.name), math.nan, math.nan
    if part.memory_bytes > small_service_bytes(customer, gpu):
        seen = served(customer, deployment(customer, part), TABLE_USERS)
        tpot_s, rate = seen.tpot.mean, seen.output_tokens_per_s
    size = (part.memory_bytes / GIB, part.memory_bandwidth_bytes_per_s / 1e9, profile.sms)
    return (gpu, profile.name, most_instances(gpu, profile.name), *size, 1e3 * tpot_s, rate)


def sliced_or_shared(customer: Customer, found: Cut, users: Sequence[int]) -> pd.DataFrame:
    """Time a full card of slices against one engine on the whole card that all of its services share.

    Parameters
    ----------
    customer : Customer
        Its small model and lengths.
    found : Cut
        Card and slice.
    users : sequence of int
        Users of each service, all busy at once.

    Returns
    -------
    DataFrame
        ``users way tpot_s``: seconds a token in a ``slice`` and in the ``shared`` engine.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> times = sliced_or_shared(default(), cut_on(default(), "H100 SXM"), [1]).set_index("way").tpot_s
    >>> (1e3 * times).round(1).to_dict()  # milliseconds
    {'slice': 12.1, 'shared': 6.8}
    """
    each = deployment(customer, mig.instance(found.gpu, found.profile.name))
    whole, services = deployment(customer, found.gpu), most_instances(found.gpu, found.profile.name)
    rows = []
    for n in users:
        rows.append((n, "slice", token_s(customer, each, n)))
        rows.append((n, "shared", token_s(customer, whole, n * services)))
    return pd.DataFrame(rows, columns=["users", "way", "tpot_s"])


def layout_table() -> pd.DataFrame:
    """Count the ways to cut the cards whose slices differ in kind; superchips are left out.

    Returns
    -------
    DataFrame
        ``card layouts profiles most smallest_bytes``: ways to fill a card, kinds of slices, instances at most, and
        the memory of the smallest.

    Examples
    --------
    >>> table = layout_table().set_index("card")
    >>> int(table.profiles["H100 SXM"]), int(table.most["H100 SXM"])
    (6, 7)
    """
    kinds: dict[tuple[str, ...], str] = {}
    for row in facts.records("mig"):
        card = row["gpus"][0]
        if facts.gpu(card).form != "Superchip":
            kinds.setdefault((facts.gpu(card).architecture, *mig.profiles(card)), card)
    rows = []
    for card in kinds.values():
        layouts, profiles = mig.layouts(card), mig.profiles(card)
        smallest = min(p.memory_bytes for p in profiles.values())
        rows.append((card, len(layouts), len(profiles), max(map(len, layouts)), smallest))
    return pd.DataFrame(rows, columns=["card", "layouts", "profiles", "most", "smallest_bytes"])
