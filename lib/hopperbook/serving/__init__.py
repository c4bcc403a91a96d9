"""A model served: an engine step, capacity, steady states, and the closed loop of users."""

from hopperbook.serving.campaigns import published_budget, published_requests
from hopperbook.serving.capacity import budget, kv_capacity_tokens
from hopperbook.serving.clock import Clock
from hopperbook.serving.deployment import Deployment, deploy, with_engine, without_windows
from hopperbook.serving.engines import Engine, engine, engines
from hopperbook.serving.simulation import Loop, at_concurrency, closed_loop
from hopperbook.serving.steady import Steady, fastest_layout, offline, sweep, unstreamed
from hopperbook.serving.step import clock_of, decode_step_s, mixed_step_s, prefill_s, step_parts

__all__ = [
    "Clock",
    "Deployment",
    "Engine",
    "Loop",
    "Steady",
    "at_concurrency",
    "budget",
    "clock_of",
    "closed_loop",
    "decode_step_s",
    "deploy",
    "engine",
    "engines",
    "fastest_layout",
    "kv_capacity_tokens",
    "mixed_step_s",
    "offline",
    "prefill_s",
    "published_budget",
    "published_requests",
    "step_parts",
    "sweep",
    "unstreamed",
    "with_engine",
    "without_windows",
]
