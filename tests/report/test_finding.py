"""The book's own search: numbers stay whole, and a section knows its own words."""

from docutils import nodes

from hopperbook.report import finding


def page() -> nodes.document:
    """Return a page with a section in a section."""
    document = nodes.document(None, None)  # type: ignore[arg-type]
    outer = nodes.section("", nodes.title("", "Costs"), nodes.paragraph("", "Buy."), ids=["costs"])
    html = "<p>It costs <b>12,500</b> USD.</p><script>var hidden = 7777</script><span>26</span>\u00a0<span>ms</span>"
    outer += nodes.section("", nodes.title("", "Month"), nodes.raw("", html, format="html"), ids=["month"])
    document += outer
    return document


def test_a_number_is_found_in_its_own_section():
    found = finding.index({"09": finding.sections(page())}, str)
    anchors = [each[1] for each in found["sections"]]
    assert anchors == ["costs", "month"]
    assert found["words"]["12500"] == [1, 1]
    assert found["words"]["26ms"] == [1, 1]
    assert found["words"]["costs"] == [0, finding.HEADING, 1, 1]
    assert "7777" not in found["words"]
    assert "12" not in found["words"]


def test_a_hyphen_joins_two_words_once_more():
    assert finding.words("break-even") == ["break", "even", "breakeven"]


def test_a_number_in_large_letters_counts_for_more_than_one_in_a_table():
    document = nodes.document(None, None)  # type: ignore[arg-type]
    html = '<p class="hb-number">$12,500 <span class="hb-unit">a month</span></p>'
    document += nodes.section("", nodes.title("", "A"), nodes.raw("", html, format="html"), ids=["a"])
    found = finding.index({"09": finding.sections(document), "13": finding.sections(page())}, str)
    assert found["words"]["12500"] == [0, 1 + finding.HEADLINE, 2, 1]
