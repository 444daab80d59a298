import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st
from modelserving.v1.endpoint_pb2 import EndpointConfig, EndpointTag, ServedEntity

from modelplane.control_plane.endpoints.config_input import build_config
from modelplane.control_plane.endpoints.validation import (
    MAX_CONFIG_BYTES,
    check_change,
    check_config,
    check_endpoint_name,
    check_settled,
    check_tags,
)
from modelplane.control_plane.errors import Conflict, InvalidParameter
from tests.control_plane.configs import config_input, openai_entity

HOSTED: dict[str, object] = {"name": "hosted", "entity_name": "c.s.m", "entity_version": "1"}
THROUGHPUT: dict[str, object] = {
    **HOSTED,
    "name": "throughput",
    "min_provisioned_throughput": 0,
    "max_provisioned_throughput": 1940,
}


def config(*entities: dict[str, object], **shares: object) -> EndpointConfig:
    routes = [
        {"served_model_name": name, "traffic_percentage": share} for name, share in shares.items()
    ]
    return build_config(config_input(*entities, traffic_config={"routes": routes}))


def pair(**shares: object) -> EndpointConfig:
    return config(openai_entity("a"), openai_entity("b"), **shares)


@pytest.mark.parametrize("name", ["a", "A-b_9", "x" * 63, "chat", "my-databricks-model"])
def test_names_that_may_be_used(name: str) -> None:
    check_endpoint_name(name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "name is required"),
        ("x" * 64, "1 to 63"),
        ("a b", "letters, digits"),
        ("a.b", "letters, digits"),
        ("a/b", "letters, digits"),
        ("naïve", "letters, digits"),
        ("a\n", "letters, digits"),
        ("databricks-mine", "prefix 'databricks-' is reserved"),
        ("pt", "is a path of the API"),
        ("get-model-optimization-info", "is a path of the API"),
    ],
)
def test_names_that_may_not(name: str, message: str) -> None:
    with pytest.raises(InvalidParameter, match=message):
        check_endpoint_name(name)


@given(st.text())
def test_only_safe_characters_pass(name: str) -> None:
    try:
        check_endpoint_name(name)
    except InvalidParameter:
        return
    assert name.isascii()
    assert name.replace("-", "").replace("_", "").isalnum() or set(name) <= set("-_")


@pytest.mark.parametrize(
    "good",
    [
        pair(a=50, b=50),
        pair(a="90", b="10"),
        pair(a=100, b=0),
        pair(b=1, a=99),
        config(openai_entity()),
        config(HOSTED),
        config(THROUGHPUT),
        config({**HOSTED, "workload_size": "Small", "scale_to_zero_enabled": True}),
        config({**HOSTED, "min_provisioned_concurrency": 4, "max_provisioned_concurrency": 8}),
        config({**openai_entity(), "workload_size": "", "scale_to_zero_enabled": False}),
        config({**openai_entity(), "min_provisioned_throughput": 0, "provisioned_model_units": 0}),
        config(
            *(openai_entity(f"e{n}") for n in range(15)),
            **{f"e{n}": 10 * (n < 10) for n in range(15)},
        ),
    ],
)
def test_configurations_that_pass(good: EndpointConfig) -> None:
    check_config(good)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (pair(), "traffic_config is required with 2 served entities"),
        (pair(a=50, b=40), "add up to 90"),
        (pair(a=60, b=50), "add up to 110"),
        (pair(a=0, b=0), "add up to 0"),
        (pair(a=110, b=-10), "traffic_percentage of 'a' is 110"),
        (pair(a=-10, b=110), "traffic_percentage of 'a' is -10"),
        (pair(a=50, zz=50), "route to 'zz'"),
        (pair(a=100), "no route to b"),
        (
            config(*(openai_entity(f"e{n}") for n in range(16)), e0=100),
            "16 served entities; at most 15",
        ),
        (config(openai_entity("a"), openai_entity("a"), a=100), "2 served entities are called 'a'"),
        (config(openai_entity("a b")), "'a b' is not allowed"),
        (config(openai_entity("x" * 129)), "1 to 128"),
        (config({}), "neither a name nor a model"),
        (config({"name": "a"}), "neither external_model nor entity_name"),
        (config({"name": "a", "external_model": {}}), "'a': external_model.name is required"),
        (config({**openai_entity(), "entity_name": "c.s.m"}), "excludes entity_name"),
        (config({**openai_entity(), "entity_version": 1}), "excludes entity_version"),
        (config({**openai_entity(), "workload_size": "Small"}), "excludes workload_size"),
        (config({**openai_entity(), "workload_type": "CPU"}), "excludes workload_type"),
        (config({**openai_entity(), "scale_to_zero_enabled": True}), "excludes scale_to_zero"),
        (config({**openai_entity(), "min_provisioned_throughput": 1}), "excludes min_provisioned"),
        (config({**openai_entity(), "burst_scaling_enabled": True}), "excludes burst_scaling"),
        (config({**openai_entity(), "environment_vars": {"A": "b"}}), "excludes environment_vars"),
        (
            config({**HOSTED, "workload_size": "Small", "max_provisioned_concurrency": 4}),
            "workload_size and max_provisioned_concurrency exclude each other",
        ),
        (config(openai_entity(), HOSTED), "one kind, but 'chat' is an external model, 'hosted'"),
        (config(HOSTED, THROUGHPUT), "foundation model with provisioned throughput"),
        (
            config(openai_entity("a"), openai_entity("b", task="llm/v1/completions"), a=50, b=50),
            "same task, but 'a' has llm/v1/chat, 'b' has llm/v1/completions",
        ),
    ],
)
def test_configurations_that_break_a_rule(bad: EndpointConfig, message: str) -> None:
    with pytest.raises(InvalidParameter, match=message):
        check_config(bad)


