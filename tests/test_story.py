"""What chapters share: rows of inputs, names, citations, judged rows."""

import pandas as pd
import pytest

from hopperbook import evidence, facts, story
from hopperbook.customer import Customer, default
from hopperbook.errors import InputError


def test_every_field_in_words_belongs_to_a_customer():
    who = default()
    for field in story.FIELD_WORDS:
        assert hasattr(who, field)
    rows = story.yours(who, *story.FIELD_WORDS)
    assert len(rows) == len(story.FIELD_WORDS)
    for row in rows:
        assert row.value
        assert "None" not in row.value
    derived = {name for name, value in vars(Customer).items() if isinstance(value, property)}
    assert set(story.FIELD_WORDS) <= set(Customer.model_fields) | derived


def test_citations_name_titles():
    for key in facts.references():
        words = story.cite(key)
        assert words
        assert "{" not in words
    assert story.cite("nvidia-h100-whitepaper-2023, kwon-2023-vllm").count(";") >= 1
    assert story.cite("no-such-key") == "no-such-key"


def test_judged_rows_are_of_their_quantity():
    rows = evidence.judged("training", "tokens_per_s_per_gpu")
    assert len(rows) > 20
    assert (rows.quantity == "tokens_per_s_per_gpu").all()
    assert rows.error.notna().all()
    assert (rows.low <= rows.predicted * (1 + 1e-9)).all()
    words = story.error_words(rows)
    assert set(words) >= {"n", "median", "mean", "bias", "coverage", "worst"}
    with pytest.raises(InputError, match="quantity"):
        evidence.judged("training", "no_such_quantity")


def test_error_words_by_hand():
    rows = pd.DataFrame({"error": [0.2, -0.1, 0.0], "measured": [1.0, 1.0, 1.0], "low": [0.9] * 3, "high": [1.1] * 3})
    words = story.error_words(rows)
    assert words["n"] == "3"
    assert words["median"].startswith("10")
    assert words["worst"].startswith("20")
    assert words["coverage"].startswith("100")


def test_join_and_label():
    assert story.join([]) == ""
    assert story.join(["a", "b"]) == "a and b"
    assert story.label("path/to/My-Model-hf") == "My Model"
