"""A declaration, and what the control plane makes of it, have one form: with its defaults."""

from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st
from modelserving.v1.ai_gateway_pb2 import AiGatewayConfig
from modelserving.v1.endpoint_pb2 import EndpointConfigInput, RateLimit
from modelserving.v1.guardrail_policy_pb2 import GuardrailPolicy

from modelplane.control_plane.endpoints.config_input import build_config
from modelplane.control_plane.endpoints.gateway_rules import (
    build_ai_gateway,
    build_policies,
    build_rate_limits,
)
from modelplane.deploy.command.api.client import Json
from modelplane.deploy.command.declared.differences import compare
from modelplane.deploy.command.declared.kinds import endpoint_forms as forms
from modelplane.deploy.command.declared.kinds import endpoints, policy_forms
from modelplane.deploy.command.declared.kinds.base import Item

NAMES = st.sampled_from(["", "a", "b-1"])
MODELS = st.sampled_from(["gpt-4o", "claude-3.5:latest", "x" * 140])


def optional(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Json]:
    return st.fixed_dictionaries({}, optional=fields)


EXTERNAL = st.builds(
    lambda name, model, more: {
        **more,
        **({"name": name} if name else {}),
        "external_model": {"name": model, "provider": "openai", "task": "llm/v1/chat"},
    },
    NAMES,
    MODELS,
    optional(environment_vars=st.just({}), workload_size=st.just("")),
)
HOSTED = st.builds(
    lambda name, fixed, more: {**more, **({"name": name} if name else {}), **fixed},
    NAMES,
    st.fixed_dictionaries(
        {
            "entity_name": st.sampled_from(["main.ml.iris", "iris"]),
            "entity_version": st.sampled_from(["1", 1, "@champion"]),
            "scale_to_zero_enabled": st.booleans(),
        }
    ),
    optional(
        workload_size=st.sampled_from(["", "Small", "Medium"]),
        workload_type=st.sampled_from(["", "CPU", "GPU"]),
        min_provisioned_concurrency=st.sampled_from([0, 4]),
        max_provisioned_concurrency=st.sampled_from([0, 8]),
        environment_vars=st.sampled_from([{}, {"A": "b"}]),
        instance_profile_arn=st.just(""),
    ),
)
LIMITS = st.lists(
    st.fixed_dictionaries(
        {"calls": st.sampled_from([0, 5, 7.0]), "renewal_period": st.just("minute")},
        optional={"key": st.just("user")},
    ),
    max_size=1,
)
GATEWAYS = optional(
    rate_limits=LIMITS,
    usage_tracking_config=st.sampled_from([{}, {"enabled": True}, {"enabled": False}]),
    fallback_config=st.sampled_from([{"enabled": True}, {"enabled": False}]),
    retry_config=st.sampled_from([{"max_retries": 0}, {"max_retries": 2}]),
    timeout_config=st.sampled_from([{}, {"idle_seconds": 2.5}]),
    guardrails=st.sampled_from(
        [
            {"input": {"pii": {"behavior": "MASK"}}},
            {"input": {"safety": True}, "judge": {"endpoint_name": "g"}},
            {"input": {"safety": True}, "judge": {"endpoint_name": "g", "on_error": "open"}},
        ]
    ),
)
POLICIES = st.builds(
    lambda common, detector: {**common, **detector},
    optional(
        rank=st.sampled_from([0, 7]),
        mode=st.sampled_from(["enforce", "log"]),
        phases=st.sampled_from([[], ["output", "input"], ["input", "input"]]),
        sampling_fraction=st.sampled_from([1, 0.5]),
        exempt=st.sampled_from([[], ["kim"]]),
        unscannable=st.sampled_from(["allow", "block"]),
    ),
    st.sampled_from(
        [
            {"pii": {}, "action": "pseudonym", "phases": ["input"]},
            {"pii": {"entities": ["US_SSN", "EMAIL_ADDRESS", "US_SSN"]}, "action": "mask"},
            {"keywords": {"words": ["b", "a"]}},
            {"patterns": {"expressions": ["x"]}, "action": ""},
            {"judge": {"endpoint_name": "g"}},
            {"judge": {"endpoint_name": "g", "timeout_seconds": 2, "form": "llama_guard"}},
        ]
    ),
)


def shown(message: Message | None) -> Json:
    if message is None:
        return {}
    found: Json = json_format.MessageToDict(message, preserving_proto_field_name=True)
    return found


