"""Where the replicas of a machine take requests, and what workers on others know them by.

Used by `replica.py`. On the machine of the workers that is the loopback address, without TLS.
"""

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

# It ends with the replica, whatever stands in it.
_LIFE = timedelta(days=3650)
# Clocks of two machines may differ.
_SKEW = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Reach:
    """From where replicas can be asked.

    Attributes:
        host: Address of this machine that they listen at; they choose the ports.
        is_secure: Whether they speak TLS, each with a certificate of its own.
    """

    host: str = "127.0.0.1"
    is_secure: bool = False

    def address(self, port: int) -> str:
        """Return `host:port`."""
        return f"[{self.host}]:{port}" if ":" in self.host else f"{self.host}:{port}"


HERE = Reach()


def make_certificate(file: Path, name: str, owner: int | None) -> bytes:
    """Make a key and a certificate that it signs itself, and return the certificate, DER.

    Args:
        file: Where both are written, PEM.
        name: Whose it is.
        owner: User who alone may read it; None: this process's.

    Raises:
        OSError: It cannot be written.
    """
    now = datetime.now(UTC)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder(subject, subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + _LIFE)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    written = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ) + certificate.public_bytes(pem)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as opened:
        opened.write(written)
    if owner is not None:
        os.chown(file, owner, owner)
    return certificate.public_bytes(serialization.Encoding.DER)
