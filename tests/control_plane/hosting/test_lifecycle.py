"""Endpoints that host their models, with a registry and a launcher that say what the test says."""

from dataclasses import replace

import orjson
import pytest
from google.protobuf import json_format
from modelserving.v1.endpoint_pb2 import EndpointConfig, ServingEndpoint
from modelserving.v1.endpoint_service_pb2 import CreateServingEndpointRequest

from modelplane.adapters.registries.base import RegistryRefused, RegistryUnavailable
from modelplane.control_plane.endpoints.lifecycle import Endpoints
from modelplane.control_plane.endpoints.openapi import build_openapi
from modelplane.control_plane.endpoints.views import build_endpoint, build_summary
from modelplane.control_plane.errors import (
    Conflict,
    InvalidParameter,
    NotFound,
    RegistryAway,
)
from modelplane.control_plane.principal import Level, Principal
from modelplane.control_plane.secrets.scopes import Secrets
from modelplane.control_plane.store.endpoints.records import StoredEndpoint
from modelplane.control_plane.store.states import GroupPhase, GroupStep
from tests.control_plane.configs import config_input, openai_entity
from tests.control_plane.conftest import ALICE
from tests.control_plane.hosting.worlds import HOSTED, FakeLauncher, FakeRegistry, mlmodel
from tests.control_plane.rollouts import FakeRollout

BOB = Principal("bob-id", "bob")


def request(*entities: dict[str, object], **shares: object) -> CreateServingEndpointRequest:
    routes = [{"served_model_name": name, "traffic_percentage": n} for name, n in shares.items()]
    config = {"served_entities": list(entities or [HOSTED]), "traffic_config": {"routes": routes}}
    return json_format.ParseDict({"name": "e", "config": config}, CreateServingEndpointRequest())


def two(**more: object) -> list[dict[str, object]]:
    """Return the served entities of the documents' example."""
    challenger = {**HOSTED, "entity_name": "catalog.schema.model-B", **more}
    return [{**HOSTED, "name": "current"}, {**challenger, "name": "challenger"}]


def view(record: StoredEndpoint) -> ServingEndpoint:
    return build_endpoint(record, ALICE)


def states(config: EndpointConfig) -> dict[str, tuple[str, str]]:
    return {
        entity.name: (entity.state.deployment, entity.state.deployment_state_message)
        for entity in config.served_entities
    }


