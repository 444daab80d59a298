"""Pure rules for served entities that are hosted here, and the defaults of their fields.

Each refusal tells the user what to change. Before: `endpoints.config_input`, `endpoints.lifecycle`.
After: `throughput_rules`, `workloads`.
"""

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from google.protobuf.message import Message
from modelserving.v1.endpoint_pb2 import EndpointConfig, ServedEntity

from modelplane.adapters.shared.credential_slots import parse_reference
from modelplane.control_plane.errors import InvalidParameter
from modelplane.control_plane.hosting.throughput_rules import (
    check_burst,
    check_throughput,
    is_provisioned,
)
from modelplane.control_plane.hosting.workloads import (
    DEFAULT_SIZE,
    DEFAULT_TYPE,
    SIZES,
    Workloads,
)

MAX_VARIABLES = 30
MAX_CONCURRENCY = 1024
# Names that a registry may have, and none that could be a path.
_ENTITY_NAME = re.compile(r"(?!\.)[^/\\:\x00-\x1f\x7f]{1,200}")
_VERSION = re.compile(r"@?[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
# What launchers tell the processes of models.
_OWN_VARIABLES = "MODELPLANE_"
_LIKE_REFERENCE = re.compile(r"\s*\{\{\s*secrets\s*/.*\}\}\s*", re.DOTALL)
_STEP = 4

CONCURRENCY_FIELDS = ("min_provisioned_concurrency", "max_provisioned_concurrency")
# What asks for more than there is, and why it is refused.
_NOT_YET: Mapping[str, str] = MappingProxyType(
    {
        "instance_profile_arn": "instance profiles are not available in this release",
    }
)
_MAY_BE_UNSET = (
    *_NOT_YET,
    "burst_scaling_enabled",
    *CONCURRENCY_FIELDS,
    "min_provisioned_throughput",
    "max_provisioned_throughput",
    "provisioned_model_units",
    "workload_size",
    "workload_type",
)


def fill_defaults(entity: ServedEntity) -> None:
    """Give a hosted entity its defaults, and clear what its caller did not set.

    Some clients spell out 0, false and "" for that.
    """
    message: Message = entity
    for name in _MAY_BE_UNSET:
        if not getattr(entity, name):
            message.ClearField(name)
    if entity.HasField("max_provisioned_throughput"):
        # Zero is a value here, too.
        entity.min_provisioned_throughput = entity.min_provisioned_throughput
    elif is_provisioned(entity):
        pass
    elif entity.HasField("max_provisioned_concurrency"):
        # Zero is a value here: the least of an entity that may scale to it.
        entity.min_provisioned_concurrency = entity.min_provisioned_concurrency
    elif not (entity.workload_size or entity.HasField("min_provisioned_concurrency")):
        entity.workload_size = DEFAULT_SIZE
    if not entity.workload_type:
        entity.workload_type = DEFAULT_TYPE


def check_hosted(config: EndpointConfig, workloads: Workloads) -> None:
    """Check the entities of a configuration that hosts its models.

    Raises:
        InvalidParameter: One breaks a rule.
    """
    for entity in config.served_entities:
        try:
            _check_available(entity)
            check_model(entity)
            check_type(entity, workloads)
            check_burst(entity)
            if is_provisioned(entity):
                check_throughput(entity)
            else:
                _check_scale(entity)
            _check_variables(entity.environment_vars)
        except InvalidParameter as error:
            raise InvalidParameter(f"Served entity '{entity.name}': {error}") from None


def _check_available(entity: ServedEntity) -> None:
    for name, reason in _NOT_YET.items():
        if getattr(entity, name):
            raise InvalidParameter(f"{reason}; leave out {name}.")


def check_model(entity: ServedEntity) -> None:
    """Check which model an entity names.

    Raises:
        InvalidParameter: No model can be called so.
    """
    if not _ENTITY_NAME.fullmatch(entity.entity_name):
        raise InvalidParameter(
            f"entity_name '{entity.entity_name[:100]}' is no name of a registered model, such as "
            "catalog.schema.model; it has at most 200 characters, and no '/' nor ':'."
        )
    version = entity.entity_version.string_value
    if not version:
        raise InvalidParameter(
            "entity_version is required: give the version of the registered model, for example "
            '"1", or "@" and an alias of it, for example "@champion".'
        )
    if not _VERSION.fullmatch(version):
        raise InvalidParameter(
            f"entity_version '{version[:100]}' is no version of a registered model, such as \"1\", "
            'and no alias, such as "@champion".'
        )


def check_type(entity: ServedEntity, workloads: Workloads) -> None:
    """Check what an entity is to be served on.

    Raises:
        InvalidParameter: The deployment has no such workload type.
    """
    if entity.workload_type not in workloads.types:
        raise InvalidParameter(
            f"workload_type '{entity.workload_type[:100]}' is not available in this deployment; "
            f"use one of {', '.join(workloads.types)}."
        )


def _check_scale(entity: ServedEntity) -> None:
    if not entity.HasField("scale_to_zero_enabled"):
        raise InvalidParameter(
            "scaleToZeroEnabled is undefined. Please set it to either true or false."
        )
    if _given(entity, CONCURRENCY_FIELDS):
        _check_concurrency(entity)
    elif entity.workload_size not in SIZES:
        sizes = ", ".join(f"{size} ({least} to {most})" for size, (least, most) in SIZES.items())
        raise InvalidParameter(
            f"workload_size '{entity.workload_size[:100]}' is unknown; use one of {sizes} "
            "concurrent requests, or give min_provisioned_concurrency and "
            "max_provisioned_concurrency."
        )


def _check_concurrency(entity: ServedEntity) -> None:
    least, most = entity.min_provisioned_concurrency, entity.max_provisioned_concurrency
    if not entity.HasField("max_provisioned_concurrency"):
        raise InvalidParameter(
            "min_provisioned_concurrency needs max_provisioned_concurrency beside it; give both."
        )
    for name, value in zip(CONCURRENCY_FIELDS, (least, most), strict=True):
        if value % _STEP or not 0 <= value <= MAX_CONCURRENCY:
            raise InvalidParameter(
                f"{name} is {value}; it must be a multiple of {_STEP}, at most {MAX_CONCURRENCY}."
            )
    if least == 0 and not entity.scale_to_zero_enabled:
        raise InvalidParameter(
            "min_provisioned_concurrency is 0 or not given, which needs scale_to_zero_enabled; set "
            "that to true, or give a minimum."
        )
    if least > most:
        raise InvalidParameter(
            f"min_provisioned_concurrency is {least}, more than max_provisioned_concurrency, which "
            f"is {most}; lower the first or raise the second."
        )


def _given(entity: ServedEntity, names: Sequence[str]) -> list[str]:
    return [name for name in names if entity.HasField(name)]  # type: ignore[arg-type]


def _check_variables(variables: Mapping[str, str]) -> None:
    if len(variables) > MAX_VARIABLES:
        raise InvalidParameter(
            f"environment_vars has {len(variables)} variables; at most {MAX_VARIABLES} are allowed."
        )
    for name, value in variables.items():
        if not _VARIABLE.fullmatch(name) or name.startswith(_OWN_VARIABLES):
            raise InvalidParameter(
                f"environment_vars: '{name[:100]}' is no name that a variable may have; use "
                f"letters, digits and '_', and begin with another word than {_OWN_VARIABLES}."
            )
        if "\0" in value:
            raise InvalidParameter(f"environment_vars.{name} holds a NUL character; remove it.")
        if _LIKE_REFERENCE.fullmatch(value) and parse_reference(value) is None:
            # The value is not repeated: it may be a secret in the wrong place.
            raise InvalidParameter(
                f"environment_vars.{name} looks like a reference to a secret and is none; write "
                "{{secrets/scope/key}}."
            )
