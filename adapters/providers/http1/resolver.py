"""Looks up the addresses of hosts, without a thread that a slow name server could hold.

Used by `pool.py`. The system's own lookup waits in a thread of a small pool, so that four names
whose server is silent would keep every other name from being looked up. c-ares asks the same
servers and files, and keeps what they answer for as long as they say. Of the system's other sources
(NSS modules, multicast DNS) it knows none.
"""

import asyncio
import logging
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import ip_address
from typing import TypeAlias

import aiodns
from aiohappyeyeballs import AddrInfoType

from modelplane.adapters.providers.http1.errors import NameUnresolved, TooManyLookups

_log = logging.getLogger(__name__)

# A name whose servers say nothing for so long is given up.
_LOOKUP_SECONDS = 3.0
_SERVER_SECONDS = 1.0
_TRIES = 2
# A name that could not be looked up is not asked for again meanwhile.
_FAILURE_SECONDS = 5.0
_MAX_FAILURES = 1024
# Names that are being looked up at a time, for one owner and for all.
MAX_LOOKUPS_OF_OWNER = 32
MAX_LOOKUPS = 1024
_WARNING_SECONDS = 60.0

Addresses: TypeAlias = Sequence[AddrInfoType]
Lookup: TypeAlias = Callable[[str], Awaitable[Sequence[str]]]


class Resolver:
    """Looks up host names in the event loop in which it was made."""

    def __init__(self, lookup: Lookup | None = None) -> None:
        """Start knowing nothing.

        Args:
            lookup: Returns the addresses of a name, or raises `OSError`; None: the name servers of
                this machine are asked.
        """
        self._loop = asyncio.get_running_loop()
        self._lookup = lookup or self._ask
        self._dns: aiodns.DNSResolver | None = None
        self._under_way: dict[str, asyncio.Task[Sequence[str]]] = {}
        self._owners: Counter[str] = Counter()
        # Until when a name counts as unknown, the oldest first.
        self._failed: dict[str, float] = {}
        self._warned_at = -_WARNING_SECONDS

    async def resolve(self, host: str, port: int, owner: str = "") -> Addresses:
        """Return the addresses of a host, best first.

        Args:
            host: A name, or an address, which is answered at once.
            port: Port of the addresses.
            owner: For whom the name is looked up; no one takes all lookups. Empty: nobody.

        Raises:
            NameUnresolved: The name has no address, or none could be had in time.
        """
        if _is_address(host):
            return [_address(host, port)]
        if self._failed.get(host, 0.0) > self._loop.time():
            raise NameUnresolved
        task = self._under_way.get(host) or self._start(host, owner)
        try:
            # Shielded: others may wait for the same name.
            async with asyncio.timeout(_LOOKUP_SECONDS):
                found = await asyncio.shield(task)
        except (OSError, TimeoutError) as error:
            self._note_failure(host)
            raise NameUnresolved from error
        return [_address(address, port) for address in found]

    async def aclose(self) -> None:
        """End all lookups."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._dns is not None:
            await self._dns.close()

    def _start(self, host: str, owner: str) -> "asyncio.Task[Sequence[str]]":
        full = len(self._under_way) >= MAX_LOOKUPS
        if full or (owner and self._owners[owner] >= MAX_LOOKUPS_OF_OWNER):
            self._warn(owner)
            raise TooManyLookups
        task = self._under_way[host] = self._loop.create_task(self._run(host, owner))
        task.add_done_callback(_take_exception)
        return task

    async def _run(self, host: str, owner: str) -> Sequence[str]:
        # It counts until the library has ended it, also when nobody waits any longer.
        self._owners[owner] += 1
        try:
            return await self._lookup(host)
        finally:
            del self._under_way[host]
            self._owners[owner] -= 1
            if not self._owners[owner]:
                del self._owners[owner]

    async def _ask(self, host: str) -> Sequence[str]:
        if self._dns is None:
            self._dns = aiodns.DNSResolver(loop=self._loop, timeout=_SERVER_SECONDS, tries=_TRIES)
        try:
            found = await self._dns.getaddrinfo(host, type=socket.SOCK_STREAM)
        except aiodns.error.DNSError as error:
            raise OSError(*error.args) from error
        return [_text(node.addr[0]) for node in found.nodes]

    def _note_failure(self, host: str) -> None:
        self._failed.pop(host, None)
        self._failed[host] = self._loop.time() + _FAILURE_SECONDS
        if len(self._failed) > _MAX_FAILURES:
            del self._failed[next(iter(self._failed))]

    def _warn(self, owner: str) -> None:
        now = self._loop.time()
        if now - self._warned_at >= _WARNING_SECONDS:
            self._warned_at = now
            fields = {"owner": owner, "of_owner": self._owners[owner], "all": len(self._under_way)}
            _log.warning("too many host names are being looked up", extra={"fields": fields})


def _is_address(host: str) -> bool:
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def _address(address: str, port: int) -> AddrInfoType:
    if ":" not in address:
        return (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port))
    plain, _, scope = address.partition("%")
    number = int(scope) if scope.isdecimal() else 0
    ends = (plain, port, 0, number)
    return (socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ends)


def _text(address: str | bytes) -> str:
    return address.decode() if isinstance(address, bytes) else address


def _take_exception(task: "asyncio.Task[Sequence[str]]") -> None:
    # Whoever waited has it; nobody may have.
    if not task.cancelled():
        task.exception()
