"""The measuring tools themselves: what they read and count must be right."""

import pytest

from bench.http_client import HttpConnection

_FIXED = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nx-name: value\r\n\r\nhello"
_CHUNKED = (
    b"HTTP/1.1 503 Nope\r\ntransfer-encoding: chunked\r\nx-name: value\r\n\r\n"
    b"3\r\nhel\r\n2;extension=1\r\nlo\r\n0\r\n\r\n"
)


class _Pipe:
    """Stands for a transport that takes anything."""

    def get_extra_info(self, _name: str) -> "_Pipe":
        return self

    def setsockopt(self, *_option: int) -> None:
        pass

    def is_closing(self) -> bool:
        return False

    def write(self, data: bytes) -> None:
        pass


@pytest.mark.parametrize(("answer", "status"), [(_FIXED, 200), (_CHUNKED, 503)])
@pytest.mark.parametrize("split", [1, 2, 7, 1000])
async def test_answers_are_read_however_they_arrive(answer: bytes, status: int, split: int) -> None:
    connection = HttpConnection()
    connection.connection_made(_Pipe())  # type: ignore[arg-type]
    for _ in range(2):
        future = connection.request(b"")
        for start in range(0, len(answer), split):
            assert not future.done()
            connection.data_received(answer[start : start + split])
        read = await future
        assert (read.status, read.body, read.header("X-Name")) == (status, b"hello", "value")


async def test_a_lost_connection_fails_the_request() -> None:
    connection = HttpConnection()
    connection.connection_made(_Pipe())  # type: ignore[arg-type]
    future = connection.request(b"")
    connection.data_received(_FIXED[:-1])
    connection.connection_lost(None)
    with pytest.raises(ConnectionResetError):
        await future
    with pytest.raises(ConnectionResetError):
        await connection.request(b"")
