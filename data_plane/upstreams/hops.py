"""Counts how often a call has come through a gateway, so that none goes round for ever: pure.

An endpoint may be served by another gateway's endpoint, or by its own, perhaps round a ring. Each
request to a provider says how many gateways the call has passed; `invocation.py` refuses one that
has passed too many. `relay.py` marks the requests. Envoy lets this one header in from outside:
whoever sends it can only get its own call refused.
"""

import re
from collections.abc import Mapping

from modelplane.adapters.providers.types import Plan
from modelplane.adapters.shared.rpc.metadata import HOPS
from modelplane.data_plane.errors import TooManyHops

# A team's gateway before a company's before another region's is meant; longer chains are mistakes.
MAX_HOPS = 3
_COUNT = re.compile(r"[0-9]{1,9}")


def count_hops(metadata: Mapping[str, str]) -> int:
    """Return how many gateways a call has passed before this one.

    Raises:
        TooManyHops: They are so many that the call must be going in circles.
    """
    text = metadata.get(HOPS, "")
    hops = int(text) if text and _COUNT.fullmatch(text) else 0
    if hops >= MAX_HOPS:
        raise TooManyHops(
            f"The call has passed {hops} gateways: an endpoint on its way calls itself. Let the "
            "endpoint's provider be another server than this one."
        )
    return hops


def mark_hop(plan: Plan, hops: int, owner: str = "") -> None:
    """Let the requests of a plan say that they come from one gateway more, and whose they are.

    Args:
        plan: How the query is put to the provider.
        hops: Number of gateways that the call had passed.
        owner: Endpoint that they are for.
    """
    for request in plan.requests:
        # The adapter's own headers are those of all its requests.
        request.headers = {**request.headers, HOPS: str(hops + 1)}
        request.owner = owner
