"""From a customer to a decision: every feasible configuration, the Pareto front, a recommendation and the reasons."""

from hopperbook.planner.choose import Plan, plan
from hopperbook.planner.show import as_json, as_text, configuration

__all__ = ["Plan", "as_json", "as_text", "configuration", "plan"]
