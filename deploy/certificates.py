"""The deployment's own CA, and the certificates by which its parts know each other.

`modelplane up` keeps them in its data directory; `modelplane certs` makes them for parts that run
apart. `adapters/shared/rpc/tls.py` and `envoy/clusters.py` use them.
"""

import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CONTROL_PLANE = "control-plane"
WORKER = "worker"
ENVOY = "envoy"
LAUNCHER = "launcher"
KEDA = "keda"

_CA = "ca"
_CA_LIFE = timedelta(days=3650)
_LIFE = timedelta(days=365)
# What has less than this left is made anew.
_MARGIN = timedelta(days=90)
# Clocks of two machines may differ.
_SKEW = timedelta(hours=1)
_OWNER_ONLY = 0o600
_SERVER, _CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
_USAGES = {
    CONTROL_PLANE: (_SERVER,),
    # It calls control planes, and may be called by an Envoy on another machine.
    WORKER: (_CLIENT, _SERVER),
    ENVOY: (_CLIENT,),
    # It calls control planes, and hosts on the machines of a cluster call it, and KEDA.
    LAUNCHER: (_CLIENT, _SERVER),
    KEDA: (_CLIENT,),
}


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate and its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True)
class CertificateDir:
    """A directory with the CA and the certificates, each as NAME.crt beside NAME.key."""

    path: Path

    def settings(self, name: str) -> dict[str, str]:
        """Return the environment variables that tell a plane its files.

        Args:
            name: CONTROL_PLANE, WORKER or LAUNCHER.
        """
        return {
            "MODELPLANE_TLS_CA": str(self.path / f"{_CA}.crt"),
            "MODELPLANE_TLS_CERT": str(self.path / f"{name}.crt"),
            "MODELPLANE_TLS_KEY": str(self.path / f"{name}.key"),
        }

    def ensure(
        self, hosts: Sequence[str], now: datetime, launchers: Sequence[str] = ()
    ) -> list[Path]:
        """Make what is missing, will soon expire, or is for other hosts.

        Args:
            hosts: Names and IP addresses under which workers reach control planes.
            now: Time.
            launchers: Those under which KEDA reaches the launcher; none: there is no KEDA.

        Returns:
            The certificates that were made.

        Raises:
            OSError: A file cannot be read or written.
            ValueError: A file holds something else than was written there.
        """
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        made = []
        authority = read_identity(self.path, _CA)
        if authority is None or _expires(authority, now) or not _is_whole(authority):
            authority = make_authority(now)
            made.append(self._write(_CA, authority))
        callers = {name: [name] for name in (WORKER, ENVOY, LAUNCHER)}
        if launchers:
            callers |= {LAUNCHER: [LAUNCHER, *launchers], KEDA: [KEDA]}
        for name, names in {CONTROL_PLANE: hosts, **callers}.items():
            known = read_identity(self.path, name)
            if known is None or _expires(known, now) or not _fits(known, authority, name, names):
                made.append(self._write(name, issue(authority, name, names, now)))
        return made

    def _write(self, name: str, identity: Identity) -> Path:
        encoding = serialization.Encoding.PEM
        key = identity.key.private_bytes(
            encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        certificate = identity.certificate.public_bytes(encoding)
        _replace(self.path / f"{name}.key", key)
        return _replace(self.path / f"{name}.crt", certificate)


def read_identity(path: Path, name: str) -> Identity | None:
    """Return what is kept as NAME.crt and NAME.key in a directory; None where one is missing.

    Raises:
        OSError: A file cannot be read.
        ValueError: A file holds something else.
    """
    try:
        certificate = (path / f"{name}.crt").read_bytes()
        key = (path / f"{name}.key").read_bytes()
    except FileNotFoundError:
        return None
    private = serialization.load_pem_private_key(key, password=None)
    if not isinstance(private, ec.EllipticCurvePrivateKey):
        raise ValueError(f"{path / name}.key holds another kind of key.")  # noqa: TRY004 - the file's fault
    return Identity(x509.load_pem_x509_certificate(certificate), private)


def make_authority(now: datetime) -> Identity:
    """Return a new CA, which certifies itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("modelplane CA")
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        _builder(name, name, key, now, _CA_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Identity(certificate, key)


def issue(
    authority: Identity, name: str, hosts: Sequence[str], now: datetime, life: timedelta = _LIFE
) -> Identity:
    """Return a certificate for a part.

    Args:
        authority: The CA.
        name: CONTROL_PLANE, WORKER, ENVOY, LAUNCHER or KEDA.
        hosts: Names and IP addresses that it is for.
        now: Time from which it is valid.
        life: How long it is valid.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = authority.certificate.subject
    signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    certificate = (
        _builder(_name(f"modelplane {name}"), issuer, key, now, life)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage(_USAGES[name]), critical=False)
        .add_extension(_alternative_names(hosts), critical=False)
        .add_extension(signer, critical=False)
        .sign(authority.key, hashes.SHA256())
    )
    return Identity(certificate, key)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    now: datetime,
    life: timedelta,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + life)
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _alternative_names(hosts: Sequence[str]) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([_general_name(host) for host in hosts])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _expires(identity: Identity, now: datetime) -> bool:
    return identity.certificate.not_valid_after_utc - now.astimezone(UTC) < _MARGIN


def _fits(identity: Identity, authority: Identity, name: str, hosts: Sequence[str]) -> bool:
    certificate = identity.certificate
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    return (
        _is_issued_by(certificate, authority.certificate)
        and _is_whole(identity)
        and names == _alternative_names(hosts)
        and tuple(usages) == _USAGES[name]
    )


def _is_issued_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, InvalidSignature):
        return False
    return True


def _is_whole(identity: Identity) -> bool:
    # A process that was killed between two files leaves a certificate of another key.
    return identity.certificate.public_key() == identity.key.public_key()


def _replace(file: Path, content: bytes) -> Path:
    temporary = file.with_name(file.name + ".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _OWNER_ONLY)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
    temporary.replace(file)
    return file
