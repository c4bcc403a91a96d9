"""The book's charts: each takes tidy rows and returns a specification that `hopperbook.display.figure` shows.

==========================================  =======================================
question                                    chart
==========================================  =======================================
bound by compute or bandwidth?              ``roofline``
does it fit?                                ``memory_stack``
what fits where?                            ``fit_map``
which options are not dominated?            ``pareto``
where does the step go?                     ``timeline``
can we trust it?                            ``predicted_measured``, ``error_strip``
what matters most?                          ``tornado``
which GPU for my load?                      ``decision_map``
when does buying pay?                       ``break_even``
how to cut a card?                          ``mig_placement``
how is it wired?                            ``topology``
what does FP8 lose?                         ``number_line``
anything else                               ``lines``, ``bars``, ``histogram``
==========================================  =======================================
"""

from hopperbook.charts.base import HALF, NARROW, WIDE, Spec, gpu_style
from hopperbook.charts.choice import break_even, pareto, tornado
from hopperbook.charts.drawings import number_line, topology
from hopperbook.charts.maps import decision_map
from hopperbook.charts.memory import fit_map, memory_stack, mig_placement
from hopperbook.charts.plain import bars, histogram, lines
from hopperbook.charts.speed import error_strip, predicted_measured, roofline, timeline

__all__ = [
    "HALF",
    "NARROW",
    "Spec",
    "WIDE",
    "bars",
    "break_even",
    "decision_map",
    "error_strip",
    "fit_map",
    "gpu_style",
    "histogram",
    "lines",
    "memory_stack",
    "mig_placement",
    "number_line",
    "pareto",
    "predicted_measured",
    "roofline",
    "timeline",
    "topology",
    "tornado",
]
