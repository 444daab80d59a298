"""The line to the control planes: which of them is asked, over what, and what follows a failure.

Whatever asks the control planes has a link of its own, so that what one waits for cuts off no
other: in a worker what watches, leases, reports and ships (`data_plane`), and the launcher. All
keep to one policy: they stay with a control plane that answers, over one channel, and after a
failure go to the next over a new one, for which the certificates are read anew.
"""

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import TypeVar

import grpc

from modelplane.adapters.shared.rpc.sizes import MAX_MESSAGE_BYTES
from modelplane.adapters.shared.rpc.tls import (
    TlsFiles,
    TokenFiles,
    check_loopback,
    is_local,
    open_channel,
    tls_files,
)

_T = TypeVar("_T")

_CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", 5_000),
    ("grpc.keepalive_timeout_ms", 3_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    # A shared connection would bring its own, longer pauses between attempts.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
)


_FIRST_PAUSE_SECONDS = 0.1
# Short, since each caller costs a control plane little: what comes back is found within a second.
_LONGEST_PAUSE_SECONDS = 1.0
# Of one on this machine: the first answer of a deployment that starts waits for it.
_LONGEST_LOCAL_PAUSE_SECONDS = 0.2
_MAX_DOUBLINGS = 8


class LinkDown(Exception):
    """No control plane answered; whether one has heard the question is not known."""


class AnswerUnfit(Exception):
    """An answer does not fit its question."""


class ControlLink:
    """A way to the control planes, for one question at a time."""

    def __init__(self, targets: Sequence[str], tls: TlsFiles | TokenFiles | None) -> None:
        """Open nothing yet.

        Args:
            targets: gRPC targets of control planes, at least one.
            tls: Files that identify the caller; None for plaintext.
        """
        self._targets = deque(targets)
        self._tls = tls
        self._channel: grpc.aio.Channel | None = None

    def __len__(self) -> int:
        """Return the number of control planes."""
        return len(self._targets)

    @property
    def target(self) -> str:
        """The control plane whose turn it is."""
        return self._targets[0]

    async def ask(
        self, question: Callable[[grpc.aio.Channel, float], Awaitable[_T]], seconds: float
    ) -> _T:
        """Return the answer of the first control plane that gives one.

        Args:
            question: Asks over a channel, within as many seconds; called again for each control
                plane that is asked. It may raise `AnswerUnfit`.
            seconds: Time for all control planes together.

        Raises:
            LinkDown: None answered.
        """
        share = seconds / len(self._targets)
        reason = ""
        for _ in range(len(self._targets)):
            try:
                return await question(self._open(), share)
            except grpc.aio.AioRpcError as error:
                reason = f"{error.code().name}: {error.details()}"
            except (AnswerUnfit, OSError) as error:
                reason = str(error)
            await self._move_on()
        raise LinkDown(reason)

    @asynccontextmanager
    async def stream(self) -> AsyncIterator[grpc.aio.Channel]:
        """Yield a channel for one stream: however that ends, the next control plane comes next.

        Raises:
            OSError: A TLS file cannot be read.
        """
        try:
            yield self._open()
        finally:
            await self._move_on()

    def pause(self, failures: int, random: Random) -> float:
        """Return for how long to wait before the next stream, seconds.

        The time is random, so that not all callers come at once, under a bound that doubles with
        each round of failures.

        Args:
            failures: Streams that have failed since one worked.
            random: Source of chance.
        """
        rounds = min(failures // len(self._targets), _MAX_DOUBLINGS)
        longest = _LONGEST_LOCAL_PAUSE_SECONDS if is_local(self.target) else _LONGEST_PAUSE_SECONDS
        bound = min(longest, _FIRST_PAUSE_SECONDS * 2**rounds)
        return random.uniform(0, bound)

    async def aclose(self) -> None:
        """Close what is open; the next question opens it anew."""
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()

    def _open(self) -> grpc.aio.Channel:
        if self._channel is None:
            self._channel = open_channel(self.target, self._tls, _CHANNEL_OPTIONS)
        return self._channel

    async def _move_on(self) -> None:
        self._targets.rotate(-1)
        await self.aclose()


def parse_targets(text: str) -> list[str]:
    """Return the control planes that a setting names, with commas."""
    return [target.strip() for target in text.split(",") if target.strip()]


def link_files(targets: Sequence[str], ca: str, certificate: str, key: str) -> TlsFiles | None:
    """Return the files for connections to control planes; None for plaintext on this machine alone.

    Raises:
        ValueError: A control plane elsewhere would be believed without certificates.
        OSError: A file cannot be read.
    """
    files = tls_files(ca, certificate, key)
    if files is None:
        for target in targets:
            check_loopback(target, "MODELPLANE_CONTROL_PLANE")
    return files
