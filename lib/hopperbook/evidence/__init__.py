"""Measurements beside predictions: rows in one format, answers with ranges, and how wrong they were."""

from hopperbook.evidence.answers import answer, predict, scatter, summary
from hopperbook.evidence.intervals import interval, intervals
from hopperbook.evidence.judged import judged
from hopperbook.evidence.rows import KINDS, cell, gpu_label, measurements, number, plain_gpu, read, suspect

__all__ = [
    "KINDS",
    "answer",
    "cell",
    "gpu_label",
    "interval",
    "intervals",
    "judged",
    "measurements",
    "number",
    "plain_gpu",
    "predict",
    "read",
    "scatter",
    "summary",
    "suspect",
]
