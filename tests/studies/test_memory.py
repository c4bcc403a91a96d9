"""What the chapter on memory computes, against figures worked by hand and against the budget itself."""

import pytest

from hopperbook import facts, memory
from hopperbook.customer import default
from hopperbook.models import kv_bytes_per_token, load
from hopperbook.studies import memory as study
from hopperbook.units import GIB

SHOP = default()
HELD = study.budget(SHOP, "H100 SXM", 4, "fp8", "fp8")
LLAMA = load(SHOP.model)


def test_users_at_the_budget_fit_and_one_more_does_not():
    assert study.fit(HELD, HELD.users, SHOP.held_tokens).headroom >= 0
    assert study.fit(HELD, HELD.users + 1, SHOP.held_tokens).headroom < 0


def test_at_the_largest_context_nothing_is_left():
    found = study.fit(HELD, 64, SHOP.held_tokens)
    longest = SHOP.model_copy(update={"context_tokens": found.largest_context_tokens})
    full = study.fit(study.budget(longest, "H100 SXM", 4, "fp8", "fp8"), 64, longest.held_tokens)
    assert full.headroom == pytest.approx(0, abs=1e-4)


def test_where_cache_and_weights_weigh_the_same():
    found = study.fit(HELD, 64, SHOP.held_tokens)
    assert found.needed_bytes * found.weights_tokens / SHOP.held_tokens == pytest.approx(HELD.weights_bytes)


@pytest.mark.parametrize("users", [1, 40, 400])
def test_a_stack_adds_up_to_the_budget(users):
    stacked = study.stack(SHOP, study.replicas(SHOP, 4), users)
    found = study.totals(stacked)
    assert (found.fits == stacked.groupby("item", sort=False).fits.first()).all()
    used = found.used["4 × H100 SXM"] * GIB / 4
    assert used == pytest.approx(HELD.capacity_bytes - HELD.kv_room_bytes + users * HELD.kv_user_bytes)


def test_replicas_name_every_part_drawn_and_halves_of_the_newer():
    assert [r.gpu for r in study.replicas(SHOP, 1)] == list(facts.drawn())
    halves = study.replicas(SHOP, 4)[len(facts.drawn()) :]
    assert {r.tp for r in halves} == {2}
    assert all(facts.gpu(r.gpu).transformer_engine for r in halves)


def test_the_map_is_full_where_the_budget_is():
    at = study.used_share(HELD, LLAMA, HELD.users, SHOP.held_tokens, SHOP.held_tokens)
    assert at <= 1 < study.used_share(HELD, LLAMA, HELD.users + 1, SHOP.held_tokens, SHOP.held_tokens)
    grid = study.fit_map(HELD, LLAMA, 64, SHOP.held_tokens)
    assert grid.y.nunique() <= study.MOST_CONTEXTS
    assert grid.y.max() <= LLAMA.context_limit


def test_sharding_takes_states_and_recompute_takes_activations():
    table = study.training_table(SHOP)
    assert table.states.iloc[0] > table.states.iloc[1] > table.states.iloc[2] > table.states.iloc[3]
    assert table.activations.iloc[4] <= table.activations.iloc[3] <= table.activations.iloc[1]
    assert table.activations.iloc[4] < table.activations.iloc[1]


def test_latent_attention_by_hand():
    deepseek = load("deepseek-ai/DeepSeek-V3")
    assert study.unshared_bytes_per_token(deepseek) == 2 * 128 * 128 * 61 * 2
    assert kv_bytes_per_token(deepseek) == (512 + 64) * 61 * 2


@pytest.mark.parametrize(
    ("model", "held_by"),
    [("meta-llama/Llama-3.1-8B", 2), ("meta-llama/Llama-3.1-70B", 1), ("deepseek-ai/DeepSeek-V3", 0)],
)
def test_who_holds_the_states_of_adam(model, held_by):
    asked = SHOP.model_copy(update={"training_model": model})
    assert study.adam_states(asked).held_by == held_by


def test_a_budget_is_that_of_the_calculator():
    assert isinstance(HELD, memory.Budget)
    assert HELD.capacity_bytes == facts.gpu("H100 SXM").memory_bytes
