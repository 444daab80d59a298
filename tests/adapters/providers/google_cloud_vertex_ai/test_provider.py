"""Configuration, places, credentials and errors; families of models have files of their own."""

import asyncio
import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

from modelplane.adapters.providers import errors
from modelplane.adapters.providers.canonical.answers import WALL_CLOCK
from modelplane.adapters.providers.credentials.cache import Credential, CredentialCache
from modelplane.adapters.providers.google_cloud_vertex_ai.provider import build_vertex_adapter
from modelplane.adapters.providers.google_cloud_vertex_ai.service_account import (
    build_assertion,
    parse_service_account,
)
from modelplane.adapters.providers.http.client import Http1Transport
from modelplane.adapters.providers.types import HttpAnswer, Query
from tests.adapters.providers.conformance import CASES, open_gateway
from tests.emulators.google_cloud_vertex_ai import KEY_FILE, PROJECT, VertexEmulator
from tests.emulators.google_cloud_vertex_ai.external_models import PROVIDER, external_model
from tests.emulators.google_cloud_vertex_ai.keys import EMAIL, KEY_ID, PEM, PUBLIC_KEY, TOKEN_URI
from tests.emulators.google_cloud_vertex_ai.server import origins_of

CHAT = Query({"messages": [{"role": "user", "content": "hi"}]}, stream=False)
KEY: dict[str, Any] = json.loads(KEY_FILE)
OTHER_KEY = (
    ec.generate_private_key(ec.SECP256R1())
    .private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    .decode()
)

BODIES: dict[str, dict[str, object]] = {
    "llm/v1/chat": CHAT.body,
    "llm/v1/completions": {"prompt": "hi"},
    "llm/v1/embeddings": {"input": "hi"},
}


def url(name: str, task: str = "llm/v1/chat", *, stream: bool = False, **fields: str) -> str:
    adapter = build_vertex_adapter(external_model(name, task, **fields))
    return adapter.plan(Query(BODIES[task], stream), {}).requests[0].url


HOST = "https://us-central1-aiplatform.googleapis.com"
PARENT = f"/v1/projects/{PROJECT}/locations/us-central1"
GOOGLE = f"{HOST}{PARENT}/publishers/google/models"


@pytest.mark.parametrize(
    ("name", "task", "expected"),
    [
        ("gemini-1.5-pro", "chat", f"{GOOGLE}/gemini-1.5-pro:generateContent"),
        ("google/gemini-1.5-pro", "chat", f"{GOOGLE}/gemini-1.5-pro:generateContent"),
        ("publishers/google/models/gemini-pro", "chat", f"{GOOGLE}/gemini-pro:generateContent"),
        ("gemini-pro", "completions", f"{GOOGLE}/gemini-pro:generateContent"),
        ("text-bison", "completions", f"{GOOGLE}/text-bison:predict"),
        ("chat-bison", "chat", f"{GOOGLE}/chat-bison:predict"),
        ("textembedding-gecko", "embeddings", f"{GOOGLE}/textembedding-gecko:predict"),
        ("gemini-embedding-001", "embeddings", f"{GOOGLE}/gemini-embedding-001:predict"),
        ("gemini-embedding-2", "embeddings", f"{GOOGLE}/gemini-embedding-2:embedContent"),
        ("1234", "chat", f"{HOST}{PARENT}/endpoints/1234:generateContent"),
        ("endpoints/1234", "chat", f"{HOST}{PARENT}/endpoints/1234:generateContent"),
        (
            "projects/p/locations/us-central1/endpoints/12",
            "chat",
            f"{HOST}/v1/projects/p/locations/us-central1/endpoints/12:generateContent",
        ),
        (
            "claude-3-5-sonnet@20240620",
            "chat",
            f"{HOST}{PARENT}/publishers/anthropic/models/claude-3-5-sonnet@20240620:rawPredict",
        ),
        ("gemini pro?x#y", "chat", f"{GOOGLE}/gemini%20pro%3Fx%23y:generateContent"),
    ],
)
def test_where_a_model_is(name: str, task: str, expected: str) -> None:
    assert url(name, f"llm/v1/{task}") == expected


@pytest.mark.parametrize(
    ("region", "host"),
    [
        ("us-central1", "us-central1-aiplatform.googleapis.com"),
        ("global", "aiplatform.googleapis.com"),
        ("eu", "aiplatform.eu.rep.googleapis.com"),
        ("us", "aiplatform.us.rep.googleapis.com"),
    ],
)
def test_where_a_region_is(region: str, host: str) -> None:
    assert url("gemini-pro", region=region).startswith(
        f"https://{host}/v1/projects/{PROJECT}/locations/{region}/"
    )


