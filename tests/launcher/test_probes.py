"""What is answered to whoever watches over a launcher."""

import asyncio
import urllib.error
import urllib.request
from contextlib import suppress

from modelplane.launcher.probes import answering
from tests.ports import free_port


def get(url: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


async def test_it_lives_and_says_what_keeps_it_from_being_ready() -> None:
    address = f"127.0.0.1:{free_port()}"
    obstacles = ["the replica is not ready yet"]

    async def asked(path: str) -> tuple[int, bytes]:
        return await asyncio.to_thread(get, f"http://{address}{path}")

    async with answering(address, lambda: obstacles[0], lambda: b"a 1.0\n"):
        assert await asked("/live") == (200, b"ok\n")
        assert await asked("/ready") == (503, b"the replica is not ready yet\n")
        obstacles[0] = ""
        assert await asked("/ready") == (200, b"ok\n")
        assert await asked("/metrics") == (200, b"a 1.0\n")
        assert (await asked("/else"))[0] == 404
        _, writer = await asyncio.open_connection("127.0.0.1", int(address.rpartition(":")[2]))
        writer.write(b"nonsense")
        writer.close()
        await writer.wait_closed()
        assert await asked("/live") == (200, b"ok\n")


async def test_whoever_asks_no_more_is_let_go_at_the_end() -> None:
    address = f"127.0.0.1:{free_port()}"
    port = int(address.rpartition(":")[2])
    async with answering(address, str, bytes):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /live HTTP/1.1\r\n")
        # Another one is answered, so that this one is known.
        assert (await asyncio.to_thread(get, f"http://{address}/live"))[0] == 200
    assert asyncio.all_tasks() == {asyncio.current_task()}
    with suppress(ConnectionResetError):
        assert await reader.read() == b""
    writer.close()
    with suppress(ConnectionResetError):
        await writer.wait_closed()
