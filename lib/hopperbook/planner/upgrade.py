"""Growing out of a cluster that is owned: keep and add, add newer parts, or replace all; and which jobs move first."""

from __future__ import annotations

import math
from typing import NamedTuple, TypedDict

import numpy as np
import pandas as pd

from hopperbook import cost, facts, reads, serving
from hopperbook.customer import Customer
from hopperbook.errors import InputError
from hopperbook.models import load
from hopperbook.planner import fleet, verify
from hopperbook.planner.borders import shortened
from hopperbook.planner.load import demand, limits
from hopperbook.planner.odds import SURE
from hopperbook.planner.tenure import at_site, ownership, tenures
from hopperbook.serving import Deployment
from hopperbook.serving.demand import Largest, cut_of, first_rate
from hopperbook.units import MONTH_H, ceiling

JOBS = ("meta-llama/Llama-3.1-8B", "Qwen/Qwen2.5-32B", "meta-llama/Llama-3.3-70B-Instruct")


class Option(TypedDict):
    """A way of growing, and what it has cost by the last month."""

    name: str
    usd: float


class Path(NamedTuple):
    """What each way of growing has cost by each month."""

    monthly: pd.DataFrame
    options: list[Option]
    break_even_months: float
    jobs: pd.DataFrame
    owned: int
    tokens_per_s: float


#: Layouts of a part that are simulated: those that the first cut likes best.
LAYOUTS = 2


def _first_cut(customer: Customer, part: str, model: str) -> tuple[Customer, dict[Deployment, float]]:
    """Return the load that a model can read, and the rate for each GPU of every replica of a part, by the first cut."""
    shapes = load(model)
    asked = shortened(customer, shapes.context_limit or customer.held_tokens)
    first: dict[Deployment, float] = {}
    for d in fleet.deployments(customer, shapes, (part,)):
        if serving.budget(d, asked.held_tokens).users >= 1:
            first[d] = first_rate(cut_of(d, demand(asked).lengths), limits(asked, d, SURE)) / d.gpus
    return asked, first


def first_tokens_per_s_per_gpu(customer: Customer, part: str, model: str) -> float:
    """Output tokens a second and GPU of a part's best replica, by the closed first cut: what to simulate, not to state.

    Parameters
    ----------
    customer : Customer
        Lengths and targets.
    part : str
        GPU.
    model : str
        Model.

    Returns
    -------
    float
        Tokens a second of one GPU; 0 where none keeps the targets.

    Examples
    --------
    >>> from hopperbook.customer import check
    >>> shop = check({"name": "A", "model": "llama-3.1-8b"})
    >>> cut, simulated = (f(shop, "H100 SXM", shop.model) for f in (first_tokens_per_s_per_gpu, tokens_per_s_per_gpu))
    >>> 0.8 < cut / simulated < 1.25
    True
    """
    return max(_first_cut(customer, part, model)[1].values(), default=0.0) * customer.output_tokens


@reads.lru_cache(maxsize=1024)
def best_replica(customer: Customer, part: str, model: str) -> tuple[Deployment, Largest] | None:
    """Find the replica of a part that carries most for each GPU within the targets, nine times in ten.

    Parameters
    ----------
    customer : Customer
        Lengths, targets, precision policy; how much is asked does not matter.
    part : str
        GPU.
    model : str
        Model; prompts are cut to what it reads.

    Returns
    -------
    tuple or None
        The replica, and what it carries when simulated; None where none keeps the targets.

    Examples
    --------
    >>> from hopperbook.customer import check
    >>> shop = check({"name": "A", "model": "llama-3.1-8b"})
    >>> d, most = best_replica(shop, "H100 SXM", shop.model)
    >>> d.gpus, round(most.rate_per_s)
    (1, 12)
    """
    asked, first = _first_cut(customer, part, model)
    likely = sorted((d for d in first if first[d] > 0), key=lambda d: (-round(first[d], 9), d.gpus))[:LAYOUTS]
    carried = [(d, verify.carried(d, asked)) for d in likely]
    best = max(carried, key=lambda pair: (round(pair[1].rate_per_s / pair[0].gpus, 9), -pair[0].gpus), default=None)
    return best if best is not None and best[1].rate_per_s > 0 else None


