"""The examples about custom models of "Serve multiple models to a model serving endpoint".

As they are managed: a registry has the models, and what runs them is said by the test.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.core import Config
from databricks.sdk.errors import InvalidParameterValue, OperationFailed, ResourceDoesNotExist
from databricks.sdk.service.serving import (
    EndpointCoreConfigInput,
    EndpointStateReady,
    Route,
    ServedEntityInput,
    ServedModelInputWorkloadType,
    TrafficConfig,
)

from modelplane.control_plane.clock import system_clock
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.states import GroupPhase
from tests.control_plane.hosting.worlds import COLUMNS, FakeLauncher, mlmodel
from tests.e2e.rest import ENDPOINTS, Json, Rest
from tests.e2e.system import System, run_system
from tests.requirements.documents import assert_contains, printed

_HOUR_MS = 3_600_000


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Give a system whose registry has the models of the documents."""
    folder = tmp_path_factory.mktemp("hosted")
    for name in ("model-A", "model-B"):
        for version in "12":
            model = folder / "models" / f"catalog.schema.{name}" / version
            model.mkdir(parents=True)
            (model / "MLmodel").write_bytes(mlmodel(signature={"inputs": COLUMNS}))
    settings = {"MODELPLANE_REGISTRY": f"directory:{folder / 'models'}"}
    with run_system(folder / "data", "--no-hosting", workers=1, settings=settings) as system:
        yield system


@asynccontextmanager
async def connected(data_dir: Path) -> AsyncIterator[FakeLauncher]:
    async with aclosing(Database(f"sqlite:///{data_dir / 'modelplane.db'}")) as database:
        launcher = FakeLauncher(database, system_clock)
        await launcher.connect(lease_ms=_HOUR_MS)
        yield launcher


def say(system: System, phase: GroupPhase, version: str = "", message: str = "") -> None:
    """Let the launcher say how the replicas are."""

    async def saying() -> None:
        async with connected(system.data_dir) as launcher:
            await launcher.say(phase, version=version, message=message)

    asyncio.run(saying())


@pytest.fixture
def hosted(running: System) -> Iterator[System]:
    """Give the system with a launcher that is connected; endpoints go away afterwards."""
    say(running, GroupPhase.READY)
    yield running
    with Rest(running) as rest:
        for endpoint in rest.call("GET", ENDPOINTS).get("endpoints", []):
            rest.call("DELETE", f"{ENDPOINTS}/{endpoint['name']}")


@pytest.fixture
def workspace(hosted: System) -> WorkspaceClient:
    return WorkspaceClient(
        config=Config(host=hosted.url, token=hosted.token, auth_type="pat", retry_timeout_seconds=3)
    )


@pytest.fixture
def rest_of(hosted: System) -> Iterator[Rest]:
    with Rest(hosted) as client:
        yield client


def entity(name: str, model: str, version: str = "1") -> ServedEntityInput:
    return ServedEntityInput(
        name=name,
        entity_name=f"catalog.schema.{model}",
        entity_version=version,
        workload_size="Small",
        scale_to_zero_enabled=True,
    )


def both(current: int, challenger: int, version: str = "1") -> EndpointCoreConfigInput:
    shares = {"current": current, "challenger": challenger}
    return EndpointCoreConfigInput(
        name="multi-model",
        served_entities=[entity("current", "model-A"), entity("challenger", "model-B", version)],
        traffic_config=TrafficConfig(
            routes=[
                Route(served_model_name=name, traffic_percentage=share)
                for name, share in shares.items()
            ]
        ),
    )


def settled(hosted: System, rest: Rest) -> Json:
    """Return the endpoint once its replicas are ready, and its update has ended."""
    say(hosted, GroupPhase.READY)
    workspace = WorkspaceClient(config=Config(host=hosted.url, token=hosted.token, auth_type="pat"))
    workspace.serving_endpoints.wait_get_serving_endpoint_not_updating(
        "multi-model", timeout=timedelta(seconds=30)
    )
    return rest.call("GET", f"{ENDPOINTS}/multi-model")


