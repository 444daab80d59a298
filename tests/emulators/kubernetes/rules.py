"""What the API server refuses, and in which words. Each rule names its source."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tests.deploy.chart.schemas import VERSIONS, keda_problems, problems

Document = dict[str, Any]

# https://kubernetes.io/docs/concepts/overview/working-with-objects/names/
DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
DNS_SUBDOMAIN = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
# https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set
LABEL_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
LABEL_VALUE = re.compile(r"([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?")
# https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
QUANTITY = re.compile(r"[+-]?\d+(\.\d+)?([numkMGTPE]|[KMGTPE]i|[eE][+-]?\d+)?")
MOST_ANNOTATION_BYTES = 256 * 1024
_VARIABLE = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")


class Refusal(Exception):
    """A `Status` of failure (https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/)."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.document: Document = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": reason,
            "code": code,
        }


def check_schema(body: Document, group: str = "") -> None:
    """Refuse what no version of Kubernetes that is supported knows, as `fieldValidation=Strict`."""
    for version in VERSIONS:
        if found := problems(body, version, group):
            raise Refusal(400, "BadRequest", f"strict decoding error: {found[0]}")


def check_metadata(kind: str, metadata: Document) -> None:
    name = metadata.get("name", "")
    if not DNS_SUBDOMAIN.fullmatch(name):
        raise invalid(kind, name, "metadata.name", "must be a lowercase RFC 1123 subdomain")
    check_labels(kind, name, metadata.get("labels", {}))
    annotations = metadata.get("annotations", {})
    for key in annotations:
        _check_key(kind, name, "metadata.annotations", key)
    if sum(len(key) + len(value) for key, value in annotations.items()) > MOST_ANNOTATION_BYTES:
        raise invalid(kind, name, "metadata.annotations", "Too long: may not be more than 262144")


def check_scaled_object(body: Document) -> None:
    """Refuse what KEDA's definition does not know, and what its admission webhook refuses."""
    if found := keda_problems(body):
        raise Refusal(400, "BadRequest", f"strict decoding error: {found[0]}")
    name, spec = body["metadata"]["name"], body["spec"]
    # A rule of the definition (`x-kubernetes-validations`).
    if spec.get("minReplicaCount", 0) > spec.get("maxReplicaCount", 100):
        text = "minReplicaCount must be less than or equal to maxReplicaCount"
        raise invalid("ScaledObject", name, "spec", text)
    for owner in body["metadata"].get("ownerReferences", ()):
        if not all(owner.get(key) for key in ("apiVersion", "kind", "name", "uid")):
            raise invalid("ScaledObject", name, "metadata.ownerReferences", "must not be empty")


def check_labels(kind: str, name: str, labels: Mapping[str, str]) -> None:
    for key, value in labels.items():
        _check_key(kind, name, "metadata.labels", key)
        if not LABEL_VALUE.fullmatch(value):
            raise invalid(kind, name, "metadata.labels", f"{value!r} is no label's value")


def check_deployment(document: Document) -> None:
    """Refuse what the published rules of deployments and pods refuse beyond the schema."""
    name, spec = document["metadata"]["name"], document["spec"]
    template = spec["template"]
    labels = template.get("metadata", {}).get("labels", {})
    check_labels("Deployment", name, labels)
    selector = spec["selector"].get("matchLabels", {})
    # https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#selector
    if not selector or not selector.items() <= labels.items():
        raise invalid(
            "Deployment", name, "spec.template.metadata.labels", "`selector` does not match them"
        )
    if spec.get("replicas", 1) < 0:
        raise invalid("Deployment", name, "spec.replicas", "must be greater than or equal to 0")
    rolling = spec.get("strategy", {}).get("rollingUpdate")
    if rolling and not rolling.get("maxSurge", 1) and not rolling.get("maxUnavailable", 1):
        raise invalid("Deployment", name, "spec.strategy", "may not be 0 when `maxSurge` is 0")
    for field, text in _pod_problems(template["spec"]):
        raise invalid("Deployment", name, f"spec.template.spec.{field}", text)


