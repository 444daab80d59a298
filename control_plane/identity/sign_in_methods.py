"""With which outside issuers one can sign in to the pages: what the settings say. Pure.

Before: `server.identities`. Beside: `outside_issuers`, which reads the rest of the setting.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import orjson

# What an issuer is asked for unless the setting says otherwise (OpenID Connect Core 1.0, 5.4).
_SCOPES = ("openid", "email", "profile")
_REQUIRED_SCOPE = "openid"
KEYS = frozenset({"client_id", "client_secret_env", "scopes", "label"})
MAX_LABEL = 60
_VARIABLE = "MODELPLANE_OIDC_ISSUERS"


@dataclass(frozen=True, slots=True)
class SignInMethod:
    """An issuer with whose accounts one can sign in.

    Attributes:
        issuer: The issuer, a URL.
        label: What users call it.
        client_id: Under which it knows this deployment.
        client_secret: What it shares with this deployment; empty: nothing, PKCE alone protects.
        scopes: What it is asked for.
    """

    issuer: str
    label: str
    client_id: str
    client_secret: str = field(repr=False)
    scopes: Sequence[str]


def parse_methods(text: str, environ: Mapping[str, str]) -> dict[str, SignInMethod]:
    """Return the methods by their issuer: of the issuers in the setting, those with a client id.

    Args:
        text: The setting, which `outside_issuers.parse_issuers` takes.
        environ: Variables that hold client secrets.

    Raises:
        ValueError: One is malformed; the message says what to change.
    """
    items = [item for item in orjson.loads(text or "[]") if KEYS & set(item)]
    return {item["issuer"]: _parse(item, environ) for item in items}


def secret_variables(text: str) -> set[str]:
    """Return the names of the variables that hold client secrets; of a malformed setting none."""
    try:
        listed = orjson.loads(text or "[]")
    except orjson.JSONDecodeError:
        return set()
    items = [item for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []
    return {name for item in items if isinstance(name := item.get("client_secret_env"), str)}


def _parse(item: Mapping[str, Any], environ: Mapping[str, str]) -> SignInMethod:
    issuer = item["issuer"]
    client_id, variable = item.get("client_id", ""), item.get("client_secret_env", "")
    label = item.get("label", urlsplit(issuer).hostname)
    scopes = item.get("scopes", list(_SCOPES))
    if not _is_text(client_id):
        raise ValueError(f"{_VARIABLE}: to sign in at {issuer}, client_id must be a text.")
    if variable != "" and (not _is_text(variable) or not environ.get(variable)):
        raise ValueError(
            f"{_VARIABLE}: client_secret_env of {issuer} must name a variable that is set."
        )
    if not _is_text(label) or len(label) > MAX_LABEL:
        raise ValueError(f"{_VARIABLE}: label of {issuer} must have 1 to {MAX_LABEL} characters.")
    if not isinstance(scopes, list) or not all(map(_is_word, scopes)):
        raise ValueError(f"{_VARIABLE}: scopes of {issuer} must be a list of words.")
    if _REQUIRED_SCOPE not in scopes:
        raise ValueError(f"{_VARIABLE}: scopes of {issuer} must have {_REQUIRED_SCOPE}.")
    return SignInMethod(issuer, label, client_id, environ.get(variable, ""), tuple(scopes))


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value) and value.isprintable()


def _is_word(value: object) -> bool:
    return _is_text(value) and " " not in str(value)
