"""The kinds of things that files declare, in the order in which they are applied.

Before: `files`, `plan`, `export`.
"""

from collections.abc import Mapping

from modelplane.deploy.command.declared.kinds import endpoints, groups, prices, scopes, users
from modelplane.deploy.command.declared.kinds.base import Kind

ENDPOINTS = "endpoints"
# What stands later may refer to what stands before.
KINDS: Mapping[str, Kind] = {
    "users": users.KIND,
    "groups": groups.KIND,
    "secret_scopes": scopes.KIND,
    ENDPOINTS: endpoints.KIND,
    prices.PRICES: prices.KIND,
}
