"""The panels behind headline numbers: the formula's parts add up to the number that the page shows."""

import importlib.util
import json
import re

import pytest

from hopperbook import customer, display, facts, planner, units
from hopperbook.evidence import aims
from hopperbook.models import load
from hopperbook.planner.load import demand
from hopperbook.studies import doors
from hopperbook.studies.doors import made
from hopperbook.studies.load import answered, decoding
from hopperbook.studies.serving import floor
from hopperbook.studies.training import timed

SHIPPED = sorted((facts.DATA / "customers").glob("*.yaml"))
CASES = [(path, {}) for path in SHIPPED] + [(SHIPPED[0], {"tenure": "on_demand"})]


@pytest.mark.parametrize(("path", "settings"), CASES, ids=lambda case: getattr(case, "stem", "") or str(case))
def test_the_parts_of_a_cost_add_up_to_it(path, settings):
    plan = planner.plan(customer.load(path, settings))
    row = plan.recommendation
    door = doors.cost(plan, row)
    assert units.money(row.usd) in door.formula
    if row.tenure == "own":
        parts = [float(number.replace(",", "")) for number in re.findall(r"\$([\d,]+) (?!=)[a-z]", door.formula)]
        assert sum(parts) == pytest.approx(row.usd, rel=0.01)
    assert door.inputs
    assert all(each.source for each in door.inputs)


def test_every_door_names_a_calculator_an_error_and_how_to_run_it_again():
    plan = planner.plan(customer.default())
    for make in (doors.cost, doors.token, doors.cache_room):
        door = make(plan, plan.recommendation)
        html = door.html("A number")
        assert html.count("<dt>") == 5
        assert "hopperbook build --customer lingua-shop.yaml --set " in html
        assert ": A number</span>" in html


def test_a_door_shows_hostile_words_as_words():
    door = display.Door("<script>1</script>", [display.Input("<b>", "<i>", "yours", '"')], file_name="a b.yaml")
    assert "<script" not in door.html("<u>")
    assert "<b><" not in door.html("<u>")
    assert "&#x27;a b.yaml&#x27;" in door.html("<u>")


def test_the_first_page_and_the_chapter_have_one_floor():
    plan = planner.plan(customer.default())
    row = plan.recommendation
    running = decoding(answered(row, plan.customer))
    least = floor(row.deployment, load(plan.customer.model), running, demand(plan.customer).lengths)
    assert f"{units.duration(least.step_s)} a step" in doors.token(plan, row).formula


def test_every_entry_of_the_file_can_be_made_and_names_what_exists():
    names = {aim["name"] for aim in aims.aims()}
    fields = customer.Customer.model_fields
    for name, entry in made.panels().items():
        assert ("family" in entry) != ("error" in entry), name
        assert entry.get("family", "Activations") in names, name
        room, call = entry["calculator"].split(".")
        places = (f"hopperbook.{room}", f"hopperbook.planner.{room}", f"hopperbook.fp8.{room}")
        modules = [importlib.import_module(place) for place in places if importlib.util.find_spec(place)]
        assert any(hasattr(module, call) for module in modules), name
        assert set(entry["try"]) <= set(fields), name


@pytest.mark.parametrize("path", SHIPPED[:2], ids=lambda path: path.stem)
def test_the_panels_of_serving_and_memory_speak_of_the_plan_of_each_customer(path):
    plan = planner.plan(customer.load(path))
    row = plan.explained
    seen = answered(row, plan.customer)
    first, each = doors.latency(plan, seen).values()
    assert units.duration(seen.ttft.mean) in first.formula
    assert units.duration(seen.tpot.mean) in each.formula
    assert all(source.url for source in each.inputs if source.kind != "yours")


def test_pages_call_every_calculator_behind_a_number_by_words() -> None:
    called = facts.read_yaml("calculators.yaml")
    named = {door["calculator"] for door in facts.read_yaml("doors.yaml").values()}
    assert named - set(called) == set()
    assert all(words.startswith("our ") for words in called.values())


def test_the_length_of_a_run_has_its_panel_on_the_first_page_as_in_its_chapter():
    plan = planner.plan(customer.load(next(path for path in SHIPPED if path.stem == "train-70b")))
    run = plan.training
    door = doors.run_days(plan.customer, run)
    assert f"× {units.integer(timed(plan.customer, run).tokens_per_s_per_gpu)} tokens a second" in door.formula
    assert units.duration(float(run.days) * units.DAY_S) in door.formula
    assert "Setting up the servers adds 4.0 hours." in door.formula.replace(units.NBSP, " ")
    assert "serving fleet" not in door.formula
    assert door in doors.training(plan.customer, run, timed(plan.customer, run)).values()


def test_every_number_of_the_first_page_is_a_door():
    cells = json.loads((facts.DATA.parent / "chapters" / "00-the-answer.ipynb").read_text(encoding="utf-8"))["cells"]
    made = [source for source in ("".join(cell["source"]) for cell in cells) if "display.Estimate(" in source]
    assert made and all(source.count("door=") == source.count("display.Estimate(") for source in made)
