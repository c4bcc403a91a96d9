"""The what-if of chapter 13: every point is the plan that the command makes with the same fields set."""

import json

import pytest

from hopperbook import cli, customer, facts, planner
from hopperbook.planner import choose
from hopperbook.planner.lattice import MEMORY, ONE, WHOLE, lattice, places
from hopperbook.studies import neighbours


def shipped(name):
    return customer.load(facts.DATA / "customers" / f"{name}.yaml")


@pytest.fixture(scope="module")
def found():
    return lattice(customer.default())


def same(point, made):
    for mine, other in ((point.best, made.recommendation), (point.other, made.runner_up)):
        assert (mine is None) == (other is None)
        if mine is not None:
            assert (mine.gpus, mine.gpu, mine.tenure, mine.replicas) == (
                other.gpus, other.gpu, other.tenure, other.replicas,
            )  # fmt: skip
            assert (mine.usd_low, mine.usd, mine.usd_high) == (other.usd_low, other.usd, other.usd_high)
            assert (mine.ttft_at_s, mine.tpot_at_s) == (other.ttft_at_s, other.tpot_at_s)


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"concurrency": 512},
        {"prompt_tokens": 1024},
        {"h200_usd_per_hour": 2.19},
        {"concurrency": 64, "context_tokens": 4096},
    ],
)
def test_a_point_is_the_plan_with_the_same_fields_set(found, changed):
    point = next(each for each in found.points if each.changed == changed)
    same(point, planner.plan(customer.load(facts.DATA / "customers" / "default.yaml", changed)))


def test_the_command_says_the_same(found, capsys):
    point = next(each for each in found.points if each.changed == {"concurrency": 256})
    line = ["plan", str(facts.DATA / "customers" / "default.yaml"), "--set", "concurrency=256", "--json"]
    with pytest.raises(SystemExit) as ended:
        cli.app(line)
    assert not ended.value.code
    said = json.loads(capsys.readouterr().out)["recommendation"]
    assert (said["gpus"], said["gpu"]) == (point.best.gpus, point.best.gpu)
    assert said["usd_per_month"]["value"] == pytest.approx(point.best.usd)


def test_parts_left_out_would_not_have_come_first_or_second():
    for name in ("train-70b", "inference-saas"):
        who = shipped(name)
        whole, quick = choose.serve(who), choose.serve(who, all_parts=False)
        assert set(quick.by_part) <= set(whole.by_part)
        for one, other in ((whole.recommendation, quick.recommendation), (whole.runner_up, quick.runner_up)):
            assert (one.gpu, one.gpus, one.cost) == (other.gpu, other.gpus, other.cost)


def test_the_star_comes_first_and_then_two_changes_at_a_time(found):
    changes = [len(point.changed) for point in found.points]
    assert changes[0] == 0 and changes == sorted(changes) and max(changes) == 2
    assert [point.place for point in found.points] == [at for at in places(found.axes) if at in _known(found)]
    crossed = [set(point.changed) for point in found.points if len(point.changed) == 2]
    assert crossed and all(fields == {"concurrency", "context_tokens"} for fields in crossed)


def _known(found):
    return {point.place for point in found.points}


def test_what_limits_is_missed_with_one_replica_fewer(found):
    assert {point.limit for point in found.points} <= {MEMORY, WHOLE, ONE, "first token", "time per token"}
    assert any(point.over_budget for point in found.points)
    budget = customer.default().budget_usd_per_month
    assert all(point.over_budget == (point.best.usd > budget) for point in found.points)


def test_nothing_in_time_has_no_plan_and_says_so():
    hurried = lattice(customer.default().model_copy(update={"tpot_target_ms": 0.1, "training_task": "none"}))
    assert all(point.best is None for point in hurried.points)
    said = neighbours.table(hurried)
    assert set(said.fleet) == {"nothing meets your targets"} and said.usd.isna().all()
    assert neighbours.most_moved(hurried) == ("", 1.0) and not neighbours.other_winners(hurried)


def test_a_service_that_only_reads_and_one_at_a_rate_have_their_axes():
    base = {"name": "A", "prompt_tokens": 300, "requests_per_s": 20.0}
    reads = lattice(customer.check(base | {"model": "bge-m3", "service": "embed"}))
    assert [axis.field for axis in reads.axes[:2]] == ["requests_per_s", "prompt_tokens"]
    assert not {"context_tokens", "model"} & {axis.field for axis in reads.axes}
    assert reads.axes[0].values == (10.0, 20.0, 40.0, 80.0)


def test_words_of_choices_and_rows(found):
    offered = neighbours.choices(found)
    assert [each.name for each in offered[:2]] == ["Users at once", "Tokens a user holds"]
    assert len({each.name for each in offered}) == len(offered)
    for each, axis in zip(offered, found.axes, strict=True):
        assert each.words[axis.own] and len(each.values) == len(each.sizes) == len(axis.values)
    said = neighbours.table(found)
    assert said.setting.is_unique and said.setting[0] == "As you asked"
    assert neighbours.most_moved(found)[1] > 2
    assert all("(" in words for words in neighbours.other_winners(found))
