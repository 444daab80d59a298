"""Where a provider may be: guards against URLs that lead into the deployment's own network.

A URL in a configuration, or an image's, is given by a user; without a guard it would make the
gateway fetch from whatever the gateway can reach (server-side request forgery, CWE-918). The
control plane checks addresses written in a URL; a worker checks every address that a name
resolves to, when it connects.
"""

import socket
from collections.abc import Iterable, Sequence
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
# What listens there listens at all addresses of its machine.
_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - compared with, not bound


@dataclass(frozen=True, slots=True)
class EgressPolicy:
    """Public addresses, and what the operator allows beside them; never the deployment itself.

    Attributes:
        networks: Allowed networks, each with a port; 0: every port.
        hosts: Allowed host names, in lower case, likewise; one that begins with `.` allows what
            ends so.
        own: Hosts and ports of the deployment's own parts, which nothing allows.
    """

    networks: Sequence[tuple[_Network, int]] = ()
    hosts: Sequence[tuple[str, int]] = ()
    own: Sequence[tuple[str, int]] = ()

    def allows(
        self, host: str, address: str, port: int, own: Iterable[tuple[str, int]] = ()
    ) -> bool:
        """Tell whether a connection to `host` may be opened at `address` and `port`.

        Args:
            host: Host of the URL.
            address: One of its addresses.
            port: Port of the URL.
            own: Hosts and ports of the deployment's own parts beside those that it always has.
        """
        name = host.lower().rstrip(".")
        try:
            parsed = _unwrap(ip_address(address.partition("%")[0]))
        except ValueError:
            return False
        if _is_among((*self.own, *own), name, parsed, port):
            return False
        return (
            _is_public(parsed)
            or any(port in (each, each or port) and _names(one, name) for one, each in self.hosts)
            or any(port in (each, each or port) and parsed in one for one, each in self.networks)
        )

    def allows_url(self, url: str) -> bool:
        """Tell whether a URL may be allowed; a name is judged again when it is resolved."""
        host, address, port = _place_of(url)
        if address is None:
            return (host, port) not in self.own
        return self.allows(host, address, port)

    def is_own_url(self, url: str) -> bool:
        """Tell whether a URL leads to a part of the deployment by what it names: nothing helps."""
        host, address, port = _place_of(url)
        if address is None:
            return (host, port) in self.own
        return _is_among(self.own, host.lower(), _unwrap(ip_address(address)), port)


def parse_policy(text: str, own: str = "") -> EgressPolicy:
    """Return the policy in the settings.

    Args:
        text: Networks, addresses and host names, each with a port or without one, with commas.
        own: `host:port` of the deployment's own parts, with commas.

    Raises:
        ValueError: An item is none of them.
    """
    networks: list[tuple[_Network, int]] = []
    hosts: list[tuple[str, int]] = []
    for item in _items(text):
        place, port = _split_port(item)
        try:
            networks.append((ip_network(place, strict=False), port))
        except ValueError:
            if not place.strip("*."):
                raise ValueError(
                    f"{SETTING}: {item!r} would allow every host by name; to allow all addresses, "
                    "write '0.0.0.0/0,::/0'."
                ) from None
            name = place.removeprefix("*")
            if set("/:*") & set(name):
                raise ValueError(
                    f"{SETTING}: {item!r} is no network, address or host name, "
                    "nor one of these with a port."
                ) from None
            hosts.append((name, port))
    return EgressPolicy(networks, hosts, [_split_port(item) for item in _items(own)])


def _items(text: str) -> Iterable[str]:
    return filter(None, (part.strip().lower() for part in text.split(",")))


def _split_port(item: str) -> tuple[str, int]:
    """Return host or network, and port; 0 where there is none. IPv6 with a port has brackets."""
    place, colon, port = item.rpartition(":")
    if not (colon and port.isdecimal()) or (":" in place and not place.endswith("]")):
        place, port = item, "0"
    return place.removeprefix("[").removesuffix("]"), int(port)


def _names(one: str, name: str) -> bool:
    return name == one or (one[0] == "." and name.endswith(one))


def _place_of(url: str) -> tuple[str, str | None, int]:
    """Return the host that a URL names, its address where it is known by that, and the port."""
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    port = parts.port or (80 if parts.scheme == "http" else 443)
    is_here = host in _LOCAL_NAMES or host.endswith(".localhost")
    return host, "127.0.0.1" if is_here else _literal(host), port


def _is_among(own: Iterable[tuple[str, int]], name: str, address: _Address, port: int) -> bool:
    return any(port == each and _is_same(one, name, address) for one, each in own)


def _is_same(own: str, name: str, address: _Address) -> bool:
    """Tell whether a host and its address are where a part of the deployment listens."""
    if own in (name, str(address)):
        return True
    here = own in (*_LOCAL_NAMES, *_EVERYWHERE) or own.startswith("127.")
    return here and _is_this_machine(address)


def _is_this_machine(address: _Address) -> bool:
    if address.is_loopback or address.is_unspecified:
        return True
    family = socket.AF_INET if isinstance(address, IPv4Address) else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            # Only a machine's own addresses can be bound.
            probe.bind((str(address), 0))
        except OSError:
            return False
    return True


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
