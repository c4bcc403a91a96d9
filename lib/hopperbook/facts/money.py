"""Currencies in which a report may show money, each at a dated reference rate; what is computed stays in US dollars."""

from __future__ import annotations

from typing import NamedTuple

from hopperbook.errors import InputError, nearest_names
from hopperbook.facts.tables import records


class Currency(NamedTuple):
    """A currency: what stands before an amount, and how much of it one US dollar buys, of which day, by whom."""

    code: str
    sign: str
    name: str
    per_usd: float
    date: str
    source: str


def currency(code: str) -> Currency:
    """Return a currency with its rate, crossed over the euro where the source quotes euros.

    .. math:: r = \\frac{\\text{units a euro}}{\\text{dollars a euro}}

    Parameters
    ----------
    code : str
        Code of ISO 4217, such as ``EUR``.

    Returns
    -------
    Currency
        Units of it for one US dollar, with date and source.

    Raises
    ------
    InputError
        If no rate is on file.

    Notes
    -----
    Source: ``ecb-reference-rates``.

    Examples
    --------
    >>> round(currency("EUR").per_usd, 4), round(currency("JPY").per_usd, 1)
    (0.8654, 158.6)
    """
    known = {str(row["code"]): row for row in records("currencies")}
    if code not in known:
        raise InputError("currency", code, "one of " + ", ".join(known), nearest_names(code, list(known)))
    row = known[code]
    rate = float(row["per_eur"]) / float(row["usd_per_eur"])
    return Currency(code, str(row["sign"]), str(row["name"]), rate, str(row["date"]), str(row["source"]))
