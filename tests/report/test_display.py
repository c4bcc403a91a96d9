"""What a chapter shows: escaped, formatted, in words for those who see no page."""

from __future__ import annotations

import pytest

from hopperbook import display, units
from hopperbook.display import core
from hopperbook.errors import InputError


def test_a_bare_float_is_refused() -> None:
    with pytest.raises(TypeError, match=r"the value of \{x\} is a float; format it with hopperbook.units first"):
        display.text("{x}", x=0.1)


@pytest.mark.parametrize("template", ["{x}", "{x.y}", "{x[0]}", "{0}", "{x!r:>{w}}"])
def test_a_field_is_a_plain_name_with_a_value(template: str) -> None:
    with pytest.raises(ValueError, match="text: "):
        display.text(template, y="1")


def test_a_value_never_becomes_markup() -> None:
    html, plain = core.markdown("**{a}** [l]({b}) `{a}`", {"a": "</b>*x*<script>", "b": "javascript:alert(1)"})
    assert "<script>" not in html and "<em>" not in html
    assert 'href="javascript' not in html and "&lt;script&gt;" in html
    assert plain.startswith("**</b>*x*<script>**")


def test_mathematics_is_marked_for_the_page() -> None:
    assert core.markdown("$2 L < H$", {})[0] == (
        '<p><span class="math inline"><span class="math mathjax_process">\\(2 L &lt; H\\)</span></span></p>'
    )


def test_an_estimate_without_a_range_and_one_beyond_its_limit(capsys: pytest.CaptureFixture[str]) -> None:
    display.cards([display.Estimate("Parameters", 70.6e9, fmt=units.parameters)])
    display.cards([display.Estimate("Cost", 3.0, 2.0, 9.0, units.money, limit=1.0, limit_name="budget")])
    assert capsys.readouterr().out.splitlines() == [
        "Parameters 70.6 billion",
        "Cost $3.00 (80 % range $2.00 to $9.00; budget $1.00)",
    ]


def test_bad_names_and_kinds_are_one_sentence() -> None:
    with pytest.raises(InputError, match="kind: 'guess' is not usable"):
        display.inputs([("x", "1", "guess", "me")])
    with pytest.raises(InputError, match="name: 'a b'"):
        display.figure({"mark": "bar"}, "a b", "t", alt="x")
    with pytest.raises(InputError, match="alt: '' is not usable"):
        display.figure({"mark": "bar"}, "a", "t")
    with pytest.raises(InputError, match="key: 'Cost'"):
        display.result("Cost", 1)
    with pytest.raises(InputError, match="value: "):
        display.result("cost", [1])


def test_missing_values_in_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"gpu": "H100", "x": 1.0, "ok": True}, {"gpu": "H200", "x": float("nan"), "ok": None}]
    display.table(rows, [display.Column("gpu", "GPU"), display.Column("x", fmt=units.money), "ok"])
    assert capsys.readouterr().out == "GPU | x | ok\nH100 | $1.00 | yes\nH200 | – | –\n"
