"""All files of a plan's deployment, by name."""

from __future__ import annotations

import json
from pathlib import Path

from hopperbook.customer import Customer
from hopperbook.deploy import questions, serving, slices, training
from hopperbook.models import conversion
from hopperbook.planner import Plan
from hopperbook.planner.load import demand

REPLAY = Path(__file__).parent / "replay.py"


def files(plan: Plan) -> dict[str, str]:
    """Return the files that start what a plan recommends, and check it.

    Parameters
    ----------
    plan : Plan
        The plan.

    Returns
    -------
    dict
        Text by file name; empty where nothing is recommended.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> from hopperbook.planner import plan
    >>> sorted(files(plan(default())))
    ['README.md', 'expected.json', 'kubernetes.yaml', 'mig-parted.yaml', 'questions.md', 'replay.py', 'serve.sh']
    """
    row, customer = plan.recommendation, plan.customer
    if row is None:
        return {}
    found = {
        "serve.sh": serving.command(row, customer),
        "replay.py": REPLAY.read_text(encoding="utf-8"),
        "expected.json": json.dumps(expected(plan), indent=1) + "\n",
        "questions.md": questions.as_markdown(plan),
    }
    if row.deployment.gpus <= 8:
        found["kubernetes.yaml"] = serving.manifest(row, customer)
    if plan.small is not None:
        found["mig-parted.yaml"] = slices.configuration(plan.small)
    if plan.training is not None and customer.training_task == "pretrain":
        found["train.sh"] = training.job(plan.training, customer)
    return found | {"README.md": _readme(plan, sorted(found))}


def expected(plan: Plan) -> dict[str, object]:
    """Return the traffic that was planned for and the figures that were expected, as ``replay.py`` reads them.

    Parameters
    ----------
    plan : Plan
        A plan with a recommendation.

    Returns
    -------
    dict
        Lengths in tokens, times in milliseconds, rates of all replicas a second.
    """
    row, customer = plan.recommendation, plan.customer
    assert row is not None
    asked, d = demand(customer), row.deployment
    n = asked.lengths
    return {
        "columns": {
            "model": d.model.name, "gpu": row.gpu, "gpus": d.gpus, "tp": d.tp, "pp": d.pp, "replicas": row.replicas,
            "precision": d.precision, "kv_precision": d.kv_precision, "engine": "vLLM", "arrival": "poisson",
            "rate_per_s": round(row.rate_per_s, 4), "input_tokens": round(n.new + n.cached), "input_std": n.new_std,
            "output_tokens": round(n.answer), "output_std": n.answer_std,
            "prefix_hit": round(n.cached / (n.new + n.cached), 4),
        },
        "served_model_name": d.model.name,
        "targets_ms": {"ttft": [customer.ttft_percentile, customer.ttft_target_ms],
                       "tpot": [customer.tpot_percentile, customer.tpot_target_ms]},
        "expected_ms": {"ttft_mean": round(1e3 * row.ttft_s, 3), "tpot_mean": round(1e3 * row.tpot_s, 3),
                        f"ttft_{customer.ttft_percentile}": round(1e3 * row.ttft_at_s, 3),
                        f"tpot_{customer.tpot_percentile}": round(1e3 * row.tpot_at_s, 3)},
    }  # fmt: skip


#: What each file is for.
WHAT = {
    "README.md": "says what each file is for",
    "serve.sh": "starts one replica",
    "kubernetes.yaml": "starts all replicas and a service before them",
    "mig-parted.yaml": "cuts the small services' cards: `nvidia-mig-parted apply -f mig-parted.yaml -c small-services`",
    "train.sh": "trains: `TOKENIZER=... DATA=... CHECKPOINTS=... sbatch train.sh`, in Megatron-LM's folder",
    "expected.json": "the traffic that was planned for, and the figures that were expected",
    "questions.md": "what to ask the seller before you sign",
    "replay.py": "replays that traffic, at random times and with log-normal lengths: `python replay.py"
    " http://HOST:8000`, prints its figures beside the plan's, and writes `measured.csv`, which"
    " `hopperbook evidence measured.csv` reads",
}


def _readme(plan: Plan, names: list[str]) -> str:
    """Say what each file is for."""
    row = plan.recommendation
    assert row is not None
    note = conversion(row.deployment.model, row.deployment.weights)
    lines = [f"# {plan.customer.name}: what to start", "", *(f"- `{name}` {WHAT[name]}." for name in names)]
    if row.deployment.gpus > 8:
        lines += ["", f"A replica spans {-(-row.deployment.gpus // 8)} servers: start a Ray cluster over them first."]
    return "\n".join([*lines, *(["", note] if note else [])]) + "\n"


def write(customer: Customer, folder: Path) -> list[Path]:
    """Write a customer's files into a folder.

    Parameters
    ----------
    customer : Customer
        Whose plan is made.
    folder : Path
        Made where it does not exist.

    Returns
    -------
    list of Path
        What was written.
    """
    from hopperbook.planner import plan

    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, text in files(plan(customer)).items():
        (folder / name).write_text(text, encoding="utf-8")
        written.append(folder / name)
    return written
