"""The deployment of a group. Pure.

Used by `cluster.py`. What a host is told of its model is no part of it: it asks the launcher, so
that no credential stands where all who may look at deployments see it.
"""

import copy
import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from modelserving.launcher.v1 import launcher_service_pb2 as pb

from modelplane.launcher.engines.vllm import NAME as VLLM
from modelplane.launcher.engines.vllm import SHARED_BYTES
from modelplane.launcher.kubernetes.api import Document

PREFIX = "modelplane-"
POOL_LABEL = "modelplane/pool"
GROUP_LABEL = "modelplane/group"
TEMPLATE = "modelplane/template"
# Whom a pod's token is for: no other service believes it, the API server neither.
AUDIENCE = "modelplane-launcher"
_CA = "modelplane/ca"
_GPU = "nvidia.com/gpu"
_GPU_TYPE = "nvidia.com/gpu.product"
_GPU_MEMORY = "nvidia.com/gpu.memory"
_MIB = 1 << 20
# What the host itself takes beside its replica: it fetches, builds and converts.
HOST_BYTES = 512 * _MIB
_PROBES_PORT = 9102
_TOKEN_SECONDS = 3600
# Beside what a request may take: to notice, and to end.
_GRACE_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Hosts:
    """What all hosts have in common.

    Attributes:
        image: Image of modelplane.
        launcher: `host:port` where hosts register.
        ca: Certificate of the CA that has signed the launcher's, PEM.
        pool: Pool of the launcher.
        pod: What the operator says of their pods; see `pod_options.py`.
        variables: Settings of the launcher that are theirs, too.
    """

    image: str
    launcher: str
    ca: str
    pool: str
    pod: Mapping[str, object] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)


def name_of(group_id: str) -> str:
    """Return the name of a group's deployment, which is a DNS label (RFC 1123)."""
    return PREFIX + group_id


def deployment(spec: pb.GroupSpec, hosts: Hosts) -> Document:
    """Return the deployment of a group, with as many replicas as it has."""
    labels = {
        "app.kubernetes.io/name": "modelplane-host",
        "app.kubernetes.io/component": "host",
        POOL_LABEL: hosts.pool,
        GROUP_LABEL: spec.id,
    }
    template = {
        "metadata": {
            "labels": {**_texts(hosts.pod, "podLabels"), **labels},
            "annotations": {**_texts(hosts.pod, "podAnnotations"), _CA: hosts.ca},
        },
        "spec": _pod(spec, hosts),
    }
    digest = hashlib.sha256(orjson.dumps(template, option=orjson.OPT_SORT_KEYS)).hexdigest()
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": name_of(spec.id),
            "labels": labels,
            "annotations": {
                TEMPLATE: digest,
                # For people: labels hold fewer characters.
                "modelplane/endpoint": spec.endpoint_name,
                "modelplane/served-entity": spec.served_entity_name,
            },
        },
        "spec": {
            "replicas": spec.replicas,
            "revisionHistoryLimit": 1,
            "selector": {"matchLabels": {POOL_LABEL: hosts.pool, GROUP_LABEL: spec.id}},
            # A change of all pods without a failed request: one serves before another ends.
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
            },
            "template": template,
        },
    }


def _pod(spec: pb.GroupSpec, hosts: Hosts) -> Document:
    own = ("podLabels", "podAnnotations", "env", "nodeSelector", "affinity")
    seconds = math.ceil(spec.evaluation_deadline_ms / 1000)
    pod: Document = {
        "automountServiceAccountToken": False,
        # Variables of services would look like settings.
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 10001,
            "runAsGroup": 10001,
            "fsGroup": 10001,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "terminationGracePeriodSeconds": seconds + _GRACE_SECONDS,
        "containers": [_container(spec, hosts, seconds)],
        "volumes": [
            {"name": "data", "emptyDir": {}},
            {"name": "tmp", "emptyDir": {}},
            {
                "name": "ca",
                "downwardAPI": {
                    "items": [
                        {
                            "path": "ca.crt",
                            "fieldRef": {"fieldPath": f"metadata.annotations['{_CA}']"},
                        }
                    ]
                },
            },
            {
                "name": "token",
                "projected": {
                    "sources": [
                        {
                            "serviceAccountToken": {
                                "path": "token",
                                "audience": AUDIENCE,
                                "expirationSeconds": _TOKEN_SECONDS,
                            }
                        }
                    ]
                },
            },
        ],
    }
    _share_memory(pod, spec.engine)
    pod |= {name: value for name, value in hosts.pod.items() if name not in own}
    _place(pod, spec.size, hosts)
    return pod


