"""Requests over time on one replica: what queueing theory and bookkeeping demand, whatever the hardware."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hopperbook import serving
from hopperbook.errors import InputError
from hopperbook.models import load
from hopperbook.serving.events import Limits, Requests, replay
from hopperbook.serving.traffic import Traffic, draw, largest_rate_per_s, serve

REPLICA = serving.deploy(load("llama-3.1-8b"), "H100 SXM", precision="bf16")
CHAT = Traffic(8.0, 400, 600, 150, input_std=400, output_std=100)


def test_littles_law_holds_over_a_run():
    """Requests in the system on average are their rate times the time each spends there."""
    drawn = draw(CHAT)
    run = replay(REPLICA, drawn, Limits(8192, 1024))
    ends = run.arrival + run.request
    events = sorted([(at, 1) for at in run.arrival] + [(at, -1) for at in ends])
    times, moves = (np.array(column, float) for column in zip(*events, strict=True))
    inside = np.cumsum(moves)[:-1] @ np.diff(times)
    assert inside == pytest.approx(run.request.sum(), rel=1e-9)
    assert (run.ttft > 0).all() and (run.request >= run.ttft).all()


def test_one_request_alone_takes_its_prefill_and_its_steps():
    alone = replay(REPLICA, Requests([2048], [65], arrival_s=[1.5]), Limits(8192, 1024))
    engine = REPLICA.engine
    front = engine.frontend_s + engine.tokenise_s * 2048
    steps = engine.output_lag_steps * float(serving.decode_step_s(REPLICA, 1, 2049))
    own = float(serving.prefill_s(REPLICA, 2048)) + front + steps
    assert float(alone.ttft[0]) == pytest.approx(own, rel=0.02)
    assert float(alone.tpot[0]) == pytest.approx(float(serving.decode_step_s(REPLICA, 1, 2080)), rel=0.02)


def test_prefill_alone_waits_as_an_m_d_1_queue():
    """One token an answer: the engine is a server with one service time when a step holds one prompt."""
    d = serving.with_engine(REPLICA, frontend_s=0.0, tokenise_s=0.0, output_lag_steps=0, schedule_lag_steps=0)
    service_s = float(serving.prefill_s(d, 4096))
    busy = 0.6
    seen = serve(d, Traffic(busy / service_s, 6000, 4096, 1), seed=3, limits=Limits(4096, 1))
    waits = float(seen.ttft_s.mean()) - service_s
    assert waits == pytest.approx(busy / (2 * (1 - busy)) * service_s, rel=0.12)


@settings(max_examples=20, deadline=None)
@given(st.floats(0.5, 30), st.floats(1.05, 3), st.integers(0, 5))
def test_a_higher_rate_never_answers_sooner(rate, more, seed):
    slow, fast = (serve(REPLICA, replace(CHAT, rate_per_s=r, requests=150), seed) for r in (rate, more * rate))
    assert fast.request_s.mean() >= slow.request_s.mean() * (1 - 1e-3)


def test_a_cached_prefix_shortens_the_first_token_and_not_the_cache():
    whole, half = (serve(REPLICA, replace(CHAT, prefix_hit=hit)) for hit in (0.0, 0.5))
    assert half.ttft_s.mean() < whole.ttft_s.mean()
    assert half.tpot_s.mean() < whole.tpot_s.mean()  # fewer prompts between the tokens of others


def test_the_largest_rate_keeps_its_limits_and_a_little_more_does_not():
    rate = largest_rate_per_s(REPLICA, CHAT, 0.4, 0.02)
    kept, missed = (serve(REPLICA, replace(CHAT, rate_per_s=r)) for r in (rate, 1.05 * rate))
    assert np.percentile(kept.ttft_s, 99) <= 0.4 and np.percentile(kept.tpot_s, 99) <= 0.02
    assert np.percentile(missed.ttft_s, 99) > 0.4 or np.percentile(missed.tpot_s, 99) > 0.02
    assert largest_rate_per_s(REPLICA, CHAT, 1e-4, 0.02) == 0.0


@pytest.mark.parametrize(
    ("change", "field"),
    [({"arrival": "bursts"}, "arrival"), ({"prefix_hit": 1.0}, "prefix_hit"), ({"rate_per_s": 0.0}, "rate_per_s"),
     ({"requests": 0}, "requests")],
)  # fmt: skip
def test_impossible_traffic_is_refused(change, field):
    with pytest.raises(InputError, match=field):
        replace(CHAT, **change)
