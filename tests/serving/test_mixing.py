"""Step times of attention that is not everywhere, and of layers that are not attention."""

from dataclasses import replace

import numpy as np
import pytest

from hopperbook.models import load
from hopperbook.serving import decode_step_s, deploy
from hopperbook.serving.clock import BATCH, CONTEXT, NEW_TOKENS
from hopperbook.serving.mixing import mixing_s

FULL, SPARSE, COMPRESSED = (load(f"deepseek-ai/DeepSeek-{name}") for name in ("V3", "V3.2", "V4-Pro"))
NEMOTRON, QWEN = load("nemotron-3-nano-30b-a3b"), load("qwen3.5-35b-a3b")
FAR = int(np.searchsorted(CONTEXT, 131072))


def _at(model, kind, tp=8):
    return mixing_s(deploy(model, "H200 SXM", tp=tp), kind)


def test_selected_keys_cost_less_than_all_of_a_long_text_and_more_than_a_short_one():
    dense, sparse = _at(FULL, "generation"), _at(SPARSE, "generation")
    assert sparse[6, FAR] < 0.5 * dense[6, FAR]
    assert sparse[6, 8] >= dense[6, 8]


def test_prompts_of_selected_keys_grow_more_slowly_than_their_square():
    dense, sparse = _at(FULL, "context", tp=1), _at(SPARSE, "context", tp=1)  # ranks share heads, not the indexer
    longest = len(NEW_TOKENS) - 1
    assert sparse[0, longest] < 0.5 * dense[0, longest]


@pytest.mark.parametrize("model", [NEMOTRON, QWEN])
def test_recurrent_layers_take_the_same_time_at_any_length(model):
    alone = replace(model, own_mixers=model.recurrents)
    times = _at(alone, "generation", tp=1)
    assert np.all(times == times[:, :1])
    assert times[-1, 0] / times[0, 0] < BATCH[-1]
    prompts = _at(alone, "context", tp=1)[0]
    rates = prompts[-8:] / NEW_TOKENS[-8:]
    assert rates.max() / rates.min() < 1.2  # linear in tokens


def test_state_of_decoding_is_read_and_written_once():
    alone = replace(NEMOTRON, own_mixers=NEMOTRON.recurrents)
    seconds = float(_at(alone, "generation", tp=1)[-1, 0])
    state = sum(r.layers * (4 * r.state_values + 2 * r.conv_values) for r in NEMOTRON.recurrents)
    assert seconds == pytest.approx(2 * BATCH[-1] * state / 4.8e12, rel=0.6)


def test_compressed_entries_are_timed_on_all_grids():
    for kind in ("generation", "context", "cached"):
        times = _at(COMPRESSED, kind)
        assert np.all(np.isfinite(times)) and np.all(times > 0)
        assert np.all(times[:, -1] >= 0.9 * times[:, 0])


def test_mxfp4_experts_on_tensorrt_llm_start_no_later_spread_than_cut():
    model, way = load("gpt-oss-120b"), {"tp": 4, "engine_name": "TensorRT-LLM", "engine_version": "1.0"}
    spread, cut = (deploy(model, "H200 SXM", moe_ep=ep, **way) for ep in (4, 1))
    assert decode_step_s(spread, 1, 1024) == pytest.approx(float(decode_step_s(cut, 1, 1024)), rel=1e-9)
