"""The parameters cell of a chapter: every field of the default customer as a flat assignment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat

from hopperbook.customer import Customer


def cell_source(customer: Customer) -> str:
    """Write the parameters cell for a customer.

    Parameters
    ----------
    customer : Customer
        The book's default.

    Returns
    -------
    str
        One assignment a line, in the order of the schema.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> cell_source(default()).splitlines()[0]
    "name = 'Lingua Shop'"
    """
    return "\n".join(f"{field} = {value!r}" for field, value in customer.model_dump().items())


def synchronise(chapter: Path, customer: Customer) -> bool:
    """Rewrite a chapter's parameters cell where it differs from the default customer.

    Parameters
    ----------
    chapter : Path
        The notebook.
    customer : Customer
        The book's default.

    Returns
    -------
    bool
        Whether the file changed.

    Raises
    ------
    ValueError
        If the chapter has no cell tagged ``parameters``.
    """
    notebook = nbformat.read(chapter, as_version=4)
    cell: Any = next((c for c in notebook.cells if "parameters" in c.metadata.get("tags", [])), None)
    if cell is None:
        raise ValueError(f"{chapter.name} has no cell tagged parameters")
    wanted = cell_source(customer)
    if cell.source == wanted:
        return False
    cell.source = wanted
    nbformat.write(notebook, chapter)
    return True
