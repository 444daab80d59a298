"""Which served entities may answer a query, in order: by the path, a routing key or the split.

Called by `invocation.py`; `snapshots/routing.py` divides the traffic, `attempts.py` asks who was
chosen.
"""

from collections.abc import Mapping

from modelplane.adapters.shared.rpc.metadata import ROUTING_KEY
from modelplane.data_plane.errors import ServedEntityNotFound
from modelplane.data_plane.snapshots.routing import pick_by_key
from modelplane.data_plane.snapshots.snapshot import Config, Endpoint, ServedEntity

# As many as the mirrored API tries after the entity that was picked.
_MAX_FALLBACKS = 2


def choose(
    endpoint: Endpoint, config: Config, served_name: str, metadata: Mapping[str, str]
) -> tuple[ServedEntity, ...]:
    """Return the served entities to ask, in order.

    Args:
        endpoint: The endpoint; its policy says whether others may answer when one cannot.
        config: Its configuration that serves.
        served_name: Name of the entity that the path asks for; empty: the split decides.
        metadata: Request metadata. Calls with the same `x-routing-key` go to the same entity, on
            every worker, as long as the split stays.

    Raises:
        ServedEntityNotFound: The endpoint has no such entity.
    """
    if served_name:
        entity = config.entity(served_name)
        if entity is None:
            raise ServedEntityNotFound(
                f"Endpoint '{endpoint.name}' has no served entity '{served_name}'."
            )
        return (entity,)
    entities = config.entities
    if len(entities) == 1:
        return entities
    key = metadata.get(ROUTING_KEY)
    first = pick_by_key(key, config.shares) if key else config.deck.deal()
    if not endpoint.policy.fallback:
        return (entities[first],)
    return (entities[first:] + entities[:first])[: _MAX_FALLBACKS + 1]
