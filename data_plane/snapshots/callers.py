"""Who may call, as of one revision: principals, their access tokens, and issuers of JWTs.

Part of the snapshot (`snapshot.py`); `access.py` decides with it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from sys import intern

from modelserving.worker.v1 import snapshot_pb2, snapshot_service_pb2

from modelplane.adapters.shared.jwt.verifier import Issuer, TokenVerifier, compile_issuer
from modelplane.data_plane.snapshots.draft import Draft


@dataclass(frozen=True, slots=True)
class Principal:
    """A user or a service principal.

    Attributes:
        id: Identifier; grants name it.
        name: User name, or application id of a service principal.
        admin: Whether it may do everything.
        service_principal: Whether it is a service principal.
        group_ids: Groups that it is in.
        group_names: Names of the same groups.
        tokens_valid_from: JWTs issued before are void, seconds since the epoch.
    """

    id: str
    name: str
    admin: bool = False
    service_principal: bool = False
    group_ids: tuple[str, ...] = ()
    group_names: tuple[str, ...] = ()
    tokens_valid_from: int = 0


@dataclass(frozen=True, slots=True)
class Token:
    """An access token that is accepted."""

    id: str
    digest: bytes = field(repr=False)
    principal_id: str
    expiry_ms: int


@dataclass(frozen=True, slots=True)
class Callers:
    """Everyone who may call.

    Attributes:
        principals: Principals by identifier.
        names: The same by name.
        tokens: Access tokens by identifier.
        digests: The same by digest.
        issuers: Issuers of JWTs by their `iss` claim.
        verifier: Verifies JWTs; it is handed on from revision to revision with what it remembers.
    """

    principals: Mapping[str, Principal] = field(default_factory=dict, repr=False)
    names: Mapping[str, Principal] = field(default_factory=dict, repr=False)
    tokens: Mapping[str, Token] = field(default_factory=dict, repr=False)
    digests: Mapping[bytes, Token] = field(default_factory=dict, repr=False)
    issuers: Mapping[str, Issuer] = field(default_factory=dict, repr=False)
    verifier: TokenVerifier = field(default_factory=TokenVerifier, repr=False)


class CallersBuilder:
    """Makes the next `Callers` out of the current ones and what the control plane pushed."""

    def __init__(self, base: Callers) -> None:
        self._principals = Draft(base.principals)
        self._names = Draft(base.names)
        self._tokens = Draft(base.tokens)
        self._digests = Draft(base.digests)
        self._issuers = Draft(base.issuers)
        self._verifier = base.verifier

    def remove(self, delta: snapshot_service_pb2.ConfigDelta) -> None:
        """Take out those who are gone."""
        for principal_id in delta.removed_principal_ids:
            self._remove_principal(principal_id)
        for token_id in delta.removed_token_ids:
            self._remove_token(token_id)
        for issuer in delta.removed_issuers:
            self._issuers.pop(issuer)

    def put(
        self, message: snapshot_service_pb2.ConfigDelta | snapshot_service_pb2.SnapshotChunk
    ) -> None:
        """Add or replace the callers that a message holds."""
        self._put_principals(message.principals)
        self._put_tokens(message.tokens)
        for issuer in message.issuers:
            self._issuers.write[issuer.issuer] = compile_issuer(issuer)

    def build(self) -> Callers:
        """Return the callers."""
        return Callers(
            self._principals.read,
            self._names.read,
            self._tokens.read,
            self._digests.read,
            self._issuers.read,
            self._verifier,
        )

    def _put_principals(self, resources: Iterable[snapshot_pb2.PrincipalResource]) -> None:
        for item in resources:
            self._remove_principal(item.id)
            principal = Principal(
                id=intern(item.id),
                name=item.name,
                admin=item.admin,
                service_principal=item.service_principal,
                group_ids=tuple(intern(group.group_id) for group in item.memberships),
                group_names=tuple(intern(group.group_name) for group in item.memberships),
                tokens_valid_from=item.tokens_valid_from,
            )
            self._principals.write[principal.id] = principal
            self._names.write[principal.name] = principal

    def _remove_principal(self, principal_id: str) -> None:
        principal = self._principals.pop(principal_id)
        # The name may already belong to a principal that came after this one was deleted.
        if principal and self._names.read.get(principal.name) is principal:
            self._names.pop(principal.name)

    def _put_tokens(self, resources: Iterable[snapshot_pb2.TokenResource]) -> None:
        for item in resources:
            self._remove_token(item.id)
            token = Token(item.id, item.digest, intern(item.principal_id), item.expiry_ms)
            self._tokens.write[token.id] = self._digests.write[token.digest] = token

    def _remove_token(self, token_id: str) -> None:
        if token := self._tokens.pop(token_id):
            self._digests.pop(token.digest)
