"""What chapter 12 computes: sums over judged rows that count each row once and agree with hand calculation."""

import numpy as np
import pandas as pd
import pytest

from hopperbook.studies import accuracy, misses


@pytest.fixture(scope="module")
def frames():
    return accuracy.judged()


def test_the_playbook_is_judged_apart_and_no_row_twice(frames):
    throughput, playbook = frames[accuracy.THROUGHPUT], frames[accuracy.PLAYBOOK]
    assert not throughput.family.str.contains("ranking").any()
    assert playbook.family.str.contains("ranking").all()
    whole = accuracy.evidence.judged("training", "tokens_per_s_per_gpu")
    assert len(throughput) + len(playbook) == (whole.measured > 0).sum()


def test_coverage_is_of_groups_that_did_not_set_the_range(frames):
    assert accuracy.coverage(pd.DataFrame({"inside": [True, False, True]})) == pytest.approx(2 / 3)
    for rows in frames.values():
        assert rows.inside.dtype == bool
    groups = accuracy.by_group(frames)
    assert groups.coverage.between(0, 1).all()


def test_kinds_are_medians_and_means_of_errors():
    rows = pd.DataFrame({"error": [0.1, -0.3, -0.2], "inside": True})
    line = accuracy.kinds({"A": rows}).iloc[0]
    assert (line.n, line["median"], line["bias"], line["coverage"]) == (3, 0.2, -0.2, 1.0)
    assert line["mean"] == pytest.approx(0.2)


def test_every_judged_row_comes_from_a_file_with_a_source(frames):
    files = accuracy.files(frames)
    assert files.n.sum() == sum(map(len, frames.values()))
    assert files.source.str.len().min() > 3
    assert files.file.is_monotonic_increasing and files.file.is_unique


def test_each_grouping_of_training_covers_its_runs(frames):
    groups, train = accuracy.by_group(frames), frames[accuracy.THROUGHPUT]
    training = groups[groups.kind == accuracy.THROUGHPUT]
    scale = training[training.group.isin(accuracy.SCALES.values())]
    assert scale.n.sum() == pd.to_numeric(train.gpus, errors="coerce").notna().sum()
    tpot = groups[groups.kind == accuracy.TPOT]
    assert tpot.n.sum() == len(frames[accuracy.TPOT])


def test_lanes_clip_what_is_drawn_and_keep_the_error():
    rows = pd.DataFrame({"chip": ["H100", "A100"], "error": [-2.0, 0.05]})
    strips = accuracy.by_part({accuracy.TPOT: rows, accuracy.TTFT: rows})
    assert strips.lane.tolist() == ["Serving, H100", "Serving, A100"]
    assert strips.drawn.tolist() == [-accuracy.EDGE, 0.05]
    assert strips.error.tolist() == [-2.0, 0.05]


def test_the_worst_are_the_worst(frames):
    worst = accuracy.worst(frames, each=2, most=12)
    off = worst.error.abs().to_numpy()
    assert (np.diff(off) <= 0).all()
    assert worst.kind.value_counts().max() <= 2
    assert off[0] == max(
        rows.error.abs().max()
        for kind, rows in frames.items()
        if kind not in (accuracy.PLAYBOOK, accuracy.PLAYBOOK_MEMORY, accuracy.ACTIVATIONS)
    )
    said = {str(note) for rows in frames.values() for note in rows.note.fillna("")}
    assert set(worst.note) <= said  # whole, never cut in the middle of a word


def test_aims_that_are_reached_have_no_miss():
    aimed = misses.aimed()
    assert (aimed.miss[aimed.met] == "").all()
    assert (aimed.verdict == "missed").sum() == (~aimed.met).sum()
    assert (aimed.met == (aimed["median"] <= aimed.aim)).all()


def test_the_misses_are_those_of_the_families_off_their_aim_and_name_why():
    aimed, missed = misses.aimed(), misses.misses()
    assert missed.name.tolist() == aimed.name[~aimed.met].tolist()
    assert (missed.miss != "").all()
    assert (missed.rest <= missed["median"]).all()
    assert ((missed.rest < missed["median"]) == (missed.left_out != "no group of its own")).all()


def test_no_floor_without_repeats():
    aimed = misses.aimed()
    assert (aimed.floor.isna() == (aimed.pairs < misses.noise.LEAST_PAIRS)).all()
    assert (aimed.floor.dropna() > 0).all()


def test_ratios_are_summed_over_all_pairs():
    summed, pairs = accuracy.ratios(), accuracy.aims.ratios()
    assert summed.n.sum() == len(pairs)
    one = summed.iloc[0]
    same = pairs[(pairs.what == one.what) & (pairs.pair == one.pair)]
    assert one["median"] == same.error.abs().median()


def test_ranges_of_held_out_shapes_hold_no_error_at_all():
    held_out = accuracy.held_out()
    assert (held_out.low < held_out.high).all()
    assert held_out.n.min() > 0


def test_products_that_we_timed_are_judged_all_and_within_what_chapter_12_says():
    rows = accuracy.evidence.judged("kernel", "latency_ms")
    own = accuracy.own_products().set_index(["gpu", "form", "pauses"])
    assert own.n.sum() == len(rows) == len(accuracy.evidence.read(accuracy.facts.DATA / "measurements/products.csv.gz"))
    assert set(rows.split) == {"judge"}  # nothing is fitted to them
    assert (own.off.xs("bf16", level="form") < 0.075).all()
    assert (own.off.xs("fp8", level="form") < 0.16).all()
    assert (own.bias.xs("fp8", level="form") > 0).all()  # vLLM's kernels are slower than cuBLASLt's
    paused, hurried = (
        rows[(rows.gpu == "H100 SXM") & (rows.gemm_dtype == "bfloat16") & (rows.pauses == word) & (rows.m == "4096")]
        for word in ("yes", "no")
    )
    assert hurried.measured.median() > 1.05 * paused.measured.median()
