"""What Envoy's transcoder needs to know of the protos.

`filters.py` puts it into the bootstrap, so that the configuration is a single file.
"""

import base64
import re

from google.api import annotations_pb2, http_pb2
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from modelserving.v1 import (
    audit_service_pb2,
    client_secret_service_pb2,
    endpoint_service_pb2,
    identity_service_pb2,
    inference_service_pb2,
    oauth_service_pb2,
    permission_service_pb2,
    secret_service_pb2,
    token_service_pb2,
    usage_service_pb2,
)

_SERVICE_MODULES = (
    audit_service_pb2,
    client_secret_service_pb2,
    endpoint_service_pb2,
    identity_service_pb2,
    inference_service_pb2,
    oauth_service_pb2,
    permission_service_pb2,
    secret_service_pb2,
    token_service_pb2,
    usage_service_pb2,
)


def public_descriptors() -> str:
    """Return the descriptor set of the public services as base64."""
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
    files: dict[str, FileDescriptorProto] = {}
    for module in _SERVICE_MODULES:
        _collect(module.DESCRIPTOR, files)
    return FileDescriptorSet(file=files.values())


def _collect(file: FileDescriptor, files: dict[str, FileDescriptorProto]) -> None:
    if file.name in files:
        return
    # A file comes after those it imports.
    for dependency in file.dependencies:
        _collect(dependency, files)
    file.CopyToProto(files.setdefault(file.name, FileDescriptorProto()))
