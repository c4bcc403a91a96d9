"""The engine's start command and the Kubernetes manifest of the recommended replicas."""

from __future__ import annotations

import shlex
from typing import Any

import yaml

from hopperbook import facts
from hopperbook.customer import Customer
from hopperbook.models import conversion, load
from hopperbook.planner.configuration import Configuration

PORT = 8000


def arguments(row: Configuration, customer: Customer) -> dict[str, str]:
    """Return the arguments of ``vllm serve`` for one replica, an empty text for a flag without a value.

    Parameters
    ----------
    row : Configuration
        The recommendation.
    customer : Customer
        What a conversation holds at most.

    Returns
    -------
    dict
        Flags of ``data/engine_flags.yaml``.

    Examples
    --------
    >>> from hopperbook.customer import default
    >>> from hopperbook.planner import plan
    >>> asked = arguments(plan(default()).recommendation, default())
    >>> asked["--tensor-parallel-size"], asked["--kv-cache-dtype"], asked["--quantization"]
    ('4', 'fp8', 'fp8')
    """
    d = row.deployment
    found = {
        "--tensor-parallel-size": str(d.tp),
        "--kv-cache-dtype": "fp8" if d.kv_precision == "fp8" else "auto",
        "--max-model-len": str(longest_tokens(customer)),
        "--gpu-memory-utilization": f"{d.engine.kv_fraction:g}",
        "--max-num-batched-tokens": str(d.engine.step_tokens),
        "--max-num-seqs": str(d.engine.max_batch),
        "--enable-prefix-caching": "",
        "--served-model-name": load(customer.model).name,
        "--host": "0.0.0.0",
        "--port": str(PORT),
    }
    if d.pp > 1:
        found |= {"--pipeline-parallel-size": str(d.pp), "--distributed-executor-backend": "ray"}
    if d.precision == "fp8" and d.model.precision in ("bf16", "fp16"):
        found["--quantization"] = "fp8"
    return found


def longest_tokens(customer: Customer) -> int:
    """Return the tokens of the longest request that is let in: what a conversation holds, and half as much again."""
    limit = load(customer.model).context_limit
    wanted = -(-3 * (customer.held_tokens + customer.shared_prompt_tokens) // 2 // 1024) * 1024
    return min(wanted, limit) if limit else wanted


def command(row: Configuration, customer: Customer) -> str:
    """Write the start command of one replica as a shell script.

    Parameters
    ----------
    row : Configuration
        The recommendation.
    customer : Customer
        Model and lengths.

    Returns
    -------
    str
        A script for POSIX shells.
    """
    lines = [f"{flag} {shlex.quote(value)}" if value else flag for flag, value in arguments(row, customer).items()]
    d = row.deployment
    note = conversion(d.model, d.weights)
    which = f"One of {row.replicas} replicas" if row.replicas > 1 else "The one replica"
    head = ["#!/bin/sh", f"# {which}: {d.gpus} x {row.gpu}.", *([f"# {note}"] if note else [])]
    start = [f"exec vllm serve {shlex.quote(load(customer.model).name)} \\", "  " + " \\\n  ".join(lines)]
    return "\n".join([*head, "set -eu", *start]) + "\n"


def manifest(row: Configuration, customer: Customer) -> str:
    """Write a Kubernetes Deployment and Service of the recommended replicas.

    Parameters
    ----------
    row : Configuration
        The recommendation; its replicas fit into a node each.
    customer : Customer
        Model, lengths and spare replicas.

    Returns
    -------
    str
        YAML, two documents.
    """
    labels = {"app": "hopperbook-serving"}
    flags = [part for flag, value in arguments(row, customer).items() for part in (flag, value) if part]
    container: dict[str, Any] = {
        "name": "vllm",
        "image": facts.read_yaml("engine_flags.yaml")["vllm serve"]["image"],
        "args": ["--model", load(customer.model).name, *flags],
        "ports": [{"containerPort": PORT}],
        "resources": {"limits": {"nvidia.com/gpu": row.deployment.gpus}},
        "readinessProbe": {"httpGet": {"path": "/health", "port": PORT}, "periodSeconds": 10, "failureThreshold": 180},
        "volumeMounts": [{"name": "shm", "mountPath": "/dev/shm"}],
    }
    pod: dict[str, Any] = {
        "containers": [container],
        "volumes": [{"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "16Gi"}}],
    }
    if product := facts.read_yaml("engine_flags.yaml")["node labels"]["products"].get(row.gpu):
        pod["nodeSelector"] = {"nvidia.com/gpu.product": product}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "serving", "labels": labels},
        "spec": {
            "replicas": row.replicas + customer.spare_replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "serving", "labels": labels},
        "spec": {"selector": labels, "ports": [{"port": PORT, "targetPort": PORT}]},
    }
    return yaml.safe_dump_all([deployment, service], sort_keys=False)