def tokens_per_s_per_gpu(customer: Customer, part: str, model: str | None = None) -> float:
    """Output tokens a second and GPU of the best replica that keeps the customer's targets; 0 where none does.

    Parameters
    ----------
    customer : Customer
        Lengths and targets.
    part : str
        GPU.
    model : str, optional
        Model; the customer's by default.

    Returns
    -------
    float
        Tokens a second of one GPU.

    Examples
    --------
    >>> from hopperbook.customer import check
    >>> shop = check({"name": "A", "model": "llama-3.1-8b"})
    >>> [round(tokens_per_s_per_gpu(shop, part), -2) for part in ("A100 SXM", "H100 SXM")]
    [3500.0, 6400.0]
    """
    found = best_replica(customer, part, model or customer.model)
    return 0.0 if found is None else found[1].rate_per_s * customer.output_tokens / found[0].gpus


def outgrown(customer: Customer) -> tuple[str, ...]:
    """Return the part that a cluster grows out of, and the newer ones it may grow into.

    Parameters
    ----------
    customer : Customer
        What it owns; without owned GPUs that have a successor, the oldest part drawn that has one.

    Returns
    -------
    tuple of str
        The owned part first.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> outgrown(default())
    ('A100 SXM 80GB', 'H100 SXM', 'H200 SXM')
    """
    owned = (facts.gpu(customer.owned_gpu).name,) if customer.owned_gpu else ()
    old = next(part for part in (*owned, *facts.drawn()) if facts.step_ups(part))
    return (old, *facts.step_ups(old))


@reads.lru_cache(maxsize=64)
def eased(customer: Customer) -> Customer:
    """Double a customer's latency targets until the owned part or a newer one keeps them, so that they can be compared.

    Parameters
    ----------
    customer : Customer
        Lengths and targets.

    Returns
    -------
    Customer
        Unchanged where a part keeps the targets as they are, or where none can hold the model.

    Examples
    --------
    >>> from hopperbook.customer import check
    >>> hard = check({"name": "A", "model": "llama-3.1-8b", "tpot_target_ms": 1.0})
    >>> eased(hard).tpot_target_ms, eased(eased(hard)) == eased(hard)  # milliseconds, doubled twice
    (4.0, True)
    """
    trial = customer
    for _ in range(16):
        if any(tokens_per_s_per_gpu(trial, part) for part in outgrown(trial)):
            return trial
        twice = {name: 2 * getattr(trial, name) for name in ("ttft_target_ms", "tpot_target_ms")}
        trial = trial.model_copy(update=twice)
    return customer


def path(customer: Customer, owned_gpus: int, growth_per_month: float = 0.04) -> Path:
    r"""Compare ways to grow: the load grows evenly, and what the owned cluster lacks is added or all is replaced.

    .. math:: C(t) = 730 \sum_{m \le t} \left[ n_o c_o + \lceil (L_m - n_o r_o)^+ / r_n \rceil p_n \right]

    Parameters
    ----------
    customer : Customer
        Lengths, targets, prices, horizon.
    owned_gpus : int
        GPUs owned today; the load of today fills them.
    growth_per_month : float
        Growth of the load a month, of today's.

    Returns
    -------
    Path
        Spending by month and option, the month from which replacing has cost less than keeping, and the jobs to move.

    Raises
    ------
    InputError
        If no part keeps the targets.

    Examples
    --------
    >>> from hopperbook.customer import check
    >>> found = path(check({"name": "A", "model": "llama-3.1-8b"}), 16)
    >>> len(found.options)
    5
    """
    parts = outgrown(customer)
    owned = parts[0]
    rates = {part: tokens_per_s_per_gpu(customer, part) for part in parts}
    if not max(rates.values()):
        raise InputError(
            "tpot_target_ms", customer.tpot_target_ms, "targets that one of " + ", ".join(parts) + " keeps"
        )
    ways = {part: [t for t in tenures(customer, part) if t.kind != "kept"] for part in rates}
    price = {part: min(t.typical for t in kinds) for part, kinds in ways.items() if kinds}
    running = _running_usd_per_hour(customer, owned)
    months = np.arange(customer.horizon_months + 1)
    base = owned_gpus * (rates[owned] or max(rates.values()) / 3)
    load_ = base * (1 + growth_per_month * months)
    spent: dict[str, np.ndarray] = {}
    for part, usd in price.items():
        if not rates[part]:
            continue
        short = facts.gpu(part).short
        added = ceiling(np.maximum(0.0, load_ - base) / rates[part])
        spent[f"keep and add {short}"] = MONTH_H * (owned_gpus * running + added * usd)
        if part != owned:
            spent[f"replace by {short}"] = MONTH_H * ceiling(load_ / rates[part]) * usd
    total = {name: np.cumsum(np.r_[0.0, monthly[1:]]) for name, monthly in spent.items()}
    frame = pd.concat([pd.DataFrame({"x": months, "y": usd / 1e3, "series": name}) for name, usd in total.items()])
    options: list[Option] = [{"name": f"{n[0].upper()}{n[1:]}", "usd": float(usd[-1])} for n, usd in total.items()]
    return Path(
        frame,
        sorted(options, key=lambda o: o["usd"]),
        _crossing(total, facts.gpu(owned).short),
        jobs(customer),
        owned_gpus,
        base * growth_per_month,
    )


