"""Configurations as published: counted to the unit, or refused with the reason; and never wrong in silence."""

import csv
import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hopperbook import models
from hopperbook.errors import InputError
from hopperbook.models import from_config

HERE = Path(__file__).parent / "configs"


def _rows(name):
    with gzip.open(HERE / name, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


PUBLISHED = {
    row["model"]: row["config"] | ({"_sidecar": row["sidecar"]} if "sidecar" in row else {})
    for row in _rows("published.jsonl.gz")
}
with open(HERE / "truth.csv", encoding="utf-8") as lines:
    TRUTH = {row["model"]: row for row in csv.DictReader(lines)}
FAMILIES = {row["name"]: row for row in _rows("families.jsonl.gz")}

#: Files that are refused, and the field or reason that the sentence names.
REFUSED = {"RWKV/rwkv-5-world-3b": "model_type: 'rwkv5'.*its layers are RWKV's"}
#: Architectures that transformers lacks: parameters that their publishers state, or that follow from their code.
STATED = {
    "XiaomiMiMo/MiMo-7B-Base": 7_622_619_136,  # Qwen2 on the same fields, without the multi-token-prediction layer
    "OrionStarAI/Orion-14B": 14_498_703_360,  # "14.5B"
    "baichuan-inc/Baichuan2-7B-Base": 7_505_973_248,  # "7.51B"
    "internlm/internlm2_5-7b-chat": 7_737_708_544,  # "7.74B"
    "microsoft/Phi-3.5-vision-instruct": 3_821_079_552,  # Phi-3.5-mini, whose text model it is
    "openbmb/MiniCPM-2B": 3_007_736_064,  # this file does not tie its tables
    "openbmb/MiniCPM-MoE-8x2B": 13_873_291_776,  # "13.6B" without the embedding
    "zai-org/chatglm3-6b": 6_243_584_000,
}
#: Removing one of these leaves what the family's own code takes without it: the count changes, rightly.
BY_DEFAULT = {("openbmb/MiniCPM-2B", "tie_word_embeddings")}


def _counts(model):
    return models.parameters(model), models.parameters(model, active=True), models.kv_bytes(model, 20_000)


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_a_published_config_is_exact_or_refused(name):
    if name in REFUSED:
        with pytest.raises(InputError, match=REFUSED[name]):
            from_config(PUBLISHED[name], name)
        return
    model, truth = from_config(PUBLISHED[name], name), TRUTH[name]
    if not truth["text_parameters"]:
        assert models.parameters(model) == STATED[name]
        return
    assert models.parameters(model) == int(truth["text_parameters"])
    assert models.parameters(model) + model.vision == int(truth["total_parameters"])
    assert models.parameters(model, active=True) == int(truth["active_parameters"])
    assert models.kv_bytes(model, int(truth["n_tokens"])) == int(truth["kv_bytes"])
    assert models.recurrent_state_bytes(model) == int(truth["recurrent_state_bytes"])


@pytest.mark.parametrize("name", sorted(name for name, row in TRUTH.items() if row["approx_weight_bytes"]))
def test_a_checkpoint_has_the_bytes_of_its_own_format(name):
    model, truth = from_config(PUBLISHED[name], name), TRUTH[name]
    published = float(truth["approx_weight_bytes"])
    if truth["weight_format"] == "float32":  # the file's; engines load it in 16 bits, and say so
        published /= 2
        assert any("32-bit" in note for note in model.notes)
    # rough in the table: scales of some formats; buffers are ours
    assert models.weight_bytes(model) == pytest.approx(published, rel=0.002)
    ranks = models.weight_bytes(model, models.own_format(model))
    assert ranks == models.weight_bytes(model)  # asked for by name, it is the checkpoint as it is


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_a_family_counts_as_its_own_code(name):
    row = FAMILIES[name]
    model = from_config(row["config"], name)
    assert models.parameters(model) == row["parameters"]
    assert model.vision == row.get("vision", model.vision)


def _text(config):
    """Return the fields that hold the language model's sizes, and a function that puts changed ones back."""
    if isinstance(config.get("text_config"), dict):
        return config["text_config"], lambda text: {**config, "text_config": text}
    return config, lambda text: text


def _outcome(name, config):
    try:
        return _counts(from_config(config, name))
    except InputError as error:
        assert "\n" not in str(error)
        return None


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_changed_config_is_refused_or_counts_the_same(data):
    name = data.draw(st.sampled_from(sorted(set(PUBLISHED) - set(REFUSED))))
    config = PUBLISHED[name]
    fields, whole = _text(config)
    before = _counts(from_config(config, name))
    how = data.draw(st.sampled_from(["remove", "rename", "add"]))
    field = data.draw(st.sampled_from(sorted(f for f in fields if not f.startswith("_"))))
    if how == "add":
        stem = data.draw(st.sampled_from(["num_layers", "hidden_size", "expert_width", "heads", "window", "lora_rank"]))
        extra = data.draw(st.sampled_from(["extra", "other", "second"]))
        changed = {**fields, f"{extra}_{stem}": data.draw(st.integers(0, 4096))}
        assert _outcome(name, whole(changed)) is None
        return
    changed = {key: value for key, value in fields.items() if key != field}
    if how == "rename":
        changed[data.draw(st.sampled_from(["new_" + field, field + "_2", field.upper()]))] = fields[field]
    after = _outcome(name, whole(changed))
    assert after in (None, before) or (how == "remove" and (name, field) in BY_DEFAULT)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"first_k_dense_replace": 100}, "first_k_dense_replace"),
        ({"num_experts_per_tok": 300}, "num_experts_per_tok"),
        ({"num_hidden_layers": 0}, "num_hidden_layers"),
        ({"kv_lora_rank": -1}, "kv_lora_rank"),
        ({"n_shared_experts": 1.5}, "n_shared_experts"),
        ({"vocab_size": 10**9}, "vocab_size"),
        ({"moe_intermediate_size": "2048"}, "moe_intermediate_size"),
        ({"quantization_config": {"quant_method": "magic"}}, "quantization_config"),
    ],
)
def test_sizes_that_contradict_each_other_are_refused(change, field):
    with pytest.raises(InputError, match=field):
        from_config(PUBLISHED["deepseek-ai/DeepSeek-R1"] | change, "x")


