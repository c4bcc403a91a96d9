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
