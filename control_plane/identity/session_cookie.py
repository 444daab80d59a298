"""The cookie that holds a session: which name and attributes it has. Pure.

`deploy/envoy/session.lua` reads it. Used by `session_servicer`.
"""

from ipaddress import ip_address
from urllib.parse import urlsplit

from modelplane.control_plane.errors import InvalidParameter

# Browsers take this name from the host itself alone, and over TLS alone (RFC 6265bis, 4.1.3.2).
SECURE_NAME = "__Host-modelplane"
# On this machine without TLS, where browsers differ on what they take as secure.
LOOPBACK_NAME = "modelplane"
_ATTRIBUTES = "Path=/; HttpOnly; SameSite=Strict"


def set_cookie(origin: str, value: str, seconds: int) -> str:
    """Return the value of `Set-Cookie`.

    Args:
        origin: Scheme, host and port under which the browser has reached this deployment; empty:
            not known, which is taken as TLS.
        value: The token; empty: forget it.
        seconds: How long to keep it; 0: not at all.

    Raises:
        InvalidParameter: It would go over the network in the clear.
    """
    parts = urlsplit(origin)
    if parts.scheme == "http":
        if not _is_loopback(parts.hostname or ""):
            raise InvalidParameter(
                "Signing in needs HTTPS, unless the browser runs on this machine and calls it "
                "localhost: see docs/operating/user-interface.md."
            )
        return f"{LOOPBACK_NAME}={value}; Max-Age={seconds}; {_ATTRIBUTES}"
    return f"{SECURE_NAME}={value}; Max-Age={seconds}; Secure; {_ATTRIBUTES}"


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
