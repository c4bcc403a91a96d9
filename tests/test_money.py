"""Money in another currency: computed in US dollars, shown at a dated rate, everywhere a number is shown."""

import math

import pytest

from hopperbook import charts, customer, display, facts, planner, units, workbook
from hopperbook.deploy.questions import questions
from hopperbook.errors import InputError

BASE = {"name": "A", "model": "llama-3.1-8b"}


@pytest.fixture
def euros():
    """Show money in euros, at a rate that halves it, and then in dollars again."""
    asked = customer.check(BASE | {"currency": "EUR", "currency_per_usd": 0.5})
    customer.show_money(asked)
    yield asked
    customer.show_money(customer.check(BASE))


def test_rates_on_file_have_a_day_and_a_source():
    known = facts.references()
    for row in facts.records("currencies"):
        found = facts.currency(row["code"])
        assert found.per_usd > 0 and found.date.startswith("20") and found.source in known
    assert facts.currency("USD").per_usd == 1.0
    assert 0.7 < facts.currency("EUR").per_usd < 1.1


@pytest.mark.parametrize("code", ["EURO", "eur", "", "<b>", "XXX"])
def test_an_unknown_currency_is_refused_with_those_on_file(code):
    with pytest.raises(InputError, match="^currency: .*one of USD, EUR"):
        customer.check(BASE | {"currency": code})


def test_amounts_are_converted_and_bear_the_sign(euros):
    assert units.money(29_174) == "€14,600" and units.money(-5) == "−€2.50" and units.money(math.nan) == "n/a"
    assert units.amount(29_174) == "14,600" and units.cents(5) == "2.50"
    assert units.priced("USD a month") == "EUR a month"


def test_a_currency_without_a_sign_stands_before_the_amount_and_holds_to_it():
    customer.show_money(customer.check(BASE | {"currency": "CHF", "currency_per_usd": 1.0}))
    try:
        assert units.money(150) == "CHF\u00a0150"
    finally:
        customer.show_money(customer.check(BASE))


def test_axes_and_their_values_are_converted_together(euros):
    rows = [{"x": 0, "y": 10.0, "series": "a"}, {"x": 1, "y": 20.0, "series": "a"}]
    drawn = charts.lines(rows, "months", "thousand USD so far")
    text = str(drawn)
    assert "thousand EUR so far" in text and "USD" not in text
    assert sorted({row["y"] for rows in drawn["datasets"].values() for row in rows if "y" in row}) == [5.0, 10.0]
    assert rows[0]["y"] == 10.0
    bars = [{"item": "load", "low": 2.0, "high": 6.0, "low_label": "a", "high_label": "b"}]
    tornado = charts.tornado(bars, 4.0, "USD a million tokens")
    shown = {row["result"] for rows in tornado["datasets"].values() for row in rows if "result" in row}
    assert shown == {1.0, 2.0, 3.0}


def test_other_axes_stay(euros):
    drawn = charts.lines([{"x": 0, "y": 10.0, "series": "a"}], "users", "ms a token")
    assert {row["y"] for rows in drawn["datasets"].values() for row in rows if "y" in row} == {10.0}


def test_tables_and_sliders_name_the_currency(euros, capsys):
    display.table([{"gpu": "H100", "usd": 200.0}], ["gpu", display.Column("usd", "USD\na month", units.money)])
    assert "EUR a month" in capsys.readouterr().out


def test_a_plan_is_the_same_and_is_told_in_the_currency(euros):
    plain = customer.check(BASE | {"concurrency": 64, "budget_usd_per_month": 90_000.0})
    there = planner.plan(plain.model_copy(update={"currency": "EUR", "currency_per_usd": 0.5}))
    here = planner.plan(plain)
    assert here.usd_per_month() == there.usd_per_month()
    one, other = here.recommendation, there.recommendation
    assert (one.gpu, one.gpus, one.usd, one.tpot_s) == (other.gpu, other.gpus, other.usd, other.tpot_s)
    told = planner.as_text(there)
    assert "€" in told and "$" not in told
    asked = " ".join(each.question + each.known for each in questions(there))
    assert "€" in asked and "$" not in asked


def test_the_workbook_converts_what_is_given_and_what_follows(euros):
    asked = customer.check(BASE | {"concurrency": 64})
    made = planner.plan(asked)
    in_euros = workbook.totals(workbook.bill(made))
    text = str(workbook.bill(planner.plan(asked.model_copy(update={"currency": "EUR", "currency_per_usd": 0.5}))))
    customer.show_money(asked)
    in_dollars = workbook.totals(workbook.bill(made))
    assert in_euros == pytest.approx([0.5 * usd for usd in in_dollars])
    assert "USD" not in text and "at EUR 0.5" in text


def test_the_rate_is_said_with_day_and_publisher():
    said = customer.rate_words(customer.check(BASE | {"currency": "GBP"}))
    assert "European Central Bank, 2026-08-10" in said and "GBP 0.7405" in said
    assert "your own rate" in customer.rate_words(customer.check(BASE | {"currency": "GBP", "currency_per_usd": 0.8}))
    assert customer.rate_words(customer.check(BASE)) == ""