async def serving(
    hosting: Endpoints, launcher: FakeLauncher, rollout: FakeRollout, *entities: dict[str, object]
) -> StoredEndpoint:
    """Return an endpoint whose first version serves."""
    even = {str(entity["name"]): 100 // len(entities) for entity in entities}
    record = await hosting.create(ALICE, request(*entities, **even))
    await launcher.say(GroupPhase.READY)
    await rollout.wait_settled(record.id)
    return await hosting.get(ALICE, "e")


async def test_a_new_endpoint_is_answered_at_once_and_tells_its_progress(
    hosting: Endpoints, launcher: FakeLauncher, rollout: FakeRollout
) -> None:
    created = view(await hosting.create(ALICE, request()))
    assert (created.state.ready, created.state.config_update) == ("NOT_READY", "IN_PROGRESS")
    assert not created.HasField("config")
    [entity] = created.pending_config.served_entities
    assert json_format.MessageToDict(entity, preserving_proto_field_name=True) == {
        "name": "model-A-1",
        "entity_name": "catalog.schema.model-A",
        "entity_version": "1",
        "workload_size": "Small",
        "workload_type": "CPU",
        "scale_to_zero_enabled": True,
        "state": {
            "deployment": "DEPLOYMENT_CREATING",
            "deployment_state_message": "Creating resources for served entity.",
            "progress": {"stage": "WAITING", "start_time": entity.creation_timestamp},
        },
        "creator": "alice",
        "creation_timestamp": entity.creation_timestamp,
        "type": "CUSTOM_MODEL",
    }
    assert created.pending_config.config_version == 1
    assert not created.HasField("endpoint_type")
    assert not created.HasField("task")

    steps = {
        GroupStep.FETCHING: "Fetching the model from the registry. 3 of 12 MB",
        GroupStep.BUILDING_ENVIRONMENT: "Building the environment of the model. 3 of 12 MB",
        GroupStep.STARTING: "Starting the model. 3 of 12 MB",
    }
    for step, message in steps.items():
        await launcher.say(GroupPhase.CREATING, step=step, message="3 of 12 MB")
        told = states(view(await hosting.get(ALICE, "e")).pending_config)
        assert told == {"model-A-1": ("DEPLOYMENT_CREATING", message)}

    await launcher.say(GroupPhase.READY)
    await rollout.wait_settled(created.id)
    ready = view(await hosting.get(ALICE, "e"))
    assert (ready.state.ready, ready.state.config_update) == ("READY", "NOT_UPDATING")
    assert states(ready.config) == {"model-A-1": ("DEPLOYMENT_READY", "")}
    assert not ready.HasField("pending_config")


@pytest.mark.parametrize(
    ("phase", "message", "ready", "state"),
    [
        (GroupPhase.IDLE, "", "READY", ("DEPLOYMENT_READY", "Scaled to zero")),
        (GroupPhase.RECOVERING, "killed", "NOT_READY", ("DEPLOYMENT_RECOVERING", "killed")),
        (GroupPhase.FAILED, "no weights", "NOT_READY", ("DEPLOYMENT_FAILED", "no weights")),
    ],
)
async def test_a_model_that_served_may_sleep_or_fail(
    hosting: Endpoints,
    launcher: FakeLauncher,
    rollout: FakeRollout,
    phase: GroupPhase,
    message: str,
    ready: str,
    state: tuple[str, str],
) -> None:
    await serving(hosting, launcher, rollout, {**HOSTED, "name": "one"})
    await launcher.say(phase, message=message)
    told = view(await hosting.get(ALICE, "e"))
    assert (told.state.ready, told.state.config_update) == (ready, "NOT_UPDATING")
    assert states(told.config) == {"one": state}


async def test_the_end_of_a_log_is_for_those_who_may_read_it(
    hosting: Endpoints, launcher: FakeLauncher, rollout: FakeRollout
) -> None:
    record = await serving(hosting, launcher, rollout, {**HOSTED, "name": "one"})
    message = "It has ended.\nThe end of its log:\nthe caller before paid by card"
    await launcher.say(GroupPhase.FAILED, message=message)
    record = await hosting.get(ALICE, "e")
    assert states(view(record).config) == {"one": ("DEPLOYMENT_FAILED", message)}
    viewer = replace(record, grants={**record.grants, BOB.id: Level.CAN_VIEW})
    seen = build_endpoint(viewer, BOB)
    assert states(seen.config) == {"one": ("DEPLOYMENT_FAILED", "It has ended.")}


async def test_after_a_failure_the_reason_stays_beside_what_serves(
    hosting: Endpoints, launcher: FakeLauncher, rollout: FakeRollout
) -> None:
    record = await serving(hosting, launcher, rollout, *two())
    bumped = config_input(*two(entity_version="2"), traffic_config=split(50, 50))
    updating = view(await hosting.update_config(ALICE, "e", bumped))
    assert updating.state.config_update == "IN_PROGRESS"
    assert states(updating.pending_config)["current"] == ("DEPLOYMENT_READY", "")
    await launcher.say(GroupPhase.FAILED, version="2", message="No module named 'x'.")
    rollout.refusal = "Served entity 'challenger': No module named 'x'."
    await rollout.wait_settled(record.id)
    failed = view(await hosting.get(ALICE, "e"))
    assert (failed.state.ready, failed.state.config_update) == ("READY", "UPDATE_FAILED")
    assert failed.config.config_version == 1
    assert states(failed.pending_config) == {
        "current": ("DEPLOYMENT_READY", ""),
        "challenger": ("DEPLOYMENT_FAILED", "No module named 'x'."),
    }


def split(current: int, challenger: int) -> dict[str, object]:
    shares = {"current": current, "challenger": challenger}
    routes = [{"served_model_name": name, "traffic_percentage": n} for name, n in shares.items()]
    return {"routes": routes}


async def test_a_new_split_keeps_the_groups_and_is_there_at_once(
    hosting: Endpoints, launcher: FakeLauncher, rollout: FakeRollout, registry: FakeRegistry
) -> None:
    await serving(hosting, launcher, rollout, *two())
    before = await launcher.groups()
    whole = config_input(*two(), traffic_config=split(90, 10))
    assert view(await hosting.update_config(ALICE, "e", whole)).config.config_version == 2
    registry.fault = RegistryUnavailable("away")
    alone = config_input(traffic_config=split(10, 90))
    assert view(await hosting.update_config(ALICE, "e", alone)).config.config_version == 3
    # What stays as it is needs no registry.
    assert view(await hosting.update_config(ALICE, "e", whole)).config.config_version == 4
    assert view(await hosting.rollback(ALICE, "e", 3)).config.config_version == 5
    after = await launcher.groups()
    assert {name: (group.id, group.generation) for name, group in after.items()} == {
        name: (group.id, group.generation) for name, group in before.items()
    }


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"workload_size": "Medium"}, True),
        ({"scale_to_zero_enabled": False}, True),
        ({"entity_version": "2"}, False),
        ({"workload_type": "CPU_MEDIUM"}, False),
        ({"environment_vars": {"A": "1"}}, False),
    ],
)
async def test_a_group_stays_while_its_processes_know_of_no_change(
    hosting: Endpoints,
    launcher: FakeLauncher,
    rollout: FakeRollout,
    change: dict[str, object],
    same: bool,  # noqa: FBT001 - one of the cases
) -> None:
    one = {**HOSTED, "name": "one"}
    old = await serving(hosting, launcher, rollout, one)
    new = await hosting.update_config(ALICE, "e", config_input({**one, **change}))
    (version,) = [item for item in (new.pending, new.active) if item and item.version == 2]
    assert old.active
    assert (version.hosted[0].group_id == old.active.hosted[0].group_id) is same


