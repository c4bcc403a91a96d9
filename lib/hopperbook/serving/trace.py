"""A trace of requests, read from a CSV file in pieces, so that its length costs time and no memory.

Columns are ``time`` (seconds, or dates), ``prompt``, ``output``, and, where known, ``shared_prefix`` (tokens of the
prompt that the cache holds already) and ``session`` (the conversation).  The headers of the public traces of Azure and
Mooncake are read too.  Every line is checked, and the first that cannot be used is named.
"""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from hopperbook.errors import InputError
from hopperbook.later import pandas as pd
from hopperbook.serving.clock import Floats
from hopperbook.serving.events import Requests
from hopperbook.serving.queue import Sample

#: Names of the time's column, with seconds of its unit; of the lengths'; and of the cached part's, with tokens of its
#: unit: Mooncake counts blocks of 512 tokens (Qin et al. 2024), the last of which may reach beyond the prompt.
TIMES = {"time": 1.0, "TIMESTAMP": 1.0, "timestamp": 1e-3, "timestamp_ms": 1e-3}
PROMPTS = ("prompt", "ContextTokens", "input_length", "input_tokens")
OUTPUTS = ("output", "GeneratedTokens", "output_length", "output_tokens")
CACHED = {"shared_prefix": 1, "prefix_blocks_seen_before": 512}
NEEDED = "CSV file with columns time, prompt and output (or the headers of the Azure and Mooncake traces)"
BLOCK_BYTES = 1 << 19
MOST_TOKENS = 1_000_000_000
#: Requests that stand for a trace.
SAMPLED = 256
#: Seconds in which arrivals are counted, about as long as an answer takes and a multiple of the grids that times lie
#: on, and the fewest such counts that say something.
COUNTED_S, LEAST_COUNTS = 12.0, 30
LONGEST_S = 100 * 365.25 * 86400.0
Tell = Callable[[float], None]


class Survey(NamedTuple):
    """What a trace holds: requests, the last arrival after the first, mean lengths, and its busiest hour's start.

    ``by_hour`` counts requests of whole days by the hour since the first arrival, 24 numbers; none of a shorter trace.
    """

    requests: int
    last_s: float
    prompt_tokens: float
    answer_tokens: float
    busiest_s: float
    sessions: bool
    by_hour: tuple[int, ...]


class Hour(NamedTuple):
    """The busiest stretch of a trace, in numbers: seconds, requests, their means and deviations, and their gaps.

    ``new_tokens`` are those of a prompt that the cache does not hold, ``cached_tokens`` those that it does;
    ``variation`` says how unevenly they come, as the standard deviation over the mean of such gaps between requests as
    would make counts of some seconds vary as they do; ``sample`` holds requests at even ranks of length, each new,
    answer and cached.
    """

    seconds: float
    requests: int
    new_tokens: float
    new_std: float
    cached_tokens: float
    answer_tokens: float
    answer_std: float
    variation: float
    sample: Sample


class _Columns(NamedTuple):
    """Where each column stands in a line, -1 for none, and what its unit is."""

    fields: int
    time: int
    prompt: int
    output: int
    cached: int
    session: int
    time_unit_s: float
    cached_unit: int


def silent(share: float) -> None:
    """Tell nobody how far the work is."""


def read(path: Path, tell: Tell = silent) -> Iterator[Requests]:
    """Read a trace in pieces of some ten thousand requests.

    Parameters
    ----------
    path : Path
        CSV, plain or gzip.
    tell : callable
        Told the share of the file that was read, after each piece.

    Yields
    ------
    Requests
        In order; times are seconds after the first arrival.

    Raises
    ------
    InputError
        For the first line that cannot be used, or a file that is no such CSV.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "trace.csv"
    ...     _ = path.write_text("time,prompt,output,shared_prefix\\n10.0,500,20,0\\n12.5,900,30,400\\n")
    ...     piece = next(read(path))
    >>> piece.arrival_s.tolist(), int(sum(piece.cached_tokens))
    ([0.0, 2.5], 400)
    """
    _refuse_no_file(path)
    size = max(path.stat().st_size, 1)
    with path.open("rb") as raw:
        handle = gzip.GzipFile(fileobj=raw) if raw.peek(2)[:2] == b"\x1f\x8b" else raw
        lines: _Lines | None = None
        line = 1
        for block in _blocks(handle, path.name):
            if lines is None:
                header, _, block = block.partition(b"\n")
                lines, line = _Lines(_columns(header)), 2
            if block:
                yield lines.requests(block, line)
                line += block.count(b"\n") + 1
            tell(min(raw.tell() / size, 1.0))
        if line <= 2:
            raise InputError("trace", path.name, f"a {NEEDED}, and at least one request below its header")


