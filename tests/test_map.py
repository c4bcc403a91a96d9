"""The decision map: close exactly where price scenarios do not decide, by the odds of the first page."""

import numpy as np
import pytest

from hopperbook import customer, facts, planner
from hopperbook.planner.borders import rented


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


def test_what_is_bought_turns_at_the_price_of_a_server():
    from dataclasses import replace

    from hopperbook.cost import own_usd_per_month
    from hopperbook.planner.borders import borders
    from hopperbook.planner.tenure import ownership, servers

    made = planner.plan(customer.default())
    row, other = made.recommendation, made.runner_up
    assert other.tenure == "own"
    found = next(each for each in borders(made) if each.what.startswith("price"))
    o = ownership(other.gpu, made.customer.horizon_months)
    assert found.each == "a server" and found.now == o.server_usd > found.at
    count = servers(other.gpus, other.gpu)
    month = own_usd_per_month(replace(o, server_usd=found.at), count, made.customer.busy_fraction)
    assert float(month) == pytest.approx(row.usd)


def test_what_is_rented_turns_at_the_price_of_an_hour():
    from hopperbook.planner.borders import borders

    made = planner.plan(customer.default().model_copy(update={"tenure": "on_demand"}))
    found = next(each for each in borders(made) if each.what.startswith("price"))
    assert found.each == "an hour" and found.at < found.now < 10


def test_a_price_that_power_alone_exceeds_is_no_border():
    from hopperbook.planner.borders import server_price

    who = customer.default()
    row = planner.plan(who).recommendation
    assert server_price(row, who, 0.0).at < 0 < server_price(row, who, row.usd).at
