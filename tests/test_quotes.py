"""Prices with age: whose quotes vote on a day, quotes taken in row by row, and answers that follow them."""

import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from hopperbook import customer, facts, planner
from hopperbook.errors import InputError
from hopperbook.facts import prices, quotes, tables
from hopperbook.planner import choose, tenure, ties

TODAY = date(2026, 9, 1)
HEADER = "provider,gpu,usd_per_gpu_hour,date"


@pytest.fixture
def own_data(tmp_path, monkeypatch):
    """A copy of the facts that a test may change."""
    data = tmp_path / "data"
    shutil.copytree(facts.DATA, data, ignore=shutil.ignore_patterns("kernels", "measurements"))
    for name in ("kernels", "measurements"):
        (data / name).symlink_to(facts.DATA / name)

    def forget():
        for function in (tables.records, tables._frame, choose.plan):
            function.cache_clear()
        prices.forget()

    monkeypatch.setattr(tables, "DATA", data)
    forget()
    yield data
    monkeypatch.undo()
    forget()


def written(folder, *rows, header=HEADER):
    path = folder / "quotes.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_a_provider_has_one_vote_its_newest_quotes():
    rows = prices._quotes()
    mine = rows[(rows.gpu == "H100 SXM") & (rows.market == "other") & (rows.tenure == "on_demand")]
    voting = mine[prices.young({name: mine[name].to_numpy() for name in mine}, "2026-08-23")]
    assert voting.groupby("provider").day.nunique().eq(1).all()
    by_hand = voting.groupby("provider").usd_per_gpu_hour.median()
    found = facts.price("H100 SXM")
    assert found.count == len(by_hand) and found.typical == pytest.approx(by_hand.median(), abs=1e-4)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(by_hand, [0.1, 0.9])), abs=1e-4)


def test_prices_of_a_day_know_no_later_quote():
    then, now = (facts.price("H100 SXM", as_of=day) for day in ("2026-03-03", "2026-08-23"))
    assert then.date <= "2026-03-03" and then.typical < now.typical
    assert facts.age_days(now.date, "2026-12-01") == 100
    with pytest.raises(InputError, match="price"):
        facts.price("H200 SXM", as_of="2020-01-01")


def test_the_range_of_one_seller_is_as_wide_as_the_market():
    alone, many = facts.price("H200 NVL"), facts.price("H100 SXM")
    assert alone.count < 3 and alone.high / alone.low == pytest.approx(many.high / many.low, rel=0.01)
    h200, h100 = facts.purchase("HGX H200"), facts.purchase("HGX H100")
    assert h200.count < 3 and h200.high / h200.low >= h100.high / h100.low * 0.999


def test_imported_quotes_move_the_price_and_the_answer_both_ways(own_data, tmp_path):
    who = customer.check({"name": "A", "model": "llama-3.1-8b", "concurrency": 64, "tenure": "on_demand"})
    first = planner.plan(who).recommendation
    others = [part for part in ("A100 SXM 80GB", "H100 SXM", "H200 SXM") if part != first.gpu]
    before = facts.price(others[0]).typical
    cheap = before / 4.9
    names = [row.provider for row in prices._quotes().itertuples() if row.gpu == others[0] and row.market == "other"]
    down = written(tmp_path, *(f"{name},{others[0]},{cheap:.4f},2026-08-30" for name in dict.fromkeys(names)))
    (moved,) = quotes.take_in(down, TODAY)
    assert moved.before == pytest.approx(before) and moved.after == pytest.approx(cheap, rel=1e-3)
    choose.plan.cache_clear()
    assert planner.plan(who).recommendation.gpu == others[0] != first.gpu
    up = written(tmp_path, *(f"{name},{others[0]},{before:.4f},2026-08-31" for name in dict.fromkeys(names)))
    quotes.take_in(up, TODAY)
    choose.plan.cache_clear()
    assert planner.plan(who).recommendation.gpu == first.gpu


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("acme,H100,0,2026-08-20", "row 2, usd_per_gpu_hour"),
        ("acme,H100,-3,2026-08-20", "row 2, usd_per_gpu_hour"),
        ("acme,H100,nan,2026-08-20", "row 2, usd_per_gpu_hour"),
        ("acme,H100,2750,2026-08-20", "row 2, usd_per_gpu_hour"),
        ('acme,H100,"2,75",2026-08-20', "a number with a decimal point"),
        ("acme,H100,2,75,2026-08-20", "decimal comma"),
        ("acme,H100,2.75,1999-01-01", "row 2, date"),
        ("acme,H100,2.75,2027-08-20", "row 2, date"),
        ("acme,H100,2.75,20.08.2026", "row 2, date"),
        ("acme,H300,2.75,2026-08-20", "row 2, gpu"),
        (",H100,2.75,2026-08-20", "row 2, provider"),
        ("acme,H100,2.75", "row 2"),
    ],
)
def test_rows_that_are_no_quote(own_data, tmp_path, row, said):
    before = (own_data / "prices.csv").read_bytes()
    with pytest.raises(InputError) as error:
        quotes.take_in(written(tmp_path, row, "acme,H100,2.75,2026-08-20"), TODAY)
    assert said in str(error.value)
    assert (own_data / "prices.csv").read_bytes() == before


