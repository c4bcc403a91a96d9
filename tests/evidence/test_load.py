"""Rows under load: read, answered by one replica's replay, refused by name."""

import pytest

from hopperbook import evidence

HEAD = (
    "model,gpu,gpus,replicas,tp,precision,engine,engine_version,arrival,rate_per_s,requests,input_tokens,output_tokens"
)


def answers(tmp_path, more, *rows):
    path = tmp_path / "rows.csv"
    path.write_text("\n".join([f"{HEAD},{more}", *rows]) + "\n")
    return evidence.answer(path)["rows"]


def test_a_row_is_answered_for_each_quantity_asked(tmp_path):
    row = "llama-3.1-8b,H100 SXM,2,2,1,bf16,vLLM,0.15,poisson,16,4000,600.4,150"
    found = answers(tmp_path, "ttft_mean_ms,ttft_p99_ms,e2e_mean_ms,output_tokens_per_s", row + ",,,,")
    by = {each["quantity"]: each for each in found}
    assert {each["kind"] for each in found} == {"load"}
    assert by["ttft_mean_ms"]["predicted"] < by["ttft_p99_ms"]["predicted"] < by["e2e_mean_ms"]["predicted"]
    assert by["output_tokens_per_s"]["predicted"] == pytest.approx(16 * 150, rel=0.05)
    assert all(0 < each["low"] < each["high"] for each in found)
    assert "2,000 requests to each of 2 replicas" in found[0]["note"]


def test_two_replicas_at_twice_the_rate_answer_as_one(tmp_path):
    one = "llama-3.1-8b,H100 SXM,1,1,1,bf16,vLLM,0.15,poisson,8,200,600,150,"
    two = "llama-3.1-8b,H100 SXM,2,2,1,bf16,vLLM,0.15,poisson,16,400,600,150,"
    found = answers(tmp_path, "ttft_mean_ms", one, two)
    assert found[0]["predicted"] == found[1]["predicted"]


def test_the_largest_rate_is_searched_where_limits_are_given(tmp_path):
    more = "ttft_limit_p99_ms,tpot_limit_p99_ms,largest_rate_per_s"
    row = "llama-3.1-8b,H100 SXM,1,1,1,fp8,vLLM,0.15,poisson,10,400,512,256"
    tight, loose = answers(tmp_path, more, row + ",300,15,", row + ",3000,40,")
    assert 1 < tight["predicted"] < loose["predicted"]


def test_the_first_requests_may_find_an_empty_cache(tmp_path):
    more = "prefix_hit,cold_requests,cold_hit,ttft_p50_ms,ttft_p99_ms"
    row = "llama-3.1-8b,H100 SXM,1,1,1,bf16,vLLM,0.15,constant,4,400,1600,100"
    warm, cold, partly = (
        {each["quantity"]: each["predicted"] for each in answers(tmp_path, more, f"{row},0.99,{cells},,")}
        for cells in (",", "20,", "20,0.5")
    )
    assert warm["ttft_p50_ms"] == pytest.approx(cold["ttft_p50_ms"], rel=0.05)
    assert warm["ttft_p99_ms"] < partly["ttft_p99_ms"] < cold["ttft_p99_ms"]


def test_a_row_may_say_that_prompts_are_split(tmp_path):
    row = "llama-3.1-70b,H200 SXM,4,1,4,fp8,TensorRT-LLM,1.0,poisson,1,100,20000,100"
    found = answers(tmp_path, "step_tokens,chunked_prefill,ttft_mean_ms", f"{row},2048,,", f"{row},2048,yes,")
    assert found[0]["predicted"] != found[1]["predicted"]
    found = answers(tmp_path, "chunked_prefill,ttft_mean_ms", f"{row},perhaps,")
    assert found[0]["predicted"] is None and "chunked_prefill" in found[0]["note"]


def test_a_request_that_no_replica_can_hold_is_left_out(tmp_path):
    row = "llama-3.1-70b,H100 SXM,2,1,2,fp8,vLLM,0.15,poisson,0.01,50,150000,100"
    found = answers(tmp_path, "input_std,ttft_mean_ms,output_tokens_per_s", f"{row},1000000,,")
    assert all(each["predicted"] > 0 for each in found)


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ("llama-3.1-8b,H100 SXM,1,1,1,bf16,vLLM,,tidal,8,100,600,150", "arrival"),
        ("llama-3.1-8b,H100 SXM,1,1,1,bf16,vLLM,,poisson,,100,600,150", "rate_per_s"),
        ("llama-3.1-8b,H100 SXM,1,1,1,bf16,vLLM,,poisson,8,100,0,150", "input_tokens"),
    ],
)
def test_what_cannot_be_is_answered_with_a_reason(tmp_path, cells, said):
    found = answers(tmp_path, "ttft_mean_ms", cells + ",")
    assert found[0]["predicted"] is None and said in found[0]["note"]
