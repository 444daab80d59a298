"""Service principals log in with the unmodified Databricks SDK, and are shut out again."""

import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import parse_qs, urlsplit

import grpc
import pytest
import requests
from databricks.sdk import WorkspaceClient
from databricks.sdk.core import Config
from databricks.sdk.errors import Unauthenticated
from databricks.sdk.service.iam import Patch, PatchOp
from databricks.sdk.service.serving import ChatMessage, ChatMessageRole
from modelserving.v1 import chat_pb2, endpoint_service_pb2
from modelserving.v1.endpoint_service_pb2_grpc import EndpointServiceStub
from modelserving.v1.model_service_pb2_grpc import ModelServiceStub

from modelplane.adapters.shared.jwt.tokens import encode
from tests.adapters.shared.jwt import forgeries
from tests.adapters.shared.jwt.issuers import AUDIENCE, claims, key_pair
from tests.e2e.rest import Rest, endpoint, entity
from tests.e2e.system import System, run_system, wait_for
from tests.effort import times
from tests.emulators.oidc import OidcEmulator, SignInClient, run_in_thread
from tests.emulators.openai import OpenAiEmulator

USER = [ChatMessage(role=ChatMessageRole.USER, content="hello there")]
ADMINS = "1"
UNSIGNED = b'{"alg":"none","kid":"x"}'


class Robot:
    """A service principal that is an administrator."""

    def __init__(self, admin: WorkspaceClient) -> None:
        made = admin.service_principals.create(display_name="robot")
        assert made.id
        assert made.application_id
        self.id, self.application_id = made.id, made.application_id
        self.admin = admin

    def secret(self) -> tuple[str, str]:
        """Make a secret; return its identifier and the secret itself."""
        made = self.admin.service_principal_secrets_proxy.create(self.id)
        assert made.id
        assert made.secret
        return made.id, made.secret


def connect(system: System, **credentials: Any) -> WorkspaceClient:
    config = Config(host=system.url, retry_timeout_seconds=3, **credentials)
    return WorkspaceClient(config=config)


def log_in(system: System, robot: Robot, secret: str) -> WorkspaceClient:
    client = connect(system, client_id=robot.application_id, client_secret=secret)
    assert client.config.auth_type == "oauth-m2m"
    return client


def token_of(client: WorkspaceClient) -> str:
    return str(client.config.authenticate()["Authorization"].removeprefix("Bearer "))


@pytest.fixture
def admin(system: System) -> WorkspaceClient:
    return connect(system, token=system.token)


@pytest.fixture
def robot(admin: WorkspaceClient) -> Iterator[Robot]:
    made = Robot(admin)
    yield made
    admin.service_principals.delete(made.id)


def test_the_sdk_logs_in_manages_and_queries(
    system: System, rest: Rest, admin: WorkspaceClient, robot: Robot, provider: OpenAiEmulator
) -> None:
    made = rest.create(endpoint("chat", entity(provider)))
    _, secret = robot.secret()
    client = log_in(system, robot, secret)
    assert client.current_user.me().user_name == robot.application_id
    assert list(client.serving_endpoints.list()) == []
    path = f"/api/2.0/permissions/serving-endpoints/{made['id']}"
    grant = {
        "service_principal_name": robot.application_id,
        "permission_level": "CAN_MANAGE",
    }
    rest.call("PATCH", path, {"access_control_list": [grant]})
    assert [found.name for found in client.serving_endpoints.list()] == ["chat"]
    answer = client.serving_endpoints.query("chat", messages=USER)
    assert answer.choices
    client.serving_endpoints.delete("chat")
    assert list(admin.serving_endpoints.list()) == []