def survey(path: Path, longest_tokens: float = np.inf, hour_s: float = 3600.0, tell: Tell = silent) -> Survey:
    """Read a trace to its end: check every line, and learn what a replay must know before it begins.

    Parameters
    ----------
    path : Path
        CSV, plain or gzip.
    longest_tokens : float
        Requests above this, prompt and answer together, are left out of mean lengths.
    hour_s : float
        Length of the busiest stretch that is looked for, in whole minutes.
    tell : callable
        Told the share of the file that was read.

    Returns
    -------
    Survey
        Counts and means.

    Raises
    ------
    InputError
        As :func:`read`.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "trace.csv"
    ...     _ = path.write_text("timestamp,input_length,output_length\\n0,500,20\\n90000,900,30\\n91000,100,40\\n")
    ...     found = survey(path, hour_s=60.0)
    >>> found.requests, found.last_s, found.prompt_tokens, found.busiest_s
    (3, 91.0, 500.0, 60.0)
    """
    count, kept, prompts, answers, last_s, sessions = 0, 0, 0.0, 0.0, 0.0, False
    busiest, hours = _Busiest(round(hour_s / 60)), np.zeros(0, np.int64)
    for piece in read(path, tell):
        prompt, answer = np.asarray(piece.prompt_tokens), np.asarray(piece.answer_tokens)
        fits = prompt + answer <= longest_tokens
        count, kept = count + len(prompt), kept + int(fits.sum())
        prompts, answers = prompts + float(prompt[fits].sum()), answers + float(answer[fits].sum())
        times = np.asarray(piece.arrival_s)
        last_s, sessions = float(times[-1]), len(piece.session) > 0
        busiest.add(times)
        counted = np.bincount((times // 3600).astype(np.int64), minlength=len(hours))
        hours = counted + np.pad(hours, (0, len(counted) - len(hours)))
    days = int(last_s // 86400)
    by_hour = tuple(hours[: 24 * days].reshape(days, 24).sum(axis=0).tolist()) if days else ()
    means = prompts / max(kept, 1), answers / max(kept, 1)
    return Survey(count, last_s, *means, 60.0 * busiest.start, sessions, by_hour)


def stretch(path: Path, start_s: float, end_s: float) -> Requests:
    """Read the part of a trace between two times, as one.

    Parameters
    ----------
    path : Path
        A trace that :func:`survey` found in order.
    start_s, end_s : float
        Seconds after the first arrival; the end is left out.

    Returns
    -------
    Requests
        Their times as in the whole trace.
    """
    parts = []
    for piece in read(path):
        times = np.asarray(piece.arrival_s)
        if times[0] >= end_s:
            break
        kept = slice(*np.searchsorted(times, [start_s, end_s]))
        parts.append([np.asarray(column)[kept] for column in piece[:5] if len(column)])
    columns = [np.concatenate(each) for each in zip(*parts, strict=True)]
    session = columns[4] if len(columns) > 4 else ()
    return Requests(columns[0], columns[1], columns[2], columns[3], session)


def measured(requests: Requests, longest_tokens: float = np.inf) -> Hour:
    """Measure the requests of a stretch of a trace.

    Parameters
    ----------
    requests : Requests
        At least one.
    longest_tokens : float
        Requests above this, prompt and answer together, are left out, as an engine refuses them.

    Returns
    -------
    Hour
        What a customer's file says in numbers.

    Raises
    ------
    InputError
        If no request is left.

    Examples
    --------
    >>> hour = measured(Requests([500, 900, 500], [20, 30, 10], [0, 400, 200], [0.0, 2.0, 3.0]))
    >>> round(hour.new_tokens), round(hour.cached_tokens), round(hour.variation, 2), hour.seconds
    (433, 200, 0.33, 3.0)
    """
    prompt, answer, cached, times = (np.asarray(column, float) for column in requests[:4])
    fits = prompt + answer <= longest_tokens
    if not fits.any():
        raise InputError(
            "trace", "every request of its busiest hour", f"some of at most {longest_tokens:,.0f} tokens in all"
        )
    new, answer, cached = (prompt - cached)[fits], answer[fits], cached[fits]
    lasted = float(times[-1] - times[0]) or 1.0
    means = (*_mean_std(new), float(cached.mean()), *_mean_std(answer))
    return Hour(lasted, len(new), *means, _variation(times[fits]), _even_ranks(np.maximum(new, 1), answer, cached))


def _variation(times_s: Floats) -> float:
    r"""Return how unevenly requests come, from counts; of few windows, from the gaps themselves.

    Far counts of independent gaps scatter as these do: :math:`\operatorname{Var} N / \bar N \to c^2`.  Counts also show
    what gaps do not: times on a grid, and rates that drift.
    """
    counts = np.bincount(((times_s - times_s[0]) // COUNTED_S).astype(np.int64))[:-1]
    if len(counts) >= LEAST_COUNTS:
        return float(np.sqrt(counts.var() / counts.mean()))
    gaps = np.diff(times_s)
    return float(gaps.std() / gaps.mean()) if gaps.any() else 0.0


def _even_ranks(new: Floats, answer: Floats, cached: Floats) -> Sample:
    """Return requests at even ranks, ordered by new tokens, then by the answer's and the cached ones."""
    order = np.lexsort((cached, answer, new))
    count = min(SAMPLED, len(order))
    kept = order[((np.arange(count) + 0.5) * len(order) / count).astype(int)]
    return tuple((int(new[k]), int(answer[k]), int(cached[k])) for k in kept)


def _mean_std(values: Floats) -> tuple[float, float]:
    return float(values.mean()), float(values.std())


class _Busiest:
    """Finds the stretch of so many minutes with the most arrivals, from a rolling count."""

    def __init__(self, minutes: int) -> None:
        self.minutes, self.start, self.most, self.inside = minutes, 0, 0, 0
        self.counts: deque[tuple[int, int]] = deque()

    def add(self, times_s: Floats) -> None:
        """Count arrivals, which come after all before."""
        for minute, count in zip(*np.unique((times_s // 60).astype(np.int64), return_counts=True), strict=True):
            self.counts.append((int(minute), int(count)))
            self.inside += int(count)
            while self.counts[0][0] <= minute - self.minutes:
                self.inside -= self.counts.popleft()[1]
            if self.inside > self.most:
                self.most, self.start = self.inside, max(int(minute) - self.minutes + 1, 0)


def _refuse_no_file(path: Path) -> None:
    try:
        if path.is_dir():
            raise InputError("trace", str(path), "a CSV file, not a folder")
        if not path.is_file():
            raise InputError("trace", str(path), "a CSV file that exists")
        path.open("rb").close()
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError("trace", str(path), "a file that may be read") from None


def _blocks(handle: BinaryIO | gzip.GzipFile, name: str) -> Iterator[bytes]:
    """Cut a file into blocks of whole lines, without the last line feed; blank lines at the end go."""
    rest, fresh = b"", _bytes(handle, name)
    while fresh:
        following = _bytes(handle, name)
        text = rest + fresh
        if not following:
            yield text.rstrip()
            return
        end = text.rfind(b"\n", 0, len(text.rstrip()))
        if end > 0:
            yield text[:end]
        rest, fresh = text[end + 1 :], following
        if len(rest) > 2 * BLOCK_BYTES:
            raise InputError("trace", name, f"a {NEEDED}, without lines or gaps of {len(rest):,} bytes")


def _bytes(handle: BinaryIO | gzip.GzipFile, name: str) -> bytes:
    """Read the next bytes of a text, without carriage returns."""
    try:
        fresh = handle.read(BLOCK_BYTES)
    except (OSError, EOFError, zlib.error):
        raise InputError("trace", name, "a whole file; its gzip data end early or are damaged") from None
    if b"\0" in fresh:
        raise InputError("trace", name, f"a {NEEDED}, not a binary file")
    return fresh.replace(b"\r", b"")


def _columns(header: bytes) -> _Columns:
    """Find the columns by the header."""
    names = [text.strip(' "') for text in header.decode("utf-8-sig", "replace").split(",")]
    if twice := [text for text in names if text and names.count(text) > 1]:
        raise InputError("trace", twice[0], "each column once")

    def place(known: dict[str, float] | dict[str, int] | tuple[str, ...]) -> int:
        return next((names.index(text) for text in known if text in names), -1)

    time, prompt, output, cached, session = (place(x) for x in (TIMES, PROMPTS, OUTPUTS, CACHED, ("session",)))
    for at, asked in ((time, "time"), (prompt, "prompt"), (output, "output")):
        if at < 0:
            shown = ",".join(names)
            raise InputError("trace", shown, f"a {NEEDED}; there is none of {asked}")
    units = TIMES[names[time]], CACHED[names[cached]] if cached >= 0 else 1
    return _Columns(len(names), time, prompt, output, cached, session, *units)


class _Lines:
    """Turns blocks of lines into requests; knows the first time of the file and the last of the block before."""

    def __init__(self, columns: _Columns) -> None:
        self.columns, self.last_s = columns, 0.0
        self.dates: bool | None = None
        self.origin: float | None = None

    def requests(self, block: bytes, line: int) -> Requests:
        """Check the lines of a block, of which the first has a number in the file, and return their requests."""
        c = self.columns
        _refuse_ragged(block, line, c.fields)
        used = sorted(place for place in (c.time, c.prompt, c.output, c.cached, c.session) if place >= 0)
        frame = pd.read_csv(
            io.BytesIO(block), header=None, names=range(c.fields), usecols=used, quoting=csv.QUOTE_NONE,
            skip_blank_lines=False, encoding_errors="replace", low_memory=False, dtype={c.session: str},
        )  # fmt: skip
        time_s = self._seconds(frame[c.time])
        prompt, answer = _numbers(frame[c.prompt]), _numbers(frame[c.output])
        cached = c.cached_unit * _numbers(frame[c.cached]) if c.cached >= 0 else np.zeros(len(prompt))
        before = np.r_[self.last_s, time_s[:-1]]
        most = MOST_TOKENS if c.cached_unit > 1 else prompt
        checks = [
            (c.time, np.isnan(time_s), "a time as a number, or dates from the first line on" + self._unit_hint()),
            (c.time, time_s < before, "a time not before that of the line above: sort the trace by time"),
            (c.time, time_s > LONGEST_S, "a time within 100 years of the first" + self._unit_hint()),
            (c.prompt, ~_whole(prompt, 1, MOST_TOKENS), "a whole number of tokens of a prompt, from 1 to a billion"),
            (c.output, ~_whole(answer, 1, MOST_TOKENS), "a whole number of tokens of an answer, from 1 to a billion"),
            (c.cached, ~_whole(cached, 0, most), "a whole number of tokens, from 0 to those of the prompt"),
        ]
        _refuse_first(checks, block, line)
        self.last_s = float(time_s[-1])
        session = _names(frame[c.session]) if c.session >= 0 else ()
        return Requests(
            prompt.astype(np.int64), answer.astype(np.int64), np.minimum(cached, prompt).astype(np.int64), time_s,
            session,
        )  # fmt: skip

    def _seconds(self, column: pd.Series) -> Floats:
        """Return times in seconds after the first of the file, NaN for what is none."""
        if self.dates is None:
            self.dates = bool(np.isnan(_numbers(column[:1])[0]))
        if self.dates:
            text = column.astype(str).str.strip(' "')
            when = pd.to_datetime(text, format="ISO8601", utc=True, errors="coerce").dt.as_unit("us")
            micros: Floats = np.where(when.isna(), np.nan, when.astype(np.int64).to_numpy(float))
            values = micros
        else:
            values = _numbers(column)
        if self.origin is None:
            self.origin = float(values[0])
        return (values - self.origin) * (1e-6 if self.dates else self.columns.time_unit_s)

    def _unit_hint(self) -> str:
        return "" if self.dates else f"; this column counts {'seconds' if self.columns.time_unit_s == 1.0 else 'ms'}"


def _numbers(column: pd.Series) -> Floats:
    """Return a column as finite numbers, NaN for what is none."""
    plain = column.dtype.kind in "iuf"
    found = column if plain else pd.to_numeric(column.astype(str).str.strip(' "'), errors="coerce")
    values = found.to_numpy(float)
    return np.where(np.isfinite(values), values, np.nan)


def _whole(values: Floats, least: float, most: Floats | float) -> np.ndarray:
    """Return where values are whole numbers of a range."""
    return (values == np.floor(values)) & (values >= least) & (values <= most)


def _names(column: pd.Series) -> np.ndarray:
    """Turn names of conversations into numbers, the same for the same name."""
    text = column.fillna("").astype(str).str.strip(' "').to_numpy(object)
    return (pd.util.hash_array(text, categorize=False) >> np.uint64(1)).astype(np.int64)


def _refuse_ragged(block: bytes, line: int, columns: int) -> None:
    """Refuse the first line with more or fewer fields than the header."""
    text = np.frombuffer(block + b"\n", np.uint8)
    ends, commas = np.flatnonzero(text == ord("\n")), np.flatnonzero(text == ord(","))
    fields = np.diff(np.searchsorted(commas, ends), prepend=0) + 1
    wrong = np.flatnonzero(fields != columns)
    if len(wrong):
        shown = _line(block, int(wrong[0]))
        raise InputError(f"trace line {line + wrong[0]}", shown, f"a line of {columns} fields, as the header has")


def _refuse_first(checks: list[tuple[int, np.ndarray, str]], block: bytes, line: int) -> None:
    """Refuse the first line of which a check found fault."""
    found = [(int(wrong.argmax()), column, allowed) for column, wrong, allowed in checks if wrong.any()]
    if found:
        row, column, allowed = min(found, key=lambda each: each[0])
        raise InputError(f"trace line {line + row}", _line(block, row).split(",")[column], allowed)


def _line(block: bytes, row: int) -> str:
    return block.split(b"\n")[row].decode("utf-8", "replace")
