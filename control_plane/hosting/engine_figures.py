"""What engines say of themselves on its way to their endpoints' metrics. Before: `pool`.

It comes with each report of the launcher; it is stored when it has changed, at most every five
seconds, and twice a minute all the same, since what is older is not shown as if it were so now.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeAlias

from modelserving.launcher.v1.launcher_service_pb2 import EngineFigures, GroupReport

from modelplane.control_plane.store.hosting.groups import StoredGroup

_LEAST_SECONDS = 5.0
_MOST_SECONDS = 30.0

# By endpoint, served entity and replica.
Figures: TypeAlias = Mapping[str, Mapping[str, Mapping[str, EngineFigures]]]


class EngineNotes:
    """Hands on what engines say.

    Attributes:
        newest: What each said last whose launcher is connected here.
    """

    def __init__(self, store: Callable[[Figures], Awaitable[None]]) -> None:
        """Know nothing yet.

        Args:
            store: Takes what they say.
        """
        self.newest: Sequence[EngineFigures] = ()
        self._store = store
        self._known: Figures = {}
        self._at = float("-inf")

    async def note(self, groups: Sequence[StoredGroup], told: Mapping[str, GroupReport]) -> None:
        """Take a whole report.

        Args:
            groups: Those that there are.
            told: What is said of them, by group.

        Raises:
            StoreUnavailable: The database does not answer.
        """
        self.newest = [
            one.engine
            for report in told.values()
            for one in report.replicas
            if one.HasField("engine")
        ]
        now = asyncio.get_running_loop().time()
        since = now - self._at
        if since < _LEAST_SECONDS:
            return
        found = _figures(groups, told)
        # Of one that runs no longer it is told once that it does nothing.
        for endpoint, entities in self._known.items():
            for entity, replicas in entities.items():
                if replicas:
                    found.setdefault(endpoint, {}).setdefault(entity, {})
        if not found or (found == self._known and since < _MOST_SECONDS):
            return
        await self._store(found)
        self._known, self._at = found, now


def _figures(
    groups: Sequence[StoredGroup], told: Mapping[str, GroupReport]
) -> dict[str, dict[str, dict[str, EngineFigures]]]:
    found: dict[str, dict[str, dict[str, EngineFigures]]] = {}
    for group in groups:
        report = told.get(group.id, GroupReport())
        replicas = {one.id: one.engine for one in report.replicas if one.HasField("engine")}
        if replicas:
            entities = found.setdefault(group.endpoint_id, {})
            # Two versions of an entity may run at a time.
            entities.setdefault(group.served_entity_name, {}).update(replicas)
    return found
