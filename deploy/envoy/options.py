"""What one Envoy has to know of the deployment around it.

`modelplane envoy-config` and `deploy.local` fill it in; `config.py` builds the bootstrap from it.
"""

import os
import re
from dataclasses import dataclass
from enum import StrEnum

from modelplane.adapters.shared.settings import setting

_UNIX = "unix:"
# Far above what one machine serves.
MAX_CONNECTIONS = 50_000
# Some 40 kB for each connection that has a stream.
MAX_HEAP_MIB = 2048
# What the kernel has room for, less the byte that ends it.
MAX_PATH_BYTES = 107
# As browsers send it: in small letters, without a path.
_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:[0-9]{1,5})?|https?://\[[0-9a-f:]+\](:[0-9]{1,5})?")


@dataclass(frozen=True, slots=True)
class Address:
    """A host name or IP address with a port, or the path of a Unix socket."""

    host: str
    port: int
    path: str = ""

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Return the address in `host:port`, IPv6 in brackets, or in `unix:/path`.

        Raises:
            ValueError: The text is no such address.
        """
        text = text.strip()
        if text.startswith(_UNIX):
            return cls.of_path(text.removeprefix(_UNIX))
        host, colon, port = text.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if not (colon and host and port.isdecimal() and int(port) < 1 << 16):
            raise ValueError(f"'{text}' is not of the form host:port or unix:/path")
        return cls(host, int(port))

    @classmethod
    def of_path(cls, path: str) -> "Address":
        """Return the address of the Unix socket with this absolute path.

        Raises:
            ValueError: No socket can have it.
        """
        if not path.startswith("/"):
            raise ValueError(f"'{_UNIX}{path}' does not name an absolute path")
        if len(os.fsencode(path)) > MAX_PATH_BYTES:
            raise ValueError(f"'{path}' is too long for a Unix socket: {MAX_PATH_BYTES} bytes fit")
        return cls("", 0, path)

    def __str__(self) -> str:
        """Return the text that `parse` takes."""
        if self.path:
            return f"{_UNIX}{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_addresses(text: str) -> tuple[Address, ...]:
    """Return the addresses in a comma-separated list.

    Raises:
        ValueError: The list is empty, or an item is no address.
    """
    return tuple(Address.parse(item) for item in text.split(","))


@dataclass(frozen=True, slots=True)
class Tls:
    """Files of the certificate chain and private key of the public port, as Envoy sees them."""

    certificate: str
    key: str


@dataclass(frozen=True, slots=True)
class MutualTls:
    """Files by which Envoy and the workers know each other, as Envoy sees them.

    Attributes:
        ca: The CA that workers' certificates are of.
        certificate: Envoy's own certificate chain.
        key: Its private key.
    """

    ca: str
    certificate: str
    key: str


class Queries(StrEnum):
    """How the queries that all clients send most reach a worker."""

    # As they are.
    DIRECT = "direct"
    # As the gRPC calls that all other requests become.
    TRANSCODED = "transcoded"


QUERIES_HELP = (
    "whether workers get the queries that are sent most as they are (direct), or all as gRPC calls "
    "(transcoded)"
)


def public_tls(certificate: str, key: str) -> Tls | None:
    """Return the files that the user names; None: none.

    Raises:
        ValueError: Only one of them is named.
    """
    if bool(certificate) != bool(key):
        raise ValueError("--public-tls-cert and --public-tls-key belong together")
    return Tls(certificate, key) if certificate else None


def worker_tls(ca: str, certificate: str, key: str) -> MutualTls | None:
    """Return the files that the user names; None: none.

    Raises:
        ValueError: Only some of them are named.
    """
    named = (ca, certificate, key)
    if any(named) != all(named):
        raise ValueError("--worker-tls-ca, --worker-tls-cert and --worker-tls-key belong together")
    return MutualTls(ca, certificate, key) if ca else None


def parse_public_url(text: str) -> str:
    """Return the URL that the user names; empty: none.

    Raises:
        ValueError: It is not of the form that clients can be told.
    """
    scheme, _, rest = text.partition("://")
    # Envoy would take what stands between two `%` for a command.
    if text and (scheme not in ("http", "https") or not rest or set(rest) & set("%/?# ")):
        raise ValueError(f"'{text}' is not https://host or https://host:port")
    return text


NO_UI_HELP = "serve no user interface under /ui/"
CORS_HELP = "origins whose web pages may call, with commas, as https://app.example.com; * is all"


def parse_origins(text: str) -> tuple[str, ...]:
    """Return the origins in a comma-separated list; an empty one has none.

    Raises:
        ValueError: An item is no origin.
    """
    origins = tuple(item.strip() for item in text.split(",")) if text.strip() else ()
    for origin in origins:
        if origin != "*" and not _ORIGIN.fullmatch(origin):
            raise ValueError(f"'{origin}' is not of the form https://host or https://host:port")
    return origins


@dataclass(frozen=True)
class EnvoyOptions:
    """Print the configuration of an Envoy in front of the planes."""

    listen: Address = setting(
        Address.parse("0.0.0.0:8080"),
        "host:port of the public port",
        variable=False,
        parse=Address.parse,
    )
    control_plane: tuple[Address, ...] = setting(
        parse_addresses("127.0.0.1:9090"),
        "host:port of control planes, with commas",
        variable=False,
        parse=parse_addresses,
    )
    workers: tuple[Address, ...] = setting(
        parse_addresses("127.0.0.1:9100"),
        "host:port or unix:/path of workers, with commas",
        variable=False,
        parse=parse_addresses,
    )
    admin: Address | None = setting(
        None,
        "host:port or unix:/path of Envoy's own admin page",
        variable=False,
        parse=Address.parse,
    )
    worker_tls_ca: str = setting(
        "", "CA of the workers' certificates (PEM), as Envoy sees it", variable=False
    )
    worker_tls_cert: str = setting(
        "", "Envoy's own certificate for workers (PEM), as Envoy sees it", variable=False
    )
    worker_tls_key: str = setting(
        "", "private key of that certificate (PEM), as Envoy sees it", variable=False
    )
    queries: Queries = setting(Queries.DIRECT, QUERIES_HELP, variable=False)
    public_url: str = setting(
        "",
        "URL that clients use, if a proxy before Envoy ends TLS",
        variable=False,
        parse=parse_public_url,
    )
    cors_origins: tuple[str, ...] = setting((), CORS_HELP, variable=False, parse=parse_origins)
    no_ui: bool = setting(False, NO_UI_HELP, variable=False)  # noqa: FBT003 - like field()
    public_tls_cert: str = setting("", "certificate chain of the public port (PEM)", variable=False)
    public_tls_key: str = setting("", "private key of the public port (PEM)", variable=False)
    max_connections: int = setting(
        MAX_CONNECTIONS, "connections of clients at most; others are refused", variable=False
    )
    max_heap_mib: int = setting(
        MAX_HEAP_MIB, "memory of Envoy, in MiB, near which it sheds requests", variable=False
    )
    # File with `render_secret`'s text: with it, new certificates hold without a restart.
    sds: str = ""
    # File with `render_workers`'s text: with it, workers come and go without a restart.
    eds: str = ""

    def __post_init__(self) -> None:
        """Check that files are given that belong together.

        Raises:
            ValueError: Some are missing.
        """
        public_tls(self.public_tls_cert, self.public_tls_key)
        worker_tls(self.worker_tls_ca, self.worker_tls_cert, self.worker_tls_key)

    @property
    def tls(self) -> Tls | None:
        """Files of the public port; None: it speaks plaintext."""
        return public_tls(self.public_tls_cert, self.public_tls_key)

    @property
    def worker_tls(self) -> MutualTls | None:
        """Files by which Envoy and the workers know each other; None: by being on one machine."""
        return worker_tls(self.worker_tls_ca, self.worker_tls_cert, self.worker_tls_key)
