"""The closed form that orders many configurations stays near the simulation that answers for one."""

import itertools

import numpy as np

from hopperbook import serving
from hopperbook.models import load

REPLICAS = (
    ("llama-3.3-70b", "H100 SXM", 4, "fp8"),
    ("llama-3.3-70b", "H200 SXM", 4, "fp8"),
    ("llama-3.3-70b", "A100 SXM 80GB", 4, "int8"),
    ("llama-3.1-8b", "H100 SXM", 1, "bf16"),
    ("qwen2.5-32b", "H100 PCIe", 2, "fp8"),
)
LENGTHS = ((512, 512), (2048, 512), (8192, 256), (1024, 128))


def test_the_first_cut_is_near_the_simulated_loop():
    first, rest = [], []
    for model, part, tp, precision in REPLICAS:
        d = serving.deploy(load(model), part, tp=tp, precision=precision, kv_precision="fp8")
        for (prompt, answer), users in itertools.product(LENGTHS, (1, 4, 16, 64, 256)):
            if serving.budget(d, prompt + answer).users < users:
                continue
            cut, loop = serving.sweep(d, prompt, answer, [users]), serving.closed_loop(d, users, prompt, answer)
            first.append(cut.ttft_s[0] / loop.ttft_s)
            rest.append(cut.tpot_s[0] / loop.tpot_s)
    assert len(first) > 70
    assert 0.9 < np.median(first) < 1.1 and np.median(np.abs(np.log(first))) < 0.12
    assert np.percentile(first, 5) > 0.6 and np.percentile(first, 95) < 1.6
    assert 0.95 < np.median(rest) < 1.1 and np.median(np.abs(np.log(rest))) < 0.08
