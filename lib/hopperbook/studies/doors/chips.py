"""Panels behind what one part does faster than another, in one format or the other, and what it waits for."""

from __future__ import annotations

import pandas as pd

from hopperbook import facts, hpc, units
from hopperbook.customer import Customer
from hopperbook.display import Door, Input
from hopperbook.models import load
from hopperbook.planner import Plan
from hopperbook.studies import fp8, fp8_gain, hopper, network
from hopperbook.studies.doors.made import MEASURED, VENDOR, kernels_of, make, sourced, yours
from hopperbook.studies.words import times

Doors = dict[str, Door]


def _rate(gpu: facts.GPU, form: str, matrix: hopper.Linear) -> float:
    """Return what measured kernels reach on a matrix, FLOP a second."""
    return float(hopper.product_flop_per_s(gpu, form, hopper.PREFILL_TOKENS, matrix))


def _peak(gpu: facts.GPU, form: str) -> Input:
    """Return a printed dense peak as an input."""
    name = f"{gpu.name}, dense peak in {units.format_name(form)}"
    return sourced(name, units.tflop_per_s(gpu.dense_flop_per_s[form]), VENDOR, gpu.source)


def product(customer: Customer, new: facts.GPU, old: facts.GPU) -> Door:
    """Return what stands behind the gain of one part over another on the widest matrix, in BF16."""
    matrix = hopper.widest_matrix(load(customer.model))
    rates = [_rate(gpu, "bf16", matrix) for gpu in (new, old)]
    values = {
        "k": units.integer(matrix.k),
        "n": units.integer(matrix.n),
        "rows": units.integer(hopper.PREFILL_TOKENS),
        "new": new.name,
        "old": old.name,
        "new_rate": units.tflop_per_s(rates[0]),
        "old_rate": units.tflop_per_s(rates[1]),
        "gain": times(rates[0] / rates[1]),
    }
    return make("product", customer, values, [_peak(new, "bf16"), _peak(old, "bf16"), kernels_of("matrix")])


def product_fp8(customer: Customer, new: facts.GPU) -> Door:
    """Return what stands behind the gain of FP8 on the widest matrix."""
    matrix = hopper.widest_matrix(load(customer.model))
    rates = [_rate(new, form, matrix) for form in ("fp8", "bf16")]
    values = {
        "k": units.integer(matrix.k),
        "n": units.integer(matrix.n),
        "new": new.name,
        "eight": units.tflop_per_s(rates[0]),
        "rate": units.tflop_per_s(rates[1]),
        "gain": times(rates[0] / rates[1]),
    }
    return make("product-fp8", customer, values, [_peak(new, "fp8"), _peak(new, "bf16"), kernels_of("matrix")])


def _bandwidth(gpu: facts.GPU) -> Input:
    """Return a printed bandwidth as an input."""
    words = units.bytes_per_s(gpu.memory_bandwidth_bytes_per_s)
    return sourced(f"{gpu.name}, memory bandwidth", words, VENDOR, gpu.source)


def _copied() -> str:
    """Return the share of a printed bandwidth that copies reach."""
    return units.percent(hpc.constants()["efficiency"]["bandwidth"]["value"])


def bandwidth(customer: Customer, newest: facts.GPU, new: facts.GPU) -> Door:
    """Return what stands behind how many times as fast one part reads its memory as another."""
    fast, slow = newest.memory_bandwidth_bytes_per_s, new.memory_bandwidth_bytes_per_s
    values = {
        "newest": newest.name,
        "new": new.name,
        "fast": units.bytes_per_s(fast),
        "slow": units.bytes_per_s(slow),
        "gain": times(fast / slow),
        "copied": _copied(),
    }
    return make("bandwidth", customer, values, [_bandwidth(newest), _bandwidth(new)])


def streams(customer: Customer, new: facts.GPU, old: facts.GPU) -> Door:
    """Return what stands behind the gain of codes that stream memory."""
    fast, slow = new.memory_bandwidth_bytes_per_s, old.memory_bandwidth_bytes_per_s
    kernel = hpc.constants()["kernels"]["STREAM triad"]
    values = {
        "bandwidth_new": units.bytes_per_s(fast),
        "bandwidth_old": units.bytes_per_s(slow),
        "gain": times(fast / slow),
        "intensity": units.number(kernel["flop_per_byte"]),
        "copied": _copied(),
    }
    triad = sourced("STREAM triad, FLOP a byte", values["intensity"], MEASURED, kernel["source"])
    return make("streams", customer, values, [_bandwidth(new), _bandwidth(old), triad])


def fp8_step(customer: Customer, case: fp8_gain.Trained, gain: fp8_gain.StepGain) -> Door:
    """Return what stands behind how many times as fast a training step is in FP8."""
    values = {
        "share": units.percent(gain.products_share),
        "products": units.number(gain.products, 3),
        "law": units.number(gain.law, 3),
        "before": units.duration(gain.bf16.total_s),
        "after": units.duration(gain.fp8.total_s),
        "gain": times(gain.step),
    }
    inputs = [
        yours("Tokens of a sequence", units.integer(customer.training_sequence_tokens)),
        _peak(case.gpu, "fp8"),
        _peak(case.gpu, "bf16"),
    ]
    return make("fp8-step", customer, values, inputs)


