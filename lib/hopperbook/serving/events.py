"""One replica serving requests, event by event: admission, prefill, decode, and when each token is seen.

The engine admits requests in order while cache, slots and the token budget of a step allow; stretches of pure decode
are jumped over.  Requests arrive at given times, or, in a closed loop, when one of a fixed number of users has read the
last answer.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hopperbook.serving.capacity import kv_capacity_tokens
from hopperbook.serving.clock import Floats
from hopperbook.serving.deployment import Deployment
from hopperbook.serving.step import clock_of


class Requests(NamedTuple):
    """Requests in the order of their arrival.

    Parameters
    ----------
    prompt_tokens, answer_tokens : list of int
        Lengths.
    cached_tokens : list of int
        Tokens of each prompt that the prefix cache holds already; empty for none.
    arrival_s : list of float
        Rising times of arrival; empty in a closed loop.
    """

    prompt_tokens: Sequence[int]
    answer_tokens: Sequence[int]
    cached_tokens: Sequence[int] = ()
    arrival_s: Sequence[float] = ()


class Limits(NamedTuple):
    """What one step may hold: new tokens, sequences, and whether a prompt longer than the budget waits for it."""

    step_tokens: int
    sequences: int
    strict: bool = False


@dataclass(frozen=True)
class Run:
    """What happened to each request, in seconds; the length of the run; sequences decoding on average; memory waits."""

    arrival: Floats
    ttft: Floats
    tpot: Floats
    request: Floats
    tokens: Floats
    seconds: float
    batch: float
    starved: bool


class _Fill(NamedTuple):
    """The prompts of one step: new tokens, of how many prompts, tokens cached before them, and those then complete."""

    new: int
    prompts: int
    cached: float
    started: list[int]


def replay(d: Deployment, requests: Requests, limits: Limits, users: int = 0) -> Run:
    """Serve requests on one replica until all are answered.

    Parameters
    ----------
    d : Deployment
        The replica.
    requests : Requests
        What is asked.
    limits : Limits
        Of a step.
    users : int
        Users of a closed loop; 0 where requests come at their own times.

    Returns
    -------
    Run
        Latencies of each request.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> from hopperbook.serving import deploy
    >>> d = deploy(load("llama-3.1-8b"), "H100 SXM", precision="bf16")
    >>> alone = replay(d, Requests([1024], [128], arrival_s=[0.0]), Limits(8192, 256))
    >>> round(1e3 * float(alone.ttft[0])), round(1e3 * float(alone.tpot[0]), 1)  # milliseconds
    (34, 6.3)
    """
    return _Replica(d, requests, limits, users).run()


class _Replica:
    """A replica in mid-run: what is on its way, what waits, what decodes, and what was seen."""

    def __init__(self, d: Deployment, requests: Requests, limits: Limits, users: int):
        self.engine, self.ticker = d.engine, clock_of(d).plain
        self.asked, self.answers = list(requests.prompt_tokens), list(requests.answer_tokens)
        self.total = len(self.asked)
        self.hits = list(requests.cached_tokens) or [0] * self.total
        mean = (sum(self.asked) + sum(self.answers)) / self.total
        self.room = kv_capacity_tokens(d, mean)
        self.budget, self.slots, self.strict = limits.step_tokens * d.attention_dp, limits.sequences, limits.strict
        self.inbound: deque[tuple[float, int]] = deque()  # (time the front end hands it on, request)
        self.waiting: deque[tuple[int, int]] = deque()  # (request, first step that may hold it)
        self.ends: list[tuple[int, int]] = []  # (decode step after which a request is done, request)
        self.unseen: list[tuple[int, int, bool]] = []  # (step at whose end a token is seen, request, it is the last)
        self.arrival, self.first, self.last = (np.zeros(self.total) for _ in range(3))
        self.now, self.step, self.ticks = 0.0, 0, 0  # ticks: steps in which the running requests gained a token
        self.active, self.held, self.used = 0, 0, 0  # sequences decoding, tokens they hold, tokens reserved
        self.partial, self.done_of_partial = -1, 0
        self.finished, self.batch_time, self.starved = 0, 0.0, False
        self.closed = not len(requests.arrival_s)
        self.sent = min(users, self.total) if self.closed else self.total
        times = [0.0] * self.sent if self.closed else list(requests.arrival_s)
        self.arrival[: self.sent] = times
        handed = [(at + self._front_s(request), request) for request, at in enumerate(times)]
        self.inbound.extend(handed if self.closed else sorted(handed))

    def _front_s(self, request: int) -> float:
        """Seconds that a request spends before the engine sees it."""
        return self.engine.frontend_s + self.engine.tokenise_s * self.asked[request]

    def run(self) -> Run:
        """Serve all requests."""
        while self.finished < self.total:
            self._hand_on()
            fill = self._fill()
            moved = self._move(fill)
            if not moved:
                break
            self._start(fill.started)
            self._retire()
            self._see()
        count = np.array(self.answers, float)
        tpot = (self.last - self.first) / np.maximum(count - 1, 1)
        return Run(
            self.arrival, self.first - self.arrival, tpot, self.last - self.arrival, count, self.now,
            self.batch_time / max(self.now, 1e-9), self.starved,
        )  # fmt: skip

    def _hand_on(self) -> None:
        """Let requests that the front end is done with wait for a step."""
        lag = self.engine.schedule_lag_steps if self.step else 0
        while self.inbound and self.inbound[0][0] <= self.now + 1e-12:
            self.waiting.append((self.inbound.popleft()[1], self.step + lag))

    def _fill(self) -> _Fill:
        """Choose the prompts of the next step: the rest of one first, then those that wait, in order."""
        left = self.budget - (0 if self.engine.prefill_first else self.active)
        new, prompts, cached, weighted, started = 0, 0, 0.0, 0.0, []
        if self.partial >= 0:
            size = self.asked[self.partial] - self.hits[self.partial]
            chunk = min(size - self.done_of_partial, left)
            new, prompts, cached = chunk, 1, self.done_of_partial + self.hits[self.partial]
            self.done_of_partial += chunk
            left -= chunk
            if self.done_of_partial >= size:
                started.append(self.partial)
                self.partial = -1
        while self.partial < 0 and left > 0 and self._fits(left, prompts, len(started)):
            request = self.waiting.popleft()[0]
            size = self.asked[request] - self.hits[request]
            self.used += self.asked[request] + self.answers[request]
            prompts += 1
            taken = size if size <= left or self.engine.whole_prompts else left
            weighted += taken * self.hits[request]
            new += taken
            left -= taken
            if taken < size:
                self.partial, self.done_of_partial = request, taken
            else:
                started.append(request)
        return _Fill(new, prompts, cached + (weighted / new if weighted else 0.0), started)

    def _fits(self, left: int, prompts: int, started: int) -> bool:
        """Return whether the next request that waits goes into this step."""
        if not self.waiting or self.waiting[0][1] > self.step:
            return False
        request = self.waiting[0][0]
        running = self.active + started
        over = self.used + self.asked[request] + self.answers[request] > self.room
        if running >= self.slots or (over and running > 0):
            self.starved = self.starved or over
            return False
        long = self.asked[request] - self.hits[request] > left
        return not (long and self.engine.whole_prompts and (prompts or (self.strict and self.active)))

    def _move(self, fill: _Fill) -> bool:
        """Let time pass until the next event; return False where nothing is left to happen."""
        steps, alone = 1, False
        if fill.new:
            decoding = 0 if self.engine.prefill_first else self.active
            each = self.held / self.active if self.active else 1.0
            span = self.ticker.mixed_step_s(decoding, each, fill.new, fill.prompts, fill.cached)
            alone = self.engine.prefill_first
        elif self.active:
            steps, span = self._decode()
        elif self.waiting or self.unseen or self.inbound:
            idle = bool(self.inbound) and not self.waiting and not self.unseen
            span, alone = max(0.0, self.inbound[0][0] - self.now) if idle else 0.0, True
        else:
            return False
        self.now += span
        self.batch_time += span * self.active
        if not alone:
            self.held += self.active * steps
            self.ticks += steps
        self.step += steps
        return True

    def _decode(self) -> tuple[int, float]:
        """Return how many steps of pure decode pass before anything else can happen, and their seconds."""
        each = self.held / self.active
        steps = max(1, self.ends[0][0] - self.ticks if self.ends else 1)
        if self.waiting and self.waiting[0][1] > self.step:
            steps = min(steps, self.waiting[0][1] - self.step)
        if self.unseen:
            steps = min(steps, max(1, self.unseen[0][0] - self.step))
        if self.inbound:
            one = self.ticker.decode_step_s(self.active, each)
            steps = min(steps, max(1, math.ceil((self.inbound[0][0] - self.now) / one)))
        return steps, steps * self.ticker.decode_step_s(self.active, each + (steps - 1) / 2)

    def _start(self, started: list[int]) -> None:
        """Let requests decode whose prompts were read; their first token is seen some steps later."""
        for request in started:
            heapq.heappush(self.unseen, (self.step + self.engine.output_lag_steps, request, False))
            heapq.heappush(self.ends, (self.ticks + self.answers[request] - 1, request))
            self.active += 1
            self.held += self.asked[request] + 1

    def _retire(self) -> None:
        """Free the room of requests that have their last token."""
        while self.ends and self.ends[0][0] <= self.ticks:
            request = heapq.heappop(self.ends)[1]
            self.active -= 1
            self.held -= self.asked[request] + self.answers[request]
            self.used -= self.asked[request] + self.answers[request]
            heapq.heappush(self.unseen, (self.step + self.engine.output_lag_steps, request, True))

    def _see(self) -> None:
        """Note tokens that are now seen; in a closed loop a user whose answer is complete sends the next request."""
        while self.unseen and self.unseen[0][0] <= self.step:
            _, request, is_last = heapq.heappop(self.unseen)
            if not is_last:
                self.first[request] = self.now
                continue
            self.last[request] = self.now
            self.finished += 1
            if self.sent < self.total:
                self.arrival[self.sent] = self.now
                self.inbound.append((self.now + self._front_s(self.sent), self.sent))
                self.sent += 1
