"""What a chapter calls to show things: every text is escaped, every number comes formatted from ``hopperbook.units``.

The order of a chapter: a Markdown cell with its question as heading and a sentence below, a cell tagged ``parameters``,
then `answer`, `inputs`, `formula`, `figure`, `table`, the check as another `figure`, `fold` for each exercise, `rerun`.
The executive page: `title`, `cards`, `options`, then `figure` in a cell tagged ``left`` and `flips` with `notes` in a
cell tagged ``right``, `stamp`.  Prose with numbers is `text`; a number for tests and other pages goes out by `result`.

Strings are plain text and are escaped, so an f-string with a customer's name is safe.  Only `text`, `fold` and the deck
of `title` read Markdown; there a customer's text and every number go in as ``{name}`` fields.  Links between chapters
are ``[words](04-network.ipynb)``.  Code is folded below what it shows; the tag ``remove-input`` hides it altogether.
"""

from hopperbook.display.boxes import Estimate, Flip, answer, cards, flips
from hopperbook.display.core import text
from hopperbook.display.doors import Door
from hopperbook.display.figure import figure, result
from hopperbook.display.lists import Reference, glossary, references
from hopperbook.display.page import file, fold, notes, rerun, stamp, title, workbook
from hopperbook.display.tables import Column, Input, Option, formula, inputs, options, table
from hopperbook.display.what_if import Choice, what_if

__all__ = [
    "Choice",
    "Column",
    "Door",
    "Estimate",
    "Flip",
    "Input",
    "Option",
    "Reference",
    "answer",
    "cards",
    "figure",
    "file",
    "flips",
    "fold",
    "formula",
    "glossary",
    "inputs",
    "notes",
    "options",
    "references",
    "rerun",
    "result",
    "stamp",
    "table",
    "text",
    "title",
    "what_if",
    "workbook",
]
