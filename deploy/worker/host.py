"""Which host a worker gets: the one inside Envoy, wherever that can be had.

Used by `up` (through `cli.py`) and `worker/__main__.py`; `envoy/embedded.py` says what stands in
the way.
"""

from modelplane.deploy.envoy.embedded import obstacle

EMBEDDED = "embedded"
GRPC = "grpc"


def is_embedded(host: str) -> tuple[bool, str]:
    """Return whether workers run inside Envoy, and why not if that was wanted.

    Args:
        host: What is wanted, `embedded` or `grpc`.

    Raises:
        ValueError: There is no such host.
    """
    if host not in (EMBEDDED, GRPC):
        raise ValueError(f"--worker-host must be {EMBEDDED} or {GRPC}, not {host!r}")
    reason = obstacle() if host == EMBEDDED else ""
    return host == EMBEDDED and not reason, reason
