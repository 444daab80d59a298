"""From stored endpoints, principals and tokens to the resources that workers hold.

Before: `store.endpoints.records`, `credentials`. After: `snapshots.cache`.
"""

from collections.abc import Collection, Mapping
from typing import TypeAlias

from modelserving.store.v1.hosting_pb2 import HostedModel
from modelserving.v1.endpoint_pb2 import EndpointConfig
from modelserving.worker.v1.hosting_pb2 import HostedEntity, ReplicaGroup
from modelserving.worker.v1.snapshot_pb2 import (
    EndpointResource,
    Grant,
    IssuerResource,
    Membership,
    PrincipalResource,
    SecretResource,
    TokenResource,
    VerificationKey,
)

from modelplane.adapters.shared.credential_slots import names_referred_to
from modelplane.adapters.shared.guardrail_rules import NO_JUDGES, DefaultJudges
from modelplane.adapters.shared.jwt.keys import EDDSA
from modelplane.control_plane.hosting.worker_view import build_group
from modelplane.control_plane.principal import ADMINS_ID, PrincipalKind
from modelplane.control_plane.secrets.credentials import CredentialResolver
from modelplane.control_plane.secrets.signing import SUBJECT
from modelplane.control_plane.store.database import Session
from modelplane.control_plane.store.endpoints.aliases import aliases_of
from modelplane.control_plane.store.endpoints.records import (
    StoredEndpoint,
    StoredVersion,
    load_endpoints,
)
from modelplane.control_plane.store.hosting.groups import load as load_groups
from modelplane.control_plane.store.identity.issuers import load_outside_issuers, own_name
from modelplane.control_plane.store.identity.principals import StoredPrincipal, load_principals
from modelplane.control_plane.store.identity.tokens import StoredToken, load_tokens
from modelplane.control_plane.store.secrets.scopes import SecretName
from modelplane.control_plane.store.secrets.signing_keys import load_signing_keys
from modelplane.control_plane.store.states import EventKind, LastUpdate, Phase

Resource: TypeAlias = (
    EndpointResource | PrincipalResource | TokenResource | IssuerResource | ReplicaGroup
)


class ResourceBuilder:
    """Loads resources from the store, with every credential but those that are secrets' values."""

    def __init__(self, resolver: CredentialResolver, judges: DefaultJudges = NO_JUDGES) -> None:
        """Load with credentials from `resolver`; `judges`: who judges where nobody is named."""
        self._resolver = resolver
        self._judges = judges

    async def load(
        self, session: Session, kind: EventKind, keys: Collection[str] | None
    ) -> Mapping[str, Resource]:
        """Return the resources `keys` of a kind that exist, by key; None: all of the kind."""
        match kind:
            case EventKind.ENDPOINT:
                return {item.id: item for item in await self._endpoints(session, keys)}
            case EventKind.PRINCIPAL:
                principals = await load_principals(session, keys)
                return {item.id: _build_principal(item) for item in principals if item.active}
            case EventKind.TOKEN:
                tokens = await load_tokens(session, keys)
                return {item.id: _build_token(item) for item in tokens}
            case EventKind.ISSUER:
                issuers = await _load_issuers(session)
                wanted = issuers.keys() if keys is None else issuers.keys() & keys
                return {name: issuers[name] for name in wanted}
            case EventKind.GROUP:
                groups = await load_groups(session, keys)
                return {item.id: build_group(item) for item in groups}

    async def load_secrets(
        self, session: Session, names: Collection[str]
    ) -> Mapping[str, SecretResource]:
        """Return the secrets `names`, as `scope/key`; without a value those that are gone."""
        pairs = [_pair(name) for name in names]
        values = await self._resolver.open_secrets(session, pairs) if pairs else {}
        return {
            name: SecretResource(name=name, value=values.get(pair))
            for name, pair in zip(names, pairs, strict=True)
        }

    async def _endpoints(
        self, session: Session, ids: Collection[str] | None
    ) -> list[EndpointResource]:
        stored = await load_endpoints(session, ids)
        pushed = [
            (endpoint.id, _without_environment(version))
            for endpoint in stored
            for version in _versions_to_push(endpoint)
            if version is not None
        ]
        filled = await self._resolver.fill_given(session, pushed)
        configs = {
            (endpoint_id, config.config_version): config
            for (endpoint_id, _), config in zip(pushed, filled, strict=True)
        }
        keys = await self._resolver.pseudonym_keys(
            session, [endpoint.id for endpoint in stored if _has_pseudonyms(endpoint)]
        )
        resources = [_build_endpoint(endpoint, configs) for endpoint in stored]
        for resource in resources:
            resource.pseudonym_key = keys.get(resource.id, b"")
            self._name_judges(resource)
        return resources

    def _name_judges(self, resource: EndpointResource) -> None:
        """Say who judges where the guardrails of an endpoint do not."""
        guardrails = resource.ai_gateway.guardrails
        if judge := self._judges.of_safety(guardrails):
            resource.safety_judge.CopyFrom(judge)
        if judge := self._judges.of_topics(guardrails):
            resource.topics_judge.CopyFrom(judge)


