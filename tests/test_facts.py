"""Facts: sources resolve, figures are those of the data sheets, like stands beside like, and bad input is told."""

from __future__ import annotations

import json
import re

import pytest

from hopperbook import facts
from hopperbook.errors import InputError
from hopperbook.facts.tables import DATA
from hopperbook.units import GIB, MIB

UNPRICED = ("OAM 8x MI325X", "PCIe 8x A100 40GB")
OWN = ("gpus", "systems", "fabrics", "mig", "prices", "costs", "hpc", "claims")


@pytest.mark.parametrize("name", OWN)
def test_every_row_names_a_source_of_the_bibliography(name):
    known = set(facts.references())
    for row in facts.records(name):
        assert row["source"] in known, (name, row)


@pytest.mark.parametrize(("name", "column"), [("gpus", "memory_source"), ("fabrics", "efficiency_source")])
def test_second_sources_resolve(name, column):
    named = {row[column] for row in facts.records(name) if row[column]}
    assert named <= set(facts.references())


def test_keys_of_the_bibliography_are_lower_case_and_entries_complete():
    for key, entry in facts.references().items():
        assert re.fullmatch(r"[a-z0-9.-]+", key), key
        assert {"author", "title", "year"} <= set(entry), key


@pytest.mark.parametrize(
    ("name", "fmt", "dense", "sparse"),
    [
        ("A100 SXM", "bf16", 312, 624),
        ("A100 SXM", "int8", 624, 1248),
        ("H100 SXM", "bf16", 989, 1979),
        ("H100 SXM", "fp8", 1979, 3958),
        ("H200 SXM", "bf16", 989, 1979),
        ("H200 SXM", "fp8", 1979, 3958),
        ("H100 PCIe", "bf16", 756, 1513),
        ("H100 NVL", "bf16", 835, 1671),
        ("H200 NVL", "fp8", 1671, 3341),
        ("H20", "bf16", 148, 296),
        ("B200", "fp8", 4500, 9000),
        ("GB200", "bf16", 2500, 5000),
        ("GB300", "fp8", 5000, 10000),
        ("L40S", "fp8", 733, 1466),
        ("L4", "bf16", 121, 242),
        ("A10", "int8", 250, 500),
        ("A800", "bf16", 312, 624),
    ],
)
def test_peaks_are_those_of_the_data_sheets(name, fmt, dense, sparse):
    part = facts.gpu(name)
    assert part.dense_flop_per_s[fmt] == pytest.approx(dense * 1e12, rel=1e-3)
    assert part.sparse_flop_per_s[fmt] == pytest.approx(sparse * 1e12, rel=1e-3)


def test_fp4_peaks_are_dense_and_only_on_blackwell():
    printed = {"B200 SXM": 72e15 / 8, "B300 SXM": 108e15 / 8, "GB200": 720e15 / 72, "GB300": 1080e15 / 72}
    for name, peak in printed.items():
        assert facts.gpu(name).dense_flop_per_s["fp4"] == pytest.approx(peak, rel=0.01)
    has = {part.architecture for part in facts.gpus().values() if "fp4" in part.dense_flop_per_s}
    assert has == {"Blackwell"}


def test_sparse_is_twice_dense_and_only_for_tensor_formats():
    for part in facts.gpus().values():
        assert set(part.sparse_flop_per_s) <= {"tf32", "bf16", "fp16", "fp8", "int8"}
        for fmt, peak in part.sparse_flop_per_s.items():
            assert peak == 2 * part.dense_flop_per_s[fmt]


@pytest.mark.parametrize("name", ["A100 SXM", "H100 SXM", "H100 NVL", "H200 NVL"])
def test_tensor_peak_follows_from_sms_and_clock(name):
    part = facts.gpu(name)
    flop_per_sm_and_cycle = 4096 if part.architecture == "Hopper" else 2048
    expected = part.sms * flop_per_sm_and_cycle * part.tensor_clock_hz
    assert part.dense_flop_per_s["bf16"] == pytest.approx(expected, rel=2e-3)


def test_a_format_that_a_part_lacks_is_absent():
    assert "fp8" not in facts.gpu("A100 SXM").dense_flop_per_s
    assert not facts.gpu("A100 SXM").transformer_engine and not facts.gpu("A100 SXM").dpx


