import asyncio
from typing import cast

from modelplane.adapters.providers.http.transport import HttpResponse
from modelplane.data_plane.upstreams.deadlines import Deadlines
from modelplane.data_plane.upstreams.settling import settle


class Response:
    """Has so many more pieces, and then leaves its body open."""

    def __init__(self, pieces: int) -> None:
        self.pieces = pieces
        self.reads = asyncio.Event()

    async def read(self) -> bytes:
        if self.pieces:
            self.pieces -= 1
            return b"x"
        self.reads.set()
        return await asyncio.Future[bytes]()


async def test_a_body_that_does_not_end_is_waited_for_a_moment_only() -> None:
    response = Response(pieces=3)
    await settle(cast("HttpResponse", response), Deadlines(asyncio.get_running_loop()))
    assert response.pieces == 0


async def test_a_caller_who_leaves_meanwhile_was_answered() -> None:
    response = Response(pieces=0)
    deadlines = Deadlines(asyncio.get_running_loop())
    settling = asyncio.create_task(settle(cast("HttpResponse", response), deadlines))
    await response.reads.wait()
    settling.cancel()
    await settling
    assert not settling.cancelled()
