"""A fleet that is fed requests window by window: the replay of :mod:`hopperbook.serving.events`, in flat memory.

Between two windows the replicas keep their state, the answered requests leave the book, and those in flight move to its
front in the same order.  Every event is then the same, to the bit, as in one replay of all requests: memory grows with
the requests in flight and not with the length of a trace.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from hopperbook.errors import InputError
from hopperbook.serving import batching, events
from hopperbook.serving.batching import Book, Ints
from hopperbook.serving.clock import Floats
from hopperbook.serving.deployment import Deployment
from hopperbook.serving.events import ROUTINGS, Limits, Requests
from hopperbook.serving.step import clock_of
from hopperbook.serving.ticker import ticker

#: Requests of a window: enough that what is done once a window costs nothing, few enough that a bar moves.
WINDOW = 4096
#: Seconds of service between two looks at a fleet that works off a long queue after the last arrival.
SLICE_S = 600.0
#: An order in which nobody comes.
NOBODY_MORE: Ints = np.empty(0, np.int64)
#: Places in a replica's whole numbers that hold a request.
HOLDERS = (batching.PARTIAL, batching.WAIT_HEAD, batching.WAIT_TAIL, batching.IN_HEAD, batching.IN_TAIL)


class Answered(NamedTuple):
    """Requests that were answered: arrival, first token, time per further token, whole answer, and lengths.

    Seconds; NaN where a request was refused.
    """

    arrival_s: Floats
    ttft_s: Floats
    tpot_s: Floats
    request_s: Floats
    answer_tokens: Ints


class Sums(NamedTuple):
    """What the replicas did so far, all together: seconds of steps with prompts and of pure decode, and the rest.

    ``running_s``, ``waiting_s`` and ``cache_s`` are requests, requests that wait, and the share of a cache in use, each
    times seconds; ``now_s`` is where the last replica stands.
    """

    now_s: float
    prefill_s: float
    decode_s: float
    running_s: float
    waiting_s: float
    cache_s: float
    preempted: int
    starved: bool


class Fleet:
    """Replicas that serve requests as they are fed.

    Parameters
    ----------
    d : Deployment
        A replica.
    mean : Requests
        Requests like those to come, of which the mean length and the shared tokens count: one will do.
    replicas : int
        How many serve them.
    routing : str
        As of :func:`hopperbook.serving.events.replay`.
    limits : Limits, optional
        Of a step; the engine's own by default.

    Raises
    ------
    InputError
        For an unknown routing.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> from hopperbook.serving import deploy
    >>> d = deploy(load("llama-3.1-8b"), "H100 SXM", precision="bf16")
    >>> fleet = Fleet(d, Requests([1024], [128]), replicas=2)
    >>> early = fleet.feed(Requests([1024], [128], arrival_s=[0.0]))
    >>> late = list(fleet.drain())[-1]
    >>> len(early.ttft_s), round(1e3 * float(late.ttft_s[0]))  # milliseconds
    (0, 34)
    """

    def __init__(
        self,
        d: Deployment,
        mean: Requests,
        replicas: int = 1,
        routing: str = "least_loaded",
        limits: Limits | None = None,
    ) -> None:
        if routing not in ROUTINGS:
            raise InputError("routing", routing, ", ".join(ROUTINGS), ROUTINGS)
        asked = limits or Limits(d.engine.step_tokens, d.engine.max_batch * d.attention_dp)
        self.d, self.replicas, self.routing = d, replicas, routing
        self.rules, self.ticker = events.rules_of(d, mean, asked), ticker(clock_of(d))
        self.state = batching.blank(replicas, self.rules, batching.MASK)
        self.book, self.home, self.used = _empty(2 * WINDOW), np.empty(2 * WINDOW, np.int64), 0
        self.early = np.empty(0, np.int64)
        self.fed = self.told = 0

    @property
    def unanswered(self) -> int:
        """Requests that were fed and are not answered or refused."""
        return self.fed - self._finished()

    def feed(self, window: Requests) -> Answered:
        """Let more requests come, none before those fed already, and return those answered meanwhile, or later."""
        before = self.used
        self._append(window)
        self.early = np.concatenate([self.early, np.arange(before, self.used)])
        if self.used > before:  # a short prompt that comes later may be handed on sooner than a long one of this window
            self._enter(float(self.book.arrival[self.used - 1]) + self.d.engine.frontend_s)
        return self._settle()

    def reach(self, until_s: float) -> None:
        """Let time pass without requests: at least until then."""
        self._enter(until_s)
        self._serve(NOBODY_MORE, until_s)

    def drain(self) -> Iterator[Answered]:
        """Let no more requests come; yield what is answered until all is, a long queue in slices of time."""
        self._enter(np.inf)
        while self.unanswered > WINDOW:
            self._serve(NOBODY_MORE, self.sums().now_s + SLICE_S)
            yield self._settle()
        self._serve(NOBODY_MORE, np.inf)
        yield self._settle(least=0)

    def sums(self) -> Sums:
        """Return what the replicas did so far."""
        t, n = self.state.t, self.state.n
        total = t.sum(axis=0)
        cache_s = float(total[batching.BLOCK_S]) / max(self.rules.blocks, 1)
        return Sums(
            now_s=float(t[:, batching.NOW].max()),
            prefill_s=float(total[batching.PROMPT_S]),
            decode_s=float(total[batching.DECODE_S]),
            running_s=float(total[batching.ACTIVE_S]),
            waiting_s=float(total[batching.WAITING_S]),
            cache_s=cache_s,
            preempted=int(n[:, batching.PREEMPTED].sum()),
            starved=bool(n[:, batching.STARVED].any()),
        )

    def _finished(self) -> int:
        return int(self.state.n[:, batching.FINISHED].sum())

    def _append(self, window: Requests) -> None:
        """Write requests into the book, behind those in flight; a full book is copied into one twice as large."""
        fresh, _ = events.opened(self.d, window, 0)
        count = len(fresh.prompt)
        if self.used + count > batching.MASK:
            raise InputError(
                "trace", f"{self.used + count:,} requests", f"at most {batching.MASK:,} unanswered at once"
            )
        if self.used + count > len(self.home):
            larger, used = 2 * (self.used + count), slice(self.used)
            book, home = _empty(larger), np.empty(larger, np.int64)
            for column, old in zip((*book, home), (*self.book, self.home), strict=True):
                column[used] = old[used]
            self.book, self.home = book, home
        places = slice(self.used, self.used + count)
        homes = events.homes(window, self.replicas, count, self.routing, self.fed)
        for column, values in zip((*self.book, self.home), (*fresh, homes), strict=True):
            column[places] = values
        self.used, self.fed = self.used + count, self.fed + count

    def _enter(self, until_s: float) -> None:
        """Hand requests on in the order in which the front end is done with them, up to a time."""
        ready = self.book.handed[self.early] <= until_s
        order = self.early[ready]
        order = order[np.argsort(self.book.handed[order], kind="stable")]
        self._serve(order, 0.0)
        self.early = self.early[~ready]

    def _serve(self, order: Ints, until_s: float) -> None:
        """Let these requests come, and all replicas work until a time."""
        events.serve(self.state, self.book, self.rules, self.ticker, order, self.home, 0, float(until_s))

    def _settle(self, least: int = WINDOW) -> Answered:
        """Take the answered requests out of the book, where they are many, and move the others to its front."""
        answered = self._finished() - self.told
        if answered < max(least, self.used // 4 if least else 0):
            none = np.empty(0)
            return Answered(none, none, none, none, np.empty(0, np.int64))
        self.told += answered
        book = Book._make(column[: self.used] for column in self.book)
        done = book.last != 0.0
        arrival, first, last, answer = (x[done] for x in (book.arrival, book.first, book.last, book.answer))
        new = np.append(np.where(done, batching.NOBODY, np.cumsum(~done) - 1), batching.NOBODY)
        _rename(self.state, new)
        self.early, self.used = new[self.early], int(np.count_nonzero(~done))
        for column in (*book, self.home[: len(done)]):
            column[: self.used] = column[~done]
        self.book.after[: self.used] = new[self.book.after[: self.used]]
        return Answered(arrival, first - arrival, (last - first) / np.maximum(answer - 1, 1), last - arrival, answer)


def _empty(count: int) -> Book:
    """Return a book of so many blank lines."""
    floats = {"handed", "front", "arrival", "first", "last", "delay"}
    return Book._make(np.zeros(count, np.float64 if name in floats else np.int64) for name in Book._fields)


def _rename(s: batching.State, new: Ints) -> None:
    """Give requests new numbers in all that replicas remember; ``new`` ends with what NOBODY becomes.

    Numbers keep their order, and so a heap of keys that end in them stays a heap.
    """
    s.n[:, HOLDERS] = new[s.n[:, HOLDERS]]
    used = np.arange(s.ends.shape[1]) < s.n[:, [batching.ENDS]]
    keys = s.ends[used]
    s.ends[used] = (keys >> batching.SHIFT << batching.SHIFT) | new[keys & batching.MASK]
    ring = s.unseen.shape[1] // 2
    behind = (np.arange(ring) - s.n[:, [batching.UNSEEN_AT]] // 2) % ring
    row, at = np.nonzero(behind < s.n[:, [batching.UNSEEN]])
    s.unseen[row, 2 * at + 1] = new[s.unseen[row, 2 * at + 1]]