def test_the_token_works_over_grpc_and_the_openai_routes(
    system: System, rest: Rest, admin: WorkspaceClient, robot: Robot, provider: OpenAiEmulator
) -> None:
    rest.create(endpoint("chat", entity(provider)))
    admin.groups.patch(
        ADMINS,
        operations=[Patch(op=PatchOp.ADD, path="members", value=[{"value": robot.id}])],
    )
    token = token_of(log_in(system, robot, robot.secret()[1]))
    metadata = (("authorization", f"Bearer {token}"),)
    with grpc.insecure_channel(system.target) as channel:
        listed: Any = EndpointServiceStub(channel).ListServingEndpoints(
            endpoint_service_pb2.ListServingEndpointsRequest(), metadata=metadata
        )
        assert [item.name for item in listed.endpoints] == ["chat"]
        message = chat_pb2.ChatMessage(role="user", text="hi")
        request = chat_pb2.ChatRequest(model="chat", messages=[message])
        answer: Any = ModelServiceStub(channel).Chat(request, metadata=metadata)
        assert answer.choices
    body = {"model": "chat", "messages": [{"role": "user", "content": "hi"}]}
    headers = dict(metadata)
    url = f"{system.url}/serving-endpoints/chat/completions"
    assert requests.post(url, json=body, headers=headers, timeout=120).status_code == 200


def test_a_deleted_secret_voids_its_tokens_on_every_worker(
    system: System, rest: Rest, robot: Robot, provider: OpenAiEmulator
) -> None:
    made = rest.create(endpoint("chat", entity(provider)))
    path = f"/api/2.0/permissions/serving-endpoints/{made['id']}"
    grant = {"service_principal_name": robot.application_id, "permission_level": "CAN_QUERY"}
    rest.call("PATCH", path, {"access_control_list": [grant]})
    secret_id, secret = robot.secret()
    _, other = robot.secret()
    client = log_in(system, robot, secret)
    old = {"Authorization": f"Bearer {token_of(client)}"}
    url = f"{system.url}/serving-endpoints/chat/invocations"
    body = {"messages": [{"role": "user", "content": "hi"}]}
    assert requests.post(url, json=body, headers=old, timeout=120).status_code == 200

    robot.admin.service_principal_secrets_proxy.delete(robot.id, secret_id)
    # Enough calls to reach both workers, for sure.
    refused = [requests.post(url, json=body, headers=old, timeout=120) for _ in range(16)]
    assert {answer.status_code for answer in refused} == {401}
    assert refused[0].json()["error_code"] == "UNAUTHENTICATED"
    listing = f"{system.url}/api/2.0/serving-endpoints"
    assert requests.get(listing, headers=old, timeout=120).status_code == 401
    with pytest.raises(ValueError, match="invalid_client"):
        token_of(log_in(system, robot, secret))
    # The other secret is still good, in the same second.
    again = log_in(system, robot, other)
    assert again.serving_endpoints.query("chat", messages=USER).choices


def test_secrets_are_listed_without_their_values_and_bounded(
    admin: WorkspaceClient, robot: Robot
) -> None:
    made = [robot.secret() for _ in range(5)]
    listed = list(admin.service_principal_secrets_proxy.list(robot.id))
    assert [item.id for item in listed] == [secret_id for secret_id, _ in made]
    assert {item.status for item in listed} == {"ACTIVE"}
    assert all(item.expire_time and item.create_time for item in listed)
    assert not any(secret in str(listed) for _, secret in made)
    with pytest.raises(Exception, match="5 secrets already"):
        robot.secret()


def test_one_who_was_deleted_is_out(system: System, admin: WorkspaceClient) -> None:
    robot = Robot(admin)
    client = log_in(system, robot, robot.secret()[1])
    assert client.current_user.me().user_name == robot.application_id
    admin.service_principals.delete(robot.id)
    with pytest.raises(Unauthenticated):
        client.current_user.me()


def ask(system: System, form: Any, **options: Any) -> requests.Response:
    return requests.post(f"{system.url}/oidc/v1/token", form, timeout=120, **options)


