"""Deployments of groups, and what operators say of their pods."""

from pathlib import Path
from typing import Any

import pytest
from modelserving.launcher.v1 import launcher_service_pb2 as pb

from modelplane.launcher.kubernetes.manifests import HOST_BYTES, Hosts, deployment
from modelplane.launcher.kubernetes.pod_options import OptionsUnfit, read_pod_options
from tests.emulators.kubernetes.rules import check_deployment, check_metadata, check_schema
from tests.launcher.groups import MIB

OPTIONS = """
affinity:
  nodeAffinity:
    requiredDuringSchedulingIgnoredDuringExecution:
      nodeSelectorTerms:
        - matchExpressions: [{key: zone, operator: In, values: [a]}]
        - matchExpressions: [{key: zone, operator: In, values: [b]}]
env: [{name: UV_INDEX_URL, value: "https://packages.example.com/simple"}]
imagePullSecrets: [{name: pull}]
nodeSelector: {disk: fast}
podAnnotations: {a: b}
podLabels: {c: d}
priorityClassName: high
runtimeClassName: gvisor
serviceAccountName: models
tolerations: [{key: "nvidia.com/gpu", operator: Exists}]
"""


def spec(**size: Any) -> pb.GroupSpec:
    return pb.GroupSpec(
        id="a" * 32,
        replicas=3,
        endpoint_name="Iris of all kinds",
        served_entity_name="prod",
        size=pb.ReplicaSize(**({"cpus": 0.5, "memory_bytes": 256 * MIB} | size)),
        evaluation_deadline_ms=597_000,
    )


def made(options: str, tmp_path: Path, *, engine: str = "", **size: Any) -> dict[str, Any]:
    file = tmp_path / "pod.yaml"
    file.write_text(options)
    hosts = Hosts("image:1", "launcher:9093", "CA", "default", read_pod_options(file))
    wanted = spec(**size)
    wanted.engine = engine
    document = deployment(wanted, hosts)
    check_schema(document)
    check_metadata("Deployment", document["metadata"])
    check_deployment(document)
    return document


def test_a_deployment_is_what_kubernetes_takes(tmp_path: Path) -> None:
    document = made(OPTIONS, tmp_path)
    assert document["spec"]["replicas"] == 3
    pod = document["spec"]["template"]["spec"]
    assert pod["runtimeClassName"] == "gvisor"
    assert pod["terminationGracePeriodSeconds"] == 627
    [container] = pod["containers"]
    memory = str(256 * MIB + HOST_BYTES)
    assert container["resources"] == {
        "requests": {"cpu": "500m", "memory": memory},
        "limits": {"memory": memory},
    }
    assert container["env"][-1]["name"] == "UV_INDEX_URL"


def test_vllm_has_room_for_what_its_processes_share(tmp_path: Path) -> None:
    for engine, expected in (("vllm", [str(1 << 30)]), ("llama_cpp", [])):
        pod = made("", tmp_path, engine=engine)["spec"]["template"]["spec"]
        [container] = pod["containers"]
        [*found] = [one for one in container["volumeMounts"] if one["mountPath"] == "/dev/shm"]
        rooms = {one["name"]: one["emptyDir"] for one in pod["volumes"] if "emptyDir" in one}
        assert [rooms[one["name"]]["sizeLimit"] for one in found] == expected


def test_gpus_are_asked_for_beside_what_the_operator_says(tmp_path: Path) -> None:
    size: dict[str, Any] = {"gpus": 2, "gpu_type": "NVIDIA-L4", "gpu_memory_bytes": 16 << 30}
    pod = made(OPTIONS, tmp_path, **size)["spec"]["template"]["spec"]
    assert pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "2"
    assert pod["nodeSelector"] == {"disk": "fast", "nvidia.com/gpu.product": "NVIDIA-L4"}
    nodes = pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    least = {"key": "nvidia.com/gpu.memory", "operator": "Gt", "values": ["16383"]}
    assert [len(term["matchExpressions"]) for term in nodes["nodeSelectorTerms"]] == [2, 2]
    assert all(least in term["matchExpressions"] for term in nodes["nodeSelectorTerms"])
    alone = made("", tmp_path, **size)["spec"]["template"]["spec"]["affinity"]
    assert str(alone).count("nvidia.com/gpu.memory") == 1


def test_another_image_is_another_template_and_another_number_is_not() -> None:
    hosts = Hosts("image:1", "launcher:9093", "CA", "default")
    first = deployment(spec(), hosts)["metadata"]["annotations"]
    more = spec()
    more.replicas = 9
    assert deployment(more, hosts)["metadata"]["annotations"] == first
    other = Hosts("image:2", "launcher:9093", "CA", "default")
    assert deployment(spec(), other)["metadata"]["annotations"] != first


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("hostNetwork: true", "'hostNetwork' is none of"),
        ("nodeSelector: [a]", "nodeSelector has to be a mapping"),
        ("- a", "it is no mapping"),
        ("a: [", "it is no YAML"),
        ("env: [{value: a}]", "has no name"),
        ("env: [{name: MODELPLANE_TLS_CA, value: a}]", "MODELPLANE_TLS_CA is the launcher's own"),
    ],
)
def test_options_that_are_not_understood_are_refused(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "pod.yaml"
    file.write_text(text)
    with pytest.raises(OptionsUnfit, match=told):
        read_pod_options(file)
