"""Commands, manifests and scripts of a plan: documented flags, whole manifests, a replay that evidence reads."""

import json
import shlex
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import jsonschema
import pytest
import yaml

from hopperbook import customer, evidence, facts, planner
from hopperbook.deploy import files
from hopperbook.models import load

WHO = {"name": "A", "model": "llama-3.1-8b"}
CASES = [
    {"concurrency": 64},
    {"model": "deepseek-v3", "max_gpus": 64, "tpot_target_ms": 90.0, "h200_usd_per_hour": 90.0},
    {"model": "gpt-oss-120b", "concurrency": 64},
    {"training_task": "pretrain", "training_tokens": 1e11, "training_deadline_days": 30.0},
    {"precision": "int4", "spare_replicas": 1},
]


@pytest.fixture(scope="module", params=range(len(CASES)))
def made(request):
    return planner.plan(customer.check(WHO | CASES[request.param]))


def flags(text, after):
    words = shlex.split(text[text.index(after) :].replace("\\\n", " "), comments=True)
    found, k = {}, 0
    while k < len(words):
        if words[k].startswith("--"):
            value = words[k + 1] if k + 1 < len(words) and not words[k + 1].startswith("--") else ""
            found[words[k]] = value
        k += 1
    return found


def documented(found, engine, also=()):
    known = facts.read_yaml("engine_flags.yaml")[engine]["flags"]
    for flag, value in found.items():
        assert flag in known or flag in also, flag
        assert not known.get(flag) or value in known[flag], (flag, value)


def test_the_engine_starts_with_documented_flags(made):
    text, row = files(made)["serve.sh"], made.recommendation
    found = flags(text, "vllm serve")
    documented(found, "vllm serve")
    assert int(found["--tensor-parallel-size"]) == row.tp
    assert ("# The one replica: " in text) == (row.replicas == 1) and "1 replicas" not in text
    assert int(found.get("--pipeline-parallel-size", 1)) == row.deployment.pp
    limit = load(made.customer.model).context_limit
    assert made.customer.held_tokens <= int(found["--max-model-len"]) <= limit
    assert ("Ray cluster" in files(made)["README.md"]) == (row.deployment.gpus > 8)


