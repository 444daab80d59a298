"""Short-lived keys of a role and of a machine, fetched by AWS's own client."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web
from modelserving.v1.external_model_pb2 import AmazonBedrockConfig, ExternalModel

from modelplane.adapters.providers.amazon_bedrock.credentials import RoleCredentials
from modelplane.adapters.providers.amazon_bedrock.signing import AwsKey
from modelplane.adapters.providers.credentials.cache import Credential
from modelplane.adapters.providers.errors import (
    AdapterError,
    ConfigRefused,
    CredentialRefused,
    ProviderUnavailable,
    RateLimited,
)
from modelplane.adapters.providers.http.client import Http1Transport
from modelplane.adapters.providers.types import JsonObject
from tests.adapters.providers.conformance import ProviderCase, open_gateway
from tests.emulators.amazon_bedrock import KEY, REGION, BedrockEmulator
from tests.emulators.amazon_bedrock.configs import origins

ROLE = "arn:aws:iam::123456789012:role/models"
PROFILE = "arn:aws:iam::123456789012:instance-profile/worker"
NOW = 1_700_000_000.0
BASE = AwsKey(KEY.key_id, KEY.secret)


@pytest.fixture(autouse=True)
def _no_credentials_around(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "absent"))


@pytest.fixture
async def emulator(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[BedrockEmulator]:
    async with BedrockEmulator() as running:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", f"{running.origin}/sts")
        yield running


def source(arn: str = ROLE, base: AwsKey | None = BASE) -> RoleCredentials:
    return RoleCredentials("bedrock", arn, REGION, base)


async def fetch(own: RoleCredentials, transport: Http1Transport) -> Credential:
    return await own.fetch(transport, NOW)


async def test_a_role_is_assumed(emulator: BedrockEmulator, transport: Http1Transport) -> None:
    emulator.life_seconds = 900
    before = time.time()  # noqa: TID251 - the emulator's keys live in real time
    credential = await fetch(source(), transport)
    key = emulator.keys[credential.values[0]]
    assert credential.values == (key.key_id, key.secret, key.token)
    assert before + 899 <= credential.expires_at <= before + 960
    assert key.secret not in repr(credential)


async def test_a_role_is_assumed_with_the_machines_own_key(
    emulator: BedrockEmulator, transport: Http1Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY.key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEY.secret)
    assert (await fetch(source(base=None), transport)).values[0] in emulator.keys


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("AccessDenied", CredentialRefused),
        ("ValidationError", CredentialRefused),
        ("Throttling", RateLimited),
    ],
)
async def test_a_role_that_is_refused(
    emulator: BedrockEmulator, transport: Http1Transport, code: str, expected: type[AdapterError]
) -> None:
    emulator.denied = code
    with pytest.raises(expected) as refused:
        await fetch(source(), transport)
    assert code in str(refused.value.detail)
    assert type(refused.value) is expected


async def test_a_wrong_key_may_assume_nothing(
    emulator: BedrockEmulator, transport: Http1Transport
) -> None:
    with pytest.raises(CredentialRefused):
        await fetch(source(base=AwsKey(KEY.key_id, "wrong")), transport)
    assert emulator.assumed == 0


async def test_a_token_service_that_cannot_be_reached(
    transport: Http1Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:1")
    with pytest.raises(ProviderUnavailable):
        await fetch(source(), transport)


async def test_a_machine_without_credentials(transport: Http1Transport) -> None:
    with pytest.raises(CredentialRefused, match="CredentialRefused") as refused:
        await fetch(source(PROFILE, None), transport)
    assert "machine has no AWS credentials" in str(refused.value.detail)


async def test_the_credentials_of_a_machine(
    transport: Http1Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lend(_request: web.Request) -> web.Response:
        body = {
            "AccessKeyId": "ASIA1",
            "SecretAccessKey": "secret",
            "Token": "token",
            "Expiration": "2099-01-01T00:00:00Z",
        }
        return web.Response(text=json.dumps(body), content_type="application/json")

    app = web.Application()
    app.router.add_get("/credentials", lend)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        url = f"http://127.0.0.1:{port}/credentials"
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url)
        credential = await fetch(source(PROFILE, None), transport)
    finally:
        await runner.cleanup()
    assert credential.values == ("ASIA1", "secret", "token")
    # Taken anew before the machine's own could expire.
    assert credential.expires_at == NOW + 240


def test_sources_are_shared_by_account_only() -> None:
    other = AwsKey(KEY.key_id, "other")
    keys = {
        source().key,
        source(f"{ROLE}2").key,
        source(base=other).key,
        source(base=None).key,
        source(PROFILE, None).key,
    }
    assert len(keys) == 5
    assert source().key in keys
    assert KEY.secret not in source().key


@pytest.mark.parametrize("arn", ["arn:x", "arn:aws:s3:::bucket", f"{ROLE} x"])
def test_other_arns_are_refused(arn: str) -> None:
    with pytest.raises(ConfigRefused):
        source(arn)


def role_case() -> ProviderCase:
    def model(_: str) -> ExternalModel:
        config = AmazonBedrockConfig(
            aws_region=REGION,
            bedrock_provider="Anthropic",
            instance_profile_arn=ROLE,
            aws_access_key_id_plaintext=KEY.key_id,
            aws_secret_access_key_plaintext=KEY.secret,
        )
        return ExternalModel(
            name="claude-3-sonnet-20240229-v1:0",
            provider="amazon-bedrock",
            task="llm/v1/chat",
            amazon_bedrock_config=config,
        )

    body: JsonObject = {"messages": [{"role": "user", "content": "one two"}]}
    return ProviderCase(
        provider="amazon-bedrock",
        task="llm/v1/chat",
        streams=True,
        model=model,
        emulator=BedrockEmulator,
        body=body,
        origins=origins,
    )


async def test_many_queries_assume_a_role_once_and_the_loop_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with open_gateway(role_case()) as gateway:
        emulator = gateway.emulator
        assert isinstance(emulator, BedrockEmulator)
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", f"{emulator.origin}/sts")
        calls = [asyncio.create_task(gateway.ask(stream=False)) for _ in range(50)]
        # The emulator that lends the keys runs in this very loop: it could not, were it blocked.
        answers = await asyncio.gather(*calls)
        assert emulator.assumed == 1
        assert all(answer.document == answers[0].document for answer in answers)
        signed = {request.headers["Authorization"][:60] for request in emulator.requests}
        assert len(signed) == 1
        assert all("X-Amz-Security-Token" in request.headers for request in emulator.requests)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("kind", ["expired", "unknown", "unsigned"])
async def test_a_key_that_is_revoked_early_is_replaced(
    monkeypatch: pytest.MonkeyPatch, kind: str, *, stream: bool
) -> None:
    async with open_gateway(role_case()) as gateway:
        emulator = gateway.emulator
        assert isinstance(emulator, BedrockEmulator)
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", f"{emulator.origin}/sts")
        first = await gateway.ask(stream=stream)
        _revoke(emulator, kind)
        second = await gateway.ask(stream=stream)
        assert emulator.assumed == 2
        assert len(emulator.requests) == 3
        assert (second.done, second.refusal) == (first.done, None)
        await gateway.ask(stream=stream)
        assert emulator.assumed == 2
        assert len(emulator.requests) == 4


async def test_keys_that_are_refused_again_are_not_tried_a_third_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with open_gateway(role_case()) as gateway:
        emulator = gateway.emulator
        assert isinstance(emulator, BedrockEmulator)
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", f"{emulator.origin}/sts")
        emulator.lends_revoked_keys = True
        with pytest.raises(CredentialRefused) as refused:
            await gateway.ask(stream=False)
        assert "expired" in str(refused.value.detail)
        assert emulator.assumed == 2
        assert len(emulator.requests) == 2


async def test_a_denied_access_costs_no_second_try(monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_gateway(role_case()) as gateway:
        emulator = gateway.emulator
        assert isinstance(emulator, BedrockEmulator)
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", f"{emulator.origin}/sts")
        emulator.fail(status=403, headers={"x-amzn-errortype": "AccessDeniedException"})
        with pytest.raises(CredentialRefused):
            await gateway.ask(stream=False)
        assert emulator.assumed == 1
        assert len(emulator.requests) == 1


def _revoke(emulator: BedrockEmulator, kind: str) -> None:
    """Let the role's first key be refused: for its age, as unknown, or for its signature."""
    key = next(key for name, key in emulator.keys.items() if name.startswith("ASIAASSUMED"))
    if kind == "unknown":
        del emulator.keys[key.key_id]
    elif kind == "expired":
        emulator.keys[key.key_id] = replace(key, revoked=True)
    else:
        emulator.keys[key.key_id] = replace(key, secret="another")
