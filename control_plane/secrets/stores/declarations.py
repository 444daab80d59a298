"""Which scopes are kept in other stores: what the operator declares, as JSON.

    {"models": {"backend": "HASHICORP_VAULT", "address": "https://vault:8200", "path": "models",
                "token_file": "/vault/token"}}

Before: `server`. After: the stores.
"""

import json
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from modelplane.control_plane.secrets.stores.base import SecretStore
from modelplane.control_plane.secrets.stores.environment import EnvironmentStore
from modelplane.control_plane.secrets.stores.files import FileStore

_SETTING = "MODELPLANE_SECRET_STORES"
# Variables of this deployment, its master key among them.
_OWN_VARIABLES = "MODELPLANE_"
_SCOPE = re.compile(r"[A-Za-z0-9_.-]{1,128}")
# Required and optional fields of each backend.
_FIELDS: Mapping[str, tuple[frozenset[str], frozenset[str]]] = {
    "ENVIRONMENT": (frozenset({"prefix"}), frozenset()),
    "FILES": (frozenset({"directory"}), frozenset()),
    "AWS_SECRETS_MANAGER": (frozenset({"region"}), frozenset({"prefix"})),
    "HASHICORP_VAULT": (
        frozenset({"address", "path"}),
        frozenset({"mount", "namespace", "ca_file", "token", "token_file"}),
    ),
}

Declaration = Mapping[str, str]


@asynccontextmanager
async def opened_stores(
    text: str, environ: Mapping[str, str]
) -> AsyncIterator[Mapping[str, SecretStore]]:
    """Yield the declared stores by scope.

    Args:
        text: The declarations; empty: none.
        environ: The environment, for stores that are part of it.

    Raises:
        ValueError: A declaration is wrong.
    """
    async with AsyncExitStack() as stack:
        stores: dict[str, SecretStore] = {}
        for scope, declared in parse_declarations(text).items():
            stores[scope] = await stack.enter_async_context(_opened(declared, environ))
        yield stores


def parse_declarations(text: str) -> Mapping[str, Declaration]:
    """Return the declarations by scope.

    Raises:
        ValueError: One is wrong. The message repeats no value, since it may be a secret.
    """
    if not text.strip():
        return {}
    try:
        found = json.loads(text)
    except ValueError:
        raise ValueError(f"{_SETTING} must be JSON.") from None
    if not isinstance(found, dict):
        raise ValueError(f"{_SETTING} must be a JSON object: scope -> {{backend, …}}.")  # noqa: TRY004 - one error for all that is wrong with a setting
    for scope, declared in found.items():
        if reason := _mistake(scope, declared):
            raise ValueError(f"{_SETTING}: scope '{scope[:100]}': {reason}.")
    return found


def _mistake(scope: str, declared: object) -> str:
    if not _SCOPE.fullmatch(scope):
        return "the name must have 1 to 128 letters, digits, '_', '.' and '-'"
    if not isinstance(declared, dict) or declared.get("backend") not in list(_FIELDS):
        return f"backend must be one of {', '.join(_FIELDS)}"
    if not all(isinstance(value, str) and value for value in declared.values()):
        return "every field must be a text that is not empty"
    return _wrong_field(declared)


def _wrong_field(declared: Declaration) -> str:
    required, optional = _FIELDS[declared["backend"]]
    given = declared.keys() - {"backend"}
    if missing := sorted(required - given):
        return f"{missing[0]} is missing"
    if unknown := sorted(given - required - optional):
        return f"{unknown[0]} is unknown"
    if declared["backend"] == "ENVIRONMENT" and _reaches_own(declared["prefix"]):
        return f"prefix must leave out {_OWN_VARIABLES}, whose variables are not for endpoints"
    if "token" in optional and ("token" in given) == ("token_file" in given):
        return "give exactly one of token and token_file"
    return ""


def _reaches_own(prefix: str) -> bool:
    return _OWN_VARIABLES.startswith(prefix) or prefix.startswith(_OWN_VARIABLES)


@asynccontextmanager
async def _opened(declared: Declaration, environ: Mapping[str, str]) -> AsyncIterator[SecretStore]:
    match declared["backend"]:
        case "ENVIRONMENT":
            yield EnvironmentStore(environ, declared["prefix"])
        case "FILES":
            yield FileStore(Path(declared["directory"]))
        case "AWS_SECRETS_MANAGER":
            # The clients of other stores are slow to load, and rarely needed.
            from modelplane.control_plane.secrets.stores import secrets_manager  # noqa: PLC0415

            region, prefix = declared["region"], declared.get("prefix", "")
            async with secrets_manager.opened_secrets_manager(region, prefix) as store:
                yield store
        case _:
            yield _vault(declared)


def _vault(declared: Declaration) -> SecretStore:
    from modelplane.control_plane.secrets.stores.vault import VaultPlace, VaultStore  # noqa: PLC0415

    place = VaultPlace(
        declared["address"],
        declared.get("mount", "secret"),
        declared["path"],
        declared.get("namespace", ""),
        declared.get("ca_file", ""),
    )
    return VaultStore(place, _token_reader(declared))


def _token_reader(declared: Declaration) -> Callable[[], str]:
    token, file = declared.get("token", ""), declared.get("token_file", "")
    return (lambda: Path(file).read_text().strip()) if file else (lambda: token)
