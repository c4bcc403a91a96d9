"""Evidence: the format, bad input, and errors on rows that nothing was fitted to."""

import gzip
import json

import pytest

from hopperbook import evidence, facts
from hopperbook.errors import InputError
from hopperbook.evidence import answers

ROW_KEYS = {"row", "kind", "quantity", "measured", "predicted", "low", "high", "error", "note"}
SUMMARY_KEYS = {
    "kind", "quantity", "gpu", "n", "unanswered", "median_abs_error", "mean_abs_error", "bias", "coverage",
}  # fmt: skip
SERVING = "model,gpu,tp,precision,input_tokens,output_tokens,concurrency,engine,ttft_ms,tpot_ms\n"


def answer(tmp_path, text):
    path = tmp_path / "rows.csv"
    path.write_text(text)
    found = evidence.answer(path)
    json.dumps(found, allow_nan=False)
    return found


def test_format_order_and_empty_cells(tmp_path):
    """One entry a row and asked quantity, rows then columns; an empty cell asks for the prediction alone."""
    text = SERVING.replace("ttft_ms,tpot_ms", "tpot_ms,ttft_ms")
    text += "llama-3.1-8b,h100_80gb,1,bf16,1024,128,8,vLLM,8.0,\n"
    text += "meta-llama/Llama-3.1-70B,NVIDIA H200,2,fp8,1024,128,8,TensorRT-LLM,,90\n"
    found = answer(tmp_path, text)
    assert [(r["row"], r["quantity"]) for r in found["rows"]] == [
        (1, "tpot_ms"), (1, "ttft_ms"), (2, "tpot_ms"), (2, "ttft_ms"),
    ]  # fmt: skip
    for row in found["rows"]:
        assert set(row) >= ROW_KEYS
        assert row["low"] < row["predicted"] < row["high"]
    first, second = found["rows"][:2]
    assert first["error"] == pytest.approx(first["predicted"] / 8.0 - 1)
    assert second["measured"] is None and second["error"] is None
    assert {s["gpu"] for s in found["summary"]} == {"H100 SXM", "H200 SXM"}
    for line in found["summary"]:
        assert set(line) == SUMMARY_KEYS


def test_a_bad_row_says_why_and_the_rest_go_on(tmp_path):
    rows = [
        "llama-3.1-8b,H100 SXM,1,bf16,1024,128,8,vLLM,,",
        "llama-9,H100 SXM,1,bf16,1024,128,8,vLLM,,",
        "llama-3.1-8b,H300,1,bf16,1024,128,8,vLLM,,",
        "llama-3.1-8b,H100 SXM,one,bf16,1024,128,8,vLLM,,",
        "llama-3.1-8b,H100 SXM,3,bf16,1024,128,8,vLLM,,",
        "llama-3.1-70b,H100 SXM,1,bf16,1024,128,8,vLLM,,",
        "llama-3.1-8b,H100 SXM,1,bf16,,128,8,vLLM,,",
        "llama-3.1-8b,H100 SXM,1,bf16,1024,128,-8,vLLM,,",
        "llama-3.1-8b,H100 SXM,1,bf16,1024,128,8,abacus,,",
        "llama-3.1-8b,H100 SXM,1,int3,1024,128,8,vLLM,many,",
    ]
    found = answer(tmp_path, SERVING + "\n".join(rows) + "\n")
    tpot = [r for r in found["rows"] if r["quantity"] == "tpot_ms"]
    assert tpot[0]["predicted"] > 0
    words = ["model", "gpu", "tp", "tp", "gpu", "input_tokens", "concurrency", "engine", "precision"]
    for row, word in zip(tpot[1:], words, strict=True):
        assert row["predicted"] is None
        assert row["note"].startswith(word + ":")
    assert sum(s["unanswered"] for s in found["summary"] if s["quantity"] == "tpot_ms") == 9


@pytest.mark.parametrize(
    "text",
    ["", "model,gpu\n", "model,gpu\na,b\n", "model,tpot_ms,tpot_ms\na,1,2\n", "gpu,tpot_ms\nH100 SXM,1,2,3\n"],
)
def test_what_is_no_table_of_measurements_is_refused(tmp_path, text):
    path = tmp_path / "rows.csv"
    path.write_text(text)
    with pytest.raises(InputError):
        evidence.answer(path)


def test_missing_file_and_binary_are_refused(tmp_path):
    with pytest.raises(InputError, match="file"):
        evidence.answer(tmp_path / "none.csv")
    path = tmp_path / "rows.csv"
    path.write_bytes(bytes(range(256)))
    with pytest.raises(InputError, match="file"):
        evidence.answer(path)


