import pytest
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor
from modelserving.v1.endpoint_pb2 import (
    EndpointConfigInput,
    ServedEntity,
    ServedModel,
    TrafficConfig,
)

from modelplane.control_plane.endpoints.config_input import build_config
from modelplane.control_plane.errors import InvalidParameter
from tests.control_plane.configs import config_input, openai_entity


def test_served_models_become_served_entities() -> None:
    model = {"name": "m", "model_name": "c.s.m", "model_version": 3, "workload_size": "Small"}
    given = json_format.ParseDict({"served_models": [model]}, EndpointConfigInput())
    (entity,) = build_config(given).served_entities
    assert json_format.MessageToDict(entity, preserving_proto_field_name=True) == {
        "name": "m",
        "entity_name": "c.s.m",
        "entity_version": "3",
        "workload_size": "Small",
        "workload_type": "CPU",
    }


def test_what_clients_spell_out_for_unset_is_unset() -> None:
    spelled: dict[str, object] = {
        "entity_name": "c.s.m",
        "entity_version": 3,
        "workload_size": "",
        "workload_type": "",
        "min_provisioned_concurrency": 0,
        "max_provisioned_concurrency": 0,
        "min_provisioned_throughput": 0,
        "max_provisioned_throughput": 0,
        "provisioned_model_units": 0,
        "burst_scaling_enabled": False,
        "instance_profile_arn": "",
    }
    (entity,) = build_config(config_input(spelled)).served_entities
    assert json_format.MessageToDict(entity, preserving_proto_field_name=True) == {
        "name": "m-3",
        "entity_name": "c.s.m",
        "entity_version": "3",
        "workload_size": "Small",
        "workload_type": "CPU",
    }


def test_zero_is_the_least_of_what_may_scale_to_it() -> None:
    sized: dict[str, object] = {"entity_name": "c.s.m", "max_provisioned_concurrency": 8}
    (entity,) = build_config(config_input(sized)).served_entities
    assert entity.HasField("min_provisioned_concurrency")
    assert not entity.HasField("workload_size")


def test_the_two_spellings_have_the_same_fields() -> None:
    def shape(descriptor: Descriptor) -> dict[int, tuple[str, int, str]]:
        return {
            field.number: (
                field.name.removeprefix("entity_").removeprefix("model_"),
                field.type,
                field.message_type.full_name if field.message_type else "",
            )
            for field in descriptor.fields
            if not (field.message_type and field.message_type.GetOptions().map_entry)
        }

    assert shape(ServedModel.DESCRIPTOR) == shape(ServedEntity.DESCRIPTOR)


@pytest.mark.parametrize(
    ("entity", "name"),
    [
        ({"external_model": {"name": "claude.v2:1"}}, "claude-v2-1"),
        ({"external_model": {"name": "arn:aws:a/b"}}, "arn-aws-a-b"),
        ({"external_model": {"name": "x" * 200}}, "x" * 128),
        ({"entity_name": "system.ai.llama", "entity_version": "3"}, "llama-3"),
        ({"entity_name": "features"}, "features"),
        ({"entity_name": "c.s.m", "entity_version": "@champion"}, "m-champion"),
        ({"entity_name": "c.s.m", "entity_version": 2, "name": "own"}, "own"),
        ({}, ""),
    ],
)
def test_an_entity_without_a_name_is_called_after_its_model(
    entity: dict[str, object], name: str
) -> None:
    assert build_config(config_input(entity)).served_entities[0].name == name


@pytest.mark.parametrize(
    ("given", "stored"), [("1", "1"), (3, "3"), (3.0, "3"), ("v2", "v2"), ("", ""), (None, "")]
)
def test_a_version_is_kept_as_text(given: object, stored: str) -> None:
    entity = {"name": "m", "entity_name": "c.s.m", "entity_version": given}
    built = build_config(config_input(entity)).served_entities[0]
    assert built.entity_version.string_value == stored
    assert built.HasField("entity_version") == bool(stored)


@pytest.mark.parametrize("version", [3.5, True, [1], {"a": 1}])
def test_what_is_no_version(version: object) -> None:
    entity = {"name": "m", "entity_name": "c.s.m", "entity_version": version}
    with pytest.raises(InvalidParameter, match="entity_version must be a version number"):
        build_config(config_input(entity))


def test_both_spellings_of_the_models_are_one_too_many() -> None:
    given = config_input(openai_entity(), served_models=[{"name": "m"}])
    with pytest.raises(InvalidParameter, match="keep only served_entities"):
        build_config(given)


def test_a_configuration_has_models() -> None:
    with pytest.raises(InvalidParameter, match="no served_entities"):
        build_config(EndpointConfigInput(name="chat"))


def test_a_single_entity_gets_all_the_traffic() -> None:
    (route,) = build_config(config_input(openai_entity())).traffic_config.routes
    assert (route.served_model_name, route.served_entity_name) == ("chat", "chat")
    assert route.traffic_percentage == 100


def test_several_entities_get_no_split_of_their_own() -> None:
    built = build_config(config_input(openai_entity("a"), openai_entity("b")))
    assert built.traffic_config == TrafficConfig()


def route_to(**names: str) -> dict[str, object]:
    return {"routes": [{"traffic_percentage": "100", **names}]}


@pytest.mark.parametrize(
    "names",
    [
        {"served_model_name": "chat"},
        {"served_entity_name": "chat"},
        {"served_model_name": "chat", "served_entity_name": "chat"},
    ],
)
def test_a_route_is_spelled_in_both_ways(names: dict[str, str]) -> None:
    built = build_config(config_input(openai_entity(), traffic_config=route_to(**names)))
    (route,) = built.traffic_config.routes
    assert (route.served_model_name, route.served_entity_name) == ("chat", "chat")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({}, "names no served entity"),
        ({"served_model_name": "a", "served_entity_name": "b"}, "names two served entities"),
    ],
)
def test_a_route_has_one_name(names: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidParameter, match=message):
        build_config(config_input(openai_entity(), traffic_config=route_to(**names)))
