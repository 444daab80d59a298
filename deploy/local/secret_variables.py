"""Which environment variables are for the control plane alone, since they hold secrets.

Before: `plan`.
"""

from collections.abc import Mapping

from modelplane.control_plane.identity.sign_in_methods import secret_variables
from modelplane.control_plane.secrets.stores.declarations import parse_declarations

_STORES = "MODELPLANE_SECRET_STORES"
_ISSUERS = "MODELPLANE_OIDC_ISSUERS"
_OWN = (
    "MODELPLANE_DATABASE_URL",
    "MODELPLANE_MASTER_KEY",
    "MODELPLANE_MASTER_KEY_KMS",
    "MODELPLANE_REGISTRY_AUTHORIZATION",
    _STORES,
)


def for_control_plane(environ: Mapping[str, str]) -> set[str]:
    """Return the names of the variables that no other process gets."""
    try:
        declared = list(parse_declarations(environ.get(_STORES, "")).values())
    except ValueError:
        # The control plane says what is wrong, and does not start.
        declared = []
    prefixes = tuple(store["prefix"] for store in declared if store["backend"] == "ENVIRONMENT")
    own = {*_OWN, *secret_variables(environ.get(_ISSUERS, ""))}
    # Of AWS's variables the workers need some, as Bedrock is called with them.
    return {name for name in environ if name in own or name.startswith(prefixes)}
