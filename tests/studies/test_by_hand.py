"""The sizing with a pencil: its own identities, and how near it comes to the plan."""

import math

import pytest

from hopperbook import customer, facts, planner, serving
from hopperbook.models import load
from hopperbook.studies import by_hand as study

SHOP = customer.default()
FILES = sorted((facts.DATA / "customers").glob("*.yaml"))


def sized(who):
    row, model = planner.plan(who).explained, load(who.model)
    card = study.cards(row.deployment, model)
    known = study.base(card, model, who, row.kv_precision)
    return row, card, known, study.size(known, card, who, row)


def test_llama_70b_on_four_h100_by_hand():
    d = serving.deploy(load(SHOP.model), "H100 SXM", tp=4, precision="fp8", kv_precision="fp8")
    card = study.cards(d, load(SHOP.model))
    known = study.base(card, load(SHOP.model), SHOP, "fp8")
    assert known.weights_bytes == 70_553_706_496  # a byte each
    assert known.token_bytes == 2 * 8 * 128 * 80
    assert known.request_bytes == 8192 * known.token_bytes
    assert known.read_s == pytest.approx(70_553_706_496 / (4 * 3.35e12 * 2 / 3))
    assert known.reduce_s == pytest.approx(160 * 12e-6)
    assert known.sent_bytes == 160 * 2048 * 8192 * 2 * 2 * 3 / 4
    assert known.prompt_s == known.compute_s + known.send_s


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_lines_agree_with_one_another(path):
    who = customer.load(path)
    _, _, known, found = sized(who)
    x = found.load
    assert x.cycle_s == pytest.approx(x.step_s / (1 - x.busy))
    assert x.in_flight == pytest.approx(x.rate_per_s * x.answer_s)
    assert x.running <= known.memory_requests * (1 + 1e-9)
    if found.limit == "time per token":
        assert x.cycle_s == pytest.approx(found.share * found.limit_s)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_count_is_near_that_of_the_plan(path):
    """Within a fifth for the default customer; for others a small fleet is rounded up or down by one replica."""
    who = customer.load(path)
    row, card, known, found = sized(who)
    lines = {line.what: line for line in study.compare(found, known, row, who)}
    off = study.distance(lines["GPUs"])
    assert off <= (0.2 if who == SHOP else 1.0)
    assert abs(lines["Replicas"].hand - lines["Replicas"].plan) <= max(1, 0.25 * lines["Replicas"].plan)
    assert found.billed_gpus >= found.gpus == (found.replicas + who.spare_replicas) * card.gpus
    assert lines["In flight, at the most"].hand == pytest.approx(lines["In flight, at the most"].plan, rel=0.3)
    table = study.table(list(lines.values()))
    assert table.what.tolist()[-1] == "GPUs paid for"


@pytest.mark.parametrize(
    ("change", "limit"),
    [
        ({"tpot_target_ms": 5000.0, "ttft_target_ms": 60_000.0}, "memory"),
        ({"ttft_target_ms": 500.0}, "first token"),
        ({"request_target_ms": 12_000.0}, "whole answer"),
    ],
)
def test_other_limits_bind(change, limit):
    row, card, _, _ = sized(SHOP)
    who = SHOP.model_copy(update=change)
    known = study.base(card, load(who.model), who, row.kv_precision)
    assert study.size(known, card, who, row).limit == limit


def test_rates_spares_and_thinking_count():
    row, card, known, found = sized(SHOP)
    rate = SHOP.model_copy(update={"requests_per_s": 2.5 * found.load.rate_per_s, "spare_replicas": 1})
    by_rate = study.size(known, card, rate, row)
    assert by_rate.replicas == 3 and by_rate.gpus == 4 * card.gpus
    thinks = SHOP.model_copy(update={"think_time_s": 60.0})
    assert study.size(known, card, thinks, row).load.users > 3 * found.load.users


def test_what_cannot_be_in_time_has_no_count():
    row, card, known, _ = sized(SHOP)
    found = study.size(known, card, SHOP.model_copy(update={"tpot_target_ms": 0.5}), row)
    assert math.isinf(found.replicas) and math.isinf(found.billed_gpus)
    assert study.write(found.gpus) == "none" and study.gpus_words(found.gpus) == "no number of such replicas"


def test_other_layouts_and_models():
    row, *_ = sized(SHOP)
    rows = study.layouts(SHOP, row)
    assert rows.gpus.is_monotonic_increasing and row.deployment.gpus in rows.gpus.tolist()
    deepseek = load("deepseek-v3")
    card = study.cards(serving.deploy(deepseek, "H200 SXM", tp=8), deepseek)
    assert (card.values, card.copies) == (576, 8.0)  # a latent, kept by every GPU
    gemma = load("google/gemma-2-9b")
    who = customer.check({"name": "A", "model": "google/gemma-2-9b", "context_tokens": 8192})
    known = study.base(study.cards(serving.deploy(gemma, "H100 SXM"), gemma), gemma, who, "bf16")
    assert known.request_bytes < 8192 * known.token_bytes  # every other layer slides


def test_only_what_changes_the_count_is_listed():
    found = sized(SHOP)[3]
    same, more = found, found._replace(billed_gpus=2 * found.billed_gpus)
    assert study.changes(found, {"same": same, "more": more}) == [f"more: {study.gpus_words(more.billed_gpus)}"]
    assert study.replicas_words(1, 1) == "1 replica of 1 GPU" and study.replicas_words(2, 4) == "2 replicas of 4 GPUs"
