"""Requests served by one or several replicas, event by event: what each waited, and what the replicas did.

Requests arrive at given times, or, in a closed loop, when one of a fixed number of users has read the last answer.  The
replicas themselves are :mod:`hopperbook.serving.batching`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hopperbook.compiled import compiled
from hopperbook.errors import InputError
from hopperbook.serving import batching
from hopperbook.serving.batching import Book, Ints, Rules, State
from hopperbook.serving.capacity import kv_capacity_tokens
from hopperbook.serving.clock import Floats
from hopperbook.serving.deployment import Deployment
from hopperbook.serving.step import clock_of
from hopperbook.serving.ticker import Ticker, ticker

ROUTINGS = ("round_robin", "least_loaded", "by_session")


class Requests(NamedTuple):
    """Requests in the order of their arrival.

    Parameters
    ----------
    prompt_tokens, answer_tokens : sequence of int
        Lengths; a prompt counts all that is held of it, cached or not.
    cached_tokens : sequence of int
        Tokens of each prompt that the prefix cache holds already; empty for none.
    arrival_s : sequence of float
        Rising times of arrival; empty in a closed loop.
    session : sequence of int
        Conversation that each belongs to, where they are routed by it; empty for none.
    shared_tokens : int
        Tokens at the head of every prompt that all requests share and the cache holds once.
    """

    prompt_tokens: Sequence[int] | Ints
    answer_tokens: Sequence[int] | Ints
    cached_tokens: Sequence[int] | Ints = ()
    arrival_s: Sequence[float] | Floats = ()
    session: Sequence[int] | Ints = ()
    shared_tokens: int = 0


class Limits(NamedTuple):
    """What one step may hold: new tokens, sequences, and whether a prompt longer than the budget waits for it."""

    step_tokens: int
    sequences: int
    strict: bool = False


@dataclass(frozen=True)
class Run:
    """What happened: seconds of each request, and what the replicas did.

    Parameters
    ----------
    arrival, ttft, tpot, request, tokens : ndarray
        Of each request: when it came, its first token, time per further token, whole answer, tokens of the answer;
        NaN where it was refused.
    seconds : float
        Length of the run.
    batch, waiting : float
        Requests decoding and waiting in a replica on average.
    prefill_share, decode_share : float
        Shares of time that replicas spend in steps with prompts and in steps without.
    cache_share : float
        Share of the cache's blocks that are in use on average.
    preempted, refused : int
        Requests that had to give their cache back, and that no replica could ever hold.
    starved : bool
        Whether some request had to wait for blocks of the cache.
    """

    arrival: Floats
    ttft: Floats
    tpot: Floats
    request: Floats
    tokens: Floats
    seconds: float
    batch: float
    waiting: float
    prefill_share: float
    decode_share: float
    cache_share: float
    preempted: int
    refused: int
    starved: bool


def replay(
    d: Deployment,
    requests: Requests,
    limits: Limits,
    users: int = 0,
    replicas: int = 1,
    routing: str = "round_robin",
) -> Run:
    """Serve requests until all are answered.

    Parameters
    ----------
    d : Deployment
        A replica.
    requests : Requests
        What is asked.
    limits : Limits
        Of a step.
    users : int
        Users of a closed loop, of one replica; 0 where requests come at their own times.
    replicas : int
        How many serve them.
    routing : str
        ``round_robin``, ``least_loaded`` (to the replica with the fewest requests) or ``by_session`` (a conversation
        stays where its cache is).

    Returns
    -------
    Run
        Latencies of each request.

    Raises
    ------
    InputError
        For an unknown routing, or users of several replicas.

    Examples
    --------
    >>> from hopperbook.models import load
    >>> from hopperbook.serving import deploy
    >>> d = deploy(load("llama-3.1-8b"), "H100 SXM", precision="bf16")
    >>> alone = replay(d, Requests([1024], [128], arrival_s=[0.0]), Limits(8192, 256))
    >>> round(1e3 * float(alone.ttft[0])), round(1e3 * float(alone.tpot[0]), 1)  # milliseconds
    (34, 6.3)
    """
    if routing not in ROUTINGS:
        raise InputError("routing", routing, ", ".join(ROUTINGS), ROUTINGS)
    if users and replicas > 1:
        raise InputError("replicas", replicas, "one replica in a closed loop", "1")
    rules, times = rules_of(d, requests, limits), ticker(clock_of(d))
    book, order = opened(d, requests, users)
    state = batching.blank(replicas, rules, len(book.prompt))
    sent = min(users, len(book.prompt))
    home = homes(requests, replicas, len(order), routing)
    serve(state, book, rules, times, order[: 0 if users else None], home, sent, np.inf)
    return _told(state, book, rules)


#: Stands for the home of a request that goes wherever the fewest are.
NOWHERE = -1


def rules_of(d: Deployment, requests: Requests, limits: Limits) -> Rules:
    """Return what a step and the cache of a replica allow for some requests."""
    e = d.engine
    mean = float(np.mean(requests.prompt_tokens) + np.mean(requests.answer_tokens))
    room = int(kv_capacity_tokens(d, mean) // e.block_tokens)
    shared = int(requests.shared_tokens // e.block_tokens)
    stages = d.pp
    return Rules(
        int(limits.step_tokens) * d.attention_dp * stages, int(limits.sequences), max(room - shared, 0), e.block_tokens,
        shared, int(limits.strict), int(e.whole_prompts), int(e.prefill_first), int(e.reserves), e.schedule_lag_steps,
        e.output_lag_steps, stages,
    )  # fmt: skip


def opened(d: Deployment, requests: Requests, users: int) -> tuple[Book, Ints]:
    """Open the book of requests, and say in which order the front end hands them on."""
    prompt, answer = (np.asarray(column, np.int64) for column in requests[:2])
    count = len(prompt)
    cached = np.asarray(requests.cached_tokens, np.int64) if len(requests.cached_tokens) else np.zeros(count, np.int64)
    front: Floats = d.engine.frontend_s + d.engine.tokenise_s * prompt.astype(float)
    arrival = np.zeros(count) if users else np.array(requests.arrival_s, float)
    zeros, floats = (lambda: np.zeros(count, np.int64)), (lambda value: np.full(count, value))
    book = Book(
        prompt, answer, np.minimum(cached, prompt - 1), arrival + front, front, arrival, floats(-1.0), floats(0.0),
        zeros(), zeros(), zeros(), zeros(), zeros() + batching.NOBODY, floats(0.0),
    )  # fmt: skip
    return book, np.argsort(book.handed, kind="stable")


def homes(requests: Requests, replicas: int, count: int, routing: str, before: int = 0) -> Ints:
    """Return the replica of each request after so many: in turn, that of its conversation, or none of its own."""
    if routing == "least_loaded":
        return np.full(count, NOWHERE, np.int64)
    known = routing == "by_session" and len(requests.session)
    return np.asarray(requests.session if known else before + np.arange(count), np.int64) % replicas


@compiled
def _emptiest(s: State) -> int:
    """Return the replica with the fewest requests; of several, the one that is free first."""
    best, fewest, free = 0, np.int64(1 << 60), np.inf
    for r in range(len(s.n)):
        inside, now = s.n[r, batching.ENTERED] - s.n[r, batching.FINISHED], s.t[r, batching.NOW]
        if inside < fewest or (inside == fewest and now < free):
            best, fewest, free = r, inside, now
    return best


@compiled
def serve(s: State, book: Book, rules: Rules, times: Ticker, order: Ints, home: Ints, users: int, until: float) -> None:
    """Let requests come, each at its home or where the fewest are, and all replicas work until a time.

    In a closed loop no request comes by itself: so many users send one each to the only replica, all at once.  The one
    entry to compiled replicas: a second one would be compiled again with all that it calls.
    """
    replicas, count = len(s.n), len(book.prompt)
    for i in range(users):
        batching.enter(s, 0, book, i)
    for i in order:
        r = home[i]
        if r < 0:
            for q in range(replicas):
                if s.t[q, batching.NOW] < book.handed[i]:  # of many replicas most are in a step that ends later
                    batching.advance(s, q, book, rules, times, book.handed[i], count)
            r = _emptiest(s)
        else:
            batching.advance(s, r, book, rules, times, book.handed[i], count)
        batching.enter(s, r, book, i)
    for q in range(replicas):
        batching.advance(s, q, book, rules, times, until, users if users else count)


def _told(s: State, book: Book, rules: Rules) -> Run:
    """Turn the book and the sums over time into what was seen."""
    n, t = s.n, s.t
    count = book.answer.astype(float)
    seconds, working = float(t[:, batching.NOW].max()), max(float(t[:, batching.NOW].sum()), 1e-9)
    sums: NDArray[np.float64] = t.sum(axis=0) / working
    return Run(
        book.arrival, book.first - book.arrival, (book.last - book.first) / np.maximum(count - 1, 1),
        book.last - book.arrival, count, seconds, float(sums[batching.ACTIVE_S]), float(sums[batching.WAITING_S]),
        float(sums[batching.PROMPT_S]), float(sums[batching.DECODE_S]),
        float(sums[batching.BLOCK_S]) / max(rules.blocks, 1), int(n[:, batching.PREEMPTED].sum()),
        int(n[:, batching.REFUSED].sum()), bool(n[:, batching.STARVED].any()),
    )  # fmt: skip