@pytest.mark.parametrize(
    ("name", "bandwidth", "nvlink", "gb", "mib", "sms"),
    [
        ("A100 SXM 80GB", 2.039e12, 300e9, 80, 81920, 108),
        ("A100 SXM 40GB", 1.555e12, 300e9, 40, 40960, 108),
        ("H100 SXM", 3.35e12, 450e9, 80, 81559, 132),
        ("H100 PCIe", 2.0e12, 300e9, 80, 81559, 114),
        ("H100 NVL", 3.9e12, 300e9, 94, 95830, 132),
        ("H200 SXM", 4.8e12, 450e9, 141, 143771, 132),
        ("H800 SXM", 3.35e12, 200e9, 80, 81559, 132),
    ],
)
def test_memory_and_links(name, bandwidth, nvlink, gb, mib, sms):
    part = facts.gpu(name)
    assert (part.memory_bandwidth_bytes_per_s, part.nvlink_bytes_per_s_per_direction) == (bandwidth, nvlink)
    assert (part.memory_gb, part.memory_bytes, part.sms) == (gb, mib * MIB, sms)


def test_h200_computes_like_h100():
    assert facts.gpu("H200 SXM").dense_flop_per_s == facts.gpu("H100 SXM").dense_flop_per_s


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("h100_80gb", "H100 SXM"),
        ("NVIDIA H200", "H200 SXM"),
        ("a100_40gb", "A100 SXM 40GB"),
        ("A100 SXM", "A100 SXM 80GB"),
        ("h200_sxm", "H200 SXM"),
        ("NVIDIA A100-SXM4-80GB", "A100 SXM 80GB"),
        ("NVIDIA H100 80GB HBM3", "H100 SXM"),
        ("H100 nvl", "H100 NVL"),
        ("NVIDIA B300 SXM6 AC", "B300 SXM"),
        ("RTX PRO 6000", "RTX PRO 6000 Blackwell Server"),
        ("AMD Instinct MI300X", "MI300X"),
        ("b200", "B200 SXM"),
    ],
)
def test_aliases(alias, name):
    assert facts.gpu(alias).name == name


@pytest.mark.parametrize(
    "lookup", [facts.gpu, facts.system, facts.fabric, facts.mig_profiles, facts.price, facts.cost, facts.table]
)
@pytest.mark.parametrize("name", ["H300", "", "../secrets", "x" * 5000])
def test_an_unknown_name_is_a_typed_error_in_one_sentence(lookup, name):
    with pytest.raises(InputError) as caught:
        lookup(name)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 1500


def test_an_unknown_gpu_is_told_the_nearest():
    with pytest.raises(InputError, match="H100 SXM"):
        facts.gpu("H100 SMX")


def test_systems_hold_known_gpus_and_networks():
    assert facts.system("DGX H100").nic_bytes_per_s_per_direction == 50e9
    for server in facts.systems().values():
        assert server.gpu in facts.gpus()
        part = facts.gpu(server.gpu)
        assert (server.nvswitches > 0) == (part.nvlink_generation > 0 and part.nvlink_gpus >= 8)


def test_fabrics_are_per_direction():
    rates = {name: link.bytes_per_s_per_direction for name, link in facts.fabrics().items()}
    assert rates["eth10"] == 1.25e9 and rates["ndr"] == 50e9 and rates["hdr"] == 25e9
    assert rates["nvlink4"] == facts.gpu("H100 SXM").nvlink_bytes_per_s_per_direction
    assert rates["nvlink3"] == facts.gpu("A100 SXM").nvlink_bytes_per_s_per_direction
    assert all(link.efficiency is None or 0.3 < link.efficiency < 1 for link in facts.fabrics().values())


def test_mig_profiles_agree_with_the_cards_and_themselves():
    for row in facts.records("mig"):
        for name in row["gpus"]:
            part = facts.gpu(name)
            for profile in facts.mig_profiles(name):
                compute, memory = re.fullmatch(r"(\d)g\.(\d+)gb(?:\+me)?", profile.name).groups()
                assert profile.slices == int(compute)
                assert profile.memory_bytes <= part.memory_bytes and profile.sms <= part.sms
                assert abs(profile.memory_bytes / GIB - int(memory)) <= 3
                assert all(start + profile.memory_slices <= 8 for start in profile.starts)
                assert profile.count <= len(profile.starts) and profile.count * profile.slices <= 7


def test_mig_placements_are_those_nvidia_smi_lists():
    starts = {profile.name: profile.starts for profile in facts.mig_profiles("H100 NVL")}
    assert starts["1g.12gb"] == tuple(range(7)) and starts["1g.24gb"] == (0, 2, 4, 6)
    assert starts["2g.24gb"] == (0, 2, 4) and starts["3g.47gb"] == (0, 4) and starts["7g.94gb"] == (0,)


