"""The job of a host, and what is read of Ray's answers."""

from collections.abc import Sequence
from typing import Any

import pytest
from modelserving.launcher.v1 import launcher_service_pb2 as pb

from modelplane.launcher.ray.host import TOKEN
from modelplane.launcher.ray.jobs import (
    HOST_BYTES,
    NODE_LABEL,
    Hosts,
    document_of,
    job_of,
    read_jobs,
    template_of,
)

HOSTS = Hosts("/opt/model plane/python", "launcher:9093", "CA", "default", labels={"pool": "a"})
SPEC = pb.GroupSpec(
    id="a" * 32,
    generation=3,
    replicas=2,
    size=pb.ReplicaSize(cpus=0.5, memory_bytes=1 << 30, gpus=2, gpu_type="H200"),
    evaluation_deadline_ms=60_000,
)


def example(lost: Sequence[str] = ()) -> dict[str, Any]:
    return document_of(SPEC, HOSTS, lost)


def test_a_job_asks_for_what_its_replica_needs() -> None:
    job = example()
    assert job["submission_id"].startswith(f"modelplane-default-{SPEC.id}-")
    assert job["entrypoint"].startswith("exec '/opt/model plane/python' -I -m ")
    assert job["entrypoint_num_cpus"] == 0.5
    assert job["entrypoint_num_gpus"] == 2
    assert job["entrypoint_memory"] == (1 << 30) + HOST_BYTES
    assert job["entrypoint_label_selector"] == {"pool": "a", "ray.io/accelerator-type": "H200"}
    variables = job["runtime_env"]["env_vars"]
    assert all(isinstance(value, str) for value in variables.values())
    # The host has what a request may take, and Ray's supervisor waits for longer.
    assert variables["MODELPLANE_DRAIN_SECONDS"] == "60"
    assert int(variables["RAY_JOB_STOP_WAIT_TIME_S"]) > 60 + 15


def test_machines_that_are_lost_are_left_out() -> None:
    job = example(lost=("b" * 56, "a" * 56))
    assert job["entrypoint_label_selector"][NODE_LABEL] == f"!in({'a' * 56},{'b' * 56})"
    assert job_of(job, "default").avoids
    assert not job_of(example(), "default").avoids


def test_jobs_that_are_alike_have_one_template() -> None:
    again = pb.GroupSpec()
    again.CopyFrom(SPEC)
    again.generation, again.replicas = 4, 1
    assert template_of(again, HOSTS) == template_of(SPEC, HOSTS)
    again.size.cpus = 1
    assert template_of(again, HOSTS) != template_of(SPEC, HOSTS)
    first, second = job_of(example(), "default"), job_of(example(), "default")
    assert first.template == second.template == template_of(SPEC, HOSTS)
    assert first.id != second.id
    assert first.token != second.token


@pytest.mark.parametrize(
    "change",
    [
        {"metadata": None},
        {"metadata": {}},
        {"submission_id": "another"},
        {"submission_id": None},
        {"runtime_env": {}},
        {"runtime_env": {"env_vars": {TOKEN: ""}}},
    ],
)
def test_other_jobs_are_let_alone(change: dict[str, Any]) -> None:
    assert len(read_jobs([example()], "default")) == 1
    assert not read_jobs([example() | change], "default")
    assert not read_jobs([example()], "another")


def test_what_ray_has_left_of_a_job_is_known() -> None:
    left = example() | {"metadata": None, "runtime_env": None, "status": "FAILED"}
    [job] = read_jobs([left], "default").values()
    assert (job.group_id, job.token, job.has_ended) == (SPEC.id, "", True)
    assert not read_jobs([left | {"submission_id": "modelplane-another-a-1"}], "default")


def test_where_a_job_runs_is_read() -> None:
    told = {"status": "RUNNING", "driver_agent_http_address": "http://[::1]:52365"}
    [job] = read_jobs([example() | told], "default").values()
    assert (job.address, job.status, job.has_ended) == ("::1", "RUNNING", False)
