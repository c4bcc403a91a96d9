"""Continuous batching on one replica, compiled: admission, paged cache, prefill, decode, pre-emption, event by event.

A replica admits requests in order while blocks of the cache, slots and the token budget of a step allow; stretches of
pure decode are jumped over.  Blocks are exact: a running sequence takes a new one whenever its last is full, which
happens once in ``block_tokens`` steps at a phase of its own, so a count of sequences by phase says how many blocks any
number of steps takes.  An engine that does not reserve room for whole answers runs out in the middle of some: then the
request admitted last gives its blocks back, waits in front of the others, and is read again with what it has written.

All state is in arrays, a row for each replica, so that several replicas are advanced side by side.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hopperbook.compiled import compiled
from hopperbook.serving.clock import Floats
from hopperbook.serving.ticker import Ticker, decode_s, mixed_s

Ints = NDArray[np.int64]
#: Places of a replica's whole numbers: steps; steps in which the running gained a token; running requests, tokens they
#: hold, blocks taken; the prompt being read in parts, and how much of it; lengths of the heap of ends and of the ring
#: of unseen tokens, and where that begins; heads and tails of the two queues; counts of what happened.
STEP, TICKS, ACTIVE, HELD, BLOCKS, PARTIAL, DONE, ENDS, UNSEEN, UNSEEN_AT = range(10)
WAIT_HEAD, WAIT_TAIL, IN_HEAD, IN_TAIL, WAITING, ENTERED, FINISHED, STARVED, PREEMPTED, REFUSED, ADMITTED = range(
    10, 21
)
#: Places of its sums over time: now, seconds with prompts in a step, of pure decode, running requests, requests that
#: wait, and blocks, each times seconds.
NOW, PROMPT_S, DECODE_S, ACTIVE_S, WAITING_S, BLOCK_S = range(6)
NOBODY = -1
#: A key of the heap of ends holds the step in its upper bits and the request in the lower.
SHIFT = 25
MASK = (1 << SHIFT) - 1


class Rules(NamedTuple):
    """What a step and the cache of a replica allow; whole numbers, 0 or 1 for no and yes."""

    step_tokens: int
    sequences: int
    blocks: int
    block_tokens: int
    shared_blocks: int
    strict: int
    whole_prompts: int
    prefill_first: int
    reserves: int
    schedule_lag: int
    output_lag: int
    stages: int


class Book(NamedTuple):
    """What is known of each request: what it asks, when it came, was answered, and where it stands; an array each."""

    prompt: Ints
    answer: Ints
    cached: Ints
    handed: Floats
    front: Floats
    arrival: Floats
    first: Floats
    last: Floats
    gained: Ints
    started: Ints
    order: Ints
    since: Ints
    after: Ints
    delay: Floats


class State(NamedTuple):
    """Where the replicas stand: a row each of whole numbers, sums, phases, ends and unseen tokens; and a scratch."""

    n: Ints
    t: Floats
    phase: Ints
    ends: Ints
    unseen: Ints
    started: Ints


def blank(replicas: int, rules: Rules, requests: int) -> State:
    """Return replicas that have done nothing yet."""
    n = np.zeros((replicas, 21), np.int64)
    n[:, [PARTIAL, WAIT_HEAD, WAIT_TAIL, IN_HEAD, IN_TAIL]] = NOBODY
    room = min(rules.sequences, requests) + 2
    ring = 2 * room + 2
    shapes = (rules.block_tokens, room, 2 * ring)
    phase, ends, unseen = (np.zeros((replicas, width), np.int64) for width in shapes)
    return State(n, np.zeros((replicas, 6)), phase, ends, unseen, np.zeros(rules.sequences + 1, np.int64))


@compiled
def _blocks(tokens: int, rules: Rules) -> int:
    """Return the blocks that hold some tokens of one sequence, those that all share left out."""
    return max((tokens + rules.block_tokens - 1) // rules.block_tokens - rules.shared_blocks, 1)


@compiled
def _needed(book: Book, i: int, rules: Rules) -> int:
    """Return the blocks that a request takes when it is admitted."""
    if rules.reserves:
        return _blocks(book.prompt[i] + book.answer[i], rules)
    return _blocks(book.prompt[i] + book.gained[i] + 1, rules)


@compiled
def _push_end(ends: Ints, count: int, key: int) -> None:
    """Add a key to a heap of so many, the smallest on top."""
    at = count
    while at > 0 and ends[(at - 1) // 2] > key:
        ends[at] = ends[(at - 1) // 2]
        at = (at - 1) // 2
    ends[at] = key


@compiled
def _drop_end(ends: Ints, count: int, at: int) -> None:
    """Take one key out of a heap of so many."""
    key = ends[count - 1]
    while at > 0 and ends[(at - 1) // 2] > key:
        ends[at] = ends[(at - 1) // 2]
        at = (at - 1) // 2
    while True:
        child = 2 * at + 1
        if child >= count - 1:
            break
        if child + 1 < count - 1 and ends[child + 1] < ends[child]:
            child += 1
        if ends[child] >= key:
            break
        ends[at] = ends[child]
        at = child
    ends[at] = key


@compiled
def enter(s: State, r: int, book: Book, i: int) -> None:
    """Send a request to a replica: it is on its way through the front end."""
    n = s.n[r]
    book.after[i] = NOBODY
    if n[IN_TAIL] == NOBODY:
        n[IN_HEAD] = i
    else:
        book.after[n[IN_TAIL]] = i
    n[IN_TAIL] = i
    n[ENTERED] += 1


@compiled
def _hand_on(s: State, r: int, book: Book, rules: Rules) -> None:
    """Let requests that the front end is done with wait for a step; refuse one that the whole cache could not hold."""
    n, now = s.n[r], s.t[r, NOW]
    lag = rules.schedule_lag if n[STEP] else 0
    while n[IN_HEAD] != NOBODY and book.handed[n[IN_HEAD]] <= now + 1e-12:
        i = n[IN_HEAD]
        n[IN_HEAD] = book.after[i]
        if n[IN_HEAD] == NOBODY:
            n[IN_TAIL] = NOBODY
        if _blocks(book.prompt[i] + book.answer[i], rules) > rules.blocks:
            book.first[i] = book.last[i] = np.nan
            n[FINISHED] += 1
            n[REFUSED] += 1
            continue
        book.since[i], book.after[i] = n[STEP] + lag, NOBODY
        if n[WAIT_TAIL] == NOBODY:
            n[WAIT_HEAD] = i
        else:
            book.after[n[WAIT_TAIL]] = i
        n[WAIT_TAIL] = i
        n[WAITING] += 1


@compiled
def _preempt(s: State, r: int, book: Book, rules: Rules) -> None:
    """Take the blocks of the running request that was admitted last, and let it wait in front of all others."""
    n, ends = s.n[r], s.ends[r]
    at, worst = 0, NOBODY
    for k in range(n[ENDS]):
        i = ends[k] & MASK
        if worst == NOBODY or book.order[i] > book.order[worst]:
            at, worst = k, i
    _drop_end(ends, n[ENDS], at)
    i = worst
    written = 1 + n[TICKS] - book.started[i]
    length = book.prompt[i] + book.gained[i] + written
    s.phase[r, (book.started[i] - book.prompt[i] - book.gained[i]) % rules.block_tokens] -= 1
    n[ENDS] -= 1
    n[ACTIVE] -= 1
    n[HELD] -= length
    n[BLOCKS] -= _blocks(length, rules)
    n[PREEMPTED] += 1
    book.gained[i] += written
    book.since[i], book.after[i] = n[STEP], n[WAIT_HEAD]
    if n[WAIT_HEAD] == NOBODY:
        n[WAIT_TAIL] = i
    n[WAIT_HEAD] = i
    n[WAITING] += 1


@compiled
def _growth(s: State, r: int, rules: Rules, steps: int) -> int:
    """Return the blocks that the running requests take in their next steps."""
    n, size = s.n[r], rules.block_tokens
    taken = steps // size * n[ACTIVE]
    for k in range(1, steps % size + 1):
        taken += s.phase[r, (n[TICKS] + k) % size]
    return taken


@compiled
def _steps_with_room(s: State, r: int, rules: Rules) -> int:
    """Return how many steps the running requests can go on before a block is lacking."""
    n, size = s.n[r], rules.block_tokens
    free = rules.blocks - n[BLOCKS]
    steps = free // n[ACTIVE] * size
    taken = free // n[ACTIVE] * n[ACTIVE]
    for _ in range(size):
        taken += s.phase[r, (n[TICKS] + steps + 1) % size]
        if taken > free:
            break
        steps += 1
    return steps


@compiled
def _fits(s: State, r: int, book: Book, rules: Rules, left: int, prompts: int, started: int) -> bool:
    """Return whether the next request that waits goes into this step."""
    n = s.n[r]
    i = n[WAIT_HEAD]
    if i == NOBODY or book.since[i] > n[STEP]:
        return False
    soon = 0 if rules.reserves else _growth(s, r, rules, 1)
    over = n[BLOCKS] + soon + _needed(book, i, rules) > rules.blocks
    if over:
        n[STARVED] = 1
    if over or n[ACTIVE] + started >= rules.sequences:
        return False
    longer = book.prompt[i] + book.gained[i] - book.cached[i] > left
    return not (longer and rules.whole_prompts and (prompts > 0 or (rules.strict and n[ACTIVE] > 0)))


@compiled
def _fill(s: State, r: int, book: Book, rules: Rules, started: Ints) -> Any:
    """Choose the prompts of the next step: the rest of one first, then those that wait, in order.

    Returns new tokens, of how many prompts, tokens cached before them, and how many prompts are then complete.
    """
    n = s.n[r]
    left = rules.step_tokens - (0 if rules.prefill_first else n[ACTIVE])
    new, prompts, cached, weighted, count = 0, 0, 0.0, 0.0, 0
    if n[PARTIAL] != NOBODY:
        i = n[PARTIAL]
        size = book.prompt[i] + book.gained[i] - book.cached[i]
        chunk = max(min(size - n[DONE], left), 0)
        new, prompts, cached = chunk, 1, float(n[DONE] + book.cached[i])
        n[DONE] += chunk
        left -= chunk
        if n[DONE] >= size:
            started[count] = i
            count += 1
            n[PARTIAL] = NOBODY
    while n[PARTIAL] == NOBODY and left > 0 and _fits(s, r, book, rules, left, prompts, count):
        i = n[WAIT_HEAD]
        n[WAIT_HEAD] = book.after[i]
        if n[WAIT_HEAD] == NOBODY:
            n[WAIT_TAIL] = NOBODY
        n[WAITING] -= 1
        n[ADMITTED] += 1
        book.order[i] = n[ADMITTED]
        size = book.prompt[i] + book.gained[i] - book.cached[i]
        n[BLOCKS] += _needed(book, i, rules)
        prompts += 1
        taken = size if size <= left or rules.whole_prompts else left
        weighted += float(taken) * book.cached[i]
        new += taken
        left -= taken
        if taken < size:
            n[PARTIAL], n[DONE] = i, taken
        else:
            started[count] = i
            count += 1
    return new, prompts, cached + (weighted / new if weighted > 0 else 0.0), count


@compiled
def _decode_steps(s: State, r: int, book: Book, rules: Rules, t: Ticker, until: float) -> int:
    """Return how many steps of pure decode pass before anything else can happen."""
    n, now = s.n[r], s.t[r, NOW]
    steps = max(1, (s.ends[r, 0] >> SHIFT) - n[TICKS])
    if not rules.reserves and (steps // rules.block_tokens + 1) * n[ACTIVE] > rules.blocks - n[BLOCKS]:
        steps = min(steps, max(1, _steps_with_room(s, r, rules)))
    head = n[WAIT_HEAD]
    if head != NOBODY and book.since[head] > n[STEP]:
        steps = min(steps, book.since[head] - n[STEP])
    if n[UNSEEN]:
        steps = min(steps, max(1, (s.unseen[r, n[UNSEEN_AT]] >> 1) - n[STEP]))
    soon = until
    if n[IN_HEAD] != NOBODY:
        soon = min(soon, book.handed[n[IN_HEAD]])
    if soon < np.inf:
        one = decode_s(t, n[ACTIVE], n[HELD] / n[ACTIVE])
        gap = (soon - now) / one
        if gap < steps:
            steps = max(1, int(math.ceil(gap)))
    return steps


@compiled
def _start(s: State, r: int, book: Book, rules: Rules, started: Ints, count: int, delay: float) -> None:
    """Let requests decode whose prompts were read; their first token is seen some steps later."""
    n = s.n[r]
    for k in range(count):
        i = started[k]
        length = book.prompt[i] + book.gained[i]
        book.started[i] = n[TICKS]
        book.delay[i] += delay
        _tell(s, r, n[STEP] + rules.output_lag, i, 0)
        _push_end(s.ends[r], n[ENDS], ((n[TICKS] + book.answer[i] - book.gained[i] - 1) << SHIFT) | i)
        s.phase[r, (n[TICKS] - length) % rules.block_tokens] += 1
        n[ENDS] += 1
        n[ACTIVE] += 1
        n[HELD] += length + 1


@compiled
def _tell(s: State, r: int, step: int, i: int, is_last: int) -> None:
    """Note that a token will be seen at the end of a step: the ring keeps step and request, the first or the last."""
    n, size = s.n[r], s.unseen.shape[1] // 2
    at = (n[UNSEEN_AT] // 2 + n[UNSEEN]) % size
    s.unseen[r, 2 * at] = (step << 1) | is_last
    s.unseen[r, 2 * at + 1] = i
    n[UNSEEN] += 1


@compiled
def _retire(s: State, r: int, book: Book, rules: Rules) -> None:
    """Free the blocks of requests that have their last token."""
    n, ends = s.n[r], s.ends[r]
    while n[ENDS] and (ends[0] >> SHIFT) <= n[TICKS]:
        i = ends[0] & MASK
        _drop_end(ends, n[ENDS], 0)
        length = book.prompt[i] + book.answer[i]
        s.phase[r, (book.started[i] - book.prompt[i] - book.gained[i]) % rules.block_tokens] -= 1
        n[ENDS] -= 1
        n[ACTIVE] -= 1
        n[HELD] -= length
        n[BLOCKS] -= _blocks(length, rules)
        _tell(s, r, n[STEP] + rules.output_lag, i, 1)


@compiled
def _see(s: State, r: int, book: Book, sent: int) -> int:
    """Note tokens that are now seen; in a closed loop a user whose answer is complete sends the next request.

    Returns how many requests of a closed loop have been sent.
    """
    n, now = s.n[r], s.t[r, NOW]
    size = s.unseen.shape[1]
    while n[UNSEEN] and (s.unseen[r, n[UNSEEN_AT]] >> 1) <= n[STEP]:
        is_last, i = s.unseen[r, n[UNSEEN_AT]] & 1, s.unseen[r, n[UNSEEN_AT] + 1]
        n[UNSEEN_AT] = (n[UNSEEN_AT] + 2) % size
        n[UNSEEN] -= 1
        if not is_last:
            if book.first[i] < 0:
                book.first[i] = now + book.delay[i]
            continue
        book.last[i] = now + book.delay[i]
        n[FINISHED] += 1
        if sent < len(book.prompt):
            book.arrival[sent] = now
            book.handed[sent] = now + book.front[sent]
            enter(s, r, book, sent)
            sent += 1
    return sent


@compiled
def advance(s: State, r: int, book: Book, rules: Rules, t: Ticker, until: float, sent: int) -> int:
    """Let a replica work until a time, or until all that it was sent is answered; return requests sent in all.

    A step that has begun is ended: the replica then stands a little after that time.
    """
    n, clock = s.n[r], s.t[r]
    started = s.started
    while True:
        if clock[NOW] + 1e-12 >= until:
            return sent
        _hand_on(s, r, book, rules)
        if not rules.reserves:
            least = 0 if n[PARTIAL] != NOBODY else 1
            while n[ACTIVE] > least and rules.blocks - n[BLOCKS] < _growth(s, r, rules, 1):
                _preempt(s, r, book, rules)
        new, prompts, cached, count = _fill(s, r, book, rules, started)
        steps, delay, alone = 1, 0.0, False
        if new:
            batch = 0 if rules.prefill_first else n[ACTIVE]
            each = n[HELD] / n[ACTIVE] if n[ACTIVE] else 1.0
            span = mixed_s(t, batch, each, new, prompts, cached)
            if rules.stages > 1:  # stages work on different prompts: the replica is held up by one stage's time only
                whole, span = span, mixed_s(t, batch, each, new / rules.stages, prompts / rules.stages, cached)
                delay = max(whole - span, 0.0)
            alone = rules.prefill_first == 1
        elif n[ACTIVE]:
            steps = _decode_steps(s, r, book, rules, t, until)
            span = steps * decode_s(t, n[ACTIVE], n[HELD] / n[ACTIVE] + (steps - 1) / 2)
        elif n[WAIT_HEAD] != NOBODY or n[UNSEEN]:
            span, alone = 0.0, True
        elif n[IN_HEAD] != NOBODY:
            span, alone = max(0.0, min(book.handed[n[IN_HEAD]], until) - clock[NOW]), True
        else:
            if until < np.inf:
                clock[NOW] = until
            return sent
        clock[NOW] += span
        clock[PROMPT_S if new else DECODE_S] += span if new or n[ACTIVE] else 0.0
        clock[ACTIVE_S] += span * n[ACTIVE]
        clock[WAITING_S] += span * n[WAITING]
        clock[BLOCK_S] += span * n[BLOCKS]
        if not alone:
            if not rules.reserves and n[ACTIVE]:
                n[BLOCKS] += _growth(s, r, rules, steps)
            n[HELD] += n[ACTIVE] * steps
            n[TICKS] += steps
        n[STEP] += steps
        _start(s, r, book, rules, started, count, delay)
        _retire(s, r, book, rules)
        sent = _see(s, r, book, sent)
