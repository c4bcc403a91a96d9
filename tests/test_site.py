"""The customer's site, energy, what is billed beside the GPUs, quality of formats: by hand, and as constraints."""

import math

import pytest

from hopperbook import customer, facts, planner
from hopperbook.deploy import questions
from hopperbook.errors import InputError
from hopperbook.planner import energy, extras, quality, site
from hopperbook.planner.tenure import tenures

SHOP = {"name": "A", "model": "llama-3.1-8b", "concurrency": 64}


def shop(**values):
    return customer.check(SHOP | values)


# ---------------------------------------------------------------- the site


def test_power_and_racks_by_hand():
    server = facts.system("HGX H200")  # 10.2 kW, 8 units
    asked = site.need(shop(site_pue=1.2, site_rack_kw=25.0), server, 5)
    assert asked.kw == pytest.approx(5 * 10.2 * 1.2)
    assert (asked.a_rack, asked.racks) == (2, 3)
    assert site.need(shop(site_rack_kw=1000.0), server, 6).a_rack == 5  # 42 units over 8


def test_bought_servers_never_exceed_the_site():
    tight = {"tenure": "own", "site_kw": 12.0, "model": "llama-3.3-70b", "concurrency": 96}
    made = planner.plan(shop(**tight))
    held = {part: row.gpus for part, row in made.by_part.items()}
    assert held
    for part, gpus in held.items():
        server = facts.system(facts.gpu(part).server)
        assert site.need(made.customer, server, -(-gpus // server.gpus)).kw <= 12.0
    free = planner.plan(shop(**{**tight, "site_kw": 0.0}))
    lost = {part for part in free.by_part if part not in held}
    reasons = {r.gpu: r.reason for r in made.rejected}
    assert lost and all("your site has 12 kW" in reasons[part] for part in lost)


def test_a_site_that_holds_none_leaves_renting_and_says_why():
    who = shop(site_kw=5.0)
    assert {way.kind for way in tenures(who, "H100 SXM")} == {"on_demand", "reserved"}
    made = planner.plan(who)
    assert made.recommendation.tenure in ("on_demand", "reserved")
    assert "your site has 5 kW" in planner.as_text(made)
    assert planner.as_json(made)["site"]["most_servers"] == 0


def test_renting_asks_nothing_of_the_site():
    plain, tight = (planner.plan(shop(tenure="on_demand", site_racks=racks, site_rack_kw=racks)) for racks in (0, 1))
    assert plain.recommendation.usd == tight.recommendation.usd


@pytest.mark.parametrize("change", [{"site_racks": 1}, {"site_rack_kw": 8.0}, {"site_kw": 1.0}])
def test_what_would_hold_them_holds_them(change):
    who, server = shop(**change), facts.system("HGX H100")
    reason, remedy = site.shortfall(who, server, 4)
    assert reason and remedy.endswith("or rented GPUs")
    number = math.ceil(float(next(word for word in remedy.split() if word[0].isdigit())))
    field = next(iter(change))
    assert site.shortfall(who.model_copy(update={field: type(change[field])(number)}), server, 4)[0] != reason


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"site_pue": 0.5}, "site_pue"),
        ({"site_kw": -1.0}, "site_kw"),
        ({"stored_tb": -2.0}, "stored_tb"),
        ({"support": "gold"}, "support"),
        ({"growth_per_year": 11.0}, "growth_per_year"),
    ],
)
def test_what_cannot_be_is_refused_by_name(change, words):
    with pytest.raises(InputError, match=words):
        shop(**change)


def test_own_pue_and_electricity_move_the_price_of_owning():
    plain, dear = (
        next(way for way in tenures(shop(**change), "H100 SXM") if way.kind == "own")
        for change in ({}, {"site_pue": 1.6, "site_usd_per_kwh": 0.3})
    )
    kw = facts.node_power("HGX H100").typical / 1e3
    mean_kw = kw * (0.35 + 0.65 * 0.5)
    more = (0.3 * 1.6 - 0.085 * facts.cost("pue").typical) * mean_kw / 8
    assert dear.typical - plain.typical == pytest.approx(more)


# ---------------------------------------------------------------- energy


def test_energy_by_hand_and_by_grid():
    made = planner.plan(shop(tenure="own", region="FR"))
    row, used = made.recommendation, energy.energy(made)
    server = facts.system(facts.gpu(row.gpu).server)
    watts = facts.node_power(server.name).typical * row.gpus / server.gpus
    kwh = watts / 1e3 * (0.35 + 0.65 * 0.5) * facts.cost("pue").typical * 730
    assert used.serving_kwh == used.kwh == pytest.approx(kwh)
    assert used.kg_co2 == pytest.approx(kwh * 56.0 / 1e3)
    assert used.tokens_per_kwh == pytest.approx(row.output_tokens_per_s * 0.5 * 730 * 3600 / kwh)
    assert not used.assumed and energy.energy(planner.plan(shop(tenure="own", region="Atlantis"))).assumed


def test_every_grid_is_known_by_one_name_only_and_in_reason():
    rows = facts.records("grids")
    names = [name.lower() for row in rows for name in row["known_as"].split("|")]
    assert len(names) == len(set(names)) and rows[0]["region"] == "World"
    assert all(20 < row["g_co2_per_kwh"] < 900 for row in rows)


