"""Links that nobody types: they stand where they should, in text only, and lead where something is."""

import re

import pytest
from tests.report import book

from hopperbook import facts, story
from hopperbook.display.core import escape
from hopperbook.display.lists import anchor
from hopperbook.report import linking, reference


def test_every_source_has_a_name_of_its_own():
    """Two sources of one short title would be linked to one of them."""
    names: dict[str, list[str]] = {}
    for key in facts.references():
        names.setdefault(escape(story.cite(key)), []).append(key)
    assert {name: keys for name, keys in names.items() if len(keys) > 1} == {}
    assert len(linking.sources().tags) == len(facts.references())


def test_a_source_that_begins_like_another_is_linked_to_itself():
    words = escape(story.cite("williams-2009-roofline"))
    linked = linking.link(f"<p>See {words}; and {words} again.</p>")
    assert linked.count(f"#{anchor('source', 'williams-2009-roofline')}") == 2


@pytest.mark.parametrize(
    "html",
    ["<h2>MIG</h2>", "<code>MIG</code>", "<pre>MIG</pre>", "<svg><text>MIG</text></svg>", '<a href="x">MIG</a>',
     '<p class="hb-number">MIG</p>', '<img alt="MIG">', "<!--MIG-->", "<script>MIG</script>", "<p>MIGration</p>"],
)  # fmt: skip
def test_only_text_is_linked(html):
    assert linking.link(html) == html


def test_a_term_is_linked_once_and_carries_its_meaning():
    linked = linking.link("<p>TTFT and the first token are one term; TTFT is short.</p>")
    assert len(re.findall("<a ", linked)) == 1
    assert "Time to the first token" in linked


def test_calculators_lead_to_their_page_and_unknown_names_stay():
    linked = linking.link("<p>planner.plan, planner.plans, x.planner.plan</p>", {"planner.plan": "r/planner.html#p"})
    assert linked.count("<a ") == 1


def test_every_form_of_the_glossary_is_of_one_term_and_every_meaning_is_a_sentence():
    for term in facts.glossary():
        assert term.forms
        assert term.meaning[0].isupper()
        assert term.meaning.endswith(".")
        assert len(term.meaning) < 200


def test_what_chapters_call_is_found(tmp_path):
    folder = book.write(tmp_path)
    assert reference.used(sorted(folder.glob("*.ipynb")))["charts.bars"] == ["01-hopper"]
