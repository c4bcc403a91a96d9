"""A fleet fed window by window: the same events as in one replay, and what is seen of them."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hopperbook import customer, planner, serving
from hopperbook.errors import InputError
from hopperbook.models import load
from hopperbook.planner.load import demand
from hopperbook.planner.rehearsal import targets_of, watched
from hopperbook.planner.traced import whole
from hopperbook.serving import stream, trace
from hopperbook.serving.demand import Targets
from hopperbook.serving.events import ROUTINGS, Limits, Requests, replay
from hopperbook.serving.observe import Histogram, Span, Watch, within
from hopperbook.serving.stream import Answered, Fleet
from hopperbook.serving.traffic import Traffic, draw

SAMPLE = Path(__file__).parent / "sample_trace.csv"
REPLICA = serving.deploy(load("llama-3.1-8b"), "H100 SXM", precision="bf16")
LIMITS = Limits(REPLICA.engine.step_tokens, REPLICA.engine.max_batch)
SMALL = {"name": "A", "model": "llama-3.1-8b", "concurrency": 16}
TIGHT = Targets(0.25, 0.012)


def part(requests, low, high):
    columns = [np.asarray(x)[low:high] if len(x) else () for x in requests[:5]]
    return Requests(*columns, shared_tokens=requests.shared_tokens)


def streamed(requests, edges, replicas=1, routing="least_loaded"):
    """Return the fleet, and its answers in the order of arrival."""
    fleet = Fleet(REPLICA, requests, replicas, routing, LIMITS)
    parts = [fleet.feed(part(requests, *edge)) for edge in zip(edges, edges[1:], strict=False)]
    parts += fleet.drain()
    answers = [np.concatenate(column) for column in zip(*parts, strict=True)]
    order = np.argsort(answers[0], kind="stable")
    return fleet, Answered(*(column[order] for column in answers))


def seen_at(rate, targets=TIGHT, seed=0):
    requests = draw(Traffic(rate, 400, 900, 120, input_std=700, output_std=80), seed)
    return within(streamed(requests, [0, 400])[1], targets).mean()


@settings(max_examples=25, deadline=None)
@given(
    st.sets(st.integers(1, 899), max_size=30),
    st.sampled_from(ROUTINGS),
    st.integers(1, 3),
    st.floats(5.0, 120.0),
    st.integers(0, 9),
)
def test_windows_change_no_event(cuts, routing, replicas, rate, seed):
    """To the bit, with waiting, pre-emption and refusals, however the requests are cut into windows."""
    requests = draw(Traffic(rate, 900, 3000, 300, input_std=9000, output_std=300, shared_tokens=40), seed)
    requests.prompt_tokens[::97] = 2_000_000  # no cache holds it
    if routing == "by_session":
        requests = requests._replace(session=np.arange(900) ** 2 % 13)
    whole = replay(REPLICA, requests, LIMITS, replicas=replicas, routing=routing)
    least = stream.WINDOW
    try:
        stream.WINDOW = 50
        fleet = Fleet(REPLICA, requests, replicas, routing, LIMITS)
        edges = [0, *sorted(cuts), 900]
        parts = [fleet.feed(part(requests, *edge)) for edge in zip(edges, edges[1:], strict=False)]
        stream.WINDOW = 1000  # the rest in one go
        parts += fleet.drain()
    finally:
        stream.WINDOW = least
    answers = [np.concatenate(column) for column in zip(*parts, strict=True)]
    order = np.argsort(answers[0], kind="stable")
    for mine, theirs in zip(answers, (whole.arrival, whole.ttft, whole.tpot, whole.request, whole.tokens), strict=True):
        assert np.array_equal(mine[order], theirs, equal_nan=True)
    sums = fleet.sums()
    assert (sums.now_s, sums.preempted, sums.starved) == (whole.seconds, whole.preempted, whole.starved)
    assert fleet.unanswered == 0 and whole.refused == 10


def test_a_long_queue_is_worked_off_in_slices_and_nothing_is_lost(monkeypatch):
    monkeypatch.setattr(stream, "WINDOW", 64)
    monkeypatch.setattr(stream, "SLICE_S", 1.0)
    requests = draw(Traffic(400.0, 3000, 2000, 200, input_std=500))
    fleet, answers = streamed(requests, [0, 1000, 3000], 2)
    assert np.array_equal(answers.arrival_s, requests.arrival_s)
    assert (answers.request_s > 0).all() and fleet.unanswered == 0
    whole = replay(REPLICA, requests, LIMITS, replicas=2, routing="least_loaded")
    assert answers.request_s.mean() == pytest.approx(whole.request.mean(), rel=0.02)


def test_a_routing_that_is_unknown_is_refused():
    with pytest.raises(InputError, match="nearest: least_loaded"):
        Fleet(REPLICA, Requests([10], [10]), routing="least_load")


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 3000), st.floats(-4, 8), st.floats(0.01, 3.0))
def test_percentiles_of_a_histogram_are_those_of_the_values(seed, count, middle, spread):
    values = np.exp(np.random.default_rng(seed).normal(middle, spread, count))
    seen = Histogram()
    for block in np.array_split(values, 3):
        seen.add(block)
    assert seen.latency().mean == pytest.approx(values.mean())
    expected = np.percentile(np.maximum(values, 1e-4), (50, 90, 95, 99))
    assert seen.latency()[1:] == pytest.approx(expected, rel=1e-3)


@pytest.fixture(scope="module")
def sample():
    """What is seen of the sample trace on a large model, and the same requests as events."""
    d = serving.deploy(load("llama-3.3-70b"), "H100 SXM", tp=2, precision="fp8", kv_precision="fp8")
    source = whole(SAMPLE, trace.survey(SAMPLE))
    seen = watched(Fleet(d, source.mean, 1, "by_session"), source, Targets(0.1, 0.023, 8.0))
    requests = next(trace.read(SAMPLE))
    return seen, replay(d, requests, Limits(d.engine.step_tokens, d.engine.max_batch))


def test_what_is_seen_of_a_trace_is_what_happened(sample):
    seen, run = sample
    assert (seen.requests, seen.preempted, seen.beyond_context, seen.beyond_cache) == (200, 0, 0, 0)
    for latency, values in ((seen.ttft, run.ttft), (seen.tpot, run.tpot[run.tokens > 1]), (seen.request, run.request)):
        assert latency == pytest.approx([values.mean(), *np.percentile(values, (50, 90, 95, 99))], rel=1e-3)
    kept = (run.ttft <= 0.1) & (run.tpot <= 0.023) & (run.request <= 8.0)
    assert 0.1 < seen.within < 0.9 and seen.within == pytest.approx(kept.mean())
    assert seen.good_per_s == pytest.approx(kept.sum() / run.seconds)
    assert seen.good_tokens_per_s == pytest.approx(run.tokens[kept].sum() / run.seconds)
    shares = (seen.prefill_share, seen.decode_share, seen.cache_share, seen.running, seen.waiting)
    assert shares == pytest.approx((run.prefill_share, run.decode_share, run.cache_share, run.batch, run.waiting))


def test_a_timeline_is_an_integral_by_the_minute(sample):
    seen, run = sample
    fine = np.arange(0.0, 60.0 * len(seen.timeline), 0.05) + 0.025
    inside, waiting = (
        sum((run.arrival[k] <= fine) & (fine < run.arrival[k] + ends[k]) for k in range(200)).reshape(-1, 1200)
        for ends in (run.request, run.ttft)
    )
    for k, minute in enumerate(seen.timeline):
        came = run.ttft[run.arrival // 60 == k]
        assert (minute.start_s, minute.arrivals) == (60.0 * k, len(came))
        assert minute.in_flight == pytest.approx(inside[k].mean(), abs=0.02)
        assert minute.waiting == pytest.approx(waiting[k].mean(), abs=0.02)
        assert minute.ttft_p95_s == pytest.approx(np.percentile(came, 95), rel=0.011)
    assert sum(minute.arrivals for minute in seen.timeline) == 200


def test_requests_beyond_the_context_or_the_cache_are_refused_and_not_within(tmp_path):
    path = tmp_path / "trace.csv"
    path.write_text("time,prompt,output\n0,100,10\n1,131072,1\n2,9999999,5\n3,120000,10\n4,100,1\n")
    patient = {"ttft_target_ms": 3e6, "tpot_target_ms": 6e4}
    seen = planner.rehearse_trace(customer.check(SMALL | patient), path).seen
    assert (seen.requests, seen.beyond_context, seen.beyond_cache) == (5, 2, 0)
    assert seen.within == pytest.approx(3 / 5)
    requests = Requests(np.array([100, 9_000_000]), np.array([10, 10]), arrival_s=np.array([0.0, 1.0]))
    watch = Watch(TIGHT, Span(0.0, 1.0, 0.0, 1))
    fleet, answers = streamed(requests, [0, 2])
    watch.see(answers)
    seen = watch.observed(1, fleet.sums()._replace(now_s=0.0), fleet.sums())
    assert (seen.requests, seen.beyond_cache, seen.within) == (2, 1, 0.5)


def test_requests_that_all_come_at_once_have_no_rate(tmp_path):
    path = tmp_path / "trace.csv"
    path.write_text("time,prompt,output\n" + "7,100,10\n" * 50)
    seen = planner.rehearse_trace(customer.check(SMALL), path).seen
    assert np.isnan(seen.rate_per_s) and seen.in_flight == pytest.approx(seen.in_flight_by_little, rel=1e-6)


@cache
def default_plan():
    return planner.plan(customer.default())


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_recommended_fleet_keeps_its_targets_with_other_draws(seed):
    done = planner.rehearse(customer.default(), seed=seed)
    assert done.row is default_plan().recommendation
    assert done.kept
    seen, row = done.seen, done.row
    assert seen.rate_per_s == pytest.approx(row.rate_per_s, rel=0.03)
    assert seen.in_flight == pytest.approx(customer.default().concurrency, rel=0.08)
    assert seen.in_flight_by_little == pytest.approx(seen.in_flight, rel=0.01)
    assert seen.tpot.at(done.targets.tpot_at) == pytest.approx(row.tpot_at_s, rel=0.05)
    assert seen.ttft.at(done.targets.ttft_at) == pytest.approx(row.ttft_at_s, rel=0.05)


@pytest.mark.parametrize("routing", ["least_loaded", "round_robin"])
def test_the_recommended_fleet_keeps_its_targets_with_an_independent_draw(routing):
    """Arrivals and lengths that do not come from ``draw``: gaps by logarithms of a counter-based generator."""
    who, row = customer.default(), default_plan().recommendation
    random, count = np.random.Generator(np.random.Philox(77)), 12_000
    times = np.cumsum(-np.log1p(-random.random(count))) / row.rate_per_s
    lengths = demand(who).lengths
    prompt = np.full(count, round(lengths.cached + lengths.new))
    cached = np.full(count, round(lengths.cached))
    requests = Requests(prompt, np.full(count, round(lengths.answer)), cached, times)
    engine = row.deployment.engine
    run = replay(row.deployment, requests, Limits(engine.step_tokens, engine.max_batch), 0, row.replicas, routing)
    asked = targets_of(who)
    middle = slice(500, -500)
    assert np.percentile(run.ttft[middle], float(asked.ttft_at[1:])) <= asked.ttft_s
    assert np.percentile(run.tpot[middle], float(asked.tpot_at[1:])) <= asked.tpot_s


@settings(max_examples=25, deadline=None)
@given(st.floats(1.0, 40.0), st.floats(1.0, 2.0), st.integers(0, 9))
def test_the_share_within_targets_never_rises_with_the_rate(rate, more, seed):
    """Up to six requests of 400, which another composition of steps may favour."""
    assert seen_at(more * rate, seed=seed) <= seen_at(rate, seed=seed) + 6 / 400


@settings(max_examples=40, deadline=None)
@given(*[st.floats(0.0, 3.0)] * 3, *[st.floats(1.0, 3.0)] * 3)
def test_the_share_within_targets_never_falls_with_looser_targets(ttft, tpot, whole, a, b, c):
    answers = busy()
    tight = Targets(ttft, tpot / 50, whole * 4)
    loose = replace_targets(tight, a, b, c)
    assert set(np.flatnonzero(within(answers, tight))) <= set(np.flatnonzero(within(answers, loose)))


@cache
def busy():
    return streamed(draw(Traffic(30.0, 500, 900, 120, input_std=700, output_std=80), 4), [0, 500])[1]


def replace_targets(targets, a, b, c):
    return targets._replace(ttft_s=a * targets.ttft_s, tpot_s=b * targets.tpot_s, request_s=c * targets.request_s)
