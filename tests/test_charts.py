"""Every chart function gives a specification that Vega-Lite draws, wide and narrow, with the book's colours."""

from __future__ import annotations

import re

import altair as alt
import numpy as np
import pytest

from hopperbook import charts
from hopperbook.charts import base, places
from hopperbook.errors import InputError
from hopperbook.report import collect, svg
from hopperbook.report.mime import is_live, numbers

GPUS = [
    {"gpu": "A100 SXM", "peak_tflop_per_s": 312, "bandwidth_tb_per_s": 2.04},
    {"gpu": "H100 SXM", "peak_tflop_per_s": 989, "bandwidth_tb_per_s": 3.35},
    {"gpu": "H200 SXM", "peak_tflop_per_s": 989, "bandwidth_tb_per_s": 4.8},
]
PARTS = [
    {"item": item, "part": part, "gib": gib, "capacity_gib": 159.0}
    for item in ("2 × H100", "2 × H200")
    for part, gib in (("weights", 68.0), ("KV cache", 105.0), ("runtime", 5.0))
]
CURVE = [
    {"x": x, "y": 10.0 * x, "series": name, "low": 9.0 * x, "high": 11.0 * x}
    for name in ("H100", "buy")
    for x in (1, 8, 64)
]
MONTHS = [
    {"month": m, "cost": c, "plan": p}
    for p, m, c in (("rent", 0, 0), ("rent", 36, 530), ("buy", 0, 290), ("buy", 36, 450))
]
PLANS = [
    {"name": "8 × H100", "x": 14.6, "y": 66.0, "gpu": "H100", "chosen": True},
    {"name": "16 × A100", "x": 17.5, "y": 150.0, "gpu": "A100"},
    {"name": "4 × H200", "x": 9.9, "y": 125.0, "gpu": "H200"},
]
MOVES = [{"item": "users", "low": 7.2, "high": 21.9, "low_label": "150", "high_label": "450"}]
SLICES = [
    {"card": "H100 a", "start": 0, "slices": 4, "label": "3g.40gb", "detail": "chat"},
    {"card": "H100 a", "start": 4, "slices": 4, "label": "", "detail": "free"},
]
WORK = [
    {"lane": "GEMM", "label": "qkv", "start": 0.0, "end": 58.0},
    {"lane": "all-reduce", "label": "29 µs", "start": 58.0, "end": 87.0, "exposed": True},
]
RUNS = [
    {"measured": 10.0, "predicted": 11.0, "gpu": "H100", "label": "kept"},
    {"measured": 90.0, "predicted": 80.0, "gpu": "A100", "label": ""},
]
BINS = [{"x": -2.0, "x2": -1.0, "percent": 40.0}, {"x": -1.0, "x2": 0.0, "percent": 60.0}]
CELLS = [{"x": u, "y": t, "share": u * t / 1e6} for u in (50, 100, 150, 200, 300, 600) for t in (2048, 4096)]


EVERY = {
    "bars": lambda: charts.bars(
        [{"item": "A100", "value": 2.0, "low": 1.8, "high": 2.2}, {"item": "B200", "value": 8.0}], "TB/s", 3.0
    ),
    "break_even": lambda: charts.break_even(MONTHS, meets=(28, 21, 35)),
    "decision_map": lambda: charts.decision_map(
        [1, 10, 100],
        [1, 10],
        [["A100", "H100", "2 nodes or more"]] * 2,
        "x",
        "y",
        (50, 5),
        rival=[["", "H200", ""]] * 2,
    ),
    "error_strip": lambda: charts.error_strip(
        [{"gpu": "H100", "error": 0.02}, {"gpu": "A100", "error": -0.1}], (-0.05, 0.05)
    ),
    "fit_map": lambda: charts.fit_map(CELLS, "users", "tokens", here=(150, 4096)),
    "histogram": lambda: charts.histogram(BINS, "s", mark=-1.0, mark_label="median"),
    "lines": lambda: charts.lines(CURVE, "users", "tokens/s", x_log=True, y_log=True, limit=100.0, points=True),
    "memory_stack": lambda: charts.memory_stack(PARTS),
    "mig_placement": lambda: charts.mig_placement(SLICES),
    "number_line": lambda: charts.number_line(
        BINS, {"E4M3": [-6.0, 0.0, 8.8]}, lost_below=-1.0, lost_label="40 % become 0"
    ),
    "pareto": lambda: charts.pareto(PLANS, "USD", "ms", y_limit=100.0, x_limit=16.0),
    "predicted_measured": lambda: charts.predicted_measured(RUNS, 0.13, quantity="ms a token"),
    "roofline": lambda: charts.roofline(GPUS, [{"label": "decode", "intensity": 2.0, "tflop_per_s": 6.0}]),
    "timeline": lambda: charts.timeline(WORK),
    "topology": lambda: charts.topology("H100 NVL", 4, "bridge", 2, 2, "inside", "outside"),
    "tornado": lambda: charts.tornado(MOVES, 14.6, "USD"),
}


def test_no_chart_is_forgotten() -> None:
    functions = {name for name in charts.__all__ if name[0].islower() and name != "gpu_style"}
    assert functions == set(EVERY)


@pytest.mark.parametrize("name", sorted(EVERY))
def test_a_chart_is_valid_and_is_drawn_at_both_widths(name: str) -> None:
    spec = EVERY[name]()
    for kind, part in svg.variants(spec).items():
        alt.Chart.from_dict(part)
        picture = svg.draw(part)
        width = float(re.search(r'<svg[^>]*width="([\d.]+)"', picture)[1])  # type: ignore[index]
        assert width == pytest.approx({"wide": charts.WIDE, "narrow": charts.NARROW}[kind], abs=1.5)
        assert "NaN" not in picture and "undefined" not in picture
        assert "currentColor" in picture
    assert spec == EVERY[name](), "a chart must not depend on those before it"


