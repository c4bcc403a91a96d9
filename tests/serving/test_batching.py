"""Bookkeeping of the compiled replica at every event, and queues that settings make exact."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hopperbook import serving
from hopperbook.errors import InputError
from hopperbook.models import load
from hopperbook.serving import batching, events
from hopperbook.serving.events import Limits, Requests, replay
from hopperbook.serving.ticker import ticker
from hopperbook.serving.traffic import Traffic, draw

SMALL = load("llama-3.1-8b")
REPLICA = serving.deploy(SMALL, "H100 SXM", precision="bf16")
ENGINES = [serving.deploy(SMALL, "H100 SXM", precision="bf16", engine_name=name) for name in ("vLLM", "SGLang")]
ENGINES.append(serving.deploy(SMALL, "H100 SXM", precision="bf16", engine_name="TensorRT-LLM"))


def where(book, s, rules):
    """Return requests running, by their place in the heap of ends, and the blocks that they must hold."""
    n = s.n[0]
    running = [int(key) & batching.MASK for key in s.ends[0, : n[batching.ENDS]]]
    size = rules.block_tokens
    lengths = [book.prompt[i] + book.gained[i] + 1 + n[batching.TICKS] - book.started[i] for i in running]
    held = [book.prompt[i] + book.answer[i] for i in running] if rules.reserves else lengths
    blocks = sum(max(-(-int(tokens) // size) - rules.shared_blocks, 1) for tokens in held)
    partial = int(n[batching.PARTIAL])
    if partial >= 0:
        tokens = book.prompt[partial] + (book.answer[partial] if rules.reserves else book.gained[partial] + 1)
        blocks += max(-(-int(tokens) // size) - rules.shared_blocks, 1)
    return running, sum(map(int, lengths)), blocks


@settings(max_examples=15, deadline=None)
@given(
    st.sampled_from(ENGINES), st.integers(0, 99), st.integers(20, 400), st.sampled_from([0, 128]), st.floats(2.0, 30.0)
)
def test_requests_and_blocks_are_conserved_at_every_event(d, seed, blocks, shared, rate):
    """A small cache forces waiting and pre-emption; at every event all requests and all blocks are accounted for."""
    traffic = Traffic(rate, 60, 300, 150, input_std=200, output_std=100, shared_tokens=shared)
    requests, limits = draw(traffic, seed), Limits(512, 24)
    rules = events.rules_of(d, requests, limits)._replace(blocks=blocks * 16 // d.engine.block_tokens)
    book, order = events.opened(d, requests, 0)
    s, times = batching.blank(1, rules, 60), ticker(serving.clock_of(d))
    n, until = s.n[0], 0.0
    entered = 0
    while n[batching.FINISHED] < 60 and until < 1e4:
        until = max(until, s.t[0, batching.NOW]) + 0.004
        while entered < 60 and book.handed[order[entered]] <= until:
            batching.enter(s, 0, book, order[entered])
            entered += 1
        batching.advance(s, 0, book, rules, times, until, 60)
        running, held, used = where(book, s, rules)
        assert (len(running), held, used) == (n[batching.ACTIVE], n[batching.HELD], n[batching.BLOCKS])
        assert used <= rules.blocks
        assert s.phase[0].sum() == len(running)
        unseen = sum(
            s.unseen[0, (n[batching.UNSEEN_AT] + 2 * k) % s.unseen.shape[1]] & 1 for k in range(n[batching.UNSEEN])
        )
        inbound = _length(book, n[batching.IN_HEAD])
        known = (
            len(running) + (n[batching.PARTIAL] >= 0) + n[batching.WAITING] + inbound + unseen + n[batching.FINISHED]
        )
        assert known == entered and n[batching.WAITING] == _length(book, n[batching.WAIT_HEAD])
    answered = ~np.isnan(book.last)
    assert n[batching.FINISHED] == 60 and answered.sum() == 60 - n[batching.REFUSED]
    assert (book.last[answered] >= book.first[answered]).all() and (book.first[answered] > book.arrival[answered]).all()


def _length(book, head):
    count = 0
    while head >= 0:
        count, head = count + 1, book.after[head]
    return count


def test_an_engine_that_does_not_reserve_pre_empts_and_still_answers_all():
    d = serving.deploy(SMALL, "A100 SXM 40GB", precision="bf16")
    requests = Requests([2000] * 400, [1500] * 400, arrival_s=np.arange(400) * 0.01)
    run = replay(d, requests, Limits(2048, 256))
    assert run.preempted > 0 and run.starved and run.refused == 0
    assert (run.request > 0).all() and run.cache_share <= 1
    safe = replay(serving.with_engine(d, reserves=True), requests, Limits(2048, 256))
    assert safe.preempted == 0 and safe.ttft.mean() > run.ttft.mean()


def test_a_request_larger_than_the_cache_is_refused_and_counted():
    d = serving.deploy(SMALL, "A100 SXM 40GB", precision="bf16")
    run = replay(d, Requests([200_000, 100], [10, 10], arrival_s=[0.0, 0.0]), Limits(2048, 256))
    assert run.refused == 1 and np.isnan(run.ttft[0]) and run.ttft[1] > 0


def bare(d):
    return serving.with_engine(d, frontend_s=0.0, tokenise_s=0.0, output_lag_steps=0, schedule_lag_steps=0)


def test_replicas_with_one_place_each_wait_as_an_m_d_k_queue():
    """One token an answer and one prompt a step: k servers of one time; the wait lies by Cosmetatos' approximation."""
    d = bare(REPLICA)
    service_s, servers, busy = float(serving.prefill_s(d, 4096)), 4, 0.8
    requests = draw(Traffic(servers * busy / service_s, 60_000, 4096, 1), 5)
    run = replay(d, requests, Limits(4096, 1), replicas=servers, routing="least_loaded")
    assert run.ttft.mean() - service_s == pytest.approx(_wait_m_d_k(servers, busy) * service_s, rel=0.2)
    turn = replay(d, requests, Limits(4096, 1), replicas=servers)
    assert turn.ttft.mean() == pytest.approx(run.ttft.mean())  # servers of one constant time are free in turn
    mixed = draw(Traffic(servers * busy / service_s, 5_000, 4096, 1, input_std=4096), 5)
    turn, fewest = (replay(d, mixed, Limits(4096, 1), 0, servers, how) for how in ("round_robin", "least_loaded"))
    assert fewest.ttft.mean() < 0.9 * turn.ttft.mean()


