"""Small words."""

import pytest

from hopperbook import facts
from hopperbook.studies.words import article, in_words


@pytest.mark.parametrize("name", facts.gpus())
def test_every_part_has_the_article_that_is_spoken(name):
    assert article(name) == ("an" if name[0] in "AHLMR" else "a")


def test_counts_beyond_the_words_are_figures():
    assert [in_words(n) for n in (0, 6, 12, 13)] == ["no", "six", "twelve", "13"]
