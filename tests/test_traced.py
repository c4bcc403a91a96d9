"""A trace in a plan: what is read off it, lengths drawn like its own, bursts dealt out, and the replay."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from hopperbook import customer, planner, serving
from hopperbook.errors import InputError
from hopperbook.models import load
from hopperbook.planner import show_traced
from hopperbook.planner.load import demand
from hopperbook.planner.traced import fewest
from hopperbook.serving import trace
from hopperbook.serving.demand import at_rate
from hopperbook.serving.events import Requests
from hopperbook.serving.queue import Lengths
from hopperbook.serving.traffic import Traffic, draw, thinned_variation

WHO = {"name": "A", "model": "llama-3.1-8b", "max_gpus": 64}


def written(path, traffic, seed=3, cached=0):
    drawn = draw(traffic, seed)
    rows = zip(drawn.arrival_s, drawn.prompt_tokens, drawn.answer_tokens, strict=True)
    lines = [f"{100 + t:.4f},{p + cached},{a},{cached}" for t, p, a in rows]
    path.write_text("\n".join(["time,prompt,output,shared_prefix", *lines]))
    return path


@pytest.fixture(scope="module")
def poisson(tmp_path_factory):
    return written(tmp_path_factory.mktemp("t") / "t.csv", Traffic(4.0, 12_000, 900, 150, 700, 90), cached=300)


def test_a_trace_is_read_into_the_fields_that_drew_it(poisson):
    who, fields, source, _ = planner.of_trace(customer.check(WHO), poisson)
    assert fields["requests_per_s"] == pytest.approx(4.0, rel=0.05)
    assert fields["arrival_variation"] == pytest.approx(1.0, abs=0.1)
    assert (fields["prompt_tokens"], fields["output_tokens"]) == pytest.approx((900, 150), rel=0.05)
    assert (fields["prompt_std_tokens"], fields["output_std_tokens"]) == pytest.approx((700, 90), rel=0.1)
    assert who.history_tokens == pytest.approx(300, abs=1) and len(who.sample) == trace.SAMPLED
    assert len(next(source.windows).arrival_s) == pytest.approx(12_000, rel=0.05)  # the busiest hour, and around it
    assert customer.check(who.model_dump()) == who


def test_the_plan_for_a_trace_keeps_its_targets_on_it(poisson):
    done = planner.plan_for_trace(customer.check(WHO), poisson)
    assert done.plan.recommendation is not None and done.rehearsal.kept and done.rehearsal.routing == "round_robin"
    assert done.replicas == done.plan.recommendation.replicas
    expected, seen = done.plan.recommendation, done.rehearsal.seen
    assert seen.tpot.p95 == pytest.approx(expected.tpot_at_s, rel=0.1)
    assert seen.ttft.p95 == pytest.approx(expected.ttft_at_s, rel=0.25)
    assert "kept" in planner.traced_text(done) and planner.traced_json(done)["replicas_that_keep"] == done.replicas
    again = planner.rehearse_trace(customer.check(WHO), poisson)
    assert again.row == done.plan.recommendation and again.routing == done.rehearsal.routing and again.kept
    assert again.seen.requests > done.rehearsal.seen.requests / 2


def test_bursts_and_days_are_seen(tmp_path):
    bursty = written(tmp_path / "b.csv", Traffic(4.0, 15_000, 900, 150, arrival="bursty"))
    _, fields, *_ = planner.of_trace(customer.check(WHO), bursty)
    assert fields["arrival_variation"] == pytest.approx(3.0, rel=0.2)
    hours = np.repeat(np.arange(50), 20 + 10 * (np.arange(50) % 24 < 8))
    days = tmp_path / "d.csv"
    days.write_text("time,prompt,output\n" + "\n".join(f"{3600 * h},500,20" for h in hours))
    who, fields, *_ = planner.of_trace(customer.check(WHO), days)
    curve = [float(x) for x in fields["day_curve"].split(",")]
    assert curve == [60.0] * 8 + [40.0] * 16 and who.busy_fraction == pytest.approx((8 * 60 + 16 * 40) / 24 / 60)


def test_times_on_a_grid_do_not_look_like_bursts():
    even = np.sort(np.random.default_rng(0).uniform(0, 3600, 12_000)) // 3 * 3
    requests = Requests(*np.full((2, 12_000), 100), np.zeros(12_000), even)
    assert trace.measured(requests).variation == pytest.approx(1.0, abs=0.25)


def test_requests_dealt_out_at_random_are_as_uneven_as_said():
    rng = np.random.default_rng(1)
    times = np.cumsum(rng.standard_gamma(1 / 9, 2_000_000))
    for replicas in (2, 8):
        mine = np.diff(times[rng.integers(replicas, size=len(times)) == 0])
        assert mine.std() / mine.mean() == pytest.approx(thinned_variation(3.0, replicas), rel=0.02)


def test_lengths_are_drawn_like_the_sample_and_scaled_to_the_means():
    sample = ((100, 10, 0), (200, 40, 1000), (3000, 25, 200))
    drawn = draw(Traffic(1.0, 3000, 2200, 50, history_tokens=800, sample=sample))
    new = np.array(drawn.prompt_tokens) - np.array(drawn.cached_tokens)
    assert sorted(set(new.tolist())) == [200, 400, 6000]
    assert new.mean() == pytest.approx(2200) and np.mean(drawn.answer_tokens) == pytest.approx(50, rel=0.01)
    assert np.mean(drawn.cached_tokens) == pytest.approx(800)


def test_the_least_loaded_replica_waits_less_and_conversations_stay():
    d = serving.deploy(load("llama-3.1-8b"), "H100 SXM", precision="fp8", kv_precision="fp8")
    lengths = Lengths(4000, 100, 4000)
    alone, routed = at_rate(d, lengths, 6.0), at_rate(d, lengths, 6.0, pool=8)
    assert routed.ttft.p95 < alone.ttft.p95 and routed.rate_per_s == alone.rate_per_s
    fresh, chat = (demand(customer.check(WHO | {"context_tokens": held})) for held in (0, 9000))
    assert (fresh.share(20).pool, fresh.share(3).pool, chat.share(20).pool) == (8, 3, 1)


def test_published_traces_bring_their_own_lengths():
    chat = customer.check(WHO | {"lengths": "azure-conversation"})
    assert len(chat.sample) == trace.SAMPLED
    new = np.array([request[0] for request in chat.sample])
    assert new.mean() == pytest.approx(chat.prompt_tokens, rel=0.02)
    assert new.std() == pytest.approx(chat.prompt_std_tokens, rel=0.05)


@pytest.mark.parametrize("text", ["900", "900/0", "1/2/3/4", "a/b", "-5/10", "99999999/1", "1.5/2"])
def test_samples_that_are_none(text):
    with pytest.raises(InputError, match="length_sample"):
        customer.check(WHO | {"length_sample": f"900/100 {text}"})


def test_requests_beyond_the_model_alone_are_refused(tmp_path):
    path = tmp_path / "long.csv"
    path.write_text("time,prompt,output\n0,400000,20\n5,300000,20\n")
    with pytest.raises(InputError, match="trace"):
        planner.plan_for_trace(customer.check(WHO), path)


def test_refused_requests_are_told():
    row = SimpleNamespace(gpu="H100 SXM", deployment=SimpleNamespace(gpus=1))
    for beyond in (0, 2):
        seen = SimpleNamespace(requests=4, beyond_context=beyond, beyond_cache=0)
        rehearsal = SimpleNamespace(seen=seen, row=row, routing="round_robin", replicas=1, judged=list)
        told = "\n".join(show_traced._replay(SimpleNamespace(rehearsal=rehearsal, replicas=1)))
        assert ("2 beyond the context" in told) is (beyond > 0)


def test_fewest_is_the_least_that_keeps():
    for least in (1, 2, 7, 8, 9, 64):
        assert fewest(lambda n, least=least: n >= least, 8, 64) == least
    assert fewest(lambda n: n >= 65, 8, 64) is None


def test_the_command(poisson, tmp_path):
    yaml = tmp_path / "a.yaml"
    yaml.write_text("name: A\nmodel: llama-3.1-8b\nmax_gpus: 64\n")
    command = [str(Path(sys.executable).parent / "hopperbook"), "plan", str(yaml), "--trace"]
    done = subprocess.run([*command, str(poisson), "--json"], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["rehearsal"]["targets_kept"] and found["fields"]["requests_per_s"] == pytest.approx(4, rel=0.05)
    refused = subprocess.run([*command, str(yaml)], capture_output=True, text=True)
    assert refused.returncode == 2 and "trace" in refused.stderr and "Traceback" not in refused.stderr