def fp8_decode(customer: Customer, replica: fp8_gain.Served, gain: fp8_gain.ServedGain) -> Door:
    """Return what stands behind how many times as fast a decode step is in FP8."""
    values = {
        "users": units.integer(replica.users),
        "gain": times(gain.both),
        "weights": times(gain.weights),
    }
    inputs = [_bandwidth(replica.gpu), yours("Users of a replica", values["users"])]
    return make("fp8-decode", customer, values, inputs)


def fp8_loss(customer: Customer, losses: fp8.Losses) -> Door:
    """Return what stands behind how far training in FP8 ends from BF16."""
    mine = losses.yours
    values = {
        "recipe": customer.fp8_recipe,
        "over": units.number(mine.over_bf16),
        "low": units.number(mine.over_low),
        "high": units.number(mine.over_high),
        "apart": units.number(losses.apart_nats),
        "seeds": units.number(losses.between_seeds_nats),
    }
    return make("fp8-loss", customer, values, [yours("Recipe of scales", customer.fp8_recipe)])


def reduce_share(plan: Plan, wait: network.Wait) -> Door:
    """Return what stands behind the share of a decode step that all-reduces take."""
    gpu = facts.gpu(wait.gpu)
    link = units.bytes_per_s(gpu.nvlink_bytes_per_s_per_direction)
    values = {
        "reduces": units.integer(wait.reduces),
        "size": units.quantity(wait.reduce_bytes / 1e6, "MB"),
        "waited": units.duration(wait.exposed_s),
        "users": units.integer(wait.users),
        "step": units.duration(wait.step_s),
        "share": units.percent(wait.share),
    }
    inputs = [
        sourced("NVLink of one GPU, one direction", link, VENDOR, gpu.source),
        kernels_of("collective"),
        yours("Users at once", units.integer(plan.customer.concurrency)),
    ]
    return make("reduce-share", plan.customer, values, inputs)


def fabrics(customer: Customer, steps: pd.DataFrame, nodes: int, slow: str = "eth10", fast: str = "ndr") -> Door:
    """Return what stands behind how many times as long a step takes over one network as over another."""
    known = steps.set_index("fabric")
    values = {"nodes": units.integer(nodes), "ratio": times(network.times_as_long(steps, slow, fast))}
    inputs = []
    for end, name in (("slow", slow), ("fast", fast)):
        link, row = facts.fabric(name), known.loc[name]
        values |= {
            end: link.label,
            f"{end}_step": units.duration(row.step_s),
            f"{end}_wait": units.duration(row.wait_s),
        }
        rate = f"{link.ports} × {units.bytes_per_s(link.bytes_per_s_per_direction)}"
        inputs += [sourced(f"{link.label}, ports of a server, one direction", rate, VENDOR, link.source)]
    return make("fabrics", customer, values, inputs)


def hopper_over(customer: Customer, newest: facts.GPU, new: facts.GPU, old: facts.GPU, gain: hopper.Gain) -> Doors:
    """Return the panels of the chapter on what is new in Hopper."""
    faster = times(newest.memory_bandwidth_bytes_per_s / new.memory_bandwidth_bytes_per_s, 2)
    return {
        f"{times(gain.arithmetic, 2)} the arithmetic": product(customer, new, old),
        f"{times(gain.fp8, 2)} in FP8": product_fp8(customer, new),
        f"{faster} the memory speed": bandwidth(customer, newest, new),
    }


def formats(
    customer: Customer,
    case: fp8_gain.Trained,
    step: fp8_gain.StepGain,
    replica: fp8_gain.Served,
    serve: fp8_gain.ServedGain,
    losses: fp8.Losses,
) -> Doors:
    """Return the panels of the chapter on FP8."""
    return {
        f"{times(step.step)} in training": fp8_step(customer, case, step),
        f"{times(serve.both)} in serving": fp8_decode(customer, replica, serve),
        f"{units.number(losses.apart_nats)} nats": fp8_loss(customer, losses),
    }


def wires(plan: Plan, wait: network.Wait, steps: pd.DataFrame, nodes: int) -> Doors:
    """Return the panels of the chapter on networks."""
    found = {f"{units.percent(wait.share)} of a step": reduce_share(plan, wait)} if wait.tp > 1 else {}
    slower = network.times_as_long(steps)
    return found | {f"{units.number(slower)} times as long": fabrics(plan.customer, steps, nodes)}


def science(customer: Customer, part: str, oldest: facts.GPU, own: float) -> Doors:
    """Return the panel of the chapter on scientific computing."""
    return {f"{times(own)} in codes that stream": streams(customer, facts.gpu(part), oldest)}
