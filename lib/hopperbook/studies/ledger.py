"""What the ledger of claims says as a whole: verdicts counted, close calls, figures claimed and computed, sources."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from hopperbook import claims, units
from hopperbook.customer import Customer

#: Claims that facts of the parts decide, which no load or price moves.
FIXED = ("C04", "C06", "C08", "C09", "C14", "C27")
#: Claims that prices decide.
PRICED = ("C10", "C13", "C21", "C23", "C25", "C29")
CLOSE = 0.1  # distance to the border, in logarithms, of a close call
LEAST = 1e-3  # magnitudes below it count as this


class Moved(NamedTuple):
    """A claim whose verdict is another at other prices."""

    id: str
    now: str
    then: str


def figure(value: float) -> str:
    """Write a figure of the ledger.

    Parameters
    ----------
    value : float
        The figure.

    Returns
    -------
    str
        Three digits.

    Examples
    --------
    >>> figure(3.14159)
    '3.14'
    """
    return units.number(value, 3)


def verdict_counts(ledger: pd.DataFrame) -> pd.Series:
    """Count the verdicts.

    Parameters
    ----------
    ledger : DataFrame
        From :func:`hopperbook.claims.ledger`.

    Returns
    -------
    Series of int
        Claims by verdict, in the order of :data:`hopperbook.claims.VERDICTS`, zeros included.

    Examples
    --------
    >>> verdict_counts(pd.DataFrame({"verdict": ["holds", "holds", "wrong"]})).tolist()
    [2, 0, 0, 1]
    """
    return ledger.verdict.value_counts().reindex(list(claims.VERDICTS), fill_value=0)


def verdict_words(counts: pd.Series) -> str:
    """Say how many claims mislead and how many are wrong.

    Parameters
    ----------
    counts : Series of int
        From :func:`verdict_counts`.

    Returns
    -------
    str
        Words that begin a sentence.

    Examples
    --------
    >>> verdict_words(pd.Series({"misleads": 14, "wrong": 1}))
    '14 mislead and 1 is wrong'
    """
    mislead = f"{counts['misleads']} mislead{'s' if counts['misleads'] == 1 else ''}"
    return f"{mislead} and {counts['wrong']} {'is' if counts['wrong'] == 1 else 'are'} wrong"


def distance(ledger: pd.DataFrame) -> pd.Series:
    r"""Return how far each figure lies from the border of its verdict.

    .. math:: d = \left|\ln\frac{\max(|v|, 10^{-3})}{\max(|b|, 10^{-3})}\right|

    Parameters
    ----------
    ledger : DataFrame
        ``value border``.

    Returns
    -------
    Series
        Distances in logarithms; NaN without figure or border.

    Examples
    --------
    >>> distance(pd.DataFrame({"value": [2.0, 1.0], "border": [1.0, -1.0]})).round(3).tolist()
    [0.693, 0.0]
    """
    value, border = (np.maximum(np.abs(ledger[name]), LEAST) for name in ("value", "border"))
    return np.abs(np.log(value / border))


def close_calls(ledger: pd.DataFrame) -> int:
    """Count the verdicts whose figure lies within a tenth of its border.

    Parameters
    ----------
    ledger : DataFrame
        ``value border``.

    Returns
    -------
    int
        Claims.

    Examples
    --------
    >>> close_calls(pd.DataFrame({"value": [1.05, 2.0, np.nan], "border": [1.0, 1.0, 1.0]}))
    1
    """
    return int((distance(ledger) < CLOSE).sum())


def nearest(ledger: pd.DataFrame, count: int = 3) -> pd.DataFrame:
    """Return the claims whose verdicts are nearest to flipping, of those that a customer's values can move.

    Parameters
    ----------
    ledger : DataFrame
        From :func:`hopperbook.claims.ledger`.
    count : int
        How many.

    Returns
    -------
    DataFrame
        Rows of the ledger, the nearest first.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> len(nearest(claims.ledger(default())))
    3
    """
    away = distance(ledger)
    moves = ~ledger.id.isin(FIXED) & (away > 0) & (ledger.border > 0) & (ledger.value > 0)
    return ledger.loc[away[moves].nsmallest(count).index]


def bordered(ledger: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the claims that have a figure and a border, by verdict.

    Parameters
    ----------
    ledger : DataFrame
        From :func:`hopperbook.claims.ledger`.

    Returns
    -------
    dict of str to DataFrame
        Rows of the ledger, in the order of verdicts; those without a row are left out.

    Examples
    --------
    >>> rows = pd.DataFrame({"verdict": ["wrong", "holds"], "value": [1.0, np.nan], "border": [2.0, 1.0]})
    >>> list(bordered(rows))
    ['wrong']
    """
    drawn = ledger[np.isfinite(ledger.value) & np.isfinite(ledger.border)]
    found = {verdict: drawn[drawn.verdict == verdict] for verdict in claims.VERDICTS}
    return {verdict: rows for verdict, rows in found.items() if len(rows)}


def over_claimed(ledger: pd.DataFrame) -> pd.DataFrame:
    """Compare figures computed with figures claimed, where a claim names one.

    Parameters
    ----------
    ledger : DataFrame
        From :func:`hopperbook.claims.ledger`.

    Returns
    -------
    DataFrame
        ``id topic value claimed ratio``, the ratio computed over claimed.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> found = over_claimed(claims.ledger(default())).set_index("id")[["value", "claimed", "ratio"]]
    >>> found.loc["C04"].round(2).tolist()  # peaks: 989.4 / 312 dense, 1,978.8 / 312 with sparsity as claimed
    [3.17, 6.34, 0.5]
    """
    rows = ledger[np.isfinite(ledger.claimed) & (ledger.claimed > 0) & (ledger.value > 0)]
    return rows[["id", "topic", "value", "claimed"]].assign(ratio=rows.value / rows.claimed)


def source_table(ledger: pd.DataFrame) -> pd.DataFrame:
    """List the sources, each with the claims that it decides.

    Parameters
    ----------
    ledger : DataFrame
        ``id sources``.

    Returns
    -------
    DataFrame
        ``claims source``, in order of the sources, which are keys of ``data/references.bib``.

    Examples
    --------
    >>> source_table(pd.DataFrame({"id": ["C01", "C02"], "sources": [["b"], ["a", "b"]]})).claims.tolist()
    ['C02', 'C01, C02']
    """
    keys = sorted({key for sources in ledger.sources for key in sources})
    return pd.DataFrame(
        {
            "claims": ", ".join(row.id for row in ledger.itertuples() if key in row.sources),
            "source": key,
        }
        for key in keys
    )


def moved_by_market(ledger: pd.DataFrame, customer: Customer) -> list[Moved]:
    """Return the claims whose verdicts are others at the prices of the other market.

    Parameters
    ----------
    ledger : DataFrame
        The customer's.
    customer : Customer
        GPU clouds become hyperscalers, and the other way round.

    Returns
    -------
    list of Moved
        Claims that prices decide, in order.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> [tuple(moved) for moved in moved_by_market(claims.ledger(default()), default())][-1]
    ('C25', 'holds', 'holds under conditions')
    """
    other = customer.model_copy(update={"market": "hyperscaler" if customer.market == "other" else "other"})
    now = ledger.set_index("id").verdict
    found = [Moved(claim, str(now[claim]), claims.decide(claim, other).verdict) for claim in PRICED]
    return [moved for moved in found if moved.now != moved.then]
