"""What an endpoint wants when an upstream fails or is slow: compiled from its AI Gateway settings.

Part of the snapshot (`snapshot.py`); `upstreams/` does what it says.
"""

from dataclasses import dataclass

from modelserving.v1.ai_gateway_pb2 import AiGatewayConfig

_USUAL_RETRIES = 2


@dataclass(frozen=True, slots=True)
class Policy:
    """How an endpoint deals with upstreams.

    Attributes:
        fallback: Whether other served entities may answer when one cannot.
        max_retries: How often the same served entity may be asked again.
        first_byte_seconds: Time until the first byte of an answer; None: the worker's setting.
        idle_seconds: Longest pause within a stream; None: the worker's setting.
    """

    fallback: bool = False
    max_retries: int = _USUAL_RETRIES
    first_byte_seconds: float | None = None
    idle_seconds: float | None = None


DEFAULT_POLICY = Policy()


def compile_policy(gateway: AiGatewayConfig) -> Policy:
    """Return the policy that AI Gateway settings ask for."""
    retry, timeout = gateway.retry_config, gateway.timeout_config
    return Policy(
        fallback=gateway.fallback_config.enabled,
        max_retries=retry.max_retries if retry.HasField("max_retries") else _USUAL_RETRIES,
        first_byte_seconds=timeout.first_byte_seconds or None,
        idle_seconds=timeout.idle_seconds or None,
    )
