"""Whoever declares endpoints for Terraform or asset bundles finds them as declared, after applying.

The provider's and the bundles' own programs are not to be had here: their calls and comparisons are
written anew from their sources, which `terraform.py` and `bundles.py` name.
"""

from collections.abc import Callable

import pytest
from google.protobuf.json_format import MessageToDict

from tests.adapters.providers.conformance import CASES, ProviderCase
from tests.e2e.infrastructure import bundles
from tests.e2e.infrastructure.fields import flat
from tests.e2e.infrastructure.terraform import ModelServing, Permissions, Secret
from tests.e2e.references import refer
from tests.e2e.rest import ENDPOINTS, Json, Rest, endpoint, entity
from tests.emulators.fleet import Fleet
from tests.emulators.openai import API_KEY, OpenAiEmulator

Declare = Callable[[OpenAiEmulator], Json]
TABLE = {"catalog_name": "main", "schema_name": "logs", "enabled": True}
MINUTE = {"renewal_period": "minute"}


def unnamed(provider: OpenAiEmulator) -> Json:
    model = entity(provider, "gpt")
    del model["name"]
    return {"name": "declared", "config": {"served_entities": [model]}}


def split(provider: OpenAiEmulator) -> Json:
    entities = [entity(provider, "small"), entity(provider, "large", "gpt-4o")]
    routes = [
        {"served_model_name": "large", "traffic_percentage": 100},
        {"served_model_name": "small", "traffic_percentage": 0},
    ]
    config = {"served_entities": entities, "traffic_config": {"routes": routes}}
    return {
        "name": "declared",
        "description": "Declared",
        "config": config,
        "tags": [{"key": "team", "value": "desk"}, {"key": "bare"}],
    }


def governed(provider: OpenAiEmulator) -> Json:
    gateway = {
        "usage_tracking_config": {"enabled": True},
        "fallback_config": {"enabled": False},
        "guardrails": {"input": {"pii": {"behavior": "MASK"}}},
        "inference_table_config": TABLE,
        # Without a key they are for all callers together.
        "rate_limits": [{"calls": 100, **MINUTE}, {"key": "user", "tokens": 10_000, **MINUTE}],
    }
    return endpoint("declared", entity(provider, "gpt"), ai_gateway=gateway)


def off(provider: OpenAiEmulator) -> Json:
    gateway = {"usage_tracking_config": {"enabled": False}, "fallback_config": {"enabled": True}}
    return endpoint("declared", entity(provider, "gpt"), ai_gateway=gateway)


def in_plain_text(provider: OpenAiEmulator) -> Json:
    model = entity(provider, "gpt", openai_api_key_plaintext=API_KEY)
    del model["external_model"]["openai_config"]["openai_api_key"]
    return endpoint("declared", model)


def empty(provider: OpenAiEmulator) -> Json:
    assert provider
    return {"name": "declared"}


def _differing() -> list[ProviderCase]:
    """Return a case of each provider with each set of fields."""
    found = {}
    for case in CASES:
        fields = flat(MessageToDict(case.model("http://127.0.0.1")))
        found[case.provider, frozenset(fields)] = case
    return list(found.values())


EACH: tuple[Declare, ...] = (unnamed, split, governed, off, in_plain_text, empty)


@pytest.mark.parametrize("declare", EACH, ids=lambda declare: declare.__name__)
def test_what_was_applied_is_as_declared(
    rest: Rest, provider: OpenAiEmulator, declare: Declare
) -> None:
    declared = declare(provider)
    made = ModelServing(rest, declared)
    assert made.plan(declared) == []
    assert bundles.plan(rest, declared) == []
    made.destroy()
    assert rest.send("GET", f"{ENDPOINTS}/declared").status_code == 404


@pytest.mark.parametrize("case", _differing(), ids=lambda case: case.name)
def test_every_provider_is_as_declared(rest: Rest, fleet: Fleet, case: ProviderCase) -> None:
    given = case.model(fleet.emulators[case.provider].origin)
    model = refer(rest, given.provider, MessageToDict(given, preserving_proto_field_name=True))
    declared: Json = {
        "name": "declared",
        "config": {"served_entities": [{"name": "one", "external_model": model}]},
    }
    made = ModelServing(rest, declared)
    assert made.plan(declared) == []
    assert bundles.plan(rest, declared) == []


def test_changes_are_applied_and_nothing_is_left_to_change(
    rest: Rest, provider: OpenAiEmulator
) -> None:
    made = ModelServing(rest, split(provider))
    changed = split(provider)
    changed["config"]["served_entities"][0]["external_model"]["name"] = "gpt-4o-mini"
    changed["tags"] = [{"key": "team", "value": "other"}, {"key": "new", "value": "1"}]
    changed["ai_gateway"] = {"rate_limits": [{"calls": 5, **MINUTE}]}
    assert made.plan(changed) == [
        "ai_gateway.#",
        "ai_gateway.rate_limits.#",
        "ai_gateway.rate_limits.0.#",
        "ai_gateway.rate_limits.0.calls",
        "ai_gateway.rate_limits.0.renewal_period",
        "config.served_entities.0.external_model.name",
        "tags.0.key",
        "tags.0.value",
        "tags.1.value",
    ]
    made.apply(changed)
    assert made.plan(changed) == []
    assert bundles.plan(rest, changed) == []
    assert rest.call("GET", f"{ENDPOINTS}/declared")["config"]["config_version"] == 2


def test_what_was_changed_by_hand_is_seen(rest: Rest, provider: OpenAiEmulator) -> None:
    declared = governed(provider)
    made = ModelServing(rest, declared)
    rest.call("PUT", f"{ENDPOINTS}/declared/ai-gateway", {"rate_limits": [{"calls": 7, **MINUTE}]})
    assert "ai_gateway.rate_limits.0.calls" in made.plan(declared)
    assert "ai_gateway.usage_tracking_config.#" in bundles.plan(rest, declared)
    made.apply(declared)
    assert made.plan(declared) == []


def test_permissions_and_secrets_are_as_declared(rest: Rest, provider: OpenAiEmulator) -> None:
    secret = Secret(rest, "terraform", "key", API_KEY)
    declared = endpoint("declared", entity(provider, "gpt", openai_api_key=secret.reference))
    made = ModelServing(rest, declared)
    grants = [{"group_name": "users", "permission_level": "CAN_QUERY"}]
    endpoint_id = rest.call("GET", f"{ENDPOINTS}/declared")["id"]
    permissions = Permissions(rest, endpoint_id, grants)
    assert permissions.plan(grants) == []
    assert secret.is_unchanged()
    assert made.plan(declared) == []
    permissions.destroy()
    assert permissions.plan([]) == []
    made.destroy()
    secret.destroy()