def test_files_that_hold_no_quotes(own_data, tmp_path):
    for header, row, said in (
        ("provider,gpu,date", "acme,H100,2026-08-20", "usd_per_gpu_hour is missing"),
        (HEADER + ",colour", "acme,H100,2.75,2026-08-20,red", "colour"),
        (HEADER + ",currency", "acme,H100,2.75,2026-08-20,EUR", "row 2, currency"),
        (HEADER + ",tenure", "acme,H100,2.75,2026-08-20,forever", "row 2, tenure"),
    ):
        with pytest.raises(InputError, match=said):
            quotes.read(written(tmp_path, row, header=header), TODAY)
    with pytest.raises(InputError, match="each quote once"):
        quotes.read(written(tmp_path, *["acme,H100,2.75,2026-08-20"] * 2), TODAY)
    for content in (b"", b"\xff\xfe", HEADER.encode() + b"\n"):
        (tmp_path / "odd.csv").write_bytes(content)
        with pytest.raises(InputError):
            quotes.read(tmp_path / "odd.csv", TODAY)


def test_owning_by_hand():
    """An owned H100 server over 24 months, from stated inputs, to the cent; joined servers pay for their network."""
    o = tenure.ownership("H100 SXM", 24)
    price, left = facts.purchase("HGX H100").typical, 0.5 ** (24 / 36)
    kw, pue = facts.node_power("HGX H100").typical / 1e3, facts.cost("pue").typical
    month = price * (1 - left) / 24 + 0.08 / 12 * price * (1 + left) / 2 + 0.05 * price / 12
    rated_kw = facts.system("HGX H100").rated_power_w / 1e3  # space by the power reserved, electricity by that drawn
    month += facts.cost("colocation_usd_per_kw_month").typical * rated_kw + 730 * 0.085 * pue * kw * (0.35 + 0.65 * 0.5)
    who = customer.check({"name": "A", "model": "llama-3.1-8b", "busy_fraction": 0.5, "horizon_months": 24})
    own = next(way for way in tenure.tenures(who, "H100 SXM") if way.kind == "own")
    assert own.typical * 730 * 8 == pytest.approx(month, abs=0.005) and o.server_usd == price
    tiers = own.usd_per_hour("typical", [1, 64, 65]).tolist()
    assert tiers == sorted(tiers) and len(set(tiers)) == 3
    joined = tenure.ownership("H100 SXM", 24, servers=8)
    more = (joined.server_usd - price) * ((1 - left) / 24 + 0.08 / 24 * (1 + left) + 0.05 / 12) / 8 / 730
    assert own.usd_per_hour("typical", 8) - own.typical == pytest.approx(more)
    assert own.low < 0.75 * own.typical  # what it fetches in the end is known to a factor of two


def test_renting_by_hand():
    who = customer.check({"name": "A", "model": "llama-3.1-8b", "h100_usd_per_hour": 2.5})
    rented, reserved = tenure.tenures(who, "H100 SXM")[:2]
    assert (rented.low, rented.typical, rented.high) == pytest.approx((2.5 * 0.9, 2.5, 2.5 * 1.23))
    assert float(rented.usd_per_hour("typical", 4)) == pytest.approx(2.5 * 1.15)
    off = tenure.reserved_discount(who)[1]
    assert reserved.typical == pytest.approx(2.5 * (1 - off)) and off == pytest.approx(1 - 2.25 / 3.3, abs=0.01)


def test_ties_are_odds_under_common_scenarios():
    made = planner.plan(customer.default())
    row = made.recommendation
    same = ties.tie(row, row)
    assert same.cheaper == pytest.approx(0.5) and same.regret_usd == pytest.approx(same.other_regret_usd)
    for each in ties.ties(made):
        gap = each.row.usd + each.row.training_usd - row.usd - row.training_usd
        assert each.other_regret_usd - each.regret_usd == pytest.approx(gap, rel=0.35, abs=300)
        assert each.close == (each.cheaper < 0.8)
        assert "choose" in ties.choose_by(row, each) or "either" in ties.choose_by(row, each)
    dear = ties.tie(row, replace(row, usd=3 * row.usd, usd_low=3 * row.usd_low, usd_high=3 * row.usd_high))
    assert dear.cheaper > 0.99 and not dear.close


def test_the_commands(tmp_path):
    command = str(Path(sys.executable).parent / "hopperbook")
    show = [command, "prices", "show", "--as-of"]
    shown = subprocess.run([*show, "2026-03-03"], capture_output=True, text=True, check=True)
    assert "H100 SXM" in shown.stdout and "2026-03-03" in shown.stdout
    bad = written(tmp_path, "acme,H100,2750,2026-08-20")
    refused = subprocess.run([command, "prices", "import", str(bad)], capture_output=True, text=True)
    assert refused.returncode == 2 and "row 2, usd_per_gpu_hour: '2750'" in refused.stderr
    late = subprocess.run([*show, "soon"], capture_output=True, text=True)
    assert late.returncode == 2 and "as_of" in late.stderr
