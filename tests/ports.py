"""Ports for servers that are told theirs before they listen."""

from random import SystemRandom

from modelplane.deploy.local import ports


def free_port() -> int:
    """Return a loopback port on which nothing listens, and that no other process is given.

    Those that the system gives out may be taken by an outgoing connection in the next moment.
    """
    return ports.free_port(SystemRandom())
