"""Customers: what is accepted, and that everything else is refused in one sentence and nothing but an InputError."""

import json
import math

import jsonschema
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hopperbook import customer, facts
from hopperbook.errors import InputError

BASE = {"name": "A", "model": "llama-3.1-8b"}
SHIPPED = sorted((facts.DATA / "customers").glob("*.yaml"))


def refused(values: dict, *words: str) -> str:
    with pytest.raises(InputError) as caught:
        customer.check(values)
    sentence = str(caught.value)
    assert "\n" not in sentence and "\r" not in sentence
    assert len(sentence) < 600
    for word in words:
        assert word in sentence
    return sentence


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "a/../../etc",
        "<script>alert(1)</script>",
        "`ls`",
        "{{ config }}",
        "{% raw %}",
        "a\nb",
        "a\rb",
        "a\x07b",
        "a\x1b[31mb",
        "a\u2028b",
        "a\u202eb",
        "**bold**",
        "# heading",
        "[link](javascript:alert(1))",
        "![image](x.png)",
        "_emphasis_",
        "__strong__",
        "$x^2$",
        "a | b",
        "a\\b",
        "",
        "   ",
        "x" * 61,
    ],
)
def test_name_that_is_no_plain_text_is_refused(name):
    refused(BASE | {"name": name}, "name: ", "allowed is")


@pytest.mark.parametrize(
    "name", ["Lingua Shop", "Café Müller & Söhne", "AT&T (Europe), Inc.", "小店", "foo_bar", "O'Neil"]
)
def test_plain_names_are_kept(name):
    assert customer.check(BASE | {"name": name}).name == name


@pytest.mark.parametrize(
    ("field", "value", "nearest"),
    [
        ("concurrency", -1, "1"),
        ("concurrency", 0, "1"),
        ("concurrency", 10**9, "100000"),
        ("concurrency", 10**400, "100000"),
        ("concurrency", 5.5, None),
        ("concurrency", "5", None),
        ("concurrency", None, None),
        ("concurrency", [1], None),
        ("context_tokens", -5, "0"),
        ("ttft_target_ms", math.inf, "3600000"),
        ("ttft_target_ms", -math.inf, "0.1"),
        ("ttft_target_ms", math.nan, None),
        ("tpot_target_ms", "fast", None),
        ("tpot_target_ms", 0, "0.01"),
        ("tpot_target_ms", 1e-300, "0.01"),
        ("training_tokens", -1.0, "0"),
        ("training_tokens", 1e300, "1000000000000000"),
        ("training_deadline_days", 0, "0.001"),
        ("budget_usd_per_month", -1, "0"),
        ("budget_usd_per_month", math.nan, None),
        ("hpc_hours_per_day", 25, "24"),
        ("busy_fraction", 1.5, "1"),
        ("horizon_months", 0, "1"),
        ("max_gpus", 10**6, "16384"),
        ("h100_usd_per_hour", 0, "0.0001"),
        ("h100_usd_per_hour", -2.0, "0.0001"),
        ("h200_usd_per_hour", "free", None),
        ("a100_usd_per_hour", math.inf, "1000000"),
        ("precision", "fp7", "fp8"),
        ("fp8_recipe", "dalayed", "delayed"),
        ("fp8_recipe", "blocks", "block"),
        ("fp8_recipe", 1, None),
        ("market", "others", "other"),
        ("tenure", "buy", None),
        ("language", 5, None),
        ("language", "zh", "en"),
        ("currency", "EURO", "EUR"),
        ("currency_per_usd", -1.0, "0"),
        ("accent", "red", None),
        ("accent", "#12345", None),
        ("logo", "logo.gif", None),
        ("contact", "<b>x</b>", None),
        ("contact", "two\nlines", None),
        ("confidentiality", "[x](y)", None),
        ("business", "two\nlines", None),
        ("business", "x" * 301, None),
        ("region", "\x1b[31m", None),
        ("name", {"a": 1}, None),
        ("owned_gpu", 5, None),
    ],
)
def test_wrong_types_and_absurd_values_are_refused_with_what_is_allowed(field, value, nearest):
    sentence = refused(BASE | {field: value}, f"{field}: ", "allowed is ")
    if nearest is not None:
        assert f"nearest: {nearest}" in sentence


