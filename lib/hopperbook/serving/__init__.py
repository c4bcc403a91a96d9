"""A model served: an engine step, capacity, steady states, a closed loop of users, and traffic over time."""

from hopperbook.serving.adapters import adapter_bytes, added_s, with_adapters
from hopperbook.serving.campaigns import published_budget, published_requests
from hopperbook.serving.capacity import budget, kv_capacity_tokens
from hopperbook.serving.clock import Clock
from hopperbook.serving.demand import Answer, Demand, Targets, answer, largest, largest_range
from hopperbook.serving.deployment import Deployment, deploy, with_engine
from hopperbook.serving.engines import Engine, engine, engines
from hopperbook.serving.queue import Lengths, first_cut
from hopperbook.serving.simulation import Loop, at_concurrency, closed_loop
from hopperbook.serving.steady import Steady, fastest_layout, offline, sweep, unstreamed
from hopperbook.serving.step import clock_of, decode_step_s, mixed_step_s, prefill_s, step_parts
from hopperbook.serving.traffic import Served, Traffic, largest_rate_per_s, serve

__all__ = [
    "Answer",
    "Clock",
    "Demand",
    "Deployment",
    "Engine",
    "Lengths",
    "Loop",
    "Served",
    "Steady",
    "Targets",
    "Traffic",
    "adapter_bytes",
    "added_s",
    "answer",
    "at_concurrency",
    "budget",
    "clock_of",
    "closed_loop",
    "decode_step_s",
    "deploy",
    "engine",
    "engines",
    "fastest_layout",
    "first_cut",
    "kv_capacity_tokens",
    "largest",
    "largest_range",
    "largest_rate_per_s",
    "mixed_step_s",
    "offline",
    "prefill_s",
    "published_budget",
    "published_requests",
    "serve",
    "step_parts",
    "sweep",
    "unstreamed",
    "with_adapters",
    "with_engine",
]