def test_prices_keep_two_markets_apart_and_give_a_provider_one_vote():
    other, hyper = facts.price("H100 SXM"), facts.price("H100 SXM", "hyperscaler")
    assert other.typical == pytest.approx(3.3, rel=0.05) and hyper.typical == pytest.approx(10.5, rel=0.05)
    rows = facts.table("prices").query("gpu == 'H100 SXM' and market == 'other' and tenure == 'on_demand'")
    assert other.count <= other.rows < len(rows) and other.count < rows.provider.nunique()
    assert other.low <= other.typical <= other.high and re.fullmatch(r"\d{4}-\d\d-\d\d to \d{4}-\d\d-\d\d", other.date)


def test_price_rows_left_out_of_any_median_are_not_there():
    prices = facts.table("prices")
    assert not prices.note.str.contains("SUSPECT|HISTORY|CURRENCY").any()
    assert set(prices.gpu) <= set(facts.gpus()) and set(prices.tenure) == set(facts.TENURES)
    assert (prices.usd_per_gpu_hour > 0).all() and prices.date.str.fullmatch(r"\d{4}-\d\d-\d\d").all()


def test_a_price_that_nobody_published_is_asked_for():
    with pytest.raises(InputError, match="give yourself"):
        facts.price("H20")
    with pytest.raises(InputError, match="market"):
        facts.price("H100 SXM", "everyone")
    with pytest.raises(InputError, match="tenure"):
        facts.price("H100 SXM", tenure="free")


def test_costs_are_ordered_dated_ranges():
    costs = facts.table("costs")
    for item, of in {(row["item"], row["of"]) for _, row in costs[costs.weight > 0].iterrows()}:
        found = facts.cost(item, of)
        assert 0 < found.low <= found.typical <= found.high and found.date and found.unit
    assert 1.0 < facts.cost("pue").typical < 1.6
    assert facts.cost("reserved_discount_3y").typical > facts.cost("reserved_discount_1y").typical


def test_a_cost_row_of_no_weight_does_not_count():
    assert facts.cost("colocation_usd_per_kw_month").date.startswith("2024")
    assert facts.cost("server_purchase_usd", "DGX H100").low > 199_000


def test_every_server_has_power_and_all_but_unpriced_ones_a_purchase_price():
    for name, server in facts.systems().items():
        power = facts.node_power(name)
        assert server.gpus * facts.gpu(server.gpu).tdp_w * 0.8 < power.low <= power.typical <= power.high
        assert server.rated_power_w is None or power.high <= server.rated_power_w
        if name in UNPRICED:
            with pytest.raises(InputError, match="give yourself"):
                facts.purchase(name)
        else:
            assert 20_000 < facts.purchase(name).typical < 600_000


def test_claims_are_all_there_once():
    assert [row["id"] for row in facts.records("claims")] == [f"C{number:02}" for number in range(1, 30)]


@pytest.mark.parametrize("name", OWN)
def test_json_holds_every_table(name):
    rows = json.loads(json.dumps(facts.as_json(name), allow_nan=False))
    assert rows and all(row["source"] for row in rows)


def test_json_of_gpus_and_prices_has_the_promised_fields():
    part = next(row for row in facts.as_json("gpus") if row["name"] == "A100 SXM 80GB")
    assert part["dense_flop_per_s"]["fp8"] is None and part["dense_flop_per_s"]["bf16"] == 312e12
    fields = {"memory_gb", "memory_bandwidth_bytes_per_s", "nvlink_bytes_per_s_per_direction", "tdp_w", "source"}
    assert fields <= set(part)
    fields = {"gpu", "market", "tenure", "low", "typical", "high", "date", "count", "source"}
    assert fields <= set(facts.as_json("prices")[0])


def test_a_row_without_a_source_is_refused(tmp_path, monkeypatch):
    (tmp_path / "bare.csv").write_text("name,value,source\na,1,\n")
    monkeypatch.setattr("hopperbook.facts.tables.DATA", tmp_path)
    with pytest.raises(InputError, match="source"):
        facts.records("bare")


def test_tables_are_copies():
    first = facts.table("hpc")
    first.loc[:, "value"] = 0.0
    assert (facts.table("hpc").value > 0).all() and (DATA / "hpc.csv").exists()
