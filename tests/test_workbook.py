"""The bill as a workbook: recalculated by another program it says what the report says, to the cent."""

import io
import zipfile

import formulas
import openpyxl
import pytest

from hopperbook import cost, customer, facts, planner, workbook
from hopperbook.planner.tenure import assumptions, ownership, residual_fraction

SHOP = {"name": "A", "model": "llama-3.1-8b", "concurrency": 64}
BESIDE = {"stored_tb": 30.0, "egress_tb_per_month": 4.0, "support": "business", "licence": "nvaie"}
TRAINS = {"training_task": "pretrain", "training_tokens": 2e9, "training_deadline_days": 2.0}
CASES = {
    "bought": SHOP | {"horizon_months": 12},
    "rented, with all beside": SHOP | BESIDE | TRAINS | {"tenure": "on_demand", "horizon_months": 6},
    "reserved, growing, with spares": SHOP
    | {"tenure": "reserved", "growth_per_year": 1.0, "spare_replicas": 1, "horizon_months": 18},
    "kept, with small services": SHOP
    | {"owned_gpu": "A100 SXM 80GB", "owned_gpus": 16, "small_services": 3, "horizon_months": 12},
    "several servers a replica": SHOP
    | {"model": "deepseek-v3", "max_gpus": 64, "tpot_target_ms": 90.0, "horizon_months": 12, "precision": "bf16"},
}


def planned(values):
    return planner.plan(customer.check(values))


def recalculated(book, tmp_path):
    """Return the cells of a book after another program has calculated them, by sheet, row and column."""
    path = tmp_path / book["name"]
    workbook.write(book, path)
    solved = formulas.ExcelModel().loads(str(path)).finish().calculate()
    found = {}
    for name, cells in solved.items():
        sheet, _, at = name.partition("]")[2].rpartition("'!")
        if at.isalnum():
            column, row = at.rstrip("0123456789"), at.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
            found[sheet, int(row) - 1, ord(column) - ord("A")] = cells.value[0, 0]
    return found


def cells_of(book):
    return {(s["name"].upper(), c["row"], c["column"]): c for s in book["sheets"] for c in s["cells"]}


def beside(book, words, column=1):
    """Return the number in the row that begins with some words."""
    for sheet in book["sheets"]:
        for cell in sheet["cells"]:
            if cell["value"] == words and cell["column"] == 0:
                row = {c["column"]: c["value"] for c in sheet["cells"] if c["row"] == cell["row"]}
                return row[column]
    raise AssertionError(words)


@pytest.mark.parametrize("case", CASES)
def test_recalculated_it_says_what_the_report_says(case, tmp_path):
    made = planned(CASES[case])
    book = workbook.bill(made)
    found, cells = recalculated(book, tmp_path), cells_of(book)
    live = {at: cell for at, cell in cells.items() if cell["formula"]}
    assert len(live) > 100
    for at, cell in live.items():
        assert float(found[at]) == pytest.approx(cell["value"], abs=0.005), (at, cell)
    assert beside(book, "This workbook less the report") == 0
    assert beside(book, "Total") == pytest.approx(made.usd_per_month(), abs=0.005)
    months = made.customer.horizon_months
    if not made.customer.growth_per_year:
        assert beside(book, "Total", 2) == pytest.approx(months * made.usd_per_month(), abs=0.05)


def test_another_price_in_a_yellow_cell_moves_the_bill_as_it_should(tmp_path):
    book = workbook.bill(planned(SHOP | {"tenure": "on_demand", "horizon_months": 6}))
    price = next(c for s in book["sheets"] if s["name"] == "Prices" for c in s["cells"] if c["style"] == "price")
    before = beside(book, "Total")
    price["value"] *= 1.5
    row = next(at for at, cell in cells_of(book).items() if cell["value"] == "Total" and at[0] == "SUMMARY")
    after = recalculated(book, tmp_path)[row[0], row[1], 1]
    assert float(after) == pytest.approx(1.5 * before, abs=0.01)


