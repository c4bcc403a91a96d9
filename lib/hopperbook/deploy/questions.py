"""What to ask the seller before signing: computed from the plan, with what is known beside each question."""

from __future__ import annotations

from typing import NamedTuple

from hopperbook import facts, units
from hopperbook.customer import Customer, rate_words
from hopperbook.errors import InputError
from hopperbook.planner import Plan, site, ties
from hopperbook.planner.configuration import Configuration, TrainingRun
from hopperbook.planner.extras import RENTED, how, years_with_card
from hopperbook.planner.show import TENURE_WORDS
from hopperbook.planner.small import Small
from hopperbook.planner.tenure import assumptions, residual_fraction, server_of, server_price, servers

Fleet = Configuration | TrainingRun | Small


class Question(NamedTuple):
    """A question to the seller: its subject, the question, what we know or assumed, and where that is from."""

    subject: str
    question: str
    known: str
    source: str


def questions(plan: Plan) -> list[Question]:
    """List what to ask the seller of what a plan recommends.

    Parameters
    ----------
    plan : Plan
        The plan.

    Returns
    -------
    list of Question
        On price first, then by how the GPUs are had; empty where nothing is recommended.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> from hopperbook.planner import plan
    >>> [each.subject for each in questions(plan(default()))][:4]
    ['Price', 'Price validity', 'Currency and tax', 'Lead time']
    """
    row, customer = plan.recommendation, plan.customer
    if row is None:
        return []
    fleets: list[Fleet] = [each for each in (row, plan.training, plan.small) if each is not None]
    found = _price(plan, row)
    if any(how(fleet) == "own" for fleet in fleets):
        found += _bought(row, customer)
    if any(how(fleet) in RENTED for fleet in fleets):
        found += _rented(plan, customer)
    found += _network(row, plan.training)
    return [*found, _licence(row, customer), _spares(plan, row)]


def _price(plan: Plan, row: Configuration) -> list[Question]:
    """Ask for the price at which the decision would turn, how long it holds, and in which money."""
    found = Question(
        "Price",
        f"What do {row.gpus} × {row.gpu} cost, all included?",
        f"We assume {_assumed(plan, row)}",
        "data/prices.csv, data/costs.csv",
    )
    run = plan.training
    trained = []
    if run is not None and run.usd:
        asked = f"What do {run.gpus} × {run.gpu} cost for a run of {units.number(run.days)} days, set-up included?"
        known = f"We assume {units.money(run.usd_run)} a run, {TENURE_WORDS[run.tenure].lower()}"
        trained = [Question("Price of training", asked, known, "data/prices.csv")]
    newest = plan.customer.as_of or facts.newest_price_date()
    held = f"Our prices are of {newest}; nine of ten list prices rose by at most {_rise()} within two to four months"
    shown = rate_words(plan.customer) or "We count US dollars."
    tax = f"{shown.rstrip('.')}, without tax, duty and freight"
    return [
        found,
        *trained,
        Question("Price validity", "Until when does the quote hold, and who bears a rise before delivery?", held,
                 "hemgo-2026-gpu-prices"),
        Question("Currency and tax", "In which currency is it billed, and which taxes and duties come on top?",
                 tax, ""),
    ]  # fmt: skip


def _assumed(plan: Plan, row: Configuration) -> str:
    """Say at which price of a server, or of an hour that is rented, we count a fleet, and where another would win."""
    other = next((each.row for each in ties.ties(plan) if each.row.gpu != row.gpu), None)
    usd = row.usd if other is None else other.usd
    each, now, at = "a GPU-hour", *(sum_usd / row.billed_gpus / units.MONTH_H for sum_usd in (row.usd, usd))
    if row.tenure == "own":
        each, now, at = "a server", *server_price(row, plan.customer, usd)
    turns = "" if other is None else f"; above {units.money(at)} {other.gpus} × {other.gpu} would cost less"
    return f"{units.money(now)} {each}{turns}"


def _rise() -> str:
    return units.percent(assumptions()["quote_high"] - 1)


def _bought(row: Configuration, customer: Customer) -> list[Question]:
    """Ask what goes with servers that are bought."""
    server = server_of(row.gpu)
    asked = site.need(customer, server, servers(row.gpus, row.gpu))
    worst, best = (units.percent(residual_fraction(customer.horizon_months, end)) for end in ("low", "high"))
    care = units.percent(assumptions()["care_fraction_per_year"])
    return [
        Question("Lead time", f"When are {server.name} with {row.gpu} delivered, and what does a delay cost you?",
                 *_lead_time(row.gpu)),
        Question("Warranty", "How many years, next day or next week, and do failed GPUs stay with us?",
                 f"We count {care} of the purchase a year for support and staff", "data/constants/cost.yaml"),
        Question("Power and cooling", f"What does a server draw at most, at which inlet temperature, and does it fit"
                 f" {asked.a_rack or 1} to a rack?",
                 f"We assume {units.fixed(asked.server_kw, 1)} kW as rated, {units.fixed(asked.kw, 1)} kW with"
                 f" cooling for all, {asked.racks} rack{'s' if asked.racks > 1 else ''}", server.source),
        Question("Resale", f"Will you take the servers back after {customer.horizon_months} months, and for how much?",
                 f"We count on {worst} to {best} of the price: there is no better figure",
                 facts.cost("residual_value_fraction_36m").source),
        Question("Lease", "What would a lease cost over the same term, and what must be given back how?",
                 f"We assume {units.percent(assumptions()['lease_rate_per_year'])} a year on the lessor's money",
                 "slyd-2026-financing"),
    ]  # fmt: skip


