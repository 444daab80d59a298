"""Finds the parts of rendered manifests, for what the tests say of them."""

from collections.abc import Iterator, Sequence
from typing import Any

from tests.deploy.chart.render import Document


def of_kind(documents: Sequence[Document], *kinds: str) -> list[Document]:
    """Return the objects of these kinds."""
    return [found for found in documents if found["kind"] in kinds]


def named(documents: Sequence[Document], kind: str, end: str) -> Document:
    """Return the one object of a kind whose name ends so."""
    [found] = [one for one in of_kind(documents, kind) if one["metadata"]["name"].endswith(end)]
    return found


def templates(documents: Sequence[Document]) -> list[Document]:
    """Return the templates of all pods."""
    return [found["spec"]["template"] for found in of_kind(documents, "Deployment", "Job")]


def containers(pod: Document) -> list[Document]:
    """Return all containers of a pod's specification."""
    return [*pod.get("initContainers", []), *pod["containers"]]


def container(documents: Sequence[Document], name: str) -> Document:
    """Return the one container of this name."""
    [found] = [
        one
        for each in templates(documents)
        for one in containers(each["spec"])
        if one["name"] == name
    ]
    return found


def environment(of: Document) -> dict[str, str]:
    """Return the variables of a container that have a value of their own."""
    return {item["name"]: item["value"] for item in of.get("env", ()) if "value" in item}


def ports(pod: Document) -> dict[str, int]:
    """Return the ports of a pod by name."""
    found = [port for one in containers(pod) for port in one.get("ports", ())]
    assert len({port["name"] for port in found}) == len(found)
    return {port["name"]: port["containerPort"] for port in found}


def selected(documents: Sequence[Document], labels: dict[str, str]) -> list[Document]:
    """Return the pods (their specifications) that have these labels."""
    return [
        found["spec"]
        for found in templates(documents)
        if labels.items() <= found["metadata"]["labels"].items()
    ]


def values_of(key: str, value: Any) -> Iterator[Any]:
    """Yield what stands under a key, however deep."""
    if isinstance(value, dict):
        if key in value:
            yield value[key]
        for inner in value.values():
            yield from values_of(key, inner)
    elif isinstance(value, list):
        for inner in value:
            yield from values_of(key, inner)
