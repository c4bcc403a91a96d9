"""Traces are read alike whatever the size of a block, and the first line that cannot be used is named."""

import gzip
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hopperbook.errors import InputError
from hopperbook.serving import trace

SAMPLE = Path(__file__).parent / "sample_trace.csv"
OWN = "time,prompt,output\n"


def written(folder, text):
    path = folder / "trace.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def joined(path):
    pieces = list(trace.read(path))
    return [np.concatenate([np.asarray(piece[k]) for piece in pieces]) for k in range(5)], len(pieces)


def test_the_sample_is_read_whole():
    (prompt, answer, cached, arrival, session), _ = joined(SAMPLE)
    rows = [line.split(",") for line in SAMPLE.read_text().splitlines()[1:]]
    assert len(prompt) == 200
    assert arrival == pytest.approx([float(row[0]) - float(rows[0][0]) for row in rows])
    for column, k in ((prompt, 1), (answer, 2), (cached, 3)):
        assert column.tolist() == [int(row[k]) for row in rows]
    assert len(set(session.tolist())) == len({row[4] for row in rows})
    found = trace.survey(SAMPLE)
    assert (found.requests, found.sessions, found.last_s) == (200, True, arrival[-1])
    assert (found.prompt_tokens, found.answer_tokens) == pytest.approx((prompt.mean(), answer.mean()))


@pytest.mark.parametrize("zipped", [False, True])
def test_small_blocks_read_the_same(tmp_path, monkeypatch, zipped):
    whole, _ = joined(SAMPLE)
    text = SAMPLE.read_bytes().replace(b"\n", b"\r\n") + b"\r\n\r\n"
    path = written(tmp_path, gzip.compress(text) if zipped else text)
    for size in (64, 101, 1000):
        monkeypatch.setattr(trace, "BLOCK_BYTES", size)
        parts, count = joined(path)
        assert count > 5
        assert all(np.array_equal(a, b) for a, b in zip(whole, parts, strict=True))


@pytest.mark.parametrize(
    "text",
    [
        "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.9799600,700,10\n2023-11-16 18:17:05.4799600,90,8",
        "TIMESTAMP,ContextTokens,GeneratedTokens\n2024-05-10 23:59:59+00:00,700,10\n2024-05-11 00:00:00.5+00:00,90,8\n",
        "TIMESTAMP,ContextTokens,GeneratedTokens\n100.25,700,10\n101.75,90,8\n",
        "timestamp,input_length,output_length\n27000,700,10\n28500,90,8\n",
        "timestamp_ms,input_tokens,output_tokens,prefix_blocks_seen_before\n0,700,10,1\n1500,90,8,1\n",
        'output,"time",note,prompt\n10,"1700000000.5",,700\n8,"1700000002.0",x,"90"\n',
        "\ufefftime,prompt,output\n-1,700,10\n0.5,90,8.0\n",
    ],
)
def test_public_headers_say_the_same(tmp_path, text):
    (prompt, answer, cached, arrival, _), _ = joined(written(tmp_path, text))
    assert arrival == pytest.approx([0.0, 1.5])
    assert (prompt.tolist(), answer.tolist()) == ([700, 90], [10, 8])
    assert cached.tolist() == ([512, 90] if "blocks" in text else [0, 0])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (OWN + "1,2,3\n0.5,2,3\n", "line 3: '0.5'.*not before"),
        (OWN + "1,2,3\n-1,2,3\n", "line 3: '-1'.*not before"),
        (OWN + "1,2,3\nx,2,3\n", "line 3: 'x'"),
        (OWN + "nan,2,3\n", "line 2: 'nan'"),
        (OWN + "inf,2,3\n", "line 2: 'inf'"),
        (OWN + ",2,3\n", "line 2: ''"),
        (OWN + "2023-01-01,2,3\nyesterday,2,3\n", "line 3: 'yesterday'.*dates from the first"),
        (OWN + "2023-01-01,2,3\n9999-01-01,2,3\n", "line 3: .*100 years"),
        (OWN + "0,2,3\n1e12,2,3\n", "line 3: '1e12'.*100 years.*seconds"),
        (OWN + "1,-2,3\n", "line 2: '-2'.*prompt"),
        (OWN + "1,0,3\n", "line 2: '0'.*prompt"),
        (OWN + "1,2,3\n1,2,0\n", "line 3: '0'.*answer"),
        (OWN + "1,2.5,3\n", "line 2: '2.5'"),
        (OWN + "1,True,3\n", "line 2: 'True'"),
        (OWN + "1,99999999999999999999,3\n", "line 2: '9999"),
        (OWN + "1,2,3\n1,2\n", "line 3: '1,2'.*3 fields"),
        (OWN + "1,2,3\n1,2,3,4\n", "line 3: '1,2,3,4'.*3 fields"),
        (OWN + "1,2,3\n\n1,2,3\n", "line 3: ''"),
        (OWN + "1,2,3\n" * 9 + "1,2,x\n" + "y,2,3\n", "line 11: 'x'"),
        ("time,prompt,output,shared_prefix\n1,5,5,6\n", "line 2: '6'.*those of the prompt"),
        ("time,prompt,output,shared_prefix\n1,5,5,-1\n", "line 2: '-1'"),
        ("", "at least one request"),
        ("\n\n", "none of time"),
        (OWN, "at least one request"),
        (OWN + "\n\n", "at least one request"),
        ("time,prompt\n1,2\n", "none of output"),
        ("time;prompt;output\n1;2;3\n", "none of time"),
        ("time,prompt,output,time\n1,2,3,4\n", "each column once"),
        (b"\x7fELF\0\0\x01\x02", "binary"),
        (OWN.encode() + b"1,\xff\xfe,3\n", "line 2"),
        (gzip.compress(SAMPLE.read_bytes())[:900], "gzip data end early"),
        (b"\x1f\x8b nonsense", "gzip data end early or are damaged"),
        ("x" * 300, "without lines or gaps"),
        (OWN + "\n" * 300 + "1,2,3\n", "without lines or gaps"),
    ],
)
def test_the_first_bad_line_is_named(tmp_path, monkeypatch, text, words):
    monkeypatch.setattr(trace, "BLOCK_BYTES", 80 if "gaps" in words else 1000)
    with pytest.raises(InputError, match=words) as caught:
        trace.survey(written(tmp_path, text))
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("path", ["/", "no-such-file.csv", "a\0b", "/dev/zero"])
def test_what_is_no_file_is_refused_at_once(path):
    with pytest.raises(InputError, match="trace"):
        trace.survey(Path(path))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 9000), min_size=1, max_size=120), st.integers(1, 90))
def test_the_busiest_stretch_is_the_one_with_most_arrivals(tmp_path_factory, seconds, minutes):
    times = sorted(seconds)
    text = OWN + "".join(f"{at},5,5\n" for at in times)
    found = trace.survey(written(tmp_path_factory.mktemp("busy"), text), hour_s=60.0 * minutes)
    counts = Counter((at - times[0]) // 60 for at in times)

    def inside(start):
        return sum(count for minute, count in counts.items() if start <= minute < start + minutes)

    assert found.busiest_s % 60 == 0
    assert inside(found.busiest_s // 60) == max(inside(start) for start in range(152))


def test_lengths_beyond_the_context_do_not_count_in_means(tmp_path):
    found = trace.survey(written(tmp_path, OWN + "0,100,10\n1,900000,10\n"), longest_tokens=1000)
    assert (found.requests, found.prompt_tokens, found.answer_tokens) == (2, 100.0, 10.0)
