"""What a purchasing meeting asks beside the price of GPUs: what is billed apart, leases, the site, energy, quality."""

from __future__ import annotations

import pandas as pd

from hopperbook import cost, facts, units
from hopperbook.customer import Customer
from hopperbook.display import Input
from hopperbook.planner import Plan, site
from hopperbook.planner.configuration import Configuration
from hopperbook.planner.energy import grid, serving_kwh, tokens_per_kwh
from hopperbook.planner.tenure import assumptions, at_site, ownership, residual_fraction, server_of, servers
from hopperbook.story import cite


def beside_table(plan: Plan) -> pd.DataFrame:
    """Return what is billed beside the GPUs.

    Parameters
    ----------
    plan : Plan
        The plan.

    Returns
    -------
    DataFrame
        ``what amount unit usd low high date source``: USD a month.

    Examples
    --------
    >>> from hopperbook.customer import check
    >>> from hopperbook.planner import plan
    >>> asked = {"name": "A", "model": "llama-3.1-8b", "tenure": "on_demand", "egress_tb_per_month": 2.0}
    >>> beside_table(plan(check(asked))).usd.tolist()  # 2 TB at USD 50
    [100.0]
    """
    rows = [
        (each.what, each.amount, each.unit, each.usd, each.usd_low, each.usd_high, each.date, each.source)
        for each in plan.extras
    ]
    return pd.DataFrame(rows, columns=["what", "amount", "unit", "usd", "low", "high", "date", "source"])


def list_prices(customer: Customer) -> list[Input]:
    """Return what the provider's storage, traffic and support, and licences, cost where they are asked for.

    Parameters
    ----------
    customer : Customer
        Its market.

    Returns
    -------
    list of Input
        Rows of a table of inputs.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> [row.value.replace(units.NBSP, " ") for row in list_prices(default())][:2]
    ['$27.90 ($13.70 to $186)', '$50.00 ($10.00 to $90.00)']
    """
    asked = (
        ("A terabyte stored, USD a month", "storage_usd_per_tb_month", customer.market, units.money),
        ("A terabyte out, USD", "egress_usd_per_tb", customer.market, units.money),
        ("Support plan, share of the rent", "support_share_of_spend", "business", units.percent),
        ("NVIDIA AI Enterprise, USD a GPU and year", "nvaie_usd_per_gpu_year", "", units.money),
    )
    found = []
    for words, item, of, shown in asked:
        p = facts.cost(item, of)
        ends = f" ({units.span(shown(p.low), shown(p.high))})" if p.high > p.low else ""
        found.append(Input(words, shown(p.typical) + ends, "vendor", cite(p.source), p.date))
    return found


def leased_usd_per_month(customer: Customer, gpu: str, servers: int) -> float:
    """Return what leasing servers costs a month, with care, power and space.

    Parameters
    ----------
    customer : Customer
        Term, load, site.
    gpu : str
        Name of the GPU.
    servers : int
        Servers.

    Returns
    -------
    float
        USD; a lessor counts on the low end of what is known of resale.

    Raises
    ------
    InputError
        If no price of a server is on file.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> round(leased_usd_per_month(default(), "H100 SXM", 1), -2)
    12400.0
    """
    months = customer.horizon_months
    o = at_site(ownership(gpu, months), customer)
    lease = cost.lease_usd_per_month(
        o.server_usd, months, assumptions()["lease_rate_per_year"], residual_fraction(months, "low")
    )
    running = o.care_fraction_per_year / 12 * o.server_usd + float(cost.power_usd_per_month(o, customer.busy_fraction))
    return servers * (lease + running)


def site_table(plan: Plan) -> pd.DataFrame:
    """Lay out what each part's best fleet asks of a site, and what it uses and emits.

    Parameters
    ----------
    plan : Plan
        The plan.

    Returns
    -------
    DataFrame
        ``fleet servers kw racks held kwh kg_co2 tokens_per_kwh``, the recommended fleet first: power with cooling as
        rated; ``held`` says whether the site holds it; energy and emissions of serving a month.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> from hopperbook.planner import plan
    >>> site_table(plan(default())).iloc[0][["fleet", "held"]].tolist()
    ['8 × H100 SXM', 'no limit stated']
    """
    first = [plan.recommendation] if plan.recommendation is not None else []
    others = sorted((row for row in plan.by_part.values() if row not in first), key=lambda row: row.cost)
    return pd.DataFrame([_site_row(row, plan.customer) for row in [*first, *others]])


def site_words(plan: Plan, first: pd.Series) -> str:
    """Say what the first fleet of the table asks of a site, which a fleet that is rented does not need.

    Parameters
    ----------
    plan : Plan
        The plan.
    first : Series
        First row of :func:`site_table`.

    Returns
    -------
    str
        A sentence without its full stop.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> from hopperbook.planner import plan
    >>> made = plan(default())
    >>> site_words(made, site_table(made).iloc[0])[:26]
    '8 × H100 SXM needs 13.3 kW'
    """
    row, power = plan.recommendation, f"{units.number(first.kw, 3)} kW with cooling"
    used = f"uses {units.number(first.kwh)} kWh a month"
    if row is None or row.tenure in ("own", "kept"):
        return f"{first.fleet} needs {power} and {used}"
    whole = f"{first.servers} whole {server_of(row.gpu).name}"
    return f"Rented, {first.fleet} {used}; on your own site it would be {whole}, {power}"


def _site_row(row: Configuration, customer: Customer) -> dict[str, object]:
    server = server_of(row.gpu)
    count = servers(row.gpus, row.gpu)
    asked, most = site.need(customer, server, count), site.most_servers(customer, server)
    kwh = serving_kwh(row, customer)
    held = "no limit stated" if most is None else "yes" if count <= most else f"{most} of {count} servers"
    return {
        "fleet": f"{row.gpus} × {row.gpu}",
        "servers": count,
        "kw": asked.kw,
        "racks": asked.racks,
        "held": held,
        "kwh": kwh,
        "kg_co2": kwh * float(grid(customer.region)[0]["g_co2_per_kwh"]) / 1e3,
        "tokens_per_kwh": tokens_per_kwh(row, customer),
    }


def quality_table() -> pd.DataFrame:
    """Lay out what published evaluations say that formats below sixteen bits keep of a score.

    Returns
    -------
    DataFrame
        ``format method model measure kept note source``.

    Examples
    --------
    >>> quality_table().format.tolist()[:2]
    ['FP8', 'INT8']
    """
    rows = facts.table("quality")
    names = rows.format.map(lambda name: units.format_name(name.removesuffix("_cache")))
    names = names.where(~rows.format.str.endswith("_cache"), names + " cache")
    kept = [_kept(low, high) for low, high in zip(rows.kept_low, rows.kept_high, strict=True)]
    return rows.assign(format=names, kept=kept)[["format", "method", "model", "measure", "kept", "note", "source"]]


def _kept(low: float, high: float) -> str:
    return units.percent(low, 3) if low == high else units.span(units.percent(low, 3), units.percent(high, 3))
