"""The bill of a plan as a workbook of spreadsheets: live formulas, each with the value that it has now."""

from hopperbook.workbook.bill import bill, totals
from hopperbook.workbook.cells import Book
from hopperbook.workbook.write import to_bytes, write

__all__ = ["Book", "bill", "to_bytes", "totals", "write"]
