"""Names of the gRPC metadata that become HTTP headers, and the reverse.

Envoy turns initial and trailing metadata into response headers; its Lua filter (`deploy/envoy`)
reads ERROR_CODE and HTTP_STATUS to shape the body of a refusal, and removes both.
"""

import re
from collections.abc import Iterable, Mapping
from uuid import uuid4

AUTHORIZATION = "authorization"
REQUEST_ID = "x-request-id"
CONFIG_VERSION = "x-modelplane-config-version"
SERVED_MODEL = "served-model-name"
ADAPTED_PARAMS = "x-modelplane-adapted-params"
# Scheme, host and port under which the client reached Envoy.
ORIGIN = "x-modelplane-origin"
HOPS = "x-modelplane-hops"
ROUTING_KEY = "x-routing-key"
ATTEMPTS = "x-modelplane-attempts"
ATTEMPT_ERRORS = "x-modelplane-attempt-errors"
# How long a call has waited for a hosted model that had to be started, milliseconds.
COLD_START = "x-modelplane-cold-start"
# That a count of tokens is an estimate, not the provider's.
TOKENS_ESTIMATED = "x-modelplane-tokens-estimated"
RETRY_AFTER = "retry-after"
WORKERS_BEHIND = "x-modelplane-workers-behind"
ERROR_CODE = "x-modelplane-error-code"
HTTP_STATUS = "x-modelplane-http-status"

# Addresses that the call came by; Envoy adds the last one.
FORWARDED_FOR = "x-forwarded-for"

Metadata = tuple[tuple[str, str], ...]

# What can stand in a header and a log as it is.
_REQUEST_ID = re.compile(r"[!-~]{1,128}")


def request_id_of(metadata: Mapping[str, str]) -> str:
    """Return the id that the caller gave the call, or a new one where they gave none that is fit.

    Args:
        metadata: The call's; text only.
    """
    request_id = metadata.get(REQUEST_ID, "")
    return request_id if _REQUEST_ID.fullmatch(request_id) else str(uuid4())


def caller_address(metadata: Mapping[str, str]) -> str:
    """Return the address that Envoy took the call from, as it says; empty: it came another way."""
    return metadata.get(FORWARDED_FOR, "").rpartition(",")[2].strip()


def as_mapping(metadata: Iterable[tuple[str, str | bytes]] | None) -> Mapping[str, str]:
    """Return text metadata by key; the last value wins, binary values are left out."""
    return {key: value for key, value in metadata or () if isinstance(value, str)}
