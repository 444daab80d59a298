"""Signature Version 4 of AWS for requests with a JSON body: pure.

Algorithm: https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html. Built by
`provider.py`.
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from urllib.parse import quote, urlsplit

from modelplane.adapters.providers.amazon_bedrock.errors import refuses_key
from modelplane.adapters.providers.credentials.cache import Credential, CredentialSource
from modelplane.adapters.providers.credentials.signers import Signer
from modelplane.adapters.providers.types import HttpRequest

SERVICE = "bedrock"
_ALGORITHM = "AWS4-HMAC-SHA256"
_TERMINATOR = "aws4_request"


@dataclass(frozen=True, slots=True)
class AwsKey:
    """An access key; the session token is empty for lasting keys."""

    access_key_id: str = field(repr=False)
    secret_access_key: str = field(repr=False)
    session_token: str = field(default="", repr=False)


class AwsSigner(Signer):
    """Signs with a lasting key, or with the short-lived one in force."""

    __slots__ = ("_key", "_region", "source")

    def __init__(
        self, region: str, key: AwsKey | None, source: CredentialSource | None = None
    ) -> None:
        """Sign for one region.

        Args:
            region: AWS region that is called.
            key: The lasting key; None with `source`.
            source: Where short-lived keys come from; None with `key`.
        """
        self._region = region
        self._key = key
        self.source = source

    def sign(self, request: HttpRequest, credential: Credential, now: float) -> HttpRequest:
        """Return the request with its signature; see `Signer`."""
        key = self._key or AwsKey(*credential.values)
        return sign(request, key, self._region, now)

    def refuses(self, status: int, headers: Mapping[str, str]) -> bool:
        """Return whether the key was refused, which AWS says with a status 403; see `Signer`."""
        return super().refuses(status, headers) or refuses_key(headers)


def sign(request: HttpRequest, key: AwsKey, region: str, now: float) -> HttpRequest:
    """Return `request` with the headers that authenticate it.

    Args:
        request: A request whose URL has an encoded path and no query.
        key: The key to sign with.
        region: AWS region that is called.
        now: Seconds since the epoch.
    """
    time = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
    headers = {**request.headers, "x-amz-date": time}
    if key.session_token:
        headers["x-amz-security-token"] = key.session_token
    scope = f"{time[:8]}/{region}/{SERVICE}/{_TERMINATOR}"
    names, canonical = _canonical_request(request, headers)
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = f"{_ALGORITHM}\n{time}\n{scope}\n{digest}"
    signing_key = _signing_key(key.secret_access_key, time[:8], region)
    signature = hmac.new(signing_key, text.encode(), hashlib.sha256).hexdigest()
    headers["authorization"] = (
        f"{_ALGORITHM} Credential={key.access_key_id}/{scope}, "
        f"SignedHeaders={names}, Signature={signature}"
    )
    secrets = tuple(filter(None, (key.secret_access_key, key.session_token)))
    return HttpRequest(
        request.provider,
        request.url,
        headers,
        request.body,
        request.method,
        secrets,
        request.owner,
    )


def _canonical_request(request: HttpRequest, headers: Mapping[str, str]) -> tuple[str, str]:
    """Return the names of the signed headers, and the text whose digest is signed."""
    url = urlsplit(request.url)
    signed = {**headers, "host": url.netloc}
    names = sorted(signed)
    lines = [f"{name}:{' '.join(signed[name].split())}" for name in names]
    # The path is encoded once in the URL, and a second time here: only S3 is different.
    path = quote(url.path, safe="/~")
    body = hashlib.sha256(request.body).hexdigest()
    listed = ";".join(names)
    return listed, "\n".join([request.method, path, "", *lines, "", listed, body])


@lru_cache(maxsize=1024)
def _signing_key(secret: str, day: str, region: str) -> bytes:
    """Return the key of one day, which takes four digests to derive."""
    key = f"AWS4{secret}".encode()
    for part in (day, region, SERVICE, _TERMINATOR):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key
