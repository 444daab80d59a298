"""Ports for servers that are told theirs before they listen.

The system gives out ports from a range of its own, for outgoing connections and to who asks for any
port, at any moment and in any process: one of those that was free a moment ago may be taken when
the server comes to it. These lie below that range, and each process of the tests has its own part.
"""

import itertools
import os
import random
import socket

# As `deploy.local.ports`, which tells why, and beside those that it takes.
_FIRST, _END = 10_000, 20_000
_PARTS = 8


def _own_part() -> range:
    """Return the ports of this process: one of those that run the tests together, or all."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0")  # noqa: TID251 - pytest's own
    size = (_END - _FIRST) // _PARTS
    first = _FIRST + int(worker.removeprefix("gw")) % _PARTS * size
    return range(first, first + size)


# From somewhere, since others may run tests on the same machine; then each in turn.
_PORTS = itertools.cycle(_own_part())
for _ in range(random.randrange(1_000)):
    next(_PORTS)


def free_port() -> int:
    """Return a loopback port on which nothing listens, and that nobody else is given."""
    for port in _PORTS:
        with socket.socket() as probe:
            # As servers do: connections of a server that just ended do not count.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("there are always more")
