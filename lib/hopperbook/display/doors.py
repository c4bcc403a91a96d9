"""The door behind a number: its formula, inputs, calculator, how wrong it has been, and how to run it again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hopperbook.display.core import build_command, escape
from hopperbook.display.tables import Input


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
        listed = "".join(
            f"<li>{escape(each.name)}: <b>{escape(each.value)}</b> <span>({escape(each.source)})</span></li>"
            for each in self.inputs
        )
        found += [("Inputs", f"<ul>{listed}</ul>")] * bool(listed)
        found += [("Computed by", escape(self.calculator))] * bool(self.calculator)
        found += [("How wrong", escape(self.error))] * bool(self.error)
        if self.file_name:
            command = build_command(self.file_name, self.settings)
            found += [("Run it again", f"<code>{escape(command)}</code>")]
        return found

    def html(self, name: str) -> str:
        """Return the panel, closed, with a handle that names the number it belongs to."""
        rows = "".join(f"<dt>{title}</dt><dd>{content}</dd>" for title, content in self.rows())
        return (
            f'<details class="hb-door"><summary>Where this comes from<span class="hb-unseen">: {escape(name)}</span>'
            f"</summary><dl>{rows}</dl></details>"
        )

    def plain(self) -> str:
        """Return formula, calculator and error in words."""
        parts = [f"Formula: {self.formula}"]
        parts += [f"Computed by {self.calculator}"] * bool(self.calculator)
        return ". ".join(parts) + "." + (f" How wrong: {self.error}" if self.error else "")
