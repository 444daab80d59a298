"""Access tokens of Microsoft Entra ID for Azure OpenAI, by client credentials.

Source: Microsoft identity platform, "OAuth 2.0 client credentials flow". Used by `provider.py`
for `openai_api_type` azuread.
"""

import hashlib
from urllib.parse import quote

from modelplane.adapters.providers.credentials.cache import Credential
from modelplane.adapters.providers.credentials.oauth import fetch_token
from modelplane.adapters.providers.http.transport import HttpTransport

_AUTHORITY = "https://login.microsoftonline.com"
_SCOPE = "https://cognitiveservices.azure.com/.default"


class EntraTokens:
    """Gets tokens for one application of one tenant."""

    __slots__ = ("_client_id", "_provider", "_secret", "_tenant", "key")

    def __init__(self, provider: str, tenant: str, client_id: str, secret: str) -> None:
        """Ask as an application.

        Args:
            provider: Name that errors carry.
            tenant: Tenant, by identifier or domain.
            client_id: The application.
            secret: Its secret.
        """
        self._provider = provider
        self._tenant = tenant
        self._client_id = client_id
        self._secret = secret
        parts = f"{tenant}\n{client_id}\n{secret}".encode()
        self.key = "entra:" + hashlib.sha256(parts).hexdigest()

    async def fetch(self, transport: HttpTransport, now: float) -> Credential:
        """Return a new access token; see `CredentialSource`."""
        form = {
            "grant_type": "client_credentials",
            "client_id": self._client_id,
            "client_secret": self._secret,
            "scope": _SCOPE,
        }
        url = f"{_AUTHORITY}/{quote(self._tenant, safe='')}/oauth2/v2.0/token"
        return await fetch_token(transport, self._provider, url, form, "client_secret", now)
