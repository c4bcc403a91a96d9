"""Serving: steps, capacity, steady state and the closed loop."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hopperbook import serving
from hopperbook.errors import InputError
from hopperbook.models import load


def deployment(name="llama-3.1-70b", gpu="H100 SXM", tp=4, precision="fp8", engine="TensorRT-LLM", **more):
    return serving.deploy(load(name), gpu, tp=tp, precision=precision, engine_name=engine, **more)


def test_published_throughput():
    """Llama 3.3 70B FP8 on one H200, 1,000 in and 1,000 out: 2,909 tokens/s (TensorRT-LLM 1.0)."""
    d = deployment("llama-3.3-70b", "H200 SXM", tp=1, kv_precision="fp8")
    assert serving.offline(d, 1000, 1000)[0] == pytest.approx(2909, rel=0.06)


def test_step_grows_with_load_and_shrinks_with_gpus():
    d = deployment()
    batch = serving.decode_step_s(d, np.array([1, 64, 512]), 2048)
    assert np.all(np.diff(batch) > 0)
    assert serving.decode_step_s(d, 64, 65536) > serving.decode_step_s(d, 64, 1024)
    assert serving.decode_step_s(deployment(tp=8), 64, 2048) < serving.decode_step_s(deployment(tp=2), 64, 2048)
    assert serving.mixed_step_s(d, 64, 2048, 4096) > serving.decode_step_s(d, 64, 2048)


def test_capacity_follows_precision_and_windows():
    eight = serving.kv_capacity_tokens(deployment(kv_precision="fp8"))
    sixteen = serving.kv_capacity_tokens(deployment(kv_precision="bf16"))
    assert eight == pytest.approx(2 * sixteen, rel=0.01)
    assert serving.kv_capacity_tokens(deployment(tp=1, precision="bf16")) == 0
    oss = serving.deploy(load("openai/gpt-oss-120b"), "H200 SXM")
    assert serving.kv_capacity_tokens(oss, 65536) > 1.5 * serving.kv_capacity_tokens(oss, 128)


@settings(max_examples=15, deadline=None)
@given(
    st.integers(1, 64), st.integers(16, 4096), st.integers(2, 300), st.sampled_from(["TensorRT-LLM", "vLLM", "SGLang"])
)
def test_closed_loop_obeys_littles_law(users, prompt, answer, engine):
    """Users = rate x time in the system, for any engine and load (start and end of the run apart)."""
    d = deployment(engine=engine)
    loop = serving.closed_loop(d, users, prompt, answer)
    rate = loop.output_tokens_per_s / answer
    assert 0.75 * users <= rate * loop.request_s <= 1.01 * users
    assert loop.request_s == pytest.approx(loop.ttft_s + (answer - 1) * loop.tpot_s, rel=1e-6)


def test_an_engine_queues_where_memory_is_full():
    d = deployment(tp=1, gpu="H200 SXM")
    few, many = (serving.closed_loop(d, users, 8192, 512) for users in (4, 400))
    assert many.waiting_for_memory and not few.waiting_for_memory
    assert many.ttft_s > 10 * few.ttft_s
    assert many.tpot_s < 20 * few.tpot_s


def test_long_runs_repeat_a_round_without_harm(monkeypatch):
    d = deployment()
    short = serving.closed_loop(d, 48, 1024, 128)
    monkeypatch.setattr(serving.simulation, "LONG_RUN_USERS", 10**9)
    whole = serving.closed_loop(d, 48, 1024, 128)
    assert short.ttft_s == pytest.approx(whole.ttft_s, rel=0.05)
    assert short.tpot_s == pytest.approx(whole.tpot_s, rel=0.02)
    assert short.output_tokens_per_s == pytest.approx(whole.output_tokens_per_s, rel=0.03)


def test_experts_take_the_fastest_layout():
    d = deployment("Qwen/Qwen3-235B-A22B", "H200 SXM", tp=8)
    best = serving.fastest_layout(d, 1000, 1000)
    assert serving.offline(best, 1000, 1000)[0] >= serving.offline(d, 1000, 1000)[0]
    assert best.moe_tp * best.moe_ep == 8


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"tp": 3}, "tp"),
        ({"tp": 0}, "tp"),
        ({"attention_dp": 3}, "attention_dp"),
        ({"pp": 1000}, "pp"),
        ({"precision": "fp3"}, "precision"),
        ({"engine": "llama.cpp"}, "engine"),
        ({"gpu": "H300"}, "gpu"),
    ],
)
def test_bad_input_names_its_field(options, field):
    with pytest.raises(InputError, match=field):
        deployment(**options)
