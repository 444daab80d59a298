"""Checks whether each provider in use can be reached from here, over TLS that is trusted.

Before: `examination`. After: `upstreams`. Nothing of a query or a credential is sent.
"""

import http.client
import socket
import ssl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from functools import partial
from urllib.parse import urlsplit

from modelplane.adapters.shared.egress import SETTING, EgressPolicy, parse_policy
from modelplane.adapters.shared.settings import read_environment
from modelplane.adapters.shared.tls import client_context
from modelplane.data_plane.settings import Settings as WorkerSettings
from modelplane.deploy.command.api.client import Json
from modelplane.deploy.command.api.failures import CommandFailed
from modelplane.deploy.command.api.rollouts import endpoint_path
from modelplane.deploy.command.doctor.findings import Finding, Level, Patient
from modelplane.deploy.command.doctor.upstreams import origins_of
from modelplane.deploy.command.nouns.endpoint_arguments import list_endpoints

_SECONDS = 10.0
_AT_A_TIME = 8
_SUBJECT = "egress"
_NAMED = 3
# Endpoints that are looked at: providers are few.
_MOST = 500


def check_egress(patient: Patient) -> Iterator[Finding]:
    """Find out whether the providers of all endpoints can be reached."""
    try:
        settings = WorkerSettings(**read_environment(WorkerSettings, patient.environ))
        policy = parse_policy(settings.allowed_upstreams, settings.own_addresses)
        stand_ins = settings.origins
    except ValueError as error:
        yield Finding(_SUBJECT, Level.PROBLEM, str(error), "correct the variable")
        return
    try:
        used = origins_of(_endpoints(patient))
    except CommandFailed as error:
        text = f"which providers are in use is not known: {error}"
        yield Finding(_SUBJECT, Level.SKIPPED, text)
        return
    if not used:
        yield Finding(_SUBJECT, Level.OK, "no endpoint calls a provider")
    if unknown := used.pop("", None):
        text = f"where {_names(unknown)} calls is not known"
        yield Finding(_SUBJECT, Level.SKIPPED, text)
    # What stands in a provider's place was chosen by the operator, and is allowed.
    where = {origin: stand_ins.get(origin, origin) for origin in used}
    check = partial(_reach, patient, policy, set(stand_ins.values()))
    with ThreadPoolExecutor(_AT_A_TIME) as threads:
        answers = list(threads.map(check, where.values()))
    for origin, (problem, text, advice) in zip(used, answers, strict=True):
        level = Level.PROBLEM if problem else Level.OK
        yield Finding(_SUBJECT, level, f"{text} ({_names(used[origin])})", advice)


def _endpoints(patient: Patient) -> Iterator[Json]:
    """Yield the endpoints that this caller may see, whole: a list leaves out where they call."""
    for endpoint in list_endpoints(patient.session)[:_MOST]:
        yield patient.session.client.call("GET", endpoint_path(endpoint["name"]))


def _reach(
    patient: Patient, policy: EgressPolicy, chosen: set[str], origin: str
) -> tuple[bool, str, str]:
    """Return whether there is a problem with an origin, what was found, and what to do."""
    parts = urlsplit(origin)
    host = parts.hostname or ""
    port = parts.port or (80 if parts.scheme == "http" else 443)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        advice = "see that the name is right, and that this machine has a resolver"
        return True, f"{host} is not found by its name", advice
    addresses = {str(entry[4][0]) for entry in found}
    if origin not in chosen and policy.is_own_url(origin):
        advice = "give the endpoint another provider: nothing allows the deployment's own ports"
        return True, f"{host}:{port} is a part of this deployment", advice
    if origin not in chosen and not any(policy.allows(host, one, port) for one in addresses):
        advice = f"if it may serve models, allow it with {SETTING}={host}:{port}"
        return True, f"{host} is at {addresses.pop()}, inside your own network", advice
    return _connect(patient, parts.scheme, host, port)


def _connect(patient: Patient, scheme: str, host: str, port: int) -> tuple[bool, str, str]:
    where = (host, port)
    if scheme == "https":
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            *where, timeout=_SECONDS, context=client_context()
        )
    else:
        connection = http.client.HTTPConnection(*where, timeout=_SECONDS)
    start = time.monotonic()
    try:
        connection.request("HEAD", "/")
        answer = connection.getresponse()
    except ssl.SSLCertVerificationError as error:
        advice = "if a proxy of yours ends TLS, name the file of its authority in SSL_CERT_FILE"
        return True, f"{host} is not trusted: {error.verify_message}", advice
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        advice = "let workers through to it: they use no proxy"
        return True, f"{host}:{port} does not answer: {reason}", advice
    finally:
        connection.close()
    seconds = time.monotonic() - start
    _note_clock(patient, host, answer.getheader("Date"))
    return False, f"{host}:{port} answers after {seconds * 1000:.0f} ms", ""


def _note_clock(patient: Patient, host: str, date: str | None) -> None:
    """Keep how far a server's clock is from ours; it tells whole seconds."""
    try:
        offset = parsedate_to_datetime(date or "").timestamp() - patient.now()
    except (ValueError, TypeError):
        return
    patient.offsets[host] = offset


def _names(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
