"""Certificates for tests: good ones, and all the wrong ones that a stranger may have."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives import serialization

from modelplane.adapters.shared.rpc.tls import TlsFiles, tls_files
from modelplane.deploy.certificates import (
    WORKER,
    CertificateDir,
    Identity,
    issue,
    make_authority,
    read_identity,
)

LOOPBACK = "127.0.0.1"


def now() -> datetime:
    return datetime.now(UTC)


def files(directory: CertificateDir, name: str) -> TlsFiles:
    """Return the files of a plane."""
    found = tls_files(*directory.settings(name).values())
    assert found
    return found


def made(path: Path, hosts: tuple[str, ...] = (LOOPBACK,)) -> CertificateDir:
    """Return a directory with the certificates of a deployment."""
    directory = CertificateDir(path)
    directory.ensure(hosts, now())
    return directory


def wrong_ones(directory: CertificateDir, path: Path) -> dict[str, TlsFiles]:
    """Return what a stranger might present to a control plane that trusts `directory`'s CA."""
    authority = read_identity(directory.path, "ca")
    assert authority
    path.mkdir()
    lone = make_authority(now())
    day = timedelta(days=1)
    ca = directory.path / "ca.crt"
    return {
        "of another CA": _write(path, "other", issue(lone, WORKER, [WORKER], now()), ca),
        "self-signed": _write(path, "self", lone, ca),
        "expired": _write(
            path, "old", issue(authority, WORKER, [WORKER], now() - 2 * day, day), ca
        ),
        "not yet valid": _write(path, "new", issue(authority, WORKER, [WORKER], now() + day), ca),
        "of a server": files(directory, "control-plane"),
    }


def _write(path: Path, name: str, identity: Identity, ca: Path) -> TlsFiles:
    encoding = serialization.Encoding.PEM
    certificate, key = path / f"{name}.crt", path / f"{name}.key"
    certificate.write_bytes(identity.certificate.public_bytes(encoding))
    key.write_bytes(
        identity.key.private_bytes(
            encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return TlsFiles(ca, certificate, key)
