"""What the sliders show: the planner's own numbers at every setting, and its map's verdict at the first."""

import json
import re

import numpy as np
import pytest

from hopperbook import charts, customer, facts, planner, serving, units
from hopperbook.models import load
from hopperbook.planner import fleet
from hopperbook.planner.borders import most_users, rented
from hopperbook.planner.explore import NO_ROOM, TOO_SLOW, at_context, choice, explore
from hopperbook.report import svg

SHIPPED = ("default", "train-70b", "inference-saas", "ai-hpc")


def shipped(name):
    return customer.load(facts.DATA / "customers" / f"{name}.yaml")


def chart(found):
    words = {name: name.split("/")[-1] for name in found.models}
    return charts.what_if(found.steps, words, found.contexts, found.users, found.usd_per_hour, found.own, units.MONTH_H)


@pytest.mark.parametrize("name", SHIPPED)
def test_the_first_state_is_the_customers_own_and_its_verdict_is_shown(name):
    who = shipped(name)
    found = explore(who)
    model, context, users = found.own
    assert (found.models[model], found.contexts[context], found.users[users]) == (
        load(who.model).name, who.held_tokens, who.concurrency,
    )  # fmt: skip
    shown = choice(found, *found.own)
    least = shown.iloc[0]
    spec = chart(found)
    assert len(json.dumps(spec)) < 300_000
    drawn = " ".join(re.findall(r">([^<>]+)</text>", svg.draw(svg.variants(spec)["wide"])))
    assert f"Least: {least.gpus} × {least.gpu} at " in drawn
    assert all(f"{row.gpus} GPU" in drawn for row in shown.itertuples())


@pytest.mark.parametrize("name", SHIPPED)
def test_sliders_and_map_agree(name):
    who = shipped(name).model_copy(update={"max_gpus": 100_000})
    found, drawn = explore(who), planner.decision_map(who)
    compared = 0
    for column, size in enumerate(drawn.parameters / 1e9):
        if size not in found.billions:
            continue  # the customer's own model stands for it
        for row, users in enumerate(drawn.users):
            if int(users) not in found.users:
                continue
            at = found.billions.index(size), found.own[1], found.users.index(int(users))
            shown = choice(found, *at)
            if not drawn.winner[row, column]:
                assert shown.empty
                continue
            assert shown.usd_per_month.min() == pytest.approx(drawn.usd_per_month[row, column])
            winner = shown[shown.gpu == drawn.winner[row, column]].usd_per_month.iloc[0]
            assert winner <= 1.08 * shown.usd_per_month.min() * (1 + 1e-9)
            compared += 1
    assert compared > 30


def test_every_setting_is_memory_and_targets_kept_or_a_reason():
    who = shipped("default")
    found = explore(who)
    assert (found.steps[found.steps.gpus == 0].why != "").all()
    assert (found.steps[found.steps.gpus > 0].why == "").all()
    assert found.steps.gpus.max() <= who.max_gpus
    for (_, _, _), steps in found.steps.groupby(["model", "context", "gpu"]):
        assert steps["from"].iloc[0] == found.users[0]
        assert steps["to"].iloc[-1] == found.users[-1]
        kept = steps[steps.gpus > 0].gpus.to_numpy()
        assert (np.diff(kept) > 0).all()
    reasons = set(found.steps.why) - {""}
    assert {TOO_SLOW, NO_ROOM} & reasons
    assert all(why in (TOO_SLOW, NO_ROOM) or why == "more than 1,024 GPUs" for why in reasons)


def test_gpus_shown_hold_the_load():
    who = shipped("default")
    found, ways = explore(who), rented(who)
    at = found.models.index("meta-llama/Llama-3.1-8B"), found.contexts.index(32768), found.users.index(96)
    asked = at_context(who, 32768)
    for row in choice(found, *at).itertuples():
        part = next(p for p in facts.drawn() if p.startswith(row.gpu))
        holds = []
        for d in fleet.deployments(asked, load("llama-3.1-8b"), (part,)):
            each = most_users(asked, d)
            if each and d.tp * -(-96 // each) <= row.gpus:
                assert each * 32768 <= serving.kv_capacity_tokens(d, 32768)
                holds.append(each)
        assert holds
        assert row.usd_per_month == pytest.approx(row.gpus * ways[part].typical * 730)


def test_a_load_beyond_the_slider_still_has_its_place():
    who = customer.check({"name": "A", "model": "llama-3.1-8b", "concurrency": 3000})
    found = explore(who)
    assert found.users[found.own[2]] == 3000
    assert found.users[-1] == 6000


def test_the_map_is_close_exactly_where_price_scenarios_do_not_decide():
    from hopperbook.planner import ties
    from hopperbook.planner.borders import LADDER, _costs
    from hopperbook.planner.tenure import assumptions

    who = customer.default()
    drawn, ways = planner.decision_map(who), list(rented(who).values())
    costs = np.stack([_costs(who, name, rented(who), drawn.users) for name in LADDER], axis=2)
    names = [facts.gpu(way.gpu).short for way in ways]
    close = 0
    for row, column in np.ndindex(drawn.winner.shape):
        cells = dict(zip(names, costs[:, row, column], strict=True))
        won, rival = str(drawn.winner[row, column]), str(drawn.rival[row, column])
        others = {name: usd for name, usd in cells.items() if name != won and np.isfinite(usd)}
        if not won or not others:
            assert not rival
            continue
        second = min(others, key=others.get)
        one, two = (ways[names.index(name)] for name in (won, second))
        spreads = [ties.price_spread(way.low, way.high) for way in (one, two)]
        sure = ties.p_cheaper(cells[second] / cells[won], *spreads, assumptions("planner")["price_correlation_alike"])
        assert (rival == second) == (sure < assumptions("planner")["decided"])
        close += bool(rival)
    assert 0 < close < drawn.winner.size


def test_the_formula_of_the_map_is_the_one_of_the_first_page():
    from hopperbook.planner import ties

    made = planner.plan(customer.default())
    row, other = made.recommendation, made.runner_up
    assert not row.training_usd and not other.training_usd
    spreads = [ties.spread(each) for each in (row, other)]
    by_formula = ties.p_cheaper(other.usd / row.usd, *spreads, ties.correlation(row, other))
    assert float(by_formula) == pytest.approx(ties.tie(row, other).cheaper, abs=0.01)
