"""Bedrock as a whole: errors, signatures, names of models, configurations."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st
from modelserving.v1.external_model_pb2 import AmazonBedrockConfig, ExternalModel

from modelplane.adapters.providers.amazon_bedrock.models import (
    build_model_id,
    build_url,
    read_region,
)
from modelplane.adapters.providers.amazon_bedrock.provider import build_amazon_bedrock_adapter
from modelplane.adapters.providers.amazon_bedrock.signing import AwsKey, sign
from modelplane.adapters.providers.credentials.cache import NO_CREDENTIAL
from modelplane.adapters.providers.errors import (
    AdapterError,
    ConfigRefused,
    CredentialRefused,
    ModelNotFound,
    ProviderFailed,
    ProviderTimeout,
    ProviderUnavailable,
    QuotaExhausted,
    RateLimited,
    RequestRefused,
    UnusableAnswer,
)
from modelplane.adapters.providers.types import HttpAnswer, HttpRequest, JsonObject, Query
from tests.adapters.providers.amazon_bedrock.chats import CLAUDE, HOST, NOW, adapter, user
from tests.adapters.providers.conformance import CASES, open_gateway, read_choices, reassemble
from tests.emulators.amazon_bedrock import KEY, TEMPORARY_KEY
from tests.emulators.amazon_bedrock.configs import external_model
from tests.emulators.amazon_bedrock.signature import check_signature


def shown(kind: str) -> dict[str, str]:
    return {"x-amzn-errortype": f"{kind}:http://internal.amazon.com/coral/"}


@pytest.mark.parametrize(
    ("status", "headers", "body", "expected"),
    [
        (400, shown("ValidationException"), {}, RequestRefused),
        (400, shown("ServiceQuotaExceededException"), {}, QuotaExhausted),
        (400, shown("IncompleteSignatureException"), {}, CredentialRefused),
        (403, shown("AccessDeniedException"), {}, CredentialRefused),
        (403, shown("UnrecognizedClientException"), {}, CredentialRefused),
        (404, shown("ResourceNotFoundException"), {}, ModelNotFound),
        (408, shown("ModelTimeoutException"), {}, ProviderTimeout),
        (424, shown("ModelErrorException"), {}, UnusableAnswer),
        (424, {}, {}, UnusableAnswer),
        (429, shown("ThrottlingException"), {}, RateLimited),
        (429, shown("ModelNotReadyException"), {}, ProviderUnavailable),
        (500, shown("InternalServerException"), {}, ProviderFailed),
        (503, shown("ServiceUnavailableException"), {}, ProviderUnavailable),
        (400, {}, {"__type": "com.amazon.coral#ThrottlingException"}, RateLimited),
        (400, {}, {"code": "ExpiredTokenException"}, CredentialRefused),
        (429, {}, {}, RateLimited),
    ],
)
def test_errors_by_their_type(
    status: int, headers: dict[str, str], body: JsonObject, expected: type[AdapterError]
) -> None:
    said = json.dumps({"message": "no", **body}).encode()
    error = adapter().parse_error(HttpAnswer(status, headers, said))
    assert type(error) is expected
    assert isinstance(error.detail, dict)
    assert error.detail["message"] == "no"


def test_a_refused_signature_does_not_repeat_the_request() -> None:
    said = {"message": "No match.\n\nCanonical String:\nx-amz-security-token:secret"}
    answer = HttpAnswer(403, shown("InvalidSignatureException"), json.dumps(said).encode())
    assert adapter().parse_error(answer).detail == {"message": "No match."}


def botocore_signature(request: HttpRequest, key: AwsKey, now: float) -> Mapping[str, str]:
    time = sign(request, key, "eu-west-1", now).headers["x-amz-date"]
    headers = {**request.headers, "x-amz-date": time}
    if key.session_token:
        headers["x-amz-security-token"] = key.session_token
    theirs = AWSRequest(request.method, request.url, headers, request.body)
    theirs.context["timestamp"] = time
    credentials = Credentials(key.access_key_id, key.secret_access_key, key.session_token)
    signer = SigV4Auth(credentials, "bedrock", "eu-west-1")
    canonical = signer.canonical_request(theirs)
    signature = signer.signature(signer.string_to_sign(theirs, canonical), theirs)
    signer._inject_signature_to_request(theirs, signature)
    return {name.lower(): value for name, value in theirs.headers.items()}


@given(
    # botocore takes dots for steps of the path, which no model's name is.
    st.text(min_size=1, max_size=40).filter(lambda model: model.strip(".")),
    st.binary(max_size=50),
    st.floats(0, 4e9),
    st.sampled_from(["", "token+/="]),
)
def test_signatures_equal_botocores(model: str, body: bytes, now: float, token: str) -> None:
    request = HttpRequest(
        "p", build_url("eu-west-1", model, "converse"), {"content-type": "a  b"}, body
    )
    key = AwsKey("AKID", "secret/+", token)
    assert dict(sign(request, key, "eu-west-1", now).headers) == botocore_signature(
        request, key, now
    )


@pytest.mark.parametrize("name", ["a:b", "arn:aws:bedrock:us-east-1::foundation-model/x.y"])
def test_a_signed_request_is_accepted(name: str) -> None:
    own = adapter(name)
    (request,) = own.plan(Query({"messages": [user("x")]}, stream=False), {}).requests
    signed = own.signer.sign(request, NO_CREDENTIAL, NOW)
    headers = {**signed.headers, "host": HOST}
    check_signature({KEY.key_id: KEY}, "us-east-1", signed.url, headers, signed.body, NOW)
    assert KEY.secret not in repr(signed) + str(signed.headers)
    assert KEY.secret not in repr(AwsKey(KEY.key_id, KEY.secret))


@pytest.mark.parametrize(
    ("name", "family", "expected"),
    [
        ("claude-v2", "anthropic", "anthropic.claude-v2"),
        ("claude-v2:1", "anthropic", "anthropic.claude-v2:1"),
        ("titan-embed-text-v1", "amazon", "amazon.titan-embed-text-v1"),
        ("j2-mid", "ai21labs", "ai21.j2-mid"),
        ("command-r-v1:0", "cohere", "cohere.command-r-v1:0"),
        ("llama3-8b-instruct-v1:0", "meta", "meta.llama3-8b-instruct-v1:0"),
        ("anthropic.claude-v2", "anthropic", "anthropic.claude-v2"),
        ("us.anthropic.claude-x-v1:0", "anthropic", "us.anthropic.claude-x-v1:0"),
        ("us-gov.anthropic.claude-x", "anthropic", "us-gov.anthropic.claude-x"),
        ("arn:aws:bedrock:x:1:y/z", "anthropic", "arn:aws:bedrock:x:1:y/z"),
    ],
)
def test_names_of_models(name: str, family: str, expected: str) -> None:
    assert build_model_id(name, family) == expected


def test_regions() -> None:
    assert read_region(" US-East-1 ") == "us-east-1"
    assert build_url("cn-north-1", "a.b", "invoke").startswith(
        "https://bedrock-runtime.cn-north-1.amazonaws.com.cn/"
    )
    for region in ("us-east-1.evil.test/", "", "east"):
        with pytest.raises(ConfigRefused, match="aws_region"):
            read_region(region)


def configured(change: Callable[[AmazonBedrockConfig], None], task: str = "chat") -> ExternalModel:
    model = external_model(CLAUDE, "anthropic", task)
    change(model.amazon_bedrock_config)
    return model


@pytest.mark.parametrize(
    ("fields", "task", "words"),
    [
        ({"bedrock_provider": "acme"}, "chat", "bedrock_provider"),
        ({"aws_region": "x"}, "chat", "aws_region"),
        ({"aws_access_key_id_plaintext": ""}, "chat", "aws_access_key_id has no value"),
        ({"aws_secret_access_key_plaintext": " "}, "chat", "aws_secret_access_key has no value"),
        ({"aws_secret_access_key_plaintext": "a b"}, "chat", "cannot carry"),
        ({"instance_profile_arn": "arn:x"}, "chat", "instance_profile_arn"),
        (
            {"instance_profile_arn": "arn:aws:iam::123456789012:instance-profile/p"},
            "chat",
            "either",
        ),
        ({}, "embeddings", "not served"),
    ],
)
def test_configurations_that_cannot_work(fields: dict[str, str], task: str, words: str) -> None:
    def change(config: AmazonBedrockConfig) -> None:
        for name, value in fields.items():
            setattr(config, name, value)

    with pytest.raises(ConfigRefused, match=words) as refused:
        build_amazon_bedrock_adapter(configured(change, task))
    assert KEY.secret not in str(refused.value)


def test_a_session_token_is_sent() -> None:
    def change(config: AmazonBedrockConfig) -> None:
        config.aws_access_key_id_plaintext = TEMPORARY_KEY.key_id
        config.aws_secret_access_key_plaintext = f"{TEMPORARY_KEY.secret}\n"
        config.aws_session_token_plaintext = TEMPORARY_KEY.token

    own = build_amazon_bedrock_adapter(configured(change))
    (request,) = own.plan(Query({"messages": [user("x")]}, stream=False), {}).requests
    signed = own.signer.sign(request, NO_CREDENTIAL, NOW)
    keys = {TEMPORARY_KEY.key_id: TEMPORARY_KEY}
    headers = {**signed.headers, "host": HOST}
    check_signature(keys, "us-east-1", signed.url, headers, signed.body, NOW)


async def test_a_chat_through_the_data_plane() -> None:
    case = next(case for case in CASES if case.variant == CLAUDE and case.task == "llm/v1/chat")
    async with open_gateway(case) as gateway:
        whole = await gateway.ask(stream=False, temperature=1.5)
        streamed = await gateway.ask(stream=True, temperature=1.5)
    assert whole.metadata["x-modelplane-adapted-params"] == "temperature=clamped"
    assert read_choices(whole.document) == reassemble(streamed.chunks)
    assert whole.document["choices"][0]["message"]["content"].endswith("heard: one two three")


async def test_an_arn_reaches_its_model() -> None:
    arn = f"arn:aws:bedrock:us-east-1::foundation-model/anthropic.{CLAUDE}"
    case = next(case for case in CASES if case.variant == CLAUDE and case.task == "llm/v1/chat")
    named = replace(case, model=lambda _: external_model(arn, "anthropic", "chat"))
    async with open_gateway(named) as gateway:
        answer = await gateway.ask(stream=False)
        (request,) = gateway.emulator.requests
    assert answer.document["choices"][0]["message"]["content"].startswith(f"{arn} heard")
    assert getattr(request, "path", "").startswith("/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A%3A")