async def test_an_alias_is_resolved_once(
    hosting: Endpoints, registry: FakeRegistry, launcher: FakeLauncher, rollout: FakeRollout
) -> None:
    registry.aliases["catalog.schema.model-A", "champion"] = "2"
    record = await hosting.create(ALICE, request({**HOSTED, "entity_version": "@champion"}))
    [entity] = view(record).pending_config.served_entities
    assert (entity.name, entity.entity_version.string_value) == ("model-A-champion", "2")
    registry.aliases["catalog.schema.model-A", "champion"] = "3"
    await launcher.say(GroupPhase.READY)
    await rollout.wait_settled(record.id)
    [active] = view(await hosting.get(ALICE, "e")).config.served_entities
    assert active.entity_version.string_value == "2"
    again = config_input({**HOSTED, "name": entity.name, "entity_version": "@champion"})
    [moved] = view(await hosting.update_config(ALICE, "e", again)).pending_config.served_entities
    assert moved.entity_version.string_value == "3"


async def test_the_task_is_what_all_models_share(
    hosting: Endpoints, registry: FakeRegistry
) -> None:
    agent = mlmodel(metadata={"task": "agent/v1/chat"})
    registry.models["catalog.schema.model-A", "1"] = agent
    record = await hosting.create(ALICE, request())
    assert view(record).task == "agent/v1/chat"
    summary = build_summary(record, ALICE)
    assert summary.task == "agent/v1/chat"


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"entity_name": "catalog.schema.nope"}, NotFound, "'one': Model 'catalog.schema.nope'"),
        ({"entity_version": "9"}, NotFound, "no version 9"),
        ({"entity_version": "@nobody"}, NotFound, "no version @nobody"),
        ({"scale_to_zero_enabled": None}, InvalidParameter, "scaleToZeroEnabled is undefined"),
    ],
)
async def test_what_cannot_be_found_or_is_malformed(
    hosting: Endpoints, change: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        await hosting.create(ALICE, request({**HOSTED, "name": "one", **change}))
    with pytest.raises(NotFound):
        await hosting.get(ALICE, "e")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            mlmodel(
                flavors={"transformers": {}, "python_function": {}},
                metadata={"task": "llm/v1/chat"},
            ),
            "is a language model",
        ),
        (
            mlmodel(
                flavors={"transformers": {"inference_task": "llm/v1/embeddings"}},
            ),
            "task llm/v1/embeddings",
        ),
        (mlmodel(metadata={"entrypoint": "vllm serve"}), "metadata.entrypoint"),
        (mlmodel(flavors={"onnx": {}}), "flavors onnx, and not python_function"),
        (b"{", "MLmodel file cannot be read"),
        (b"a: 1", "names no flavors"),
    ],
)
async def test_models_that_cannot_be_served(
    hosting: Endpoints, registry: FakeRegistry, content: bytes, message: str
) -> None:
    registry.models["catalog.schema.model-A", "1"] = content
    with pytest.raises(InvalidParameter, match=message):
        await hosting.create(ALICE, request())


