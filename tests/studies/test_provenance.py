"""What the book says it holds is what lies in data/."""

import csv
import gzip

from hopperbook import facts
from hopperbook.studies import provenance


def test_counts_are_the_sums_of_the_tables():
    held, tables = provenance.held(), provenance.fact_table()
    assert held.facts + held.models == tables["rows"].sum()
    assert held.measurements == provenance.measurement_table()["rows"].sum()
    assert held.references == len(provenance.reference_list())


def test_rows_of_a_file_are_counted_once():
    table = provenance.measurement_table().set_index("file")
    path = sorted((facts.DATA / "measurements").glob("*.csv.gz"))[0]
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        assert table["rows"][path.name.split(".")[0]] == sum(1 for _ in csv.DictReader(lines))


def test_every_file_fits_or_judges():
    table = provenance.measurement_table()
    assert ((table.fit > 0) | (table.judge > 0)).all()


def test_no_brace_of_bibtex_is_shown():
    shown = provenance.reference_list()
    assert not [each.key for each in shown if set("{}") & set("".join(each))]
    assert [each.who.lower() for each in shown] == sorted(each.who.lower() for each in shown)


def test_every_calculator_has_a_subject_and_functions():
    table = provenance.interface()
    assert len(table) == len(provenance.ROOMS)
    assert (table.subject != "").all()
    assert (table.functions != "").all()
    assert not table.functions.str.contains(r"(?:^|, )_").any()


def test_glossary_is_in_order_of_the_alphabet():
    words = [each.term.lower() for each in facts.glossary()]
    assert words == sorted(words)
