"""Compiles the messages of the control plane to what a worker serves from: pure.

Used by `builder.py`. A configuration that did not change keeps its compiled form, so activating
what was prepared costs nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from random import Random
from sys import intern
from types import MappingProxyType

from modelserving.v1 import endpoint_pb2
from modelserving.worker.v1 import snapshot_pb2
from modelserving.worker.v1.hosting_pb2 import HostedEntity

from modelplane.adapters.providers.errors import ConfigRefused
from modelplane.adapters.providers.registry import build_adapter
from modelplane.adapters.providers.unavailable import UnavailableAdapter
from modelplane.adapters.shared.rpc.metadata import CONFIG_VERSION, SERVED_MODEL
from modelplane.data_plane.guardrails.policy import Guardrails, compile_guardrails
from modelplane.data_plane.snapshots.limits import compile_limits
from modelplane.data_plane.snapshots.payload_table import compile_payload_table
from modelplane.data_plane.snapshots.policy import DEFAULT_POLICY, compile_policy
from modelplane.data_plane.snapshots.routing import Deck
from modelplane.data_plane.snapshots.snapshot import (
    Config,
    Endpoint,
    Failure,
    ServedEntity,
    Throughput,
)
from modelplane.data_plane.snapshots.telemetry_tables import compile_telemetry_tables

_KEY_BYTES = 16


def compile_endpoint(
    resource: snapshot_pb2.EndpointResource, old: Endpoint | None, random: Random
) -> tuple[Endpoint, Failure | None]:
    """Return the endpoint to serve, and the failure if one of its configurations is refused.

    A configuration that is refused leaves in place what `old` had for it.
    """
    known = [config for config in (old.active, old.prepared) if config] if old else []
    active = prepared = failure = None
    if resource.HasField("prepared"):
        prepared, failure = _try_compile(resource, resource.prepared, known, random)
    if resource.HasField("active"):
        active, refused = _try_compile(resource, resource.active, known, random)
        if refused:
            active, failure = (old.active if old else None), refused
    guardrails, unguarded = _try_guardrails(resource, old.guardrails if old else None)
    if unguarded:
        # Better no answer than one that nothing has looked through.
        active, prepared, failure = None, None, unguarded
    if failure:
        failure = replace(failure, serving=active is not None)
    grants = {intern(grant.grantee_id): int(grant.level) for grant in resource.grants}
    # Most of what may be set is not: thousands of endpoints are compiled when a worker starts.
    is_set = resource.HasField("ai_gateway")
    policy = compile_policy(resource.ai_gateway) if is_set else DEFAULT_POLICY
    limits = compile_limits(resource)
    tracks_usage = is_set and resource.ai_gateway.usage_tracking_config.enabled
    obstacle = "" if active else _obstacle(resource, failure)
    payloads = compile_payload_table(resource)
    telemetry = (
        compile_telemetry_tables(resource) if resource.HasField("telemetry_config") else None
    )
    endpoint = Endpoint(
        resource.id,
        resource.name,
        active,
        prepared,
        grants,
        policy,
        limits,
        tracks_usage,
        obstacle,
        tuple(resource.aliases),
        guardrails,
        payloads,
        telemetry,
    )
    return endpoint, failure


def _try_guardrails(
    resource: snapshot_pb2.EndpointResource, old: Guardrails | None
) -> tuple[Guardrails | None, Failure | None]:
    if not (resource.policies or resource.ai_gateway.HasField("guardrails")):
        return None, None
    try:
        guardrails = compile_guardrails(
            resource.ai_gateway.guardrails,
            old,
            resource.policies,
            safety=resource.safety_judge if resource.HasField("safety_judge") else None,
            topics=resource.topics_judge if resource.HasField("topics_judge") else None,
            key=resource.pseudonym_key,
        )
    except ConfigRefused as error:
        version = resource.prepared.config_version or resource.active.config_version
        return None, Failure(resource.id, version, str(error))
    return guardrails, None


def _obstacle(resource: snapshot_pb2.EndpointResource, failure: Failure | None) -> str:
    """Return why an endpoint serves nothing, unless that passes with the rollout under way."""
    if resource.HasField("prepared"):
        return ""
    if failure:
        return f"its configuration cannot be served: {failure.reason}"
    if resource.stopped:
        return "it is stopped; start it with config:start"
    if resource.failure:
        return f"its configuration could not be rolled out: {resource.failure}"
    return "it has no configuration; update it with one"


def _try_compile(
    resource: snapshot_pb2.EndpointResource,
    message: endpoint_pb2.EndpointConfig,
    known: Sequence[Config],
    random: Random,
) -> tuple[Config | None, Failure | None]:
    hosted = {
        item.served_entity_name: item
        for item in resource.hosted
        if item.config_version == message.config_version
    }
    try:
        return compile_config(message, known, random, resource.id, hosted), None
    except ConfigRefused as error:
        reason = str(error)
    except Exception as error:  # noqa: BLE001 - a bug in one adapter must not stop the others
        reason = f"the worker failed to compile the configuration ({type(error).__name__})"
    return None, Failure(resource.id, message.config_version, reason)


def compile_config(
    message: endpoint_pb2.EndpointConfig,
    known: Sequence[Config],
    random: Random,
    endpoint_id: str = "",
    hosted: Mapping[str, HostedEntity] = MappingProxyType({}),
) -> Config:
    """Return the compiled form of a configuration, one of `known` where nothing changed.

    Args:
        message: The configuration.
        known: What the endpoint has had before.
        random: Source of the order in which traffic is dealt.
        endpoint_id: The endpoint.
        hosted: Which groups serve its entities, by the entities' names.

    Raises:
        ConfigRefused: It cannot be served; the text is for its author.
    """
    fingerprint = _fingerprint(message, hosted)
    for config in known:
        if config.fingerprint == fingerprint:
            return config
    entities = tuple(
        _compile_entity(item, message, endpoint_id, hosted.get(item.name))
        for item in message.served_entities
    )
    if not entities:
        raise ConfigRefused("the configuration has no served entity")
    created = min(int(item.creation_timestamp / 1000) for item in message.served_entities)
    weights = _weights(message)
    names = (entity.name for entity in entities)
    tasks = {entity.task for entity in entities}
    return Config(
        message.config_version,
        entities[0].task if len(tasks) == 1 else "",
        entities,
        Deck(weights, random),
        tuple(zip(names, weights, strict=True)),
        created,
        fingerprint,
        any(entity.group_id for entity in entities),
    )


def _compile_entity(
    item: endpoint_pb2.ServedEntity,
    config: endpoint_pb2.EndpointConfig,
    endpoint_id: str,
    hosted: HostedEntity | None,
) -> ServedEntity:
    headers = ((SERVED_MODEL, item.name), (CONFIG_VERSION, str(config.config_version)))
    if not item.HasField("external_model"):
        unavailable = UnavailableAdapter(item.entity_name or item.name)
        if hosted is None:
            return ServedEntity(item.name, "", "", unavailable, headers)
        return ServedEntity(
            item.name,
            "",
            intern(hosted.task),
            unavailable,
            headers,
            model=item.entity_name,
            group_id=hosted.group_id,
            streamable=hosted.streamable,
            throughput=_throughput(endpoint_id, hosted),
        )
    model = item.external_model
    try:
        adapter = build_adapter(model)
    except ConfigRefused as error:
        raise ConfigRefused(f"served entity '{item.name}': {error}") from None
    provider, task = intern(model.provider), intern(model.task)
    # Of the endpoint too: who may break it, by a short deadline for one, must depend on it.
    upstream = sha256(endpoint_id.encode() + b"\0" + model.SerializeToString(deterministic=True))
    return ServedEntity(item.name, provider, task, adapter, headers, upstream.digest(), model.name)


def _throughput(endpoint_id: str, hosted: HostedEntity) -> Throughput | None:
    if not hosted.max_throughput:
        return None
    # Of every version of its configuration, so that no change fills the bucket.
    text = f"{endpoint_id}\0throughput\0{hosted.served_entity_name}"
    return Throughput(sha256(text.encode()).digest()[:_KEY_BYTES], hosted.max_throughput)


def _weights(message: endpoint_pb2.EndpointConfig) -> list[int]:
    """Return each entity's share; without a split all shares are equal."""
    if not message.traffic_config.routes:
        return [1] * len(message.served_entities)
    shares = {
        route.served_entity_name or route.served_model_name: route.traffic_percentage
        for route in message.traffic_config.routes
    }
    weights = [max(0, shares.get(item.name, 0)) for item in message.served_entities]
    if not any(weights):
        raise ConfigRefused("no served entity gets traffic")
    return weights


def _fingerprint(message: endpoint_pb2.EndpointConfig, hosted: Mapping[str, HostedEntity]) -> bytes:
    """Return a digest of all that is compiled; progress of a rollout is no part of it."""
    digest = sha256(str(message.config_version).encode())
    for item in message.served_entities:
        model = item.external_model.SerializeToString(deterministic=True)
        parts = (item.name, item.entity_name, len(model))
        digest.update(repr(parts).encode())
        digest.update(model)
        if item.name in hosted:
            digest.update(hosted[item.name].SerializeToString(deterministic=True))
    digest.update(message.traffic_config.SerializeToString(deterministic=True))
    return digest.digest()
