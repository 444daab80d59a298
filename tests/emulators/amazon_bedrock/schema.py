"""Checks requests against botocore's service model of `bedrock-runtime`.

The service model says which members exist, their types and what is required; what the real
service checks beyond that is in `converse_rules`.
"""

import base64
import binascii
from functools import lru_cache
from typing import Any

from botocore.model import ServiceModel
from botocore.session import Session
from botocore.validate import ParamValidator

from modelplane.adapters.providers.refusals import CONVERSE_NAMES
from tests.emulators.amazon_bedrock.errors import refusal
from tests.emulators.emulator import Json


@lru_cache(maxsize=1)
def service_model() -> ServiceModel:
    """Return botocore's description of the service."""
    return Session().get_service_model("bedrock-runtime")


def check_body(operation: str, model_id: str, body: Json) -> None:
    """Refuse a body that is no input of an operation.

    Raises:
        Refusal: It is not.
    """
    shape = service_model().operation_model(operation).input_shape
    params = _decoded("", shape, {"modelId": model_id, **body})
    report = ParamValidator().validate(params, shape)
    if report.has_errors():
        raise refusal(report.generate_report())


def _decoded(path: str, shape: Any, value: Any) -> Any:
    """Return JSON in the types that botocore's validator knows, checked for more than it does."""
    kind = shape.type_name
    if kind == "blob":
        return _decode(path, value)
    _check_limits(path, shape, value)
    if getattr(shape, "is_document_type", False):
        return value
    if kind == "structure" and isinstance(value, dict):
        return {
            name: _decoded(f"{path}.{name}", shape.members[name], item)
            if name in shape.members
            else item
            for name, item in value.items()
        }
    if kind == "list" and isinstance(value, list):
        return [_decoded(f"{path}.{at}", shape.member, item) for at, item in enumerate(value)]
    if kind == "map" and isinstance(value, dict):
        return {key: _decoded(f"{path}.{key}", shape.value, item) for key, item in value.items()}
    return value


def _check_limits(path: str, shape: Any, value: Any) -> None:
    allowed = shape.metadata.get("enum")
    if allowed and value not in allowed:
        raise refusal(f"Value '{value}' at '{path}' failed to satisfy enum value set: {allowed}")
    highest = shape.metadata.get("max")
    if highest is None or isinstance(value, bool):
        pass
    elif isinstance(value, int | float) and value > highest:
        raise refusal(f"Value '{value}' at '{path}' must be less than or equal to {highest}")
    elif isinstance(value, str | list) and len(value) > highest:
        raise refusal(f"Value at '{path}' must have length less than or equal to {highest}")
    is_name = path.endswith(("toolUseId", "toolUse.name", "toolSpec.name"))
    if is_name and not CONVERSE_NAMES.take(str(value)):
        raise refusal(f"Value '{value}' at '{path}' failed to satisfy pattern [a-zA-Z0-9_-]+")


def _decode(path: str, value: Any) -> Any:
    try:
        return base64.b64decode(value, validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise refusal(f"Value at '{path}' is not base64") from None
