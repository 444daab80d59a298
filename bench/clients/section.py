"""Measures and examines the clients: a section of `python -m bench`."""

from bench.clients import behaviour, measurement
from bench.clients.envoy import install
from bench.report import Table


async def measure(*, quick: bool) -> list[Table]:
    """Return what each client costs, and what it does."""
    install()
    effort = measurement.QUICK if quick else measurement.FULL
    return [await measurement.measure(effort), await behaviour.examine()]