def _pair(name: str) -> SecretName:
    scope, _, key = name.partition("/")
    return scope, key


def _has_pseudonyms(endpoint: StoredEndpoint) -> bool:
    return any(policy.action == "pseudonym" for policy in endpoint.settings.policies)


def _versions_to_push(endpoint: StoredEndpoint) -> tuple[StoredVersion | None, ...]:
    """Return the version to serve, and the one to prepare beside it."""
    served = None if endpoint.stopped else endpoint.active
    match endpoint.phase:
        case Phase.PREPARING:
            return served, endpoint.pending
        case Phase.ACTIVATING:
            return endpoint.pending, None
        case Phase.SETTLED:
            return served, None


def _build_endpoint(
    endpoint: StoredEndpoint, configs: Mapping[tuple[str, int], EndpointConfig]
) -> EndpointResource:
    active, prepared = (
        configs[endpoint.id, version.version] if version else None
        for version in _versions_to_push(endpoint)
    )
    names = {name for config in (active, prepared) if config for name in names_referred_to(config)}
    settings = endpoint.settings
    failed = endpoint.active is None and endpoint.last_update is LastUpdate.FAILED
    return EndpointResource(
        id=endpoint.id,
        name=endpoint.name,
        active=active,
        prepared=prepared,
        rate_limits=settings.rate_limits,
        ai_gateway=settings.ai_gateway if settings.HasField("ai_gateway") else None,
        policies=settings.policies,
        telemetry_config=(
            settings.telemetry_config if settings.HasField("telemetry_config") else None
        ),
        grants=[
            # The numbers of the levels are the same in both.
            Grant(grantee_id=grantee, level=int(level))  # type: ignore[arg-type]
            for grantee, level in endpoint.grants.items()
        ],
        failure=endpoint.last_update_message if failed else "",
        stopped=endpoint.stopped,
        aliases=aliases_of(settings.tags),
        hosted=[
            _build_entity(version, model)
            for version in _versions_to_push(endpoint)
            if version is not None
            for model in version.hosted
        ],
        secret_names=sorted(names),
    )


def _without_environment(version: StoredVersion) -> EndpointConfig:
    """Return a configuration without what only the processes of its models may know."""
    if not version.hosted:
        return version.config
    config = EndpointConfig()
    config.CopyFrom(version.config)
    for entity in config.served_entities:
        entity.ClearField("environment_vars")
    return config


def _build_entity(version: StoredVersion, model: HostedModel) -> HostedEntity:
    return HostedEntity(
        config_version=version.version,
        served_entity_name=model.served_entity_name,
        group_id=model.group_id,
        task=model.description.task,
        max_throughput=model.scale.max_throughput,
        streamable=model.description.streamable,
    )


async def load_own_issuer(session: Session) -> IssuerResource:
    """Return this deployment as an issuer of JWTs; without keys when it has none yet."""
    name = await own_name(session)
    keys = [
        VerificationKey(key_id=key.id, algorithm=EDDSA, public_key=key.public_key)
        for key in await load_signing_keys(session)
    ]
    return IssuerResource(issuer=name, audiences=[name], principal_claim=SUBJECT, keys=keys)


async def _load_issuers(session: Session) -> Mapping[str, IssuerResource]:
    own = await load_own_issuer(session)
    found = [*([own] if own.keys else []), *await load_outside_issuers(session)]
    return {item.issuer: item for item in found}


def _build_token(token: StoredToken) -> TokenResource:
    return TokenResource(
        id=token.id,
        digest=token.digest,
        principal_id=token.principal_id,
        expiry_ms=token.expiry_ms or 0,
    )


def _build_principal(principal: StoredPrincipal) -> PrincipalResource:
    return PrincipalResource(
        id=principal.id,
        name=principal.name,
        service_principal=principal.kind is PrincipalKind.SERVICE_PRINCIPAL,
        admin=ADMINS_ID in principal.groups,
        memberships=[
            Membership(group_id=group_id, group_name=name)
            for group_id, name in principal.groups.items()
        ],
        tokens_valid_from=principal.tokens_valid_from,
    )