def test_training_adds_to_the_energy():
    lone = planner.plan(shop())
    trains = planner.plan(
        shop(training_task="sft", training_tokens=1e9, training_deadline_days=20.0, trainings_per_year=12.0)
    )
    assert energy.energy(trains).kwh > energy.energy(lone).kwh


# ---------------------------------------------------------------- beside the GPUs


def test_what_is_beside_the_gpus_is_in_every_total():
    beside = {"stored_tb": 10.0, "egress_tb_per_month": 2.0, "support": "business", "licence": "nvaie"}
    plain = planner.plan(shop(tenure="reserved"))
    made = planner.plan(shop(tenure="reserved", **beside))
    rent = made.recommendation.usd
    storage, egress = (facts.cost(x, "other").typical for x in ("storage_usd_per_tb_month", "egress_usd_per_tb"))
    by_hand = 10 * storage + 2 * egress + max(100, 0.07 * rent) + made.recommendation.gpus * 4500 / 12
    assert made.usd_per_month() - plain.usd_per_month() == pytest.approx(by_hand)
    assert [each["what"] for each in planner.as_json(made)["extras"]][:2] == [each.what for each in made.extras][:2]
    for end in ("low", "high"):
        assert (made.usd_per_month(end) - made.usd_per_month()) * (1 if end == "high" else -1) > 0


def test_a_licence_by_the_hour_is_paid_for_the_hours_of_a_run():
    trains = {"training_task": "pretrain", "training_tokens": 2e9, "training_deadline_days": 2.0}
    made = planner.plan(shop(tenure="on_demand", licence="nvaie", busy_fraction=1.0, **trains))
    serving, training = made.extras
    assert serving.usd == pytest.approx(730 * made.recommendation.gpus)  # USD 1 an hour
    run = made.training
    assert training.usd == pytest.approx(run.gpus * run.days * 24 * made.customer.trainings_per_year / 12)


def test_a_licence_that_comes_with_the_card_is_paid_after_its_term():
    with_card = {"parts": "H200 NVL", "tenure": "own", "licence": "nvaie"}
    assert planner.plan(shop(horizon_months=48, **with_card)).extras[0].usd == 0
    longer = planner.plan(shop(horizon_months=120, **with_card))
    assert longer.extras[0].usd == pytest.approx(longer.recommendation.gpus * 4500 / 12 / 2)


def test_an_own_fleet_pays_no_provider():
    made = planner.plan(shop(tenure="own", stored_tb=10.0, egress_tb_per_month=2.0, support="enterprise"))
    assert made.extras == () and extras.how(made.recommendation) == "own"


def test_the_budget_counts_what_is_beside():
    cheap = planner.plan(shop(tenure="on_demand"))
    budget = 1.05 * cheap.usd_per_month()
    assert not planner.plan(shop(tenure="on_demand", budget_usd_per_month=budget)).answer
    over = planner.plan(shop(tenure="on_demand", budget_usd_per_month=budget, stored_tb=1000.0))
    assert "above the budget" in over.answer or "times the budget" in over.answer


# ---------------------------------------------------------------- quality and questions


def test_a_format_below_sixteen_bits_brings_its_evaluations():
    made = planner.plan(shop(precision="int4", kv_precision="bf16"))
    (note,) = quality.notes(made.recommendation)
    assert note.startswith("weights in INT4 kept 99 %".replace(" %", "\u202f%"))
    assert not quality.notes(planner.plan(shop(precision="bf16", kv_precision="bf16")).recommendation)
    assert all(0.5 < row["kept_low"] <= row["kept_high"] <= 1 for row in facts.records("quality"))


def test_questions_follow_the_way_the_gpus_are_had():
    bought, rented = ({q.subject for q in questions(planner.plan(shop(tenure=way)))} for way in ("own", "on_demand"))
    assert {"Lead time", "Warranty", "Resale", "Power and cooling"} <= bought - rented
    assert {"Term", "Storage", "Traffic", "Support"} <= rented - bought
    assert {"Price", "Price validity", "Currency and tax", "Software licence", "Spares and growth"} <= bought & rented
    assert not questions(planner.plan(shop(tpot_target_ms=0.01)))
    known = facts.references()
    for question in questions(planner.plan(shop(tenure="own"))):
        for key in filter(None, question.source.split(", ")):
            assert key in known or key.startswith("data/") or key == "customer file", key


def test_the_price_asked_for_is_that_of_a_server_where_it_is_bought():
    bought, rented = (questions(planner.plan(shop(tenure=way)))[0].known for way in ("own", "on_demand"))
    assert " a server" in bought and "GPU-hour" not in bought
    assert " a GPU-hour" in rented and "server" not in rented


def test_a_site_is_said_to_need_whole_servers_and_a_rented_fleet_no_site():
    from hopperbook.studies import meeting

    bought, rented = (planner.plan(shop(tenure=way)) for way in ("own", "on_demand"))
    said, other = (meeting.site_words(made, meeting.site_table(made).iloc[0]) for made in (bought, rented))
    assert "kW with cooling and uses" in said and "on your own site" not in said
    assert other.startswith("Rented, ") and "on your own site it would be 1 whole" in other
