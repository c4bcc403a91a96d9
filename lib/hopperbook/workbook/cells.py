"""Cells of a workbook: an amount is a value and the formula that makes it, so that the two cannot drift apart."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NotRequired, TypedDict

from hopperbook import units

#: Digits kept of a number: to the cent up to a hundred million, and no bit on which processors disagree.
DIGITS = 12
Number = int | float


class Cell(TypedDict):
    """One cell: where it stands, what it holds now, the formula that makes it (empty: none), how it is shown."""

    row: int
    column: int
    value: str | Number
    formula: str
    style: str


class Sheet(TypedDict):
    """One sheet: its name, the widths of its columns in characters, the line at its foot, and its cells."""

    name: str
    widths: list[int]
    foot: NotRequired[str]
    cells: list[Cell]


class Book(TypedDict):
    """A workbook as plain values, as a notebook keeps it; :func:`hopperbook.workbook.to_bytes` makes the file."""

    name: str
    sheets: list[Sheet]


@dataclass(frozen=True)
class Amount:
    """A number of a workbook: what it is now, and the expression that makes it from cells.

    Examples
    --------
    >>> a, b = Amount(8.0, "Own!B2"), Amount(2.5, "Rent!B2")
    >>> (a * b + 1).value, (a * b + 1).formula
    (21.0, '((Own!B2*Rent!B2)+1)')
    """

    value: float
    formula: str

    def __add__(self, other: Amount | Number) -> Amount:
        return _join(self, "+", other)

    def __radd__(self, other: Number) -> Amount:
        return _join(other, "+", self)

    def __sub__(self, other: Amount | Number) -> Amount:
        return _join(self, "-", other)

    def __rsub__(self, other: Number) -> Amount:
        return _join(other, "-", self)

    def __mul__(self, other: Amount | Number) -> Amount:
        return _join(self, "*", other)

    def __truediv__(self, other: Amount | Number) -> Amount:
        return _join(self, "/", other)

    def __rtruediv__(self, other: Number) -> Amount:
        return _join(other, "/", self)

    def __pow__(self, other: Amount | Number) -> Amount:
        return _join(self, "^", other)


_DO = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "^": lambda a, b: a**b,
}


def _plain(value: Amount | Number) -> Amount:
    return value if isinstance(value, Amount) else Amount(float(value), f"{value:g}")


def _join(a: Amount | Number, sign: str, b: Amount | Number) -> Amount:
    left, right = _plain(a), _plain(b)
    return Amount(_DO[sign](left.value, right.value), f"({left.formula}{sign}{right.formula})")


def whole(a: Amount) -> Amount:
    """Round up to a whole number, past the last bits of a power.

    Examples
    --------
    >>> whole(Amount(2.0000000000001, "B2")).value, whole(Amount(2.1, "B2")).formula
    (2.0, 'ROUNDUP(ROUND(B2,9),0)')
    """
    return Amount(float(math.ceil(round(a.value, 9))), f"ROUNDUP(ROUND({a.formula},9),0)")


def paid(gpus: Amount, nodes_only: bool) -> Amount:
    """Return the GPUs that are paid for: whole nodes of eight if bought, else 1, 2, 4, 8 and then nodes.

    Parameters
    ----------
    gpus : Amount
        GPUs needed.
    nodes_only : bool
        Whether they are bought.

    Returns
    -------
    Amount
        As :func:`hopperbook.planner.fleet.billed`.

    Examples
    --------
    >>> [paid(Amount(n, "B2"), False).value for n in (3, 8, 12)], paid(Amount(2, "B2"), True).value
    ([4.0, 8.0, 16.0], 8.0)
    """
    n, cell = gpus.value, gpus.formula
    nodes, formula = 8.0 * math.ceil(n / 8), f"8*ROUNDUP({cell}/8,0)"
    if nodes_only:
        return Amount(nodes, f"({formula})")
    small = 2.0 ** math.ceil(math.log2(max(n, 1)))
    return Amount(nodes if n > 8 else small, f"IF({cell}>8,{formula},IF({cell}>4,8,IF({cell}>2,4,{cell})))")


def total(amounts: list[Amount]) -> Amount:
    """Add the amounts of cells that stand together in a row or a column.

    Examples
    --------
    >>> total([Amount(1.0, "Months!B2"), Amount(2.0, "Months!B3"), Amount(3.0, "Months!B4")])
    Amount(value=6.0, formula='SUM(Months!B2:B4)')
    """
    last = amounts[-1].formula.split("!")[-1]
    return Amount(sum(a.value for a in amounts), f"SUM({amounts[0].formula}:{last})")


class Page:
    """A sheet while it is filled; rows and columns count from 0."""

    def __init__(self, name: str, widths: list[int], foot: str = ""):
        self.sheet: Sheet = {"name": name, "widths": widths, "cells": []}
        if foot:
            self.sheet["foot"] = foot
        self.row = 0

    def words(self, column: int, text: str, style: str = "text") -> None:
        """Write text into the present row; it stays text whatever it begins with."""
        self._put(column, units.priced(text), "", style)

    def given(self, column: int, value: Number, style: str = "number") -> Amount:
        """Write a number that is given, and return the amount of its cell."""
        return self._put(column, units.stored(float(value), DIGITS), "", style)

    def made(self, column: int, amount: Amount, style: str = "usd") -> Amount:
        """Write a formula, and return the amount of its cell."""
        return self._put(column, units.stored(float(amount.value), DIGITS), amount.formula, style)

    def line(self, *texts: str, style: str = "text") -> None:
        """Write a row of texts, and go on to the next."""
        for column, text in enumerate(texts):
            self.words(column, text, style)
        self.row += 1

    def _put(self, column: int, value: str | Number, formula: str, style: str) -> Amount:
        cell: Cell = {"row": self.row, "column": column, "value": value, "formula": formula, "style": style}
        self.sheet["cells"].append(cell)
        return Amount(0.0 if isinstance(value, str) else float(value), f"{self.sheet['name']}!{_at(self.row, column)}")


def _at(row: int, column: int) -> str:
    """Return a cell's address; sheets of a bill have fewer than 27 columns."""
    return f"{chr(ord('A') + column)}{row + 1}"
