"""A trace that a caller begins goes on through Envoy, the worker, and the call to the provider."""

from pathlib import Path

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.e2e.rest import CHAT, Rest, endpoint, entity
from tests.e2e.system import run_system, wait_for
from tests.emulators.openai import API_KEY, OpenAiEmulator
from tests.emulators.otlp import attributes, running_collector

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT_ID = "00f067aa0ba902b7"


def test_a_trace_of_the_caller_goes_on(tmp_path: Path, provider: OpenAiEmulator) -> None:
    with running_collector() as collector:
        settings = {"MODELPLANE_OTLP_ENDPOINT": collector.url}
        with (
            run_system(tmp_path / "data", workers=1, settings=settings) as system,
            Rest(system) as rest,
        ):
            served = entity(provider, openai_api_key_plaintext=API_KEY)
            del served["external_model"]["openai_config"]["openai_api_key"]
            rest.create(endpoint("traced", served))
            headers = {"traceparent": f"00-{TRACE_ID}-{PARENT_ID}-01"}
            path = "/serving-endpoints/traced/invocations"
            answer = rest.send("POST", path, CHAT, headers=headers)
            assert answer.status_code == 200
            wait_for(lambda: len(own(collector.spans)) == 2)
    server, client = sorted(own(collector.spans), key=lambda span: span.kind)
    assert (server.kind, client.kind) == (Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT)
    assert server.parent_span_id.hex() == PARENT_ID
    assert client.parent_span_id == server.span_id
    request_id = attributes(server.attributes)["modelplane.request_id"]
    assert request_id == answer.headers["x-request-id"]
    assert API_KEY not in collector.text


def own(spans: list[Span]) -> list[Span]:
    """Return the spans of the test's call; the system makes calls of its own."""
    return [span for span in spans if span.trace_id.hex() == TRACE_ID]
