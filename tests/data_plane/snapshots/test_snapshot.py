from random import Random
from typing import Any

import pytest
from modelserving.v1.endpoint_pb2 import EndpointConfig, ServedEntity

from modelplane.adapters.providers.errors import ConfigRefused
from modelplane.data_plane.snapshots.builder import SnapshotBuilder
from modelplane.data_plane.snapshots.compilation import compile_config, compile_endpoint
from modelplane.data_plane.snapshots.snapshot import Endpoint, Snapshot
from tests.data_plane.messages import (
    delta,
    endpoint,
    endpoint_config,
    external_entity,
    hosted_by,
    hosted_entity,
    token,
)

RANDOM = Random(1)


def config(version: int = 1, **fields: str) -> EndpointConfig:
    return endpoint_config(external_entity(**fields), version=version)


def build(base: Snapshot, *endpoints: Any, revision: int = 1, **rest: Any) -> Snapshot:
    builder = SnapshotBuilder(base, RANDOM)
    builder.apply(delta(revision, *endpoints, **rest).delta)
    assert not builder.failures
    return builder.build(revision, "store")


def test_activating_what_was_prepared_compiles_nothing() -> None:
    prepared, _ = compile_endpoint(
        endpoint("chat", config(1), prepared=config(2, model="gpt-4o")), None, RANDOM
    )
    message = config(2, model="gpt-4o")
    message.start_time = 1_699_617_587_000
    message.served_entities[0].state.deployment = "DEPLOYMENT_READY"
    activated, failure = compile_endpoint(endpoint("chat", message), prepared, RANDOM)
    assert failure is None
    assert activated.active is prepared.prepared
    assert activated.prepared is None


@pytest.mark.parametrize(
    "changed",
    [
        config(2),
        config(1, model="gpt-4o"),
        config(1, openai_api_key_plaintext="sk-rotated"),
        config(1, name="other"),
        endpoint_config(external_entity(), split={"gpt-4": 100}),
    ],
)
def test_every_change_that_matters_compiles_anew(changed: EndpointConfig) -> None:
    first = compile_config(config(1), [], RANDOM)
    assert compile_config(config(1), [first], RANDOM) is first
    assert compile_config(changed, [first], RANDOM) is not first


def test_a_refused_configuration_leaves_the_old_one() -> None:
    old, _ = compile_endpoint(endpoint("chat", config(1)), None, RANDOM)
    bad = config(2, openai_api_key_plaintext="")
    kept, failure = compile_endpoint(endpoint("chat", config(1), prepared=bad), old, RANDOM)
    assert kept.active is old.active
    assert kept.prepared is None
    assert failure is not None
    assert failure.config_version == 2
    assert "openai_api_key" in failure.reason
    assert "gpt-4" in failure.reason
    kept, failure = compile_endpoint(endpoint("chat", bad), old, RANDOM)
    assert kept.active is old.active
    assert failure is not None


def test_a_refused_preparation_does_not_hold_up_an_activation() -> None:
    old, _ = compile_endpoint(endpoint("chat", config(1)), None, RANDOM)
    conflated = endpoint("chat", config(2), prepared=config(3, openai_api_key_plaintext=""))
    new, failure = compile_endpoint(conflated, old, RANDOM)
    assert new.active is not None
    assert new.active.version == 2
    assert failure is not None
    assert failure.config_version == 3


@pytest.mark.parametrize(
    "message",
    [
        EndpointConfig(config_version=1),
        endpoint_config(external_entity(task="llm/v1/nonsense")),
        endpoint_config(external_entity(), split={"somebody-else": 100}),
        config(openai_api_type="azuread"),
        config(openai_api_base="not a url"),
    ],
)
def test_what_cannot_be_served_is_refused(message: EndpointConfig) -> None:
    with pytest.raises(ConfigRefused):
        compile_config(message, [], RANDOM)


def test_an_unknown_provider_is_refused() -> None:
    entity = external_entity()
    entity.external_model.provider = "nobody"
    with pytest.raises(ConfigRefused, match="nobody"):
        compile_config(endpoint_config(entity), [], RANDOM)


def test_a_hosted_model_is_accepted_and_has_no_task() -> None:
    entity = ServedEntity(name="m-1", entity_name="catalog.schema.model")
    compiled = compile_config(endpoint_config(entity), [], RANDOM)
    assert compiled.task == ""


def test_endpoints_with_the_same_model_share_no_circuit() -> None:
    snapshot = build(Snapshot(), endpoint("a", config()), endpoint("b", config()))
    upstreams = {
        entity.upstream
        for one in snapshot.endpoints.values()
        if one.active
        for entity in one.active.entities
    }
    assert len(upstreams) == 2
    later = build(snapshot, endpoint("a", config(2)))
    active = later.names["a"].active
    assert active is not None
    assert active.entities[0].upstream in upstreams


def test_entities_are_found_by_name_and_picked_by_share() -> None:
    entities = [external_entity("a"), external_entity("b"), external_entity("c")]
    compiled = compile_config(
        endpoint_config(*entities, split={"a": 100, "b": 0, "c": 0}), [], RANDOM
    )
    assert {compiled.entities[compiled.deck.deal()].name for _ in range(100)} == {"a"}
    found = compiled.entity("b")
    assert found is not None
    assert found.name == "b"
    assert compiled.entity("d") is None


def test_the_deprecated_name_of_a_route_works() -> None:
    message = endpoint_config(external_entity("a"), external_entity("b"), split={"a": 0, "b": 100})
    for route in message.traffic_config.routes:
        route.ClearField("served_entity_name")
    compiled = compile_config(message, [], RANDOM)
    assert {compiled.entities[compiled.deck.deal()].name for _ in range(9)} == {"b"}


