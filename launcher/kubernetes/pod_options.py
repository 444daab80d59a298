"""What an operator says of the pods of hosts: a file, YAML or JSON.

Read once, by `place.py`; `manifests.py` puts it into each pod.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import yaml

# Fields of a pod as Kubernetes has them, and three of its metadata and its container.
_KINDS: Mapping[str, type[object]] = {
    "affinity": dict,
    "env": list,
    "imagePullSecrets": list,
    "nodeSelector": dict,
    "podAnnotations": dict,
    "podLabels": dict,
    "priorityClassName": str,
    "runtimeClassName": str,
    "schedulerName": str,
    "serviceAccountName": str,
    "tolerations": list,
    "topologySpreadConstraints": list,
}
_WORDS: Mapping[type[object], str] = {dict: "mapping", list: "list", str: "text"}
_MOST_BYTES = 64 * 1024
# What the launcher says itself.
_OWN = re.compile(r"MODELPLANE_.*|HOME")


class OptionsUnfit(ValueError):
    """The file says something that is not understood; the text names it."""


def read_pod_options(file: Path) -> Mapping[str, object]:
    """Return what a file says.

    Raises:
        OptionsUnfit: It says something that is not understood.
        OSError: It cannot be read.
    """
    text = file.read_text()
    if len(text) > _MOST_BYTES:
        raise OptionsUnfit(f"{file}: it is longer than {_MOST_BYTES} bytes")
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise OptionsUnfit(f"{file}: it is no YAML") from error
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise OptionsUnfit(f"{file}: it is no mapping")
    for name, value in found.items():
        kind = _KINDS.get(name)
        if kind is None:
            raise OptionsUnfit(f"{file}: {name!r} is none of {', '.join(_KINDS)}")
        if not isinstance(value, kind):
            raise OptionsUnfit(f"{file}: {name} has to be a {_WORDS[kind]}")
    _check_variables(file, found.get("env", []))
    return found


def _check_variables(file: Path, variables: list[object]) -> None:
    for variable in variables:
        name = variable.get("name") if isinstance(variable, dict) else None
        if not isinstance(name, str):
            raise OptionsUnfit(f"{file}: a variable of env has no name")
        if _OWN.fullmatch(name):
            raise OptionsUnfit(f"{file}: {name} is the launcher's own to say")
