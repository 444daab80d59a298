"""Where a registry's server is, and the folders that it names where that is this machine.

Before: `mlflow`, `unity_catalog`.
"""

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

_FOLDERS = ("", "file")


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """Where a server is.

    Attributes:
        uri: Its address, without a slash at the end.
        host: Its name or IP address.
    """

    uri: str
    host: str

    def folder_at(self, location: str) -> Path | None:
        """Return the folder that a location names, where the server is on this machine."""
        parts = urlsplit(location)
        if parts.scheme not in _FOLDERS or not _is_loopback(self.host):
            return None
        path = Path(unquote(parts.path) if parts.scheme else location)
        return path if path.is_absolute() else None


def parse_address(uri: str, server: str) -> ServerAddress:
    """Return the address of a server.

    Args:
        uri: The address, `http` or `https`.
        server: What it is the address of, for the error.

    Raises:
        ValueError: It is malformed.
    """
    parts = urlsplit(uri)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
        raise ValueError(f"the address of {server} begins with http:// or https://")
    return ServerAddress(uri.rstrip("/"), parts.hostname)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
