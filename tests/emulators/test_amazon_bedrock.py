"""The emulator before AWS's own client, which signs, frames and names errors as AWS does."""

import json
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Any

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.eventstream import EventStreamBuffer
from botocore.exceptions import ClientError, EventStreamError
from hypothesis import given
from hypothesis import strategies as st

from tests.emulators.amazon_bedrock import (
    KEY,
    REGION,
    TEMPORARY_KEY,
    AccessKey,
    BedrockEmulator,
    frames,
)
from tests.emulators.amazon_bedrock.signature import check_signature
from tests.emulators.emulator import Refusal, running_in_thread

CLAUDE = "anthropic.claude-3-sonnet-20240229-v1:0"
PNG = b"\x89PNG\r\n\x1a\nemulated"
WEATHER = {
    "toolSpec": {
        "name": "weather",
        "inputSchema": {"json": {"type": "object", "properties": {"city": {"type": "string"}}}},
    }
}


@pytest.fixture
def emulator() -> Iterator[BedrockEmulator]:
    with running_in_thread(BedrockEmulator) as running:
        yield running


def client_of(emulator: BedrockEmulator, key: AccessKey = KEY, region: str = REGION) -> Any:
    return boto3.client(
        "bedrock-runtime",
        region_name=region,
        endpoint_url=emulator.origin,
        aws_access_key_id=key.key_id,
        aws_secret_access_key=key.secret,
        aws_session_token=key.token or None,
        config=Config(retries={"total_max_attempts": 1}),
    )


@pytest.fixture
def client(emulator: BedrockEmulator) -> Iterator[Any]:
    opened = client_of(emulator)
    yield opened
    opened.close()


def user(*content: Any) -> dict[str, Any]:
    return {"role": "user", "content": [*content]}


def code_of(error: ClientError) -> str:
    return str(error.response["Error"]["Code"])


def test_a_chat(client: Any) -> None:
    answer = client.converse(
        modelId=CLAUDE,
        system=[{"text": "a parrot"}],
        messages=[user({"text": "hi"}, {"image": {"format": "png", "source": {"bytes": PNG}}})],
        inferenceConfig={"maxTokens": 50, "temperature": 0},
    )
    (block,) = answer["output"]["message"]["content"]
    assert block["text"] == f"{CLAUDE} heard: hi and saw 1 as a parrot"
    assert answer["stopReason"] == "end_turn"
    usage = answer["usage"]
    assert usage["totalTokens"] == usage["inputTokens"] + usage["outputTokens"]


def test_a_stream_says_what_the_whole_answer_says(client: Any) -> None:
    request = {
        "modelId": "anthropic.claude-sonnet-4-20250514-v1:0",
        "messages": [user({"text": "explain the weather twice"})],
        "toolConfig": {"tools": [WEATHER]},
        "additionalModelRequestFields": {"thinking": {"type": "enabled", "budget_tokens": 1024}},
    }
    whole = client.converse(**request)
    text = thought = ""
    calls: list[list[str]] = []
    events = list(client.converse_stream(**request)["stream"])
    for event in events:
        start = event.get("contentBlockStart", {}).get("start", {})
        if "toolUse" in start:
            calls.append([start["toolUse"]["toolUseId"], ""])
        delta = event.get("contentBlockDelta", {}).get("delta", {})
        text += delta.get("text", "")
        thought += delta.get("reasoningContent", {}).get("text", "")
        if "toolUse" in delta:
            calls[-1][1] += delta["toolUse"]["input"]
    content = whole["output"]["message"]["content"]
    assert thought == content[0]["reasoningContent"]["reasoningText"]["text"]
    assert text == content[1]["text"]
    uses = [block["toolUse"] for block in content[2:]]
    assert [[use["toolUseId"], use["input"]] for use in uses] == [
        [call_id, json.loads(arguments)] for call_id, arguments in calls
    ]
    assert len(uses) == 2
    kinds = [next(iter(event)) for event in events]
    assert kinds[0] == "messageStart"
    assert kinds[-2:] == ["messageStop", "metadata"]
    assert events[-1]["metadata"]["usage"] == whole["usage"]


def test_tool_results(client: Any) -> None:
    use = {"toolUseId": "call_1", "name": "weather", "input": {}}
    result = {"toolUseId": "call_1", "content": [{"text": "rain"}]}
    messages = [
        user({"text": "weather?"}),
        {"role": "assistant", "content": [{"toolUse": use}]},
        user({"toolResult": result}),
    ]
    answer = client.converse(modelId=CLAUDE, messages=messages, toolConfig={"tools": [WEATHER]})
    assert answer["output"]["message"]["content"] == [{"text": f"{CLAUDE} heard: rain"}]
    with pytest.raises(client.exceptions.ValidationException):
        client.converse(modelId=CLAUDE, messages=messages)


