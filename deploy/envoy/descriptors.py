"""What Envoy's transcoder needs to know of the protos.

`filters.py` puts it into the bootstrap, so that the configuration is a single file.
"""

import base64
import re
from collections.abc import Mapping

from google.api import annotations_pb2, http_pb2, httpbody_pb2
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
    ServiceDescriptorProto,
)

from modelplane.adapters.shared.rpc.over_rest import BODY_FIELD, BODY_NUMBER, rest_service
from modelplane.adapters.shared.rpc.services import PUBLIC_SERVICES, has_rest_routes, is_management

REST_SERVICES = [service for service in PUBLIC_SERVICES if has_rest_routes(service)]

_BODY = httpbody_pb2.HttpBody.DESCRIPTOR


def public_descriptors() -> str:
    """Return the descriptor set of the public services as base64.

    Those of management have the names and the requests of `adapters/shared/rpc/over_rest.py`.
    """
    files = _public_files()
    requests = {
        f".{file.package}.{message.name}": message
        for file in files.file
        for message in file.message_type
    }
    management = {service.full_name for service in REST_SERVICES if is_management(service)}
    for file in files.file:
        for service in file.service:
            if f"{file.package}.{service.name}" in management:
                _leave_bodies_alone(service, requests)
                if _BODY.file.name not in file.dependency:
                    file.dependency.append(_BODY.file.name)
    return base64.b64encode(files.SerializeToString(deterministic=True)).decode()


def _leave_bodies_alone(
    service: ServiceDescriptorProto, requests: Mapping[str, DescriptorProto]
) -> None:
    """Let every call of a service have its body as bytes, also those that should have none."""
    service.name = rest_service(service.name)
    for method in service.method:
        _rule(method).body = BODY_FIELD
        fields = requests[method.input_type].field
        if BODY_FIELD not in {field.name for field in fields}:
            fields.add(
                name=BODY_FIELD,
                number=BODY_NUMBER,
                type=FieldDescriptorProto.TYPE_MESSAGE,
                label=FieldDescriptorProto.LABEL_OPTIONAL,
                type_name=f".{_BODY.full_name}",
            )


def path_parameters() -> list[str]:
    """Return the names of the fields that REST paths hold, for example `name`.

    Not of those that the query string of another path may hold, as `config_version` of logs: where
    a path of management holds one, the control plane refuses it in the query string.
    """
    held: set[str] = set()
    asked: set[str] = set()
    for service in REST_SERVICES:
        for method in service.methods:
            rule = method.GetOptions().Extensions[annotations_pb2.http]
            own = set(re.findall(r"{(\w+)", _paths(rule)))
            held |= own
            if is_management(service) and not rule.body:
                asked |= {field.name for field in method.input_type.fields} - own
    return sorted(held - asked)


def _rule(method: MethodDescriptorProto) -> http_pb2.HttpRule:
    return method.options.Extensions[annotations_pb2.http]


def _paths(rule: http_pb2.HttpRule) -> str:
    own = rule.get or rule.put or rule.post or rule.delete or rule.patch
    return " ".join([own, *map(_paths, rule.additional_bindings)])


def _public_files() -> FileDescriptorSet:
    files: dict[str, FileDescriptorProto] = {}
    _collect(_BODY.file, files)
    for service in REST_SERVICES:
        _collect(service.file, files)
    return FileDescriptorSet(file=files.values())


def _collect(file: FileDescriptor, files: dict[str, FileDescriptorProto]) -> None:
    if file.name in files:
        return
    # A file comes after those it imports.
    for dependency in file.dependencies:
        _collect(dependency, files)
    file.CopyToProto(files.setdefault(file.name, FileDescriptorProto()))