def test_streams_have_verbs_of_their_own() -> None:
    assert url("gemini-pro", stream=True).endswith("/gemini-pro:streamGenerateContent?alt=sse")
    assert url("claude-3-haiku@20240307", stream=True).endswith(":streamRawPredict")


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("", "private_key has no value"),
        (PEM, "bare PEM.*whole JSON key file"),
        ("{{secrets/a/b}}", "not JSON.*whole JSON key file"),
        ("[" * 100_000, "not JSON"),
        ("[]", "not a JSON object"),
        (json.dumps({**KEY, "client_email": ""}), 'without "client_email"'),
        (json.dumps({**KEY, "private_key": 1}), 'without "private_key"'),
        (json.dumps({**KEY, "private_key": PEM[:-100]}), "not an unencrypted RSA key"),
        (json.dumps({**KEY, "private_key": OTHER_KEY}), "not an unencrypted RSA key"),
        (json.dumps({**KEY, "type": "authorized_user"}), "another type"),
        (json.dumps({**KEY, "token_uri": "http://169.254.169.254/token"}), "token_uri"),
        (json.dumps({**KEY, "token_uri": "https://["}), "token_uri"),
    ],
)
def test_a_key_that_cannot_work_is_refused_with_a_reason(key: str, words: str) -> None:
    with pytest.raises(errors.ConfigRefused, match=words) as caught:
        url("gemini-pro", private_key_plaintext=key)
    assert "MII" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("name", "task", "fields", "words"),
    [
        ("gemini-pro", "chat", {"region": "evil.com/"}, "region"),
        ("gemini-pro", "chat", {"region": ""}, "region"),
        ("gemini-pro", "chat", {"project_id": "a/b"}, "project_id"),
        ("meta/llama-3", "chat", {}, "google or anthropic"),
        ("", "chat", {}, "google or anthropic"),
        ("chat-bison", "completions", {}, "llm/v1/completions"),
        ("text-bison", "chat", {}, "llm/v1/chat"),
        ("claude-3-haiku@20240307", "completions", {}, "llm/v1/completions"),
        ("text-embedding-005", "chat", {}, "llm/v1/chat"),
        ("gemini-pro", "embeddings", {}, "llm/v1/embeddings"),
        ("gemini-embedding-2", "chat", {}, "llm/v1/chat"),
        ("multimodalembedding@001", "embeddings", {}, "use gemini-embedding-2"),
    ],
)
def test_a_configuration_that_cannot_work_is_refused(
    name: str, task: str, fields: dict[str, str], words: str
) -> None:
    with pytest.raises(errors.ConfigRefused, match=words):
        url(name, f"llm/v1/{task}", stream=False, **fields)


def test_the_project_may_come_from_the_key() -> None:
    assert f"/projects/{PROJECT}/" in url("gemini-pro", project_id="")


@pytest.mark.parametrize("key", [PEM, PEM.replace("\n", "\\n")])
def test_the_assertion_is_signed(key: str) -> None:
    account = parse_service_account(json.dumps({**KEY, "private_key": key}))
    head, claims, signature = build_assertion(account, 1000.9).split(".")
    PUBLIC_KEY.verify(_decode(signature), f"{head}.{claims}".encode(), PKCS1v15(), hashes.SHA256())
    assert json.loads(_decode(head)) == {"alg": "RS256", "typ": "JWT", "kid": KEY_ID}
    assert json.loads(_decode(claims)) == {
        "iss": EMAIL,
        "scope": "https://www.googleapis.com/auth/cloud-platform",
        "aud": TOKEN_URI,
        "iat": 1000,
        "exp": 4600,
    }


def test_real_line_breaks_in_a_pasted_file_are_read() -> None:
    assert parse_service_account(KEY_FILE.replace("\\n", "\n")).client_email == EMAIL


