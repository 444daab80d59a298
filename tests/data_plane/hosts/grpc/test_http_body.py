from google.api.httpbody_pb2 import HttpBody
from hypothesis import given
from hypothesis import strategies as st
from modelserving.v1 import inference_service_pb2 as pb
from modelserving.v1.inference_service_pb2 import DESCRIPTOR

from modelplane.data_plane.calls.call import Call, Method
from modelplane.data_plane.hosts.grpc.http_body import (
    HTTP_BODY_RPCS,
    SERVICE_NAME,
    encode_content_type,
    encode_data,
)


def test_every_rpc_of_the_service_is_carried() -> None:
    service = DESCRIPTOR.services_by_name["InferenceService"]
    assert service.full_name == SERVICE_NAME
    assert {method.name for method in service.methods} == {rpc.name for rpc in HTTP_BODY_RPCS}


@given(st.binary(max_size=40_000), st.sampled_from(["", "application/json"]))
def test_a_message_encoded_by_hand_reads_back(data: bytes, content_type: str) -> None:
    message = HttpBody.FromString(encode_content_type(content_type) + encode_data(data))
    assert message == HttpBody(content_type=content_type, data=data)


def test_a_query_names_endpoint_and_entity() -> None:
    message = pb.QueryRequest(
        name="chat", served_model_name="gpt", payload=HttpBody(data=b"{}")
    ).SerializeToString()
    query = next(rpc for rpc in HTTP_BODY_RPCS if rpc.name == "Query")
    request = Call(Method.QUERY)
    query.read(message, request)
    assert (query.method, query.task) == (Method.QUERY, "")
    assert (request.name, request.served_model_name, request.body) == ("chat", "gpt", b"{}")
    call = Call(Method.QUERY, name="chat", body=b"secret", metadata={"authorization": "t"})
    assert "authorization" not in repr(call)
    assert "secret" not in repr(call)
