"""Groups that miss their aim are marked, and no others."""

import pandas as pd

from hopperbook.evidence import aims
from hopperbook.studies import accuracy, beyond_aim

AIM = next(each["aim"] for each in aims.aims() if each["quantity"] == "tpot_ms" and each["kind"] == "serving")


def runs(engine: str, errors: list[float], model: str = "a/B") -> pd.DataFrame:
    about = {"kind": "serving", "quantity": "tpot_ms", "family": "serving/tpot_ms/online/dense/vllm", "model": model}
    about |= {"chip": "H100", "engine": engine, "engine_version": "1", "file": "online", "measured": 10.0}
    return pd.DataFrame([about | {"error": error, "predicted": 10.0 * (1 + error)} for error in errors])


def test_only_groups_of_some_size_whose_median_exceeds_the_aim_are_marked():
    bad, good = (
        runs("vLLM", [2 * AIM, -3 * AIM, 2 * AIM, 0.0, 4 * AIM], "a/Bad"),
        runs("SGLang", [AIM / 2] * 6, "a/Good"),
    )
    few = runs("TensorRT-LLM", [1.0] * (beyond_aim.LEAST - 1), "a/Few")
    found = beyond_aim.marked(pd.concat([bad, good, few], ignore_index=True))
    assert set(found[found.beyond_aim].lot) == {"Bad, H100, vLLM 1"}
    assert found[found.label != ""].label.tolist() == ["Bad"]
    assert found[found.label != ""].error.tolist() == [4 * AIM]
    assert "Bad, H100, vLLM 1" in beyond_aim.words(found) and "Good" not in beyond_aim.words(found)


def test_where_every_group_is_right_the_words_say_so():
    found = beyond_aim.marked(runs("vLLM", [0.0] * 6))
    assert not found.beyond_aim.any() and beyond_aim.words(found) == "No group has a median error beyond our aim"


def test_the_groups_are_those_of_chapter_12():
    rows = accuracy.judged()[accuracy.TPOT]
    marked, groups = beyond_aim.marked(rows), accuracy.by_group({accuracy.TPOT: rows, **accuracy.judged()})
    large = groups[(groups.kind == accuracy.TPOT) & (groups.n >= beyond_aim.LEAST)].set_index("group")["median"]
    assert set(marked[marked.beyond_aim].lot) <= set(large[large > AIM].index)


def test_pairs_are_marked_by_the_aim_of_ratios_and_no_pairs_are_no_error():
    wanted = next(each["aim"] for each in aims.aims() if each["kind"] == "ratio")
    errors = pd.Series([2 * wanted] * 5 + [wanted / 2] * 5)
    rows = pd.DataFrame({"measured": 1.0, "predicted": 1 + errors, "error": errors, "gpu": "H200"})
    found = beyond_aim.pairs(rows, pd.Series(["Bad, pretraining"] * 5 + ["Good, pretraining"] * 5))
    assert set(found[found.beyond_aim].lot) == {"Bad, pretraining"}
    assert beyond_aim.pairs(rows[:0], pd.Series(dtype=str)).empty
