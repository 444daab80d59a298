"""The services of the protos, and what their options say of them: read from there, listed nowhere.

Used by the control plane, which answers most of them, and by `deploy/envoy`, which routes to them.
"""

from collections.abc import Sequence
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType

import modelserving.launcher.v1
import modelserving.v1
import modelserving.worker.v1
from google.api import annotations_pb2
from google.protobuf.descriptor import ServiceDescriptor
from modelserving.v1.rules_pb2 import ServiceRules, service_rules


def _services_in(package: ModuleType) -> Sequence[ServiceDescriptor]:
    modules = [
        import_module(f"{package.__name__}.{module.name}")
        for module in iter_modules(package.__path__)
        if module.name.endswith("_service_pb2")
    ]
    services = (
        service for module in modules for service in module.DESCRIPTOR.services_by_name.values()
    )
    return tuple(sorted(services, key=lambda service: str(service.full_name)))


# What clients call, through Envoy; and, on a port of the control plane, what workers alone call and
# what launchers alone do.
PUBLIC_SERVICES = _services_in(modelserving.v1)
WORKER_SERVICES = _services_in(modelserving.worker.v1)
LAUNCHER_SERVICES = _services_in(modelserving.launcher.v1)


def rules_of(service: ServiceDescriptor) -> ServiceRules:
    """Return what the options of a service say of it."""
    rules: ServiceRules = service.GetOptions().Extensions[service_rules]
    return rules


def has_rest_routes(service: ServiceDescriptor) -> bool:
    """Tell whether the calls of a service have a REST form."""
    return all(method.GetOptions().HasExtension(annotations_pb2.http) for method in service.methods)


def is_management(service: ServiceDescriptor) -> bool:
    """Tell whether a service is a part of the control plane's API, whose callers are known."""
    rules = rules_of(service)
    return not (rules.answered_by_workers or rules.anonymous)
