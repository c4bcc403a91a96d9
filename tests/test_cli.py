"""The command: every answer is printed as JSON too, and bad input is one line, exit code 2 and nothing written."""

import errno
import json
import math
import re
import subprocess
import sys
from pathlib import Path

import pytest

from hopperbook import cli, facts, report
from hopperbook import customer as customers
from hopperbook.models import load, model_names
from hopperbook.report import batch

DEFAULT = str(facts.DATA / "customers" / "default.yaml")
SAMPLE = Path(__file__).parent / "serving" / "sample_trace.csv"
SAAS = str(facts.DATA / "customers" / "inference-saas.yaml")


def answer(capsys, *arguments):
    cli.main([*arguments, "--json"])
    printed = capsys.readouterr()
    assert printed.err == ""
    return json.loads(printed.out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def refused(capsys, *arguments):
    with pytest.raises(SystemExit) as caught:
        cli.main([str(a) for a in arguments])
    printed = capsys.readouterr()
    assert caught.value.code == 2
    assert printed.out == ""
    assert len(printed.err.splitlines()) == 1
    assert printed.err.startswith("hopperbook: ")
    assert "Traceback" not in printed.err
    return printed.err


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["nope"], "nope"),
        (["size"], "--model"),
        (["size", "--model", "llama-3.1-8b", "--bogus", "1"], "--bogus"),
        (["size", "--model", "llama-3.1-8b", "--concurrency", "x"], "--concurrency"),
        (["size", "--model", "llama-9-8b"], "nearest: meta-llama/Llama"),
        (["size", "--model", ""], "model"),
        (["size", "--model", "llama-3.1-8b", "--gpu", "H300 SXM"], "H100 SXM"),
        (["size", "--model", "llama-3.1-8b", "--gpu", ""], "gpu"),
        (["size", "--model", "llama-3.1-8b", "--concurrency", "-1"], "concurrency: -1"),
        (["size", "--model", "llama-3.1-8b", "--context", "0"], "context: 0"),
        (["size", "--model", "llama-3.1-8b", "--context", "200000"], "131,072"),
        (["size", "--model", "llama-3.1-8b", "--output", "0"], "output: 0"),
        (["size", "--model", "llama-3.1-8b", "--tp", "0"], "tp: 0"),
        (["size", "--model", "llama-3.1-8b", "--tp", "3"], "divisor of the 32 heads"),
        (["size", "--model", "llama-3.1-8b", "--precision", "fp7"], "precision: 'fp7'"),
        (["size", "--model", "llama-3.1-8b", "--kv-precision", "x"], "kv_precision: 'x'"),
        (["compare", "--model", "llama-3.1-8b", "--gpus", "H100 SXM,H201"], "H201"),
        (["compare", "--model", "llama-3.1-8b", "--gpus", ","], "gpus"),
        (["compare", "--model", "llama-3.1-8b", "--concurrency", "0"], "concurrency: 0"),
        (["compare", "--model", "llama-3.1-8b", "--parts", "B2000"], "nearest: B200 SXM"),
        (["plan", DEFAULT, "--parts", "H1000"], "nearest: H100"),
        (["plan", DEFAULT, "--parts", ""], "names of GPUs"),
        (["build", "--parts", "L50S"], "nearest: L40S"),
        (["plan"], "CUSTOMER"),
        (["plan", "missing.yaml"], "missing.yaml"),
        (["plan", str(facts.DATA)], "not a folder"),
        (["plan", DEFAULT, "--set", "contxt_tokens=5"], "nearest: context_tokens"),
        (["plan", DEFAULT, "--set", "concurrency"], "FIELD=VALUE"),
        (["plan", DEFAULT, "--set", "concurrency=-5"], "nearest: 1"),
        (["plan", DEFAULT, "--set", "concurrency=[1]"], "concurrency"),
        (["plan", DEFAULT, "--set", "h100_usd_per_hour=0"], "h100_usd_per_hour: 0"),
        (["plan", DEFAULT, "--set", "budget_usd_per_month=.nan"], "budget_usd_per_month: nan"),
        (["simulate"], "CUSTOMER"),
        (["simulate", DEFAULT, "--set", "ttft_target_ms=-1"], "ttft_target_ms: -1"),
        (["simulate", DEFAULT, "--routing", "least_load"], "nearest: least_loaded"),
        (["simulate", DEFAULT, "--replicas", "0"], "replicas: 0"),
        (["simulate", DEFAULT, "--replicas", "x"], "--replicas"),
        (["simulate", DEFAULT, "--seed", "-1"], "seed: -1"),
        (["simulate", DEFAULT, "--trace", "missing.csv"], "missing.csv"),
        (["simulate", DEFAULT, "--trace", str(facts.DATA)], "not a folder"),
        (["simulate", DEFAULT, "--trace", DEFAULT], "columns time, prompt and output"),
        (["facts", "gpuz"], "nearest: gpus"),
        (["facts", "../secrets"], "table"),
        (["evidence", "missing.csv"], "missing.csv"),
        (["evidence", str(facts.DATA)], "CSV"),
        (["serve", "no-such-report"], "a built report"),
        (["serve", "--port", "99999"], "port"),
        (["calibrate", "everything"], "everything"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_two(capsys, arguments, word):
    assert word in refused(capsys, *arguments)


def test_a_config_of_an_encoder_is_refused(capsys, tmp_path):
    path = tmp_path / "config.json"
    for shapes in (
        {"model_type": "bert", "hidden_size": 768},
        {"model_type": "t5", "is_encoder_decoder": True, "d_model": 512},
        {"architectures": ["ViTForImageClassification"], "model_type": "vit"},
        {"architectures": 5},
        {"model_type": "llama", "hidden_size": -4, "num_hidden_layers": 2, "num_attention_heads": 4},
    ):
        path.write_text(json.dumps(shapes))
        refused(capsys, "size", "--model", path)
    path.write_text("not json")
    assert "config.json" in refused(capsys, "size", "--model", path)


def test_the_installed_command_refuses_without_a_traceback(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", "from hopperbook.cli import main; main()", "size", "--model", "llama-9"],
        capture_output=True, text=True, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (KeyboardInterrupt(), 130, "stopped"),
        (report.ChapterError("Chapter 02-fp8, cell 3: it broke"), 1, "Chapter 02-fp8, cell 3: it broke"),
        (OSError(errno.ENOSPC, "No space left on device", "/x/y"), 1, "/x/y: No space left on device"),
        (OSError(errno.EROFS, "Read-only file system", "/x/y"), 2, "/x/y: Read-only file system"),
        (OSError(errno.ENAMETOOLONG, "File name too long", "n" * 300), 2, "n...n"),
        (MemoryError(), 1, "there is not enough memory"),
    ],
)
def test_what_goes_wrong_is_one_sentence_and_an_exit_code(capsys, monkeypatch, tmp_path, error, status, words):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(report, "build", fail)
    with pytest.raises(SystemExit) as caught:
        cli.main(["build", "--out", str(tmp_path / "x")])
    printed = capsys.readouterr()
    assert (caught.value.code, printed.out, len(printed.err.splitlines())) == (status, "", 1)
    assert words.replace("n...n", "") in printed.err