def test_lists_of_another_length_and_heads_that_do_not_divide_are_refused():
    gemma = PUBLISHED["google/gemma-4-26B-A4B"]
    short = {**gemma, "text_config": {**gemma["text_config"], "layer_types": ["full_attention"]}}
    with pytest.raises(InputError, match="layer_types.*30 words"):
        from_config(short, "x")
    with pytest.raises(InputError, match="num_attention_heads: 57 .*divisor of hidden_size"):
        from_config(PUBLISHED["01-ai/Yi-34B"] | {"num_attention_heads": 57, "num_key_value_heads": 57}, "x")
    hybrid = PUBLISHED["nvidia/Nemotron-H-56B-Base-8K"]
    with pytest.raises(InputError, match="hybrid_override_pattern.*118 letters"):
        from_config(hybrid | {"hybrid_override_pattern": "M-"}, "x")


@pytest.mark.parametrize(
    ("config", "billions"),
    [  # families that transformers does not hold, as their publishers count them
        ("step3", 316.295),
        ("searched", (49 * 855_654_400 + 31 * 176_168_960 + 2 * 128_256 * 8192 + 8192) / 1e9),  # by hand
        ("hunyuan", 80.393),
    ],
)
def test_families_of_publishers_own_code(config, billions):
    fields = OWN_CODE[config]
    assert models.parameters(from_config(fields, config)) / 1e9 == pytest.approx(billions, abs=5e-4)


def _searched_layers():
    """Blocks whose attention is kept, or skipped, and whose MLP is narrowed, as in Nemotron's searched models."""
    kept = {"attention": {"n_heads_in_group": 8, "no_op": False}, "ffn": {"ffn_mult": 5.25, "no_op": False}}
    skipped = {"attention": {"n_heads_in_group": None, "no_op": True}, "ffn": {"ffn_mult": 1.3125, "no_op": False}}
    return [kept] * 49 + [skipped] * 31


OWN_CODE = {
    "step3": {
        "model_type": "step3_text", "hidden_size": 7168, "intermediate_size": 18432, "num_attention_heads": 64,
        "num_attention_groups": 1, "num_hidden_layers": 61, "max_seq_len": 65536, "vocab_size": 128815,
        "moe_intermediate_size": 5120, "moe_num_experts": 48, "moe_top_k": 3, "share_expert_dim": 5120,
        "share_q_dim": 2048, "head_dim": 256, "moe_layers_enum": ",".join(str(i) for i in range(4, 60)),
    },
    "searched": {
        "model_type": "nemotron-nas", "hidden_size": 8192, "num_attention_heads": 64, "num_key_value_heads": None,
        "num_hidden_layers": 80, "vocab_size": 128256, "tie_word_embeddings": False, "intermediate_size": None,
        "block_configs": _searched_layers(),
    },
    "hunyuan": {
        "model_type": "hunyuan_v1_moe", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
        "num_key_value_heads": 8, "head_dim": 128, "intermediate_size": 3072, "vocab_size": 128167,
        "num_experts": 64, "moe_intermediate_size": [3072] * 32, "moe_topk": [8] * 32, "num_shared_expert": [1] * 32,
        "tie_word_embeddings": True, "use_mixed_mlp_moe": True, "use_qk_norm": True,
    },
}  # fmt: skip

PLAIN = {
    "model_type": "newcomer",
    "architectures": ["NewcomerForCausalLM"],
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "intermediate_size": 14336,
    "vocab_size": 128256,
    "hidden_act": "silu",
    "tie_word_embeddings": False,
}


def test_an_unknown_family_is_counted_when_all_is_understood_and_says_so():
    model = from_config(PLAIN, "x")
    assert models.parameters(model) == 8_030_261_248
    assert any("not a family known here" in note for note in model.notes)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"moe_num_experts": 64}, "moe_num_experts"),
        ({"layer_pattern": "MMMA"}, "layer_pattern"),
        ({"attn_type_list": [0, 1] * 16}, "attn_type_list"),
        ({"ffn_mult": 2.5}, "ffn_mult"),
        ({"hidden_act": "gelu"}, "hidden_act"),
        ({"ssm_cfg": {"d_state": 16}}, "ssm_cfg"),
        ({"attention_bias": True}, "attention_bias"),
        ({"architectures": ["NewcomerModel"]}, "model_type"),
    ],
)
def test_an_unknown_family_is_refused_by_the_field_that_matters(change, field):
    with pytest.raises(InputError, match=field):
        from_config(PLAIN | change, "x")
    if field not in ("model_type", "hidden_act"):
        with pytest.raises(InputError, match=field):
            from_config(PLAIN | change | {"model_type": "mistral", "sliding_window": None}, "x")
