"""The launch of the planned training run: Slurm, torchrun and Megatron's arguments."""

from __future__ import annotations

from hopperbook.customer import Customer
from hopperbook.models import Model, load
from hopperbook.planner.configuration import TrainingRun
from hopperbook.planner.runs import global_batch

SAVE_EVERY = 500


def arguments(run: TrainingRun, customer: Customer) -> dict[str, str]:
    """Return Megatron's arguments of a planned run, an empty text for a flag without a value.

    Parameters
    ----------
    run : TrainingRun
        Layout and format.
    customer : Customer
        Sequence length, tokens.

    Returns
    -------
    dict
        Flags of ``data/engine_flags.yaml``.

    Examples
    --------
    >>> from hopperbook.customer import check
    >>> from hopperbook.planner import plan
    >>> lab = check({"name": "A", "model": "llama-3.1-8b", "training_task": "pretrain", "training_tokens": 1e10})
    >>> asked = arguments(plan(lab).training, lab)
    >>> asked["--num-layers"], asked["--seq-length"], int(asked["--global-batch-size"]) * 4096  # tokens of a step
    ('32', '4096', 4194304)
    """
    batch = global_batch(customer)
    steps = max(1, round(customer.training_tokens / (batch * customer.training_sequence_tokens)))
    layout = {
        "--tensor-model-parallel-size": run.tp,
        "--pipeline-model-parallel-size": run.pp,
        "--context-parallel-size": run.cp,
        "--expert-model-parallel-size": run.ep,
    }
    model = load(customer.trained_model)
    found = _shape(model) | {flag: str(value) for flag, value in layout.items() if value > 1}
    if run.vpp > 1:
        found["--num-layers-per-virtual-pipeline-stage"] = str(model.layers // (run.pp * run.vpp))
    if run.tp > 1:
        found["--sequence-parallel"] = ""
    found |= {
        "--seq-length": str(customer.training_sequence_tokens),
        "--max-position-embeddings": str(max(customer.training_sequence_tokens, model.context_limit)),
        "--micro-batch-size": str(run.micro_batch),
        "--global-batch-size": str(batch),
        "--train-iters": str(steps),
        "--bf16": "",
        "--use-distributed-optimizer": "",
        "--overlap-grad-reduce": "",
        "--overlap-param-gather": "",
        "--save-interval": str(SAVE_EVERY),
    }
    if run.precision.startswith("fp8"):
        found["--fp8-format"] = "hybrid"
    if run.recompute != "none":
        found["--recompute-granularity"] = run.recompute
    if run.recompute == "full":
        found |= {"--recompute-method": "uniform", "--recompute-num-layers": "1"}
    return found


def _shape(m: Model) -> dict[str, str]:
    """Return the model's sizes as Megatron names them."""
    found = {
        "--num-layers": str(m.layers),
        "--hidden-size": str(m.hidden),
        "--ffn-hidden-size": str(m.ffn),
        "--num-attention-heads": str(m.heads),
        "--kv-channels": str(m.head_dim),
        "--normalization": "LayerNorm" if m.norm_bias else "RMSNorm",
        "--position-embedding-type": "learned_absolute" if m.positions else "rope",
    }
    if m.kv_heads != m.heads:
        found |= {"--group-query-attention": "", "--num-query-groups": str(m.kv_heads)}
    found |= {"--swiglu": ""} if m.gated else {}
    found |= {} if m.mlp_bias else {"--disable-bias-linear": ""}
    found |= {} if m.tied_embeddings else {"--untie-embeddings-and-output-weights": ""}
    if m.experts:
        found |= {"--num-experts": str(m.experts), "--moe-router-topk": str(m.experts_per_token)}
    return found


def job(run: TrainingRun, customer: Customer) -> str:
    """Write a Slurm job of a planned pretraining run.

    Parameters
    ----------
    run : TrainingRun
        Layout.
    customer : Customer
        Tokens and model.

    Returns
    -------
    str
        A script for ``sbatch``.
    """
    nodes, each = -(-run.gpus // 8), min(run.gpus, 8)
    lines = [f"{flag} {value}".strip() for flag, value in arguments(run, customer).items()]
    hours = max(1, round(24 * run.days * 1.5))
    return (
        "\n".join(
            [
                "#!/bin/bash",
                f"#SBATCH --nodes={nodes} --gpus-per-node={each} --ntasks-per-node=1 --exclusive --time={hours}:00:00",
                f"# {run.gpus} x {run.gpu}, expected to take {run.days:.2g} days; half as long again is asked for.",
                "set -eu",
                "export CUDA_DEVICE_MAX_CONNECTIONS=1 MASTER_PORT=29500",
                'export MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)',
                f"srun torchrun --nnodes {nodes} --nproc-per-node {each} --rdzv-backend c10d \\",
                '  --rdzv-endpoint "$MASTER_ADDR:$MASTER_PORT" pretrain_gpt.py \\',
                "  " + " \\\n  ".join(lines) + " \\",
                '  --tokenizer-type HuggingFaceTokenizer --tokenizer-model "${TOKENIZER:?a tokenizer}" \\',
                '  --data-path "${DATA:?tokenised data}" --load "${CHECKPOINTS:?a folder}" --save "$CHECKPOINTS"',
            ]
        )
        + "\n"
    )
