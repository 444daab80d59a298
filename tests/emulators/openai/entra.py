"""Microsoft Entra ID beside the emulated Azure: gives tokens to one application.

Used by `server`; errors have the shape of the identity platform's token endpoint.
"""

from collections.abc import Mapping

from tests.emulators.emulator import Json, Refusal

TENANT = "my-tenant"
CLIENT_ID = "my-application"
CLIENT_SECRET = "entra/secret~0123456789"
SCOPE = "https://cognitiveservices.azure.com/.default"
_TOKEN = "entra-token-"
FIRST_TOKEN = f"{_TOKEN}1"
_LIFE_SECONDS = 3599


class Entra:
    """The tokens given out so far."""

    def __init__(self) -> None:
        self.given = 0
        self.valid: set[str] = set()

    def give(self, tenant: str, form: Mapping[str, object]) -> Json:
        """Return the answer to a token request.

        Raises:
            Refusal: What the identity platform would answer.
        """
        if tenant != TENANT:
            raise _refusal("invalid_request", f"AADSTS90002: Tenant '{tenant}' not found.")
        if form.get("grant_type") != "client_credentials" or form.get("scope") != SCOPE:
            raise _refusal("invalid_scope", "AADSTS70011: The provided value is not valid.")
        if (form.get("client_id"), form.get("client_secret")) != (CLIENT_ID, CLIENT_SECRET):
            raise _refusal("invalid_client", "AADSTS7000215: Invalid client secret provided.")
        self.given += 1
        token = f"{_TOKEN}{self.given}"
        self.valid.add(token)
        return {"token_type": "Bearer", "expires_in": _LIFE_SECONDS, "access_token": token}


def _refusal(error: str, description: str) -> Refusal:
    status = 401 if error == "invalid_client" else 400
    return Refusal(status, {"error": error, "error_description": description})
