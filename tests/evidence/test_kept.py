"""Tables that are kept: made once, the same when read, made again where they are spoilt or the facts are others."""

from importlib import import_module

import pandas as pd
import pytest

from hopperbook import evidence, reads
from hopperbook.evidence import kept

TABLE = pd.DataFrame({"a": [1.0, float("nan")], "b": ["x", "y"], "c": [True, False]})


@pytest.fixture
def made(tmp_path, monkeypatch):
    """How often a table was made, and the folder where it is kept."""
    monkeypatch.setattr(kept, "KEPT", tmp_path)
    calls = []

    def make():
        calls.append(1)
        return TABLE.copy()

    return calls, make, tmp_path


def test_a_table_is_made_once_and_comes_back_the_same(made):
    calls, make, _ = made
    for _ in range(3):
        pd.testing.assert_frame_equal(kept.frame("t", make), TABLE)
    assert len(calls) == 1


def test_a_spoilt_table_is_made_again(made):
    calls, make, folder = made
    kept.frame("t", make)
    (path,) = folder.rglob("t.parquet")
    whole = path.read_bytes()
    for place in range(4, len(whole), 7):  # any byte may flip, and the file may end anywhere
        for spoilt in (whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :], whole[:place]):
            path.write_bytes(spoilt)
            pd.testing.assert_frame_equal(kept.frame("t", make), TABLE)
            assert path.read_bytes() == whole
    assert len(calls) == 1 + 2 * len(range(4, len(whole), 7))


def test_other_facts_or_code_make_another_table(made, monkeypatch):
    calls, make, _ = made
    kept.frame("t", make)
    monkeypatch.setattr(kept, "fingerprint", lambda: "another")
    kept.frame("t", make)
    assert len(calls) == 2


def test_only_the_last_states_are_left(made, monkeypatch):
    _, make, folder = made
    for state in range(kept.STATES + 2):
        monkeypatch.setattr(kept, "fingerprint", lambda state=state: f"state {state}")
        kept.frame("t", make)
    assert len(list(folder.iterdir())) == kept.STATES


def test_who_takes_a_kept_table_rests_on_what_it_was_made_from(made, monkeypatch):
    _, make, _ = made
    noted = []
    monkeypatch.setattr(reads, "add", noted.append)
    kept.frame("t", make)
    names = {path.rsplit("/data/")[-1] for path in noted}
    assert {"intervals.yaml", "aims.yaml", "measurements/online.csv.gz"} <= names
    assert "prices.csv" not in names


def test_judged_rows_are_the_same_kept_and_made(made):
    def asked():
        judged._judged.cache_clear()
        judged._answered.cache_clear()
        return evidence.judged("activation memory", "activation_gib_per_gpu")

    judged = import_module("hopperbook.evidence.judged")  # in its package that name is a function
    fresh, again = asked(), asked()
    assert fresh.group.nunique() > 1
    pd.testing.assert_frame_equal(fresh, again, check_exact=True)
