"""Served entities whose throughput is provisioned, from what is asked for to their replicas."""

import pytest
from google.protobuf import json_format
from modelserving.store.v1.hosting_pb2 import ScalePolicy
from modelserving.v1.endpoint_pb2 import ServedEntity

from modelplane.control_plane.endpoints.lifecycle import Endpoints
from modelplane.control_plane.errors import InvalidParameter
from modelplane.control_plane.hosting.throughput import Chunk
from modelplane.control_plane.hosting.throughput_rules import scale_of
from modelplane.control_plane.store.endpoints.records import StoredEndpoint
from modelplane.control_plane.store.states import GroupPhase
from tests.control_plane.configs import config_input
from tests.control_plane.conftest import ALICE
from tests.control_plane.hosting.test_lifecycle import request, view
from tests.control_plane.hosting.worlds import HOSTED, FakeLauncher, FakeRegistry, language_model
from tests.control_plane.rollouts import FakeRollout

MODEL = "main.llm.llama"
NAMED: dict[str, object] = {"name": "one", "entity_name": MODEL, "entity_version": 1}


def scale(chunk: int = 80, **fields: int | bool) -> ScalePolicy:
    return scale_of(ServedEntity(**fields), Chunk(chunk, estimated=True))  # type: ignore[arg-type]


def throughput(least: int | None, most: int, **more: object) -> dict[str, object]:
    return {
        **NAMED,
        "min_provisioned_throughput": least,
        "max_provisioned_throughput": most,
        **more,
    }


@pytest.mark.parametrize(
    ("fields", "replicas"),
    [
        ({"min_provisioned_throughput": 160, "max_provisioned_throughput": 240}, (2, 3, False)),
        ({"min_provisioned_throughput": 80, "max_provisioned_throughput": 80}, (1, 1, False)),
        ({"max_provisioned_throughput": 240}, (1, 3, True)),
        ({"min_provisioned_throughput": 0, "max_provisioned_throughput": 80}, (1, 1, True)),
        # What is said outright holds.
        ({"max_provisioned_throughput": 80, "scale_to_zero_enabled": False}, (1, 1, False)),
        (
            {
                "min_provisioned_throughput": 80,
                "max_provisioned_throughput": 80,
                "scale_to_zero_enabled": True,
            },
            (1, 1, True),
        ),
        ({"provisioned_model_units": 50}, (1, 1, False)),
        ({"provisioned_model_units": 51}, (2, 2, False)),
        ({"provisioned_model_units": 150, "scale_to_zero_enabled": True}, (3, 3, True)),
    ],
    ids=str,
)
def test_chunks_are_replicas(
    fields: dict[str, int | bool], replicas: tuple[int, int, bool]
) -> None:
    found = scale(**fields)
    assert (found.min_replicas, found.max_replicas, found.scale_to_zero) == replicas
    assert found.throughput_chunk == 80


@pytest.mark.parametrize(("units", "tokens"), [(50, 80), (25, 40), (100, 160), (1, 1)])
def test_a_model_unit_is_a_fixed_part_of_a_chunk(units: int, tokens: int) -> None:
    found = scale(provisioned_model_units=units)
    assert (found.min_throughput, found.max_throughput) == (tokens, tokens)


def test_bursts_may_have_as_much_again() -> None:
    found = scale(provisioned_model_units=75, burst_scaling_enabled=True)
    assert (found.min_throughput, found.max_throughput) == (120, 240)
    assert (found.min_replicas, found.max_replicas) == (2, 4)
    most = scale(provisioned_model_units=12_800, burst_scaling_enabled=True)
    assert (most.max_replicas, most.max_throughput) == (256, 256 * 80)


@pytest.mark.parametrize(
    ("least", "most", "message"),
    [
        (0, 100, "max_provisioned_throughput is 100; it must be a multiple of 80 tokens"),
        (40, 80, "min_provisioned_throughput is 40; it must be a multiple of 80"),
        (0, 257 * 80, "and at most 20480"),
    ],
)
def test_what_is_no_number_of_chunks_is_refused(least: int, most: int, message: str) -> None:
    with pytest.raises(InvalidParameter, match=message):
        scale(min_provisioned_throughput=least, max_provisioned_throughput=most)


