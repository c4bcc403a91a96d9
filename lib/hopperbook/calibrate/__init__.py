"""Fitting the few named constants on rows marked ``fit``, and the ranges from residuals of judged ones."""

from hopperbook.calibrate.refit import run

__all__ = ["run"]
