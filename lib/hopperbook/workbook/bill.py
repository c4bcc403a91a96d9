"""A plan's bill as a workbook: what is bought or rented, at which prices, month by month, beside each other way."""

from __future__ import annotations

from dataclasses import dataclass, field

from hopperbook import facts, units
from hopperbook.cost import Ownership
from hopperbook.customer import rate_words
from hopperbook.planner import Plan, headline
from hopperbook.planner.bill import bill as materials
from hopperbook.planner.configuration import Configuration, TrainingRun
from hopperbook.planner.energy import energy
from hopperbook.planner.extras import RENTED
from hopperbook.planner.fleet import billed
from hopperbook.planner.small import cards_paid
from hopperbook.planner.tenure import (
    Tenure,
    assumptions,
    at_site,
    cluster_premium,
    kept_server,
    network_usd,
    on_spot,
    ownership,
    residual_fraction,
    tenures,
)
from hopperbook.units import MONTH_H
from hopperbook.workbook.cells import Amount, Book, Page, paid, total, whole

NAME = "bill.xlsx"
WAYS = {
    "on_demand": "rented on demand",
    "spot": "rented on spot",
    "reserved": "reserved",
    "own": "bought",
    "kept": "owned already",
}
#: Ways to have a fleet that are held beside each other.
COMPARED = ("on_demand", "reserved", "own")


@dataclass
class _Bill:
    """A bill while it is written: the plan, its pages, and the amounts that later pages refer to."""

    plan: Plan
    row: Configuration
    ways: dict[str, Tenure]
    server: Ownership | None
    pages: dict[str, Page] = field(default_factory=dict)
    at: dict[str, Amount] = field(default_factory=dict)

    def page(self, name: str, widths: list[int], title: str) -> Page:
        """Open a page with its title."""
        found = self.pages[name] = Page(name, widths, self.plan.customer.confidentiality)
        found.line(title, style="title")
        found.row += 1
        return found


def bill(plan: Plan) -> Book:
    """Write a plan's bill as a workbook of live formulas.

    Parameters
    ----------
    plan : Plan
        The plan.

    Returns
    -------
    Book
        Sheets Summary, Quantities, Prices, Own, Rent, Months and Assumptions; yellow cells may be changed. Where
        nothing is recommended, a Summary that says so.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> from hopperbook.planner import plan
    >>> made = bill(plan(default()))
    >>> [sheet["name"] for sheet in made["sheets"]][:4]
    ['Summary', 'Quantities', 'Prices', 'Own']
    """
    if plan.recommendation is None:
        page = Page("Summary", [100], plan.customer.confidentiality)
        page.line(plan.customer.name, style="title")
        page.line(plan.answer)
        return {"name": NAME, "sheets": [page.sheet]}
    b = _started(plan, plan.recommendation)
    _assumptions(b)
    _prices(b)
    if b.server is not None:
        _own(b, b.server)
    _quantities(b)
    _rent(b)
    _months(b)
    _summary(b)
    order = ("Summary", "Quantities", "Prices", "Own", "Rent", "Months", "Assumptions")
    return {"name": NAME, "sheets": [b.pages[name].sheet for name in order if name in b.pages]}


def totals(book: Book) -> tuple[float, float]:
    """Return what the first month costs and what all months of the horizon do, growth counted.

    Parameters
    ----------
    book : Book
        From :func:`bill`.

    Returns
    -------
    tuple of float
        USD; zero where nothing is recommended.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> from hopperbook.planner import plan
    >>> [round(usd, -1) for usd in totals(bill(plan(default())))]  # 24 months of USD 10,103.52
    [10100.0, 242480.0]
    """
    cells = book["sheets"][0]["cells"]
    row = next((cell["row"] for cell in cells if cell["value"] == "Total"), None)
    found = {cell["column"]: float(cell["value"]) for cell in cells if cell["row"] == row and cell["column"] in (1, 2)}
    return found.get(1, 0.0), found.get(2, 0.0)


