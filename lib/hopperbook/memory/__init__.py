"""What fits on a GPU: the budget of a serving replica, and the states and activations of a training rank."""

from hopperbook.memory.serving import (
    Budget,
    constants,
    kv_copies,
    rank_weight_bytes,
    remedies,
    step_activation_bytes,
)
from hopperbook.memory.training import (
    MODES,
    OPTIMIZER_BYTES,
    RECOMPUTE,
    SHARDINGS,
    Bytes,
    Peak,
    States,
    activation_bytes,
    in_flight,
    layer_activation_bytes,
    peak,
    rank_parameters,
    sharding_stage,
    state_bytes,
)

__all__ = [
    "Budget",
    "Bytes",
    "MODES",
    "OPTIMIZER_BYTES",
    "Peak",
    "RECOMPUTE",
    "SHARDINGS",
    "States",
    "activation_bytes",
    "constants",
    "in_flight",
    "kv_copies",
    "layer_activation_bytes",
    "peak",
    "rank_parameters",
    "rank_weight_bytes",
    "remedies",
    "sharding_stage",
    "state_bytes",
    "step_activation_bytes",
]
