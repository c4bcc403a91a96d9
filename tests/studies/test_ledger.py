"""The ledger as a whole: counts add up, distances are symmetric, close calls and moved verdicts are what they say."""

import numpy as np
import pandas as pd
import pytest

from hopperbook import claims
from hopperbook.customer import default
from hopperbook.studies import ledger as study


@pytest.fixture(scope="module")
def ledger():
    return claims.ledger(default())


def test_every_claim_is_counted_once(ledger):
    counts = study.verdict_counts(ledger)
    assert list(counts.index) == list(claims.VERDICTS)
    assert counts.sum() == len(ledger)


def test_distance_is_the_same_both_ways_and_nothing_on_the_border():
    rows = pd.DataFrame({"value": [2.0, 0.5, 3.0, 0.0], "border": [0.5, 2.0, 3.0, 0.0]})
    assert study.distance(rows).tolist() == pytest.approx([np.log(4), np.log(4), 0.0, 0.0])


def test_the_nearest_are_those_that_a_customer_moves(ledger):
    close = study.nearest(ledger, 5)
    away = study.distance(close)
    assert away.is_monotonic_increasing
    assert not close.id.isin(study.FIXED).any()
    rest = ledger[~ledger.id.isin([*study.FIXED, *close.id]) & (ledger.value > 0) & (ledger.border > 0)]
    rest_away = study.distance(rest)
    assert rest_away[rest_away > 0].min() >= away.max()


def test_borders_are_drawn_for_figures_only(ledger):
    drawn = pd.concat(study.bordered(ledger).values())
    assert np.isfinite(drawn[["value", "border"]].to_numpy(float)).all()
    assert len(drawn) <= len(ledger)


def test_ratio_to_what_was_claimed(ledger):
    rows = study.over_claimed(ledger)
    assert (rows.ratio * rows.claimed).to_numpy() == pytest.approx(rows.value.to_numpy())
    assert set(rows.id) <= set(ledger[ledger.claimed.notna()].id)


def test_every_source_decides_a_claim(ledger):
    table = study.source_table(ledger)
    listed = {claim for row in table.claims for claim in row.split(", ")}
    assert listed == set(ledger[ledger.sources.map(len) > 0].id)


def test_a_verdict_that_moves_moves_back(ledger):
    other = default().model_copy(update={"market": "hyperscaler"})
    there = study.moved_by_market(ledger, default())
    back = study.moved_by_market(claims.ledger(other), other)
    assert [(m.id, m.now, m.then) for m in there] == [(m.id, m.then, m.now) for m in back]


def test_one_claim_is_wrong_and_two_are():
    one, two = (study.verdict_words(pd.Series({"misleads": n, "wrong": n})) for n in (1, 2))
    assert (one, two) == ("1 misleads and 1 is wrong", "2 mislead and 2 are wrong")
