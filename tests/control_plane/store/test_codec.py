from modelserving.v1.endpoint_pb2 import EndpointConfig, EndpointTag, RateLimit

from modelplane.control_plane.store import codec
from tests.control_plane.configs import openai_entity, stored_config


def test_a_configuration_is_the_same_after_a_round_trip() -> None:
    config = stored_config(openai_entity(), version=7)
    config.served_entities[0].entity_version.string_value = "3"
    config.served_entities[0].creation_timestamp = 1_699_617_587_000
    config.traffic_config.routes.add(served_entity_name="chat", traffic_percentage=0)
    assert codec.decode_config(codec.encode(config)) == config


def test_a_decoded_configuration_may_be_changed() -> None:
    text = codec.encode(stored_config(openai_entity()))
    codec.decode_config(text).served_entities[0].name = "changed"
    assert codec.decode_config(text).served_entities[0].name == "chat"


def test_equal_messages_give_equal_text() -> None:
    def with_variables(names: str) -> EndpointConfig:
        config = EndpointConfig()
        config.served_entities.add(environment_vars=dict.fromkeys(names, "v"))
        return config

    assert codec.encode(with_variables("abc")) == codec.encode(with_variables("cba"))


def test_absent_and_zero_differ() -> None:
    limits = [RateLimit(), RateLimit(calls=0)]
    assert codec.decode_all(codec.encode_all(limits), RateLimit) == limits
    assert codec.decode_all(codec.encode_all([]), RateLimit) == []
    assert codec.decode_optional(codec.encode_optional(None), RateLimit) is None
    assert codec.decode_optional(codec.encode_optional(RateLimit()), RateLimit) == RateLimit()


def test_what_a_newer_release_has_added_is_ignored() -> None:
    text = '{"key": "k", "colour": "red"}'
    assert codec.decode(text, EndpointTag) == EndpointTag(key="k")
