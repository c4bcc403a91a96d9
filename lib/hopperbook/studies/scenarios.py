"""Three scenarios of the article and the customer side by side: inputs, decisions, bills, and what breaks first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pandas as pd

from hopperbook import facts, planner, units
from hopperbook.customer import Customer
from hopperbook.customer import load as load_customer
from hopperbook.planner import Configuration, Plan, TrainingRun
from hopperbook.planner.bill import Item, Strain, bill

#: Files of the article's scenarios in ``data/customers``.
FILES = {"A": "train-70b", "B": "inference-saas", "C": "ai-hpc"}
#: Titles of the scenarios, the customer's own last.
TITLES = {"A": "A: trains 70B", "B": "B: serves 70B", "C": "C: AI and HPC", "yours": "Yours"}
#: Fields of a customer that are compared, in words.
FIELDS = {
    "model": "Model served",
    "concurrency": "Users at once",
    "held_tokens": "Tokens a user holds",
    "tpot_target_ms": "Each token within, ms",
    "training_task": "Training",
    "training_tokens": "Tokens trained",
    "training_deadline_days": "Within, days",
    "hpc_hours_per_day": "Scientific work, hours a day",
    "budget_usd_per_month": "Budget, USD a month",
    "tenure": "Rent, reserve or buy",
}


def cases(customer: Customer) -> dict[str, Customer]:
    """Return the article's scenarios and the customer.

    Parameters
    ----------
    customer : Customer
        Whose book this is.

    Returns
    -------
    dict of str to Customer
        By key of :data:`TITLES`.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> list(cases(default()))
    ['A', 'B', 'C', 'yours']
    """
    named = {key: load_customer(facts.DATA / "customers" / f"{name}.yaml") for key, name in FILES.items()}
    return named | {"yours": customer}


def field_words(case: Customer, field: str, label: Callable[[str], str] = str) -> str:
    """Write a field of a customer for the table of inputs.

    Parameters
    ----------
    case : Customer
        Whose field.
    field : str
        One of :data:`FIELDS`.
    label : callable
        Shortens a model's id.

    Returns
    -------
    str
        The value in words; ``none`` for a training that does not take place.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> field_words(default(), "model"), field_words(default(), "concurrency")
    ('meta-llama/Llama-3.3-70B-Instruct', '128')
    """
    value = getattr(case, field)
    if field == "model":
        return label(value)
    if field == "training_tokens":
        return units.tokens(value) if case.trains else "none"
    if field == "budget_usd_per_month":
        return units.money(value) if value else "not stated"
    if field == "training_deadline_days":
        return f"{value:g}" if case.trains else "none"
    if isinstance(value, int):
        return units.integer(value)
    return f"{value:g}" if isinstance(value, float) else str(value).replace("_", " ")


def input_table(customers: Mapping[str, Customer], label: Callable[[str], str] = str) -> pd.DataFrame:
    """Set the inputs of customers side by side.

    Parameters
    ----------
    customers : mapping of str to Customer
        Customers by key.
    label : callable
        Shortens a model's id.

    Returns
    -------
    DataFrame
        ``what`` and a column a customer, by its key, in words.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> input_table({"yours": default()}).yours.tolist()[1]
    '128'
    """
    columns = {key: [field_words(case, field, label) for field in FIELDS] for key, case in customers.items()}
    return pd.DataFrame({"what": [units.priced(words) for words in FIELDS.values()]} | columns)


def fleet_words(row: Configuration | TrainingRun) -> str:
    """Name a fleet.

    Parameters
    ----------
    row : Configuration or TrainingRun
        Serving or training.

    Returns
    -------
    str
        Number of GPUs and the part.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> fleet_words(planner.plan(default()).recommendation)
    '8 × H100 SXM'
    """
    return f"{row.gpus} × {row.gpu}"


def decision_table(plans: Mapping[str, Plan]) -> pd.DataFrame:
    """Set the decisions of plans side by side.

    Parameters
    ----------
    plans : mapping of str to Plan
        Plans by key of :data:`TITLES`.

    Returns
    -------
    DataFrame
        ``case who serve how train days`` in words; ``usd low high`` a month over the range of prices; ``sure``, the
        probability that both targets are met, NaN where nothing is recommended.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> decision_table({"yours": planner.plan(default())})[["case", "who"]].iloc[0].tolist()
    ['Yours', 'Lingua Shop']
    """
    return pd.DataFrame([_decision(key, made) for key, made in plans.items()])


def _decision(key: str, made: Plan) -> dict[str, str | float]:
    """Return a plan as a row of the table."""
    return {
        "case": TITLES[key],
        "who": made.customer.name,
        **_serving(made),
        **_training(made),
        "usd": made.usd_per_month(),
        "low": made.usd_per_month("low"),
        "high": made.usd_per_month("high"),
        "sure": _sure(made),
    }


def _serving(made: Plan) -> dict[str, str]:
    """Return the serving fleet in words, and how it is laid out, held and had."""
    row = made.recommendation
    if row is None:
        return {"serve": "nothing meets the targets", "how": ""}
    words = [planner.layout(row), units.format_name(row.precision), row.tenure.replace("_", " ")]
    return {"serve": fleet_words(row), "how": ", ".join(words)}


def _training(made: Plan) -> dict[str, str]:
    """Return the training fleet in words, and how long it takes."""
    row = made.training
    if row is None:
        return {"train": "no cluster in time" if made.customer.trains else "none", "days": ""}
    return {"train": fleet_words(row), "days": units.duration(row.days * units.DAY_S)}


def _sure(made: Plan) -> float:
    """Return the probability that both targets are met."""
    row = made.recommendation
    return float("nan") if row is None else float(row.p_tpot * row.p_ttft)


def amount_words(amount: float) -> str:
    """Write how many of an item a bill has.

    Parameters
    ----------
    amount : float
        Pieces, gigabytes, kilowatts.

    Returns
    -------
    str
        Whole numbers with separators, others as they are.

    Examples
    --------
    >>> amount_words(16.0), amount_words(11.2)
    ('16', '11.2')
    """
    return units.fixed(amount) if amount == int(amount) else f"{amount:g}"


def bill_table(made: Plan) -> pd.DataFrame:
    """Return the bill of materials of a plan.

    Parameters
    ----------
    made : Plan
        The plan.

    Returns
    -------
    DataFrame
        ``what amount unit why``; no row where nothing is recommended.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> bill_table(planner.plan(default())).what.iloc[0]
    'GPU server, serving'
    """
    return pd.DataFrame(bill(made), columns=list(Item._fields))


def strain_bars(strains: Sequence[Strain]) -> pd.DataFrame:
    """Return the use of each limit now and at twice the load.

    Parameters
    ----------
    strains : sequence of Strain
        From :func:`hopperbook.planner.bill.strains`.

    Returns
    -------
    DataFrame
        ``item`` in words, ``value`` in % of the limit; two rows a limit.

    Examples
    --------
    >>> strain_bars([Strain("budget", 0.5, 1.0, "")]).value.tolist()
    [50.0, 100.0]
    """
    return pd.DataFrame(
        {"item": f"{strain.limit}, {when}", "value": 100 * use}
        for strain in strains
        for when, use in (("now", strain.now), ("twice the load", strain.doubled))
    )


def break_table(strained: Mapping[str, Sequence[Strain]]) -> pd.DataFrame:
    """Return each scenario's most strained limit.

    Parameters
    ----------
    strained : mapping of str to sequence of Strain
        Limits by key, the most strained first.

    Returns
    -------
    DataFrame
        ``case breaks now doubled remedy``; uses as shares of the limit, NaN where no fleet is recommended.

    Examples
    --------
    >>> break_table({"A": [Strain("budget", 0.5, 1.1, "more")], "B": []}).breaks.tolist()
    ['budget', '']
    """
    empty = Strain("", float("nan"), float("nan"), "")
    rows = []
    for key, strains in strained.items():
        first = strains[0] if strains else empty
        rows.append({"case": key, "breaks": first.limit, "now": first.now, "doubled": first.doubled})
        rows[-1]["remedy"] = first.remedy
    return pd.DataFrame(rows)


def days_on(made: Plan, gpu: str, gpus: int) -> float | None:
    """Return the days that a plan's training takes at least on so many of one part.

    Parameters
    ----------
    made : Plan
        The plan.
    gpu : str
        Name of the part.
    gpus : int
        GPUs.

    Returns
    -------
    float or None
        Days; None where nothing fits.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> made = planner.plan(default())
    >>> round(24 * days_on(made, "H100 SXM", 8), 1), days_on(made, "H100 SXM", 3)  # hours
    (4.1, None)
    """
    tried = made.training_table
    if not len(tried):
        return None
    rows = tried[(tried.gpus == gpus) & (tried.gpu == gpu)]
    return float(rows.days.min()) if len(rows) else None
