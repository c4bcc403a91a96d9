"""Units and the one formatter of numbers, memory, money, time and ranges.

Code computes in SI base units (bytes, seconds, FLOP/s, USD, watts); a conversion happens only where a number is
shown, and only here; so does that of money into another currency.  GB is 1e9 bytes, GiB is 2**30 bytes; the two are
never mixed.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

KB, MB, GB, TB = 1e3, 1e6, 1e9, 1e12
KIB, MIB, GIB, TIB = 2.0**10, 2.0**20, 2.0**30, 2.0**40
HOUR_S, DAY_S = 3600.0, 86400.0
MONTH_H = 730.0  # hours a month: 8,760 / 12
MONTH_S = MONTH_H * HOUR_S
DURATION_STEPS = (
    (1e-3, 1e-6, "µs"),
    (1.0, 1e-3, "ms"),
    (120.0, 1.0, "s"),
    (2 * HOUR_S, 60.0, "minutes"),
    (2 * DAY_S, HOUR_S, "hours"),
    (math.inf, DAY_S, "days"),
)
NBSP, THIN, MINUS, TIMES = "\u00a0", "\u202f", "\u2212", "\u00d7"
STORED_DIGITS = 6  # of a number kept in a notebook, a chart, a CSV or results.json
#: The currency in which this process shows money, and units of it for one US dollar.
_money: dict[str, str | float] = {"code": "USD", "sign": "$", "per_usd": 1.0}
_SETTLED_DIGITS = 12  # what processors agree on; a double holds nearly 16


def settled(value: float) -> float:
    """Drop the last bits of a number, on which processors disagree: a sum's order differs with their vector width.

    Whatever is rounded for a page passes here first, so that a value which lies on a rounding border by arithmetic
    (0.125 at two digits, seen as 0.12499999999999999 elsewhere) falls to one side everywhere.

    Parameters
    ----------
    value : float
        Any number.

    Returns
    -------
    float
        The number to twelve significant digits; zero and non-finite values pass through.

    Examples
    --------
    >>> settled(0.1 + 0.2), settled(0.12499999999999999) == 0.125
    (0.3, True)
    """
    return float(f"{value:.{_SETTLED_DIGITS}g}") if math.isfinite(value) else float(value)


def rounded(value: float, digits: int = 2) -> float:
    """Round to significant digits, alike on every processor.

    Parameters
    ----------
    value : float
        Any number.
    digits : int
        Significant digits kept.

    Returns
    -------
    float
        The rounded value; zero and non-finite values pass through.

    Examples
    --------
    >>> rounded(1483.2), rounded(0.01239, 3)
    (1500.0, 0.0124)
    """
    value = settled(value)
    if value == 0 or not math.isfinite(value):
        return value
    return round(value, digits - 1 - math.floor(math.log10(abs(value))))


def stored(value: Any, digits: int = STORED_DIGITS) -> Any:
    """Return a value as it is kept in a notebook: floats rounded, so that no processor changes a byte of the book.

    Parameters
    ----------
    value : object
        NumPy and Python numbers become Python ones, floats rounded; everything else passes.
    digits : int
        Significant digits kept of a float.

    Returns
    -------
    object
        A value that JSON can hold; a missing or infinite number is None.

    Examples
    --------
    >>> stored(0.1 + 0.2), stored(float("nan")), stored(70553706496), stored("H100")
    (0.3, None, 70553706496, 'H100')
    """
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, float):
        return rounded(value, digits) if math.isfinite(value) else None
    return value


def number(value: float, digits: int = 2) -> str:
    """Show a number with significant digits, thousands separators and a true minus sign.

    Parameters
    ----------
    value : float
        Any number.
    digits : int
        Significant digits; integers of more digits are rounded to them.

    Returns
    -------
    str
        Text such as ``1,500`` or ``0.0124``; ``n/a`` for a missing value.

    Examples
    --------
    >>> number(1483.2), number(70.56, 3), number(-0.5, 2), number(float("nan"))
    ('1,500', '70.6', '−0.50', 'n/a')
    """
    if value is None or not math.isfinite(value):
        return "n/a"
    value = rounded(value, digits)
    decimals = 0 if value == 0 else max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{decimals}f}".replace("-", MINUS)


def integer(value: float) -> str:
    """Show a whole number with thousands separators.

    Parameters
    ----------
    value : float
        A count.

    Returns
    -------
    str
        Text such as ``70,553,706,496``.

    Examples
    --------
    >>> integer(70553706496)
    '70,553,706,496'
    """
    return f"{value if isinstance(value, int) else round(settled(value)):,}".replace("-", MINUS)


def fixed(value: float, decimals: int = 0) -> str:
    """Show a number with a fixed number of decimals, alike on every processor.

    Parameters
    ----------
    value : float
        Any number.
    decimals : int
        Digits behind the point.

    Returns
    -------
    str
        Text such as ``1.27``.

    Examples
    --------
    >>> fixed(1.2749999999999999, 2), fixed(0.5 * 0.25, 2)
    ('1.27', '0.12')
    """
    return f"{settled(value):,.{decimals}f}".replace("-", MINUS)


def ceiling(value: Any) -> Any:
    """Round up to whole numbers, blind to the last bits: what is whole by arithmetic stays so on every processor.

    Parameters
    ----------
    value : float or array
        Counts not below zero.

    Returns
    -------
    float or array of float
        The least whole numbers not below them.

    Examples
    --------
    >>> float(ceiling(3 * (0.1 + 0.2) / 0.3)), float(ceiling(3.001))
    (3.0, 4.0)
    """
    return np.ceil(np.asarray(value, float) * (1 - 1e-12) - 1e-12)


def quantity(value: float, unit: str, digits: int = 2) -> str:
    """Show a number and its unit, kept together by a no-break space.

    Parameters
    ----------
    value : float
        The number, already in ``unit``.
    unit : str
        The unit as printed.
    digits : int
        Significant digits.

    Returns
    -------
    str
        Text such as ``66 ms``.

    Examples
    --------
    >>> quantity(66.2, "ms") == "66\\u00a0ms"
    True
    """
    return f"{number(value, digits)}{NBSP}{unit}"


def percent(fraction: float, digits: int = 2) -> str:
    """Show a fraction as per cent.

    Parameters
    ----------
    fraction : float
        0.34 for 34 %.
    digits : int
        Significant digits, at most one decimal below ten.

    Returns
    -------
    str
        Text such as ``34 %`` with a narrow no-break space.

    Examples
    --------
    >>> percent(0.341) == "34\\u202f%"
    True
    """
    value = settled(100 * fraction)
    whole = number(value, max(digits, 3 if abs(value) >= 100 else 2))
    shown = f"{value:.1f}" if abs(value) < 10 and digits > 1 else whole
    return f"{shown.replace('-', MINUS)}{THIN}%"


def odds(probability: float) -> str:
    """Write a probability; those near one or nought are not told apart.

    Parameters
    ----------
    probability : float
        From 0 to 1.

    Returns
    -------
    str
        Per cent.

    Examples
    --------
    >>> [odds(share).replace(THIN, " ") for share in (0.9999, 0.42, 0.0)]
    ['over 99 %', '42 %', 'under 1.0 %']
    """
    if probability > 0.99:
        return f"over {percent(0.99)}"
    return f"under {percent(0.01, 1)}" if probability < 0.01 else percent(probability)


def show_money_in(code: str, sign: str, per_usd: float) -> None:
    """Let this process show money in a currency from here on; amounts are still given in US dollars.

    Parameters
    ----------
    code, sign : str
        Its code, and what stands before an amount.
    per_usd : float
        Units of it for one US dollar.

    Examples
    --------
    >>> show_money_in("EUR", "€", 0.9)
    >>> money(1000), currency(), float(in_currency(2.0))
    ('€900', 'EUR', 1.8)
    >>> show_money_in("USD", "$", 1.0)
    """
    _money.update(code=code, sign=sign, per_usd=per_usd)


def currency() -> str:
    """Return the code of the currency in which money is shown.

    Returns
    -------
    str
        ``USD`` unless another was chosen.

    Examples
    --------
    >>> currency()
    'USD'
    """
    return str(_money["code"])


def sign() -> str:
    """Return what stands before an amount of money, such as ``$``.

    Returns
    -------
    str
        A sign, or a code with a space that does not break.

    Examples
    --------
    >>> sign()
    '$'
    """
    return str(_money["sign"]).replace(" ", NBSP)


def in_currency(usd: Any) -> Any:
    """Convert US dollars to the currency in which money is shown: for an axis, a cell of a sheet, a slider.

    Parameters
    ----------
    usd : float or array
        US dollars.

    Returns
    -------
    float or array
        The same money in :func:`currency`.

    Examples
    --------
    >>> in_currency(2.5)
    2.5
    """
    return usd if _money["per_usd"] == 1.0 else usd * _money["per_usd"]


def priced(label: str) -> str:
    """Name the currency in which money is shown in a label that was written for US dollars.

    Parameters
    ----------
    label : str
        Head of a column or title of an axis.

    Returns
    -------
    str
        The label with that currency's code for ``USD``.

    Examples
    --------
    >>> priced("USD a month")
    'USD a month'
    """
    return label.replace("USD", currency())


def money(usd: float, digits: int = 3) -> str:
    """Show money: cents below 100, else rounded to significant digits; in US dollars or the currency chosen.

    Parameters
    ----------
    usd : float
        Amount in US dollars.
    digits : int
        Significant digits from 100 up.

    Returns
    -------
    str
        Text such as ``$14,600``, ``$2.49`` or ``$3.1 million``.

    Examples
    --------
    >>> money(14587), money(2.488), money(-120.4)
    ('$14,600', '$2.49', '−$120')
    >>> money(3.14e6) == "$3.14\\u00a0million"
    True
    """
    shown = amount(usd, digits)
    if shown == "n/a":
        return shown
    return f"{MINUS}{sign()}{shown[1:]}" if shown.startswith(MINUS) else f"{sign()}{shown}"


def amount(usd: float, digits: int = 3) -> str:
    """Show money without its sign, for a column whose head names the currency.

    Parameters
    ----------
    usd : float
        Amount in US dollars.
    digits : int
        Significant digits from 100 up.

    Returns
    -------
    str
        As :func:`money`, without the sign before it.

    Examples
    --------
    >>> amount(14587), amount(2.488)
    ('14,600', '2.49')
    """
    if usd is None or not math.isfinite(usd):
        return "n/a"
    minus, value = (MINUS if usd < 0 else ""), settled(in_currency(abs(usd)))
    if value >= 999_500_000:
        return f"{minus}{number(value / 1e9, digits)}{NBSP}billion"
    if value >= 999_500:
        return f"{minus}{number(value / 1e6, digits)}{NBSP}million"
    if value >= 100:
        return f"{minus}{number(value, digits)}"
    return f"{minus}{value:.2f}" if value >= 0.1 or value == 0 else f"{minus}{number(value, 2)}"


def cents(usd: float) -> str:
    """Show a price to the hundredth, without a sign.

    Parameters
    ----------
    usd : float
        Amount in US dollars.

    Returns
    -------
    str
        Text such as ``2.49``.

    Examples
    --------
    >>> cents(2.488)
    '2.49'
    """
    return fixed(in_currency(usd), 2)


def gib(value_bytes: float) -> str:
    """Show bytes in GiB: whole numbers from 10 up, two digits below.

    Parameters
    ----------
    value_bytes : float
        Bytes.

    Returns
    -------
    str
        Text such as ``131 GiB``.

    Examples
    --------
    >>> gib(141_107_412_992) == "131\\u00a0GiB"
    True
    """
    value = settled(value_bytes / GIB)
    return f"{integer(value) if abs(value) >= 10 else number(value)}{NBSP}GiB"


def gib_shown(value_bytes: float) -> str:
    """Show the memory that a driver reports, with the digits that tell it from the memory that is sold.

    Parameters
    ----------
    value_bytes : float
        Bytes.

    Returns
    -------
    str
        Text such as ``79.6 GiB``.

    Examples
    --------
    >>> gib_shown(81_559 * 2**20) == "79.6\u00a0GiB"
    True
    """
    return quantity(value_bytes / GIB, "GiB", 3)


def bytes_per_s(value: float) -> str:
    """Show a bandwidth in GB/s, or TB/s from 1,000 GB/s.

    Parameters
    ----------
    value : float
        Bytes per second.

    Returns
    -------
    str
        Text such as ``4.8 TB/s``.

    Examples
    --------
    >>> bytes_per_s(4.8e12) == "4.80\\u00a0TB/s", bytes_per_s(450e9) == "450\\u00a0GB/s"
    (True, True)
    """
    value = settled(value)
    return quantity(value / TB, "TB/s", 3) if value >= TB else quantity(value / GB, "GB/s", 3)


def tflop_per_s(value: float, kind: str = "dense") -> str:
    """Show a rate in TFLOP/s with the word dense or sparse.

    Parameters
    ----------
    value : float
        FLOP per second.
    kind : str
        ``dense`` or ``sparse``, or empty for a measured rate.

    Returns
    -------
    str
        Text such as ``989 TFLOP/s dense``.

    Examples
    --------
    >>> tflop_per_s(989.4e12) == "989\\u00a0TFLOP/s dense"
    True
    """
    return quantity(value / 1e12, "TFLOP/s", 3) + (f" {kind}" if kind else "")


def duration(seconds: float, digits: int = 2) -> str:
    """Show a time in the unit a person would pick.

    Parameters
    ----------
    seconds : float
        Seconds.
    digits : int
        Significant digits.

    Returns
    -------
    str
        Text such as ``66 ms``, ``1.4 s``, ``3.5 hours`` or ``21 days``.

    Examples
    --------
    >>> duration(0.0662) == "66\\u00a0ms", duration(1.8e6) == "21\\u00a0days"
    (True, True)
    """
    if seconds is None or not math.isfinite(seconds):
        return "n/a"
    seconds = settled(seconds)
    _, size, unit = next(step for step in DURATION_STEPS if abs(rounded(seconds, digits)) < step[0])
    return quantity(seconds / size, unit, digits)


def more(ratio: float) -> str:
    """Say how one cost compares with another, to stand after "costs".

    Parameters
    ----------
    ratio : float
        The one over the other.

    Returns
    -------
    str
        In per cent, or from twice on in times.

    Examples
    --------
    >>> [more(ratio).replace(THIN, " ") for ratio in (1.25, 3.0, 0.9)]
    ['25 % more', '3.0 times as much', '10 % less']
    """
    if ratio >= 2:
        return f"{fixed(ratio, 1)} times as much"
    return f"{percent(abs(ratio - 1))} {'more' if ratio >= 1 else 'less'}"


def span(low: str, high: str) -> str:
    """Join two formatted ends of a range for a sentence, writing a shared unit or a shared ``$`` sensibly.

    Parameters
    ----------
    low, high : str
        Texts made by the formatters above.

    Returns
    -------
    str
        Text such as ``58 to 75 ms``.

    Examples
    --------
    >>> span("58\\u00a0ms", "75\\u00a0ms") == "58 to 75\\u00a0ms"
    True
    >>> span("$11,900", "$18,400")
    '$11,900 to $18,400'
    """
    for gap in (NBSP, THIN):
        left, cut, unit = low.partition(gap)
        if cut and high.endswith(cut + unit):
            return f"{left} to {high}"
    return f"{low} to {high}"


def parameters(count: float) -> str:
    """Show a parameter count in billions or millions.

    Parameters
    ----------
    count : float
        Number of parameters.

    Returns
    -------
    str
        Text such as ``70.6 billion``.

    Examples
    --------
    >>> parameters(70553706496) == "70.6\\u00a0billion"
    True
    """
    count = settled(count)
    return quantity(count / 1e9, "billion", 3) if count >= 1e9 else quantity(count / 1e6, "million", 3)


def tokens(count: float) -> str:
    """Show a token count: whole below a million, else million, billion or trillion.

    Parameters
    ----------
    count : float
        Number of tokens.

    Returns
    -------
    str
        Text such as ``4,096`` or ``15 trillion``.

    Examples
    --------
    >>> tokens(4096), tokens(15e12) == "15\\u00a0trillion"
    ('4,096', True)
    """
    count = settled(count)
    for size, word in ((1e12, "trillion"), (1e9, "billion"), (1e6, "million")):
        if count >= size:
            return f"{settled(count / size):.4g}{NBSP}{word}"
    return integer(count)


def format_name(precision: str) -> str:
    """Show the name of a number format.

    Parameters
    ----------
    precision : str
        A key of ``models.PRECISION_BITS``.

    Returns
    -------
    str
        Text such as ``BF16`` or ``block FP8``.

    Examples
    --------
    >>> format_name("bf16"), format_name("fp8_block")
    ('BF16', 'block FP8')
    """
    name = precision.removesuffix("_block").upper()
    return f"block {name}" if precision.endswith("_block") else name