def test_other_mistakes_are_named_in_the_same_sentence():
    sentence = refused(BASE | {"concurency": 3, "prompt_tokens": -1, "region": 5}, "concurency", "concurrency")
    assert sentence.endswith("; to be mended too: prompt_tokens, region")
    assert "too" not in refused(BASE | {"region": 5}, "region")


@pytest.mark.parametrize(
    "field", ["concurrency", "tpot_target_ms", "name", "h100_usd_per_hour", "owned_gpu", "training_tokens"]
)
@pytest.mark.parametrize("flag", [True, False])
def test_flags_are_no_numbers(field, flag):
    refused(BASE | {field: flag}, f"{field}: {flag}", "not true or false")


@pytest.mark.parametrize(
    ("field", "value", "nearest"),
    [
        ("model", "llama-9-8b", "meta-llama/Llama"),
        ("training_model", "lama-3.1-70b", "meta-llama/Llama-3.1-70B"),
        ("small_model", "lama-3.2-3b", "meta-llama/Llama-3.2-3B"),
        ("owned_gpu", "H300 SXM", "H100 SXM"),
        ("parts", "B2000", "B200 SXM"),
        ("parts", ",", "A100 SXM 80GB"),
    ],
)
def test_unknown_models_and_gpus_offer_the_nearest(field, value, nearest):
    assert nearest in refused(BASE | {field: value}, f"{field}: '{value}'").split("nearest: ")[1]


def test_the_recipe_of_fp8_names_the_format_that_calculators_time():
    assert customer.check(BASE).fp8_recipe == "current"
    for recipe, precision in (("delayed", "fp8"), ("current", "fp8"), ("row", "fp8"), ("block", "fp8_block")):
        assert customer.check(BASE | {"fp8_recipe": recipe}).fp8_precision == precision


def test_a_misspelt_field_is_named_before_the_one_that_is_missing_for_it():
    assert "'modle'" in refused({"name": "X", "modle": "llama-3.1-8b"}, "nearest: model")


def test_unknown_field_offers_the_nearest():
    assert "concurrency" in refused(BASE | {"concurency": 5}, "'concurency'").split("nearest: ")[1]
    refused(BASE | {5: 5})
    refused({"name": "A"}, "model: ", "required")
    refused({}, "name: ", "required")


def test_lengths_beyond_the_model_are_refused():
    refused(BASE | {"context_tokens": 200_000}, "context_tokens", "131,072", "nearest: 131072")
    refused(BASE | {"prompt_tokens": 131_000, "output_tokens": 1000}, "prompt_tokens", "130,072", "131,072")
    assert customer.check(BASE | {"prompt_tokens": 130_072, "output_tokens": 1000}).held_tokens == 131_072


def test_a_model_by_path_must_be_a_decoder(tmp_path):
    shapes = {"model_type": "bert", "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12}
    path = tmp_path / "config.json"
    for text in (json.dumps(shapes), "[1]", "{", '{"vocab_size": ' + "1" * 5000 + "}", "\x00"):
        path.write_text(text)
        refused(BASE | {"model": str(path)})
    refused(BASE | {"model": str(tmp_path / "none.json")}, "existing config.json")
    path.write_bytes(b"\xff\xfe")
    refused(BASE | {"model": str(path)})


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=0, max_value=200_000),
    st.floats(),
    st.text(max_size=40),
    st.sampled_from([10**5000, -(10**400), "llama-3.1-8b", "H100 SXM", "fp8", "nan", "inf", "\ud800", "2.5", b"x"]),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(st.one_of(st.sampled_from(customer.FIELDS), st.text(max_size=12)), scalars, max_size=6),
    st.booleans(),
)
def test_check_raises_nothing_but_input_errors(values, with_base):
    try:
        found = customer.check(BASE | values if with_base else values)
    except InputError as error:
        assert len(str(error).splitlines()) == 1
    else:
        assert customer.check(found.model_dump()) == found
        json.dumps(found.model_dump(), allow_nan=False)