@given(
    st.lists(EXTERNAL, min_size=1, max_size=2) | st.lists(HOSTED, min_size=1, max_size=2),
    st.booleans(),
    st.sampled_from(["served_entity_name", "served_model_name"]),
)
def test_a_configuration(entities: list[Json], spells_models: bool, route: str) -> None:  # noqa: FBT001 - by hypothesis
    config: Json = {}
    if len(entities) > 1:
        entities = [one | {"name": f"n{number}"} for number, one in enumerate(entities)]
        routes = [{route: one["name"], "traffic_percentage": 50} for one in entities]
        config["traffic_config"] = {"routes": routes}
    if spells_models:
        names = {"entity_name": "model_name", "entity_version": "model_version"}
        entities = [{names.get(name, name): one[name] for name in one} for one in entities]
    config["served_models" if spells_models else "served_entities"] = entities
    sent = json_format.ParseDict(config, EndpointConfigInput())
    answer = {"config": shown(build_config(sent))}
    body = {"config": config}
    assert forms.there(answer, [], body)["config"] == forms.wanted(body)["config"]


@given(GATEWAYS, LIMITS)
def test_settings(gateway: Json, limits: list[Json]) -> None:
    body = {"ai_gateway": gateway, "rate_limits": limits}
    built = build_ai_gateway(json_format.ParseDict(gateway, AiGatewayConfig()), tables=True)
    sent = [json_format.ParseDict(one, RateLimit()) for one in limits]
    old = [shown(one) for one in build_rate_limits(sent)]
    there, wanted = forms.there({"ai_gateway": shown(built)}, old, body), forms.wanted(body)
    assert {part: there[part] for part in wanted} == wanted


@given(st.lists(POLICIES, max_size=2))
def test_policies(given_policies: list[Json]) -> None:
    named = [{"name": f"p{number}", **one} for number, one in enumerate(given_policies)]
    sent = [json_format.ParseDict(one, GuardrailPolicy()) for one in named]
    built = [shown(one) for one in build_policies(sent)]
    assert list(compare("", policy_forms.policies(built), policy_forms.policies(named))) == []


def test_policies_that_say_something_else_are_told() -> None:
    old = [{"name": "p", "pii": {"entities": ["US_SSN"]}, "phases": ["input"]}]
    new = [{"name": "p", "pii": {}, "rank": 3}]
    told = compare("policies", policy_forms.policies(old), policy_forms.policies(new))
    assert {one.path for one in told} == {
        "policies[p].phases",
        "policies[p].rank",
        "policies[p].pii.entities",
    }


def test_what_is_malformed_is_left_to_the_api() -> None:
    wrong = {"name": "p", "phases": 7, "pii": {"entities": 3}, "judge": "g", "patterns": []}
    [kept] = policy_forms.policies([wrong])
    assert (kept["phases"], kept["pii"], kept["judge"]) == (7, {"entities": 3}, "g")
    assert not policy_forms.guard_requests([wrong])


def test_judges_come_before_those_for_whom_they_judge() -> None:
    def item(name: str, **body: object) -> Item:
        return Item(Path("f"), "endpoints", name, {"name": name, **body})

    judging = {"guardrails": {"judge": {"endpoint_name": "z"}}}
    policies = [{"name": "p", "judge": {"endpoint_name": "b"}}]
    items = [item("a", policies=policies), item("b", ai_gateway=judging), item("z")]
    assert [one.name for one in endpoints.order(items)] == ["z", "b", "a"]
    circle = [item("b", policies=policies)]
    assert endpoints.order(circle) == circle


@pytest.mark.parametrize("part", ["auto_capture_config", "inference_table_config"])
def test_what_asks_for_nothing_is_nothing(part: str) -> None:
    asked = {part: {"enabled": False}}
    assert forms.wanted({"config": asked, "ai_gateway": asked}) == {
        "tags": [],
        "rate_limits": [],
        "config": {},
        "ai_gateway": {},
    }


def test_an_update_that_is_under_way_is_what_there_is() -> None:
    entity = {"name": "m", "external_model": {"name": "x"}}
    pending = {"served_entities": [entity | {"name": "new"}]}
    endpoint = {"config": {"served_entities": [entity]}, "pending_config": pending}
    state = {"config_update": "IN_PROGRESS"}
    assert (
        forms.there({**endpoint, "state": state}, [], {})["config"]
        == forms.wanted({"config": pending})["config"]
    )
    assert "new" not in str(forms.there(endpoint, [], {})["config"])
