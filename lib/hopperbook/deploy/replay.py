"""Replay the traffic that a plan assumed on a running engine, and set what is seen beside what was expected.

Needs nothing but Python: ``python replay.py http://HOST:8000 [requests]``.  Reads ``expected.json`` beside it, sends
requests at random times with token ids for prompts (the completions API of vLLM), and writes ``measured.csv``.
"""

from __future__ import annotations

import csv
import http.client
import json
import math
import random
import sys
import threading
import time
import urllib.parse
from pathlib import Path
from typing import Any

CONVERSATIONS = 64
FIRST_TOKEN, LAST_TOKEN = 1000, 20000  # ids that every large vocabulary has, and no control tokens
PERCENTILES = ("mean", "p50", "p90", "p95", "p99")


def lengths(mean: float, std: float, draw: random.Random) -> int:
    """Draw a log-normal length."""
    if std <= 0:
        return max(1, round(mean))
    variance = math.log1p((std / mean) ** 2)
    return max(1, round(math.exp(draw.gauss(math.log(mean) - variance / 2, math.sqrt(variance)))))


def ask(url: str, model: str, prompt: list[int], tokens: int) -> tuple[float, float, float]:
    """Send a request, and return seconds to the first token, for each further one, and for the whole answer."""
    where = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(where.hostname or "localhost", where.port or 80, timeout=600)
    body = {
        "model": model, "prompt": prompt, "max_tokens": tokens, "min_tokens": tokens, "ignore_eos": True,
        "temperature": 0, "stream": True,
    }  # fmt: skip
    began = time.perf_counter()
    connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    if answer.status != 200:
        raise RuntimeError(f"the engine answers {answer.status}: {answer.read(300).decode(errors='replace')}")
    first = last = 0.0
    for line in answer:
        if line.startswith(b"data:") and b"[DONE]" not in line:
            last = time.perf_counter() - began
            first = first or last
    connection.close()
    return first, (last - first) / max(tokens - 1, 1), last


def at(values: list[float], name: str) -> float:
    """Return the mean or a percentile."""
    if name == "mean":
        return sum(values) / len(values)
    place = (len(values) - 1) * int(name[1:]) / 100
    low, ordered = math.floor(place), sorted(values)
    high = min(low + 1, len(values) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def replay(url: str, plan: dict[str, Any], requests: int, seed: int = 0) -> list[tuple[float, float, float]]:
    """Send so many requests at the planned rate, and return what each saw."""
    c, draw = plan["columns"], random.Random(seed)
    cached = round(c["prefix_hit"] * c["input_tokens"])
    pool = [
        [draw.randint(FIRST_TOKEN, LAST_TOKEN) for _ in range(cached)] for _ in range(CONVERSATIONS if cached else 1)
    ]
    for history in pool if cached else []:
        ask(url, plan["served_model_name"], history, 1)
    seen: list[tuple[float, float, float]] = []
    failed: list[Exception] = []

    def one(prompt: list[int], tokens: int) -> None:
        try:
            seen.append(ask(url, plan["served_model_name"], prompt, tokens))
        except (OSError, RuntimeError, http.client.HTTPException) as problem:
            failed.append(problem)

    threads, due = [], time.perf_counter()
    for _ in range(requests):
        due += draw.expovariate(c["rate_per_s"])
        new = lengths(c["input_tokens"] - cached, c["input_std"], draw)
        prompt = draw.choice(pool) + [draw.randint(FIRST_TOKEN, LAST_TOKEN) for _ in range(new)]
        tokens = lengths(c["output_tokens"], c["output_std"], draw)
        time.sleep(max(0.0, due - time.perf_counter()))
        threads.append(threading.Thread(target=one, args=(prompt, tokens), daemon=True))
        threads[-1].start()
    for thread in threads:
        thread.join()
    if failed:
        raise SystemExit(f"{len(failed)} of {requests} requests failed; the first: {failed[0]}")
    return seen


def main(arguments: list[str]) -> None:
    """Run the replay, print, and write ``measured.csv``."""
    if not 1 <= len(arguments) <= 2 or not arguments[0].startswith("http://"):
        raise SystemExit("usage: python replay.py http://HOST:8000 [requests]")
    plan = json.loads((Path(__file__).parent / "expected.json").read_text(encoding="utf-8"))
    requests = int(arguments[1]) if len(arguments) > 1 else 1000
    seen = replay(arguments[0], plan, requests)
    measured = {f"{what}_{name}_ms": 1e3 * at([each[k] for each in seen], name)
                for k, what in enumerate(("ttft", "tpot")) for name in PERCENTILES}  # fmt: skip
    measured |= {f"e2e_{name}_ms": 1e3 * at([each[2] for each in seen], name) for name in ("mean", "p90", "p99")}
    print(f"{'ms':12s}{'expected':>12s}{'measured':>12s}")
    for name, expected in plan["expected_ms"].items():
        print(f"{name:12s}{expected:12.1f}{measured[name + '_ms']:12.1f}")
    for what, (percentile, target) in plan["targets_ms"].items():
        kept = measured[f"{what}_{percentile}_ms"] <= target
        print(f"{what} {percentile}: target of {target:g} ms {'kept' if kept else 'missed'}")
    row = plan["columns"] | {"requests": requests} | {name: round(value, 3) for name, value in measured.items()}
    with Path("measured.csv").open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, list(row))
        writer.writeheader()
        writer.writerow(row)


if __name__ == "__main__":
    main(sys.argv[1:])
