"""Headers of a request as metadata; used by `rest_calls.py` and `grpc_calls.py`."""

from collections.abc import Iterator, Mapping
from typing import TypeVar, overload

_Default = TypeVar("_Default")


class HeaderMetadata(Mapping[str, str]):
    """Request headers, by name in lower case, decoded when asked for."""

    __slots__ = ("_headers",)

    def __init__(self, headers: Mapping[bytes, bytes]) -> None:
        self._headers = headers

    def __getitem__(self, name: str) -> str:
        """Return the value of a header."""
        return self._headers[name.encode("latin-1")].decode("latin-1")

    @overload
    def get(self, name: str, /) -> str | None: ...

    @overload
    def get(self, name: str, /, default: str) -> str: ...

    @overload
    def get(self, name: str, /, default: _Default) -> str | _Default: ...

    def get(self, name: str, /, default: object = None) -> object:
        """Return the value of a header; of what most calls lack, without an exception."""
        value = self._headers.get(name.encode("latin-1"))
        return default if value is None else value.decode("latin-1")

    def __iter__(self) -> Iterator[str]:
        """Yield the names."""
        return (name.decode("latin-1") for name in self._headers)

    def __len__(self) -> int:
        """Return the number of names."""
        return len(self._headers)
