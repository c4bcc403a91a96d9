"""Names that people use, and configuration files that cannot be used."""

import json

import pytest

from hopperbook.errors import InputError
from hopperbook.models import find, from_config, load, model_names

LLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "intermediate_size": 14336,
    "vocab_size": 128256,
}


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("meta-llama/Llama-3.1-70B", "meta-llama/Llama-3.1-70B"),
        ("llama-3.3-70b", "meta-llama/Llama-3.3-70B-Instruct"),
        ("LLAMA-3.1-8B-instruct", "meta-llama/Llama-3.1-8B"),
        ("nvidia/Llama-3.1-8B-Instruct-FP8", "meta-llama/Llama-3.1-8B"),
        ("meta-llama/Llama-3-70B", "meta-llama/Meta-Llama-3-70B"),
        ("meta-llama/Llama-3.1-405B-Instruct", "meta-llama/Llama-3.1-405B"),
        ("mistral-7b", "mistralai/Mistral-7B-v0.1"),
        ("mixtral-8x7b", "mistralai/Mixtral-8x7B-v0.1"),
        ("qwen3-32b", "Qwen/Qwen3-32B"),
        ("gpt-oss-120b", "openai/gpt-oss-120b"),
        ("llama-2-13b", "meta-llama/Llama-2-13b-hf"),
        ("codellama-34b", "codellama/CodeLlama-34b-hf"),
        ("mpt-7b", "mosaicml/mpt-7b"),
        ("nvidia/Llama-4-Maverick-17B-128E-Instruct-FP8", "meta-llama/Llama-4-Maverick-17B-128E"),
        ("deepseek-ai/DeepSeek-R1-0528", "deepseek-ai/DeepSeek-V3"),
        ("GPT-70B", None),
    ],
)
def test_names_people_use(name, known):
    assert find(name) == known


@pytest.mark.parametrize("name", model_names())
def test_every_model_names_a_source(name):
    assert load(name).source


def test_unknown_name_offers_the_nearest():
    with pytest.raises(InputError, match="model: 'lama-3.1-70b'.*nearest: .*Llama-3.1-70B"):
        load("lama-3.1-70b")


def test_a_path_works(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    assert load(str(tmp_path / "config.json")).kv_heads == 8
    assert load(str(tmp_path)).layers == 32


@pytest.mark.parametrize(
    "change",
    [
        {"model_type": "bert", "architectures": ["BertModel"]},
        {"model_type": "t5", "is_encoder_decoder": True},
        {"hidden_size": -1},
        {"hidden_size": "4096"},
        {"hidden_size": True},
        {"num_hidden_layers": 10**12},
        {"num_key_value_heads": 7},
        {"vocab_size": None},
    ],
)
def test_configs_that_cannot_be_used(change):
    with pytest.raises(InputError) as error:
        from_config(LLAMA | change, "x")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["", "[1]", "{", "null", '"x"', "{" * 5000])
def test_files_that_are_no_config(tmp_path, text):
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(InputError):
        load(str(path))


def test_a_large_file_is_refused(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(" " * 20_000_001)
    with pytest.raises(InputError, match="at most"):
        load(str(path))


@pytest.mark.parametrize("name", ["", "\0", "../../etc/passwd", "a" * 10_000, "x\ny"])
def test_names_that_are_no_names(name):
    with pytest.raises(InputError) as error:
        load(name)
    assert "\n" not in str(error.value)