@pytest.mark.parametrize("before", ["batch", "build"])
def test_a_batch_that_is_stopped_says_how_it_goes_on(capsys, monkeypatch, tmp_path, before):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(batch, "run", stop)
    monkeypatch.setattr(report, "build", stop)
    with pytest.raises(SystemExit) as caught:
        cli.main(["--quiet", "batch", "build"] if before == "batch" else ["build", "--out", str(tmp_path / "batch")])
    more = "; the same command goes on with what is not finished" if before == "batch" else ""
    assert (caught.value.code, capsys.readouterr().err) == (130, f"hopperbook: stopped{more}\n")


def test_a_table_that_no_terminal_reads_has_a_row_a_line(capsys):
    cli.main(["facts", "models"])
    lines = capsys.readouterr().out.splitlines()
    assert sum("Qwen3-32B" in line for line in lines) >= 1 and len(lines) == len(model_names()) + 4


@pytest.mark.parametrize("place", ["/proc/x/y", "/dev/full/x", "n" * 300])
def test_a_place_that_cannot_be_is_refused(capsys, place):
    refused(capsys, "build", "--out", place)


@pytest.mark.parametrize(
    "arguments", [["evidence"], ["serve"], ["check"], ["new"], ["verify"], ["rollback"], ["diff", "a"]]
)
def test_a_path_that_is_too_long_is_refused(capsys, arguments):
    refused(capsys, *arguments, "n" * 300)