def test_two_routes_to_one_entity() -> None:
    double = pair(a=50, b=50)
    double.traffic_config.routes.append(double.traffic_config.routes[0])
    with pytest.raises(InvalidParameter, match="two routes to 'a'"):
        check_config(double)


@given(st.lists(st.integers(-200, 200), min_size=1, max_size=15))
def test_only_shares_that_add_up_to_100_pass(shares: list[int]) -> None:
    names = {f"e{n}": share for n, share in enumerate(shares)}
    split = config(*(openai_entity(name) for name in names), **names)
    good = sum(shares) == 100 and all(0 <= share <= 100 for share in shares)
    try:
        check_config(split)
    except InvalidParameter:
        assert not good
    else:
        assert good


def test_an_endpoint_neither_gains_nor_loses_external_models() -> None:
    external, hosted = config(openai_entity()), config(HOSTED)
    check_change(None, external)
    check_change(external, config(openai_entity(task="llm/v1/embeddings")))
    check_change(hosted, hosted)
    with pytest.raises(InvalidParameter, match="cannot be updated to serve others"):
        check_change(external, hosted)
    with pytest.raises(InvalidParameter, match="created without an external_model"):
        check_change(hosted, external)


def test_an_update_waits_for_the_one_before() -> None:
    check_settled("chat", updating=False)
    with pytest.raises(Conflict, match="Endpoint 'chat' is currently being updated"):
        check_settled("chat", updating=True)


def tags(*items: dict[str, str]) -> list[EndpointTag]:
    return [json_format.ParseDict(item, EndpointTag()) for item in items]


def test_tags_that_pass() -> None:
    check_tags(tags({"key": "k" * 127, "value": "v" * 255}, {"key": "bare"}))
    check_tags(tags(*({"key": f"k{n}"} for n in range(20))))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ([{"key": f"k{n}"} for n in range(21)], "at most 20"),
        ([{"value": "v"}], "key must have"),
        ([{"key": "k" * 128}], "key must have"),
        ([{"key": "k", "value": "v" * 256}], "'k' is too long"),
        ([{"key": "k"}, {"key": "k"}], "'k' is given 2 times"),
    ],
)
def test_tags_that_do_not(bad: list[dict[str, str]], message: str) -> None:
    with pytest.raises(InvalidParameter, match=message):
        check_tags(tags(*bad))


def test_a_configuration_is_no_longer_than_workers_can_be_sent() -> None:
    variables = {f"VARIABLE_{number}": "x" * 500 for number in range(MAX_CONFIG_BYTES // 500)}
    entity = ServedEntity(name="chat", entity_name="model", environment_vars=variables)
    with pytest.raises(InvalidParameter, match=f"at most {MAX_CONFIG_BYTES} are allowed"):
        check_config(EndpointConfig(served_entities=[entity]))
