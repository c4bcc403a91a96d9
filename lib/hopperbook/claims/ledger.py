"""The ledger: all claims in order, each with what it comes to for one customer."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from hopperbook import facts
from hopperbook.claims import models, money, parts
from hopperbook.claims.finding import VERDICTS, Finding
from hopperbook.customer import Customer, default
from hopperbook.errors import InputError
from hopperbook.planner.upgrade import eased

DECIDED_BY: dict[str, Callable[[Customer], Finding]] = {**parts.CLAIMS, **models.CLAIMS, **money.CLAIMS}


def decide(claim: str, customer: Customer) -> Finding:
    """Decide one claim for a customer.

    Parameters
    ----------
    claim : str
        ``C01`` to ``C29``.
    customer : Customer
        Lengths, targets, prices.

    Returns
    -------
    Finding
        Verdict, sentence, figure, border and sources.

    Raises
    ------
    InputError
        If there is no such claim.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> decide("C04", default()).verdict
    'misleads'
    """
    if claim not in DECIDED_BY:
        raise InputError("claim", claim, "C01 to C29", DECIDED_BY)
    found = DECIDED_BY[claim](eased(_writing(customer)))  # no claim can be decided for targets that no part keeps
    if found.verdict not in VERDICTS:
        raise InputError("verdict", found.verdict, "one of " + ", ".join(VERDICTS), VERDICTS)
    return found


#: What a service is asked, as the book's own customer asks it where hers writes nothing: the claims are of answers.
LOAD = (
    "service", "model", "texts_per_request", "concurrency", "requests_per_s", "prompt_tokens", "prompt_std_tokens",
    "output_tokens", "context_tokens", "ttft_target_ms", "ttft_percentile", "request_target_ms",
)  # fmt: skip


def _writing(customer: Customer) -> Customer:
    """Return a customer whose service writes: herself, or with the load of the book's customer in place of hers."""
    if not customer.only_reads:
        return customer
    return customer.model_copy(update={field: getattr(default(), field) for field in LOAD})


def ledger(customer: Customer) -> pd.DataFrame:
    """Decide every claim of ``data/claims.yaml``.

    Parameters
    ----------
    customer : Customer
        Lengths, targets, prices.

    Returns
    -------
    DataFrame
        ``id topic claim chapter verdict sentence axis value border claimed sources``, one row a claim, in order.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> len(ledger(default()))
    29
    """
    rows = []
    for row in facts.records("claims"):
        found = decide(str(row["id"]), customer)
        rows.append({key: row[key] for key in ("id", "topic", "claim", "chapter")} | vars(found))
    return pd.DataFrame(rows)
