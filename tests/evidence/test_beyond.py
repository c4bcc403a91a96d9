"""Ranges are earned: each names its family, and grows with every step away from what was measured."""

import itertools

import pandas as pd
import pytest

from hopperbook import evidence, facts, serving
from hopperbook.evidence import beyond
from hopperbook.models import load

RULES = facts.read_yaml("constants/evidence.yaml")


def replica(part="H100 SXM", precision="fp8", **more):
    return serving.deploy(load("llama-3.3-70b"), part, tp=4, precision=precision, **more)


def test_what_is_called_measured_is_what_the_rows_hold():
    stored = {"": "bf16", "fp8": "fp8", "fp4": "mxfp4", "bf16": "bf16", "fp8_block": "fp8_block"}
    for name in ("online", "online_moe"):
        rows = evidence.measurements(name)
        rows = rows[~evidence.suspect(rows)]
        held = {stored[form] for form in rows["precision"].str.lower()}
        assert held <= set(RULES["measured_serving"]["precision"])
        assert {load(model).name for model in rows["model"]} <= set(RULES["measured_serving"]["models"])
        assert {int(value or 1) for value in rows["pp"]} == {1}
        assert pd.to_numeric(rows["input_tokens"]).max() <= RULES["measured_serving"]["prompt_tokens"]


def test_a_model_without_rows_and_long_prompts_are_said():
    known, other = (serving.deploy(load(name), "H200 SXM", tp=4) for name in ("qwen3-32b", "llama-3.1-70b"))
    assert not any("no rows of" in reason for reason in beyond.serving_beyond(known))
    assert beyond.serving_beyond(other)["no rows of Llama-3.1-70B"] >= 1.0
    assert "prompts beyond 8,192 tokens" in beyond.serving_beyond(known, 32768)


def test_each_reason_widens_and_is_named():
    bands = [
        beyond.serving_band(replica(), "tpot_ms"),
        beyond.serving_band(replica("H100 NVL"), "tpot_ms"),
        beyond.serving_band(replica("H100 NVL", "int4"), "tpot_ms"),
        beyond.serving_band(replica("H100 NVL", "int4", pp=2), "tpot_ms"),
    ]
    for narrow, wide in itertools.pairwise(bands):
        assert wide.low < narrow.low and wide.high > narrow.high
        assert len(wide.beyond) == len(narrow.beyond) + 1
        assert wide.family == narrow.family == "serving/tpot_ms/online/dense"


def test_a_measured_replica_keeps_the_range_of_its_family():
    d = serving.deploy(load("gpt-oss-120b"), "H200 SXM", precision="mxfp4")
    band = beyond.serving_band(d, "ttft_ms")
    assert band.beyond == ()
    assert (band.low, band.high) == pytest.approx(evidence.interval(band.family))


def test_every_family_that_a_part_may_take_its_range_from_is_on_file():
    for part in facts.planned():
        for experts in (False, True):
            assert beyond.training_band(facts.gpu(part), experts).family in evidence.intervals()
