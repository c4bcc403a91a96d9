"""Claims about what to buy: by model size, by load, by scenario, over two years."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from hopperbook import facts, hpc, planner, units
from hopperbook.claims.finding import (
    CONDITIONS,
    HOLDS,
    MISLEADS,
    WRONG,
    Finding,
    Test,
    between,
    decisive,
    nearest,
    of_parts,
)
from hopperbook.claims.models import SEVENTY, _h200_ratio, _training_rate
from hopperbook.claims.parts import A100, H100, H200
from hopperbook.customer import Customer
from hopperbook.customer import load as load_customer
from hopperbook.planner.borders import gpus_billed, rented
from hopperbook.planner.configuration import Configuration
from hopperbook.planner.tenure import assumptions, market_price, tenures
from hopperbook.planner.ties import price_spread
from hopperbook.planner.unconsidered import unsure
from hopperbook.planner.upgrade import best_replica, eased, path, tokens_per_s_per_gpu


def _rate(customer: Customer, gpu: str, model: str) -> float:
    """Return tokens a second and GPU of a model, at targets that one of the parts keeps with it."""
    return tokens_per_s_per_gpu(eased(customer.model_copy(update={"model": model})), gpu)


def _price(gpu: str, customer: Customer) -> float:
    return market_price(customer, gpu).typical


def _shares(customer: Customer, low: float, high: float) -> dict[str, float]:
    """Return the share of loads, in a range of model sizes in billions, that each GPU serves at the least cost."""
    m = planner.decision_map(customer)
    columns = (m.parameters >= low * 1e9) & (m.parameters <= high * 1e9)
    cells = m.winner[:, columns]
    return {name: float((cells == name).mean()) for name in ("A100", "H100", "H200")}


def by_size(customer: Customer) -> Finding:
    """C10: which GPU by model size."""
    cost = {g: _price(g, customer) / _training_rate(g, p) for g, p in ((A100, "bf16"), (H100, "bf16"))}
    fp8 = _price(H100, customer) / _training_rate(H100, "fp8")
    small = _shares(customer, 0, 31)
    ratio, most = cost[H100] / cost[A100], assumptions("planner")["decided"]
    tests = [
        Test("cost a token trained, H100 over A100, BF16", ratio, 1.0, ratio < 1),
        Test(
            "loads up to 30B that A100 serves at the least cost, %",
            100 * small["A100"],
            100 * most,
            small["A100"] > most,
        ),
    ]
    first = decisive(tests)
    return Finding(
        of_parts(tests),
        f"To train 70B, a token on H100 costs {units.fixed(ratio, 2)} times as much as on A100 in BF16, and"
        f" {units.fixed(fp8 / cost[A100], 2)} times in FP8. To serve up to 30B, the A100 is cheapest for"
        f" {units.percent(small['A100'])} of the loads drawn, those with few users.",
        first.axis, first.value, first.border, math.nan,
        (market_price(customer, H100).source.split(", ")[0],),
    )  # fmt: skip


def scenario_b(customer: Customer) -> Finding:
    """C19: four to eight H200 for a 70B service."""
    case = load_customer(facts.DATA / "customers" / "inference-saas.yaml")
    users, way = np.arange(1, 4 * case.concurrency + 1), rented(case)[H200]
    needed = gpus_billed(case, case.model, {H200: way}, users)[0]
    least, most = (float((needed <= gpus).sum()) for gpus in (2, 8))  # users that so many carry
    here = float(case.concurrency)
    return Finding(
        between(here, least, most, below=CONDITIONS, inside=HOLDS, above=MISLEADS),
        f"The number of users decides. Four to eight H200 carry {units.fixed(least + 1)} to {units.fixed(most)} of these long"
        f" conversations at once; the scenario's {case.concurrency} need {units.fixed(needed[case.concurrency - 1])}."
        f" Small services can share cards by MIG.",
        "users at once", here, nearest(here, max(least, 1.0), most), math.nan,
        ("nvidia-mig-user-guide", "aiconfigurator-2025"),
    )  # fmt: skip


def scenario_c(customer: Customer) -> Finding:
    """C20: both stacks on one server."""
    case = load_customer(facts.DATA / "customers" / "ai-hpc.yaml")
    made = planner.plan(case)
    row, slow = made.recommendation, hpc.slowdown(facts.gpu(A100))
    if row is None:
        return Finding(
            WRONG, "No server carries both within the targets.", "servers that carry both", 0.0, 1.0, math.nan,
            ("williams-2009-roofline",),
        )  # fmt: skip
    others = {part: other.usd for part, other in made.by_part.items() if facts.gpu(part).architecture != "Hopper"}
    other = min(others.values(), default=math.inf)
    hopper = facts.gpu(row.gpu).architecture == "Hopper"
    tests = [Test("hours of the shared day", row.day_hours, 24.0, row.day_hours <= 24)]
    if math.isfinite(other):
        tests.append(Test("cost of the best A100 fleet over the best fleet", other / row.usd, 1.0, hopper))
    first, older = (
        decisive(tests),
        f"an A100 fleet that does the same costs {units.fixed(other / row.usd, 1)} times as much",
    )
    return Finding(
        of_parts(tests) if hopper else CONDITIONS,
        f"Serving around the clock and {case.hpc_hours_per_day:g} hours of science a day keep {row.gpus} × {row.gpu} busy for"
        f" {units.fixed(row.day_hours, 1)} hours;"
        f" {older if math.isfinite(other) else 'no A100 fleet does the same'}. On A100 the science alone takes"
        f" {units.fixed(slow, 1)} times as long.",
        first.axis, first.value, first.border, math.nan, ("williams-2009-roofline", "schmidt-2024-cudasw4"),
    )  # fmt: skip


def a100_value(customer: Customer) -> Finding:
    """C21: A100 up to 30B."""
    per = {g: _price(g, customer) / max(_rate(customer, g, "Qwen/Qwen2.5-32B"), 1e-9) for g in (A100, H100, H200)}
    ratio = per[A100] / min(per[H100], per[H200])
    small = _shares(customer, 0, 31)["A100"]
    return Finding(
        between(ratio, 1.0, 1.5, below=HOLDS, inside=CONDITIONS, above=MISLEADS),
        f"An hour of A100 costs least, but at full load a token of a 32B model costs {units.fixed(ratio, 2)} times as much on it as"
        f" on the better of H100 and H200. It wins {units.percent(small)} of the loads up to 30B: those that do not fill a faster"
        f" card.",
        "cost a token on A100 over the best other, 32B", ratio, nearest(ratio, 1.0, 1.5), math.nan,
        tuple(market_price(customer, A100).source.split(", ")[:2]),
    )  # fmt: skip


def growing(customer: Customer) -> Finding:
    """C22: add, do not replace."""
    found = path(customer, customer.owned_gpus or 64)
    best = found.options[0]
    replace_ = min(o["usd"] for o in found.options if o["name"].startswith("Replace"))
    keep = min(o["usd"] for o in found.options if o["name"].startswith("Keep"))
    return Finding(
        HOLDS if keep < replace_ else CONDITIONS,
        f"Over {customer.horizon_months} months it costs least to {best['name'][0].lower()}{best['name'][1:]}."
        f" Replacing all costs {units.fixed(replace_ / keep, 2)} times as much as keeping and adding, because an A100 that is paid"
        f" for costs only its power and care.",
        "cost of replacing over keeping and adding", replace_ / keep, 1.0, math.nan,
        ("mlperf-training-4.1", "epoch-2025-hardware-prices"),
    )  # fmt: skip


def small_team(customer: Customer) -> Finding:
    """C23: A100 or H100 below 30B, H200 from 70B."""
    below, above = _shares(customer, 0, 31), _shares(customer, 60, 1000)
    asked = _price(H200, customer) / _price(H100, customer)
    worth = _h200_ratio(customer, SEVENTY, 32768, 1024)
    tests = [
        Test("loads below 31B that H200 wins, %", 100 * below["H200"], 10.0, below["H200"] <= 0.1),
        Test("H200 worth over price asked, 70B at 32K tokens", worth / asked, 1.0, worth > asked),
    ]
    first = decisive(tests)
    return Finding(
        of_parts(tests),
        f"H200 is cheapest for {units.percent(below['H200'])} of the loads below 31B and {units.percent(above['H200'])} from 60B on. With"
        f" 32K tokens an H200 carries {units.fixed(worth, 2)} times the requests of an H100 with 70B and rents for"
        f" {units.fixed(asked, 2)} times as much: {'it pays' if worth > asked else 'it does not pay yet'}.",
        first.axis, first.value, first.border, math.nan, ("aiconfigurator-2025",),
    )  # fmt: skip


def inference_only(customer: Customer) -> Finding:
    """C24: little for small models, much for 70B."""
    gain = {}
    for name in ("meta-llama/Llama-3.2-3B", SEVENTY):
        rates = [_rate(customer, g, name) for g in (H100, A100)]
        gain[name] = rates[0] / max(rates[1], 1e-9)
    small, large = gain.values()
    return Finding(
        between(small, 1.2, 3.0, below=HOLDS, inside=CONDITIONS, above=WRONG),
        f"At full load an H100 serves {units.fixed(small, 1)} times as many tokens of a 3B model, and {units.fixed(large, 1)} times as"
        f" many of a 70B model. The large model gains more, but the small one gains too, from bandwidth and FP8.",
        "H100 over A100, 3B model", small, 1.2, 1.0, ("aiconfigurator-2025",),
    )  # fmt: skip


def still_worth(customer: Customer) -> Finding:
    """C25: H100 stays worth buying."""
    worth = _rate(customer, H200, SEVENTY) / max(_rate(customer, H100, SEVENTY), 1e-9)
    asked = _price(H200, customer) / _price(H100, customer)
    return Finding(
        HOLDS if asked > worth else CONDITIONS,
        f"For 70B at your lengths an H200 does the work of {units.fixed(worth, 2)} H100, and the market asks the price of"
        f" {units.fixed(asked, 2)}. In training it does the work of one H100 and has more room.",
        "price asked over price worth, H200", asked / worth, 1.0, math.nan,
        tuple(market_price(customer, H200).source.split(", ")[:2]),
    )  # fmt: skip


def smooth_move(customer: Customer) -> Finding:
    """C27: a smooth move."""
    cc = float(facts.gpu(H100).compute_capability)
    return Finding(
        CONDITIONS,
        f"Compute capability {units.fixed(cc, 1)} needs CUDA 11.8 or later, and packages that are built for it or carry PTX."
        f" Attention kernels and NCCL need new builds; FP8 needs recipes and a check of quality. The code of the frameworks"
        f" stays as it is.",
        "compute capability of H100", cc, 8.9, 8.0, ("nvidia-hopper-compatibility", "shah-2024-flashattention3"),
    )  # fmt: skip


def four_inputs(customer: Customer) -> Finding:
    """C28: four inputs."""
    base = planner.plan(customer).recommendation
    varied = {
        "held_tokens": customer.model_copy(update={"context_tokens": min(4 * customer.held_tokens, 131072)}),
        "tpot": customer.model_copy(update={"tpot_target_ms": customer.tpot_target_ms / 3}),
        "market": customer.model_copy(update={"market": "hyperscaler" if customer.market == "other" else "other"}),
    }
    changed = [k for k, c in varied.items() if _differs(base, planner.plan(c).recommendation)]
    words = {"held_tokens": "context length", "tpot": "latency target", "market": "market"}
    named = " or ".join(words[k] for k in changed) or "none of context length, latency target and market"
    return Finding(
        MISLEADS if len(changed) >= 2 else CONDITIONS if changed else HOLDS,
        f"You need all four, but they are not enough: if {named} changes and the four stay, our recommendation changes.",
        "further inputs that change the answer, of three", float(len(changed)), 1.0, 0.0, ("article-2025",),
    )  # fmt: skip


def _differs(a: Configuration | None, b: Configuration | None) -> bool:
    if a is None or b is None:
        return a is not b
    return (a.gpu, int(a.gpus), a.tenure) != (b.gpu, int(b.gpus), b.tenure)


B200 = "B200 SXM"


def _log_width(spread: float, other: float, rho: float) -> float:
    """Return the standard deviation of the logarithm of the ratio of two prices."""
    return math.sqrt(max(spread**2 + other**2 - 2 * rho * spread * other, 1e-18))


def _rate_spread(customer: Customer, gpu: str) -> float:
    """Return the standard deviation of the logarithm of what a part carries, from its 80 % range."""
    found = best_replica(eased(customer.model_copy(update={"model": SEVENTY})), gpu, SEVENTY)
    return 0.0 if found is None else price_spread(*planner.bands(found[0])["throughput"])


def two_years(customer: Customer) -> Finding:
    """C29: H200 for two years."""
    alike = {"precision": "fp8"} if customer.precision == "auto" else {}  # FP4 of B200 alone is another model's quality
    horizon = customer.model_copy(update={"horizon_months": 24, "tenure": "auto", **alike})
    per, spreads = {}, {}
    for g in (H100, H200, B200):
        ways = [unsure(way) for way in tenures(horizon, g) if way.kind != "kept"]
        best = min(ways, key=lambda way: way.typical, default=None)
        if best is not None:
            per[g] = best.typical / max(_rate(horizon, g, SEVENTY), 1e-9)
            spreads[g] = price_spread(best.low, best.high)
    rival = min((g for g in per if g != H200), key=lambda g: per[g])
    ratio, rho = per[H200] / per[rival], assumptions("planner")["price_correlation_alike"]
    width = math.hypot(
        _log_width(spreads[H200], spreads[rival], rho), *(_rate_spread(horizon, g) for g in (H200, rival))
    )
    sure, decided = NormalDist().cdf(-math.log(ratio) / width), assumptions("planner")["decided"]
    ends = [math.exp(sign * NormalDist().inv_cdf(decided) * width) for sign in (-1, 1)]
    b200 = units.fixed(per[B200] / per[H200], 2) if B200 in per else "an unknown number of"
    return Finding(
        HOLDS if sure >= decided else MISLEADS if sure <= 1 - decided else CONDITIONS,
        f"Over two years, in one format, a token of 70B costs {units.fixed(per[H200] / per[H100], 2)} times as much on H200 as on H100, and on B200"
        f" {b200} times as much as on H200. That estimate is wide, because we have no runs of it on file for this work. Given"
        f" how uncertain prices and speeds are, the chance that H200 costs less than {facts.gpu(rival).short} is {units.odds(sure)}."
        f" The newer part will lower the resale value of both.",
        f"cost a token over two years, H200 over {facts.gpu(rival).short}", ratio, nearest(ratio, *ends), 1.0,
        tuple(facts.price(B200, "other").source.split(", ")[:2]),
    )  # fmt: skip


CLAIMS = {
    "C10": by_size,
    "C19": scenario_b,
    "C20": scenario_c,
    "C21": a100_value,
    "C22": growing,
    "C23": small_team,
    "C24": inference_only,
    "C25": still_worth,
    "C27": smooth_move,
    "C28": four_inputs,
    "C29": two_years,
}
