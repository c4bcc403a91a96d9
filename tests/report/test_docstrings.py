"""What the reference says of the library: all that is explained, as it is written, with links that lead there."""

import re

import pytest

from hopperbook import facts
from hopperbook.report import docstrings


@pytest.fixture(scope="module")
def made() -> tuple[dict[str, str], dict[str, str]]:
    return docstrings.pages({"memory.kv_copies": ["00-the-answer", "03-memory-maths"]})


def _entry(page: str, path: str) -> str:
    """Return what a page says of a name, up to the next name."""
    return page.split(f'id="{path}">', 1)[1].split('<section class="entry"', 1)[0]


def test_each_room_has_a_page_and_what_stands_above_has_none(made):
    assert {"memory.html", "planner.html", "index.html", "reference.css"} < set(made[0])
    assert not {"report.html", "cli.html", "studies.html"} & set(made[0])
    assert "hopperbook.planner.choose" in [module.path for module in docstrings.rooms()["planner"]]


def test_a_function_is_shown_as_it_is_called_and_where(made):
    entry = _entry(made[0]["memory.html"], "hopperbook.memory.serving.kv_copies")
    assert "<b>kv_copies</b>(model, tp)" in entry
    assert '<a href="models.html#hopperbook.models.shape.Model">Model</a>' in entry
    assert '<a href="../index.html">00-the-answer</a>, <a href="../03-memory-maths.html">' in entry


def test_marks_between_names_tuples_of_fields_and_values_are_shown_as_they_are_written(made):
    loop = _entry(made[0]["serving.html"], "hopperbook.serving.simulation.closed_loop")
    assert "output_tokens, *, requests=None, length_ratio=1.0" in loop
    asked = _entry(made[0]["serving.html"], "hopperbook.serving.events.Requests")
    assert "prompt_tokens, answer_tokens, cached_tokens=()" in asked
    fleet = _entry(made[0]["serving.html"], "hopperbook.serving.stream.Fleet")
    assert "routing=&#39;least_loaded&#39;" in fleet
    assert "self" not in fleet


def test_a_constant_is_told_by_the_comment_above_it(made):
    assert "repeats its fourth" in _entry(made[0]["serving.html"], "hopperbook.serving.simulation.LONG_RUN_USERS")


def test_no_docutils_is_left_and_every_formula_is_one(made):
    for name, page in made[0].items():
        shown = re.sub(r"<pre>.*?</pre>", "", page, flags=re.DOTALL)
        assert not re.search(r"\.\. math|:\w+:`|``", shown), name
    written = sum(each.read_text(encoding="utf-8").count(".. math::") for each in _sources())
    assert sum(page.count('<div class="math">\\[') for page in made[0].values()) == written


def _sources():
    return [module.filepath for modules in docstrings.rooms().values() for module in modules]


def test_a_source_is_named_by_its_title_and_leads_to_the_list(made):
    entry = _entry(made[0]["mig.html"], "hopperbook.mig.profiles")
    assert re.search(r'Source: <a href="../16-sources.html#source-nvidia-mig-user-guide">[A-Z][^<]+, 20\d\d</a>', entry)
    keys = "|".join(map(re.escape, facts.references()))
    for name, page in made[0].items():
        assert not re.search(f"<code>(?:{keys})</code>", page), name


def test_what_is_written_cannot_act_as_markup(made):
    reader = docstrings.Reader(docstrings.rooms()["memory"][0], {})
    for text in (
        "<script>x</script>",
        "``<b>``",
        ":func:`<b>`",
        ":math:`a<b>c`",
        ".. math:: a <b> c",
        "[x](javascript:y)",
    ):
        assert not re.search(r"<script|<b>|href", reader.text(text)), text
    assert "&lt;b&gt;" in reader.types("<b>")


def test_every_link_leads_to_a_place(made):
    places = {f"{name}#{place}" for name, page in made[0].items() for place in re.findall(r'id="([^"]+)"', page)}
    for name, page in made[0].items():
        ids = re.findall(r'id="([^"]+)"', page)
        assert len(ids) == len(set(ids)), name
        for link in re.findall(r'href="([\w.]*#[^"]+)"', page):
            assert (link if link[0] != "#" else name + link) in places
    assert set(made[1].values()) <= places


def test_names_are_those_that_chapters_use_and_what_a_package_hands_on_is_among_them(made):
    assert made[1]["serving.deploy"] == "serving.html#hopperbook.serving.deployment.deploy"
    assert made[1]["claims.ledger"] == "claims.html#hopperbook.claims.ledger.ledger"  # its module is named like it
    assert "units.pd" not in made[1]
    assert list(made[1]) == sorted(made[1])


def test_pages_are_the_same_each_time(made):
    assert docstrings.pages({"memory.kv_copies": ["00-the-answer", "03-memory-maths"]}) == made