def test_refusals_have_the_form_of_oauth(system: System, robot: Robot) -> None:
    _, secret = robot.secret()
    grant = {"grant_type": "client_credentials", "scope": "all-apis"}
    good = (robot.application_id, secret)
    answer = ask(system, grant, auth=good)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    issued = answer.json()
    assert issued.pop("access_token").count(".") == 2
    assert issued == {"token_type": "Bearer", "expires_in": 3600, "scope": "all-apis"}
    by_form = {**grant, "client_id": robot.application_id, "client_secret": secret}
    assert ask(system, by_form).status_code == 200

    unknown = ask(system, grant, auth=(robot.application_id.replace("-", ""), secret))
    wrong = ask(system, grant, auth=(robot.application_id, f"{secret}0"))
    assert unknown.status_code == wrong.status_code == 401
    assert unknown.json() == wrong.json()
    assert wrong.json()["error"] == "invalid_client"
    assert wrong.headers["www-authenticate"] == "Basic"
    refusals: list[tuple[str, Any, Any]] = [
        ("invalid_client", grant, None),
        ("invalid_client", grant, (robot.application_id, "")),
        ("unsupported_grant_type", {"grant_type": "password"}, good),
        ("invalid_scope", {**grant, "scope": "sql"}, good),
        ("invalid_request", {"x": "y"}, good),
        ("invalid_request", "grant_type=client_credentials&grant_type=x", good),
        ("invalid_request", b"grant_type=%ff", good),
        ("invalid_request", {**grant, "authorization_details": "[]"}, good),
        ("invalid_request", {"grant_type": "x" * 20_000}, good),
    ]
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    for error, form, credentials in refusals:
        refused = ask(system, form, auth=credentials, headers=kind)
        assert refused.status_code == (401 if error == "invalid_client" else 400), form
        assert refused.headers["content-type"] == "application/json"
        assert set(refused.json()) == {"error", "error_description"}
        assert refused.json()["error"] == error, form


def test_discovery(system: System) -> None:
    config = requests.get(f"{system.url}/.well-known/databricks-config", timeout=120).json()
    assert config == {"oidc_endpoint": f"{system.url}/oidc"}
    server = requests.get(
        f"{config['oidc_endpoint']}/.well-known/oauth-authorization-server", timeout=120
    ).json()
    assert server["token_endpoint"] == f"{system.url}/oidc/v1/token"
    assert server["grant_types_supported"] == ["client_credentials"]
    keys = requests.get(server["jwks_uri"], timeout=120).json()["keys"]
    assert [(key["kty"], key["alg"], len(key["x"])) for key in keys] == [("OKP", "EdDSA", 43)]
    # What a caller claims about its own address goes nowhere.
    lie = {"x-modelplane-origin": "https://evil.example.com", "x-forwarded-host": "evil"}
    told = requests.get(
        f"{system.url}/oidc/.well-known/openid-configuration", headers=lie, timeout=120
    )
    assert told.json() == server


def test_no_forged_token_gets_in_through_envoy(system: System, robot: Robot) -> None:
    real = token_of(log_in(system, robot, robot.secret()[1]))
    head, claims, signature = real.split(".")
    twisted = [
        f"{head}.{claims}.{signature[::-1]}",
        f"{head}.{claims}.",
        f"{head}.{claims}",
        f"{encode(UNSIGNED)}.{claims}.",
    ]
    random = Random(3)
    tokens = [*forgeries.named().values(), *twisted]
    count = times(50, 1000)
    tokens += [*forgeries.mutated(random, count), *forgeries.noise(random, count)]
    sendable = [token for token in tokens if token.isascii() and token.isprintable()]
    assert len(sendable) > count
    with requests.Session() as session:
        for token in sendable:
            headers = {"Authorization": f"Bearer {token.strip()}"}
            for path in ("/api/2.0/serving-endpoints", "/serving-endpoints/models"):
                answer = session.get(f"{system.url}{path}", headers=headers, timeout=120)
                # A token of 40 kB makes the headers too long for Envoy.
                assert answer.status_code in ((400,) if len(token) > 40_000 else (401,)), token