@pytest.mark.parametrize(
    ("model", "body", "text"),
    [
        ("anthropic.claude-v2", {"prompt": "\n\nHuman: a b\n\nAssistant:"}, "completion"),
        ("cohere.command-text-v14", {"prompt": "a b", "stream": True}, "text"),
        ("amazon.titan-text-express-v1", {"inputText": "a b"}, "outputText"),
        ("meta.llama3-8b-instruct-v1:0", {"prompt": "a b"}, "generation"),
    ],
)
def test_a_stream_of_a_model_ends_with_metrics(
    client: Any, model: str, body: dict[str, Any], text: str
) -> None:
    if "claude" in model:
        body = {**body, "max_tokens_to_sample": 50}
    answer = client.invoke_model_with_response_stream(modelId=model, body=json.dumps(body))
    events = [json.loads(event["chunk"]["bytes"]) for event in answer["body"]]
    assert "a b" in "".join(event.get(text, "") for event in events)
    metrics = events[-1]["amazon-bedrock-invocationMetrics"]
    assert metrics["inputTokenCount"] > 0
    assert metrics["outputTokenCount"] > 0


@pytest.mark.parametrize(
    ("model", "body", "field"),
    [
        ("ai21.j2-mid", {"prompt": "a b"}, "completions"),
        ("amazon.titan-embed-text-v1", {"inputText": "a b"}, "embedding"),
        (
            "cohere.embed-english-v3",
            {"texts": ["a", "b"], "input_type": "search_query"},
            "embeddings",
        ),
        (
            CLAUDE,
            {
                "anthropic_version": "bedrock-2023-05-31",
                "max_tokens": 5,
                "messages": [{"role": "user", "content": "a b"}],
            },
            "content",
        ),
    ],
)
def test_a_whole_answer_of_a_model(
    client: Any, model: str, body: dict[str, Any], field: str
) -> None:
    answer = client.invoke_model(modelId=model, body=json.dumps(body))
    assert json.loads(answer["body"].read())[field]
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    assert int(headers["x-amzn-bedrock-input-token-count"]) > 0


def test_an_arn_and_a_profile_name_a_model(client: Any, emulator: BedrockEmulator) -> None:
    arn = f"arn:aws:bedrock:us-east-1::foundation-model/{CLAUDE}"
    for name in (arn, f"us.{CLAUDE}"):
        assert client.converse(modelId=name, messages=[user({"text": "hi"})])["output"]
    assert emulator.requests[0].path.count("/") == 3
    assert "%2F" in emulator.requests[0].path


@pytest.mark.parametrize(
    ("model", "body"),
    [
        ("amazon.titan-text-express-v1", {"inputText": "a", "temperature": 1}),
        ("amazon.titan-text-express-v1", {"prompt": "a"}),
        ("amazon.titan-embed-text-v1", {"inputText": "a", "dimensions": 256}),
        ("cohere.command-text-v14", {"prompt": "a", "end_sequences": ["x"]}),
        ("cohere.embed-english-v3", {"texts": ["a"]}),
        ("anthropic.claude-v2", {"prompt": "a", "max_tokens_to_sample": 5}),
        (CLAUDE, {"max_tokens": 5, "messages": [{"role": "user", "content": "a"}]}),
        ("meta.llama3-8b-instruct-v1:0", {"prompt": "a", "stop": ["x"]}),
        ("ai21.j2-mid", {"prompt": "a", "topK": 1}),
        ("nobody.nothing", {}),
    ],
)
def test_a_wrong_body_is_refused(client: Any, model: str, body: dict[str, Any]) -> None:
    with pytest.raises(client.exceptions.ValidationException):
        client.invoke_model(modelId=model, body=json.dumps(body))


@pytest.mark.parametrize(
    "change",
    [
        {"messages": []},
        {"messages": [{"role": "assistant", "content": [{"text": "hi"}]}]},
        {"messages": [user({"text": "a"}), user({"text": "b"})]},
        {"messages": [user({"text": " "})]},
        {"messages": [user({"toolResult": {"toolUseId": "x", "content": []}})]},
        {"inferenceConfig": {"temperature": 1.5}},
        {"inferenceConfig": {"stopSequences": [" "]}},
        {"toolConfig": {"tools": [WEATHER], "toolChoice": {"tool": {"name": "other"}}}},
        {"modelId": "anthropic.claude-v2", "system": [{"text": "a parrot"}]},
        {"modelId": "cohere.command-text-v14"},
        {
            "modelId": "cohere.command-r-v1:0",
            "messages": [user({"image": {"format": "png", "source": {"bytes": PNG}}})],
        },
    ],
)
def test_a_wrong_conversation_is_refused(client: Any, change: dict[str, Any]) -> None:
    request = {"modelId": CLAUDE, "messages": [user({"text": "hi"})], **change}
    with pytest.raises(client.exceptions.ValidationException):
        client.converse(**request)