@pytest.fixture(autouse=True)
def language_models(registry: FakeRegistry) -> None:
    """Register a model whose chunk is 80."""
    registry.models[MODEL, "1"] = language_model(model_size_bytes=145_000_000)
    registry.models[MODEL, "2"] = language_model(model_size_bytes=290_000_000)
    registry.models["main.llm.vectors", "1"] = language_model(
        "llm/v1/embeddings", architecture="BertModel"
    )


async def serving(
    hosting: Endpoints, launcher: FakeLauncher, rollout: FakeRollout, entity: dict[str, object]
) -> StoredEndpoint:
    record = await hosting.create(ALICE, request(entity))
    await launcher.say(GroupPhase.READY)
    await rollout.wait_settled(record.id)
    return await hosting.get(ALICE, "e")


async def test_an_entity_is_shown_as_it_was_asked_for(
    engine_hosting: Endpoints, launcher: FakeLauncher
) -> None:
    created = view(await engine_hosting.create(ALICE, request(throughput(160, 240))))
    [entity] = created.pending_config.served_entities
    assert (
        json_format.MessageToDict(entity, preserving_proto_field_name=True).items()
        >= {
            "entity_name": MODEL,
            "entity_version": "1",
            "workload_type": "CPU",
            "min_provisioned_throughput": 160,
            "max_provisioned_throughput": 240,
        }.items()
    )
    assert not entity.HasField("workload_size")
    [group] = (await launcher.groups()).values()
    assert group.desired == 2
    assert group.model.scale == ScalePolicy(
        min_replicas=2, max_replicas=3, throughput_chunk=80, min_throughput=160, max_throughput=240
    )


async def test_whether_there_are_bursts_is_kept_and_not_told(
    engine_hosting: Endpoints, launcher: FakeLauncher, rollout: FakeRollout
) -> None:
    units = {"name": "m", "entity_name": MODEL, "entity_version": "1"}
    bursting = {**units, "provisioned_model_units": 50, "burst_scaling_enabled": True}
    record = await serving(engine_hosting, launcher, rollout, bursting)
    [entity] = view(record).config.served_entities
    assert not entity.HasField("burst_scaling_enabled")
    [group] = (await launcher.groups()).values()
    assert (group.desired, group.model.scale.max_replicas) == (1, 2)
    assert record.active is not None
    assert record.active.config.served_entities[0].burst_scaling_enabled


async def test_other_bounds_keep_the_processes(
    engine_hosting: Endpoints, launcher: FakeLauncher, rollout: FakeRollout
) -> None:
    await serving(engine_hosting, launcher, rollout, throughput(80, 80))
    before = (await launcher.groups())["one"].id
    config = config_input(throughput(0, 160))
    shown = view(await engine_hosting.update_config(ALICE, "e", config))
    assert shown.config.served_entities[0].min_provisioned_throughput == 0
    assert shown.config.served_entities[0].HasField("min_provisioned_throughput")
    group = (await launcher.groups())["one"]
    assert group.id == before
    assert (group.model.scale.max_throughput, group.model.scale.scale_to_zero) == (160, True)


@pytest.mark.parametrize(
    ("entity", "message"),
    [
        (throughput(0, 100), "Served entity 'one': max_provisioned_throughput is 100"),
        (throughput(0, 60, entity_version=2), "is 60; it must be a multiple of 40"),
        ({**throughput(0, 80), **HOSTED}, "model 'catalog.schema.model-A' is served as a Python"),
    ],
)
async def test_what_the_model_does_not_allow_is_refused(
    engine_hosting: Endpoints, entity: dict[str, object], message: str
) -> None:
    with pytest.raises(InvalidParameter, match=message):
        await engine_hosting.create(ALICE, request(entity))


async def test_models_of_one_endpoint_must_do_the_same(engine_hosting: Endpoints) -> None:
    other = {**throughput(0, 50), "name": "two", "entity_name": "main.llm.vectors"}
    with pytest.raises(InvalidParameter, match="tasks llm/v1/chat, llm/v1/embeddings"):
        await engine_hosting.create(ALICE, request(throughput(0, 80), other, one=50, two=50))


async def test_zeros_alone_are_not_provisioned(
    engine_hosting: Endpoints, launcher: FakeLauncher
) -> None:
    del launcher  # It is connected.
    zeros = throughput(0, 0, provisioned_model_units=0, scale_to_zero_enabled=True)
    created = view(await engine_hosting.create(ALICE, request(zeros)))
    [entity] = created.pending_config.served_entities
    assert entity.workload_size == "Small"
    assert not entity.HasField("max_provisioned_throughput")