def test_a_jwt_of_an_outside_issuer_is_a_sign_on(tmp_path: Path) -> None:
    with run_in_thread([key_pair("ES256")]) as issuer:
        setting = [
            {
                "issuer": issuer.url,
                "audiences": [AUDIENCE],
                "principal_claim": "email",
                "client_id": "pages",
                "label": "Our login",
            }
        ]
        settings = {"MODELPLANE_OIDC_ISSUERS": json.dumps(setting)}
        with run_system(tmp_path / "data", workers=1, settings=settings) as system:
            admin = connect(system, token=system.token)
            made = admin.users.create(user_name="ann@example.com")
            now = int(time.time())  # noqa: TID251 - of a token that is really sent
            said = claims(iss=issuer.url, email=made.user_name, iat=now, exp=now + 600)
            token = key_pair("ES256").sign(said)
            client = connect(system, token=token, auth_type="pat")
            wait_for(lambda: _knows(client))
            assert client.current_user.me().user_name == "ann@example.com"
            models = f"{system.url}/serving-endpoints/models"
            headers = {"Authorization": f"Bearer {token}"}
            wait_for(lambda: requests.get(models, headers=headers, timeout=120).ok)
            stranger = key_pair("ES256", "stranger").sign(said)
            with pytest.raises(Unauthenticated):
                connect(system, token=stranger, auth_type="pat").current_user.me()
            _sign_in(system, issuer)


def _sign_in(system: System, issuer: OidcEmulator) -> None:
    """Sign a browser in with an account at the issuer, which sends it back to the pages."""
    verifier, state = "v" * 43, "s" * 16
    challenge = encode(hashlib.sha256(verifier.encode()).digest())
    api, page = f"{system.url}/api/2.0/ui", f"{system.url}/ui/"
    issuer.client = SignInClient("pages", "", [page], {"email": "ann@example.com"})
    with requests.Session() as browser:
        methods = browser.get(f"{api}/sign-in/methods", timeout=120).json()["methods"]
        assert methods == [{"issuer": issuer.url, "label": "Our login"}]
        asked = {"issuer": issuer.url, "code_challenge": challenge, "state": state}
        begun = browser.post(f"{api}/sign-in/begin", json=asked, timeout=120)
        sent = browser.get(begun.json()["authorization_url"], allow_redirects=False, timeout=120)
        target = urlsplit(sent.headers["location"])
        assert target.geturl().startswith(f"{page}?")
        told = parse_qs(target.query)
        assert told["state"] == [state]
        given = {"issuer": issuer.url, "code": told["code"][0], "code_verifier": verifier}
        elsewhere = {"sec-fetch-site": "cross-site"}
        path = f"{api}/sign-in/complete"
        refused = browser.post(path, json=given, headers=elsewhere, timeout=120)
        assert refused.status_code == 403
        assert browser.post(path, json=given, timeout=120).status_code == 200
        own_page = {"x-ui-session": "1", "sec-fetch-site": "same-origin"}
        me = browser.get(f"{system.url}/api/2.0/preview/scim/v2/Me", headers=own_page, timeout=120)
        assert me.json()["userName"] == "ann@example.com"
        again = browser.post(path, json=given, timeout=120)
        assert (again.status_code, again.json()["error_code"]) == (401, "UNAUTHENTICATED")
    [event] = _events(system, "CompleteSignIn", "OK")
    assert event["principal_name"] == "ann@example.com"


def _events(system: System, action: str, outcome: str) -> list[dict[str, Any]]:
    path = f"{system.url}/api/2.0/audit-events?action={action}"
    found = requests.get(path, headers=system.headers, timeout=120).json()["events"]
    return [event for event in found if event["outcome"] == outcome]


def _knows(client: WorkspaceClient) -> bool:
    """Tell whether the keys have been fetched, which goes on in the background."""
    try:
        client.current_user.me()
    except Unauthenticated:
        return False
    return True
