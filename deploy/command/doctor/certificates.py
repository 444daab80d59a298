"""Checks certificates: of the public port, and those by which the planes know each other.

Before: `examination`.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from modelplane.deploy.command.doctor.findings import Finding, Level, Patient

_SOON = timedelta(days=21)


def check_certificates(patient: Patient) -> Iterator[Finding]:
    """Find out how long the certificates are good."""
    planes = sorted((patient.directory / "tls").glob("*.crt"))
    known = dict.fromkeys(planes, "start the deployment, which renews them")
    for name in ("MODELPLANE_TLS_CA", "MODELPLANE_TLS_CERT"):
        if given := patient.environ.get(name):
            known[Path(given)] = "make it anew with `modelplane certs`"
    if public := patient.state.get("certificate"):
        known[Path(str(public))] = "renew it, and send the process of `modelplane up` SIGUSR1"
    if not known:
        yield Finding("certificates", Level.OK, "those of the planes are made at the first start")
    ends = []
    for file, advice in known.items():
        found = _of_file(file, advice)
        if isinstance(found, Finding):
            yield found
        else:
            ends.append(found)
    if ends:
        text = f"{len(ends)} are good, until {min(ends):%Y-%m-%d} at least"
        yield Finding("certificates", Level.OK, text)


def _of_file(file: Path, advice: str) -> Finding | datetime:
    """Return what is wrong with a certificate, else when it ends."""
    subject = "certificates"
    try:
        chain = x509.load_pem_x509_certificates(file.read_bytes())
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it holds no certificate"
        return Finding(subject, Level.PROBLEM, f"{file} cannot be used: {reason}", advice)
    end = min(one.not_valid_after_utc for one in chain)
    start = max(one.not_valid_before_utc for one in chain)
    now = datetime.now(UTC)
    if start > now:
        text = f"{file} is not good before {start:%Y-%m-%d %H:%M}"
        return Finding(subject, Level.PROBLEM, text, "set the clock")
    if end <= now:
        text = f"{file} has expired on {end:%Y-%m-%d}"
        return Finding(subject, Level.PROBLEM, text, advice)
    if end - now < _SOON:
        text = f"{file} expires on {end:%Y-%m-%d}"
        return Finding(subject, Level.WARNING, text, advice)
    return end
