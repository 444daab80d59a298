"""Secrets in environment variables that begin with a declared prefix. See `base`."""

from collections.abc import Collection, Mapping


class EnvironmentStore:
    """The key `NAME` is the variable `PREFIXNAME`."""

    backend = "ENVIRONMENT"

    def __init__(self, environ: Mapping[str, str], prefix: str) -> None:
        self._environ = environ
        self._prefix = prefix

    async def read(self, keys: Collection[str]) -> Mapping[str, bytes]:
        """Return the values of those `keys` that exist."""
        values = {key: self._environ.get(self._prefix + key) for key in keys}
        return {key: value.encode() for key, value in values.items() if value is not None}

    async def list_keys(self) -> list[str]:
        """Return all keys."""
        return [
            name.removeprefix(self._prefix)
            for name in self._environ
            if name.startswith(self._prefix) and name != self._prefix
        ]
