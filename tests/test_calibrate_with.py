"""A customer's own runs: constants that follow them, drawn towards ours; rows that contradict are refused."""

import pandas as pd
import pytest
import yaml

from hopperbook import calibrate, cli, customer, evidence, planner, serving
from hopperbook.errors import InputError
from hopperbook.facts import own
from hopperbook.models import load
from hopperbook.studies import provenance


@pytest.fixture(autouse=True)
def _ours_again():
    yield
    own.put("")


def runs(folder, slower=1.15, many=18):
    rows = evidence.measurements("online")
    rows = rows[(rows.engine == "vLLM") & (rows.engine_version == "0.12.0") & ~evidence.suspect(rows)].head(many)
    for quantity in ("ttft_ms", "tpot_ms"):
        rows = rows.assign(**{quantity: (slower * rows[quantity].astype(float)).round(3).astype(str)})
    path = folder / "runs.csv"
    rows.drop(columns="split").to_csv(path, index=False)
    return path


def test_her_slower_cluster_is_learnt_and_judged_on_rows_held_out(tmp_path):
    made = calibrate.fit_own(runs(tmp_path), tmp_path / "mine.yaml")
    assert (made["rows"], made["held_out"]) == (12, 6)
    assert made["before"]["tpot_ms"] > 0.1 > 0.06 > made["after"]["tpot_ms"]
    written = yaml.safe_load((tmp_path / "mine.yaml").read_text(encoding="utf-8"))
    assert written == made
    assert own.read(made["calibration"]).constants["vllm-0.12"]


def test_few_rows_move_constants_less_than_many(tmp_path):
    moved = []
    for many in (6, 24):
        made = calibrate.fit_own(runs(tmp_path, slower=1.05, many=many), tmp_path / "mine.yaml")
        found = own.read(made["calibration"]).constants.get("vllm-0.12", {})
        base = vars(serving.engines()["vllm-0.12"])
        scale = {"age": 0.05, "host_s": 5e-4, "sequence_s": 2e-5, "frontend_s": 1e-2}
        moved.append(sum(((value - base[name]) / scale[name]) ** 2 for name, value in found.items()))
    assert moved[0] <= moved[1]


def test_rows_that_contradict_each_other_are_refused(tmp_path):
    path = runs(tmp_path)
    rows = pd.read_csv(path, dtype=str, keep_default_na=False)
    twice = pd.concat([rows, rows.head(1).assign(tpot_ms="99", id="another")])
    twice.to_csv(path, index=False)
    with pytest.raises(InputError, match=r"rows: '1 and 19' .*tpot_ms, which is .* and 99"):
        calibrate.fit_own(path, tmp_path / "mine.yaml")


def test_too_few_rows_are_refused(tmp_path):
    with pytest.raises(InputError, match="rows: 4 .*at least 6"):
        calibrate.fit_own(runs(tmp_path, many=4), tmp_path / "mine.yaml")


def test_constants_of_ones_own_change_a_plan_and_nothing_is_left_of_them():
    who = {"name": "A", "model": "llama-3.1-8b", "concurrency": 16}
    book = planner.plan(customer.check(who)).recommendation.tpot_s
    slower = customer.check(who | {"calibration": "vllm.age=1.3; 12 rows of a.csv"})
    assert planner.plan(slower).recommendation.tpot_s > 1.1 * book
    assert "12 rows of a.csv" in provenance.constants_words(slower)
    own.put("")
    assert planner.plan(customer.check(who)).recommendation.tpot_s == pytest.approx(book)
    d = serving.deploy(load("llama-3.1-8b"), "H100 SXM")
    assert d.engine.age == 1.0


@pytest.mark.parametrize("text", ["vllm", "vllm.age=x", "vllm.age=-1", "age=1", "vllm.age=1e99"])
def test_a_line_that_is_none_is_refused(text):
    with pytest.raises(InputError, match="calibration"):
        customer.check({"name": "A", "model": "llama-3.1-8b", "calibration": text})


def test_an_unknown_constant_is_refused():
    own.put("vllm.colour=3")
    with pytest.raises(InputError, match="calibration"):
        serving.engines()


def test_the_command_ends_with_two_for_rows_it_cannot_use(tmp_path, capsys):
    bad = tmp_path / "bad.csv"
    bad.write_text("model,tpot_ms\nno-model,1\n", encoding="utf-8")
    with pytest.raises(SystemExit) as ended:
        cli.main(["calibrate", "--with", str(bad), "--out", str(tmp_path / "x.yaml")])
    assert ended.value.code == 2 and len(capsys.readouterr().err.strip().splitlines()) == 1
