"""Checks signatures with botocore's own signer; nothing of the product's is used."""

import re
from calendar import timegm
from collections.abc import Mapping
from dataclasses import dataclass
from time import strptime

from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.emulators.amazon_bedrock.errors import refusal

SERVICE = "bedrock"
_SKEW_SECONDS = 300
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/,]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, ?"
    r"SignedHeaders=([a-z0-9;-]+), ?Signature=([0-9a-f]{64})"
)
_TIME = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True, slots=True)
class AccessKey:
    """A key that the emulator knows; one that is revoked has expired before its time."""

    key_id: str
    secret: str
    token: str = ""
    revoked: bool = False


KEY = AccessKey("AKIAEMULATED00000001", "emulated/secret+key/0123456789abcdefghijklm")
TEMPORARY_KEY = AccessKey(
    "ASIAEMULATED00000002", "temporary/secret+key/0123456789abcdefghijk", "session//token=="
)


def check_signature(
    keys: Mapping[str, AccessKey],
    region: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    now: float,
    service: str = SERVICE,
    *,
    method: str = "POST",
) -> None:
    """Refuse a request unless it is signed with one of `keys`.

    Args:
        keys: Keys by their id.
        region: Region that the signature must be for.
        url: URL as it was sent, with the host of the request's `Host` header.
        headers: All headers, in any case.
        body: The body.
        now: Seconds since the epoch.
        service: Name of the service that the signature must be for.
        method: Method of the request.
    """
    given = {name.lower(): value for name, value in headers.items()}
    if "authorization" not in given:
        raise refusal("Missing Authentication Token", "MissingAuthenticationTokenException")
    found = _AUTHORIZATION.fullmatch(given["authorization"])
    if found is None:
        raise refusal("Authorization header is malformed", "InvalidSignatureException")
    key_id, day, scope_region, scope_service, listed, signature = found.groups()
    key = _find_key(keys, key_id, given.get("x-amz-security-token", ""))
    if (scope_region, scope_service) != (region, service):
        message = f"Credential should be scoped to a valid region and service, not '{found[0]}'"
        raise refusal(message, "InvalidSignatureException")
    time = given.get("x-amz-date", "")
    _check_time(time, day, now)
    names = listed.split(";")
    needed = {"host", "x-amz-date"} | ({"x-amz-security-token"} if key.token else set())
    if names != sorted(names) or not needed <= set(names):
        raise refusal("Signed headers are incomplete", "InvalidSignatureException")
    request = AWSRequest(method, url, {name: given[name] for name in names}, body)
    request.context["timestamp"] = time
    # S3 takes paths as they are.
    auth = S3SigV4Auth if service == "s3" else SigV4Auth
    signer = auth(Credentials(key.key_id, key.secret, key.token), service, region)
    canonical = signer.canonical_request(request)
    if signer.signature(signer.string_to_sign(request, canonical), request) != signature:
        message = (
            "The request signature we calculated does not match the signature you provided.\n\n"
            f"The Canonical String for this request should have been\n'{canonical}'"
        )
        raise refusal(message, "InvalidSignatureException")


def _find_key(keys: Mapping[str, AccessKey], key_id: str, token: str) -> AccessKey:
    key = keys.get(key_id)
    if key is None or token != key.token:
        message = "The security token included in the request is invalid."
        raise refusal(message, "UnrecognizedClientException")
    if key.revoked:
        message = "The security token included in the request is expired"
        raise refusal(message, "ExpiredTokenException")
    return key


def _check_time(time: str, day: str, now: float) -> None:
    try:
        seconds = timegm(strptime(time, _TIME))
    except ValueError:
        raise refusal("Date is malformed", "InvalidSignatureException") from None
    if time[:8] != day:
        raise refusal("Date in Credential scope does not match", "InvalidSignatureException")
    if abs(seconds - now) > _SKEW_SECONDS:
        raise refusal(f"Signature expired: {time} is now too old", "InvalidSignatureException")