@pytest.mark.parametrize(
    ("architecture", "task"),
    [("LlamaForCausalLM", "llm/v1/chat"), ("BertModel", "llm/v1/embeddings")],
)
async def test_a_language_model_is_given_to_an_engine(
    engine_hosting: Endpoints,
    registry: FakeRegistry,
    launcher: FakeLauncher,
    architecture: str,
    task: str,
) -> None:
    flavor = {"model_binary": "model", "pipeline_model_type": architecture}
    flavors = {"transformers": flavor, "python_function": {}}
    content = mlmodel(flavors=flavors, metadata={"task": task})
    registry.models["catalog.schema.model-A", "1"] = content
    record = await engine_hosting.create(ALICE, request())
    assert view(record).task == task
    [group] = (await launcher.groups()).values()
    assert group.model.engine == "llama_cpp"
    assert group.model.description.streamable is (task == "llm/v1/chat")


async def test_a_registry_that_is_away_or_refuses(
    hosting: Endpoints, registry: FakeRegistry
) -> None:
    registry.fault = RegistryUnavailable("it does not answer")
    with pytest.raises(RegistryAway, match="'model-A-1': it does not answer"):
        await hosting.create(ALICE, request())
    registry.fault = RegistryRefused("wrong credential")
    with pytest.raises(InvalidParameter, match="wrong credential"):
        await hosting.create(ALICE, request())


async def test_the_registry_is_asked_for_nobody_who_may_not_change_the_endpoint(
    hosting: Endpoints, registry: FakeRegistry
) -> None:
    await hosting.create(ALICE, request())
    asked = registry.asked
    with pytest.raises(NotFound):
        await hosting.update_config(BOB, "e", config_input({**HOSTED}))
    with pytest.raises(Conflict, match="currently being updated"):
        await hosting.update_config(ALICE, "e", config_input({**HOSTED}))
    assert registry.asked == asked


async def test_models_of_several_kinds_do_not_mix(hosting: Endpoints) -> None:
    with pytest.raises(InvalidParameter, match="models of one kind"):
        await hosting.create(
            ALICE, request({**HOSTED, "name": "a"}, openai_entity("b"), a=50, b=50)
        )


async def test_ten_and_more_entities(hosting: Endpoints, launcher: FakeLauncher) -> None:
    entities: list[dict[str, object]] = [{**HOSTED, "name": f"m{n}"} for n in range(15)]
    shares = {f"m{n}": 100 if n == 0 else 0 for n in range(15)}
    await hosting.create(ALICE, request(*entities, **shares))
    assert len(await launcher.groups()) == 15


async def test_variables_may_be_references_that_the_caller_may_read(
    hosting: Endpoints, secrets: Secrets, launcher: FakeLauncher
) -> None:
    variables = {"TOKEN": "{{secrets/s/key}}", "PLAIN": "{{text}}"}
    wanted = request({**HOSTED, "environment_vars": variables})
    with pytest.raises(InvalidParameter, match=r"environment_vars.TOKEN refers to"):
        await hosting.create(ALICE, wanted)
    await secrets.create_scope(ALICE, "s", backend="", manager="")
    await secrets.put(ALICE, ("s", "key"), b"hush")
    with pytest.raises(InvalidParameter, match=r"environment_vars.TOKEN refers to"):
        await hosting.create(BOB, wanted)
    [entity] = view(await hosting.create(ALICE, wanted)).pending_config.served_entities
    assert dict(entity.environment_vars) == variables
    assert dict((await launcher.groups())["model-A-1"].environment) == variables


async def test_cancel_ends_what_was_begun(
    hosting: Endpoints, launcher: FakeLauncher, rollout: FakeRollout
) -> None:
    await serving(hosting, launcher, rollout, {**HOSTED, "name": "one"})
    bumped = config_input({**HOSTED, "name": "one", "entity_version": "2"})
    await hosting.update_config(ALICE, "e", bumped)
    canceled = view(await hosting.cancel_update(ALICE, "e"))
    assert canceled.state.config_update == "UPDATE_CANCELED"
    assert states(canceled.config) == {"one": ("DEPLOYMENT_READY", "")}
    assert len(await launcher.groups()) == 1


async def test_the_document_describes_each_model(
    hosting: Endpoints, launcher: FakeLauncher, rollout: FakeRollout
) -> None:
    document = orjson.loads(build_openapi(await serving(hosting, launcher, rollout, *two())))
    assert list(document["paths"]) == [
        "/served-models/current/invocations",
        "/served-models/challenger/invocations",
    ]
    assert "sepal length (cm)" in str(document["paths"])
