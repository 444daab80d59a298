"""A certificate authority for tests, and the identities of servers that it vouches for."""

import datetime as dt
import ipaddress
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

_DAY = dt.timedelta(days=1)


class Authority:
    """Signs with a key of its own.

    Attributes:
        certificate: Its certificate, PEM.
    """

    def __init__(self, name: str = "test authority") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        basics = x509.BasicConstraints(ca=True, path_length=None)
        builder = _builder(name, self._name, self._key).add_extension(basics, critical=True)
        self.certificate = builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)

    def identity(self, host: str, *, expired: bool = False) -> bytes:
        """Return the key and certificate of a server, PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(host, self._name, key, ends_in=-_DAY if expired else _DAY)
        certificate = builder.sign(self._key, hashes.SHA256())
        return _pem(key) + certificate.public_bytes(Encoding.PEM)

    def self_signed_identity(self) -> bytes:
        """Return its own key and certificate, as a server would use them."""
        return _pem(self._key) + self.certificate


def _builder(
    host: str,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    ends_in: dt.timedelta = _DAY,
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)]))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 7 * _DAY)
        .not_valid_after(now + ends_in)
        .add_extension(x509.SubjectAlternativeName([_general_name(host)]), critical=False)
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host if " " not in host else "authority.invalid")


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.fixture(scope="session")
def authority_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the certificate of an authority that signs nothing."""
    file = tmp_path_factory.mktemp("authority") / "ca.pem"
    file.write_bytes(Authority().certificate)
    return file


@pytest.fixture(scope="module", autouse=True)
def one_authority(authority_file: Path) -> Iterator[None]:
    """Trust one authority: to read all those of the machine takes longer than most tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(authority_file))
        yield