def test_the_manifest_has_what_kubernetes_asks_for(made):
    if made.recommendation.deployment.gpus > 8:
        assert "kubernetes.yaml" not in files(made)
        return
    deployment, service = yaml.safe_load_all(files(made)["kubernetes.yaml"])
    assert (deployment["apiVersion"], deployment["kind"]) == ("apps/v1", "Deployment")
    spec = deployment["spec"]
    assert spec["replicas"] == made.recommendation.replicas + made.customer.spare_replicas
    assert spec["selector"]["matchLabels"] == spec["template"]["metadata"]["labels"] == service["spec"]["selector"]
    (container,) = spec["template"]["spec"]["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == made.recommendation.deployment.gpus
    assert all(isinstance(word, str) for word in container["args"])
    assert container["ports"][0]["containerPort"] == service["spec"]["ports"][0]["targetPort"]
    mounted, volumes = container["volumeMounts"], spec["template"]["spec"]["volumes"]
    assert [each["name"] for each in mounted] == [each["name"] for each in volumes]
    documented(flags(shlex.join(container["args"]), "--model"), "vllm serve", ("--model",))


SCHEMA = json.loads((Path(__file__).parent / "schemas" / "kubernetes-1.37.json").read_text())


def faults(document):
    """Return what Kubernetes' own schema finds wrong with a document."""
    kind = SCHEMA["kinds"][document["kind"]] | {"$defs": SCHEMA["$defs"]}
    return [error.message for error in jsonschema.Draft202012Validator(kind).iter_errors(document)]


def test_the_manifest_keeps_to_the_schema_that_kubernetes_publishes(made):
    for document in yaml.safe_load_all(files(made).get("kubernetes.yaml", "")):
        assert faults(document) == []


@pytest.mark.parametrize(
    ("at", "wrong"),
    [
        (("spec", "replicas"), "two"),
        (("spec", "template", "spec", "containers", 0, "ports", 0, "containerPort"), "8000"),
        (("spec", "template", "spec", "containers", 0, "arguments"), ["--model"]),
        (("spec", "template", "spec", "volumes", 0, "emptyDir", "size"), "16Gi"),
        (("kind",), "Service"),
    ],
)
def test_the_schema_finds_what_is_wrong(at, wrong):
    text = files(planner.plan(customer.check(WHO)))["kubernetes.yaml"]
    document = next(yaml.safe_load_all(text))
    assert faults(document) == []
    place = document
    for key in at[:-1]:
        place = place[key]
    place[at[-1]] = wrong
    assert faults(document)


def test_a_training_job_has_documented_flags_and_the_planned_layout():
    lab = customer.check(WHO | CASES[3])
    made = planner.plan(lab)
    run, text = made.training, files(made)["train.sh"]
    found = flags(text, "pretrain_gpt.py")
    documented(found, "torchrun pretrain_gpt.py")
    split = [int(found.get(f"--{name}-parallel-size", 1)) for name in ("tensor-model", "pipeline-model", "context")]
    assert run.gpus % (split[0] * split[1] * split[2]) == 0
    assert int(found["--train-iters"]) * int(found["--global-batch-size"]) * 4096 == pytest.approx(1e11, rel=0.01)
    subprocess.run(["bash", "-n"], input=text, text=True, check=True)


def test_formats_that_need_a_checkpoint_say_so():
    made = planner.plan(customer.check(WHO | {"precision": "int4"}))
    assert "AWQ, GPTQ" in files(made)["README.md"] and "AWQ, GPTQ" in files(made)["serve.sh"]
    assert "AWQ, GPTQ" in planner.as_text(made)


def test_slices_of_the_small_services():
    shop = planner.plan(customer.check(WHO | {"small_services": 3, "small_model": "llama-3.2-1b"}))
    found = yaml.safe_load(files(shop)["mig-parted.yaml"])
    cards = found["mig-configs"]["small-services"]
    assert sum(count for card in cards for count in card["mig-devices"].values()) == 3
    assert [card["devices"] for card in cards] == [[k] for k in range(shop.small.cards)]


class Engine(BaseHTTPRequestHandler):
    """Streams as many tokens as asked, at once."""

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(asked)
        self.send_response(200)
        self.end_headers()
        for _ in range(asked["max_tokens"]):
            self.wfile.write(b'data: {"choices": [{"text": "x"}]}\n\n')
        self.wfile.write(b"data: [DONE]\n\n")

    def log_message(self, *words):
        """Say nothing."""


def test_the_replay_sends_the_planned_traffic_and_evidence_reads_its_rows(tmp_path):
    chat = {"context_tokens": 1400, "prompt_tokens": 300, "prompt_std_tokens": 100.0, "output_tokens": 20}
    made = planner.plan(customer.check(WHO | chat | {"requests_per_s": 200.0, "max_gpus": 64}))
    for name, text in files(made).items():
        (tmp_path / name).write_text(text)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Engine)
    server.asked = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    command = [sys.executable, "replay.py", f"http://127.0.0.1:{server.server_address[1]}", "150"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    server.shutdown()
    server.server_close()
    assert "expected" in done.stdout and "kept" in done.stdout
    sent = [each for each in server.asked if each["max_tokens"] > 1]
    assert len(sent) == 150 and len(server.asked) == 150 + 64  # the histories first
    new = [len(each["prompt"]) - 1080 for each in sent]
    assert sum(new) / 150 == pytest.approx(300, rel=0.15)
    answer = evidence.answer(tmp_path / "measured.csv")
    asked = {row["quantity"] for row in answer["rows"] if row["predicted"] is not None}
    assert {"ttft_mean_ms", "tpot_mean_ms", "ttft_p95_ms", "e2e_mean_ms"} <= asked


def test_nothing_recommended_is_nothing_to_start():
    assert files(planner.plan(customer.check(WHO | {"tpot_target_ms": 0.01}))) == {}


def test_a_hostile_name_of_a_model_stays_a_word(tmp_path):
    folder = tmp_path / "a; touch ${HOME} `x` $(y)"
    folder.mkdir()
    (folder / "config.json").write_text(
        json.dumps(
            {"model_type": "llama", "hidden_size": 2048, "num_hidden_layers": 16, "num_attention_heads": 32,
             "intermediate_size": 8192, "vocab_size": 32000, "max_position_embeddings": 8192}
        )
    )  # fmt: skip
    made = files(planner.plan(customer.check({"name": "A", "model": str(folder)})))
    words = shlex.split(made["serve.sh"].split("exec ")[1].replace("\\\n", " "))
    assert words[:3] == ["vllm", "serve", folder.name] and words[words.index("--served-model-name") + 1] == folder.name
    deployment = next(yaml.safe_load_all(made["kubernetes.yaml"]))
    assert folder.name in deployment["spec"]["template"]["spec"]["containers"][0]["args"]


def test_training_beside_serving_stays_in_a_server():
    """Replicas of one server each are had without a network, so no run spans several of them."""
    shop = {"requests_per_s": 300.0, "busy_fraction": 0.2, "training_task": "sft", "training_tokens": 1e9}
    made = planner.plan(customer.check(WHO | shop))
    shared = made.training_table[made.training_table.tenure == "shared"]
    assert made.recommendation.gpus > 16 and len(shared) and (shared.gpus <= 8).all()