def read_refused(path, *words):
    with pytest.raises(InputError) as caught:
        customer.read(path)
    assert len(str(caught.value).splitlines()) == 1
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("name: [unclosed", "YAML"),
        ("name: A\n\tmodel: b", "YAML"),
        ("a: b: c", "line 1"),
        ("name: !!python/object/apply:os.system ['true']", "without tags"),
        ("name: !!str 5", "without tags"),
        ("name: !<tag:yaml.org,2002:str> 5", "without tags"),
        ("name: &a X\nbusiness: *a", "anchors"),
        ("a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]", "anchors"),
        ("<<: {name: A}", "merged"),
        ("name: A\nname: B", "each field once"),
        ("concurrency: 5\nname: A\nconcurrency: 6", "'concurrency'"),
        ("- name\n- model", "mapping"),
        ("just text", "mapping"),
        ("", "mapping"),
        ("--- {name: A}\n--- {name: B}", "YAML"),
        ("name: [A, B]", "one value"),
        ("name: {first: A}", "one value"),
        ("? [a, b]\n: c", "YAML"),
        ("5: name", "one value"),
        ("business: 2020-13-45", "YAML"),
        ("concurrency: " + ":".join(["1"] * 400) + ".5", "YAML"),
        ("name: \x07", "YAML"),
        ("concurrency: 012", "decimal digits"),
        ("concurrency: 0x1F", "decimal digits"),
        ("concurrency: 1:30", "decimal digits"),
        ("budget_usd_per_month: 1_000.5", "decimal digits"),
        ("[" * 20_000, "flat"),
        ("{a: " * 9_000, "flat"),
    ],
)
def test_clever_or_broken_yaml_is_refused(tmp_path, text, word):
    path = tmp_path / "customer.yaml"
    path.write_text(text)
    read_refused(path, word)


def test_files_that_cannot_be_read_are_refused(tmp_path):
    (tmp_path / "right.yaml").write_text("name: A")
    read_refused(tmp_path / "rihgt.yaml", "existing", "right.yaml")
    read_refused(tmp_path, "not a folder")
    read_refused("\x00", "existing")
    read_refused("a" * 5000, "existing")
    huge = tmp_path / "huge.yaml"
    huge.write_bytes(b"# " + b"x" * 10_000_000)
    read_refused(huge, "64,000 bytes", "10,000,002")
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"name: \xff\xfe")
    read_refused(binary, "UTF-8")


def test_a_number_that_python_does_not_write_is_refused(tmp_path):
    path = tmp_path / "long.yaml"
    path.write_text("name: A\nmodel: mistral-7b\nconcurrency: 0x" + "f" * 20_000)
    with pytest.raises(InputError, match="concurrency: .*decimal digits"):
        customer.load(path)
    with pytest.raises(InputError, match="concurrency: a int too long"):
        customer.check({"name": "A", "model": "mistral-7b", "concurrency": 16**20_000})


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.one_of(
        st.binary(max_size=200), st.text(alphabet="a:-[]{}&*!|>'\"#%@`, \n\t?0.<~=", max_size=120).map(str.encode)
    )
)
def test_read_raises_nothing_but_input_errors(tmp_path, content):
    path = tmp_path / "fuzz.yaml"
    path.write_bytes(content)
    try:
        assert all(isinstance(key, str) for key in customer.read(path))
    except InputError as error:
        assert len(str(error).splitlines()) == 1


