"""What stands behind the numbers that a reader would quote: formula, inputs with sources, calculator, known error.

Their words are those of ``data/doors.yaml``; :mod:`made` fills them. :mod:`fleet` and :mod:`chips` hold the panels,
:mod:`chapters` those of each chapter's answer box.
"""

from hopperbook.studies.doors.chapters import (
    MOMENT_DAYS,
    accurate,
    by_pencil,
    claims,
    counted,
    doubled,
    latency,
    memory,
    paid,
    run_days,
    shared_card,
    training,
    wins,
)
from hopperbook.studies.doors.chips import formats, hopper_over, science, wires
from hopperbook.studies.doors.fleet import cache_room, cost, token

__all__ = [
    "MOMENT_DAYS",
    "accurate",
    "by_pencil",
    "cache_room",
    "claims",
    "cost",
    "counted",
    "doubled",
    "formats",
    "hopper_over",
    "latency",
    "memory",
    "paid",
    "run_days",
    "science",
    "shared_card",
    "token",
    "training",
    "wins",
    "wires",
]
