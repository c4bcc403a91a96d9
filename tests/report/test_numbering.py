"""Figures, tables and equations get numbers, and links get the numbers of what they lead to."""

from __future__ import annotations

import pytest

from hopperbook.report import linking, numbering

PLACES = {"05-training": {"figure-parts": 1, "figure-scaling": 2, "table-tasks": 3}, "06-serving": {"figure-day": 1}}
FORMULA = '<div class="math notranslate nohighlight">\n\\[a = b\\]</div>'


def test_figures_tables_and_equations_are_counted_each_for_itself() -> None:
    table, figure = '<p class="hb-source">A.</p>', '<figcaption class="hb-source">B.</figcaption>'
    body = numbering.number(table + figure + FORMULA + table + FORMULA, "05-training")
    assert ["Table 5.1" in body, "Figure 5.1" in body, "Table 5.2" in body, "Figure 5.2" in body] == [True] * 3 + [
        False
    ]
    assert body.index('id="equation-1"') < body.index(r"\tag{5.1}") < body.index('id="equation-2"') < body.index("5.2}")


@pytest.mark.parametrize(
    ("link", "shown"),
    [
        ('<a href="05-training.html#figure-scaling">Figure</a>', ('05-training.html#figure-scaling"', "Figure 5.2")),
        ('<a class="x" href="#figure-day">Figure</a>', ('href="#figure-day"', "Figure 6.1")),
        ('<a href="05-training.html#table-tasks">Table</a>', ('05-training.html#table-tasks"', "Table 5.3")),
        ('<a href="05-training.html#equation-1">Equation</a>', ("#equation-1", "Equation 5.1")),
        ('<a href="05-training.html#figure-gone">Figure</a>', ('href="05-training.html"', "chapter 5")),
        ('<a href="05-training.html#figure-scaling">the days</a>', ("#figure-scaling", ">the days<")),
    ],
)
def test_a_link_bears_the_number_of_what_it_leads_to(link: str, shown: tuple[str, str]) -> None:
    found = numbering.number(link, "06-serving", PLACES)
    assert all(words in found for words in shown)


def test_a_link_to_what_its_own_page_has_not_is_words_alone() -> None:
    assert numbering.number('<a href="#figure-gone">Figure</a>', "06-serving", PLACES) == "the figure"
    assert numbering.number('<a href="#table-gone">Table</a>', "06-serving", PLACES) == "the table"


def test_the_first_page_has_links_with_numbers_but_no_numbers_of_its_own() -> None:
    body = '<p class="hb-source">A.</p><a href="06-serving.html#figure-day">Figure</a>'
    assert numbering.number(body, "index", PLACES) == body.replace(">Figure<", ">Figure 6.1<")


def test_places_are_counted_in_the_order_of_a_page_tables_by_their_source_lines(tmp_path) -> None:
    text = (
        r'"<figure id=\"figure-b\">" "<p class=\"hb-source\">inputs" "<div id=\"table-x\"><p class=\"hb-source\">"'
        r' "<figure id=\"figure-a\">"'
    )
    (tmp_path / "05-training.ipynb").write_text(text)
    assert numbering.places(tmp_path) == {"05-training": {"figure-b": 1, "table-x": 2, "figure-a": 2}}


def test_no_link_is_put_into_a_formula() -> None:
    formula = r'<span class="math notranslate nohighlight">\(\text{MFU}\)</span>'
    assert linking.link(formula + FORMULA.replace("a =", "MFU =")).count("<a ") == 0
