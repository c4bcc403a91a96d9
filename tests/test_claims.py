"""The claims ledger: complete, sourced, and following the facts."""

import math
import os
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from tests import copied

from hopperbook import facts
from hopperbook.claims import VERDICTS, decide, ledger, models, money, parts
from hopperbook.customer import default
from hopperbook.customer import load as load_customer
from hopperbook.errors import InputError
from hopperbook.planner.borders import gpus_billed, rented


@pytest.fixture(scope="module")
def rows():
    return ledger(default())


def test_every_claim_has_a_verdict_a_figure_a_border_and_sources(rows):
    known = facts.references()
    assert len(rows) == len(facts.records("claims")) == 29
    assert list(rows.id) == [f"C{n:02d}" for n in range(1, 30)]
    for row in rows.itertuples():
        assert row.verdict in VERDICTS, row.id
        assert math.isfinite(row.value), row.id
        assert math.isfinite(row.border), row.id
        assert row.axis, row.id
        assert len(row.sentence) > 40, row.id
        assert "nan" not in row.sentence.lower().split(), row.id
        assert row.sources, row.id
        for key in row.sources:
            assert key.split(":")[0].strip() in known, (row.id, key)


def test_verdicts_are_not_all_alike(rows):
    assert set(rows.verdict) == set(VERDICTS)


def test_a_claim_that_is_none_is_refused():
    with pytest.raises(InputError, match="C01 to C29"):
        decide("C30", default())


def changed_gpu(monkeypatch, module, name, **fields):
    known = facts.gpu
    wanted = known(name).name

    def gpu(asked):
        found = known(asked)
        return replace(found, **fields) if found.name == wanted else found

    monkeypatch.setattr(module.facts, "gpu", gpu)


def test_a_smaller_sparse_peak_makes_the_comparison_honest(monkeypatch, rows):
    h100 = facts.gpu("H100 SXM")
    before = rows.set_index("id").loc["C04"]
    changed_gpu(monkeypatch, parts, "H100 SXM", sparse_flop_per_s={**h100.dense_flop_per_s})
    after = decide("C04", default())
    assert (before.verdict, after.verdict) == ("misleads", "holds")
    assert after.claimed < before.claimed


def test_another_memory_size_makes_the_data_sheet_wrong(monkeypatch, rows):
    before = rows.set_index("id").loc["C08"]
    changed_gpu(monkeypatch, parts, "H200 SXM", memory_gb=120.0)
    after = decide("C08", default())
    assert (before.verdict, after.verdict) == ("holds", "wrong")
    assert after.value > before.value


def test_a_larger_card_holds_seventy_billion(monkeypatch, rows):
    before = rows.set_index("id").loc["C15"]
    changed_gpu(monkeypatch, models, "H200 SXM", memory_bytes=2 * facts.gpu("H200 SXM").memory_bytes)
    after = decide("C15", default())
    assert (before.verdict, after.verdict) == ("misleads", "holds")
    assert after.value > after.border > before.value


def test_a_dearer_h200_is_no_longer_worth_its_price(monkeypatch, rows):
    before, known = rows.set_index("id").loc["C25"], facts.price
    factor = 0.5 if before.verdict == "holds" else 3.0

    def price(gpu, *rest):
        found = known(gpu, *rest)
        return replace(found, typical=found.typical * factor) if gpu == "H200 SXM" else found

    monkeypatch.setattr(money.facts, "price", price)
    after = decide("C25", default())
    assert after.verdict != before.verdict
    assert after.value == pytest.approx(before.value * factor)


def priced(monkeypatch, module, gpu, factor):
    """Let a part cost so much more in every claim of a module."""
    known = module.market_price

    def price(customer, name, *rest):
        found = known(customer, name, *rest)
        scale = factor if facts.gpu(name).name == gpu else 1.0
        return replace(found, low=found.low * scale, typical=found.typical * scale, high=found.high * scale)

    monkeypatch.setattr(module, "market_price", price)


@pytest.mark.parametrize(
    ("claim", "module", "gpu", "way"),
    [("C13", parts, "H100 SXM", -1), ("C21", money, "A100 SXM 80GB", 1), ("C25", money, "H200 SXM", 1)],
)
def test_a_price_moved_past_the_border_flips_the_verdict_and_one_short_of_it_does_not(
    monkeypatch, rows, claim, module, gpu, way
):
    now = rows.set_index("id").loc[claim]
    factor = (now.border / now.value) ** way
    for beyond, flips in ((1.01, True), (0.99, False)):
        with monkeypatch.context() as patch:
            step = factor * (beyond if factor > 1 else 1 / beyond)
            priced(patch, module, gpu, step)
            then = decide(claim, default())
        assert then.value == pytest.approx(now.value * step**way)
        assert (then.verdict != now.verdict) == flips, (claim, step, then.verdict)


def test_a_border_is_where_the_verdict_is_drawn(rows):
    """The verdict and the figure agree: misleading claims miss their borders, holding ones meet them."""
    by = rows.set_index("id")
    assert (by.loc["C12"].value >= by.loc["C12"].border) == (by.loc["C12"].verdict != "misleads")
    assert (by.loc["C15"].value > 1) == (by.loc["C15"].verdict == "holds")
    assert (by.loc["C18"].value <= 1) == (by.loc["C18"].verdict in ("holds", "holds under conditions"))
    assert (by.loc["C22"].value > 1) == (by.loc["C22"].verdict == "holds")
    assert (by.loc["C06"].value < by.loc["C06"].border) == (by.loc["C06"].verdict == "misleads")
    assert (by.loc["C29"].value > by.loc["C29"].border) == (by.loc["C29"].verdict == "misleads")


def test_four_to_eight_h200_carry_what_the_claim_on_a_service_says(rows):
    """The border in users is one that the map's own count of GPUs confirms."""
    case = load_customer(facts.DATA / "customers" / "inference-saas.yaml")
    most = int(rows.set_index("id").loc["C19"].border)
    way = {"H200 SXM": rented(case)["H200 SXM"]}
    here, beyond = gpus_billed(case, case.model, way, np.array([most, most + 1]))[0]
    assert here <= 8 < beyond


def test_the_ledger_follows_the_customer():
    long = default().model_copy(update={"context_tokens": 65536})
    assert decide("C05", long).sentence != decide("C05", default()).sentence


def test_a_fact_edited_in_its_file_changes_the_ledger(tmp_path):
    """A copy of library and data, with one figure of the H200 edited as a maintainer would."""
    copied.tree(tmp_path)
    sheet = tmp_path / "data" / "gpus.yaml"
    edited, count = re.subn(r"(?s)(H200 SXM:.*?memory_gb: )141\b", r"\g<1>120", sheet.read_text(), count=1)
    assert count == 1
    sheet.write_text(edited)
    ask = "from hopperbook import claims, customer, facts\nprint(facts.DATA)\nfor c in ('C04', 'C08'):\n"
    ask += "    print(claims.decide(c, customer.default()).verdict)"
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "lib")}
    said = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True, env=environment)
    where, untouched, changed = said.stdout.split()
    assert where == str(tmp_path / "data")
    assert (untouched, changed) == (decide("C04", default()).verdict, "wrong")
    assert decide("C08", default()).verdict == "holds"


@pytest.mark.parametrize("change", [{"model": "Qwen/Qwen2.5-7B"}, {"tpot_target_ms": 1.0, "ttft_target_ms": 5.0}])
def test_claims_are_decided_for_odd_heads_and_targets_that_nothing_keeps(change):
    for row in ledger(default().model_copy(update=change)).itertuples():
        assert math.isfinite(row.value) and row.verdict in VERDICTS, row.id
