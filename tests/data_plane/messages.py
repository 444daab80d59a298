"""Messages that a control plane would push."""

from typing import Any

from modelserving.v1.endpoint_pb2 import EndpointConfig, Route, ServedEntity, TrafficConfig
from modelserving.v1.external_model_pb2 import ExternalModel, OpenAiConfig
from modelserving.worker.v1 import hosting_pb2
from modelserving.worker.v1 import snapshot_service_pb2 as watch_pb
from modelserving.worker.v1.snapshot_pb2 import EndpointResource, PrincipalResource, TokenResource

from modelplane.adapters.shared.rpc.authorization import digest

TOKEN = "dapi-test-token-0123456789"
CHAT = "llm/v1/chat"
COMPLETIONS = "llm/v1/completions"
EMBEDDINGS = "llm/v1/embeddings"


def external_entity(
    name: str = "gpt-4", *, task: str = CHAT, model: str = "gpt-4", **openai_config: str
) -> ServedEntity:
    config = {"openai_api_key_plaintext": "sk-test-key", **openai_config}
    return ServedEntity(
        name=name,
        external_model=ExternalModel(
            name=model, provider="openai", task=task, openai_config=OpenAiConfig(**config)
        ),
        creation_timestamp=1_699_617_587_000,
    )


def hosted_entity(name: str = "iris-1", model: str = "main.ml.iris") -> ServedEntity:
    return ServedEntity(name=name, entity_name=model, creation_timestamp=1_699_617_587_000)


def hosted_by(
    group_id: str,
    name: str = "iris-1",
    *,
    version: int = 1,
    task: str = "",
    streams: bool = True,
    throughput: int = 0,
) -> hosting_pb2.HostedEntity:
    return hosting_pb2.HostedEntity(
        config_version=version,
        served_entity_name=name,
        group_id=group_id,
        task=task,
        streamable=streams,
        max_throughput=throughput,
    )


def endpoint_config(
    *entities: ServedEntity, version: int = 1, split: dict[str, int] | None = None
) -> EndpointConfig:
    routes = [
        Route(served_entity_name=name, served_model_name=name, traffic_percentage=share)
        for name, share in (split or {}).items()
    ]
    return EndpointConfig(
        served_entities=entities,
        config_version=version,
        traffic_config=TrafficConfig(routes=routes) if routes else None,
    )


def endpoint(name: str, active: EndpointConfig | None = None, **rest: Any) -> EndpointResource:
    return EndpointResource(id=f"id-{name}", name=name, active=active, **rest)


def token(value: str = TOKEN, **fields: Any) -> TokenResource:
    values: dict[str, Any] = {"id": "token-1", "principal_id": "id-admin", **fields}
    return TokenResource(digest=digest(value), **values)


def principal(name: str = "admin", **fields: Any) -> PrincipalResource:
    values: dict[str, Any] = {"id": f"id-{name}", "name": name, "admin": name == "admin", **fields}
    return PrincipalResource(**values)


def snapshot(
    revision: int,
    *endpoints: EndpointResource,
    store_id: str = "store",
    last: bool = True,
    groups: tuple[hosting_pb2.ReplicaGroup, ...] = (),
    tokens: tuple[TokenResource, ...] = (token(),),
    principals: tuple[PrincipalResource, ...] = (principal(),),
) -> watch_pb.WatchConfigResponse:
    chunk = watch_pb.SnapshotChunk(
        revision=revision,
        store_id=store_id,
        endpoints=endpoints,
        tokens=tokens,
        principals=principals,
        groups=groups,
        last=last,
    )
    return watch_pb.WatchConfigResponse(snapshot=chunk)


def delta(
    revision: int, *endpoints: EndpointResource, **fields: Any
) -> watch_pb.WatchConfigResponse:
    change = watch_pb.ConfigDelta(revision=revision, endpoints=endpoints, **fields)
    return watch_pb.WatchConfigResponse(delta=change)


def heartbeat(newest_revision: int) -> watch_pb.WatchConfigResponse:
    return watch_pb.WatchConfigResponse(
        heartbeat=watch_pb.Heartbeat(newest_revision=newest_revision)
    )