def _running_usd_per_hour(customer: Customer, part: str) -> float:
    """Return what a paid-for GPU costs an hour: power, space and care."""
    o = at_site(ownership(part, customer.horizon_months), customer)
    monthly = float(cost.power_usd_per_month(o, customer.busy_fraction)) + o.care_fraction_per_year / 12 * o.server_usd
    return monthly / o.gpus / MONTH_H


def _crossing(total: dict[str, np.ndarray], old: str) -> float:
    """Return the first month from which some replacement has cost less than keeping and adding to the owned part."""
    keep = next((usd for name, usd in total.items() if name.startswith(f"keep and add {old}")), None)
    replace = [usd for name, usd in total.items() if name.startswith("replace")]
    if keep is None or not replace:
        return math.inf
    dearer = np.flatnonzero(np.min(replace, axis=0) >= keep)  # in month 0 both have cost nothing
    return float(dearer[-1] + 1) if dearer[-1] < len(keep) - 1 else math.inf


def jobs(customer: Customer, new_gpus: int = 8) -> pd.DataFrame:
    r"""Choose the jobs to move to newer cards: those that free most of the owned ones, within what is bought.

    .. math:: \max \sum_j x_j a_j \quad\text{s.t.}\quad \sum_j x_j h_j \le n

    Parameters
    ----------
    customer : Customer
        Lengths and targets; its own model is one of the jobs.
    new_gpus : int
        Of the newest part, bought.

    Returns
    -------
    DataFrame
        ``job gain gpus moved``: the ratio of throughput a GPU, owned GPUs freed, and whether to move it.

    Examples
    --------
    >>> from hopperbook.customer import check
    >>> found = jobs(check({"name": "A", "model": "llama-3.1-8b"})).set_index("job")
    >>> found.gain.round(1).iloc[[0, -1]].to_dict()  # H200 over A100
    {'Llama-3.3-70B, long prompts': 3.7, 'Llama-3.1-8B, short prompts': 2.0}
    """
    parts = outgrown(customer)
    rows = []
    for length, factor in (("short", 0.5), ("long", 2.0)):
        asked = customer.model_copy(
            update={
                "prompt_tokens": max(1, int(customer.prompt_tokens * factor)),
                "context_tokens": max(1, int(customer.held_tokens * factor)),
                "ttft_target_ms": customer.ttft_target_ms * max(1.0, factor),
            }
        )
        for name in dict.fromkeys((*JOBS, customer.model)):
            old, new = (tokens_per_s_per_gpu(asked, part, name) for part in (parts[0], parts[-1]))
            if new:
                rows.append((name, length, new / old if old else math.nan, old, new))
    freed = np.array([8.0 if row[3] else 16.0 for row in rows])  # a server of A100 each; two where it barely runs
    needed = np.array([max(1.0, 8.0 * (row[3] or row[4] / 4) / row[4]) for row in rows])
    from scipy.optimize import Bounds, LinearConstraint, milp

    room = LinearConstraint(needed[None, :], -np.inf, new_gpus)
    answer = milp(-freed + 1e-3 * needed, constraints=room, integrality=np.ones(len(rows)), bounds=Bounds(0, 1))
    chosen = np.round(answer.x) if answer.x is not None else np.zeros(len(rows))
    names = [f"{name.split('/')[-1].replace('-Instruct', '')}, {length} prompts" for name, length, *_ in rows]
    frame = pd.DataFrame(
        {"job": names, "gain": [row[2] for row in rows], "gpus": freed, "moved": np.where(chosen > 0, "first", "later")}
    )
    return frame.sort_values("gain", ascending=False, na_position="first").reset_index(drop=True)