def _wait_m_d_k(servers, busy):
    """Wait over the service time: half of Erlang C's, with Cosmetatos' correction."""
    offered = servers * busy
    terms = np.cumprod(np.r_[1.0, offered / np.arange(1, servers + 1)])
    last = terms[-1] / (1 - busy)
    m_m_k = last / (terms[:-1].sum() + last) / (servers * (1 - busy))
    correction = 1 + (1 - busy) * (servers - 1) * (np.sqrt(4 + 5 * servers) - 2) / (16 * busy * servers)
    return 0.5 * m_m_k * correction


def test_a_conversation_stays_where_its_cache_is():
    requests = Requests([500] * 8, [20] * 8, arrival_s=np.arange(8.0), session=[3, 3, 3, 3, 3, 3, 3, 3])
    run = replay(REPLICA, requests, Limits(8192, 64), replicas=4, routing="by_session")
    alone = replay(REPLICA, requests._replace(session=()), Limits(8192, 64))
    assert run.ttft.tolist() == alone.ttft.tolist()
    with pytest.raises(InputError, match="routing"):
        replay(REPLICA, requests, Limits(8192, 64), replicas=4, routing="best")
    with pytest.raises(InputError, match="one replica"):
        replay(REPLICA, requests, Limits(8192, 64), users=2, replicas=4)


def test_pipeline_stages_overlap_and_a_prompt_still_crosses_all_of_them():
    llama = load("llama-3.3-70b")
    two = serving.deploy(llama, "H100 SXM", tp=4, pp=2, precision="fp8")
    alone = replay(two, Requests([4096], [2], arrival_s=[0.0]), Limits(8192, 64))
    assert float(alone.ttft[0]) >= float(serving.prefill_s(two, 4096))
    many = draw(Traffic(0, 200, 4096, 2, arrival="at_once"))
    seconds = [
        replay(d, many, Limits(8192, 64)).seconds
        for d in (two, serving.deploy(llama, "H100 SXM", tp=4, precision="fp8"))
    ]
    assert seconds[0] < 0.62 * seconds[1]  # two stages read prompts nearly twice as fast as one


def test_a_prompt_that_all_share_is_held_once():
    d = serving.deploy(SMALL, "A100 SXM 40GB", precision="bf16")
    traffic = Traffic(6.0, 300, 500, 200)
    apart, shared = (
        replay(d, draw(replace(traffic, **{field: 1600})), Limits(2048, 256))
        for field in ("history_tokens", "shared_tokens")
    )
    assert shared.cache_share < 0.6 * apart.cache_share
    assert shared.ttft.mean() == pytest.approx(apart.ttft.mean(), rel=0.05)
