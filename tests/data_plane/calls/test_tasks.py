"""Every task is known to everyone who has to know of it."""

import re
from collections.abc import Iterable, Mapping

import pytest
from google.api import annotations_pb2
from modelserving.v1 import external_model_pb2, rules_pb2

from modelplane.adapters.providers.types import Task
from modelplane.adapters.shared.tasks import INFERENCE, MODELS, PATHS, task_of
from modelplane.control_plane.endpoints import openapi
from modelplane.data_plane.calls import tasks
from modelplane.data_plane.calls.tasks import SPECS, spec_of
from modelplane.data_plane.errors import InvalidParameter
from modelplane.data_plane.hosts.grpc.http_body import HTTP_BODY_RPCS
from modelplane.data_plane.hosts.native import NativeCalls
from modelplane.data_plane.hosts.rest import RestCalls
from modelplane.data_plane.hosts.typed.rpcs import TYPED_RPCS
from modelplane.deploy.envoy.routes import QUERY_PATH
from tests.data_plane.hosts.toy_service import ToyService

# The readers of tasks, each by the tasks that it knows.
READERS: Mapping[str, Iterable[str]] = {
    "the table": SPECS,
    "REST paths": PATHS,
    "RPCs with HTTP bodies": [rpc.task for rpc in HTTP_BODY_RPCS if rpc.task],
    "typed RPCs": [rpc.task for rpc in TYPED_RPCS],
    "OpenAPI": openapi.SCHEMAS,
    "the rules of providers": [
        task
        for message in external_model_pb2.DESCRIPTOR.message_types_by_name.values()
        for task in message.GetOptions().Extensions[rules_pb2.provider_rules].tasks
    ],
}


@pytest.mark.parametrize("reader", READERS)
def test_every_reader_knows_every_task_and_no_other(reader: str) -> None:
    assert set(READERS[reader]) == set(Task)


@pytest.mark.parametrize("task", Task)
def test_a_task_has_a_route_that_envoy_hands_to_the_worker_as_it_is(task: Task) -> None:
    path = PATHS[task]
    assert re.fullmatch(QUERY_PATH, path)
    service = ToyService()
    rest = RestCalls(service, NativeCalls(service, lambda: 0.0).speak_responses)
    assert rest.find(path.encode()) == (task, "")


def test_no_two_tasks_are_the_same_to_the_worker() -> None:
    assert len({spec.operation for spec in SPECS.values()}) == len(SPECS)
    assert len({spec.prompt for spec in SPECS.values()}) == len(SPECS)


@pytest.mark.parametrize("known", [[], [Task.CHAT, "llm/v1/rerank"], [*Task, "llm/v1/rerank"]])
def test_a_task_that_was_forgotten_ends_the_process_at_its_start(known: list[str]) -> None:
    tasks._check_total(Task)
    with pytest.raises(RuntimeError, match=r"llm/v1/(chat|rerank)"):
        tasks._check_total(Task, known)


def test_what_has_no_task_is_nothing_special() -> None:
    assert spec_of("").operation == "query"
    spec_of("").check({})


def test_the_rpcs_of_a_task_are_those_that_its_messages_are_for() -> None:
    for service in (INFERENCE, MODELS):
        for rpc in service.methods:
            has_rule = rpc.GetOptions().HasExtension(annotations_pb2.http)
            assert has_rule is (service is INFERENCE)
            assert task_of(rpc) in {*Task, ""}


def test_a_chat_in_the_form_of_another_api_is_told_where_to_go() -> None:
    with pytest.raises(InvalidParameter, match="/serving-endpoints/responses"):
        spec_of(Task.CHAT).check({"input": "hello"})