def test_a_change_leaves_the_snapshot_before_it_alone() -> None:
    first = build(Snapshot(), endpoint("a", config()), endpoint("b", config()))
    second = build(first, removed_endpoint_ids=["id-a"], revision=2)
    assert set(first.names) == {"a", "b"}
    assert set(second.names) == set(second.names) & {"b"}
    assert second.names["b"] is first.names["b"]


def test_a_name_can_pass_to_another_endpoint() -> None:
    first = build(Snapshot(), endpoint("a", config()))
    successor = endpoint("a", config())
    successor.id = "another"
    both = build(first, successor)
    late = build(both, removed_endpoint_ids=["id-a"])
    assert late.names["a"].id == "another"
    assert set(late.endpoints) == {"another"}


def test_tokens_come_and_go() -> None:
    first = build(Snapshot(), tokens=[token("one", id="t")])
    rotated = build(first, tokens=[token("two", id="t")])
    assert len(rotated.callers.digests) == 1
    assert rotated.callers.digests.keys() != first.callers.digests.keys()
    assert not build(rotated, removed_token_ids=["t", "unknown"]).callers.digests


def test_a_full_snapshot_forgets_what_it_does_not_name_and_reuses_the_rest() -> None:
    base = build(Snapshot(), endpoint("a", config()), endpoint("b", config()))
    builder = SnapshotBuilder(base, RANDOM, empty=True)
    builder.put_endpoints([endpoint("b", config())])
    full = builder.build(9, "store-2")
    assert set(full.names) == {"b"}
    assert full.names["b"].active is base.names["b"].active
    assert (full.revision, full.store_id) == (9, "store-2")


def test_nothing_compiled_shows_a_secret() -> None:
    compiled, _ = compile_endpoint(
        endpoint("chat", config(openai_api_key_plaintext="sk-secret")), None, RANDOM
    )
    assert isinstance(compiled, Endpoint)
    assert compiled.active is not None
    entity = compiled.active.entities[0]
    for value in (compiled, entity, entity.adapter, build(Snapshot(), tokens=[token()])):
        assert "sk-secret" not in repr(value)
    assert "digest" not in repr(build(Snapshot(), tokens=[token()]).callers.tokens["token-1"])


def test_only_the_maps_that_change_are_copied() -> None:
    first = build(Snapshot(), endpoint("chat", config(1)), tokens=[token()])
    revoked = build(first, removed_token_ids=[token().id], revision=2)
    assert not revoked.callers.digests
    assert first.callers.digests
    assert revoked.endpoints is first.endpoints
    assert revoked.names is first.names
    assert revoked.callers.principals is first.callers.principals
    renewed = build(revoked, endpoint("other", config(1)), revision=3)
    assert set(renewed.names) == {"chat", "other"}
    assert set(revoked.names) == {"chat"}
    assert renewed.callers.tokens is revoked.callers.tokens
    # What was never there takes nothing out.
    assert build(renewed, removed_token_ids=["?"], revision=4).callers.tokens is (
        renewed.callers.tokens
    )


def test_what_serves_a_hosted_model_is_part_of_its_configuration() -> None:
    message = endpoint_config(hosted_entity("a"), hosted_entity("b"), version=3)
    hosted = [
        hosted_by("1" * 32, "a", version=3, task="agent/v1/chat"),
        hosted_by("2" * 32, "b", version=3, task="agent/v1/chat", streams=False),
        hosted_by("3" * 32, "b", version=2),
    ]
    first, failure = compile_endpoint(endpoint("chat", message, hosted=hosted), None, RANDOM)
    assert failure is None
    config = first.active
    assert config is not None
    assert (config.hosted, config.task) == (True, "agent/v1/chat")
    assert [(one.group_id[0], one.streamable) for one in config.entities] == [
        ("1", True),
        ("2", False),
    ]
    again, _ = compile_endpoint(endpoint("chat", message, hosted=hosted[::-1]), first, RANDOM)
    assert again.active is config
    hosted[1].group_id = "4" * 32
    changed, _ = compile_endpoint(endpoint("chat", message, hosted=hosted), first, RANDOM)
    assert changed.active is not None
    assert changed.active.entities[1].group_id == "4" * 32


def test_hosted_models_of_different_tasks_have_none_together() -> None:
    message = endpoint_config(hosted_entity("a"), hosted_entity("b"))
    hosted = [hosted_by("1" * 32, "a", task="agent/v1/chat"), hosted_by("2" * 32, "b")]
    compiled, _ = compile_endpoint(endpoint("chat", message, hosted=hosted), None, RANDOM)
    assert compiled.active is not None
    assert compiled.active.task == ""


def test_aliases_follow_their_endpoint() -> None:
    def named(name: str, *aliases: str) -> Any:
        message = endpoint(name, config())
        message.aliases.extend(aliases)
        return message

    first = build(Snapshot(), named("a", "gpt", "fast"), endpoint("b", config()))
    assert {alias: one.name for alias, one in first.aliases.items()} == {"gpt": "a", "fast": "a"}
    # In one change one endpoint gives up what another takes.
    moved = build(first, named("b", "gpt"), named("a", "fast"))
    assert {alias: one.name for alias, one in moved.aliases.items()} == {"gpt": "b", "fast": "a"}
    assert moved.aliases["fast"] is moved.names["a"]
    gone = build(moved, removed_endpoint_ids=[moved.names["b"].id])
    assert set(gone.aliases) == {"fast"}
