"""Which host a worker gets: the one inside Envoy, wherever that can be had.

Used by `up` (through `cli.py`) and `worker/__main__.py`; `envoy/embedded.py` says what stands in
the way.
"""

from collections.abc import Callable

from deploy.envoy.embedded import obstacle

EMBEDDED = "embedded"
GRPC = "grpc"


def is_embedded(host: str, why_not: Callable[[], str] = obstacle) -> tuple[bool, str]:
    """Return whether workers run inside Envoy, and why not if that was wanted.

    Args:
        host: What is wanted, `embedded` or `grpc`.
        why_not: Tells what stands in the way of a worker inside Envoy; empty: nothing.

    Raises:
        ValueError: There is no such host.
    """
    if host not in (EMBEDDED, GRPC):
        raise ValueError(f"--worker-host must be {EMBEDDED} or {GRPC}, not {host!r}")
    reason = why_not() if host == EMBEDDED else ""
    return host == EMBEDDED and not reason, reason