def test_growth_buys_replicas_when_they_are_needed():
    made = planned(CASES["reserved, growing, with spares"])
    months = next(s for s in workbook.bill(made)["sheets"] if s["name"] == "Months")
    replicas = [c["value"] for c in months["cells"] if c["column"] == 2 and c["formula"]]
    first = made.recommendation.replicas
    assert replicas[0] == first + 1 and replicas == sorted(replicas)
    assert replicas[-1] == -(-first * 2 ** (17 / 12) // 1) + 1


def test_owning_and_leasing_by_hand():
    shop = customer.check(SHOP | {"tenure": "own", "horizon_months": 36, "site_pue": 1.2, "site_usd_per_kwh": 0.2})
    book = workbook.bill(planner.plan(shop))
    gpu = planner.plan(shop).recommendation.gpu
    o = ownership(gpu, 36)
    price, kw = o.server_usd, o.power_w / 1e3
    assert beside(book, "Depreciation") == pytest.approx(price * (1 - residual_fraction(36)) / 36)
    power = 730 * 0.2 * 1.2 * kw * (0.35 + 0.65 * 0.5)
    assert beside(book, "Electricity") == pytest.approx(power)
    rate = assumptions()["lease_rate_per_year"]
    lease = cost.lease_usd_per_month(price, 36, rate, residual_fraction(36, "low"))
    assert beside(book, "Lease") == pytest.approx(lease)
    running = power + 0.05 * price / 12 + facts.cost("colocation_usd_per_kw_month").typical * o.reserved_w / 1e3
    assert beside(book, "Leased, and given back") == pytest.approx(lease + running)


def test_words_are_never_formulas_and_the_bytes_never_change(tmp_path):
    made = planned(SHOP | {"name": "=HYPERLINK(1,2)", "business": "+1+1 and =cmd()", "horizon_months": 6})
    content = workbook.to_bytes(workbook.bill(made))
    assert content == workbook.to_bytes(workbook.bill(made))
    read = openpyxl.load_workbook(io.BytesIO(content))
    cells = [cell for page in read for row in page.iter_rows() for cell in row if cell.value is not None]
    words = [
        cell for cell in cells if isinstance(cell.value, str) and cell.value[:1] in ("=", "+") and cell.data_type != "f"
    ]
    assert {"=HYPERLINK(1,2)", "+1+1 and =cmd()"} <= {cell.value for cell in words}
    assert not any("HYPERLINK" in str(cell.value) for cell in cells if cell.data_type == "f")
    with zipfile.ZipFile(io.BytesIO(content)) as packed:
        assert {entry.date_time for entry in packed.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {entry.compress_type for entry in packed.infolist()} == {zipfile.ZIP_STORED}
        assert b"<hyperlink" not in b"".join(packed.read(entry) for entry in packed.infolist())


def test_viewers_that_do_not_calculate_show_the_values():
    made = planned(CASES["bought"])
    read = openpyxl.load_workbook(io.BytesIO(workbook.to_bytes(workbook.bill(made))), data_only=True)
    shown = {row[0].value: row[1].value for row in read["Summary"].iter_rows()}
    assert shown["Total"] == pytest.approx(made.usd_per_month())


def test_nothing_recommended_is_a_page_that_says_so():
    made = planned(SHOP | {"tpot_target_ms": 0.01})
    (page,) = workbook.bill(made)["sheets"]
    assert made.answer in [cell["value"] for cell in page["cells"]]


def test_the_command_writes_it_and_refuses_what_it_cannot(tmp_path, capsys):
    from hopperbook import cli

    mine = tmp_path / "mine.yaml"
    mine.write_text("name: A\nmodel: llama-3.1-8b\n")
    cli.main(["plan", str(mine), "--xlsx", str(tmp_path / "bill.xlsx")])
    assert openpyxl.load_workbook(tmp_path / "bill.xlsx").sheetnames[0] == "Summary"
    for words, *more in (("a folder that exists", tmp_path / "none" / "bill.xlsx"),
                         ("one customer", tmp_path / "bill.xlsx", "--with", mine)):  # fmt: skip
        with pytest.raises(SystemExit, match="2"):
            cli.main(["plan", str(mine), "--xlsx", *map(str, more)])
        assert words in capsys.readouterr().err
