"""What the chapter on shared cards computes, against rules of MIG and figures worked by hand."""

import numpy as np
import pytest

from hopperbook import facts, mig, planner
from hopperbook.customer import default
from hopperbook.errors import InputError
from hopperbook.planner.small import small_service_bytes
from hopperbook.studies import slices
from hopperbook.units import GIB


@pytest.mark.parametrize("services", [1, 5, 12])
def test_every_memory_slice_is_drawn_once(services):
    asked = default().model_copy(update={"small_services": services})
    found = slices.cut_on(asked, "H100 SXM")
    rows = slices.drawing(found)
    assert (rows.label != "").sum() == services == found.services
    for _, card in rows.groupby("card"):
        covered = np.concatenate([np.arange(r.start, r.start + r.slices) for r in card.itertuples()])
        assert sorted(covered) == list(range(mig.MEMORY_SLICES))
    assert rows[rows.label == ""].slices.sum() == found.free_memory_slices


def test_without_services_seven_stand_in_on_a_newer_part():
    idle = default().model_copy(update={"small_services": 0})
    found = slices.cut(idle, planner.plan(idle))
    assert found.services == 7
    assert facts.gpu(found.gpu).transformer_engine
    assert found.profile.memory_bytes >= found.service_bytes


def test_what_no_slice_holds_is_refused_in_a_sentence():
    huge = default().model_copy(update={"small_services": 0, "small_model": "deepseek-ai/DeepSeek-V3"})
    with pytest.raises(InputError, match="small_model"):
        slices.cut(huge, planner.plan(huge))


def test_runs_are_split_where_one_is_left_out():
    assert slices._runs([0, 1, 3, 5, 6]) == [[0, 1], [3], [5, 6]]
    assert slices._runs([]) == []


@pytest.mark.parametrize("gpu", facts.drawn())
def test_a_slice_serves_where_it_holds_the_service_and_is_never_faster_than_its_memory(gpu):
    table = slices.slice_table(default(), [gpu]).set_index("profile")
    for name, row in table.iterrows():
        part = mig.instance(gpu, name)
        assert np.isnan(row.tpot) == (part.memory_bytes <= small_service_bytes(default(), row.card))
        if not np.isnan(row.tpot):
            assert row.tpot > 1e3 * slices.least_token_s(default(), part)
    whole = table[table["count"] == 1].iloc[-1]
    assert whole.gib == pytest.approx(mig.profiles(gpu)[whole.name].memory_bytes / GIB)


def test_cache_by_hand():
    # Llama 3.1 8B: 2 x 32 layers x 8 heads x 128 x 2 bytes a token, 2,048 + 512 tokens, eight users
    assert slices.cached_bytes(default()) == 8 * 2560 * 2 * 32 * 8 * 128 * 2


def test_layouts_hold_one_card_a_kind():
    table = slices.layout_table()
    assert table.card.is_unique
    assert table.most.tolist() == [facts.gpu(card).mig_instances for card in table.card]
    assert set(facts.drawn()) - set(table.card) == set()
