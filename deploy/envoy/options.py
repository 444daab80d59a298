"""What one Envoy has to know of the deployment around it.

`deploy.cli`, `deploy.up` and `deploy.worker` fill it in; `config.py` builds the bootstrap from it.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Address:
    """A host name or IP address with a port."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Return the address in `host:port`; an IPv6 address stands in brackets.

        Raises:
            ValueError: The text is no such address.
        """
        host, colon, port = text.strip().rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if not (colon and host and port.isdecimal() and int(port) < 1 << 16):
            raise ValueError(f"'{text}' is not of the form host:port")
        return cls(host, int(port))

    def __str__(self) -> str:
        """Return `host:port`, an IPv6 address in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_addresses(text: str) -> tuple[Address, ...]:
    """Return the addresses in a comma-separated list.

    Raises:
        ValueError: The list is empty, or an item is no `host:port`.
    """
    return tuple(Address.parse(item) for item in text.split(","))


@dataclass(frozen=True, slots=True)
class Tls:
    """Files of the certificate chain and private key of the public port, as Envoy sees them."""

    certificate: str
    key: str


def public_tls(certificate: str, key: str) -> Tls | None:
    """Return the files that the user names; None: none.

    Raises:
        ValueError: Only one of them is named.
    """
    if bool(certificate) != bool(key):
        raise ValueError("--public-tls-cert and --public-tls-key belong together")
    return Tls(certificate, key) if certificate else None


def public_url(text: str) -> str:
    """Return the URL that the user names; empty: none.

    Raises:
        ValueError: It is not of the form that clients can be told.
    """
    scheme, _, rest = text.partition("://")
    # Envoy would take what stands between two `%` for a command.
    if text and (scheme not in ("http", "https") or not rest or set(rest) & set("%/?# ")):
        raise ValueError(f"--public-url must be https://host or https://host:port, not {text}")
    return text


@dataclass(frozen=True, slots=True)
class EnvoyOptions:
    """Where Envoy listens, what it balances over, and what clients call it."""

    listen: Address
    control_plane: tuple[Address, ...]
    workers: tuple[Address, ...]
    admin: Address | None = None
    tls: Tls | None = None
    # File with `render_secret`'s text: with it, new certificates hold without a restart.
    sds: str = ""
    # Whether the only worker runs inside; `workers` is empty then.
    embedded: bool = False
    # Whether workers take queries of the REST API as they are, as all do that run inside Envoys.
    rest_workers: bool = False
    # Scheme, host and port that clients use, where something before Envoy hides them from it.
    public_url: str = ""
