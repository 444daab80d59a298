"""Who may call: the services of identities, tokens and logins, and the issuers of JWTs.

Before: `api`. After: `identity`, `secrets.signing`.
"""

import grpc
from modelserving.v1.client_secret_service_pb2_grpc import (
    add_ClientSecretServiceServicer_to_server,
)
from modelserving.v1.identity_service_pb2_grpc import add_IdentityServiceServicer_to_server
from modelserving.v1.oauth_service_pb2_grpc import add_OAuthServiceServicer_to_server
from modelserving.v1.session_service_pb2_grpc import add_SessionServiceServicer_to_server
from modelserving.v1.sign_in_service_pb2_grpc import add_SignInServiceServicer_to_server
from modelserving.v1.token_service_pb2_grpc import add_TokenServiceServicer_to_server
from prometheus_client import CollectorRegistry

from modelplane.adapters.shared.settings import environment
from modelplane.control_plane.clock import steady_clock, system_clock
from modelplane.control_plane.identity.authentication import Authenticator
from modelplane.control_plane.identity.client_secret_servicer import ClientSecretServicer
from modelplane.control_plane.identity.client_secrets import ClientSecrets
from modelplane.control_plane.identity.failed_logins import FailedLogins
from modelplane.control_plane.identity.groups import Groups
from modelplane.control_plane.identity.identities import Identities
from modelplane.control_plane.identity.issuers import KnownIssuers
from modelplane.control_plane.identity.known_tokens import KnownTokens
from modelplane.control_plane.identity.oauth import OAuth
from modelplane.control_plane.identity.oauth_servicer import OAuthServicer
from modelplane.control_plane.identity.outside_issuers import OutsideIssuers, parse_issuers
from modelplane.control_plane.identity.scim_servicer import IdentityServicer
from modelplane.control_plane.identity.session_servicer import SessionServicer
from modelplane.control_plane.identity.sessions import Sessions
from modelplane.control_plane.identity.sign_in_methods import parse_methods
from modelplane.control_plane.identity.sign_in_servicer import SignInServicer
from modelplane.control_plane.identity.sign_ins import SignIns
from modelplane.control_plane.identity.token_servicer import TokenServicer
from modelplane.control_plane.identity.tokens import Tokens
from modelplane.control_plane.secrets.signing import Signer
from modelplane.control_plane.server.background import Background
from modelplane.control_plane.server.push import Push
from modelplane.control_plane.server.vault import Vault
from modelplane.control_plane.settings import Settings


async def start_authenticator(
    settings: Settings, vault: Vault, push: Push, background: Background
) -> Authenticator:
    """Return what knows the callers, and keep the keys of outside issuers fresh.

    Raises:
        StoreUnavailable: The database does not answer.
        ValueError: The setting that names the issuers is malformed.
    """
    issuers = parse_issuers(settings.oidc_issuers)
    outside = OutsideIssuers(vault.database, issuers, steady_clock)
    await outside.store()
    background.begin(outside.run)
    known = KnownIssuers(push.cache, system_clock, outside.want)
    tokens = KnownTokens(push.cache, push.feed)
    return Authenticator(vault.database, system_clock, known, tokens)


def add_identities(
    settings: Settings,
    vault: Vault,
    push: Push,
    api: grpc.aio.Server,
    registry: CollectorRegistry,
    authenticator: Authenticator,
) -> None:
    """Add the services that administer identities, and the one that logs them in."""
    database, rollout, admin = vault.database, push.rollout, settings.admin_user
    identities = Identities(database, rollout, system_clock, admin_user=admin)
    groups = Groups(database, rollout, system_clock, admin_user=admin)
    add_IdentityServiceServicer_to_server(IdentityServicer(identities, groups), api)
    tokens = Tokens(database, rollout, system_clock)
    add_TokenServiceServicer_to_server(TokenServicer(tokens), api)
    sessions = Sessions(database, rollout, system_clock)
    add_SessionServiceServicer_to_server(SessionServicer(sessions), api)
    secrets = ClientSecrets(database, rollout, system_clock)
    add_ClientSecretServiceServicer_to_server(ClientSecretServicer(secrets, system_clock), api)
    oauth = OAuth(database, Signer(vault.sealer, system_clock), system_clock)
    failed = FailedLogins(system_clock, registry)
    add_OAuthServiceServicer_to_server(OAuthServicer(oauth, failed), api)
    methods = parse_methods(settings.oidc_issuers, environment())
    sign_ins = SignIns(methods, authenticator, sessions)
    add_SignInServiceServicer_to_server(SignInServicer(sign_ins, failed), api)
