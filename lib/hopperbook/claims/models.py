"""Claims about models on the parts: weights, fit, training and serving speed."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from hopperbook import facts, memory, serving, training, units
from hopperbook.claims.finding import CONDITIONS, HOLDS, MISLEADS, WRONG, Finding, between, nearest
from hopperbook.claims.parts import A100, H100, H200
from hopperbook.customer import Customer
from hopperbook.models import kv_bytes_per_token, load, parameters, weight_bytes
from hopperbook.planner.fleet import TENSOR_PARALLEL
from hopperbook.planner.upgrade import first_tokens_per_s_per_gpu, tokens_per_s_per_gpu

SEVENTY = "meta-llama/Llama-3.1-70B"


def fp8_training(customer: Customer) -> Finding:
    """C01: FP8 by the Transformer Engine."""
    gain = _training_rate(H100, "fp8") / _training_rate(H100, "bf16")
    return Finding(
        CONDITIONS if gain > 1.1 else MISLEADS,
        f"The engine changes the scale of each tensor as it goes, not its format; attention, norms and the head stay in 16"
        f" bits. A training step of 70B runs {units.fixed(gain, 2)} times as fast, not twice as the peaks suggest. Accuracy holds"
        f" if the recipe fits (chapter 2).",
        "FP8 over BF16, whole training step", gain, 1.1, 2.0, ("nvidia-transformer-engine", "micikevicius-2022-fp8"),
    )  # fmt: skip


def _training_rate(gpu: str, precision: str = "bf16", model: str = SEVENTY, gpus: int = 64) -> float:
    """Tokens a second and GPU of a usual layout: TP 8, PP 2 interleaved, the rest data parallel."""
    tp, pp, vpp = (8, 2, 5) if parameters(load(model)) > 3e10 else (1, 1, 1)
    recompute = "full" if facts.gpu(gpu).memory_gb < 100 else "selective"
    s = training.step(
        load(model), gpu, gpus=gpus, micro_batch=1, micro_batches=32, seq_len=4096, precision=precision,
        recompute=recompute, tp=tp, pp=pp, vpp=vpp,
    )  # fmt: skip
    return float(s.tokens_per_s_per_gpu[0])


def training_ratio(customer: Customer) -> Finding:
    """C02: training up to nine times."""
    same = _training_rate(H100) / _training_rate(A100)
    fp8 = _training_rate(H100, "fp8") / _training_rate(A100)
    small = _training_rate(H100, model="meta-llama/Llama-3.1-8B", gpus=8) / _training_rate(
        A100, model="meta-llama/Llama-3.1-8B", gpus=8
    )
    return Finding(
        MISLEADS if fp8 < 6 else CONDITIONS,
        f"On equal terms an H100 trains {units.fixed(min(small, same), 1)} to {units.fixed(max(small, same), 1)} times as fast as an"
        f" A100, and in FP8 {units.fixed(fp8, 1)} times as fast as an A100 in BF16. The nine comes from another model on another"
        f" network.",
        "H100 in FP8 over A100 in BF16, training 70B", fp8, 6.0, 9.0,
        ("nvidia-h100-whitepaper-2023", "korthikanti-2022-activations"),
    )  # fmt: skip


def inference_ratio(customer: Customer) -> Finding:
    """C03: inference up to thirty times."""
    everyday = tokens_per_s_per_gpu(customer, H100) / max(tokens_per_s_per_gpu(customer, A100), 1e-9)
    return Finding(
        MISLEADS if everyday < 15 else CONDITIONS,
        f"At your lengths and targets an H100 serves {units.fixed(everyday, 1)} times what an A100 does. The thirty comes from a"
        f" model of 530 billion parameters, over a new network of switches, at a latency that an A100 barely meets.",
        "H100 over A100, throughput within your targets", everyday, 15.0, 30.0, ("nvidia-h100-whitepaper-2023",),
    )  # fmt: skip


def weights(customer: Customer) -> Finding:
    """C14: 2 GB a billion parameters."""
    got = weight_bytes(load(SEVENTY), "bf16") / 1e9
    return Finding(
        HOLDS if abs(got / 140 - 1) < 0.05 else WRONG,
        f"It is exact: {parameters(load(SEVENTY)):,} parameters, {units.fixed(got, 1)} GB, which a driver shows as"
        f" {units.gib(weight_bytes(load(SEVENTY), 'bf16'))}.",
        "GB of weights, 70B in BF16", got, 147.0, 140.0, ("grattafiori-2024-llama3",),
    )  # fmt: skip


def seventy_on_one(customer: Customer) -> Finding:
    """C15: 70B on one H200."""
    sixteen, eight = (
        serving.budget(serving.deploy(load(SEVENTY), H200, precision=p, kv_precision=p), customer.held_tokens)
        for p in ("bf16", "fp8")
    )
    d = serving.deploy(load(SEVENTY), H200, precision="bf16", kv_precision="bf16")
    memory_bytes, share = facts.gpu(H200).memory_bytes, d.engine.kv_fraction
    needed = share * memory_bytes - sixteen.kv_room_bytes + sixteen.kv_user_bytes  # for all but the cache, and one user
    left = (memory_bytes - needed + sixteen.kv_user_bytes) / units.GIB
    fits = share * memory_bytes / needed
    return Finding(
        HOLDS if fits > 1 else MISLEADS if eight.users else WRONG,
        f"In BF16 the weights fit, but nothing else does. Engines fill {units.percent(share)} of the memory; then one user of"
        f" {customer.held_tokens:,} tokens needs {units.fixed((needed - share * memory_bytes) / units.GIB)} GiB more than there is. If"
        f" they filled all of it, {units.fixed(abs(left), 1)} GiB would {'be left for a cache' if left > 0 else 'still be missing'}. In"
        f" FP8 there is room for {eight.users} users.",
        "memory that an engine takes over what 70B in BF16 and one user need, H200", fits, 1.0, math.nan,
        (facts.gpu(H200).source, "grattafiori-2024-llama3"),
    )  # fmt: skip


def long_context(customer: Customer) -> Finding:
    """C16: long contexts on H200."""
    ratios = {n: _h200_ratio(customer, SEVENTY, n, 1024) for n in (2048, 32768)}
    mha = 2 * load(SEVENTY).heads * load(SEVENTY).head_dim * load(SEVENTY).layers * 2
    shrink = mha / kv_bytes_per_token(load(SEVENTY))
    return Finding(
        between(ratios[32768], 1.1, 1.3, below=MISLEADS, inside=CONDITIONS, above=HOLDS),
        f"Within your time per token, and with each part in its best layout, an H200 carries {units.fixed(ratios[32768], 2)} times"
        f" the requests of an H100 at 32K tokens, and {units.fixed(ratios[2048], 2)} times at 2K. Engines do not swap: they let"
        f" requests queue, or read prompts again. And grouped heads make the cache {units.fixed(shrink)} times smaller.",
        "H200 over H100 at 32,768 tokens", ratios[32768], nearest(ratios[32768], 1.1, 1.3), math.nan, ("aiconfigurator-2025", "ainslie-2023-gqa"),
    )  # fmt: skip


#: Time to the first token within which claims about throughput compare parts, so that long prompts may be read.
PATIENT_MS = 10_000.0


def _h200_ratio(
    customer: Customer,
    model: str,
    prompt: int,
    output: int,
    rate: Callable[[Customer, str, str], float] = tokens_per_s_per_gpu,
) -> float:
    """Return the requests that an H200 carries within the targets over those of an H100, each in its best layout."""
    lengths = {"prompt_tokens": prompt, "output_tokens": output, "context_tokens": 0}
    asked = customer.model_copy(update=lengths | {"model": model, "ttft_target_ms": PATIENT_MS})
    rates = [rate(asked, g, model) for g in (H200, H100)]
    return rates[0] / max(rates[1], 1e-9)


def _h200_ratio_as_batch(prompt: int, output: int) -> float:
    """Return the same for work that nobody waits for: the most tokens a second and GPU of a 70B model."""
    rates = []
    for g in (H200, H100):
        replicas = [
            serving.deploy(load(SEVENTY), g, tp=tp, precision="fp8", kv_precision="fp8") for tp in TENSOR_PARALLEL
        ]
        rates.append(max(serving.offline(d, prompt, output)[0] / d.gpus for d in replicas))
    return rates[0] / max(rates[1], 1e-9)


#: The least that the claim says an H200 serves, over an H100.
CLAIMED_QPS = 1.5


def qps(customer: Customer) -> Finding:
    """C12: 1.5 to 2 times the requests."""
    lengths = ((128, 2048), (512, 512), (2048, 512), (2048, 2048), (8192, 512))
    loads = [(name, prompt, output) for name in ("meta-llama/Llama-3.1-8B", SEVENTY) for prompt, output in lengths]
    ranked = sorted(
        loads, key=lambda each: _h200_ratio(customer, each[0], each[1], each[2], first_tokens_per_s_per_gpu)
    )
    half = len(ranked) // 2
    grid = [_h200_ratio(customer, *each) for each in (ranked[0], *ranked[half - 1 : half + 1], ranked[-1])]
    low, high, middle = min(grid), max(grid), float(np.median(grid))
    batch = [_h200_ratio_as_batch(*each) for each in lengths]
    most = max(high, *batch)
    return Finding(
        HOLDS if middle >= CLAIMED_QPS else CONDITIONS if most >= CLAIMED_QPS else MISLEADS,
        f"We compared GPU with GPU, within your time per token and each part in its best layout. The ratio lies between"
        f" {units.fixed(low, 2)} and {units.fixed(high, 2)}, with a median of {units.fixed(middle, 2)}. Without targets a 70B model gains"
        f" {units.fixed(min(batch), 2)} to {units.fixed(max(batch), 2)}. Only a layout that starves the H100 of memory gives a factor"
        f" of two.",
        "H200 over H100, the most of the grid", most, CLAIMED_QPS, 1.75, ("aiconfigurator-2025",),
    )  # fmt: skip


def week(customer: Customer) -> Finding:
    """C11: a week in two or three days."""
    same, fp8 = _training_rate(H100) / _training_rate(A100), _training_rate(H100, "fp8") / _training_rate(A100)
    days = 7 / same
    return Finding(
        HOLDS if 2 <= days <= 3.2 else CONDITIONS if 7 / fp8 <= 3.2 else WRONG,
        f"A week on A100 takes {units.fixed(days, 1)} days on as many H100 in BF16, and {units.fixed(7 / fp8, 1)} in FP8. An H200 trains"
        f" about as fast as an H100.",
        "days that a week of A100 takes on H100, BF16", days, 3.2, 2.5, ("stas-ml-engineering", "mosaicml-llm-foundry"),
    )  # fmt: skip


def interconnect_matters(customer: Customer) -> Finding:
    """C17: more bandwidth, faster sharded training."""
    slow, fast = (
        float(
            training.step(
                load(SEVENTY), H100, gpus=32, tp=8, micro_batches=16, seq_len=4096, recompute="full", fabric=f
            ).total_s[0]
        )
        for f in ("eth100", "ndr")
    )
    hdr = float(
        training.step(
            load(SEVENTY), H100, gpus=32, tp=8, micro_batches=16, seq_len=4096, recompute="full", fabric="hdr"
        ).total_s[0]
    )
    return Finding(
        HOLDS if slow / fast > 1.2 else CONDITIONS,
        f"A step of 70B on four servers takes {units.fixed(slow / fast, 1)} times as long over one port of 100 GbE as over NDR;"
        f" NDR instead of HDR saves {units.percent(hdr / fast - 1)}. More bandwidth does not help exchanges that already run behind"
        f" the computation.",
        "step over 100 GbE over step over NDR", slow / fast, 1.2, math.nan, ("nvidia-nccl-tests",),
    )  # fmt: skip


def scenario_a(customer: Customer) -> Finding:
    """C18: eight cards train 70B, over 10 GbE or InfiniBand."""
    need = float(
        memory.peak(
            load(SEVENTY), seq_len=4096, dp=8, sharding="zero3", recompute="full", gradient_bytes=2.0
        ).total_bytes
    )
    adapters = float(
        memory.peak(
            load(SEVENTY),
            seq_len=4096,
            dp=8,
            sharding="zero3",
            recompute="full",
            gradient_bytes=2.0,
            task="lora",
            adapter_parameters=memory.ADAPTER_PARAMETERS,
        ).total_bytes
    )
    has = max(facts.gpu(g).memory_bytes for g in (H100, H200))
    slow, fast = (
        float(
            training.step(
                load(SEVENTY), H100, gpus=32, tp=8, micro_batches=16, seq_len=4096, recompute="full", fabric=f
            ).total_s[0]
        )
        for f in ("eth10", "ndr")
    )
    return Finding(
        WRONG if adapters > has else MISLEADS if need > has else HOLDS if slow / fast < 2 else CONDITIONS,
        f"Eight cards {'do not hold' if need > has else 'hold'} the states of a full training: fully sharded, each needs"
        f" {units.gib(need)}; an H200 shows {units.gib(has)} and an H100 {units.gib(facts.gpu(H100).memory_bytes)}. Adapters fit:"
        f" {units.gib(adapters)}. Over 10 GbE a step takes"
        f" {units.fixed(slow / fast)} times as long as over InfiniBand. You cannot replace one by the other.",
        "GiB a GPU that 70B in full needs over what an H200 shows", need / has, 1.0, math.nan,
        ("rajbhandari-2020-zero", facts.gpu(H100).source),
    )  # fmt: skip


def pcie(customer: Customer) -> Finding:
    """C26: SXM for training, PCIe for inference."""
    asked = serving.Demand(serving.Lengths(customer.prompt_tokens, customer.output_tokens), users=16)

    def ratio(model: str, tp: int) -> float:
        pcie, sxm = (
            serving.answer(serving.deploy(load(model), g, tp=tp, precision="fp8", kv_precision="fp8"), asked)
            for g in ("H100 PCIe", H100)
        )
        return pcie.tpot.mean / sxm.tpot.mean

    four, single = ratio(SEVENTY, 4), ratio("meta-llama/Llama-3.1-8B", 1)
    return Finding(
        CONDITIONS if four > 1.3 else HOLDS,
        f"On one card an H100 PCIe takes {units.fixed(single, 1)} times as long for a token, because its memory is slower. With 70B"
        f" over four cards it takes {units.fixed(four, 1)} times as long, because the cards exchange over PCIe. That is enough for a"
        f" small model and expensive for a large one.",
        "PCIe over SXM, ms a token of 70B on four", four, 1.3, 1.0, (facts.gpu("H100 PCIe").source,),
    )  # fmt: skip


CLAIMS = {
    "C01": fp8_training,
    "C02": training_ratio,
    "C03": inference_ratio,
    "C11": week,
    "C12": qps,
    "C14": weights,
    "C15": seventy_on_one,
    "C16": long_context,
    "C17": interconnect_matters,
    "C18": scenario_a,
    "C26": pcie,
}
