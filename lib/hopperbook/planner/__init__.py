"""From a customer to a decision: every feasible configuration, the Pareto front, a recommendation and the reasons."""

from hopperbook.evidence.beyond import bands
from hopperbook.planner.borders import borders, decision_map, power_w
from hopperbook.planner.choose import Plan, plan
from hopperbook.planner.configuration import Configuration, TrainingRun
from hopperbook.planner.fleet import counterpart
from hopperbook.planner.odds import days_band, days_range
from hopperbook.planner.quality import quality_notes
from hopperbook.planner.rehearsal import Rehearsal, rehearse
from hopperbook.planner.show import as_json, as_text, configuration, headline, layout, run
from hopperbook.planner.show_rehearsal import rehearsal_json, rehearsal_text
from hopperbook.planner.show_traced import traced_json, traced_text
from hopperbook.planner.standing import standing_parts
from hopperbook.planner.traced import Traced, of_trace, plan_for_trace, rehearse_trace
from hopperbook.planner.unconsidered import closing

__all__ = [
    "Configuration",
    "Plan",
    "Rehearsal",
    "Traced",
    "TrainingRun",
    "as_json",
    "as_text",
    "bands",
    "borders",
    "closing",
    "configuration",
    "counterpart",
    "days_band",
    "days_range",
    "decision_map",
    "headline",
    "layout",
    "of_trace",
    "plan",
    "plan_for_trace",
    "quality_notes",
    "power_w",
    "rehearsal_json",
    "rehearsal_text",
    "rehearse",
    "rehearse_trace",
    "run",
    "traced_json",
    "traced_text",
    "standing_parts",
]
