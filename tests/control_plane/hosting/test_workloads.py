import json

import pytest

from modelplane.control_plane.endpoints.config_input import build_config
from modelplane.control_plane.hosting.workloads import DEFAULT_WORKLOADS, parse_workloads
from tests.control_plane.configs import config_input
from tests.control_plane.hosting.worlds import GIB, HOSTED


@pytest.mark.parametrize(
    ("given", "least", "most"),
    [
        ({}, 1, 1),
        ({"workload_size": "Medium"}, 2, 4),
        ({"workload_size": "Large"}, 4, 16),
        ({"min_provisioned_concurrency": 4, "max_provisioned_concurrency": 20}, 1, 5),
        ({"max_provisioned_concurrency": 8}, 1, 2),
    ],
)
def test_a_size_is_a_number_of_replicas(given: dict[str, object], least: int, most: int) -> None:
    (entity,) = build_config(config_input({**HOSTED, **given})).served_entities
    scale = DEFAULT_WORKLOADS.scale_of(entity)
    assert (scale.min_replicas, scale.max_replicas, scale.scale_to_zero) == (least, most, True)


def test_replicas_that_answer_more_at_a_time_are_fewer() -> None:
    types = parse_workloads('{"CPU": {"cpus": 2, "memory": "512MiB", "concurrency": 16}}')
    (entity,) = build_config(config_input({**HOSTED, "workload_size": "Large"})).served_entities
    scale = types.scale_of(entity)
    assert (scale.min_replicas, scale.max_replicas) == (1, 4)


def test_an_operator_says_what_types_there_are() -> None:
    cpu = {"cpus": 0.5, "memory": "1GiB"}
    gpu = {"cpus": 8, "memory": "64GiB", "gpus": 1}
    types = parse_workloads(json.dumps({"CPU": cpu, "GPU_SMALL": gpu})).types
    assert (types["CPU"].cpus, types["CPU"].memory_bytes, types["CPU"].gpus) == (0.5, GIB, 0)
    assert (types["CPU"].concurrency, types["GPU_SMALL"].gpus) == (4, 1)


def test_an_operator_says_which_accelerators_a_type_has() -> None:
    cpu = {"cpus": 1, "memory": "1GiB"}
    gpu = {**cpu, "gpus": 2, "gpu_type": "A10G", "gpu_memory": "24GiB"}
    size = parse_workloads(json.dumps({"CPU": cpu, "GPU_MEDIUM": gpu})).types["GPU_MEDIUM"]
    assert (size.gpus, size.gpu_type, size.gpu_memory_bytes) == (2, "A10G", 24 * GIB)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "no JSON"),
        ("[]", "not an object"),
        ('{"GPU_SMALL": {"cpus": 1, "memory": "1GiB"}}', "CPU among them"),
        ('{"CPU": {"cpus": 1, "memory": "1GiB"}, "cpu": {}}', "'cpu' is no name"),
        ('{"CPU": {"cpus": 1}}', "CPU needs cpus and memory"),
        ('{"CPU": {"cpus": 1, "memory": "1GiB", "disk": 1}}', "may have gpus and concurrency"),
        ('{"CPU": {"cpus": 1, "memory": "1XB"}}', "CPU: memory '1XB' is no number of bytes; write"),
        ('{"CPU": {"cpus": 1, "memory": "0"}}', "CPU: memory must be above 0"),
        ('{"CPU": {"cpus": 0, "memory": "1GiB"}}', "cpus must be a number above 0"),
        ('{"CPU": {"cpus": true, "memory": "1GiB"}}', "cpus must be a number above 0"),
        ('{"CPU": {"cpus": 1, "memory": "1GiB", "gpus": -1}}', "gpus must be a whole number"),
        ('{"CPU": {"cpus": 1, "memory": "1GiB", "concurrency": 0}}', "whole number from 1"),
        ('{"CPU": {"cpus": 1, "memory": "1GiB", "gpu_type": "T4"}}', "need gpus"),
        ('{"CPU": {"cpus": 1, "memory": "1GiB", "gpus": 1, "gpu_type": 4}}', "a word in the name"),
        ('{"CPU": {"cpus": 1, "memory": "1GiB", "gpus": 1, "gpu_memory": "0"}}', "above 0"),
    ],
)
def test_a_file_of_another_form(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_workloads(text)
