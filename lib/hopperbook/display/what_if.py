"""A table of plans that a reader steps through: two settings side by side, each row a plan that was worked out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from hopperbook import units
from hopperbook.display.core import DATA_MIME, block, escape, show
from hopperbook.display.tables import Column, _cell, _data, _head, _scroll, _side, _source, _table_cell, _title


class Choice(NamedTuple):
    """A field that the reader may change.

    Parameters
    ----------
    name : str
        What it is, in words.
    field : str
        As ``--set`` names it.
    words, values : tuple of str
        Its values for the reader, and for the command.
    sizes : tuple of float
        How large they are, to find the nearest.
    own : int
        Place of the reader's own.
    """

    name: str
    field: str
    words: tuple[str, ...]
    values: tuple[str, ...]
    sizes: tuple[float, ...]
    own: int


def what_if(
    rows: pd.DataFrame,
    columns: Sequence[Column],
    choices: Sequence[Choice],
    places: Sequence[Sequence[int]],
    command: str,
    *,
    name: str,
    title: str,
    subtitle: str = "",
    source: str = "",
) -> None:
    """Show plans as a table, from which a script on the page lets the reader pick two and compare them.

    Parameters
    ----------
    rows : DataFrame
        A plan each, with ``usd``, its cost a month; the reader's own first.
    columns : sequence of Column
        What to show; the first says what differs from the reader's own.
    choices : sequence of Choice
        What may be changed.
    places : sequence of sequence of int
        Where each row stands among the choices.
    command : str
        Line that makes the reader's own plan; ``--set`` is added to it.
    name : str
        Short name; the page offers all of ``rows`` as CSV.
    title, subtitle, source : str
        The finding above the table, what is shown, and what it was computed by.

    Examples
    --------
    >>> users = Choice("Users at once", "concurrency", ("8", "16"), ("8", "16"), (8, 16), 0)
    >>> plans = pd.DataFrame({"setting": ["yours", "16 users"], "usd": [900.0, 1800.0]})
    >>> shown = [Column("setting", "Setting"), Column("usd", "USD a month", units.money)]
    >>> what_if(plans, shown, [users], [(0,), (1,)], "hopperbook plan", name="plans", title="Twice as much")
    Twice as much
    Setting | USD a month
    yours | $900
    16 users | $1,800
    """
    sides = [_side(rows, column) for column in columns]
    body, folded, lines = "", "", [title, " | ".join(column.label.replace("\n", " ") for column in columns)]
    for place, row in zip(places, rows.to_dict("records"), strict=True):
        cells = [_cell(row, column) for column in columns]
        lines.append(" | ".join(first + (f" ({below})" if below else "") for first, below in cells))
        at, usd = " ".join(map(str, place)), json.dumps(units.stored(units.in_currency(row["usd"])))
        strong = "" if body else ' class="hb-strong"'
        html = "".join(map(_table_cell, cells, sides, columns, range(len(columns))))
        html = f'<tr{strong} data-place="{at}" data-usd="{usd}">{html}</tr>'
        if sum(step != each.own for step, each in zip(place, choices, strict=True)) > 1:
            folded += html
        else:
            body += html
    head = _head([(column.label, side) for column, side in zip(columns, sides, strict=True)])
    html = _title(title, subtitle) + _scroll(f"<table>{head}<tbody>{body}</tbody></table>", title)
    if folded:
        crossed = _scroll(f"<table>{head}<tbody>{folded}</tbody></table>", "Two changes at a time")
        html += f'<details class="hb-more"><summary>Show two changes at a time</summary>{crossed}</details>'
    about = escape(json.dumps({"command": command, "choices": [each._asdict() for each in choices]}))
    about += f'" data-sign="{escape(units.sign())}'
    html = f'<div class="hb-what-if" data-choices="{about}">{html}{_source(source, name)}</div>'
    show(block("table hb-many", html), "\n".join(lines), {DATA_MIME: _data(name, rows)})
