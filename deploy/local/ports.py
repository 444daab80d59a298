"""Ports for the internal listeners: free now, and the same ones again after a restart."""

import random
import socket
import sys
from collections.abc import Collection, Mapping, Sequence

from modelplane.deploy.local.options import UpError

LOOPBACK = "127.0.0.1"
# Below the range from which systems take the ports of outgoing connections: one of those could
# otherwise hold the port of a server that is just restarting.
_FIRST, _END = 20_000, 32_000
# The ports that this process has picked: each is held until the process ends, by a socket in Linux'
# namespace of names without files. One that nothing listens on yet would else be picked by another
# deployment that is started in the same moment.
_picked: dict[int, int] = {}


def pick_ports(
    names: Sequence[str], previous: Mapping[str, int], rng: random.Random
) -> dict[str, int]:
    """Return a free loopback port for each name, the previous one where possible.

    Args:
        names: What the ports are for.
        previous: Ports of the last run by name.
        rng: Source of chance; two deployments should not try the same ports.
    """
    ports: dict[str, int] = {}
    for name in names:
        port = previous.get(name)
        if port is None or port in ports.values() or not _pick(port):
            port = free_port(rng, ports.values())
        ports[name] = port
    return ports


def free_port(rng: random.Random, taken: Collection[int] = ()) -> int:
    """Return a loopback port that is not in `taken` and on which nothing listens.

    No other process is given it as long as this one runs.
    """
    while True:
        port = rng.randrange(_FIRST, _END)
        if port not in taken and port not in _picked and _pick(port):
            return port


def _pick(port: int) -> bool:
    """Return whether a port is free, and hold it if it is."""
    if not is_free(LOOPBACK, port):
        return False
    if port in _picked or sys.platform != "linux":
        return True
    with socket.socket(socket.AF_UNIX) as held:
        try:
            held.bind(f"\0modelplane-port-{port}")
        except OSError:
            return False
        _picked[port] = held.detach()
    return True


def is_free(host: str, port: int) -> bool:
    """Return whether a server could listen there now."""
    try:
        check_free(host, port)
    except UpError:
        return False
    return True


def check_free(host: str, port: int) -> None:
    """Check that a server could listen there now.

    Raises:
        UpError: The port is taken, or the host is none of this machine's.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            # As servers do: connections of a server that just ended do not count.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise UpError(f"cannot listen on {host}:{port}: {error.strerror}") from error
