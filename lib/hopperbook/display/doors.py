"""The door behind a number: its formula, inputs, calculator, how wrong it has been, and how to run it again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hopperbook.display.core import build_command, escape
from hopperbook.display.tables import Input

#: The chapter that says how far predictions lie from measurements.
ERRORS = "12-how-wrong.ipynb"


@dataclass(frozen=True)
class Door:
    """What stands behind a number, for the panel that opens beside it.

    Parameters
    ----------
    formula : str
        The formula with its numbers, plain text, such as ``2 x 80 layers x 8 KV heads x 128 = 160 KiB a token``.
    inputs : sequence of Input
        What goes in, each with its value and source; the page links the sources.
    calculator : str
        The function that computes it, such as ``memory.budget``; the page links its reference.
    error : str
        One sentence: how far predictions of this kind lay from measurements.
    file_name : str
        The customer's file, for the command.
    settings : mapping
        A field to try, as the reader would type it.

    Examples
    --------
    >>> Door("1 + 1 = 2", calculator="planner.plan", error="Exact.").plain()
    'Formula: 1 + 1 = 2. Computed by planner.plan. How wrong: Exact.'
    """

    formula: str
    inputs: Sequence[Input] = ()
    calculator: str = ""
    error: str = ""
    file_name: str = ""
    settings: Mapping[str, object] = field(default_factory=dict)

    def rows(self) -> list[tuple[str, str]]:
        """Return the panel's rows: a name, and safe HTML."""
        found = [("Formula", escape(self.formula))]
        listed = "".join(map(_input, self.inputs))
        found += [("Inputs", f"<ul>{listed}</ul>")] * bool(listed)
        found += [("Computed by", escape(self.calculator))] * bool(self.calculator)
        more = f' <a href="{ERRORS}">How wrong are we?</a>'
        found += [("How wrong", escape(self.error) + more)] * bool(self.error)
        if self.file_name:
            command = build_command(self.file_name, self.settings)
            found += [("Run it again", f"<code>{escape(command)}</code>")]
        return found

    def html(self, name: str, shown: bool = False) -> str:
        """Return the panel, closed; its handle names the number, to the eye too where it is shown."""
        rows = "".join(f"<dt>{title}</dt><dd>{content}</dd>" for title, content in self.rows())
        handle = f'Where this comes from<span class="hb-unseen">: {escape(name)}</span>'
        if shown:
            handle = f'{escape(name)}<span class="hb-unseen">: where this comes from</span>'
        return f'<details class="hb-door" name="hb-door"><summary>{handle}</summary><dl>{rows}</dl></details>'

    def plain(self) -> str:
        """Return formula, calculator and error in words."""
        parts = [f"Formula: {self.formula.removesuffix('.')}"]
        parts += [f"Computed by {self.calculator}"] * bool(self.calculator)
        return ". ".join(parts) + "." + (f" How wrong: {self.error}" if self.error else "")


def _input(each: Input) -> str:
    """Return an input with its value and source; the address of the source leads out of the book."""
    out = ""
    if each.url.startswith(("https://", "http://")):
        of = f'<span class="hb-unseen"> of {escape(each.source)}</span>'
        out = f' <a class="hb-out" href="{escape(each.url)}" rel="noopener noreferrer">original{of}</a>'
    dated = f", {escape(each.date)}" if each.date else ""
    return f"<li>{escape(each.name)}: <b>{escape(each.value)}</b> <span>({escape(each.source)}{dated})</span>{out}</li>"
