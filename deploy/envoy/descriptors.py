"""What Envoy's transcoder needs to know of the protos.

`filters.py` puts it into the bootstrap, so that the configuration is a single file.
"""

import base64
import re
from importlib.util import find_spec
from pathlib import Path

from google.api import annotations_pb2, http_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorSet

_INTERNAL = "modelserving/snapshot/"


def public_descriptors() -> str:
    """Return the descriptor set of the public services, without comments, as base64.

    Raises:
        FileNotFoundError: The protos were not compiled.
    """
    return base64.b64encode(_public_files().SerializeToString(deterministic=True)).decode()


def path_parameters() -> list[str]:
    """Return the names of all fields that REST paths hold, for example `name`."""
    rules = [
        method.options.Extensions[annotations_pb2.http]
        for file in _public_files().file
        for service in file.service
        for method in service.method
    ]
    return sorted({name for rule in rules for name in re.findall(r"{(\w+)", _paths(rule))})


def _paths(rule: http_pb2.HttpRule) -> str:
    own = rule.get or rule.put or rule.post or rule.delete or rule.patch
    return " ".join([own, *map(_paths, rule.additional_bindings)])


def _public_files() -> FileDescriptorSet:
    descriptors = FileDescriptorSet.FromString(_descriptor_file().read_bytes())
    public = FileDescriptorSet()
    for file in descriptors.file:
        if not file.name.startswith(_INTERNAL):
            public.file.add().CopyFrom(file)
            public.file[-1].ClearField("source_code_info")
    return public


def _descriptor_file() -> Path:
    spec = find_spec("modelserving")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("the protos are not compiled: run `make install`")
    package = Path(next(iter(spec.submodule_search_locations)))
    # Beside the package in a checkout; inside it in an installed wheel.
    for file in (package.parent / "modelserving.binpb", package / "modelserving.binpb"):
        if file.exists():
            return file
    raise FileNotFoundError(f"no modelserving.binpb beside {package}")