def test_a_day_without_quotes_is_its_text(tmp_path):
    path = tmp_path / "customer.yaml"
    path.write_text("name: A\nmodel: llama-3.1-8b\nas_of: 2026-08-23\nconcurrency: 0\nthink_time_s: 0.50\n")
    assert customer.read(path)["as_of"] == "2026-08-23" and customer.read(path)["think_time_s"] == 0.5


def test_a_calibration_of_something_unknown_is_refused():
    with pytest.raises(InputError, match=r"nothere.*nearest"):
        customer.check({"name": "A", "model": "llama-3.1-8b", "calibration": "nothere.host_s=1"})


def test_text_is_kept_as_text(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text('name: A\nmodel: mistral-7b\nbusiness: "<script>alert(1)</script> {{ x }}"\ntraining_tokens: 2e9\n')
    found = customer.load(path)
    assert found.business == "<script>alert(1)</script> {{ x }}"
    assert found.training_tokens == 2e9  # YAML 1.1 reads 2e9 as text


def test_schema_is_valid_and_accepts_the_shipped_customers():
    schema = customer.schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    assert len(SHIPPED) >= 4
    for path in SHIPPED:
        validator.validate(yaml.safe_load(path.read_text()))
        customer.load(path)
    for bad in ({"name": "A"}, BASE | {"concurrency": "5"}, BASE | {"unknown": 1}, BASE | {"precision": "fp7"}):
        assert not validator.is_valid(bad)
    assert all(field.get("description") for field in schema["properties"].values())


def other_value(field: str, now: object) -> object:
    info = customer.schema()["properties"][field]
    rule = info.get("anyOf", [info])[0]
    if "enum" in rule:
        return next(v for v in rule["enum"] if v != now)
    if field.endswith("model"):
        return "mistral-7b"
    if "multipleOf" in rule:
        return rule["minimum"]
    if field in ("owned_gpu", "parts"):
        return "H200 SXM"
    if field == "length_sample":
        return "900/200 2000/90/500"
    if field == "as_of":
        return "2026-06-01"
    if field == "day_curve":
        return ",".join(["1"] * 24)
    named = {"currency": "EUR", "language": "de.po", "logo": "acme.svg", "accent": "#0067b5"}
    if field in named:
        return named[field]
    if field == "calibration":
        return "vllm.age=1.02; 12 rows of runs.csv"
    if rule["type"] == "string":
        return "other words"
    return next(v for v in (1, 2, 0.5) if v != now and v <= rule["maximum"])


@pytest.mark.parametrize("field", customer.FIELDS)
def test_digest_changes_with_every_field(field):
    base = BASE | {"service": "rerank"} if field == "texts_per_request" else BASE
    first = customer.check(base)
    second = customer.check(base | {field: other_value(field, getattr(first, field))})
    assert getattr(second, field) != getattr(first, field)
    assert second.digest() != first.digest()
    assert customer.check(base).digest() == first.digest()


def test_overrides():
    assert customer.parse_override("context_tokens = 32768") == ("context_tokens", 32768)
    assert customer.parse_override("name= 5") == ("name", "5")
    assert customer.parse_override("business=[1] 2020-13-45") == ("business", "[1] 2020-13-45")
    assert customer.parse_override("owned_gpu=") == ("owned_gpu", "")
    for text in (
        "nonsense",
        "contxt_tokens=5",
        "=5",
        "context_tokens=[1]",
        "context_tokens={a: 1}",
        "context_tokens=!!x",
        "concurrency=2020-13-45",
        "concurrency=012",
        "concurrency=1:30",
        "concurrency=1_000",
        "concurrency=&a 7",
    ):
        with pytest.raises(InputError) as caught:
            customer.parse_override(text)
        assert len(str(caught.value).splitlines()) == 1
    with pytest.raises(InputError, match="nearest: context_tokens"):
        customer.parse_override("contxt_tokens=5")


def test_of_takes_the_fields_of_a_notebook():
    everything = customer.default().model_dump()
    assert customer.of(everything | {"np": math, "display": print}) == customer.default()
