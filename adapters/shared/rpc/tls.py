"""Mutual TLS between the planes: who may connect is who holds a certificate of the deployment's CA.

Used by both planes for the watch streams; `modelplane certs` and `modelplane up` make the files.
"""

import asyncio
import contextlib
import ipaddress
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """One side's files, PEM: the CA to trust, the own certificate chain and its private key."""

    ca: Path
    certificate: Path
    key: Path

    def read(self) -> tuple[bytes, bytes, bytes]:
        """Return the contents of the three files.

        Raises:
            OSError: One cannot be read.
        """
        return self.ca.read_bytes(), self.certificate.read_bytes(), self.key.read_bytes()


@dataclass(frozen=True, slots=True)
class TokenFiles:
    """What one side has that has no certificate: the CA to trust, PEM, and a token that is sent.

    The token is read for each call, since whoever issues it may replace it.

    Attributes:
        ca: File of the CA.
        token: File of the token.
        server: Name that the server's certificate has to be for.
    """

    ca: Path
    token: Path
    server: str


def tls_files(ca: str, certificate: str, key: str) -> TlsFiles | None:
    """Return the files that the settings name; None where they name none.

    Raises:
        ValueError: Only some of the three are named.
        OSError: One cannot be read.
    """
    named = (ca, certificate, key)
    if not any(named):
        return None
    if not all(named):
        raise ValueError(
            "MODELPLANE_TLS_CA, MODELPLANE_TLS_CERT and MODELPLANE_TLS_KEY belong together."
        )
    files = TlsFiles(*map(Path, named))
    files.read()
    return files


def check_loopback(address: str, variable: str) -> None:
    """Check that `address`, `host:port`, is one of this machine that no other can reach.

    Args:
        address: What is connected to, or listened on, without TLS.
        variable: The setting that names it.

    Raises:
        ValueError: It is not.
    """
    if not is_local(address):
        raise ValueError(
            f"{variable} is {address}: beyond this machine the planes speak only mutual TLS; set "
            "MODELPLANE_TLS_CA, MODELPLANE_TLS_CERT and MODELPLANE_TLS_KEY (`modelplane certs` "
            "makes the files)."
        )


def is_local(address: str) -> bool:
    """Tell whether `address`, `host:port`, is one of this machine that no other can reach."""
    return _is_loopback(address.rpartition(":")[0].removeprefix("[").removesuffix("]"))


def server_credentials(files: TlsFiles, *, mutual: bool = True) -> grpc.ServerCredentials:
    """Return credentials with which a server asks each client for a certificate of the CA.

    The files are looked at for each new connection, so new ones hold without a restart.

    Args:
        files: The server's files.
        mutual: False: clients have none, and are asked for something else.

    Raises:
        OSError: A file cannot be read.
    """
    current = files.read()
    configuration = _configuration(current)

    def reload() -> grpc.ServerCertificateConfiguration:
        nonlocal current, configuration
        # A file that is just being replaced may be missing, or not fit the other yet.
        with contextlib.suppress(OSError):
            found = files.read()
            if found != current:
                current, configuration = found, _configuration(found)
        return configuration

    return grpc.dynamic_ssl_server_credentials(
        configuration, reload, require_client_authentication=mutual
    )


def server_context(files: TlsFiles) -> ssl.SSLContext:
    """Return the same for a server that speaks TLS through Python; see `reload`.

    Raises:
        OSError: A file cannot be read, or holds no certificate or key (`ssl.SSLError`).
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    _load(context, files)
    return context


async def reload(context: ssl.SSLContext, files: TlsFiles, seconds: float = 10.0) -> None:
    """Look at the files again and again, so that new ones hold without a restart.

    Args:
        context: What new connections are made with.
        files: Where the certificates are.
        seconds: Time between two looks.
    """
    current = files.read()
    while True:
        await asyncio.sleep(seconds)
        # A file that is just being replaced may be missing, or not fit the other yet.
        with contextlib.suppress(OSError):
            if (found := files.read()) != current:
                _load(context, files)
                current = found


def open_channel(
    target: str, files: TlsFiles | TokenFiles | None, options: Sequence[tuple[str, int | str]]
) -> grpc.aio.Channel:
    """Return a channel to a control plane, with the files as they are now.

    gRPC checks that the server's certificate is for the host that `target` names.

    Args:
        target: `host:port` of the server.
        files: The caller's files; None for a plaintext channel.
        options: Options of the channel.

    Raises:
        OSError: A file cannot be read.
    """
    if files is None:
        return grpc.aio.insecure_channel(target, options=options)
    if isinstance(files, TokenFiles):
        return _open_with_token(target, files, options)
    ca, certificate, key = files.read()
    credentials = grpc.ssl_channel_credentials(ca, key, certificate)
    return grpc.aio.secure_channel(target, credentials, options=options)


class _SentToken(grpc.AuthMetadataPlugin):
    def __init__(self, file: Path) -> None:
        self._file = file

    def __call__(
        self, context: grpc.AuthMetadataContext, callback: grpc.AuthMetadataPluginCallback
    ) -> None:
        del context
        try:
            token = self._file.read_text().strip()
        except OSError as error:
            callback((), error)
        else:
            callback((("authorization", f"Bearer {token}"),), None)


def _open_with_token(
    target: str, files: TokenFiles, options: Sequence[tuple[str, int | str]]
) -> grpc.aio.Channel:
    token = grpc.metadata_call_credentials(_SentToken(files.token))
    ca = grpc.ssl_channel_credentials(files.ca.read_bytes())
    credentials = grpc.composite_channel_credentials(ca, token)
    named = (*options, ("grpc.ssl_target_name_override", files.server))
    return grpc.aio.secure_channel(target, credentials, options=named)


def _load(context: ssl.SSLContext, files: TlsFiles) -> None:
    context.load_verify_locations(files.ca)
    context.load_cert_chain(files.certificate, files.key)


def _configuration(material: tuple[bytes, bytes, bytes]) -> grpc.ServerCertificateConfiguration:
    ca, certificate, key = material
    return grpc.ssl_server_certificate_configuration([(key, certificate)], ca)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