def _started(plan: Plan, row: Configuration) -> _Bill:
    """Return a bill with the ways to have its serving fleet, and one server as bought."""
    asked = plan.customer.model_copy(update={"tenure": "auto"})
    ways = {way.kind: way for way in tenures(asked, row.gpu)}
    server = None
    if row.tenure == "kept":
        server = kept_server(plan.customer, row.gpu)
    elif "own" in ways:
        joined = ownership(row.gpu, plan.customer.horizon_months, servers=-(-row.deployment.gpus // 8))
        server = at_site(joined, plan.customer)
    return _Bill(plan, row, ways, server)


def _assumptions(b: _Bill) -> None:
    """Write what is assumed, each with its source; yellow cells may be changed."""
    page, c, at = b.page("Assumptions", [46, 14, 14, 60], "Assumptions"), b.plan.customer, b.at
    page.line("What", "Value", "Unit", "Source", style="head")

    def give(key: str, what: str, value: float, unit: str, source: str, style: str = "input") -> None:
        page.words(0, what)
        at[key] = page.given(1, value, style)
        page.words(2, unit)
        page.words(3, source)
        page.row += 1

    give("hours", "Hours of a month", MONTH_H, "h", "365 days over 12", "number")
    give("growth", "Growth of the load a year", c.growth_per_year, "", "customer file", "percent input")
    give("tax", "Tax on everything", 0.0, "", "left to you: the report counts none", "percent input")
    give("load", "Mean load over the busy hour's", c.busy_fraction, "", "customer file", "percent input")
    give("months", "Months until bought servers are sold", c.horizon_months, "months", "customer file", "number")
    if b.server is None:
        return
    o, source = b.server, {name: facts.read_yaml("constants/cost.yaml")[name]["source"] or "assumed" for name in _RATES}
    give("interest", "Interest a year", o.interest_per_year, "", source["interest_per_year"], "percent input")
    give("care", "Care and staff a year, of the purchase", o.care_fraction_per_year, "",
         source["care_fraction_per_year"], "percent input")  # fmt: skip
    kwh, space_price = (units.in_currency(usd) for usd in (o.usd_per_kwh, o.space_usd_per_kw_month))
    give("kwh", "Electricity", kwh, "USD/kWh", _mine(c.site_usd_per_kwh, source["electricity_usd_per_kwh"]))
    give("pue", "Power of the site over that of machines", o.pue, "", _mine(c.site_pue, facts.cost("pue").source))
    space = facts.cost("colocation_usd_per_kw_month")
    give("space", "Space", space_price, "USD/kW-month", f"{space.source}; {space.date}")
    give("idle", "Power of a server that waits", o.idle_power_fraction, "", "assumed", "percent input")
    resale = facts.cost("residual_value_fraction_36m")
    give("resale", "Resale at the end, of the purchase", o.residual_fraction, "", resale.source, "percent input")
    give("lease", "What a lessor asks a year", assumptions()["lease_rate_per_year"], "",
         source["lease_rate_per_year"], "percent input")  # fmt: skip
    give("lessor", "Resale that a lessor counts on", residual_fraction(c.horizon_months, "low"), "",
         "the low end of what is known of resale", "percent input")  # fmt: skip


_RATES = ("interest_per_year", "care_fraction_per_year", "electricity_usd_per_kwh", "lease_rate_per_year")


def _mine(stated: float, source: str) -> str:
    return "customer file" if stated else source


def _prices(b: _Bill) -> None:
    """Write every price with its range, day and source."""
    page, at = b.page("Prices", [44, 16, 14, 14, 14, 24, 60], "Prices"), b.at
    page.line("What", "Unit", "Price, USD", "Low", "High", "Quotes of", "Source", style="head")

    def give(key: str, what: str, unit: str, prices: tuple[float, float, float], date: str, source: str) -> None:
        page.words(0, what)
        page.words(1, unit)
        low, typical, high = (units.in_currency(price) for price in prices)
        at[key] = page.given(2, typical, "price")
        page.given(3, low)
        page.given(4, high)
        page.words(5, date)
        page.words(6, source)
        page.row += 1

    servers = -(-b.row.deployment.gpus // 8)
    for kind in RENTED:
        if kind in b.ways:
            way = b.ways[kind]
            give(kind, f"{way.gpu} {WAYS[kind]}", "GPU-hour", _three(way, servers), way.date, way.source)
    if b.server is not None:
        _purchase(b, give)
    run, small = b.plan.training, b.plan.small
    if run is not None and run.tenure != "shared":
        known = [*tenures(b.plan.customer, run.gpu), *filter(None, [on_spot(b.plan.customer, run.gpu)])]
        way = next(w for w in known if w.kind == run.tenure)
        prices = _three(way, -(-run.gpus // 8))
        what = f"{run.gpu} for training, {WAYS[run.tenure]}"
        if run.tenure in RENTED and run.gpus > facts.SERVER_GPUS:
            what += f", {units.percent(cluster_premium()[1])} more for InfiniBand included"
        give("training", what, "GPU-hour", prices, way.date, way.source)
    if small is not None:
        way = small.tenure
        give("small", f"{small.gpu} for small services, {WAYS[way.kind]}", "GPU-hour", _three(way, 1), way.date,
             way.source)  # fmt: skip
    for k, each in enumerate(b.plan.extras):
        prices = (each.low, each.typical, each.high)
        give(f"extra {k}", each.what, f"{each.unit} and month", prices, each.date, each.source)


def _three(way: Tenure, servers: int) -> tuple[float, float, float]:
    """Return the low, typical and high price of a GPU-hour of jobs that span so many servers."""
    low, typical, high = (float(way.usd_per_hour(end, servers)) for end in ("low", "typical", "high"))
    return low, typical, high


def _purchase(b: _Bill, give) -> None:  # type: ignore[no-untyped-def]
    """Write the price of a server, and of its share of the network."""
    o, servers = b.server, -(-b.row.deployment.gpus // 8)
    assert o is not None
    network = 0.0 if b.row.tenure == "kept" else network_usd(servers)
    if not o.server_usd:
        give("server", "Server, bought long ago", "server", (0.0, 0.0, 0.0), "", "no price is on file")
    else:
        p = facts.purchase(facts.gpu(b.row.gpu).server or "")
        give("server", f"{p.of}, bought", "server", (p.low, o.server_usd - network, p.high), p.date, p.source)
    ends = (
        (network, network, network)
        if not network
        else tuple(network_usd(servers, e) for e in ("low", "typical", "high"))
    )
    give("network", "Its share of switches and cables", "server", ends, "2024-08", "h100-freakonomics-2024")


def _own(b: _Bill, o: Ownership) -> None:
    """Write what an owned server costs a month, line by line, and what leasing it would."""
    page, at = b.page("Own", [46, 16, 70], "One server, owned"), b.at
    page.line("What", "USD a month", "How", style="head")
    kept = b.row.tenure == "kept"

    def make(what: str, amount: Amount, how: str, style: str = "usd") -> Amount:
        page.words(0, what)
        found = page.made(1, amount, style)
        page.words(2, how)
        page.row += 1
        return found

    price = make("Purchase, USD", at["server"] + at["network"], "server and its share of the network")
    page.words(0, "Power under load, kW")
    power_kw = page.given(1, o.power_w / 1e3, "input")
    page.words(2, facts.node_power(facts.gpu(b.row.gpu).server or "").source)
    page.row += 1
    page.words(0, "Power reserved, as rated, kW")
    reserved_kw = page.given(1, o.reserved_w / 1e3, "input")
    page.words(2, facts.system(facts.gpu(b.row.gpu).server or "").source)
    page.row += 1
    page.words(0, "GPUs in it")
    gpus = page.given(1, o.gpus, "count")
    page.row += 2
    lines = []
    if not kept:
        lines.append(make("Depreciation", price * (1 - at["resale"]) / at["months"], "purchase less resale, by months"))
        middle = price * (1 + at["resale"]) / 2
        lines.append(make("Interest", at["interest"] / 12 * middle, "on the mean of purchase and resale"))
    lines.append(make("Care and staff", at["care"] / 12 * price, "a share of the purchase"))
    lines.append(make("Space", at["space"] * reserved_kw, "by kW reserved"))
    mean = at["idle"] + (1 - at["idle"]) * at["load"]
    lines.append(make("Electricity", at["hours"] * at["kwh"] * at["pue"] * power_kw * mean, "at the mean load"))
    at["own server"] = make("A server and month", total(lines), "", "usd strong")
    key = "kept" if kept else "own"
    at[key] = make("A GPU-hour", at["own server"] / gpus / at["hours"], "over all hours and GPUs", "price")
    if not kept:
        page.row += 1
        j = at["lease"] / 12
        back = at["lessor"] / (1 + j) ** at["months"]
        rate = make(
            "Lease", price * (1 - back) * j / (1 - 1 / (1 + j) ** at["months"]), "the server goes back at the end"
        )
        running = total(lines[2:])
        at["leased server"] = make("A server leased, and month", rate + running, "with care, space and electricity")


def _quantities(b: _Bill) -> None:
    """Write what is had, how much of it, and what stands behind it."""
    page, at, row, c = b.page("Quantities", [46, 14, 14, 70], "Quantities"), b.at, b.row, b.plan.customer
    page.line("What", "How many", "Of", "Why", style="head")

    def give(key: str, what: str, value: float, unit: str, why: str, style: str = "count") -> None:
        page.words(0, what)
        at[key] = page.given(1, value, style)
        page.words(2, unit)
        page.words(3, why)
        page.row += 1

    give("replicas", "Replicas that carry the load", row.replicas, "", "the plan's, within the targets", "input")
    give("spare", "Spare replicas", c.spare_replicas, "", "customer file", "input")
    give("each", "GPUs of a replica", row.deployment.gpus, row.gpu, "its layout")
    run, small = b.plan.training, b.plan.small
    if run is not None and run.tenure != "shared":
        give("training gpus", "GPUs that train", _training_gpus(run), run.gpu, f"{run.gpus} needed, {WAYS[run.tenure]}")
        if run.tenure in ("on_demand", "spot", "kept"):
            give("days", "Days of a run", run.days, "", "set-up, failures and checkpoints included", "input")
            give("runs", "Runs a year", c.trainings_per_year, "", "customer file", "input")
    if small is not None:
        cards = cards_paid(small.cards, small.gpu, small.tenure.kind)
        give("cards", "Cards for small services", cards, small.gpu, f"cut into {small.profile}")
    for k, each in enumerate(b.plan.extras):
        give(f"amount {k}", each.what, each.amount, each.unit, "customer file", "input")
    page.row += 1
    page.line("What stands behind it", "How many", "Of", "Why", style="head")
    for item in materials(b.plan):
        give(item.what, item.what, item.amount, item.unit, item.why, "number")
    used = energy(b.plan)
    if used is not None:
        grid = f"{used.grid}, {used.g_co2_per_kwh:g} g a kWh; {used.source}"
        give("energy", "Energy a month", used.kwh, "kWh", "all fleets, cooling included", "count")
        give("co2", "Emissions a month", used.kg_co2, "kg of CO2", grid, "count")


def _training_gpus(run: TrainingRun) -> int:
    """Return the GPUs that are paid for: as :mod:`hopperbook.planner.runs` does."""
    import numpy as np

    return run.gpus if run.tenure == "kept" else int(billed(np.array([run.gpus]), np.array([run.tenure]))[0])


def _rent(b: _Bill) -> None:
    """Write what renting the serving fleet costs a month, and what else is paid by the hour or the month."""
    page, at = b.page("Rent", [46, 16, 16, 16, 18], "What is paid a month"), b.at
    page.line("What", "GPUs paid for", "USD a GPU-hour", "Hours a month", "USD a month", style="head")
    gpus = (at["replicas"] + at["spare"]) * at["each"]

    def make(key: str, what: str, count: Amount, price: Amount, hours: Amount) -> None:
        page.words(0, what)
        cells = page.made(1, count, "count"), page.made(2, price, "price"), page.made(3, hours, "number")
        at[f"usd {key}"] = page.made(4, cells[0] * cells[1] * cells[2])
        page.row += 1

    for kind in (*COMPARED, "kept"):
        if kind in at and (kind != "kept" or b.row.tenure == "kept"):
            make(kind, f"Serving, {WAYS[kind]}", paid(gpus, kind == "own"), at[kind], at["hours"])
    page.row += 1
    run = b.plan.training
    if "training" in at and run is not None:
        hours = at["days"] * 24 * at["runs"] / 12 if "days" in at else at["hours"]
        make("training", f"Training, {WAYS[run.tenure]}", at["training gpus"], at["training"], hours)
    if "small" in at:
        make("small", "Small services", at["cards"], at["small"], at["hours"])
    for k, each in enumerate(b.plan.extras):
        page.words(0, each.what)
        amounts = page.made(1, at[f"amount {k}"], "number"), page.made(2, at[f"extra {k}"], "price")
        at[f"usd extra {k}"] = page.made(4, amounts[0] * amounts[1])
        page.row += 1


def _months(b: _Bill) -> None:
    """Write the bill month by month over the horizon, replicas added as the load grows."""
    page, at = b.page("Months", [8, 9, 10, 8, 10] + [15] * 9, "Month by month, USD"), b.at
    ways = [kind for kind in COMPARED if kind in at]
    page.line("Month", "Load", "Replicas", "GPUs", "GPUs paid", "Serving", "Training", "Small services", "Beside",
              "Total", "So far", *(f"Serving, {WAYS[kind]}" for kind in ways), style="head")  # fmt: skip
    extra = [at[f"usd extra {k}"] for k in range(len(b.plan.extras))]
    columns: dict[int, list[Amount]] = {}
    for month in range(1, b.plan.customer.horizon_months + 1):
        first = page.given(0, month, "count")
        load = page.made(1, (1 + at["growth"]) ** ((first - 1) / 12), "percent")
        replicas = page.made(2, whole(at["replicas"] * load) + at["spare"], "count")
        gpus = page.made(3, replicas * at["each"], "count")
        count = page.made(4, paid(gpus, b.row.tenure == "own"), "count")
        parts = [page.made(5, count * at[b.row.tenure] * at["hours"])]
        parts += [page.made(6, _or_none(at, "usd training")), page.made(7, _or_none(at, "usd small"))]
        parts.append(page.made(8, total(extra) if extra else Amount(0.0, "0")))
        columns.setdefault(9, []).append(page.made(9, total(parts)))
        for column, part in zip(range(5, 9), parts, strict=True):
            columns.setdefault(column, []).append(part)
        page.made(10, total(columns[9]))
        for column, kind in enumerate(ways, 11):
            usd = paid(gpus, kind == "own") * at[kind] * at["hours"]
            columns.setdefault(column, []).append(page.made(column, usd))
        page.row += 1
    page.words(0, "Sum", "strong")
    for column, amounts in sorted(columns.items()):
        at[f"sum {column}"] = page.made(column, total(amounts), "usd strong")
        at[f"first {column}"] = amounts[0]


def _or_none(at: dict[str, Amount], key: str) -> Amount:
    return at.get(key, Amount(0.0, "0"))


def _summary(b: _Bill) -> None:
    """Write the first page: the bill, tax, the report's own figure, and each other way to have the fleet."""
    page, at, c = b.page("Summary", [52, 20, 24, 60], headline(b.plan)), b.at, b.plan.customer
    page.line(c.name, style="strong")
    page.line(c.business)
    page.line(f"Prices as of {c.as_of or facts.newest_price_date()}; yellow cells of the other sheets may be changed.",
              style="note")  # fmt: skip
    if words := rate_words(c):
        page.line(words, style="note")
    page.row += 1
    page.line("Bill, USD", "First month", f"{c.horizon_months} months", style="head")
    for column, what in ((5, f"Serving, {WAYS[b.row.tenure]}"), (6, "Training"), (7, "Small services"),
                         (8, "Storage, traffic, support, licences"), (9, "Total")):  # fmt: skip
        style = "usd strong" if column == 9 else "usd"
        page.words(0, what, "strong" if column == 9 else "text")
        found = page.made(1, at[f"first {column}"], style), page.made(2, at[f"sum {column}"], style)
        page.row += 1
    page.words(0, "With tax")
    page.made(1, found[0] * (1 + at["tax"]))
    page.made(2, found[1] * (1 + at["tax"]))
    page.words(3, "The rate of sheet Assumptions: the report counts no tax.", "note")
    page.row += 2
    _against(b, page, found[0])
    page.line("Serving fleet, each other way, USD", "First month", f"{c.horizon_months} months", style="head")
    for column, kind in enumerate((kind for kind in COMPARED if kind in at), 11):
        page.words(0, units_capital(WAYS[kind]))
        page.made(1, at[f"first {column}"])
        page.made(2, at[f"sum {column}"])
        page.row += 1
    if "leased server" in at and b.server is not None:
        servers = whole((at["replicas"] + at["spare"]) * at["each"] / b.server.gpus)
        page.words(0, "Leased, and given back")
        page.made(1, at["leased server"] * servers)
        page.words(3, "without growth", "note")
        page.row += 1
    page.row += 1
    for note in _NOTES:
        page.line(note, style="note")


def _against(b: _Bill, page: Page, month: Amount) -> None:
    """Write the report's own figures beside the workbook's."""
    page.words(0, "The report says, a month")
    said = page.given(1, units.in_currency(b.plan.usd_per_month()), "usd")
    low, high = (units.money(b.plan.usd_per_month(end)) for end in ("low", "high"))
    page.words(3, f"{low} to {high} at the ends of the prices, eight of ten", "note")
    page.row += 1
    page.words(0, "This workbook less the report")
    difference = month - said
    page.made(1, Amount(round(difference.value, 2), f"ROUND({difference.formula},2)"))
    page.row += 2


def units_capital(words: str) -> str:
    """Begin words with a capital letter.

    Examples
    --------
    >>> units_capital("bought")
    'Bought'
    """
    return words[0].upper() + words[1:]


_NOTES = (
    "Growth adds replicas in proportion to the load; servers bought later are written off at the same rate a month.",
    "A training run is spread evenly over the year; the month in which it runs costs more.",
    "Support and licences stay as at the start while the fleet grows.",
    "Prices are those of the day named; ask for written quotes before you sign.",
)
