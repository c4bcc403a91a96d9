"""What chapter 4 computes: identities of collectives, and limits that hand calculation gives."""

import pytest

from hopperbook import facts, planner, units
from hopperbook.customer import default
from hopperbook.models import load, parameters
from hopperbook.studies import network


@pytest.fixture(scope="module")
def plan():
    return planner.plan(default())


def test_a_replica_of_one_gpu_waits_for_nobody():
    small = default().model_copy(update={"model": "meta-llama/Llama-3.1-8B", "concurrency": 1})
    wait = network.decode_wait(planner.plan(small))
    assert (wait.tp, wait.exposed_s, wait.share) == (1, 0.0, 0.0)


def test_the_share_is_that_of_two_reduces_a_layer(plan):
    wait, model = network.decode_wait(plan), load(default().model)
    assert wait.reduces == 2 * model.layers == 160
    assert wait.reduce_bytes == 2 * 8192 * wait.users
    assert wait.exposed_s == pytest.approx(wait.share * wait.step_s)


def test_large_buffers_take_what_their_bytes_take_and_small_ones_far_longer():
    large, small = network.all_reduce(1e9), network.all_reduce(2**16)
    assert large.ring_s == pytest.approx(1.75 * 1e9 / 450e9)
    assert large.nvls_s == pytest.approx(9 / 8 * 1e9 / 450e9)
    assert large.nvls_s < large.measured_s < 1.2 * large.ring_s
    assert small.measured_s > 10 * small.ring_s
    assert large.bus_bytes_per_s * large.measured_s == pytest.approx(1.75e9)


def test_nvlink_is_faster_than_pcie_at_every_size():
    curves = network.bus_curves([network.REFERENCE, network.ON_PCIE])
    by_part = curves.pivot(index="size_bytes", columns="gpu", values="bus_bytes_per_s")
    assert len(by_part) == 21
    assert (by_part[network.REFERENCE] > by_part[network.ON_PCIE]).all()


def test_eight_nvlinks_over_eight_ports():
    # 8 x 450 GB/s over 8 x 50 GB/s; an A100 server has 8 x 300 over 8 x 25
    assert network.inside_over_outside("H100 SXM") == pytest.approx(9)
    assert network.inside_over_outside("A100 SXM 80GB") == pytest.approx(12)


def test_every_drawn_part_is_in_the_table_and_pcie_waits_longer(plan):
    costs = network.tensor_parallel_costs(plan)
    assert set(facts.drawn()) <= set(costs.gpu)
    share = costs.set_index(["gpu", "tp"]).step_share
    assert share["H100 PCIe", 8] > 2 * share["H100 SXM", 8]
    assert costs.prompt_share.between(0, 1).all()


def test_a_wider_network_never_makes_a_step_longer():
    steps = network.fabric_steps(default())
    ethernet = steps[steps.fabric.str.startswith("eth")]
    assert ethernet.step_s.is_monotonic_decreasing
    assert steps.step_s.idxmin() == steps.index[-1]
    assert ((steps.wait_s <= steps.step_s) & (steps.wait_s >= 0)).all()
    found = network.enough(steps)
    assert found.limit_s == pytest.approx(1.1 * steps.step_s.iloc[-1])
    assert network.enough(steps, slack=1e9).label == network.FABRICS["eth10"]
    assert network.times_as_long(steps, "ndr", "ndr") == 1.0


def test_gradients_of_eight_billion_over_ten_gigabit():
    model = load("meta-llama/Llama-3.1-8B")
    assert network.gradients_s(model, "10 GbE") == pytest.approx(4 * parameters(model) * 8 / 10e9)
    assert network.gradients_s(model, "eth10") < units.HOUR_S


def test_runs_over_servers_are_told_from_those_in_one():
    runs = network.judged_exchanges()
    over, inside = network.apart(runs)
    assert len(over) + len(inside) == len(runs)
    assert (over.gpus.astype(int) > 8).all() and (inside.gpus.astype(int) <= 8).all()
