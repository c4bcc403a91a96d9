"""Fitting the few named constants on rows marked ``fit``, ranges on judged ones, and a customer's own constants."""

from hopperbook.calibrate.refit import run
from hopperbook.calibrate.runs import fit as fit_own

__all__ = ["fit_own", "run"]
