"""Where a provider may be: guards against URLs that lead into the deployment's own network.

A URL in a configuration, or an image's, is given by a user; without a guard it would make the
gateway fetch from whatever the gateway can reach (server-side request forgery, CWE-918). The
control plane checks addresses written in a URL; a worker checks every address that a name
resolves to, when it connects.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from urllib.parse import urlsplit

SETTING = "MODELPLANE_ALLOWED_UPSTREAMS"

_Address = IPv4Address | IPv6Address
_Network = IPv4Network | IPv6Network

# Addresses of other machines that an IPv6 address may stand for.
_NAT64 = IPv6Network("64:ff9b::/96")
# Shared by a carrier's customers (RFC 6598), and by some clouds' metadata services.
_CARRIER = IPv4Network("100.64.0.0/10")
# All public IPv6 addresses are in here (RFC 4291, 2.4). What is outside stands for something else:
# site-local addresses, local NAT64 prefixes, IPv4 addresses in forms that were given up.
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_LOCAL_NAMES = ("localhost", "localhost.localdomain")


@dataclass(frozen=True, slots=True)
class EgressPolicy:
    """Public addresses, and what the operator allows beside them.

    Attributes:
        networks: Allowed networks.
        hosts: Allowed host names, in lower case; one that begins with `.` allows what ends so.
    """

    networks: Sequence[_Network] = ()
    hosts: Sequence[str] = ()

    def allows(self, host: str, address: str) -> bool:
        """Tell whether a connection to `host` may be opened at `address`."""
        if self._names(host):
            return True
        try:
            parsed = _unwrap(ip_address(address.partition("%")[0]))
        except ValueError:
            return False
        return _is_public(parsed) or any(parsed in network for network in self.networks)

    def allows_url(self, url: str) -> bool:
        """Tell whether a URL may be allowed; a name is judged only when it is resolved."""
        host = (urlsplit(url).hostname or "").rstrip(".")
        if host in _LOCAL_NAMES or host.endswith(".localhost"):
            return self.allows(host, "127.0.0.1")
        address = _literal(host)
        return address is None or self.allows(host, address)

    def _names(self, host: str) -> bool:
        name = host.lower().rstrip(".")
        return any(name == one or (one[0] == "." and name.endswith(one)) for one in self.hosts)


def parse_policy(text: str) -> EgressPolicy:
    """Return the policy in the setting: networks, addresses and host names, comma separated.

    Raises:
        ValueError: An item is none of them.
    """
    networks: list[_Network] = []
    hosts: list[str] = []
    for item in filter(None, (part.strip().lower() for part in text.split(","))):
        try:
            networks.append(ip_network(item, strict=False))
        except ValueError:
            if not item.strip("*."):
                raise ValueError(
                    f"{SETTING}: {item!r} would allow every host by name; to allow all addresses, "
                    "write '0.0.0.0/0,::/0'."
                ) from None
            if "/" in item or ":" in item:
                raise ValueError(
                    f"{SETTING}: {item!r} is no network, address or host name."
                ) from None
            hosts.append(item.removeprefix("*"))
    return EgressPolicy(networks, hosts)


def _literal(host: str) -> str | None:
    """Return the address that a host name writes, in any of the forms that resolvers accept."""
    try:
        return str(ip_address(host.partition("%")[0]))
    except ValueError:
        return _legacy_ipv4(host)


def _legacy_ipv4(host: str) -> str | None:
    """Return the address in a form of inet_aton: `127.1`, `2130706433`, `0x7f.0.0.1`, `0177.1`."""
    parts = host.split(".")
    if not 1 <= len(parts) <= 4:  # noqa: PLR2004 - bytes of an address
        return None
    try:
        *first, last = [_number(part) for part in parts]
    except ValueError:
        return None
    if any(byte > 0xFF for byte in first) or last >= 256 ** (4 - len(first)):  # noqa: PLR2004
        return None
    value = last
    for position, byte in enumerate(first):
        value += byte << 8 * (3 - position)
    return str(IPv4Address(value))


def _number(text: str) -> int:
    if text.startswith(("0x", "0X")):
        return int(text, 16)
    if not text.isdecimal():
        raise ValueError(text)
    return int(text, 8 if text.startswith("0") and text != "0" else 10)


def _unwrap(address: _Address) -> _Address:
    """Return the IPv4 address that an IPv6 address carries to, where it carries to one."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else address)


def _is_public(address: _Address) -> bool:
    if isinstance(address, IPv6Address) and address not in _GLOBAL_UNICAST:
        return False
    return address.is_global and not address.is_multicast and address not in _CARRIER