def test_doctor_names_what_it_looked_at(capsys, tmp_path):
    found = answer(capsys, "doctor", "--reports", str(tmp_path))
    assert {"Python", "reports", "store", "disk of reports", "locks", "Chromium", "fonts"} <= {x["what"] for x in found}
    assert all(each["ok"] for each in found)


@pytest.mark.parametrize(("arguments", "word"), [([], "calibrate"), (["prices"], "import"), (["words"], "extract")])
def test_no_arguments_print_the_help(capsys, arguments, word):
    cli.main(arguments)
    assert word in capsys.readouterr().out


def test_a_misspelt_command_or_option_names_the_nearest(capsys):
    assert "'plan'" in refused(capsys, "pland")
    assert "'--set'" in refused(capsys, "plan", DEFAULT, "--sett", "concurrency=3")


@pytest.mark.parametrize(
    "text",
    [
        "name: A\nmodel: llama-3.1-8b\nunknown: 1\n",
        "name: '../../x'\nmodel: llama-3.1-8b\n",
        "name: A\nmodel: llama-9\n",
        "name: !!python/object:os.system {}\n",
        "name: [",
    ],
)
def test_a_bad_build_leaves_the_earlier_report_alone(capsys, tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    old = tmp_path / "reports" / "a"
    old.mkdir(parents=True)
    (old / "index.html").write_text("earlier")
    (tmp_path / "c.yaml").write_text(text)
    refused(capsys, "build", "--customer", "c.yaml", "--out", old)
    refused(capsys, "build", "--customer", "c.yaml", "--out", tmp_path / "new")
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a", "c.yaml", "index.html", "reports"]
    assert (old / "index.html").read_text() == "earlier"


def test_build_says_where_the_report_is(capsys, tmp_path, monkeypatch):
    asked = {}
    monkeypatch.setattr(
        report, "build", lambda values, out, progress: asked.update(values, out=out) or out / "index.html"
    )
    made = answer(capsys, "build", "--customer", SAAS, "--set", "concurrency=7", "--out", str(tmp_path / "x"))
    assert asked["concurrency"] == 7
    assert made["report"] == str(tmp_path / "x" / "index.html")
    cli.main(["build"])
    assert str(asked["out"]) == "reports/lingua-shop"


def test_new_asks_checks_and_writes_once(capsys, tmp_path, monkeypatch):
    path = tmp_path / "c.yaml"
    given = iter(["Müller & Co", "llama-3.1-8b", 9, 0.0, 1000, 200, 50.0, "none", 0.0])
    monkeypatch.setattr(cli.click, "prompt", lambda question, **rest: next(given))
    cli.main(["new", str(path)])
    capsys.readouterr()
    assert answer(capsys, "plan", str(path))["recommendation"]["gpus"] >= 1
    assert "does not exist yet" in refused(capsys, "new", path)
    assert "folder that exists" in refused(capsys, "new", tmp_path / "none" / "c.yaml")
    given = iter(["<b>", "llama-3.1-8b", 9, 0.0, 1000, 200, 50.0, "none", 0.0])
    assert "name" in refused(capsys, "new", tmp_path / "d.yaml")
    assert not (tmp_path / "d.yaml").exists()


def test_new_asks_again_in_a_terminal_for_what_cannot_be_used(capsys, tmp_path, monkeypatch):
    load, training = ["llama-3.1-8b", -9, 9, 0.0, 1000, 200, 50.0], ["lorra", "lora", 0.0, 1e9, 9.0]
    given = iter(["Müller & Co", "lama-3.1-8b", *load, *training])
    monkeypatch.setattr(cli.click, "prompt", lambda question, **rest: next(given))
    monkeypatch.setattr(cli.sys.stdin, "isatty", lambda: True, raising=False)
    cli.main(["new", str(tmp_path / "c.yaml")])
    said = capsys.readouterr().err
    assert re.findall(r"hopperbook: (\w+):", said) == ["model", "concurrency", "training_task"]
    assert next(given, None) is None


def test_gpus_have_the_fields_that_scripts_expect(capsys):
    rows = answer(capsys, "facts", "gpus")
    assert isinstance(rows, list)
    names = [row["name"] for row in rows]
    assert {"A100 SXM 80GB", "H100 SXM", "H100 PCIe", "H100 NVL", "H200 SXM", "H20", "H800 SXM", "GH200"} <= set(names)
    for row in rows:
        for field in ("memory_gb", "memory_bandwidth_bytes_per_s", "tdp_w"):
            assert row[field] > 0
        assert row["nvlink_bytes_per_s_per_direction"] >= 0
        assert row["source"]
        assert set(row["dense_flop_per_s"]) <= {
            "fp64",
            "fp64_tensor",
            "fp32",
            "tf32",
            "bf16",
            "fp16",
            "fp8",
            "int8",
            "fp4",
        }
        assert all(value > 0 for value in row["dense_flop_per_s"].values() if value is not None)
    h100 = rows[names.index("H100 SXM")]
    assert h100["dense_flop_per_s"]["bf16"] == pytest.approx(989.4e12, rel=1e-3)


@pytest.mark.parametrize("table", ["gpus", "systems", "fabrics", "prices", "models", "costs", "mig", "claims", "hpc"])
def test_every_table_is_printed(capsys, table):
    rows = answer(capsys, "facts", table)
    assert len(rows) > 3
    cli.main(["facts", table])
    assert capsys.readouterr().out.strip()


@pytest.mark.parametrize("model", model_names())
def test_every_model_is_sized_on_every_gpu(capsys, model):
    encoder = load(model).encoder
    found = answer(capsys, "size", "--model", model, "--context", "512" if encoder else "1024")
    assert found["parameters"] > 1e8
    assert found["weight_bytes"] > found["parameters"] * 0.4
    assert (found["kv_bytes_per_token"] > 0) is not encoder
    parts = {row["gpu"]: row for row in found["gpus"]}
    assert {"H20", "GH200", "H800 SXM", "A100 SXM 40GB", "H200 NVL"} <= set(parts)
    for row in parts.values():
        if row["fits"] and "ttft_ms" in row:
            for name in ("ttft_ms", "output_tokens_per_s", *(() if encoder else ("tpot_ms",))):
                assert 0 < row[name]["low"] <= row[name]["value"] <= row[name]["high"] < math.inf
        else:
            assert row["reason"]


def test_schema_compare_and_plan_parse(capsys):
    cli.main(["schema"])
    assert "properties" in json.loads(capsys.readouterr().out)
    assert [row["GPU"] for row in answer(capsys, "compare", "--model", "llama-3.1-8b")] == [
        "A100 SXM 80GB", "H100 SXM", "H200 SXM",
    ]  # fmt: skip
    made = answer(capsys, "plan", SAAS)
    assert made["recommendation"]["gpu"]
    assert made["considered"] > 1000
    fewer = answer(capsys, "plan", SAAS, "--set", "concurrency=8")
    assert fewer["recommendation"]["usd_per_month"]["value"] < made["recommendation"]["usd_per_month"]["value"]
    cli.main(["plan", SAAS])
    assert made["recommendation"]["gpu"] in capsys.readouterr().out
    cli.main(["compare", "--model", "llama-3.1-8b"])
    assert "H200 SXM" in capsys.readouterr().out


def test_simulate_replays_the_busy_hour_and_a_trace(capsys, tmp_path):
    hour = answer(capsys, "simulate", DEFAULT, "--seed", "4")
    assert hour["fleet"]["recommended"] and hour["targets_kept"]
    assert [target["latency"] for target in hour["targets"]] == ["ttft", "tpot"]
    assert 0 < hour["ttft_ms"]["p50"] <= hour["ttft_ms"]["p95"] <= hour["ttft_ms"]["p99"]
    assert len(hour["timeline"]) == 60
    assert sum(minute["arrivals"] for minute in hour["timeline"]) == hour["requests"]
    more = answer(capsys, "simulate", DEFAULT, "--trace", str(SAMPLE), "--replicas", "3", "--routing", "by_session")
    assert (more["requests"], more["fleet"]["replicas"], more["trace"]) == (200, 3, SAMPLE.name)
    assert more["refused_beyond_context"] == more["refused_beyond_cache"] == 0
    lone = tmp_path / "lone.csv"
    lone.write_text("time,prompt,output\n5,999999999,7\n")
    assert "131,072 tokens" in refused(capsys, "simulate", DEFAULT, "--trace", lone)
    assert "line 2" in refused(capsys, "simulate", DEFAULT, "--trace", written_trace(tmp_path, "x,5,5"))
    short = written_trace(tmp_path, "5,500,7")
    assert "column session" in refused(capsys, "simulate", DEFAULT, "--trace", short, "--routing", "by_session")
    cli.main(["simulate", DEFAULT, "--trace", str(SAMPLE), "--replicas", "3"])
    said = capsys.readouterr().out
    assert "within all targets" in said and "as asked; planned for this trace: 1 replica" in said


def written_trace(folder, line):
    path = folder / "trace.csv"
    path.write_text(f"time,prompt,output\n{line}\n")
    return path


def test_evidence_predicts_a_row_of_a_file(capsys, tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text(
        "model,gpu,gpus,tp,precision,input_tokens,output_tokens,concurrency,tpot_ms,engine\n"
        "meta-llama/Llama-3.1-8B,H100 SXM,1,1,bf16,1024,256,16,9.5,vLLM\n"
    )
    found = answer(capsys, "evidence", str(path))
    assert found["summary"]
    text = json.dumps(found)
    assert "tpot_ms" in text
    cli.main(["evidence", str(path)])
    assert capsys.readouterr().out.strip()
    assert "folder that exists" in refused(capsys, "evidence", path, "--chart", tmp_path / "none" / "x.svg")


def test_folders_of_the_books_customers_are_called_as_ever_and_other_letters_are_told_apart():
    files = sorted((facts.DATA / "customers").glob("*.yaml"))
    assert [customers.slug(customers.read(path)["name"]) for path in files] == [
        "delta-institute",
        "lingua-shop",
        "harbor-chat",
        "foundry-lab",
    ]
    assert customers.slug("A & B, Ltd.") == "a-b-ltd" and customers.slug("x" * 50) == "x" * 40
    names = ("Müller GmbH", "Möller GmbH", "東京", "大阪", "é" + "x" * 58, "è" + "x" * 58)
    assert len({customers.slug(name) for name in names}) == len(names)
    assert customers.slug("Müller GmbH").startswith("m-ller-gmbh-")


def test_a_report_of_another_customer_is_not_built_over(tmp_path, monkeypatch, capsys):
    from hopperbook import report

    built = []
    monkeypatch.setattr(report, "build", lambda parameters, target, **more: built.append(target) or target)
    monkeypatch.setattr(cli, "REPORTS", tmp_path)
    for name in ("A & B", "A B"):
        (tmp_path / "c.yaml").write_text(f"name: {name}\nmodel: llama-3.1-8b\n")
        cli.main(["build", "--customer", str(tmp_path / "c.yaml")])
        built[-1].mkdir()
        (built[-1] / "results.json").write_text(json.dumps({"parameters": {"name": name}}))
    cli.main(["build", "--customer", str(tmp_path / "c.yaml")])
    cli.main(["build", "--customer", str(tmp_path / "c.yaml"), "--out", str(tmp_path / "a-b")])
    code = customers.name_code("A B")
    assert [path.name for path in built] == ["a-b", f"a-b-{code}", f"a-b-{code}", "a-b"]


def test_names_of_folders_are_harmless():
    for name in ("../..", "/etc/passwd", "a/b", "..", "\u0000", "ß", "x" * 300, "A B"):
        made = customers.slug(name)
        assert made
        assert len(made) <= 40
        assert set(made) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