def test_the_printed_example_with_its_update(hosted: System, rest_of: Rest) -> None:
    example = printed("multi_model")
    created = rest_of.create(example)
    assert "config" not in created
    assert created["state"]["config_update"] == "IN_PROGRESS"
    for name in ("served_entities", "served_models"):
        for served in created["pending_config"][name]:
            assert served["state"]["deployment"] == "DEPLOYMENT_CREATING"
    assert_contains(
        created["pending_config"]["served_entities"], example["config"]["served_entities"]
    )
    ready = settled(hosted, rest_of)
    assert ready["state"]["ready"] == "READY"
    routes = ready["config"]["traffic_config"]["routes"]
    assert [route["traffic_percentage"] for route in routes] == [90, 10]

    update = example["config"]
    for route in update["traffic_config"]["routes"]:
        route["traffic_percentage"] = "50"
    # Nothing has to start for that.
    changed = rest_of.call("PUT", f"{ENDPOINTS}/multi-model/config", update)
    assert changed["state"]["config_update"] == "NOT_UPDATING"
    routes = changed["config"]["traffic_config"]["routes"]
    assert [route["traffic_percentage"] for route in routes] == [50, 50]


def test_the_sdk_creates_updates_and_reads(
    hosted: System, workspace: WorkspaceClient, rest_of: Rest
) -> None:
    api = workspace.serving_endpoints
    waiting = api.create("multi-model", config=both(90, 10))
    settled(hosted, rest_of)
    told = waiting.result(timeout=timedelta(seconds=30))
    assert told.state
    assert told.state.ready is EndpointStateReady.READY
    assert told.config
    assert told.config.served_entities
    first = told.config.served_entities[0]
    assert (first.workload_size, first.entity_version) == ("Small", "1")
    assert first.workload_type
    assert first.workload_type.value == ServedModelInputWorkloadType.CPU.value
    assert api.update_config_and_wait("multi-model", traffic_config=both(50, 50).traffic_config)
    assert api.logs("multi-model", "current").logs == ""
    assert api.build_logs("multi-model", "challenger").logs == ""
    with pytest.raises(ResourceDoesNotExist):
        api.build_logs("multi-model", "nobody")
    document = api.get_open_api("multi-model").contents
    assert document
    with document as opened:
        assert b"/served-models/challenger/invocations" in opened.read()


@pytest.mark.usefixtures("hosted")
def test_logs_of_a_version_are_asked_for_in_the_body_of_a_get(rest_of: Rest) -> None:
    """As "Manage model serving endpoints" prints it, beside `?config_version=`."""
    rest_of.create(printed("multi_model"))
    for kind in ("build-logs", "logs"):
        path = f"{ENDPOINTS}/multi-model/served-models/current/{kind}"
        for body, query in (({"config_version": 1}, ""), (None, "?config_version=1"), (None, "")):
            assert rest_of.call("GET", path + query, body) == {"logs": ""}
        for body, query in (({"config_version": 9}, ""), (None, "?config_version=9")):
            refused = rest_of.send("GET", path + query, body)
            assert refused.status_code == 404, (body, query)
            assert refused.json()["error_code"] == "RESOURCE_DOES_NOT_EXIST"
            assert "no configuration version 9" in refused.json()["message"]
    # Where the path has it, the query string may not.
    path = f"{ENDPOINTS}/multi-model/config-versions/1"
    assert rest_of.call("GET", path)["config_version"] == 1
    assert rest_of.send("GET", f"{path}?config_version=9").status_code == 400


def test_a_refusal_reaches_the_sdk(workspace: WorkspaceClient) -> None:
    api = workspace.serving_endpoints
    with pytest.raises(ResourceDoesNotExist, match="no version 9"):
        api.create("multi-model", config=both(90, 10, version="9"))
    bad = both(90, 10)
    assert bad.served_entities
    bad.served_entities[0].workload_size = "Tiny"
    with pytest.raises(InvalidParameterValue, match="workload_size 'Tiny' is unknown"):
        api.create("multi-model", config=bad)


def test_a_canceled_update_ends_the_wait_of_the_sdk(
    workspace: WorkspaceClient, rest_of: Rest
) -> None:
    api = workspace.serving_endpoints
    api.create("multi-model", config=both(90, 10))
    rest_of.call("POST", f"{ENDPOINTS}/multi-model/config:cancel", {})
    with pytest.raises(OperationFailed, match="UPDATE_CANCELED"):
        api.wait_get_serving_endpoint_not_updating("multi-model")