def _pod_problems(pod: Document) -> Iterable[tuple[str, str]]:
    volumes = {volume["name"] for volume in pod.get("volumes", ())}
    for volume in pod.get("volumes", ()):
        if not DNS_LABEL.fullmatch(volume["name"]):
            yield "volumes", f"{volume['name']!r} is no RFC 1123 label"
        if len(volume) != 2:
            yield "volumes", "must specify exactly one volume type"
    if pod.get("restartPolicy", "Always") != "Always":
        yield "restartPolicy", 'supported values: "Always"'
    if not pod["containers"]:
        yield "containers", "Required value"
    for container in pod["containers"]:
        yield from _container_problems(container, volumes)


def _container_problems(container: Document, volumes: set[str]) -> Iterable[tuple[str, str]]:
    if not DNS_LABEL.fullmatch(container["name"]):
        yield "containers.name", f"{container['name']!r} is no RFC 1123 label"
    if not container.get("image", "").strip():
        yield "containers.image", "Required value"
    yield from _mount_problems(container, volumes)
    yield from _variable_problems(container)
    yield from _probe_problems(container)
    yield from _resource_problems(container.get("resources", {}))


def _mount_problems(container: Document, volumes: set[str]) -> Iterable[tuple[str, str]]:
    paths = [mount["mountPath"] for mount in container.get("volumeMounts", ())]
    if len(paths) != len(set(paths)):
        yield "containers.volumeMounts", "mountPath must be unique"
    for mount in container.get("volumeMounts", ()):
        if mount["name"] not in volumes:
            yield "containers.volumeMounts", f"Not found: {mount['name']!r}"


def _variable_problems(container: Document) -> Iterable[tuple[str, str]]:
    for variable in container.get("env", ()):
        if not _VARIABLE.fullmatch(variable["name"]):
            yield "containers.env", f"{variable['name']!r} is no environment variable's name"
        if "value" in variable and "valueFrom" in variable:
            yield "containers.env", "may not be specified when `value` is not empty"


def _probe_problems(container: Document) -> Iterable[tuple[str, str]]:
    ports = {port.get("name", "") for port in container.get("ports", ())}
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        port = container.get(probe, {}).get("httpGet", {}).get("port")
        # A name of no port is taken, and then the probe fails for ever.
        if isinstance(port, str) and port not in ports:
            yield f"containers.{probe}", f"no port is called {port!r}"


def _resource_problems(resources: Document) -> Iterable[tuple[str, str]]:
    requests, limits = resources.get("requests", {}), resources.get("limits", {})
    for name, quantity in [*requests.items(), *limits.items()]:
        if not QUANTITY.fullmatch(str(quantity)):
            yield "containers.resources", f"{quantity!r} is no quantity of {name}"
    for name in limits.keys() - {"cpu", "memory", "ephemeral-storage"}:
        # https://kubernetes.io/docs/tasks/configure-pod-container/extended-resource/
        if "/" not in name:
            yield "containers.resources", f"{name!r} must be a standard resource or qualified"


def _check_key(kind: str, name: str, field: str, key: str) -> None:
    prefix, slash, rest = key.rpartition("/")
    if (slash and not DNS_SUBDOMAIN.fullmatch(prefix)) or not LABEL_NAME.fullmatch(rest):
        raise invalid(kind, name, field, f"{key!r} is no qualified name")


def invalid(kind: str, name: str, field: str, text: str) -> Refusal:
    return Refusal(422, "Invalid", f'{kind} "{name}" is invalid: {field}: {text}')


def allows(rules: Sequence[Document], group: str, resource: str, verb: str) -> bool:
    """Tell whether a Role's rules give a right.

    https://kubernetes.io/docs/reference/access-authn-authz/rbac/#referring-to-resources: nothing is
    given that no rule names, and `deployments` does not give `deployments/scale`.
    """
    return any(
        group in rule["apiGroups"] and resource in rule["resources"] and verb in rule["verbs"]
        for rule in rules
        if "resourceNames" not in rule
    )