def test_gzip_and_kernel_rows(tmp_path):
    path = tmp_path / "rows.csv.gz"
    text = "gpu,gemm_dtype,m,n,k,latency_ms,software\nA100 SXM,int8_wo,8192,65536,3584,14.73024,TensorRT-LLM 1.0.0\n"
    text += "A100 SXM,int8_wo,big,65536,3584,1,TensorRT-LLM 1.0.0\nA100 SXM,fp8,100,4096,4096,,\n"
    path.write_bytes(gzip.compress(text.encode()))
    first, second, third = evidence.answer(path)["rows"]
    assert first["predicted"] == pytest.approx(14.73024, rel=1e-4)
    assert second["predicted"] is None and second["note"].startswith("m:")
    assert third["predicted"] > 0 and "no table" in third["note"]


def test_shape_rows_and_labels(tmp_path):
    text = SERVING.replace("model,", "model,layers,hidden,heads,kv_heads,ffn,vocab,gated,")
    text += "my-8b,32,4096,32,8,14336,128256,yes,H100 SXM,1,bf16,1024,128,8,vLLM,,\n"
    text += "llama-3.1-8b,,,,,,,,H100 SXM,1,bf16,1024,128,8,vLLM,,\n"
    found = answer(tmp_path, text)["rows"]
    assert found[1]["predicted"] == pytest.approx(found[3]["predicted"], rel=0.01)


def test_benchmarks_of_a_card_or_server(tmp_path):
    text = """gpu,gpus,nodes,benchmark,conditions,metric,value,unit
H100-SXM5-80GB,8,1,HPL,FP64,Rmax,365.4,TFLOPS
H200-SXM,1,1,MAMF matmul,"FP8, best shape",max,1453.4,TFLOPS
GH200 480GB (96 GB HBM3),1,1,OpenCL-Benchmark,coalesced read,bandwidth,3614.6,GB/s
A100-SXM4-80GB,8,1,NCCL AllReduce,,busbw,,GB/s
A100,1,1,Smith-Waterman,CUDASW++4.0,peak,1.94,furlongs
A100,1,1,linpack,,,1,TFLOPS
"""
    rows = answer(tmp_path, text)["rows"]
    assert [r["kind"] for r in rows] == ["benchmark"] * 6
    assert all(abs(r["error"]) < 0.1 for r in rows[:3])
    assert 200 < rows[3]["predicted"] < 300 and rows[3]["error"] is None
    assert "unit: 'furlongs'" in rows[4]["note"] and "benchmark: 'linpack'" in rows[5]["note"]


#: Median absolute errors by file and engine that no change may exceed, on rows marked judge.
STATED = facts.read_yaml("aims.yaml")["by_engine"]


@pytest.fixture(scope="module")
def judged():
    tables = {}
    for name in ("inference", "offline_trtllm014", "offline_mlperf", "online", "online_moe", "nccl_multinode"):
        rows = evidence.measurements(name, "judge")
        rows = rows[~rows.get("note", rows["gpu"]).str.contains("SUSPECT")].reset_index(drop=True)
        tables[name] = rows, evidence.predict(rows)
    return tables


@pytest.mark.parametrize("stated", STATED, ids=lambda row: "-".join(map(str, row.values())))
def test_errors_on_judge_rows(judged, stated):
    quantity, engine = stated["quantity"], stated["engine"]
    rows, answers = judged[stated["file"]]
    if "engine_version" in rows:
        software = rows.engine.str.cat(rows.engine_version, sep=" ")
        answers = answers[answers.row.isin(rows.index[software.str.startswith(engine)] + 1)]
    elif "/" in engine:
        answers = answers[answers.family.str.endswith(engine)]
    error = answers[answers.quantity == quantity].error.dropna().abs()
    assert len(error) >= 10
    assert error.median() < stated["holds"]


def test_collectives_across_nodes(judged):
    rows, answers = judged["nccl_multinode"]
    large = rows.index[(rows.size_bytes.astype(float) > 1e8) & (rows.nodes != "1")] + 1
    error = answers[(answers.quantity == "busbw_GBs") & answers.row.isin(large)].error.dropna().abs()
    assert error.median() < 0.06


def test_every_reason_for_a_wider_range_stands_in_the_note(tmp_path):
    head = "model,gpu,gpus,tp,pp,input_tokens,output_tokens,concurrency,engine,engine_version,date,kv_precision,tpot_ms"
    text = f"""{head}
llama-3.1-70b,H100 SXM,8,4,2,16384,512,8,vLLM,,2025-11-02,,
llama-3.1-8b,A100 SXM,1,1,1,1024,128,8,TensorRT-LLM,1.0,,fp8,
qwen3-32b,H100 PCIe,2,2,1,1024,128,8,vLLM,0.18.0,,,
"""
    notes = [row["note"] for row in answer(tmp_path, text)["rows"]]
    for said in ("constants of vLLM 0.12", "the newest of 2025-11", "no rows of Llama-3.1-70B", "pipeline stages",
                 "prompts beyond 8,192"):  # fmt: skip
        assert said in notes[0]
    assert "a cache in FP8 on Ampere: this engine has INT8" in notes[1]
    assert "we assume a bridge between the cards" in notes[2]


def test_every_kind_of_row_has_its_function():
    assert set(answers._answered_by()) == {kind.name for kind in evidence.KINDS}
