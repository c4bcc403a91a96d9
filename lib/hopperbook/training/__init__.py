"""A training step, bottom-up from kernels; its layouts; and a run with failures and checkpoints."""

from hopperbook.training.layer import Framework, constants, framework, sustained_flop_per_s
from hopperbook.training.methods import METHODS, base_task
from hopperbook.training.run import best, checkpointing, days, goodput, layouts, run_constants, sweep, usable_bytes
from hopperbook.training.steps import LAYOUT_COLUMNS, PARTS, TASKS, Step, adapter_parameters, step

__all__ = [
    "Framework",
    "LAYOUT_COLUMNS",
    "METHODS",
    "PARTS",
    "Step",
    "TASKS",
    "adapter_parameters",
    "base_task",
    "best",
    "checkpointing",
    "constants",
    "days",
    "framework",
    "goodput",
    "layouts",
    "run_constants",
    "step",
    "sustained_flop_per_s",
    "sweep",
    "usable_bytes",
]