def _decode(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


class Clock:
    def __init__(self) -> None:
        self.now = WALL_CLOCK()

    def __call__(self) -> float:
        return self.now


async def test_one_token_serves_all_and_is_replaced_once_when_it_expires() -> None:
    clock = Clock()
    async with (
        VertexEmulator(clock) as emulator,
        Http1Transport(origins_of(emulator.origin)) as transport,
    ):
        cache = CredentialCache(transport, clock)
        sources = [
            build_vertex_adapter(external_model(name, "llm/v1/chat")).signer.source
            for name in ("gemini-pro", "gemini-1.5-pro", "claude-3-haiku@20240307", "chat-bison")
        ]
        for expected in (1, 2):
            tokens = await asyncio.gather(
                *(cache.get(source) for source in sources * 50 if source is not None)
            )
            assert len(tokens) == 200
            assert {token.values for token in tokens} == {(f"ya29.emulated-{expected}",)}
            assert emulator.token_requests == expected
            clock.now += 3600
        await cache.aclose()


async def test_a_token_that_was_revoked_is_replaced() -> None:
    case = next(case for case in CASES if case.provider == PROVIDER)
    async with open_gateway(case) as gateway:
        emulator = gateway.emulator
        assert isinstance(emulator, VertexEmulator)
        await gateway.ask(stream=False)
        emulator.tokens.valid.clear()
        await gateway.ask(stream=True)
        assert emulator.token_requests == 2


@pytest.mark.parametrize(
    ("key", "status", "expected"),
    [
        ({"client_email": "who@example.com"}, 0, errors.CredentialRefused),
        ({}, 400, errors.CredentialRefused),
        ({}, 429, errors.RateLimited),
        ({}, 500, errors.ProviderFailed),
        ({}, 503, errors.ProviderUnavailable),
    ],
)
async def test_a_token_that_cannot_be_had(
    key: dict[str, str], status: int, expected: type[errors.AdapterError]
) -> None:
    async with (
        VertexEmulator() as emulator,
        Http1Transport(origins_of(emulator.origin)) as transport,
    ):
        emulator.token_status = status
        text = json.dumps({**KEY, **key})
        model = external_model("gemini-pro", "llm/v1/chat", private_key_plaintext=text)
        source = build_vertex_adapter(model).signer.source
        assert source is not None
        with pytest.raises(errors.AdapterError) as caught:
            await source.fetch(transport, WALL_CLOCK())
        assert type(caught.value) is expected


def failure(body: object, status: int = 400) -> errors.AdapterError:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    adapter = build_vertex_adapter(external_model("gemini-pro", "llm/v1/chat"))
    return adapter.parse_error(HttpAnswer(status, {}, data))


QUOTA = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "BILLING_DISABLED"}
RETRY = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "3.5s"}


@pytest.mark.parametrize(
    ("status", "details", "expected", "retry_after"),
    [
        (400, [], errors.RequestRefused, None),
        (401, [], errors.CredentialRefused, None),
        (403, [], errors.CredentialRefused, None),
        (403, [QUOTA], errors.QuotaExhausted, None),
        (404, [], errors.ModelNotFound, None),
        (429, [], errors.RateLimited, None),
        (429, [QUOTA, RETRY], errors.QuotaExhausted, 4),
        (429, ["odd", {"reason": []}, RETRY], errors.RateLimited, 4),
        (499, [], errors.ProviderUnavailable, None),
        (500, [], errors.ProviderFailed, None),
        (503, [], errors.ProviderUnavailable, None),
        (504, [], errors.ProviderTimeout, None),
    ],
)
@pytest.mark.parametrize("listed", [False, True])
def test_errors(
    status: int,
    details: list[object],
    expected: type[errors.AdapterError],
    retry_after: int | None,
    *,
    listed: bool,
) -> None:
    body = {"error": {"code": status, "message": "no", "status": "X", "details": details}}
    error = failure([body] if listed else body, status)
    assert type(error) is expected
    assert error.retry_after == retry_after


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"", "HTTP status 400 with an empty body"),
        (b"<html>", "<html>"),
        (b"\xff", "\ufffd"),
        ({"error": "no"}, {"error": "no"}),
    ],
)
def test_an_error_keeps_what_was_said(body: object, detail: object) -> None:
    assert failure(body).detail == detail


def test_a_signed_request_shows_no_token() -> None:
    adapter = build_vertex_adapter(external_model("gemini-pro", "llm/v1/chat"))
    request = adapter.plan(CHAT, {}).requests[0]
    signed = adapter.signer.sign(request, Credential(("ya29.secret",), 0), 0)
    assert signed.headers["authorization"] == "Bearer ya29.secret"
    assert "ya29.secret" not in repr(signed) + repr(adapter) + repr(adapter.signer)