def test_a_temporary_key_needs_its_token(emulator: BedrockEmulator) -> None:
    request = {"modelId": CLAUDE, "messages": [user({"text": "hi"})]}
    temporary = client_of(emulator, TEMPORARY_KEY)
    assert temporary.converse(**request)["output"]
    bare = client_of(emulator, AccessKey(TEMPORARY_KEY.key_id, TEMPORARY_KEY.secret))
    with pytest.raises(ClientError) as refused:
        bare.converse(**request)
    assert code_of(refused.value) == "UnrecognizedClientException"


@pytest.mark.parametrize(
    ("key", "region", "code"),
    [
        (AccessKey(KEY.key_id, "wrong"), REGION, "InvalidSignatureException"),
        (AccessKey("AKIAUNKNOWN", KEY.secret), REGION, "UnrecognizedClientException"),
        (KEY, "eu-west-1", "InvalidSignatureException"),
    ],
)
def test_a_wrong_key_is_refused(
    emulator: BedrockEmulator, key: AccessKey, region: str, code: str
) -> None:
    with pytest.raises(ClientError) as refused:
        client_of(emulator, key, region).converse(modelId=CLAUDE, messages=[user({"text": "hi"})])
    assert code_of(refused.value) == code
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


@pytest.mark.parametrize(("skew", "accepted"), [(-299, True), (299, True), (-301, False)])
def test_a_skewed_clock_is_refused(skew: int, *, accepted: bool) -> None:
    url = "https://bedrock-runtime.us-east-1.amazonaws.com/model/a%3A1/converse"
    request = AWSRequest("POST", url, {}, b"{}")
    before = time.time()  # noqa: TID251 - the client signs with it
    SigV4Auth(Credentials(KEY.key_id, KEY.secret), "bedrock", REGION).add_auth(request)
    headers = {**dict(request.headers), "host": "bedrock-runtime.us-east-1.amazonaws.com"}

    def check() -> None:
        check_signature({KEY.key_id: KEY}, REGION, url, headers, b"{}", int(before) - skew)

    if accepted:
        check()
        return
    with pytest.raises(Refusal, match="expired"):
        check()


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "ValidationException"),
        (403, "AccessDeniedException"),
        (404, "ResourceNotFoundException"),
        (408, "ModelTimeoutException"),
        (424, "ModelErrorException"),
        (429, "ThrottlingException"),
        (429, "ModelNotReadyException"),
        (500, "InternalServerException"),
        (503, "ServiceUnavailableException"),
    ],
)
def test_an_error_has_its_class(
    client: Any, emulator: BedrockEmulator, status: int, kind: str
) -> None:
    headers = {"x-amzn-errortype": f"{kind}:http://internal.amazon.com/coral/{kind}/"}
    emulator.fail(status=status, headers=headers)
    with pytest.raises(getattr(client.exceptions, kind)):
        client.converse(modelId=CLAUDE, messages=[user({"text": "hi"})])


def test_an_exception_inside_a_stream(client: Any, emulator: BedrockEmulator) -> None:
    body = {"__type": "ThrottlingException", "message": "slow down"}
    emulator.misbehave("error_event", after_events=3, body=body)
    answer = client.converse_stream(modelId=CLAUDE, messages=[user({"text": "a b c"})])
    with closing(answer["stream"]) as events, pytest.raises(EventStreamError) as refused:
        list(events)
    assert code_of(refused.value) == "throttlingException"
    assert "slow down" in str(refused.value)


def test_a_guardrail_may_leave_out_the_output(client: Any) -> None:
    answer = client.converse(modelId=CLAUDE, messages=[user({"text": "guard silently"})])
    assert answer["stopReason"] == "guardrail_intervened"
    assert "output" not in answer


@given(st.dictionaries(st.text("abc-:", min_size=1, max_size=9), st.text(max_size=30)), st.binary())
def test_botocore_reads_each_frame(headers: dict[str, str], payload: bytes) -> None:
    buffer = EventStreamBuffer()
    buffer.add_data(frames.frame(headers, payload))
    message = next(buffer)
    assert message.headers == headers
    assert message.payload == payload
    with suppress(StopIteration):
        next(buffer)
        raise AssertionError
