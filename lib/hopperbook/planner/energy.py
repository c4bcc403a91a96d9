"""Energy of a plan: kilowatt-hours a month, what they emit on the customer's grid, and tokens a kilowatt-hour."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from hopperbook import facts
from hopperbook.customer import Customer
from hopperbook.planner import site
from hopperbook.planner.choose import Plan
from hopperbook.planner.configuration import Configuration
from hopperbook.planner.tenure import assumptions, server_of
from hopperbook.units import MONTH_H, MONTH_S

#: Hours of a month's share of a run that takes a day, run once a year.
HOURS_A_DAY_A_YEAR = 24 / 12


class Energy(NamedTuple):
    """Energy of everything that a plan runs, a month.

    ``serving_kwh`` is that of the serving fleet alone; ``tokens_per_kwh`` are its output tokens over it.  The grid is
    ``assumed`` where the customer's region is not on file and the world's mean stands in.
    """

    kwh: float
    serving_kwh: float
    kg_co2: float
    tokens_per_kwh: float
    grid: str
    g_co2_per_kwh: float
    assumed: bool
    source: str


def grid(region: str) -> tuple[Mapping[str, Any], bool]:
    """Return the electricity grid of a region, or that of the world where the region is not on file.

    Parameters
    ----------
    region : str
        A country's name or its two letters, ``EU`` or ``World``.

    Returns
    -------
    tuple
        The row of ``data/grids.csv``, and whether it is the region's own.

    Examples
    --------
    >>> grid("EU")[0]["g_co2_per_kwh"], grid("germany")[0]["region"], grid("Atlantis")[1]
    (243.8, 'Germany', False)
    """
    rows = facts.records("grids")
    asked = region.strip().lower()
    for row in rows:
        if asked in row["known_as"].lower().split("|"):
            return row, True
    return rows[0], False


def _kwh(customer: Customer, gpu: str, gpus: float, hours: float, tenure: str, load: float = 1.0) -> float:
    r"""Return the energy of GPUs with their share of a server: :math:`W (w + (1 - w) \ell) \, \mathrm{PUE} \, h`."""
    server, idle = server_of(gpu), assumptions()["idle_power_fraction"]
    watts = facts.node_power(server.name).typical * gpus / server.gpus
    there = site.pue(customer) if tenure in ("own", "kept", "shared") else facts.cost("pue").typical
    return watts / 1e3 * (idle + (1 - idle) * load) * there * hours


def serving_kwh(row: Configuration, customer: Customer) -> float:
    r"""Return the energy of a serving fleet in a month, cooling included.

    .. math:: 730 \, W (w + (1 - w) \ell) \, \mathrm{PUE}

    Parameters
    ----------
    row : Configuration
        The fleet.
    customer : Customer
        Mean load, and PUE of the site.

    Returns
    -------
    float
        kWh.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> from hopperbook.planner.choose import plan
    >>> round(serving_kwh(plan(default()).recommendation, default()), -1)  # 7.75 kW x 0.675 x 1.3 x 730 h
    4970.0
    """
    return _kwh(customer, row.gpu, row.gpus, MONTH_H, row.tenure, customer.busy_fraction)


def tokens_per_kwh(row: Configuration, customer: Customer) -> float:
    """Return the output tokens of a serving fleet a kWh.

    Parameters
    ----------
    row : Configuration
        The fleet.
    customer : Customer
        Mean load.

    Returns
    -------
    float
        Tokens.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> from hopperbook.planner.choose import plan
    >>> round(tokens_per_kwh(plan(default()).recommendation, default()), -4)
    880000.0
    """
    return row.output_tokens_per_s * customer.busy_fraction * MONTH_S / serving_kwh(row, customer)


def energy(plan: Plan) -> Energy | None:
    r"""Return the energy of a plan's fleets in a month, cooling included.

    .. math:: E = 730 \, W (w + (1 - w)\,\ell) \, \mathrm{PUE}, \qquad \mathrm{CO_2} = E \, c

    Parameters
    ----------
    plan : Plan
        Fleets of W kW under load, an idle one at the share w; mean load l; a training run works at full load for its
        hours; the grid emits c.

    Returns
    -------
    Energy or None
        None where nothing is recommended.

    Notes
    -----
    Source: ``ember-2024-electricity`` (c); ``mlperf-training-4.1``, ``latif-2025-h100-power`` (W); ``uptime-2024``.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> from hopperbook.planner.choose import plan
    >>> found = energy(plan(default()))
    >>> round(found.serving_kwh, -1), round(found.kg_co2 / found.kwh, 4)  # 7.75 kW x 0.675 x 1.3 x 730 h; 369.5 g
    (4970.0, 0.3695)
    """
    row, customer, t = plan.recommendation, plan.customer, plan.training
    if row is None:
        return None
    serving = serving_kwh(row, customer)
    kwh = serving
    if t is not None:
        hours = t.days * customer.trainings_per_year * HOURS_A_DAY_A_YEAR
        kwh += _kwh(customer, t.gpu, t.gpus, hours, t.tenure)
        if t.tenure == "shared":  # the idle power of these GPUs is counted already
            kwh -= _kwh(customer, t.gpu, t.gpus, hours, t.tenure, 0.0)
    if plan.small is not None:
        s = plan.small
        kwh += _kwh(customer, s.gpu, s.cards, MONTH_H, s.tenure.kind, customer.busy_fraction)
    found, known = grid(customer.region)
    grams = float(found["g_co2_per_kwh"])
    return Energy(
        kwh=kwh,
        serving_kwh=serving,
        kg_co2=kwh * grams / 1e3,
        tokens_per_kwh=tokens_per_kwh(row, customer),
        grid=str(found["region"]),
        g_co2_per_kwh=grams,
        assumed=not known,
        source=str(found["source"]),
    )
