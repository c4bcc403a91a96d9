"""A model served: an engine step, capacity, steady states, and the closed loop of users."""

from hopperbook.serving.campaigns import published_budget, published_requests
from hopperbook.serving.capacity import kv_capacity_bytes, kv_capacity_tokens
from hopperbook.serving.deployment import Deployment, deploy, with_engine, without_windows
from hopperbook.serving.engines import Engine, engine, engines
from hopperbook.serving.simulation import Loop, at_concurrency, closed_loop
from hopperbook.serving.steady import Steady, fastest_layout, offline, sweep, unstreamed
from hopperbook.serving.step import Profile, decode_step_s, mixed_step_s, prefill_s, profile

__all__ = [
    "Deployment",
    "Engine",
    "Loop",
    "Profile",
    "Steady",
    "at_concurrency",
    "closed_loop",
    "decode_step_s",
    "deploy",
    "engine",
    "engines",
    "fastest_layout",
    "kv_capacity_bytes",
    "kv_capacity_tokens",
    "mixed_step_s",
    "offline",
    "prefill_s",
    "profile",
    "published_budget",
    "published_requests",
    "sweep",
    "unstreamed",
    "with_engine",
    "without_windows",
]
