"""Why a call failed, in words that a log may have: nothing that the caller or a model has written.

Before: `accounting`.
"""

from modelplane.adapters.providers.errors import AdapterError
from modelplane.adapters.shared.telemetry import cut_reason, kind_of
from modelplane.data_plane.errors import (
    DataPlaneError,
    GuardrailTriggered,
    InvalidParameter,
    MalformedRequest,
    ModelRefused,
)

# Their texts may repeat what was asked or answered.
_QUIET = (InvalidParameter, MalformedRequest, ModelRefused)


def reason_of(error: Exception) -> str:
    """Return why a call failed; of what others have written, only what kind of failure it is."""
    if isinstance(error, AdapterError):
        return f"{error.provider}: {kind_of(error)}"
    if isinstance(error, GuardrailTriggered):
        return f"the guardrail {error.policy} blocked the {error.phase}"
    if isinstance(error, DataPlaneError) and not isinstance(error, _QUIET):
        return cut_reason(str(error))
    return kind_of(error)
