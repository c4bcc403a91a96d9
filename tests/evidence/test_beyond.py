"""Ranges are earned: each names its family, and grows with every step away from what was measured."""

import itertools

import pytest

from hopperbook import evidence, facts, serving
from hopperbook.evidence import beyond
from hopperbook.models import load

RULES = facts.read_yaml("constants/evidence.yaml")


def replica(part="H100 SXM", precision="fp8", **more):
    return serving.deploy(load("llama-3.3-70b"), part, tp=4, precision=precision, **more)


def test_what_is_called_measured_is_what_the_rows_hold():
    rows = evidence.measurements("online")
    stored = {"": "bf16", "fp8": "fp8", "fp4": "mxfp4", "bf16": "bf16"}
    held = {stored[name] for name in rows["precision"].str.lower()}
    assert held <= set(RULES["measured_serving"]["precision"])
    for column in ("pp", "attention_dp"):
        if column in rows:
            assert {int(value or 1) for value in rows[column]} == {1}


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
        assert wide.family == narrow.family == "serving/tpot_ms/online/vllm-0.12/dense"


def test_a_measured_replica_keeps_the_range_of_its_family():
    d = serving.deploy(load("gpt-oss-20b"), "H200 SXM", precision="mxfp4")
    band = beyond.serving_band(d, "ttft_ms")
    assert band.beyond == ()
    assert (band.low, band.high) == pytest.approx(evidence.interval(band.family))


def test_every_family_that_a_part_may_take_its_range_from_is_on_file():
    for source in RULES["ranges_from"].values():
        assert f"serving/tpot_ms/online/{source}" in evidence.intervals()
    for part in facts.planned():
        for experts in (False, True):
            assert beyond.training_band(facts.gpu(part), experts).family in evidence.intervals()