@pytest.mark.parametrize("name", sorted(EVERY))
def test_a_chart_hands_over_its_data(name: str) -> None:
    columns, rows = collect.chart_data(EVERY[name]())
    assert rows and columns and not [column for column in columns if column.startswith("_")]


def test_a_gpu_has_one_colour_dash_and_shape() -> None:
    styles = [charts.gpu_style(name) for name in ("A100 SXM 80GB", "8 × H100", "H200 NVL")]
    assert [style.color for style in styles] == ["#8c8c8c", "#0067b5", "#d55e00"]
    assert len({style.dash for style in styles}) == len({style.shape for style in styles}) == 3


@pytest.mark.parametrize("theme", [("#ffffff",), ("#121212",)])
def test_colours_stand_out_in_both_themes(theme: tuple[str]) -> None:
    for color in [*base.PARTS.values(), *(style.color for style in base.gpu_styles().values())]:
        if color == base.INK:
            continue  # the page's own ink
        assert _contrast(color, theme[0]) >= 2.99, color


def _contrast(one: str, other: str) -> float:
    """Return the contrast of two colours as the accessibility guidelines define it."""
    lights = []
    for color in (one, other):
        parts = np.array([int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)])
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        lights.append(float(linear @ [0.2126, 0.7152, 0.0722]))
    return (max(lights) + 0.05) / (min(lights) + 0.05)


def test_bad_rows_are_one_sentence() -> None:
    with pytest.raises(InputError, match="rows with the columns item, value"):
        charts.bars([])
    with pytest.raises(InputError, match="winner"):
        charts.decision_map([1, 2], [1], [["A100"]], "x", "y")
    with pytest.raises(InputError, match="rival"):
        charts.decision_map([1, 2], [1], [["A100", "A100"]], "x", "y", rival=[["H100"]])
    with pytest.raises(InputError, match="slices"):
        charts.mig_placement([{"card": "a", "start": 6, "slices": 4, "label": "3g"}])
    with pytest.raises(InputError, match="kind"):
        charts.topology("H100", kind="ring")


def test_words_do_not_meet() -> None:
    chosen = places.sides([50, 52, 54], [50, 50, 50], ["one word", "two words", "three"], 200, 100)
    assert len(set(chosen)) == 3
    moved = places.apart([10, 11, 12, 80], 14)
    assert all(b - a >= 14 - 1e-9 for a, b in zip(moved, moved[1:], strict=False)) and moved[3] == 80


def test_a_missing_number_does_not_break_a_chart() -> None:
    rows = [{"x": 1, "y": float("nan"), "series": "H100"}, {"x": 2, "y": 3.0, "series": "H100"}]
    assert "NaN" not in svg.draw(svg.variants(charts.lines(rows, "x", "y"))["wide"])


def words(spec):
    """Return the words that the wide and the narrow picture of a chart show."""
    pictures = [svg.draw(each) for each in svg.variants(spec).values()]
    return [" ".join(re.findall(r">([^<>]+)</(?:text|tspan)>", picture)) for picture in pictures]


def test_the_map_says_who_wins_a_cell_and_at_what_cost() -> None:
    usd = [[900.0, 1800.0, np.inf]]
    spec = charts.decision_map([1, 10, 100], [4], [["A100", "H100", ""]], "billion parameters", "users at once",
                               rival=[["", "A100", ""]], usd_per_month=usd)  # fmt: skip
    said = [layer["encoding"]["tooltip"] for layer in spec["layer"] if "tooltip" in layer["encoding"]]
    titles = ["billion parameters", "users at once", "cheapest", "about as cheap"]
    assert [each["title"] for each in said[0][:4]] == titles
    assert len(said) == 1 and len(said[0]) <= 6 and is_live(svg.variants(spec))
    columns, rows = collect.chart_data(spec)
    assert columns == [*titles, "USD a month"]
    assert rows[1] == [10.0, 4.0, "H100", "A100", 1800.0] and rows[2][4] is None


def test_a_chart_has_its_numbers_behind_it_in_words_and_units() -> None:
    spec = charts.bars([{"item": f"<{k}>", "value": k + 0.1234} for k in range(250)], x_title="TB/s")
    shown = numbers(spec, {"title": "It reads <fast>"})
    assert '<th scope="col" class="hb-num">TB/s</th>' in shown and "&lt;7&gt;" in shown and ">7.12<" in shown
    assert shown.count("<tr>") == 201 and "first 200 of 250 rows" in shown and "<fast>" not in shown
    assert numbers({"layer": []}, {}) == ""


def test_a_long_name_of_an_input_stands_whole_on_a_phone_away_from_the_numbers() -> None:
    ends = {"low": 2.9, "high": 8.8, "low_label": "75 %", "high_label": "25 %"}
    spec = charts.tornado([{"item": "mean load over busy hour", **ends}], 4.4, "ratio")
    words = re.compile(r"<(?:text|tspan)[^>]*>([^<]+)<")
    shown = {kind: words.findall(svg.draw(part)) for kind, part in svg.variants(spec).items()}
    assert "mean load over busy hour" in shown["wide"]
    assert "mean load over busy hour" in " ".join(shown["narrow"]) and "mean load over busy hour" not in shown["narrow"]
    low, high = svg.variants(spec)["narrow"]["layer"][0]["encoding"]["x"]["scale"]["domain"]
    room = (charts.NARROW - 24 - 0.36 * charts.NARROW) * (2.9 - low) / (high - low)
    assert room > places.text_width("75 %") + 5