def _lead_time(gpu: str) -> tuple[str, str]:
    """Return what is on file of the lead time of a part, and its source."""
    try:
        weeks = facts.cost("lead_time_weeks", facts.gpu(gpu).name)
    except InputError:
        return "Nothing is on file", ""
    ends = units.span(f"{units.fixed(weeks.low)} weeks", f"{units.fixed(weeks.high)} weeks")
    return f"{ends} on file, of {weeks.date}: old, ask", weeks.source


def _rented(plan: Plan, customer: Customer) -> list[Question]:
    """Ask what goes with GPUs that are rented."""
    storage, egress = (facts.cost(item, customer.market) for item in ("storage_usd_per_tb_month", "egress_usd_per_tb"))
    found = [
        Question("Term", "What is the shortest term, what does leaving early cost, and may GPUs be exchanged for newer"
                 " ones?", f"Our horizon is {customer.horizon_months} months", "customer file"),
        Question("Availability", "Are the GPUs there on the day, in one region, and what is paid when they are not?",
                 "Nothing is on file", ""),
        Question("Storage", "What does a terabyte stored cost a month, and how fast is it read?",
                 _range(storage), storage.source),
        Question("Traffic", "What does a terabyte out cost, and how much is free?", _range(egress), egress.source),
        Question("Support", "Which answer times come with the price?",
                 f"The largest cloud asks {_share()} of the bill", "awsnegotiations-2026-support"),
    ]  # fmt: skip
    if plan.training is not None and plan.training.tenure == "spot":
        found.append(Question("Interruptions", "How often was such a node taken away in the last months, with how much"
                              " warning?", "No trace of these parts is published", "wu-2024-cant-be-late"))  # fmt: skip
    return found


def _share() -> str:
    share = facts.cost("support_share_of_spend", "business")
    return units.span(units.percent(share.low), units.percent(share.high))


def _range(price: facts.Range) -> str:
    ends = units.span(units.money(price.low), units.money(price.high))
    return f"{units.money(price.typical)} ({ends}) on file, of {price.date}"


def _network(row: Configuration, run: TrainingRun | None) -> list[Question]:
    """Ask for the links that the timing rests on."""
    part = facts.gpu(row.gpu)
    each = units.bytes_per_s(part.nvlink_bytes_per_s_per_direction)
    within = f"Are all {row.deployment.gpus} GPUs of a replica in one server, and joined by NVLink at {each} each way?"
    known = "The times rest on it" if row.deployment.gpus > 1 else "A replica is one GPU: no link matters"
    found = [Question("Interconnect", within, known, part.source)] if row.deployment.gpus > 1 else []
    if run is not None and run.gpus > 8:
        system = server_of(run.gpu)
        speed = f"{system.nics} ports of {units.fixed(8 * system.nic_bytes_per_s_per_direction / 1e9)} Gb/s a server"
        ask = f"Do the {-(-run.gpus // 8)} servers that train have {speed}, not oversubscribed, and who measured it?"
        found.append(Question("Fabric", ask, "The days of a run rest on it", system.source))
    return found


def _licence(row: Configuration, customer: Customer) -> Question:
    """Ask for the software licence."""
    yearly = facts.cost("nvaie_usd_per_gpu_year")
    known = f"List price {units.money(yearly.typical)} a GPU and year; vLLM itself needs none"
    source = yearly.source
    if years := years_with_card(row.gpu):
        known = f"{units.fixed(years)} years come with the card, by NVIDIA's guide"
        source = facts.cost("nvaie_years_with_card", row.gpu).source
    if customer.licence == "none":
        known += "; not in our bill"
    return Question(
        "Software licence", "Is NVIDIA AI Enterprise asked for or included, and for how long?", known, source
    )


def _spares(plan: Plan, row: Configuration) -> Question:
    """Ask for spares, and for room to grow."""
    grown = plan.grow_into
    more = "" if grown is None else f"; twice the load needs {grown.gpus} × {grown.gpu}"
    spare = plan.customer.spare_replicas
    have = f"Our bill has {spare} spare replica{'s' if spare > 1 else ''}" if spare else "Our bill has no spare replica"
    return Question("Spares and growth", f"How soon is a failed server replaced, and at what price do we get more"
                    f" {row.gpu} within the term?", have + more, "customer file")  # fmt: skip


def as_markdown(plan: Plan) -> str:
    """Write the questions as a list to send.

    Parameters
    ----------
    plan : Plan
        A plan with a recommendation.

    Returns
    -------
    str
        Markdown.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> from hopperbook.planner import plan
    >>> as_markdown(plan(default())).splitlines()[0]
    '# Lingua Shop: questions for the quote'
    """
    lines = [f"# {plan.customer.name}: questions for the quote", ""]
    for number, each in enumerate(questions(plan), 1):
        source = f" ({each.source})" if each.source else ""
        lines += [f"{number}. **{each.subject}.** {each.question}", f"   {each.known}{source}.", ""]
    return "\n".join(lines)
