"""The job of a host, as it is submitted, and what Ray tells of it. Pure.

Used by `cluster.py`. What a host is told of its model is no part of it: it asks the launcher, so
that no credential of a model stands where all who may look at jobs see it.
"""

import hashlib
import math
import secrets
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import orjson
from modelserving.launcher.v1 import launcher_service_pb2 as pb

from modelplane.launcher.ray.api import Document
from modelplane.launcher.ray.host import CA, FOLDER, GRACE_SECONDS, TOKEN

_POOL = "modelplane_pool"
_GROUP = "modelplane_group"
_TEMPLATE = "modelplane_template"
_AVOIDS = "modelplane_avoids"
# Labels that Ray itself gives to nodes: ray's _private/ray_constants.py and _raylet.pyx.
NODE_LABEL = "ray.io/node-id"
TYPE_LABEL = "ray.io/accelerator-type"
# What the host itself takes beside its replica: it fetches, builds and converts.
HOST_BYTES = 512 << 20
# How long Ray's supervisor waits after SIGTERM: job_supervisor.py of its dashboard.
_STOP_VARIABLE = "RAY_JOB_STOP_WAIT_TIME_S"
# Beside what a request may take, and what the host needs to end.
_STOP_SECONDS = 15
# States of jobs: `JobStatus` in common.py beside that.
PENDING, STOPPED = "PENDING", "STOPPED"
_ENDED = (STOPPED, "SUCCEEDED", "FAILED")
_MOST_MESSAGE = 2_000


@dataclass(frozen=True, slots=True)
class Hosts:
    """What all hosts have in common.

    Attributes:
        python: Python of modelplane on the cluster's machines.
        launcher: `host:port` where hosts register.
        ca: Certificate of the CA that has signed the launcher's, PEM.
        pool: Pool of the launcher.
        folder: Directory on the machines in which each host has one; empty: that of temporary ones.
        labels: Labels that the machines have to have.
        variables: Settings of the launcher that are theirs, too.
    """

    python: str
    launcher: str
    ca: str
    pool: str
    folder: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Job:
    """What is known of the job of a host.

    Attributes:
        id: Its submission id, which is the host's name.
        group_id: Group that it is a host of.
        template: What it was made from; see `template_of`.
        token: What its host registers with; empty: it is what Ray has left of a job.
        status: As Ray names it.
        message: What Ray says of the status.
        started: When it was submitted, in milliseconds since 1970; 0: just now.
        address: Address of its machine; empty: it has none yet.
        node: Ray's identifier of that machine; empty: it has none yet.
        avoids: Whether it was kept away from machines that were lost.
    """

    id: str
    group_id: str
    template: str
    token: str
    status: str = PENDING
    message: str = ""
    started: int = 0
    address: str = ""
    node: str = ""
    avoids: bool = False

    @property
    def has_ended(self) -> bool:
        """Whether it will do nothing any more."""
        return self.status in _ENDED


def new_id(pool: str, group_id: str) -> str:
    """Return a submission id that was never used.

    What looks after a job goes on for a second after its end, by the id alone: another job by that
    id would be taken for the one before (`_monitor_job_internal`, job_manager.py).
    """
    return f"{_prefix(pool)}{group_id}-{secrets.token_hex(4)}"


def read_jobs(documents: Iterable[Document], pool: str) -> dict[str, Job]:
    """Return the jobs of a pool by submission id, of all that Ray has."""
    found = (_read(document, pool) for document in documents)
    return {job.id: job for job in found if job is not None}


def _prefix(pool: str) -> str:
    return f"modelplane-{pool}-"