def _share_memory(pod: Document, engine: str) -> None:
    if engine != VLLM:
        return
    shared = {"medium": "Memory", "sizeLimit": str(SHARED_BYTES)}
    pod["volumes"].append({"name": "shared", "emptyDir": shared})
    mount = {"name": "shared", "mountPath": "/dev/shm"}  # noqa: S108 - of the container alone
    pod["containers"][0]["volumeMounts"].append(mount)


def _place(pod: Document, size: pb.ReplicaSize, hosts: Hosts) -> None:
    """Say which machines will do."""
    selector = _texts(hosts.pod, "nodeSelector")
    if size.gpus and size.gpu_type:
        selector[_GPU_TYPE] = size.gpu_type
    if selector:
        pod["nodeSelector"] = selector
    affinity: Any = copy.deepcopy(hosts.pod.get("affinity") or {})
    if size.gpus and size.gpu_memory_bytes:
        _require_gpu_memory(affinity, size.gpu_memory_bytes)
    if affinity:
        pod["affinity"] = affinity


def _require_gpu_memory(affinity: Document, memory: int) -> None:
    """Add to an affinity that each GPU of a machine has so much memory."""
    # The label's value is a whole number of MiB, and `Gt` has no equal.
    least = {"key": _GPU_MEMORY, "operator": "Gt", "values": [str(memory // _MIB - 1)]}
    nodes = affinity.setdefault("nodeAffinity", {})
    required = nodes.setdefault("requiredDuringSchedulingIgnoredDuringExecution", {})
    # One of the terms is enough, so that it has to be in each.
    for term in required.setdefault("nodeSelectorTerms", [{}]):
        term["matchExpressions"] = [*term.get("matchExpressions", []), least]


def _container(spec: pb.GroupSpec, hosts: Hosts, seconds: int) -> Document:
    return {
        "name": "host",
        "image": hosts.image,
        "args": ["launcher"],
        "env": [*_variables(spec, hosts, seconds), *_list(hosts.pod, "env")],
        "ports": [{"name": "probes", "containerPort": _PROBES_PORT}],
        # Fetching and building take as long as they take: the launcher gives up, not the kubelet.
        "startupProbe": {
            "httpGet": {"path": "/live", "port": "probes"},
            "periodSeconds": 1,
            "failureThreshold": 120,
        },
        "readinessProbe": {
            "httpGet": {"path": "/ready", "port": "probes"},
            "periodSeconds": 2,
            "timeoutSeconds": 3,
        },
        "livenessProbe": {
            "httpGet": {"path": "/live", "port": "probes"},
            "periodSeconds": 10,
            "timeoutSeconds": 5,
            "failureThreshold": 6,
        },
        "resources": _resources(spec.size),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "data", "mountPath": "/var/lib/modelplane"},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - of the container alone
            {"name": "ca", "mountPath": "/etc/modelplane/ca", "readOnly": True},
            {"name": "token", "mountPath": "/etc/modelplane/token", "readOnly": True},
        ],
    }


def _variables(spec: pb.GroupSpec, hosts: Hosts, seconds: int) -> list[Document]:
    host = {"name": "MODELPLANE_REPLICA_HOST"}
    given = {
        "MODELPLANE_CONTROL_PLANE": hosts.launcher,
        "MODELPLANE_TLS_CA": "/etc/modelplane/ca/ca.crt",
        "MODELPLANE_LAUNCHER_TOKEN_FILE": "/etc/modelplane/token/token",
        "MODELPLANE_LAUNCHER_POOL": spec.id,
        "MODELPLANE_LAUNCHER_DIR": "/var/lib/modelplane/launcher",
        "MODELPLANE_LAUNCHER_MEMORY": f"{spec.size.memory_bytes}B",
        "MODELPLANE_LAUNCHER_USERS": "",
        "MODELPLANE_LAUNCHER_METRICS_LISTEN": f"$(MODELPLANE_REPLICA_HOST):{_PROBES_PORT}",
        "MODELPLANE_DRAIN_SECONDS": str(seconds),
        **hosts.variables,
        # uv keeps what it fetches where the host may write.
        "HOME": "/var/lib/modelplane",
    }
    return [
        {**host, "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        *({"name": name, "value": value} for name, value in given.items()),
    ]


def _resources(size: pb.ReplicaSize) -> Document:
    memory = str(size.memory_bytes + HOST_BYTES)
    limits = {"memory": memory}
    if size.gpus:
        limits[_GPU] = str(size.gpus)
    # More processors than it asks for are its, while nobody else wants them.
    cpu = f"{max(1, round(size.cpus * 1000))}m"
    return {"requests": {"cpu": cpu, "memory": memory}, "limits": limits}


def _texts(pod: Mapping[str, object], name: str) -> dict[str, str]:
    found = pod.get(name)
    return dict(found) if isinstance(found, Mapping) else {}


def _list(pod: Mapping[str, object], name: str) -> list[Document]:
    found = pod.get(name)
    return list(found) if isinstance(found, list) else []
