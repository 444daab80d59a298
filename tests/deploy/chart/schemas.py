"""The schemas that Kubernetes publishes, strictly: what they do not know is refused."""

import json
import re
from functools import cache
from importlib.resources import files
from pathlib import Path

from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from tests.deploy.chart.render import Document

# The first with sidecars, and the newest.
VERSIONS = ("1.29", "1.37")
# Of other projects.
WITHOUT_SCHEMA = {"cert-manager.io/v1", "monitoring.coreos.com/v1", "keda.sh/v1alpha1"}


# Of KEDA's main branch after 2.20.2 (config/crd/bases), strictly: descriptions and status left out.
_KEDA = Path(__file__).parents[2] / "emulators" / "kubernetes" / "keda.json"


def keda_problems(document: Document) -> list[str]:
    """Return what is wrong with an object of KEDA's, by its definition."""
    validator = Draft202012Validator(json.loads(_KEDA.read_text())[document["kind"]])
    found = [f"{error.json_path}: {error.message}" for error in validator.iter_errors(document)]
    return found if document["apiVersion"] == "keda.sh/v1alpha1" else ["$.apiVersion", *found]


def problems(document: Document, version: str, group: str = "") -> list[str]:
    """Return what is wrong with an object in a version of Kubernetes.

    Args:
        document: The object.
        version: The version.
        group: Where its schema is, for what belongs to all groups; empty: as its `apiVersion` says.
    """
    # As the files are called: `deployment-apps-v1.json`.
    group = group or re.sub(r"^([^./]*)(?:\.[^/]*)?/", r"\1-", document["apiVersion"])
    validator = _validator(version, f"{document['kind'].lower()}-{group}.json")
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(document)]


@cache
def _validator(version: str, name: str) -> Draft202012Validator:
    schema = json.loads((_folder(version) / name).read_text())
    return Draft202012Validator(schema, registry=_definitions(version))


@cache
def _definitions(version: str) -> "Registry[Document]":
    found: Resource[Document] = Resource.from_contents(
        json.loads((_folder(version) / "_definitions.json").read_text())
    )
    return found @ Registry()


def _folder(version: str) -> Path:
    found = str(files("kubernetes_validate"))
    return Path(found) / "kubernetes-json-schema" / f"v{version}.0-local-strict"