def _read(document: Document, pool: str) -> Job | None:
    name, status = str(document.get("submission_id")), str(document.get("status"))
    group, _, own = name.removeprefix(_prefix(pool)).rpartition("-")
    if not (name.startswith(_prefix(pool)) and group and own):
        return None
    metadata = document.get("metadata")
    if not metadata and status in _ENDED:
        # Of one that was forgotten before what looked after it knew of its end, this comes back.
        return Job(name, group, "", "", status)
    if not metadata or metadata.get(_POOL) != pool or metadata.get(_GROUP) != group:
        return None
    variables = (document.get("runtime_env") or {}).get("env_vars") or {}
    job = Job(
        id=name,
        group_id=group,
        template=str(metadata.get(_TEMPLATE)),
        token=str(variables.get(TOKEN, "")),
        status=status,
        message=str(document.get("message") or "")[-_MOST_MESSAGE:],
        started=int(document.get("start_time") or 0),
        address=urlsplit(str(document.get("driver_agent_http_address") or "")).hostname or "",
        node=str(document.get("driver_node_id") or ""),
        avoids=_AVOIDS in metadata,
    )
    return job if job.token else None


def template_of(spec: pb.GroupSpec, hosts: Hosts) -> str:
    """Return what tells jobs of a group from those of another release, or with other options."""
    made = orjson.dumps(_template(spec, hosts), option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(made).hexdigest()[:32]


def document_of(spec: pb.GroupSpec, hosts: Hosts, lost: Iterable[str]) -> Document:
    """Return the job of another host, as it is submitted.

    Args:
        spec: Its group.
        hosts: See there.
        lost: Machines that do not answer, by Ray's identifiers: it is kept away from them.
    """
    document, name = _template(spec, hosts), new_id(hosts.pool, spec.id)
    document["submission_id"] = name
    document["runtime_env"]["env_vars"][TOKEN] = f"{name}.{secrets.token_hex(16)}"
    document["metadata"] |= {
        _TEMPLATE: template_of(spec, hosts),
        "modelplane_generation": str(spec.generation),
    }
    selector = document["entrypoint_label_selector"]
    if (nodes := ",".join(sorted(lost))) and NODE_LABEL not in selector:
        selector[NODE_LABEL] = f"!in({nodes})"
        document["metadata"][_AVOIDS] = nodes
    return document


def job_of(document: Document, pool: str) -> Job:
    """Return what is known of a job that was just submitted."""
    job = _read(document, pool)
    assert job is not None  # noqa: S101 - of `document_of`
    return job


def _template(spec: pb.GroupSpec, hosts: Hosts) -> Document:
    size = spec.size
    labels = dict(hosts.labels)
    if size.gpus and size.gpu_type:
        labels[TYPE_LABEL] = size.gpu_type
    return {
        "entrypoint": f"exec {shlex.quote(hosts.python)} -I -m modelplane.launcher.ray.host",
        "entrypoint_num_cpus": size.cpus,
        "entrypoint_num_gpus": size.gpus,
        "entrypoint_memory": size.memory_bytes + HOST_BYTES,
        "entrypoint_label_selector": labels,
        "runtime_env": {"env_vars": _variables(spec, hosts)},
        "metadata": {
            _POOL: hosts.pool,
            _GROUP: spec.id,
            # For people.
            "modelplane_endpoint": spec.endpoint_name,
            "modelplane_served_entity": spec.served_entity_name,
        },
    }


def _variables(spec: pb.GroupSpec, hosts: Hosts) -> dict[str, Any]:
    seconds = math.ceil(spec.evaluation_deadline_ms / 1000)
    return {
        "MODELPLANE_CONTROL_PLANE": hosts.launcher,
        "MODELPLANE_LAUNCHER_POOL": spec.id,
        "MODELPLANE_LAUNCHER_MEMORY": f"{spec.size.memory_bytes}B",
        "MODELPLANE_LAUNCHER_USERS": "",
        "MODELPLANE_DRAIN_SECONDS": str(seconds),
        **hosts.variables,
        CA: hosts.ca,
        FOLDER: hosts.folder,
        _STOP_VARIABLE: str(seconds + GRACE_SECONDS + _STOP_SECONDS),
    }
